"""The recorder's background half: keeps one StreamEvents call alive and empties the ring into it.

Three threads share the ring's lock: the supervisor opens sessions, waits between them and cuts one
that stalls; a reader per session takes acknowledgements; grpc's own thread pulls `_requests`.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
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
from trimtab_client.strikes import Remedy, Strikes
from trimtab_client.tally import Tally

logger = logging.getLogger("trimtab_client")

_METHOD = "/trimtab.v1.EventService/StreamEvents"
_RETRY_AFTER_S_MAX = 30.0

OnRenumbered = Callable[[str, int], None]


class EventStream:
    """Sends the ring's events under one producer id until closed, or stopped by a second owner."""

    def __init__(
        self,
        ring: Ring,
        channel: LazyChannel,
        source: str,
        settings: RecorderSettings,
        on_rejected: OnRejected | None,
        *,
        producer_id: str = "",
        epoch: int = 1,
    ) -> None:
        """producer_id, epoch: of an adopted spool; default: a new producer."""
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
        self._strikes = Strikes()
        self._epoch = epoch
        self._flush_target = 0
        self.producer_id = producer_id or str(uuid.uuid4())
        self.state = "IDLE"
        self.last_error: TrimtabError | None = None
        # Told a new producer id and the ring's number_offset before either is on the wire, without
        # the ring's lock.
        self.on_renumbered: OnRenumbered | None = None
        self.tally = Tally()
        self.opened_count = 0
        # Set once the first stream is open, and when none will be.
        self.first_opened = threading.Event()

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
            self.first_opened.set()
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

    def give_up(self, spooled_count: int) -> int:
        """Ends what is pending: so many of it are kept in the spool, the others are gone; how many
        those are. `close` comes before."""
        self._reports.finish()
        with self._ring.lock:
            return self.tally.give_up(self._ring, spooled_count)

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
        try:
            channel = self._channel.get()
        except TrimtabError as error:
            session.error = error
            return self._delay_after(session)
        open_stream: Any = channel.stream_stream(
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
            self._strikes.reset()
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
            self.first_opened.set()
            return None
        self.state = "BACKOFF"
        if error is not None:
            self._count_strike(session, error)
        wanted_s = session.retry_after_s or (error.retry_after_s if error else None)
        return self._backoff.next_s(min(wanted_s or 0.0, _RETRY_AFTER_S_MAX))

    def _count_strike(self, session: Session, error: TrimtabError) -> None:
        """After three refusals without progress: other numbers, then smaller steps, then Lost."""
        ring = self._ring
        with ring.lock:
            remedy = self._strikes.count(session, error, ring.settled_count)
            if remedy is Remedy.DECLARE_LOST:
                self.tally.unsendable.add(ring.first_seq)
            elif remedy is Remedy.RENUMBER:
                self.producer_id, self._epoch = str(uuid.uuid4()), 1
                self.tally.unsendable.clear()
                ring.renumber()
        if remedy is Remedy.RENUMBER and self.on_renumbered is not None:
            # It syncs a file: `record` must not wait. This thread opens the next stream after it.
            self.on_renumbered(self.producer_id, ring.number_offset)

    # -- sending ------------------------------------------------------------------------------

    def _requests(self, session: Session) -> Iterator[bytes]:
        yield wire.open_message(self.producer_id, self._source, self._epoch)
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
        if ring.damaged_count and not ring.head_count and not session.damage_sent:
            session.damage_sent = self.tally.is_damage_told = True
            last_seq = ring.first_seq + ring.damaged_count - 1
            return wire.lost_message(
                ring.first_seq, last_seq, event_pb2.LossReason.LOSS_REASON_SPOOL_DAMAGED
            )
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
        alone = ring.settled_count < self._strikes.suspect_through
        count_max, bytes_max = session.room(ring, self._settings, alone=alone)
        if count_max < 1:
            return None
        unsendable = first_seq in self.tally.unsendable
        if unsendable or ring.head_bytes() + wire.EVENT_OVERHEAD_BYTES > session.batch_bytes_max:
            ring.take(1, ring.head_bytes())
            self.tally.unsendable.add(first_seq)
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
            known_count = self.tally.settle(ring, next_seq - 1, missed)
            if not self.opened_count:
                self.tally.known_count = known_count
            if next_seq < first_seq:
                session.lost = (next_seq, first_seq - 1)
                if self.tally.forget(opened.log_id, *session.lost):
                    logger.warning(
                        "trimtab recorder: the server forgot the numbers %d to %d, as after a"
                        " restore; they are declared lost",
                        *session.lost,
                    )
            session.open(opened)
            self.opened_count += 1
            self.state = "OPEN"
            self.last_error = None
            self.first_opened.set()
            ring.work.notify_all()
        self._reports.report(missed)

    def _on_ack(self, session: Session, ack: event_service_pb2.Ack) -> None:
        with self._ring.lock:
            if self.tally.settle(self._ring, ack.durable_through_seq, ack.rejections):
                session.acknowledged = True
            self.tally.duplicate_count += ack.duplicate_count
            session.damage_sent = session.damage_sent and self._ring.damaged_count > 0
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
