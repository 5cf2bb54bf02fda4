"""The contract's snapshot as the server's rule set, for tests that hold both sides together."""

from google.protobuf.timestamp_pb2 import Timestamp

from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab_server.domain.gate.calibrator_table import CalibratorTable
from trimtab_server.domain.gate.signal_gate import (
    BreakerKind,
    FallbackRule,
    OpenBreaker,
    Parameters,
    RuleSet,
    Scope,
    StateEntry,
    ThresholdScale,
    TradingState,
)


def rule_set(snapshot: pb.GateSnapshot) -> RuleSet:
    """The rules that a snapshot tells."""
    return RuleSet(
        revision=snapshot.revision,
        states=tuple(_state(each) for each in snapshot.trading_states),
        breakers=tuple(_breaker(each) for each in snapshot.breakers),
        parameters=tuple(_parameters(each) for each in snapshot.parameters),
        calibrators=tuple(
            CalibratorTable(each.model_name, each.version, tuple(each.x), tuple(each.y))
            for each in snapshot.calibrators
        ),
        fallback=FallbackRule(
            snapshot.fallback.confidence_threshold,
            snapshot.fallback.confidence_multiplier,
            snapshot.fallback.max_position_fraction,
        ),
        always_closed=snapshot.fail_policy == pb.FAIL_POLICY_CLOSED,
    )


def scope(message: pb.GateScope) -> Scope:
    """The names of a scope."""
    return Scope(message.source, message.strategy, message.symbol, message.model_name)


def _ns(moment: Timestamp) -> int:
    return moment.seconds * 10**9 + moment.nanos


def _state(entry: pb.TradingStateEntry) -> StateEntry:
    return StateEntry(
        scope(entry.scope),
        TradingState(entry.state),
        entry.block_exits,
        entry.actor,
        entry.reason,
        _ns(entry.until) if entry.HasField("until") else None,
        _ns(entry.change_time),
        entry.revision,
    )


def _breaker(breaker: pb.Breaker) -> OpenBreaker:
    return OpenBreaker(
        scope(breaker.scope),
        BreakerKind(breaker.kind),
        breaker.rule,
        _ns(breaker.open_time),
        _ns(breaker.open_until) if breaker.HasField("open_until") else None,
        breaker.trip_count,
        breaker.reason,
        breaker.actor,
        breaker.revision,
    )


def _parameters(entry: pb.GateParameters) -> Parameters:
    return Parameters(
        scope(entry.scope),
        entry.threshold if entry.HasField("threshold") else None,
        ThresholdScale(entry.threshold_scale) if entry.threshold_scale else None,
        entry.size_multiplier if entry.HasField("size_multiplier") else None,
        entry.max_position_fraction if entry.HasField("max_position_fraction") else None,
    )
