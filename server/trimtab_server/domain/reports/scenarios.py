"""The language of what-if: what may be changed, in words and in plain values.

Changes of a scenario hold together, so their order does not matter, and none may say of the same
thing what another one says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from trimtab_server.domain.events import Violation

ALL_GUARDS = "*"
"""Stands for every guard in GuardOff."""

_WEIGHTS_SHOWN_MAX = 4


@dataclass(frozen=True, slots=True)
class GuardOff:
    """A guard is not there; "*" = none is."""

    guard: str


@dataclass(frozen=True, slots=True)
class GuardLimit:
    """A guard's limit is another one, in its own unit."""

    guard: str
    limit: float


@dataclass(frozen=True, slots=True)
class ConfidenceThreshold:
    """Signals below a confidence, 0 to 1, are not taken; in the place of what held it before."""

    threshold: float


@dataclass(frozen=True, slots=True)
class ExpectedReturnThreshold:
    """Signals below an expected return, a fraction, are not taken; in the place of a guard."""

    threshold: float
    replaces_guard: str = ""


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """Confidence is the mean of the models' probabilities with these weights, >= 0."""

    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CostChange:
    """Fee of each side in basis points of notional; what the spread is multiplied by. None = as it
    was."""

    fee_bps: float | None = None
    spread_multiplier: float | None = None


@dataclass(frozen=True, slots=True)
class PositionLimit:
    """At most so many positions at once, >= 1; per_symbol: of one symbol."""

    open_count_max: int
    per_symbol: bool = False


@dataclass(frozen=True, slots=True)
class CapitalLimit:
    """At most so much of equity in positions at once. position_fraction: the size of a position
    whose own is not known; None = 0.05."""

    exposure_fraction_max: float
    position_fraction: float | None = None


Change: TypeAlias = (
    GuardOff
    | GuardLimit
    | ConfidenceThreshold
    | ExpectedReturnThreshold
    | ModelWeights
    | CostChange
    | PositionLimit
    | CapitalLimit
)

CHANGES: Mapping[str, type[Change]] = {
    "guard_off": GuardOff,
    "guard_limit": GuardLimit,
    "confidence_threshold": ConfidenceThreshold,
    "expected_return_threshold": ExpectedReturnThreshold,
    "model_weights": ModelWeights,
    "costs": CostChange,
    "position_limit": PositionLimit,
    "capital_limit": CapitalLimit,
}
"""Changes by their names in the contract."""

_NAMES = {kind: name for name, kind in CHANGES.items()}


@dataclass(frozen=True, slots=True)
class Scenario:
    """Changes that hold together. name: in words, "" = made of the changes."""

    changes: tuple[Change, ...]
    name: str = ""

    @property
    def words(self) -> str:
        """Its name, or what changes."""
        return self.name or ", ".join(map(change_words, self.changes)) or "nothing changes"


class InvalidScenario(ValueError):
    """A scenario that makes no sense for this ledger. violations: paths from the scenario on, as
    `changes[0].guard_off.guard`."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(tuple(violations))
        self.violations = tuple(violations)

    def __str__(self) -> str:
        return "; ".join(f"{each.field}: {each.description}" for each in self.violations[:4])


def scenario_of(asked: Mapping[str, Any]) -> Scenario:
    """The scenario that plain values tell, field by field as in the contract.

    Raises InvalidScenario for a change that is none, or that lacks or has too many fields; ranges
    are the reader's of the request to check.
    """
    changes, wrong = [], []
    for index, told in enumerate(asked.get("changes", ())):
        path = f"changes[{index}]"
        names = [name for name in told if name in CHANGES]
        if len(told) != 1 or not names:
            wrong.append(Violation(path, f"must be one of {', '.join(CHANGES)}"))
            continue
        try:
            changes.append(CHANGES[names[0]](**told[names[0]]))
        except TypeError as error:
            words = str(error).partition("__init__() ")[2]
            wrong.append(Violation(f"{path}.{names[0]}", words))
    if wrong:
        raise InvalidScenario(wrong)
    return Scenario(tuple(changes), asked.get("name", ""))


def change_words(change: Change) -> str:
    """A change in a few words."""
    match change:
        case GuardOff(guard):
            return "no guards" if guard == ALL_GUARDS else f"without {guard}"
        case GuardLimit(guard, limit):
            return f"{guard} at {limit:g}"
        case ConfidenceThreshold(threshold):
            return f"confidence from {threshold:g}"
        case ExpectedReturnThreshold(threshold):
            return f"expected return from {threshold:.4g}"
        case ModelWeights(weights):
            shown = [f"{name} {weights[name]:g}" for name in sorted(weights)]
            more = ["..."] if len(shown) > _WEIGHTS_SHOWN_MAX else []
            return f"weights {' '.join(shown[:_WEIGHTS_SHOWN_MAX] + more)}"
        case CostChange(fee_bps, spread_multiplier):
            fee = [] if fee_bps is None else [f"fee {fee_bps:g} bps"]
            spread = [] if spread_multiplier is None else [f"spread x {spread_multiplier:g}"]
            return " and ".join(fee + spread) or "costs as they were"
        case PositionLimit(open_count_max, per_symbol):
            noun = "position" if open_count_max == 1 else "positions"
            return f"at most {open_count_max} {noun}{' a symbol' if per_symbol else ''}"
        case CapitalLimit(exposure_fraction_max):
            return f"at most {exposure_fraction_max:g} of equity"


@dataclass(frozen=True, slots=True)
class Plan:
    """A scenario's changes by what they change. paths: where each kind (a guard's by its name)
    stands in the scenario."""

    off: frozenset[str] = frozenset()
    limits: Mapping[str, float] = field(default_factory=dict)
    confidence: ConfidenceThreshold | None = None
    expected_return: ExpectedReturnThreshold | None = None
    weights: ModelWeights | None = None
    costs: CostChange | None = None
    positions: PositionLimit | None = None
    symbol_positions: PositionLimit | None = None
    capital: CapitalLimit | None = None
    paths: Mapping[object, str] = field(default_factory=dict)

    @property
    def is_all_off(self) -> bool:
        """Whether no guard is left."""
        return ALL_GUARDS in self.off


_One = TypeVar("_One")


def _only(found: Mapping[object, Change], kind: type[_One], key: object = None) -> _One | None:
    one = found.get(kind if key is None else key)
    return one if isinstance(one, kind) else None


def plan(scenario: Scenario) -> Plan:
    """The scenario's changes by what they change. Raises InvalidScenario where two change the same
    thing (to leave a guard out twice is no harm)."""
    found: dict[object, Change] = {}
    paths: dict[object, str] = {}
    wrong = []
    for index, change in enumerate(scenario.changes):
        path = f"changes[{index}].{_NAMES[type(change)]}"
        key: object = type(change)
        if isinstance(change, GuardOff | GuardLimit):
            key = change.guard
        elif isinstance(change, PositionLimit):
            key = (PositionLimit, change.per_symbol)
        if key in found and found[key] != change:
            wrong.append(Violation(path, "the same is changed twice"))
        found[key], paths[key] = change, path
    limited = [change.guard for change in found.values() if isinstance(change, GuardLimit)]
    replacing = found.get(ExpectedReturnThreshold)
    if limited and ALL_GUARDS in found:
        wrong.append(Violation(paths[limited[0]], "no guard is left whose limit could be another"))
    if isinstance(replacing, ExpectedReturnThreshold) and replacing.replaces_guard in limited:
        path = f"{paths[ExpectedReturnThreshold]}.replaces_guard"
        wrong.append(Violation(path, "its limit is changed too"))
    if wrong:
        raise InvalidScenario(wrong)
    changes = found.values()
    return Plan(
        off=frozenset(each.guard for each in changes if isinstance(each, GuardOff)),
        limits={each.guard: each.limit for each in changes if isinstance(each, GuardLimit)},
        confidence=_only(found, ConfidenceThreshold),
        expected_return=_only(found, ExpectedReturnThreshold),
        weights=_only(found, ModelWeights),
        costs=_only(found, CostChange),
        positions=_only(found, PositionLimit, (PositionLimit, False)),
        symbol_positions=_only(found, PositionLimit, (PositionLimit, True)),
        capital=_only(found, CapitalLimit),
        paths=paths,
    )
