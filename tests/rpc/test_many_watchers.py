"""Many tails beside a narrow reader pool."""

from collections.abc import Callable

import grpc

from tests.conftest import Sidecar
from tests.rpc.samples import an_event
from tests.rpc.test_watch_events import Tail
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

WATCHERS = 30


def test_watchers_wait_their_turn_and_lists_keep_theirs(sidecar: Callable[..., Sidecar]) -> None:
    """Thirty watchers, one reader, room for three reads to wait: every watcher gets every event,
    none is told OVERLOADED, and a list is answered meanwhile."""
    server = sidecar("--readers-max", "1", "--read-queue-max", "3")
    with grpc.insecure_channel(server.address) as channel:
        events = EventServiceStub(channel)
        tails = [Tail(events) for _ in range(WATCHERS)]
        for count in range(1, 6):
            events.RecordEvent(pb.RecordEventRequest(event=an_event()), timeout=20)
            listed = events.ListEvents(pb.ListEventsRequest(), timeout=20)
            assert len(listed.events) == count
        for tail in tails:
            with tail:
                assert len(tail.read(5)) == 5
