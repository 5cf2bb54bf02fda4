"""Engines are judged each by its own replay, and a guard's value is that of the what-if."""

from dataclasses import fields, replace

import numpy as np
import pytest

from tests.domain.guard_worlds import capped_world
from tests.domain.ledgers import DAY_NS, a_ledger
from tests.domain.what_if_ledgers import random_ledger
from trimtab_server.domain.ledger.columns import COLUMNS, STATEFUL, GuardRule, Ledger, Verdicts
from trimtab_server.domain.reports.guards import GuardEffect, GuardLine, guard_lines
from trimtab_server.domain.reports.portfolio import Identifiability
from trimtab_server.domain.reports.scenarios import GuardLimit, GuardOff, Scenario
from trimtab_server.domain.reports.what_if import ScenarioResult, WhatIf


def misjudged(ledger: Ledger) -> Ledger:
    """The same, but the limit of its cap that is told is not the one that was applied."""
    verdicts = ledger.verdicts
    limit = np.where(verdicts.guard == 0, 100.0, verdicts.limit)
    return replace(ledger, verdicts=replace(verdicts, limit=limit))


def two_engines(first: Ledger, second: Ledger, second_guards: tuple[int, ...]) -> Ledger:
    """Both in one scope, the second after the first. second_guards: the codes of its guards."""
    shift = int(first.signal_time_ns[-1]) - int(second.signal_time_ns[0]) + 100 * DAY_NS
    columns = {}
    for name in COLUMNS:
        one, other = getattr(first, name), getattr(second, name)
        if name.endswith("_time_ns"):
            other = np.where(other > 0, other + shift, other)
        columns[name] = np.concatenate([one, other])
    columns["source"] = np.repeat(np.array([1, 2], dtype=np.int32), [len(first), len(second)])
    columns["signal_key"] = np.arange(columns["source"].size)
    told = {
        each.name: np.concatenate(
            [getattr(first.verdicts, each.name), getattr(second.verdicts, each.name)]
        )
        for each in fields(Verdicts)[1:]
    }
    split = first.verdicts.guard.size
    told["guard"][split:] = np.array(second_guards, dtype=np.int32)[told["guard"][split:]]
    start = np.concatenate([first.verdicts.start, split + second.verdicts.start[1:]])
    guards = (*first.names.guards, *(f"{name} 2" for name in second.names.guards))
    names = replace(first.names, sources=("", "one", "two"), guards=guards)
    return replace(first, names=names, verdicts=Verdicts(start, **told), **columns)


def lines_of(ledger: Ledger, *, seed: int = 7) -> dict[str, GuardLine]:
    """By guard."""
    return {line.guard: line for line in guard_lines(ledger, np.random.default_rng(seed))}


def without(ledger: Ledger, guard: str, *, seed: int = 7) -> ScenarioResult:
    """The what-if without a guard, with the same chance."""
    return WhatIf(ledger).result(Scenario((GuardOff(guard),)), np.random.default_rng(seed))


def test_an_engine_that_cannot_be_replayed_spoils_no_other_engine() -> None:
    """Guards of the engine that can be have the value that they have alone, in the report and as a
    what-if; those of the other are not identifiable, and have no Shapley value either."""
    good = capped_world(3, GuardRule.POSITION_COUNT, days=120)
    both = two_engines(good, misjudged(capped_world(4, GuardRule.POSITION_COUNT, days=120)), (2, 3))
    alone, found = lines_of(good), lines_of(both)
    for name in ("cap", "volatility"):
        assert found[name].value == alone[name].value
        assert found[name].shapley_value == alone[name].shapley_value
        other = found[f"{name} 2"]
        assert other.effect is GuardEffect.NOT_IDENTIFIABLE
        assert "of the recorded verdicts" in other.note
        assert "ask for one source" not in other.note
    shapley = found["volatility 2"].shapley_value
    assert shapley is not None
    assert shapley.value is None
    assert without(both, "volatility").identifiability is Identifiability.SIMULATED
    assert without(both, "volatility 2").identifiability is Identifiability.NOT_IDENTIFIABLE


def test_a_guard_of_several_engines_is_to_be_asked_for_by_source() -> None:
    """Where one of them cannot be replayed the note says how to get an answer."""
    good = capped_world(3, GuardRule.POSITION_COUNT, days=120)
    bad = misjudged(capped_world(4, GuardRule.POSITION_COUNT, days=400))
    both = two_engines(good, bad, (0, 1))
    line = lines_of(both)["volatility"]
    assert line.effect is GuardEffect.NOT_IDENTIFIABLE
    assert "of 2 sources: ask for one source by itself" in line.note
    (reason, *_) = without(both, "volatility").reasons
    assert "of 2 sources: ask for one source by itself" in reason
    limited = WhatIf(both).result(Scenario((GuardLimit("cap", 2.0),)), np.random.default_rng(1))
    assert limited.identifiability is Identifiability.NOT_IDENTIFIABLE


def test_a_guard_that_blocked_nothing_is_told_so_whatever_the_replay_is_worth() -> None:
    """Its absence changes nothing, exactly; nor does that of one whose blocks others share."""
    world = misjudged(capped_world(3, GuardRule.POSITION_COUNT, days=120))
    v = world.verdicts
    idle = replace(v, result=np.where(v.guard == 1, 1, v.result).astype(np.int8))
    action = world.action.copy()
    blocked = np.zeros(len(world), dtype=np.bool_)
    np.logical_or.at(blocked, np.repeat(np.arange(len(world)), np.diff(v.start)), idle.result == 2)
    action[:] = np.where(blocked, 2, 1)
    lines = lines_of(replace(world, verdicts=idle, action=action))
    assert lines["cap"].effect is GuardEffect.NOT_IDENTIFIABLE
    line = lines["volatility"]
    assert line.blocked_count == 0
    assert line.identifiability is Identifiability.EXACT
    assert (line.value.value, line.added_count, line.removed_count) == (0.0, 0, 0)
    assert line.note == "its absence would change no trade"
    assert line.shapley_value is not None
    assert line.shapley_value.value == 0.0


def test_an_unknown_guard_of_another_engine_does_not_matter() -> None:
    """It sees its own engine's history alone."""
    known = a_ledger(40, guards=("news",), blocked_by=[("news",), ()] * 20, shadow_return=-0.05)
    secret = a_ledger(
        40,
        guards=("secret",),
        blocked_by=[("secret",), ()] * 20,
        memory=(STATEFUL,),
        shadow_return=-0.05,
    )
    both = two_engines(known, secret, (1,))
    found = lines_of(both)
    assert found["news"].value.value == pytest.approx(1.0)
    assert found["news"].shapley_value is not None
    assert found["news"].shapley_value.value == pytest.approx(1.0)
    assert found["secret 2"].effect is GuardEffect.NOT_IDENTIFIABLE
    assert without(both, "news").difference.value == pytest.approx(-1.0)
    assert without(both, "secret 2").added_count == 20


@pytest.mark.parametrize("kind", ["stateless", "replayed", "two engines"])
def test_a_what_if_without_a_guard_has_the_interval_of_its_value(kind: str) -> None:
    """The same estimate in two reports: same trades, same blocks, same draws, turned round; in
    stakes and in money."""
    capped = capped_world(3, GuardRule.POSITION_COUNT, days=300)
    ledger = {
        "stateless": random_ledger(2_000, 5),
        "replayed": capped,
        "two engines": two_engines(
            capped, capped_world(4, GuardRule.POSITION_COUNT, days=60), (2, 3)
        ),
    }[kind]
    for name, line in lines_of(ledger).items():
        told = without(ledger, name)
        for value, difference in (
            (line.value, told.difference),
            (line.value_money, told.difference_money),
        ):
            assert difference.n == value.n > 0
            assert difference.value == pytest.approx(-(value.value or 0.0))
            assert (difference.low is None) == (value.low is None)
            if value.low is not None and value.high is not None:
                assert difference.low == pytest.approx(-value.high)
                assert difference.high == pytest.approx(-value.low)
            assert difference.method == value.method
