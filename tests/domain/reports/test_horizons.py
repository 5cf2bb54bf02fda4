from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.domain.ledgers import DAY_NS, START_NS, a_ledger, joined_horizons, some_horizons
from tests.domain.odd_ledgers import bad_numbers, odd_ledgers
from trimtab_server.domain.ledger.columns import Horizons, Ledger, ResultStatus
from trimtab_server.domain.ledger.trades import RETURN_MAX
from trimtab_server.domain.reports.ages import Age
from trimtab_server.domain.reports.horizons import HorizonResult, horizon_results
from trimtab_server.domain.shadow.result import NOT_FILLED

NAN = float("nan")


def results(ledger: Ledger, horizons: Horizons, seed: int = 1) -> tuple[HorizonResult, ...]:
    """What the horizons come to."""
    return horizon_results(ledger, horizons, np.random.default_rng(seed))[0]


def test_means_by_hand_each_with_its_interval() -> None:
    """Signals an hour apart over an hour: plain means of return, excursions and volatility, each
    within its interval; nothing is left out."""
    chance = np.random.default_rng(3)
    ledger = a_ledger(400)
    up, down, moved = (np.abs(chance.normal(0, 0.01, 400)) for _ in range(3))
    returns = chance.normal(0.002, 0.01, 400)
    told = some_horizons(
        ledger, np.arange(400), return_fraction=returns, mfe=up, mae=down, volatility=moved
    )
    (found,) = results(ledger, told)
    assert (found.horizon, found.matured_count, found.young_count) == (Age(3600.0), 400, 0)
    for estimate, values in (
        (found.mean_return, returns),
        (found.mean_mfe, up),
        (found.mean_mae, down),
        (found.mean_realized_volatility, moved),
    ):
        assert (estimate.n, estimate.note) == (400, "")
        assert estimate.value == pytest.approx(values.mean())
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < values.mean() < estimate.high
        assert 0 < estimate.effective_n <= 400


def test_horizons_stand_shortest_first_with_their_calendar() -> None:
    """Wall time and trading days by how long they last; a signal may have reached some only."""
    ledger = a_ledger(30)
    told = joined_horizons(
        some_horizons(ledger, range(5), trading_days=7),
        some_horizons(ledger, range(20), trading_days=1),
        some_horizons(ledger, range(30)),
    )
    found = results(ledger, told)
    assert [each.horizon for each in found] == [
        Age(3600.0),
        Age(None, 1, "XNYS"),
        Age(None, 7, "XNYS"),
    ]
    assert [each.matured_count for each in found] == [30, 20, 5]


def test_blocks_are_at_least_as_long_as_the_horizon() -> None:
    """A signal a day over 30 trading days: 200 days hold too few blocks of six weeks for an
    interval, and the note says what is missing; 200 days are plenty for one trading day."""
    n = 200
    ledger = a_ledger(n, signal_time_ns=START_NS + np.arange(n) * DAY_NS)
    chance = np.random.default_rng(5)
    returns = chance.normal(0.001, 0.01, n)
    short = some_horizons(ledger, np.arange(n), trading_days=1, return_fraction=returns)
    rows = np.arange(n - 60)
    long = some_horizons(ledger, rows, trading_days=30, return_fraction=returns[rows])
    day, month = results(ledger, joined_horizons(short, long))
    assert day.mean_return.low is not None
    for estimate in (month.mean_return, month.mean_mfe, month.mean_realized_volatility):
        assert (estimate.n, estimate.low) == (n - 60, None)
        assert "an interval needs 10" in estimate.note
        assert "more outcomes" in estimate.note


def test_overlapping_horizons_count_for_less_than_their_number() -> None:
    """Signals an hour apart that share one price path over a day: the interval holds the true mean
    in at least 17 of 20 worlds, and the effective sample is less than an eighth of them."""
    n, span = 24 * 120, 24
    ledger = a_ledger(n)
    held, effective = 0, []
    for seed in range(20):
        steps = np.random.default_rng(seed).normal(0, 0.01, n + span)
        path = np.concatenate([[0.0], np.cumsum(steps)])
        returns = path[span : span + n] - path[:n]
        told = some_horizons(ledger, np.arange(n), age_s=span * 3600.0, return_fraction=returns)
        (found,) = results(ledger, told, seed)
        assert found.mean_return.low is not None
        assert found.mean_return.high is not None
        held += found.mean_return.low <= 0 <= found.mean_return.high
        effective.append(found.mean_return.effective_n)
    assert held >= 17
    assert np.median(effective) < n / 8


def test_results_that_came_early_are_left_out_until_their_age_has_one() -> None:
    """A delisted symbol ends every horizon at once: its young losers count only when signals that
    entered before them have a result too, so the mean stays that of the others."""
    n = 100
    ledger = a_ledger(n, signal_time_ns=START_NS + np.arange(n) * DAY_NS)
    grown, delisted = np.arange(80), np.array([85, 90, 95])
    now_ns = START_NS + n * DAY_NS
    entry = ledger.signal_time_ns
    told = joined_horizons(
        some_horizons(ledger, grown, age_s=20 * 86_400.0),
        some_horizons(
            ledger,
            delisted,
            age_s=20 * 86_400.0,
            ended_ns=np.full(3, now_ns),
            return_fraction=-1.0,
        ),
    )
    (found,) = results(ledger, told)
    assert (found.matured_count, found.young_count) == (80, 3)
    assert found.mean_return.value == pytest.approx(0.01)
    others = np.setdiff1d(np.arange(n), delisted)
    later = joined_horizons(
        some_horizons(ledger, others, age_s=20 * 86_400.0),
        some_horizons(ledger, delisted, age_s=20 * 86_400.0, ended_ns=entry[delisted] + DAY_NS),
    )
    (found,) = results(ledger, later)
    assert (found.matured_count, found.young_count) == (n, 0)


@pytest.mark.parametrize(
    ("changed", "young_count"),
    [
        ({"shadow_status": ResultStatus.PENDING}, 17),
        ({"shadow_flags": NOT_FILLED}, 0),
        ({"shadow_status": ResultStatus.NONE}, 0),
    ],
)
def test_only_who_may_still_have_a_result_holds_others_back(
    changed: dict[str, int], young_count: int
) -> None:
    """A symbol ends, and all its signals have a result but the third: one that is followed still
    holds back those that entered after it; one that was not filled, or that another fill model
    followed, never will have one and does not."""
    columns: dict[str, Any] = {
        "shadow_status": np.full(20, int(ResultStatus.MATURED)),
        "shadow_flags": np.zeros(20, dtype=np.int8),
    }
    for name, value in changed.items():
        columns[name][2] = value
    ledger = a_ledger(20, **columns)
    ended_ns = np.full(19, START_NS + DAY_NS)
    told = some_horizons(ledger, [0, 1, *range(3, 20)], age_s=86_400.0, ended_ns=ended_ns)
    (found,) = results(ledger, told)
    assert (found.matured_count, found.young_count) == (19 - young_count, young_count)


def test_results_that_were_lost_are_counted_and_hold_nobody_back() -> None:
    """Where prices stopped there is no result: how many is told, the means are those of the others,
    and nobody waits for them. Where all are lost the horizon stands there all the same."""
    ledger = a_ledger(20)
    is_lost = np.isin(np.arange(20), (2, 18))
    returns = np.where(is_lost, NAN, 0.01)
    told = some_horizons(ledger, np.arange(20), is_censored=is_lost, return_fraction=returns)
    (found,) = results(ledger, told)
    assert (found.matured_count, found.young_count, found.censored_count) == (18, 0, 2)
    assert found.mean_return.n == found.mean_mfe.n == 18
    assert found.mean_return.value == pytest.approx(0.01)
    (found,) = results(ledger, some_horizons(ledger, np.arange(20), is_censored=True))
    assert (found.matured_count, found.young_count, found.censored_count) == (0, 0, 20)
    assert (found.mean_return.value, found.mean_return.note) == (None, "no outcomes")


def test_the_first_early_result_is_early_too() -> None:
    """A log that is shorter than the horizon holds no result that did not come early, however long
    the first one took; but who entered before anyone that waits hides nobody."""
    ledger = a_ledger(20, signal_time_ns=START_NS + np.arange(20) * DAY_NS)
    now_ns = START_NS + 20 * DAY_NS
    month = {"age_s": 30 * 86_400.0, "return_fraction": 0.4}
    told = some_horizons(ledger, [1, 5, 9], ended_ns=np.full(3, now_ns), **month)
    (found,) = results(ledger, told)
    assert (found.matured_count, found.young_count) == (0, 3)
    assert found.mean_return.value is None


def test_a_volatility_per_bar_is_told_of_one_symbol() -> None:
    """Bars of several symbols may differ in length: a mean of both would mean nothing, so it is
    withheld with the reason, and the rest is told."""
    ledger = a_ledger(40, symbol=["BTCUSDT", "ETHUSDT"] * 20)
    (found,) = results(ledger, some_horizons(ledger, np.arange(40)))
    assert found.mean_return.n == found.mean_mfe.n == 40
    assert found.mean_realized_volatility.value is None
    assert "ask for one symbol" in found.mean_realized_volatility.note
    (found,) = results(ledger, some_horizons(ledger, np.arange(0, 40, 2)))
    assert found.mean_realized_volatility.value == pytest.approx(0.01)


def test_a_late_correction_does_not_stretch_its_horizon() -> None:
    """Told a year later it would make every horizon look as if it still ran: one signal that lost
    its prices long ago holds back none of the others."""
    ledger = a_ledger(50, signal_time_ns=START_NS + np.arange(50) * DAY_NS)
    told = some_horizons(ledger, [0, *range(2, 50)], trading_days=5)
    told.ended_ns[0] += 365 * DAY_NS
    (found,) = results(ledger, told)
    assert (found.matured_count, found.young_count) == (49, 0)


def test_what_is_not_known_is_left_out_and_said() -> None:
    """A volatility needs three closes: the others' mean stands, with how many have none; a signal
    with a return beyond all measure counts nowhere, and that is said."""
    ledger = a_ledger(6)
    moved = np.array([0.01, 0.03, NAN, NAN, -1.0, 0.5])
    returns = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 1e300])
    told = some_horizons(ledger, np.arange(6), volatility=moved, return_fraction=returns)
    (found,) = results(ledger, told)
    assert found.matured_count == found.mean_return.n == found.mean_mfe.n == 5
    assert found.mean_return.value == pytest.approx(0.03)
    assert "not known of 1 signal: left out" in found.mean_return.note
    volatility = found.mean_realized_volatility
    assert volatility.n == 2
    assert volatility.value == pytest.approx(0.02)
    assert "not known of 3 signals: left out" in volatility.note


def test_no_result_is_no_horizon() -> None:
    """Nothing is made up where nothing has matured."""
    ledger = a_ledger(10)
    assert horizon_results(ledger, some_horizons(ledger, ()), np.random.default_rng(1)) == ((), [])


def test_horizons_have_a_limit() -> None:
    """Of more than sixteen those with the most results, and a note."""
    ledger = a_ledger(20)
    parts = [some_horizons(ledger, np.arange(20 - k), age_s=60.0 * (k + 1)) for k in range(18)]
    found, notes = horizon_results(ledger, joined_horizons(*parts), np.random.default_rng(1))
    assert [each.horizon.duration_s for each in found] == [60.0 * (k + 1) for k in range(16)]
    assert notes == ["more than 16 horizons: those with the most results are shown"]


@settings(max_examples=40, deadline=None)
@given(odd_ledgers(), st.integers(0, 2**32 - 1))
def test_no_number_is_ever_undefined(ledger: Ledger, seed: int) -> None:
    """Whatever ledger and results hold: no NaN, no infinity, no interval the wrong way round, no
    excursion below zero, and every result is counted, or is young, lost or no number."""
    chance = np.random.default_rng(seed)
    n, m = len(ledger), 3 * len(ledger)
    numbers = (NAN, 5e-324, 0.01, -0.01, 1e9, 1e300, np.inf)
    told = Horizons(
        row=np.tile(np.arange(n), 3),
        age_s=chance.choice((NAN, 1.0, 60.0, 1e300, 3e9, DAY_NS / 1e9), m),
        trading_days=chance.choice((0, 0, 1, 30), m).astype(np.int32),
        calendar=np.zeros(m, dtype=np.int32),
        calendars=("XNYS",),
        entry_ns=chance.choice((0, START_NS, START_NS + DAY_NS), m),
        ended_ns=chance.choice((0, START_NS, START_NS + 400 * DAY_NS, 2**62), m),
        is_censored=chance.choice((False, False, True), m),
        return_fraction=chance.choice(numbers, m),
        gross=chance.choice(numbers, m),
        mfe=chance.choice(numbers, m),
        mae=chance.choice(numbers, m),
        volatility=chance.choice(numbers, m),
    )
    found = results(ledger, told)
    assert list(bad_numbers(found)) == []
    # Eight different horizons at most, so none is left out.
    is_known = np.abs(np.nan_to_num(told.return_fraction, nan=np.inf)) <= RETURN_MAX
    counted = sum(each.matured_count + each.young_count for each in found)
    assert counted == np.count_nonzero(is_known & ~told.is_censored)
    assert sum(each.censored_count for each in found) == np.count_nonzero(told.is_censored)
    for each in found:
        assert each.mean_return.n == each.matured_count
        for estimate in (each.mean_mfe, each.mean_mae, each.mean_realized_volatility):
            assert estimate.n <= each.matured_count
            assert (estimate.low or 0.0) >= 0.0
            assert (estimate.value or 0.0) >= 0.0
