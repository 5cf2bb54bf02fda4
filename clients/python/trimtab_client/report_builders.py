"""What reports are asked with: scopes, slices, scenarios and their changes."""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.v1 import report_service_pb2
from trimtab_client.event import ENVIRONMENT, EnumWords, Time, Word, to_timestamp

ReportScope = report_service_pb2.ReportScope
Slice = report_service_pb2.Slice
Scenario = report_service_pb2.Scenario
ScenarioAxis = report_service_pb2.ScenarioAxis
Change = report_service_pb2.Change

REPORT_FORMAT = EnumWords(report_service_pb2.ReportFormat, "REPORT_FORMAT_")
LEADERBOARD_BASIS = EnumWords(report_service_pb2.LeaderboardBasis, "LEADERBOARD_BASIS_")
SLICE_FIELD = EnumWords(report_service_pb2.SliceField, "SLICE_FIELD_")


def report_scope(
    *,
    environment: Word,
    run_id: str = "",
    source: str = "",
    strategy: str = "",
    symbol: str = "",
    start_time: Time | None = None,
    end_time: Time | None = None,
    level: float = 0.0,
) -> ReportScope:
    """Which signals a report is about: of one environment (of BACKTEST one run), from start_time
    until before end_time; an empty name does not restrict. level: of the intervals, 0 = 0.95."""
    scope = ReportScope(run_id=run_id, source=source, strategy=strategy, symbol=symbol, level=level)
    scope.environment = ENVIRONMENT(environment, "environment")  # type: ignore[assignment]
    if start_time is not None:
        scope.start_time.CopyFrom(to_timestamp(start_time, "start_time"))
    if end_time is not None:
        scope.end_time.CopyFrom(to_timestamp(end_time, "end_time"))
    return scope


def slice_by_field(field: Word) -> Slice:
    """Signals by STRATEGY, SYMBOL, REGIME, SIDE or SOURCE."""
    return Slice(field=SLICE_FIELD(field, "field"))  # type: ignore[arg-type]


def slice_by_indicator(name: str, bin_count: int = 0) -> Slice:
    """Signals by a reading in indicator_values, cut into bins of about equal counts; 0 = 4."""
    return Slice(indicator=name, bin_count=bin_count)


def slice_by_feature(name: str, bin_count: int = 0) -> Slice:
    """Signals by a value in features, cut into bins of about equal counts; 0 = 4."""
    return Slice(feature=name, bin_count=bin_count)


def slice_by_attribute(name: str) -> Slice:
    """Signals by an attribute of the event."""
    return Slice(attribute=name)


def scenario(*changes: Change, name: str = "") -> Scenario:
    """Changes that hold together, 1 to 32. name: in words, "" = made of the changes."""
    return Scenario(name=name, changes=changes)


def scenario_axis(*changes: Change) -> ScenarioAxis:
    """One axis of a sweep's grid: the changes to choose from."""
    return ScenarioAxis(changes=changes)


def guard_off(guard: str) -> Change:
    """A guard is not there; "*" = none is."""
    return Change(guard_off=report_service_pb2.GuardOff(guard=guard))


def guard_limit(guard: str, limit: float) -> Change:
    """A guard's limit is another one, in its own unit; for guards of a known kind."""
    return Change(guard_limit=report_service_pb2.GuardLimit(guard=guard, limit=limit))


def confidence_threshold(threshold: float) -> Change:
    """Signals below this confidence, 0 to 1, are not taken; in the place of what held it before."""
    part = report_service_pb2.ConfidenceThreshold(threshold=threshold)
    return Change(confidence_threshold=part)


def expected_return_threshold(threshold: float, *, replaces_guard: str = "") -> Change:
    """Signals below this expected return, a fraction, are not taken. replaces_guard: the guard
    that holds the limit now, "" = none does."""
    part = report_service_pb2.ExpectedReturnThreshold(
        threshold=threshold, replaces_guard=replaces_guard
    )
    return Change(expected_return_threshold=part)


def model_weights(weights: Mapping[str, float]) -> Change:
    """Confidence is the mean of the models' probabilities with these weights, >= 0."""
    return Change(model_weights=report_service_pb2.ModelWeights(weights=weights))


def cost_change(*, fee_bps: float | None = None, spread_multiplier: float | None = None) -> Change:
    """Trading costs differ: the fee of each side in basis points of notional, what the spread is
    multiplied by; None = as it was."""
    part = report_service_pb2.CostChange(fee_bps=fee_bps, spread_multiplier=spread_multiplier)
    return Change(costs=part)


def position_limit(open_count_max: int, *, per_symbol: bool = False) -> Change:
    """At most so many positions at once, >= 1; per_symbol: of one symbol."""
    part = report_service_pb2.PositionLimit(open_count_max=open_count_max, per_symbol=per_symbol)
    return Change(position_limit=part)


def capital_limit(
    exposure_fraction_max: float, *, position_fraction: float | None = None
) -> Change:
    """At most so much of equity in positions at once. position_fraction: the size of a position
    whose own is not known, as a fraction of equity, None = 0.05."""
    part = report_service_pb2.CapitalLimit(
        exposure_fraction_max=exposure_fraction_max, position_fraction=position_fraction
    )
    return Change(capital_limit=part)
