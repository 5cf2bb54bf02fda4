"""The state of one StreamEvents call. Guarded by the ring's lock, but for `over` and `error`."""

from __future__ import annotations

import threading

from trimtab.v1 import event_service_pb2
from trimtab_client.errors import TrimtabError
from trimtab_client.ring import Ring
from trimtab_client.settings import RecorderSettings


class Session:
    """What one stream was told and has sent."""

    def __init__(self, now_s: float) -> None:
        self.over = threading.Event()
        self.error: TrimtabError | None = None
        self.opened = False
        self.ended = False
        self.draining = False
        self.acknowledged = False
        # The server expects a number that this producer never gave.
        self.numbers_unknown = False
        self.retry_after_s: float | None = None
        # Numbers to declare lost before anything else is sent: first, last.
        self.lost: tuple[int, int] | None = None
        # Whether damaged numbers were declared lost and the answer is due.
        self.damage_sent = False
        self.linger_until_s: float | None = None
        self.flushed_through = 0
        self.sent_count = 0
        # Last sign of life, monotonic seconds.
        self.progress_s = now_s
        self.batch_events_max = 1
        self.batch_bytes_max = 1
        self._window_events = 0
        self._window_bytes = 0

    def open(self, opened: event_service_pb2.Opened) -> None:
        """The server is ready and said what it takes."""
        self.opened = True
        self.batch_events_max = max(1, opened.limits.batch_events_max)
        self.batch_bytes_max = max(1, opened.limits.batch_bytes_max)
        self.set_window(opened.window)

    def set_window(self, window: event_service_pb2.Window) -> None:
        """What may be in flight from now on: events and bytes."""
        self._window_events = window.event_count
        self._window_bytes = window.bytes

    def sent(self, count: int) -> None:
        """Counts what was handed to grpc."""
        self.sent_count += count

    def room(self, ring: Ring, settings: RecorderSettings, *, alone: bool) -> tuple[int, int]:
        """Events and bytes that the next batch may hold; 0 events = wait for an Ack.

        alone: one event in flight at a time. With nothing in flight one batch is always allowed,
        and of that allowance one event is used: a closed window means that the server is busy.
        """
        in_flight = ring.in_flight_count
        if alone:
            return (0 if in_flight else 1), self.batch_bytes_max
        count = self._window_events - in_flight
        size = self._window_bytes - ring.in_flight_bytes
        if not in_flight:
            count = max(1, count)
        count = min(count, self.batch_events_max, settings.batch_events_max)
        return count, min(size, self.batch_bytes_max, settings.batch_bytes_max)

    def stalled(self, now_s: float, timeout_s: float, ring: Ring) -> bool:
        """Whether the server owes an answer for longer than `timeout_s`."""
        owes = not self.opened or self.draining or ring.in_flight_count > 0 or self.damage_sent
        return owes and now_s - self.progress_s > timeout_s
