"""The signal gate: a frozen rule set and a query give a verdict with its reasons.

The rules stand in words at the head of the contract's signal_gate_service.proto; clients answer by
them from a snapshot, and tests hold both to the same vectors.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import chain, islice
from typing import NamedTuple

from trimtab_server.domain.gate.calibrator_table import CalibratorTable, calibrated_probability


class TradingState(IntEnum):
    """What an operator ordered for a scope; the numbers are the contract's."""

    ACTIVE = 1
    REDUCING = 2
    HALTED = 3


class BreakerKind(IntEnum):
    """What a breaker watches; the numbers are the contract's."""

    EXECUTION_FAILURES = 1
    CONSECUTIVE_LOSSES = 2
    DRAWDOWN = 3
    LOSS_RATE = 4
    STALE_DATA = 5
    CRITICAL_DRIFT = 6


class Intent(IntEnum):
    """What a signal wants to do to the position; the numbers are the contract's."""

    ENTRY = 1
    REDUCE = 2
    EXIT = 3


class ThresholdScale(IntEnum):
    """What a threshold is held against; the numbers are the contract's."""

    CONFIDENCE = 1
    PROBABILITY = 2


class VerdictKind(IntEnum):
    """What the gate says; the numbers are the contract's. ASK: only the server can say."""

    ASK = 0
    ALLOW = 1
    REDUCE = 2
    DENY = 3


class GateReason(IntEnum):
    """Why; the numbers are the contract's. Of the reasons of clients only ASK_REQUIRED is here."""

    HALTED = 1
    EXITS_BLOCKED = 2
    REDUCING = 3
    BREAKER_OPEN = 4
    PROBE_GRANTED = 5
    PROBES_EXHAUSTED = 6
    CONFIDENCE_MISSING = 7
    BELOW_THRESHOLD = 8
    NOT_CALIBRATED = 9
    SIZE_LIMITED = 10
    ASK_REQUIRED = 11


class World(NamedTuple):
    """Where rules hold: an environment, and for BACKTEST one run of it (else run_id is empty)."""

    environment: int
    run_id: str


class Scope(NamedTuple):
    """What a rule of a world applies to; an empty name does not restrict."""

    source: str = ""
    strategy: str = ""
    symbol: str = ""
    model_name: str = ""

    @property
    def specificity(self) -> tuple[bool, bool, bool, bool]:
        """Larger = wins first among parameters: model, symbol, strategy, source."""
        return bool(self.model_name), bool(self.symbol), bool(self.strategy), bool(self.source)

    def concerns(self, asked: "Scope") -> bool:
        """Whether a rule of this scope may be meant for `asked`: no name that both tell differs."""
        # Written out: a world may hold thousands of rules, and a loop costs four times as much.
        source, strategy, symbol, model_name = asked
        return (
            (not source or not self[0] or source == self[0])
            and (not strategy or not self[1] or strategy == self[1])
            and (not symbol or not self[2] or symbol == self[2])
            and (not model_name or not self[3] or model_name == self[3])
        )

    def covers(self, asked: "Scope") -> bool:
        """Whether `asked` tells every name that this scope tells, and the same."""
        return all(not ours or ours == theirs for ours, theirs in zip(self, asked, strict=True))


class StateEntry(NamedTuple):
    """A trading state in force. Times are nanoseconds UTC; `until_ns` None = until somebody
    resumes."""

    scope: Scope
    state: TradingState
    block_exits: bool
    actor: str
    reason: str
    until_ns: int | None
    change_time_ns: int
    revision: int

    def holds_at(self, now_ns: int) -> bool:
        """Whether it has not ended by itself."""
        return self.until_ns is None or now_ns < self.until_ns


class OpenBreaker(NamedTuple):
    """A breaker that is not closed: OPEN, and from `open_until_ns` on HALF_OPEN (None = OPEN until
    somebody resets it). rule: of the policy; empty = tripped by hand."""

    scope: Scope
    kind: BreakerKind
    rule: str
    open_time_ns: int
    open_until_ns: int | None
    trip_count: int
    reason: str
    actor: str
    revision: int

    def is_half_open_at(self, now_ns: int) -> bool:
        """Whether its cool-down is over."""
        return self.open_until_ns is not None and now_ns >= self.open_until_ns


class Parameters(NamedTuple):
    """Parameters of a scope; None = not told here."""

    scope: Scope
    threshold: float | None = None
    threshold_scale: ThresholdScale | None = None
    size_multiplier: float | None = None
    max_position_fraction: float | None = None


class FallbackRule(NamedTuple):
    """What a client does for an ENTRY when the sidecar is silent and it was built OPEN."""

    confidence_threshold: float = 0.75
    confidence_multiplier: float = 0.8
    max_position_fraction: float = 0.02


class Query(NamedTuple):
    """One signal to be judged. confidence: as claimed, 0 to 1, or None."""

    scope: Scope
    signal_id: str
    intent: Intent
    confidence: float | None


class ReasonTold(NamedTuple):
    """One reason of a verdict: which rule, of which scope, in words, until when."""

    code: GateReason
    scope: Scope | None
    message: str
    until_ns: int | None = None
    breaker_kind: BreakerKind | None = None


class Verdict(NamedTuple):
    """What the gate says about one signal. size_multiplier: 0 for DENY and ASK, 1 for ALLOW."""

    kind: VerdictKind
    size_multiplier: float
    max_position_fraction: float | None
    probability: float | None
    reasons: tuple[ReasonTold, ...]
    threshold: float | None = None
    threshold_scale: ThresholdScale | None = None


GrantProbes = Callable[[Sequence[OpenBreaker], Query], Sequence[OpenBreaker]]
"""Takes a probe for this signal from each of these half-open breakers, or from none of them, and
returns those that have none left. Called only when nothing else denies."""

REASONS_MAX = 64
"""Most reasons that a verdict tells."""
# Scopes whose matches are remembered, and the entries in all of them together.
_MATCHES_MAX = 4_096
_MATCHED_MAX = 200_000


class _Match(NamedTuple):
    states: tuple[StateEntry, ...]
    breakers: tuple[OpenBreaker, ...]
    parameters: Parameters
    size_scope: Scope | None
    threshold_scope: Scope | None


@dataclass(frozen=True)
class RuleSet:
    """All rules of one world at one revision, swapped whole. Entries are kept in the contract's
    order, whatever order they are given in. always_closed: without the sidecar no ENTRY passes, not
    even in clients that were built OPEN."""

    revision: int
    states: tuple[StateEntry, ...] = ()
    breakers: tuple[OpenBreaker, ...] = ()
    parameters: tuple[Parameters, ...] = ()
    calibrators: tuple[CalibratorTable, ...] = ()
    fallback: FallbackRule = field(default_factory=FallbackRule)
    always_closed: bool = False
    _matches: dict[Scope, _Match] = field(default_factory=dict, compare=False, repr=False)
    _matched: list[int] = field(default_factory=lambda: [0], compare=False, repr=False)

    def __post_init__(self) -> None:
        states = sorted(self.states, key=lambda each: each.scope)
        breakers = sorted(self.breakers, key=lambda each: (each.scope, each.kind, each.rule))
        # Stable: of equally specific scopes the first given wins.
        parameters = sorted(self.parameters, key=lambda each: each.scope.specificity, reverse=True)
        object.__setattr__(self, "states", tuple(states))
        object.__setattr__(self, "breakers", tuple(breakers))
        object.__setattr__(self, "parameters", tuple(parameters))

    def match(self, asked: Scope) -> _Match:
        """What concerns a signal of this scope; remembered, because the same are asked again."""
        known = self._matches.get(asked)
        if known is None:
            known = self._find(asked)
            count = len(known.states) + len(known.breakers)
            if len(self._matches) >= _MATCHES_MAX or self._matched[0] + count > _MATCHED_MAX:
                self._matches.clear()
                self._matched[0] = 0
            self._matches[asked] = known
            self._matched[0] += count
        return known

    def _find(self, asked: Scope) -> _Match:
        fitting = [each for each in self.parameters if each.scope.covers(asked)]
        with_threshold = next((p for p in fitting if p.threshold is not None), None)
        with_size = next((p for p in fitting if p.size_multiplier is not None), None)
        with_limit = next((p for p in fitting if p.max_position_fraction is not None), None)
        sized = (with_size if with_size and with_size.size_multiplier != 1 else None) or with_limit
        return _Match(
            tuple(each for each in self.states if each.scope.concerns(asked)),
            tuple(each for each in self.breakers if each.scope.concerns(asked)),
            Parameters(
                asked,
                with_threshold.threshold if with_threshold else None,
                with_threshold.threshold_scale if with_threshold else None,
                with_size.size_multiplier if with_size else None,
                with_limit.max_position_fraction if with_limit else None,
            ),
            sized.scope if sized else None,
            with_threshold.scope if with_threshold else None,
        )

    def calibrator(self, model_name: str) -> CalibratorTable | None:
        """The model's own calibrator, else the one for any model."""
        own = (each for each in self.calibrators if each.model_name == model_name)
        shared = (each for each in self.calibrators if not each.model_name)
        return next(own, None) or next(shared, None)


def decide(rules: RuleSet, query: Query, now_ns: int, grant_probes: GrantProbes | None) -> Verdict:
    """The verdict about one signal at `now_ns` (nanoseconds UTC, the clock of the world).

    grant_probes: None answers ASK where a half-open breaker would have to be asked.
    """
    match = rules.match(query.scope)
    probability = _probability(rules, query)
    reasons = list(islice(_state_reasons(match.states, query.intent, now_ns), REASONS_MAX))
    if query.intent is not Intent.ENTRY:
        kind, size = (VerdictKind.DENY, 0.0) if reasons else (VerdictKind.ALLOW, 1.0)
        return Verdict(kind, size, None, probability, tuple(reasons))
    denials = chain(
        _open_reasons(match.breakers, now_ns), _threshold_reasons(match, query, probability)
    )
    reasons += islice(denials, REASONS_MAX - len(reasons))
    kind = VerdictKind.DENY if reasons else VerdictKind.ALLOW
    if match.breakers and not reasons:
        # None is open, so each is half-open.
        kind, reasons = _probing(match.breakers, query, grant_probes)
    told = match.parameters
    size = 1.0 if told.size_multiplier is None else told.size_multiplier
    limit = told.max_position_fraction
    if kind is not VerdictKind.ALLOW:
        size, limit = 0.0, None
    elif size < 1.0 or limit is not None:
        kind = VerdictKind.REDUCE
        words = f"size x {size:g}" + ("" if limit is None else f", at most {limit:g} of equity")
        reasons.append(ReasonTold(GateReason.SIZE_LIMITED, match.size_scope, words))
    return Verdict(
        kind, size, limit, probability, tuple(reasons), told.threshold, told.threshold_scale
    )


def entry_denials(rules: RuleSet, scope: Scope, now_ns: int) -> tuple[ReasonTold, ...]:
    """Why no ENTRY is possible in `scope` at all: states and open breakers that cover it. A
    half-open breaker may have a probe, so it does not count."""
    states = (each for each in rules.states if each.scope.covers(scope))
    breakers = (each for each in rules.breakers if each.scope.covers(scope))
    found = chain(_state_reasons(states, Intent.ENTRY, now_ns), _open_reasons(breakers, now_ns))
    return tuple(islice(found, REASONS_MAX))


def _state_reasons(
    states: Iterable[StateEntry], intent: Intent, now_ns: int
) -> Iterator[ReasonTold]:
    for each in states:
        if each.state is TradingState.ACTIVE or not each.holds_at(now_ns):
            continue
        if intent is Intent.ENTRY:
            is_halt = each.state is TradingState.HALTED
            code = GateReason.HALTED if is_halt else GateReason.REDUCING
        elif each.state is TradingState.HALTED and each.block_exits:
            code = GateReason.EXITS_BLOCKED
        else:
            continue
        word = "reducing" if code is GateReason.REDUCING else "halted"
        words = f"{word} by {each.actor}: {each.reason}"
        yield ReasonTold(code, each.scope, words, each.until_ns)


def _open_reasons(breakers: Iterable[OpenBreaker], now_ns: int) -> Iterator[ReasonTold]:
    for each in breakers:
        if not each.is_half_open_at(now_ns):
            yield _breaker_reason(GateReason.BREAKER_OPEN, each)


def _breaker_reason(code: GateReason, breaker: OpenBreaker) -> ReasonTold:
    name = breaker.kind.name.lower().replace("_", " ")
    words = {
        GateReason.BREAKER_OPEN: breaker.reason,
        GateReason.PROBE_GRANTED: "half-open, this signal is a probe",
        GateReason.PROBES_EXHAUSTED: "half-open, no probe is left for this signal",
        GateReason.ASK_REQUIRED: "half-open, only the sidecar grants probes: ask it (check_or_ask)",
    }[code]
    until = breaker.open_until_ns if code is GateReason.BREAKER_OPEN else None
    return ReasonTold(code, breaker.scope, f"{name}: {words}", until, breaker.kind)


def _probing(
    half_open: Sequence[OpenBreaker], query: Query, grant_probes: GrantProbes | None
) -> tuple[VerdictKind, list[ReasonTold]]:
    """What half-open breakers say about a signal that nothing else denies."""
    if grant_probes is None:
        return VerdictKind.ASK, _breaker_reasons(GateReason.ASK_REQUIRED, half_open)
    short = grant_probes(half_open, query)
    if short:
        return VerdictKind.DENY, _breaker_reasons(GateReason.PROBES_EXHAUSTED, short)
    return VerdictKind.ALLOW, _breaker_reasons(GateReason.PROBE_GRANTED, half_open)


def _breaker_reasons(code: GateReason, breakers: Sequence[OpenBreaker]) -> list[ReasonTold]:
    return [_breaker_reason(code, each) for each in breakers[:REASONS_MAX]]


def _probability(rules: RuleSet, query: Query) -> float | None:
    table = rules.calibrator(query.scope.model_name) if rules.calibrators else None
    if table is None or query.confidence is None:
        return None
    return calibrated_probability(table, query.confidence)


def _threshold_reasons(match: _Match, query: Query, probability: float | None) -> list[ReasonTold]:
    threshold, scale = match.parameters.threshold, match.parameters.threshold_scale
    if threshold is None:
        return []
    scope = match.threshold_scope
    if query.confidence is None:
        words = f"no confidence was told, and {threshold:g} is needed"
        return [ReasonTold(GateReason.CONFIDENCE_MISSING, scope, words)]
    if scale is ThresholdScale.CONFIDENCE:
        name, value = "confidence", query.confidence
    elif probability is None:
        words = f"a probability of {threshold:g} is needed, and no calibrator is in production"
        return [ReasonTold(GateReason.NOT_CALIBRATED, scope, words)]
    else:
        name, value = "probability", probability
    if value >= threshold:
        return []
    words = f"{name} {value:g} is below {threshold:g}"
    return [ReasonTold(GateReason.BELOW_THRESHOLD, scope, words)]
