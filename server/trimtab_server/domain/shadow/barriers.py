"""The triple barrier on arrays: which of stop and target is touched first, and at what price one
leaves (after Lopez de Prado, Advances in Financial Machine Learning, 2018, chapter 3).

Rows are bars. A position looks at rows from its own first one on; many positions share the rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab_server.domain.ledger.columns import FloatArray, IntArray
from trimtab_server.domain.shadow.segments import first_at_least

BoolArray = NDArray[np.bool_]


class RunningExtremes:
    """Highest high and lowest low of stretches of rows, row by row.

    high, low: shape (m,), no NaN. first, stop: shape (n,), a position's rows, from first until
    before stop (none where they are equal). Positions with the same stretch share the work.
    """

    def __init__(self, high: FloatArray, low: FloatArray, first: IntArray, stop: IntArray) -> None:
        self._first, self.stop = first, stop
        stretches, of = np.unique(np.column_stack((first, stop)), axis=0, return_inverse=True)
        begins, ends = stretches[:, 0], np.maximum(stretches[:, 1], stretches[:, 0])
        offsets = np.concatenate(([0], np.cumsum(ends - begins)))
        self._highest, self._lowest = np.empty(offsets[-1]), np.empty(offsets[-1])
        told = zip(begins.tolist(), ends.tolist(), offsets.tolist(), strict=False)
        for begin, end, offset in told:
            here = slice(offset, offset + end - begin)
            np.maximum.accumulate(high[begin:end], out=self._highest[here])
            np.minimum.accumulate(low[begin:end], out=self._lowest[here])
        # Where a position's first row lies in the arrays above.
        self._offset = offsets[:-1][of.reshape(-1)]

    def touched(self, upper: FloatArray, lower: FloatArray) -> tuple[IntArray, IntArray]:
        """The first row of each position in which the price is reached, `stop` where it is not.
        upper, lower: shape (n,), NaN = there is none."""
        begin, end = self._offset, self._offset + self.stop - self._first
        back = self._first - begin
        at_upper = first_at_least(self._highest, upper, begin, end)
        at_lower = first_at_least(-self._lowest, -lower, begin, end)
        return at_upper + back, at_lower + back

    def through(
        self, position: IntArray, row: IntArray, high: FloatArray, low: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Extremes of these positions up to and including a row each; where the row lies before
        the position's first, and at least, `high` and `low`. All of shape (k,)."""
        first = self._first[position]
        held = np.flatnonzero(row >= first)
        if not held.size:
            return high, low
        at = (self._offset[position] + row - first)[held]
        highest, lowest = high.copy(), low.copy()
        highest[held] = np.maximum(highest[held], self._highest[at])
        lowest[held] = np.minimum(lowest[held], self._lowest[at])
        return highest, lowest


@dataclass(frozen=True, slots=True)
class BarrierExits:
    """Per position, shape (n,): row of the exit (`stop` = neither was touched), its price under
    middle and under optimistic assumptions (NaN without an exit), whether it is the stop, and
    whether the row holds both barriers and nothing tells which came first."""

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
    is_long = side > 0
    at_upper, at_lower = extremes.touched(
        np.where(is_long, target, stop), np.where(is_long, stop, target)
    )
    stop_row = np.where(is_long, at_lower, at_upper)
    target_row = np.where(is_long, at_upper, at_lower)
    row = np.minimum(stop_row, target_row)
    hit = np.flatnonzero(row < extremes.stop)
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
