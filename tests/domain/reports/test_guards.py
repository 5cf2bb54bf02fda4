import math
from collections.abc import Collection, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.domain.guard_worlds import capped_world, independent_world, null_world
from tests.domain.ledgers import a_ledger, verdicts_of
from trimtab.v1 import report_service_pb2
from trimtab_server.domain.ledger.columns import (
    APPROVED,
    BLOCKED,
    HOLD,
    NOT_EVALUATED,
    STATEFUL,
    STATELESS,
    GuardRule,
    Ledger,
    Verdicts,
)
from trimtab_server.domain.reports.guard_records import guard_record
from trimtab_server.domain.reports.guards import GuardEffect, GuardLine, guard_lines
from trimtab_server.domain.reports.portfolio import Identifiability
from trimtab_server.domain.reports.shapley import shapley_weights


def lines_of(ledger: Ledger, level: float = 0.95) -> dict[str, GuardLine]:
    """By guard, from a fixed seed."""
    found = guard_lines(ledger, np.random.default_rng(7), count=199, level=level)
    return {line.guard: line for line in found}


def blocked_ledger(
    blocked_by: Sequence[Collection[str]],
    returns: object,
    *,
    memory: Sequence[int] = (),
    **columns: Any,
) -> Ledger:
    """Guards `news` and `spread`, both asked about every signal."""
    return a_ledger(
        len(blocked_by),
        guards=("news", "spread"),
        blocked_by=blocked_by,
        memory=memory,
        shadow_return=returns,
        **columns,
    )


def test_a_guard_is_credited_only_with_what_it_alone_blocked() -> None:
    """What two guards block stays blocked without either; what waits for a result is counted."""
    both = ("news", "spread")
    ledger = blocked_ledger(
        [("news",), ("news",), both, ("news",), ()], [-0.02, 0.05, -0.5, np.nan, 0.9]
    )
    news, spread = lines_of(ledger)["news"], lines_of(ledger)["spread"]
    assert (news.evaluated_count, news.blocked_count, news.blocked_alone_count) == (5, 4, 3)
    assert (news.added_count, news.removed_count, news.matured_count) == (3, 0, 2)
    assert news.value.value == pytest.approx(-0.03)
    assert news.value_per_signal.value == pytest.approx(-0.015)
    assert news.missed_profit == pytest.approx(0.05)
    assert news.avoided_loss == pytest.approx(0.02)
    assert news.effect is GuardEffect.UNDECIDED
    assert news.identifiability is Identifiability.SIMULATED
    assert "1 of the trades that would change has no simulated result" in news.note
    assert (spread.blocked_alone_count, spread.added_count, spread.value.value) == (0, 0, 0.0)
    assert spread.identifiability is Identifiability.EXACT
    assert spread.note == "its absence would change no trade"


def test_shapley_shares_what_both_blocked() -> None:
    """By hand: alone -0.02 + 0.05, and half of what both kept out."""
    ledger = blocked_ledger([("news",), ("news",), ("news", "spread"), ()], [-0.02, 0.05, -0.5, 1])
    for guard, share in (("news", -0.03 + 0.25), ("spread", 0.25)):
        found = lines_of(ledger)[guard].shapley_value
        assert found is not None
        assert found.value == pytest.approx(share)


def test_what_guards_did_not_decide_stays_as_it_was() -> None:
    """Approved in spite of a BLOCK, passed over, or blocked by no guard at all: no guard's absence
    changes that."""
    ledger = blocked_ledger(
        [("news",), ("news",), (), ("news",)],
        [-0.1, -0.2, -0.4, -0.8],
        action=[APPROVED, HOLD, BLOCKED, BLOCKED],
    )
    news = lines_of(ledger)["news"]
    assert (news.blocked_count, news.added_count) == (3, 1)
    assert news.value.value == pytest.approx(0.8)
    assert "2 signals were not blocked in spite of its BLOCK" in news.note


def test_money_is_told_only_where_every_size_is_known() -> None:
    """Return times size; one unknown size makes it undefined, with the reason."""
    blocked = [("news",)] * 3
    known = lines_of(blocked_ledger(blocked, [-0.1, 0.2, -0.3], size=[100.0, 10.0, 1.0]))["news"]
    assert known.value_money.value == pytest.approx(10.0 - 2.0 + 0.3)
    unknown = lines_of(blocked_ledger(blocked, [-0.1, 0.2, -0.3], size=[100.0, np.nan, 1.0]))[
        "news"
    ]
    assert unknown.value_money.value is None
    assert "the size of 1 trade is" in unknown.value_money.note


def test_bounds_use_the_bounds_of_every_trade() -> None:
    """Optimistic results of what was blocked make the guard look worse, pessimistic ones better."""
    line = lines_of(
        blocked_ledger(
            [("news",)] * 2,
            [-0.1, 0.2],
            shadow_optimistic=[0.0, 0.3],
            shadow_pessimistic=[-0.2, np.nan],
        )
    )["news"]
    assert line.value_optimistic == pytest.approx(-0.3)
    assert line.value_pessimistic == pytest.approx(0.2 - 0.2)


@pytest.mark.parametrize(
    ("mean", "effect"),
    [
        (-0.02, GuardEffect.HELPS),
        (0.02, GuardEffect.COSTS),
        (0.0002, GuardEffect.UNDECIDED),
    ],
)
def test_effect_follows_the_interval(mean: float, effect: GuardEffect) -> None:
    """Losers kept out: helps; winners kept out: costs; an interval over zero: undecided, with the
    number of outcomes still needed."""
    returns = np.random.default_rng(2).normal(0, 0.02, 300)
    line = lines_of(blocked_ledger([("news",)] * 300, returns + mean - returns.mean()))["news"]
    assert line.effect is effect
    assert (line.outcomes_needed is not None) == (effect is GuardEffect.UNDECIDED)
    assert line.value.value == pytest.approx(-300 * mean)


def test_too_little_data_is_undecided_and_says_what_is_missing() -> None:
    """Five blocked signals in a busy ledger: however clear they look, no interval."""
    blocked = [("news",) if k < 5 else () for k in range(400)]
    line = lines_of(blocked_ledger(blocked, [-0.05 - 0.001 * k for k in range(400)]))["news"]
    assert line.effect is GuardEffect.UNDECIDED
    assert line.value.low is None
    assert "an interval needs 10" in line.note
    assert "more outcomes" in line.note


# ---- guards with memory --------------------------------------------------------------------------


def test_a_guard_of_unknown_kind_gets_no_value() -> None:
    """It has memory, and how it decides was not told."""
    ledger = blocked_ledger([("news",)] * 300, -0.05, memory=(STATEFUL, STATELESS))
    line = lines_of(ledger)["news"]
    assert line.memory == STATEFUL
    assert line.effect is GuardEffect.NOT_IDENTIFIABLE
    assert line.identifiability is Identifiability.NOT_IDENTIFIABLE
    assert line.value.value is None
    assert line.shapley_value is None
    assert "was not told" in line.note


def test_an_unknown_guard_with_memory_spoils_the_others() -> None:
    """Without `news` the unknown one would have seen another history, and so would its verdicts."""
    blocked = [("news",) if k % 2 else ("spread",) for k in range(40)]
    line = lines_of(blocked_ledger(blocked, -0.05, memory=(STATELESS, STATEFUL)))["news"]
    assert line.effect is GuardEffect.NOT_IDENTIFIABLE
    assert line.value.value is None
    assert line.missed_profit == 0.0
    assert line.avoided_loss == pytest.approx(1.0)
    assert "spread would have seen another history" in line.note
    assert line.shapley_value is not None
    assert line.shapley_value.value is None


def test_an_unknown_guard_that_never_blocked_is_taken_to_stay_so() -> None:
    """The other's value is told, with a note."""
    ledger = blocked_ledger([("news",)] * 40, -0.05, memory=(STATELESS, STATEFUL))
    line = lines_of(ledger)["news"]
    assert line.value.value == pytest.approx(2.0)
    assert "spread never blocked" in line.note


def test_a_guard_that_changes_nothing_is_told_beside_an_unknown_one() -> None:
    """If its absence frees nothing, no other guard sees another history."""
    blocked = [("news", "spread") if k % 2 else () for k in range(40)]
    line = lines_of(blocked_ledger(blocked, -0.05, memory=(STATELESS, STATEFUL)))["news"]
    assert line.value.value == 0.0
    assert line.effect is GuardEffect.UNDECIDED


@pytest.mark.parametrize("rule", [GuardRule.POSITION_COUNT, GuardRule.EXPOSURE])
def test_known_guards_with_memory_are_replayed(rule: GuardRule) -> None:
    """Each freed signal takes a place: far fewer trades are added than signals were blocked, others
    go, and the replay gives what was recorded."""
    ledger = capped_world(3, rule, days=200)
    found = lines_of(ledger)
    volatility, cap = found["volatility"], found["cap"]
    assert 0 < volatility.added_count < 0.6 * volatility.blocked_count
    assert volatility.removed_count > 0
    assert volatility.identifiability is Identifiability.SIMULATED
    assert "the replay gives 100.0% of their recorded verdicts" in volatility.note
    assert (cap.added_count, cap.removed_count) == (cap.blocked_alone_count, 0)
    assert cap.shapley_value is None
    taken = guard_record(ledger).taken
    assert np.array_equal(taken, ledger.action == APPROVED)


def test_a_replay_that_does_not_give_what_was_recorded_is_no_answer() -> None:
    """Verdicts that a position count does not explain: not identifiable, with the share."""
    ledger = capped_world(3, GuardRule.POSITION_COUNT, days=100)
    verdicts = ledger.verdicts
    cap = verdicts.guard == 0
    # The limit that is told is not the one that was applied.
    limit = np.where(cap, 100.0, verdicts.limit)
    line = lines_of(replace(ledger, verdicts=replace(verdicts, limit=limit)))["volatility"]
    assert line.effect is GuardEffect.NOT_IDENTIFIABLE
    assert "of the recorded verdicts" in line.note


def test_guards_that_were_not_asked_make_it_unknown() -> None:
    """An engine that stops at the first BLOCK does not know what the second would have said."""
    blocked = [("news",) if k % 3 == 0 else ("spread",) if k % 3 == 1 else () for k in range(90)]
    verdicts = verdicts_of(blocked, ("news", "spread"))
    result = verdicts.result.reshape(-1, 2).copy()
    result[::3, 1] = NOT_EVALUATED
    stopped = replace(verdicts, result=result.reshape(-1))
    found = lines_of(blocked_ledger(blocked, -0.05, verdicts=stopped))
    assert found["news"].effect is GuardEffect.NOT_IDENTIFIABLE
    assert "not asked about 30 of 30" in found["news"].note
    assert found["spread"].value.value == pytest.approx(30 * 0.05)
    # The same when the verdicts that were not made are not recorded at all.
    keep = stopped.result != NOT_EVALUATED
    counts = keep.reshape(-1, 2).sum(axis=1)
    sparse = Verdicts(
        np.concatenate([[0], np.cumsum(counts)]),
        *(getattr(stopped, each.name)[keep] for each in fields(Verdicts)[1:]),
    )
    assert lines_of(blocked_ledger(blocked, -0.05, verdicts=sparse))["news"] == found["news"]


# ---- Shapley -------------------------------------------------------------------------------------


def brute_force(ledger: Ledger, guard: int, guard_count: int) -> float:
    """The Shapley value over all orders in which guards are switched on, from scratch."""
    record = guard_record(ledger)

    def result(on: Collection[int]) -> float:
        off = [code for code in range(guard_count) if code not in on]
        return float(ledger.shadow_return[record.taken_without(off)].sum())

    gains = []
    for order in permutations(range(guard_count)):
        before = order[: order.index(guard)]
        gains.append(result([*before, guard]) - result(before))
    return float(np.mean(gains))


def random_blocks(seed: int, n: int, share: float, guards: int) -> NDArray[np.bool_]:
    """Who blocks what, at random."""
    return np.random.default_rng(seed).random((n, guards)) < share


@pytest.mark.parametrize("seed", range(5))
def test_shapley_agrees_with_all_coalitions(seed: int) -> None:
    """The closed form is the average over all orders of four guards, and shares add up to what all
    did together."""
    guards = ("a", "b", "c", "d")
    said = random_blocks(seed, 60, 0.35, 4)
    returns = np.random.default_rng(seed + 100).normal(0, 0.02, 60)
    blocked = [[g for g, on in zip(guards, row, strict=True) if on] for row in said]
    ledger = a_ledger(60, guards=guards, blocked_by=blocked, shadow_return=returns)
    weights = shapley_weights(guard_record(ledger))
    assert weights is not None
    values = [float(weights[code] @ returns) for code in range(4)]
    assert values == pytest.approx([brute_force(ledger, code, 4) for code in range(4)])
    assert sum(values) == pytest.approx(-returns[said.any(axis=1)].sum())
    shares = [line.shapley_value for line in lines_of(ledger).values()]
    assert [each.value for each in shares if each] == pytest.approx(values)


def test_shapley_replays_guards_with_memory() -> None:
    """With a cap on positions, shares are those of replayed coalitions, and add up to them."""
    ledger = capped_world(5, GuardRule.POSITION_COUNT, days=60)
    split = random_blocks(5, len(ledger), 0.5, 1)[:, 0]
    verdicts = ledger.verdicts
    # `volatility` becomes two guards: each signal that it blocked is blocked by one or both.
    said = verdicts.result.reshape(-1, 2)
    second = np.where(split | (np.arange(len(ledger)) % 3 == 0), said[:, 1], 1)
    first = np.where(~split, said[:, 1], 1)

    def widened(name: str) -> NDArray[Any]:
        column = getattr(verdicts, name).reshape(-1, 2)
        return np.concatenate([column, column[:, 1:]], axis=1).reshape(-1)

    three = Verdicts(
        np.arange(len(ledger) + 1, dtype=np.int64) * 3,
        *(widened(each.name) for each in fields(Verdicts)[1:]),
    )
    three = replace(
        three,
        guard=np.tile(np.arange(3, dtype=np.int32), len(ledger)),
        result=np.stack([said[:, 0], first, second], axis=1).reshape(-1).astype(np.int8),
    )
    names = replace(ledger.names, guards=("cap", "first", "second"))
    ledger = replace(ledger, names=names, verdicts=three)
    record = guard_record(ledger)
    weights = shapley_weights(record)
    assert weights is not None
    assert sorted(weights) == [1, 2]
    returns = ledger.shadow_return
    results = {
        off: float(returns[record.taken_without(off)].sum())
        for k in range(3)
        for off in combinations((1, 2), k)
    }
    expected = ((results[()] - results[(1,)]) + (results[(2,)] - results[(1, 2)])) / 2
    assert float(weights[1] @ returns) == pytest.approx(expected)
    together = float(weights[1] @ returns + weights[2] @ returns)
    assert together == pytest.approx(results[()] - results[(1, 2)])


# ---- the report as a whole -----------------------------------------------------------------------


def test_among_many_guards_one_that_looks_good_is_no_finding() -> None:
    """Eight guards that know nothing: an interval leaves out zero here and there, and all but at
    most two of 64 lines are undecided all the same, say why, and how many outcomes would make each
    one."""
    seen = found = 0
    for seed in range(8):
        for line in lines_of(null_world(seed, 8)).values():
            found += line.effect is not GuardEffect.UNDECIDED
            if line.effect is GuardEffect.UNDECIDED and line.value.decided_sign:
                seen += 1
                assert "among so many guards" in line.note
                assert line.outcomes_needed is not None
    assert seen > found
    assert found <= 2


def numbers_in(value: object) -> list[float]:
    """Every float of a result, however deep."""
    if isinstance(value, float):
        return [value]
    if is_dataclass(value):
        return [n for each in fields(value) for n in numbers_in(getattr(value, each.name))]
    return []


@pytest.mark.parametrize(
    "ledger",
    [
        a_ledger(0, guards=("news", "spread")),
        a_ledger(5),
        blocked_ledger([()] * 5, 0.1),
        blocked_ledger([("news",)], np.nan),
        blocked_ledger([("news",)], 0.1),
        blocked_ledger([("news",)] * 300, 0.0),
        blocked_ledger([("news",)] * 300, [0.1, -0.1] * 150, shadow_optimistic=np.nan, size=np.nan),
        blocked_ledger([("news",)] * 300, 0.1, signal_time_ns=5, decision_time_ns=5),
    ],
    ids=["empty", "unguarded", "nothing blocked", "pending", "one", "zero", "no bounds", "at once"],
)
def test_no_line_ever_holds_nan(ledger: Ledger) -> None:
    """Nothing to go by: undecided, with a reason, and every number finite or absent."""
    for line in lines_of(ledger).values():
        assert all(math.isfinite(each) for each in numbers_in(line))
        assert line.effect is GuardEffect.UNDECIDED
        assert line.note or line.value.low is not None


def test_lines_come_by_name_and_are_the_same_again() -> None:
    """The order of names, not of codes; the same ledger and seed give the same lines to the bit."""
    ledger = independent_world(1, days=200).ledger
    turned = replace(ledger, names=replace(ledger.names, guards=("z", "a")))
    assert list(lines_of(turned)) == ["a", "z"]
    assert lines_of(ledger) == lines_of(ledger)


def test_a_line_is_the_contracts_message() -> None:
    """Every field of the message of the same name, and every number of its enums."""
    message = report_service_pb2.GuardLine.DESCRIPTOR
    assert [each.name for each in fields(GuardLine)] == [each.name for each in message.fields]
    effects = report_service_pb2.GuardEffect.items()
    assert {(f"GUARD_EFFECT_{each.name}", each.value) for each in GuardEffect} == {
        each for each in effects if each[1]
    }
