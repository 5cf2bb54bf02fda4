"""Counts, environments and lengths of time in words, the same in every report and document."""

import math

UNKNOWN = "not known"

ENVIRONMENTS = {1: "live", 2: "paper", 3: "backtest"}
"""By the contract's numbers."""

OUTCOMES_TOLD_MAX = 1_000_000
"""Beyond so many outcomes still needed a text says "more than a million": no engine waits for them,
and the number rests on a mean that will not stay. Messages keep the number itself."""

_UNITS = (
    (2 * 86_400.0, 86_400.0, "d"),
    (2 * 3_600.0, 3_600.0, "h"),
    (2 * 60.0, 60.0, "min"),
    (1.0, 1.0, "s"),
    (1e-3, 1e-3, "ms"),
    (0.0, 1e-9, "ns"),
)


def plural(count: int, one: str, many: str = "") -> str:
    """For example "1 signal", "2,000 signals"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def duration_text(seconds: float | None) -> str:
    """A length of time in the unit that fits it: "1.5 h", "48 min", "12 ms"; UNKNOWN for None and
    for what is no finite number."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if not seconds:
        return "0 s"
    size, unit = next((size, unit) for least, size, unit in _UNITS if abs(seconds) >= least)
    return f"{seconds / size:,.1f}".removesuffix(".0") + f" {unit}"


def outcomes_text(count: int) -> str:
    """How many outcomes are still needed: "about 900 more outcomes", "more than a million more
    outcomes"."""
    if count > OUTCOMES_TOLD_MAX:
        return "more than a million more outcomes"
    return f"about {plural(count, 'more outcome')}"


def age_text(duration_s: float | None, trading_days: int, calendar: str) -> str:
    """An age or a horizon: "30 min", "7 XNYS d"."""
    if trading_days:
        return f"{trading_days} {calendar or 'trading'} d"
    return duration_text(duration_s)
