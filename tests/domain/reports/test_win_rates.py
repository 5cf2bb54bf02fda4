from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.duration.survfunc import CumIncidenceRight

from tests.domain.ledgers import DAY_NS, HOUR_NS, START_NS, a_ledger
from trimtab_server.domain.ledger.cohorts import lives_of
from trimtab_server.domain.ledger.columns import Ledger, ResultStatus
from trimtab_server.domain.ledger.trades import Mask
from trimtab_server.domain.reports.win_rates import competing_risks, incidence, win_rates
from trimtab_server.domain.statistics.estimates import IntArray

NAN = float("nan")
LIFE_DAYS = 20


def rng() -> np.random.Generator:
    """The same chance for every test."""
    return np.random.default_rng(1)


def racing_world(seed: int, n: int = 1500, days: int = 30, *, real: bool = True) -> Ledger:
    """Half of all signals win, within 20 days; losers exit fast; seen for 30 days only."""
    chance = np.random.default_rng(seed)
    won = chance.random(n) < 0.5
    life = np.where(won, chance.uniform(0, LIFE_DAYS, n), chance.exponential(2.0, n))
    life = np.minimum(life, LIFE_DAYS)
    entry = START_NS + np.sort(chance.integers(0, days * DAY_NS, n))
    leave = entry + (life * DAY_NS).astype(np.int64)
    end = START_NS + days * DAY_NS
    closed = leave <= end
    result = np.where(closed, np.where(won, 0.02, -0.02), NAN)
    status = np.where(closed, ResultStatus.MATURED, ResultStatus.PENDING)
    kind = "real" if real else "shadow"
    told: dict[str, Any] = {
        f"{kind}_return": result,
        f"{kind}_status": status,
        f"{kind}_entry_time_ns": entry,
        f"{kind}_exit_time_ns": np.where(closed, leave, 0),
    }
    return a_ledger(
        n,
        signal_time_ns=entry,
        decision_time_ns=entry,
        holding_s=LIFE_DAYS * DAY_NS / 1e9,
        **{"shadow_return": NAN, **told},
    )


def test_closed_trades_mislead_and_the_honest_rates_do_not() -> None:
    """Truth 0.50: closed trades read about 0.41; both honest rates lie within 0.02 of the truth on
    average over 40 worlds, and their intervals hold it."""
    closed, matured, raced, held, both = [], [], [], 0, 0
    for seed in range(40):
        found = win_rates(racing_world(seed), np.random.default_rng(seed))
        assert found.closed.value is not None
        assert found.matured.value is not None
        assert found.competing_risks.value is not None
        closed.append(found.closed.value)
        matured.append(found.matured.value)
        raced.append(found.competing_risks.value)
        for rate in (found.matured, found.competing_risks):
            if rate.low is not None and rate.high is not None:
                both += 1
                held += rate.low <= 0.5 <= rate.high
    assert 0.39 <= np.mean(closed) <= 0.43
    assert abs(np.mean(matured) - 0.5) <= 0.02
    assert abs(np.mean(raced) - 0.5) <= 0.02
    assert not both or held / both >= 0.85


@pytest.mark.parametrize("way", ["censored at the end", "a symbol for each signal"])
@pytest.mark.parametrize("real", [True, False])
def test_the_matured_rate_is_right_however_what_is_open_is_told(way: str, *, real: bool) -> None:
    """Truth 0.50: an end that calls all open positions censored, or one symbol for each signal,
    leaves the matured rate within 0.02 on average over 40 worlds."""
    matured = []
    for seed in range(40):
        ledger = racing_world(seed, real=real)
        if way == "censored at the end":
            name = "real_status" if real else "shadow_status"
            status = getattr(ledger, name)
            status = np.where(status == ResultStatus.PENDING, ResultStatus.CENSORED, status)
            changed: dict[str, Any] = {name: status.astype(np.int8)}
        else:
            codes = np.arange(1, len(ledger) + 1, dtype=np.int32)
            symbols = ("", *(f"S{code}" for code in codes))
            changed = {"symbol": codes, "names": replace(ledger.names, symbols=symbols)}
        rate = win_rates(replace(ledger, **changed), rng()).matured
        assert rate.value is not None
        matured.append(rate.value)
    assert abs(np.mean(matured) - 0.5) <= 0.02


def test_intervals_of_the_honest_rates_cover() -> None:
    """Seen for 400 days there are blocks enough: 95 % intervals hold 0.50 in at least 88 % of 100
    worlds, for both rates."""
    held = np.zeros(2)
    for seed in range(100):
        found = win_rates(racing_world(seed, 1000, 400), np.random.default_rng(seed))
        for k, rate in enumerate((found.matured, found.competing_risks)):
            assert rate.low is not None
            assert rate.high is not None
            held[k] += rate.low <= 0.5 <= rate.high
    assert np.all(held >= 88)


def test_simulated_results_stand_in_only_where_nothing_is_real() -> None:
    """Without a real result the rates are of simulated ones, and say so."""
    simulated = win_rates(racing_world(1, real=False), rng())
    assert "simulated" in simulated.closed.note
    assert "simulated" in simulated.matured.note
    assert "simulated" in simulated.competing_risks.note
    assert "simulated" not in win_rates(racing_world(1), rng()).closed.note


def test_only_signals_that_are_old_enough_count_as_matured() -> None:
    """The cohort is chosen by age alone; one without a result is left out and told."""
    ledger = a_ledger(
        4,
        signal_time_ns=START_NS + np.array([0, 1, 2, 30]) * HOUR_NS,
        decision_time_ns=START_NS + np.array([0, 1, 2, 30]) * HOUR_NS,
        holding_s=10 * 3600.0,
        shadow_return=NAN,
        shadow_exit_time_ns=0,
        real_status=[2, 2, 1, 2],
        real_return=[0.1, -0.1, NAN, 0.1],
        real_entry_time_ns=START_NS + np.array([0, 1, 2, 30]) * HOUR_NS,
        real_exit_time_ns=[
            START_NS + 5 * HOUR_NS,
            START_NS + 6 * HOUR_NS,
            0,
            START_NS + 31 * HOUR_NS,
        ],
    )
    found = win_rates(ledger, rng())
    assert found.closed.n == 3
    assert found.matured.n == 2
    assert found.matured.value == pytest.approx(0.5)
    assert "old enough but without a result: 1" in found.matured.note
    assert found.win_holding_s == pytest.approx(5 * 3600)
    assert found.loss_holding_s == pytest.approx(5 * 3600)


def brute_force(age: IntArray, closed: Mask, won: Mask) -> tuple[float, float]:
    """Aalen and Johansen as the textbook has it, in plain loops."""
    survival, wins, losses = 1.0, 0.0, 0.0
    for each in sorted(set(age.tolist())):
        risk = sum(a >= each for a in age)
        w = sum(a == each and c and v for a, c, v in zip(age, closed, won, strict=True))
        x = sum(a == each and c and not v for a, c, v in zip(age, closed, won, strict=True))
        wins += survival * w / risk
        losses += survival * x / risk
        survival *= 1 - (w + x) / risk
    return wins, losses


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_incidence_is_that_of_plain_loops(n: int, seed: int) -> None:
    """With ties and open positions, both incidences are the textbook's; shares add up to one."""
    chance = np.random.default_rng(seed)
    age = chance.integers(0, 8, n)
    closed, won = chance.random(n) < 0.7, chance.random(n) < 0.5
    found = incidence(age, closed, won)
    wins, losses = brute_force(age, closed, won)
    assert found.won == pytest.approx(wins)
    assert found.lost == pytest.approx(losses)
    assert found.won + found.lost + found.open == pytest.approx(1.0)
    assert found.won_influences.sum() == pytest.approx(0.0, abs=1e-9)


def test_incidence_is_that_of_an_independent_library() -> None:
    """statsmodels' cumulative incidence ends where ours does, for wins and for losses."""
    chance = np.random.default_rng(3)
    age = chance.permutation(300) + 1
    cause = chance.choice(3, 300, p=(0.3, 0.4, 0.3))
    # Its standard errors divide by the last one at risk.
    with np.errstate(all="ignore"):
        theirs = CumIncidenceRight(age.astype(float), cause)
    found = incidence(age, cause > 0, cause == 1)
    assert found.won == pytest.approx(float(theirs.cinc[0][-1]))
    assert found.lost == pytest.approx(float(theirs.cinc[1][-1]))


def test_influences_are_what_leaving_one_out_shows() -> None:
    """Pseudo-values (n x all - (n - 1) x all but one) agree with the closed form."""
    chance = np.random.default_rng(4)
    n = 400
    age = chance.integers(1, 60, n)
    closed, won = chance.random(n) < 0.8, chance.random(n) < 0.5
    whole = incidence(age, closed, won)
    for k in range(0, n, 37):
        rest = np.arange(n) != k
        left = incidence(age[rest], closed[rest], won[rest]).won
        pseudo = n * whole.won - (n - 1) * left
        assert pseudo - whole.won == pytest.approx(whole.won_influences[k], abs=0.03)


def test_without_open_positions_the_race_is_the_plain_win_rate() -> None:
    """Nothing censored: every rate is the share of wins."""
    returns = np.random.default_rng(2).normal(0, 0.01, 200)
    found = win_rates(a_ledger(200, real_return=returns), rng())
    plain = float(np.mean(returns > 0))
    assert found.closed.value == pytest.approx(plain)
    assert found.competing_risks.value == pytest.approx(plain)


def test_an_end_that_is_not_in_sight_gives_no_number() -> None:
    """With most positions still open there is no share in the end to tell."""
    ledger = racing_world(2, 300, 30)
    lives = lives_of(ledger, is_real=True)
    few = lives._replace(is_closed=lives.is_closed & (np.arange(300) < 10))
    found = competing_risks(few, rng())
    assert found.value is None
    assert "too early" in found.note


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_too_little_data_is_said(n: int) -> None:
    """A few outcomes make no interval."""
    found = win_rates(a_ledger(n, real_return=np.linspace(-0.1, 0.1, n)), rng())
    for rate in (found.closed, found.matured, found.competing_risks):
        assert rate.low is None
        assert rate.note
