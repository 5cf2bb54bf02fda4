"""Clients that stop reading: the connection lives, nothing is taken from it."""

import random
import threading
import urllib.request
from collections.abc import Iterator

import grpc

from tests.faults.driver import CALL_S_MAX, open_channel
from tests.faults.events import event, uuid
from tests.faults.waiting import until
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

# Small windows on the client's side, so that a few pages fill them.
SMALL_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_535))
DEAF_PRODUCER = uuid(random.Random(2))
_FILL_EVENTS = 40
_FILL_BYTES = 20_000


def open_narrow_channel(address: str) -> grpc.Channel:
    """A channel with the smallest windows that HTTP/2 starts with."""
    return open_channel(address, *SMALL_WINDOW)


def fill(stub: EventServiceStub, calls: int = 8, seed: int = 1) -> None:
    """Fills the log with enough bytes (6 MB by default) to choke a reader that does not read."""
    rng = random.Random(seed)
    for _ in range(calls):
        events = [event(rng, "fill", padding=_FILL_BYTES) for _ in range(_FILL_EVENTS)]
        stub.RecordEvents(pb.RecordEventsRequest(events=events), timeout=CALL_S_MAX)


def stalled_watch(stub: EventServiceStub) -> "grpc._CallIterator[pb.WatchEventsResponse]":
    """A watcher that reads its position and never again."""
    call = stub.WatchEvents(pb.WatchEventsRequest())
    next(call)
    return call


def stalled_recorder(stub: EventServiceStub) -> "grpc._CallIterator[pb.StreamEventsResponse]":
    """An engine that sends as much as it may and reads no acknowledgement of it."""
    rng = random.Random(2)
    over = threading.Event()
    sent = threading.Event()

    def requests() -> Iterator[pb.StreamEventsRequest]:
        opening = pb.Open(producer_id=DEAF_PRODUCER, producer_epoch=1, source="deaf")
        yield pb.StreamEventsRequest(open=opening)
        for first_seq in range(1, 4_000, 40):
            # Refused events: their acknowledgements are large.
            events = [event(rng, "deaf", valid=False) for _ in range(40)]
            yield pb.StreamEventsRequest(batch=pb.Batch(first_seq=first_seq, events=events))
        sent.set()
        over.wait()

    call = stub.StreamEvents(requests())
    call.add_callback(over.set)
    until(sent.is_set, "an engine that sent all it may")
    return call


def metric(address: str, name: str, **labels: str) -> float:
    """The sum of a metric's values on the Prometheus endpoint, over all labels not given."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=CALL_S_MAX) as page:
        lines = page.read().decode().splitlines()
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith((f"{name}{{", f"{name} ")) and all(part in line for part in wanted)
    )
