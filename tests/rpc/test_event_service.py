"""Unary calls of EventService: recording once, reading back, and each bad argument named."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, assume, given, settings

from tests.rpc import generated_events
from tests.rpc.samples import KINDS, RECENT_S, an_event, new_id
from tests.rpc.statuses import Answer, answer_of, refusal, refused
from trimtab.v1 import admin_service_pb2 as admin_pb
from trimtab.v1 import admin_service_pb2_grpc, error_pb2, event_pb2, event_service_pb2_grpc
from trimtab.v1 import event_service_pb2 as pb

Stub = event_service_pb2_grpc.EventServiceStub
Code = grpc.StatusCode


def _record(events: Stub, event: event_pb2.Event) -> pb.RecordEventResponse:
    return events.RecordEvent(pb.RecordEventRequest(event=event), timeout=20)


def _try_to_record(events: Stub, event: event_pb2.Event) -> tuple[str, pb.RecordEventResponse]:
    """The reason of the refusal, empty when the event was recorded."""
    try:
        return "", _record(events, event)
    except grpc.RpcError as error:
        answer = answer_of(error)
    assert answer.code in {Code.INVALID_ARGUMENT, Code.ALREADY_EXISTS}
    assert answer.domain == "trimtab"
    assert all(field.startswith("event") for field in answer.fields)
    return answer.reason, pb.RecordEventResponse()


def _get(events: Stub, event_id: str) -> event_pb2.Event:
    return events.GetEvent(pb.GetEventRequest(event_id=event_id), timeout=20).event


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_of_each_kind_comes_back_as_it_was(events: Stub, kind: str) -> None:
    """RecordEvent answers with its position; GetEvent gives it back, bit for bit, apart from what
    the server adds."""
    event = an_event(kind)
    recorded = _record(events, event)
    assert (recorded.event_id, recorded.duplicate) == (event.event_id, False)
    back = _get(events, event.event_id)
    assert back.sequence == recorded.sequence
    assert back.ingest_time.seconds >= RECENT_S
    back.ClearField("sequence")
    back.ClearField("ingest_time")
    assert back.SerializeToString(deterministic=True) == event.SerializeToString(deterministic=True)


@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(event=generated_events.events(oddness=0))
def test_every_valid_event_comes_back_as_it_was(events: Stub, event: event_pb2.Event) -> None:
    """Over all fields of the contract: recorded, read, equal; recorded again, a duplicate."""
    # The strategy bounds neither the size nor, now and then, the uniqueness of the id.
    reason, recorded = _try_to_record(events, event)
    assume(reason not in {"EVENT_TOO_LARGE", "ID_REUSED"})
    assert reason == ""
    back = _get(events, event.event_id)
    assert back.sequence == recorded.sequence
    for each in (back, event):
        each.ClearField("sequence")
        each.ClearField("ingest_time")
    assert back.SerializeToString(deterministic=True) == event.SerializeToString(deterministic=True)
    again = _record(events, event)
    assert (again.sequence, again.duplicate) == (recorded.sequence, True)


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(event=generated_events.events(oddness=4))
def test_whatever_is_sent_is_recorded_or_refused(events: Stub, event: event_pb2.Event) -> None:
    """Any event that protobuf can carry: OK, or INVALID_ARGUMENT with our reason; never INTERNAL
    or UNKNOWN (held by `answer_of`)."""
    reason, _ = _try_to_record(events, event)
    assert reason in {"", "INVALID_FIELD", "EVENT_TOO_LARGE", "ID_REUSED"}


def test_the_same_event_again_is_a_duplicate(events: Stub) -> None:
    """OK with `duplicate` and the first sequence, unary and in a batch, even twice in one batch."""
    event = an_event()
    first = _record(events, event)
    for _ in range(2):
        again = _record(events, event)
        assert (again.sequence, again.duplicate) == (first.sequence, True)
    fresh = an_event()
    results = events.RecordEvents(pb.RecordEventsRequest(events=[fresh, event, fresh])).results
    assert [result.recorded.duplicate for result in results] == [False, True, True]
    assert results[1].recorded.sequence == first.sequence
    assert results[2].recorded.sequence == results[0].recorded.sequence > first.sequence


def test_the_same_id_with_other_content_is_refused(events: Stub) -> None:
    """ALREADY_EXISTS/ID_REUSED that names event_id; what was stored stays."""
    event = an_event()
    _record(events, event)
    other = an_event(event_id=event.event_id, strategy="other")
    with refused(Code.ALREADY_EXISTS, "ID_REUSED", "event.event_id"):
        _record(events, other)
    assert _get(events, event.event_id).strategy == ""


def test_requests_without_events_are_refused(events: Stub) -> None:
    """An absent event, an empty batch and a batch of too many name the field."""
    with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "event"):
        events.RecordEvent(pb.RecordEventRequest())
    with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "events"):
        events.RecordEvents(pb.RecordEventsRequest())
    with refused(Code.INVALID_ARGUMENT, "BATCH_TOO_LARGE", "events"):
        events.RecordEvents(pb.RecordEventsRequest(events=[event_pb2.Event()] * 2_001))


def test_a_batch_of_nothing_but_bad_events_is_answered(events: Stub) -> None:
    """A result for each, none stored."""
    before = events.GetStats(pb.GetStatsRequest()).last_sequence
    request = pb.RecordEventsRequest(events=[event_pb2.Event()] * 2_000)
    results = events.RecordEvents(request, timeout=20).results
    assert {result.rejection.reason for result in results} == {error_pb2.ERROR_REASON_INVALID_FIELD}
    assert events.GetStats(pb.GetStatsRequest()).last_sequence == before


def test_get_event_names_a_bad_id_and_misses_an_unknown_one(events: Stub) -> None:
    """INVALID_ARGUMENT for what is no UUID, NOT_FOUND/NOT_FOUND for one that nothing has."""
    for wrong in ("", "x", new_id().upper() + "A", "{" + new_id() + "}", "\x00" * 36, "é" * 10_000):
        with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "event_id"):
            _get(events, wrong)
    with refused(Code.NOT_FOUND, "NOT_FOUND", "event_id"):
        _get(events, new_id())


def _bad_filter(**fields: Any) -> pb.EventFilter:
    return pb.EventFilter(**fields)


@pytest.mark.parametrize(
    ("bad", "fields"),
    [
        (_bad_filter(kinds=[0]), ["filter.kinds[0]"]),
        (_bad_filter(kinds=[1, 99]), ["filter.kinds[1]"]),
        (_bad_filter(kinds=[1] * 33), ["filter.kinds"]),
        (_bad_filter(environment=7), ["filter.environment"]),
        (_bad_filter(source="x" * 65), ["filter.source"]),
        (_bad_filter(symbol="x\x00"), ["filter.symbol"]),
        (_bad_filter(strategy="x" * 65), ["filter.strategy"]),
        (_bad_filter(run_id="x" * 129), ["filter.run_id"]),
        (_bad_filter(signal_id="x" * 129), ["filter.signal_id"]),
        (_bad_filter(start_time=Timestamp(seconds=-1)), ["filter.start_time"]),
        (_bad_filter(end_time=Timestamp(nanos=-1)), ["filter.end_time"]),
        (_bad_filter(known_at_time=Timestamp(seconds=2**62)), ["filter.known_at_time"]),
        (_bad_filter(source="\n", kinds=[-1]), ["filter.source", "filter.kinds[0]"]),
    ],
)
def test_a_bad_filter_names_its_field(events: Stub, bad: pb.EventFilter, fields: list[str]) -> None:
    """ListEvents and WatchEvents hold a filter to the same rules."""
    calls: tuple[Callable[[], object], ...] = (
        lambda: events.ListEvents(pb.ListEventsRequest(filter=bad)),
        lambda: next(iter(events.WatchEvents(pb.WatchEventsRequest(filter=bad), timeout=20))),
    )
    for call in calls:
        answer = refusal(call)
        assert (answer.code, answer.reason) == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
        assert answer.fields == fields


def test_bad_pages_and_orders_name_their_field(events: Stub) -> None:
    """A negative page size and an order that nobody knows are refused; a large size is coerced."""
    with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "page_size"):
        events.ListEvents(pb.ListEventsRequest(page_size=-1))
    with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "page_size"):
        events.ListRejectedEvents(pb.ListRejectedEventsRequest(page_size=-(2**31)))
    with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "order"):
        events.ListEvents(pb.ListEventsRequest(order=5))  # type: ignore[arg-type]
    with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "order"):
        events.ListEvents(pb.ListEventsRequest(order=-1))  # type: ignore[arg-type]
    assert events.ListEvents(pb.ListEventsRequest(page_size=2**31 - 1)).events


def test_bad_arguments_of_other_calls_name_their_field(events: Stub) -> None:
    """GetStats and ListRejectedEvents check what they are given."""
    with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "source", "environment", "run_id"):
        events.GetStats(
            pb.GetStatsRequest(
                source="x" * 65,
                environment=9,  # type: ignore[arg-type]
                run_id="\x00",
            )
        )
    with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "producer_id"):
        events.ListRejectedEvents(pb.ListRejectedEventsRequest(producer_id="p"))
    with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "source"):
        events.ListRejectedEvents(pb.ListRejectedEventsRequest(source="x" * 65))


def _tokens(events: Stub) -> tuple[pb.ListEventsRequest, str]:
    events.RecordEvents(pb.RecordEventsRequest(events=[an_event() for _ in range(3)]))
    request = pb.ListEventsRequest(page_size=1, order=pb.EVENT_ORDER_SEQUENCE)
    return request, events.ListEvents(request).next_page_token


def test_a_damaged_page_token_is_refused(events: Stub) -> None:
    """Cut, doubled, flipped, of other bytes, of other JSON, huge: INVALID_ARGUMENT names it."""
    request, token = _tokens(events)
    damaged = [
        *(token[:-5], token + token, token[::-1], "é", "=", "a", "!!!", "\x00", "x" * 100_000),
        *("W10", "MQ", "bnVsbA", "e30", "W1tbW1tbW11dXV1dXV0", "WyJhIiwxLDJd", "/////"),
    ]
    for wrong in damaged:
        request.page_token = wrong
        with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "page_token"):
            events.ListEvents(request)
        with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "page_token"):
            events.ListRejectedEvents(pb.ListRejectedEventsRequest(page_token=wrong))


def test_a_page_token_belongs_to_its_query(events: Stub) -> None:
    """Another filter or order with it is refused; another page size is not."""
    request, token = _tokens(events)
    request.page_token = token
    request.page_size = 2
    assert len(events.ListEvents(request).events) == 2
    others: list[dict[str, Any]] = [
        {"filter": pb.EventFilter(symbol="ETH-USDT")},
        {"filter": pb.EventFilter(kinds=[event_pb2.EVENT_KIND_SIGNAL])},
        {"order": pb.EVENT_ORDER_EVENT_TIME},
    ]
    for other in others:
        with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "page_token"):
            events.ListEvents(pb.ListEventsRequest(page_token=token, **other))
    with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "page_token"):
        events.ListRejectedEvents(pb.ListRejectedEventsRequest(page_token=token))


def test_server_info_tells_what_it_takes(
    events: Stub, admin: admin_service_pb2_grpc.AdminServiceStub
) -> None:
    """GetServerInfo: version, log, services, limits, durability and bounds of the log."""
    _record(events, an_event())
    info = admin.GetServerInfo(admin_pb.GetServerInfoRequest())
    assert info.version == "0.1.0"
    assert list(info.services) == [
        *("trimtab.v1.AdminService", "trimtab.v1.EventService", "trimtab.v1.SignalGateService"),
        "trimtab.v1.ReportService",
    ]
    assert info.durability == admin_pb.DURABILITY_LEVEL_POWER_LOSS
    assert (info.store, info.first_sequence) == ("sqlite", 1)
    assert info.last_sequence == events.GetStats(pb.GetStatsRequest()).last_sequence
    assert info.limits.batch_events_max == 2_000
    assert info.server_time.seconds >= info.start_time.seconds


def test_statistics_count_what_is_stored(events: Stub) -> None:
    """GetStats by source, environment and run: events, bytes, kinds, latest time."""
    source = f"stats-{new_id()[:8]}"
    batch = [
        *(an_event("market_bar", source=source) for _ in range(3)),
        an_event(source=source, environment=event_pb2.ENVIRONMENT_BACKTEST, run_id="r-1"),
    ]
    events.RecordEvents(pb.RecordEventsRequest(events=batch))
    whole = events.GetStats(pb.GetStatsRequest(source=source))
    assert whole.event_count == 4
    assert whole.event_bytes == sum(event.ByteSize() for event in batch)
    assert [(count.kind, count.event_count) for count in whole.counts] == [
        (event_pb2.EVENT_KIND_MARKET_BAR, 3),
        (event_pb2.EVENT_KIND_SIGNAL, 1),
    ]
    assert {count.last_event_time.seconds for count in whole.counts} == {RECENT_S}
    assert whole.events_buffered == 0
    run = events.GetStats(pb.GetStatsRequest(source=source, run_id="r-1"))
    assert run.event_count == 1
    paper = events.GetStats(
        pb.GetStatsRequest(source=source, environment=event_pb2.ENVIRONMENT_PAPER)
    )
    assert paper.event_count == 3


def test_an_answer_is_never_of_the_defect_codes() -> None:
    """The decoder that every test here goes through fails on INTERNAL and UNKNOWN."""
    for code in (Code.INTERNAL, Code.UNKNOWN):
        with pytest.raises(AssertionError):
            Answer(code, "")
