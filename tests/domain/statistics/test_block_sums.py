import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trimtab_server.domain.statistics.block_sums import (
    BIN_COUNT_MAX,
    BlockCalendar,
    bin_sums,
    bins,
    block_calendar,
    mean_difference,
    mean_estimate,
    outcomes_needed,
    ratio_estimate,
    total_estimate,
    total_test,
)
from trimtab_server.domain.statistics.discoveries import standing_discoveries, student_factor
from trimtab_server.domain.statistics.estimates import Estimate, FloatArray, IntArray

DAY_NS = 86_400_000_000_000
START_NS = 19_000 * DAY_NS


def chance(seed: int = 1) -> np.random.Generator:
    """Of the resamples."""
    return np.random.default_rng([seed, 9])


def calendar_of(entry: IntArray, holding_days: float = 1.0) -> BlockCalendar:
    """Trades that are all held for so long."""
    found = block_calendar(entry, entry + int(holding_days * DAY_NS))
    assert found is not None
    return found


def a_year(seed: int = 1, days: int = 365) -> tuple[FloatArray, IntArray]:
    """Two independent results a day."""
    entry = START_NS + np.arange(2 * days, dtype=np.int64) * (DAY_NS // 2)
    return np.random.default_rng(seed).normal(0.001, 0.02, entry.size), entry


@given(
    entries=st.lists(st.integers(0, 10**18), min_size=1, max_size=40),
    holdings=st.lists(st.integers(0, 10**16), min_size=1, max_size=40),
)
def test_a_block_is_at_least_as_long_as_the_longest_holding(
    entries: list[int], holdings: list[int]
) -> None:
    """Whatever the trades: every entry has a bin, and blocks span the longest holding or all."""
    size = min(len(entries), len(holdings))
    entry = np.array(entries[:size], dtype=np.int64)
    held = np.array(holdings[:size], dtype=np.int64)
    found = block_calendar(entry, entry + held)
    assert found is not None
    assert 1 <= found.block <= found.length <= BIN_COUNT_MAX
    assert found.block == found.length or found.block * found.width_ns >= held.max()
    assert found.holding * found.width_ns >= held.max()
    at = bins(found, entry)
    assert at.min() == 0
    assert at.max() == found.length - 1
    assert np.array_equal(at, (entry - entry.min()) // found.width_ns)


def test_blocks_are_longer_than_the_holding_where_there_is_room() -> None:
    """A year of one-day holdings makes about twenty blocks, fifteen days of them fifteen."""
    _, entry = a_year()
    found = calendar_of(entry)
    assert 19 <= found.length / found.block <= 22
    _, few = a_year(days=15)
    found = calendar_of(few)
    assert found.block == found.holding == 5


def test_nights_leave_blocks_empty_and_are_made_up_for() -> None:
    """Of a market that is open six hours a day, twenty blocks hold entries all the same."""
    minutes = np.arange(0, 360, 5, dtype=np.int64)
    days = np.arange(4, dtype=np.int64)
    entry = (START_NS + days[:, None] * DAY_NS + minutes * 60 * 10**9).reshape(-1)
    found = block_calendar(entry, entry + 600 * 10**9)
    assert found is not None
    assert np.unique(bins(found, entry) // found.block).size >= 20
    assert found.block * found.width_ns >= 600 * 10**9


def test_no_trades_have_no_calendar_and_nothing_to_say() -> None:
    """Without values a sum is 0 without an interval, a mean undefined; never NaN."""
    none, times = np.empty(0), np.empty(0, dtype=np.int64)
    assert block_calendar(times, times) is None
    total = total_test(none, times, None, chance())
    assert (total.estimate.value, total.estimate.low, total.error) == (0.0, None, None)
    assert total.p_value == 1.0
    assert mean_estimate(none, times, None, chance()).value is None
    assert mean_difference((none, times), (none, times), None, chance()).value is None
    values, entry = a_year()
    zeros = np.zeros(values.size)
    found = ratio_estimate(values, zeros, entry, calendar_of(entry), chance())
    assert found.value is None
    assert "divide" in found.note


def test_times_outside_belong_to_the_nearest_bin() -> None:
    """An exit behind the last entry counts to the last bin, what came before to the first."""
    calendar = BlockCalendar(100, 10, 5, 2)
    times = np.array([0, 100, 119, 149, 10_000], dtype=np.int64)
    assert bins(calendar, times).tolist() == [0, 0, 1, 4, 4]


def test_bin_sums_add_up_by_entry() -> None:
    """Values of one bin are added, whatever their order."""
    calendar = BlockCalendar(0, 10, 3, 1)
    times = np.array([25, 1, 5], dtype=np.int64)
    assert bin_sums(np.array([4.0, 1.0, 2.0]), times, calendar).tolist() == [3.0, 0.0, 4.0]


def test_wrong_input_is_named() -> None:
    """Shapes that differ, an exit before its entry, a value that is no number, a level beyond 1."""
    values, entry = a_year()
    calendar = calendar_of(entry)
    with pytest.raises(ValueError, match="same shape"):
        block_calendar(entry, entry[1:])
    with pytest.raises(ValueError, match="exit_ns"):
        block_calendar(entry, entry - 1)
    with pytest.raises(ValueError, match="same shape"):
        bin_sums(values[1:], entry, calendar)
    with pytest.raises(ValueError, match=r"values\[3\] is not finite"):
        total_estimate(
            np.where(np.arange(values.size) == 3, np.nan, values), entry, calendar, chance()
        )
    with pytest.raises(ValueError, match="level"):
        total_estimate(values, entry, calendar, chance(), level=1.0)


def test_total_and_mean_say_the_same() -> None:
    """With as many trades in each block, the interval of a sum is n times that of the mean."""
    values, entry = a_year()
    calendar = dataclasses.replace(calendar_of(entry), holding=0)
    total = total_estimate(values, entry, calendar, chance())
    mean = mean_estimate(values, entry, calendar, chance())
    assert total.value == pytest.approx(values.sum())
    assert mean.value == pytest.approx(values.mean())
    assert total.high is not None
    assert mean.high is not None
    assert total.high == pytest.approx(mean.high * values.size, rel=0.02)
    assert total.effective_n <= total.n == values.size


def test_too_few_blocks_say_how_many_outcomes_are_missing() -> None:
    """Results in 5 blocks give a value, no interval, and what an interval needs."""
    values, entry = a_year()
    calendar = calendar_of(entry)
    inside = bins(calendar, entry) // calendar.block < 5
    found = total_estimate(values[inside], entry[inside], calendar, chance())
    assert found.value == pytest.approx(values[inside].sum())
    assert (found.low, found.high) == (None, None)
    assert "only 5 blocks" in found.note
    assert f"about {np.count_nonzero(inside)} more outcomes" in found.note


def test_entries_within_less_than_one_block_need_whole_ones() -> None:
    """An outcome an hour for two days, each held for seven: an interval needs ten blocks of seven
    days, which hold 1,680 outcomes, and the note says about so many; one outcome tells no rate."""
    hour_ns = 3_600 * 10**9
    entry = np.arange(48, dtype=np.int64) * hour_ns
    calendar = block_calendar(entry, entry + 168 * hour_ns)
    assert calendar is not None
    found = mean_estimate(chance().normal(0, 1, 48), entry, calendar, chance())
    assert found.low is None
    assert "only 1 block of 7 d: an interval needs 10" in found.note
    more = int(found.note.split("about ")[1].split(" more outcomes")[0].replace(",", ""))
    assert more + 48 == pytest.approx(1_680, rel=0.25)
    calendar = block_calendar(entry[:1], entry[:1] + 168 * hour_ns)
    found = mean_estimate(np.ones(1), entry[:1], calendar, chance())
    assert "only 1 block of 7 d: an interval needs 10, at this rate about 9 more" in found.note


def test_results_without_variation_give_no_interval() -> None:
    """The same result in every block says nothing about chance."""
    _, entry = a_year()
    found = mean_estimate(np.full(entry.size, 0.01), entry, calendar_of(entry), chance())
    assert found.value == pytest.approx(0.01)
    assert found.low is None
    assert "no variation" in found.note


def overlapping(seed: int, holding_days: int, days: int) -> tuple[FloatArray, IntArray]:
    """A trade a day, its result the sum of that and the next days' returns."""
    daily = np.random.default_rng(seed).normal(0, 0.01, days + holding_days)
    edges = np.concatenate([[0.0], np.cumsum(daily)])
    entry = START_NS + np.arange(days, dtype=np.int64) * DAY_NS
    return edges[holding_days : holding_days + days] - edges[:days], entry


@pytest.mark.parametrize("days", [200, 500])
def test_overlapping_results_are_covered(days: int) -> None:
    """Ten-day returns, one a day: the mean's interval holds 0 in 95 % of 400 worlds, within three
    Monte-Carlo errors, even where blocks are but one holding long."""
    covered = 0
    for seed in range(400):
        values, entry = overlapping(seed, 10, days)
        found = mean_estimate(values, entry, calendar_of(entry, 10), chance(seed), count=299)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.0 <= found.high
        assert found.effective_n < 0.6 * found.n
    assert covered / 400 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400), covered


def test_the_p_value_belongs_to_the_interval() -> None:
    """An interval leaves out zero when the p-value lies below its level, and only then."""
    for seed in range(60):
        values, entry = a_year(seed)
        test = total_test(values + 0.0006, entry, calendar_of(entry), chance(seed), count=499)
        if abs(test.p_value - 0.05) > 0.01:
            assert (test.estimate.decided_sign != 0) == (test.p_value < 0.05)


def test_paired_differences_cancel_what_is_common() -> None:
    """Two sets that share their days' luck differ far more surely than each is known."""
    values, entry = a_year()
    luck = np.random.default_rng(3).normal(0, 0.05, 365).repeat(2)
    calendar = calendar_of(entry)
    even = np.arange(entry.size) % 2 == 0
    first = (values + luck)[even], entry[even]
    second = (values + luck)[~even], entry[~even]
    difference = mean_difference(first, second, calendar, chance())
    alone = mean_estimate(*first, calendar, chance())
    assert difference.value == pytest.approx(first[0].mean() - second[0].mean())
    widths = []
    for each in (difference, alone):
        assert each.low is not None
        assert each.high is not None
        widths.append(each.high - each.low)
    assert widths[0] < 0.6 * widths[1]


def test_the_same_seed_gives_the_same_interval() -> None:
    """To the bit."""
    values, entry = a_year()
    found = [total_estimate(values, entry, calendar_of(entry), chance()) for _ in range(2)]
    assert found[0] == found[1]


def test_outcomes_still_needed_by_hand() -> None:
    """Half-width twice the mean: four times the sample, so three times as many more."""
    assert outcomes_needed(Estimate(0.01, -0.01, 0.03, 100, 100)) == 300
    assert outcomes_needed(Estimate(1.0, -1.0, 3.0, 100, 100)) == 300
    assert outcomes_needed(Estimate(0.01, 0.005, 0.03, 100, 100)) is None
    assert outcomes_needed(Estimate(0.02, 0.01, 0.03, 100, 100), width_factor=4.0) == 300
    assert outcomes_needed(Estimate(0.0, -0.01, 0.01, 100, 100)) is None
    assert outcomes_needed(Estimate(1e-9, -1.0, 1.0, 100, 100)) is None
    assert outcomes_needed(Estimate(0.01, None, None, 5, 5)) is None


@pytest.mark.parametrize(
    ("p_values", "stand"),
    [
        ([], []),
        ([0.04], [True]),
        ([0.06], [False]),
        ([0.04, 0.9, 0.9], [False, False, False]),
        ([0.01, 0.04, 0.9], [True, False, False]),
        ([0.03, 0.02, 0.045], [True, True, True]),
    ],
)
def test_findings_that_stand_by_hand(p_values: list[float], stand: list[bool]) -> None:
    """One p-value is judged as it is; several by their ranks."""
    assert standing_discoveries(p_values, 0.05) == stand


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=12))
def test_findings_agree_with_an_independent_library(p_values: list[float]) -> None:
    """SciPy's adjusted p-values below the rate are the same findings."""
    adjusted = stats.false_discovery_control(p_values)
    found = standing_discoveries(p_values, 0.05)
    for mine, theirs in zip(found, adjusted, strict=True):
        assert mine == (theirs <= 0.05) or abs(theirs - 0.05) < 1e-12


def test_a_stricter_interval_is_wider_by_students_quantiles() -> None:
    """Of 21 blocks: t at 0.995 over t at 0.975 with 20 degrees of freedom."""
    assert student_factor(0.95, 0.05, 21) == pytest.approx(1.0)
    assert student_factor(0.95, 0.01, 21) == pytest.approx(2.8453 / 2.0860, rel=1e-4)
