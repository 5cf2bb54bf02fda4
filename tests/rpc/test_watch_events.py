"""The tail of the log: from any sequence, gapless, in order, by filter, and resumable."""

import threading
from collections.abc import Iterator
from typing import Any, Self

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.rpc.conversation import Conversation
from tests.rpc.samples import RECENT_S, an_event, new_id
from tests.rpc.statuses import refused
from trimtab.v1 import event_pb2, event_service_pb2_grpc
from trimtab.v1 import event_service_pb2 as pb

Stub = event_service_pb2_grpc.EventServiceStub
Code = grpc.StatusCode


class Tail:
    """A WatchEvents call, read a message at a time."""

    def __init__(self, events: Stub, **request: Any) -> None:
        self._call: Any = events.WatchEvents(pb.WatchEventsRequest(**request), timeout=30)
        self._pages: Iterator[pb.WatchEventsResponse] = iter(self._call)
        self.position = next(self._pages)
        assert not self.position.events

    def __enter__(self) -> Self:
        """Itself; the call is cancelled at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        self._call.cancel()

    def read(self, count: int) -> list[event_pb2.Event]:
        """The next `count` events or a few more."""
        found: list[event_pb2.Event] = []
        while len(found) < count:
            page = next(self._pages)
            found += page.events
            if page.events:
                assert page.through_sequence >= page.events[-1].sequence
            assert page.log_id == self.position.log_id
        return found

    def read_through(self, sequence: int) -> list[event_pb2.Event]:
        """Events up to the page that has looked at a sequence."""
        found: list[event_pb2.Event] = []
        through = self.position.through_sequence
        while through < sequence:
            page = next(self._pages)
            assert page.through_sequence > through
            through = page.through_sequence
            found += page.events
        return found


def _last(events: Stub) -> int:
    return events.GetStats(pb.GetStatsRequest()).last_sequence


def _record(events: Stub, *batch: event_pb2.Event) -> int:
    request = pb.RecordEventsRequest(events=batch)
    results = events.RecordEvents(request, timeout=20).results
    assert all(result.recorded.sequence for result in results)
    return results[-1].recorded.sequence


def test_the_first_message_is_the_position(events: Stub) -> None:
    """Before any event the watcher learns where it stands and which log it reads."""
    last = _record(events, an_event())
    with Tail(events, from_now=True) as tail:
        assert tail.position.through_sequence == last
    with Tail(events) as tail:
        assert tail.position.through_sequence == 0
    with Tail(events, after_sequence=1, log_id=tail.position.log_id) as again:
        assert again.position.through_sequence == 1


def test_a_tail_from_the_beginning_is_the_whole_log(events: Stub) -> None:
    """Every sequence from 1 to the last, in order, and each event as GetEvent gives it."""
    last = _record(events, *(an_event() for _ in range(30)))
    with Tail(events) as tail:
        found = tail.read_through(last)
    assert [event.sequence for event in found[:last]] == list(range(1, last + 1))
    final = found[last - 1]
    assert events.GetEvent(pb.GetEventRequest(event_id=final.event_id)).event == final


def test_a_tail_is_gapless_across_concurrent_writers(events: Stub) -> None:
    """Four writers at once, streams and unary: the watcher sees every sequence once, in order."""
    start = _last(events)

    def stream() -> None:
        with Conversation(events) as one:
            for first in range(1, 201, 20):
                one.send(first, *(an_event() for _ in range(20)))
            one.ack_through(200)

    def single() -> None:
        for _ in range(50):
            events.RecordEvent(pb.RecordEventRequest(event=an_event()), timeout=20)

    with Tail(events, from_now=True) as tail:
        writers = [threading.Thread(target=work) for work in (stream, single, stream, single)]
        for writer in writers:
            writer.start()
        found = tail.read_through(start + 500)
        for writer in writers:
            writer.join()
    assert [event.sequence for event in found] == list(range(start + 1, start + 501))


def test_a_watcher_resumes_where_it_was(events: Stub) -> None:
    """With the log_id and through_sequence of any page, the next call goes on without a gap."""
    start = _last(events)
    last = _record(events, *(an_event() for _ in range(25)))
    with Tail(events, from_now=True) as tail:
        log_id = tail.position.log_id
    seen: list[int] = []
    for after in range(start, last, 5):
        with Tail(events, after_sequence=after, log_id=log_id) as tail:
            seen += [event.sequence for event in tail.read(5)[:5]]
    assert seen == list(range(start + 1, last + 1))


@pytest.mark.parametrize(
    ("wanted", "matching"),
    [
        ({"kinds": [event_pb2.EVENT_KIND_MARKET_BAR]}, {1}),
        ({"kinds": [1, 11]}, {0, 1, 3, 4}),
        ({"symbol": "ETH-USDT"}, {3}),
        ({"signal_id": "s-9"}, {4}),
        ({"environment": event_pb2.ENVIRONMENT_LIVE}, {2}),
        ({"start_time": Timestamp(seconds=RECENT_S + 1)}, {3, 4}),
        ({"end_time": Timestamp(seconds=RECENT_S + 1)}, {0, 1, 2}),
        ({"known_at_time": Timestamp(seconds=RECENT_S + 1)}, {0, 1, 2, 3}),
    ],
    ids=["kind", "kinds", "symbol", "signal", "environment", "start", "end", "known at"],
)
def test_a_filter_holds_on_the_tail(
    events: Stub, wanted: dict[str, Any], matching: set[int]
) -> None:
    """Only what matches is sent, and the position moves over what does not."""
    source = f"watch-{new_id()[:8]}"
    batch = [
        an_event(source=source),
        an_event("market_bar", source=source),
        an_event("market_tick", source=source, environment=event_pb2.ENVIRONMENT_LIVE),
        an_event(source=source, symbol="ETH-USDT", event_time=Timestamp(seconds=RECENT_S + 1)),
        an_event(source=source, signal_id="s-9", event_time=Timestamp(seconds=RECENT_S + 2)),
    ]
    last = _last(events) + len(batch)
    with Tail(events, from_now=True, filter=pb.EventFilter(source=source, **wanted)) as tail:
        _record(events, *batch)
        found = tail.read_through(last)
    assert [event.event_id for event in found] == [
        event.event_id for index, event in enumerate(batch) if index in matching
    ]


def test_bad_arguments_of_a_watcher_are_named(events: Stub) -> None:
    """Another log is ABORTED/LOG_CHANGED; impossible positions name their field."""
    last = _record(events, an_event())
    with Tail(events) as tail:
        log_id = tail.position.log_id
    cases: list[tuple[dict[str, Any], Code, str, list[str]]] = [
        ({"log_id": new_id()}, Code.ABORTED, "LOG_CHANGED", []),
        ({"log_id": "\x00" * 9_000, "after_sequence": 1}, Code.ABORTED, "LOG_CHANGED", []),
        ({"log_id": "é" * 5_000, "from_now": True}, Code.ABORTED, "LOG_CHANGED", []),
        *(
            (request, Code.INVALID_ARGUMENT, "INVALID_FIELD", [field])
            for request, field in (
                ({"after_sequence": -1, "log_id": log_id}, "after_sequence"),
                ({"after_sequence": -(2**63)}, "after_sequence"),
                ({"after_sequence": 1, "from_now": True}, "after_sequence"),
                ({"after_sequence": 1}, "log_id"),
                ({"after_sequence": last + 10_000, "log_id": log_id}, "after_sequence"),
                ({"after_sequence": 2**63 - 1, "log_id": log_id}, "after_sequence"),
            )
        ),
    ]
    for request, code, reason, fields in cases:
        with refused(code, reason, *fields):
            next(iter(events.WatchEvents(pb.WatchEventsRequest(**request), timeout=20)))


def test_the_end_of_the_log_is_no_error(events: Stub) -> None:
    """A watcher that has seen everything resumes at the very end and gets what comes next."""
    last = _record(events, an_event())
    with Tail(events, from_now=True) as tail:
        last = tail.position.through_sequence
        log_id = tail.position.log_id
    event = an_event()
    with Tail(events, after_sequence=last, log_id=log_id) as tail:
        _record(events, event)
        assert tail.read(1)[0].event_id == event.event_id
