"""Answers of ReportService by hand, as a sidecar sends them: with everything, and with nothing."""

from typing import Any

from google.protobuf.duration_pb2 import Duration

from trimtab.v1 import event_pb2
from trimtab.v1 import report_service_pb2 as pb

NASTY = 'vol|a<b>*c*_d_[x](http://e)`f`&amp;"' + "é" * 20
"""A name of 56 characters with everything that Markdown, HTML and a terminal might take amiss."""


def estimate(value: float, low: float | None = None, high: float | None = None) -> pb.Estimate:
    """An estimate of 400 observations; without bounds its note says why."""
    told = pb.Estimate(value=value, low=low, high=high, n=400, effective_n=120.0, level=0.95)
    told.method = "studentised calendar-block bootstrap"
    told.note = "" if low is not None else "outcomes in only 4 blocks: too few for an interval"
    return told


def unknown() -> pb.Estimate:
    """An estimate without a value."""
    return pb.Estimate(n=0, level=0.95, note="no outcomes")


def head(**counts: int) -> pb.ReportHead:
    """The head of a report on a paper run in 2024."""
    told = pb.ReportHead(log_id="log-1", through_sequence=12_345, notes=["prices are coarse"])
    told.scope.environment = event_pb2.ENVIRONMENT_PAPER
    told.scope.run_id = "r|1"
    told.scope.level = 0.95
    told.scope.start_time.FromJsonString("2024-01-01T00:00:00Z")
    told.scope.end_time.FromJsonString("2024-06-30T12:30:00Z")
    told.make_time.FromJsonString("2024-07-01T00:00:05Z")
    given = {"signal_count": 900, "approved_count": 488, "blocked_count": 412} | counts
    given = {"shadow_matured_count": 880, "shadow_pending_count": 20, "outcome_count": 480} | given
    for name, count in given.items():
        setattr(told.counts, name, count)
    return told


def performance(name: str, simulated_count: int = 0, trade_count: int = 488) -> pb.Performance:
    """A set of trades that made 12.3 stakes."""
    return pb.Performance(
        name=name,
        trade_count=trade_count,
        simulated_count=simulated_count,
        win_rate=estimate(0.53, 0.49, 0.57),
        mean_return=estimate(0.0021, -0.0004, 0.0046),
        total_return=estimate(12.3, -2.1, 26.0),
        sharpe_ratio=estimate(1.1, -0.2, 2.4),
        profit_factor=estimate(1.2),
        max_drawdown=3.4,
        total_pnl=12_345.6,
        total_return_optimistic=14.0,
        total_return_pessimistic=10.0,
    )


def guard(name: str = "volatility", **told: Any) -> pb.GuardLine:
    """A guard that seems to have cost 3.1 stakes."""
    line = pb.GuardLine(
        guard=name,
        memory=event_pb2.GUARD_MEMORY_STATELESS,
        evaluated_count=900,
        blocked_count=412,
        blocked_alone_count=300,
        matured_count=290,
        identifiability=pb.IDENTIFIABILITY_SIMULATED,
        effect=pb.GUARD_EFFECT_UNDECIDED,
        value=estimate(-3.1, -7.2, 1.0),
        value_per_signal=estimate(-0.01, -0.02, 0.003),
        value_money=estimate(-3_100.0, -7_200.0, 1_000.0),
        shapley_value=estimate(-2.0, -5.0, 1.0),
        missed_profit=10.0,
        avoided_loss=6.9,
        value_optimistic=-5.0,
        value_pessimistic=-1.0,
        added_count=300,
        outcomes_needed=900,
    )
    for field, value in told.items():
        if value is None:
            line.ClearField(field)
        elif hasattr(value, "CopyFrom") or hasattr(value, "DESCRIPTOR"):
            getattr(line, field).CopyFrom(value)
        else:
            setattr(line, field, value)
    return line


def guards() -> pb.GetGuardEffectivenessResponse:
    """Four guards: undecided, one that helps, one that cannot be told, one with a nasty name."""
    return pb.GetGuardEffectivenessResponse(
        head=head(),
        guards=[
            guard(),
            guard(
                "spread",
                effect=pb.GUARD_EFFECT_HELPS,
                value=estimate(4.0, 1.0, 7.0),
                outcomes_needed=None,
            ),
            guard(
                "drawdown",
                memory=event_pb2.GUARD_MEMORY_STATEFUL,
                effect=pb.GUARD_EFFECT_NOT_IDENTIFIABLE,
                identifiability=pb.IDENTIFIABILITY_NOT_IDENTIFIABLE,
                value=unknown(),
                shapley_value=None,
                value_money=None,
                outcomes_needed=None,
                note="it depends on earlier trades, and its kind is not known",
            ),
            guard(NASTY, value=unknown(), outcomes_needed=None),
        ],
    )


def blocked() -> pb.GetBlockedOpportunityCostResponse:
    """412 blocked signals whose net cost is not decided."""
    answer = pb.GetBlockedOpportunityCostResponse(head=head())
    cost = answer.cost
    cost.blocked_count, cost.matured_count, cost.outcomes_needed = 412, 400, 900
    cost.missed_profit.CopyFrom(estimate(10.0, 7.0, 13.0))
    cost.avoided_loss.CopyFrom(estimate(6.9, 5.0, 9.0))
    cost.net_opportunity_cost.CopyFrom(estimate(3.1, -1.0, 7.2))
    cost.net_opportunity_cost_optimistic = 5.0
    cost.net_opportunity_cost_pessimistic = 1.0
    cost.missed_profit_money = 10_000.0
    cost.win_rate.CopyFrom(estimate(0.52, 0.47, 0.57))
    for name in ("volatility", NASTY):
        cost.blockers.add(
            guard=name, blocked_count=300, blocked_alone_count=200, missed_profit=7, avoided_loss=4
        )
    return answer


def line(name: str, *, significant: bool = False) -> pb.LeaderboardLine:
    """A strategy."""
    return pb.LeaderboardLine(
        name=name,
        signal_count=500,
        performance=performance(name, 120),
        shrunk_mean_return=0.001,
        probabilistic_sharpe=0.9,
        deflated_sharpe=0.41,
        p_value=0.07,
        q_value=0.31,
        significant=significant,
        outcomes_needed=1_200,
    )


def leaderboard() -> pb.GetStrategyLeaderboardResponse:
    """Two strategies, one of which stands out."""
    return pb.GetStrategyLeaderboardResponse(
        head=head(),
        lines=[line("momentum", significant=True), line(NASTY)],
        trial_count=12,
        false_discovery_rate=0.05,
    )


def curve(strategy: str) -> pb.DecayCurve:
    """An edge that peaks after an hour."""
    told = pb.DecayCurve(
        strategy=strategy,
        half_life_s=estimate(900.0, 300.0, 4_000.0),
        peak_age_s=3_600.0,
        execution_delay_s=estimate(1.2, 0.9, 1.5),
    )
    for age_s, value in ((60, 0.0004), (3_600, 0.0021), (86_400, 0.0011)):
        age = event_pb2.Horizon(duration=Duration(seconds=age_s))
        told.points.add(age=age, mean_return=estimate(value, value - 0.001, value + 0.001))
    age = event_pb2.Horizon(trading_days=7, calendar="XNYS")
    told.points.add(age=age, mean_return=estimate(-0.0002))
    return told


def horizon(days: int, value: float, **changes: Any) -> pb.HorizonResult:
    """What signals made over so many trading days."""
    told: dict[str, Any] = {
        "matured_count": 640,
        "mean_return": estimate(value, value - 0.002, value + 0.002),
        "mean_mfe": estimate(0.021, 0.018, 0.024),
        "mean_mae": estimate(0.017, 0.015, 0.019),
        "mean_realized_volatility": estimate(0.0008, 0.0007, 0.0009),
    }
    span = event_pb2.Horizon(trading_days=days, calendar="XNYS")
    return pb.HorizonResult(horizon=span, **told | changes)


def decay() -> pb.GetSignalDecayResponse:
    """All signals, two strategies and three horizons, the last with too little data."""
    few: dict[str, Any] = {n: estimate(0.03) for n in ("mean_return", "mean_mfe", "mean_mae")}
    few["mean_realized_volatility"] = unknown()
    return pb.GetSignalDecayResponse(
        head=head(),
        all=curve(""),
        strategies=[curve("momentum"), curve(NASTY)],
        horizons=[
            horizon(1, 0.0012),
            horizon(7, 0.0031, young_count=3),
            horizon(30, 0.0, matured_count=12, censored_count=40, **few),
        ],
    )


def comparison_part() -> pb.PerformanceComparison:
    """Approved signals seem to have done better."""
    return pb.PerformanceComparison(
        real=performance("what happened"),
        real_simulated=performance("the same, simulated", 488),
        unfiltered=performance("without any guard", 880, 880),
        selection_effect=estimate(0.0006, -0.001, 0.0022),
        simulation_error=estimate(-0.0001, -0.0004, 0.0002),
        closed_win_rate=estimate(0.41, 0.37, 0.45),
        matured_win_rate=estimate(0.5, 0.46, 0.54),
        competing_risks_win_rate=estimate(0.49, 0.45, 0.53),
        win_holding_s=90_000.0,
        loss_holding_s=7_000.0,
    )


def comparison() -> pb.ComparePerformanceResponse:
    """Real against unfiltered."""
    return pb.ComparePerformanceResponse(head=head(), comparison=comparison_part())


def learning() -> pb.GetLearningReportResponse:
    """All parts together."""
    return pb.GetLearningReportResponse(
        head=head(),
        comparison=comparison_part(),
        blocked=blocked().cost,
        guards=guards().guards,
        strategies=leaderboard().lines,
        findings=["The spread guard helps.", f"{NASTY} is not decided."],
    )


def scenario(name: str = "without the volatility guard", value: float = 3.1) -> pb.ScenarioResult:
    """A scenario that seems to have made more."""
    return pb.ScenarioResult(
        name=name,
        actual=performance("as it was decided", 488),
        scenario=performance("as it would have been", 788, 788),
        difference=estimate(value, value - 4.1, value + 4.1),
        difference_at_once=estimate(value, value - 7.2, value + 7.2),
        difference_money=estimate(3_100.0, -1_000.0, 7_200.0),
        kept_count=488,
        added_count=300,
        pending_count=12,
        overlap_fraction=0.62,
        identifiability=pb.IDENTIFIABILITY_SIMULATED,
        reasons=["results of blocked signals are simulated"],
        outcomes_needed=900,
    )


def what_if() -> pb.RunWhatIfResponse:
    """One scenario."""
    return pb.RunWhatIfResponse(head=head(), result=scenario())


def nothing() -> dict[str, Any]:
    """The same answers of a scope without any signal: by kind of report."""
    empty = pb.ReportHead(log_id="log-1")
    empty.scope.environment = event_pb2.ENVIRONMENT_LIVE
    none = {name: unknown() for name in _RATES}
    bare = pb.Performance(name="nothing", **none)  # type: ignore[arg-type]
    compared = pb.PerformanceComparison(real=bare, real_simulated=bare, unfiltered=bare)
    for name in (
        *("selection_effect", "simulation_error", "closed_win_rate", "matured_win_rate"),
        "competing_risks_win_rate",
    ):
        getattr(compared, name).CopyFrom(unknown())
    cost = pb.BlockedOpportunityCost(
        missed_profit=unknown(),
        avoided_loss=unknown(),
        net_opportunity_cost=unknown(),
        win_rate=unknown(),
    )
    flat = pb.DecayCurve(half_life_s=unknown(), execution_delay_s=unknown())
    result = pb.ScenarioResult(name="x", actual=bare, scenario=bare, difference=unknown())
    return {
        "guards": pb.GetGuardEffectivenessResponse(head=empty),
        "opportunity": pb.GetBlockedOpportunityCostResponse(head=empty, cost=cost),
        "leaderboard": pb.GetStrategyLeaderboardResponse(head=empty),
        "decay": pb.GetSignalDecayResponse(head=empty, all=flat),
        "comparison": pb.ComparePerformanceResponse(head=empty, comparison=compared),
        "learning": pb.GetLearningReportResponse(head=empty, comparison=compared, blocked=cost),
        "what_if": pb.RunWhatIfResponse(head=empty, result=result),
    }


_RATES = ("win_rate", "mean_return", "total_return", "sharpe_ratio", "profit_factor")


def everything() -> dict[str, Any]:
    """Full answers by kind of report."""
    return {
        "guards": guards(),
        "opportunity": blocked(),
        "leaderboard": leaderboard(),
        "decay": decay(),
        "comparison": comparison(),
        "learning": learning(),
        "what_if": what_if(),
    }
