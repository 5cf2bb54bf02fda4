"""Results of reports as messages: nothing of the contract stays empty, and what is no number stays
inside."""

import dataclasses
import math
import types
import typing
from collections.abc import Collection, Iterator
from typing import Any

import pytest

from trimtab.v1 import report_service_pb2 as pb
from trimtab_server.domain.ledger.columns import LedgerCounts
from trimtab_server.domain.reports.decay import SignalDecay
from trimtab_server.domain.reports.guards import GuardEffect, GuardLine
from trimtab_server.domain.reports.head import ReportHead
from trimtab_server.domain.reports.leaderboard import Leaderboard
from trimtab_server.domain.reports.learning_report import LearningReport
from trimtab_server.domain.reports.opportunity import BlockedOpportunityCost
from trimtab_server.domain.reports.performance import Performance, PerformanceComparison
from trimtab_server.domain.reports.portfolio import Identifiability
from trimtab_server.domain.reports.questions import ReportKind, ReportScope
from trimtab_server.domain.reports.what_if import ScenarioResult
from trimtab_server.domain.statistics.estimates import Estimate
from trimtab_server.errors import InvalidRequest
from trimtab_server.rpc import report_messages
from trimtab_server.rpc.report_messages import (
    RESPONSES,
    fill,
    report_bytes,
    scope_message,
    sweep_head_bytes,
    sweep_results_bytes,
)

RESULTS: dict[ReportKind, Any] = {
    ReportKind.LEARNING: LearningReport,
    ReportKind.OPPORTUNITY: BlockedOpportunityCost,
    ReportKind.GUARDS: tuple[GuardLine, ...],
    ReportKind.LEADERBOARD: Leaderboard,
    ReportKind.DECAY: SignalDecay,
    ReportKind.COMPARISON: PerformanceComparison,
    ReportKind.WHAT_IF: ScenarioResult,
}
SCOPE = ReportScope(2, "r", "s", "t", "u", 1_500_000_000, 2_000_000_000, 0.9)
HEAD = ReportHead(SCOPE, 3_000_000_000, "log", 9, LedgerCounts(signal_count=5), ("a note",), "page")
# Of a response, what the head and the request fill.
_BESIDE = {"head", "report_id"}


def names_of(kind: type[Any]) -> dict[str, Any]:
    """A dataclass's fields by the names that they have in a message, with their types."""
    hints = typing.get_type_hints(kind)
    found = {}
    for field in dataclasses.fields(kind):
        found[field.name] = hints[field.name]
        for unit in ("_ns", "_s"):
            if field.name.endswith(unit):
                found[field.name.removesuffix(unit)] = None
    return found


def held(kind: Any) -> Any:
    """The dataclass in a type: of a tuple's entries, of what may be None."""
    if dataclasses.is_dataclass(kind):
        return kind
    inside = [held(each) for each in typing.get_args(kind) if each is not types.NoneType]
    return next((each for each in inside if each is not None), None)


def unfilled(message: Any, kind: Any, skipped: Collection[str] = ()) -> Iterator[str]:
    """The fields of a message, all the way down, that no field of a dataclass fills."""
    names = names_of(kind)
    for field in message.fields:
        if field.name in skipped:
            continue
        path = f"{message.name}.{field.name}"
        if field.name not in names:
            yield path
        elif field.message_type is not None and "google." not in field.message_type.full_name:
            inner = held(names[field.name])
            if inner is None:
                yield path
            else:
                yield from unfilled(field.message_type, inner)


@pytest.mark.parametrize("kind", ReportKind)
def test_every_field_of_a_report_is_filled_by_a_result_s_field_of_its_name(
    kind: ReportKind,
) -> None:
    """A field that the contract has and no result knows would stay empty for ever."""
    shape, result = RESPONSES[kind], RESULTS[kind]
    message = shape.message.DESCRIPTOR
    if not shape.field:
        assert list(unfilled(message, held(result), _BESIDE)) == []
        return
    assert {field.name for field in message.fields} == {shape.field, "head"}
    part = message.fields_by_name[shape.field].message_type
    assert list(unfilled(part, held(result))) == []


def test_every_field_of_the_head_is_filled() -> None:
    """Scope, counts and notes too."""
    assert list(unfilled(pb.ReportHead.DESCRIPTOR, ReportHead)) == []


def test_a_field_that_nobody_fills_is_found() -> None:
    """The walk fails on a class that lacks a field, at any depth."""

    @dataclasses.dataclass
    class Lacking:
        scope: LedgerCounts
        make_time_ns: int

    found = list(unfilled(pb.ReportHead.DESCRIPTOR, Lacking))
    assert "ReportHead.counts" in found
    assert "ReportScope.environment" in found
    assert "ReportHead.make_time" not in found


def test_enums_of_results_have_the_contract_s_numbers() -> None:
    """They are sent as they are."""
    for ours, theirs, prefix in (
        (Identifiability, pb.Identifiability, "IDENTIFIABILITY_"),
        (GuardEffect, pb.GuardEffect, "GUARD_EFFECT_"),
    ):
        told = {f"{prefix}{each.name}": int(each) for each in ours}
        assert told == {name: number for name, number in theirs.items() if number}


def estimate(value: float | None = 0.5) -> Estimate:
    """An estimate with an interval."""
    return Estimate(value, -1.0, 2.0, 7, 5.5, 0.9, "a method", "a note")


def performance(**told: Any) -> Performance:
    """What some trades made."""
    parts = ("win_rate", "mean_return", "total_return", "sharpe_ratio", "profit_factor")
    values: dict[str, Any] = dict.fromkeys(parts, estimate())
    values |= {"name": "real", "trade_count": 3, "simulated_count": 0, "max_drawdown": 0.25}
    values |= dict.fromkeys(("total_pnl", "total_return_optimistic", "total_return_pessimistic"))
    return Performance(**(values | told))


def scenario(**told: Any) -> ScenarioResult:
    """What a scenario comes to."""
    values: dict[str, Any] = {
        "name": "calm",
        "actual": performance(),
        "scenario": performance(trade_count=4),
        "difference": estimate(),
        "difference_money": estimate(None),
        "kept_count": 3,
        "added_count": 1,
        "removed_count": 0,
        "pending_count": 0,
        "overlap_fraction": 0.75,
        "identifiability": Identifiability.SIMULATED,
        "reasons": ("simulated",),
        "outcomes_needed": None,
        "difference_at_once": None,
    }
    return ScenarioResult(**(values | told))


def test_a_report_is_sent_with_its_head() -> None:
    """Scope, times, counts, notes, what is written out; tuples, enums, what is absent."""
    body = report_bytes(ReportKind.WHAT_IF, HEAD, scenario())
    message = pb.RunWhatIfResponse.FromString(body)
    head = message.head
    assert (head.log_id, head.through_sequence, head.rendered) == ("log", 9, "page")
    assert (list(head.notes), head.counts.signal_count) == (["a note"], 5)
    assert head.make_time.ToNanoseconds() == 3_000_000_000
    assert (head.scope.start_time.ToNanoseconds(), head.scope.level) == (1_500_000_000, 0.9)
    result = message.result
    assert (result.scenario.trade_count, result.overlap_fraction) == (4, 0.75)
    assert result.identifiability == pb.IDENTIFIABILITY_SIMULATED
    assert list(result.reasons) == ["simulated"]
    assert not result.HasField("outcomes_needed")
    assert not result.HasField("difference_at_once")
    assert result.HasField("difference_money")
    assert not result.difference_money.HasField("value")
    assert not result.actual.HasField("total_pnl")
    assert result.actual.max_drawdown == 0.25


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_absent_or_refused(value: float) -> None:
    """It never leaves a report: absent where that is possible, else a defect that is told."""
    body = report_bytes(ReportKind.WHAT_IF, HEAD, scenario(overlap_fraction=value))
    assert not pb.RunWhatIfResponse.FromString(body).result.HasField("overlap_fraction")
    with pytest.raises(ValueError, match="effective_n"):
        fill(pb.Estimate(), dataclasses.replace(estimate(), effective_n=value))


def test_an_age_is_a_duration_or_trading_days() -> None:
    """One of them is told, as the contract has it."""
    days, wall = pb.MarkoutPoint(), pb.MarkoutPoint()
    kind = held(typing.get_type_hints(held(RESULTS[ReportKind.DECAY]))["all"])
    point = held(typing.get_type_hints(kind)["points"])
    age = held(typing.get_type_hints(point)["age"])
    fill(days, point(age(None, 7, "XNYS"), estimate()))
    fill(wall, point(age(1.5, 0, ""), estimate()))
    assert (days.age.WhichOneof("span"), days.age.calendar) == ("trading_days", "XNYS")
    assert wall.age.WhichOneof("span") == "duration"
    assert wall.age.duration.ToNanoseconds() == 1_500_000_000


def test_a_learning_report_on_schedule_tells_its_id() -> None:
    """One that was asked for has none."""
    board = Leaderboard((), 0, 0.05, ())
    assert board.lines == ()
    parts = ("comparison", "blocked", "guards", "strategies", "findings")
    learned: Any = types.SimpleNamespace(**dict.fromkeys(parts), report_id=None)
    learned.findings = ("it costs",)
    body = report_bytes(ReportKind.LEARNING, HEAD, learned, "daily-1")
    message = pb.GetLearningReportResponse.FromString(body)
    assert (message.report_id, list(message.findings)) == ("daily-1", ["it costs"])


def test_what_is_written_out_goes_when_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers are sent all the same, with a note; numbers that are too much are refused."""
    numbers = len(report_bytes(ReportKind.WHAT_IF, HEAD, scenario()))
    monkeypatch.setattr(report_messages, "RESPONSE_BYTES_MAX", numbers + 200)
    large = dataclasses.replace(HEAD, rendered="x" * 1_000)
    head = pb.RunWhatIfResponse.FromString(report_bytes(ReportKind.WHAT_IF, large, scenario())).head
    assert (head.rendered, len(head.notes)) == ("", 2)
    monkeypatch.setattr(report_messages, "RESPONSE_BYTES_MAX", 100)
    with pytest.raises(InvalidRequest) as refused:
        report_bytes(ReportKind.WHAT_IF, HEAD, scenario())
    assert [each.field for each in refused.value.violations] == ["scope"]


def test_the_parts_of_a_sweep_are_messages_of_it() -> None:
    """First the head, then results by their places, one of them the first."""
    message = pb.RunWhatIfSweepResponse.FromString(sweep_head_bytes(HEAD))
    assert (message.head.log_id, len(message.results)) == ("log", 0)
    body = sweep_results_bytes([(0, scenario()), (7, scenario(name="b"))])
    message = pb.RunWhatIfSweepResponse.FromString(body)
    assert [(each.index, each.result.name) for each in message.results] == [(0, "calm"), (7, "b")]
    assert not message.HasField("head")


def test_a_scope_is_sent_back_as_it_was_asked() -> None:
    """Every field of it; times of zero are absent."""
    message = scope_message(SCOPE)
    assert (message.environment, message.run_id, message.source) == (2, "r", "s")
    assert (message.strategy, message.symbol, message.level) == ("t", "u", 0.9)
    assert not scope_message(ReportScope(1)).HasField("end_time")
