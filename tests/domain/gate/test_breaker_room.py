"""A full world: who finds room, what is held back, and what the widest breaker of a rule does."""

from dataclasses import replace

import pytest

from trimtab_server.domain.events import Environment
from trimtab_server.domain.gate.breaker_record import Breaker, BreakerRule, opened
from trimtab_server.domain.gate.breaker_room import crowded_out, held_back, opened_for, widest_key
from trimtab_server.domain.gate.gate_world import closed_breaker
from trimtab_server.domain.gate.signal_gate import BreakerKind, Scope, World

S = 10**9
NOW = 1_700_000_000 * S
LIVE = World(Environment.LIVE, "")
RULE = BreakerRule(
    "losses", BreakerKind.LOSS_RATE, 0.5, scope=Scope("bot"), per=("symbol",), window_ns=60 * S
)
STALE = BreakerRule("stale", BreakerKind.STALE_DATA, 10, per=("symbol",))
RULES = {rule.name: rule for rule in (RULE, STALE)}
MAX = 2


def _closed(symbol: str, rule: BreakerRule = RULE) -> Breaker:
    return Breaker(LIVE, rule.scope._replace(symbol=symbol), rule.kind, rule.name)


def _open(symbol: str, rule: BreakerRule = RULE) -> Breaker:
    return opened(_closed(symbol, rule), NOW, NOW + 300 * S, "it lost")


def _symbols(breakers: list[Breaker]) -> list[str]:
    return [each.scope.symbol for each in breakers]


def test_the_first_that_open_take_what_room_there_is() -> None:
    """What was open keeps its place, what closes gives it up, and the widest needs none."""
    news = [_open("c"), _open("d")]
    assert _symbols(crowded_out([], news, MAX, RULES)) == []
    assert _symbols(crowded_out([_open("a")], [_open("a"), *news], MAX, RULES)) == ["d"]
    assert _symbols(crowded_out([_open("a"), _open("b")], news, MAX, RULES)) == ["c", "d"]
    held = [_open("a"), _open("b")]
    assert _symbols(crowded_out(held, [*news, _closed("a")], MAX, RULES)) == ["d"]
    wide = [_open(""), _open("", STALE)]
    assert _symbols(crowded_out([*wide, _open("a")], [_open("c")], MAX, RULES)) == []
    assert _symbols(crowded_out(held, wide, MAX, RULES)) == []


@pytest.mark.parametrize("rule", [RULE, STALE], ids=["losses", "stale"])
def test_the_widest_opens_once_and_says_for_whom(rule: BreakerRule) -> None:
    """As long as a breaker of the rule would; a second one that finds no room changes nothing."""
    wide = closed_breaker(LIVE, widest_key(rule))
    once = opened_for(wide, wide, rule, _open("a", rule), MAX)
    is_stale = rule.kind is BreakerKind.STALE_DATA
    assert once.open_until_ns == (None if is_stale else NOW + 300 * S)
    assert (once.scope, once.trip_count) == (rule.scope, 1)
    assert once.reason.endswith(" and others, as 2 breakers are open already (it lost)")
    assert opened_for(once, once, rule, _open("b", rule), MAX) == once


def test_a_half_open_widest_opens_again_for_longer() -> None:
    """As after anything bad."""
    wide = opened(closed_breaker(LIVE, widest_key(RULE)), NOW - 400 * S, NOW - S, "before")
    again = opened_for(wide, wide, RULE, _open("a"), MAX)
    assert (again.trip_count, again.open_until_ns) == (2, NOW + 600 * S)


def test_the_widest_of_stale_data_does_not_close_while_others_are_missing() -> None:
    """Its own data came: it stays as it was, and knows of them."""
    before = opened(closed_breaker(LIVE, widest_key(STALE)), NOW - S, None, "before")
    after = replace(_closed("", STALE), window=((NOW, 0.0),))
    kept = opened_for(before, after, STALE, _open("a", STALE), MAX)
    assert kept == replace(before, window=after.window)


def test_what_is_held_back_is_closed() -> None:
    """What tripped it is spent; data that are missing stay missing, and would open it again."""
    before, after = (replace(each, window=((NOW, 1.0),)) for each in (_closed("a"), _open("a")))
    assert held_back(before, after) == _closed("a")
    before = replace(_closed("a", STALE), breach_count=1)
    after = replace(_open("a", STALE), window=((NOW, 0.0),), observed_value=11.0, limit=10.0)
    kept = held_back(before, after)
    assert (kept.is_open, kept.breach_count, kept.window) == (False, 1, after.window)
    assert (kept.observed_value, kept.limit) == (11.0, 10.0)
