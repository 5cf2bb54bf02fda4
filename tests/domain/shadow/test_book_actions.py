"""Passive entries and corporate actions in the shadow book."""

from typing import Any

import pytest

from tests.domain.shadow_facts import (
    DELISTING,
    DIVIDEND,
    HOUR_NS,
    MINUTE_NS,
    RENAME,
    ROLL,
    SECOND_NS,
    SPLIT,
    a_decision,
    a_model,
    a_signal,
    a_whole_bar,
    an_action,
    asked,
    at,
    closes,
    only,
    results,
)
from trimtab_server.domain.ledger.facts import Fact
from trimtab_server.domain.shadow.book import ShadowBook
from trimtab_server.domain.shadow.result import (
    AMBIGUOUS,
    CENSORED,
    MAKER,
    MATURED,
    NOT_FILLED,
    STOP_LOSS,
    TIME,
)

NUMBERS = (
    *("return_fraction", "optimistic", "pessimistic", "gross", "spread_cost", "fee_cost"),
    *("carry_cost", "mfe", "mae", "volatility", "entry_price"),
)


def test_passive_entry_is_filled_when_traded_through() -> None:
    """At the bid of the decision, as maker; touched alone it is in doubt: the middle returns
    nothing, the bounds tell what it might have; not reached, nothing at all."""
    model = {"entry_style": "passive", "passive_wait_s": 7_200.0, "maker_fee_bps": -1.0}
    signal = a_signal(at(1), holding_ns=HOUR_NS)
    decision = a_decision(at(1), bid=99.0, ask=99.5)
    lows = {"through": 98.5, "touched": 99.0, "missed": 99.2}
    found = {}
    for name, low in lows.items():
        bars = [a_whole_bar(at(2), (100, 101, low, 100))]
        bars += [a_whole_bar(at(each), (100, 101, 99.3, 100)) for each in (3, 4, 5)]
        found[name] = only([signal, decision, *bars], **model)
    through, touched, missed = found["through"], found["touched"], found["missed"]
    assert (through.entry_price, through.flags, through.status) == (99, MAKER, MATURED)
    assert through.fee_cost == pytest.approx(-1e-4 + 1e-4 * 100 / 99)
    assert through.spread_cost == pytest.approx(2e-4 * 100 / 99)
    assert touched.flags == missed.flags == MAKER | NOT_FILLED
    assert (touched.return_fraction, touched.pessimistic, touched.entry_time_ns) == (0, 0, 0)
    assert touched.optimistic == pytest.approx(through.return_fraction)
    assert (missed.return_fraction, missed.optimistic, missed.status) == (0, 0, MATURED)
    assert missed.time_ns == at(3) + SECOND_NS


@pytest.mark.parametrize("side", [1, -1])
def test_stop_in_the_bar_of_a_passive_entry_is_taken(side: int) -> None:
    """A bar that came whole after the order reached the stop through the limit: stopped there. With
    the target in it too, which of them came first is in doubt; the target alone may have come
    before the entry, so the middle goes on and the bounds tell."""
    quote: dict[str, Any] = {"bid": 99.0} if side > 0 else {"ask": 101.0}
    entry = 100 - side
    plan: dict[str, Any] = {"side": side, "stop_price": entry - side * 3.0}
    plan["target_price"] = entry + side * 5.0
    deep, low, near, far = (100 + side * each for each in (-20.0, -1.5, 0.5, 6.0))
    found = {}
    for name, ends in {"stop": (deep, near), "both": (deep, far), "target": (low, far)}.items():
        told = (100.0, max(ends), min(ends), 100.0)
        bars = [a_whole_bar(at(2), told), *closes(100, 100, 100, 100, first=3)]
        decision = a_decision(at(1), **quote)
        found[name] = only([a_signal(at(1), **plan), decision, *bars], entry_style="passive")
    stop, both, target = found["stop"], found["both"], found["target"]
    assert (stop.flags, stop.exit_reason, stop.exit_price) == (MAKER, STOP_LOSS, entry - side * 3)
    assert stop.pessimistic == stop.return_fraction == stop.optimistic < 0
    assert (stop.mae, stop.mfe, stop.time_ns) == pytest.approx((3 / entry, 0, at(2)))
    assert (both.flags, both.exit_price) == (MAKER | AMBIGUOUS, stop.exit_price)
    assert both.pessimistic == both.return_fraction == stop.return_fraction
    assert both.optimistic == pytest.approx(5 / entry, abs=5e-4)
    assert (target.flags & AMBIGUOUS, target.exit_reason) == (AMBIGUOUS, TIME)
    assert target.optimistic == pytest.approx(both.optimistic, abs=1e-5)
    assert target.pessimistic == target.return_fraction < target.optimistic
    assert target.mae == pytest.approx(0.5 / entry)


def test_stop_in_a_bar_that_began_before_the_passive_order_is_in_doubt() -> None:
    """Its low may have come before the order: the middle goes on, the pessimistic one does not."""
    signal = a_signal(at(1.5), stop_price=97.0)
    bars = [a_whole_bar(at(2), (100, 101, 80, 98.5)), *closes(100, 100, 100, 100, first=3)]
    found = only([signal, a_decision(at(1.5), bid=99.0), *bars], entry_style="passive")
    assert (found.exit_reason, found.flags & AMBIGUOUS) == (TIME, AMBIGUOUS)
    assert found.return_fraction == found.optimistic == pytest.approx(1 / 99, abs=5e-4)
    assert found.pessimistic == pytest.approx(-2 / 99, abs=5e-4)
    assert found.mae == pytest.approx(0.5 / 99)


def _series(*, is_adjusted: bool) -> list[Fact]:
    """Prices that a split of 4 for 1 cuts, told adjusted or with the split."""
    prices = [
        (100.0, 104.0, 96.0, 102.0),
        (102.0, 106.0, 100.0, 104.0),
        (104.0, 108.0, 98.0, 100.0),
    ]
    prices += [(100.0, 112.0, 99.0, 111.0), (110.0, 113.0, 92.0, 94.0), (94.0, 95.0, 90.0, 91.0)]
    facts: list[Fact] = []
    for number, bar in enumerate(prices):
        factor = 4.0 if number >= 3 and not is_adjusted else 1.0
        if number == 3 and not is_adjusted:
            facts.append(an_action(at(number + 2) - MINUTE_NS, SPLIT, ratio=4.0))
        told = (bar[0] / factor, bar[1] / factor, bar[2] / factor, bar[3] / factor)
        facts.append(a_whole_bar(at(number + 2), told, is_adjusted=is_adjusted))
    return facts


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("stop", "target"), [(0.09, 0.5), (0.5, 0.12), (0.5, 0.5)])
def test_split_changes_nothing_but_the_price_of_exit(side: int, stop: float, target: float) -> None:
    """A split series with its action is followed as the adjusted series without: returns, barriers,
    excursions, volatility, horizons, markouts."""
    plan = {"stop_price": 100 * (1 - side * stop), "target_price": 100 * (1 + side * target)}
    model = {"horizons": ("2h", "4h"), "markout_ages": ("1h", "3h")}
    signal = asked(side=side, holding_ns=5 * HOUR_NS, **plan)
    split = results([*signal, *_series(is_adjusted=False)], **model)
    adjusted = results([*signal, *_series(is_adjusted=True)], **model)
    assert len(split) == len(adjusted) == 3
    for one, other in zip(split, adjusted, strict=True):
        factor = 4 if one.time_ns >= at(5) or (one.time_ns >= at(4) and one.exit_reason) else 1
        assert one.exit_price * factor == pytest.approx(other.exit_price)
        for name in (*NUMBERS, "time_ns", "status", "exit_reason", "flags", "holding_ns"):
            expected = pytest.approx(getattr(other, name), rel=1e-9, abs=1e-12, nan_ok=True)
            assert getattr(one, name) == expected, name
        returns = [[each.return_fraction for each in told.markouts] for told in (one, other)]
        assert returns[0] == pytest.approx(returns[1])


def test_adjusted_bars_are_not_adjusted_again() -> None:
    """Actions come with them too: they change nothing."""
    actions = [
        an_action(at(4) + MINUTE_NS, SPLIT, ratio=4.0),
        an_action(at(4) + MINUTE_NS, DIVIDEND, cash_amount=10.0),
    ]
    bars = _series(is_adjusted=True)
    signal = asked(holding_ns=5 * HOUR_NS)
    found = only([*signal, *bars[:3], *actions, *bars[3:]])
    assert repr(found) == repr(only([*signal, *bars]))


@pytest.mark.parametrize("side", [1, -1])
def test_dividend_is_paid_to_longs_and_by_shorts(side: int) -> None:
    """Of 2 on a price of 100, while it is held; per unit as it is after a split."""
    plain = closes(100, 100, 100, 100, first=2)
    signal = asked(side=side)
    dividend = an_action(at(3) + MINUTE_NS, DIVIDEND, cash_amount=2.0)
    before = an_action(at(1) + MINUTE_NS, DIVIDEND, cash_amount=50.0)
    facts = [*signal, before, *plain[:2], dividend, *plain[2:]]
    without = only([*signal, *plain])
    found = only(facts)
    assert without.carry_cost - found.carry_cost == pytest.approx(side * 0.02)
    assert found.gross == without.gross
    split = an_action(at(3) + MINUTE_NS, SPLIT, ratio=2.0)
    halves = closes(50, 50, first=4)
    again = only([*signal, *plain[:2], split, dividend._replace(cash_amount=1.0), *halves])
    assert again.return_fraction == pytest.approx(found.return_fraction)


def test_roll_takes_the_step_out_of_the_price() -> None:
    """The new contract trades 5 % above the old one: nobody earned that."""
    roll = an_action(at(3) + MINUTE_NS, ROLL, ratio=1.05)
    facts = [*asked(), *closes(100, 102, first=2), roll, *closes(107.1, 109.2, first=4)]
    assert only(facts).gross == pytest.approx(0.04)


def test_renamed_symbol_is_followed_under_its_new_name() -> None:
    """Prices of the old name are somebody else's from then on; the result keeps the signal's."""
    rename = an_action(at(2) + MINUTE_NS, RENAME, new_symbol="NEW")
    old, new = closes(7, 7, 7, 7, first=3), closes(101, 102, 110, 120, first=3, symbol="NEW")
    both = sorted([*old, *new], key=lambda fact: fact.time_ns)
    found = only([*asked(), *closes(100, first=2), rename, *both])
    assert (found.symbol, found.exit_price) == ("ABC", 110)


def test_delisted_symbol_is_left_at_its_last_price() -> None:
    """Lives and horizons end there; what has not entered never will; the name is free again."""
    delisting = an_action(at(4) + MINUTE_NS, DELISTING)
    waits: list[Fact] = [a_signal(at(4), "two"), a_decision(at(4), "two")]
    facts: list[Fact] = [*asked(), *closes(100, 90, 80, first=2), *waits, delisting]
    book = ShadowBook(a_model(horizons=("9h",)), 10)
    found = {(each.signal_id, each.age_ns): each for each in book.take(facts, 0)}
    own, horizon, missed = found["one", 0], found["one", 9 * HOUR_NS], found["two", 0]
    assert (own.exit_price, own.exit_reason, own.time_ns) == (80, 8, at(4) + MINUTE_NS)
    assert horizon.gross == own.gross == pytest.approx(-0.2)
    assert (missed.status, missed.entry_time_ns) == (CENSORED, 0)
    assert book.pending_count == 0
    again: list[Fact] = [
        a_signal(at(5), "three"),
        a_decision(at(5), "three"),
        *closes(5, 5, 5, 6, first=6),
    ]
    assert [each.exit_price for each in book.take(again, 0) if not each.age_ns] == [6]


def test_delisting_tells_every_age_that_is_left() -> None:
    """At the last price, each of them: a decay without those that were delisted is one of the
    survivors."""
    ages = {"horizons": ("1h", "10h", "5d"), "markout_ages": ("1h", "4h", "9h", "2d", "5d")}
    delisting = an_action(at(4) + MINUTE_NS, DELISTING)
    facts = [*asked(holding_ns=HOUR_NS), *closes(100, 101, 40, first=2), delisting]
    found = results([*facts, *closes(7, first=500, symbol="XYZ")], **ages)
    told = {
        each.age_ns // HOUR_NS or each.trading_days * 24: each.return_fraction
        for one in found
        for each in one.markouts
    }
    assert told == pytest.approx({1: 0.01, 4: -0.6, 9: -0.6, 48: -0.6, 120: -0.6})
