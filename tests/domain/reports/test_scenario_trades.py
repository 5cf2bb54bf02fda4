"""Which signals a scenario takes, against plain loops."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.domain.guard_worlds import capped_world
from tests.domain.ledgers import a_ledger
from tests.domain.small_desk import VOLATILITY
from tests.domain.what_if_ledgers import counts, random_ledger, what_if
from trimtab_server.domain.ledger.columns import (
    APPROVED,
    BLOCK,
    BLOCKED,
    HOLD,
    NOT_EVALUATED,
    STATEFUL,
    STATELESS,
    GuardRule,
    Ledger,
    Names,
    Predictions,
)
from trimtab_server.domain.reports.portfolio import Identifiability
from trimtab_server.domain.reports.scenarios import (
    CapitalLimit,
    Change,
    ConfidenceThreshold,
    ExpectedReturnThreshold,
    GuardLimit,
    GuardOff,
    InvalidScenario,
    ModelWeights,
    PositionLimit,
    Scenario,
)
from trimtab_server.domain.reports.what_if import WhatIf

SIMULATED = Identifiability.SIMULATED
NOT_IDENTIFIABLE = Identifiability.NOT_IDENTIFIABLE
FULL = settings(max_examples=60, deadline=None)


def plain_choice(ledger: Ledger, changes: Sequence[Change]) -> list[bool]:
    """Signal by signal, what `random_ledger` would have decided under other thresholds."""
    least, most, uses_news, expected = 0.6, 0.05, True, -math.inf
    for change in changes:
        match change:
            case GuardOff("confidence"):
                least = -math.inf
            case GuardOff("volatility"):
                most = math.inf
            case GuardOff("news"):
                uses_news = False
            case GuardLimit("volatility", limit):
                most = limit
            case GuardLimit("confidence", limit):
                least = limit
            case ConfidenceThreshold(threshold):
                least = threshold
            case ExpectedReturnThreshold(threshold):
                expected = threshold
    shown = ledger.verdicts.observed.reshape(-1, 3)
    news = ledger.verdicts.result.reshape(-1, 3)[:, 2] == BLOCK
    return [
        bool(row[0] >= least and row[1] <= most and not (uses_news and told) and hoped >= expected)
        for row, told, hoped in zip(shown, news, ledger.expected_return, strict=True)
    ]


CHANGES = st.lists(
    st.one_of(
        st.sampled_from([GuardOff("volatility"), GuardOff("news")]),
        st.builds(GuardLimit, st.just("volatility"), st.sampled_from([0.0, 0.03, 0.05, 0.08])),
        st.builds(ConfidenceThreshold, st.sampled_from([0.0, 0.4, 0.6, 0.61, 0.9])),
        st.builds(ExpectedReturnThreshold, st.sampled_from([0.0, 0.005, 0.01])),
    ),
    max_size=4,
    unique_by=lambda change: str(getattr(change, "guard", type(change))),
)


@FULL
@given(st.integers(1, 60), st.integers(0, 50), CHANGES)
def test_what_a_scenario_takes_is_what_a_plain_loop_takes(
    n: int, seed: int, changes: list[Change]
) -> None:
    """Guards off, limits and thresholds moved, in any combination: counts, sums and the drawdown
    are those of a loop over the signals, and the quick totals agree with the full answer."""
    ledger = random_ledger(n, seed)
    result = what_if(ledger, *changes)
    taken = np.array(plain_choice(ledger, changes))
    actual = ledger.action == APPROVED
    r = ledger.shadow_return
    assert counts(result) == (
        int(np.count_nonzero(taken & actual)),
        int(np.count_nonzero(taken & ~actual)),
        int(np.count_nonzero(~taken & actual)),
    )
    assert result.scenario.total_return.value == pytest.approx(r[taken].sum(), abs=1e-12)
    difference = r[taken].sum() - r[actual].sum()
    assert result.difference.value == pytest.approx(difference, abs=1e-12)
    assert result.difference_money.value == pytest.approx(1_000 * difference, abs=1e-9)
    path = np.concatenate([[0.0], np.cumsum(r[taken])])
    totals = WhatIf(ledger).totals(Scenario(tuple(changes)))
    assert totals is not None
    assert totals.trade_count == result.scenario.trade_count == taken.sum()
    assert totals.total_return == pytest.approx(r[taken].sum(), abs=1e-12)
    if taken.any():
        deepest = float(np.max(np.maximum.accumulate(path) - path))
        assert totals.max_drawdown == pytest.approx(deepest, abs=1e-12)
        assert result.scenario.max_drawdown == pytest.approx(deepest, abs=1e-12)
        assert totals.mean_return == pytest.approx(r[taken].mean())
        assert result.overlap_fraction == pytest.approx((taken & actual).sum() / taken.sum())
    else:
        assert totals.mean_return is totals.max_drawdown is result.overlap_fraction is None


@FULL
@given(st.integers(1, 40), st.integers(0, 50), CHANGES, st.randoms())
def test_the_order_of_changes_changes_nothing(
    n: int, seed: int, changes: list[Change], chance: object
) -> None:
    """Changes hold together: shuffled they give the same answer, to the bit."""
    ledger = random_ledger(n, seed)
    shuffled = list(changes)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    named = [Scenario(tuple(each), "same") for each in (changes, shuffled)]
    first, second = (WhatIf(ledger).result(s, np.random.default_rng(1)) for s in named)
    assert replace(first, reasons=()) == replace(second, reasons=())
    assert set(first.reasons) == set(second.reasons)


def test_a_limit_beside_the_engines_own_guard_says_that_both_hold() -> None:
    """A wider limit than the engine's changes nothing and says why; a narrower one does; without
    the guard the limit alone holds, and nothing is said."""
    ledger = capped_world(3, GuardRule.POSITION_COUNT, days=60)
    beside = "the limit on positions holds beside the engine's own cap: a signal has to pass both"
    wide = what_if(ledger, PositionLimit(50))
    assert counts(wide)[1:] == (0, 0)
    assert any(beside in each for each in wide.reasons)
    narrow = what_if(ledger, PositionLimit(2))
    assert narrow.removed_count > 0
    assert any(beside in each for each in narrow.reasons)
    alone = what_if(ledger, PositionLimit(50), GuardOff("cap"))
    assert alone.added_count > 0
    assert not any("beside the engine's own" in each for each in alone.reasons)
    capital = what_if(ledger, CapitalLimit(0.9))
    assert not any("beside the engine's own" in each for each in capital.reasons)
    exposed = capped_world(3, GuardRule.EXPOSURE, days=60)
    told = what_if(exposed, CapitalLimit(0.9)).reasons
    assert any("the limit on capital holds beside the engine's own cap" in each for each in told)


def test_no_guards_is_every_signal() -> None:
    """The star leaves every guard out: the scenario is the unfiltered ledger, with what was passed
    over, and it says so."""
    ledger = random_ledger(300, 3)
    action = ledger.action.copy()
    action[:7] = HOLD
    result = what_if(replace(ledger, action=action), GuardOff("*"))
    assert result.scenario.trade_count == 300
    assert result.scenario.total_return.value == pytest.approx(ledger.shadow_return.sum())
    assert any("7 signals that were passed over" in each for each in result.reasons)
    assert result.identifiability == SIMULATED


def test_one_of_two_overlapping_guards_frees_only_what_it_alone_blocked() -> None:
    """Two guards that block nearly the same: leaving one out adds only its own, both add all."""
    blocked_by = [["a", "b"]] * 80 + [["a"]] * 5 + [["b"]] * 15 + [[]] * 100
    ledger = a_ledger(200, blocked_by=blocked_by, shadow_return=0.01)
    assert counts(what_if(ledger, GuardOff("a"))) == (100, 5, 0)
    assert counts(what_if(ledger, GuardOff("b"))) == (100, 15, 0)
    assert counts(what_if(ledger, GuardOff("a"), GuardOff("b"))) == (100, 100, 0)


def test_more_guards_than_bits_in_a_word() -> None:
    """A hundred guards: the last ones are left out as the first ones are."""
    guards = [f"g{k:03d}" for k in range(100)]
    ledger = a_ledger(100, guards=guards, blocked_by=[[name] for name in guards])
    for name in ("g000", "g063", "g064", "g099"):
        assert counts(what_if(ledger, GuardOff(name))) == (0, 1, 0)


def test_a_guard_whose_memory_is_not_known_cannot_be_told() -> None:
    """A stateful guard of an unknown kind that blocked would have seen another history: no value;
    one that never blocked is taken not to, and one that is left out needs no history."""
    blocked_by = [["volatility"], ["secret"], [], []] * 25
    guards = ["secret", "volatility"]
    ledger = a_ledger(
        100, blocked_by=blocked_by, guards=guards, memory=[STATEFUL, STATELESS], shadow_return=0.01
    )
    result = what_if(ledger, GuardOff("volatility"))
    assert result.identifiability == NOT_IDENTIFIABLE
    assert result.difference.value is None
    assert result.scenario.total_return.value is None
    assert result.actual.trade_count == 50
    assert "secret" in result.reasons[0]
    assert WhatIf(ledger).totals(Scenario((GuardOff("volatility"),))) is None
    assert what_if(ledger, GuardOff("volatility"), GuardOff("secret")).added_count == 50
    assert what_if(ledger, GuardOff("*")).identifiability == SIMULATED
    quiet = a_ledger(
        100,
        blocked_by=[["volatility"], [], [], []] * 25,
        guards=guards,
        memory=[STATEFUL, STATELESS],
        shadow_return=0.01,
    )
    result = what_if(quiet, GuardOff("volatility"))
    assert result.identifiability == SIMULATED
    assert any("secret never blocked" in each for each in result.reasons)


def test_guards_that_were_not_asked_about_freed_signals_are_told() -> None:
    """An engine that stops at the first block leaves the others' verdicts unknown: what it would
    free cannot be valued as if they had passed."""
    ledger = random_ledger(300, 4)
    table = ledger.verdicts.result.reshape(-1, 3).copy()
    table[table[:, 0] == BLOCK, 1:] = NOT_EVALUATED
    ledger = replace(ledger, verdicts=replace(ledger.verdicts, result=table.ravel()))
    result = what_if(ledger, GuardOff("confidence"))
    assert result.identifiability == NOT_IDENTIFIABLE
    assert "not asked" in result.reasons[0]
    assert what_if(ledger, GuardOff("*")).identifiability == SIMULATED


def test_confidence_refused_without_a_guard_counts_too() -> None:
    """An engine that holds confidence against its applied threshold outside of any guard: a lower
    threshold frees what was refused for it, and nothing else that was passed over."""
    ledger = a_ledger(
        6,
        confidence=[0.9, 0.7, 0.6, 0.4, 0.7, np.nan],
        applied_threshold=[0.8, 0.8, 0.8, 0.8, 0.5, 0.8],
        action=[APPROVED, BLOCKED, HOLD, BLOCKED, HOLD, BLOCKED],
    )
    assert counts(what_if(ledger, ConfidenceThreshold(0.5))) == (1, 2, 0)
    assert counts(what_if(ledger, ConfidenceThreshold(0.95))) == (0, 0, 1)


def test_an_expected_return_threshold_takes_the_place_of_its_guard() -> None:
    """0.5 % instead of 1 %: the guard's verdict goes, the new threshold holds; where a signal
    expects nothing, what the guard said stands."""
    expected = np.array([0.02, 0.007, 0.003, np.nan, np.nan])
    ledger = a_ledger(5, expected_return=expected, blocked_by=[[], ["roi"], ["roi"], ["roi"], []])
    found = what_if(ledger, ExpectedReturnThreshold(0.005, "roi"))
    assert counts(found) == (2, 1, 0)
    assert any("2 signals expect no return" in each for each in found.reasons)
    assert counts(what_if(ledger, ExpectedReturnThreshold(0.005))) == (2, 0, 0)


def test_weights_remake_the_confidence() -> None:
    """Confidence by other weights is held against the threshold that was applied, or against the
    scenario's own; signals without predictions stay as they were."""
    names = Names(models=("", "a", "b"))
    ledger = a_ledger(
        4,
        names=names,
        confidence=[0.5, 0.9, 0.5, 0.9],
        applied_threshold=0.7,
        action=[BLOCKED, APPROVED, BLOCKED, APPROVED],
    )
    predictions = Predictions(
        row=np.array([0, 0, 1, 1]),
        model=np.array([1, 2, 1, 2], dtype=np.int32),
        probability=np.array([0.9, 0.1, 0.2, 1.0]),
    )
    found = what_if(ledger, ModelWeights({"a": 1.0}), predictions=predictions)
    assert counts(found) == (1, 1, 1)
    even = ModelWeights({"a": 2.0, "b": 2.0})
    assert counts(what_if(ledger, even, predictions=predictions)) == (1, 0, 1)
    lower = what_if(ledger, even, ConfidenceThreshold(0.5), predictions=predictions)
    assert counts(lower) == (2, 2, 0)
    blind = what_if(ledger, even)
    assert blind.identifiability == NOT_IDENTIFIABLE
    with pytest.raises(InvalidScenario, match="nobody") as caught:
        what_if(ledger, ModelWeights({"nobody": 1.0}), predictions=predictions)
    assert caught.value.violations[0].field == "changes[0].model_weights.weights['nobody']"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (GuardOff("nobody"), "changes[0].guard_off.guard"),
        (GuardLimit("nobody", 1.0), "changes[0].guard_limit.guard"),
        (
            ExpectedReturnThreshold(0.1, "nobody"),
            "changes[0].expected_return_threshold.replaces_guard",
        ),
    ],
)
def test_a_guard_that_never_spoke_is_named(change: Change, field: str) -> None:
    """An unknown guard is an error with its path and with the guards that there are."""
    with pytest.raises(InvalidScenario, match="volatility") as caught:
        what_if(random_ledger(5, 1), change)
    assert [each.field for each in caught.value.violations] == [field]


def test_a_limit_needs_something_to_hold_against_it() -> None:
    """A threshold that never told what it measured is an error; a guard that did not tell how it
    decides is not identifiable."""
    ledger = random_ledger(20, 1)
    found = what_if(ledger, GuardLimit("news", 0.5))
    assert found.identifiability == NOT_IDENTIFIABLE
    verdicts = replace(ledger.verdicts, observed=np.full(60, np.nan))
    with pytest.raises(InvalidScenario) as caught:
        what_if(replace(ledger, verdicts=verdicts), GuardLimit(VOLATILITY, 0.5))
    assert caught.value.violations[0].field == "changes[0].guard_limit.limit"
