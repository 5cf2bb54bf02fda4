"""The learning cycle: each window is learned from once, by one sidecar, and a failure passes."""

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from trimtab_server.domain.events import Violation
from trimtab_server.domain.reasons import Reason
from trimtab_server.domain.reports.questions import (
    Made,
    ReportForm,
    ReportJob,
    ReportKind,
    ReportScope,
    ReportWorld,
    WorldsJob,
)
from trimtab_server.errors import InvalidRequest, NotFound, Overloaded, Unavailable
from trimtab_server.loop import learning_cycle
from trimtab_server.loop.learning_cycle import (
    DAY_NS,
    HOUR_NS,
    STATION,
    CycleTerms,
    LearningCycle,
    report_name,
)
from trimtab_server.loop.workers import WorkerFailure
from trimtab_server.store.learning_reports import LearningReport
from trimtab_server.store.stations import Lease
from trimtab_server.telemetry import Telemetry

MIDNIGHT_NS = 20_000 * DAY_NS
MINUTE_NS = 60 * 10**9
LIVE, PAPER, BACKTEST = 1, 2, 3


class Sidecar:
    """A store, workers and readers that answer at once, and a clock that is set by hand."""

    def __init__(self, *worlds: ReportWorld) -> None:
        self.worlds = worlds
        self.now_ns = MIDNIGHT_NS + 5 * MINUTE_NS
        self.lateness_ns = 10 * 10**9
        self.kept: dict[str, LearningReport] = {}
        self.jobs: list[ReportJob] = []
        self.failure: Exception | None = None
        self.holder: str | None = "me"
        self.signal_count = 7
        self.settled: list[int] = []
        self.released = 0
        self.is_settled = True
        self.stations = SimpleNamespace(
            lease=self._lease, advance=self._advance, release=self._release
        )
        self.ledger = SimpleNamespace(keep_report=self._keep)

    def cycle(self, period_ns: int = DAY_NS) -> LearningCycle:
        """A cycle of this sidecar, as after a start."""
        terms = CycleTerms(
            last_sequence=lambda: 42,
            wait_settled=self._wait,
            find_report=self._find,
            holder="me",
            now_ns=lambda: self.now_ns,
            lateness_ns=self.lateness_ns,
        )
        one: Any = self
        return LearningCycle(one, one, one, terms, Telemetry(), period_ns)

    async def read(self, query: Callable[..., Any], *arguments: object) -> Any:
        """As Readers do."""
        return query(*arguments)

    async def run(self, job: Any, key: object = None) -> Any:
        """As Workers do."""
        if isinstance(job, WorldsJob):
            return self.worlds
        self.jobs.append(job)
        if self.failure is not None:
            raise self.failure
        return Made(b"body", job.question.scope, self.signal_count, ("it learned",))

    def _lease(self, name: str, holder: str, seconds: float) -> Lease | None:
        assert (name, holder) == (STATION, "me")
        assert seconds > 0
        return Lease(name, 1, 0) if self.holder == "me" else None

    def _advance(
        self, lease: Lease, cursor: int, derived: Sequence[Any], also: Callable[[Any], None]
    ) -> list[Any] | None:
        assert (lease.cursor, derived) == (cursor, ())
        if self.holder != "me":
            return None
        also(None)
        return []

    def _release(self, lease: Lease) -> None:
        self.released += 1

    def _keep(self, writer: Any, report: LearningReport) -> None:
        self.kept[report.report_id] = report

    def _find(self, report_id: str) -> LearningReport:
        if report_id not in self.kept:
            raise NotFound("report_id", "nothing")
        return self.kept[report_id]

    async def _wait(self, sequence: int) -> None:
        self.settled.append(sequence)
        if not self.is_settled:
            raise TimeoutError


def world(environment: int, first_ns: int = 1, last_ns: int = MIDNIGHT_NS - 1) -> ReportWorld:
    """A world with signals in between."""
    return ReportWorld(environment, "r" if environment == BACKTEST else "", first_ns, last_ns)


async def test_thirty_days_up_to_the_last_whole_one_are_learned_from() -> None:
    """Of LIVE and PAPER, in Markdown too, behind all that the log holds; kept with its bytes."""
    sidecar = Sidecar(world(LIVE), world(PAPER), world(BACKTEST))
    made = await sidecar.cycle().make_due()
    assert made == ["daily-live-20241004T00Z", "daily-paper-20241004T00Z"]
    assert sidecar.settled == [42]
    [live, paper] = [job.question for job in sidecar.jobs]
    start_ns, end_ns = MIDNIGHT_NS - 30 * DAY_NS, MIDNIGHT_NS
    assert live.scope == ReportScope(LIVE, start_time_ns=start_ns, end_time_ns=end_ns)
    assert paper.scope == ReportScope(PAPER, start_time_ns=start_ns, end_time_ns=end_ns)
    assert (live.kind, live.form) == (ReportKind.LEARNING, ReportForm.MARKDOWN)
    kept = sidecar.kept[made[0]]
    assert kept == LearningReport(
        made[0], LIVE, "", sidecar.now_ns, start_ns, end_ns, ("it learned",), b"body"
    )
    assert live.report_id == made[0]
    assert sidecar.released == 1


async def test_a_window_is_learned_from_once() -> None:
    """Neither the next look nor the next start makes it again; the next day does."""
    sidecar = Sidecar(world(PAPER, last_ns=MIDNIGHT_NS + DAY_NS))
    cycle = sidecar.cycle()
    assert len(await cycle.make_due()) == 1
    assert await cycle.make_due() == []
    assert await sidecar.cycle().make_due() == []
    assert len(sidecar.jobs) == 1
    sidecar.now_ns += DAY_NS
    assert await cycle.make_due() == ["daily-paper-20241005T00Z"]


async def test_of_windows_that_were_missed_the_last_is_made() -> None:
    """A week of rest ends with one report, not with seven."""
    sidecar = Sidecar(world(PAPER, last_ns=MIDNIGHT_NS + 30 * DAY_NS))
    cycle = sidecar.cycle()
    await cycle.make_due()
    sidecar.now_ns += 7 * DAY_NS
    assert await cycle.make_due() == ["daily-paper-20241011T00Z"]


async def test_what_matures_later_is_in_later_reports() -> None:
    """A signal is in the window of thirty reports: those behind its own day hold its result."""
    sidecar = Sidecar(world(PAPER, last_ns=MIDNIGHT_NS - 1))
    cycle = sidecar.cycle()
    for _ in range(40):
        await cycle.make_due()
        sidecar.now_ns += DAY_NS
    scopes = [job.question.scope for job in sidecar.jobs]
    holding = [s for s in scopes if s.start_time_ns <= MIDNIGHT_NS - 1 < s.end_time_ns]
    assert len(holding) == len(scopes) == 30


async def test_an_hourly_cycle_has_windows_of_thirty_hours() -> None:
    """They end on the hour, and have names of their own."""
    sidecar = Sidecar(world(PAPER))
    sidecar.now_ns = MIDNIGHT_NS - 30 * MINUTE_NS
    assert await sidecar.cycle(HOUR_NS).make_due() == ["hourly-paper-20241003T23Z"]
    [job] = sidecar.jobs
    assert job.question.scope.end_time_ns - job.question.scope.start_time_ns == 30 * HOUR_NS


async def test_a_window_ends_when_late_events_have_come() -> None:
    """At midnight sharp the day before is not whole yet; it is when the setting's time is over."""
    sidecar = Sidecar(world(PAPER, last_ns=MIDNIGHT_NS))
    sidecar.lateness_ns = 20 * MINUTE_NS
    for minutes in (0, 19):
        sidecar.now_ns = MIDNIGHT_NS + minutes * MINUTE_NS
        assert "daily-paper-20241004T00Z" not in await sidecar.cycle().make_due()
    sidecar.now_ns = MIDNIGHT_NS + 20 * MINUTE_NS
    assert await sidecar.cycle().make_due() == ["daily-paper-20241004T00Z"]


@pytest.mark.parametrize(
    ("first_ns", "last_ns", "signal_count"),
    [
        (MIDNIGHT_NS, MIDNIGHT_NS + 1, 7),
        (1, MIDNIGHT_NS - 30 * DAY_NS - 1, 7),
        (1, MIDNIGHT_NS, 0),
    ],
    ids=["later", "earlier", "around it"],
)
async def test_a_window_without_signals_has_no_report(
    first_ns: int, last_ns: int, signal_count: int
) -> None:
    """Nobody is told that nothing was."""
    sidecar = Sidecar(world(PAPER, first_ns, last_ns))
    sidecar.signal_count = signal_count
    assert await sidecar.cycle().make_due() == []
    assert sidecar.kept == {}


async def test_one_sidecar_of_a_fleet_makes_it() -> None:
    """Who has not the lease makes nothing, and looks again; who lost it keeps nothing."""
    sidecar = Sidecar(world(PAPER))
    sidecar.holder = "other"
    cycle = sidecar.cycle()
    assert await cycle.make_due() == []
    assert sidecar.jobs == []
    sidecar.holder = "me"
    assert len(await cycle.make_due()) == 1


async def test_a_lease_that_was_lost_meanwhile_keeps_nothing() -> None:
    """The other holder's report is the one that counts."""
    sidecar = Sidecar(world(PAPER))

    async def slow(job: Any, key: object = None) -> Any:
        if not isinstance(job, WorldsJob):
            sidecar.holder = "other"
        return await Sidecar.run(sidecar, job)

    sidecar.run = slow  # type: ignore[method-assign]
    cycle = sidecar.cycle()
    assert await cycle.make_due() == []
    assert sidecar.kept == {}
    sidecar.holder, sidecar.jobs = "me", []
    assert await cycle.make_due() == []
    assert len(sidecar.jobs) == 1


async def test_a_ledger_that_stays_behind_is_not_waited_for_forever() -> None:
    """The report tells how far it is behind."""
    sidecar = Sidecar(world(PAPER))
    sidecar.is_settled = False
    with capture_logs() as logs:
        assert len(await sidecar.cycle().make_due()) == 1
    assert [each["log_level"] for each in logs] == ["warning", "info"]


async def test_a_report_beyond_the_limits_is_told_and_passed_over() -> None:
    """The other world's is made."""
    sidecar = Sidecar(world(LIVE), world(PAPER))
    sidecar.failure = InvalidRequest(Violation("scope.start_time", "too much"))
    cycle = sidecar.cycle()
    with capture_logs() as logs:
        assert await cycle.make_due() == []
    assert [each["report_id"] for each in logs] == [
        "daily-live-20241004T00Z",
        "daily-paper-20241004T00Z",
    ]
    assert await cycle.make_due() == []
    assert len(sidecar.jobs) == 2


@pytest.mark.parametrize(
    "failure",
    [
        Unavailable(Reason.SERVER_FAULT, "the process died"),
        WorkerFailure("Traceback ..."),
        RuntimeError("nobody foresaw it"),
    ],
)
async def test_a_report_that_fails_each_time_is_given_up(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes minutes of a core each time; the next day's is made."""
    monkeypatch.setattr(learning_cycle, "_INTERVAL_S", 0.001)
    sidecar = Sidecar(world(PAPER, last_ns=MIDNIGHT_NS + DAY_NS))
    sidecar.failure = failure
    cycle = sidecar.cycle()
    with capture_logs():
        cycle.start()
        while len(sidecar.jobs) < 3:  # noqa: ASYNC110 - what it does has no event
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        assert len(sidecar.jobs) == 3
        sidecar.failure = None
        sidecar.now_ns += DAY_NS
        while not sidecar.kept:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        await cycle.stop()
    assert list(sidecar.kept) == ["daily-paper-20241005T00Z"]


@pytest.mark.parametrize(
    "failure",
    [Overloaded(Reason.OVERLOADED, "busy"), Unavailable(Reason.STORE_UNAVAILABLE, "away")],
)
async def test_what_passes_is_waited_for(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away, workers that are busy: the report is made once they are there."""
    monkeypatch.setattr(learning_cycle, "_INTERVAL_S", 0.001)
    sidecar = Sidecar(world(PAPER))
    sidecar.failure = failure
    cycle = sidecar.cycle()
    with capture_logs():
        cycle.start()
        while len(sidecar.jobs) < 6:  # noqa: ASYNC110 - what it does has no event
            await asyncio.sleep(0.001)
        sidecar.failure = None
        while not sidecar.kept:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        await cycle.stop()
    assert list(sidecar.kept) == ["daily-paper-20241004T00Z"]


async def test_a_cycle_that_is_off_does_nothing() -> None:
    """No task, and nothing to stop."""
    sidecar = Sidecar(world(PAPER))
    cycle = sidecar.cycle(0)
    cycle.start()
    await asyncio.sleep(0)
    await cycle.stop()
    assert sidecar.jobs == []


def test_a_report_s_name_says_what_it_is() -> None:
    """How often, where, and the end of its window: the same for whoever makes it."""
    assert report_name(HOUR_NS, LIVE, MIDNIGHT_NS + 7 * HOUR_NS) == "hourly-live-20241004T07Z"
