"""What a guard said, as `ledger.columns.Verdicts` tells it: one shape for every kind of rule."""

from collections.abc import Callable
from math import isnan, nan
from operator import attrgetter
from typing import Any

from trimtab_server.domain.ledger.columns import (
    BLOCK,
    NOT_EVALUATED,
    PASS,
    STATEFUL,
    STATELESS,
    GuardRule,
)
from trimtab_server.domain.ledger.facts import VerdictFact

_NS = 1_000_000_000
_EXPOSURE_NUMBERS = attrgetter("exposure_fraction", "exposure_fraction_max", "added_fraction")


def verdict_of(told: Any) -> VerdictFact:
    """The verdict in a GuardVerdict. A guard that does not tell its memory has one, unless its rule
    is a threshold."""
    rule = told.WhichOneof("rule")
    result, memory = told.result, told.memory
    is_stateless = memory == STATELESS or (not memory and rule == "threshold")
    return VerdictFact._make(
        (
            told.guard,
            result if result in (PASS, BLOCK) else NOT_EVALUATED,
            STATELESS if is_stateless else STATEFUL,
            *(_RULES[rule](getattr(told, rule)) if rule in _RULES else _measured(told, rule)),
        )
    )


# Of each: rule, is_minimum, observed, limit, detail.
_Rule = tuple[int, bool, float, float, float]


def _measured(told: Any, rule: str | None) -> _Rule:
    """A threshold, or an unknown kind: what the verdict itself tells. A stateless guard that tells
    value and limit is a threshold: on which side it blocks, each of its verdicts shows."""
    observed = told.observed_value if told.HasField("observed_value") else nan
    limit = told.limit if told.HasField("limit") else nan
    if rule is not None:
        return _THRESHOLD, told.threshold.is_minimum, observed, limit, nan
    is_judged = told.memory == STATELESS and told.result in (PASS, BLOCK)
    if not is_judged or isnan(observed) or isnan(limit) or observed == limit:
        return _UNKNOWN, False, observed, limit, nan
    is_minimum = (observed > limit) == (told.result == PASS)
    return _THRESHOLD, is_minimum, observed, limit, nan


def _position_count(rule: Any) -> _Rule:
    detail = 1.0 if rule.per_symbol else 0.0
    return _POSITION_COUNT, False, float(rule.open_count), float(rule.open_count_max), detail


def _exposure(rule: Any) -> _Rule:
    return _EXPOSURE, False, *_EXPOSURE_NUMBERS(rule)


def _cooldown(rule: Any) -> _Rule:
    # Without a last exit nothing has elapsed that could be told.
    observed = _seconds(rule.elapsed) if rule.HasField("elapsed") else nan
    limit = _seconds(rule.cooldown) if rule.HasField("cooldown") else nan
    return _COOLDOWN, False, observed, limit, 1.0 if rule.losses_only else 0.0


def _loss_limit(rule: Any) -> _Rule:
    return _LOSS_LIMIT, False, rule.period_return, rule.loss_fraction_max, _seconds(rule.period)


_UNKNOWN, _THRESHOLD, _POSITION_COUNT, _EXPOSURE, _COOLDOWN, _LOSS_LIMIT = map(int, GuardRule)
_RULES: dict[str, Callable[[Any], _Rule]] = {
    "position_count": _position_count,
    "exposure": _exposure,
    "cooldown": _cooldown,
    "loss_limit": _loss_limit,
}


def _seconds(duration: Any) -> float:
    return float(duration.seconds + duration.nanos / _NS)
