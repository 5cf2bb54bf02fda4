"""Every bad event is refused with the right status, reason and path, on each way in."""

import grpc
import pytest

from tests.rpc.bad_events import BAD_EVENTS, Bad
from tests.rpc.conversation import Conversation
from tests.rpc.samples import an_event
from tests.rpc.statuses import refusal
from trimtab.v1 import error_pb2, event_service_pb2_grpc
from trimtab.v1 import event_service_pb2 as pb

each = pytest.mark.parametrize("bad", BAD_EVENTS, ids=lambda bad: f"{bad.kind}: {bad.what}")
Stub = event_service_pb2_grpc.EventServiceStub


def _field(bad: Bad) -> str:
    # A size is the fault of no field.
    return "" if bad.reason == "EVENT_TOO_LARGE" else bad.field


def _holds(rejection: pb.Rejection, bad: Bad) -> None:
    assert error_pb2.ErrorReason.Name(rejection.reason) == f"ERROR_REASON_{bad.reason}"
    assert [violation.field for violation in rejection.violations] == [_field(bad)]
    assert rejection.violations[0].description


@each
def test_record_event_names_the_field_at_fault(events: Stub, bad: Bad) -> None:
    """RecordEvent answers INVALID_ARGUMENT with the reason and the path below `event`."""
    event = bad.event()
    answer = refusal(lambda: events.RecordEvent(pb.RecordEventRequest(event=event), timeout=20))
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (answer.reason, answer.domain) == (bad.reason, "trimtab")
    assert answer.fields == [f"event.{_field(bad)}".rstrip(".")]
    assert answer.descriptions[0]
    assert answer.retry_after_s is None


@each
def test_record_events_refuses_one_and_stores_its_neighbours(events: Stub, bad: Bad) -> None:
    """RecordEvents answers OK: a rejection for the bad event, positions for the others."""
    batch = [an_event(), bad.event(), an_event()]
    results = events.RecordEvents(pb.RecordEventsRequest(events=batch), timeout=20).results
    assert [result.WhichOneof("result") for result in results] == [
        "recorded",
        "rejection",
        "recorded",
    ]
    _holds(results[1].rejection, bad)
    assert results[1].rejection.event_id == batch[1].event_id[:128]
    assert results[1].rejection.producer_seq == 0
    assert results[2].recorded.sequence == results[0].recorded.sequence + 1


def test_streams_refuse_one_and_store_its_neighbours(events: Stub) -> None:
    """On one stream: each bad event is told in an Ack with its number, its neighbours are stored,
    and a resend of everything repeats every rejection."""
    with Conversation(events) as stream:
        batches = [[an_event(), bad.event(), an_event()] for bad in BAD_EVENTS]
        heard = [stream.record(1 + 3 * i, batch) for i, batch in enumerate(batches)]
        again = [stream.record(1, batch) for batch in batches[:1]]
        for i, batch in enumerate(batches[1:], 1):
            stream.send(1 + 3 * i, *batch)
            again.append(_next_ack(stream))
    for i, (bad, ack) in enumerate(zip(BAD_EVENTS, heard, strict=True)):
        assert [rejection.producer_seq for rejection in ack.rejections] == [3 * i + 2], bad
        _holds(ack.rejections[0], bad)
        assert ack.duplicate_count == 0
    assert [list(ack.rejections) for ack in again] == [list(ack.rejections) for ack in heard]
    assert {ack.duplicate_count for ack in again} == {2}


def _next_ack(stream: Conversation) -> pb.Ack:
    answer = stream.hear()
    assert answer.WhichOneof("message") == "ack"
    return answer.ack


def test_rejected_events_are_kept_for_their_owner(events: Stub) -> None:
    """ListRejectedEvents gives back each refused event of a stream: number, reason, path, full
    size and its first 4 KiB as they were sent."""
    sent = [bad.event() for bad in BAD_EVENTS]
    with Conversation(events) as stream:
        stream.record(1, sent)
    request = pb.ListRejectedEventsRequest(producer_id=stream.producer_id, page_size=1_000)
    kept = events.ListRejectedEvents(request, timeout=20).rejected_events
    assert len(kept) == len(sent)
    for number, (row, event, bad) in enumerate(
        zip(reversed(kept), sent, BAD_EVENTS, strict=True), 1
    ):
        body = event.SerializeToString(deterministic=True)
        assert (row.source, row.producer_id) == ("alpha-1", stream.producer_id)
        assert (row.event_bytes, row.event_prefix) == (len(body), body[:4_096])
        assert row.rejection.producer_seq == number
        _holds(row.rejection, bad)
        assert row.reject_time.seconds > 0


def test_the_answer_to_many_faults_fits_into_the_trailers(events: Stub) -> None:
    """An event that is wrong in hundreds of places is refused with up to 16 of them, however long
    and wide its words are: the answer itself never breaks the transport's limits."""
    for letter in ("k", "😀", "\U000e0001", "\x01"):
        event = an_event(event_id=letter * 1_000, symbol=letter * 1_000, strategy=letter * 1_000)
        event.attributes.update({f"{i:03}{letter * 64}"[:66]: "x" for i in range(120)})
        request = pb.RecordEventRequest(event=event)
        answer = refusal(lambda sent=request: events.RecordEvent(sent, timeout=20))  # type: ignore[misc]
        assert (answer.code, answer.reason) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
        )
        assert 1 <= len(answer.fields) <= 16
        assert answer.fields[0] == "event.event_id"
