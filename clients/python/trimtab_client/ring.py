"""The bounded ring between the engine's threads and the stream: numbers, classes, limits."""

from __future__ import annotations

import enum
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain, islice

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

WriteEvent = Callable[[bytes], bool]
"""Writes one event to the spool under the next number; False when it could not."""


class Ring:
    """Serialised events that were accepted and are not settled (durable, rejected or lost) yet.

    Numbers are contiguous from 1 and implied by the position: what was accepted is never dropped.
    Without a spool all of them are in memory. With one they lie, oldest first, in four parts:

        in flight, unsent     the head, in memory; what is sent comes from here
        damaged_count         numbers right behind it that the disk no longer holds
        stored_count          on disk only; the spooler brings them to the head
        tail                  in memory, not on disk yet; the spooler takes them there

    Every method but `offer` expects the caller to hold `lock`.

    events_max, bytes_max: limits of what is held in memory; the last fifth of each is for RESERVED.
    head_share: how much of that the head may take.
    """

    def __init__(self, events_max: int, bytes_max: int, *, head_share: float = 1.0) -> None:
        # Re-entrant: a signal handler of the engine may record while its thread is in `offer`.
        self.lock = threading.RLock()
        self.work = threading.Condition(self.lock)
        self.settled = threading.Condition(self.lock)
        self.spooling = threading.Condition(self.lock)
        self.settled_count = 0
        self.in_flight_bytes = 0
        self.damaged_count = 0
        self.stored_count = 0
        # Set while everything accepted is on disk: then the next event goes there first, at once.
        self.write: WriteEvent | None = None
        # Refuses everything, for good; whoever would set `write` looks here before.
        self.is_shut = False
        # Events up to this ordinal were written to disk (some may be settled and deleted).
        self.written_count = 0
        # So many in the tail go to disk without waiting for company.
        self.spill_count = max(1, min(512, events_max // 8))
        self._is_writing = False
        self._reserved_limits = (events_max, bytes_max)
        share = 1 - _RESERVED_SHARE
        self._bulk_limits = (int(events_max * share), int(bytes_max * share))
        self._head_limits = (max(1, int(events_max * head_share)), int(bytes_max * head_share))
        # `offer` holds the limit. A full deque would drop silently at its other end, so theirs is
        # one that is never reached, not even by a signal handler's nested `offer`.
        self._unsent: deque[bytes] = deque(maxlen=2 * events_max)
        self._in_flight: deque[bytes] = deque(maxlen=2 * events_max)
        self._tail: deque[bytes] = deque(maxlen=2 * events_max)
        self._bytes = 0
        self._tail_bytes = 0
        # A number is the count of accepted events minus this; moves with a new producer id.
        self.number_offset = 0
        self._wake_at = _NEVER

    def offer(self, data: bytes, event_class: EventClass) -> bool:
        """Accepts and numbers an event, or refuses it when its class has no room. Never waits for
        the network; for the disk only where `write` is set."""
        with self.lock:
            if self.is_shut:
                return False
            if self.write is not None:
                if not self._is_writing and self._write(data):
                    return True
                self.write = None
                self.spooling.notify_all()
            events_max, bytes_max = (
                self._bulk_limits if event_class is EventClass.BULK else self._reserved_limits
            )
            unsent, tail = self._unsent, self._tail
            held_count = len(unsent) + len(self._in_flight) + len(tail)
            held_bytes = self._bytes + len(data)
            if held_count >= events_max or held_bytes > bytes_max:
                return False
            self._bytes = held_bytes
            if self._is_behind(held_count, held_bytes):
                tail.append(data)
                self._tail_bytes += len(data)
                if len(tail) in (1, self.spill_count):
                    self.spooling.notify_all()
                return True
            unsent.append(data)
            if len(unsent) >= self._wake_at:
                self._wake_at = _NEVER
                self.work.notify_all()
        return True

    def _is_behind(self, held_count: int, held_bytes: int) -> bool:
        """Whether a new event has to queue behind the disk, or the head has no room for it."""
        events_max, bytes_max = self._head_limits
        return bool(
            self._tail
            or self.stored_count
            or self.damaged_count
            or self._is_writing
            or held_count >= events_max
            or held_bytes > bytes_max
        )

    def _write(self, data: bytes) -> bool:
        self._is_writing = True  # a nested `offer` goes behind this one, to the tail
        try:
            if self.write is None or not self.write(data):
                return False
            self.written_count += 1
            head_count = len(self._unsent) + len(self._in_flight)
            events_max, bytes_max = self._head_limits
            if (
                self.stored_count
                or self.damaged_count
                or head_count >= events_max
                or self._bytes + len(data) > bytes_max
            ):
                self.stored_count += 1
                return True
            self._unsent.append(data)
            self._bytes += len(data)
            if len(self._unsent) >= self._wake_at:
                self._wake_at = _NEVER
                self.work.notify_all()
            return True
        finally:
            self._is_writing = False

    def shut(self) -> None:
        """Refuses everything from now on."""
        self.is_shut = True
        self.write = None
        # Also for an `offer` that a signal handler's `shut` interrupts: it has looked before.
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
        """Events accepted and not settled, in memory and on disk."""
        return self.head_count + self.damaged_count + self.stored_count + len(self._tail)

    @property
    def head_count(self) -> int:
        """Events in flight or unsent."""
        return len(self._unsent) + len(self._in_flight)

    @property
    def tail_count(self) -> int:
        """Events that wait for the disk."""
        return len(self._tail)

    @property
    def pending_bytes(self) -> int:
        """Bytes of those in memory."""
        return self._bytes

    @property
    def accepted_count(self) -> int:
        """Events accepted so far."""
        return self.settled_count + self.pending_count

    @property
    def first_seq(self) -> int:
        """Number of the oldest event held (or of the next one, when none is held)."""
        return self.settled_count - self.number_offset + 1

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
        left = max(0, count)
        while left and (self._in_flight or self._unsent):
            if self._in_flight:
                size = len(self._in_flight.popleft())
                self.in_flight_bytes -= size
            else:
                size = len(self._unsent.popleft())
            self._bytes -= size
            left -= 1
        damaged = min(left, self.damaged_count)
        self.damaged_count -= damaged
        stored = min(left - damaged, self.stored_count)
        self.stored_count -= stored
        for _ in range(left - damaged - stored):
            self._drop_first_of_tail()
        if not self.head_count and not self._tail:
            self._bytes = 0  # a nested `offer` from a signal handler may have miscounted it
        if count <= 0:
            return 0
        self.settled_count += count
        self._join()
        self.settled.notify_all()
        if damaged or stored or self.stored_count:
            self.spooling.notify_all()
        return count

    def rewind(self) -> None:
        """The stream ended: everything in flight is unsent again, in order."""
        self._unsent.extendleft(reversed(self._in_flight))
        self._in_flight.clear()
        self.in_flight_bytes = 0

    def renumber(self) -> None:
        """A new producer id: what is held gets the numbers from 1."""
        self.rewind()
        self.number_offset = self.settled_count

    # -- the way over the disk ----------------------------------------------------------------

    def hold(self, first: int, last: int, number_offset: int) -> None:
        """Starts with the events of a spool on disk, the ordinals `first` to `last`."""
        self.settled_count = first - 1
        self.stored_count = last + 1 - first
        self.written_count = last
        self.number_offset = number_offset

    @property
    def spooled_count(self) -> int:
        """Events on disk that are not settled."""
        return max(0, self.written_count - self.settled_count)

    @property
    def is_written(self) -> bool:
        """Whether everything that is not settled is on disk."""
        return max(self.written_count, self.settled_count) >= self.accepted_count

    def unwritten(self, count_max: int) -> tuple[int, list[bytes]]:
        """The oldest events that are not on disk, and the ordinal of the first."""
        if self.damaged_count or self.stored_count:
            before, events = self.accepted_count - len(self._tail), iter(self._tail)
        else:
            before = self.settled_count
            events = chain(self._in_flight, self._unsent, self._tail)
        skipped = max(0, self.written_count - before)
        return before + skipped + 1, list(islice(events, skipped, skipped + count_max))

    def note_written(self, through: int) -> None:
        """Events up to this ordinal are on disk: memory lets go of those that the head has no room
        for."""
        self.written_count = max(self.written_count, through)
        self._join()
        for _ in range(through - (self.accepted_count - len(self._tail))):
            self._drop_first_of_tail()
            self.stored_count += 1

    def refill_room(self) -> tuple[int, int]:
        """Events and bytes that the head takes from the disk now; 0 events = none."""
        events_max, bytes_max = self._head_limits
        if self.damaged_count or not self.stored_count:
            return 0, 0
        count = min(events_max - self.head_count, self.stored_count)
        size = bytes_max - (self._bytes - self._tail_bytes)
        # Below half: the disk is read in large steps.
        return (count, size) if 2 * self.head_count <= events_max and size > 0 else (0, 0)

    def refill(self, first: int, events: Sequence[bytes], damaged_count: int) -> bool:
        """Takes what was read from disk, `first` being its first ordinal, and the number of damaged
        ones behind it; False when it was settled meanwhile."""
        if first != self.settled_count + self.head_count + 1 or self.damaged_count:
            return False
        self._unsent.extend(events)
        self._bytes += sum(map(len, events))
        self.damaged_count = damaged_count
        self.stored_count -= len(events) + damaged_count
        self._join()
        self._wake_at = _NEVER
        self.work.notify_all()
        return True

    def _join(self) -> None:
        """Moves the tail to the head while nothing lies between them and the head has room."""
        events_max, bytes_max = self._head_limits
        if self.stored_count or self.damaged_count:
            return
        moved = 0
        while self._tail and self.head_count < events_max:
            head_bytes = self._bytes - self._tail_bytes
            if self.head_count and head_bytes + len(self._tail[0]) > bytes_max:
                break
            data = self._tail.popleft()
            self._tail_bytes -= len(data)
            self._unsent.append(data)
            moved += 1
        if moved:
            self.work.notify_all()

    def _drop_first_of_tail(self) -> None:
        size = len(self._tail.popleft())
        self._tail_bytes -= size
        self._bytes -= size
