"""What the signal gate answers, and the words that it uses."""

from __future__ import annotations

from typing import NamedTuple

from trimtab.v1 import event_pb2, signal_gate_service_pb2
from trimtab_client.event import EnumWords

BREAKER_KIND = EnumWords(signal_gate_service_pb2.BreakerKind, "BREAKER_KIND_")
BREAKER_STATE = EnumWords(signal_gate_service_pb2.BreakerState, "BREAKER_STATE_")
GATE_REASON = EnumWords(signal_gate_service_pb2.GateReasonCode, "GATE_REASON_CODE_")
GATE_VERDICT = EnumWords(signal_gate_service_pb2.GateVerdict, "GATE_VERDICT_")
THRESHOLD_SCALE = EnumWords(event_pb2.ThresholdScale, "THRESHOLD_SCALE_")
TRADING_STATE = EnumWords(signal_gate_service_pb2.TradingState, "TRADING_STATE_")

ALLOW, REDUCE, DENY = "ALLOW", "REDUCE", "DENY"
NO_LEASE, FRESH, STALE, EXPIRED = "NO_LEASE", "FRESH", "STALE", "EXPIRED"
FROM_LEASE, FROM_RPC, FROM_STALE, FROM_FALLBACK = "LEASE", "RPC", "STALE", "FALLBACK"


class GateScope(NamedTuple):
    """What a rule applies to; an empty name does not restrict."""

    source: str = ""
    strategy: str = ""
    symbol: str = ""
    model_name: str = ""

    def concerns(self, asked: GateScope) -> bool:
        """Whether a rule of this scope may be meant for `asked`: no name that both tell differs."""
        return all(
            not ours or not theirs or ours == theirs
            for ours, theirs in zip(self, asked, strict=True)
        )

    def covers(self, asked: GateScope) -> bool:
        """Whether `asked` tells every name that this scope tells, and the same."""
        return all(not ours or ours == theirs for ours, theirs in zip(self, asked, strict=True))

    def __str__(self) -> str:
        told = [f"{name}={value}" for name, value in self._asdict().items() if value]
        return " ".join(told) or "everything"


class GateReason(NamedTuple):
    """Why a signal was denied, made smaller, or let through under a condition.

    code: a GateReasonCode without its prefix, e.g. "HALTED". scope: of the state, breaker or
    parameters, None for reasons that have none. until_ns: when it ends by itself, nanoseconds UTC.
    breaker_kind: e.g. "DRAWDOWN", "" where no breaker spoke.
    """

    code: str
    message: str = ""
    scope: GateScope | None = None
    until_ns: int | None = None
    breaker_kind: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class SignalBlocked(Exception):
    """The gate denied a signal; `answer` says why. Not a TrimtabError: no call failed."""

    def __init__(self, answer: GateAnswer) -> None:
        super().__init__(answer.words or "denied")
        self.answer = answer

    @property
    def reasons(self) -> tuple[GateReason, ...]:
        """Why."""
        return self.answer.reasons


class GateAnswer(NamedTuple):
    """What the gate says about one signal; true when it may be emitted.

    verdict: "ALLOW", "REDUCE" (emit it, smaller) or "DENY". size_multiplier: multiply the intended
    size by it, 0 (DENY) to 1. max_position_fraction: largest position as a fraction of equity, None
    = no limit. probability: of a win, calibrated, None = not known. reasons: all that applied, in
    the order of the rules. revision: of the rules that answered, 0 = none were ever heard.
    gate_source: "LEASE", "STALE" (from a lease past two thirds of its time), "RPC" or "FALLBACK".
    state: of the lease, "FRESH", "STALE", "EXPIRED" or "NO_LEASE". threshold, threshold_scale: what
    the confidence or probability was held against, None and "" without.
    """

    verdict: str
    size_multiplier: float
    max_position_fraction: float | None
    probability: float | None
    reasons: tuple[GateReason, ...]
    revision: int
    gate_source: str
    state: str
    threshold: float | None = None
    threshold_scale: str = ""

    @property
    def allowed(self) -> bool:
        """Whether the signal may be emitted, as a whole or made smaller."""
        return self.verdict != DENY

    def __bool__(self) -> bool:
        return self.verdict != DENY

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the reasons."""
        return tuple(reason.code for reason in self.reasons)

    @property
    def words(self) -> str:
        """The reasons in words."""
        return "; ".join(map(str, self.reasons))

    def raise_if_denied(self) -> GateAnswer:
        """Itself. SignalBlocked with the reasons when the signal may not be emitted."""
        if self.verdict == DENY:
            raise SignalBlocked(self)
        return self
