"""What the gate answers when the sidecar cannot: the sticky denial, the override, the fallback."""

from __future__ import annotations

from typing import NamedTuple

from trimtab_client.gate_answer import (
    ALLOW,
    DENY,
    FROM_FALLBACK,
    NO_LEASE,
    REDUCE,
    GateAnswer,
    GateReason,
    GateScope,
)
from trimtab_client.gate_entries import ENTRY
from trimtab_client.gate_override import GateOverride
from trimtab_client.gate_rules import GateRules

_STICKY = GateReason(
    "STICKY_DENIAL", "it was denied when the sidecar was last heard, and nothing said otherwise"
)
_STARTING = GateReason(
    "STARTING", "the gate has just started: it does not know yet what was last heard or is in force"
)


class LastHeard(NamedTuple):
    """What a gate without a lease goes by.

    judged_ns: the world's clock when it was last heard. state: NO_LEASE or EXPIRED. is_starting:
    the disk or the sidecar may still tell something. unreadable: why what is on disk cannot be
    read. refusal: why the sidecar's snapshots are refused. override: in force now. built_closed:
    on_unavailable.
    """

    rules: GateRules
    judged_ns: int
    state: str
    is_starting: bool
    unreadable: str
    refusal: str
    override: GateOverride | None
    built_closed: bool


def absent_answer(
    heard: LastHeard, asked: GateScope, intent: int, confidence: float | None
) -> GateAnswer:
    """The answer without a lease. Absence never blocks an EXIT or REDUCE."""
    reasons = absence(heard)
    rules, state = heard.rules, heard.state
    if intent != ENTRY:
        return GateAnswer(ALLOW, 1.0, None, None, reasons, rules.revision, FROM_FALLBACK, state)
    if heard.is_starting:
        reasons = (*reasons, _STARTING)
    sticking = rules.last_denials(asked, heard.judged_ns)
    if sticking:
        sticking = (*sticking, _STICKY)
    elif heard.unreadable:
        sticking = (GateReason("LAST_STATE_UNREADABLE", heard.unreadable),)
    if sticking:
        override = heard.override
        if override is None or not override.covers(asked):
            return denied((*sticking, *reasons), heard)
        told = GateReason(
            "LOCAL_OVERRIDE", str(override), override.scope, until_ns=override.expires_ns
        )
        reasons = (told, *reasons)
    if heard.is_starting:
        return denied(reasons, heard)
    return fail_answer(rules, asked, state, reasons, confidence, built_closed=heard.built_closed)


def absence(heard: LastHeard) -> tuple[GateReason, ...]:
    """Why there is no lease."""
    if heard.state == NO_LEASE:
        reason = GateReason("NO_LEASE", "the sidecar was not heard yet")
    else:
        reason = GateReason("LEASE_EXPIRED", "the sidecar is silent")
    if not heard.refusal:
        return (reason,)
    return reason, GateReason("SNAPSHOT_REFUSED", heard.refusal)


def denied(reasons: tuple[GateReason, ...], heard: LastHeard) -> GateAnswer:
    """DENY for these reasons."""
    revision = heard.rules.revision
    return GateAnswer(DENY, 0.0, None, None, reasons, revision, FROM_FALLBACK, heard.state)


def tuned(rules: GateRules, asked: GateScope, confidence: float | None) -> GateAnswer:
    """What the parameters alone say about an ENTRY."""
    plan = rules.tuning(asked)
    answer = plan.fixed if plan.fixed is not None else plan.answer(confidence)
    assert answer is not None, "nothing is to be asked where there is no breaker"
    return answer


def fail_answer(
    rules: GateRules,
    asked: GateScope,
    state: str,
    reasons: tuple[GateReason, ...],
    confidence: float | None,
    *,
    built_closed: bool,
) -> GateAnswer:
    """What the fail policy says about an ENTRY that nobody else can answer: denied for `reasons`,
    or by the fallback rule, which is never looser than the parameters that were last heard."""
    revision = rules.revision
    if built_closed or rules.always_closed:
        return GateAnswer(DENY, 0.0, None, None, reasons, revision, FROM_FALLBACK, state)
    rule, theirs = rules.fallback, tuned(rules, asked, confidence)
    if not theirs:
        reasons = (*reasons, *theirs.reasons)
    threshold = rule.confidence_threshold
    is_below = confidence is None or confidence < threshold
    if is_below:
        told = "no confidence was told" if confidence is None else f"confidence {confidence:g}"
        words = f"{told}, and the fallback rule needs {threshold:g}"
        reasons = (*reasons, GateReason("BELOW_FALLBACK_THRESHOLD", words))
    held = (threshold, "CONFIDENCE") if theirs else (theirs.threshold, theirs.threshold_scale)
    if confidence is None or is_below or not theirs:
        return GateAnswer(DENY, 0.0, None, None, reasons, revision, FROM_FALLBACK, state, *held)
    size, limit = theirs.size_multiplier, rule.max_position_fraction
    if theirs.max_position_fraction is not None:
        limit = min(limit, theirs.max_position_fraction)
    words = f"the fallback rule let it pass, at most {limit:g} of equity"
    return GateAnswer(
        REDUCE,
        size,
        limit,
        round(confidence * rule.confidence_multiplier, 6),
        (*reasons, *theirs.reasons, GateReason("FALLBACK", words)),
        revision,
        FROM_FALLBACK,
        state,
        *held,
    )
