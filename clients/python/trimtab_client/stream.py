"""The recorder's background half: keeps one StreamEvents call alive and empties the ring into it.

Three threads share the ring's lock: the supervisor opens sessions, waits between them and cuts one
that stalls; a reader per session takes acknowledgements; grpc's own thread pulls `_requests`.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import grpc

from trimtab.v1 import event_pb2, event_service_pb2
from trimtab_client import wire
from trimtab_client.channel import LazyChannel
from trimtab_client.errors import TrimtabError, error_from_rpc
from trimtab_client.rejections import (
    OnRejected,
    Rejection,
    RejectionReports,
    missed_rejections,
)
from trimtab_client.retry import Backoff, Takeovers
from trimtab_client.ring import Ring
from trimtab_client.session import Session
from trimtab_client.settings import RecorderSettings

logger = logging.getLogger("trimtab_client")

_METHOD = "/trimtab.v1.EventService/StreamEvents"
_STRIKE_COUNT_MAX = 3
_RETRY_AFTER_S_MAX = 30.0
_NUMBERS_DISAGREE = ("SEQUENCE_REUSED", "SEQUENCE_GAP")
_TOO_LARGE = ("BATCH_TOO_LARGE", "EVENT_TOO_LARGE", "INVALID_FIELD", "")


class EventStream:
    """Sends the ring's events under one producer id until closed, or stopped by a second owner."""

    def __init__(
        self,
        ring: Ring,
        channel: LazyChannel,
        source: str,
        settings: RecorderSettings,
        on_rejected: OnRejected | None,
    ) -> None:
        self._ring = ring
        self._channel = channel
        self._source = source
        self._settings = settings
        self._reports = RejectionReports(on_rejected)
        self._backoff = Backoff(settings.backoff_s_min, settings.backoff_s_max)
        self._takeovers = Takeovers()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._call: Any = None
        self._strike_count = 0
        # While events up to this ordinal are pending, they go one by one: one of them is poison.
        self._suspect_through = 0
        self._unsendable: set[int] = set()
        self._lost_accounted: tuple[str, int] | None = None
        self._flush_target = 0
        self.producer_id = str(uuid.uuid4())
        self.state = "IDLE"
        self.last_error: TrimtabError | None = None
        self.durable_count = 0
        self.rejected_count = 0
        self.duplicate_count = 0
        self.lost_count = 0
        self.dropped_count = 0
        self.opened_count = 0

    def start(self) -> None:
        """Starts the supervisor unless it runs already. Does no I/O itself."""
        with self._ring.lock:
            if self._thread is not None or self._closing.is_set():
                return
            thread = threading.Thread(target=self._run, name="trimtab-recorder", daemon=True)
            # Started under the lock, so that two engine threads never start two.
            thread.start()
            self._thread = thread

    def request_flush(self) -> int:
        """Asks for everything accepted so far; returns the settled_count that answers it."""
        with self._ring.lock:
            self._flush_target = self._ring.accepted_count
            self._ring.work.notify_all()
            return self._flush_target

    def close(self, timeout_s: float) -> None:
        """Half-closes, waits for the last acknowledgement up to `timeout_s`, then cuts."""
        with self._ring.lock:
            self._closing.set()
            self._ring.work.notify_all()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)
            if thread.is_alive():
                self._cancel_call()
                thread.join(1.0)
        if self.state != "STOPPED":
            self.state = "CLOSED"

    @property
    def absent(self) -> bool:
        """Whether no connection was ever made and none is being made just now."""
        return not self.opened_count and self.state != "CONNECTING"

    def drop(self) -> int:
        """Gives up what is pending, for good; how many events that were. `close` comes before."""
        self._reports.finish()
        with self._ring.lock:
            count = self._ring.pending_count
            self.dropped_count += count
            self._ring.settle_through(self._ring.next_seq - 1)
        return count

    # -- supervisor ---------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                delay_s = self._run_session()
            except Exception:
                # Nothing here may end the recorder of a trading engine; the next session decides.
                logger.exception("trimtab recorder: session failed")
                delay_s = self._backoff.next_s()
            if delay_s is None:
                return
            self._closing.wait(delay_s)

    def _run_session(self) -> float | None:
        """Runs one stream to its end; seconds to wait before the next one, None = never again."""
        self.state = "CONNECTING"
        session = Session(time.monotonic())
        open_stream: Any = self._channel.get().stream_stream(
            _METHOD,
            # Requests are bytes already, see wire.py; grpc takes None as "pass through".
            request_serializer=None,
            response_deserializer=event_service_pb2.StreamEventsResponse.FromString,
        )
        call: Any = open_stream(self._requests(session))
        self._call = call
        reader = threading.Thread(
            target=self._read, args=(session, call), name="trimtab-acks", daemon=True
        )
        reader.start()
        tick_s = min(1.0, self._settings.ack_timeout_s / 4)
        while not session.over.wait(tick_s):
            if session.stalled(time.monotonic(), self._settings.ack_timeout_s, self._ring):
                logger.warning("trimtab recorder: no acknowledgement, reconnecting")
                call.cancel()
        reader.join()
        return self._delay_after(session)

    def _cancel_call(self) -> None:
        call = self._call
        if call is not None:
            call.cancel()

    def _delay_after(self, session: Session) -> float | None:
        error = session.error
        if error is not None and not self._closing.is_set():
            if self.last_error is None or str(self.last_error) != str(error):
                logger.warning("trimtab recorder: stream ended: %s", error)
            self.last_error = error
        if session.acknowledged:
            self._strike_count = 0
            self._backoff.reset()
        if error is not None and self._takeovers.lost_by(error.reason):
            logger.warning(
                "trimtab recorder: stopped, a second owner of this producer id exists: %s",
                self.producer_id,
            )
            with self._ring.lock:
                self.state = "STOPPED"
                self._ring.shut()
                self._ring.settled.notify_all()
            return None
        self.state = "BACKOFF"
        if error is not None:
            self._count_strike(session, error)
        wanted_s = session.retry_after_s or (error.retry_after_s if error else None)
        return self._backoff.next_s(min(wanted_s or 0.0, _RETRY_AFTER_S_MAX))

    def _count_strike(self, session: Session, error: TrimtabError) -> None:
        """After three refusals without progress: other numbers, then smaller steps, then Lost."""
        numbers = error.reason in _NUMBERS_DISAGREE or session.numbers_unknown
        refused = error.code in (
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        )
        size = refused and error.reason in _TOO_LARGE and session.sent_count > 0
        if not numbers and not size:
            return
        self._strike_count += 1
        if self._strike_count < _STRIKE_COUNT_MAX and not session.numbers_unknown:
            return
        self._strike_count = 0
        ring = self._ring
        with ring.lock:
            if numbers:
                self.producer_id = str(uuid.uuid4())
                self._unsendable.clear()
                ring.renumber()
            elif ring.settled_count < self._suspect_through:
                self._unsendable.add(ring.first_seq)
            else:
                self._suspect_through = ring.settled_count + session.sent_count

    # -- sending ------------------------------------------------------------------------------

    def _requests(self, session: Session) -> Iterator[bytes]:
        yield wire.open_message(self.producer_id, self._source)
        while (message := self._next_message(session)) is not None:
            yield message

    def _next_message(self, session: Session) -> bytes | None:
        """Waits for something to send; None when this side of the stream is done."""
        ring = self._ring
        with ring.lock:
            while not session.ended and not session.draining:
                if not session.opened:
                    ring.work.wait()
                    continue
                message = self._due_message(session)
                if message is not None:
                    return message
                if self._closing.is_set() and not ring.unsent_count:
                    return None
                self._wait_for_work(session)
        return None

    def _due_message(self, session: Session) -> bytes | None:
        ring = self._ring
        if session.lost is not None:
            (first_seq, last_seq), session.lost = session.lost, None
            return wire.lost_message(
                first_seq, last_seq, event_pb2.LossReason.LOSS_REASON_SERVER_RESTORED
            )
        if ring.unsent_count and self._is_ripe(session):
            message = self._batch(session)
            if message is not None:
                session.linger_until_s = None
                return message
        target = self._flush_target
        sent_through = ring.settled_count + ring.in_flight_count
        if session.flushed_through < target <= sent_through and ring.settled_count < target:
            session.flushed_through = target
            return wire.flush_message()
        return None

    def _is_ripe(self, session: Session) -> bool:
        """Whether a batch may close: by count, by age, or because someone waits for it."""
        if self._flush_target > self._ring.settled_count or self._closing.is_set():
            return True
        if self._ring.unsent_count >= self._settings.batch_events_max:
            return True
        now_s = time.monotonic()
        if session.linger_until_s is None:
            session.linger_until_s = now_s + self._settings.linger_s
        return now_s >= session.linger_until_s

    def _batch(self, session: Session) -> bytes | None:
        """The next batch within window and limits; None when the window is closed."""
        ring = self._ring
        first_seq = ring.next_unsent_seq
        alone = ring.settled_count < self._suspect_through
        count_max, bytes_max = session.room(ring, self._settings, alone=alone)
        if count_max < 1:
            return None
        unsendable = first_seq in self._unsendable
        if unsendable or ring.head_bytes() + wire.EVENT_OVERHEAD_BYTES > session.batch_bytes_max:
            ring.take(1, ring.head_bytes())
            self._unsendable.add(first_seq)
            session.sent(1)
            return wire.lost_message(
                first_seq, first_seq, event_pb2.LossReason.LOSS_REASON_UNSENDABLE
            )
        was_idle = not ring.in_flight_count
        events = ring.take(count_max, bytes_max, wire.EVENT_OVERHEAD_BYTES)
        if not events:
            if not was_idle:
                return None
            # Larger than what is left of the window, and nothing in flight: one may always go.
            events = ring.take(1, ring.head_bytes())
        if was_idle:
            session.progress_s = time.monotonic()
        session.sent(len(events))
        return wire.batch_message(first_seq, events)

    def _wait_for_work(self, session: Session) -> None:
        ring = self._ring
        if not ring.unsent_count:
            ring.wait_for_unsent(1, None)
        elif session.linger_until_s is not None:
            remaining_s = session.linger_until_s - time.monotonic()
            if remaining_s > 0:
                ring.wait_for_unsent(self._settings.batch_events_max, remaining_s)
            else:
                ring.work.wait()  # the window is closed: an Ack will notify
        else:
            ring.work.wait()

    # -- receiving ----------------------------------------------------------------------------

    def _read(self, session: Session, call: Any) -> None:
        try:
            for response in call:
                session.progress_s = time.monotonic()
                which = response.WhichOneof("message")
                if which == "opened":
                    self._on_opened(session, response.opened)
                elif which == "ack":
                    self._on_ack(session, response.ack)
                elif which == "go_away":
                    self._on_go_away(session, response.go_away)
        except grpc.RpcError as error:
            session.error = error_from_rpc(error)
        except Exception:
            logger.exception("trimtab recorder: bad answer")
            call.cancel()
        finally:
            with self._ring.lock:
                session.ended = True
                self._ring.rewind()
                self._ring.work.notify_all()
            session.over.set()

    def _on_opened(self, session: Session, opened: event_service_pb2.Opened) -> None:
        ring = self._ring
        next_seq = opened.next_expected_seq
        with ring.lock:
            first_seq, end_seq = ring.first_seq, ring.next_seq
        missed: list[Rejection] = []
        if first_seq < next_seq <= end_seq:
            missed = missed_rejections(
                self._channel.get(),
                self._source,
                self.producer_id,
                range(first_seq, next_seq),
                timeout_s=min(5.0, self._settings.ack_timeout_s),
            )
        with ring.lock:
            if next_seq > end_seq:
                # Numbers that this recorder never gave: start over under a new producer id.
                session.numbers_unknown = True
                self._cancel_call()
                return
            self._settle(next_seq - 1, missed)
            if next_seq < first_seq:
                session.lost = (next_seq, first_seq - 1)
                # Told once per log: a stream that breaks before the Ack must tell it again.
                if self._lost_accounted != (opened.log_id, first_seq - 1):
                    self._lost_accounted = (opened.log_id, first_seq - 1)
                    # They are durable no more; the counts go on adding up to what was accepted.
                    forgotten = min(self.durable_count, first_seq - next_seq)
                    self.durable_count -= forgotten
                    self.lost_count += forgotten
            session.open(opened)
            self.opened_count += 1
            self.state = "OPEN"
            self.last_error = None
            ring.work.notify_all()
        self._reports.report(missed)

    def _on_ack(self, session: Session, ack: event_service_pb2.Ack) -> None:
        with self._ring.lock:
            if self._settle(ack.durable_through_seq, list(ack.rejections)):
                session.acknowledged = True
            self.duplicate_count += ack.duplicate_count
            if ack.HasField("window"):
                session.set_window(ack.window)
            self._ring.work.notify_all()
        self._reports.report(ack.rejections)

    def _on_go_away(self, session: Session, go_away: event_service_pb2.GoAway) -> None:
        with self._ring.lock:
            session.draining = True
            wait = go_away.retry_after
            session.retry_after_s = wait.seconds + wait.nanos / 1e9
            self._ring.work.notify_all()

    def _settle(self, through_seq: int, rejections: list[Rejection]) -> int:
        count = self._ring.settle_through(through_seq)
        if self.dropped_count:
            return 0  # too late: these were given up and told as such
        unsendable = {seq for seq in self._unsendable if seq <= through_seq}
        self._unsendable -= unsendable
        self.lost_count += len(unsendable)
        self.rejected_count += len(rejections)
        self.durable_count += max(0, count - len(unsendable) - len(rejections))
        return count
