"""The prices of one symbol as rows: bars and ticks alike, as far back as somebody needs them.

Prices stand in the units that the symbol had when it was first followed: splits and rolls since
are in `factor` (price here = price as told x factor). So rows compare across corporate actions.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trimtab_server.domain.facts import BarFact, TickFact

Rows: TypeAlias = NDArray[np.void]

ROW = np.dtype(
    [
        # Of the price; when the lane's clock had come so far (later, when it came late).
        ("time", np.int64),
        ("seen", np.int64),
        ("start", np.int64),
        # Until when no other price is expected: a bar's end and another interval.
        ("reach", np.int64),
        ("interval", np.int64),
        ("open", np.float64),
        ("high", np.float64),
        ("low", np.float64),
        ("close", np.float64),
        ("factor", np.float64),
        ("volume", np.float64),
        ("spread", np.float64),
        ("is_adjusted", np.bool_),
        # Dividends so far, of a unit as it was first; those that are adjusted for are not paid.
        ("paid", np.float64),
        # Running sums: rows whose high or low is not known, log returns and their squares.
        ("coarse", np.int64),
        ("logs", np.float64),
        ("squares", np.float64),
    ]
)
_FACTOR_MAX = 1e100
EMPTY: Rows = np.zeros(0, dtype=ROW)


class FreshRow(NamedTuple):
    """A price as it came. seen_ns: the lane's clock. interval_ns 0 = a tick; spread in basis
    points, NaN = not known."""

    time_ns: int
    seen_ns: int
    interval_ns: int
    open: float
    high: float
    low: float
    close: float
    factor: float
    volume: float
    spread: float
    is_adjusted: bool
    paid: float


def bar_row(bar: BarFact, clock_ns: int, factor: float, paid: float) -> FreshRow:
    """The bar; prices that are adjusted already stay as they are."""
    return FreshRow(
        bar.time_ns,
        clock_ns,
        bar.interval_ns,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        1.0 if bar.is_adjusted else factor,
        bar.volume,
        bar.spread_bps,
        bar.is_adjusted,
        0.0 if bar.is_adjusted else paid,
    )


def tick_row(tick: TickFact, clock_ns: int, factor: float, paid: float) -> FreshRow | None:
    """The tick at its mid price, else its last price, else the side that is known; None when it
    tells no price."""
    bid, ask, price = tick.bid, tick.ask, tick.last
    spread = np.nan
    if bid > 0 and ask > 0:
        price = bid / 2 + ask / 2
        spread = max(0.0, (ask - bid) / price * 1e4)
    elif not price > 0:
        price = bid if bid > 0 else ask
    if not price > 0:
        return None
    return FreshRow(
        *(tick.time_ns, clock_ns, 0, price, price, price, price, factor),
        *(tick.volume, spread, False, paid),
    )


def new_factor(factor: float, ratio: float) -> float:
    """The factor after a split of `ratio` new units for an old one. A ratio that is no number
    above zero, or takes it beyond any sense, changes nothing."""
    found = factor * ratio
    return found if 1 / _FACTOR_MAX < found < _FACTOR_MAX else factor


def appended(kept: Rows, fresh: Iterable[FreshRow]) -> Rows:
    """`kept` (at least the last row that there was) with the fresh ones behind.

    Sums go on row by row from the last one kept, so they do not depend on what came together. A
    bar that began before the row before it ended tells only its close: of its range nobody knows
    whether it lies in what is past.
    """
    told = tuple(np.array(column) for column in zip(*fresh, strict=True))
    time, seen, interval, opened, high, low, close, factor, volume, spread, is_adjusted, paid = told
    count = kept.size
    rows: Rows = np.empty(count + time.size, dtype=ROW)
    rows[:count] = kept
    new: Any = rows[count:]
    last: Any = kept[-1] if count else None
    first_time, first_interval = (last["time"], last["interval"]) if count else (-1, 0)
    start = time - interval
    overlaps = start < np.concatenate(([first_time], time[:-1]))
    is_finer = np.concatenate(([first_interval], interval[:-1])) < interval
    is_coarse = np.where(overlaps, ~is_finer, np.isnan(high) | np.isnan(low)) & (interval > 0)
    new["time"], new["seen"], new["start"], new["interval"] = time, seen, start, interval
    new["reach"] = time + interval
    price = close * factor
    opened = np.where(overlaps, np.nan, opened * factor)
    top, bottom = np.fmax(high * factor, price), np.fmin(low * factor, price)
    new["high"] = np.where(overlaps, price, np.fmax(top, opened))
    new["low"] = np.where(overlaps, price, np.fmin(bottom, opened))
    new["open"], new["close"], new["factor"] = opened, price, factor
    new["volume"], new["spread"] = volume, spread
    new["is_adjusted"], new["paid"] = is_adjusted, paid
    moved = _log_returns(price, float(last["close"]) if count else float(price[0]))
    new["coarse"] = _running(is_coarse.astype(np.int64), last["coarse"] if count else 0)
    new["logs"] = _running(moved, last["logs"] if count else 0.0)
    new["squares"] = _running(moved * moved, last["squares"] if count else 0.0)
    return rows


def _log_returns(price: NDArray[np.float64], before: float) -> NDArray[np.float64]:
    steps: NDArray[np.float64] = np.log(price / np.concatenate(([before], price[:-1])))
    return steps


def _running(values: NDArray[Any], before: Any) -> NDArray[Any]:
    """Sums one after the other, going on from `before`."""
    return np.add.accumulate(np.concatenate(([before], values)))[1:]
