"""What the two books come to, in plain values for the report.

Definitions. Win: return after costs above zero. Sharpe: daily mark-to-market returns of the whole
book on its fixed capital over every trading day (also days without a position) until the last one
on which two thirds of the symbols have prices, mean over standard deviation, times sqrt(252),
risk-free rate zero. Profit factor: sum of winning returns over sum of losing returns, per trade.
Drawdown: of one plus the sum of daily returns, from its peak, on the same days. Intervals: 95 %,
stationary block bootstrap (Politis and Romano 1994) of trading days, trades with their entry day,
mean block = max(longest holding period, automatic length of Politis and White 2004, of the baseline
book). Changes resample both books on the same days.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from trimtab_server.demo.prices import Market
from trimtab_server.demo.replay import Replay, net_return
from trimtab_server.demo.strategies import HOLDING_DAYS, HOLDING_DAYS_MAX
from trimtab_server.domain.statistics.estimates import (
    Estimate,
    FloatArray,
    IntArray,
    automatic_block_length,
)
from trimtab_server.domain.statistics.returns import (
    BookMetrics,
    Improvement,
    book_metrics,
    improvement,
    mean_difference,
    mean_estimate,
    win_rate,
)

SEED = 20190102
DRAWS = 1000
UNITS = {
    "win_rate": "fraction, 0 to 1",
    "win_rate_change_pct": "percentage points, filtered minus baseline (3.8 = 54.0 % to 57.8 %)",
    "sharpe_ratio": "per year",
    "sharpe_ratio_change": "filtered minus baseline",
    "profit_factor": "winning returns / losing returns",
    "profit_factor_change": "filtered minus baseline",
    "max_drawdown": "fraction of capital",
    "mean_return": "fraction of a position's stake, per trade",
    "total_return": "fraction of capital, over the whole replay",
    "series": "fraction of capital, cumulated",
}
"""Of the numbers in the report, by name."""
DEFINITIONS = " ".join((__doc__ or "").split("\n\n", 1)[1].split())


@dataclass(frozen=True, slots=True)
class Summary:
    """Both books, their difference, and the split at the threshold."""

    baseline: BookMetrics
    filtered: BookMetrics
    change: Improvement
    mean_block: float
    plain: dict[str, Any]


def summary(baseline: Replay, filtered: Replay, threshold: float) -> Summary:
    """The summary of two replays of the same market (both already run)."""
    market = baseline.market
    books = {"baseline": baseline.book(), "filtered": filtered.book()}
    # An entry fills a day after its signal: one more than the holding period covers both.
    automatic = automatic_block_length(books["baseline"].judged_returns)
    block = float(np.ceil(max(HOLDING_DAYS_MAX + 1, automatic)))
    rng = np.random.default_rng(SEED)
    metrics = {name: book_metrics(book, block, rng, count=DRAWS) for name, book in books.items()}
    change = improvement(books["baseline"], books["filtered"], block, rng, count=DRAWS)
    plain: dict[str, Any] = {name: metrics_json(found) for name, found in metrics.items()}
    plain["improvement"] = improvement_json(change)
    plain["split_of_baseline_trades"] = _split(baseline, threshold, block, rng)
    plain["reference_any_day"] = any_day_reference(baseline, block, rng)
    plain["series"] = _series(market, baseline, filtered)
    plain["censored_count"] = {
        name: len(replay.trades) - len(replay.matured)
        for name, replay in (("baseline", baseline), ("filtered", filtered))
    }
    plain["acceptance"] = {
        "threshold": threshold,
        "claimed_confidence": sum(m.claimed >= threshold for m in filtered.signals),
        "confidence_used": sum(m.proposal.confidence >= threshold for m in filtered.signals),
        "signals": len(filtered.signals),
    }
    plain["bootstrap_mean_block_days"] = block
    plain["definitions"] = DEFINITIONS
    return Summary(metrics["baseline"], metrics["filtered"], change, block, plain)


def _intervals(estimates: dict[str, Estimate]) -> dict[str, Any]:
    return {
        name: None if found.low is None else [found.low, found.high]
        for name, found in estimates.items()
    }


def metrics_json(metrics: BookMetrics) -> dict[str, Any]:
    """A book's metrics as plain values: numbers, intervals, and why one is missing."""
    found = {
        "win_rate": metrics.win_rate,
        "sharpe_ratio": metrics.sharpe_ratio,
        "profit_factor": metrics.profit_factor,
        "max_drawdown": metrics.max_drawdown,
        "mean_return": metrics.mean_return,
    }
    return {
        "trade_count": metrics.trade_count,
        **{name: estimate.value for name, estimate in found.items()},
        "total_return": metrics.total_return,
        "intervals": _intervals(found),
        "notes": {name: estimate.note for name, estimate in found.items() if estimate.note},
    }


def improvement_json(change: Improvement) -> dict[str, Any]:
    """Filtered minus baseline: win rate in percentage points, the others in their own units."""
    rate = change.win_rate
    points = None if rate.value is None else 100 * rate.value
    bounds = None if rate.low is None or rate.high is None else [100 * rate.low, 100 * rate.high]
    return {
        "win_rate_change_pct": points,
        "sharpe_ratio_change": change.sharpe_ratio.value,
        "profit_factor_change": change.profit_factor.value,
        "intervals": {
            "win_rate_change_pct": bounds,
            **_intervals(
                {
                    "sharpe_ratio_change": change.sharpe_ratio,
                    "profit_factor_change": change.profit_factor,
                }
            ),
        },
        "decided": {
            "win_rate": change.win_rate.decided_sign != 0,
            "sharpe_ratio": change.sharpe_ratio.decided_sign != 0,
            "profit_factor": change.profit_factor.decided_sign != 0,
        },
    }


def _split(
    baseline: Replay, threshold: float, block: float, rng: np.random.Generator
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    days = baseline.period_returns.size - baseline.market.first
    passed = [t for t in baseline.matured if t.proposal.confidence >= threshold]
    rejected = [t for t in baseline.matured if t.proposal.confidence < threshold]
    for name, trades in (("passed", passed), ("rejected", rejected)):
        book = baseline.book(trades)
        mean = mean_estimate(book.trade_returns, book.trade_days, days, block, rng, count=DRAWS)
        result[name] = {
            "trade_count": len(trades),
            "win_rate": win_rate(book.trade_returns),
            "mean_return": mean.value,
            "mean_return_interval": None if mean.low is None else [mean.low, mean.high],
        }
    return result


def any_day_reference(baseline: Replay, block: float, rng: np.random.Generator) -> dict[str, Any]:
    """What entering on any day would have made: the drift that no strategy may claim.

    Every symbol on every day, held as long as each strategy holds, with the same costs. Returns, by
    strategy, win rate and mean return of those, of the strategy's own baseline trades, and the
    difference of the means (own minus any day, both on the same resampled days).
    """
    result: dict[str, Any] = {}
    span = baseline.market.days.size - baseline.market.first
    for strategy, held in HOLDING_DAYS.items():
        values, entries = _any_day_returns(baseline.market, held)
        own = [t for t in baseline.matured if t.proposal.strategy == strategy]
        book = baseline.book(own)
        mine = (book.trade_returns, book.trade_days)
        change = mean_difference(mine, (values, entries), span, block, rng, count=DRAWS)
        result[strategy] = {
            "win_rate": win_rate(values),
            "mean_return": float(values.mean()) if values.size else None,
            "own_trade_count": len(own),
            "own_win_rate": win_rate(book.trade_returns),
            "own_mean_return": float(book.trade_returns.mean()) if own else None,
            "difference": change.value,
            "difference_interval": None if change.low is None else [change.low, change.high],
        }
    return result


def _any_day_returns(market: Market, held: int) -> tuple[FloatArray, IntArray]:
    """Net returns of entering each symbol on each day, and the position of each entry."""
    returns: list[float] = []
    entries: list[int] = []
    for k in range(len(market.symbols)):
        column = market.close[market.first :, k]
        there = np.flatnonzero(np.isfinite(column))
        closes = column[there]
        returns += [
            net_return(float(a), float(b))
            for a, b in zip(closes[:-held], closes[held:], strict=True)
        ]
        entries += there[: max(0, there.size - held)].tolist()
    return np.array(returns, dtype=np.float64), np.array(entries, dtype=np.int64)


def _series(market: Market, baseline: Replay, filtered: Replay) -> dict[str, Any]:
    """Cumulated daily returns of both books, every fifth day and the last."""
    days = market.days[market.first :]
    chosen = sorted({*range(0, days.size, 5), days.size - 1})
    curves = {
        name: np.cumsum(replay.period_returns[market.first :])
        for name, replay in (("baseline", baseline), ("filtered", filtered))
    }
    return {
        "day": [date.fromordinal(int(days[k])).isoformat() for k in chosen],
        **{name: [round(float(curve[k]), 6) for k in chosen] for name, curve in curves.items()},
    }
