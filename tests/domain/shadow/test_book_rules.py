"""The shadow book's rules one by one, with numbers that one can work out by hand."""

from math import isnan

import pytest

from tests.domain.shadow_facts import (
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    SECOND_NS,
    START_NS,
    a_bar,
    a_decision,
    a_fill,
    a_model,
    a_signal,
    a_tick,
    a_whole_bar,
    asked,
    at,
    closes,
    only,
    results,
)
from trimtab_server.domain.ledger.facts import BarFact, Fact
from trimtab_server.domain.shadow.book import ShadowBook
from trimtab_server.domain.shadow.result import (
    AMBIGUOUS,
    CENSORED,
    COARSE,
    MATURED,
)

# -- costs -----------------------------------------------------------------------------------------


def test_costs_of_a_taker_are_those_worked_out_by_hand() -> None:
    """Short from 100 to 90 over three hours; spread 4 basis points at entry as of the decision and
    6 at exit as of the bar, 1 of fee each side, 365 a year of borrow, 24 a day of funding."""
    facts = [
        *closes(99),
        *asked(side=-1, size_kind=1, size=50.0),
        a_bar(at(2), 100.0, volume=100.0, spread_bps=50.0),
        *closes(95, 94, first=3),
        a_bar(at(5), 90.0, spread_bps=6.0),
    ]
    found = only(facts, borrow_bps_per_year=365.0, funding_bps_per_day=24.0)
    assert found.gross == pytest.approx(0.1)
    assert found.spread_cost == pytest.approx(2e-4 + 3e-4 * 0.9)
    assert found.fee_cost == pytest.approx(1e-4 * 1.9)
    assert found.carry_cost == pytest.approx(1e-4 * 3 / 24 + 24e-4 * 3 / 24)
    paid = found.spread_cost + found.fee_cost + found.carry_cost
    assert found.return_fraction == pytest.approx(0.1 - paid)
    assert (found.entry_price, found.exit_price, found.exit_reason) == (100, 90, 3)
    assert (found.mfe, found.mae) == pytest.approx((0.1, 0))
    assert (found.filled_fraction, found.quantity) == (0.2, 10)
    assert (found.time_ns, found.holding_ns) == (at(5), 3 * HOUR_NS)


@pytest.mark.parametrize(
    ("decided", "before", "expected"),
    [(8.0, 3.0, 8.0), (float("nan"), 3.0, 3.0), (float("nan"), float("nan"), 2.0)],
)
def test_spread_is_the_decisions_then_the_last_bars_then_the_settings(
    decided: float, before: float, expected: float
) -> None:
    """A guard that blocks wide spreads must not be judged by the narrow ones of later."""
    facts = [
        a_bar(at(1), 100.0, spread_bps=before),
        *(a_signal(at(1)), a_decision(at(1), spread_bps=decided)),
        *closes(100, 100, 100, 100, first=2),
    ]
    assert only(facts).spread_cost == pytest.approx(expected * 1e-4)


def test_ticks_are_bought_at_the_ask_and_sold_at_the_bid() -> None:
    """The first tick at or after decision and latency; the first at or after the planned end."""
    quotes = [(0.5, 90, 91), (1, 100, 102), (61, 110, 112), (62, 120, 122)]
    ticks = [
        a_tick(at(1) + round(second * SECOND_NS), bid=float(bid), ask=float(ask))
        for second, bid, ask in quotes
    ]
    facts = [*asked(holding_ns=MINUTE_NS), *ticks]
    found = only(facts, taker_fee_bps=0.0)
    assert found.return_fraction == pytest.approx((110 - 102) / 101)
    assert found.flags == 0
    assert found.entry_time_ns == at(1) + SECOND_NS


# -- entry and exit --------------------------------------------------------------------------------


def test_no_price_long_before_the_order_arrives_is_used() -> None:
    """A bar that had begun before the decision is entered at its close, a later one at its open,
    and so is one that began a fiftieth of it before; one that ends with the order's arrival is too
    early."""
    bars = [a_whole_bar(at(hour), (100 + hour, 150, 50, 110 + hour)) for hour in range(1, 9)]
    inside = only([*bars[:1], *asked(1.5), *bars[1:]])
    assert (inside.entry_price, inside.entry_time_ns) == (112, at(2))
    whole = only([*bars[:1], *asked(1), *bars[1:]])
    assert (whole.entry_price, whole.entry_time_ns) == (102, at(1))
    for late_s, price in ((2, 102), (72, 102), (73, 112)):
        late: list[Fact] = [a_signal(at(1)), a_decision(at(1) + late_s * SECOND_NS)]
        found = only([*bars[:1], *late, *bars[1:]], decision_wait_s=100.0)
        assert found.entry_price == price
    arriving = only([*bars[:1], *asked(1), *bars[1:]], latency_s=3_600.0)
    assert arriving.entry_price == 103
    halfway = only([*bars[:1], *asked(1), *bars[1:]], latency_s=1_800.0)
    assert (halfway.entry_price, halfway.entry_time_ns) == (112, at(2))


def test_signal_without_decision_is_followed_after_the_wait() -> None:
    """As if decided when it was made; what is decided later does not count."""
    wait: list[Fact] = [
        a_tick(at(1) + each * SECOND_NS, last=100.0 + each) for each in range(1, 30)
    ]
    found = only([a_signal(at(1), holding_ns=10 * SECOND_NS), *wait])
    assert (found.entry_price, found.exit_price, found.action) == (101, 111, 0)
    late = [*wait[:8], a_decision(at(1) + 8 * SECOND_NS), *wait[8:]]
    again = only([a_signal(at(1), holding_ns=10 * SECOND_NS), *late])
    assert (again.entry_price, again.exit_price, again.action) == (101, 111, 0)
    early = [*wait[:3], a_decision(at(1) + 3 * SECOND_NS), *wait[3:]]
    found = only([a_signal(at(1), holding_ns=10 * SECOND_NS), *early])
    assert (found.entry_price, found.action) == (104, 2)


def test_engine_that_trades_closes_leaves_at_the_very_bar_that_it_would() -> None:
    """Daily bars at 21:00 UTC: in at the next day's close, out at that of `holding_days` later, and
    known with that bar, over weekends and holidays."""
    days = [day for day in range(40) if (day % 7) < 5 and day not in {0, 14}]  # 1 and 15 January
    bars: list[Fact] = [
        a_bar(START_NS + day * DAY_NS + 21 * HOUR_NS, 100.0 + day, interval_ns=DAY_NS)
        for day in days
    ]
    for made in range(10):
        for holding in (1, 3, 10):
            time_ns = bars[made].time_ns
            signal = a_signal(time_ns, holding_ns=0, holding_days=holding, calendar="XNYS")
            known = bars[: made + 2 + holding]
            facts = [*known[: made + 1], signal, a_decision(time_ns), *known[made + 1 :]]
            found = only(facts, entry="close")
            assert found.entry_price == 100 + days[made + 1]
            assert found.exit_price == 100 + days[made + 1 + holding]
            assert found.known_ns == found.time_ns == known[-1].time_ns


def test_day_without_a_price_is_left_at_the_next_one() -> None:
    """At its open when it begins after that day; a plan ends where the market trades."""
    bars = [a_whole_bar(at(each), (float(each), 200, 1, each + 0.5)) for each in (2, 3, 50, 51)]
    signal = a_signal(at(1), holding_ns=0, holding_days=1)
    found = only([signal, a_decision(at(1)), *bars])
    assert (found.exit_price, found.time_ns) == (50, at(49))
    at_close = only([signal, a_decision(at(1)), *bars], entry="close")
    assert at_close.exit_price == 50.5


def test_stop_is_left_at_the_open_of_a_gap() -> None:
    """A stop is no promise of its price; entry at 100, stop at 95, the next bar opens at 90."""
    facts = [
        *asked(stop_price=95.0, target_price=120.0),
        a_whole_bar(at(2), (100, 101, 99, 100)),
        a_whole_bar(at(3), (90, 96, 89, 95)),
    ]
    found = only(facts)
    assert (found.exit_price, found.exit_reason, found.flags) == (90, 1, 0)
    assert found.time_ns == at(2)
    assert found.mae == pytest.approx(0.1)


def test_bar_with_both_barriers_tells_bounds_and_says_so() -> None:
    """Middle and pessimistic at the stop, optimistic at the target."""
    facts = [
        *asked(stop_price=95.0, target_price=110.0),
        a_whole_bar(at(2), (100, 111, 94, 100)),
    ]
    found = only(facts)
    assert (found.exit_price, found.exit_reason, found.flags) == (95, 1, AMBIGUOUS)
    assert found.gross == pytest.approx(-0.05)
    assert found.return_fraction == found.pessimistic
    costs = 1e-4 * (2 + 1) * (1 + 1.1)
    assert found.optimistic == pytest.approx(0.1 - costs)


def test_closes_alone_make_barriers_coarse() -> None:
    """The stop is seen at a close only, and that is its price; without barriers nothing is."""
    facts = [*asked(stop_price=95.0), *closes(100, 97, 93, 99, 99, first=2)]
    found = only(facts)
    assert (found.exit_price, found.flags) == (93, COARSE)
    assert only([*asked(), *closes(100, 97, 93, 99, first=2)]).flags == 0


def test_bar_that_began_before_the_entry_tells_its_close_only() -> None:
    """A day's bar behind minutes' bars holds prices from before the entry: its low is no stop."""
    day = a_whole_bar(at(24), (100, 150, 10, 101), interval_ns=DAY_NS)
    facts = [
        *asked(22, stop_price=50.0, holding_ns=2 * HOUR_NS),
        *closes(100, first=23),
        day,
        *closes(102, first=25),
    ]
    found = only(facts)
    assert (found.exit_reason, found.exit_price) == (3, 102)


# -- what never comes ------------------------------------------------------------------------------


def test_result_is_censored_when_no_price_comes_for_long() -> None:
    """Neither a win nor a loss: before the entry and after it, once the lane's clock is beyond."""
    clock = [a_bar(at(hour), 1.0, "XYZ") for hour in range(2, 9)]
    entered = [*asked(holding_ns=HOUR_NS), *closes(100, first=2)]
    facts = sorted([*entered, *clock], key=lambda fact: fact.time_ns)
    found = only(facts, censor_after_s=2 * 3_600.0)
    assert (found.status, found.time_ns, found.entry_price) == (CENSORED, at(5), 100)
    assert isnan(found.return_fraction)
    never = only([*asked(), *clock], censor_after_s=2 * 3_600.0)
    assert (never.status, never.time_ns) == (CENSORED, at(3) + SECOND_NS)
    assert never.entry_time_ns == 0
    # A price that comes too late changes nothing.
    late = [each for each in facts if each.symbol != "XYZ"] + closes(100, first=6)  # type: ignore[union-attr]
    assert only(late, censor_after_s=2 * 3_600.0).status == CENSORED


def test_horizon_without_a_price_since_the_entry_is_censored_and_ages_are_left_out() -> None:
    """A return over no prices is no return; the same price is not told twice."""
    model = {"horizons": ("5m", "3h"), "markout_ages": ("1m", "30m", "1h", "90m", "2h")}
    facts = [*asked(holding_ns=9 * HOUR_NS), *closes(100, 101, 102, 103, 104, first=2)]
    short, long = results(facts, **model)
    assert (short.status, short.markouts) == (CENSORED, ())
    assert long.exit_price == 103
    told = [(each.age_ns / HOUR_NS, each.return_fraction) for each in long.markouts]
    assert dict(told) == pytest.approx({1: 0.01, 2: 0.02})


@pytest.mark.parametrize("is_over_by_price", [False, True])
def test_horizon_of_a_dead_feed_is_censored_and_tells_the_ages_before(
    *, is_over_by_price: bool
) -> None:
    """Prices end on the third day: the return over thirty days is not the one over two, nor is
    that of ten days, whether a price of much later comes or none; what ended before is told."""
    ages = {"horizons": ("1d", "30d"), "markout_ages": ("1d", "2d", "10d", "20d")}
    clock = [a_bar(at(24 * day), 1.0, "XYZ") for day in range(1, 50)]
    late = [a_bar(at(24 * 40), 500.0)] if is_over_by_price else []
    facts = [*asked(holding_ns=HOUR_NS), *closes(*range(100, 148), first=2), *clock, *late]
    facts.sort(key=lambda fact: fact.time_ns)
    own, short, long = results(facts, **ages, censor_after_s=5 * 86_400.0)
    assert (own.status, short.status, short.exit_price) == (MATURED, MATURED, 146)
    assert (long.status, long.exit_reason) == (CENSORED, 0)
    assert isnan(long.return_fraction)
    assert isnan(long.exit_price)
    assert [each.trading_days for each in (*short.markouts, *long.markouts)] == [1, 2]


def test_late_and_corrected_bars_are_not_used() -> None:
    """A bar older than the last one of its symbol is counted, and so is a corrected one."""
    late = a_bar(at(1.5), 50.0)
    corrected = a_bar(at(3), 1.0)._replace(corrects_id=b"x" * 16)
    bars = closes(100, 101, 102, 103, first=2)
    book = ShadowBook(a_model(), 10)
    (found,) = book.take([*asked(), *bars[:2], late, corrected, *bars[2:]], 0)
    assert (found.entry_price, found.exit_price) == (100, 103)
    assert (book.late_bar_count, book.corrected_bar_count) == (1, 1)
    assert found.mae == 0


def test_late_signal_enters_at_the_next_price_to_come() -> None:
    """Prices that were known before it are no prices for it."""
    bars = closes(100, 101, 102, 103, 104, 105, 106, first=2)
    found = only([*bars[:3], *asked(1), *bars[3:]])
    assert (found.entry_price, found.action) == (103, 2)


def test_correction_matters_until_the_entry() -> None:
    """Another side before it; nothing after it."""
    corrected = a_signal(at(1), side=-1, corrects_id=b"s" * 16)
    bars = closes(100, 101, 102, 103, first=2)
    assert only([*asked(), corrected, *bars]).side == -1
    assert only([*asked(), *bars[:1], corrected, *bars[1:]]).side == 1
    decision = a_decision(at(1), action=1, spread_bps=9.0, corrects_id=b"d" * 16)
    found = only([*asked(), decision, *bars])
    assert (found.action, found.spread_cost) == pytest.approx((1, 4.5e-4 * 2.03))


def test_only_entries_are_followed_once_and_no_more_than_told() -> None:
    """Exits and reductions are no trades of their own; beyond the limit signals are counted, and
    there is room again when others are settled."""
    facts: list[Fact] = [a_signal(at(1), f"s{each}") for each in range(4)]
    facts += [a_signal(at(1), "s0"), a_signal(at(1), "exit", intent=3)]
    book = ShadowBook(a_model(), 3)
    assert book.take(facts, 0) == []
    assert (book.pending_count, book.unfollowed_count) == (3, 1)
    bars = closes(100, 101, 102, 103, first=2)
    found = book.take([*bars, a_signal(at(6), "s4")], 0)
    assert len(found) == 3
    assert (book.pending_count, book.unfollowed_count) == (1, 1)


def test_traded_says_whether_a_fill_was_known_when_it_was_settled() -> None:
    """A fill before the end counts, one at or after it was not known then."""
    bars = closes(100, 101, 102, 103, 104, first=2)
    traded = only([*asked(), *bars[:2], a_fill(at(3)), *bars[2:]])
    later = only([*asked(), *bars[:4], a_fill(at(5)), *bars[4:]])
    assert (traded.traded, later.traded) == (True, False)


def test_symbols_never_see_each_others_prices() -> None:
    """The same result with and without another symbol's bars between."""
    own = closes(100, 101, 102, 103, first=2)
    other = [each._replace(symbol="XYZ", close=1.0) for each in own if isinstance(each, BarFact)]
    both = sorted([*own, *other], key=lambda fact: fact.time_ns)
    assert repr(only([*asked(), *both])) == repr(only([*asked(), *own]))


@pytest.mark.parametrize("cut", [1, 3, 20])
def test_the_first_signal_of_a_symbol_tells_no_price_of_the_future(cut: int) -> None:
    """It enters at the first row that is kept: an age without a price by then says nothing, and
    each later one the price of its own time."""
    bars = [
        a_whole_bar(at(hour), (100 * 1.01 ** (hour - 1), 120, 90, 100 * 1.01**hour))
        for hour in range(2, 12)
    ]
    facts = [*asked(1), *bars]
    model = a_model(horizons=("6h",), markout_ages=("1m", "1h", "4h"))
    book = ShadowBook(model, 100)
    found = [
        result
        for start in range(0, len(facts), cut)
        for result in book.take(facts[start : start + cut], 0)
    ]
    told = {
        markout.age_ns // HOUR_NS: markout.return_fraction
        for result in found
        for markout in result.markouts
    }
    assert told == pytest.approx({1: 0.01, 4: 1.01**4 - 1})
