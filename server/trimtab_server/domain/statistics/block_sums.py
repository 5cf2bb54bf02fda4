"""Sums over a calendar cut into blocks, and how sure one can be of them.

Trades that are open together share their fate, in time and across symbols, so single trades are no
independent draws and neither are days. What is: stretches of the calendar a few times as long as
the longest holding. Every function here puts values into the bin of their entry, adds bins up to
blocks and resamples blocks; values of one bin travel together, whatever their symbol.

The interval is studentised and symmetric: a resample is measured in its own standard error (Davison
and Hinkley 1997, section 5.2.1; for blocks Goetze and Kuensch 1996; symmetric: Hall 1988) over
circular blocks (Politis and Romano 1992). An equal-tailed one covered 90 % instead of 95 % where
values come in bursts, because there a sum and its error are off together; the symmetric one 95 %.

Block sums leave out a share k / block of what is common to bins k apart. For returns that overlap
evenly that is holding / (3 * block) of the variance. So blocks are made as long as leaves
`BLOCK_COUNT_WANTED` of them, and what is still left out is estimated and added: never less than
nothing, never more than even overlap would make (blocks of one holding covered 93 % without it).
"""

from dataclasses import dataclass

import numpy as np

from trimtab_server.domain.statistics.estimates import (
    BLOCK_COUNT_MIN,
    Estimate,
    FloatArray,
    IntArray,
    undefined,
)
from trimtab_server.domain.wording import duration_text, outcomes_text, plural

BIN_COUNT_MAX = 2000
BINS_PER_HOLDING = 5
BLOCK_COUNT_WANTED = 20
"""Blocks that the calendar is cut into when the longest holding leaves room for so many."""

_OUTCOMES_NEEDED_MAX = 1_000_000_000


@dataclass(frozen=True, slots=True)
class BlockCalendar:
    """Bins of equal width from the first entry to the last, and how many make a block.

    length: bins, 1 to `BIN_COUNT_MAX`. block: bins, at least as long as the longest holding, at
    most `length`. holding: bins that the longest holding reaches over; 0 = values do not overlap.
    """

    origin_ns: int
    width_ns: int
    length: int
    block: int
    holding: int = 0

    @property
    def block_text(self) -> str:
        """A block's length for people, for example "12.5 d": what it has to be, also where all
        entries lie closer together."""
        return duration_text(max(self.block, self.holding) * self.width_ns / 1e9)


def block_calendar(entry_ns: IntArray, exit_ns: IntArray) -> BlockCalendar | None:
    """The calendar of these trades; None without any.

    entry_ns, exit_ns: shape (n,), UTC. Bins are a fifth of the longest holding wide, wider where
    there would be more than `BIN_COUNT_MAX`. Raises ValueError for an exit before its entry and for
    shapes that differ.
    """
    if entry_ns.shape != exit_ns.shape:
        raise ValueError("entry_ns and exit_ns must be of the same shape")
    if not entry_ns.size:
        return None
    holding = int((exit_ns - entry_ns).max())
    if int((exit_ns - entry_ns).min()) < 0:
        raise ValueError("exit_ns must not lie before entry_ns")
    first, span = int(entry_ns.min()), int(entry_ns.max() - entry_ns.min())
    width = max(-(-holding // BINS_PER_HOLDING), span // BIN_COUNT_MAX + 1)
    length = span // width + 1
    overlap = -(-holding // width)
    shortest = min(length, max(1, overlap))
    at = np.flatnonzero(np.bincount((entry_ns - first) // width))
    # Nights and weekends leave blocks empty: then more and shorter ones, down to the holding.
    wanted = float(BLOCK_COUNT_WANTED)
    while True:
        block = max(shortest, int(length / wanted))
        if block == shortest or np.unique(at // block).size >= BLOCK_COUNT_WANTED:
            return BlockCalendar(first, width, length, block, overlap)
        wanted *= 1.2


def bins(calendar: BlockCalendar, times_ns: IntArray) -> IntArray:
    """The bin of each time, 0 to length - 1, shape (n,). Times outside belong to the nearest."""
    at = (np.asarray(times_ns, dtype=np.int64) - calendar.origin_ns) // calendar.width_ns
    return np.clip(at, 0, calendar.length - 1)


def bin_sums(values: FloatArray, entry_ns: IntArray, calendar: BlockCalendar) -> FloatArray:
    """Sum of the values by the bin of their entry, shape (length,).

    Raises ValueError for shapes that differ and for a value that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.shape != entry_ns.shape:
        raise ValueError("values and entry_ns must be of the same shape")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(f"values[{int(bad[0])}] is not finite")
    sums = np.zeros(calendar.length)
    sums += np.bincount(bins(calendar, entry_ns), weights=array, minlength=calendar.length)
    return sums


@dataclass(frozen=True, slots=True)
class Sums:
    """A number made of sums, top / bottom, minus another where there is one, on the same bins.

    columns: shape (length, c): [top], [top, bottom] or [top, bottom, top, bottom]; bottoms >= 0.
    """

    columns: FloatArray

    def values(self, sums: FloatArray) -> FloatArray:
        """The number for sums of shape (..., c), shape (...,); NaN where a bottom is zero."""
        if self.columns.shape[1] == 1:
            return sums[..., 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            first = np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan)
            if self.columns.shape[1] == 2:
                return first
            return first - np.where(sums[..., 3] > 0, sums[..., 2] / sums[..., 3], np.nan)

    def influences(self, sums: FloatArray, blocks: FloatArray) -> FloatArray:
        """What each block adds to the number, to first order; sums (..., c), blocks (..., k, c)."""
        if self.columns.shape[1] == 1:
            return blocks[..., 0]
        total = None
        with np.errstate(divide="ignore", invalid="ignore"):
            for at, sign in ((0, 1.0), (2, -1.0))[: self.columns.shape[1] // 2]:
                bottom = sums[..., at + 1, None]
                rest = blocks[..., at] - sums[..., at, None] / bottom * blocks[..., at + 1]
                part = sign * rest / bottom
                total = part if total is None else total + part
        assert total is not None
        return total


@dataclass(frozen=True, slots=True)
class BlockTest:
    """An estimate, its standard error, and how easily chance alone would put it as far from zero.

    error: None and p_value: 1.0 where there is too little data. p_value: two-sided, belongs to the
    same resamples as the interval, never below 1 / (draws + 1).
    """

    estimate: Estimate
    error: float | None
    p_value: float


def block_test(
    sums: Sums,
    n: int,
    filled_block_count: int,
    calendar: BlockCalendar,
    rng: np.random.Generator,
    *,
    naive_variance: float = 0.0,
    count: int = 1000,
    level: float = 0.95,
) -> BlockTest:
    """The number that the sums make, with its studentised calendar-block bootstrap interval.

    n: values behind it. filled_block_count: blocks that hold any of them; fewer than 10 give no
    interval but a note on what is missing. naive_variance: what the number's variance would be if
    values were independent, for effective_n; 0 = not known. Undefined where a bottom is zero.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    block, length = calendar.block, calendar.length
    point = float(sums.values(sums.columns.sum(axis=0)))
    method = f"studentised calendar-block bootstrap, {count} draws, blocks of {calendar.block_text}"
    if not np.isfinite(point):
        return BlockTest(undefined(n, "undefined: nothing to divide by", level), None, 1.0)

    def without_interval(note: str) -> BlockTest:
        bare = Estimate(point, None, None, n, float(n), level, method, note)
        return BlockTest(bare, None, 1.0)

    if filled_block_count < BLOCK_COUNT_MIN:
        # Entries that span less than one block tell of a share of it (their last bin is half full,
        # on average); one entry by itself tells no rate.
        share = min(1.0, (length - 0.5) / max(1, calendar.holding)) if n > 1 else 1.0
        missing = BLOCK_COUNT_MIN - share * filled_block_count
        more = int(np.ceil(n * missing / (share * max(1, filled_block_count))))
        return without_interval(
            f"outcomes in only {plural(filled_block_count, 'block')} of {calendar.block_text}: an"
            f" interval needs {BLOCK_COUNT_MIN}, at this rate {outcomes_text(more)}"
        )
    wrapped = np.concatenate([sums.columns, sums.columns[: block - 1]])
    edges = np.concatenate([np.zeros((1, wrapped.shape[1])), np.cumsum(wrapped, axis=0)])
    rolling = (
        edges[block:] - edges[:-block]
    )  # sum of the block that begins at each bin, (length, c)
    drawn = max(2, round(length / block))
    scale = length / (drawn * block)
    total = sums.columns.sum(axis=0)
    error = _block_error(
        sums.influences(total, sums.columns), sums.influences(total, rolling), calendar
    )
    if error <= 1e-9 * abs(point):  # rounding, where every block is the same
        return without_interval("no variation from block to block: nothing to judge by")
    blocks = rolling[rng.integers(0, length, size=(count, drawn))]
    resampled = scale * blocks.sum(axis=1)
    spread = sums.influences(resampled, scale * blocks)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.sqrt(drawn / (drawn - 1) * np.square(spread - spread.mean(-1)[:, None]).sum(-1))
        pivots = (sums.values(resampled) - point) / errors
    pivots = pivots[np.isfinite(pivots)]
    if pivots.size < 0.95 * count:
        return without_interval("undefined on too many resamples for an interval")
    reach = float(np.quantile(np.abs(pivots), level)) * error
    effective = float(n) if naive_variance <= 0 else n * min(1.0, naive_variance / error**2)
    found = Estimate(point, point - reach, point + reach, n, effective, level, method)
    beyond = np.count_nonzero(np.abs(pivots) >= abs(point) / error)
    return BlockTest(found, error, (beyond + 1) / (pivots.size + 1))


def _block_error(by_bin: FloatArray, rolling: FloatArray, calendar: BlockCalendar) -> float:
    """Standard error of a sum over the calendar, from its bins and its circular blocks.

    All circular blocks overlap, so their mean square is free of where blocks happen to begin.
    """
    block, length = calendar.block, calendar.length
    variance = length / block / (1 - block / length) * float(rolling.var())
    if not variance > 0.0:
        return 0.0
    rest = by_bin - by_bin.mean()
    lags = np.arange(1, min(calendar.holding, length - 1) + 1)
    shared = np.array([rest[k:] @ rest[:-k] for k in lags])
    # Around an estimated mean each lag comes out low, by the variance over the length.
    left_out = 2 * float((lags / block * (shared / variance + 1 / length)).sum())
    most = calendar.holding / (3 * block - calendar.holding)
    return float(np.sqrt(variance * (1 + min(max(left_out, 0.0), most))))


def _filled(calendar: BlockCalendar, *entries_ns: IntArray) -> int:
    """Blocks that hold values, the fewest of any of the sets."""
    return min(
        int(np.count_nonzero(np.bincount(bins(calendar, each) // calendar.block)))
        for each in entries_ns
    )


def total_test(
    values: FloatArray,
    entry_ns: IntArray,
    calendar: BlockCalendar | None,
    rng: np.random.Generator,
    *,
    count: int = 1000,
    level: float = 0.95,
) -> BlockTest:
    """Sum of the values, with its interval and p-value against a sum of zero.

    values, entry_ns: shape (m,). Without values: the sum is 0, without an interval. effective_n
    compares with independent values. Raises ValueError as `bin_sums` does.
    """
    if calendar is None or not values.size:
        none = Estimate(0.0, None, None, 0, 0.0, level, "", "no outcomes")
        return BlockTest(none, None, 1.0)
    columns = bin_sums(values, entry_ns, calendar)[:, None]
    naive = float(np.square(values).sum())
    return block_test(
        Sums(columns),
        values.size,
        _filled(calendar, entry_ns),
        calendar,
        rng,
        naive_variance=naive,
        count=count,
        level=level,
    )


def total_estimate(
    values: FloatArray,
    entry_ns: IntArray,
    calendar: BlockCalendar | None,
    rng: np.random.Generator,
    *,
    count: int = 1000,
    level: float = 0.95,
) -> Estimate:
    """Sum of the values with its interval; see `total_test`."""
    return total_test(values, entry_ns, calendar, rng, count=count, level=level).estimate


def ratio_estimate(
    tops: FloatArray,
    bottoms: FloatArray,
    entry_ns: IntArray,
    calendar: BlockCalendar | None,
    rng: np.random.Generator,
    *,
    count: int = 1000,
    level: float = 0.95,
) -> Estimate:
    """Sum of tops over sum of bottoms (>= 0) with its interval; undefined where that sum is zero.

    tops, bottoms, entry_ns: shape (m,). Gains over losses give a profit factor, wins over ones a
    win rate. Raises ValueError as `bin_sums` does.
    """
    if calendar is None or not tops.size:
        return undefined(0, "no outcomes", level)
    pair = [bin_sums(each, entry_ns, calendar) for each in (tops, bottoms)]
    naive = 0.0
    if bottoms.sum() > 0:
        rest = tops - tops.sum() / bottoms.sum() * bottoms
        naive = float(np.square(rest).sum()) / float(bottoms.sum()) ** 2
    return block_test(
        Sums(np.stack(pair, axis=1)),
        tops.size,
        _filled(calendar, entry_ns),
        calendar,
        rng,
        naive_variance=naive,
        count=count,
        level=level,
    ).estimate


def mean_estimate(
    values: FloatArray,
    entry_ns: IntArray,
    calendar: BlockCalendar | None,
    rng: np.random.Generator,
    *,
    count: int = 1000,
    level: float = 0.95,
) -> Estimate:
    """Mean of the values, shape (m,), with its interval; undefined without any."""
    ones = np.ones(values.size)
    return ratio_estimate(values, ones, entry_ns, calendar, rng, count=count, level=level)


def mean_difference(
    first: tuple[FloatArray, IntArray],
    second: tuple[FloatArray, IntArray],
    calendar: BlockCalendar | None,
    rng: np.random.Generator,
    *,
    count: int = 1000,
    level: float = 0.95,
) -> Estimate:
    """Mean of the first values minus that of the second, on the same resampled blocks (paired).

    first, second: values and their entry_ns, each of shape (m,). Undefined without values on
    either side; n is that of the smaller side. Raises ValueError as `bin_sums` does.
    """
    if calendar is None or not first[0].size or not second[0].size:
        return undefined(0, "no outcomes", level)
    columns: list[FloatArray] = []
    for values, entries in (first, second):
        columns += [bin_sums(values, entries, calendar)]
        columns += [bin_sums(np.ones(values.size), entries, calendar)]
    return block_test(
        Sums(np.stack(columns, axis=1)),
        min(first[0].size, second[0].size),
        _filled(calendar, first[1], second[1]),
        calendar,
        rng,
        count=count,
        level=level,
    ).estimate


def outcomes_needed(estimate: Estimate, *, width_factor: float = 1.0) -> int | None:
    """How many more outcomes would move the interval off zero if the mean stays as it is.

    Of a mean or a sum: relative to the value, the half-width shrinks with the square root of n.
    width_factor: how many times as wide an interval must lie off zero. None when that is so
    already, when there is no interval, or when no number below a thousand million would do.
    """
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    half, size = width_factor * (estimate.high - estimate.low) / 2, abs(estimate.value)
    settled = estimate.decided_sign != 0 and width_factor == 1.0
    if settled or size * np.sqrt(_OUTCOMES_NEEDED_MAX) <= half * np.sqrt(max(1, estimate.n)):
        return None
    return max(1, int(np.ceil(estimate.n * (half / size) ** 2)) - estimate.n)
