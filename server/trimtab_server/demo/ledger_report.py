"""What the sidecar's ledger says of the demo's books: guards, what-if, simulated beside real.

Asked of the sidecar like anybody would: nothing here computes a number that it tells.
"""

from typing import Any

from trimtab_client import (
    Client,
    GuardEffect,
    GuardLine,
    Identifiability,
    Scenario,
    ScenarioResult,
    capital_limit,
    confidence_threshold,
    cost_change,
    guard_limit,
    guard_off,
    position_limit,
    report_scope,
    scenario,
)
from trimtab_client import Estimate as EstimateMessage
from trimtab_server.demo.guards import POSITION_FRACTION, Limits

TIMEOUT_S = 300.0
"""For one report: the ledger has to catch up with the log first."""


def ledger_report(
    client: Client, source: str, run_ids: dict[str, str], limits: Limits, threshold: float
) -> dict[str, Any]:
    """Plain values: by book its guards, its counts, simulated beside real; then what-if of the
    baseline book. Raises TrimtabError."""
    last = client.get_server_info().last_sequence
    books = {}
    for book, run_id in run_ids.items():
        scope = report_scope(source=source, environment="BACKTEST", run_id=run_id)
        guards = client.get_guard_effectiveness(
            scope=scope, after_sequence=last, timeout_s=TIMEOUT_S
        )
        compared = client.compare_performance(scope=scope, timeout_s=TIMEOUT_S).comparison
        counts = guards.head.counts
        books[book] = {
            "guards": [_guard(line) for line in guards.guards],
            "notes": list(guards.head.notes),
            "signal_count": counts.signal_count,
            "followed_count": counts.shadow_matured_count,
            "pending_count": counts.shadow_pending_count + counts.shadow_censored_count,
            "real_mean_return": _estimate(compared.real.mean_return),
            "simulated_mean_return": _estimate(compared.real_simulated.mean_return),
            "simulation_error": _estimate(compared.simulation_error),
        }
    scope = report_scope(source=source, environment="BACKTEST", run_id=run_ids["baseline"])
    rows = []
    for wanted in _scenarios(limits, threshold):
        answer = client.run_what_if(scope=scope, scenario=wanted, timeout_s=TIMEOUT_S)
        rows.append(_scenario(answer.result))
    return {"books": books, "what_if": rows}


def _scenarios(limits: Limits, threshold: float) -> list[Scenario]:
    """What a trader would ask of the baseline book."""
    return [
        scenario(confidence_threshold(threshold), name=f"confidence at least {threshold:.2f}"),
        scenario(guard_off("volatility"), name="without the volatility guard"),
        scenario(
            guard_limit("volatility", limits.volatility_max / 2),
            name=f"volatility limit {limits.volatility_max / 2:.1%} instead of "
            f"{limits.volatility_max:.1%}",
        ),
        scenario(guard_off("*"), name="without any guard"),
        scenario(position_limit(10), name="at most 10 positions at once"),
        scenario(
            capital_limit(limits.exposure_max / 2, position_fraction=POSITION_FRACTION),
            name=f"at most {limits.exposure_max / 2:.0%} of capital at once",
        ),
        scenario(cost_change(spread_multiplier=2.0), name="twice the slippage"),
    ]


def _estimate(message: EstimateMessage) -> dict[str, Any]:
    has_bounds = message.HasField("low") and message.HasField("high")
    return {
        "value": message.value if message.HasField("value") else None,
        "interval": [message.low, message.high] if has_bounds else None,
        "n": message.n,
        "note": message.note,
    }


def _guard(line: GuardLine) -> dict[str, Any]:
    return {
        "guard": line.guard,
        "memory": "stateless" if line.memory == 1 else "stateful",
        "evaluated_count": line.evaluated_count,
        "blocked_count": line.blocked_count,
        "blocked_alone_count": line.blocked_alone_count,
        "added_count": line.added_count,
        "removed_count": line.removed_count,
        "missed_profit": line.missed_profit if line.HasField("missed_profit") else None,
        "avoided_loss": line.avoided_loss if line.HasField("avoided_loss") else None,
        "guard_value": _estimate(line.value),
        "shapley_value": _estimate(line.shapley_value),
        "effect": _word(GuardEffect.Name(line.effect), "GUARD_EFFECT_"),
        "identifiability": _word(Identifiability.Name(line.identifiability), "IDENTIFIABILITY_"),
        "outcomes_needed": (line.outcomes_needed if line.HasField("outcomes_needed") else None),
        "note": line.note,
    }


def _scenario(result: ScenarioResult) -> dict[str, Any]:
    return {
        "scenario": result.name,
        "trade_count": result.scenario.trade_count,
        "actual_trade_count": result.actual.trade_count,
        "total_return": _estimate(result.scenario.total_return),
        "difference": _estimate(result.difference),
        "added_count": result.added_count,
        "removed_count": result.removed_count,
        "overlap": result.overlap_fraction if result.HasField("overlap_fraction") else None,
        "identifiability": _word(Identifiability.Name(result.identifiability), "IDENTIFIABILITY_"),
        "reasons": list(result.reasons),
        "outcomes_needed": (result.outcomes_needed if result.HasField("outcomes_needed") else None),
    }


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", " ")
