"""Fire-and-forget recording: the ring, the stream behind it, what is durable."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import grpc

from trimtab_client.channel import LazyChannel
from trimtab_client.envelope import NAME_CHARS_MAX
from trimtab_client.event import KIND_OF_PAYLOAD, Event
from trimtab_client.rejections import OnRejected
from trimtab_client.ring import EVENT_CLASSES, EventClass, Ring
from trimtab_client.settings import RecorderSettings
from trimtab_client.stream import EventStream

logger = logging.getLogger("trimtab_client")

OnRefused = Callable[[EventClass, int], None]

CLOSE_TIMEOUT_S = 10.0
_CONNECTING_TICK_S = 0.05
_CLASS_OF_PAYLOAD = {name: EVENT_CLASSES[kind] for name, kind in KIND_OF_PAYLOAD.items()}


@dataclass(frozen=True, slots=True)
class FlushResult:
    """What a flush or close found.

    durable: every event accepted so far, since the recorder was made, is stored durably. One that
        was rejected, lost or dropped is not, so after it this stays False; see `settled`.
    settled: every event accepted before the call is answered: stored durably, rejected by the
        server (`rejected_count`) or declared lost (`lost_count`). Waiting longer changes nothing.
    pending_count: events accepted and not settled yet, those of after the call included.
    durable_count, rejected_count, lost_count, dropped_count: totals, see RecorderStats.
    """

    durable: bool
    settled: bool
    pending_count: int
    durable_count: int
    rejected_count: int
    lost_count: int
    dropped_count: int


@dataclass(frozen=True, slots=True)
class RecorderStats:
    """Counts since the recorder was made (in a forked child: since the fork).

    accepted_count = durable_count + rejected_count + lost_count + dropped_count + pending_count;
    refused events were never accepted. refused_count: by class, "BULK" and "RESERVED".
    duplicate_count: resent events that were stored before. lost_count: events that could not be
    sent, and those that a restored server had forgotten (durable no more). dropped_count: events
    that were still pending when the recorder was closed: gone, unless an answer of the server was
    on its way just then. state: IDLE, CONNECTING, OPEN, BACKOFF, STOPPED (a second owner
    took the producer id) or CLOSED. last_error: why the stream is not open; "" when it is.
    """

    accepted_count: int
    durable_count: int
    refused_count: Mapping[str, int]
    rejected_count: int
    duplicate_count: int
    lost_count: int
    dropped_count: int
    reconnect_count: int
    pending_count: int
    pending_bytes: int
    state: str
    last_error: str


class Recorder:
    """Records events without ever blocking the engine. Thread-safe, fork-safe.

    Construction does no I/O; the first event starts the stream. A forked child gets an empty ring,
    its own producer id and channel; what the parent held stays the parent's.
    """

    def __init__(
        self,
        channel: LazyChannel,
        source: str,
        *,
        settings: RecorderSettings | None = None,
        on_rejected: OnRejected | None = None,
        on_refused: OnRefused | None = None,
    ) -> None:
        """source: the engine; events of another source are rejected by the server.

        on_rejected: called on a background thread with each Rejection. on_refused: called on the
        recording thread with the class and its count so far; keep both short. What they raise is
        logged.
        """
        if not 1 <= len(source) <= NAME_CHARS_MAX:
            raise ValueError(f"source: needs 1 to {NAME_CHARS_MAX} characters")
        self._channel = channel
        self._source = source
        self._settings = settings or RecorderSettings()
        self._on_rejected = on_rejected
        self._on_refused = on_refused
        self._closed = False
        self._reset()
        _live.add(self)

    def _reset(self) -> None:
        """An empty ring and a stream of a new producer; also the whole of what a fork needs."""
        self._ring = Ring(self._settings.events_max, self._settings.bytes_max)
        self._stream = EventStream(
            self._ring, self._channel, self._source, self._settings, self._on_rejected
        )
        self._refused_count = dict.fromkeys(EventClass, 0)
        self._started = False
        if self._closed:
            self._ring.shut()

    @property
    def producer_id(self) -> str:
        """The UUID under which this recorder numbers its events."""
        return self._stream.producer_id

    def record(self, event: Event) -> bool:
        """Takes a complete event; False when the ring refused it (see `stats.refused_count`).

        Never waits and never raises for transport reasons. TypeError for an event without payload.
        The event is serialised now: changing it later changes nothing.
        """
        event_class = _CLASS_OF_PAYLOAD.get(event.WhichOneof("payload") or "")
        if event_class is None:
            raise TypeError("event: needs a payload")
        return self.record_bytes(event.SerializeToString(), event_class)

    def record_bytes(self, data: bytes, event_class: EventClass) -> bool:
        """As `record`, for an event that is serialised already."""
        if self._ring.offer(data, event_class):
            if not self._started:
                self.start()
            return True
        self._refuse(event_class)
        return False

    def start(self) -> None:
        """Connects in the background without waiting for the first event."""
        if self._closed:
            return
        try:
            self._stream.start()
            self._started = True
        except RuntimeError:
            # No thread to be had now (limits, interpreter shutdown): the next event tries again.
            logger.exception("trimtab recorder: cannot start")

    def _refuse(self, event_class: EventClass) -> None:
        with self._ring.lock:
            self._refused_count[event_class] += 1
            count = self._refused_count[event_class]
        if self._on_refused is not None:
            try:
                self._on_refused(event_class, count)
            except Exception:
                logger.exception("trimtab recorder: on_refused failed")

    def flush(self, timeout: float = 10.0) -> FlushResult:
        """Waits up to `timeout` seconds until all that was accepted before is settled."""
        return self._flush(timeout, timeout)

    def _flush(self, timeout: float, absent_timeout_s: float) -> FlushResult:
        """absent_timeout_s: when to give up on a sidecar that never answered."""
        ring, stream = self._ring, self._stream
        start_s = time.monotonic()
        with ring.lock:
            target = stream.request_flush()
            while ring.settled_count < target and stream.state not in ("STOPPED", "CLOSED"):
                waited_s = time.monotonic() - start_s
                if waited_s >= timeout or (waited_s >= absent_timeout_s and stream.absent):
                    break
                if waited_s < absent_timeout_s:
                    ring.settled.wait(min(timeout, absent_timeout_s) - waited_s)
                elif stream.opened_count:
                    ring.settled.wait(timeout - waited_s)
                else:
                    # A first connection is being made: how that ends notifies nobody.
                    ring.settled.wait(min(_CONNECTING_TICK_S, timeout - waited_s))
            return self._result(target)

    def _result(self, target: int) -> FlushResult:
        """What is known now; the caller holds the ring's lock."""
        ring, stream = self._ring, self._stream
        settled = ring.settled_count >= target and not stream.dropped_count
        return FlushResult(
            durable=settled and not stream.rejected_count and not stream.lost_count,
            settled=settled,
            pending_count=ring.pending_count,
            durable_count=stream.durable_count,
            rejected_count=stream.rejected_count,
            lost_count=stream.lost_count,
            dropped_count=stream.dropped_count,
        )

    async def flush_async(
        self,
        timeout: float = 10.0,  # noqa: ASYNC109 - the flush itself ends, not the wait for it
    ) -> FlushResult:
        """`flush` for asyncio: waits on a worker thread, not on the event loop."""
        return await asyncio.get_running_loop().run_in_executor(None, self.flush, timeout)

    def close(self, timeout: float | None = None) -> FlushResult:
        """Refuses new events, flushes, ends the stream; all within `timeout` seconds or so.

        timeout: default 10, or `settings.absent_close_timeout_s` (2) when no connection was ever
        made and none is being made. Idempotent. Events not settled by then are gone: counted as
        `dropped_count` and told by one warning in the log.
        """
        flush_s = CLOSE_TIMEOUT_S if timeout is None else timeout
        absent_s = self._settings.absent_close_timeout_s if timeout is None else timeout
        deadline_s = time.monotonic() + flush_s
        with self._ring.lock:
            self._closed = True
            self._ring.shut()
        self._flush(flush_s, min(flush_s, absent_s))
        # The last acknowledgement is in (or late): a clean end is worth a second, not more.
        self._stream.close(min(1.0, max(0.0, deadline_s - time.monotonic())))
        _live.discard(self)
        self._drop()
        with self._ring.lock:
            return self._result(self._ring.accepted_count)

    @property
    def stats(self) -> RecorderStats:
        """A consistent snapshot of the counts."""
        ring, stream = self._ring, self._stream
        with ring.lock:
            return RecorderStats(
                accepted_count=ring.accepted_count,
                durable_count=stream.durable_count,
                refused_count={c.value: n for c, n in self._refused_count.items()},
                rejected_count=stream.rejected_count,
                duplicate_count=stream.duplicate_count,
                lost_count=stream.lost_count,
                dropped_count=stream.dropped_count,
                reconnect_count=max(0, stream.opened_count - 1),
                pending_count=ring.pending_count,
                pending_bytes=ring.pending_bytes,
                state=stream.state,
                last_error=str(stream.last_error or ""),
            )

    def close_at_exit(self) -> None:
        """What the end of the interpreter does."""
        if self._settings.exit_flush_timeout_s > 0 and self._started:
            self.close(self._settings.exit_flush_timeout_s)
            return
        with self._ring.lock:
            self._closed = True
            self._ring.shut()
        self._drop()

    def _drop(self) -> None:
        """Gives up what is pending, with one warning: nobody else would ever say so."""
        count = self._stream.drop()
        if count:
            logger.warning(
                "trimtab recorder: closed with %s not durable; %s: %s",
                "1 event" if count == 1 else f"{count:,} events",
                "it is gone" if count == 1 else "they are gone",
                self._why_pending(),
            )

    def _why_pending(self) -> str:
        stream, address = self._stream, self._channel.address
        error = stream.last_error
        if error is not None and (error.reason or error.code is not grpc.StatusCode.UNAVAILABLE):
            return str(error)
        if not stream.opened_count:
            return f"no sidecar answered at {address}"
        if error is not None:
            return f"the sidecar at {address} went away"
        return f"the sidecar at {address} did not confirm them in time"

    def reset_after_fork(self) -> None:
        """What a forked child does: everything anew, nothing of the parent's touched."""
        # Kept alive for ever: finalising the parent's call or locks would reach into grpc.
        _abandoned.append((self._ring, self._stream))
        self._reset()


_live: weakref.WeakSet[Recorder] = weakref.WeakSet()
_abandoned: list[tuple[Ring, EventStream]] = []


def _close_all() -> None:
    for recorder in list(_live):
        recorder.close_at_exit()


def _reset_all() -> None:
    for recorder in list(_live):
        recorder.reset_after_fork()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_reset_all)
