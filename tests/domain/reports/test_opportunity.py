from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.domain.ledgers import a_ledger
from tests.domain.odd_ledgers import bad_numbers, odd_ledgers
from trimtab_server.domain.ledger.columns import APPROVED, Ledger
from trimtab_server.domain.reports.opportunity import blocked_opportunity_cost

NAN = float("nan")


def rng() -> np.random.Generator:
    """The same chance for every test."""
    return np.random.default_rng(1)


def test_missed_profit_and_avoided_loss_by_hand() -> None:
    """Blocked winners are missed profit, blocked losers avoided loss; approved ones are not in."""
    ledger = a_ledger(
        5,
        shadow_return=[0.05, -0.02, 0.01, NAN, 0.9],
        shadow_optimistic=[0.06, -0.01, 0.01, NAN, 0.9],
        shadow_pessimistic=[0.04, -0.03, 0.0, NAN, 0.9],
        size=1000.0,
        blocked_by=[("v",), ("v", "e"), ("e",), ("v",), ()],
    )
    found = blocked_opportunity_cost(ledger, rng())
    assert (found.blocked_count, found.matured_count) == (4, 3)
    assert found.missed_profit.value == pytest.approx(0.06)
    assert found.avoided_loss.value == pytest.approx(0.02)
    assert found.net_opportunity_cost.value == pytest.approx(0.04)
    assert found.net_opportunity_cost_optimistic == pytest.approx(0.06)
    assert found.net_opportunity_cost_pessimistic == pytest.approx(0.01)
    assert found.missed_profit_money == pytest.approx(60.0)
    assert found.avoided_loss_money == pytest.approx(20.0)
    assert found.win_rate.value == pytest.approx(2 / 3)
    lines = {line.guard: line for line in found.blockers}
    assert list(lines) == ["e", "v"]
    assert (lines["v"].blocked_count, lines["v"].blocked_alone_count) == (3, 2)
    assert (lines["e"].blocked_count, lines["e"].blocked_alone_count) == (2, 1)
    assert lines["v"].missed_profit == pytest.approx(0.05)
    assert lines["v"].avoided_loss == lines["e"].avoided_loss == pytest.approx(0.02)


def test_money_is_told_only_where_every_size_is_known() -> None:
    """One size that is not known: no money at all, rather than too little of it."""
    told: dict[str, Any] = {"shadow_return": [0.05, -0.02], "blocked_by": [("v",), ("v",)]}
    found = blocked_opportunity_cost(a_ledger(2, size=[1000.0, NAN], **told), rng())
    assert found.missed_profit_money is None
    assert found.avoided_loss_money is None


def test_an_order_that_would_not_have_been_filled_made_nothing() -> None:
    """It is matured, but neither a win nor a loss."""
    ledger = a_ledger(
        2, shadow_return=[0.05, 0.0], shadow_flags=[0, 8], blocked_by=[("v",), ("v",)]
    )
    found = blocked_opportunity_cost(ledger, rng())
    assert found.matured_count == 2
    assert found.win_rate.value == 1.0
    assert found.win_rate.n == 1


def test_what_cannot_be_added_up_is_no_result() -> None:
    """Returns beyond all reason: nothing is known, and why is told; a line without results has no
    sums, one whose orders would not have been filled has zeros."""
    ledger = a_ledger(
        3, shadow_return=[1e12, NAN, 0.0], shadow_status=2, blocked_by=[("v",), ("v",), ()]
    )
    found = blocked_opportunity_cost(ledger, rng())
    assert (found.blocked_count, found.matured_count) == (2, 0)
    assert found.net_opportunity_cost.value is None
    assert found.net_opportunity_cost.note.endswith("2 came to a return that is no sound number")
    (line,) = found.blockers
    assert (line.missed_profit, line.avoided_loss) == (None, None)
    unfilled = a_ledger(1, shadow_return=0.0, shadow_flags=8, blocked_by=[("v",)])
    found = blocked_opportunity_cost(unfilled, rng())
    assert (found.matured_count, found.net_opportunity_cost.value) == (1, 0.0)
    assert found.blockers[0].missed_profit == found.blockers[0].avoided_loss == 0.0


def test_a_guard_that_only_watches_blocked_nothing() -> None:
    """A BLOCK verdict on a signal that was approved all the same has cost nothing."""
    ledger = a_ledger(1, shadow_return=0.1, blocked_by=[("v",)], action=APPROVED)
    found = blocked_opportunity_cost(ledger, rng())
    assert found.blocked_count == 0
    assert found.blockers == ()


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_too_little_data_says_what_it_needs(n: int) -> None:
    """A few outcomes give sums without intervals, and a note with what is missing."""
    ledger = a_ledger(n, shadow_return=0.01 * np.arange(n), blocked_by=[("v",)] * n)
    found = blocked_opportunity_cost(ledger, rng())
    assert found.net_opportunity_cost.low is None
    assert found.net_opportunity_cost.note
    assert found.outcomes_needed is None
    if n:
        assert "more outcomes" in found.net_opportunity_cost.note


def test_the_net_cost_is_covered_in_a_world_of_known_truth() -> None:
    """Blocked signals worth 0.002 each, held ten days on five symbols: 95 % intervals hold it."""
    covered = 0
    for seed in range(100):
        chance = np.random.default_rng(seed)
        day = np.repeat(np.arange(400), 5)
        steps = chance.normal(0, 0.01, (410, 1)) + chance.normal(0, 0.01, (410, 5))
        path = np.cumsum(steps, axis=0)
        returns = (path[10:] - path[:-10]).reshape(-1) + 0.002
        at = 19_000 * 86_400_000_000_000 + day * 86_400_000_000_000
        ledger = a_ledger(
            2000,
            signal_time_ns=at,
            decision_time_ns=at,
            shadow_exit_time_ns=at + 10 * 86_400_000_000_000,
            shadow_return=returns,
            blocked_by=[("v",)] * 2000,
        )
        found = blocked_opportunity_cost(ledger, chance).net_opportunity_cost
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 4.0 <= found.high
    assert covered >= 95 - 3 * np.sqrt(100 * 0.95 * 0.05)


@settings(max_examples=60, deadline=None)
@given(odd_ledgers())
def test_no_number_is_ever_undefined(ledger: Ledger) -> None:
    """Whatever the ledger holds, no NaN and no infinity leaves the report."""
    assert list(bad_numbers(blocked_opportunity_cost(ledger, rng()))) == []
