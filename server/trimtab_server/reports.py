"""The reading side: what analysts ask of the log. Load, shape, hand back; nothing is written."""

from contextlib import closing
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
from trimtab_server.domain.reasons import Reason
from trimtab_server.domain.reports.questions import KeptReport
from trimtab_server.errors import ConfigurationError, OutOfRange, Unavailable
from trimtab_server.store.ledger_reader import LedgerReader, open_ledger
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

    def tail(self, wanted: EventFilter, after: int, known_pruned: int) -> LogPage:
        """A page of the tail behind sequence `after`. Raises OutOfRange (SEQUENCE_PRUNED) when
        retention went on beyond `known_pruned` and took what the page would have held."""
        page = self._store.events.tail(wanted, after, TAIL_SPAN_MAX, TAIL_BYTES_MAX)
        if page.pruned_sequence > max(after, known_pruned):
            raise _pruned(after, page.pruned_sequence)
        return page

    def pruned_sequence(self, wanted: EventFilter, after: int) -> int:
        """The last sequence at which an event of a wanted kind was pruned, or 0. Raises OutOfRange
        (SEQUENCE_PRUNED) when that lies behind `after`, unless that is 0: who reads from the
        beginning begins with what is kept."""
        pruned = self._store.events.pruned_through(wanted.kinds)
        if 0 < after < pruned:
            raise _pruned(after, pruned)
        return pruned

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


class KeptReports:
    """Learning reports that were made on schedule. Every method blocks: call it on a reader
    thread."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, report_id: str) -> KeptReport:
        """One of them, whole. Raises NotFound and Unavailable."""
        with closing(self._opened()) as reader:
            return KeptReport(*reader.get_report(report_id))

    def page(
        self, environment: int, before: tuple[int, str] | None, count: int
    ) -> list[KeptReport]:
        """Up to `count` of an environment (0 = of all), newest first, behind the one that was made
        at `before` (time, id); without their bodies. Raises Unavailable."""
        with closing(self._opened()) as reader:
            found = reader.list_reports(environment or None, before, count)
        return [KeptReport(*each) for each in found]

    def _opened(self) -> LedgerReader:
        try:
            return open_ledger(self._url)
        except ConfigurationError as error:
            # It was there when the sidecar started.
            raise Unavailable(Reason.STORE_UNAVAILABLE, str(error)) from error


def _pruned(after: int, pruned: int) -> OutOfRange:
    return OutOfRange(
        Reason.SEQUENCE_PRUNED,
        f"retention has pruned events behind {after}; nothing is missing from {pruned + 1} on",
        metadata={"first_sequence": str(pruned + 1)},
    )
