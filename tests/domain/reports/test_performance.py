import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.domain.ledgers import DAY_NS, HOUR_NS, START_NS, a_ledger
from tests.domain.odd_ledgers import bad_numbers, odd_ledgers
from trimtab_server.domain.ledger.cohorts import settled_ledger
from trimtab_server.domain.ledger.columns import BLOCKED, Ledger, ResultStatus
from trimtab_server.domain.ledger.trades import Trades
from trimtab_server.domain.reports.performance import (
    DAYS_PER_YEAR,
    performance,
    performance_comparison,
    summed_drawdown,
    track_record,
)
from trimtab_server.domain.statistics.estimates import FloatArray

NAN = float("nan")


def rng() -> np.random.Generator:
    """The same chance for every test."""
    return np.random.default_rng(1)


def daily_trades(returns: FloatArray, held_days: int = 1) -> Trades:
    """A simulated trade each day, from noon."""
    entry = START_NS + DAY_NS // 2 + np.arange(returns.size, dtype=np.int64) * DAY_NS
    return Trades(
        returns=returns,
        pnl=returns * 1000.0,
        entry_ns=entry,
        exit_ns=entry + held_days * DAY_NS,
        is_simulated=np.ones(returns.size, dtype=bool),
        optimistic=returns + 0.001,
        pessimistic=returns - 0.001,
    )


def test_performance_by_hand() -> None:
    """+2 %, -1 %, +3 %, 0 %, -2 %: 2 of 5 won, 5 over 3, and the fall behind the third."""
    returns = np.array([0.02, -0.01, 0.03, 0.0, -0.02])
    found = performance("five", daily_trades(returns), rng())
    assert (found.name, found.trade_count, found.simulated_count) == ("five", 5, 5)
    assert found.win_rate.value == pytest.approx(0.4)
    assert found.mean_return.value == pytest.approx(0.004)
    assert found.total_return.value == pytest.approx(0.02)
    assert found.profit_factor.value == pytest.approx(5 / 3)
    # The day of the first entry has no exit: it is a day of zero.
    daily = np.array([0.0, *returns])
    assert found.sharpe_ratio.value == pytest.approx(
        daily.mean() / daily.std(ddof=1) * np.sqrt(DAYS_PER_YEAR)
    )
    assert "365 days a year" in found.sharpe_ratio.method
    assert found.max_drawdown == pytest.approx(0.02)
    assert found.total_pnl == pytest.approx(20.0)
    assert found.total_return_optimistic == pytest.approx(0.025)
    assert found.total_return_pessimistic == pytest.approx(0.015)


def test_real_trades_have_no_doubtful_fills() -> None:
    """Without anything simulated the bounds are absent, not equal to the total."""
    trades = replace(daily_trades(np.array([0.1])), is_simulated=np.zeros(1, dtype=bool))
    found = performance("real", trades, rng())
    assert found.simulated_count == 0
    assert found.total_return_optimistic is None
    assert found.total_return_pessimistic is None


def test_money_is_told_only_where_it_is_known_of_all() -> None:
    """One trade without a size: no sum in money."""
    trades = replace(daily_trades(np.array([0.1, 0.2])), pnl=np.array([100.0, NAN]))
    assert performance("two", trades, rng()).total_pnl is None


@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(-1, 1)), st.randoms())
def test_drawdown_is_that_of_a_plain_loop_over_exits(returns: FloatArray, shuffle: object) -> None:
    """Whatever order the trades come in, the fall is that of the path by exit time."""
    trades = daily_trades(returns)
    peak = total = deepest = 0.0
    for each in returns.tolist():
        total += each
        peak = max(peak, total)
        deepest = max(deepest, peak - total)
    order = np.arange(returns.size)
    shuffle.shuffle(order)  # type: ignore[attr-defined]
    assert summed_drawdown(trades.at(order)) == pytest.approx(deepest, abs=1e-12)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_too_little_data_gives_no_interval_and_says_what_it_needs(n: int) -> None:
    """A handful of trades has numbers, no intervals, and notes with what is missing."""
    found = performance("few", daily_trades(0.01 * np.arange(n, dtype=np.float64) - 0.01), rng())
    for estimate in (found.win_rate, found.mean_return, found.total_return, found.sharpe_ratio):
        assert estimate.low is None
        assert estimate.note
    if n > 1:
        assert "more outcomes" in found.mean_return.note
    if n == 0:
        assert found.total_return.value == 0.0
        assert found.mean_return.value is None
        assert found.max_drawdown is None


def test_sharpe_interval_covers_the_truth_under_overlap() -> None:
    """Returns over five days, one started each day: the 95 % interval holds the truth in 300 worlds
    at least 90 % of the time, and days are worth less than they count."""
    covered, truth, worth = 0, 0.1, []
    for seed in range(300):
        chance = np.random.default_rng(seed)
        steps = chance.normal(0.0, 1.0, 504)
        returns = 0.01 * (np.convolve(steps, np.ones(5), "valid") / np.sqrt(5) + truth)
        found = track_record(daily_trades(returns, 5), chance, count=300).annual
        assert found.low is not None
        assert found.high is not None
        # The first five days have entries only.
        whole = truth * np.sqrt(DAYS_PER_YEAR) * np.sqrt(500 / 505)
        covered += found.low <= whole <= found.high
        worth.append(found.effective_n)
    assert covered / 300 >= 0.90
    assert np.median(worth) < 250


def test_comparison_sets_like_against_like() -> None:
    """The selection effect compares simulated with simulated; the simulation's error pairs them."""
    n = 400
    chance = np.random.default_rng(5)
    good = np.arange(n) % 2 == 0
    shadow = chance.normal(0, 0.01, n) + np.where(good, 0.01, -0.01)
    ledger = a_ledger(
        n,
        shadow_return=shadow,
        real_return=np.where(good, shadow - 0.002, NAN),
        action=np.where(good, 1, BLOCKED),
        signal_time_ns=START_NS + np.arange(n) * DAY_NS,
    )
    found = performance_comparison(ledger, rng())
    assert found.real.trade_count == found.real_simulated.trade_count == n // 2
    assert (found.real.simulated_count, found.unfiltered.trade_count) == (0, n)
    assert found.simulation_error.value == pytest.approx(-0.002)
    effect = found.selection_effect
    assert effect.value == pytest.approx(shadow[good].mean() - shadow.mean())
    assert effect.low is not None
    assert effect.low > 0.008


def test_selection_effect_of_guards_that_block_at_random_is_covered() -> None:
    """Worthless guards: the paired interval holds zero in at least 88 % of 80 worlds."""
    covered = 0
    for seed in range(80):
        chance = np.random.default_rng(seed)
        ledger = a_ledger(
            400,
            shadow_return=chance.standard_t(4, 400) * 0.01,
            action=chance.integers(1, 3, 400),
        )
        effect = performance_comparison(ledger, chance).selection_effect
        assert effect.low is not None
        assert effect.high is not None
        covered += effect.low <= 0.0 <= effect.high
    assert covered / 80 >= 0.88


def test_simulated_sides_hold_no_results_of_young_signals() -> None:
    """Nine signals of ten are fair; of the young tenth only losers have ended. Neither what all
    would have made nor the selection effect sees those; the plain win rate does."""
    n = 400
    at = START_NS + np.arange(n) * DAY_NS
    returns = np.where(np.arange(n) % 2, 0.02, -0.02)
    young = np.arange(n) >= 360
    returns = np.where(young & (returns > 0), NAN, returns)
    ledger = a_ledger(
        n,
        signal_time_ns=at,
        holding_s=40 * 86_400.0,
        shadow_return=returns,
        action=np.where(young, 1, 1 + np.arange(n) // 2 % 2),
    )
    found = performance_comparison(settled_ledger(ledger), rng())
    assert found.unfiltered.trade_count == 360
    assert found.unfiltered.mean_return.value == pytest.approx(0.0, abs=1e-12)
    assert found.selection_effect.value == pytest.approx(0.0, abs=1e-12)
    assert found.closed_win_rate.value == pytest.approx(180 / 380)


def test_a_signal_that_is_pending_is_in_no_performance() -> None:
    """Without a result there is no trade, neither a win nor a loss."""
    ledger = a_ledger(3, shadow_return=NAN, real_status=ResultStatus.PENDING)
    found = performance_comparison(ledger, rng())
    assert found.real.trade_count == found.unfiltered.trade_count == 0
    assert found.selection_effect.value is None


def test_the_same_ledger_gives_the_same_numbers() -> None:
    """Two runs with the same chance agree to the bit."""
    ledger = a_ledger(300, shadow_return=np.random.default_rng(2).normal(0, 0.01, 300))
    assert performance_comparison(ledger, rng()) == performance_comparison(ledger, rng())


@settings(max_examples=60, deadline=None)
@given(odd_ledgers())
def test_no_number_is_ever_undefined(ledger: Ledger) -> None:
    """Whatever the ledger holds, no NaN and no infinity leaves the comparison."""
    assert list(bad_numbers(performance_comparison(ledger, rng()))) == []


def calls_of(n: int) -> int:
    """Calls, of Python's and C's functions, that the performance of n trades takes."""
    chance = np.random.default_rng(6)
    entry = START_NS + np.arange(n, dtype=np.int64) * (400 * DAY_NS // n)
    trades = replace(
        daily_trades(chance.normal(0, 0.01, n)), entry_ns=entry, exit_ns=entry + HOUR_NS
    )
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    former = sys.getprofile()
    sys.setprofile(count)
    try:
        performance("many", trades, rng())
    finally:
        sys.setprofile(former)
    return calls


def test_a_million_trades_take_no_loop() -> None:
    """Every column is worked on as a whole: a hundred times the trades take hardly more calls."""
    calls_of(1_000)
    assert calls_of(100_000) < 1.5 * calls_of(1_000)
