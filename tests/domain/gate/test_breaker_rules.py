"""The policy as the domain knows it, and how long a run of bad luck must be to mean something."""

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest

from trimtab_server.domain.gate.breaker_record import BreakerRule
from trimtab_server.domain.gate.breaker_rules import (
    GatePolicy,
    expected_trades_until,
    losses_in_a_row,
)
from trimtab_server.domain.gate.signal_gate import BreakerKind, FallbackRule, Parameters, Scope


def _first_run(rng: np.random.Generator, losses: int, win_rate: float) -> int:
    """How many trades until this many in a row were lost."""
    run = count = 0
    while run < losses:
        count += 1
        run = run + 1 if rng.random() >= win_rate else 0
    return count


@pytest.mark.parametrize(("losses", "win_rate"), [(1, 0.5), (3, 0.5), (5, 0.55), (4, 0.4)])
def test_the_expected_trades_are_those_of_a_simulation(losses: int, win_rate: float) -> None:
    """Within four standard errors of 4,000 simulated strategies."""
    rng = np.random.default_rng(7)
    counts = np.array([_first_run(rng, losses, win_rate) for _ in range(4_000)])
    error = counts.std() / np.sqrt(len(counts))
    assert abs(counts.mean() - expected_trades_until(losses, win_rate)) < 4 * error


@pytest.mark.parametrize("win_rate", [0.05, 0.3, 0.5, 0.55, 0.9, 0.95])
@pytest.mark.parametrize("trades", [10, 500, 10_000, 1e9])
def test_the_count_is_the_smallest_that_chance_spares(win_rate: float, trades: float) -> None:
    """One loss fewer would trip too often; and a window can hold it."""
    count = losses_in_a_row(win_rate, trades)
    loss_rate = 1 - win_rate
    run = loss_rate**count
    assert (1 - run) / (run * (1 - loss_rate)) >= trades * (1 - 1e-9)
    assert count == 1 or expected_trades_until(count - 1, win_rate) < trades
    assert 1 <= count <= 1_000


def test_five_losses_in_two_hundred_trades_are_no_news() -> None:
    """At a win rate of 0.55 nearly nine in ten such stretches hold them: five is a bad limit."""
    rng = np.random.default_rng(11)
    lost = rng.random((20_000, 200)) >= 0.55
    runs = lost[:, :-4] & lost[:, 1:-3] & lost[:, 2:-2] & lost[:, 3:-1] & lost[:, 4:]
    share = float(np.mean(np.max(runs, axis=1)))
    assert share == pytest.approx(0.88, abs=0.015)
    assert losses_in_a_row(0.55, 10_000) > 5


def test_parameters_of_an_environment_come_before_those_of_all() -> None:
    """Of equally specific scopes the first wins, so the narrower must be first."""
    shared, own = Parameters(Scope(), 0.5), Parameters(Scope(), 0.7)
    policy = GatePolicy(parameters=((None, shared), (1, own), (2, shared)))
    assert policy.parameters_of(1) == (own, shared)
    assert policy.parameters_of(3) == (shared,)


def test_the_digest_changes_with_any_value() -> None:
    """And with nothing else: the same policy made again has the same."""
    rule = BreakerRule("a", BreakerKind.DRAWDOWN, 0.1)
    policies = [
        GatePolicy(),
        GatePolicy(parameters=((None, Parameters(Scope(), 0.5)),)),
        GatePolicy(parameters=((1, Parameters(Scope(), 0.5)),)),
        GatePolicy(breakers=(rule,)),
        GatePolicy(breakers=(replace(rule, cool_down_jitter=0.2),)),
        GatePolicy(fallback=FallbackRule(confidence_multiplier=0.7)),
        GatePolicy(always_closed=True),
        GatePolicy(lease_ttl_s=6),
        GatePolicy(rules_max=9),
        GatePolicy(runs_max=9),
    ]
    assert len({policy.digest for policy in policies}) == len(policies) > len(fields(GatePolicy))
    assert replace(policies[3]).digest == policies[3].digest
    digests = sorted(policy.digest for policy in policies)
    assert all(len(one) == 32 and one != other for one, other in pairwise(digests))
