from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trimtab_server.domain.statistics.estimates import (
    FloatArray,
    IntArray,
    automatic_block_length,
    block_estimate,
    clopper_pearson_interval,
    jeffreys_interval,
    percentile_interval,
    stationary_bootstrap_indices,
    undefined,
    wilson_interval,
)


@pytest.mark.parametrize(("wins", "n"), [(0, 5), (5, 5), (3, 10), (50, 90), (999, 1000)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_binomial_intervals_are_those_of_scipy(wins: int, n: int, level: float) -> None:
    """Wilson and Clopper-Pearson agree with scipy's binomtest, Jeffreys with the beta posterior."""
    test = stats.binomtest(wins, n)
    for ours, method in ((wilson_interval, "wilson"), (clopper_pearson_interval, "exact")):
        expected = test.proportion_ci(level, method=method)
        assert ours(wins, n, level) == pytest.approx((expected.low, expected.high), abs=1e-9)
    posterior = stats.beta(wins + 0.5, n - wins + 0.5)
    low = 0.0 if wins == 0 else posterior.ppf((1 - level) / 2)
    high = 1.0 if wins == n else posterior.ppf((1 + level) / 2)
    assert jeffreys_interval(wins, n, level) == pytest.approx((low, high), abs=1e-9)


@given(n=st.floats(0.5, 1e6), share=st.floats(0, 1))
def test_an_interval_holds_its_rate_and_stays_a_probability(n: float, share: float) -> None:
    """For every sample, fractional effective ones included, 0 <= low <= rate <= high <= 1."""
    for interval in (wilson_interval, clopper_pearson_interval):
        bounds = interval(share * n, n)
        assert bounds is not None
        assert 0 <= bounds[0] <= share + 1e-9
        assert share - 1e-9 <= bounds[1] <= 1


def test_an_interval_of_nothing_is_none_and_of_nonsense_an_error() -> None:
    """No observations give None; more wins than observations, or a level of 1, are mistakes."""
    for interval in (wilson_interval, clopper_pearson_interval, jeffreys_interval):
        assert interval(0, 0) is None
        with pytest.raises(ValueError, match="wins"):
            interval(3, 2)
        with pytest.raises(ValueError, match="level"):
            interval(1, 2, 1.0)


def test_blocks_are_consecutive_wrap_around_and_have_the_wanted_length() -> None:
    """Indices follow each other except at restarts, whose share is 1 / mean block."""
    drawn = stationary_bootstrap_indices(50, 5.0, 2000, np.random.default_rng(1))
    assert drawn.shape == (2000, 50)
    assert drawn.min() == 0
    assert drawn.max() == 49
    follows = (drawn[:, 1:] - drawn[:, :-1]) % 50 == 1
    # A restart lands on the next index by chance once in 50.
    assert 1 - follows.mean() == pytest.approx(0.2 * 49 / 50, abs=0.005)
    counts = np.bincount(drawn.ravel(), minlength=50)
    assert counts == pytest.approx(np.full(50, 2000), rel=0.15)


def test_the_same_generator_draws_the_same_blocks() -> None:
    """Chance is an argument: the same seed gives the same resampling."""
    one, two = (
        stationary_bootstrap_indices(20, 3.0, 4, np.random.default_rng(9)) for _ in range(2)
    )
    assert np.array_equal(one, two)


def test_impossible_blocks_are_refused() -> None:
    """No data, no draws, or blocks shorter than one observation are mistakes."""
    for n, block, count in ((0, 1.0, 1), (1, 0.5, 1), (1, 1.0, 0)):
        with pytest.raises(ValueError, match="need"):
            stationary_bootstrap_indices(n, block, count, np.random.default_rng(1))


def ar1(n: int, phi: float, rng: np.random.Generator) -> FloatArray:
    """An AR(1) series with standard normal noise."""
    noise = rng.normal(size=n)
    series = np.empty(n)
    series[0] = noise[0]
    for t in range(1, n):
        series[t] = phi * series[t - 1] + noise[t]
    return series


ARCH_GOLDEN = [
    (1, 0.0, 500, 3.1897088592453064),
    (2, 0.3, 500, 5.15723104533434),
    (3, 0.8, 1000, 22.908491464279095),
    (4, -0.5, 300, 13.450777254021371),
]


@pytest.mark.parametrize(("seed", "phi", "n", "expected"), ARCH_GOLDEN)
def test_block_length_is_that_of_arch(seed: int, phi: float, n: int, expected: float) -> None:
    """Golden values of arch 8.0.0, optimal_block_length(x)["stationary"], on the same series."""
    series = ar1(n, phi, np.random.default_rng(seed))
    assert automatic_block_length(series) == pytest.approx(max(1.0, expected), rel=1e-6)


def test_block_length_grows_with_dependence_and_survives_the_trivial() -> None:
    """Strong dependence wants longer blocks; constant and short series get 1, NaN is refused."""
    rng = np.random.default_rng(3)
    lengths = [automatic_block_length(ar1(1000, phi, rng)) for phi in (0.0, 0.5, 0.9)]
    assert all(a < b for a, b in pairwise(lengths))
    assert automatic_block_length(np.ones(100)) == 1.0
    assert automatic_block_length(np.arange(5.0)) == 1.0
    assert automatic_block_length(np.empty(0)) == 1.0
    with pytest.raises(ValueError, match="finite"):
        automatic_block_length(np.array([1.0, np.nan]))


def means_of(series: FloatArray, positions: IntArray) -> FloatArray:
    """The statistic of the coverage tests."""
    result: FloatArray = series[positions].mean(axis=1)
    return result


@pytest.mark.parametrize(
    ("phi", "block", "low", "high"),
    [(0.0, 1.0, 0.91, 0.98), (0.3, 8.0, 0.89, 0.98), (0.8, 1.0, 0.3, 0.7)],
    ids=["iid", "AR 0.3 in blocks", "AR 0.8 without blocks fails"],
)
def test_block_interval_covers_the_mean(phi: float, block: float, low: float, high: float) -> None:
    """A nominal 95 % covers 300 null worlds within Monte-Carlo error; iid draws on AR do not."""
    rng = np.random.default_rng(20240102)
    covered = 0
    for _ in range(300):
        series = ar1(250, phi, rng)
        found = block_estimate(partial(means_of, series), 250, 250, block, rng, count=150)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
    assert low <= covered / 300 <= high


def test_too_few_blocks_give_the_value_without_an_interval() -> None:
    """Nine blocks say nothing about how blocks differ: no interval, and a note that says so."""
    series = np.arange(90.0)
    found = block_estimate(lambda i: means_of(series, i), 90, 90, 10.0, np.random.default_rng(1))
    assert found.value == pytest.approx(44.5)
    assert found.low is None
    assert found.high is None
    assert "too few" in found.note
    assert found.decided_sign == 0
    assert found.as_json()["interval"] is None


def test_no_data_and_undefined_statistics_are_results() -> None:
    """Nothing to resample, or a statistic that is NaN, gives an estimate without a value."""
    rng = np.random.default_rng(1)
    assert block_estimate(lambda i: means_of(np.ones(1), i), 0, 0, 1.0, rng).value is None
    nothing = block_estimate(lambda i: np.full(i.shape[0], np.nan), 50, 50, 1.0, rng)
    assert nothing.value is None
    assert nothing.note
    assert undefined(3, "why").note == "why"
    assert percentile_interval(np.empty(0)) is None
    assert percentile_interval(np.array([1.0, np.nan])) is None


def test_sign_is_decided_only_by_the_whole_interval() -> None:
    """Above zero, below zero, or undecided."""
    series = np.random.default_rng(2).normal(1.0, 0.1, 100)
    for shift, sign in ((0.0, 1), (-2.0, -1), (-1.0, 0)):
        rng = np.random.default_rng(4)
        found = block_estimate(partial(means_of, series + shift), 100, 100, 1.0, rng)
        assert found.decided_sign == sign
