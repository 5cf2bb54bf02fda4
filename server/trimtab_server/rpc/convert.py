"""Protobuf to domain and back: the only place that knows both.

`EventReader.read` is the way of every event into the log: valid, or refused with the field's path.
It reads the envelopes of a slice column by column, so that one call checks a field of them all.
"""

from collections.abc import Callable, Iterable, Sequence
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
from trimtab_server.rpc.quick_check import PLAINLY_VALID, texts_fit, words_fit
from trimtab_server.rpc.validation import (
    VIOLATIONS_MAX,
    is_traceparent,
    uuids,
    violations,
    violations_of_payload,
    wrong_time,
)

KEPT_BYTES_MAX = 4_096
_NS = 1_000_000_000
_KINDS = {kind.name.lower(): int(kind) for kind in EventKind}
_BACKTEST = int(Environment.BACKTEST)
_ENVIRONMENTS = frozenset(int(environment) for environment in Environment)
_NEEDED = {
    **dict.fromkeys(("signal", "decision", "outcome", "shadow_outcome"), "signal_id"),
    **dict.fromkeys(("market_bar", "market_tick", "corporate_action"), "symbol"),
}
# Per payload: its quick check, its kind, and the field that it needs beside it.
_PLAIN = {
    payload: (check, _KINDS[payload], _NEEDED.get(payload))
    for payload, check in PLAINLY_VALID.items()
}
_TRACED_MAX = 32
# The flags' last bit is "sampled"; the one before it, "random", says how the trace id was made.
_SAMPLED = frozenset("13579bdf")
_WORDS = (
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
_TRACEPARENT, _CORRECTS = _WORDS.index("traceparent"), _WORDS.index("corrects_event_id")
_LENGTHS_MAX = [
    rules.NAME_LENGTH_MAX if rules.ENVELOPE[name].shape is rules.Shape.NAME else rules.ID_LENGTH_MAX
    for name in _WORDS
]
_STRINGS = attrgetter(*_WORDS)
_ENVIRONMENT, _EVENT_TIME = attrgetter("environment"), attrgetter("event_time")
_ATTRIBUTES = attrgetter("attributes")


class EventReader:
    """Turns events as sent into events for the log."""

    def __init__(
        self, event_bytes_max: int, future_skew_ns_max: int, now_ns: Callable[[], int]
    ) -> None:
        self._event_bytes_max = event_bytes_max
        self._future_skew_ns_max = future_skew_ns_max
        self._now_ns = now_ns

    def read(
        self, sent: Sequence[event_pb2.Event], source: str | None = None
    ) -> list[Event | Rejection]:
        """Each as the event for the log, or why it is refused. With `source`, another one is
        refused."""
        for event in sent:
            if event.sequence or event.HasField("ingest_time"):
                event.ClearField("sequence")
                event.ClearField("ingest_time")
        bodies = [event.SerializeToString(deterministic=True) for event in sent]
        return self._read_bisected(sent, bodies, source)

    def _read_bisected(
        self, sent: Sequence[event_pb2.Event], bodies: list[bytes], source: str | None
    ) -> list[Event | Rejection]:
        """All the quick way, or the halves: what is odd is found alone and read the slow way."""
        plain = self._read_plain(sent, bodies, source)
        if plain is not None:
            return [*plain]
        if len(sent) == 1:
            return [self._read_slowly(sent[0], bodies[0], source)]
        middle = len(sent) // 2
        return self._read_bisected(sent[:middle], bodies[:middle], source) + self._read_bisected(
            sent[middle:], bodies[middle:], source
        )

    def _read_slowly(
        self, sent: event_pb2.Event, body: bytes, source: str | None
    ) -> Event | Rejection:
        if len(body) > self._event_bytes_max:
            words = f"has {len(body)} bytes; {self._event_bytes_max} are allowed"
            return _rejection(sent, body, [Violation("", words)], Reason.EVENT_TOO_LARGE)
        found = self._violations(sent)
        if found:
            return _rejection(sent, body, found)
        if source is not None and sent.source != source:
            words = f"is {sent.source!r}, but the stream was opened by {source!r}"
            return _rejection(sent, body, [Violation("source", words)])
        return _event(sent, body)

    def _read_plain(
        self, sent: Sequence[event_pb2.Event], bodies: list[bytes], source: str | None
    ) -> list[Event] | None:
        """The events when nothing about them is unusual, column by column; None when one has to
        be read the slow way."""
        kinds = _plain_kinds(sent)
        if kinds is None or max(map(len, bodies)) > self._event_bytes_max:
            return None
        columns = list(zip(*map(_STRINGS, sent), strict=True))
        ids, sources, run_ids, signal_ids, strategies, symbols, *_rest = columns
        event_ids = uuids(ids)
        environments = list(map(_ENVIRONMENT, sent))
        times = self._plain_times(sent, environments)
        if (
            event_ids is None
            or times is None
            or not all(map(words_fit, columns[1:], _LENGTHS_MAX[1:]))
            or not _ENVIRONMENTS.issuperset(environments)
            or "" in sources
            or (source is not None and {source} != set(sources))
            or not all(map(is_traceparent, filter(None, columns[_TRACEPARENT])))
            or uuids([each for each in columns[_CORRECTS] if each]) is None
            or not all(map(texts_fit, filter(None, map(_ATTRIBUTES, sent))))
            or (_BACKTEST in environments and not all(map(_is_in_run, sent)))
        ):
            return None
        event_times, available_times = times
        # Past the named tuple's own constructor, which is written in Python.
        return list(
            map(
                Event._make,
                zip(
                    event_ids,
                    kinds,
                    sources,
                    environments,
                    run_ids,
                    event_times,
                    available_times,
                    signal_ids,
                    strategies,
                    symbols,
                    bodies,
                    strict=True,
                ),
            )
        )

    def _plain_times(
        self, sent: Sequence[event_pb2.Event], environments: list[int]
    ) -> tuple[list[int], list[int]] | None:
        """Event times and available times, or None when one of them may be wrong."""
        times = []
        for when in map(_EVENT_TIME, sent):
            seconds, nanos = when.seconds, when.nanos
            if not 0 < seconds < rules.TIME_SECONDS_MAX or not 0 <= nanos < _NS:
                return None
            times.append(seconds * _NS + nanos)
        latest = self._now_ns() + self._future_skew_ns_max
        if max(times) > latest and any(
            when > latest and environment != _BACKTEST
            for when, environment in zip(times, environments, strict=True)
        ):
            return None
        available_times = times
        for at, event in enumerate(sent):
            if event.HasField("available_time"):
                if available_times is times:
                    available_times = times.copy()
                when = event.available_time
                available_times[at] = to_ns(when)
                if wrong_time(when, rules.Shape.TIME) or available_times[at] < times[at]:
                    return None
        return times, available_times

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
        needed = _NEEDED.get(payload or "")
        if needed and not getattr(sent, needed):
            found.append(Violation(needed, f"is required for {payload}"))
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


def _plain_kinds(sent: Sequence[event_pb2.Event]) -> list[int] | None:
    """The kind of each when all payloads are plainly valid, with what they need beside them."""
    kinds = []
    for event in sent:
        payload = event.WhichOneof("payload")
        if payload not in _PLAIN:
            return None
        check, kind, needed = _PLAIN[payload]
        if not check(getattr(event, payload)) or (needed and not getattr(event, needed)):
            return None
        if payload == "outcome" and _lacks_correction(event):
            return None
        kinds.append(kind)
    return kinds


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


def _is_in_run(sent: event_pb2.Event) -> bool:
    return bool(sent.run_id) or sent.environment != _BACKTEST


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
