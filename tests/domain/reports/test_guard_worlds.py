from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest

from tests.domain.guard_worlds import (
    World,
    capped_truth,
    capped_world,
    independent_world,
    knowing_world,
    null_world,
    overlapping_world,
)
from tests.domain.ledgers import DAY_NS
from trimtab_server.domain.ledger.columns import GuardRule, Ledger
from trimtab_server.domain.reports.guard_records import guard_record
from trimtab_server.domain.reports.guards import GuardEffect, GuardLine, guard_lines
from trimtab_server.domain.statistics.block_sums import (
    BlockCalendar,
    block_calendar,
    total_estimate,
)
from trimtab_server.domain.statistics.estimates import FloatArray

WORLDS = 500
COVERED_MIN = 0.93
DRAWS = 299

Made = tuple[Ledger, dict[str, float]]


@lru_cache(maxsize=2)
def truth_of(rule: GuardRule) -> dict[str, float]:
    """Expected values by a long simulation of the same maker."""
    return capped_truth(rule, 1000)


def independent(seed: int) -> Made:
    """Truth: by hand."""
    world = independent_world(seed)
    return world.ledger, world.truth


def overlapping(seed: int) -> Made:
    """Truth: by hand."""
    world = overlapping_world(seed)
    return world.ledger, world.truth


def counted(seed: int) -> Made:
    """Truth: by simulation."""
    rule = GuardRule.POSITION_COUNT
    return capped_world(seed, rule), truth_of(rule)


def exposed(seed: int) -> Made:
    """Truth: by simulation."""
    return capped_world(seed, GuardRule.EXPOSURE), truth_of(GuardRule.EXPOSURE)


def draws(seed: int) -> np.random.Generator:
    """Of the resamples: another stream than the world's own."""
    return np.random.default_rng([seed, 1])


@pytest.mark.timeout(240)
@pytest.mark.parametrize("make", [independent, overlapping, counted, exposed])
def test_leave_one_out_covers_the_true_value(make: Callable[[int], Made]) -> None:
    """The interval of every guard's value holds its true expected value in 93 % of 500 worlds."""
    covered: dict[str, int] = {}
    for seed in range(WORLDS):
        ledger, truth = make(seed)
        for line in guard_lines(ledger, draws(seed), count=DRAWS):
            assert line.value.low is not None
            assert line.value.high is not None
            holds = line.value.low <= truth[line.guard] <= line.value.high
            covered[line.guard] = covered.get(line.guard, 0) + holds
    assert len(covered) == 2
    assert min(covered.values()) >= COVERED_MIN * WORLDS, covered


@pytest.mark.parametrize("make", [independent_world, overlapping_world])
def test_shapley_covers_the_true_share(make: Callable[[int], World]) -> None:
    """The same holds for the intervals of Shapley values of stateless guards (of 300 worlds)."""
    worlds, covered = 300, [0, 0]
    for seed in range(worlds):
        world = make(seed)
        for k, line in enumerate(guard_lines(world.ledger, draws(seed), count=DRAWS)):
            share = line.shapley_value
            assert share is not None
            assert share.low is not None
            assert share.high is not None
            covered[k] += share.low <= world.shapley[line.guard] <= share.high
    assert min(covered) >= COVERED_MIN * worlds, covered


def naive_credit(ledger: Ledger, guard: str) -> FloatArray:
    """What the guard that is asked first earns when the first that blocks takes all: minus the
    return of whatever it blocked."""
    record = guard_record(ledger)
    blocks = record.blocks[ledger.names.guards.index(guard)]
    return np.where(blocks, -ledger.shadow_return, 0.0)


def daily(ledger: Ledger) -> BlockCalendar:
    """One-day blocks, as if days did not depend on each other."""
    entry = ledger.shadow_entry_time_ns
    return BlockCalendar(int(entry[0]), DAY_NS, int((entry[-1] - entry[0]) // DAY_NS) + 1, 1)


@pytest.mark.parametrize(
    ("make", "guard"), [(overlapping, "first"), (counted, "volatility"), (exposed, "volatility")]
)
def test_crediting_the_first_blocker_fails(make: Callable[[int], Made], guard: str) -> None:
    """The naive sum misses the truth far more often, even in an interval that respects overlap."""
    covered = 0
    for seed in range(100):
        ledger, truth = make(seed)
        entry = ledger.shadow_entry_time_ns
        calendar = block_calendar(entry, ledger.shadow_exit_time_ns)
        credit = naive_credit(ledger, guard)
        found = total_estimate(credit, entry, calendar, draws(seed), count=DRAWS)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth[guard] <= found.high
    assert covered <= 60, covered


def test_intervals_of_single_days_fail() -> None:
    """With 10-day holds on 20 symbols, blocks of a day cover far less than they say."""
    covered = 0
    for seed in range(100):
        ledger, truth = counted(seed)
        record = guard_record(ledger)
        change = record.taken.astype(float) - record.taken_without([0])
        values, entry = change * ledger.shadow_return, ledger.shadow_entry_time_ns
        found = total_estimate(values, entry, daily(ledger), draws(seed), count=DRAWS)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth["cap"] <= found.high
    assert covered <= 75, covered


def test_overlapping_guards_are_not_counted_twice() -> None:
    """On average over worlds both get their own small share; the first blocker would get all."""
    lines: list[list[float]] = []
    naive, truths = [], []
    for seed in range(150):
        ledger, truth = overlapping(seed)
        found = guard_lines(ledger, draws(seed), count=20)
        lines.append([line.value.value or 0.0 for line in found])
        naive.append(naive_credit(ledger, "first").sum())
        truths.append(truth["first"])
    means, errors = np.mean(lines, axis=0), np.std(lines, axis=0) / np.sqrt(len(lines))
    assert np.all(np.abs(means - truths[0]) <= 3 * errors)
    assert np.mean(naive) > 3 * truths[0]


@pytest.mark.parametrize("guard_count", [1, 6])
def test_guards_without_effect_are_seldom_called_anything(guard_count: int) -> None:
    """Where no guard knows anything, some line says helps or costs in about 5 % of worlds."""
    worlds = 400
    called = 0
    for seed in range(worlds):
        found = guard_lines(null_world(seed, guard_count, days=250), draws(seed), count=DRAWS)
        called += any(line.effect is not GuardEffect.UNDECIDED for line in found)
    assert called / worlds <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / worlds), called


def test_outcomes_still_needed_are_those_that_are_needed() -> None:
    """The printed number is within 25 % of the simulated median: how many more it takes until half
    of the worlds with that effect are decided."""
    worlds, mean = 160, -0.0112

    def judged(days: int, *, as_expected: bool) -> list[GuardLine]:
        return [
            guard_lines(
                knowing_world(seed, days, mean=mean, as_expected=as_expected).ledger,
                draws(seed),
                count=DRAWS,
            )[0]
            for seed in range(worlds)
        ]

    now = judged(300, as_expected=True)
    printed = [line.outcomes_needed for line in now if line.outcomes_needed is not None]
    assert len(printed) > 0.9 * worlds
    later = [judged(days, as_expected=False) for days in (600, 850, 1100, 1350)]
    decided = [np.mean([x.effect is GuardEffect.HELPS for x in lines]) for lines in later]
    sizes = [np.mean([x.matured_count for x in lines]) for lines in later]
    assert decided[0] < 0.5 < decided[-1]
    needed = np.interp(0.5, decided, sizes) - np.mean([x.matured_count for x in now])
    assert np.median(printed) == pytest.approx(needed, rel=0.25)
