"""Breakers of stale data: time opens them, and only data or a hand closes them."""

from trimtab_server.domain.events import Environment
from trimtab_server.domain.gate.breaker import granted, observed, tripped_by_hand
from trimtab_server.domain.gate.breaker_record import (
    Breaker,
    BreakerRule,
    Probe,
    Sample,
    SampleKind,
    reset,
)
from trimtab_server.domain.gate.signal_gate import BreakerKind, Scope, World
from trimtab_server.domain.gate.stale_data import ticked

S = 10**9
NOW = 1_700_000_000 * S
LIVE = World(Environment.LIVE, "")
SCOPE = Scope(source="bot", strategy="trend")
STALE = BreakerRule("stale", BreakerKind.STALE_DATA, 10, confirmation_count=2)
NEW = Breaker(LIVE, SCOPE, BreakerKind.STALE_DATA, "stale")


def _data(at_ns: int) -> Sample:
    return Sample(SampleKind.MARKET_DATA, LIVE, SCOPE, "", at_ns)


def test_stale_data_opens_by_time_and_closes_by_data() -> None:
    """Two looks in a row open it, two fresh readings close it; it has no probes, no cool-down."""
    data = _data(NOW)
    breaker = observed(NEW, STALE, [data], NOW)
    assert ticked(NEW, STALE, NOW) == NEW
    assert not ticked(ticked(breaker, STALE, NOW + 10 * S), STALE, NOW + 11 * S).is_open
    breaker = ticked(ticked(breaker, STALE, NOW + 11 * S), STALE, NOW + 12 * S)
    assert (breaker.is_open, breaker.open_until_ns, breaker.observed_value) == (True, None, 12.0)
    assert granted(breaker, STALE, Probe("bot", "a", NOW + 10**6 * S)) is None
    at = NOW + 20 * S
    once = observed(breaker, STALE, [data._replace(time_ns=at), data, data], at)
    assert (once.is_open, once.success_count) == (True, 1)
    old = ticked(once, STALE, at + 11 * S)
    assert old.success_count == 0
    closed = observed(once, STALE, [data._replace(time_ns=at + S)], at + S)
    assert (closed.is_open, closed.window) == (False, ((at + S, 0.0),))
    # Data that was old when it came is no fresh data.
    assert observed(once, STALE, [data._replace(time_ns=at + S)], at + 60 * S).is_open


def test_stale_data_that_is_reset_while_still_stale_opens_again() -> None:
    """The time of the last data stays: looks confirm it, and no data are needed to arm it."""
    data = _data(NOW)
    breaker = observed(NEW, STALE, [data], NOW)
    breaker = ticked(ticked(breaker, STALE, NOW + 11 * S), STALE, NOW + 12 * S)
    cleared = reset(breaker)
    assert (cleared.is_open, cleared.window, cleared.observed_value) == (False, ((NOW, 0.0),), None)
    once = ticked(cleared, STALE, NOW + 13 * S)
    assert (once.is_open, once.breach_count) == (False, 1)
    assert ticked(once, STALE, NOW + 14 * S).is_open
    fresh = observed(cleared, STALE, [data._replace(time_ns=NOW + 13 * S)], NOW + 13 * S)
    assert not ticked(fresh, STALE, NOW + 14 * S).is_open


def test_stale_data_by_hand_is_ended_by_a_hand_alone() -> None:
    """No data undo an operator's order."""
    blank = Breaker(LIVE, SCOPE, BreakerKind.STALE_DATA)
    breaker = tripped_by_hand(blank, NOW, None, "venue down", "ann")
    data = _data(NOW + S)
    assert observed(breaker, None, [data], NOW + S) == breaker
    assert reset(breaker) == blank
