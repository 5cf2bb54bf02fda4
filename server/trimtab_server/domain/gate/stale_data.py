"""Breakers of stale data: opened by time that passes without data, closed by data alone."""

from collections.abc import Iterable
from dataclasses import replace

from trimtab_server.domain.gate.breaker_record import (
    Breaker,
    BreakerRule,
    Sample,
    SampleKind,
    opened,
    reset,
)
from trimtab_server.domain.gate.market_hours import open_seconds
from trimtab_server.domain.gate.signal_gate import BreakerKind


def ticked(breaker: Breaker, rule: BreakerRule, now_ns: int) -> Breaker:
    """A STALE_DATA breaker as time goes by: it opens when no data came for too long."""
    if breaker.kind is not BreakerKind.STALE_DATA or not breaker.window:
        return breaker
    age_s = open_seconds(rule.hours, breaker.window[-1][0], now_ns)
    is_stale = age_s > rule.limit
    breaker = replace(breaker, observed_value=age_s, limit=rule.limit)
    if breaker.is_open:
        return replace(breaker, success_count=0) if is_stale else breaker
    breach_count = breaker.breach_count + 1 if is_stale else 0
    if breach_count < rule.confirmation_count:
        return replace(breaker, breach_count=breach_count)
    words = f"no market data for {age_s:.0f} s of open market, allowed are {rule.limit:g} s"
    # Only data ends staleness, not time.
    return opened(breaker, now_ns, None, f"rule {rule.name}: {words}")


def with_data(
    breaker: Breaker, rule: BreakerRule, samples: Iterable[Sample], now_ns: int
) -> Breaker:
    """A STALE_DATA breaker after data; only what is newer than the last counts."""
    for sample in samples:
        last_ns = breaker.window[-1][0] if breaker.window else -1
        if sample.kind is not SampleKind.MARKET_DATA or sample.time_ns <= last_ns:
            continue
        age_s = open_seconds(rule.hours, sample.time_ns, now_ns)
        is_fresh = age_s <= rule.limit
        breaker = replace(
            breaker, window=((sample.time_ns, 0.0),), observed_value=age_s, limit=rule.limit
        )
        if not breaker.is_open:
            breaker = replace(breaker, breach_count=0) if is_fresh else breaker
            continue
        success_count = breaker.success_count + 1 if is_fresh else 0
        if success_count >= rule.confirmation_count:
            breaker = replace(reset(breaker), observed_value=age_s)
        else:
            breaker = replace(breaker, success_count=success_count)
    return breaker
