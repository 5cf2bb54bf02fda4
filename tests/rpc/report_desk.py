"""A real server of reports, whose workers make up their answers, and a stub to it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc

from tests.rpc import report_worker
from tests.rpc.statuses import Answer, answer_of
from trimtab.v1 import report_service_pb2 as pb
from trimtab.v1.report_service_pb2_grpc import (
    ReportServiceStub,
    add_ReportServiceServicer_to_server,
)
from trimtab_server.domain.reports.questions import KeptReport
from trimtab_server.errors import NotFound
from trimtab_server.loop.readers import Readers
from trimtab_server.loop.workers import WorkerLimits, Workers
from trimtab_server.rpc.interceptors import Answers
from trimtab_server.rpc.report_service import ReportService, ReportTerms
from trimtab_server.telemetry import Telemetry

SCOPE = pb.ReportScope(environment=3, run_id="r1")  # type: ignore[arg-type]
NOW_NS = 1_700_000_000_000_000_005


async def _settled(_sequence: int) -> None:
    """A ledger that is never behind."""


TERMS = ReportTerms(
    log_id="log",
    last_sequence=lambda: 77,
    wait_settled=_settled,
    now_ns=lambda: NOW_NS,
    slow_reader_s=0.5,
)


class Kept:
    """Reports that were made on schedule, newest last."""

    def __init__(self) -> None:
        body = pb.GetLearningReportResponse(report_id="daily-1", findings=["it cost"])
        self.reports = [
            KeptReport(f"daily-{n}", 1 + n % 2, "", n * 10, 5, 9, (f"found {n}",), b"")
            for n in range(5)
        ]
        self.reports[1] = self.reports[1]._replace(body=body.SerializeToString())

    def get(self, report_id: str) -> KeptReport:
        """One of them."""
        found = [each for each in self.reports if each.report_id == report_id]
        if not found:
            raise NotFound("report_id", "no learning report has this id")
        return found[0]

    def page(
        self, environment: int, before: tuple[int, str] | None, count: int
    ) -> Sequence[KeptReport]:
        """Some of them, newest first."""
        found = [
            each
            for each in reversed(self.reports)
            if environment in (0, each.environment)
            and (before is None or (each.make_time_ns, each.report_id) < before)
        ]
        return found[:count]


class Desk:
    """A server, a stub to it, and what a test may turn."""

    def __init__(self) -> None:
        self.settled = 100
        self.kept = Kept()
        self.stub: Any = None
        self.workers: Any = None
        self.service: Any = None

    async def wait_settled(self, sequence: int) -> None:
        """Until the test says that the ledger has come so far."""
        while self.settled < sequence:  # noqa: ASYNC110 - the test turns a number
            await asyncio.sleep(0.001)

    async def refusal(self, call: Callable[[], Any]) -> Answer:
        """How a call that must be refused ends."""
        answered = call()
        try:
            if hasattr(answered, "__aiter__"):
                async for _ in answered:
                    pass
            else:
                await answered
        except grpc.RpcError as error:
            return answer_of(error)
        raise AssertionError("the call was not refused")


async def until(holds: Callable[[], object]) -> None:
    """Waits for what must come; the test's time limit ends it."""
    while not holds():  # noqa: ASYNC110 - what comes is a file or a number
        await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(**told: Any) -> AsyncIterator[Desk]:
    """A desk whose server is stopped after the test."""
    limits = {"workers_max": 1, "queue_max": 4, "time_s_max": 60.0, "memory_bytes_max": 1 << 30}
    desk = Desk()
    telemetry = Telemetry()
    desk.workers = Workers(report_worker.make, WorkerLimits(**(limits | told)), telemetry)
    readers = Readers(2, 4)
    terms = replace(TERMS, wait_settled=desk.wait_settled)
    desk.service = ReportService(desk.workers, readers, desk.kept, terms)
    server = grpc.aio.server(interceptors=[Answers(telemetry, lambda: 0.0)])
    add_ReportServiceServicer_to_server(desk.service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        desk.stub = ReportServiceStub(channel)
        try:
            yield desk
        finally:
            desk.service.leave()
            await server.stop(None)
            await desk.workers.stop()
            readers.close()


def scope(strategy: str = "", source: str = "") -> pb.ReportScope:
    """A scope whose strategy says what the worker does."""
    told = pb.ReportScope(strategy=strategy, source=source)
    told.MergeFrom(SCOPE)
    return told
