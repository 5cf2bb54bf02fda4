"""From messages to appends: reading in slices, size limits, and the choice of when to wait."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trimtab.v1 import event_pb2
from trimtab_server.domain.events import Append, Event, Producer, Rejection, Violation
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import InvalidRequest
from trimtab_server.rpc.convert import EventReader, traceparents

# Events that are read before other calls get a turn: the signal gate shares the interpreter. Each
# turn costs some throughput, so they are short only while somebody asks.
_SLICE = 64
_SLICE_WHILE_ASKED = 8
# Batches without a question after which nobody asks any more.
_CALM_BATCHES = 64


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What a batch or a RecordEvents call may hold."""

    events_max: int
    bytes_max: int


@dataclass(frozen=True, slots=True)
class Taken:
    """An append and which of its items are traced."""

    append: Append
    traceparents: tuple[tuple[int, str], ...]


class Intake:
    """Turns what callers send into appends."""

    def __init__(
        self,
        reader: EventReader,
        limits: BatchLimits,
        asked_count: Callable[[], int],
        *,
        is_tracing: bool,
    ) -> None:
        """asked_count: how often the signal gate was asked so far."""
        self._reader = reader
        self._limits = limits
        self._asked_count = asked_count
        self._is_tracing = is_tracing
        self._last_asked_count = 0
        self._calm_batches = _CALM_BATCHES

    async def take(
        self,
        sent: Sequence[event_pb2.Event],
        field: str,
        producer: Producer | None = None,
        first_seq: int = 0,
    ) -> Taken:
        """The append of `sent`. Raises InvalidRequest, naming `field`, when it is too large."""
        self._check(sent, field)
        source = producer.source if producer else None
        events: list[Event | Rejection] = []
        read = self._reader.read
        start, count = 0, len(sent)
        self._calm_batches += 1
        while start < count:
            end = start + self._slice()
            events += read(sent[start:end], source)
            start = end
            if start < count:
                await asyncio.sleep(0)
        byte_count = sum(
            len(item.body if isinstance(item, Event) else item.prefix) for item in events
        )
        if byte_count > self._limits.bytes_max:
            words = f"has {byte_count} bytes; {self._limits.bytes_max} are allowed"
            raise InvalidRequest(Violation(field, words), reason=Reason.BATCH_TOO_LARGE)
        traced = traceparents(sent) if self._is_tracing else ()
        return Taken(Append(events, byte_count, producer, first_seq), traced)

    def _slice(self) -> int:
        """How many events to read in one go."""
        asked_count = self._asked_count()
        if asked_count != self._last_asked_count:
            self._last_asked_count, self._calm_batches = asked_count, 0
        return _SLICE if self._calm_batches >= _CALM_BATCHES else _SLICE_WHILE_ASKED

    def _check(self, sent: Sequence[event_pb2.Event], field: str) -> None:
        if not sent:
            raise InvalidRequest(Violation(field, "is required"))
        if len(sent) > self._limits.events_max:
            words = f"has {len(sent)} events; {self._limits.events_max} are allowed"
            raise InvalidRequest(Violation(field, words), reason=Reason.BATCH_TOO_LARGE)
