"""Estimates with intervals: resampling in blocks, binomial intervals, and "too little to tell".

Every number that a report prints is an `Estimate`. When there is too little data the interval is
absent (None) and `note` says why: absence is a result, not an error.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BLOCK_COUNT_MIN = 10
"""Fewer blocks than this say nothing about dependence between blocks: no interval is given."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, how sure it is, and from how much.

    value: the point estimate; None = undefined (for example no trades, or no losing trade).
    low, high: bounds of the two-sided interval at `level`; None = too little data to give one.
    n: observations counted. effective_n: the same after allowing for overlap, <= n.
    method: how the interval was made. note: in words, why something is missing. Empty = nothing.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    effective_n: float
    level: float = 0.95
    method: str = ""
    note: str = ""

    @property
    def decided_sign(self) -> int:
        """+1 or -1 when the interval lies wholly above or below zero, else 0."""
        if self.low is None or self.high is None:
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def as_json(self) -> dict[str, object]:
        """Plain values for a JSON report (no NaN, no infinity)."""
        return {
            "value": self.value,
            "interval": None if self.low is None else [self.low, self.high],
            "level": self.level,
            "n": self.n,
            "effective_n": round(self.effective_n, 1),
            "method": self.method,
            "note": self.note,
        }


def undefined(n: int, note: str, level: float = 0.95) -> Estimate:
    """An estimate without a value, with the reason."""
    return Estimate(None, None, None, n, float(n), level, "", note)


def within(estimate: Estimate, low: float, high: float | None) -> Estimate:
    """The same with bounds that the number cannot leave."""
    if estimate.low is None or estimate.high is None:
        return estimate
    top = estimate.high if high is None else min(max(estimate.high, low), high)
    return replace(estimate, low=max(estimate.low, low), high=top)


def joined_notes(*notes: str) -> str:
    """Notes as one, those that say nothing left out."""
    return "; ".join(note for note in notes if note)


def _z(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    return float(ndtri(0.5 + level / 2))


def _check_counts(wins: float, n: float) -> None:
    if not 0 <= wins <= n:
        raise ValueError(f"wins must lie between 0 and n, got {wins} of {n}")


def wilson_interval(wins: float, n: float, level: float = 0.95) -> tuple[float, float] | None:
    """Bounds of a win probability by inverting the score test (Wilson 1927); None when n is 0.

    `wins` and `n` may be fractional, so that an overlap-adjusted effective n can be used.
    Raises ValueError unless 0 <= wins <= n.
    """
    _check_counts(wins, n)
    z = _z(level)
    if n == 0:
        return None
    p = wins / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return max(0.0, centre - half), min(1.0, centre + half)


def clopper_pearson_interval(
    wins: float, n: float, level: float = 0.95
) -> tuple[float, float] | None:
    """Bounds of a win probability that never cover less than `level` (Clopper, Pearson 1934).

    None when n is 0. Wider than Wilson's. Raises ValueError unless 0 <= wins <= n.
    """
    _check_counts(wins, n)
    _z(level)
    if n == 0:
        return None
    tail = (1 - level) / 2
    low = 0.0 if wins == 0 else float(betaincinv(wins, n - wins + 1, tail))
    high = 1.0 if wins == n else float(betaincinv(wins + 1, n - wins, 1 - tail))
    return low, high


def jeffreys_interval(wins: float, n: float, level: float = 0.95) -> tuple[float, float] | None:
    """Equal-tailed posterior bounds under Jeffreys' prior (Brown, Cai, DasGupta 2001).

    None when n is 0; 0 and 1 are kept as bounds at no wins and no losses.
    Raises ValueError unless 0 <= wins <= n.
    """
    _check_counts(wins, n)
    _z(level)
    if n == 0:
        return None
    tail = (1 - level) / 2
    low = 0.0 if wins == 0 else float(betaincinv(wins + 0.5, n - wins + 0.5, tail))
    high = 1.0 if wins == n else float(betaincinv(wins + 0.5, n - wins + 0.5, 1 - tail))
    return low, high


def stationary_bootstrap_indices(
    n: int, mean_block: float, count: int, rng: np.random.Generator
) -> IntArray:
    """`count` resamplings of 0..n-1, shape (count, n), in blocks of geometric length that wrap.

    Source: Politis and Romano (1994), "The stationary bootstrap". `mean_block` >= 1, in
    observations. Raises ValueError for n < 1, count < 1 or mean_block < 1.
    """
    if n < 1 or count < 1 or mean_block < 1:
        raise ValueError(f"need n, count, mean_block >= 1, got {n}, {count}, {mean_block}")
    fresh = rng.integers(0, n, size=(n, count))
    restart = rng.random((n, count)) < 1.0 / mean_block
    indices = np.empty((n, count), dtype=np.int64)
    indices[0] = fresh[0]
    for t in range(1, n):
        indices[t] = np.where(restart[t], fresh[t], (indices[t - 1] + 1) % n)
    return np.ascontiguousarray(indices.T)


def automatic_block_length(series: FloatArray) -> float:
    """Mean block length (>= 1) that suits the stationary bootstrap of the series' mean.

    Source: Politis and White (2004), corrected by Patton, Politis and White (2009). A constant
    series, or one shorter than 10, gives 1. Raises ValueError for values that are not finite.
    """
    x = np.asarray(series, dtype=np.float64)
    if not np.all(np.isfinite(x)):
        raise ValueError("series must be finite")
    n = x.size
    x = x - x.mean() if n else x
    if n < 10 or not np.any(x):
        return 1.0
    run = max(5, int(np.ceil(np.log10(n))))
    lag_max = int(np.ceil(np.sqrt(n))) + run
    longest = float(np.ceil(min(3 * np.sqrt(n), n / 3)))
    autocov = np.array([x[k:] @ x[: n - k] / n for k in range(min(lag_max, n - 1) + 1)])
    small = np.abs(autocov[1:] / autocov[0]) < 2 * np.sqrt(np.log10(n) / n)
    # The first lag behind which `run` lags in a row say nothing (as in arch and in R's np).
    quiet = (k + 1 for k in range(small.size - run + 1) if small[k : k + run].all())
    last = next(quiet, lag_max)
    window = min(2 * last, lag_max, autocov.size - 1)
    lags = np.arange(1, window + 1)
    taper = np.where(lags / window <= 0.5, 1.0, 2 * (1 - lags / window))
    g = 2 * float(np.sum(taper * lags * autocov[1 : window + 1]))
    long_run = float(autocov[0] + 2 * np.sum(taper * autocov[1 : window + 1]))
    if long_run <= 0:
        return longest
    length = ((2 * g * g) / (2 * long_run**2)) ** (1 / 3) * n ** (1 / 3)
    return float(min(max(length, 1.0), longest))


def percentile_interval(samples: FloatArray, level: float = 0.95) -> tuple[float, float] | None:
    """Bounds that hold the middle `level` of the samples; None when over 1 in 20 is not finite.

    Source: Efron and Tibshirani (1993), chapter 13. A resample on which the statistic is
    undefined (for example no losing trade) must be NaN.
    """
    _z(level)
    finite = samples[np.isfinite(samples)]
    if samples.size == 0 or finite.size < 0.95 * samples.size:
        return None
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def day_sums(days: IntArray, values: FloatArray, length: int) -> FloatArray:
    """Sum of the values that fall on each day, shape (length,), zero where none does.

    days: positions 0..length-1, shape (m,). values: shape (m,).
    """
    sums = np.zeros(length)
    np.add.at(sums, days, values)
    return sums


def block_estimate(
    statistic: Callable[[IntArray], FloatArray],
    length: int,
    n: int,
    mean_block: float,
    rng: np.random.Generator,
    *,
    count: int = 1000,
    level: float = 0.95,
) -> Estimate:
    """A statistic of a calendar of `length` periods with a stationary block bootstrap interval.

    statistic: takes positions of shape (k, length), returns (k,) values, NaN = undefined.
    n: observations behind the number (trades or periods). mean_block: at least the longest
    holding period, in periods (with 1-day blocks, 10-day holds are covered 45 % instead of 95 %).
    Fewer than 10 blocks: the value without an interval, and a note. Source: Politis, Romano (1994).
    """
    if length < 1:
        return undefined(n, "no data", level)
    point = float(statistic(np.arange(length, dtype=np.int64)[None, :])[0])
    method = f"stationary block bootstrap, {count} draws, mean block {mean_block:g} periods"
    blocks = length / mean_block
    if not np.isfinite(point):
        return undefined(n, "undefined on this data", level)
    if blocks < BLOCK_COUNT_MIN:
        note = f"{length} periods hold only {blocks:.1f} blocks of {mean_block:g}: too few"
        return Estimate(point, None, None, n, float(n), level, method, note)
    samples = statistic(stationary_bootstrap_indices(length, mean_block, count, rng))
    bounds = percentile_interval(samples, level)
    if bounds is None:
        note = "undefined on too many resamples for an interval"
        return Estimate(point, None, None, n, float(n), level, method, note)
    return Estimate(point, bounds[0], bounds[1], n, float(n), level, method)
