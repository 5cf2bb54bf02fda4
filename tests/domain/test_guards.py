import numpy as np
import pytest

from trimtab_server.domain.estimates import Estimate
from trimtab_server.domain.guards import GuardEffect, JudgedSignal, guard_lines, outcomes_needed

GUARDS = {"volatility": False, "exposure": True}
BOTH = frozenset(GUARDS)


def judged(day: int, blocked: set[str], result: float | None) -> JudgedSignal:
    """A signal on which both guards were asked."""
    return JudgedSignal(f"s{day}", day, BOTH, frozenset(blocked), result)


def test_a_guard_is_credited_only_with_what_it_alone_blocked() -> None:
    """A signal that two guards blocked would stay blocked without either: nobody is credited."""
    signals = [
        judged(0, {"volatility"}, -0.02),
        judged(1, {"volatility"}, 0.05),
        judged(2, {"volatility", "exposure"}, -0.5),
        judged(3, {"volatility"}, None),
        judged(4, set(), 0.9),
    ]
    volatility, exposure = guard_lines(signals, GUARDS, 10, 1.0, np.random.default_rng(1))
    assert (volatility.evaluated_count, volatility.blocked_count) == (5, 4)
    assert (volatility.blocked_alone_count, volatility.matured_count) == (3, 2)
    assert volatility.missed_profit == pytest.approx(0.05)
    assert volatility.avoided_loss == pytest.approx(0.02)
    assert volatility.guard_value == pytest.approx(-0.03)
    assert volatility.provisional_win_rate == pytest.approx(0.5)
    assert exposure.blocked_count == 1
    assert exposure.blocked_alone_count == 0
    assert exposure.mean_return.value is None


@pytest.mark.parametrize(
    ("mean", "effect"),
    [
        (-0.02, GuardEffect.HELPS),
        (0.02, GuardEffect.COSTS),
        (0.0002, GuardEffect.UNDECIDED),
    ],
)
def test_effect_follows_the_interval(mean: float, effect: GuardEffect) -> None:
    """Losers kept out: helps; winners kept out: costs; an interval over zero: undecided."""
    returns = mean + np.random.default_rng(2).normal(0, 0.02, 300)
    returns += mean - returns.mean()
    signals = [judged(k, {"volatility"}, float(r)) for k, r in enumerate(returns)]
    line = guard_lines(signals, GUARDS, 300, 5.0, np.random.default_rng(1), count=300)[0]
    assert line.effect is effect
    assert (line.outcomes_needed is not None) == (effect is GuardEffect.UNDECIDED)


def test_a_stateful_guard_gets_no_verdict() -> None:
    """What it would have seen without itself is not in the data, however clear the returns."""
    signals = [judged(k, {"exposure"}, -0.05 + 0.001 * (k % 3)) for k in range(300)]
    line = guard_lines(signals, GUARDS, 300, 5.0, np.random.default_rng(1), count=200)[1]
    assert line.mean_return.decided_sign == -1
    assert line.effect is GuardEffect.NOT_IDENTIFIABLE
    assert line.outcomes_needed is None


def test_guards_that_block_nothing_at_random_are_seldom_judged() -> None:
    """Null world: worthless blocking is called helpful or costly in about 5 % of 150 worlds."""
    decided = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        signals = [judged(k, {"volatility"}, float(r)) for k, r in enumerate(rng.normal(0, 1, 200))]
        line = guard_lines(signals, {"volatility": False}, 200, 5.0, rng, count=150)[0]
        decided += line.effect is not GuardEffect.UNDECIDED
    assert decided / 150 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


def test_outcomes_still_needed_by_hand() -> None:
    """Half-width twice the mean: four times the sample, so three times as many more."""
    assert outcomes_needed(Estimate(0.01, -0.01, 0.03, 100, 100)) == 300
    assert outcomes_needed(Estimate(0.01, 0.005, 0.03, 100, 100)) is None
    assert outcomes_needed(Estimate(0.0, -0.01, 0.01, 100, 100)) is None
    assert outcomes_needed(Estimate(0.01, None, None, 5, 5)) is None


def test_no_signals_give_lines_of_nothing() -> None:
    """Guards that nobody asked have lines all the same."""
    for line in guard_lines([], GUARDS, 0, 1.0, np.random.default_rng(1)):
        assert line.blocked_count == 0
        assert line.mean_return.note == "no outcomes"
