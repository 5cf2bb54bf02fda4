"""Durability is an order of system calls: write, sync, and only then the answer."""

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue

import pytest

from tests.conftest import Sidecar
from tests.faults import syscalls, without_sync
from tests.faults.driver import CALL_S_MAX, open_channel
from tests.faults.events import event, uuid
from tests.faults.syscalls import Call, calls, order_faults, tracer
from tests.faults.waiting import until
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

EVENTS = 6
UNSYNCED = "answered before a sync of it had returned"
LYING = (sys.executable, str(without_sync.__file__))
Recorder = Callable[..., list[bytes]]


def record_in_lock_step(stub: EventServiceStub, seed: int = 1) -> list[bytes]:
    """Records events one at a time with unary calls; returns what marks each in the trace."""
    rng = random.Random(seed)
    made = [event(rng, "unary") for _ in range(EVENTS)]
    for one in made:
        stub.RecordEvent(pb.RecordEventRequest(event=one), timeout=CALL_S_MAX)
    return [one.event_id.encode() for one in made]


def stream_in_lock_step(stub: EventServiceStub, seed: int = 2) -> list[bytes]:
    """Sends batches of one event on a stream, each after the acknowledgement of the last."""
    rng = random.Random(seed)
    made = [event(rng, "stream") for _ in range(EVENTS)]
    answered: Queue[int] = Queue(EVENTS + 1)

    def requests() -> Iterator[pb.StreamEventsRequest]:
        opening = pb.Open(producer_id=uuid(rng), producer_epoch=1, source="stream")
        yield pb.StreamEventsRequest(open=opening)
        for number, one in enumerate(made, 1):
            assert answered.get(timeout=CALL_S_MAX) == number - 1
            yield pb.StreamEventsRequest(batch=pb.Batch(first_seq=number, events=[one]))

    for response in stub.StreamEvents(requests(), timeout=CALL_S_MAX):
        answered.put(response.ack.durable_through_seq)
    return [one.event_id.encode() for one in made]


@pytest.fixture
def traced(
    sidecar: Callable[..., Sidecar], disk_path: Path
) -> Callable[..., tuple[list[Call], list[bytes]]]:
    """Traces a sidecar while a recorder records: its system calls, and the events' markers."""
    if reason := syscalls.why_not():
        pytest.skip(reason)
    trace = disk_path / "trace"

    def run(
        recorder: Recorder, *flags: str, mutant: tuple[str, ...] = ()
    ) -> tuple[list[Call], list[bytes]]:
        server = sidecar(*flags, wrapper=(*tracer(trace), *mutant))
        with open_channel(server.address) as channel:
            markers = recorder(EventServiceStub(channel))
        assert server.terminate() == 0
        until(lambda: f"\n{server.pid} " in ended(trace), "the end of the trace")
        return list(calls(trace.read_text().splitlines())), markers

    return run


def ended(trace: Path) -> str:
    """The lines of a trace that tell which thread or process ended."""
    return "\n" + "\n".join(line for line in trace.read_text().splitlines() if "+++ exited" in line)


@pytest.mark.parametrize("recorder", [record_in_lock_step, stream_in_lock_step])
def test_the_sync_returns_before_the_acknowledgement_leaves(
    traced: Callable[..., tuple[list[Call], list[bytes]]], recorder: Recorder
) -> None:
    """No byte of an answer is handed to the kernel before fdatasync of its commit came back."""
    trace, markers = traced(recorder)
    assert len(markers) == EVENTS
    assert order_faults(trace, markers) == []


@pytest.mark.parametrize(
    ("flags", "mutant"),
    [(("--durability", "process_crash"), ()), ((), LYING)],
    ids=["synchronous-normal", "synchronous-off"],
)
def test_a_server_that_does_not_sync_is_caught(
    traced: Callable[..., tuple[list[Call], list[bytes]]],
    flags: tuple[str, ...],
    mutant: tuple[str, ...],
) -> None:
    """The same check condemns every event of a server without synchronous=FULL."""
    trace, markers = traced(record_in_lock_step, *flags, mutant=mutant)
    faults = order_faults(trace, markers)
    assert [fault.partition(": ")[2] for fault in faults] == [UNSYNCED] * EVENTS


REQUEST = r'recvmsg(9<TCP:[s->c]>, {msg_iov=[{iov_base="\x6d\x31", iov_len=2}]}, 0) = 2'
WRITE = r'pwrite64(8</d/a.db-wal>, "\x00\x6d\x31", 3, 0) = 3'
SYNC = "fdatasync(8</d/a.db-wal>) = 0"
SYNC_ENTERS = "fdatasync(8</d/a.db-wal> <unfinished ...>"
SYNC_LEAVES = "<... fdatasync resumed>) = 0"
SETTINGS = r'sendmsg(9<TCP:[s->c]>, {iov_base="\x00\x00\x00\x04\x01\x00\x00\x00\x00"}, 0) = 9'
ANSWER = r'sendmsg(9<TCP:[s->c]>, {iov_base="\x00\x00\x01\x00\x00\x00\x00\x00\x01\x61"}, 0) = 10'
OTHER_FILE = "fdatasync(7</d/a.db>) = 0"


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        ("", [REQUEST, WRITE, SYNC, ANSWER]),
        ("", [REQUEST, SETTINGS, WRITE, SYNC_ENTERS, SETTINGS, SYNC_LEAVES, ANSWER]),
        (UNSYNCED, [REQUEST, WRITE, ANSWER, SYNC]),
        (UNSYNCED, [REQUEST, WRITE, SYNC_ENTERS, ANSWER, SYNC_LEAVES]),
        ("answered before it was written", [REQUEST, ANSWER, WRITE, SYNC]),
        ("answered before it was written", [REQUEST, SYNC, ANSWER, WRITE]),
        (UNSYNCED, [REQUEST, SYNC, WRITE, ANSWER]),
        (UNSYNCED, [REQUEST, WRITE, OTHER_FILE, ANSWER]),
        (UNSYNCED, [REQUEST, WRITE, SYNC.replace("= 0", "= -1 EIO"), ANSWER]),
        ("no answer was sent", [REQUEST, WRITE, SYNC, SETTINGS]),
        ("its request was not seen", [WRITE, SYNC, ANSWER]),
    ],
)
def test_the_order_is_judged_rightly(fault: str, lines: list[str]) -> None:
    """Doctored traces: each wrong order is named, a right one is not accused."""
    # The sync runs on a thread of its own, as in the server.
    trace = [f"{2 if 'fdatasync' in line else 1} 17.5 {line}" for line in lines]
    found = order_faults(calls(trace), [b"m1"])
    assert found == ([f"m1: {fault}"] if fault else [])
