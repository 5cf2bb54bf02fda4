"""Who may stream for a producer: epochs, takeovers, windows, and how many streams there may be."""

import contextlib
import time
from collections.abc import Callable

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Sidecar
from tests.rpc.conversation import Conversation
from tests.rpc.samples import SOURCE, an_event, id_of
from tests.rpc.statuses import Answer, answer_of
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1 import event_service_pb2_grpc

Stub = event_service_pb2_grpc.EventServiceStub
Code = grpc.StatusCode


def _holds(answer: Answer, code: Code, reason: str) -> None:
    assert (answer.code, answer.reason, answer.domain) == (code, reason, "trimtab"), answer


def test_a_newer_stream_of_the_same_epoch_supersedes(events: Stub) -> None:
    """The older stream ends with ABORTED/PRODUCER_SUPERSEDED; the newer one goes on behind what
    the older had committed."""
    older = Conversation(events).__enter__()
    older.record(1, [an_event()])
    with Conversation(events, producer_id=older.producer_id) as newer:
        _holds(older.ending(), Code.ABORTED, "PRODUCER_SUPERSEDED")
        assert newer.opened.next_expected_seq == 2
        newer.record(2, [an_event()])


def test_a_newer_epoch_fences_the_older(events: Stub) -> None:
    """Once a higher epoch was opened, streams of lower ones end or are refused with
    ABORTED/PRODUCER_FENCED; numbering continues."""
    older = Conversation(events).__enter__()
    older.record(1, [an_event(), an_event()])
    with Conversation(events, producer_id=older.producer_id, epoch=3) as newer:
        assert newer.opened.next_expected_seq == 3
        _holds(older.ending(), Code.ABORTED, "PRODUCER_FENCED")
        late = Conversation(events, producer_id=older.producer_id, epoch=2)
        late.say(open=late._open)
        _holds(late.ending(), Code.ABORTED, "PRODUCER_FENCED")
        newer.record(3, [an_event()])
    after = Conversation(events, producer_id=older.producer_id, epoch=1)
    after.say(open=after._open)
    _holds(after.ending(), Code.ABORTED, "PRODUCER_FENCED")


def test_a_producer_belongs_to_one_source(events: Stub) -> None:
    """Opening it for another source is refused, and leaves its own stream alone."""
    with Conversation(events) as stream:
        thief = Conversation(events, producer_id=stream.producer_id, source="beta-2")
        thief.say(open=thief._open)
        answer = thief.ending()
        _holds(answer, Code.INVALID_ARGUMENT, "INVALID_FIELD")
        assert answer.fields == ["open.source"]
        stream.record(1, [an_event()])


def _stub(sidecar: Sidecar) -> tuple[grpc.Channel, Stub]:
    channel = grpc.insecure_channel(sidecar.address)
    return channel, Stub(channel)


def test_exceeding_the_window_ends_the_stream(sidecar: Callable[..., Sidecar]) -> None:
    """One batch is always allowed; more than the window beyond the mark is
    RESOURCE_EXHAUSTED/WINDOW_EXCEEDED with a delay for the retry, and loses nothing."""
    one = sidecar("--window-events", "10", "--commit-age-ms-max", "1000")
    channel, events = _stub(one)
    with channel:
        stream = Conversation(events).__enter__()
        assert stream.opened.window.event_count == 10
        batch = [an_event() for _ in range(50)]
        assert stream.record(1, batch).durable_through_seq == 50
        number = 51
        for _ in range(200):
            stream.send(number, *(an_event() for _ in range(9)))
            number += 9
        answer = stream.ending()
        _holds(answer, Code.RESOURCE_EXHAUSTED, "WINDOW_EXCEEDED")
        assert answer.retry_after_s is not None
        with Conversation(events, producer_id=stream.producer_id) as again:
            count = events.GetStats(pb.GetStatsRequest()).event_count
            assert again.opened.next_expected_seq == count + 1
    assert one.terminate() == 0


def test_streams_and_watchers_are_counted(sidecar: Callable[..., Sidecar]) -> None:
    """Above their limits new ones are RESOURCE_EXHAUSTED/TOO_MANY_STREAMS with a delay; a place
    that was given back can be taken."""
    one = sidecar("--streams-max", "1", "--watchers-max", "1")
    channel, events = _stub(one)
    with channel:
        with Conversation(events):
            refused = Conversation(events)
            refused.say(open=refused._open)
            answer = refused.ending()
            _holds(answer, Code.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
            assert answer.retry_after_s is not None
        _place_after_a_cancel(events)
        watch = events.WatchEvents(pb.WatchEventsRequest(), timeout=20)
        next(iter(watch))
        with pytest.raises(grpc.RpcError) as error:
            next(iter(events.WatchEvents(pb.WatchEventsRequest(), timeout=20)))
        assert error.value.code() is Code.RESOURCE_EXHAUSTED
        watch.cancel()


def _place_after_a_cancel(events: Stub) -> None:
    """A client that vanishes gives its place back, as soon as the server has noticed."""
    gone = Conversation(events).__enter__()
    gone._call.cancel()
    for _ in range(500):
        with contextlib.suppress(grpc.RpcError), Conversation(events):
            return
        time.sleep(0.01)
    raise AssertionError("the place was never given back")


_EVENTS = st.builds(
    lambda number, symbol: an_event(event_id=id_of(number), symbol=symbol),
    st.integers(1, 40),
    st.sampled_from(("BTC", "x" * 65)),
)
_SEQS = st.integers(-1, 12) | st.sampled_from((-(2**63), 2**62, 2**63 - 1))
_MESSAGES = st.one_of(
    st.just(pb.StreamEventsRequest()),
    st.just(pb.StreamEventsRequest(flush=pb.Flush())),
    st.builds(
        lambda a, b, r: pb.Lost(first_seq=a, last_seq=b, reason=r), _SEQS, _SEQS, st.integers(0, 4)
    ).map(lambda lost: pb.StreamEventsRequest(lost=lost)),
    *[
        st.builds(
            lambda seq, events: pb.Batch(first_seq=seq, events=events),
            _SEQS,
            st.lists(_EVENTS, max_size=4),
        ).map(lambda batch: pb.StreamEventsRequest(batch=batch))
    ]
    * 3,
)


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    producer=st.integers(1, 3),
    epoch=st.integers(0, 3),
    messages=st.lists(_MESSAGES, max_size=8),
)
def test_whatever_a_stream_says_it_is_told_why(
    events: Stub, producer: int, epoch: int, messages: list[pb.StreamEventsRequest]
) -> None:
    """Any messages in any order: a good end, or an error with our reason that is nobody's defect;
    Acks never go back."""
    opening = pb.Open(producer_id=id_of(producer), producer_epoch=epoch, source=SOURCE)
    said = iter([pb.StreamEventsRequest(open=opening), *messages])
    heard: list[pb.StreamEventsResponse] = []
    try:
        heard.extend(events.StreamEvents(said, timeout=20))
    except grpc.RpcError as error:
        end = answer_of(error)
        assert end.domain == "trimtab"
        assert end.reason not in {"SERVER_FAULT", "STORE_UNAVAILABLE", "SHUTTING_DOWN"}
    marks = [answer.ack.durable_through_seq for answer in heard if answer.HasField("ack")]
    assert marks == sorted(marks)


def test_bad_events_count_in_the_window(sidecar: Callable[..., Sidecar]) -> None:
    """A refused event is in flight like any other until its rejection is told."""
    one = sidecar("--window-events", "10", "--commit-age-ms-max", "1000")
    channel, events = _stub(one)
    with channel, Conversation(events) as stream:
        ack = stream.record(1, [an_event(symbol="x" * 99) for _ in range(40)])
        assert [each.producer_seq for each in ack.rejections] == list(range(1, 41))


def test_an_error_tells_programs_what_they_need(events: Stub) -> None:
    """The expected number of a gap and the epoch that fences stand in ErrorInfo's metadata, so that
    no client reads prose."""
    gap = Conversation(events).__enter__()
    gap.record(1, [an_event(), an_event()])
    gap.send(9, an_event())
    assert gap.ending().metadata == {"expected_seq": "3"}
    with Conversation(events, producer_id=gap.producer_id, epoch=5):
        late = Conversation(events, producer_id=gap.producer_id, epoch=4)
        late.say(open=late._open)
        assert late.ending().metadata == {"producer_epoch": "5"}
