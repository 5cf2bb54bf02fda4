"""The signal gate between domain and contract: what is sent back."""

from collections.abc import Iterable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab_server.domain.gate.breaker import probes_under_way, probing_rule
from trimtab_server.domain.gate.breaker_record import Breaker, BreakerRule, BreakerState
from trimtab_server.domain.gate.signal_gate import (
    FallbackRule,
    OpenBreaker,
    Parameters,
    ReasonTold,
    RuleSet,
    Scope,
    StateEntry,
    Verdict,
    VerdictKind,
    World,
)
from trimtab_server.rpc.convert import timestamp

# Most reasons come again and again, with the same words.
_REASONS_MAX = 4_096
# A snapshot of more entries than this tells their reasons in fewer characters: it has to fit into
# one message, and callers take 4 MiB.
_ENTRIES_IN_FULL = 1_000
_IN_FULL, _SHORT = 1_024, 64
_DENY = int(VerdictKind.DENY)


class Verdicts:
    """Turns verdicts into messages; remembers those of reasons."""

    def __init__(self) -> None:
        self._reasons: dict[tuple[World, ReasonTold], pb.GateReason] = {}

    def message(self, world: World, signal_id: str, verdict: Verdict) -> pb.SignalVerdict:
        """The verdict about a signal as callers get it."""
        kind, size, limit, probability, reasons, threshold, scale = verdict
        message = pb.SignalVerdict(
            signal_id=signal_id,
            verdict=int(kind),  # type: ignore[arg-type]  # the same numbers
            size_multiplier=size,
            max_position_fraction=limit,
            probability=probability,
            applied_threshold=threshold,
            threshold_scale=scale or 0,  # type: ignore[arg-type]  # the same numbers
        )
        if reasons:
            message.reasons.extend(self.reasons(world, reasons))
        return message

    def reasons(self, world: World, told: Iterable[ReasonTold]) -> list[pb.GateReason]:
        """Reasons as callers get them."""
        return [self._reason(world, each) for each in told]

    def _reason(self, world: World, told: ReasonTold) -> pb.GateReason:
        known = self._reasons.get((world, told))
        if known is None:
            known = pb.GateReason(
                code=int(told.code),  # type: ignore[arg-type]  # the same numbers
                scope=None if told.scope is None else scope_message(world, told.scope),
                message=told.message,
                until=maybe_timestamp(told.until_ns),
                breaker_kind=int(told.breaker_kind or 0),  # type: ignore[arg-type]
            )
            if len(self._reasons) >= _REASONS_MAX:
                self._reasons.clear()
            self._reasons[world, told] = known
        return known


def is_passing(verdict: Verdict) -> bool:
    """Whether the signal may be emitted."""
    return int(verdict.kind) != _DENY


def scope_message(world: World, scope: Scope) -> pb.GateScope:
    """A scope as callers get it."""
    return pb.GateScope(
        environment=world.environment,  # type: ignore[arg-type]  # the same numbers
        run_id=world.run_id,
        source=scope.source,
        strategy=scope.strategy,
        symbol=scope.symbol,
        model_name=scope.model_name,
    )


def state_message(world: World, entry: StateEntry) -> pb.TradingStateEntry:
    """A trading state as callers get it."""
    return pb.TradingStateEntry(
        scope=scope_message(world, entry.scope),
        state=int(entry.state),  # type: ignore[arg-type]  # the same numbers
        block_exits=entry.block_exits,
        actor=entry.actor,
        reason=entry.reason,
        until=maybe_timestamp(entry.until_ns),
        change_time=timestamp(entry.change_time_ns),
        revision=entry.revision,
    )


def breaker_message(breaker: Breaker, rule: BreakerRule | None, now_ns: int) -> pb.Breaker:
    """A breaker as it is at `now_ns`, with what it measures."""
    state = breaker.state_at(now_ns)
    message = pb.Breaker(
        scope=scope_message(breaker.world, breaker.scope),
        kind=int(breaker.kind),  # type: ignore[arg-type]  # the same numbers
        state=int(state),  # type: ignore[arg-type]  # the same numbers
        open_time=timestamp(breaker.open_time_ns) if breaker.open_time_ns else None,
        open_until=maybe_timestamp(breaker.open_until_ns),
        trip_count=breaker.trip_count,
        reason=breaker.reason,
        actor=breaker.actor,
        observed_value=breaker.observed_value,
        limit=breaker.limit,
        revision=breaker.revision,
        rule=breaker.rule,
    )
    if state is BreakerState.HALF_OPEN:
        message.probe_count = len(probes_under_way(breaker, rule, now_ns))
        message.probe_count_max = probing_rule(breaker, rule).probe_count_max
        message.success_count = breaker.success_count
    return message


def parameters_message(world: World, parameters: Parameters) -> pb.GateParameters:
    """Parameters as callers get them."""
    return pb.GateParameters(
        scope=scope_message(world, parameters.scope),
        threshold=parameters.threshold,
        threshold_scale=int(parameters.threshold_scale or 0),  # type: ignore[arg-type]
        size_multiplier=parameters.size_multiplier,
        max_position_fraction=parameters.max_position_fraction,
    )


def fallback_message(fallback: FallbackRule) -> pb.FallbackRule:
    """The fallback rule as callers get it."""
    return pb.FallbackRule(
        confidence_threshold=fallback.confidence_threshold,
        confidence_multiplier=fallback.confidence_multiplier,
        max_position_fraction=fallback.max_position_fraction,
    )


def snapshot_message(world: World, rules: RuleSet, source: str) -> pb.GateSnapshot:
    """All that concerns one source. Entries are in the order of `rules`, the contract's."""
    states = [each for each in rules.states if _is_of(each.scope, source)]
    breakers = [each for each in rules.breakers if _is_of(each.scope, source)]
    length = _length(len(states) + len(breakers))
    return pb.GateSnapshot(
        revision=rules.revision,
        trading_states=[
            state_message(world, each._replace(reason=each.reason[:length])) for each in states
        ],
        breakers=[_open_message(world, each, length) for each in breakers],
        parameters=[
            parameters_message(world, each)
            for each in rules.parameters
            if _is_of(each.scope, source)
        ],
        calibrators=[
            pb.CalibratorTable(model_name=each.model_name, version=each.version, x=each.x, y=each.y)
            for each in rules.calibrators
        ],
        fallback=fallback_message(rules.fallback),
        fail_policy=(pb.FAIL_POLICY_CLOSED if rules.always_closed else pb.FAIL_POLICY_AS_BUILT),
    )


def maybe_timestamp(when_ns: int | None) -> Timestamp | None:
    """The moment as a Timestamp; None as None."""
    return None if when_ns is None else timestamp(when_ns)


def states_messages(
    world: World, states: Iterable[StateEntry], now_ns: int
) -> list[pb.TradingStateEntry]:
    """Those of the states that are in force at `now_ns`, ordered."""
    held = sorted((each for each in states if each.holds_at(now_ns)), key=lambda entry: entry.scope)
    length = _length(len(held))
    return [state_message(world, each._replace(reason=each.reason[:length])) for each in held]


def _length(count: int) -> int:
    """How much of each reason is told among so many entries."""
    return _IN_FULL if count <= _ENTRIES_IN_FULL else _SHORT


def _is_of(scope: Scope, source: str) -> bool:
    return scope.source in ("", source)


def _open_message(world: World, breaker: OpenBreaker, length: int) -> pb.Breaker:
    fields: dict[str, Any] = {
        "scope": scope_message(world, breaker.scope),
        "kind": int(breaker.kind),
        # Also where open_until has passed: a client judges by it, at its own moment.
        "state": pb.BREAKER_STATE_OPEN,
        "open_until": maybe_timestamp(breaker.open_until_ns),
        "trip_count": breaker.trip_count,
        "reason": breaker.reason[:length],
        "actor": breaker.actor,
        "revision": breaker.revision,
        "rule": breaker.rule,
    }
    if breaker.open_time_ns:
        fields["open_time"] = timestamp(breaker.open_time_ns)
    return pb.Breaker(**fields)
