from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.domain.ledgers import DAY_NS, HOUR_NS, START_NS, a_ledger
from trimtab_server.domain.ledger.cohorts import lives_of, settled_ledger
from trimtab_server.domain.ledger.columns import Ledger, ResultStatus

NAN = float("nan")


def simulated_race(seed: int) -> Ledger:
    """Fair signals: +2 % within 20 days or -2 % soon, half each; seen for 30 days only."""
    chance = np.random.default_rng(seed)
    n = 1500
    won = chance.random(n) < 0.5
    life = np.where(won, chance.uniform(0, 20, n), np.minimum(chance.exponential(2.0, n), 20))
    entry = START_NS + np.sort(chance.integers(0, 30 * DAY_NS, n))
    leave = entry + (life * DAY_NS).astype(np.int64)
    closed = leave <= START_NS + 30 * DAY_NS
    return a_ledger(
        n,
        signal_time_ns=entry,
        decision_time_ns=entry,
        holding_s=20 * 86_400.0,
        shadow_return=np.where(closed, np.where(won, 0.02, -0.02), NAN),
        shadow_entry_time_ns=np.where(closed, entry, 0),
        shadow_exit_time_ns=np.where(closed, leave, 0),
    )


def test_simulated_means_are_right_once_they_are_settled() -> None:
    """Truth 0: the mean of all results is -0.3 % because losers exit fast; of settled ones none."""
    naive, settled = [], []
    for seed in range(30):
        ledger = simulated_race(seed)
        naive.append(ledger.shadow_return[ledger.has_shadow].mean())
        kept = settled_ledger(ledger)
        settled.append(kept.shadow_return[kept.has_counted].mean())
    assert np.mean(naive) < -0.002
    assert abs(np.mean(settled)) < 0.0005


def test_what_is_settled_stays_settled() -> None:
    """A second time changes nothing; statuses, exits and real results are left as they are."""
    race = simulated_race(1)
    once = settled_ledger(race)
    assert settled_ledger(once) is once
    assert once.has_shadow.tolist() == race.has_shadow.tolist()
    assert np.count_nonzero(once.has_counted) < np.count_nonzero(once.has_shadow)
    ledger = a_ledger(3, real_return=0.1, shadow_return=[0.1, 0.2, NAN])
    assert settled_ledger(ledger).has_real.all()


def test_a_window_in_which_nothing_is_open_is_settled() -> None:
    """However young its last signals are: whatever comes of them has come."""
    ledger = a_ledger(5, shadow_return=0.1, holding_s=1e6)
    assert settled_ledger(ledger) is ledger


def test_a_symbol_that_never_had_prices_holds_nothing_up() -> None:
    """One that should have ended so long ago that nothing will ever come of it makes no other wait,
    with a plan or without; a younger one, a censored one and a real one do."""
    days = START_NS + np.array([0, 1, 40]) * DAY_NS
    told: dict[str, Any] = {"signal_time_ns": days, "symbol": ["dark", "A", "A"]}
    returns = [NAN, 0.1, 0.2]
    for plan in (86_400.0 * 20, NAN):
        ledger = a_ledger(3, shadow_return=returns, holding_s=plan, **told)
        assert settled_ledger(ledger) is ledger
    lost = a_ledger(
        3, shadow_return=returns, shadow_status=[3, 2, 2], holding_s=86_400.0 * 20, **told
    )
    assert settled_ledger(lost).has_counted.tolist() == [False, True, False]
    waiting = a_ledger(3, shadow_return=returns, holding_s=86_400.0 * 35, **told)
    assert settled_ledger(waiting).has_counted.tolist() == [False, True, False]
    real = a_ledger(
        3,
        real_return=returns,
        real_status=[1, 2, 2],
        real_entry_time_ns=days,
        holding_s=86_400.0 * 20,
        **told,
    )
    assert lives_of(real, is_real=True).is_old.tolist() == [True, False, True]


@pytest.mark.parametrize("way", ["censored at the end", "a symbol for each signal"])
def test_settled_means_are_right_however_what_is_open_is_told(way: str) -> None:
    """Truth 0: neither one symbol for each signal nor an end that calls all open ones censored
    brings the fast losers back."""
    settled = []
    for seed in range(30):
        ledger = simulated_race(seed)
        if way == "censored at the end":
            status = np.where(ledger.has_shadow, ResultStatus.MATURED, ResultStatus.CENSORED)
            ledger = replace(ledger, shadow_status=status.astype(np.int8))
        else:
            codes = np.arange(1, len(ledger) + 1, dtype=np.int32)
            names = replace(ledger.names, symbols=("", *(f"S{code}" for code in codes)))
            ledger = replace(ledger, names=names, symbol=codes)
        kept = settled_ledger(ledger)
        settled.append(kept.shadow_return[kept.has_counted].mean())
    assert abs(np.mean(settled)) < 0.0005


def test_without_a_plan_the_longest_life_seen_is_the_measure() -> None:
    """The longest that the strategy was seen to hold, or to be open."""
    entry = START_NS + np.array([0, 1, 4, 5]) * DAY_NS
    ledger = a_ledger(
        4,
        strategy=["a", "a", "a", "a"],
        signal_time_ns=entry,
        decision_time_ns=entry,
        holding_s=NAN,
        real_return=[0.1, -0.1, 0.1, NAN],
        real_status=[2, 2, 2, 1],
        real_entry_time_ns=entry,
        real_exit_time_ns=entry + np.array([2 * DAY_NS, HOUR_NS, HOUR_NS, -5 * DAY_NS]),
        shadow_exit_time_ns=0,
    )
    lives = lives_of(ledger, is_real=True)
    assert lives.is_closed.tolist() == [True, True, True, False]
    assert lives.is_old.tolist() == [True, True, False, False]


def test_plans_are_measured_with_what_they_were_overrun_by() -> None:
    """A plan of one hour that took three: all of that strategy may take two hours longer."""
    entry = START_NS + np.arange(4) * HOUR_NS
    ledger = a_ledger(
        4,
        signal_time_ns=entry,
        decision_time_ns=entry,
        holding_s=3600.0,
        shadow_return=[0.1, 0.1, 0.1, NAN],
        shadow_exit_time_ns=entry + np.array([3, 1, 1, -3]) * HOUR_NS,
    )
    lives = lives_of(ledger, is_real=False)
    assert lives.is_old.tolist() == [True, False, False, False]
    assert lives.ended_ns[-1] - lives.entry_ns[-1] == pytest.approx(0)
