from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.client.conftest import Connect, eventually, record, values
from trimtab_client import Event, EventClass, FakeSidecar, FlushResult, RecorderSettings, Trimtab

NOBODY = "127.0.0.1:1"


def test_nothing_happens_before_the_first_event(fake: FakeSidecar, tt: Trimtab) -> None:
    """Construction does no I/O and starts no thread."""
    assert tt.stats.state == "IDLE"
    assert not any(t.name == "trimtab-recorder" for t in threading.enumerate())
    record(tt, 0, 1)
    assert tt.flush().durable


def test_without_a_sidecar_the_ring_fills_and_then_refuses_by_class(connected: Connect) -> None:
    """The engine goes on; bulk events stop at four fifths, decisions go on to the end."""
    refused: list[tuple[EventClass, int]] = []
    tt = connected(
        address=NOBODY,
        limits={"events_max": 10},
        on_refused=lambda event_class, count: refused.append((event_class, count)),
    )
    bars = [tt.bar(symbol="X", interval_s=60, close=1.0) for _ in range(10)]
    decisions = [tt.decision(signal_id="s", action="HOLD") for _ in range(3)]
    assert [b is not None for b in bars] == [True] * 8 + [False] * 2
    assert [d is not None for d in decisions] == [True, True, False]
    stats = tt.stats
    assert (stats.accepted_count, stats.pending_count) == (10, 10)
    assert stats.refused_count == {"BULK": 2, "RESERVED": 1}
    assert refused == [(EventClass.BULK, 1), (EventClass.BULK, 2), (EventClass.RESERVED, 1)]


def test_recording_never_waits_for_the_network(connected: Connect) -> None:
    """A record call makes no call out: it returns while nobody answers, whatever the timeout."""
    tt = connected(address=NOBODY, timeout_s=3_600.0, limits={"backoff_s_max": 4.0})
    done = threading.Event()

    def work() -> None:
        for _ in range(20_000):
            tt.bar(symbol="X", interval_s=60, close=1.0)
        done.set()

    threading.Thread(target=work, daemon=True).start()
    assert done.wait(60)
    assert tt.stats.refused_count["BULK"] == 20_000 - 8_000


def test_room_is_taken_again_once_events_are_durable(fake: FakeSidecar, connected: Connect) -> None:
    """A ring is a bridge, not a quota."""
    tt = connected(limits={"events_max": 50})
    for start in range(0, 400, 40):
        record(tt, start, 40)
        assert tt.flush().durable
    assert values(fake) == list(range(400))


def test_a_callback_that_raises_does_not_reach_the_engine(connected: Connect) -> None:
    """Recording never throws for what is not the caller's mistake."""

    def explode(event_class: EventClass, count: int) -> None:
        raise RuntimeError("mine")

    tt = connected(address=NOBODY, limits={"events_max": 1}, on_refused=explode)
    assert tt.bar(symbol="X", interval_s=60, close=1.0) is None


def test_a_programming_error_is_raised_and_records_nothing(tt: Trimtab) -> None:
    """An unknown word, a wrong type, no payload."""
    with pytest.raises(ValueError, match=r"signal\.side"):
        tt.signal(signal_id="s", side="LONG")
    with pytest.raises(TypeError):
        tt.bar(symbol="X", interval_s=60, close="1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="payload"):
        tt.record(Event())
    assert tt.stats.accepted_count == 0


def test_what_is_recorded_is_what_was_said_at_that_moment(fake: FakeSidecar, tt: Trimtab) -> None:
    """Changing a message after recording it changes nothing."""
    event = tt.builder.metric(name="before", value=1.0)
    assert tt.record(event) == event.event_id
    event.metric_recorded.name = "after"
    assert tt.flush().durable
    assert fake.events()[0].metric_recorded.name == "before"


def test_eight_threads_record_at_once_and_keep_their_order(fake: FakeSidecar, tt: Trimtab) -> None:
    """Every event is stored once, each thread's in its own order."""

    def work(thread: int) -> None:
        for number in range(500):
            tt.metric(name=str(thread), value=float(number))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tt.flush().durable
    stored = [(e.metric_recorded.name, int(e.metric_recorded.value)) for e in fake.events()]
    assert len(stored) == 4_000
    for thread_number in range(8):
        own = [value for name, value in stored if name == str(thread_number)]
        assert own == list(range(500))


async def test_recording_works_from_asyncio(fake: FakeSidecar, tt: Trimtab) -> None:
    """Recording does not block the loop, and a flush leaves it running."""
    fake.stop()
    record(tt, 0, 10)
    flushing = asyncio.ensure_future(tt.flush_async(20))
    await asyncio.sleep(0.01)
    assert not flushing.done()
    fake.start()
    assert (await flushing).durable
    assert values(fake) == list(range(10))


def test_a_flush_that_runs_out_of_time_says_what_is_pending(connected: Connect) -> None:
    """It neither raises nor claims."""
    tt = connected(address=NOBODY)
    record(tt, 0, 3)
    assert tt.flush(0.01) == FlushResult(
        durable=False, settled=False, pending_count=3, durable_count=0, rejected_count=0,
        lost_count=0, dropped_count=0,
    )  # fmt: skip


def test_a_flush_of_nothing_is_durable_at_once(connected: Connect) -> None:
    """Even without a sidecar: nothing was accepted, nothing is missing."""
    assert connected(address=NOBODY).flush(0.0).durable


def test_close_sends_what_is_left_and_refuses_what_comes_after(
    fake: FakeSidecar, connected: Connect
) -> None:
    """The last event before a close is as durable as the first."""
    with connected() as tt:
        record(tt, 0, 500)
    assert values(fake) == list(range(500))
    assert tt.metric(name="n") is None
    assert tt.stats.state == "CLOSED"
    assert tt.stats.refused_count["BULK"] == 1
    assert tt.close(1.0).durable
    assert eventually(lambda: not any(t.name == "trimtab-recorder" for t in threading.enumerate()))


def test_close_without_a_sidecar_comes_back_in_time_and_tells_the_rest(connected: Connect) -> None:
    """An engine can always end."""
    tt = connected(address=NOBODY)
    record(tt, 0, 3)
    result = tt.close(0.05)
    assert (result.durable, result.settled) == (False, False)
    assert (result.pending_count, result.dropped_count) == (0, 3)


def test_close_before_the_first_event_is_nothing(connected: Connect) -> None:
    """No thread was started, none is waited for."""
    tt = connected(address=NOBODY)
    assert tt.close(0.0).durable


@pytest.mark.parametrize(
    "wrong",
    [
        {"events_max": 0},
        {"linger_s": -1.0},
        {"backoff_s_max": 5.0},
        {"backoff_s_min": 0.0},
        {"ack_timeout_s": 0.0},
        {"absent_close_timeout_s": -1.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    """At construction, by name."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RecorderSettings(**wrong)  # type: ignore[arg-type]


def run(tmp_path: Path, program: str, *arguments: str) -> str:
    """Runs a program as an engine would run; its output."""
    script = tmp_path / "engine.py"
    script.write_text(program)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FORK = """
import os, sys, trimtab_client
tt = trimtab_client.connect(source="a", environment="PAPER", address=sys.argv[1])
trimtab_client.uuid7()
for number in range(50):
    tt.metric(name="parent", value=float(number))
assert tt.flush(20).durable
for number in range(50, 100):
    tt.metric(name="parent", value=float(number))
before = tt.recorder.producer_id
child = os.fork()
if child == 0:
    assert tt.recorder.producer_id != before
    assert tt.stats.accepted_count == 0
    for number in range(100):
        assert tt.metric(name="child", value=float(number)) is not None
    result = tt.flush(20)
    assert result.durable and result.durable_count == 100, result
    assert tt.client.check_health() == "SERVING"
    tt.close(5)
    sys.exit(0)
for number in range(100, 150):
    tt.metric(name="parent", value=float(number))
assert os.waitpid(child, 0)[1] == 0
assert tt.recorder.producer_id == before
assert tt.close(20).durable
"""


def test_parent_and_child_of_a_fork_both_record_once(fake: FakeSidecar, tmp_path: Path) -> None:
    """A child starts with an empty ring, its own producer id and its own connection."""
    run(tmp_path, FORK, fake.address)
    stored = [(e.metric_recorded.name, int(e.metric_recorded.value)) for e in fake.events()]
    assert Counter(name for name, _ in stored) == {"parent": 150, "child": 100}
    assert [v for name, v in stored if name == "parent"] == list(range(150))
    assert [v for name, v in stored if name == "child"] == list(range(100))
    assert len({e.event_id for e in fake.events()}) == 250
    assert len(set(fake.producer_ids)) == 2


EXIT = """
import sys, trimtab_client
tt = trimtab_client.connect(source="a", environment="PAPER", address=sys.argv[1])
for number in range(300):
    tt.metric(name="n", value=float(number))
"""


def test_an_engine_that_just_ends_loses_nothing(fake: FakeSidecar, tmp_path: Path) -> None:
    """The end of the interpreter flushes."""
    run(tmp_path, EXIT, fake.address)
    assert values(fake) == list(range(300))


def test_an_engine_without_a_sidecar_ends(tmp_path: Path) -> None:
    """The flush at exit has a time limit."""
    assert run(tmp_path, EXIT, NOBODY) == ""
