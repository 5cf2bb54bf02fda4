"""Why the gate answers as it does: every rule that was looked at and what it said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from trimtab_client.gate_answer import FRESH, STALE, GateAnswer, GateScope
from trimtab_client.gate_entries import ENTRY, FOREVER_NS
from trimtab_client.gate_offline import LastHeard, tuned
from trimtab_client.gate_plan import applied
from trimtab_client.gate_rules import GateRules


class GateFinding(NamedTuple):
    """What one rule said.

    rule: "lease", "trading_state", "breaker", "threshold", "calibrator", "size", "sticky",
    "override", "memory" or "fail_policy". outcome: "PASS", "DENY", "ASK", "LIMIT" or "INFO".
    """

    rule: str
    outcome: str
    message: str
    scope: GateScope | None = None


class GateExplanation(NamedTuple):
    """An answer, and every rule that was looked at in its order, those that passed too."""

    answer: GateAnswer
    findings: tuple[GateFinding, ...]

    def __str__(self) -> str:
        lines = [f"{self.answer.verdict} (revision {self.answer.revision})"]
        for each in self.findings:
            where = f" [{each.scope}]" if each.scope is not None else ""
            lines.append(f"  {each.outcome:<5} {each.rule}{where}: {each.message}")
        return "\n".join(lines)


class Asked(NamedTuple):
    """A question, its time by the world's clock, and what the lease was then."""

    scope: GateScope
    intent: int
    confidence: float | None
    at_ns: int


def explanation(answer: GateAnswer, asked: Asked, heard: LastHeard) -> GateExplanation:
    """Why `answer` was given."""
    rules, has_lease = heard.rules, answer.state in (FRESH, STALE)
    words = f"{answer.state.lower().replace('_', ' ')}, answered from {answer.gate_source}"
    found = [GateFinding("lease", "INFO", words)]
    if has_lease:
        found += _states(rules, asked, asked.at_ns)
        if asked.intent == ENTRY:
            found += _breakers(rules, asked, asked.at_ns)
            found += _parameters(rules, asked)
            if "ASK_REQUIRED" in answer.codes:
                found.append(_fail_policy(answer, heard))
    elif asked.intent == ENTRY:
        found += _states(rules, asked, heard.judged_ns)
        found += [
            GateFinding("breaker", "DENY", rule.denial().message, rule.scope)
            for rule in rules.concerned(asked.scope).breakers
        ]
        found += _absent(answer, heard, asked)
    return GateExplanation(answer, tuple(found))


def _states(rules: GateRules, asked: Asked, at_ns: int) -> Iterator[GateFinding]:
    for rule in rules.states:
        denial = rule.denial(asked.intent)
        if not rule.scope.concerns(asked.scope):
            said = ("PASS", f"another scope: {rule.words}")
        elif at_ns >= rule.until_ns:
            said = ("PASS", f"ended by itself: {rule.words}")
        elif denial is None:
            said = ("PASS", f"does not bind this intent: {rule.words}")
        else:
            said = ("DENY", rule.words)
        yield GateFinding("trading_state", *said, rule.scope)


def _breakers(rules: GateRules, asked: Asked, at_ns: int) -> Iterator[GateFinding]:
    for rule in rules.breakers:
        if not rule.scope.concerns(asked.scope):
            said = ("PASS", f"another scope: {rule.denial().message}")
        elif at_ns >= rule.half_open_ns:
            said = ("ASK", rule.asking().message)
        else:
            said = ("DENY", rule.denial().message)
        yield GateFinding("breaker", *said, rule.scope)


def _parameters(rules: GateRules, asked: Asked) -> Iterator[GateFinding]:
    concerned = rules.concerned(asked.scope)
    table, told = concerned.calibrator, applied(concerned.parameters)
    if table is None:
        yield GateFinding("calibrator", "INFO", "none is in production")
    elif asked.confidence is None:
        yield GateFinding("calibrator", "INFO", f"version {table.version}, no confidence was told")
    else:
        words = f"version {table.version}: {asked.confidence:g} becomes"
        yield GateFinding("calibrator", "INFO", f"{words} {table.probability(asked.confidence)}")
    if told.threshold is None:
        yield GateFinding("threshold", "PASS", "none is told")
    else:
        # Not from the answer: what else denies keeps silent about them.
        said = tuned(rules, asked.scope, asked.confidence)
        words = f"{told.threshold_scale.lower()} reaches {told.threshold:g}"
        outcome = ("PASS", words) if said else ("DENY", said.reasons[0].message)
        yield GateFinding("threshold", *outcome, told.threshold_scope)
    limits = told.limit_reasons()
    outcome = ("LIMIT", limits[0].message) if limits else ("PASS", "not limited")
    yield GateFinding("size", *outcome, told.size_scope if limits else None)


def _absent(answer: GateAnswer, heard: LastHeard, asked: Asked) -> Iterator[GateFinding]:
    if heard.is_starting:
        yield GateFinding("memory", "DENY", answer.reasons[-1].message)
    if heard.unreadable:
        yield GateFinding("memory", "DENY", heard.unreadable)
    elif heard.judged_ns > -FOREVER_NS:
        yield GateFinding("memory", "INFO", f"last heard at {heard.judged_ns} ns UTC")
    if heard.refusal:
        yield GateFinding("memory", "INFO", heard.refusal)
    if "STICKY_DENIAL" in answer.codes:
        yield GateFinding("sticky", "DENY", "what was heard last denied it")
    said = "none is in force" if heard.override is None else str(heard.override)
    yield GateFinding("override", "PASS" if "LOCAL_OVERRIDE" in answer.codes else "INFO", said)
    if "STICKY_DENIAL" not in answer.codes and not heard.is_starting:
        yield from _parameters(heard.rules, asked)
        yield _fail_policy(answer, heard)


def _fail_policy(answer: GateAnswer, heard: LastHeard) -> GateFinding:
    """What the fail policy said."""
    if heard.built_closed:
        return GateFinding("fail_policy", "DENY", "the gate was built CLOSED")
    if heard.rules.always_closed:
        return GateFinding("fail_policy", "DENY", "the sidecar's policy is CLOSED")
    rule = heard.rules.fallback
    words = (
        f"fallback: confidence {rule.confidence_threshold:g} is needed, at most"
        f" {rule.max_position_fraction:g} of equity, and never more than the parameters allow"
    )
    return GateFinding("fail_policy", "LIMIT" if answer else "DENY", words)
