"""What-if answers: two sides, their difference, and what may be said of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from tests.domain.ledgers import DAY_NS, HOUR_NS, START_NS, a_ledger
from tests.domain.small_desk import DESK_GUARDS, VOLATILITY, Desk, DeskGuard, Market, markets
from tests.domain.what_if_ledgers import SEED, counts, random_ledger, what_if
from trimtab_server.domain.ledger.columns import (
    APPROVED,
    GuardRule,
    ResultStatus,
)
from trimtab_server.domain.reports.portfolio import Identifiability
from trimtab_server.domain.reports.scenarios import (
    CapitalLimit,
    ConfidenceThreshold,
    CostChange,
    GuardLimit,
    GuardOff,
    PositionLimit,
    Scenario,
)
from trimtab_server.domain.reports.what_if import WhatIf
from trimtab_server.domain.statistics.estimates import Estimate

EXACT, SIMULATED = Identifiability.EXACT, Identifiability.SIMULATED
NOT_IDENTIFIABLE = Identifiability.NOT_IDENTIFIABLE
FULL = settings(max_examples=60, deadline=None)


@FULL
@given(markets(), DESK_GUARDS)
def test_a_guard_off_is_the_desk_without_it(market: Market, guards: list[DeskGuard]) -> None:
    """Guards with memory are replayed: what is kept, added and removed is what the desk itself
    would have done without its volatility guard."""
    desk = Desk(market, guards).trade()
    ledger = desk.ledger()
    with_it = np.array(desk.let_in())
    without = np.array(Desk(market, guards, uses_volatility=False).trade().let_in())
    result = what_if(ledger, GuardOff(VOLATILITY))
    if result.identifiability == NOT_IDENTIFIABLE:
        assert "the replay gives only" in result.reasons[0]
        return
    assert counts(result) == (
        int(np.count_nonzero(with_it & without)),
        int(np.count_nonzero(without & ~with_it)),
        int(np.count_nonzero(with_it & ~without)),
    )
    truth = float(ledger.shadow_return[without].sum() - ledger.shadow_return[with_it].sum())
    assert result.difference.value == pytest.approx(truth, abs=1e-12)


@FULL
@given(markets(), DESK_GUARDS)
def test_nothing_changed_is_what_happened(market: Market, guards: list[DeskGuard]) -> None:
    """A scenario without changes, or with limits that were in force, is the record itself."""
    ledger = Desk(market, guards).trade().ledger()
    first = guards[0]
    for changes in ((), (GuardLimit(first.name, first.limit),)):
        result = what_if(ledger, *changes)
        assert counts(result) == (int(np.count_nonzero(ledger.action == APPROVED)), 0, 0)
        assert result.difference.value == 0.0
        assert result.scenario.total_return.value == result.actual.total_return.value


def test_only_taking_away_with_real_results_is_exact() -> None:
    """A stricter threshold over trades that really happened: both sides are real, and say so; with
    one more that has no real result, both are simulated."""
    n = 400
    rng = np.random.default_rng(8)
    ledger = a_ledger(
        n,
        confidence=rng.random(n),
        real_return=rng.normal(0.002, 0.01, n),
        shadow_return=rng.normal(0.0, 0.01, n),
    )
    result = what_if(ledger, ConfidenceThreshold(0.5))
    gone = ledger.confidence < 0.5
    assert result.identifiability == EXACT
    assert result.actual.simulated_count == result.scenario.simulated_count == 0
    assert result.difference.value == pytest.approx(-ledger.real_return[gone].sum())
    assert result.difference.low is not None
    status = ledger.real_status.copy()
    status[np.flatnonzero(gone)[0]] = ResultStatus.CENSORED
    result = what_if(replace(ledger, real_status=status), ConfidenceThreshold(0.5))
    assert result.identifiability == SIMULATED
    assert result.actual.simulated_count == result.actual.trade_count
    assert result.difference.value == pytest.approx(-ledger.shadow_return[gone].sum())
    assert what_if(ledger, PositionLimit(1)).identifiability == SIMULATED


def test_the_best_of_a_sweep_without_any_effect_seldom_stands() -> None:
    """Ten scenarios that change nothing but chance: in about every third of 24 worlds an interval
    leaves out zero, one for all at once in at most 4; alone a scenario has no such interval."""
    alone = at_once = 0
    names = [f"g{k}" for k in range(10)]
    for seed in range(24):
        chance = np.random.default_rng(seed)
        n = 400
        blocked = [[names[k]] if k < 10 else [] for k in chance.integers(0, 12, n)]
        ledger = a_ledger(n, blocked_by=blocked, shadow_return=chance.normal(0, 0.01, n))
        world = WhatIf(ledger)
        found = [
            world.result(Scenario((GuardOff(name),)), np.random.default_rng(SEED), sweep_count=10)
            for name in names
        ]
        alone += any(each.difference.decided_sign for each in found)
        told = [each.difference_at_once for each in found]
        at_once += any(each is not None and each.decided_sign for each in told)
    assert alone >= 6
    assert at_once <= 4
    assert what_if(ledger, GuardOff("g0")).difference_at_once is None


def test_costs_are_remade_from_their_parts_and_are_linear() -> None:
    """Fees and spreads come out of the recorded parts: the recorded costs give the recorded
    results, twice the spread costs twice as much, and a fee is paid at entry and exit."""
    n = 120
    rng = np.random.default_rng(2)
    gross, side = rng.normal(0.0, 0.02, n), np.where(rng.random(n) < 0.5, 1, -1)
    spread, carry = np.full(n, 0.0004), np.full(n, 0.0001)
    fee = 5e-4 * (1 + np.maximum(1 + side * gross, 0.0))
    ledger = a_ledger(
        n,
        side=side,
        shadow_gross=gross,
        shadow_spread_cost=spread,
        shadow_fee_cost=fee,
        shadow_carry_cost=carry,
        shadow_return=gross - spread - fee - carry,
    )
    same = what_if(ledger, CostChange(5.0, 1.0))
    assert same.difference == Estimate(0.0, None, None, 0, 0.0)
    assert same.difference_money == Estimate(0.0, None, None, 0, 0.0)
    assert same.scenario.total_return.value == same.actual.total_return.value
    assert counts(same) == (n, 0, 0)
    found = {m: what_if(ledger, CostChange(None, m)).difference.value for m in (0.0, 2.0, 3.0)}
    assert found[0.0] == pytest.approx(spread.sum())
    assert found[2.0] == pytest.approx(-spread.sum())
    assert found[3.0] == pytest.approx(-2 * spread.sum())
    free = what_if(ledger, CostChange(0.0))
    assert free.difference.value == pytest.approx(fee.sum())
    assert free.identifiability == SIMULATED
    totals = WhatIf(ledger).totals(Scenario((CostChange(0.0, 0.0),)))
    assert totals is not None
    assert totals.total_return == pytest.approx((gross - carry).sum())


def test_trades_whose_cost_parts_are_not_known_are_left_out_of_both_sides() -> None:
    """Other costs cannot be told for results that came without parts: they are pending, and no
    side counts them."""
    gross = np.full(60, 0.01)
    gross[:10] = np.nan
    parts = {"shadow_spread_cost": 0.001, "shadow_fee_cost": 0.001, "shadow_carry_cost": 0.0}
    ledger = a_ledger(60, shadow_return=0.008, shadow_gross=gross, **parts)  # type: ignore[arg-type]
    result = what_if(ledger, CostChange(None, 2.0))
    assert result.actual.trade_count == result.scenario.trade_count == 50
    assert result.pending_count == 10
    assert result.difference.value == pytest.approx(-0.05)
    untold = what_if(a_ledger(60, shadow_return=0.008, shadow_gross=np.nan), CostChange(1.0))
    assert untold.difference.value is None
    assert untold.difference.note == "no trade tells the parts of its costs"


def test_why_a_difference_in_money_is_not_known_is_named() -> None:
    """A fraction of equity without the equity is another gap than no size at all."""
    fractions = np.full(40, 0.1)
    told = {"blocked_by": [["a"], []] * 20, "shadow_return": 0.01}
    ledger = a_ledger(40, position_fraction=fractions, **told)  # type: ignore[arg-type]
    note = what_if(ledger, GuardOff("a")).difference_money.note
    assert note.startswith("the size of 20 trades is not known in money")
    assert "no account snapshot at or before them tells the equity" in note
    fractions[::4] = np.nan
    ledger = a_ledger(40, position_fraction=fractions, **told)  # type: ignore[arg-type]
    assert (
        "of 10 a fraction of equity is, but" in what_if(ledger, GuardOff("a")).difference_money.note
    )
    ledger = a_ledger(40, **told)  # type: ignore[arg-type]
    assert "no fraction of equity was told" in what_if(ledger, GuardOff("a")).difference_money.note


def test_what_has_no_result_yet_is_counted() -> None:
    """Freed signals that are not at an end are pending; when all are, there is no number."""
    returns = np.full(40, 0.01)
    returns[::4] = np.nan
    ledger = a_ledger(40, blocked_by=[["a"], []] * 20, shadow_return=returns)
    result = what_if(ledger, GuardOff("a"))
    assert (result.added_count, result.pending_count) == (20, 10)
    assert result.difference.value == pytest.approx(0.1)
    returns[::2] = np.nan
    ledger = a_ledger(40, blocked_by=[["a"], []] * 20, shadow_return=returns)
    result = what_if(ledger, GuardOff("a"))
    assert result.difference.value is None
    assert "no changed trade" in result.difference.note
    assert result.overlap_fraction == 0.5


def test_orders_that_were_not_filled_are_no_trades() -> None:
    """A passive order that the simulation did not fill is neither added nor pending; what has a
    real result alone is left out of a simulated comparison, and counted."""
    flags = np.zeros(40, dtype=np.int8)
    flags[:10:2] = 8
    ledger = a_ledger(
        40,
        blocked_by=[["a"], []] * 20,
        shadow_return=np.where(flags, 0.0, 0.01),
        shadow_flags=flags,
    )
    result = what_if(ledger, GuardOff("a"))
    assert (result.added_count, result.pending_count) == (15, 0)
    assert result.scenario.trade_count == 35
    status = np.full(40, ResultStatus.MATURED)
    status[1] = ResultStatus.NONE
    real = np.where(np.arange(40) == 1, 0.02, np.nan)
    ledger = a_ledger(
        40,
        blocked_by=[["a"], []] * 20,
        shadow_status=status,
        shadow_return=0.01,
        real_return=real,
    )
    result = what_if(ledger, GuardOff("a"))
    assert result.actual.trade_count == 19
    assert result.pending_count == 1
    assert any("1 of them a real one only" in each for each in result.reasons)


def test_few_outcomes_give_no_interval_and_more_say_how_many_are_missing() -> None:
    """A handful of changed trades is no evidence; noise around nothing asks for more outcomes."""
    few = a_ledger(30, blocked_by=[["a"]] * 4 + [[]] * 26, shadow_return=0.01)
    result = what_if(few, GuardOff("a"))
    assert (result.difference.low, result.difference.high) == (None, None)
    assert "needs" in result.difference.note
    returns = np.random.default_rng(3).normal(0.0, 0.01, 2_000)
    returns += 0.0002 - returns[::2].mean()
    many = a_ledger(2_000, blocked_by=[["a"], []] * 1_000, shadow_return=returns)
    result = what_if(many, GuardOff("a"))
    assert result.difference.decided_sign == 0
    assert result.outcomes_needed is not None
    assert result.outcomes_needed > 0


def test_capital_is_bound_by_the_size_of_positions() -> None:
    """Four positions of 0.3 at once do not fit into 0.7 of equity: two do; sizes that are not
    known are as the scenario says."""
    entry = START_NS + np.arange(4) * HOUR_NS
    days = {"signal_time_ns": entry, "shadow_exit_time_ns": entry + DAY_NS}
    ledger = a_ledger(4, position_fraction=0.3, **days)  # type: ignore[arg-type]
    assert what_if(ledger, CapitalLimit(0.7)).kept_count == 2
    unknown = a_ledger(4, **days)  # type: ignore[arg-type]
    assert what_if(unknown, CapitalLimit(0.7, 0.2)).kept_count == 3
    assert what_if(unknown, CapitalLimit(0.7)).kept_count == 4


def test_a_freed_signal_is_not_yet_a_trade() -> None:
    """The known trap: with a cap of three positions a naive count credits hundreds of freed
    signals and their whole return; the replay finds few real extra trades."""
    rng = np.random.default_rng(14)
    n = 4_000
    market = Market(
        decided_s=np.sort(rng.integers(0, 90 * 86_400, n)).tolist(),
        held_s=rng.integers(6 * 3_600, 3 * 86_400, n).tolist(),
        symbol=[1] * n,
        source=[1] * n,
        key=list(range(n)),
        returns=rng.normal(0.002, 0.01, n).tolist(),
        fraction=[0.1] * n,
        volatile=(rng.random(n) < 0.2).tolist(),
    )
    desk = Desk(market, [DeskGuard("positions", GuardRule.POSITION_COUNT, 3.0)]).trade()
    ledger = desk.ledger()
    result = what_if(ledger, GuardOff(VOLATILITY))
    volatile = np.array(market.volatile)
    credited = int(np.count_nonzero(volatile))
    naive = float(ledger.shadow_return[volatile].sum())
    extra = result.added_count - result.removed_count
    assert credited > 700
    assert abs(extra) < credited / 10
    assert result.difference.value is not None
    assert abs(result.difference.value) < naive / 3
    assert result.identifiability == SIMULATED
    assert any("100.0%" in each for each in result.reasons)


def test_answers_do_not_depend_on_what_was_asked_before() -> None:
    """A sweep over one prepared ledger gives each scenario the answer it has alone."""
    ledger = random_ledger(500, 9)
    shared = WhatIf(ledger)
    for changes in ((GuardOff("news"),), (ConfidenceThreshold(0.4),), (PositionLimit(2),)):
        scenario = Scenario(changes)
        for _ in range(2):
            told = shared.result(scenario, np.random.default_rng(SEED))
            assert told == WhatIf(ledger).result(scenario, np.random.default_rng(SEED))


def test_an_empty_ledger_answers_without_numbers() -> None:
    """No signals: no trades, no difference, nothing that is not a number."""
    result = what_if(a_ledger(0), PositionLimit(3), ConfidenceThreshold(0.5), CostChange(1.0))
    assert counts(result) == (0, 0, 0)
    assert result.overlap_fraction is None
    assert result.scenario.mean_return.value is None
