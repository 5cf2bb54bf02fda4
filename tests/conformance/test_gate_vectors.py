"""The gate's vectors: what every language's client, and the server's rules, must answer."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from tests.conformance.gate_domain import rule_set
from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab_client import GateSettings, SignalGate, override_path
from trimtab_client.event import ENVIRONMENT, to_duration, to_ns, to_timestamp
from trimtab_client.gate_answer import FRESH, GATE_REASON
from trimtab_client.gate_rules import GateRules, Question, World
from trimtab_server.domain.gate.signal_gate import Intent, Query, Scope, decide

VECTORS = Path(__file__).parent / "vectors"
CASES = json.loads((VECTORS / "gate_rules.json").read_text())["cases"]
TRACES = json.loads((VECTORS / "gate_lease.json").read_text())["traces"]
START = "2026-03-02T12:00:00Z"
SOURCE = "alpha-1"
QUERY = {"strategy": "momentum", "symbol": "AAPL", "model_name": "xgb", "intent": "ENTRY"}
NAMES = ("source", "strategy", "symbol", "model_name")


def time_ns(text: str) -> int:
    """Nanoseconds UTC of an RFC 3339 time with up to nine digits."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return to_ns(datetime.fromisoformat(whole + "+00:00")) + int(fraction.ljust(9, "0") or 0)


def world_of(case: dict[str, Any]) -> World:
    """The world of a case."""
    told = {"environment": "LIVE", "run_id": ""} | case.get("world", {})
    return World(SOURCE, ENVIRONMENT(told["environment"], "environment"), told["run_id"])


def asked(query: dict[str, Any]) -> dict[str, Any]:
    """A query with its defaults."""
    return QUERY | {"confidence": 0.8} | {k: v for k, v in query.items() if k != "expect"}


def names_of(scope: Any) -> dict[str, str]:
    """The names that a scope tells."""
    return {name: value for name, value in zip(NAMES, scope or (), strict=False) if value}


def told_of(expect: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """What was answered of what a vector expects."""
    return {name: told[name] for name in expect}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_client_judges_as_the_rules_say(case: dict[str, Any]) -> None:
    """From a snapshot that was over the wire, each query as the vector expects it."""
    snapshot = ParseDict(case["snapshot"], pb.GateSnapshot())
    rules = GateRules(world_of(case), snapshot)
    for query in case["queries"]:
        told = asked(query)
        question = Question(
            told["strategy"], told["symbol"], told["model_name"], told["intent"], "BUY"
        )
        plan = rules.plan(question, time_ns(told.get("at", START)), FRESH)
        answer = plan.fixed if plan.fixed is not None else plan.answer(told["confidence"])
        if answer is None:
            found: dict[str, Any] = {"verdict": "ASK"}
            reasons = plan.asking
        else:
            found, reasons = answer._asdict(), answer.reasons
            found["threshold_scale"] = answer.threshold_scale or None
        found["codes"] = [each.code for each in reasons]
        found["scopes"] = [names_of(each.scope) for each in reasons]
        assert told_of(query["expect"], found) == query["expect"], query


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_server_judges_as_the_rules_say(case: dict[str, Any]) -> None:
    """The same queries, by the server's own reading of the same text."""
    rules = rule_set(ParseDict(case["snapshot"], pb.GateSnapshot()))
    for query in case["queries"]:
        told = asked(query)
        scope = Scope(SOURCE, told["strategy"], told["symbol"], told["model_name"])
        intent = Intent.ENTRY if told["intent"] == "UNSPECIFIED" else Intent[told["intent"]]
        at_ns = time_ns(told.get("at", START))
        verdict = decide(rules, Query(scope, "s1", intent, told["confidence"]), at_ns, None)
        found = verdict._asdict() | {
            "verdict": verdict.kind.name,
            "codes": [each.code.name for each in verdict.reasons],
            "scopes": [names_of(each.scope) for each in verdict.reasons],
            "threshold_scale": verdict.threshold_scale.name if verdict.threshold_scale else None,
        }
        assert told_of(query["expect"], found) == query["expect"], query


class Trace:
    """One client in virtual time."""

    def __init__(self, trace: dict[str, Any], path: Path) -> None:
        self.path = path
        self.world = world_of(trace)
        self.on_unavailable = trace.get("on_unavailable", "OPEN")
        self.elapsed_ns = self.wall_ahead_ns = 0
        self.start_ns = time_ns(START)
        self.gate = self.started()

    def started(self) -> SignalGate:
        """A new process on the same disk."""
        return SignalGate(
            source=SOURCE,
            environment=self.world.environment,
            run_id=self.world.run_id,
            on_unavailable=self.on_unavailable,
            settings=GateSettings(gate_dir=self.path),
            monotonic_ns=lambda: 10**15 + self.elapsed_ns,
            wall_ns=lambda: self.start_ns + self.elapsed_ns + self.wall_ahead_ns,
        )

    def hear(self, step: dict[str, Any]) -> None:
        """A snapshot or renewal arrives."""
        told = step.get("snapshot")
        message = pb.WatchSignalGateResponse(
            log_id=step.get("log_id", "log-1"),
            boot_id=step.get("boot_id", "boot-1"),
            revision=step["revision"] if told is None else int(told["revision"]),
            former_log_ids=step.get("former_log_ids", ()),
        )
        sent_ns = self.elapsed_ns - round(step.get("late_s", 0.0) * 1e9)
        message.server_time.CopyFrom(to_timestamp(self.start_ns + sent_ns))
        if "uptime_s" in step:
            message.uptime.CopyFrom(to_duration(step["uptime_s"]))
        message.lease_ttl.CopyFrom(to_duration(6.0))
        if told is not None:
            ParseDict(told, message.snapshot)
        asked_ns = None
        if "asked_s" in step:
            asked_ns = 10**15 + self.elapsed_ns - round(step["asked_s"] * 1e9)
        assert self.gate.apply(message, asked_ns).value == step["becomes"], step
        # However slow the disk is: what waits for it is none of a trace's.
        assert self.gate._keeper.wait_written(60)

    def check(self, step: dict[str, Any]) -> None:
        """A question is answered as expected."""
        told = asked(step)
        told.pop("do")
        event_time = told.pop("event_time", None)
        told["event_time_ns"] = time_ns(event_time) if event_time else None
        answer = self.gate.check(side="BUY", **told)
        found = answer._asdict() | {"codes": list(answer.codes)}
        assert told_of(step["expect"], found) == step["expect"], step

    def run(self, step: dict[str, Any]) -> None:
        """One step."""
        match step["do"]:
            case "look":
                self.gate.tick()
            case "snapshot" | "renewal":
                self.hear(step)
            case "wait":
                self.elapsed_ns += round(step["seconds"] * 1e9)
            case "wall_clock":
                self.wall_ahead_ns += round(step["seconds"] * 1e9)
            case "restart":
                self.gate = self.started()
            case "fork":
                self.gate.reset_after_fork()
            case "damage":
                [file] = self.path.glob("*.heard")
                file.write_bytes(file.read_bytes()[:-1])
            case "override":
                file = override_path(SOURCE, self.world.environment, self.path)
                file.write_text(json.dumps(step["override"]))
            case "check":
                self.check(step)
            case other:
                raise AssertionError(f"unknown step {other}")


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace["name"])
def test_a_client_lives_as_its_trace_says(trace: dict[str, Any], tmp_path: Path) -> None:
    """Lease, silence, restart, fork, refusal, override: every answer on the way."""
    client = Trace(trace, tmp_path)
    for step in trace["steps"]:
        client.run(step)


def test_every_reason_of_a_client_is_reached() -> None:
    """A code that no vector expects would be tested by nobody; probes are the server's to grant."""
    expected = [q["expect"] for case in CASES for q in case["queries"]]
    expected += [s["expect"] for trace in TRACES for s in trace["steps"] if s["do"] == "check"]
    reached = {code for each in expected for code in each["codes"]}
    known = {GATE_REASON.word(n) for n in pb.GateReasonCode.values()} - {"UNSPECIFIED"}
    assert known - reached == {"PROBE_GRANTED", "PROBES_EXHAUSTED"}
    assert reached <= known
    assert {each["verdict"] for each in expected} == {"ALLOW", "REDUCE", "DENY", "ASK"}
