"""A sidecar inside your test: real gRPC on a loopback port or unix socket, memory only.

    with FakeSidecar() as fake:
        tt = trimtab_client.connect(source="a", environment="PAPER", address=fake.address)
        tt.signal(signal_id="s1", symbol="AAPL", side="BUY")
        tt.flush()
        assert fake.events(kind="SIGNAL")[0].symbol == "AAPL"

Recorders that connect to it from the same process have no spool, unless their settings tell one.
What it takes and refuses is the contract's numbering and a few of its field rules.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import grpc

from trimtab.v1 import event_service_pb2
from trimtab_client.channel import FAKE_ADDRESSES
from trimtab_client.event import EVENT_KIND, KIND_OF_PAYLOAD, Event, Word
from trimtab_client.fake_gate import FakeGate
from trimtab_client.fake_log import FakeLog, Refusal
from trimtab_client.fake_services import (
    StreamControl,
    admin_handler,
    event_handler,
    gate_handler,
    health_handler,
)

_THREAD_COUNT = 32


@dataclass(slots=True)
class Fault:
    """The next `count` calls of `rpc` ("" = any) end with `refusal`."""

    refusal: Refusal
    rpc: str
    count: int


class FakeSidecar:
    """Implements EventService, SignalGateService, AdminService and health as the contract says, in
    memory. `gate` has the gate's rules: `set_trading_state`, `trip`, `clear`. It has no ledger, so
    ReportService is not there: its calls raise Unimplemented.

    Faults: `stop`/`start` (memory is kept), `fail_next`, `drop_acks`, `cut_streams`, `go_away`,
    `restore`, `serving`. Limits and window may be changed at any time; they are told at the next
    stream or Ack.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:0",
        *,
        window_events: int = 10_000,
        window_bytes: int = 8 * 1024 * 1024,
        event_bytes_max: int = 1024 * 1024,
        batch_events_max: int = 2_000,
        batch_bytes_max: int = 2 * 1024 * 1024,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """address: "host:port" (port 0 = a free one, kept over stop and start) or "unix:/path"."""
        self.address = address
        self.limits = event_service_pb2.Limits(
            event_bytes_max=event_bytes_max,
            batch_events_max=batch_events_max,
            batch_bytes_max=batch_bytes_max,
            page_size_max=1_000,
        )
        self.limits.future_skew_max.seconds = 5
        self.window = event_service_pb2.Window(event_count=window_events, bytes=window_bytes)
        self.log = FakeLog(event_bytes_max, now_ns)
        self.now_ns = now_ns
        self.gate = FakeGate(self.log, now_ns)
        self.drop_acks = False
        self.serving = True
        self.opened_count = 0
        self.batch_sizes: list[int] = []
        self.producer_ids: list[str] = []
        self._streams: set[StreamControl] = set()
        self._faults: list[Fault] = []
        self._server: grpc.Server | None = None
        self._executor: futures.ThreadPoolExecutor | None = None

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listens, at the same address as before. RuntimeError when it cannot."""
        if self._server is not None:
            return self
        self._executor = futures.ThreadPoolExecutor(_THREAD_COUNT, "fake-sidecar")
        server = grpc.server(
            self._executor,
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", 64 * 1024 * 1024),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ],
        )
        server.add_generic_rpc_handlers(
            (event_handler(self), gate_handler(self), admin_handler(self), health_handler(self))
        )
        port = server.add_insecure_port(self.address)
        if self.address.endswith(":0"):
            self.address = f"{self.address[:-2]}:{port}"
        server.start()
        FAKE_ADDRESSES.add(self.address)
        self._server = server
        return self

    def stop(self) -> None:
        """Cuts every connection at once, as a crash would; what was recorded is kept."""
        server, self._server = self._server, None
        executor, self._executor = self._executor, None
        if server is None or executor is None:
            return
        server.stop(grace=None).wait()
        executor.shutdown(wait=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # -- what was recorded --------------------------------------------------------------------

    def events(self, kind: Word | None = None) -> list[Event]:
        """The log in order, or its events of one kind ("SIGNAL")."""
        with self.log.changed:
            logged = list(self.log.events)
        if kind is None:
            return logged
        number = EVENT_KIND(kind, "kind")
        return [e for e in logged if KIND_OF_PAYLOAD[e.WhichOneof("payload") or ""] == number]

    @property
    def rejected(self) -> list[event_service_pb2.RejectedEvent]:
        """What was rejected on streams, oldest first."""
        with self.log.changed:
            return list(self.log.rejected)

    def wait_for_events(self, count: int, timeout: float = 10.0) -> bool:
        """Whether the log holds `count` events within `timeout` seconds."""
        with self.log.changed:
            return self.log.changed.wait_for(lambda: len(self.log.events) >= count, timeout)

    # -- faults -------------------------------------------------------------------------------

    def fail_next(
        self,
        code: grpc.StatusCode | str,
        reason: str = "",
        count: int = 1,
        *,
        rpc: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        """The next `count` calls (of `rpc`, e.g. "GetEvent", else any) fail. reason: an ErrorReason
        without prefix; "" = a status without details, as the transport makes them. A stream fails
        at its opening. retry_after_s: sent as RetryInfo."""
        status = grpc.StatusCode[code] if isinstance(code, str) else code
        refusal = Refusal(status, reason, retry_after_s=retry_after_s)
        with self.log.changed:
            self._faults.append(Fault(refusal, rpc, count))

    def take_fault(self, rpc: str) -> None:
        """Raises the fault that waits for this call, if any."""
        with self.log.changed:
            for fault in self._faults:
                if fault.count > 0 and fault.rpc in ("", rpc):
                    fault.count -= 1
                    raise fault.refusal

    def cut_streams(self) -> None:
        """Ends every open StreamEvents call with UNAVAILABLE, whatever is in flight."""
        with self.log.changed:
            streams = list(self._streams)
        for stream in streams:
            stream.cut.set()
            stream.inbox.put(None)

    def go_away(self, retry_after_s: float = 0.0) -> None:
        """Tells every open stream to go; what arrives is still acknowledged."""
        message = event_service_pb2.GoAway()
        message.reason = event_service_pb2.GO_AWAY_REASON_SHUTTING_DOWN
        message.retry_after.FromNanoseconds(int(retry_after_s * 1e9))
        with self.log.changed:
            streams = list(self._streams)
        for stream in streams:
            stream.inbox.put(message)

    def restore(self, through_sequence: int) -> None:
        """As a restored database: new log_id, later events forgotten, streams cut."""
        with self.log.changed:
            self.log.restore(through_sequence)
        self.gate.restart()
        self.cut_streams()

    def attach(self, stream: StreamControl, producer_id: str) -> None:
        """Registers an open stream."""
        with self.log.changed:
            self._streams.add(stream)
            self.opened_count += 1
            self.producer_ids.append(producer_id)

    def detach(self, stream: StreamControl) -> None:
        """Forgets a stream that ended."""
        with self.log.changed:
            self._streams.discard(stream)
