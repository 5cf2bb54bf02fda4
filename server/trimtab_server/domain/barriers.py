"""The triple barrier on arrays: which of stop and target is touched first, and at what price one
leaves (after Lopez de Prado, Advances in Financial Machine Learning, 2018, chapter 3).

Rows are bars. A position looks at rows from its own first one on; many positions share the rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab_server.domain.ledger import FloatArray, IntArray

BoolArray = NDArray[np.bool_]
# Cells of rows times positions that are worked on at once.
CELLS_MAX = 1 << 20


class RunningExtremes:
    """Highest high and lowest low from each position's first row on.

    high, low: shape (m,), no NaN. first: shape (n,), rows from 0 to m (m = none yet). Where all
    begin at the same row, their extremes are one column. Tell at most CELLS_MAX cells where they
    do not.
    """

    def __init__(self, high: FloatArray, low: FloatArray, first: IntArray) -> None:
        self._count = high.size
        self._offset = int(first.min()) if first.size else self._count
        self._first = first
        self._shared = bool((first == self._offset).all())
        highs, lows = high[self._offset :], low[self._offset :]
        if self._shared:
            self._highest = np.maximum.accumulate(highs)[:, None]
            self._lowest = np.minimum.accumulate(lows)[:, None]
        else:
            rows = np.arange(self._offset, self._count)[:, None]
            is_held = rows >= first[None, :]
            self._highest = np.maximum.accumulate(np.where(is_held, highs[:, None], -np.inf))
            self._lowest = np.minimum.accumulate(np.where(is_held, lows[:, None], np.inf))

    def touched(self, upper: FloatArray, lower: FloatArray) -> tuple[IntArray, IntArray]:
        """The first row in which each price is reached from its position's first row on, m where it
        is not. upper, lower: shape (n,), NaN = there is none."""
        above = np.where(np.isnan(upper), np.inf, upper)
        below = np.where(np.isnan(lower), -np.inf, lower)
        if self._shared:
            at_upper = np.searchsorted(self._highest[:, 0], above, "left")
            at_lower = np.searchsorted(-self._lowest[:, 0], -below, "left")
        else:
            at_upper = np.count_nonzero(self._highest < above, axis=0)
            at_lower = np.count_nonzero(self._lowest > below, axis=0)
        return at_upper + self._offset, at_lower + self._offset

    def through(
        self, position: IntArray, row: IntArray, high: FloatArray, low: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Extremes of these positions up to and including a row each; where the row lies before
        the position's first, and at least, `high` and `low`. All of shape (k,)."""
        is_held = row >= self._first[position]
        if not is_held.any():
            return high, low
        at = np.where(is_held, row - self._offset, 0)
        column = 0 if self._shared else position
        highest = np.where(is_held, self._highest[at, column], -np.inf)
        lowest = np.where(is_held, self._lowest[at, column], np.inf)
        return np.maximum(highest, high), np.minimum(lowest, low)


@dataclass(frozen=True, slots=True)
class BarrierExits:
    """Per position, shape (n,): row of the exit (m = neither was touched), its price under middle
    and under optimistic assumptions (NaN without an exit), whether it is the stop, and whether the
    row holds both barriers and nothing tells which came first."""

    row: IntArray
    price: FloatArray
    optimistic: FloatArray
    is_stop: BoolArray
    is_ambiguous: BoolArray


def barrier_exits(
    extremes: RunningExtremes,
    open_price: FloatArray,
    high: FloatArray,
    low: FloatArray,
    side: IntArray,
    stop: FloatArray,
    target: FloatArray,
) -> BarrierExits:
    """Where each position leaves at its stop or target.

    open_price, high, low: shape (m,); an open that is not known is NaN. side: +1, -1; stop, target:
    shape (n,), NaN = none. A row that opens beyond a barrier is left at the open; one that reaches
    both is left at the stop (optimistic: at the target), unless its open lies beyond one of them.
    A row that lies beyond a barrier as a whole, with no open, is left at its nearest price.
    """
    count = high.size
    is_long = side > 0
    at_upper, at_lower = extremes.touched(
        np.where(is_long, target, stop), np.where(is_long, stop, target)
    )
    stop_row = np.where(is_long, at_lower, at_upper)
    target_row = np.where(is_long, at_upper, at_lower)
    row = np.minimum(stop_row, target_row)
    hit = np.flatnonzero(row < count)
    price = np.full(row.size, np.nan)
    optimistic, is_stop = price.copy(), np.zeros(row.size, dtype=np.bool_)
    is_ambiguous = is_stop.copy()
    if hit.size:
        at, way = row[hit], side[hit]
        opened, highest, lowest = open_price[at], high[at], low[at]
        gaps_stop = way * (opened - stop[hit]) <= 0
        gaps_target = way * (opened - target[hit]) >= 0
        both = stop_row[hit] == target_row[hit]
        by_stop = (stop_row[hit] == at) & ~(both & gaps_target & ~gaps_stop)
        at_stop = np.where(gaps_stop, opened, np.clip(stop[hit], lowest, highest))
        at_target = np.where(gaps_target, opened, np.clip(target[hit], lowest, highest))
        unclear = both & ~gaps_stop & ~gaps_target
        price[hit] = np.where(by_stop, at_stop, at_target)
        optimistic[hit] = np.where(by_stop & ~unclear, at_stop, at_target)
        is_stop[hit], is_ambiguous[hit] = by_stop, unclear
    return BarrierExits(row, price, optimistic, is_stop, is_ambiguous)
