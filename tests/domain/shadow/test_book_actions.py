"""Passive entries and corporate actions in the shadow book."""

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
    CENSORED,
    MAKER,
    MATURED,
    NOT_FILLED,
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
