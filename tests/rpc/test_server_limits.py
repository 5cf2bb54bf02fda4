"""What callers are told when the server cannot: heartbeats, busy readers, a database that refuses,
a defect. An in-process server, so that its parts can be made to fail."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest

from tests.rpc import report_worker
from tests.rpc.report_desk import TERMS, Kept
from tests.rpc.samples import SOURCE, an_event, new_id
from tests.rpc.statuses import Answer, answer_of
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1 import event_service_pb2_grpc
from trimtab_server.domain.gate.breaker_rules import GatePolicy
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import Unavailable
from trimtab_server.loop.health import Health, HealthLimits
from trimtab_server.loop.ingest import Ingest, IngestLimits
from trimtab_server.loop.readers import Readers
from trimtab_server.loop.signal_gate import SignalGate
from trimtab_server.loop.workers import WorkerLimits, Workers
from trimtab_server.reports import EventQueries
from trimtab_server.rpc.admin_service import AdminService, ServerFacts
from trimtab_server.rpc.convert import EventReader
from trimtab_server.rpc.event_service import EventService, ServiceLimits
from trimtab_server.rpc.event_stream import StreamTerms
from trimtab_server.rpc.intake import BatchLimits, Intake
from trimtab_server.rpc.interceptors import Answers
from trimtab_server.rpc.report_service import ReportService
from trimtab_server.rpc.server import GrpcServer
from trimtab_server.rpc.signal_gate_service import GateTerms, SignalGateService
from trimtab_server.store.store import Store
from trimtab_server.telemetry import Telemetry

Code = grpc.StatusCode
_LIMITS = IngestLimits(4_096, 8 << 20, 0.005, 65_536, 64 << 20)


@dataclass
class Served:
    """A running server, its stub, and the parts that a test makes fail."""

    events: Any
    store: Store
    queries: EventQueries


def _service(store: Store, ingest: Ingest, readers: Readers, queries: EventQueries) -> EventService:
    intake = Intake(
        EventReader(64 << 10, 60 * 10**9, time.time_ns),
        BatchLimits(2_000, 3 << 20),
        lambda: 0,
        is_tracing=False,
    )
    terms = StreamTerms(
        store.log_id,
        pb.Limits(page_size_max=100),
        1_000,
        1 << 20,
        1.0,
        lambda: str(uuid4()),
        lambda: 1,
        time.time_ns,
    )
    limits = ServiceLimits(8, 8, slow_reader_s=10.0, heartbeat_s=0.02)
    return EventService(ingest, intake, readers, queries, terms, limits)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with one reader thread and no queue for it, and heartbeats every 20 ms."""
    telemetry = Telemetry()
    store = Store(
        f"sqlite:///{tmp_path / 'log.db'}",
        new_log_id=uuid4,
        now_ns=time.time_ns,
        monotonic=time.monotonic,
    )
    ingest = Ingest(store, _LIMITS, telemetry, time.monotonic, time.time_ns)
    readers = Readers(1, 0)
    queries = EventQueries(store)
    service = _service(store, ingest, readers, queries)
    health = Health(store, ingest, HealthLimits(0, 10.0), telemetry, time.time_ns)
    facts = ServerFacts("0", "b", (), pb.Limits(), "power_loss", "sqlite", 0)
    gate = SignalGate(store, ingest, readers, GatePolicy(), telemetry, time.time_ns)
    workers = Workers(report_worker.make, WorkerLimits(1, 0, 60.0, 1 << 30), telemetry)
    server = GrpcServer(
        "127.0.0.1:0",
        service,
        SignalGateService(
            gate, GateTerms(store.log_id, "b", 8, 10.0, (), lambda: 0, bool), telemetry
        ),
        AdminService(facts, queries, readers, ingest, health, service, time.time_ns),
        health,
        [Answers(telemetry, time.monotonic)],
        3 << 20,
        with_reflection=False,
        reports=ReportService(workers, readers, Kept(), TERMS),
    )
    ingest.start()
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = event_service_pb2_grpc.EventServiceStub(channel)
        yield Served(stub, store, queries)
    await server.stop(1.0)
    await workers.stop()
    await ingest.stop()
    readers.close()
    store.close()


async def _refusal(call: Any) -> Answer:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return answer_of(error.value)


async def test_a_quiet_tail_sends_heartbeats(served: Served) -> None:
    """Without events a watcher still hears where it stands."""
    recorded = await served.events.RecordEvent(pb.RecordEventRequest(event=an_event()))
    call = served.events.WatchEvents(pb.WatchEventsRequest(from_now=True))
    for _ in range(4):
        page = await call.read()
        assert (len(page.events), page.through_sequence) == (0, recorded.sequence)
    call.cancel()


async def test_reads_that_find_no_thread_are_overloaded(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RESOURCE_EXHAUSTED/OVERLOADED with a delay, at once: reads never pile up."""
    started, may_end = threading.Event(), threading.Event()

    def slow(*_: object) -> Any:
        started.set()
        may_end.wait(20)
        raise Unavailable(Reason.STORE_UNAVAILABLE, "x")

    monkeypatch.setattr(served.queries, "stats", slow)
    first = asyncio.ensure_future(_refusal(served.events.GetStats(pb.GetStatsRequest())))
    await asyncio.to_thread(started.wait, 20)
    answer = await _refusal(served.events.GetStats(pb.GetStatsRequest()))
    assert (answer.code, answer.reason) == (Code.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert answer.retry_after_s is not None
    may_end.set()
    assert (await first).reason == "STORE_UNAVAILABLE"


def _fails(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise error

    return fail


_FAILURES = [
    (Unavailable(Reason.STORE_UNAVAILABLE, "disk full"), "STORE_UNAVAILABLE"),
    (ZeroDivisionError("a defect"), "SERVER_FAULT"),
]


@pytest.mark.parametrize(("error", "reason"), _FAILURES, ids=["database", "defect"])
async def test_a_commit_that_fails_is_unavailable(
    served: Served, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    """Unary calls and streams end with UNAVAILABLE and a delay; afterwards the same event is
    recorded, and nothing was stored twice."""
    event = an_event()
    with monkeypatch.context() as broken:
        broken.setattr(served.store, "append", _fails(error))
        answer = await _refusal(served.events.RecordEvent(pb.RecordEventRequest(event=event)))
        assert (answer.code, answer.reason) == (Code.UNAVAILABLE, reason)
        assert answer.retry_after_s is not None
        call = served.events.StreamEvents()
        opening = pb.Open(producer_id=new_id(), producer_epoch=1, source=SOURCE)
        await call.write(pb.StreamEventsRequest(open=opening))
        assert (await call.read()).opened.next_expected_seq == 1
        await call.write(pb.StreamEventsRequest(batch=pb.Batch(first_seq=1, events=[event])))
        answer = await _refusal(call.read())
        assert (answer.code, answer.reason) == (Code.UNAVAILABLE, reason)
    recorded = await served.events.RecordEvent(pb.RecordEventRequest(event=event))
    assert (recorded.sequence, recorded.duplicate) == (1, False)


async def test_a_defect_in_a_handler_is_a_server_fault(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw is UNAVAILABLE/SERVER_FAULT, never UNKNOWN, on unary calls and tails."""
    monkeypatch.setattr(served.queries, "stats", _fails(RuntimeError("a defect")))
    monkeypatch.setattr(served.queries, "tail", _fails(RuntimeError("a defect")))
    answer = await _refusal(served.events.GetStats(pb.GetStatsRequest()))
    assert (answer.code, answer.reason) == (Code.UNAVAILABLE, "SERVER_FAULT")
    call = served.events.WatchEvents(pb.WatchEventsRequest())
    assert (await call.read()).through_sequence == 0
    answer = await _refusal(call.read())
    assert (answer.code, answer.reason) == (Code.UNAVAILABLE, "SERVER_FAULT")
