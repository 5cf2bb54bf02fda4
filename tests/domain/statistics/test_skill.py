import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from tests.domain.ledgers import DAY_NS
from trimtab_server.domain.statistics.block_sums import block_calendar, mean_estimate
from trimtab_server.domain.statistics.estimates import FloatArray
from trimtab_server.domain.statistics.skill import (
    DRAWS_MAX,
    adjusted_p_values,
    draws_wanted,
    mean_p_value,
    periods_for_skew,
    shrunk_means,
)


@given(arrays(np.float64, st.integers(0, 40), elements=st.floats(0, 1)))
def test_adjusted_p_values_are_those_of_an_independent_library(p_values: FloatArray) -> None:
    """Benjamini and Yekutieli as scipy has it, for any p-values, in their order."""
    found = adjusted_p_values(p_values)
    if p_values.size:
        wanted = stats.false_discovery_control(p_values, method="by")
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-300)
    else:
        assert found.size == 0


def test_shrinkage_lies_closer_to_the_truth() -> None:
    """In 200 worlds of 20 lines, shrunk means have less than half the squared error of plain."""
    rng = np.random.default_rng(1)
    plain = shrunk = 0.0
    for _ in range(200):
        truth = rng.normal(0.001, 0.002, 20)
        errors = rng.uniform(0.001, 0.01, 20)
        means = rng.normal(truth, errors)
        found = shrunk_means(means, errors)
        assert found is not None
        plain += float(((means - truth) ** 2).sum())
        shrunk += float(((found - truth) ** 2).sum())
    assert shrunk < 0.5 * plain


def test_lines_that_differ_by_chance_alone_shrink_to_one_mean() -> None:
    """Where the spread is less than the errors explain, nothing is left of it."""
    found = shrunk_means(np.array([0.01, 0.02, 0.03]), np.full(3, 0.1))
    assert found is not None
    np.testing.assert_allclose(found, 0.02)
    assert shrunk_means(np.array([0.01, 0.02]), np.array([0.1, 0.1])) is None


@given(
    arrays(np.float64, 5, elements=st.floats(-1e9, 1e9)),
    arrays(np.float64, 5, elements=st.floats(1e-12, 1e9)),
)
def test_a_shrunk_mean_stays_within_what_was_seen(means: FloatArray, errors: FloatArray) -> None:
    """Never NaN, never beyond the smallest and largest mean."""
    found = shrunk_means(means, errors)
    assert found is not None
    room = 1e-6 * max(1e-12, float(np.abs(means).max()))
    assert np.all(found >= means.min() - room)
    assert np.all(found <= means.max() + room)


def test_p_values_of_nothing_are_even() -> None:
    """Returns without any mean: a p-value below 5 % comes in 5 % of 400 worlds, overlap or not."""
    low = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        steps = rng.standard_t(4, 320)
        # Each value is the sum of five days' steps, as of a holding of five days.
        values = np.convolve(steps, np.ones(5), "valid")[:300]
        entry = np.arange(300, dtype=np.int64) * DAY_NS
        calendar = block_calendar(entry, entry + 5 * DAY_NS)
        assert calendar is not None
        sure = mean_estimate(values, entry, calendar, rng, count=200)
        assert sure.effective_n > 0
        error = float(values.std() / np.sqrt(sure.effective_n))
        low += mean_p_value(values, entry, calendar, error, rng, 2_000) <= 0.05
    assert 0.02 <= low / 400 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_draws_suffice_for_a_single_finding_among_all() -> None:
    """The smallest p-value of so many draws stands alone among the tests, up to the limit."""
    for tests in (1, 20, 100):
        p_values = np.ones(tests)
        p_values[0] = 2 / (draws_wanted(tests, 0.05) + 1)
        assert adjusted_p_values(p_values)[0] <= 0.05
    assert draws_wanted(1_000, 0.05) == DRAWS_MAX


def test_rare_large_losses_ask_for_long_records() -> None:
    """Cochran's rule: 25 times the squared skew, for negative skew only."""
    assert periods_for_skew(np.array([-4.0, 0.0, 4.0])) == pytest.approx([400.0, 0.0, 0.0])
