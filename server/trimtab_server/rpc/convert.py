"""Protobuf to domain and back: the only place that knows both.

`EventReader.read` is the way of every event into the log: valid, or refused with the field's path.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from trimtab.v1 import error_pb2, event_pb2, event_service_pb2
from trimtab_server.domain.events import (
    Environment,
    Event,
    EventKind,
    Rejection,
    StoredEvent,
    Violation,
)
from trimtab_server.domain.reasons import Reason
from trimtab_server.rpc import rules
from trimtab_server.rpc.quick_check import PLAINLY_VALID
from trimtab_server.rpc.validation import (
    VIOLATIONS_MAX,
    is_traceparent,
    is_uuid,
    violations,
    violations_of_payload,
)

KEPT_BYTES_MAX = 4_096
_NS = 1_000_000_000
_KINDS = {kind.name.lower(): int(kind) for kind in EventKind}
_BACKTEST = int(Environment.BACKTEST)
_ENVIRONMENTS = frozenset(int(environment) for environment in Environment)
_WITH_SIGNAL = {"signal", "decision", "outcome", "shadow_outcome"}
_WITH_SYMBOL = {"market_bar", "market_tick", "corporate_action"}
_TRACED_MAX = 32
# The flags' last bit is "sampled"; the one before it, "random", says how the trace id was made.
_SAMPLED = frozenset("13579bdf")
_STRINGS = attrgetter(
    "event_id",
    "source",
    "run_id",
    "signal_id",
    "strategy",
    "symbol",
    "order_id",
    "position_id",
    "model_name",
    "model_version",
    "correlation_id",
    "causation_id",
    "traceparent",
    "corrects_event_id",
)
# Per payload: its quick check, its kind, and whether it needs a signal or a symbol.
_PLAIN = {
    payload: (check, _KINDS[payload], payload in _WITH_SIGNAL, payload in _WITH_SYMBOL)
    for payload, check in PLAINLY_VALID.items()
}
# A UUID and names that are within their limits whatever they are.
_JOINED_LENGTH_MAX = 36 + rules.NAME_LENGTH_MAX


class EventReader:
    """Turns events as sent into events for the log."""

    def __init__(
        self, event_bytes_max: int, future_skew_ns_max: int, now_ns: Callable[[], int]
    ) -> None:
        self._event_bytes_max = event_bytes_max
        self._future_skew_ns_max = future_skew_ns_max
        self._now_ns = now_ns

    def read(self, sent: event_pb2.Event, source: str | None = None) -> Event | Rejection:
        """The event for the log, or why it is refused. With `source`, another one is refused."""
        if sent.sequence or sent.HasField("ingest_time"):
            sent.ClearField("sequence")
            sent.ClearField("ingest_time")
        body = sent.SerializeToString(deterministic=True)
        if len(body) > self._event_bytes_max:
            words = f"has {len(body)} bytes; {self._event_bytes_max} are allowed"
            return _rejection(sent, body, [Violation("", words)], Reason.EVENT_TOO_LARGE)
        event = self._read_plain(sent, body)
        if event is None:
            found = self._violations(sent)
            if found:
                return _rejection(sent, body, found)
            event = _event(sent, body)
        if source is not None and event.source != source:
            words = f"is {event.source!r}, but the stream was opened by {source!r}"
            return _rejection(sent, body, [Violation("source", words)])
        return event

    def _read_plain(self, sent: event_pb2.Event, body: bytes) -> Event | None:
        """The event when nothing about it is unusual; None sends it the slow way."""
        payload = sent.WhichOneof("payload")
        if payload not in _PLAIN:
            return None
        check, kind, needs_signal, needs_symbol = _PLAIN[payload]
        if not check(getattr(sent, payload)):
            return None
        words = _STRINGS(sent)
        event_id, source, run_id, signal_id, strategy, symbol, *_rest, traceparent, corrects = words
        joined = "".join(words)
        environment = sent.environment
        if (
            (len(joined) > _JOINED_LENGTH_MAX and max(map(len, words[1:])) > rules.NAME_LENGTH_MAX)
            or not joined.isprintable()
            or not source
            or environment not in _ENVIRONMENTS
            or (traceparent and not is_traceparent(traceparent))
            or corrects
            or sent.attributes
            or sent.HasField("available_time")
            or (needs_signal and not signal_id)
            or (needs_symbol and not symbol)
            or not is_uuid(event_id)
        ):
            return None
        when = sent.event_time
        seconds, nanos = when.seconds, when.nanos
        if not 0 < seconds < rules.TIME_SECONDS_MAX or not 0 <= nanos < _NS:
            return None
        event_time_ns = seconds * _NS + nanos
        if environment == _BACKTEST:
            if not run_id:
                return None
        elif event_time_ns > self._now_ns() + self._future_skew_ns_max:
            return None
        if payload == "outcome" and _lacks_correction(sent):
            return None
        # Past the named tuple's own constructor, which is written in Python.
        return Event._make(
            (
                bytes.fromhex(event_id.replace("-", "")),
                kind,
                source,
                environment,
                run_id,
                event_time_ns,
                event_time_ns,
                signal_id,
                strategy,
                symbol,
                body,
            ),
        )

    def _violations(self, sent: event_pb2.Event) -> list[Violation]:
        """What is wrong with the event, at most VIOLATIONS_MAX."""
        found = list(violations(sent, rules.ENVELOPE, ""))
        payload = sent.WhichOneof("payload")
        if payload is None:
            found.append(Violation("payload", "is required"))
        elif payload == "recorder_loss":
            found.append(Violation(payload, "is written by the server only"))
        else:
            found += violations_of_payload(getattr(sent, payload), payload + ".")
        if payload in _WITH_SIGNAL and not sent.signal_id:
            found.append(Violation("signal_id", f"is required for {payload}"))
        if payload in _WITH_SYMBOL and not sent.symbol:
            found.append(Violation("symbol", f"is required for {payload}"))
        if sent.environment == _BACKTEST and not sent.run_id:
            found.append(Violation("run_id", "is required for ENVIRONMENT_BACKTEST"))
        if _lacks_correction(sent):
            found.append(Violation("corrects_event_id", "is required for a CORRECTED outcome"))
        if not found:
            found += self._time_violations(sent)
        return found[:VIOLATIONS_MAX]

    def _time_violations(self, sent: event_pb2.Event) -> list[Violation]:
        found = []
        event_time_ns = to_ns(sent.event_time)
        if sent.HasField("available_time") and to_ns(sent.available_time) < event_time_ns:
            found.append(Violation("available_time", "must not lie before event_time"))
        if (
            sent.environment != _BACKTEST
            and event_time_ns > self._now_ns() + self._future_skew_ns_max
        ):
            seconds = self._future_skew_ns_max / _NS
            found.append(
                Violation("event_time", f"leads the server's clock by more than {seconds:g} s")
            )
        return found


def same_content(one: bytes, other: bytes) -> bool:
    """Whether two bodies say the same. Their bytes may differ though: what a server did not know
    it wrote behind what it knew, and a later one writes it in its place."""
    return _canonical(one) == _canonical(other)


def _canonical(body: bytes) -> bytes:
    canonical: bytes = event_pb2.Event.FromString(body).SerializeToString(deterministic=True)
    return canonical


def traceparents(sent: Iterable[event_pb2.Event]) -> tuple[tuple[int, str], ...]:
    """Index and trace context of the sampled events, at most 32 of a batch."""
    found = []
    for index, event in enumerate(sent):
        traceparent = event.traceparent
        if traceparent and traceparent[-1] in _SAMPLED and is_traceparent(traceparent):
            found.append((index, traceparent))
            if len(found) == _TRACED_MAX:
                break
    return tuple(found)


def loss_event(
    event_id: str, source: str, when_ns: int, lost: event_service_pb2.Lost, producer_id: str
) -> Event:
    """The server's own event that says which numbers of a producer were lost.

    Its environment is UNSPECIFIED: what was lost is not known, so it belongs to none.
    """
    written = event_pb2.Event(
        event_id=event_id,
        source=source,
        event_time=timestamp(when_ns),
        recorder_loss=event_pb2.RecorderLoss(
            producer_id=producer_id,
            first_seq=lost.first_seq,
            last_seq=lost.last_seq,
            reason=lost.reason,
        ),
    )
    return _event(written, written.SerializeToString(deterministic=True))


def sent_back(stored: StoredEvent) -> event_pb2.Event:
    """The event as callers get it: as recorded, with sequence and ingest_time."""
    event = event_pb2.Event.FromString(stored.body)
    event.sequence = stored.sequence
    event.ingest_time.CopyFrom(timestamp(stored.ingest_time_ns))
    return event


def rejection_message(rejection: Rejection, producer_seq: int) -> event_service_pb2.Rejection:
    """The rejection as callers get it."""
    message = event_service_pb2.Rejection(
        producer_seq=producer_seq,
        event_id=rejection.event_id,
        reason=reason_number(rejection.reason),
    )
    for violation in rejection.violations:
        message.violations.add(field=violation.field, description=violation.description)
    return message


def reason_number(reason: Reason) -> Any:
    """The contract's number of a reason."""
    return error_pb2.ErrorReason.Value(f"ERROR_REASON_{reason.value}")


def uuid_words(value: bytes) -> str:
    """The canonical form of a UUID's 16 bytes."""
    return str(UUID(bytes=value))


def to_ns(when: Timestamp) -> int:
    """Nanoseconds since 1970, exactly."""
    return when.seconds * _NS + when.nanos


def timestamp(when_ns: int) -> Timestamp:
    """The same moment as a Timestamp."""
    return Timestamp(seconds=when_ns // _NS, nanos=when_ns % _NS)


def _event(sent: event_pb2.Event, body: bytes) -> Event:
    event_time_ns = to_ns(sent.event_time)
    available = sent.available_time
    return Event(
        bytes.fromhex(sent.event_id.replace("-", "")),
        _KINDS[sent.WhichOneof("payload") or ""],
        sent.source,
        sent.environment,
        sent.run_id,
        event_time_ns,
        to_ns(available) if sent.HasField("available_time") else event_time_ns,
        sent.signal_id,
        sent.strategy,
        sent.symbol,
        body,
    )


def _lacks_correction(sent: event_pb2.Event) -> bool:
    return (
        sent.WhichOneof("payload") == "outcome"
        and sent.outcome.status == event_pb2.OUTCOME_STATUS_CORRECTED
        and not sent.corrects_event_id
    )


def _rejection(
    sent: event_pb2.Event,
    body: bytes,
    found: list[Violation],
    reason: Reason = Reason.INVALID_FIELD,
) -> Rejection:
    return Rejection(sent.event_id[:128], reason, tuple(found), body[:KEPT_BYTES_MAX], len(body))
