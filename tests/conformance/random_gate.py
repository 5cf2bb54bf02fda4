"""Random snapshots and queries: dense enough that every rule is met, and met by near misses."""

from random import Random
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from trimtab.v1 import event_pb2
from trimtab.v1 import signal_gate_service_pb2 as pb

SOURCE = "alpha-1"
NOW_NS = 1_750_000_000 * 10**9
_SOURCES = ("", "", SOURCE)
_STRATEGIES = ("", "", "meanrev", "trend")
_SYMBOLS = ("", "", "AAPL", "MSFT")
_MODELS = ("", "", "xgb", "lgbm")
# Around the query's time, on it, and far away.
_OFFSETS_NS = (-3_600 * 10**9, -1, 0, 1, 3_600 * 10**9)


class GateQuery(NamedTuple):
    """One question, in the words of the client."""

    strategy: str
    symbol: str
    model_name: str
    intent: str
    confidence: float | None


def random_snapshot(rng: Random) -> pb.GateSnapshot:
    """A snapshot of a LIVE world for SOURCE, in the contract's order."""
    snapshot = pb.GateSnapshot(
        revision=rng.randrange(1, 1_000),
        trading_states=_distinct([_state(rng) for _ in range(rng.choice((0, 0, 1, 3)))]),
        breakers=_distinct([_breaker(rng) for _ in range(rng.choice((0, 0, 1, 3)))]),
        parameters=[_parameters(rng) for _ in range(rng.choice((0, 1, 4)))],
        calibrators=_calibrators(rng),
        fallback=pb.FallbackRule(
            confidence_threshold=0.75, confidence_multiplier=0.8, max_position_fraction=0.02
        ),
        fail_policy=rng.choice((pb.FAIL_POLICY_AS_BUILT, pb.FAIL_POLICY_CLOSED)),
    )
    snapshot.trading_states.sort(key=lambda each: _names(each.scope))
    snapshot.breakers.sort(key=lambda each: (_names(each.scope), each.kind, each.rule))
    snapshot.parameters.sort(key=lambda each: _specificity(each.scope), reverse=True)
    return snapshot


def random_query(rng: Random) -> GateQuery:
    """A question that may leave out any name, and the confidence."""
    return GateQuery(
        rng.choice(_STRATEGIES),
        rng.choice(_SYMBOLS),
        rng.choice(_MODELS),
        rng.choice(("ENTRY", "ENTRY", "ENTRY", "REDUCE", "EXIT")),
        rng.choice((None, 0.0, 1.0, 0.5, rng.random(), rng.random(), rng.random())),
    )


def _names(scope: pb.GateScope) -> tuple[str, ...]:
    return scope.source, scope.strategy, scope.symbol, scope.model_name


def _specificity(scope: pb.GateScope) -> tuple[bool, ...]:
    source, strategy, symbol, model = map(bool, _names(scope))
    return model, symbol, strategy, source


def _distinct(entries: list) -> list:  # type: ignore[type-arg]
    """One for each scope, and of breakers for each kind and rule."""
    found = {
        (_names(each.scope), getattr(each, "kind", 0), getattr(each, "rule", "")): each
        for each in entries
    }
    return list(found.values())


def _scope(rng: Random) -> pb.GateScope:
    return pb.GateScope(
        environment=event_pb2.ENVIRONMENT_LIVE,
        source=rng.choice(_SOURCES),
        strategy=rng.choice(_STRATEGIES),
        symbol=rng.choice(_SYMBOLS),
        model_name=rng.choice(_MODELS),
    )


def _time(rng: Random) -> Timestamp | None:
    offset = rng.choice((None, *_OFFSETS_NS))
    if offset is None:
        return None
    moment = Timestamp()
    moment.FromNanoseconds(NOW_NS + offset)
    return moment


def _state(rng: Random) -> pb.TradingStateEntry:
    state = rng.choice((pb.TRADING_STATE_REDUCING, pb.TRADING_STATE_HALTED))
    return pb.TradingStateEntry(
        scope=_scope(rng),
        state=state,
        block_exits=state == pb.TRADING_STATE_HALTED and rng.random() < 0.4,
        actor="ops",
        reason=rng.choice(("news", "maintenance")),
        until=_time(rng),
        revision=1,
    )


def _breaker(rng: Random) -> pb.Breaker:
    return pb.Breaker(
        scope=_scope(rng),
        kind=rng.choice(pb.BreakerKind.values()[1:]),  # type: ignore[arg-type]
        rule=rng.choice(("", "fast", "slow")),
        state=pb.BREAKER_STATE_OPEN,
        open_until=_time(rng),
        trip_count=1,
        reason="5 of 5",
        revision=1,
    )


def _parameters(rng: Random) -> pb.GateParameters:
    entry = pb.GateParameters(scope=_scope(rng))
    if rng.random() < 0.6:
        entry.threshold = rng.choice((0.0, 0.5, 1.0, rng.random()))
        entry.threshold_scale = rng.choice(
            (event_pb2.THRESHOLD_SCALE_CONFIDENCE, event_pb2.THRESHOLD_SCALE_PROBABILITY)
        )
    if rng.random() < 0.4:
        entry.size_multiplier = rng.choice((1.0, 0.5, 1.0 - rng.random()))
    if rng.random() < 0.4:
        entry.max_position_fraction = rng.choice((0.02, 1.0 - rng.random()))
    return entry


def _calibrators(rng: Random) -> list[pb.CalibratorTable]:
    tables = []
    for name in rng.choice(((), (), ("",), ("xgb",), ("xgb", ""), ("lgbm", "xgb"))):
        x = sorted({rng.choice((0.0, 0.5, 1.0, rng.random())) for _ in range(rng.randrange(1, 6))})
        y = sorted(rng.choice((0.0, 1 / 128, 1.0, rng.random())) for _ in x)
        tables.append(pb.CalibratorTable(model_name=name, version="1", x=x, y=y))
    return tables
