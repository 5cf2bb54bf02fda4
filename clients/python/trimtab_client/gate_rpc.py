"""The server's verdict as an answer of the gate."""

from __future__ import annotations

from trimtab.v1 import signal_gate_service_pb2
from trimtab_client.gate_answer import (
    ALLOW,
    BREAKER_KIND,
    DENY,
    FROM_RPC,
    GATE_REASON,
    GATE_VERDICT,
    REDUCE,
    THRESHOLD_SCALE,
    GateAnswer,
    GateReason,
)
from trimtab_client.gate_entries import scope_of


def reason_of(told: signal_gate_service_pb2.GateReason) -> GateReason:
    """A reason as the server told it."""
    return GateReason(
        GATE_REASON.word(told.code),
        told.message,
        scope_of(told.scope) if told.HasField("scope") else None,
        told.until.ToNanoseconds() if told.HasField("until") else None,
        BREAKER_KIND.word(told.breaker_kind) if told.breaker_kind else "",
    )


def answer_of(
    verdict: signal_gate_service_pb2.SignalVerdict, revision: int, state: str
) -> GateAnswer:
    """The answer that a verdict is. A verdict that this client does not know denies."""
    word = GATE_VERDICT.word(verdict.verdict)
    known = word in (ALLOW, REDUCE)
    return GateAnswer(
        word if known else DENY,
        verdict.size_multiplier if known else 0.0,
        verdict.max_position_fraction if verdict.HasField("max_position_fraction") else None,
        verdict.probability if verdict.HasField("probability") else None,
        tuple(reason_of(told) for told in verdict.reasons),
        revision,
        FROM_RPC,
        state,
        verdict.applied_threshold if verdict.HasField("applied_threshold") else None,
        THRESHOLD_SCALE.word(verdict.threshold_scale) if verdict.threshold_scale else "",
    )
