"""What the shadow found, as events for the log: the same result is the same bytes, always."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from google.protobuf.duration_pb2 import Duration

from trimtab.v1 import event_pb2
from trimtab_server.domain.events import Append, Event, EventKind
from trimtab_server.domain.ledger.facts import MarkoutFact
from trimtab_server.domain.shadow.result import (
    AMBIGUOUS,
    COARSE,
    MAKER,
    MATURED,
    ShadowResult,
)
from trimtab_server.rpc.convert import timestamp, uuid_words

_NS = 1_000_000_000
_SIDES = {1: event_pb2.SIDE_BUY, -1: event_pb2.SIDE_SELL}
# Fields of the result that are optional numbers of the message, where they are known.
_OUTCOME = (
    *(("return_fraction", "return_fraction"), ("quantity", "quantity"), ("mfe", "mfe")),
    *(("mae", "mae"), ("volatility", "realized_volatility"), ("threshold", "applied_threshold")),
    *(("confidence", "confidence_used"), ("entry_price", "entry_price")),
    ("exit_price", "exit_price"),
)
_SHADOW = (
    *(("optimistic", "return_fraction_optimistic"), ("gross", "gross_return_fraction")),
    *(("pessimistic", "return_fraction_pessimistic"), ("spread_cost", "spread_cost_fraction")),
    *(("fee_cost", "fee_cost_fraction"), ("carry_cost", "carry_cost_fraction")),
    ("filled_fraction", "filled_fraction"),
)


def shadow_append(results: Sequence[ShadowResult]) -> Append:
    """The results as events of the lane that they belong to, without a producer."""
    events: list[Any] = [shadow_event(each) for each in results]
    return Append(events, sum(len(each.body) for each in events))


def shadow_event(result: ShadowResult) -> Event:
    """The ShadowOutcome event of a result. Its event_time is when the position ended (or the last
    price of the horizon), its available_time when that was settled."""
    lane, available_ns = result.lane, max(result.known_ns, result.time_ns)
    written = event_pb2.Event(
        event_id=uuid_words(result.event_id),
        source=lane.source,
        environment=_number(lane.environment),
        run_id=lane.run_id,
        event_time=timestamp(result.time_ns),
        available_time=timestamp(available_ns) if available_ns > result.time_ns else None,
        signal_id=result.signal_id,
        strategy=result.strategy,
        symbol=result.symbol,
        shadow_outcome=_shadow_outcome(result),
    )
    return Event(
        event_id=result.event_id,
        kind=int(EventKind.SHADOW_OUTCOME),
        source=lane.source,
        environment=lane.environment,
        run_id=lane.run_id,
        event_time_ns=result.time_ns,
        available_time_ns=available_ns,
        signal_id=result.signal_id,
        strategy=result.strategy,
        symbol=result.symbol,
        body=written.SerializeToString(deterministic=True),
    )


def _shadow_outcome(result: ShadowResult) -> event_pb2.ShadowOutcome:
    has_entered = bool(result.entry_time_ns)
    is_maker = bool(result.flags & MAKER)
    return event_pb2.ShadowOutcome(
        outcome=_outcome(result),
        fill_model=result.fill_model,
        traded=result.traded,
        barriers_coarse=bool(result.flags & COARSE),
        barriers_ambiguous=bool(result.flags & AMBIGUOUS),
        liquidity=event_pb2.LIQUIDITY_MAKER if is_maker else event_pb2.LIQUIDITY_TAKER,
        entry_time=timestamp(result.entry_time_ns) if has_entered else None,
        action=_number(result.action),
        markouts=[_markout(each) for each in result.markouts if isfinite(each.return_fraction)],
        **_known(result, _SHADOW),
    )


def _outcome(result: ShadowResult) -> event_pb2.Outcome:
    has_horizon = bool(result.age_ns or result.trading_days)
    return event_pb2.Outcome(
        status=_number(result.status),
        exit_reason=_number(result.exit_reason),
        holding_time=_duration(result.holding_ns)
        if result.holding_ns >= 0 and result.status == MATURED
        else None,
        horizon=_horizon(result.age_ns, result.trading_days, result.calendar)
        if has_horizon
        else None,
        calibrated=result.is_calibrated,
        side=_SIDES[result.side],
        **_known(result, _OUTCOME),
    )


def _number(value: int) -> Any:
    """A number of the contract as its enum: the same number."""
    return value


def _known(result: ShadowResult, names: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """The numbers of the result that are known, by the names of the contract."""
    told = ((name, getattr(result, ours)) for ours, name in names)
    return {name: value for name, value in told if isfinite(value)}


def _markout(markout: MarkoutFact) -> event_pb2.Markout:
    return event_pb2.Markout(
        age=_horizon(markout.age_ns, markout.trading_days, markout.calendar),
        return_fraction=markout.return_fraction,
    )


def _horizon(age_ns: int, trading_days: int, calendar: str) -> event_pb2.Horizon:
    if trading_days:
        return event_pb2.Horizon(trading_days=trading_days, calendar=calendar)
    return event_pb2.Horizon(duration=_duration(age_ns))


def _duration(nanoseconds: int) -> Duration:
    return Duration(seconds=nanoseconds // _NS, nanos=nanoseconds % _NS)
