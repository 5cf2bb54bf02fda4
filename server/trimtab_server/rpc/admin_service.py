"""AdminService: what the server is and can do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trimtab.v1 import admin_service_pb2 as pb
from trimtab.v1 import admin_service_pb2_grpc, event_service_pb2
from trimtab_server.loop.readers import Readers
from trimtab_server.reports import EventQueries
from trimtab_server.rpc.convert import timestamp

_DURABILITY = {
    "power_loss": pb.DURABILITY_LEVEL_POWER_LOSS,
    "process_crash": pb.DURABILITY_LEVEL_PROCESS_CRASH,
}


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
    """Tells what the server is."""

    def __init__(
        self,
        facts: ServerFacts,
        queries: EventQueries,
        readers: Readers,
        now_ns: Callable[[], int],
    ) -> None:
        self._facts = facts
        self._queries = queries
        self._readers = readers
        self._now_ns = now_ns

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Any) -> Any:
        """Version, identity of the log, services, limits, durability."""
        log = await self._readers.read(self._queries.info)
        facts = self._facts
        return pb.GetServerInfoResponse(
            version=facts.version,
            log_id=log.log_id,
            boot_id=facts.boot_id,
            services=facts.services,
            limits=facts.limits,
            durability=_DURABILITY[facts.durability],
            first_sequence=log.first_sequence,
            last_sequence=log.last_sequence,
            store=facts.store,
            server_time=timestamp(self._now_ns()),
            start_time=timestamp(facts.start_time_ns),
        )
