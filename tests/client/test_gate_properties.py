"""What no sequence of events may do to a denial."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.client.gates import PAPER, SECOND_NS, Gate, snapshot
from trimtab.v1 import signal_gate_service_pb2 as pb

NAMES = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(("", "momentum", "meanrev")),
        "symbol": st.sampled_from(("", "AAPL", "MSFT")),
        "model_name": st.sampled_from(("", "xgb")),
    }
)
STATES = st.sampled_from(
    (pb.TRADING_STATE_ACTIVE, pb.TRADING_STATE_REDUCING, pb.TRADING_STATE_HALTED)
)
ENTRIES = st.lists(st.tuples(NAMES, STATES), max_size=4)
BREAKERS = st.lists(NAMES, max_size=2)
# What the server's log of one world looks like: each revision's states and open breakers.
HISTORY = st.lists(st.tuples(ENTRIES, BREAKERS), min_size=1, max_size=5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hear"), st.integers(0, 4)),
        st.tuples(st.just("renew"), st.integers(0, 4)),
        st.tuples(st.just("wait"), st.sampled_from((0.5, 4.5, 7.0, 864_000.0))),
        st.tuples(st.just("wall"), st.integers(-(10**9), 10**9)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("fork"), st.just(0)),
        st.tuples(st.just("look"), st.just(0)),
    ),
    min_size=1,
    max_size=25,
)


def rules_of(revision: int, told: tuple[Any, Any]) -> pb.GateSnapshot:
    """A snapshot with these states and open breakers."""
    made = snapshot(revision)
    for names, state in told[0]:
        entry = made.trading_states.add(state=state, actor="ops", reason="news")
        entry.scope.environment = PAPER
        for name, value in names.items():
            setattr(entry.scope, name, value)
    for names in told[1]:
        opened = made.breakers.add(
            kind=pb.BREAKER_KIND_DRAWDOWN, state=pb.BREAKER_STATE_OPEN, reason="-5 %"
        )
        opened.scope.environment = PAPER
        for name, value in names.items():
            setattr(opened.scope, name, value)
    return made


def denies(told: pb.GateSnapshot, question: dict[str, Any]) -> bool:
    """Whether a state or breaker binds an ENTRY: the contract's words, read naively."""

    def concerns(scope: pb.GateScope) -> bool:
        return all(
            not getattr(scope, name) or not value or getattr(scope, name) == value
            for name, value in question.items()
        )

    return any(
        entry.state != pb.TRADING_STATE_ACTIVE and concerns(entry.scope)
        for entry in told.trading_states
    ) or any(concerns(each.scope) for each in told.breakers)


@settings(max_examples=300, deadline=None)
@given(history=HISTORY, steps=STEPS, question=NAMES)
def test_what_was_denied_last_stays_denied(
    history: list[Any], steps: list[tuple[str, Any]], question: dict[str, Any]
) -> None:
    """Silence, restarts, forks, wall clock jumps, repeated and reordered snapshots: an ENTRY that
    the latest rules heard deny is denied, an EXIT passes, and no ACTIVE defeats anything."""
    log = [rules_of(number, told) for number, told in enumerate(history, 1)]
    with tempfile.TemporaryDirectory() as path:
        gate = Gate(Path(path))
        gate.gate.tick()
        latest: pb.GateSnapshot | None = None
        for step, value in steps:
            if step in ("hear", "renew"):
                told = log[value % len(log)]
                if step == "hear":
                    gate.hear(told)
                    if latest is None or told.revision >= latest.revision:
                        latest = told
                else:
                    gate.revision = told.revision
                    gate.renew()
            elif step == "wait":
                gate.clock.pass_s(value)
            elif step == "wall":
                gate.clock.wall_ns += value * SECOND_NS
            elif step == "restart":
                gate = gate.again()
            elif step == "fork":
                gate.gate.reset_after_fork()
            else:
                gate.gate.tick()
            entry = gate.gate.check(side="BUY", confidence=1.0, **question)
            if latest is not None:
                assert entry.allowed == (not denies(latest, question)), (step, entry)
                assert entry.revision == latest.revision
            assert gate.gate.check(intent="EXIT", **question).allowed


@settings(max_examples=200, deadline=None)
@given(halted=NAMES, active=st.lists(NAMES, max_size=4), question=NAMES, silent=st.booleans())
def test_no_active_anywhere_defeats_a_halt(
    halted: dict[str, str], active: list[dict[str, str]], question: dict[str, Any], silent: bool
) -> None:
    """However narrow the ACTIVE and however wide the HALT, with a lease and after it."""
    entries = [(names, pb.TRADING_STATE_ACTIVE) for names in active]
    told = rules_of(1, ([(halted, pb.TRADING_STATE_HALTED), *entries], []))
    with tempfile.TemporaryDirectory() as path:
        gate = Gate(Path(path))
        gate.hear(told)
        if silent:
            gate.clock.pass_s(60)
        answer = gate.gate.check(side="BUY", confidence=1.0, **question)
        assert answer.allowed == (not denies(told, question))
