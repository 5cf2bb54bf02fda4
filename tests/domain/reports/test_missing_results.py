import numpy as np

from tests.domain.ledgers import HOUR_NS, a_ledger
from trimtab_server.domain.ledger.columns import Ledger, LedgerCounts, ResultStatus
from trimtab_server.domain.reports.guards import guard_lines
from trimtab_server.domain.reports.missing_results import (
    given_up,
    missing_results,
    nothing_found,
    without_simulation,
)
from trimtab_server.domain.reports.opportunity import blocked_opportunity_cost
from trimtab_server.domain.reports.questions import ReportWorld

CENSORED, PENDING = ResultStatus.CENSORED, ResultStatus.PENDING


def rng() -> np.random.Generator:
    """The same chance for every test."""
    return np.random.default_rng(1)


def priceless(blocked_count: int = 3) -> Ledger:
    """Signals of A and B without any price: the first are blocked, of which one is still followed,
    the last one really made something."""
    n = blocked_count + 1
    return a_ledger(
        n,
        symbol=["A", "B"] * (n // 2) + ["A"] * (n % 2),
        guards=("news",),
        blocked_by=[("news",)] * blocked_count + [()],
        shadow_return=np.full(n, np.nan),
        shadow_status=[CENSORED] * (n - 2) + [PENDING, CENSORED],
        shadow_entry_time_ns=np.zeros(n),
        real_return=[np.nan] * blocked_count + [0.01],
        holding_s=np.full(n, 1_800.0),
    )


def test_signals_without_any_result_are_counted_with_the_reason() -> None:
    """How many have neither a real nor a simulated result, why, and whose prices are missing."""
    (note,) = missing_results(priceless())
    assert note == (
        "3 of 4 signals have neither a real nor a simulated result, so no number here tells what"
        " they made or would have made: 2 had no price after the decision, 1 should have ended and"
        " wait for prices (no prices of A, B were recorded behind them)"
    )


def test_nothing_is_noted_where_every_signal_has_a_result() -> None:
    """A real one, or a simulated one."""
    real = [0.1, np.nan]
    status = [PENDING, ResultStatus.MATURED]
    ledger = a_ledger(2, real_return=real, shadow_return=[np.nan, 0.2], shadow_status=status)
    assert missing_results(ledger) == ()


def test_signals_that_are_still_young_are_not_said_to_lack_prices() -> None:
    """A position within its planned time, or one of a symbol that has prices, is only open."""
    ledger = a_ledger(
        3,
        symbol=["A", "A", "B"],
        shadow_return=[0.1, np.nan, np.nan],
        shadow_status=[ResultStatus.MATURED, PENDING, PENDING],
        shadow_entry_time_ns=[HOUR_NS, 0, 0],
        holding_s=[60.0, 60.0, 1e6],
    )
    said = without_simulation(ledger, np.array([False, True, True]))
    assert said == "2 are still followed, or wait for prices"


def test_signals_that_were_given_up_are_told_beside_pending_ones() -> None:
    """How many of the engines', whatever this window holds; nothing where none is pending, or none
    was given up."""
    (note,) = given_up(LedgerCounts(signal_count=100, shadow_pending_count=5, unfollowed_count=900))
    assert note.startswith("900 signals of these engines, at any time, were given up")
    assert given_up(LedgerCounts(signal_count=100, unfollowed_count=900)) == ()
    assert given_up(LedgerCounts(signal_count=100, shadow_pending_count=5)) == ()


def test_many_symbols_without_prices_are_counted() -> None:
    """Three by name, the others by number."""
    ledger = a_ledger(
        5,
        symbol=list("ABCDE"),
        shadow_return=np.full(5, np.nan),
        shadow_status=[CENSORED] * 5,
        shadow_entry_time_ns=np.zeros(5),
    )
    said = without_simulation(ledger, np.ones(5, dtype=np.bool_))
    assert said.endswith("(no prices of A, B, C and 2 more were recorded behind them)")


def test_what_was_blocked_without_prices_costs_nothing_that_is_known() -> None:
    """No number and no zero: every estimate is unknown and tells why."""
    cost = blocked_opportunity_cost(priceless(), rng())
    assert (cost.blocked_count, cost.matured_count) == (3, 0)
    for each in (cost.net_opportunity_cost, cost.missed_profit, cost.avoided_loss, cost.win_rate):
        assert each.value is None
        assert each.note.startswith("none has a simulated result: 2 had no price after")
    assert cost.outcomes_needed is None


def test_nothing_blocked_costs_exactly_nothing() -> None:
    """Where no signal was blocked zero is the answer, with or without prices."""
    ledger = a_ledger(2, shadow_return=np.full(2, np.nan), shadow_status=[PENDING, PENDING])
    assert blocked_opportunity_cost(ledger, rng()).net_opportunity_cost.value == 0.0


def test_a_guard_whose_blocked_signals_had_no_prices_has_no_value() -> None:
    """Neither its value nor its Shapley value is a zero; the note says how many and why."""
    (line,) = guard_lines(priceless(), rng(), count=199)
    assert line.blocked_count == line.added_count == 3
    assert line.shapley_value is not None
    for each in (line.value, line.value_per_signal, line.value_money, line.shapley_value):
        assert each.value is None
    assert "none of 3 trades that would change has a simulated result: 2 had no price" in line.note
    assert line.note.count("simulated result") == 1


def test_an_empty_scope_tells_which_worlds_have_signals() -> None:
    """Environments and runs with their times; of many the first, and how many more."""
    day = 86_400 * 10**9
    worlds = [ReportWorld(2, "", day, 2 * day), ReportWorld(3, "r1", day, day)]
    none, told = nothing_found(worlds)
    assert none == "there is no signal to enter in this scope and window"
    assert told == (
        "there are signals of paper, from 1970-01-02 00:00 until 1970-01-03 00:00;"
        " backtest run r1, from 1970-01-02 00:00 until 1970-01-02 00:00"
    )
    assert nothing_found([])[1] == "the ledger holds no signal yet"
    assert nothing_found(worlds * 4)[1].endswith("; 3 more")
