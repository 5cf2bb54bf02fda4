"""The envelope of an event: what every recording method fills the same way."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Generic, TypedDict, TypeVar

from trimtab_client.event import (
    ENVIRONMENT,
    Event,
    Time,
    Word,
    current_traceparent_source,
    to_timestamp,
)
from trimtab_client.event_id import uuid7
from trimtab_client.ring import EventClass

T = TypeVar("T")

NAME_CHARS_MAX = 64
ID_CHARS_MAX = 128
_NS = 1_000_000_000
_BACKTEST = ENVIRONMENT("BACKTEST", "environment")
# Looked up once: without opentelemetry-api the engine's thread pays nothing for tracing.
_current_traceparent = current_traceparent_source()


class Envelope(TypedDict, total=False):
    """What every event may carry beside its payload; see trimtab/v1/event.proto.

    event_id: UUID; default a new version 7. event_time: instead of event_time_ns.
    available_time: when it could be known, never before the event's time.
    corrects_event_id: the UUID of the event that this one corrects.
    """

    event_id: str
    event_time: Time
    available_time: Time
    order_id: str
    position_id: str
    strategy: str
    model_name: str
    model_version: str
    correlation_id: str
    causation_id: str
    corrects_event_id: str
    traceparent: str
    attributes: Mapping[str, str]


class EventSink(Generic[T]):
    """Makes envelopes; what becomes of a finished event is up to `_emit`."""

    def __init__(self, *, source: str, environment: Word, run_id: str = "") -> None:
        """source: the engine, 1 to 64 characters. environment: LIVE, PAPER or BACKTEST.
        run_id: required for BACKTEST, up to 128 characters. ValueError when one is missing.
        """
        if not 1 <= len(source) <= NAME_CHARS_MAX:
            raise ValueError(f"source: needs 1 to {NAME_CHARS_MAX} characters")
        self.source = source
        self.environment = ENVIRONMENT(environment, "environment")
        if self.environment == 0:
            raise ValueError("environment: LIVE, PAPER or BACKTEST must be told")
        if len(run_id) > ID_CHARS_MAX or (self.environment == _BACKTEST and not run_id):
            raise ValueError(f"run_id: BACKTEST needs one, up to {ID_CHARS_MAX} characters")
        self.run_id = run_id

    def _emit(self, event: Event, event_class: EventClass) -> T:
        raise NotImplementedError

    def _begin(self, envelope: Envelope, event_time_ns: int | None) -> Event:
        """An event with its envelope filled; the hot path, hence attribute by attribute: upb takes
        half the time of a constructor with nested messages."""
        if envelope:
            event = Event(**self._fields(envelope))
            if not event.event_id:
                event.event_id = uuid7()
        else:
            event = Event(event_id=uuid7())
        event.source = self.source
        event.environment = self.environment  # type: ignore[assignment]
        if self.run_id:
            event.run_id = self.run_id
        if event_time_ns is None:
            if event.HasField("event_time"):
                event_time_ns = event.event_time.ToNanoseconds()
            else:
                event_time_ns = self._now_ns()
        stamp = event.event_time
        try:
            stamp.seconds, stamp.nanos = divmod(event_time_ns, _NS)
        except TypeError:
            raise TypeError(
                f"event_time_ns: must be int nanoseconds UTC, not {type(event_time_ns).__name__} "
                "(a datetime with a time zone goes into event_time)"
            ) from None
        if _current_traceparent is not None and not event.traceparent:
            event.traceparent = _current_traceparent()
        return event

    @staticmethod
    def _fields(envelope: Any) -> Any:
        """The envelope as the message takes it."""
        for name in ("event_time", "available_time"):
            if name in envelope:
                envelope[name] = to_timestamp(envelope[name], name)
        return envelope

    def _now_ns(self) -> int:
        if self.environment == _BACKTEST:
            # A backtest's clock is event time: today's date in it would poison every window.
            raise ValueError("event_time_ns: a BACKTEST event must tell its time")
        return time.time_ns()

    def fill(self, event: Event) -> Event:
        """Fills what is empty in `event`: event_id, source, environment, run_id, event_time,
        traceparent. ValueError for a BACKTEST event without a time."""
        event.event_id = event.event_id or uuid7()
        event.source = event.source or self.source
        event.environment = event.environment or self.environment  # type: ignore[assignment]
        event.run_id = event.run_id or self.run_id
        if not event.HasField("event_time"):
            event.event_time.CopyFrom(to_timestamp(self._now_ns()))
        if _current_traceparent is not None and not event.traceparent:
            event.traceparent = _current_traceparent()
        return event
