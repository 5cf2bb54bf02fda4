"""The bounded ring between the engine's threads and the stream: numbers, classes, limits."""

from __future__ import annotations

import enum
import sys
import threading
from collections import deque

from trimtab_client.event import EventKind


class EventClass(enum.Enum):
    """Who may use the last fifth of the ring."""

    BULK = "BULK"
    RESERVED = "RESERVED"


# The one table of classes. RESERVED: what cannot be had again and what money hangs on.
# BULK: what is frequent, or can be bought, recomputed or simulated again.
EVENT_CLASSES: dict[int, EventClass] = {
    EventKind.EVENT_KIND_SIGNAL: EventClass.BULK,
    EventKind.EVENT_KIND_DECISION: EventClass.RESERVED,
    EventKind.EVENT_KIND_ORDER_UPDATE: EventClass.RESERVED,
    EventKind.EVENT_KIND_EXECUTION: EventClass.RESERVED,
    EventKind.EVENT_KIND_EXECUTION_FAILURE: EventClass.RESERVED,
    EventKind.EVENT_KIND_POSITION_UPDATE: EventClass.BULK,
    EventKind.EVENT_KIND_ACCOUNT_SNAPSHOT: EventClass.BULK,
    EventKind.EVENT_KIND_OUTCOME: EventClass.RESERVED,
    EventKind.EVENT_KIND_SHADOW_OUTCOME: EventClass.BULK,
    EventKind.EVENT_KIND_PREDICTION: EventClass.BULK,
    EventKind.EVENT_KIND_MARKET_BAR: EventClass.BULK,
    EventKind.EVENT_KIND_MARKET_TICK: EventClass.BULK,
    EventKind.EVENT_KIND_CORPORATE_ACTION: EventClass.BULK,
    EventKind.EVENT_KIND_REGIME_CHANGE: EventClass.BULK,
    EventKind.EVENT_KIND_RISK_BREACH: EventClass.RESERVED,
    EventKind.EVENT_KIND_METRIC_RECORDED: EventClass.BULK,
    EventKind.EVENT_KIND_RECORDER_LOSS: EventClass.BULK,
}

_RESERVED_SHARE = 0.2
_NEVER = sys.maxsize


class Ring:
    """Serialised events that were accepted and are not settled (durable, rejected or lost) yet.

    Numbers are contiguous from 1 and implied by the position: what was accepted is never dropped.
    Every method but `offer` expects the caller to hold `lock`.

    events_max, bytes_max: limits of what is held; the last fifth of each is for RESERVED.
    """

    def __init__(self, events_max: int, bytes_max: int) -> None:
        # Re-entrant: a signal handler of the engine may record while its thread is in `offer`.
        self.lock = threading.RLock()
        self.work = threading.Condition(self.lock)
        self.settled = threading.Condition(self.lock)
        self.settled_count = 0
        self.in_flight_bytes = 0
        self._reserved_limits = (events_max, bytes_max)
        share = 1 - _RESERVED_SHARE
        self._bulk_limits = (int(events_max * share), int(bytes_max * share))
        # `offer` holds the limit. A full deque would drop silently at its other end, so theirs is
        # one that is never reached, not even by a signal handler's nested `offer`.
        self._unsent: deque[bytes] = deque(maxlen=2 * events_max)
        self._in_flight: deque[bytes] = deque(maxlen=2 * events_max)
        self._bytes = 0
        # A number is the count of accepted events minus this; moves with a new producer id.
        self._number_offset = 0
        self._wake_at = _NEVER

    def offer(self, data: bytes, event_class: EventClass) -> bool:
        """Accepts and numbers an event, or refuses it when its class has no room. Never waits."""
        with self.lock:
            events_max, bytes_max = (
                self._bulk_limits if event_class is EventClass.BULK else self._reserved_limits
            )
            unsent = self._unsent
            held_bytes = self._bytes + len(data)
            if len(unsent) + len(self._in_flight) >= events_max or held_bytes > bytes_max:
                return False
            unsent.append(data)
            self._bytes = held_bytes
            if len(unsent) >= self._wake_at:
                self._wake_at = _NEVER
                self.work.notify_all()
        return True

    def shut(self) -> None:
        """Refuses everything from now on."""
        self._bulk_limits = self._reserved_limits = (-1, -1)

    def wait_for_unsent(self, count: int, timeout_s: float | None) -> None:
        """Waits until `count` events are unsent, `work` is notified otherwise, or time is up."""
        self._wake_at = count
        if len(self._unsent) < count:
            self.work.wait(timeout_s)
        self._wake_at = _NEVER

    @property
    def unsent_count(self) -> int:
        """Events not handed to the current stream."""
        return len(self._unsent)

    @property
    def in_flight_count(self) -> int:
        """Events handed to the current stream and not settled."""
        return len(self._in_flight)

    @property
    def pending_count(self) -> int:
        """Events accepted and not settled."""
        return len(self._unsent) + len(self._in_flight)

    @property
    def pending_bytes(self) -> int:
        """Their bytes."""
        return self._bytes

    @property
    def accepted_count(self) -> int:
        """Events accepted so far."""
        return self.settled_count + self.pending_count

    @property
    def first_seq(self) -> int:
        """Number of the oldest event held (or of the next one, when none is held)."""
        return self.settled_count - self._number_offset + 1

    @property
    def next_unsent_seq(self) -> int:
        """Number of the oldest unsent event."""
        return self.first_seq + len(self._in_flight)

    @property
    def next_seq(self) -> int:
        """Number that the next accepted event gets."""
        return self.first_seq + self.pending_count

    def head_bytes(self) -> int:
        """Size of the oldest unsent event; 0 when there is none."""
        return len(self._unsent[0]) if self._unsent else 0

    def take(self, count_max: int, bytes_max: int, overhead_bytes: int = 0) -> list[bytes]:
        """Moves the oldest unsent events into flight, within both limits."""
        taken: list[bytes] = []
        size = 0
        unsent = self._unsent
        while unsent and len(taken) < count_max:
            size += len(unsent[0]) + overhead_bytes
            if size > bytes_max:
                break
            taken.append(unsent.popleft())
        self._in_flight.extend(taken)
        self.in_flight_bytes += sum(map(len, taken))
        return taken

    def settle_through(self, seq: int) -> int:
        """Frees everything numbered up to `seq`; returns how many events that were."""
        count = min(seq - self.first_seq + 1, self.pending_count)
        for _ in range(count):
            if self._in_flight:
                size = len(self._in_flight.popleft())
                self.in_flight_bytes -= size
            else:
                size = len(self._unsent.popleft())
            self._bytes -= size
        if not self.pending_count:
            self._bytes = 0  # a nested `offer` from a signal handler may have miscounted it
        if count <= 0:
            return 0
        self.settled_count += count
        self.settled.notify_all()
        return count

    def rewind(self) -> None:
        """The stream ended: everything in flight is unsent again, in order."""
        self._unsent.extendleft(reversed(self._in_flight))
        self._in_flight.clear()
        self.in_flight_bytes = 0

    def renumber(self) -> None:
        """A new producer id: what is held gets the numbers from 1."""
        self.rewind()
        self._number_offset = self.settled_count
