"""EventService: recording, reading, tailing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1 import event_service_pb2_grpc
from trimtab_server.domain.events import (
    Append,
    Appended,
    EventFilter,
    Producer,
    Rejection,
    StoredEvent,
    Violation,
)
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import (
    Conflict,
    InvalidRequest,
    OutOfRange,
    Overloaded,
    StreamBroken,
    TrimtabError,
    Unavailable,
)
from trimtab_server.loop.ingest import Ingest
from trimtab_server.loop.readers import Readers
from trimtab_server.reports import PAGE_BYTES_MAX, EventQueries
from trimtab_server.rpc.convert import rejection_message, sent_back, timestamp, uuid_words
from trimtab_server.rpc.event_stream import EventStream, StreamTerms
from trimtab_server.rpc.intake import Intake
from trimtab_server.rpc.requests import (
    checked_rejected,
    checked_stats,
    event_filter,
    event_order,
    page_position,
    page_size,
    page_token,
    uuid_bytes,
)

_LIST_DEFAULT = 1_000
_REJECTED_DEFAULT = 100
# Tails that read at once: a commit wakes every watcher, and lists need their turn too.
_TAIL_READS_MAX = 2
# Callers take 4 MiB: past this, rejections are told in fewer words, past twice this in none.
_REJECTIONS_BYTES_MAX = 3 << 19


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """What the service allows at once."""

    streams_max: int
    watchers_max: int
    slow_reader_s: float
    heartbeat_s: float = 10.0


class EventService(event_service_pb2_grpc.EventServiceServicer):
    """Translates between callers and the log."""

    def __init__(
        self,
        ingest: Ingest,
        intake: Intake,
        readers: Readers,
        queries: EventQueries,
        terms: StreamTerms,
        limits: ServiceLimits,
    ) -> None:
        self._ingest = ingest
        self._intake = intake
        self._readers = readers
        self._queries = queries
        self._terms = terms
        self._limits = limits
        self._streams: set[EventStream] = set()
        self._by_producer: dict[bytes, EventStream] = {}
        self._watchers: set[asyncio.Task[Any]] = set()
        self._tail_reads = asyncio.Semaphore(_TAIL_READS_MAX)
        self._is_leaving = False

    @property
    def stream_count(self) -> int:
        """Recording streams that are open."""
        return len(self._streams)

    @property
    def watcher_count(self) -> int:
        """WatchEvents calls that are open."""
        return len(self._watchers)

    def leave(self) -> None:
        """The server stops: streams settle and close, watchers end, new ones are refused."""
        self._is_leaving = True
        for stream in self._streams:
            stream.leave()
        for watcher in self._watchers:
            watcher.cancel()

    # -- recording ------------------------------------------------------------------------------

    async def RecordEvent(self, request: pb.RecordEventRequest, context: Any) -> Any:
        """Records one event."""
        if not request.HasField("event"):
            raise InvalidRequest(Violation("event", "is required"))
        taken = await self._intake.take([request.event], "event")
        result = await self._record(taken.append, taken.traceparents)
        if (rejection := result.rejections.get(0)) is not None:
            raise _as_error(rejection, "event.")
        return _recorded(request.event.event_id, result, 0)

    async def RecordEvents(self, request: pb.RecordEventsRequest, context: Any) -> Any:
        """Records several events; a result for each."""
        taken = await self._intake.take(request.events, "events")
        result = await self._record(taken.append, taken.traceparents)
        response = pb.RecordEventsResponse()
        room = _REJECTIONS_BYTES_MAX
        for index, event in enumerate(request.events):
            rejection = result.rejections.get(index)
            if rejection is None:
                response.results.add(recorded=_recorded(event.event_id, result, index))
            else:
                told = _shortened(rejection_message(rejection, 0), room)
                room -= told.ByteSize()
                response.results.add(rejection=told)
        return response

    async def _record(self, append: Append, traceparents: tuple[tuple[int, str], ...]) -> Appended:
        if all(isinstance(item, Rejection) for item in append.events):
            rejections = {
                i: item for i, item in enumerate(append.events) if isinstance(item, Rejection)
            }
            self._ingest.figures.rejected(len(rejections))
            return Appended([0] * len(append.events), rejections=rejections)
        done = await self._ingest.submit(
            append, urgent=True, waits=False, traceparents=traceparents
        )
        return await done

    async def StreamEvents(  # type: ignore[override]  # reads and writes by context
        self, request_iterator: Any, context: Any
    ) -> None:
        """Serves one engine's stream."""
        self._refuse_when_leaving()
        if len(self._streams) >= self._limits.streams_max:
            raise Overloaded(Reason.TOO_MANY_STREAMS, "too many streams are open")
        stream = EventStream(context, self._ingest, self._intake, self._terms)
        self._streams.add(stream)
        try:
            producer = await stream.open()
            # The store says first whether this one may go on.
            next_seq = await self._ingest.open_producer(producer)
            self._take_over(stream, producer)
            await stream.run(next_seq)
        finally:
            self._streams.discard(stream)
            if stream.producer and self._by_producer.get(stream.producer.producer_id) is stream:
                del self._by_producer[stream.producer.producer_id]

    def _take_over(self, stream: EventStream, producer: Producer) -> None:
        """The newer stream of a producer ends the older one."""
        older = self._by_producer.get(producer.producer_id)
        if older is not None:
            older.supersede(producer.epoch)
        self._by_producer[producer.producer_id] = stream

    # -- reading --------------------------------------------------------------------------------

    async def GetEvent(self, request: pb.GetEventRequest, context: Any) -> Any:
        """Reads one event."""
        event_id = uuid_bytes(request.event_id, "event_id")
        stored = await self._readers.read(self._queries.get, event_id)
        return pb.GetEventResponse(event=sent_back(stored))

    async def ListEvents(self, request: pb.ListEventsRequest, context: Any) -> Any:
        """Lists events, a page at a time."""
        wanted = event_filter(request.filter, "filter.")
        order = event_order(request.order)
        size = page_size(request.page_size, _LIST_DEFAULT, self._terms.limits.page_size_max)
        query = pb.ListEventsRequest(filter=request.filter, order=pb.EventOrder.Name(order))
        position = page_position(query, self._terms.log_id, request.page_token, 2)
        page = await self._readers.read(self._queries.page, wanted, order, size, position)
        return pb.ListEventsResponse(
            events=[sent_back(stored) for stored in page.events],
            next_page_token=page_token(query, self._terms.log_id, page.next_position),
        )

    async def ListRejectedEvents(self, request: pb.ListRejectedEventsRequest, context: Any) -> Any:
        """Lists what was refused on streams, newest first."""
        checked_rejected(request)
        size = page_size(request.page_size, _REJECTED_DEFAULT, 1_000)
        query = pb.ListRejectedEventsRequest(source=request.source, producer_id=request.producer_id)
        position = page_position(query, self._terms.log_id, request.page_token, 1)
        producer_id = (
            uuid_bytes(request.producer_id, "producer_id") if request.producer_id else None
        )
        rows = await self._readers.read(
            self._queries.rejected,
            request.source or None,
            producer_id,
            size + 1,
            position[0] if position else None,
        )
        response = pb.ListRejectedEventsResponse()
        byte_count = 0
        for row in rows[:size]:
            if byte_count > PAGE_BYTES_MAX:
                break
            told = response.rejected_events.add(
                reject_time=timestamp(row.reject_time_ns),
                source=row.source,
                producer_id=uuid_words(row.producer_id),
                rejection=rejection_message(row.rejection, row.producer_seq),
                event_prefix=row.rejection.prefix,
                event_bytes=row.rejection.byte_count,
            )
            byte_count += told.ByteSize()
        count = len(response.rejected_events)
        if count < len(rows):
            last = (rows[count - 1].row_id,)
            response.next_page_token = page_token(query, self._terms.log_id, last)
        return response

    async def GetStats(self, request: pb.GetStatsRequest, context: Any) -> Any:
        """Counts by kind, source and environment."""
        checked_stats(request)
        stats = await self._readers.read(
            self._queries.stats,
            request.source or None,
            request.environment or None,
            request.run_id or None,
        )
        response = pb.GetStatsResponse(
            event_count=sum(count.event_count for count in stats.counts),
            event_bytes=sum(count.byte_count for count in stats.counts),
            duplicate_count=self._ingest.duplicate_count,
            rejected_count=stats.rejected_count,
            events_buffered=self._ingest.events_buffered,
            last_sequence=self._ingest.last_sequence,
        )
        for count in stats.counts:
            response.counts.add(
                kind=count.kind,
                source=count.source,
                environment=count.environment,
                event_count=count.event_count,
                event_bytes=count.byte_count,
                last_event_time=timestamp(count.last_event_time_ns),
            )
        return response

    # -- tailing --------------------------------------------------------------------------------

    async def WatchEvents(  # type: ignore[override]  # as StreamEvents
        self, request: pb.WatchEventsRequest, context: Any
    ) -> None:
        """Tails the log; a page is read only after the one before was written."""
        self._refuse_when_leaving()
        after = await self._watch_from(request)
        wanted = event_filter(request.filter, "filter.")
        pruned = await self._readers.read(self._queries.pruned_sequence, wanted, after)
        if len(self._watchers) >= self._limits.watchers_max:
            raise Overloaded(Reason.TOO_MANY_STREAMS, "too many watchers are open")
        watcher = asyncio.current_task()
        assert watcher is not None
        self._watchers.add(watcher)
        try:
            await self._write(context, self._page([], after))
            async for page in self._pages(wanted, after, pruned):
                await self._write(context, page)
        except asyncio.CancelledError:
            if self._is_leaving and not context.cancelled():
                raise Unavailable(Reason.SHUTTING_DOWN, "the server is stopping") from None
            raise
        finally:
            self._watchers.discard(watcher)

    async def _pages(
        self, wanted: EventFilter, after: int, pruned: int
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        """Pages behind `after`; an empty one when nothing came for a while."""
        while True:
            self._refuse_when_leaving()
            # Not `wait_for`: that of Python 3.11 swallows a cancellation that meets its result.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.heartbeat_s):
                    await self._ingest.beyond(after)
            self._refuse_when_leaving()
            async with self._tail_reads:
                page = await self._readers.read(self._queries.tail, wanted, after, pruned)
            after = page.through_sequence
            response = self._page(page.events, after)
            del page  # a stalled watcher holds its page in one form only
            yield response

    def _page(self, events: Sequence[StoredEvent], through: int) -> pb.WatchEventsResponse:
        return pb.WatchEventsResponse(
            events=map(sent_back, events), through_sequence=through, log_id=self._terms.log_id
        )

    async def _write(self, context: Any, page: pb.WatchEventsResponse) -> None:
        try:
            # Not `wait_for`: its task keeps the page of a watcher that left until a collection.
            async with asyncio.timeout(self._limits.slow_reader_s):
                await context.write(page)
        except TimeoutError:
            raise Overloaded(
                Reason.SLOW_READER,
                f"no page was taken for {self._limits.slow_reader_s:g} s; resume where you were",
            ) from None

    async def _watch_from(self, request: pb.WatchEventsRequest) -> int:
        last = self._ingest.last_sequence
        if request.after_sequence > last:
            # A commit is in the log a moment before it is told here.
            last = (await self._readers.read(self._queries.info)).last_sequence
        if request.log_id and request.log_id != self._terms.log_id:
            raise StreamBroken(
                Reason.LOG_CHANGED,
                f"this is log {self._terms.log_id}, not {request.log_id[:64]}",
                metadata={"log_id": self._terms.log_id},
            )
        if request.after_sequence < 0:
            raise InvalidRequest(Violation("after_sequence", "must not be negative"))
        if request.from_now:
            if request.after_sequence:
                raise InvalidRequest(Violation("after_sequence", "must be 0 with from_now"))
            return last
        if request.after_sequence and not request.log_id:
            raise InvalidRequest(Violation("log_id", "is required with after_sequence"))
        if request.after_sequence > last:
            raise OutOfRange(
                Reason.INVALID_FIELD,
                f"the log ends at {last}",
                [Violation("after_sequence", f"lies beyond the last sequence, {last}")],
            )
        return request.after_sequence

    def _refuse_when_leaving(self) -> None:
        if self._is_leaving:
            raise Unavailable(Reason.SHUTTING_DOWN, "the server is stopping")


def _recorded(event_id: str, result: Appended, index: int) -> pb.RecordEventResponse:
    return pb.RecordEventResponse(
        event_id=event_id,
        sequence=result.sequences[index],
        duplicate=index in result.duplicates,
    )


def _shortened(told: pb.Rejection, room: int) -> pb.Rejection:
    """The rejection with fewer words when many were told before it, so that the answer fits."""
    if room < 0:
        del told.violations[1:]
    if room < -_REJECTIONS_BYTES_MAX:
        told = pb.Rejection(reason=told.reason)
    return told


def _as_error(rejection: Rejection, path: str) -> TrimtabError:
    found = [
        Violation((path + violation.field).rstrip("."), violation.description)
        for violation in rejection.violations
    ]
    if rejection.reason is Reason.ID_REUSED:
        return Conflict(rejection.reason, "event_id is stored with other content", found)
    return InvalidRequest(*found, reason=rejection.reason)
