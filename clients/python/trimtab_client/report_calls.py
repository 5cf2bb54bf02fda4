"""The reports' calls of `Client`: what the ledger says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from google.protobuf.message import Message

from trimtab.v1 import report_service_pb2
from trimtab_client.event import ENVIRONMENT, Word, to_duration
from trimtab_client.report_builders import (
    LEADERBOARD_BASIS,
    REPORT_FORMAT,
    Change,
    ReportScope,
    Scenario,
    ScenarioAxis,
    Slice,
)

GetLearningReportResponse = report_service_pb2.GetLearningReportResponse
ListLearningReportsResponse = report_service_pb2.ListLearningReportsResponse
GetBlockedOpportunityCostResponse = report_service_pb2.GetBlockedOpportunityCostResponse
GetGuardEffectivenessResponse = report_service_pb2.GetGuardEffectivenessResponse
GetStrategyLeaderboardResponse = report_service_pb2.GetStrategyLeaderboardResponse
GetSignalDecayResponse = report_service_pb2.GetSignalDecayResponse
ComparePerformanceResponse = report_service_pb2.ComparePerformanceResponse
RunWhatIfResponse = report_service_pb2.RunWhatIfResponse
RunWhatIfSweepResponse = report_service_pb2.RunWhatIfSweepResponse
ReportHead = report_service_pb2.ReportHead
Estimate = report_service_pb2.Estimate
Performance = report_service_pb2.Performance
GuardLine = report_service_pb2.GuardLine
GuardEffect = report_service_pb2.GuardEffect
Identifiability = report_service_pb2.Identifiability
LeaderboardLine = report_service_pb2.LeaderboardLine
ScenarioResult = report_service_pb2.ScenarioResult
SweepResult = report_service_pb2.SweepResult

# What is told of the contract field by field does as well as the message.
Told: TypeAlias = Mapping[str, Any]

R = TypeVar("R", bound=Message)

_REPORTS = "/trimtab.v1.ReportService/"
# A report takes seconds where other calls take milliseconds; a sweep takes minutes.
_REPORT_S = 60.0
_SWEEP_S = 600.0


class ReportCalls(ABC):
    """The reports' half of Client.

    Every report takes a scope (see `report_scope`); `format` MARKDOWN or HTML has it written out
    in `head.rendered` too; `after_sequence` waits until the ledger has taken in the log through
    it, so that what was just recorded counts. timeout_s: None = 60 s (600 s for a sweep). All
    raise InvalidArgument with the path of the field at fault, ResourceExhausted/OVERLOADED when
    all workers are busy for longer than that, and DeadlineExceeded.
    """

    @abstractmethod
    def _call(
        self,
        method: str,
        request: Message,
        answer: type[R],
        timeout_s: float | None,
        *,
        idempotent: bool = True,
    ) -> R:
        """One call within its budget."""

    @abstractmethod
    def _stream(
        self, method: str, request: Message, answer: type[R], timeout_s: float
    ) -> Iterator[R]:
        """The messages of a call that is opened once; closing the iterator ends it."""

    def get_learning_report(
        self,
        *,
        scope: ReportScope | Told | None = None,
        window_s: float | None = None,
        report_id: str = "",
        format: Word = 0,  # noqa: A002 - the contract's name
        after_sequence: int = 0,
        timeout_s: float | None = None,
    ) -> GetLearningReportResponse:
        """What was learned in a scope, or in the last `window_s` seconds of event time of it; or,
        by its id, one that was made on schedule (NotFound when there is none)."""
        request = report_service_pb2.GetLearningReportRequest(report_id=report_id)
        if scope is not None:
            request.scope.CopyFrom(_scope(scope))
        if window_s is not None:
            request.window.CopyFrom(to_duration(window_s))
        method = "GetLearningReport"
        return self._report(
            method, request, GetLearningReportResponse, format, after_sequence, timeout_s
        )

    def list_learning_reports(
        self,
        *,
        environment: Word = 0,
        page_size: int = 0,
        page_token: str = "",
        timeout_s: float | None = None,
    ) -> ListLearningReportsResponse:
        """One page of the reports that were made on schedule, newest first; page_size 0 = 100;
        environment 0 = all."""
        request = report_service_pb2.ListLearningReportsRequest(
            page_size=page_size, page_token=page_token
        )
        request.environment = ENVIRONMENT(environment, "environment")  # type: ignore[assignment]
        method = _REPORTS + "ListLearningReports"
        return self._call(method, request, ListLearningReportsResponse, timeout_s)

    def get_blocked_opportunity_cost(
        self,
        *,
        scope: ReportScope | Told,
        format: Word = 0,  # noqa: A002 - the contract's name
        after_sequence: int = 0,
        timeout_s: float | None = None,
    ) -> GetBlockedOpportunityCostResponse:
        """What blocked signals would have made: missed profit, avoided loss, net."""
        request = report_service_pb2.GetBlockedOpportunityCostRequest(scope=_scope(scope))
        method, answer = "GetBlockedOpportunityCost", GetBlockedOpportunityCostResponse
        return self._report(method, request, answer, format, after_sequence, timeout_s)

    def get_guard_effectiveness(
        self,
        *,
        scope: ReportScope | Told,
        format: Word = 0,  # noqa: A002 - the contract's name
        after_sequence: int = 0,
        timeout_s: float | None = None,
    ) -> GetGuardEffectivenessResponse:
        """What each guard costs or saves, or how many more outcomes it takes to tell."""
        request = report_service_pb2.GetGuardEffectivenessRequest(scope=_scope(scope))
        method, answer = "GetGuardEffectiveness", GetGuardEffectivenessResponse
        return self._report(method, request, answer, format, after_sequence, timeout_s)

    def get_strategy_leaderboard(
        self,
        *,
        scope: ReportScope | Told,
        slices: Iterable[Slice | Told] = (),
        basis: Word = "REAL",
        undeclared_trial_count: int = 0,
        format: Word = 0,  # noqa: A002 - the contract's name
        after_sequence: int = 0,
        timeout_s: float | None = None,
    ) -> GetStrategyLeaderboardResponse:
        """Strategies side by side, or slices (up to 3, see `slice_by_indicator` and the others).
        basis: REAL or SHADOW results. undeclared_trial_count: what was tried in notebooks."""
        request = report_service_pb2.GetStrategyLeaderboardRequest(
            scope=_scope(scope),
            slices=[each if isinstance(each, Slice) else Slice(**each) for each in slices],
            undeclared_trial_count=undeclared_trial_count,
        )
        request.basis = LEADERBOARD_BASIS(basis, "basis")  # type: ignore[assignment]
        method, answer = "GetStrategyLeaderboard", GetStrategyLeaderboardResponse
        return self._report(method, request, answer, format, after_sequence, timeout_s)

    def get_signal_decay(
        self,
        *,
        scope: ReportScope | Told,
        format: Word = 0,  # noqa: A002 - the contract's name
        after_sequence: int = 0,
        timeout_s: float | None = None,
    ) -> GetSignalDecayResponse:
        """How a signal's edge unfolds with age, and its half-life."""
        request = report_service_pb2.GetSignalDecayRequest(scope=_scope(scope))
        method, answer = "GetSignalDecay", GetSignalDecayResponse
        return self._report(method, request, answer, format, after_sequence, timeout_s)

    def compare_performance(
        self,
        *,
        scope: ReportScope | Told,
        format: Word = 0,  # noqa: A002 - the contract's name
        after_sequence: int = 0,
        timeout_s: float | None = None,
    ) -> ComparePerformanceResponse:
        """What really happened beside what would have happened without any guard."""
        request = report_service_pb2.ComparePerformanceRequest(scope=_scope(scope))
        method, answer = "ComparePerformance", ComparePerformanceResponse
        return self._report(method, request, answer, format, after_sequence, timeout_s)

    def run_what_if(
        self,
        *,
        scope: ReportScope | Told,
        scenario: Scenario | Told,
        format: Word = 0,  # noqa: A002 - the contract's name
        after_sequence: int = 0,
        timeout_s: float | None = None,
    ) -> RunWhatIfResponse:
        """The ledger recomputed under one scenario (see `scenario`)."""
        request = report_service_pb2.RunWhatIfRequest(
            scope=_scope(scope), scenario=_scenario(scenario)
        )
        method, answer = "RunWhatIf", RunWhatIfResponse
        return self._report(method, request, answer, format, after_sequence, timeout_s)

    def run_what_if_sweep(
        self,
        *,
        scope: ReportScope | Told,
        scenarios: Iterable[Scenario | Told] = (),
        axes: Iterable[ScenarioAxis | Iterable[Change | Told]] = (),
        after_sequence: int = 0,
        timeout_s: float | None = None,
    ) -> Iterator[RunWhatIfSweepResponse]:
        """Many scenarios at once, up to 1,000: those told, then every combination of one change of
        each axis. The first message has the head; each tells how many are done, and what was
        finished since the one before, by index. Closing the iterator ends the work in the sidecar.

        A sweep that breaks off is not begun again: it raises, and what came before stays good.
        """
        request = report_service_pb2.RunWhatIfSweepRequest(
            scope=_scope(scope), scenarios=map(_scenario, scenarios), axes=map(_axis, axes)
        )
        request.options.after_sequence = after_sequence
        return self._stream(
            _REPORTS + "RunWhatIfSweep",
            request,
            RunWhatIfSweepResponse,
            _SWEEP_S if timeout_s is None else timeout_s,
        )

    def _report(
        self,
        method: str,
        request: Any,
        answer: type[R],
        form: Word,
        after_sequence: int,
        timeout_s: float | None,
    ) -> R:
        request.options.format = REPORT_FORMAT(form, "format")
        request.options.after_sequence = after_sequence
        budget_s = _REPORT_S if timeout_s is None else timeout_s
        # A report that was late would be late again, and a worker would have begun it for nothing.
        return self._call(_REPORTS + method, request, answer, budget_s, idempotent=False)


def _scope(told: ReportScope | Told) -> ReportScope:
    return told if isinstance(told, ReportScope) else ReportScope(**told)


def _scenario(told: Scenario | Told) -> Scenario:
    return told if isinstance(told, Scenario) else Scenario(**told)


def _axis(told: ScenarioAxis | Iterable[Change | Told]) -> ScenarioAxis:
    if isinstance(told, ScenarioAxis):
        return told
    return ScenarioAxis(
        changes=[each if isinstance(each, Change) else Change(**each) for each in told]
    )
