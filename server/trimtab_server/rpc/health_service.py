"""grpc.health.v1: whether the server is ready, the same for every service.

The library's own servicer holds a lock while it writes to a watcher: one that does not read would
keep everybody from hearing of a change.
"""

from collections.abc import Collection
from typing import Any

from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import NotFound, Overloaded, Unavailable
from trimtab_server.loop.health import STOPPING, Health

_WATCHES_MAX = 1_000


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # it has no types
    """Answers from the last judgement."""

    def __init__(self, health: Health, services: Collection[str]) -> None:
        self._health = health
        self._services = {"", *services}
        self._watch_count = 0

    async def Check(self, request: pb.HealthCheckRequest, context: Any) -> Any:
        """SERVING or NOT_SERVING. Raises NotFound for a service that is not served."""
        if request.service not in self._services:
            raise NotFound("service", "the server does not have this service")
        return pb.HealthCheckResponse(status=self._state(request.service))

    async def Watch(self, request: pb.HealthCheckRequest, context: Any) -> None:
        """The state now and at every change; ends when the server stops, so that nobody's watch
        holds up its end."""
        if self._watch_count >= _WATCHES_MAX:
            raise Overloaded(Reason.TOO_MANY_STREAMS, "too many health watches are open")
        self._watch_count += 1
        told = None
        try:
            while True:
                change, now = self._health.change, self._state(request.service)
                if now != told:
                    await context.write(pb.HealthCheckResponse(status=now))
                told = now
                if self._health.is_leaving:
                    raise Unavailable(Reason.SHUTTING_DOWN, STOPPING)
                await change.wait()
        finally:
            self._watch_count -= 1

    def _state(self, service: str) -> pb.HealthCheckResponse.ServingStatus.ValueType:
        if service not in self._services:
            return pb.HealthCheckResponse.SERVICE_UNKNOWN
        if self._health.is_ready:
            return pb.HealthCheckResponse.SERVING
        return pb.HealthCheckResponse.NOT_SERVING
