"""What a set of trades made, and what really happened beside what would have without any guard.

Returns are in stakes (fractions of one position's notional); totals are plain sums of them. Real
and simulated results never mix silently: a set says how many of its trades are simulated.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from trimtab_server.domain.ledger.columns import APPROVED, Ledger
from trimtab_server.domain.ledger.trades import (
    Trades,
    has_real_trade,
    has_shadow_trade,
    later,
    real_trades,
    shadow_trades,
)
from trimtab_server.domain.reports.win_rates import WinRates, win_rates
from trimtab_server.domain.statistics.block_sums import (
    BlockCalendar,
    BlockTest,
    Sums,
    bins,
    block_calendar,
    block_test,
    mean_difference,
    mean_estimate,
)
from trimtab_server.domain.statistics.estimates import Estimate, FloatArray, undefined, within
from trimtab_server.domain.statistics.sharpe import Moments, SharpeSums, moments, sharpe_error

DAYS_PER_YEAR = 365
"""Every day of the calendar counts, those without an exit with a return of zero: that makes the
same annual ratio as 252 trading days of an exchange, and is right for markets that never close."""

_DAY_NS = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class Performance:
    """What some set of trades made; see the message of the same name in the contract."""

    name: str
    trade_count: int
    simulated_count: int
    win_rate: Estimate
    mean_return: Estimate
    total_return: Estimate
    sharpe_ratio: Estimate
    profit_factor: Estimate
    max_drawdown: float | None
    total_pnl: float | None
    total_return_optimistic: float | None
    total_return_pessimistic: float | None


class Judgement(NamedTuple):
    """What trades made, with what it takes to judge them: see `judgement`.

    mean_error: standard error of the mean return; None = too little data.
    """

    performance: Performance
    trades: Trades
    mean_error: float | None
    record: "TrackRecord"


def performance(
    name: str,
    trades: Trades,
    rng: np.random.Generator,
    *,
    calendar: BlockCalendar | None = None,
    count: int = 1000,
    level: float = 0.95,
) -> Performance:
    """What the trades made, every number with its calendar-block interval.

    calendar: of a larger set that these trades belong to; None = their own. count: resamples.
    Without trades every number is undefined (and the sum zero); with few, intervals are absent and
    the notes say how many more outcomes they need.
    """
    return judgement(name, trades, rng, calendar=calendar, count=count, level=level).performance


def judgement(
    name: str,
    trades: Trades,
    rng: np.random.Generator,
    *,
    calendar: BlockCalendar | None = None,
    count: int = 1000,
    level: float = 0.95,
) -> Judgement:
    """`performance`, with the trades, their track record and how sure their mean is."""
    record = track_record(trades, rng, count=count, level=level)
    if not len(trades):
        nothing = undefined(0, "no trades", level)
        total = replace(nothing, value=0.0)
        made = Performance(name, 0, 0, nothing, nothing, total, nothing, nothing, *[None] * 4)
        return Judgement(made, trades, None, record)
    calendar = calendar or block_calendar(trades.entry_ns, trades.exit_ns)
    assert calendar is not None
    at, r, n = bins(calendar, trades.entry_ns), trades.returns, len(trades)
    counted, won, gains, losses = (
        np.bincount(at, values, minlength=calendar.length).astype(np.float64)
        for values in (None, r > 0, np.maximum(r, 0.0), np.maximum(-r, 0.0))
    )
    filled = np.add.reduceat(counted, np.arange(0, calendar.length, calendar.block))
    blocks = int(np.count_nonzero(filled))

    def test(*columns: FloatArray, variance: float = 0.0) -> BlockTest:
        sums = Sums(np.stack(columns, axis=1))
        return block_test(
            sums, n, blocks, calendar, rng, naive_variance=variance, count=count, level=level
        )

    rate = float(won.sum()) / n
    mean = test(gains - losses, counted, variance=float(r.var()) / n)
    factor = (
        test(gains, losses).estimate
        if losses.sum() > 0
        else undefined(n, "no losing trade: it would be infinite", level)
    )
    made = Performance(
        name=name,
        trade_count=n,
        simulated_count=int(np.count_nonzero(trades.is_simulated)),
        win_rate=within(test(won, counted, variance=rate * (1 - rate) / n).estimate, 0.0, 1.0),
        mean_return=mean.estimate,
        total_return=test(gains - losses, variance=float(np.square(r).sum())).estimate,
        sharpe_ratio=record.annual,
        profit_factor=within(factor, 0.0, None),
        max_drawdown=summed_drawdown(trades),
        total_pnl=known_sum(trades.pnl),
        total_return_optimistic=_bound(trades, trades.optimistic),
        total_return_pessimistic=_bound(trades, trades.pessimistic),
    )
    return Judgement(made, trades, mean.error, record)


def known_sum(money: FloatArray) -> float | None:
    """Sum of money, shape (m,); None where any of it is not known, or there is none."""
    total = float(money.sum()) if money.size else float("nan")
    return total if np.isfinite(total) else None


def _bound(trades: Trades, returns: FloatArray) -> float | None:
    return float(returns.sum()) if trades.is_simulated.any() else None


def summed_drawdown(trades: Trades) -> float | None:
    """Deepest fall of the returns, summed in the order of exits, from their peak (or from zero)."""
    if not len(trades):
        return None
    ordered = trades.returns
    if np.any(trades.exit_ns[1:] < trades.exit_ns[:-1]):
        ordered = ordered[np.argsort(trades.exit_ns, kind="stable")]
    path = np.cumsum(ordered)
    fall = np.maximum.accumulate(path)
    np.maximum(fall, 0.0, out=fall)
    np.subtract(fall, path, out=fall)
    return float(fall.max())


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """Daily sums by exit day: their moments and the annual Sharpe ratio made of them.

    annual.n counts days, annual.effective_n what they are worth after allowing for overlap.
    """

    moments: Moments
    annual: Estimate


def track_record(
    trades: Trades, rng: np.random.Generator, *, count: int = 1000, level: float = 0.95
) -> TrackRecord:
    """The trades' days from the first entry to the last exit, UTC, idle ones included."""
    if not len(trades):
        return TrackRecord(moments(np.empty(0)), undefined(0, "no trades", level))
    last_day = trades.exit_ns // _DAY_NS
    first = int(trades.entry_ns.min()) // _DAY_NS
    length = int(last_day.max()) - first + 1
    daily = np.bincount(last_day - first, trades.returns, minlength=length).astype(np.float64)
    found = moments(daily)
    if length < 2 or not found.spread[0] > 0:
        reason = "less than two days" if length < 2 else "every day is the same"
        return TrackRecord(found, undefined(length, reason, level))
    # A block holds at least a day and at least the longest holding.
    longest = max(_DAY_NS, int((trades.exit_ns - trades.entry_ns).max()))
    days_ns = np.arange(length, dtype=np.int64) * _DAY_NS
    calendar = block_calendar(days_ns, later(days_ns, longest))
    assert calendar is not None
    at, centre = bins(calendar, days_ns), float(found.mean[0])
    columns = [
        np.bincount(at, values, minlength=calendar.length)
        for values in (np.ones(length), daily - centre, np.square(daily - centre))
    ]
    error = sharpe_error(found.sharpe, found.n, found.skew, found.kurtosis)
    test = block_test(
        SharpeSums(np.stack(columns, axis=1), centre),
        length,
        int(np.unique(at // calendar.block).size),
        calendar,
        rng,
        naive_variance=float(np.nan_to_num(error[0]) ** 2),
        count=count,
        level=level,
    ).estimate
    return TrackRecord(found, _annualised(test))


def _annualised(daily: Estimate) -> Estimate:
    factor = float(np.sqrt(DAYS_PER_YEAR))
    value, low, high = (
        None if each is None else each * factor for each in (daily.value, daily.low, daily.high)
    )
    method = f"daily sums by exit day, {DAYS_PER_YEAR} days a year; {daily.method}"
    return replace(daily, value=value, low=low, high=high, method=method)


@dataclass(frozen=True, slots=True)
class PerformanceComparison:
    """Real beside simulated; see the message of the same name in the contract.

    holding_gap_s: how much longer winners were held than losers; see `WinRates`.
    """

    real: Performance
    real_simulated: Performance
    unfiltered: Performance
    selection_effect: Estimate
    simulation_error: Estimate
    closed_win_rate: Estimate
    matured_win_rate: Estimate
    competing_risks_win_rate: Estimate
    holding_gap_s: Estimate
    win_holding_s: float | None
    loss_holding_s: float | None


def performance_comparison(
    ledger: Ledger, rng: np.random.Generator, level: float = 0.95
) -> PerformanceComparison:
    """What really happened, the same simulated, everything simulated, and honest win rates.

    Simulated results are compared with simulated ones only: the selection effect is the mean of the
    approved minus the mean of all. Real minus simulated is the simulation's error, on signals that
    have both. ledger: a settled one (`cohorts.settled_ledger`), or fast exits weigh too much; win
    rates look at all results of it, those that are not counted as well.
    """
    approved = ledger.action == APPROVED
    everything = np.ones(len(ledger), dtype=bool)
    real, both = (
        has_real_trade(ledger),
        has_real_trade(ledger) & has_shadow_trade(ledger) & approved,
    )
    kept, unfiltered = shadow_trades(ledger, approved), shadow_trades(ledger, everything)
    calendar = block_calendar(unfiltered.entry_ns, unfiltered.exit_ns)
    matched = shadow_trades(ledger, both)
    gap = ledger.real_return[both] - matched.returns
    rates: WinRates = win_rates(ledger, rng, level)
    return PerformanceComparison(
        real=performance("real", real_trades(ledger, approved), rng, level=level),
        real_simulated=performance(
            "the same signals, simulated",
            shadow_trades(ledger, approved & real),
            rng,
            level=level,
        ),
        unfiltered=performance("all signals, simulated", unfiltered, rng, level=level),
        selection_effect=mean_difference(
            (kept.returns, kept.entry_ns),
            (unfiltered.returns, unfiltered.entry_ns),
            calendar,
            rng,
            level=level,
        ),
        simulation_error=mean_estimate(
            gap,
            matched.entry_ns,
            block_calendar(matched.entry_ns, matched.exit_ns),
            rng,
            level=level,
        ),
        closed_win_rate=rates.closed,
        matured_win_rate=rates.matured,
        competing_risks_win_rate=rates.competing_risks,
        holding_gap_s=rates.holding_gap_s,
        win_holding_s=rates.win_holding_s,
        loss_holding_s=rates.loss_holding_s,
    )
