"""ReportService: reads what is asked, has a worker make it, sends what it made."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from trimtab.v1 import report_service_pb2 as pb
from trimtab.v1 import report_service_pb2_grpc
from trimtab_server.domain.reasons import Reason
from trimtab_server.domain.reports.questions import (
    Asked,
    KeptReport,
    Made,
    ReportJob,
    ReportKind,
    ReportScope,
    SweepOpening,
    SweepPart,
    SweepScenario,
)
from trimtab_server.errors import DeadlineExceeded, Overloaded, Unavailable
from trimtab_server.loop.readers import Readers
from trimtab_server.loop.workers import Workers
from trimtab_server.reports import PAGE_BYTES_MAX
from trimtab_server.rpc.convert import timestamp
from trimtab_server.rpc.report_messages import scope_message
from trimtab_server.rpc.report_requests import (
    SweepWanted,
    Wanted,
    kept_report,
    leaderboard_question,
    learning_question,
    list_environment,
    plain_question,
    reports_position,
    reports_token,
    sweep,
    what_if_question,
)
from trimtab_server.rpc.requests import page_size

_LIST_DEFAULT, _LIST_MAX = 100, 1_000
# For a ledger to take in what the caller knows of, when the call has no deadline of its own.
_WAIT_S_MAX = 60.0
# Kept of a deadline, so that the caller hears why.
_ANSWER_S, _ANSWER_SHARE = 0.25, 0.1
# A sweep is done in so many parts, each of at most so many scenarios: progress comes often, and
# others have their turn in between.
_PARTS, _PART_MAX = 64, 16


class KeptReports(Protocol):
    """Learning reports that were made on schedule; both block."""

    def get(self, report_id: str) -> KeptReport:
        """One of them. Raises NotFound."""

    def page(
        self, environment: int, before: tuple[int, str] | None, count: int
    ) -> Sequence[KeptReport]:
        """Some of them, newest first."""


@dataclass(frozen=True, slots=True)
class ReportTerms:
    """What the service knows of the log: its id, its last sequence, how to wait until the ledger
    has taken in a sequence; the clock; and how long a sweep's reader may take for a message."""

    log_id: str
    last_sequence: Callable[[], int]
    wait_settled: Callable[[int], Awaitable[object]]
    now_ns: Callable[[], int]
    slow_reader_s: float


class ReportService(report_service_pb2_grpc.ReportServiceServicer):
    """Translates between callers and workers."""

    def __init__(
        self, workers: Workers, readers: Readers, kept: KeptReports, terms: ReportTerms
    ) -> None:
        self._workers = workers
        self._readers = readers
        self._kept = kept
        self._terms = terms
        self._calls: set[asyncio.Task[Any]] = set()
        self._is_leaving = False

    def leave(self) -> None:
        """The server stops: reports that are being made end, new ones are refused."""
        self._is_leaving = True
        for call in self._calls:
            call.cancel()

    # -- learning reports -----------------------------------------------------------------------

    async def GetLearningReport(self, request: pb.GetLearningReportRequest, context: Any) -> Any:
        """What was learned in a window, or what was said of one on schedule."""
        if report_id := kept_report(request):
            kept = await self._readers.read(self._kept.get, report_id)
            return pb.GetLearningReportResponse.FromString(kept.body)
        made = await self._made(learning_question(request), context)
        return pb.GetLearningReportResponse.FromString(made.body)

    async def ListLearningReports(
        self, request: pb.ListLearningReportsRequest, context: Any
    ) -> Any:
        """Those that were made on schedule, newest first."""
        environment, log_id = list_environment(request), self._terms.log_id
        size = page_size(request.page_size, _LIST_DEFAULT, _LIST_MAX)
        before = reports_position(environment, log_id, request.page_token)
        found = await self._readers.read(self._kept.page, environment, before, size + 1)
        response, byte_count = pb.ListLearningReportsResponse(), 0
        for each in found[:size]:
            if byte_count > PAGE_BYTES_MAX:
                break
            times = (each.start_time_ns, each.end_time_ns)
            told = response.reports.add(
                report_id=each.report_id,
                scope=scope_message(_world_scope(each, *times)),
                make_time=timestamp(each.make_time_ns),
                findings=each.findings,
            )
            byte_count += told.ByteSize()
        count = len(response.reports)
        if count < len(found):
            response.next_page_token = reports_token(environment, log_id, found[count - 1])
        return response

    # -- reports --------------------------------------------------------------------------------

    async def GetBlockedOpportunityCost(
        self, request: pb.GetBlockedOpportunityCostRequest, context: Any
    ) -> Any:
        """What blocked signals would have made."""
        made = await self._made(plain_question(ReportKind.OPPORTUNITY, request), context)
        return pb.GetBlockedOpportunityCostResponse.FromString(made.body)

    async def GetGuardEffectiveness(
        self, request: pb.GetGuardEffectivenessRequest, context: Any
    ) -> Any:
        """What each guard costs or saves."""
        made = await self._made(plain_question(ReportKind.GUARDS, request), context)
        return pb.GetGuardEffectivenessResponse.FromString(made.body)

    async def GetStrategyLeaderboard(
        self, request: pb.GetStrategyLeaderboardRequest, context: Any
    ) -> Any:
        """Strategies, or slices of the signals, side by side."""
        made = await self._made(leaderboard_question(request), context)
        return pb.GetStrategyLeaderboardResponse.FromString(made.body)

    async def GetSignalDecay(self, request: pb.GetSignalDecayRequest, context: Any) -> Any:
        """How a signal's edge unfolds with age."""
        made = await self._made(plain_question(ReportKind.DECAY, request), context)
        return pb.GetSignalDecayResponse.FromString(made.body)

    async def ComparePerformance(self, request: pb.ComparePerformanceRequest, context: Any) -> Any:
        """What really happened beside what would have happened without any guard."""
        made = await self._made(plain_question(ReportKind.COMPARISON, request), context)
        return pb.ComparePerformanceResponse.FromString(made.body)

    # -- what if --------------------------------------------------------------------------------

    async def RunWhatIf(self, request: pb.RunWhatIfRequest, context: Any) -> Any:
        """The ledger recomputed under one scenario."""
        made = await self._made(what_if_question(request), context)
        return pb.RunWhatIfResponse.FromString(made.body)

    async def RunWhatIfSweep(  # type: ignore[override]  # writes by context
        self, request: pb.RunWhatIfSweepRequest, context: Any
    ) -> None:
        """Many scenarios at once; results as they are done."""
        wanted = sweep(request)
        with self._present(context):
            await context.send_initial_metadata(())
            async with self._in_time(context):
                await self._settled(wanted.after_sequence)
                with self._workers.scratch_file() as path:
                    await self._swept(wanted, str(path), context)

    async def _swept(self, wanted: SweepWanted, path: str, context: Any) -> None:
        has_predictions = any(
            "model_weights" in change
            for each in wanted.scenarios
            for change in each.asked["changes"]
        )
        opening = SweepOpening(wanted.scope, self._asked(), path, has_predictions)
        level, count = wanted.scope.level, len(wanted.scenarios)
        parts = [SweepPart(path, level, part, count) for part in _parts(wanted.scenarios)]
        done = 0
        async with aclosing(self._workers.run_each(parts, path, opening)) as answers:
            async for body in answers:
                message = pb.RunWhatIfSweepResponse.FromString(body)
                done += len(message.results)
                message.done_count = done
                message.scenario_count = count
                await self._write(context, message)

    async def _write(self, context: Any, message: pb.RunWhatIfSweepResponse) -> None:
        try:
            async with asyncio.timeout(self._terms.slow_reader_s):
                await context.write(message)
        except TimeoutError:
            raise Overloaded(
                Reason.SLOW_READER,
                f"nothing was taken for {self._terms.slow_reader_s:g} s; the sweep has ended",
            ) from None

    # -- making ---------------------------------------------------------------------------------

    async def _made(self, wanted: Wanted, context: Any) -> Made:
        """The report that a worker made."""
        with self._present(context):
            async with self._in_time(context):
                await self._settled(wanted.after_sequence)
                job = ReportJob(wanted.question, self._asked())
                made: Made = await self._workers.run(job, wanted.question.scope)
                return made

    def _asked(self) -> Asked:
        return Asked(self._terms.now_ns(), self._terms.last_sequence())

    async def _settled(self, sequence: int) -> None:
        """Returns when the ledger has taken in the log through `sequence`."""
        if not sequence:
            return
        try:
            async with asyncio.timeout(_WAIT_S_MAX):
                await self._terms.wait_settled(sequence)
        except TimeoutError:
            words = f"the ledger has not taken in the log through {sequence} yet"
            raise DeadlineExceeded(words) from None

    @asynccontextmanager
    async def _in_time(self, context: Any) -> AsyncIterator[None]:
        """Ends what runs inside a little before the caller's deadline, and says so."""
        left_s = context.time_remaining()
        if left_s is not None:
            left_s -= min(_ANSWER_S, left_s * _ANSWER_SHARE)
        try:
            async with asyncio.timeout(left_s) as limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            words = "the report was not done within the call's deadline; allow it more time"
            raise DeadlineExceeded(words) from None

    @contextmanager
    def _present(self, context: Any) -> Iterator[None]:
        """A call that ends with the server."""
        self._refuse_when_leaving()
        call = asyncio.current_task()
        assert call is not None
        self._calls.add(call)
        try:
            yield
        except asyncio.CancelledError:
            if self._is_leaving and not context.cancelled():
                raise _stopping() from None
            raise
        finally:
            self._calls.discard(call)

    def _refuse_when_leaving(self) -> None:
        if self._is_leaving:
            raise _stopping()


def _parts(scenarios: Sequence[SweepScenario]) -> Iterator[tuple[SweepScenario, ...]]:
    size = min(_PART_MAX, -(-len(scenarios) // _PARTS))
    return (tuple(scenarios[at : at + size]) for at in range(0, len(scenarios), size))


def _world_scope(kept: KeptReport, start_time_ns: int, end_time_ns: int) -> ReportScope:
    return ReportScope(
        kept.environment, kept.run_id, start_time_ns=start_time_ns, end_time_ns=end_time_ns
    )


def _stopping() -> Unavailable:
    return Unavailable(Reason.SHUTTING_DOWN, "the server is stopping")
