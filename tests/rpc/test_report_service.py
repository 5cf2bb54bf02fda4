"""ReportService over a real server and real workers that make up their answers."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format

from tests.rpc.report_desk import NOW_NS, SCOPE, Desk, scope, serving, until
from trimtab.v1 import report_service_pb2 as pb

Code = grpc.StatusCode


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A desk with one worker."""
    async with serving() as one:
        yield one


REPORTS = {
    "GetLearningReport": (pb.GetLearningReportRequest, "ReportKind.LEARNING"),
    "GetBlockedOpportunityCost": (pb.GetBlockedOpportunityCostRequest, "ReportKind.OPPORTUNITY"),
    "GetGuardEffectiveness": (pb.GetGuardEffectivenessRequest, "ReportKind.GUARDS"),
    "GetStrategyLeaderboard": (pb.GetStrategyLeaderboardRequest, "ReportKind.LEADERBOARD"),
    "GetSignalDecay": (pb.GetSignalDecayRequest, "ReportKind.DECAY"),
    "ComparePerformance": (pb.ComparePerformanceRequest, "ReportKind.COMPARISON"),
    "RunWhatIf": (pb.RunWhatIfRequest, "ReportKind.WHAT_IF"),
}


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path fits into a name of 64 characters, which tells a worker what to do."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        yield Path(folder)


async def test_every_report_is_made_by_a_worker(desk: Desk) -> None:
    """Asked whole, with the time and how far the log reaches; answered with the worker's bytes."""
    for method, (request, kind) in REPORTS.items():
        words = 'scenario { changes { guard_off { guard: "a" } } }' if kind.endswith("IF") else ""
        asked = text_format.Parse(words, request(scope=SCOPE))
        head = (await getattr(desk.stub, method)(asked, timeout=20)).head
        assert (head.scope.run_id, head.scope.level) == ("r1", 0.95)
        assert head.make_time.ToNanoseconds() == NOW_NS
        assert head.through_sequence == 77
        assert kind.removeprefix("ReportKind.") in head.notes[0]


async def test_every_method_refuses_a_request_without_a_scope(desk: Desk) -> None:
    """By the field's path, before any worker is asked."""
    for method, (request, _) in REPORTS.items():
        answer = await desk.refusal(partial(getattr(desk.stub, method), request()))
        assert (answer.code, answer.reason) == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
        assert answer.fields == ["scope"]
    answer = await desk.refusal(lambda: desk.stub.RunWhatIfSweep(pb.RunWhatIfSweepRequest()))
    assert answer.fields == ["scope"]
    assert desk.workers.process_count == 0


async def test_a_report_waits_until_the_ledger_has_taken_in_what_the_caller_knows(
    desk: Desk,
) -> None:
    """Whoever has just recorded asks for a report with that in it."""
    options = pb.ReportOptions(after_sequence=101)
    call = desk.stub.GetGuardEffectiveness(
        pb.GetGuardEffectivenessRequest(scope=SCOPE, options=options)
    )
    await asyncio.sleep(0.05)
    assert not call.done()
    desk.settled = 101
    assert (await call).head.through_sequence == 77


async def test_a_deadline_that_passes_while_the_ledger_is_behind_says_so(desk: Desk) -> None:
    """Typed, before the transport's own end."""
    options = pb.ReportOptions(after_sequence=101)
    request = pb.GetGuardEffectivenessRequest(scope=SCOPE, options=options)
    answer = await desk.refusal(lambda: desk.stub.GetGuardEffectiveness(request, timeout=1))
    assert (answer.code, answer.reason) == (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_a_deadline_that_passes_while_a_worker_works_ends_the_work(
    desk: Desk, short_path: Path
) -> None:
    """The caller is told, and the next one gets a process that has nothing to do."""
    request = pb.ComparePerformanceRequest(scope=scope("sleep", str(short_path / "p")))
    answer = await desk.refusal(lambda: desk.stub.ComparePerformance(request, timeout=1))
    assert (answer.code, answer.reason) == (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert "deadline" in answer.message
    await desk.stub.ComparePerformance(pb.ComparePerformanceRequest(scope=SCOPE), timeout=20)


async def test_a_caller_that_leaves_ends_the_work(desk: Desk, short_path: Path) -> None:
    """Nobody waits behind a report that nobody wants."""
    told = short_path / "p"
    call = desk.stub.ComparePerformance(
        pb.ComparePerformanceRequest(scope=scope("sleep", str(told)))
    )
    await until(told.exists)
    call.cancel()
    # There is one worker: it would sleep for longer than this call waits.
    answer = await desk.stub.ComparePerformance(
        pb.ComparePerformanceRequest(scope=SCOPE), timeout=20
    )
    assert answer.head.through_sequence == 77


ENDS = {
    "die": (Code.UNAVAILABLE, "SERVER_FAULT", 5.0),
    "fail": (Code.UNAVAILABLE, "SERVER_FAULT", 5.0),
    "away": (Code.UNAVAILABLE, "STORE_UNAVAILABLE", 1.0),
}


@pytest.mark.parametrize("strategy", ENDS)
async def test_what_fails_in_a_worker_is_a_typed_error_of_its_own_caller(
    desk: Desk, strategy: str
) -> None:
    """A crash, a defect, a database that is away; the next report is made."""
    request = pb.GetSignalDecayRequest(scope=scope(strategy))
    answer = await desk.refusal(lambda: desk.stub.GetSignalDecay(request))
    assert (answer.code, answer.reason, answer.retry_after_s) == ENDS[strategy]
    await desk.stub.GetSignalDecay(pb.GetSignalDecayRequest(scope=SCOPE), timeout=20)


async def test_too_many_reports_are_told_when_to_come_back(short_path: Path) -> None:
    """OVERLOADED, with a time, and no longer than the others are at it."""
    told = short_path / "p"
    async with serving(queue_max=0) as desk:
        busy = desk.stub.GetSignalDecay(pb.GetSignalDecayRequest(scope=scope("sleep", str(told))))
        await until(told.exists)
        request = pb.GetSignalDecayRequest(scope=SCOPE)
        answer = await desk.refusal(lambda: desk.stub.GetSignalDecay(request))
        assert (answer.code, answer.reason) == (Code.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert answer.retry_after_s
        busy.cancel()


async def test_a_server_that_stops_ends_its_reports(short_path: Path) -> None:
    """Those that are being made and those that come: SHUTTING_DOWN, not a silence."""
    told = short_path / "p"
    async with serving() as desk:
        request = pb.GetSignalDecayRequest(scope=scope("sleep", str(told)))
        ending = asyncio.create_task(desk.refusal(lambda: desk.stub.GetSignalDecay(request)))
        await until(told.exists)
        desk.service.leave()
        late = await desk.refusal(lambda: desk.stub.GetSignalDecay(request))
        for answer in (await ending, late):
            assert (answer.code, answer.reason) == (Code.UNAVAILABLE, "SHUTTING_DOWN")


# -- learning reports on schedule ---------------------------------------------------------------


async def test_a_report_on_schedule_is_sent_back_as_it_was_made(desk: Desk) -> None:
    """No worker is asked; one that nobody made is NOT_FOUND."""
    request = pb.GetLearningReportRequest(report_id="daily-1")
    report = await desk.stub.GetLearningReport(request, timeout=20)
    assert (report.report_id, list(report.findings)) == ("daily-1", ["it cost"])
    assert desk.workers.process_count == 0
    unknown = pb.GetLearningReportRequest(report_id="none")
    answer = await desk.refusal(lambda: desk.stub.GetLearningReport(unknown))
    assert (answer.code, answer.reason) == (Code.NOT_FOUND, "NOT_FOUND")
    assert answer.fields == ["report_id"]


async def test_reports_on_schedule_are_listed_page_by_page(desk: Desk) -> None:
    """Newest first, each once, of one environment or all."""
    for environment, ids in ((0, [4, 3, 2, 1, 0]), (2, [3, 1])):
        found, token = [], ""
        while True:
            page = await desk.stub.ListLearningReports(
                pb.ListLearningReportsRequest(
                    environment=environment,  # type: ignore[arg-type]
                    page_size=2,
                    page_token=token,
                ),
                timeout=20,
            )
            assert len(page.reports) <= 2
            found += page.reports
            token = page.next_page_token
            if not token:
                break
        assert [each.report_id for each in found] == [f"daily-{n}" for n in ids]
        assert found[0].findings == [f"found {ids[0]}"]
        assert found[0].make_time.ToNanoseconds() == ids[0] * 10
        assert found[0].scope.end_time.ToNanoseconds() == 9


async def test_a_page_token_of_another_list_is_refused(desk: Desk) -> None:
    """As one that is damaged."""
    page = await desk.stub.ListLearningReports(
        pb.ListLearningReportsRequest(page_size=1), timeout=20
    )
    token = page.next_page_token
    for other in (
        pb.ListLearningReportsRequest(environment=1, page_token=token),  # type: ignore[arg-type]
        pb.ListLearningReportsRequest(page_token=token[:-4]),
        pb.ListLearningReportsRequest(page_token="x" * 5_000),
        pb.ListLearningReportsRequest(page_size=-1),
    ):
        answer = await desk.refusal(partial(desk.stub.ListLearningReports, other))
        assert answer.fields in (["page_token"], ["page_size"])
