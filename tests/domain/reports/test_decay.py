from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.domain.ledgers import (
    DAY_NS,
    HOUR_NS,
    SECOND_NS,
    START_NS,
    a_ledger,
    joined_horizons,
    some_horizons,
)
from tests.domain.odd_ledgers import bad_numbers, odd_ledgers
from trimtab_server.domain.ledger.columns import Ledger, Markouts, ResultStatus
from trimtab_server.domain.reports.ages import Age
from trimtab_server.domain.reports.decay import SignalDecay, decay_curves, half_life
from trimtab_server.domain.statistics.estimates import FloatArray

NAN = float("nan")
AGES_S = np.array([60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0])


def rng() -> np.random.Generator:
    """The same chance for every test."""
    return np.random.default_rng(1)


def marks_of(returns: FloatArray, ages_s: FloatArray = AGES_S) -> Markouts:
    """Markouts of every signal at every age; returns: shape (n, ages)."""
    n, k = returns.shape
    return Markouts(
        row=np.repeat(np.arange(n), k),
        age_s=np.tile(ages_s, n),
        trading_days=np.zeros(n * k, dtype=np.int32),
        calendar=np.zeros(n * k, dtype=np.int32),
        calendars=("",),
        return_fraction=returns.reshape(-1),
        until_s=np.tile(ages_s, n),
    )


def curves(ledger: Ledger, markouts: Markouts, chance: np.random.Generator) -> SignalDecay:
    """The curves where no horizon has matured."""
    return decay_curves(ledger, markouts, some_horizons(ledger, ()), chance)


def decaying(seed: int, half_s: float, n: int = 600, noise: float = 0.002) -> FloatArray:
    """Signals whose edge of 0.4 % is earned with this half-life, on a random walk."""
    chance = np.random.default_rng(seed)
    steps = chance.normal(0, 1, (n, AGES_S.size)) * np.sqrt(np.diff(AGES_S, prepend=0.0) / 3600)
    return 0.004 * (1 - 0.5 ** (AGES_S / half_s)) + noise * np.cumsum(steps, axis=1)


def test_half_life_of_an_exponential_decay_is_recovered() -> None:
    """Edges that decay with a half-life of 15 minutes: on average over 20 worlds it is found within
    10 %, and the 95 % interval holds it in at least 85 % of them."""
    found, held = [], 0
    for seed in range(20):
        ledger = a_ledger(600)
        chance = np.random.default_rng(seed)
        curve = curves(ledger, marks_of(decaying(seed, 900.0)), chance).all
        half = curve.half_life_s
        assert half.value is not None
        assert half.low is not None
        assert half.high is not None
        found.append(half.value)
        held += half.low <= 900.0 <= half.high
    assert np.mean(found) == pytest.approx(900.0, rel=0.10)
    assert held / 20 >= 0.85


def test_a_curve_without_an_edge_has_no_half_life() -> None:
    """Pure noise: a half-life is told in at most three of 25 worlds."""
    told = 0
    for seed in range(25):
        noise = decaying(seed, 900.0) - 0.004 * (1 - 0.5 ** (AGES_S / 900.0))
        curve = curves(a_ledger(600), marks_of(noise), np.random.default_rng(seed)).all
        told += curve.half_life_s.value is not None
        assert curve.peak_age_s is not None
    assert told <= 3


def test_half_life_by_hand() -> None:
    """Straight lines from zero: half of the peak of 4 lies at 2, first reached between the ages."""
    ages = np.array([10.0, 20.0, 40.0])
    curves = np.array([[1.0, 3.0, 4.0], [4.0, 1.0, 3.0], [-1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]])
    found = half_life(ages, curves)
    assert found[:3].tolist() == [15.0, 5.0, 17.5]
    assert np.isnan(found[3])
    assert np.isnan(half_life(ages, np.array([[1.0, NAN, 2.0]]))[0])


def test_points_are_means_by_age_with_intervals() -> None:
    """Youngest first, each over the signals that have a markout at that age."""
    returns = np.random.default_rng(2).normal(0.001, 0.01, (300, 2))
    returns[200:, 1] = NAN
    curve = curves(a_ledger(300), marks_of(returns, np.array([3600.0, 60.0])), rng()).all
    assert [point.age for point in curve.points] == [Age(60.0), Age(3600.0)]
    young, old = (point.mean_return for point in curve.points)
    assert (young.n, old.n) == (200, 300)
    assert young.value == pytest.approx(returns[:200, 1].mean())
    assert old.low is not None
    assert old.high is not None
    assert old.low < returns[:, 0].mean() < old.high


def test_trading_days_are_ages_of_their_calendar() -> None:
    """They stand in order with wall time, by how long they lasted, or else by the week."""
    n = 40
    marks = Markouts(
        row=np.tile(np.arange(n), 3),
        age_s=np.repeat([3600.0, 2 * 86_400.0, NAN], n),
        trading_days=np.repeat([0, 1, 5], n).astype(np.int32),
        calendar=np.repeat([0, 1, 1], n).astype(np.int32),
        calendars=("", "XNYS"),
        return_fraction=np.repeat([0.001, 0.002, 0.003], n),
        until_s=np.repeat([3600.0, 2 * 86_400.0, 7 * 86_400.0], n),
    )
    curve = curves(a_ledger(n), marks, rng()).all
    assert [point.age for point in curve.points] == [
        Age(3600.0),
        Age(None, 1, "XNYS"),
        Age(None, 5, "XNYS"),
    ]
    assert curve.peak_age_s == pytest.approx(7 * 86_400.0)


def test_each_strategy_has_its_own_curve_and_delay() -> None:
    """By name; the delay is that of approved signals from decision to first fill."""
    at = START_NS + np.arange(4) * HOUR_NS
    ledger = a_ledger(
        4,
        strategy=["b", "a", "b", "b"],
        action=[1, 1, 1, 2],
        signal_time_ns=at,
        decision_time_ns=at,
        first_fill_time_ns=at + np.array([2, 5, -1, 9]) * SECOND_NS,
    )
    decay = curves(ledger, marks_of(np.full((4, 1), 0.01), np.array([60.0])), rng())
    assert [curve.strategy for curve in decay.strategies] == ["a", "b"]
    a, b = decay.strategies
    assert a.execution_delay_s.value == pytest.approx(5.0)
    assert b.execution_delay_s.value == pytest.approx(2.0)
    assert "1 filled before their decision" in b.execution_delay_s.note
    assert (a.points[0].mean_return.n, b.points[0].mean_return.n) == (1, 3)
    assert decay.all.strategy == ""
    assert decay.all.execution_delay_s.value == pytest.approx(3.5)


def test_markouts_that_came_early_are_left_out_with_a_note() -> None:
    """A log of 20 days in which a symbol ended at +40 %: three signals of 20 have a return at 10
    and at 30 days, because theirs ended with it. As over the horizon, they are no peak and no edge;
    the age of an hour, which everyone has, keeps all."""
    n, delisted, day_s = 20, np.array([8, 12, 15]), 86_400.0
    ledger = a_ledger(
        n,
        signal_time_ns=START_NS + np.arange(n) * DAY_NS,
        shadow_status=ResultStatus.PENDING,
        shadow_entry_time_ns=0,
    )
    now_ns = np.full(3, START_NS + n * DAY_NS)
    month = some_horizons(ledger, delisted, age_s=30 * day_s, ended_ns=now_ns, gross=0.4)
    hours = some_horizons(ledger, np.arange(n), gross=0.001)
    reached = joined_horizons(hours, month)
    marks = Markouts(
        row=np.concatenate([np.arange(n), delisted, delisted]),
        age_s=np.repeat([3600.0, 10 * day_s, 30 * day_s], [n, 3, 3]),
        trading_days=np.zeros(n + 6, dtype=np.int32),
        calendar=np.zeros(n + 6, dtype=np.int32),
        calendars=("",),
        return_fraction=np.repeat([0.001, 0.4], [n, 6]),
        until_s=np.repeat([3600.0, 30 * day_s], [n, 6]),
    )
    decay = decay_curves(ledger, marks, reached, rng())
    assert [each.young_count for each in decay.horizons] == [0, 3]
    assert [(point.age, point.mean_return.n) for point in decay.all.points] == [(Age(3600.0), n)]
    assert decay.all.peak_age_s == 3600.0
    (note,) = decay.notes
    assert note.startswith("early markouts left out (3 at 10 d, 3 at 30 d), because")


def test_only_who_may_still_have_a_markout_holds_others_back() -> None:
    """A quiet signal whose horizon is over, or whose own life told its markouts, will tell none at
    this age: the others count. One whose horizon still runs holds back those behind it."""
    n, rows = 20, np.setdiff1d(np.arange(20), [2])
    ledger = a_ledger(n, signal_time_ns=START_NS + np.arange(n) * HOUR_NS)
    horizon_s = 24 * 3600.0

    def counted(until_s: float, told: Any, ledger: Ledger = ledger) -> int:
        marks = replace(
            marks_of(np.full((19, 1), 0.01), np.array([60.0])),
            row=rows,
            until_s=np.full(19, until_s),
        )
        ended_ns = np.full(len(told), START_NS + n * HOUR_NS)
        reached = some_horizons(
            *(ledger, told),
            age_s=horizon_s,
            is_censored=np.isin(told, [2]),
            ended_ns=ended_ns,
        )
        decay = decay_curves(ledger, marks, reached, rng())
        assert bool(decay.notes) == (decay.all.points[0].mean_return.n < 19)
        return decay.all.points[0].mean_return.n

    assert counted(horizon_s, np.arange(n)) == 19
    assert counted(horizon_s, rows) == 2
    assert counted(0.0, rows) == 19
    status = np.where(np.arange(n) == 2, ResultStatus.PENDING, ResultStatus.MATURED)
    ended_ns = ledger.shadow_exit_time_ns.copy()
    ended_ns[0] += 23 * HOUR_NS
    own = replace(ledger, shadow_status=status.astype(np.int8), shadow_exit_time_ns=ended_ns)
    assert counted(0.0, rows, own) == 2


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_too_little_data_is_said(n: int) -> None:
    """A few signals have points without intervals and no half-life."""
    decay = curves(a_ledger(n), marks_of(decaying(1, 900.0, n)), rng())
    assert decay.all.half_life_s.value is None
    assert decay.all.half_life_s.note
    assert all(point.mean_return.low is None for point in decay.all.points)
    assert decay.all.execution_delay_s.value is None
    assert (decay.all.peak_age_s is None) == (n == 0)


@settings(max_examples=25, deadline=None)
@given(odd_ledgers(), st.integers(0, 2**32 - 1))
def test_no_number_is_ever_undefined(ledger: Ledger, seed: int) -> None:
    """Whatever ledger and markouts hold, no NaN and no infinity leaves the curves."""
    chance = np.random.default_rng(seed)
    m = 3 * len(ledger)
    marks = Markouts(
        row=np.tile(np.arange(len(ledger)), 3),
        age_s=chance.choice((NAN, 1.0, 60.0, 1e300, 3e9, DAY_NS / 1e9), m),
        trading_days=chance.choice((0, 0, 1, 30), m).astype(np.int32),
        calendar=np.zeros(m, dtype=np.int32),
        calendars=("XNYS",),
        return_fraction=chance.choice((NAN, 5e-324, 0.01, -0.01, 1e9, 1e300), m),
        until_s=chance.choice((0.0, 60.0, 3e9, 1e300, NAN, DAY_NS / 1e9), m),
    )
    n = len(ledger)
    reached = some_horizons(
        *(ledger, np.arange(n)),
        entry_ns=chance.choice((0, START_NS, START_NS + DAY_NS), n),
        ended_ns=chance.choice((0, START_NS, START_NS + 400 * DAY_NS, 2**62), n),
    )
    reached.age_s[:] = chance.choice((NAN, 60.0, 3e9, 1e300), n)
    assert list(bad_numbers(decay_curves(ledger, marks, reached, rng()))) == []
