"""The independent count: what the engine was told is accepted, against what the log holds.

The engine writes the id of every event that its recorder accepted into a plain file, in order. The
log is read back page by page. Neither side is derived from the other, so the count can fail:

lost: accepted and not in the log. doubled: in the log more than once, by id, or under another id
with the same content. foreign: in the log, never accepted. misplaced: behind an event in the log
that the engine had recorded later (order per producer).
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trimtab_client import Client, Environment, Event, EventFilter


@dataclass(frozen=True, slots=True)
class Stored:
    """An event in the log: its position, id, and a digest of what it says."""

    sequence: int
    event_id: str
    content: str


@dataclass(frozen=True, slots=True)
class Count:
    """The count; see the module. `lost_ids`: the first few."""

    accepted_count: int
    stored_count: int
    lost_count: int
    doubled_count: int
    foreign_count: int
    misplaced_count: int
    lost_ids: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing is lost, doubled, foreign or misplaced."""
        return not (
            self.lost_count or self.doubled_count or self.foreign_count or self.misplaced_count
        )

    @property
    def line(self) -> str:
        """The count in one line; it begins with "0 lost, 0 doubled" when that is so."""
        text = f"{self.lost_count:,} lost, {self.doubled_count:,} doubled"
        text += f" ({self.accepted_count:,} accepted by the engine,"
        text += f" {self.stored_count:,} of them in the log"
        text += f", {self.foreign_count:,} foreign" if self.foreign_count else ""
        order = f"{self.misplaced_count:,} out of order" if self.misplaced_count else "in order"
        return f"{text}, {order})"


def content_digest(event: Event) -> str:
    """Digest of what an event says: without its id and what the server added."""
    plain = Event()
    plain.CopyFrom(event)
    for name in ("event_id", "sequence", "ingest_time"):
        plain.ClearField(name)
    return hashlib.sha256(plain.SerializeToString(deterministic=True)).hexdigest()


def stored_events(client: Client, source: str, run_ids: Iterable[str]) -> list[Stored]:
    """What engines recorded of these runs, by sequence, read page by page: shadow outcomes are the
    sidecar's own."""
    found = [
        Stored(event.sequence, event.event_id, content_digest(event))
        for run_id in run_ids
        for event in client.iter_events(
            EventFilter(source=source, environment=Environment.ENVIRONMENT_BACKTEST, run_id=run_id),
            page_size=2000,
            timeout_s=30.0,
        )
        if event.WhichOneof("payload") != "shadow_outcome"
    ]
    return sorted(found, key=lambda stored: stored.sequence)


def independent_count(accepted: Sequence[str], stored: Sequence[Stored]) -> Count:
    """The count of these accepted ids (in the engine's order) and this log (by sequence).

    An id that the engine lists twice (recorded twice on purpose) is one event.
    """
    place: dict[str, int] = {}
    for event_id in accepted:
        place.setdefault(event_id, len(place))
    held = Counter(event.event_id for event in stored)
    lost = [event_id for event_id in place if event_id not in held]
    contents: dict[str, set[str]] = {}
    for event in stored:
        contents.setdefault(event.content, set()).add(event.event_id)
    doubled = sum(count - 1 for count in held.values())
    doubled += sum(len(ids) - 1 for ids in contents.values())
    misplaced, furthest = 0, -1
    for event in stored:
        here = place.get(event.event_id)
        if here is None:
            continue
        if here < furthest:
            misplaced += 1
        furthest = max(furthest, here)
    return Count(
        accepted_count=len(place),
        stored_count=len(stored),
        lost_count=len(lost),
        doubled_count=doubled,
        foreign_count=sum(event_id not in place for event_id in held),
        misplaced_count=misplaced,
        lost_ids=tuple(lost[:5]),
    )
