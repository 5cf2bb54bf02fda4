"""What returns add up to: win rate, profit factor, Sharpe ratio, drawdown, and their intervals.

Returns are fractions (0.01 = 1 %). An undefined number is None, never NaN or infinity.
"""

from dataclasses import dataclass

import numpy as np

from trimtab_server.domain.statistics.estimates import (
    Estimate,
    FloatArray,
    IntArray,
    block_estimate,
    day_sums,
    stationary_bootstrap_indices,
    undefined,
)
from trimtab_server.domain.wording import plural

TRADING_DAYS_PER_YEAR = 252


def _finite(values: FloatArray, name: str) -> FloatArray:
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(f"{name}[{int(bad[0])}] is not finite")
    return array


def win_rate(returns: FloatArray) -> float | None:
    """Share of trades with a return above zero, 0 to 1; None without trades.

    returns: after costs, shape (n,). Raises ValueError for a value that is not finite.
    """
    r = _finite(returns, "returns")
    return float(np.mean(r > 0)) if r.size else None


def profit_factor(returns: FloatArray) -> float | None:
    """Sum of gains over sum of losses, >= 0; None without a losing trade (it would be infinite).

    returns: per trade, after costs, shape (n,). Raises ValueError for a value that is not finite.
    """
    r = _finite(returns, "returns")
    losses = float(-r[r < 0].sum())
    return float(r[r > 0].sum()) / losses if losses > 0 else None


def sharpe_ratio(
    period_returns: FloatArray, periods_per_year: float = TRADING_DAYS_PER_YEAR
) -> float | None:
    """Annualised mean over standard deviation (n - 1) of period returns, risk-free rate zero.

    period_returns: of the whole book, one per period whether or not it traded, shape (n,).
    None with fewer than two periods or without any variation. Source: Sharpe (1994).
    Raises ValueError for a value that is not finite.
    """
    r = _finite(period_returns, "period_returns")
    # Differences below the smallest normal number have a standard deviation of zero.
    spread = float(r.std(ddof=1)) if r.size > 1 and np.ptp(r) > 0.0 else 0.0
    return float(r.mean()) / spread * float(np.sqrt(periods_per_year)) if spread > 0 else None


def max_drawdown(period_returns: FloatArray) -> float | None:
    """Deepest fall from a peak, as a fraction of that peak, >= 0; None without periods.

    Returns are on fixed capital, so equity is one plus their sum (no compounding); the start
    counts as a peak. Raises ValueError for a value that is not finite.
    """
    r = _finite(period_returns, "period_returns")
    if not r.size:
        return None
    return float(_drawdowns(r[None, :])[0])


def _drawdowns(paths: FloatArray) -> FloatArray:
    equity = 1.0 + np.cumsum(paths, axis=1)
    peak = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
    result: FloatArray = np.max((peak - equity) / peak, axis=1)
    return result


def _sharpes(paths: FloatArray, periods_per_year: float) -> FloatArray:
    spread = paths.std(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: FloatArray = paths.mean(axis=1) / spread * np.sqrt(periods_per_year)
    ratio[(np.ptp(paths, axis=1) == 0.0) | (spread == 0.0)] = np.nan
    return ratio


@dataclass(frozen=True, slots=True)
class Book:
    """One way of trading over a calendar of n days.

    period_returns: mark-to-market return of the whole book on its fixed capital, shape (n,).
    trade_returns: after costs, shape (m,). trade_days: position (0..n-1) of each trade's entry
    in the calendar, shape (m,). Matured trades only. judged_days: the Sharpe ratio and the drawdown
    are those of the first so many days (the rest lacks most prices); None = all.
    """

    period_returns: FloatArray
    trade_returns: FloatArray
    trade_days: IntArray
    judged_days: int | None = None

    @property
    def judged_returns(self) -> FloatArray:
        """Period returns of the days that the Sharpe ratio and the drawdown are computed of."""
        return self.period_returns[: self.judged_days]

    def __post_init__(self) -> None:
        _finite(self.period_returns, "period_returns")
        _finite(self.trade_returns, "trade_returns")
        if self.trade_returns.shape != self.trade_days.shape:
            raise ValueError("trade_returns and trade_days must be of the same shape")
        days = self.period_returns.size
        if np.any((self.trade_days < 0) | (self.trade_days >= days)):
            raise ValueError("trade_days must be positions in period_returns")


@dataclass(frozen=True, slots=True)
class BookMetrics:
    """What a book made; see the functions of the same names."""

    trade_count: int
    win_rate: Estimate
    sharpe_ratio: Estimate
    profit_factor: Estimate
    max_drawdown: Estimate
    mean_return: Estimate
    total_return: float


@dataclass(frozen=True, slots=True)
class Improvement:
    """Second book minus first, resampled together so that days they share cancel out."""

    win_rate: Estimate
    sharpe_ratio: Estimate
    profit_factor: Estimate


def _by_day(book: Book, values: FloatArray) -> FloatArray:
    return day_sums(book.trade_days, values, book.period_returns.size)


def _ratio(top: FloatArray, bottom: FloatArray, positions: IntArray) -> FloatArray:
    below = bottom[positions].sum(axis=1)
    above = top[positions].sum(axis=1)
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)


def _win_rates(book: Book, positions: IntArray) -> FloatArray:
    won = _by_day(book, (book.trade_returns > 0).astype(np.float64))
    return _ratio(won, _by_day(book, np.ones(book.trade_returns.size)), positions)


def _profit_factors(book: Book, positions: IntArray) -> FloatArray:
    gains = _by_day(book, np.maximum(book.trade_returns, 0.0))
    return _ratio(gains, _by_day(book, np.maximum(-book.trade_returns, 0.0)), positions)


def _mean_returns(book: Book, positions: IntArray) -> FloatArray:
    total = _by_day(book, book.trade_returns)
    return _ratio(total, _by_day(book, np.ones(book.trade_returns.size)), positions)


def book_metrics(
    book: Book,
    mean_block: float,
    rng: np.random.Generator,
    *,
    count: int = 1000,
    level: float = 0.95,
) -> BookMetrics:
    """A book's metrics, each with a calendar-block bootstrap interval.

    Days are resampled in stationary blocks of `mean_block` days (at least the longest holding
    period); trades travel with the day on which they were entered. Too few blocks: no interval.
    """
    days, trades = book.period_returns.size, book.trade_returns.size
    period = book.judged_returns
    judged = period.size

    def estimate(kind: str, n: int, days: int = days) -> Estimate:
        if n == 0:
            return undefined(0, "no trades", level)
        statistic = {
            "win_rate": lambda i: _win_rates(book, i),
            "profit_factor": lambda i: _profit_factors(book, i),
            "mean_return": lambda i: _mean_returns(book, i),
            "sharpe": lambda i: _sharpes(period[i], TRADING_DAYS_PER_YEAR),
            "drawdown": lambda i: _drawdowns(period[i]),
        }[kind]
        return block_estimate(statistic, days, n, mean_block, rng, count=count, level=level)

    return BookMetrics(
        trade_count=trades,
        win_rate=estimate("win_rate", trades),
        sharpe_ratio=estimate("sharpe", judged if judged > 1 and trades else 0, judged),
        profit_factor=estimate("profit_factor", trades),
        max_drawdown=estimate("drawdown", judged if trades else 0, judged),
        mean_return=estimate("mean_return", trades),
        total_return=float(book.period_returns.sum()),
    )


def improvement(
    baseline: Book,
    filtered: Book,
    mean_block: float,
    rng: np.random.Generator,
    *,
    count: int = 1000,
    level: float = 0.95,
) -> Improvement:
    """Filtered minus baseline with intervals from the same resampled days for both (paired).

    Raises ValueError when the books do not share a calendar. A change is undefined where either
    side is.
    """
    days = baseline.period_returns.size
    judged = baseline.judged_returns.size
    if filtered.period_returns.size != days or filtered.judged_returns.size != judged:
        raise ValueError("both books must cover the same calendar")
    n = min(baseline.trade_returns.size, filtered.trade_returns.size)

    def sharpe_change(i: IntArray) -> FloatArray:
        return _sharpes(filtered.judged_returns[i], TRADING_DAYS_PER_YEAR) - _sharpes(
            baseline.judged_returns[i], TRADING_DAYS_PER_YEAR
        )

    def change(kind: str, days: int = days) -> Estimate:
        if n == 0 or days < 2:
            return undefined(n, "a book without trades", level)
        statistic = {
            "win_rate": lambda i: _win_rates(filtered, i) - _win_rates(baseline, i),
            "profit_factor": lambda i: _profit_factors(filtered, i) - _profit_factors(baseline, i),
            "sharpe": sharpe_change,
        }[kind]
        return block_estimate(statistic, days, n, mean_block, rng, count=count, level=level)

    return Improvement(change("win_rate"), change("sharpe", judged), change("profit_factor"))


def mean_difference(
    first: tuple[FloatArray, IntArray],
    second: tuple[FloatArray, IntArray],
    calendar_length: int,
    mean_block: float,
    rng: np.random.Generator,
    *,
    count: int = 1000,
    level: float = 0.95,
) -> Estimate:
    """Mean of the first values minus that of the second, both on the same resampled days (paired).

    first, second: values, shape (m,), and the position of each in a calendar of `calendar_length`
    days, shape (m,). Undefined without values on either side.
    """
    if not first[0].size or not second[0].size:
        return undefined(0, "no outcomes", level)
    sums = [
        (day_sums(days, v, calendar_length), day_sums(days, np.ones(v.size), calendar_length))
        for v, days in (first, second)
    ]
    return block_estimate(
        lambda i: _ratio(*sums[0], i) - _ratio(*sums[1], i),
        calendar_length,
        first[0].size,
        mean_block,
        rng,
        count=count,
        level=level,
    )


def mean_estimate(
    values: FloatArray,
    days: IntArray,
    calendar_length: int,
    mean_block: float,
    rng: np.random.Generator,
    *,
    count: int = 1000,
    level: float = 0.95,
) -> Estimate:
    """Mean of values that belong to days, with a studentised calendar-block bootstrap interval.

    values: shape (m,). days: position of each in a calendar of `calendar_length` days, (m,).
    Source: studentised (bootstrap-t) intervals, Davison and Hinkley (1997), section 5.2.1, over
    the stationary bootstrap of days. No values: undefined. Fewer than 10 blocks, or values on
    fewer than 10 different blocks of days: no interval, with a note.
    """
    v = _finite(values, "values")
    if v.size == 0:
        return undefined(0, "no outcomes", level)
    point = float(v.mean())
    method = f"studentised calendar-block bootstrap, {count} draws, mean block {mean_block:g} days"
    block = max(1, int(np.ceil(mean_block)))
    blocks_hit = np.unique(days // block).size
    if blocks_hit < 10:
        blocks = plural(blocks_hit, "block")
        note = f"outcomes in only {blocks} of {plural(block, 'day')}: too few for an interval"
        return Estimate(point, None, None, v.size, float(v.size), level, method, note)
    total = day_sums(days, v, calendar_length)
    counted = day_sums(days, np.ones(v.size), calendar_length)
    spread = _ratio_error(total[None, :], counted[None, :], block)[0]
    positions = stationary_bootstrap_indices(calendar_length, mean_block, count, rng)
    tops, bottoms = total[positions], counted[positions]
    with np.errstate(divide="ignore", invalid="ignore"):
        means = tops.sum(axis=1) / bottoms.sum(axis=1)
        pivots = (means - point) / _ratio_error(tops, bottoms, block)
    pivots = pivots[np.isfinite(pivots)]
    if pivots.size < 0.95 * count or not spread > 0:
        note = "undefined on too many resamples for an interval"
        return Estimate(point, None, None, v.size, float(v.size), level, method, note)
    low, high = np.quantile(pivots, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(
        point,
        point - float(high) * float(spread),
        point - float(low) * float(spread),
        v.size,
        float(v.size),
        level,
        method,
    )


def _ratio_error(tops: FloatArray, bottoms: FloatArray, block: int) -> FloatArray:
    """Standard error of sum(top) / sum(bottom) per row, from sums over blocks of days."""
    rows, days = tops.shape
    edges = np.arange(0, days, block)
    top, bottom = np.add.reduceat(tops, edges, axis=1), np.add.reduceat(bottoms, edges, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = top.sum(axis=1) / bottom.sum(axis=1)
        residual = top - mean[:, None] * bottom
        k = edges.size
        error: FloatArray = np.sqrt(k / (k - 1) * (residual**2).sum(axis=1)) / bottom.sum(axis=1)
    return error.reshape(rows)
