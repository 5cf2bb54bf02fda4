"""One connected trace: from the engine's own span through the commit to the acknowledgement."""

import random
from collections.abc import Callable, Iterator

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Tracer, format_span_id, format_trace_id

from tests.conftest import Sidecar
from tests.faults.driver import CALL_S_MAX, open_channel
from tests.faults.events import event, uuid
from tests.telemetry.receiver import Collected, Receiver
from trimtab.v1 import event_pb2
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub
from trimtab_server.telemetry import (
    SPAN_ACKNOWLEDGE,
    SPAN_COMMIT,
    SPAN_COMMIT_BATCH,
    SPAN_INGEST,
)

Record = Callable[[EventServiceStub, list[event_pb2.Event]], None]


def by_unary_call(stub: EventServiceStub, events: list[event_pb2.Event]) -> None:
    """Records all in one RecordEvents call."""
    stub.RecordEvents(pb.RecordEventsRequest(events=events), timeout=CALL_S_MAX)


def by_stream(stub: EventServiceStub, events: list[event_pb2.Event]) -> None:
    """Records all in one batch of a stream."""
    opening = pb.Open(producer_id=uuid(random.Random(9)), producer_epoch=1, source=events[0].source)
    requests = [
        pb.StreamEventsRequest(open=opening),
        pb.StreamEventsRequest(batch=pb.Batch(first_seq=1, events=events)),
    ]
    answers = list(stub.StreamEvents(iter(requests), timeout=CALL_S_MAX))
    assert answers[-1].ack.durable_through_seq == len(events)


@pytest.fixture
def engine(receiver: Receiver) -> Iterator[Tracer]:
    """The tracer of a trading engine that exports to the same collector."""
    provider = TracerProvider(resource=Resource.create({"service.name": "engine"}))
    provider.add_span_processor(
        SimpleSpanProcessor(OTLPSpanExporter(endpoint=receiver.endpoint, insecure=True))
    )
    yield provider.get_tracer("engine")
    provider.shutdown()


def traced_event(engine: Tracer, seed: int) -> tuple[event_pb2.Event, bytes]:
    """An event that carries the trace context of the engine's span, and its trace id."""
    made = event(random.Random(seed), "alpha")
    with engine.start_as_current_span("engine.signal") as span:
        context = span.get_span_context()
        trace_id, span_id = format_trace_id(context.trace_id), format_span_id(context.span_id)
        made.traceparent = f"00-{trace_id}-{span_id}-01"
    return made, bytes.fromhex(trace_id)


def collected_after(
    start: Callable[..., Sidecar], receiver: Receiver, record: Record, events: list[event_pb2.Event]
) -> Collected:
    """What the collector holds after a sidecar recorded the events and ended."""
    server = start("--otlp-endpoint", receiver.endpoint)
    with open_channel(server.address) as channel:
        record(EventServiceStub(channel), events)
    assert server.terminate() == 0, server.log
    return receiver.collected


def linked(span: Span) -> set[bytes]:
    """The spans that a span links to."""
    return {link.span_id for link in span.links}


@pytest.mark.parametrize("record", [by_unary_call, by_stream])
def test_an_event_is_one_connected_trace_from_engine_to_acknowledgement(
    sidecar: Callable[..., Sidecar], receiver: Receiver, engine: Tracer, record: Record
) -> None:
    """The engine's span -> ingest -> commit and acknowledge, in one trace, with times in order."""
    made, trace_id = traced_event(engine, seed=1)
    found = collected_after(sidecar, receiver, record, [made])
    root = found.one("engine.signal", trace_id)
    ingest = found.one(SPAN_INGEST, trace_id)
    commit = found.one(SPAN_COMMIT, trace_id)
    acknowledge = found.one(SPAN_ACKNOWLEDGE, trace_id)
    assert found.services == {"engine", "trimtab"}
    assert ingest.parent_span_id == root.span_id
    assert commit.parent_span_id == acknowledge.parent_span_id == ingest.span_id
    assert made.event_id in {pair.value.string_value for pair in ingest.attributes}
    times = [
        root.start_time_unix_nano,
        ingest.start_time_unix_nano,
        commit.start_time_unix_nano,
        commit.end_time_unix_nano,
        acknowledge.start_time_unix_nano,
        acknowledge.end_time_unix_nano,
    ]
    assert times == sorted(times)
    assert ingest.end_time_unix_nano == acknowledge.end_time_unix_nano
    batch = found.one(SPAN_COMMIT_BATCH)
    assert linked(commit) == {batch.span_id}
    assert linked(batch) == {ingest.span_id}


@pytest.mark.parametrize("record", [by_unary_call, by_stream])
def test_one_commit_that_serves_many_traces_is_linked_with_each(
    sidecar: Callable[..., Sidecar], receiver: Receiver, engine: Tracer, record: Record
) -> None:
    """Five engines' traces stay apart; their commits link to the one batch, and it to them."""
    made = [traced_event(engine, seed) for seed in range(5)]
    found = collected_after(sidecar, receiver, record, [one for one, _ in made])
    batch = found.one(SPAN_COMMIT_BATCH)
    assert batch.trace_id not in {trace_id for _, trace_id in made}
    for _, trace_id in made:
        assert linked(found.one(SPAN_COMMIT, trace_id)) == {batch.span_id}
    assert linked(batch) == {found.one(SPAN_INGEST, trace_id).span_id for _, trace_id in made}


PARENT = "b7ad6b7169203331"


def trace_id(number: int) -> str:
    """A trace id that only one event of a test has."""
    return f"{number:032x}"


SAMPLED = [f"00-{trace_id(1)}-{PARENT}-01", f"00-{trace_id(2)}-{PARENT}-03"]
NOT_SAMPLED = [
    "",
    f"00-{trace_id(3)}-{PARENT}-00",
    f"00-{trace_id(4)}-{PARENT}-02",
    f"00-{trace_id(5)}-{'0' * 16}-01",
    f"00-{trace_id(0)}-{PARENT}-01",
]


def test_only_sampled_events_make_spans(
    sidecar: Callable[..., Sidecar], receiver: Receiver
) -> None:
    """The engine's sampling decision is kept, whatever else its flags say."""
    rng = random.Random(3)
    events = []
    for traceparent in (*NOT_SAMPLED, *SAMPLED):
        events.append(event(rng, "alpha"))
        events[-1].traceparent = traceparent
    found = collected_after(sidecar, receiver, by_unary_call, events)
    for name in (SPAN_INGEST, SPAN_COMMIT, SPAN_ACKNOWLEDGE):
        traces = [span.trace_id.hex() for span in found.named(name)]
        assert sorted(traces) == [trace_id(1), trace_id(2)]
