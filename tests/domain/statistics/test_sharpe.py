import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from trimtab_server.domain.statistics.estimates import FloatArray
from trimtab_server.domain.statistics.sharpe import (
    SharpeSums,
    deflated_sharpe,
    expected_max_sharpe,
    grouped_moments,
    minimum_track_record,
    moments,
    probabilistic_sharpe,
)


def one(value: float) -> FloatArray:
    """A number as an array of one."""
    return np.array([value])


def test_deflated_sharpe_gives_the_golden_numbers() -> None:
    """Bailey and Lopez de Prado (2014): 2.5 a year, 1250 days, 100 trials of variance 1/2."""
    sharpe, variance = one(2.5 / np.sqrt(250)), 0.5 / 250
    assert expected_max_sharpe(variance, 100) == pytest.approx(0.1132, abs=5e-5)
    found = deflated_sharpe(sharpe, one(1250), one(-3), one(10), variance, 100)
    assert found[0] == pytest.approx(0.9004, abs=5e-5)


def test_probabilistic_sharpe_falls_with_fat_tails_and_negative_skew() -> None:
    """Bailey and Lopez de Prado (2012): a ratio says less where losses are rare and large."""
    plain = probabilistic_sharpe(one(0.1), one(252), one(0), one(3))[0]
    assert plain == pytest.approx(
        stats.norm.cdf(0.1 * np.sqrt(251) / np.sqrt(1 + 0.5 * 0.1**2)), abs=1e-12
    )
    assert probabilistic_sharpe(one(0.1), one(252), one(-3), one(10))[0] < plain
    assert probabilistic_sharpe(one(0.1), one(252), one(0), one(3), 0.1)[0] == pytest.approx(0.5)


@pytest.mark.parametrize("trials", [10, 100, 1000])
def test_expected_maximum_is_that_of_simulated_trials(trials: int) -> None:
    """The formula lies within 4 % of the mean maximum of so many normal numbers."""
    drawn = np.random.default_rng(1).standard_normal((4000, trials)).max(axis=1)
    assert expected_max_sharpe(1.0, trials) == pytest.approx(drawn.mean(), rel=0.04)


def test_one_trial_is_no_selection() -> None:
    """With one trial nothing was chosen; with less than one there is no answer."""
    assert expected_max_sharpe(0.5, 1) == 0.0
    assert float(expected_max_sharpe(0.5, 2)) > 0.0
    with pytest.raises(ValueError, match="at least 1"):
        expected_max_sharpe(0.5, 0)


def test_minimum_track_record_is_where_the_probability_is_reached() -> None:
    """After so many periods the probabilistic ratio is the confidence asked for; none without."""
    sharpe, skew, kurtosis = one(0.12), one(-1.0), one(6.0)
    length = minimum_track_record(sharpe, skew, kurtosis, 0.02, 0.95)
    assert probabilistic_sharpe(sharpe, length, skew, kurtosis, 0.02)[0] == pytest.approx(0.95)
    assert np.isnan(minimum_track_record(sharpe, skew, kurtosis, 0.2)[0])


@given(arrays(np.float64, st.integers(3, 60), elements=st.floats(-1e9, 1e9, allow_subnormal=False)))
def test_moments_are_those_of_an_independent_library(values: FloatArray) -> None:
    """Mean, standard deviation, skew and kurtosis agree with scipy's, where its own do not vanish;
    never NaN but the ratio."""
    found = moments(values)
    assert all(np.isfinite(part[0]) for part in found)
    largest = float(np.abs(values).max())
    if np.ptp(values) <= 1e-6 * largest:
        return
    values = values / largest
    assert found.spread[0] == pytest.approx(values.std(ddof=1) * largest, rel=1e-6)
    assert found.skew[0] == pytest.approx(stats.skew(values), rel=1e-6, abs=1e-6)
    assert found.kurtosis[0] == pytest.approx(stats.kurtosis(values, fisher=False), rel=1e-6)


def test_idle_periods_count_as_zero() -> None:
    """Series told without their zeros have the moments of the whole series."""
    rng = np.random.default_rng(3)
    whole = np.where(rng.random((2, 50)) < 0.4, rng.normal(0.1, 1, (2, 50)), 0.0)
    series, at = np.nonzero(whole)
    found = grouped_moments(series, whole[series, at], np.array([50.0, 50.0]))
    for k in range(2):
        each = moments(whole[k])
        assert [part[k] for part in found] == pytest.approx([part[0] for part in each])


def test_a_series_without_variation_has_no_ratio() -> None:
    """Nothing, one period, and always the same: NaN, never infinity."""
    for values in (np.empty(0), one(0.3), np.full(9, 0.1), np.zeros(5)):
        assert np.isnan(moments(values).sharpe[0])


def test_sums_make_the_ratio_and_its_influences() -> None:
    """From sums the ratio is that of the values, and influences say how it moves with a block."""
    values = np.random.default_rng(4).normal(0.2, 1, 400)
    gap = values - values.mean()
    columns = np.stack([np.ones(400), gap, gap**2], axis=1)
    sums = SharpeSums(columns, float(values.mean()))
    total = columns.sum(axis=0)
    assert sums.values(total) == pytest.approx(values.mean() / values.std(ddof=1))
    influence = sums.influences(total, columns)
    assert influence.sum() == pytest.approx(0.0, abs=1e-12)
    for k in (0, 17, 399):
        without = sums.values(total - columns[k])
        assert sums.values(total) - without == pytest.approx(influence[k], rel=0.05, abs=2e-5)
