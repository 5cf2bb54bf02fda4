"""Scenarios of a request: checked change by change, and read into plain values."""

import itertools
import math
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

from google.protobuf.message import Message

from trimtab.v1 import report_service_pb2 as pb
from trimtab_server.domain.events import Violation
from trimtab_server.domain.reports.questions import SweepScenario
from trimtab_server.rpc.rules import NAME_LENGTH_MAX

SCENARIOS_MAX = 1_000
CHANGES_MAX = 32
_SCENARIO_NAME_LENGTH_MAX = 256
_WEIGHTS_MAX = 64
_OPEN_COUNT_MAX = 1_000_000
_FEE_BPS_MAX = 10_000.0
_SPREAD_MULTIPLIER_MAX = 1_000.0
_FRACTION_MAX = 1_000.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

Found = list[Violation]


def check_scenario(scenario: pb.Scenario, path: str, found: Found) -> None:
    """Puts what is wrong with a scenario into `found`; `path` ends with a dot."""
    check_words(scenario.name, f"{path}name", found, _SCENARIO_NAME_LENGTH_MAX)
    count = len(scenario.changes)
    if not 1 <= count <= CHANGES_MAX:
        words = f"has {count} entries; 1 to {CHANGES_MAX} are allowed"
        found.append(Violation(f"{path}changes", words))
        return
    told: dict[Hashable, pb.Change] = {}
    for here, change in repeated(scenario.changes, f"{path}changes"):
        key = check_change(change, here, found)
        if told.setdefault(key, change) != change:
            found.append(Violation(here, "the same is changed twice"))


def scenarios_of(
    told: Sequence[pb.Scenario], axes: Sequence[pb.ScenarioAxis], found: Found
) -> tuple[SweepScenario, ...]:
    """What a sweep computes: those that are told, then the grid, its last axis changing fastest.
    What is wrong goes into `found`; then the answer is of no use."""
    if len(axes) > CHANGES_MAX:
        found.append(Violation("axes", f"has {len(axes)} entries; {CHANGES_MAX} are allowed"))
        return ()
    in_grid = math.prod(len(axis.changes) for axis in axes) if axes else 0
    count = len(told) + in_grid
    if count > SCENARIOS_MAX:
        words = f"{count:,} scenarios with those of the grid; {SCENARIOS_MAX:,} are allowed"
        found.append(Violation("scenarios" if len(told) >= in_grid else "axes", words))
        return ()
    if not told and not axes:
        found.append(Violation("scenarios", "at least one is required, here or in the grid"))
    for path, scenario in repeated(told, "scenarios"):
        check_scenario(scenario, f"{path}.", found)
    _check_axes(axes, found)
    if found:
        return ()
    scenarios = [
        SweepScenario(index, plain(each), change_paths(each, f"scenarios[{index}].changes"))
        for index, each in enumerate(told)
    ]
    grid = [
        [(place, plain(change)) for place, change in repeated(axis.changes, f"{path}.changes")]
        for path, axis in repeated(axes, "axes")
    ]
    for combined in itertools.product(*grid) if grid else ():
        paths, changes = zip(*combined, strict=True)
        scenarios.append(SweepScenario(len(scenarios), {"changes": changes}, paths))
    return tuple(scenarios)


def change_paths(scenario: pb.Scenario, path: str) -> tuple[str, ...]:
    """Where the request tells each change of a scenario."""
    return tuple(place for place, _ in repeated(scenario.changes, path))


def _check_axes(axes: Sequence[pb.ScenarioAxis], found: Found) -> None:
    told: dict[Hashable, pb.Change] = {}
    for path, axis in repeated(axes, "axes"):
        if not axis.changes:
            found.append(Violation(f"{path}.changes", "is required"))
        here: dict[Hashable, pb.Change] = {}
        for place, change in repeated(axis.changes, f"{path}.changes"):
            key = check_change(change, place, found)
            if told.get(key, change) != change:
                found.append(Violation(place, "another axis changes the same"))
            here[key] = change
        told |= here


def check_change(change: pb.Change, path: str, found: Found) -> Hashable:
    """Puts what is wrong with a change into `found`; what it changes: two different changes of the
    same do not hold together."""
    kind = change.WhichOneof("change")
    if kind is None:
        found.append(Violation(f"{path}.change", f"is required: {', '.join(_CHECKS)}"))
        return path
    part = getattr(change, kind)
    _CHECKS[kind](part, f"{path}.{kind}.", found)
    if kind in ("guard_off", "guard_limit"):
        return "guard", part.guard
    return kind, kind == "position_limit" and part.per_symbol


def _check_guard_off(part: pb.GuardOff, path: str, found: Found) -> None:
    check_words(part.guard, f"{path}guard", found, required=True)


def _check_guard_limit(part: pb.GuardLimit, path: str, found: Found) -> None:
    check_words(part.guard, f"{path}guard", found, required=True)
    if part.guard == "*":
        found.append(Violation(f"{path}guard", "a limit is one guard's own"))
    _check_number(part, "limit", path, found, required=True)


def _check_confidence(part: pb.ConfidenceThreshold, path: str, found: Found) -> None:
    _check_number(part, "threshold", path, found, 0.0, 1.0, required=True)


def _check_expected_return(part: pb.ExpectedReturnThreshold, path: str, found: Found) -> None:
    _check_number(part, "threshold", path, found, required=True)
    check_words(part.replaces_guard, f"{path}replaces_guard", found)


def _check_weights(part: pb.ModelWeights, path: str, found: Found) -> None:
    path = f"{path}weights"
    if not 1 <= len(part.weights) <= _WEIGHTS_MAX:
        words = f"has {len(part.weights)} entries; 1 to {_WEIGHTS_MAX} are allowed"
        found.append(Violation(path, words))
        return
    for name, weight in part.weights.items():
        check_words(name, f"{path}[{name[:NAME_LENGTH_MAX]!r}]", found, required=True)
        if not 0.0 <= weight < math.inf:
            words = f"must be finite and not negative, is {weight:g}"
            found.append(Violation(f"{path}[{name[:NAME_LENGTH_MAX]!r}]", words))
    if not any(weight > 0.0 for weight in part.weights.values()):
        found.append(Violation(path, "one must be above zero"))


def _check_costs(part: pb.CostChange, path: str, found: Found) -> None:
    if not part.HasField("fee_bps") and not part.HasField("spread_multiplier"):
        words = "or spread_multiplier is required: nothing would change"
        found.append(Violation(f"{path}fee_bps", words))
    _check_number(part, "fee_bps", path, found, 0.0, _FEE_BPS_MAX)
    _check_number(part, "spread_multiplier", path, found, 0.0, _SPREAD_MULTIPLIER_MAX)


def _check_position_limit(part: pb.PositionLimit, path: str, found: Found) -> None:
    if not 1 <= part.open_count_max <= _OPEN_COUNT_MAX:
        words = f"must be from 1 to {_OPEN_COUNT_MAX:,}, is {part.open_count_max}"
        found.append(Violation(f"{path}open_count_max", words))


def _check_capital_limit(part: pb.CapitalLimit, path: str, found: Found) -> None:
    for name in ("exposure_fraction_max", "position_fraction"):
        required = name == "exposure_fraction_max"
        _check_number(part, name, path, found, 0.0, _FRACTION_MAX, required=required)
        if part.HasField(name) and getattr(part, name) == 0.0:
            found.append(Violation(f"{path}{name}", "must be above zero"))


_CHECKS: dict[str, Callable[[Any, str, Found], None]] = {
    "guard_off": _check_guard_off,
    "guard_limit": _check_guard_limit,
    "confidence_threshold": _check_confidence,
    "expected_return_threshold": _check_expected_return,
    "model_weights": _check_weights,
    "costs": _check_costs,
    "position_limit": _check_position_limit,
    "capital_limit": _check_capital_limit,
}


def plain(message: Message) -> dict[str, Any]:
    """A message field by field: what was told of it, repeated fields as tuples."""
    told: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            told[field.name] = dict(value)
        elif field.is_repeated:
            told[field.name] = tuple(
                plain(each) if isinstance(each, Message) else each for each in value
            )
        else:
            told[field.name] = plain(value) if isinstance(value, Message) else value
    return told


def repeated(values: Sequence[Any], path: str) -> Iterator[tuple[str, Any]]:
    """Each entry with its path, `path[0]` for the first."""
    return ((f"{path}[{index}]", each) for index, each in enumerate(values))


def _check_number(
    part: Any,
    name: str,
    path: str,
    found: Found,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    required: bool = False,
) -> None:
    """A number with presence, from `low` to `high`, finite."""
    if not part.HasField(name):
        if required:
            found.append(Violation(path + name, "is required"))
        return
    value = getattr(part, name)
    if not math.isfinite(value):
        found.append(Violation(path + name, f"must be finite, is {value:g}"))
    elif not low <= value <= high:
        found.append(Violation(path + name, f"must be from {low:g} to {high:g}, is {value:g}"))


def check_words(
    words: str,
    path: str,
    found: Found,
    length_max: int = NAME_LENGTH_MAX,
    *,
    required: bool = False,
) -> None:
    """A name or an id, of printable characters."""
    if not words:
        if required:
            found.append(Violation(path, "is required"))
    elif len(words) > length_max:
        found.append(Violation(path, f"has {len(words)} characters; {length_max} are allowed"))
    elif _CONTROL.search(words):
        found.append(Violation(path, "holds a control character"))
