"""The learning cycle: a learning report after each whole hour or day, made and kept without anybody
asking, by the one sidecar of a fleet that holds the lease.

A report is about more than the hour or day that has ended: what was signalled in it is mostly still
open. It covers the last `WINDOW_PERIODS` of them, so what matures later is in later reports.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from trimtab_server.domain.events import Environment
from trimtab_server.domain.reasons import Reason
from trimtab_server.domain.reports.questions import (
    Asked,
    Made,
    Question,
    ReportForm,
    ReportJob,
    ReportKind,
    ReportScope,
    ReportWorld,
    WorldsJob,
)
from trimtab_server.errors import InvalidRequest, NotFound, TrimtabError
from trimtab_server.loop.readers import Readers
from trimtab_server.loop.workers import WorkerFailure, Workers
from trimtab_server.store.database import Writer
from trimtab_server.store.learning_reports import LearningReport
from trimtab_server.store.stations import Lease
from trimtab_server.store.store import Store
from trimtab_server.telemetry import Telemetry

STATION = "learning_cycle"
HOUR_NS = 3_600 * 10**9
DAY_NS = 24 * HOUR_NS
WINDOW_PERIODS = 30
"""Hours or days that a report covers, up to the end of the last whole one."""

_NAMES = {HOUR_NS: "hourly", DAY_NS: "daily"}
# Runs have no clock but their own: nobody knows when one is over.
_ENVIRONMENTS = (Environment.LIVE, Environment.PAPER)
_INTERVAL_S = 30.0
# Each report renews it; what is kept is checked against its key anyhow.
_LEASE_S = 600.0
# For the ledger to take in what the log holds.
_SETTLE_S_MAX = 60.0
# A window whose reports fail so often is given up: what fails takes minutes of a core each time.
_ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True)
class CycleTerms:
    """What the cycle knows of the log: the last sequence, how to wait until the ledger has taken in
    a sequence, how to find a report that is kept (raises NotFound; blocks); who we are in a fleet,
    the clock, and how late events may come: so long behind its end a window is whole."""

    last_sequence: Callable[[], int]
    wait_settled: Callable[[int], Awaitable[object]]
    find_report: Callable[[str], object]
    holder: str
    now_ns: Callable[[], int]
    lateness_ns: int


class _LeaseLost(Exception):
    """Another sidecar sees to it by now."""


class LearningCycle:
    """Makes a report after each period (period_ns: HOUR_NS, DAY_NS, 0 = off), of the window that
    ends with it, for LIVE and PAPER where they had signals in the window. Of reports that were
    missed while nobody ran, the last is made.
    `start()` it, `stop()` it."""

    def __init__(
        self,
        store: Store,
        workers: Workers,
        readers: Readers,
        terms: CycleTerms,
        telemetry: Telemetry,
        period_ns: int,
    ) -> None:
        self._store = store
        self._workers = workers
        self._readers = readers
        self._terms = terms
        self._telemetry = telemetry
        self._period_ns = period_ns
        self._window_ns = WINDOW_PERIODS * period_ns
        # The end of the window that was seen to last; and that of the one that fails, how often.
        self._done_ns = 0
        self._failing_ns = self._failures = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts it, unless it is off. Call it inside the event loop."""
        if self._period_ns:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends it; a report that is being made is given up."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def make_due(self) -> list[str]:
        """The ids of the reports that were made: those of the last whole window, unless they are
        kept already, or another sidecar sees to them. Raises what storing and workers raise; the
        next call begins again where this one ended."""
        end_ns = self._window_end_ns()
        if end_ns == self._done_ns:
            return []
        lease = await self._lease()
        if lease is None:
            return []
        try:
            async with asyncio.timeout(_SETTLE_S_MAX):
                await self._terms.wait_settled(self._terms.last_sequence())
        except TimeoutError:
            # A report tells how far the ledger is behind.
            self._telemetry.log_warning("the ledger is behind: the learning report is made anyhow")
        made: list[str] = []
        worlds: tuple[ReportWorld, ...] = await self._workers.run(WorldsJob())
        for world in worlds:
            if not _has_signals(world, end_ns - self._window_ns, end_ns):
                continue
            lease = await self._lease()
            if lease is None:
                return made
            try:
                report_id = await self._make(world, end_ns, lease)
            except _LeaseLost:
                return made
            if report_id is not None:
                made.append(report_id)
        self._done_ns = end_ns
        await self._readers.read(self._store.stations.release, lease)
        return made

    async def _make(self, world: ReportWorld, end_ns: int, lease: Lease) -> str | None:
        """The id of a world's report; None when there is nothing to make."""
        report_id = report_name(self._period_ns, world.environment, end_ns)
        with contextlib.suppress(NotFound):
            await self._readers.read(self._terms.find_report, report_id)
            return None
        scope = ReportScope(
            world.environment,
            world.run_id,
            start_time_ns=max(1, end_ns - self._window_ns),
            end_time_ns=end_ns,
        )
        question = Question(ReportKind.LEARNING, scope, ReportForm.MARKDOWN, report_id=report_id)
        asked = Asked(self._terms.now_ns(), self._terms.last_sequence())
        try:
            made: Made = await self._workers.run(ReportJob(question, asked), scope)
        except InvalidRequest as error:
            # Too much for the limits: it would be tomorrow too.
            self._telemetry.log_warning(
                "a learning report was not made", report_id=report_id, why=error.message
            )
            return None
        if not made.signal_count:
            return None
        report = LearningReport(
            report_id,
            world.environment,
            world.run_id,
            asked.time_ns,
            scope.start_time_ns,
            scope.end_time_ns,
            made.findings,
            made.body,
        )

        def keep(writer: Writer) -> None:
            self._store.ledger.keep_report(writer, report)

        stored = await self._readers.read(
            self._store.stations.advance, lease, lease.cursor, (), keep
        )
        if stored is None:
            raise _LeaseLost
        self._telemetry.log_info(
            "learned", report_id=report_id, signals=made.signal_count, findings=made.findings
        )
        return report_id

    async def _lease(self) -> Lease | None:
        return await self._readers.read(
            self._store.stations.lease, STATION, self._terms.holder, _LEASE_S
        )

    async def _run(self) -> None:
        while True:
            try:
                await self.make_due()
            except TrimtabError as error:
                # A database that is away, workers that are busy: they may be tried for ever.
                if error.reason is Reason.SERVER_FAULT:
                    self._failed()
                self._telemetry.log_warning("the learning cycle waits", why=error.message)
            except WorkerFailure as error:
                self._failed()
                self._telemetry.log_defect("a learning report failed", error)
            except Exception as error:  # noqa: BLE001 - a defect must not end it
                self._failed()
                self._telemetry.log_defect("the learning cycle failed", error)
            await asyncio.sleep(_INTERVAL_S)

    def _window_end_ns(self) -> int:
        """The end of the last window that is whole, late events and all."""
        return (self._terms.now_ns() - self._terms.lateness_ns) // self._period_ns * self._period_ns

    def _failed(self) -> None:
        end_ns = self._window_end_ns()
        self._failures = self._failures + 1 if end_ns == self._failing_ns else 1
        self._failing_ns = end_ns
        if self._failures >= _ATTEMPTS_MAX:
            self._done_ns = end_ns
            self._telemetry.log_warning(
                "a learning report was given up", window_end=_time_words(end_ns)
            )


def report_name(period_ns: int, environment: int, end_ns: int) -> str:
    """The id of a report: the same for whoever makes it, such as `daily-paper-20250102T00Z`, named
    after the end of its window."""
    name = Environment(environment).name.lower()
    return f"{_NAMES[period_ns]}-{name}-{_time_words(end_ns)}"


def _time_words(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y%m%dT%HZ")


def _has_signals(world: ReportWorld, start_ns: int, end_ns: int) -> bool:
    is_timed = world.environment in _ENVIRONMENTS
    return is_timed and world.first_time_ns < end_ns and world.last_time_ns >= start_ns
