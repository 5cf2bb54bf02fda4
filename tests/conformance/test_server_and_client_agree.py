"""The server's rules and the client's are two readings of one text: they must not differ."""

from random import Random
from secrets import randbits

import pytest

from tests.conformance.gate_domain import rule_set
from tests.conformance.random_gate import (
    NOW_NS,
    SOURCE,
    GateQuery,
    random_query,
    random_snapshot,
)
from trimtab.v1 import event_pb2
from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab_client.gate_answer import FRESH
from trimtab_client.gate_rules import GateRules, Question, World
from trimtab_server.domain.gate.signal_gate import Intent, Query, RuleSet, Scope, decide

RULE_SETS = 10_000
QUERIES_EACH = 10
LIVE = World(SOURCE, event_pb2.ENVIRONMENT_LIVE, "")
# All that there is to differ in. ASK has no size, and its reasons are those of who has to be asked.
Told = tuple[object, ...]


def by_server(rules: RuleSet, query: GateQuery) -> Told:
    """What the server would say without granting a probe."""
    scope = Scope(SOURCE, query.strategy, query.symbol, query.model_name)
    asked = Query(scope, "s1", Intent[query.intent], query.confidence)
    verdict = decide(rules, asked, NOW_NS, None)
    reasons = tuple(
        (
            each.code.name,
            tuple(each.scope) if each.scope is not None else None,
            each.message,
            each.until_ns,
            each.breaker_kind.name if each.breaker_kind is not None else "",
        )
        for each in verdict.reasons
    )
    if verdict.kind.name == "ASK":
        return ("ASK", reasons)
    return (
        verdict.kind.name,
        verdict.size_multiplier,
        verdict.max_position_fraction,
        verdict.probability,
        verdict.threshold,
        verdict.threshold_scale.name if verdict.threshold_scale is not None else "",
        reasons,
    )


def by_client(rules: GateRules, query: GateQuery) -> Told:
    """What the client says from its lease."""
    question = Question(query.strategy, query.symbol, query.model_name, query.intent, "BUY")
    plan = rules.plan(question, NOW_NS, FRESH)
    answer = plan.fixed if plan.fixed is not None else plan.answer(query.confidence)
    told = plan.asking if answer is None else answer.reasons
    reasons = tuple(
        (
            each.code,
            tuple(each.scope) if each.scope is not None else None,
            each.message,
            each.until_ns,
            each.breaker_kind,
        )
        for each in told
    )
    if answer is None:
        return ("ASK", reasons)
    return (
        answer.verdict,
        answer.size_multiplier,
        answer.max_position_fraction,
        answer.probability,
        answer.threshold,
        answer.threshold_scale,
        reasons,
    )


@pytest.mark.timeout(300)
def test_server_and_client_give_the_same_answer_to_a_hundred_thousand_questions() -> None:
    """Verdict, sizes, probability, threshold and every reason in its order, to the last digit, also
    over the wire; and the questions reach every verdict and every reason of the rules."""
    seed = randbits(32)
    rng = Random(seed)
    verdicts: set[str] = set()
    codes: set[str] = set()
    for number in range(RULE_SETS):
        snapshot = random_snapshot(rng)
        sent = pb.GateSnapshot.FromString(snapshot.SerializeToString())
        server, client = rule_set(snapshot), GateRules(LIVE, sent)
        for _ in range(QUERIES_EACH):
            query = random_query(rng)
            ours, theirs = by_server(server, query), by_client(client, query)
            assert ours == theirs, f"seed {seed}, rule set {number}, {query}:\n{snapshot}"
            verdicts.add(str(ours[0]))
            codes.update(code for code, *_ in ours[-1])  # type: ignore[attr-defined]
    assert verdicts == {"ALLOW", "REDUCE", "DENY", "ASK"}
    assert codes == {
        *("HALTED", "EXITS_BLOCKED", "REDUCING", "BREAKER_OPEN", "ASK_REQUIRED"),
        *("CONFIDENCE_MISSING", "BELOW_THRESHOLD", "NOT_CALIBRATED", "SIZE_LIMITED"),
    }


def test_a_difference_would_be_seen() -> None:
    """The comparison is no formality: one rule more on one side is noticed."""
    rng = Random(1)
    differing = 0
    for _ in range(200):
        snapshot = random_snapshot(rng)
        server = rule_set(snapshot)
        halt = snapshot.trading_states.add(state=pb.TRADING_STATE_HALTED, actor="a", reason="b")
        halt.scope.environment = event_pb2.ENVIRONMENT_LIVE
        query = random_query(rng)._replace(intent="ENTRY")
        differing += by_server(server, query) != by_client(GateRules(LIVE, snapshot), query)
    assert differing == 200
