"""Durability is an order of system calls: write, sync, and only then the answer."""

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.conftest import Sidecar
from tests.faults import syscalls
from tests.faults.driver import CALL_S_MAX, open_channel
from tests.faults.events import event, uuid
from tests.faults.syscalls import Call, calls, order_faults, tracer
from tests.faults.waiting import until
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

EVENTS = 6
Recorder = Callable[[EventServiceStub], list[bytes]]


def record_in_lock_step(stub: EventServiceStub) -> list[bytes]:
    """Records events one at a time with unary calls; returns what marks each in the trace."""
    rng = random.Random(1)
    made = [event(rng, "unary") for _ in range(EVENTS)]
    for one in made:
        stub.RecordEvent(pb.RecordEventRequest(event=one), timeout=CALL_S_MAX)
    return [one.event_id.encode() for one in made]


def stream_in_lock_step(stub: EventServiceStub) -> list[bytes]:
    """Sends batches of one event on a stream, each after the acknowledgement of the last."""
    rng = random.Random(2)
    made = [event(rng, "stream") for _ in range(EVENTS)]
    # At most EVENTS + 1 entries: one per answer.
    answered: SimpleQueue[int] = SimpleQueue()

    def requests() -> Iterator[pb.StreamEventsRequest]:
        opening = pb.Open(producer_id=uuid(rng), producer_epoch=1, source="stream")
        yield pb.StreamEventsRequest(open=opening)
        for number, one in enumerate(made, 1):
            assert answered.get(timeout=CALL_S_MAX) == number - 1
            batch = pb.Batch(first_seq=number, events=[one])
            yield pb.StreamEventsRequest(batch=batch)

    for response in stub.StreamEvents(requests(), timeout=CALL_S_MAX):
        answered.put(response.ack.durable_through_seq)
    return [one.event_id.encode() for one in made]


def traced(
    start: Callable[..., Sidecar], recorder: Recorder, *flags: str, mutant: tuple[str, ...] = ()
) -> tuple[list[Call], list[bytes]]:
    """The system calls of a sidecar while `recorder` records, and the events' markers."""
    if reason := syscalls.why_not():
        pytest.skip(reason)
    name = f"traced-{recorder.__name__}.db"
    base = Path(start.__closure__[0].cell_contents) if start.__closure__ else Path()
    trace = base / f"{name}.trace"
    server = start(*flags, database=base / name, wrapper=(*tracer(trace), *mutant))
    with open_channel(server.address) as channel:
        markers = recorder(EventServiceStub(channel))
    assert server.terminate() == 0
    until(
        lambda: any(
            line.startswith(f"{server.pid} ") and "+++ exited" in line
            for line in trace.read_text().splitlines()[-50:]
        ),
        "the end of the trace",
    )
    return list(calls(trace.read_text().splitlines())), markers
