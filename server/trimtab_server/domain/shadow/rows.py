"""The prices of one symbol as rows: bars and ticks alike, as far back as somebody needs them.

Prices stand in the units that the symbol had when it was first followed: splits and rolls since
are in `factor` (price here = price as told x factor). So rows compare across corporate actions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trimtab_server.domain.ledger.columns import IntArray
from trimtab_server.domain.ledger.facts import BarFact, TickFact
from trimtab_server.domain.shadow.barriers import BoolArray

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


# A price as it came: what a BarFact tells from its interval on (interval_ns 0 = a tick), time_ns,
# the lane's clock, and the symbol's factor and dividends then.
FreshRow: TypeAlias = tuple[
    int, float, float, float, float, float, float, bool, int, int, float, float
]


def bar_row(bar: BarFact, clock_ns: int, factor: float, paid: float) -> FreshRow:
    """The bar."""
    # Most events are bars: the fields are taken as they stand.
    return (*bar[5:], bar[1], clock_ns, factor, paid)


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
    prices = (price, price, price, price, tick.volume, spread, False)
    return (0, *prices, tick.time_ns, clock_ns, factor, paid)


def new_factor(factor: float, ratio: float) -> float:
    """The factor after a split of `ratio` new units for an old one. A ratio that is no number
    above zero, or takes it beyond any sense, changes nothing."""
    found = factor * ratio
    return found if 1 / _FACTOR_MAX < found < _FACTOR_MAX else factor


@dataclass(frozen=True, slots=True)
class Block:
    """The rows of several symbols behind each other.

    rows: shape (m,). reach: shape (m,), the furthest of each symbol up to a row. start, stop,
    fresh: shape (s,), where each symbol's rows begin, end, and those that came now begin. shift:
    shape (s,), to be added to a position for the row's number among the symbol's.
    """

    rows: Rows
    reach: IntArray
    start: IntArray
    stop: IntArray
    fresh: IntArray
    shift: IntArray


def block_of(parts: Sequence[tuple[Rows, int, Sequence[FreshRow]]]) -> Block:
    """The rows of these symbols, the fresh ones in their places. Of each symbol: the rows kept (at
    least the last one that it had), the number of the first of them, and what came since.

    Sums go on row by row from the last one kept, so they do not depend on what came together. A
    bar that began before the row before it ended tells only its close: of its range nobody knows
    whether it lies in what is past.
    """
    kept_count = np.array([kept.size for kept, _, _ in parts], dtype=np.int64)
    fresh_count = np.array([len(fresh) for _, _, fresh in parts], dtype=np.int64)
    stop = np.cumsum(kept_count + fresh_count)
    start = stop - kept_count - fresh_count
    rows: Rows = np.empty(int(stop[-1]), dtype=ROW)
    told = [each for _, _, fresh in parts for each in fresh]
    fresh_at = np.repeat(stop - np.cumsum(fresh_count), fresh_count) + np.arange(len(told))
    for (kept, _, _), begin in zip(parts, start.tolist(), strict=True):
        rows[begin : begin + kept.size] = kept
    if told:
        is_first = np.isin(fresh_at, start[(kept_count == 0) & (fresh_count > 0)])
        _fill(rows, fresh_at, is_first, told)
    reach: Any = rows["reach"].copy()
    for begin, middle, end in zip(
        start.tolist(), (start + kept_count).tolist(), stop.tolist(), strict=True
    ):
        for name in ("coarse", "logs", "squares") if middle < end else ():
            column: Any = rows[name]
            # From the last row kept, whose sum it is already.
            since = max(begin, middle - 1)
            column[since:end] = np.add.accumulate(column[since:end])
        reach[begin:end] = np.maximum.accumulate(reach[begin:end])
    base = np.array([base for _, base, _ in parts], dtype=np.int64)
    return Block(rows, reach, start, stop, start + kept_count, base - start)


def _fill(rows: Any, at: IntArray, is_first: BoolArray, told: Sequence[FreshRow]) -> None:
    """Writes fresh rows at these positions; sums hold what each adds. Rows that were kept stand
    before them already; is_first: there never was a row before."""
    columns = (np.array(column) for column in zip(*told, strict=True))
    interval, opened, high, low, close, volume, spread, is_adjusted, *others = columns
    time, seen, factor, paid = others
    # Prices that are adjusted already stay as they are, and nothing more is paid.
    factor, paid = np.where(is_adjusted, 1.0, factor), np.where(is_adjusted, 0.0, paid)
    rows["time"][at], rows["seen"][at], rows["interval"][at] = time, seen, interval
    start, price = time - interval, close * factor
    rows["start"][at], rows["reach"][at], rows["close"][at] = start, time + interval, price
    before = np.where(is_first, at, at - 1)
    overlaps = ~is_first & (start < rows["time"][before])
    is_finer = rows["interval"][before] < interval
    is_coarse = np.where(overlaps, ~is_finer, np.isnan(high) | np.isnan(low)) & (interval > 0)
    opened = np.where(overlaps, np.nan, opened * factor)
    top, bottom = np.fmax(high * factor, price), np.fmin(low * factor, price)
    rows["high"][at] = np.where(overlaps, price, np.fmax(top, opened))
    rows["low"][at] = np.where(overlaps, price, np.fmin(bottom, opened))
    rows["open"][at], rows["factor"][at] = opened, factor
    rows["volume"][at], rows["spread"][at] = volume, spread
    rows["is_adjusted"][at], rows["paid"][at] = is_adjusted, paid
    moved = np.log(price / rows["close"][before])
    rows["coarse"][at], rows["logs"][at], rows["squares"][at] = is_coarse, moved, moved * moved
