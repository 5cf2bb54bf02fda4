import numpy as np
import pytest
from arch.bootstrap import CircularBlockBootstrap

from trimtab_server.domain.statistics.block_sums import (
    BlockCalendar,
    bins,
    mean_estimate,
    total_test,
)
from trimtab_server.domain.statistics.estimates import FloatArray, IntArray

BLOCK, BLOCKS, BINS = 20, 25, 500
CALENDAR = BlockCalendar(0, 10, BINS, BLOCK)


def some_sums(seed: int) -> FloatArray:
    """Sums by bin that depend on their neighbours."""
    noise = np.random.default_rng(seed).normal(0, 1, BINS + 5)
    return np.convolve(noise, np.ones(6), mode="valid") + 0.3


def times() -> IntArray:
    """One value in each bin."""
    return np.arange(BINS, dtype=np.int64) * 10


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_standard_error_agrees_with_arch(seed: int) -> None:
    """The error of a sum is the spread of sums that arch's circular blocks give; arch divides by n
    where we divide by n - 1 blocks."""
    sums = some_sums(seed)
    theirs = CircularBlockBootstrap(BLOCK, sums, seed=np.random.default_rng(seed))
    found_there = theirs.cov(lambda x: np.array([x.sum()]), reps=4000)
    spread = float(np.sqrt(np.ravel(found_there)[0]))
    mine = total_test(sums, times(), CALENDAR, np.random.default_rng(seed)).error
    assert mine == pytest.approx(spread / np.sqrt(1 - 1 / BLOCKS), rel=0.04)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_studentised_interval_agrees_with_arch(seed: int) -> None:
    """The same interval from arch's resamples, each measured in the error of its own blocks."""
    sums = some_sums(seed)
    theirs = CircularBlockBootstrap(BLOCK, sums, seed=np.random.default_rng(seed + 10))
    pivots = []
    for (resample,), _ in theirs.bootstrap(4000):
        blocks = resample.reshape(BLOCKS, BLOCK).sum(axis=1)
        pivots.append((resample.sum() - sums.sum()) / (np.sqrt(BLOCKS) * blocks.std(ddof=1)))
    test = total_test(sums, times(), CALENDAR, np.random.default_rng(seed), count=4000)
    assert test.error is not None
    reach = float(np.quantile(np.abs(pivots), 0.95)) * test.error
    found = test.estimate
    assert found.low == pytest.approx(sums.sum() - reach, abs=0.05 * reach)
    assert found.high == pytest.approx(sums.sum() + reach, abs=0.05 * reach)
    assert test.p_value == pytest.approx(
        np.mean(np.abs(pivots) >= abs(sums.sum()) / test.error), abs=0.03
    )


def test_mean_of_uneven_bins_agrees_with_arch() -> None:
    """Where bins hold different numbers of trades, the mean is a ratio; arch resamples both."""
    rng = np.random.default_rng(5)
    at = np.sort(rng.choice(BINS, 900))
    values = rng.normal(0, 1, 900) + rng.normal(0, 1, BINS)[at]
    tops = np.bincount(at, weights=values, minlength=BINS)
    counts = np.bincount(at, minlength=BINS).astype(float)
    theirs = CircularBlockBootstrap(BLOCK, tops, counts, seed=np.random.default_rng(6))
    found_there = theirs.cov(lambda t, c: np.array([t.sum() / c.sum()]), reps=4000)
    spread = float(np.sqrt(np.ravel(found_there)[0]))
    entry = at.astype(np.int64) * 10
    assert np.array_equal(bins(CALENDAR, entry), at)
    found = mean_estimate(values, entry, CALENDAR, np.random.default_rng(7), count=4000)
    assert found.low is not None
    assert found.high is not None
    half = (found.high - found.low) / 2
    # A studentised quantile of 25 blocks is about Student's.
    assert half == pytest.approx(2.064 * spread, rel=0.1)
