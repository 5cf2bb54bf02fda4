"""What a recorder tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FlushResult:
    """What a flush or close found.

    durable: every event accepted so far, since the recorder was made, is stored durably. One that
        was rejected, lost or dropped is not, so after it this stays False; see `settled`.
    settled: every event accepted before the call is answered: stored durably, rejected by the
        server (`rejected_count`) or declared lost (`lost_count`). Waiting longer changes nothing.
    pending_count: events accepted and not settled yet, those of after the call included.
    durable_count, rejected_count, lost_count, dropped_count, spooled_count: totals, see
        RecorderStats.
    """

    durable: bool
    settled: bool
    pending_count: int
    durable_count: int
    rejected_count: int
    lost_count: int
    dropped_count: int
    spooled_count: int = 0


@dataclass(frozen=True, slots=True)
class RecorderStats:
    """Counts since the recorder was made (in a forked child: since the fork).

    accepted_count = durable_count + rejected_count + lost_count + dropped_count + spooled_count +
    pending_count; refused events were never accepted. refused_count: by class, "BULK" and
    "RESERVED". duplicate_count: resent events that were stored before. lost_count: events that
    could not be sent, and those that a restored server had forgotten (durable no more).
    dropped_count: events that were still pending when the recorder was closed: gone, unless an
    answer of the server was on its way just then. spooled_count: those that are kept in the spool
    instead; the next start sends them. pending_bytes: bytes in memory. state: IDLE, CONNECTING,
    OPEN, BACKOFF, STOPPED (a second owner took the producer id) or CLOSED. last_error: why the
    stream is not open; "" when it is.

    spool_mode: overflow, always or off. spool_error: why the spool takes no events just now; ""
    when it does. spool_event_count: pending events that are on disk. spool_bytes: size of this
    recorder's files. adopted_count: events of earlier recorders that this one has replayed from
    their spools; they are in no other count. damaged_count: damaged events found on disk, in
    either.
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
    spooled_count: int
    spool_mode: str
    spool_error: str
    spool_event_count: int
    spool_bytes: int
    adopted_count: int
    damaged_count: int
