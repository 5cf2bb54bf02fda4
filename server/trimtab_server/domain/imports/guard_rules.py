"""How a guard with memory decides, as the caller says it of a file: NAME=position-count.

The columns beside the guard's verdict tell the figures that it went by. With them its rule is
recorded as the contract's `GuardVerdict.rule` says, and so its verdicts can be told for another
history too.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from trimtab_server.domain.imports.trade_columns import duration_s

_COUNT_MAX = 2**31 - 1
_SECONDS_MAX = 3.15e9  # about a hundred years, the contract's longest
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class RuleKind:
    """A kind of rule. field: its name in the contract's GuardVerdict. figures: column of the guard
    (value, limit, added) -> what has to stand in it. flag: what the kind sets beside them."""

    field: str
    figures: Mapping[str, str]
    flag: str = ""


_COUNT = {"value": "positions open before the signal", "limit": "most positions allowed"}
_EXPOSURE = {
    "value": "exposure before the signal, as a fraction of equity",
    "added": "what the signal would add, as a fraction of equity",
    "limit": "most exposure allowed, as a fraction of equity",
}
_WAIT = {"value": "seconds since the last exit, empty before the first", "limit": "seconds to wait"}
_LOSS = {
    "value": "return of the period so far, as a fraction of equity, a loss below zero",
    "limit": "most loss allowed, as a fraction of equity, above zero",
}
RULE_KINDS = {
    "position-count": RuleKind("position_count", _COUNT),
    "position-count-per-symbol": RuleKind("position_count", _COUNT, "per_symbol"),
    "exposure": RuleKind("exposure", _EXPOSURE),
    "cooldown": RuleKind("cooldown", _WAIT),
    "cooldown-after-loss": RuleKind("cooldown", _WAIT, "losses_only"),
    "loss-limit": RuleKind("loss_limit", _LOSS),
}
"""By the word that stands for them."""
_NAMES = {
    "position_count": {"value": "open_count", "limit": "open_count_max"},
    "exposure": {
        "value": "exposure_fraction",
        "added": "added_fraction",
        "limit": "exposure_fraction_max",
    },
    "cooldown": {"value": "elapsed_s", "limit": "cooldown_s"},
    "loss_limit": {"value": "period_return", "limit": "loss_fraction_max"},
}


@dataclass(frozen=True, slots=True)
class GuardRule:
    """How one guard decides. word: of RULE_KINDS. period_s: of a loss limit, else None.

    Figures are given as {"value": ..., "limit": ..., "added": ...}, None = not told; passed None =
    the guard did not look.
    """

    word: str
    period_s: float | None = None

    @property
    def kind(self) -> RuleKind:
        """What the word stands for."""
        return RULE_KINDS[self.word]

    def missing(self, figures: Mapping[str, float | None], *, blocked: bool = False) -> list[str]:
        """The figures that it needs and that are not told. A cool-down that did not block needs no
        last exit: there may have been none."""
        free = {"value"} if self.kind.field == "cooldown" and not blocked else set()
        return [one for one in self.kind.figures if figures[one] is None and one not in free]

    def faults(self, figures: Mapping[str, float | None]) -> Iterator[tuple[str, str]]:
        """(figure, why it cannot be one), of those that are told."""
        for name, meaning in self.kind.figures.items():
            value = figures[name]
            if value is not None and not self._is_possible(name, value):
                yield name, f"{value:g} cannot be the {meaning} (rule {self.word})"

    def _is_possible(self, name: str, value: float) -> bool:
        field = self.kind.field
        if field == "position_count":
            return value == round(value) and 0 <= value <= _COUNT_MAX
        if field == "loss_limit" and name == "value":
            return True
        return 0 <= value <= (_SECONDS_MAX if field == "cooldown" else math.inf)

    def is_contradicted(self, figures: Mapping[str, float | None], *, passed: bool) -> bool:
        """Whether the rule gives another verdict than the guard gave; False where the figures leave
        it open."""
        value, limit, added = (figures[name] for name in ("value", "limit", "added"))
        if limit is None or value is None or (self.kind.field == "exposure" and added is None):
            return False
        room = {
            "position_count": limit - value - 0.5,
            "exposure": limit - value - (added or 0.0),
            "cooldown": value - limit,
            "loss_limit": limit + value,
        }[self.kind.field]
        return abs(room) > _SAME and (room > 0) != passed

    def message(self, figures: Mapping[str, float | None]) -> tuple[str, dict[str, object]]:
        """(field of the contract's GuardVerdict, fields of its message); times in seconds, with
        names that end in "_s"."""
        kind, told = self.kind, dict[str, object]()
        for name, field in _NAMES[kind.field].items():
            value = figures[name]
            if value is not None:
                told[field] = round(value) if kind.field == "position_count" else value
        if kind.flag:
            told[kind.flag] = True
        if self.period_s is not None:
            told["period_s"] = self.period_s
        return kind.field, told


def guard_rules(told: Iterable[str]) -> dict[str, GuardRule]:
    """Guard, in lower case, -> its rule, of texts such as "slots=position-count" and
    "daily=loss-limit:1d". Raises ValueError for another text, and for a guard with two rules."""
    rules: dict[str, GuardRule] = {}
    for one in told:
        guard, _, said = (part.strip() for part in one.partition("="))
        guard = guard.lower()
        word, colon, period = (part.strip() for part in said.partition(":"))
        if not guard or word not in RULE_KINDS:
            known = ", ".join(RULE_KINDS)
            raise ValueError(f"{one}: write it as NAME=RULE, where RULE is one of {known}")
        if guard in rules:
            raise ValueError(f"{one}: guard {guard} has a rule already, {rules[guard].word}")
        if RULE_KINDS[word].field == "loss_limit":
            try:
                rules[guard] = GuardRule(word, duration_s(period))
            except ValueError:
                raise ValueError(f"{one}: write its period as loss-limit:1d") from None
        elif colon:
            raise ValueError(f"{one}: {word} has no period")
        else:
            rules[guard] = GuardRule(word)
    return rules
