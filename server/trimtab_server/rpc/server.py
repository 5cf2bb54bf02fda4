"""The gRPC server: services, health, reflection, channel options."""

from collections.abc import Sequence
from typing import Any

import grpc
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from trimtab.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    event_service_pb2,
    event_service_pb2_grpc,
    report_service_pb2,
    report_service_pb2_grpc,
    signal_gate_service_pb2,
    signal_gate_service_pb2_grpc,
)
from trimtab_server.domain.access import TlsKeys
from trimtab_server.loop.health import Health
from trimtab_server.rpc.admin_service import AdminService
from trimtab_server.rpc.event_service import EventService
from trimtab_server.rpc.health_service import HealthService
from trimtab_server.rpc.report_service import ReportService
from trimtab_server.rpc.signal_gate_service import SignalGateService

EVENT_SERVICE = event_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name
ADMIN_SERVICE = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name
GATE_SERVICE = signal_gate_service_pb2.DESCRIPTOR.services_by_name["SignalGateService"].full_name
REPORT_SERVICE = report_service_pb2.DESCRIPTOR.services_by_name["ReportService"].full_name
SERVICES = (ADMIN_SERVICE, EVENT_SERVICE, GATE_SERVICE, REPORT_SERVICE)

_MESSAGE_OVERHEAD = 1 << 20


class GrpcServer:
    """Binds, serves, and stops in good order."""

    def __init__(
        self,
        address: str,
        events: EventService,
        gate: SignalGateService,
        admin: AdminService,
        health: Health,
        interceptors: Sequence[Any],
        batch_bytes_max: int,
        *,
        with_reflection: bool,
        reports: ReportService,
        tls: TlsKeys | None = None,
    ) -> None:
        """Binds `address` (host:port or unix:/path). Raises RuntimeError when it is taken."""
        options = [
            ("grpc.max_receive_message_length", batch_bytes_max + _MESSAGE_OVERHEAD),
            # Two sidecars must never share a port by accident.
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        self._server = grpc.aio.server(interceptors=interceptors, options=options)
        self._events = events
        self._gate = gate
        self._reports = reports
        self._health = health
        event_service_pb2_grpc.add_EventServiceServicer_to_server(events, self._server)
        signal_gate_service_pb2_grpc.add_SignalGateServiceServicer_to_server(gate, self._server)
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(admin, self._server)
        report_service_pb2_grpc.add_ReportServiceServicer_to_server(reports, self._server)
        states = HealthService(health, SERVICES)
        health_pb2_grpc.add_HealthServicer_to_server(states, self._server)
        if with_reflection:
            names = (*SERVICES, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        port = self._bind(address, tls)
        host = address.rpartition(":")[0]
        self.address = address if address.startswith("unix:") else f"{host}:{port}"

    def _bind(self, address: str, tls: TlsKeys | None) -> int:
        """The port; without `tls` what is said can be read on its way."""
        if tls is None:
            return self._server.add_insecure_port(address)
        pairs = [(tls.key, tls.certificate)]
        # gRPC either requires client certificates or does not ask for them.
        required = bool(tls.client_ca)
        credentials = grpc.ssl_server_credentials(pairs, tls.client_ca or None, required)
        return self._server.add_secure_port(address, credentials)

    async def start(self) -> None:
        """Serves; its health is judged from now on."""
        await self._server.start()
        self._health.start()

    async def stop(self, grace_s: float) -> None:
        """NOT_SERVING, GoAway, last acknowledgements, close; at most `grace_s` seconds."""
        self._health.leave()
        self._events.leave()
        self._gate.leave()
        self._reports.leave()
        await self._server.stop(grace_s)
        await self._health.stop()
