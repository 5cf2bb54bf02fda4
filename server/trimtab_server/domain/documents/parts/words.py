"""Numbers in words: stakes, per cent, money, times; an estimate always with its interval.

What is not known is "not known", never NaN, never a zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from trimtab_server.domain.wording import (
    OUTCOMES_TOLD_MAX,
    UNKNOWN,
    duration_text,
    outcomes_text,
)

if TYPE_CHECKING:
    from trimtab_server.domain.reports.guards import GuardLine
    from trimtab_server.domain.statistics.estimates import Estimate

_LARGE = 1e12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Contract numbers.
EXACT, SIMULATED, NOT_IDENTIFIABLE = 1, 2, 3
IDENTIFIED = {EXACT: "exact", SIMULATED: "simulated", NOT_IDENTIFIABLE: "not identifiable"}


def _shown(value: float, digits: int) -> str:
    """Fixed digits with thousands, never a minus zero; a power of ten for what is out of all
    proportion."""
    if abs(value) >= _LARGE:
        return f"{value:.3g}"
    return f"{round(value, digits) + 0.0:,.{digits}f}"


def _digits(*values: float) -> int:
    """Decimals that leave the largest of the values about three figures."""
    largest = max((abs(value) for value in values), default=0.0)
    if largest >= 100 or largest == 0:
        return 0
    return min(6, max(0, 2 - math.floor(math.log10(largest))))


def known(value: float | None) -> float | None:
    """The value, None for what is no finite number."""
    return value if value is not None and math.isfinite(value) else None


def number_text(value: float | None, digits: int | None = None) -> str:
    """A number; digits None = about three figures."""
    if known(value) is None or value is None:
        return UNKNOWN
    return _shown(value, _digits(value) if digits is None else digits)


def percent_text(value: float | None, digits: int = 1) -> str:
    """A fraction as per cent."""
    return UNKNOWN if known(value) is None or value is None else f"{_shown(100 * value, digits)}%"


def money_text(value: float | None) -> str:
    """An amount of the account's currency."""
    if known(value) is None or value is None:
        return UNKNOWN
    return _shown(value, 0 if abs(value) >= 1000 else 2)


def count_text(count: int | None) -> str:
    """A count; UNKNOWN for None."""
    return UNKNOWN if count is None else f"{count:,}"


def time_text(time_ns: int) -> str:
    """A UTC time to the second; a day alone at midnight."""
    moment = _EPOCH + timedelta(seconds=time_ns // 1_000_000_000)
    if moment.hour == moment.minute == moment.second == 0:
        return f"{moment:%Y-%m-%d}"
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _estimate_text(estimate: Estimate, one: Callable[[float, int], str], digits: int | None) -> str:
    value, low, high = known(estimate.value), known(estimate.low), known(estimate.high)
    if value is None:
        return UNKNOWN
    if low is None or high is None:
        return f"{one(value, _digits(value) if digits is None else digits)} (no interval)"
    if digits is None:
        digits = _digits(value, low, high)
    return f"{one(value, digits)} [{one(low, digits)}, {one(high, digits)}]"


def estimate_text(estimate: Estimate, digits: int | None = None) -> str:
    """A value with its interval, for example "3.10 [-1.02, 7.21]"; "(no interval)" without one."""
    return _estimate_text(estimate, _shown, digits)


def percent_estimate_text(estimate: Estimate, digits: int = 1) -> str:
    """A fraction with its interval, in per cent."""
    return _estimate_text(estimate, lambda value, k: f"{_shown(100 * value, k)}%", digits)


def money_estimate_text(estimate: Estimate | None) -> str:
    """An amount with its interval; UNKNOWN for None."""
    if estimate is None:
        return UNKNOWN
    told = (known(value) for value in (estimate.value, estimate.low, estimate.high))
    large = max((abs(value) for value in told if value is not None), default=0.0)
    return _estimate_text(estimate, _shown, 0 if large >= 1000 else 2)


def duration_estimate_text(estimate: Estimate) -> str:
    """A length of time with its interval."""
    return _estimate_text(estimate, lambda value, _: duration_text(value), 0)


def bounds_text(pessimistic: float | None, optimistic: float | None) -> str:
    """Between a bad and a good case, for example "-1.20 to 3.40"."""
    low, high = known(pessimistic), known(optimistic)
    if low is None or high is None:
        return UNKNOWN
    digits = _digits(low, high)
    return f"{_shown(low, digits)} to {_shown(high, digits)}"


def needed_text(needed: int | None, allowing: str = "") -> str:
    """How many outcomes more would settle it, "" when that is not told. allowing: for what besides,
    as `beside_others` says it."""
    return "" if needed is None else f"{outcomes_text(needed)} would settle it{allowing}"


def beside_others(guards: Iterable[GuardLine]) -> str:
    """What the outcomes that a guard still needs allow for, "" when it is judged alone."""
    judged = sum(line.value.low is not None for line in guards)
    return f" after allowing for all {judged:,} guards judged here" if judged > 1 else ""


def allowing_for_lines(count: int) -> str:
    """The same of a line of a leaderboard."""
    return f" after allowing for all {count:,} lines" if count > 1 else ""


def needed_count_text(needed: int | None) -> str:
    """The same in a cell: the number, "over a million", or "-" when that is not told."""
    if needed is None:
        return "-"
    return f"{needed:,}" if needed <= OUTCOMES_TOLD_MAX else "over a million"


def decided_sign(estimate: Estimate) -> int:
    """+1 or -1 when the interval lies wholly above or below zero, else 0."""
    if estimate.low is None or estimate.high is None:
        return 0
    return 1 if estimate.low > 0 else -1 if estimate.high < 0 else 0


def told_notes(estimates: Iterable[tuple[str, Estimate | None]]) -> tuple[str, ...]:
    """For the estimates that say why something is missing: names and reason, equal reasons once."""
    names: dict[str, list[str]] = {}
    for name, estimate in estimates:
        if estimate is not None and estimate.note:
            names.setdefault(estimate.note, []).append(name)
    return tuple(f"{'; '.join(found)}: {note}" for note, found in names.items())
