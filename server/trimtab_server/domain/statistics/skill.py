"""What is left of a result after chance and choice: p-values, their adjustment, shrinkage."""

import numpy as np

from trimtab_server.domain.statistics.block_sums import BlockCalendar, bin_sums
from trimtab_server.domain.statistics.estimates import FloatArray, IntArray

DRAWS_MAX = 200_000
SHRUNK_COUNT_MIN = 3
"""Fewer lines than this tell nothing of one another."""
_DRAWS_AT_ONCE = 2_000
_BEYOND_ENOUGH = 20
"""With so many resamples beyond, a p-value is known well enough (to about a fifth)."""


def mean_p_value(
    values: FloatArray,
    entry_ns: IntArray,
    calendar: BlockCalendar,
    error: float,
    rng: np.random.Generator,
    draws_max: int,
) -> float:
    """One-sided p-value of a mean above zero: how often chance puts a mean without any so high.

    values, entry_ns: shape (m,). error: standard error of the mean (`block_sums.BlockTest`), > 0.
    Studentised circular blocks as in `block_sums`; draws go on until enough lie beyond, or until
    `draws_max`. Never below 1 / (draws + 1).
    """
    columns = np.stack(
        [bin_sums(each, entry_ns, calendar) for each in (values, np.ones(values.size))], axis=1
    )
    block, length = calendar.block, calendar.length
    wrapped = np.concatenate([columns, columns[: block - 1]])
    edges = np.concatenate([np.zeros((1, 2)), np.cumsum(wrapped, axis=0)])
    rolling = edges[block:] - edges[:-block]
    drawn = max(2, round(length / block))
    point = float(values.mean())
    seen = beyond = 0
    while seen < draws_max and beyond < _BEYOND_ENOUGH:
        blocks = rolling[rng.integers(0, length, size=(_DRAWS_AT_ONCE, drawn))]
        tops, bottoms = blocks[..., 0], blocks[..., 1]
        counted = bottoms.sum(axis=1)
        # A resample that holds no trade has no mean: it counts as beyond.
        held = np.where(counted > 0, counted, 1.0)
        means = tops.sum(axis=1) / held
        rest = (tops - means[:, None] * bottoms) / held[:, None]
        errors = np.sqrt(drawn / (drawn - 1) * np.square(rest).sum(axis=1))
        above = means - point >= point / error * errors
        beyond += int(np.count_nonzero(above | (counted == 0)))
        seen += _DRAWS_AT_ONCE
    return (beyond + 1) / (seen + 1)


def periods_for_skew(skew: FloatArray) -> FloatArray:
    """Periods that a mean above zero needs before its error is to be trusted, shape (k,).

    25 times the squared skew where that is negative (Cochran 1977, Sampling Techniques, page 42):
    below it, the large losses that are still to come are missing from mean and error alike.
    """
    return 25.0 * np.square(np.minimum(skew, 0.0))


def draws_wanted(test_count: int, rate: float) -> int:
    """Draws with which a single finding among so many tests can stand at this rate."""
    return int(min(DRAWS_MAX, max(2_000, 10 * test_count * _harmonic(test_count) / rate)))


def p_value_wanted(test_count: int, found_count: int, rate: float) -> float:
    """The p-value with which one finding more than so many would stand (`adjusted_p_values`)."""
    tests = max(1, test_count)
    return min(1.0, rate * min(found_count + 1, tests) / (tests * _harmonic(tests)))


def _harmonic(count: int) -> float:
    return float((1.0 / np.arange(1, count + 1)).sum())


def adjusted_p_values(p_values: FloatArray) -> FloatArray:
    """q-values: findings with q <= r are false at a rate of at most r, however they depend.

    Source: Benjamini and Yekutieli (2001). p_values: shape (m,), 0 to 1.
    """
    m = p_values.size
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * m * _harmonic(m) / np.arange(1, m + 1)
    result = np.empty(m)
    result[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return result


def shrunk_means(means: FloatArray, errors: FloatArray) -> FloatArray | None:
    """Means drawn towards what is common to all, each by its own uncertainty (empirical Bayes).

    means, errors: shape (k,), errors > 0. Source: James and Stein (1961) for errors that differ;
    the variance between the lines as in Paule and Mandel (1982), never negative. None for fewer
    than three lines: nothing is learned about one from another.
    """
    k = means.size
    if k < SHRUNK_COUNT_MIN:
        return None
    # In units of the largest number, squares neither overflow nor vanish.
    unit = float(max(np.abs(means).max(), errors.max()))
    m, v = means / unit, np.square(np.maximum(errors / unit, 1e-12))

    def excess(between: float) -> tuple[float, float]:
        weight = 1.0 / (v + between)
        centre = float((weight * m).sum() / weight.sum())
        return float((weight * np.square(m - centre)).sum()) - (k - 1), centre

    low, high = 0.0, 4.0 * k  # the spread of numbers within -1 to 1 asks for no more
    if excess(low)[0] <= 0:
        high = 0.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle)[0] > 0 else (low, middle)
    centre = excess(high)[1]
    result: FloatArray = (centre + high / (high + v) * (m - centre)) * unit
    return result
