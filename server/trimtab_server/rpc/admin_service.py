"""AdminService: what the server is and can do, and how it fares."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration

from trimtab.v1 import admin_service_pb2 as pb
from trimtab.v1 import admin_service_pb2_grpc, event_service_pb2
from trimtab_server.domain.events import LogInfo
from trimtab_server.errors import TrimtabError
from trimtab_server.loop.figures import Counts, Figures, Minute
from trimtab_server.loop.health import Health
from trimtab_server.loop.ingest import Ingest
from trimtab_server.loop.readers import Readers
from trimtab_server.reports import EventQueries
from trimtab_server.rpc.convert import timestamp
from trimtab_server.rpc.event_service import EventService

_DURABILITY = {
    "power_loss": pb.DURABILITY_LEVEL_POWER_LOSS,
    "process_crash": pb.DURABILITY_LEVEL_PROCESS_CRASH,
}
# Below the time that callers give: a database that hangs costs them the newest figures, no more.
_LOG_S_MAX = 1.0


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What does not change while the server runs."""

    version: str
    boot_id: str
    services: tuple[str, ...]
    limits: event_service_pb2.Limits
    durability: str
    store: str
    start_time_ns: int


class AdminService(admin_service_pb2_grpc.AdminServiceServicer):
    """Tells what the server is and how it fares."""

    def __init__(
        self,
        facts: ServerFacts,
        queries: EventQueries,
        readers: Readers,
        ingest: Ingest,
        health: Health,
        events: EventService,
        now_ns: Callable[[], int],
    ) -> None:
        """Reads the bounds of the log. Raises Unavailable when the database refuses."""
        self._facts = facts
        self._queries = queries
        self._readers = readers
        self._ingest = ingest
        self._health = health
        self._events = events
        self._now_ns = now_ns
        self._log = queries.info()

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Any) -> Any:
        """Version, identity of the log, services, limits, durability."""
        log = await self._known_log()
        facts = self._facts
        return pb.GetServerInfoResponse(
            version=facts.version,
            log_id=log.log_id,
            boot_id=facts.boot_id,
            services=facts.services,
            limits=facts.limits,
            durability=_DURABILITY[facts.durability],
            first_sequence=log.first_sequence,
            last_sequence=max(log.last_sequence, self._ingest.last_sequence),
            store=facts.store,
            server_time=timestamp(self._now_ns()),
            start_time=timestamp(facts.start_time_ns),
        )

    async def _known_log(self) -> LogInfo:
        """The log as it is, or as it was last seen when the database does not answer."""
        with contextlib.suppress(TrimtabError, TimeoutError):
            reading = self._readers.read(self._queries.info)
            self._log = await asyncio.wait_for(reading, _LOG_S_MAX)
        return self._log

    async def GetHealth(self, request: pb.GetHealthRequest, context: Any) -> Any:
        """Conditions and figures, as they are now."""
        health, figures = self._health, self._ingest.figures
        health.look()
        minute = figures.last_minute()
        response = pb.GetHealthResponse(
            ready=health.is_ready,
            queue=_queue(self._ingest),
            since_start=_counts(figures.since_start),
            last_minute=_counts(minute.counts),
            events_per_second=minute.events_per_s,
            collection_share=minute.counts.share,
            commits=_commits(minute, figures),
            store=self._facts.store,
            stream_count=self._events.stream_count,
            watcher_count=self._events.watcher_count,
            server_time=timestamp(self._now_ns()),
            uptime=_duration(figures.age_s),
        )
        for name, ok, message, since_ns in health.conditions:
            since = timestamp(since_ns)
            response.conditions.add(name=name, ok=ok, message=message, since_time=since)
        if health.disk is not None:
            response.disk.free_bytes, response.disk.total_bytes = health.disk
        return response


def _queue(ingest: Ingest) -> pb.QueueFigures:
    return pb.QueueFigures(
        event_count=ingest.events_buffered,
        bytes=ingest.bytes_buffered,
        event_count_max=ingest.limits.queue_events_max,
        bytes_max=ingest.limits.queue_bytes_max,
        oldest_age=_duration(ingest.waits().oldest_s),
    )


def _counts(counts: Counts) -> pb.CollectionFigures:
    return pb.CollectionFigures(
        stored_count=counts.stored,
        duplicate_count=counts.duplicates,
        rejected_count=counts.rejected,
        lost_count=counts.lost,
    )


def _commits(minute: Minute, figures: Figures) -> pb.CommitFigures:
    return pb.CommitFigures(
        count=minute.commit_count,
        failure_count=minute.failure_count,
        latency_p50=_duration(minute.latency_p50_s),
        latency_p99=_duration(minute.latency_p99_s),
        last_age=_duration(figures.commit_age_s),
    )


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration
