"""The stream's rules: numbers, epochs, losses, acknowledgements, and how a broken rule ends it."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from tests.rpc.conversation import Conversation
from tests.rpc.samples import an_event, new_id
from tests.rpc.statuses import Answer
from trimtab.v1 import error_pb2, event_pb2, event_service_pb2_grpc
from trimtab.v1 import event_service_pb2 as pb

Stub = event_service_pb2_grpc.EventServiceStub
Code = grpc.StatusCode
INT64_MAX = 2**63 - 1


def _lost(first_seq: int, last_seq: int, reason: Any = 1) -> pb.Lost:
    return pb.Lost(first_seq=first_seq, last_seq=last_seq, reason=reason)


def _holds(answer: Answer, code: Code, reason: str, *fields: str) -> None:
    assert (answer.code, answer.reason, tuple(answer.fields)) == (code, reason, fields), answer
    assert answer.domain == "trimtab"


def test_opened_tells_where_to_go_on(events: Stub) -> None:
    """A new producer starts at 1; the same one later goes on one above its mark."""
    with Conversation(events) as stream:
        assert stream.opened.next_expected_seq == 1
        assert stream.opened.limits.event_bytes_max > 0
        assert stream.opened.window.event_count > 0
        stream.record(1, [an_event() for _ in range(7)])
    with Conversation(events, producer_id=stream.producer_id) as again:
        assert again.opened.next_expected_seq == 8
        assert again.opened.log_id == stream.opened.log_id


def test_an_ack_means_that_the_events_can_be_read(events: Stub) -> None:
    """What an Ack covers is in the log, in the producer's order, without gaps."""
    batch = [an_event() for _ in range(20)]
    with Conversation(events) as stream:
        ack = stream.record(1, batch)
        assert (ack.durable_through_seq, ack.duplicate_count) == (20, 0)
        found = [
            events.GetEvent(pb.GetEventRequest(event_id=event.event_id)).event.sequence
            for event in batch
        ]
    assert found == sorted(found)


def test_half_close_settles_everything_and_ends_in_good_order(events: Stub) -> None:
    """The client may half-close right behind its last batch: the last Ack still comes, then OK."""
    stream = Conversation(events).__enter__()
    for first in range(1, 61, 20):
        stream.send(first, *(an_event() for _ in range(20)))
    acks = [answer.ack for answer in stream.half_close()]
    assert acks[-1].durable_through_seq == 60


def test_flush_is_acknowledged_behind_what_was_sent(events: Stub) -> None:
    """Flush commits what came before it; on an idle stream it is answered too."""
    with Conversation(events) as stream:
        stream.say(flush=pb.Flush())
        assert stream.hear().ack.durable_through_seq == 0
        stream.send(1, *(an_event() for _ in range(3)))
        stream.say(flush=pb.Flush())
        assert stream.ack_through(3).durable_through_seq == 3


def test_a_resend_is_a_duplicate_and_stored_once(events: Stub) -> None:
    """A batch sent again, alone or overlapping with new events, counts duplicates only."""
    batch = [an_event() for _ in range(5)]
    with Conversation(events) as stream:
        stream.record(1, batch)
        stream.send(1, *batch)
        assert stream.hear().ack.duplicate_count == 5
        ack = stream.record(4, [*batch[3:], an_event(), an_event()])
        assert (ack.durable_through_seq, ack.duplicate_count) == (7, 2)
    listed = events.ListEvents(pb.ListEventsRequest(order=pb.EVENT_ORDER_SEQUENCE_DESC))
    ids = [event.event_id for event in listed.events]
    assert all(ids.count(event.event_id) == 1 for event in batch)


def test_a_resend_right_behind_the_first_is_a_duplicate_too(events: Stub) -> None:
    """Numbers repeat within one commit: whoever resends without waiting is not told that it
    reused them."""
    with Conversation(events) as stream:
        for _ in range(10):
            first = stream.opened.next_expected_seq
            batch = [an_event() for _ in range(3)]
            stream.send(first, *batch)
            stream.send(first, *batch)
            stream.send(first, *batch)
            stream.say(flush=pb.Flush())
            ack = stream.ack_through(first + 2)
            while ack.duplicate_count < 6:
                ack.duplicate_count += stream.hear().ack.duplicate_count
            assert not ack.rejections
            stream.opened.next_expected_seq += 3
            stream.say(flush=pb.Flush())


@pytest.mark.parametrize("first_seq", [3, 1_000, 2**62, INT64_MAX])
def test_a_gap_ends_the_stream(events: Stub, first_seq: int) -> None:
    """A batch above the next number is OUT_OF_RANGE/SEQUENCE_GAP, and stores nothing."""
    event = an_event()
    stream = Conversation(events).__enter__()
    stream.record(1, [an_event()])
    stream.send(first_seq, event)
    _holds(stream.ending(), Code.OUT_OF_RANGE, "SEQUENCE_GAP", "batch.first_seq")
    with Conversation(events, producer_id=stream.producer_id) as again:
        assert again.opened.next_expected_seq == 2
        again.record(2, [event])


def test_a_reused_number_ends_the_stream(events: Stub) -> None:
    """Another event under a number that was used is ALREADY_EXISTS/SEQUENCE_REUSED."""
    stream = Conversation(events).__enter__()
    stream.record(1, [an_event(), an_event()])
    stream.send(2, an_event())
    _holds(stream.ending(), Code.ALREADY_EXISTS, "SEQUENCE_REUSED", "batch.first_seq")


def test_a_reused_event_id_is_rejected_alone_and_again(events: Stub) -> None:
    """The same id with other content is ID_REUSED in the Ack, within a batch, across streams and
    in a resend; its neighbours are stored; RecordEvent says ALREADY_EXISTS."""
    first = an_event()
    other = an_event(event_id=first.event_id, symbol="ETH-USDT")
    with Conversation(events) as stream:
        batch = [first, other, an_event()]
        for _ in range(2):
            stream.send(1, *batch)
            ack = stream.hear().ack
            assert ack.durable_through_seq == 3
            (rejection,) = ack.rejections
            assert rejection.reason == error_pb2.ERROR_REASON_ID_REUSED
            assert (rejection.producer_seq, rejection.event_id) == (2, first.event_id)
            assert [violation.field for violation in rejection.violations] == ["event_id"]
    with Conversation(events) as elsewhere:
        assert len(elsewhere.record(1, [other]).rejections) == 1
        assert elsewhere.record(2, [first]).duplicate_count == 1
    results = events.RecordEvents(pb.RecordEventsRequest(events=[other, first])).results
    assert results[0].rejection.reason == error_pb2.ERROR_REASON_ID_REUSED
    assert results[0].rejection.event_id == first.event_id
    assert results[1].recorded.duplicate


def test_an_event_of_another_source_is_rejected(events: Stub) -> None:
    """A stream records for the source that it was opened with."""
    with Conversation(events) as stream:
        ack = stream.record(1, [an_event(source="beta-2"), an_event()])
    (rejection,) = ack.rejections
    assert [violation.field for violation in rejection.violations] == ["source"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"producer_id": "p-1"}, "open.producer_id"),
        ({"producer_id": new_id().upper() + "A"}, "open.producer_id"),
        ({"source": ""}, "open.source"),
        ({"source": "x" * 65}, "open.source"),
        ({"source": "a\x00b"}, "open.source"),
        ({"epoch": 0}, "open.producer_epoch"),
        ({"epoch": -1}, "open.producer_epoch"),
        ({"epoch": INT64_MAX}, "open.producer_epoch"),
    ],
)
def test_a_bad_open_names_its_field(events: Stub, changes: dict[str, Any], field: str) -> None:
    """Open is checked field by field before anything is stored."""
    stream = Conversation(events, **changes)
    stream.say(open=stream._open)
    _holds(stream.ending(), Code.INVALID_ARGUMENT, "INVALID_FIELD", field)


def test_a_giant_client_info_names_its_field(events: Stub) -> None:
    """Who is calling is for people, and bounded."""
    stream = Conversation(events)
    info = pb.ClientInfo(name="n" * 300, host="h" * 100_000)
    stream.say(open=pb.Open(producer_id=new_id(), producer_epoch=1, source="a", client_info=info))
    fields = ("open.client_info.name", "open.client_info.host")
    _holds(stream.ending(), Code.INVALID_ARGUMENT, "INVALID_FIELD", *fields)


_BATCH = pb.StreamEventsRequest(batch=pb.Batch(first_seq=1, events=[an_event()]))


@pytest.mark.parametrize(
    "first",
    [
        pb.StreamEventsRequest(),
        pb.StreamEventsRequest(flush=pb.Flush()),
        pb.StreamEventsRequest(lost=_lost(1, 1)),
        _BATCH,
        None,
    ],
    ids=["nothing in it", "flush", "lost", "batch", "half-close"],
)
def test_the_first_message_must_be_open(events: Stub, first: pb.StreamEventsRequest | None) -> None:
    """Anything before open is FAILED_PRECONDITION/STREAM_PROTOCOL."""
    stream = Conversation(events)
    stream._said.put(first)
    _holds(stream.ending(), Code.FAILED_PRECONDITION, "STREAM_PROTOCOL")


def test_open_comes_once_and_messages_are_not_empty(events: Stub) -> None:
    """A second open and an empty message break the protocol."""
    for message in (pb.StreamEventsRequest(), None):
        stream = Conversation(events).__enter__()
        stream._said.put(message or pb.StreamEventsRequest(open=stream._open))
        _holds(stream.ending(), Code.FAILED_PRECONDITION, "STREAM_PROTOCOL")


@pytest.mark.parametrize(
    ("batch", "reason", "field"),
    [
        (pb.Batch(first_seq=1), "INVALID_FIELD", "batch.events"),
        (pb.Batch(first_seq=0, events=[an_event()]), "INVALID_FIELD", "batch.first_seq"),
        (pb.Batch(first_seq=-5, events=[an_event()]), "INVALID_FIELD", "batch.first_seq"),
        (
            pb.Batch(first_seq=1, events=[event_pb2.Event()] * 2_001),
            "BATCH_TOO_LARGE",
            "batch.events",
        ),
    ],
    ids=["empty", "number 0", "negative number", "too many"],
)
def test_a_bad_batch_ends_the_stream(
    events: Stub, batch: pb.Batch, reason: str, field: str
) -> None:
    """A batch that cannot be numbered or is too large is INVALID_ARGUMENT, and stores nothing."""
    stream = Conversation(events).__enter__()
    stream.say(batch=batch)
    _holds(stream.ending(), Code.INVALID_ARGUMENT, reason, field)
    with Conversation(events, producer_id=stream.producer_id) as again:
        assert again.opened.next_expected_seq == 1


def test_lost_advances_the_mark_and_is_stored(events: Stub) -> None:
    """Numbers that cannot be sent any more are declared lost: a RecorderLoss stands in the log and
    the next number goes on behind them; saying it again changes nothing."""
    with Conversation(events) as stream:
        stream.record(1, [an_event()])
        before = events.GetStats(pb.GetStatsRequest()).last_sequence
        for _ in range(2):
            stream.say(lost=_lost(2, 40, 2))
            assert stream.hear().ack.durable_through_seq == 40
        assert stream.record(41, [an_event()]).durable_through_seq == 41
    request = pb.ListEventsRequest(
        filter=pb.EventFilter(kinds=[event_pb2.EVENT_KIND_RECORDER_LOSS]),
        order=pb.EVENT_ORDER_SEQUENCE_DESC,
    )
    (loss, *_older) = events.ListEvents(request).events
    assert loss.sequence == before + 1
    assert loss.recorder_loss == event_pb2.RecorderLoss(
        producer_id=stream.producer_id,
        first_seq=2,
        last_seq=40,
        reason=event_pb2.LOSS_REASON_SERVER_RESTORED,
    )
    assert (loss.source, loss.environment) == ("alpha-1", 0)


def _say(lost: pb.Lost) -> Callable[[Conversation], None]:
    return lambda stream: stream.say(lost=lost)


@pytest.mark.parametrize(
    ("lost", "code", "reason", "fields"),
    [
        (_lost(1, 9), Code.ALREADY_EXISTS, "SEQUENCE_REUSED", ("lost.first_seq",)),
        (_lost(3, 9), Code.OUT_OF_RANGE, "SEQUENCE_GAP", ("lost.first_seq",)),
        (_lost(2, 1), Code.INVALID_ARGUMENT, "INVALID_FIELD", ("lost.last_seq",)),
        (_lost(0, 1), Code.INVALID_ARGUMENT, "INVALID_FIELD", ("lost.first_seq",)),
        (_lost(-9, -2), Code.INVALID_ARGUMENT, "INVALID_FIELD", ("lost.first_seq",)),
        (_lost(2, INT64_MAX), Code.INVALID_ARGUMENT, "INVALID_FIELD", ("lost.last_seq",)),
        (_lost(2, 3, 0), Code.INVALID_ARGUMENT, "INVALID_FIELD", ("lost.reason",)),
        (_lost(2, 3, 99), Code.INVALID_ARGUMENT, "INVALID_FIELD", ("lost.reason",)),
    ],
    ids=[
        "settled",
        "gap",
        "reversed",
        "number 0",
        "negative",
        "beyond all",
        "no reason",
        "unknown reason",
    ],
)
def test_a_bad_loss_ends_the_stream(
    events: Stub, lost: pb.Lost, code: Code, reason: str, fields: tuple[str, ...]
) -> None:
    """A loss that names no possible numbers or no reason moves nothing."""
    stream = Conversation(events).__enter__()
    stream.record(1, [an_event()])
    _say(lost)(stream)
    _holds(stream.ending(), code, reason, *fields)
    with Conversation(events, producer_id=stream.producer_id) as again:
        assert again.opened.next_expected_seq == 2


def test_numbers_go_on_to_the_end_of_their_range(events: Stub) -> None:
    """Behind the largest loss, numbers still go on; nothing overflows."""
    with Conversation(events) as stream:
        stream.say(lost=_lost(1, 2**62 - 1))
        assert stream.ack_through(2**62 - 1).durable_through_seq == 2**62 - 1
        assert stream.record(2**62, [an_event()]).durable_through_seq == 2**62
