"""Every span, metric and label name; nothing else names them. Off, it costs a flag's test.

Spans of a traced event (its `traceparent` is sampled): `trimtab.ingest` under the engine's span,
from arrival to acknowledgement, with children `trimtab.commit` and `trimtab.acknowledge`. One
commit serves many events: each `trimtab.commit` links to the `trimtab.commit_batch` span.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID

import structlog
from opentelemetry import trace
from opentelemetry.metrics import CallbackOptions, Meter, NoOpMeterProvider, Observation
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
)

from trimtab_server.domain.events import Append, Appended, Event, EventKind
from trimtab_server.domain.reasons import Reason

SERVICE = "trimtab"

SPAN_INGEST = "trimtab.ingest"
SPAN_COMMIT = "trimtab.commit"
SPAN_COMMIT_BATCH = "trimtab.commit_batch"
SPAN_ACKNOWLEDGE = "trimtab.acknowledge"
SPAN_GATE_ORDER = "trimtab.gate_order"

METRIC_EVENTS = "trimtab_events"
METRIC_EVENTS_BUFFERED = "trimtab_events_buffered"
METRIC_BYTES_BUFFERED = "trimtab_bytes_buffered"
METRIC_ACK_DURATION = "trimtab_ack_duration"
METRIC_COMMIT_DURATION = "trimtab_commit_duration"
METRIC_COMMIT_EVENTS = "trimtab_commit_events"
METRIC_COMMIT_FAILURES = "trimtab_commit_failures"
METRIC_STREAMS = "trimtab_streams_open"
METRIC_WATCHERS = "trimtab_watchers_open"
METRIC_RPCS = "trimtab_rpcs"
METRIC_RPC_DURATION = "trimtab_rpc_duration"
METRIC_READY = "trimtab_ready"
METRIC_CONDITION = "trimtab_condition_ok"
METRIC_DISK_FREE_BYTES = "trimtab_disk_free_bytes"
METRIC_WRITER_OLDEST_AGE = "trimtab_writer_oldest_age"
METRIC_COLLECTION_SHARE = "trimtab_collection_share"
METRIC_GATE_VERDICTS = "trimtab_gate_verdicts"
METRIC_GATE_WATCHERS = "trimtab_gate_watchers"
METRIC_GATE_REVISION = "trimtab_gate_revision"
METRIC_BREAKER_STATE = "trimtab_breaker_state"
METRIC_BREAKER_TRIPS = "trimtab_breaker_trips"
METRIC_LEDGER_LAG = "trimtab_ledger_lag"
METRIC_WORKERS = "trimtab_workers"
METRIC_WORKER_CALLERS = "trimtab_worker_callers"
METRIC_WORKERS_LOST = "trimtab_workers_lost"

LABEL_KIND = "kind"
LABEL_SOURCE = "source"
LABEL_STATUS = "status"
LABEL_REASON = "reason"
LABEL_METHOD = "method"
LABEL_CODE = "code"
LABEL_CONDITION = "condition"
LABEL_VERDICT = "verdict"
LABEL_ENVIRONMENT = "environment"

STATUS_STORED = "stored"
STATUS_DUPLICATE = "duplicate"
STATUS_REJECTED = "rejected"

ATTRIBUTE_EVENT_ID = "trimtab.event_id"
ATTRIBUTE_KIND = "trimtab.kind"
ATTRIBUTE_SEQUENCE = "trimtab.sequence"
ATTRIBUTE_SOURCE = "trimtab.source"
ATTRIBUTE_BATCH_EVENTS = "trimtab.batch_events"
ATTRIBUTE_ORDER = "trimtab.order"
ATTRIBUTE_ENVIRONMENT = "trimtab.environment"
ATTRIBUTE_RUN_ID = "trimtab.run_id"
ATTRIBUTE_ACTOR = "trimtab.actor"

_LATENCY_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
# Callers choose the label's values and each is a time series: past this many they share one.
_SOURCES_MAX = 100
_OTHER_SOURCE = "other"


class CommitRecord(NamedTuple):
    """When a commit ran (nanoseconds UTC) and how long it took."""

    start_time_ns: int
    end_time_ns: int
    duration_s: float


class Served(NamedTuple):
    """One append that a commit served: when it arrived and was acknowledged (nanoseconds UTC), and
    which of its items are traced."""

    append: Append
    result: Appended
    arrival_time_ns: int
    acknowledge_time_ns: int
    traceparents: tuple[tuple[int, str], ...]


class Telemetry:
    """What the server tells about itself. Without a tracer and a meter it tells nothing."""

    def __init__(self, tracer: Tracer | None = None, meter: Meter | None = None) -> None:
        self._tracer = tracer
        self.is_on = tracer is not None or meter is not None
        self.is_tracing = tracer is not None
        self.is_metered = meter is not None
        self._log = structlog.get_logger(SERVICE)
        self._sources: set[str] = set()
        meter = meter or NoOpMeterProvider().get_meter(SERVICE)
        self._meter = meter
        self._events = meter.create_counter(METRIC_EVENTS, description="Events by outcome.")
        self._failures = meter.create_counter(
            METRIC_COMMIT_FAILURES, description="Commits that the database refused."
        )
        self._ack_duration = meter.create_histogram(
            METRIC_ACK_DURATION,
            unit="s",
            description="From arrival to acknowledgement, per batch or call.",
            explicit_bucket_boundaries_advisory=_LATENCY_S,
        )
        self._commit_duration = meter.create_histogram(
            METRIC_COMMIT_DURATION,
            unit="s",
            description="One transaction, with its sync.",
            explicit_bucket_boundaries_advisory=_LATENCY_S,
        )
        self._commit_events = meter.create_histogram(
            METRIC_COMMIT_EVENTS,
            description="Events of one transaction.",
            explicit_bucket_boundaries_advisory=(1, 10, 50, 100, 500, 1_000, 2_000, 5_000, 10_000),
        )
        self._rpcs = meter.create_counter(METRIC_RPCS, description="Finished RPCs.")
        self._rpc_duration = meter.create_histogram(
            METRIC_RPC_DURATION,
            unit="s",
            description="Unary RPCs from first to last byte.",
            explicit_bucket_boundaries_advisory=_LATENCY_S,
        )
        self._verdicts = meter.create_counter(
            METRIC_GATE_VERDICTS, description="What the gate said about signals."
        )
        self._trips = meter.create_counter(
            METRIC_BREAKER_TRIPS, description="Breakers that opened by their rule."
        )
        self._workers_lost = meter.create_counter(
            METRIC_WORKERS_LOST, description="Worker processes that ended within a job."
        )

    def observe(
        self, name: str, value: Callable[[], float | None], description: str, unit: str = ""
    ) -> None:
        """Reports `value()` as the gauge `name` at every collection, None as nothing."""

        def callback(_options: CallbackOptions) -> Iterable[Observation]:
            found = value()
            return [] if found is None else [Observation(found)]

        self._meter.create_observable_gauge(name, [callback], unit, description)

    def observe_conditions(self, conditions: Callable[[], Iterable[tuple[str, bool]]]) -> None:
        """Reports each condition of the server's health, by name, as 1 or 0."""

        def callback(_options: CallbackOptions) -> Iterable[Observation]:
            return [Observation(int(ok), {LABEL_CONDITION: name}) for name, ok in conditions()]

        words = "1 while the condition holds."
        self._meter.create_observable_gauge(METRIC_CONDITION, [callback], description=words)

    def observe_gate(
        self,
        states: Callable[[], Iterable[tuple[str, str, int]]],
        revisions: Callable[[], Iterable[tuple[str, int]]],
    ) -> None:
        """Reports the worst state of each kind of breaker in each environment (0 closed, 1 open, 2
        half-open), and the revision of each environment's rules."""

        def worst(_options: CallbackOptions) -> Iterable[Observation]:
            return [
                Observation(state, {LABEL_KIND: kind, LABEL_ENVIRONMENT: environment})
                for kind, environment, state in states()
            ]

        def told(_options: CallbackOptions) -> Iterable[Observation]:
            return [
                Observation(revision, {LABEL_ENVIRONMENT: environment})
                for environment, revision in revisions()
            ]

        words = "Worst state of a kind of breaker: 0 closed, 1 open, 2 half-open."
        self._meter.create_observable_gauge(METRIC_BREAKER_STATE, [worst], description=words)
        words = "Revision of the signal gate's rules."
        self._meter.create_observable_gauge(METRIC_GATE_REVISION, [told], description=words)

    def judged(self, environment: str, verdicts: Iterable[str]) -> None:
        """Counts what the gate said about the signals of a request."""
        for verdict, count in Counter(verdicts).items():
            labels = {LABEL_VERDICT: verdict, LABEL_ENVIRONMENT: environment}
            self._verdicts.add(count, labels)

    def breaker_tripped(self, kind: str, count: int) -> None:
        """Counts how often a breaker opened by its rule."""
        self._trips.add(count, {LABEL_KIND: kind.lower()})

    def worker_lost(self, why: str) -> None:
        """Counts a worker process that ended within a job: `died`, `cancelled` or `timeout`."""
        self._workers_lost.add(1, {LABEL_REASON: why})

    @contextmanager
    def ordering(self, what: str, environment: str, run_id: str, actor: str) -> Iterator[None]:
        """A span around an operator's order, and a line in the log once it is carried out."""
        words = {"order": what, "environment": environment, "run_id": run_id, "actor": actor}
        if self._tracer is None:
            yield
        else:
            attributes = {
                ATTRIBUTE_ORDER: what,
                ATTRIBUTE_ENVIRONMENT: environment,
                ATTRIBUTE_RUN_ID: run_id,
                ATTRIBUTE_ACTOR: actor,
            }
            with self._tracer.start_as_current_span(SPAN_GATE_ORDER, attributes=attributes):
                yield
        self._log.info("an order was carried out", **words)

    def log_defect(self, words: str, error: Exception, traceparent: str = "") -> None:
        """Writes a failure that nobody foresaw, with its traceback and the caller's trace."""
        context = span_context(traceparent) or trace.INVALID_SPAN_CONTEXT
        with trace.use_span(NonRecordingSpan(context)):
            self._log.error(words, exc_info=error)

    def log_info(self, words: str, **values: object) -> None:
        """Writes a step in the life of the server."""
        self._log.info(words, **values)

    def log_warning(self, words: str, **values: object) -> None:
        """Writes a failure that is tried again."""
        self._log.warning(words, **values)

    def log_condition(self, name: str, message: str) -> None:
        """Writes that a condition of the server's health fails, and why, or holds again."""
        if message:
            self._log.warning("not ready", condition=name, reason=message)
        else:
            self._log.info("ready again", condition=name)

    def rpc_finished(self, method: str, code: str, duration_s: float | None) -> None:
        """Counts an RPC; streams pass no duration."""
        if self.is_metered:
            self._rpcs.add(1, {LABEL_METHOD: method, LABEL_CODE: code})
            if duration_s is not None:
                self._rpc_duration.record(duration_s, {LABEL_METHOD: method})

    def commit_failed(self, reason: Reason) -> None:
        """Counts a commit that the database refused."""
        self._failures.add(1, {LABEL_REASON: reason.value})

    def committed(self, served: list[Served], record: CommitRecord) -> None:
        """Counts one transaction and what it did for each caller, and ends the spans of the traced
        events that it served."""
        if self.is_metered:
            self._commit_duration.record(record.duration_s)
            self._commit_events.record(sum(len(one.append.events) for one in served))
            for one in served:
                self._ack_duration.record((one.acknowledge_time_ns - one.arrival_time_ns) / 1e9)
                self._count_events(one.append, one.result)
        if self._tracer is not None and any(one.traceparents for one in served):
            self._trace_commit(self._tracer, served, record)

    def _trace_commit(self, tracer: Tracer, served: list[Served], record: CommitRecord) -> None:
        batch = tracer.start_span(
            SPAN_COMMIT_BATCH,
            context=trace.set_span_in_context(trace.INVALID_SPAN),
            start_time=record.start_time_ns,
            attributes={ATTRIBUTE_BATCH_EVENTS: sum(len(one.append.events) for one in served)},
        )
        for one in served:
            for index, traceparent in one.traceparents:
                event = one.append.events[index]
                parent = span_context(traceparent)
                if isinstance(event, Event) and parent is not None:
                    ingest = _ingest_span(tracer, one, index, event, parent)
                    _children(tracer, ingest, one, record, batch.get_span_context())
                    batch.add_link(ingest.get_span_context())
        batch.end(record.end_time_ns)

    def _count_events(self, append: Append, result: Appended) -> None:
        counts: Counter[tuple[str, str, str]] = Counter()
        for index, event in enumerate(append.events):
            if isinstance(event, Event):
                status = STATUS_STORED
                if result.duplicates and index in result.duplicates:
                    status = STATUS_DUPLICATE
                elif result.rejections and index in result.rejections:
                    status = STATUS_REJECTED
                counts[EventKind(event.kind).name, event.source, status] += 1
            else:
                source = append.producer.source if append.producer else ""
                counts["UNKNOWN", source, STATUS_REJECTED] += 1
        for (kind, source, status), count in counts.items():
            labels = {
                LABEL_KIND: kind.lower(),
                LABEL_SOURCE: self._bounded(source),
                LABEL_STATUS: status,
            }
            self._events.add(count, labels)

    def _bounded(self, source: str) -> str:
        if source in self._sources:
            return source
        if len(self._sources) >= _SOURCES_MAX:
            return _OTHER_SOURCE
        self._sources.add(source)
        return source


def _ingest_span(
    tracer: Tracer, one: Served, index: int, event: Event, parent: SpanContext
) -> Span:
    return tracer.start_span(
        SPAN_INGEST,
        context=trace.set_span_in_context(NonRecordingSpan(parent)),
        kind=SpanKind.CONSUMER,
        start_time=one.arrival_time_ns,
        attributes={
            ATTRIBUTE_EVENT_ID: str(UUID(bytes=event.event_id)),
            ATTRIBUTE_KIND: EventKind(event.kind).name,
            ATTRIBUTE_SEQUENCE: one.result.sequences[index],
            ATTRIBUTE_SOURCE: event.source,
        },
    )


def _children(
    tracer: Tracer, ingest: Span, one: Served, record: CommitRecord, batch: SpanContext
) -> None:
    inside = trace.set_span_in_context(ingest)
    tracer.start_span(
        SPAN_COMMIT, context=inside, start_time=record.start_time_ns, links=[Link(batch)]
    ).end(record.end_time_ns)
    tracer.start_span(SPAN_ACKNOWLEDGE, context=inside, start_time=record.end_time_ns).end(
        one.acknowledge_time_ns
    )
    ingest.end(one.acknowledge_time_ns)


def span_context(traceparent: str) -> SpanContext | None:
    """The remote span of a W3C traceparent (version 00), None when it is malformed."""
    parts = traceparent.split("-")
    if len(parts) != 4:
        return None
    try:
        context = SpanContext(
            int(parts[1], 16),
            int(parts[2], 16),
            is_remote=True,
            trace_flags=TraceFlags(int(parts[3], 16)),
        )
    except ValueError:
        return None
    return context if context.is_valid else None
