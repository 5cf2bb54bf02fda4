"""The reading side: what analysts ask of the log. Load, shape, hand back; nothing is written."""

from typing import NamedTuple

from trimtab_server.domain.events import (
    EventCount,
    EventFilter,
    EventOrder,
    EventPage,
    LogInfo,
    LogPage,
    RejectedEvent,
    StoredEvent,
)
from trimtab_server.store.store import Store

# A page of a list stays well below gRPC's default message limit of 4 MiB.
PAGE_BYTES_MAX = 3 << 20
# A page of a tail: small, because a hundred stalled watchers hold one each, in several copies.
TAIL_BYTES_MAX = 64 << 10
TAIL_SPAN_MAX = 10_000


class Stats(NamedTuple):
    """Counts that match, and how many refused events are kept."""

    counts: list[EventCount]
    rejected_count: int


class EventQueries:
    """Queries over the log. Every method blocks: call it on a reader thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, event_id: bytes) -> StoredEvent:
        """The event. Raises NotFound."""
        return self._store.events.get(event_id)

    def page(
        self,
        wanted: EventFilter,
        order: EventOrder,
        event_count_max: int,
        position: tuple[int, int] | None,
    ) -> EventPage:
        """A page of the events that match."""
        return self._store.events.page(wanted, order, event_count_max, PAGE_BYTES_MAX, position)

    def tail(self, wanted: EventFilter, after: int) -> LogPage:
        """A page of the tail behind sequence `after`."""
        return self._store.events.tail(wanted, after, TAIL_SPAN_MAX, TAIL_BYTES_MAX)

    def stats(self, source: str | None, environment: int | None, run_id: str | None) -> Stats:
        """Counts; the cost does not depend on the size of the log."""
        events = self._store.events
        return Stats(events.counts(source, environment, run_id), events.rejected_count())

    def rejected(
        self, source: str | None, producer_id: bytes | None, count_max: int, before: int | None
    ) -> list[RejectedEvent]:
        """Refused events, newest first."""
        return self._store.events.rejected(source, producer_id, count_max, before)

    def info(self) -> LogInfo:
        """Identity and bounds of the log."""
        return self._store.info()
