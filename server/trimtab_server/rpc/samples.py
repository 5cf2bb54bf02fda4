"""What a committed event tells the breakers."""

from trimtab.v1 import event_pb2
from trimtab_server.domain.gate.breaker_record import Sample, SampleKind
from trimtab_server.domain.gate.signal_gate import Scope, World
from trimtab_server.rpc.convert import to_ns

_MARKET = frozenset({"market_bar", "market_tick"})


def sample_of(body: bytes) -> Sample | None:
    """The sample in an event's body, None when it tells breakers nothing: a correction, for one,
    tells of what has been counted.

    A rejected order counts by its ExecutionFailure (`rejected_by_venue` is told there); counting
    its OrderUpdate too would make one failure two.
    """
    event = event_pb2.Event.FromString(body)
    payload = event.WhichOneof("payload")
    if event.corrects_event_id and payload not in _MARKET:
        return None
    if payload == "outcome":
        return _outcome(event)
    if payload == "execution":
        return _sample(event, SampleKind.EXECUTED)
    if payload == "execution_failure":
        return _sample(event, SampleKind.EXECUTION_FAILED)
    if payload in _MARKET:
        return _sample(event, SampleKind.MARKET_DATA)
    return None


def _outcome(event: event_pb2.Event) -> Sample | None:
    """Of a position's own life, as it ended: nothing censored, corrected, or over a horizon."""
    outcome = event.outcome
    if outcome.status != event_pb2.OUTCOME_STATUS_MATURED or outcome.HasField("horizon"):
        return None
    told = outcome.return_fraction if outcome.HasField("return_fraction") else None
    if outcome.HasField("won"):
        won: bool | None = outcome.won
    else:
        won = None if told is None else told > 0
    return _sample(event, SampleKind.OUTCOME)._replace(return_fraction=told, won=won)


def _sample(event: event_pb2.Event, kind: SampleKind) -> Sample:
    # Events of LIVE and PAPER may name a run; their world is the environment.
    is_backtest = event.environment == event_pb2.ENVIRONMENT_BACKTEST
    return Sample(
        kind,
        World(event.environment, event.run_id if is_backtest else ""),
        Scope(event.source, event.strategy, event.symbol, event.model_name),
        event.signal_id,
        to_ns(event.event_time),
    )
