"""Fire-and-forget recording: the ring, the stream behind it, what is durable."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import time
import weakref
from collections.abc import Callable
from dataclasses import replace

import grpc

from trimtab_client.channel import FAKE_ADDRESSES, LazyChannel
from trimtab_client.envelope import NAME_CHARS_MAX
from trimtab_client.event import KIND_OF_PAYLOAD, Event
from trimtab_client.recorder_spool import RecorderSpool
from trimtab_client.rejections import OnRejected
from trimtab_client.ring import EVENT_CLASSES, EventClass, Ring
from trimtab_client.settings import RecorderSettings
from trimtab_client.stats import FlushResult, RecorderStats
from trimtab_client.stream import EventStream

logger = logging.getLogger("trimtab_client")

OnRefused = Callable[[EventClass, int], None]

CLOSE_TIMEOUT_S = 10.0
_CONNECTING_TICK_S = 0.05
_SPOOL_TIMEOUT_S_MIN = 2.0
# With a spool, the rest of the ring is for what waits for the disk.
_HEAD_SHARE = 0.5
_CLASS_OF_PAYLOAD = {name: EVENT_CLASSES[kind] for name, kind in KIND_OF_PAYLOAD.items()}


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
        self._settings = _with_spool_mode(settings or RecorderSettings(), channel.address)
        self._on_rejected = on_rejected
        self._on_refused = on_refused
        self._closed = False
        self._reset()
        _live.add(self)

    def _reset(self) -> None:
        """An empty ring and a stream of a new producer; also the whole of what a fork needs."""
        settings = self._settings
        has_spool = settings.spool_mode != "off" and not self._closed
        self._ring = Ring(
            settings.events_max, settings.bytes_max, head_share=_HEAD_SHARE if has_spool else 1.0
        )
        self._stream = EventStream(
            self._ring, self._channel, self._source, settings, self._on_rejected
        )
        self._spool: RecorderSpool | None = None
        if has_spool:
            self._spool = RecorderSpool(
                self._ring, self._channel, self._source, settings, self._on_rejected, self._stream
            )
            self._stream.on_renumbered = self._spool.renumber
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
            if self._spool is not None:
                self._spool.start()
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
        ring, tally = self._ring, self._stream.tally
        unanswered = tally.dropped_count or tally.spooled_count
        settled = ring.settled_count >= target and not unanswered
        return FlushResult(
            durable=settled and not tally.rejected_count and not tally.lost_count,
            settled=settled,
            pending_count=ring.pending_count,
            durable_count=tally.durable_count,
            rejected_count=tally.rejected_count,
            lost_count=tally.lost_count,
            dropped_count=tally.dropped_count,
            spooled_count=tally.spooled_count,
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
        made and none is being made. Idempotent. Events not settled by then are kept in the spool
        (`spooled_count`); where there is none, or it is full, they are gone (`dropped_count`). One
        warning in the log tells either. The time that is left goes to a replay under way.
        """
        flush_s = CLOSE_TIMEOUT_S if timeout is None else timeout
        absent_s = self._settings.absent_close_timeout_s if timeout is None else timeout
        deadline_s = time.monotonic() + flush_s
        with self._ring.lock:
            self._closed = True
            self._ring.shut()
        self._flush(flush_s, min(flush_s, absent_s))
        if self._spool is not None:
            left_s = max(0.0, deadline_s - time.monotonic())
            self._spool.close_adoption(left_s, lambda: self._stream.state == "OPEN")
        # The last acknowledgement is in (or late): a clean end is worth a second, not more.
        self._stream.close(min(1.0, max(0.0, deadline_s - time.monotonic())))
        self._end(max(_SPOOL_TIMEOUT_S_MIN, deadline_s - time.monotonic()))
        _live.discard(self)
        with self._ring.lock:
            return self._result(self._ring.accepted_count)

    @property
    def stats(self) -> RecorderStats:
        """A consistent snapshot of the counts."""
        ring, stream, spool, tally = self._ring, self._stream, self._spool, self._stream.tally
        with ring.lock:
            return RecorderStats(
                accepted_count=ring.accepted_count,
                durable_count=tally.durable_count,
                refused_count={c.value: n for c, n in self._refused_count.items()},
                rejected_count=tally.rejected_count,
                duplicate_count=tally.duplicate_count,
                lost_count=tally.lost_count,
                dropped_count=tally.dropped_count,
                reconnect_count=max(0, stream.opened_count - 1),
                pending_count=ring.pending_count,
                pending_bytes=ring.pending_bytes,
                state=stream.state,
                last_error=str(stream.last_error or ""),
                spooled_count=tally.spooled_count,
                spool_mode=str(self._settings.spool_mode),
                spool_error=spool.error if spool else "",
                spool_event_count=ring.spooled_count,
                spool_bytes=spool.byte_count if spool else 0,
                adopted_count=spool.adopted_count if spool else 0,
                damaged_count=spool.damaged_count if spool else 0,
            )

    def close_at_exit(self) -> None:
        """What the end of the interpreter does."""
        if self._settings.exit_flush_timeout_s > 0 and self._started:
            self.close(self._settings.exit_flush_timeout_s)
            return
        with self._ring.lock:
            self._closed = True
            self._ring.shut()
        if self._spool is not None:
            self._spool.close_adoption(0.0, lambda: False)
        self._stream.close(0.0)
        self._end(_SPOOL_TIMEOUT_S_MIN)

    def _end(self, timeout_s: float) -> None:
        """Keeps what is pending in the spool, or gives it up: either with one warning, because
        nobody else would ever say so."""
        spooled_count = self._spool.close(timeout_s) if self._spool is not None else 0
        gone_count = self._stream.give_up(spooled_count)
        if spooled_count and self._spool is not None:
            logger.warning(
                "trimtab recorder: closed with %s not durable; %s kept in the spool %s, the next"
                " start sends %s: %s",
                *_counted(spooled_count, "it is", "they are"),
                self._spool.folder,
                "it" if spooled_count == 1 else "them",
                self._why_pending(),
            )
        if gone_count:
            logger.warning(
                "trimtab recorder: closed with %s not durable; %s gone: %s",
                *_counted(gone_count, "it is", "they are"),
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
        if self._spool is not None:
            self._spool.forget()
        # Kept alive for ever: finalising the parent's call or locks would reach into grpc.
        _abandoned.append((self._ring, self._stream, self._spool))
        self._reset()


_live: weakref.WeakSet[Recorder] = weakref.WeakSet()
_abandoned: list[tuple[Ring, EventStream, RecorderSpool | None]] = []


def _with_spool_mode(settings: RecorderSettings, address: str) -> RecorderSettings:
    """The settings with a spool mode where none was told."""
    if settings.spool_mode is not None:
        return settings
    off = address in FAKE_ADDRESSES and settings.spool_dir is None
    return replace(settings, spool_mode="off" if off else "overflow")


def _counted(count: int, one: str, many: str) -> tuple[str, str]:
    return ("1 event", one) if count == 1 else (f"{count:,} events", many)


def _close_all() -> None:
    for recorder in list(_live):
        recorder.close_at_exit()


def _reset_all() -> None:
    for recorder in list(_live):
        recorder.reset_after_fork()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_reset_all)
