"""Answers become events off the engine's thread; what does not is counted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry import trace

from tests.client.conftest import NOBODY, QUICK
from tests.client.gates import NOW_NS, PAPER, Gate, snapshot
from trimtab.v1 import event_pb2
from trimtab_client import GateSettings, RecorderSettings
from trimtab_client.channel import LazyChannel
from trimtab_client.recorder import Recorder
from trimtab_client.ring import EventClass


class Kept(Recorder):
    """A recorder that keeps what it takes, up to a number."""

    def __init__(self, count_max: int = 1_000_000) -> None:
        super().__init__(LazyChannel(NOBODY), "alpha-1", settings=RecorderSettings(**QUICK))
        self.count_max = count_max
        self.events: list[event_pb2.Event] = []

    def record_bytes(self, data: bytes, event_class: EventClass) -> bool:
        """False once there is no room."""
        if len(self.events) >= self.count_max:
            return False
        assert event_class is EventClass.RESERVED
        self.events.append(event_pb2.Event.FromString(data))
        return True


def made(path: Path, recorder: Recorder, count_max: int = 100) -> Gate:
    """A gate whose decisions go to `recorder`."""
    told = GateSettings(gate_dir=path, decisions_max=count_max)
    gate = Gate(path, recorder=recorder, settings=told)
    gate.hear(snapshot(3))
    return gate


def test_a_decision_tells_when_it_was_taken(tmp_path: Path) -> None:
    """The moment of the check by the wall clock, though the event is made later."""
    kept = Kept()
    gate = made(tmp_path, kept)
    gate.ask(signal_id="s1")
    gate.clock.pass_s(2)
    gate.ask(signal_id="s2", event_time_ns=5)
    gate.gate.tick()
    assert [e.event_time.ToNanoseconds() for e in kept.events] == [NOW_NS, 5]
    assert [e.signal_id for e in kept.events] == ["s1", "s2"]
    assert len({e.event_id for e in kept.events}) == 2


def test_a_full_ring_is_counted_and_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not one answer is unaccounted for."""
    kept = Kept()
    gate = made(tmp_path, kept, count_max=3)
    for number in range(10):
        gate.ask(signal_id=f"s{number}")
    assert gate.gate.stats.pending_count == 3
    gate.gate.tick()
    stats = gate.gate.stats
    assert (stats.recorded_count, stats.overflow_count, stats.pending_count) == (3, 7, 0)
    assert "7 decisions were not recorded" in caplog.text
    gate.ask(signal_id="s10")
    gate.gate.drain()
    assert kept.events[-1].signal_id == "s10"


def test_a_recorder_without_room_is_counted(tmp_path: Path) -> None:
    """Apart from what the gate itself had no room for."""
    gate = made(tmp_path, Kept(count_max=1))
    for number in range(3):
        gate.ask(signal_id=f"s{number}")
    gate.gate.drain()
    stats = gate.gate.stats
    assert (stats.recorded_count, stats.refused_decision_count) == (1, 2)


def test_a_long_reason_is_cut_to_what_the_contract_allows(tmp_path: Path) -> None:
    """Many rules deny at once: the event is stored all the same."""
    kept = Kept()
    gate = made(tmp_path, kept)
    told = snapshot(4)
    for number in range(40):
        entry = told.trading_states.add(state=3, actor="ops", reason="news" * 20)
        entry.scope.environment = PAPER
        entry.revision = number
    gate.hear(told)
    gate.ask(signal_id="s1")
    gate.gate.drain()
    assert len(kept.events[0].decision.guard_verdicts[0].reason) == 1_024


def test_a_fork_leaves_the_parents_answers_to_the_parent(tmp_path: Path) -> None:
    """The child records only its own."""
    kept = Kept()
    gate = made(tmp_path, kept)
    gate.ask(signal_id="parent")
    child = os.fork()
    if not child:
        gate.ask(signal_id="child")
        gate.gate.drain()
        os._exit(0 if [e.signal_id for e in kept.events] == ["child"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.gate.drain()
    assert [e.signal_id for e in kept.events] == ["parent"]


def test_a_decision_carries_the_engines_trace(tmp_path: Path) -> None:
    """That of the thread that asked, at the moment of the check."""
    kept = Kept()
    gate = made(tmp_path, kept)
    context = trace.SpanContext(0x1234, 0x56, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        gate.ask(signal_id="s1")
    gate.ask(signal_id="s2")
    gate.gate.drain()
    assert [e.traceparent for e in kept.events] == [f"00-{0x1234:032x}-{0x56:016x}-01", ""]


def test_the_end_of_the_interpreter_records_what_waits(tmp_path: Path) -> None:
    """Before the recorder closes: both are ended in the right order."""
    code = """
import trimtab_client
from trimtab_client import GateSettings, RecorderSettings
tt = trimtab_client.connect(source="alpha-1", environment="PAPER", address="127.0.0.1:1",
    settings=RecorderSettings(spool_mode="off", exit_flush_timeout_s=0.01))
tt.gate.check(signal_id="s1", symbol="AAPL")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "closed with 1 event not durable" in done.stderr


def test_the_settings_are_checked() -> None:
    """At construction, by name."""
    for name, value in (
        ("decisions_max", 0),
        ("backoff_s_max", 6.0),
        ("backoff_s_min", 0.0),
        ("first_message_timeout_s", 0.0),
    ):
        with pytest.raises(ValueError, match=name):
            GateSettings(**{name: value})  # type: ignore[arg-type]
