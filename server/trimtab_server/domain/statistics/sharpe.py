"""How much of a Sharpe ratio is skill: probabilistic, deflated, and how long a record must be.

All ratios here are per period (not annualised) and all periods count alike. Sources: Bailey and
Lopez de Prado (2012), "The Sharpe ratio efficient frontier"; the same (2014), "The deflated Sharpe
ratio". Functions take and return numbers or arrays; an undefined number is NaN here, and whoever
reports it turns that into None.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from trimtab_server.domain.statistics.block_sums import Sums
from trimtab_server.domain.statistics.estimates import FloatArray, IntArray

_EULER = float(np.euler_gamma)


class Moments(NamedTuple):
    """Moments of period returns, each of shape (k,), one position per series.

    n: periods. mean; spread: standard deviation (n - 1), 0 = no variation. skew, kurtosis: of the
    population (a normal distribution has 0 and 3); 0 and 3 where there is no variation.
    """

    n: FloatArray
    mean: FloatArray
    spread: FloatArray
    skew: FloatArray
    kurtosis: FloatArray

    @property
    def sharpe(self) -> FloatArray:
        """Mean over standard deviation, NaN without variation, shape (k,)."""
        return _ratio(self.mean, self.spread)


def _ratio(top: FloatArray, bottom: FloatArray) -> FloatArray:
    result = np.full(np.broadcast_shapes(top.shape, bottom.shape), np.nan)
    with np.errstate(over="ignore"):
        np.divide(top, bottom, out=result, where=bottom > 0)
    result[~np.isfinite(result)] = np.nan
    return result


def grouped_moments(series: IntArray, values: FloatArray, n: FloatArray) -> Moments:
    """Moments of several series of which only the periods that are not zero are given.

    series: which of the k series each value belongs to, shape (m,), 0..k-1. values: shape (m,),
    finite. n: periods of each series, those of zero return included, shape (k,), at least the count
    of its values.
    """
    k = n.size
    count = np.bincount(series, minlength=k)
    periods = np.maximum(n, 1.0)
    # In units of each series' largest value: fourth powers neither overflow nor vanish.
    scale = np.zeros(k)
    np.maximum.at(scale, series, np.abs(values))
    unit = np.where(scale > 0, scale, 1.0)
    scaled = values / unit[series]
    mean = np.bincount(series, scaled, minlength=k) / periods
    gap = scaled - mean[series]
    zeros = np.maximum(n - count, 0.0)
    power = [
        (np.bincount(series, gap**p, minlength=k) + zeros * (-mean) ** p) / periods
        for p in (2, 3, 4)
    ]
    # Rounding leaves a constant series a variance of about 1e-33 of its square.
    varies = power[0] > 1e-24
    variance = np.where(varies, power[0], 1.0)
    return Moments(
        n=n,
        mean=mean * unit,
        spread=np.where(varies & (n > 1), np.sqrt(variance * n / np.maximum(n - 1, 1)) * unit, 0.0),
        skew=np.where(varies, power[1] / variance**1.5, 0.0),
        kurtosis=np.where(varies, power[2] / variance**2, 3.0),
    )


def moments(values: FloatArray) -> Moments:
    """Moments of one series, every period given, shape (n,) in and (1,) out."""
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    return grouped_moments(np.zeros(flat.size, dtype=np.int64), flat, np.array([float(flat.size)]))


def sharpe_error(
    sharpe: FloatArray, n: FloatArray, skew: FloatArray, kurtosis: FloatArray
) -> FloatArray:
    """Standard error of a Sharpe ratio of n periods; NaN below two periods.

    Source: Mertens (2002), as used by Bailey and Lopez de Prado (2012), equation 8.
    """
    shape = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    # Zero or below only where two values make up the whole series: as good as nothing known.
    return np.sqrt(_ratio(np.where(shape > 1e-12, shape, np.nan), np.asarray(n) - 1.0))


def probabilistic_sharpe(
    sharpe: FloatArray,
    n: FloatArray,
    skew: FloatArray,
    kurtosis: FloatArray,
    benchmark: FloatArray | float = 0.0,
) -> FloatArray:
    """Probability that the true ratio lies above the benchmark, 0 to 1.

    n: periods (or what they are worth after allowing for overlap), > 1. NaN where undefined.
    """
    error = sharpe_error(sharpe, n, skew, kurtosis)
    result: FloatArray = ndtr((sharpe - benchmark) / error)
    return result


def expected_max_sharpe(trial_variance: FloatArray | float, trial_count: float) -> FloatArray:
    """Ratio that the best of so many trials without skill shows on average, >= 0.

    trial_variance: of the trials' ratios, per period. trial_count: independent trials; one trial
    has no best of many: 0. Raises ValueError for fewer than one trial.
    """
    if trial_count < 1:
        raise ValueError(f"trial_count must be at least 1, got {trial_count}")
    if trial_count == 1:
        return np.zeros_like(np.asarray(trial_variance, dtype=np.float64))
    best = (1 - _EULER) * ndtri(1 - 1 / trial_count) + _EULER * ndtri(1 - 1 / (trial_count * np.e))
    # For fewer than two trials the approximation falls below zero.
    result: FloatArray = np.sqrt(trial_variance) * max(float(best), 0.0)
    return result


def deflated_sharpe(
    sharpe: FloatArray,
    n: FloatArray,
    skew: FloatArray,
    kurtosis: FloatArray,
    trial_variance: FloatArray | float,
    trial_count: float,
) -> FloatArray:
    """Probability that the true ratio lies above what the best of so many tries would show."""
    benchmark = expected_max_sharpe(trial_variance, trial_count)
    return probabilistic_sharpe(sharpe, n, skew, kurtosis, benchmark)


def minimum_track_record(
    sharpe: FloatArray,
    skew: FloatArray,
    kurtosis: FloatArray,
    benchmark: FloatArray | float = 0.0,
    confidence: float = 0.95,
) -> FloatArray:
    """Periods after which the probabilistic ratio reaches `confidence`, if all stays as it is.

    NaN where the ratio does not lie above the benchmark: no record would be long enough.
    """
    gap = np.asarray(sharpe - benchmark, dtype=np.float64)
    shape = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    z = float(ndtri(confidence))
    result: FloatArray = 1.0 + shape * z**2 * _ratio(np.ones_like(gap), np.maximum(gap, 0.0) ** 2)
    return result


@dataclass(frozen=True, slots=True)
class SharpeSums(Sums):
    """Sharpe ratio per period as a number made of sums.

    columns: shape (length, 3): periods, their returns minus `centre`, the squares of those.
    """

    centre: float

    def _parts(self, sums: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        n = sums[..., 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = sums[..., 1] / n
            variance = (sums[..., 2] / n - mean**2) * n / (n - 1)
        return n, mean, np.where(variance > 1e-24 * sums[..., 2], variance, np.nan)

    def values(self, sums: FloatArray) -> FloatArray:
        """The ratio for sums of shape (..., 3), shape (...,); NaN without variation."""
        _, mean, variance = self._parts(sums)
        result: FloatArray = (self.centre + mean) / np.sqrt(variance)
        return result

    def influences(self, sums: FloatArray, blocks: FloatArray) -> FloatArray:
        """What each block adds to the ratio, to first order; sums (..., 3), blocks (..., k, 3)."""
        n, mean, variance = (part[..., None] for part in self._parts(sums))
        count, first, second = (blocks[..., k] for k in range(3))
        ratio = (self.centre + mean) / np.sqrt(variance)
        gap = first - mean * count
        # Squares vary around the variance of the population (n), not around the estimate (n - 1).
        square = second - 2 * mean * first + (mean**2 - variance * (n - 1) / n) * count
        with np.errstate(divide="ignore", invalid="ignore"):
            result: FloatArray = (gap / np.sqrt(variance) - ratio / (2 * variance) * square) / n
        return result
