"""Reading the log: by id, by filter in pages, by sequence as a tail; counts; rejected events."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, and_, cast, func, or_
from sqlalchemy import select as sql_select
from sqlmodel import col, select

from trimtab_server.domain.events import (
    EventCount,
    EventFilter,
    EventOrder,
    EventPage,
    LogPage,
    RejectedEvent,
    StoredEvent,
)
from trimtab_server.errors import NotFound
from trimtab_server.store.claims import PRUNED_KIND, PRUNED_TIME_NS
from trimtab_server.store.database import Database
from trimtab_server.store.rejections import rejection_of
from trimtab_server.store.retention import pruned_through
from trimtab_server.store.tables import EventCountRow, EventRow, LogRow, RejectedEventRow

_SEQUENCE = col(EventRow.sequence)
_EVENT_TIME = col(EventRow.event_time_ns)
_BODY = (_SEQUENCE, col(EventRow.ingest_time_ns), col(EventRow.body))


class Events:
    """The reading side of the log. Every method is one read-only snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, event_id: bytes) -> StoredEvent:
        """The event. Raises NotFound."""
        query = select(*_BODY, col(EventRow.kind)).where(col(EventRow.event_id) == event_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("event_id", f"no event has the id {UUID(bytes=event_id)}")
        if row.kind == PRUNED_KIND:
            raise NotFound("event_id", f"the event {UUID(bytes=event_id)} was pruned")
        return StoredEvent(*row[:3])

    def page(
        self,
        wanted: EventFilter,
        order: EventOrder,
        event_count_max: int,
        byte_count_max: int,
        position: tuple[int, int] | None,
    ) -> EventPage:
        """Up to `event_count_max` events that match, behind `position` (event time, sequence) in
        `order`; the page also ends before `byte_count_max`, but holds at least one event."""
        by_time = order in (EventOrder.EVENT_TIME, EventOrder.EVENT_TIME_DESC)
        descending = order in (EventOrder.SEQUENCE_DESC, EventOrder.EVENT_TIME_DESC)
        keys = [_EVENT_TIME, _SEQUENCE] if by_time else [_SEQUENCE]
        query = select(*_BODY, _EVENT_TIME).where(*_conditions(wanted))
        if by_time:
            query = query.where(_EVENT_TIME > PRUNED_TIME_NS)
        if position is not None:
            query = query.where(_behind(position, by_time=by_time, descending=descending))
        query = query.order_by(*(key.desc() if descending else key.asc() for key in keys))
        events: list[StoredEvent] = []
        last: tuple[int, int] | None = None
        more = False
        byte_count = 0
        with self._database.reading() as connection:
            rows = connection.execution_options(yield_per=256).execute(
                query.limit(event_count_max + 1)
            )
            for sequence, ingest_time_ns, body, event_time_ns in rows:
                byte_count += len(body)
                if len(events) == event_count_max or (events and byte_count > byte_count_max):
                    more = True
                    rows.close()
                    break
                events.append(StoredEvent(sequence, ingest_time_ns, body))
                last = (event_time_ns, sequence)
        return EventPage(events, last if more else None)

    def tail(self, wanted: EventFilter, after: int, span_max: int, byte_count_max: int) -> LogPage:
        """Events that match among the `span_max` sequences behind `after`; the page ends before
        `byte_count_max`, but holds at least one event where one matches."""
        events: list[StoredEvent] = []
        byte_count = 0
        with self._database.reading() as connection:
            last = connection.scalar(select(col(LogRow.last_sequence))) or 0
            pruned = pruned_through(connection, wanted.kinds)
            through = max(after, min(last, after + span_max))
            query = (
                select(*_BODY)
                .where(_SEQUENCE > after, _SEQUENCE <= through, *_conditions(wanted))
                .order_by(_SEQUENCE)
            )
            for row in connection.execute(query):
                byte_count += len(row.body)
                if events and byte_count > byte_count_max:
                    through = events[-1].sequence
                    break
                events.append(StoredEvent(*row))
        return LogPage(events, through, pruned)

    def pruned_through(self, kinds: Sequence[int]) -> int:
        """The last sequence at which an event of one of `kinds` (empty = any) was pruned, or 0."""
        with self._database.reading() as connection:
            return pruned_through(connection, kinds)

    def counts(
        self, source: str | None, environment: int | None, run_id: str | None
    ) -> list[EventCount]:
        """Counts by kind, source and environment, largest first."""
        table = EventCountRow
        keys = (col(table.kind), col(table.source), col(table.environment))
        # Postgres sums BIGINT to NUMERIC, which arrives as Decimal.
        total = cast(func.sum(col(table.event_count)), BigInteger)
        byte_total = cast(func.sum(col(table.byte_count)), BigInteger)
        last_time_ns = func.max(col(table.last_event_time_ns))
        query = sql_select(*keys, total, byte_total, last_time_ns).group_by(*keys)
        for column, value in (
            (col(table.source), source),
            (col(table.environment), environment),
            (col(table.run_id), run_id),
        ):
            if value is not None:
                query = query.where(column == value)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(total.desc(), *keys)).all()
        return [EventCount(*row) for row in rows]

    def rejected(
        self, source: str | None, producer_id: bytes | None, count_max: int, before: int | None
    ) -> list[RejectedEvent]:
        """Up to `count_max` refused events, newest first, older than row `before`."""
        table = RejectedEventRow
        query = select(table).order_by(col(table.row_id).desc()).limit(count_max)
        if source is not None:
            query = query.where(col(table.source) == source)
        if producer_id is not None:
            query = query.where(col(table.producer_id) == producer_id)
        if before is not None:
            query = query.where(col(table.row_id) < before)
        with self._database.reading() as connection:
            return [_rejected(row) for row in connection.execute(query)]

    def rejected_count(self) -> int:
        """How many refused events are kept."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count(col(RejectedEventRow.row_id)))) or 0


def _rejected(row: Any) -> RejectedEvent:
    return RejectedEvent(
        row.row_id,
        row.reject_time_ns,
        row.source,
        row.producer_id,
        row.producer_seq,
        rejection_of(
            row.event_id, row.reason, row.violations, row.event_prefix, row.event_byte_count
        ),
    )


def _behind(position: tuple[int, int], *, by_time: bool, descending: bool) -> ColumnElement[bool]:
    event_time_ns, sequence = position
    next_sequence = _SEQUENCE < sequence if descending else _SEQUENCE > sequence
    if not by_time:
        return next_sequence
    if descending:
        return and_(_EVENT_TIME <= event_time_ns, or_(_EVENT_TIME < event_time_ns, next_sequence))
    return and_(_EVENT_TIME >= event_time_ns, or_(_EVENT_TIME > event_time_ns, next_sequence))


def _conditions(wanted: EventFilter) -> list[ColumnElement[bool]]:
    exact = {
        EventRow.source: wanted.source,
        EventRow.environment: wanted.environment,
        EventRow.run_id: wanted.run_id,
        EventRow.strategy: wanted.strategy,
        EventRow.symbol: wanted.symbol,
        EventRow.signal_id: wanted.signal_id,
    }
    conditions = [col(c) == value for c, value in exact.items() if value is not None]
    if len(wanted.kinds) == 1:
        conditions.append(col(EventRow.kind) == wanted.kinds[0])
    elif wanted.kinds:
        conditions.append(col(EventRow.kind).in_(wanted.kinds))
    else:
        conditions.append(col(EventRow.kind) != PRUNED_KIND)
    if wanted.start_time_ns is not None:
        conditions.append(_EVENT_TIME >= wanted.start_time_ns)
    if wanted.end_time_ns is not None:
        conditions.append(_EVENT_TIME < wanted.end_time_ns)
    if wanted.known_at_ns is not None:
        conditions.append(col(EventRow.available_time_ns) <= wanted.known_at_ns)
    return conditions
