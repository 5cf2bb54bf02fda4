"""The memory of FakeSidecar: a log with the numbering rules of the contract, without disk."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import grpc

from trimtab.v1 import error_pb2, event_service_pb2
from trimtab_client.errors import FieldViolation
from trimtab_client.event import (
    ENVIRONMENT,
    EVENT_KIND,
    KIND_OF_PAYLOAD,
    Event,
    EventFilter,
    to_timestamp,
)

_REJECTED_COUNT_MAX = 1_000
_PREFIX_BYTES = 4_096
_FORMER_MAX = 64
_BACKTEST = ENVIRONMENT("BACKTEST", "environment")


class Refusal(Exception):
    """A call or stream ends with this status."""

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str = "",
        *,
        violations: Iterable[FieldViolation] = (),
        retry_after_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message or reason)
        self.code = code
        self.reason = reason
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s
        self.metadata = dict(metadata or {})


@dataclass(slots=True)
class Producer:
    """One producer's mark and what became of each of its numbers."""

    mark: int = 0
    epoch: int = 0
    # Which stream owns it; a newer one supersedes.
    owner: object = None
    # number -> event_id, sequence (0 = rejected or lost)
    numbers: dict[int, tuple[str, int]] = field(default_factory=dict)
    rejections: dict[int, event_service_pb2.Rejection] = field(default_factory=dict)


@dataclass(slots=True)
class BatchResult:
    """What an Ack tells about one batch."""

    through_seq: int
    duplicate_count: int = 0
    rejections: list[event_service_pb2.Rejection] = field(default_factory=list)


def violations_of(event: Event) -> list[FieldViolation]:
    """The envelope rules and a few of the payload's: enough for a user's tests, not all of a
    sidecar's."""
    found: list[FieldViolation] = []

    def need(holds: object, name: str, wanted: str) -> None:
        if not holds:
            found.append(FieldViolation(name, wanted))

    need(_is_uuid(event.event_id), "event_id", "a UUID in canonical lower-case form")
    need(1 <= len(event.source) <= 64, "source", "1 to 64 characters")
    need(event.environment in (1, 2, 3), "environment", "LIVE, PAPER or BACKTEST")
    need(bool(event.run_id) or event.environment != _BACKTEST, "run_id", "BACKTEST needs one")
    need(event.HasField("event_time"), "event_time", "required")
    payload = event.WhichOneof("payload")
    need(payload not in (None, "recorder_loss"), "payload", "required, and not recorder_loss")
    if payload in ("signal", "decision", "outcome", "shadow_outcome"):
        need(bool(event.signal_id), "signal_id", f"required for {payload}")
    if payload in ("market_bar", "market_tick"):
        need(bool(event.symbol), "symbol", "required for market data")
    if payload == "signal" and event.signal.HasField("confidence"):
        need(0 <= event.signal.confidence <= 1, "signal.confidence", "0 to 1")
    if payload == "market_bar":
        need(event.market_bar.close > 0, "market_bar.close", "above 0")
    return found


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def matches(event: Event, wanted: EventFilter) -> bool:
    """Whether `event` meets every condition of the filter."""
    kind = KIND_OF_PAYLOAD[event.WhichOneof("payload") or ""]
    if wanted.kinds and kind not in wanted.kinds:
        return False
    for name in ("source", "run_id", "strategy", "symbol", "signal_id", "environment"):
        if getattr(wanted, name) and getattr(wanted, name) != getattr(event, name):
            return False
    at_ns = event.event_time.ToNanoseconds()
    if wanted.HasField("start_time") and at_ns < wanted.start_time.ToNanoseconds():
        return False
    if wanted.HasField("end_time") and at_ns >= wanted.end_time.ToNanoseconds():
        return False
    if wanted.HasField("known_at_time"):
        known_ns = event.available_time.ToNanoseconds() or at_ns
        return known_ns <= wanted.known_at_time.ToNanoseconds()
    return True


class FakeLog:
    """Events in commit order, and the producers' marks. Guard with `changed`."""

    def __init__(self, event_bytes_max: int, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.changed = threading.Condition()
        # The log_id, and those of the logs that it was restored from, newest first.
        self.identity: tuple[str, tuple[str, ...]] = (str(uuid.uuid4()), ())
        self.events: list[Event] = []
        self.rejected: list[event_service_pb2.RejectedEvent] = []
        self.duplicate_count = 0
        self._event_bytes_max = event_bytes_max
        self._now_ns = now_ns
        self._contents: dict[str, tuple[bytes, int]] = {}
        self._producers: dict[str, Producer] = {}

    @property
    def log_id(self) -> str:
        """Identity of the log."""
        return self.identity[0]

    def producer(self, producer_id: str) -> Producer:
        """The producer with this id, made at first sight."""
        return self._producers.setdefault(producer_id, Producer())

    def store(self, event: Event, source: str = "") -> tuple[int, bool]:
        """Sequence and whether it was stored before. Refusal when it is not acceptable, or of
        another source than `source`, where one is given."""
        event = Event.FromString(event.SerializeToString())
        event.sequence = 0
        event.ClearField("ingest_time")
        content = event.SerializeToString(deterministic=True)
        if len(content) > self._event_bytes_max:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "EVENT_TOO_LARGE")
        violations = violations_of(event)
        if source not in ("", event.source):
            violations.append(FieldViolation("source", f"must be {source!r}, as opened"))
        if violations:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", violations=violations)
        if event.event_id in self._contents:
            stored, sequence = self._contents[event.event_id]
            if stored != content:
                raise Refusal(grpc.StatusCode.ALREADY_EXISTS, "ID_REUSED")
            self.duplicate_count += 1
            return sequence, True
        return self._append(event, content), False

    def _append(self, event: Event, content: bytes) -> int:
        event.sequence = len(self.events) + 1
        event.ingest_time.CopyFrom(to_timestamp(self._now_ns()))
        self.events.append(event)
        self._contents[event.event_id] = (content, event.sequence)
        self.changed.notify_all()
        return event.sequence

    def append_batch(
        self, producer: Producer, opened: event_service_pb2.Open, batch: event_service_pb2.Batch
    ) -> BatchResult:
        """Stores a producer's batch by its numbers. Refusal ends the stream."""
        if batch.first_seq > producer.mark + 1:
            raise Refusal(grpc.StatusCode.OUT_OF_RANGE, "SEQUENCE_GAP")
        result = BatchResult(producer.mark)
        for offset, event in enumerate(batch.events):
            seq = batch.first_seq + offset
            if seq <= producer.mark:
                self._repeat(producer, seq, event, result)
                continue
            sequence = 0
            try:
                sequence, duplicate = self.store(event, opened.source)
                result.duplicate_count += duplicate
            except Refusal as refusal:
                rejection = rejection_of(refusal, event, seq)
                producer.rejections[seq] = rejection
                result.rejections.append(rejection)
                self._keep(rejection, event, opened)
            producer.numbers[seq] = (event.event_id, sequence)
            producer.mark = seq
        result.through_seq = producer.mark
        return result

    def _repeat(self, producer: Producer, seq: int, event: Event, result: BatchResult) -> None:
        event_id, _ = producer.numbers.get(seq, ("", 0))
        if event_id != event.event_id:
            raise Refusal(grpc.StatusCode.ALREADY_EXISTS, "SEQUENCE_REUSED")
        if seq in producer.rejections:
            result.rejections.append(producer.rejections[seq])
        else:
            result.duplicate_count += 1
            self.duplicate_count += 1

    def _keep(
        self,
        rejection: event_service_pb2.Rejection,
        event: Event,
        opened: event_service_pb2.Open,
    ) -> None:
        data = event.SerializeToString()
        kept = event_service_pb2.RejectedEvent(
            reject_time=to_timestamp(self._now_ns()),
            source=opened.source,
            producer_id=opened.producer_id,
            rejection=rejection,
            event_prefix=data[:_PREFIX_BYTES],
            event_bytes=len(data),
        )
        self.rejected.append(kept)
        del self.rejected[:-_REJECTED_COUNT_MAX]

    def lose(
        self, producer: Producer, opened: event_service_pb2.Open, lost: event_service_pb2.Lost
    ) -> None:
        """Advances the mark over lost numbers and logs a RecorderLoss."""
        if lost.first_seq != producer.mark + 1 or lost.last_seq < lost.first_seq:
            raise Refusal(grpc.StatusCode.OUT_OF_RANGE, "SEQUENCE_GAP")
        loss = Event(event_id=str(uuid.uuid4()), source=opened.source)
        loss.event_time.CopyFrom(to_timestamp(self._now_ns()))
        loss.recorder_loss.producer_id = opened.producer_id
        loss.recorder_loss.first_seq = lost.first_seq
        loss.recorder_loss.last_seq = lost.last_seq
        loss.recorder_loss.reason = lost.reason
        self._append(loss, loss.SerializeToString(deterministic=True))
        producer.mark = lost.last_seq

    def restore(self, through_sequence: int) -> None:
        """As a database restored from a backup: forgets what came later, under a new log_id."""
        self.identity = (str(uuid.uuid4()), (self.log_id, *self.identity[1])[:_FORMER_MAX])
        del self.events[through_sequence:]
        self._contents = {e: c for e, c in self._contents.items() if c[1] <= through_sequence}
        for producer in self._producers.values():
            kept = sorted(n for n, (_, s) in producer.numbers.items() if s <= through_sequence)
            # Marks are contiguous: the first forgotten number ends what this log knows.
            mark = 0
            for number in kept:
                if number != mark + 1:
                    break
                mark = number
            producer.mark = mark
            producer.numbers = {n: v for n, v in producer.numbers.items() if n <= mark}
        self.changed.notify_all()

    def counts(
        self, request: event_service_pb2.GetStatsRequest
    ) -> event_service_pb2.GetStatsResponse:
        """The answer of GetStats."""
        wanted = EventFilter(
            source=request.source, environment=request.environment, run_id=request.run_id
        )
        answer = event_service_pb2.GetStatsResponse(
            duplicate_count=self.duplicate_count,
            rejected_count=len(self.rejected),
            last_sequence=len(self.events),
        )
        groups: dict[tuple[int, str, int], event_service_pb2.EventCount] = {}
        for event in self.events:
            if not matches(event, wanted):
                continue
            kind = KIND_OF_PAYLOAD[event.WhichOneof("payload") or ""]
            size = len(self._contents[event.event_id][0])
            group = groups.setdefault(
                (kind, event.source, event.environment),
                event_service_pb2.EventCount(source=event.source, environment=event.environment),
            )
            group.kind = EVENT_KIND(kind, "kind")  # type: ignore[assignment]
            group.event_count += 1
            group.event_bytes += size
            if event.event_time.ToNanoseconds() > group.last_event_time.ToNanoseconds():
                group.last_event_time.CopyFrom(event.event_time)
            answer.event_count += 1
            answer.event_bytes += size
        answer.counts.extend(sorted(groups.values(), key=lambda g: -g.event_count))
        return answer


def rejection_of(refusal: Refusal, event: Event, seq: int) -> event_service_pb2.Rejection:
    """The Rejection that tells a refusal."""
    rejection = event_service_pb2.Rejection(producer_seq=seq, event_id=event.event_id[:128])
    number = error_pb2.ErrorReason.Value(f"ERROR_REASON_{refusal.reason}")
    rejection.reason = number  # type: ignore[assignment]
    for violation in refusal.violations[:16]:
        rejection.violations.add(field=violation.field, description=violation.description)
    return rejection
