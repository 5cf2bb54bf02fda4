"""The traces of vectors/breaker.json, which any implementation of breakers can be held to."""

import json
from datetime import date, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from trimtab_server.domain.events import Environment
from trimtab_server.domain.gate.breaker import granted, observed, probes_under_way, tripped_by_hand
from trimtab_server.domain.gate.breaker_record import (
    Breaker,
    BreakerRule,
    Probe,
    Sample,
    SampleKind,
    reset,
)
from trimtab_server.domain.gate.market_hours import MarketHours
from trimtab_server.domain.gate.signal_gate import BreakerKind, Scope, World
from trimtab_server.domain.gate.stale_data import ticked

FILE = Path(__file__).parent / "vectors" / "breaker.json"
TRACES: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))["traces"]
S = 10**9


def _rule(told: dict[str, Any] | None) -> BreakerRule | None:
    if told is None:
        return None
    return BreakerRule(
        name=told["name"],
        kind=BreakerKind[told["kind"]],
        limit=told["limit"],
        window_ns=told.get("window_s", 0) * S,
        count_min=told.get("count_min", 1),
        hours=_hours(told["hours"]) if "hours" in told else None,
        confirmation_count=told.get("confirmation_count", 1),
        cool_down_ns=told.get("cool_down_s", 300) * S,
        cool_down_ns_max=told.get("cool_down_s_max", 3_600) * S,
        cool_down_jitter=told.get("cool_down_jitter", 0.0),
        jitter_seed=told.get("jitter_seed", ""),
        probe_count_max=told.get("probe_count", 3),
        success_count_min=told.get("success_count", 3),
        probe_timeout_ns=told.get("probe_timeout_s", 86_400) * S,
    )


def _hours(told: dict[str, Any]) -> MarketHours:
    return MarketHours(
        ZoneInfo(told["timezone"]),
        time.fromisoformat(told["open"]),
        time.fromisoformat(told["close"]),
        tuple(told["days"]),
        tuple(date.fromisoformat(day) for day in told["holidays"]),
    )


def _samples(told: list[dict[str, Any]], breaker: Breaker) -> list[Sample]:
    return [
        Sample(
            SampleKind[each["kind"]],
            breaker.world,
            breaker.scope._replace(source=each.get("source", breaker.scope.source)),
            each.get("signal_id", ""),
            round(each["time_s"] * S),
            each.get("return_fraction"),
            each.get("won"),
        )
        for each in told
    ]


def _after(
    breaker: Breaker, rule: BreakerRule | None, step: dict[str, Any], now_ns: int
) -> Breaker:
    """The breaker after one step; a grant is held against what the step expects."""
    if "samples" in step:
        return observed(breaker, rule, _samples(step["samples"], breaker), now_ns)
    if "grant" in step:
        source = step.get("source", breaker.scope.source)
        asked = granted(breaker, rule, Probe(source, step["grant"], now_ns))
        assert (asked is not None) == step["granted"], step
        return asked or breaker
    if "trip" in step:
        told = step["trip"]
        cool_down_ns = None if told["cool_down_s"] is None else told["cool_down_s"] * S
        return tripped_by_hand(breaker, now_ns, cool_down_ns, told["reason"], told["actor"])
    if "reset" in step:
        return reset(breaker)
    if "tick" in step:
        assert rule is not None
        return ticked(breaker, rule, now_ns)
    return breaker


def _told(breaker: Breaker, rule: BreakerRule | None, now_ns: int) -> dict[str, Any]:
    return {
        "state": breaker.state_at(now_ns).name,
        "trip_count": breaker.trip_count,
        "open_until_ns": breaker.open_until_ns,
        "observed_value": breaker.observed_value,
        "success_count": breaker.success_count,
        "probe_count": len(probes_under_way(breaker, rule, now_ns)),
    }


def _start(trace: dict[str, Any]) -> Breaker:
    told = trace["breaker"]
    world = World(Environment[told["environment"]], told.get("run_id", ""))
    rule = trace["rule"]
    scope = Scope(**told["scope"])
    return Breaker(world, scope, BreakerKind[told["kind"]], rule["name"] if rule else "")


@pytest.mark.parametrize("trace", TRACES, ids=[trace["name"] for trace in TRACES])
def test_a_trace_is_followed(trace: dict[str, Any]) -> None:
    """After each step: the state, its counts, when it ends and what was measured."""
    breaker, rule = _start(trace), _rule(trace["rule"])
    for number, step in enumerate(trace["steps"]):
        now_ns = step["at_s"] * S
        breaker = _after(breaker, rule, step, now_ns)
        found = _told(breaker, rule, now_ns)
        for name, expected in step["expect"].items():
            about = f"step {number}: {name}"
            if name == "observed_value" and expected is not None:
                assert found[name] == pytest.approx(expected, rel=1e-9, abs=1e-12), about
            else:
                assert found[name] == expected, about


def test_the_traces_reach_everything() -> None:
    """Every kind of breaker, of sample, of step, and every state; names are unique."""
    text = FILE.read_text("utf-8")
    assert {trace["breaker"]["kind"] for trace in TRACES} == {kind.name for kind in BreakerKind}
    assert all(f'"{kind.name}"' in text for kind in SampleKind)
    steps = [step for trace in TRACES for step in trace["steps"]]
    assert {step["expect"].get("state") for step in steps} >= {"CLOSED", "OPEN", "HALF_OPEN"}
    assert {"samples", "grant", "trip", "reset", "tick"} <= {
        name for each in steps for name in each
    }
    assert len({trace["name"] for trace in TRACES}) == len(TRACES)
    assert all(len(step["expect"]) >= 1 for step in steps)
