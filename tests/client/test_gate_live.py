"""The gate on real threads and a real network: a fake sidecar that hangs, dies, comes back."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client.conftest import NOBODY, Connect, eventually
from trimtab.v1 import event_pb2
from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab_client import FakeSidecar, GateChange, GateSettings, InvalidArgument, Trimtab
from trimtab_client.gate_memory import GateMemory, Heard

QUICK = {"backoff_s_min": 0.01, "backoff_s_max": 0.05}
OPENED: dict[str, Any] = {"on_unavailable": "OPEN"}


@pytest.fixture
def fake() -> Iterator[FakeSidecar]:
    """A sidecar in memory with a short lease."""
    with FakeSidecar() as running:
        running.gate.lease_ttl_s = 0.9
        yield running


@pytest.fixture
def engine(connected: Connect) -> Callable[..., Trimtab]:
    """Connects with a gate that is quick to try again."""

    def make(**arguments: Any) -> Trimtab:
        told = arguments.pop("gate", {})
        return connected(gate_settings=GateSettings(**(QUICK | told)), **arguments)

    return make


Engine = Callable[..., Trimtab]


def test_an_engine_asks_before_it_emits(fake: FakeSidecar, engine: Engine) -> None:
    """As the README shows: allowed, halted, resumed."""
    fake.gate.lease_ttl_s = 60
    tt = engine()
    assert tt.gate.wait_fresh(20)
    asked: dict[str, Any] = {"symbol": "AAPL", "side": "BUY", "confidence": 0.7}
    assert tt.allow(signal_id="s1", **asked)
    fake.gate.set_trading_state(environment="PAPER", state="HALTED", symbol="AAPL")
    assert eventually(lambda: not tt.allow(signal_id="s2", **asked))
    assert tt.allow(signal_id="s3", **(asked | {"symbol": "MSFT"}))
    assert tt.allow(signal_id="s4", intent="EXIT", **asked)
    fake.gate.clear("PAPER")
    assert eventually(lambda: tt.allow(signal_id="s5", **asked))


def test_every_answer_becomes_a_decision(fake: FakeSidecar, engine: Engine) -> None:
    """With its source, revision, threshold, size and the guard's words, in the order asked."""
    told = pb.GateParameters(threshold=0.5, max_position_fraction=0.1)
    told.threshold_scale = event_pb2.THRESHOLD_SCALE_CONFIDENCE
    told.scope.environment = event_pb2.ENVIRONMENT_PAPER
    fake.gate.parameters.append(told)
    revision = fake.gate.set_trading_state(environment="PAPER", state="HALTED", symbol="MSFT")
    tt = engine()
    assert tt.gate.wait_fresh(20)
    tt.allow(signal_id="s1", symbol="AAPL", strategy="m", model_name="x", confidence=0.7)
    tt.allow(signal_id="s2", symbol="MSFT", confidence=0.1, event_time_ns=1_000)
    tt.allow(symbol="AAPL", confidence=0.7)
    assert tt.flush().durable
    one, two = fake.events("DECISION")
    assert (one.signal_id, one.symbol, one.strategy, one.model_name) == ("s1", "AAPL", "m", "x")
    made = one.decision
    assert (made.action, made.decision_source, made.gate_source) == (1, 4, 1)
    assert (made.gate_revision, made.applied_threshold, made.threshold_scale) == (revision, 0.5, 1)
    assert made.position_fraction == 0.1
    [verdict] = made.guard_verdicts
    assert (verdict.guard, verdict.result, verdict.version) == ("signal_gate", 1, str(revision))
    assert verdict.reason == "SIZE_LIMITED: size x 1, at most 0.1 of equity"
    assert (two.decision.action, two.event_time.ToNanoseconds()) == (2, 1_000)
    words = two.decision.guard_verdicts[0].reason
    assert (
        words
        == "HALTED: halted by test: as the test told; BELOW_THRESHOLD: confidence 0.1 is below 0.5"
    )
    assert tt.gate.stats.recorded_count == 2


def test_a_fallback_is_recorded_once_the_sidecar_is_there(
    fake: FakeSidecar, engine: Engine
) -> None:
    """What was decided in its absence is in the log afterwards."""
    fake.stop()
    tt = engine(**OPENED)
    assert eventually(lambda: tt.allow(symbol="AAPL", confidence=0.8).codes[-1] == "FALLBACK")
    tt.allow(signal_id="s1", symbol="AAPL", confidence=0.8)
    fake.start()
    assert tt.flush(20).durable
    [event] = fake.events("DECISION")
    assert (event.decision.gate_source, event.decision.gate_revision) == (4, 0)
    assert "NO_LEASE" in event.decision.guard_verdicts[0].reason


def test_decisions_are_not_recorded_when_the_engine_says_so(
    fake: FakeSidecar, engine: Engine
) -> None:
    """It records its own, with the gate's verdict in it."""
    tt = engine(gate={"record_decisions": False})
    assert tt.gate.wait_fresh(20)
    assert tt.allow(signal_id="s1", symbol="AAPL")
    assert tt.flush().durable
    assert fake.events("DECISION") == []


def test_decisions_beyond_the_ring_are_counted(fake: FakeSidecar, engine: Engine) -> None:
    """Never silent: what was lost is a number."""
    tt = engine(gate={"decisions_max": 3})
    assert tt.gate.wait_fresh(20)
    decisions = tt.gate._decisions
    assert decisions is not None
    with decisions._turn:
        for number in range(8):
            tt.allow(signal_id=f"s{number}", symbol="AAPL")
    tt.flush()
    stats = tt.gate.stats
    assert stats.recorded_count + stats.overflow_count == 8
    assert stats.overflow_count >= 4


def test_a_sidecar_that_hangs_is_noticed_and_found_again(fake: FakeSidecar, engine: Engine) -> None:
    """No renewal: STALE, EXPIRED, the watch is cut and redone; with renewals it is FRESH again."""
    told: list[GateChange] = []
    tt = engine(**OPENED)
    tt.gate.on_change(told.append)
    assert tt.gate.wait_fresh(20)
    fake.gate.mute = True
    assert eventually(lambda: "EXPIRED" in {each.state for each in told})
    assert tt.allow(symbol="AAPL", confidence=0.8).gate_source == "FALLBACK"
    fake.gate.mute = False
    assert eventually(lambda: told[-1].state == "FRESH")
    assert fake.gate.watch_count > 1
    states = [each.state for each in told]
    assert states.index("FRESH") < states.index("EXPIRED") < len(states) - 1


def test_a_sidecar_that_crashed_is_found_again_with_its_halt(
    fake: FakeSidecar, engine: Engine
) -> None:
    """Sticky meanwhile; a resume is heard after it."""
    tt = engine(**OPENED)
    fake.gate.set_trading_state(environment="PAPER", state="HALTED")
    assert tt.gate.wait_fresh(20)
    fake.stop()
    assert eventually(lambda: tt.gate.state == "EXPIRED")
    assert "STICKY_DENIAL" in tt.allow(symbol="AAPL", confidence=0.9).codes
    assert tt.allow(symbol="AAPL", intent="EXIT")
    fake.start()
    fake.gate.restart()
    fake.gate.clear()
    assert eventually(lambda: tt.allow(symbol="AAPL").verdict == "ALLOW")


def test_an_older_backup_is_refused_until_the_log_is_another_one(
    fake: FakeSidecar, engine: Engine
) -> None:
    """The stream ends with REVISION_AHEAD; `restore` makes another log, whose rules are taken."""
    tt = engine(**OPENED)
    for _ in range(3):
        fake.gate.set_trading_state(environment="PAPER", state="HALTED")
    assert tt.gate.wait_fresh(20)
    fake.stop()
    fake.gate.world(2, "").revision = 1
    fake.gate.world(2, "").states.clear()
    fake.start()
    assert eventually(lambda: tt.gate.stats.refused)
    assert eventually(lambda: tt.gate.state == "EXPIRED")
    assert "SNAPSHOT_REFUSED" in tt.allow(symbol="AAPL", confidence=0.9).codes
    assert tt.gate.check_or_ask(5, signal_id="s1", symbol="AAPL", confidence=0.9).verdict == "DENY"
    fake.restore(0)
    assert eventually(lambda: tt.allow(symbol="AAPL").verdict == "ALLOW")
    assert tt.gate.stats.log_change_count == 1


def test_the_server_is_asked_where_only_it_can_say(fake: FakeSidecar, engine: Engine) -> None:
    """Three probes of a half-open breaker, then none; the local answer once it is gone."""
    tt = engine()
    fake.gate.trip(environment="PAPER", cool_down_s=0.001)
    assert tt.gate.wait_fresh(20)
    asked: dict[str, Any] = {"symbol": "AAPL", "side": "BUY", "confidence": 0.9}
    assert eventually(lambda: tt.gate.check(**asked).codes == ("ASK_REQUIRED",))
    answers = [tt.gate.check_or_ask(5, signal_id=f"s{n}", **asked) for n in range(4)]
    assert [each.codes for each in answers] == [("PROBE_GRANTED",)] * 3 + [("PROBES_EXHAUSTED",)]
    assert {each.gate_source for each in answers} == {"RPC"}
    assert tt.gate.check_or_ask(5, signal_id="s1", **asked)
    with pytest.raises(ValueError, match="signal_id"):
        tt.gate.check_or_ask(5, signal_id="", **asked)
    fake.stop()
    answer = tt.gate.check_or_ask(0.2, signal_id="s9", **asked)
    assert (answer.verdict, answer.gate_source) == ("DENY", "FALLBACK")


def test_the_server_is_asked_without_a_lease_only_as_long_as_told(
    fake: FakeSidecar, engine: Engine
) -> None:
    """A refusal of the request is the caller's to see; a server that is older is not."""
    tt = engine(**OPENED)
    tt.gate._running = True  # no watch: only the server can say
    asked: dict[str, Any] = {"signal_id": "s1", "symbol": "AAPL", "confidence": 0.9}
    assert tt.gate.check_or_ask(5, **asked).gate_source == "RPC"
    tt.gate._keeper.end_start()  # as after a first attempt in vain
    fake.fail_next("UNIMPLEMENTED", rpc="ShouldAllowSignals")
    assert tt.gate.check_or_ask(5, **asked).codes == ("NO_LEASE", "FALLBACK")
    fake.fail_next("INVALID_ARGUMENT", "INVALID_FIELD", rpc="ShouldAllowSignals")
    with pytest.raises(InvalidArgument):
        tt.gate.check_or_ask(5, **asked)


def test_an_older_server_ends_nothing(fake: FakeSidecar, engine: Engine) -> None:
    """One without a gate is as one that is silent."""
    fake.fail_next("UNIMPLEMENTED", "UNIMPLEMENTED", 1_000_000, rpc="WatchSignalGate")
    tt = engine(**OPENED)
    tt.gate.start()
    assert eventually(lambda: "UNIMPLEMENTED" in tt.gate.stats.last_error)
    assert eventually(lambda: bool(tt.allow(symbol="AAPL", confidence=0.9)))


def test_a_connection_that_swallows_everything_is_dialled_anew(
    fake: FakeSidecar, engine: Engine
) -> None:
    """The next try is a new connection, not the old one's wait for TCP."""
    tt = engine(gate={"first_message_timeout_s": 0.2})
    fake.gate.mute = True
    tt.gate.start()
    assert eventually(lambda: fake.gate.watch_count >= 3)
    fake.gate.mute = False
    assert tt.gate.wait_fresh(20)


def test_close_ends_every_thread_and_is_quick(fake: FakeSidecar, engine: Engine) -> None:
    """Twice does no harm; checks go on being answered and are not recorded."""
    fake.gate.lease_ttl_s = 60
    tt = engine(**OPENED)
    assert tt.gate.wait_fresh(20)
    tt.allow(signal_id="s1", symbol="AAPL")
    tt.close()
    tt.close()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("trimtab-gate")]
    assert [each.signal_id for each in fake.events("DECISION")] == ["s1"]
    assert tt.allow(signal_id="s2", symbol="AAPL").gate_source == "LEASE"
    assert tt.gate.stats.pending_count == 0
    opened = fake.gate.watch_count
    assert tt.gate.wait_fresh(20)
    assert fake.gate.watch_count == opened
    assert not [t.name for t in threading.enumerate() if t.name.startswith("trimtab-gate")]


def test_construction_starts_nothing(connected: Connect) -> None:
    """No thread, no file, no connection, whether the sidecar is there or not."""
    before = threading.active_count()
    tt = connected(address=NOBODY)
    assert threading.active_count() == before
    assert tt.gate.state == "NO_LEASE"
    assert tt.gate.stats.memory_path
    assert not Path(tt.gate.stats.memory_path).parent.exists()


def test_a_forked_child_keeps_what_was_known_and_asks_for_itself(
    fake: FakeSidecar, engine: Engine
) -> None:
    """The same answer at once, a lease of its own after it; the parent's goes on."""
    tt = engine(**OPENED)
    fake.gate.set_trading_state(environment="PAPER", state="HALTED")
    assert tt.gate.wait_fresh(20)
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            first = tt.allow(symbol="AAPL", confidence=0.9)
            opened = tt.gate.stats.opened_count
            again = eventually(lambda: tt.gate.stats.opened_count > opened)
            fresh = eventually(lambda: tt.gate.state == "FRESH")
            os.write(theirs, pickle.dumps((first.codes, first.state, again, fresh)))
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        codes, state, again, fresh = pickle.loads(pipe.read())
    os.waitpid(child, 0)
    assert codes == ("HALTED",)
    assert state in ("FRESH", "STALE")
    assert (again, fresh) == (True, True)
    assert tt.gate.state == "FRESH"


STOPPED_SIDECAR = """
import sys, time
from trimtab_client import FakeSidecar
with FakeSidecar() as fake:
    fake.gate.lease_ttl_s = 0.9
    fake.gate.set_trading_state(environment="PAPER", state="HALTED", symbol="AAPL")
    print(fake.address, flush=True)
    time.sleep(600)
"""


def test_a_stopped_process_is_as_silent_as_a_dead_one(engine: Engine, tmp_path: Path) -> None:
    """SIGSTOP: its connection stays up and says nothing; SIGCONT: FRESH again."""
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED_SIDECAR], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        try:
            address = process.stdout.readline().strip()
            tt = engine(address=address, gate={"gate_dir": tmp_path}, **OPENED)
            assert tt.gate.wait_fresh(20)
            os.kill(process.pid, signal.SIGSTOP)
            assert eventually(lambda: tt.gate.state == "EXPIRED")
            assert "STICKY_DENIAL" in tt.allow(symbol="AAPL", confidence=0.9).codes
            assert tt.allow(symbol="MSFT", confidence=0.9).codes[-1] == "FALLBACK"
            assert tt.allow(symbol="AAPL", intent="EXIT")
            os.kill(process.pid, signal.SIGCONT)
            assert eventually(lambda: tt.gate.state == "FRESH")
            assert tt.allow(symbol="AAPL", confidence=0.9).codes == ("HALTED",)
        finally:
            process.kill()


def test_a_watch_is_opened_again_while_the_disk_hangs(
    fake: FakeSidecar, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And hears the halts that come meanwhile."""
    tt = engine(**OPENED)
    assert tt.gate.wait_fresh(20)
    go_on = threading.Event()
    write = GateMemory.write

    def hanging(self: GateMemory, heard: Heard) -> int | None:
        assert go_on.wait(60)
        return write(self, heard)

    monkeypatch.setattr(GateMemory, "write", hanging)
    try:
        fake.gate.set_trading_state(environment="PAPER", state="HALTED", symbol="MSFT")
        assert eventually(lambda: "HALTED" in tt.allow(symbol="MSFT", confidence=0.9).codes)
        opened = tt.gate.stats.opened_count
        fake.stop()
        fake.start()
        assert eventually(lambda: tt.gate.stats.opened_count > opened)
        fake.gate.set_trading_state(environment="PAPER", state="HALTED", symbol="AAPL")
        assert eventually(lambda: tt.allow(symbol="AAPL", confidence=0.9).codes == ("HALTED",))
    finally:
        go_on.set()


def test_messages_that_come_too_late_are_no_sign_of_life(fake: FakeSidecar, engine: Engine) -> None:
    """A new connection is tried, and what its server's clock lost is made up for."""
    told: list[GateChange] = []
    tt = engine()
    tt.gate.on_change(told.append)
    assert tt.gate.wait_fresh(20)
    # A call that is younger than the lease makes up for it by itself.
    threading.Event().wait(3 * fake.gate.lease_ttl_s)
    opened = tt.gate.stats.opened_count
    fake.gate._start_ns += 20 * 10**9
    assert eventually(lambda: tt.gate.stats.opened_count > opened)
    assert eventually(lambda: tt.gate.state == "FRESH")
    assert "EXPIRED" in {each.state for each in told}
