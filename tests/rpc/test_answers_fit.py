"""However much there is to tell, an answer stays within what callers take by default (4 MiB)."""

import grpc

from tests.rpc.conversation import Conversation
from tests.rpc.samples import an_event
from tests.rpc.statuses import Answer, refusal
from trimtab.v1 import event_pb2, event_service_pb2_grpc
from trimtab.v1 import event_service_pb2 as pb

Stub = event_service_pb2_grpc.EventServiceStub
_MESSAGE_BYTES_MAX = 4 << 20


def _wrong_everywhere(letter: str = "\U000e0001") -> event_pb2.Event:
    """A small event (1.5 KB) whose rejection has as many words as possible."""
    event = an_event(event_id=letter * 30, traceparent=letter * 30)
    event.attributes.update({f"{i:02}\x01{letter * 18}": "" for i in range(14)})
    return event


def test_rejections_of_a_full_batch_fit(events: Stub) -> None:
    """Two thousand events, each wrong in many places: every one has its rejection, on each way in,
    and nothing is cut off by the transport."""
    batch = [_wrong_everywhere() for _ in range(2_000)]
    assert sum(event.ByteSize() for event in batch) < 4 << 20
    response = events.RecordEvents(pb.RecordEventsRequest(events=batch), timeout=30)
    assert response.ByteSize() <= _MESSAGE_BYTES_MAX
    assert all(result.rejection.violations for result in response.results)
    with Conversation(events) as stream:
        ack = stream.record(1, batch)
    assert [each.producer_seq for each in ack.rejections] == list(range(1, 2_001))
    assert all(each.violations for each in ack.rejections)


def test_a_page_of_rejected_events_fits(events: Stub) -> None:
    """A page of ListRejectedEvents ends early rather than grow beyond a message, and its token
    goes on where it ended."""
    junk = an_event(symbol="x" * 5_000)
    batch = []
    for _ in range(500):
        event = event_pb2.Event()
        event.CopyFrom(junk)
        batch.append(event)
    with Conversation(events) as stream:
        for first in (1, 501, 1_001):
            stream.record(first, batch)
    request = pb.ListRejectedEventsRequest(producer_id=stream.producer_id, page_size=1_000)
    seen: list[int] = []
    while True:
        page = events.ListRejectedEvents(request, timeout=30)
        assert page.ByteSize() <= _MESSAGE_BYTES_MAX
        seen += [row.rejection.producer_seq for row in page.rejected_events]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert seen == list(range(1_500, 0, -1))


def test_a_page_of_large_events_fits(events: Stub) -> None:
    """A page of ListEvents ends at 3 MiB, whatever its size in events; so does a page of the
    tail."""
    large = {f"k{i}": "x" * 1_000 for i in range(60)}
    batch = [an_event(source="large", attributes=large) for _ in range(120)]
    for start in range(0, 120, 40):
        part = batch[start : start + 40]
        results = events.RecordEvents(pb.RecordEventsRequest(events=part)).results
        assert all(result.recorded.sequence for result in results)
    request = pb.ListEventsRequest(filter=pb.EventFilter(source="large"), page_size=5_000)
    seen: list[str] = []
    while True:
        page = events.ListEvents(request, timeout=30)
        assert page.ByteSize() <= _MESSAGE_BYTES_MAX
        seen += [event.event_id for event in page.events]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert seen == [event.event_id for event in batch]


def test_a_batch_beyond_its_bytes_is_refused_with_its_size(events: Stub) -> None:
    """More bytes than Limits allow is INVALID_ARGUMENT/BATCH_TOO_LARGE while the transport still
    takes it, and the transport's own RESOURCE_EXHAUSTED beyond; the server lives on."""
    large = {f"k{i}": "x" * 1_000 for i in range(60)}
    batch = [an_event(attributes=large) for _ in range(53)]

    def call(sent: list[event_pb2.Event]) -> Answer:
        request = pb.RecordEventsRequest(events=sent)
        return refusal(lambda: events.RecordEvents(request, timeout=20))

    answer = call(batch)
    assert (answer.code, answer.reason, answer.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "BATCH_TOO_LARGE",
        ["events"],
    )
    answer = call(batch * 2)
    assert (answer.code, answer.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "")
    assert events.RecordEvent(pb.RecordEventRequest(event=an_event())).sequence
