"""The mix as messages, built by hand: what the client is measured against, and what is sent."""

import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tests.load import mix
from trimtab.v1 import event_pb2 as ev
from trimtab_client.wire import batch_message

_NS = 1_000_000_000
_LIVE = ev.ENVIRONMENT_LIVE
_PASS, _BLOCK = ev.GUARD_RESULT_PASS, ev.GUARD_RESULT_BLOCK
_SIDES = {"BUY": ev.SIDE_BUY, "SELL": ev.SIDE_SELL}
VOLATILITY_MAX, OPEN_COUNT_MAX, EXPOSURE_MAX = 0.015, 8, 0.8


class Batch(NamedTuple):
    """A StreamEventsRequest{batch} as bytes, and what the window counts of it."""

    message: bytes
    last_seq: int
    event_count: int
    byte_count: int


def bar(draw: mix.Bar, event_id: str, seconds: int, nanos: int) -> ev.Event:
    """The bar as an event."""
    return ev.Event(
        event_id=event_id,
        source=mix.SOURCE,
        environment=_LIVE,
        event_time=Timestamp(seconds=seconds, nanos=nanos),
        symbol=draw.symbol,
        market_bar=ev.MarketBar(
            interval=Duration(seconds=mix.BAR_INTERVAL_S),
            open=draw.open,
            high=draw.high,
            low=draw.low,
            close=draw.close,
            volume=draw.volume,
            spread_bps=draw.spread_bps,
        ),
    )


def signal(draw: mix.Signal, event_id: str, seconds: int, nanos: int) -> ev.Event:
    """The signal as an event."""
    return ev.Event(
        event_id=event_id,
        source=mix.SOURCE,
        environment=_LIVE,
        event_time=Timestamp(seconds=seconds, nanos=nanos),
        signal_id=draw.signal_id,
        strategy=draw.strategy,
        symbol=draw.symbol,
        signal=ev.Signal(
            side=_SIDES[draw.side],
            intent=ev.INTENT_ENTRY,
            confidence=draw.confidence,
            expected_return=draw.expected_return,
            equity_fraction=draw.equity_fraction,
            indicator_values=draw.indicator_values,
            regime=draw.regime,
            volatility=draw.volatility,
            reference_price=draw.reference_price,
            exit_plan=exit_plan(draw),
        ),
    )


def decision(draw: mix.Decision, event_id: str, seconds: int, nanos: int) -> ev.Event:
    """The decision as an event."""
    approved, blocked = ev.DECISION_ACTION_APPROVED, ev.DECISION_ACTION_BLOCKED
    return ev.Event(
        event_id=event_id,
        source=mix.SOURCE,
        environment=_LIVE,
        event_time=Timestamp(seconds=seconds, nanos=nanos),
        signal_id=draw.signal.signal_id,
        strategy=draw.signal.strategy,
        symbol=draw.signal.symbol,
        decision=ev.Decision(
            action=approved if draw.approved else blocked,
            guard_verdicts=verdicts(draw),
            market_snapshot=snapshot(draw),
            position_fraction=draw.signal.equity_fraction,
            decision_source=ev.DECISION_SOURCE_GUARDS,
        ),
    )


def execution(draw: mix.Execution, event_id: str, seconds: int, nanos: int) -> ev.Event:
    """The fill as an event."""
    return ev.Event(
        event_id=event_id,
        source=mix.SOURCE,
        environment=_LIVE,
        event_time=Timestamp(seconds=seconds, nanos=nanos),
        signal_id=draw.signal.signal_id,
        order_id=draw.order_id,
        strategy=draw.signal.strategy,
        symbol=draw.signal.symbol,
        execution=ev.Execution(
            side=_SIDES[draw.signal.side],
            quantity=draw.quantity,
            price=draw.price,
            fee=draw.fee,
            liquidity=ev.LIQUIDITY_TAKER,
        ),
    )


def outcome(draw: mix.Outcome, event_id: str, seconds: int, nanos: int) -> ev.Event:
    """The outcome as an event."""
    return ev.Event(
        event_id=event_id,
        source=mix.SOURCE,
        environment=_LIVE,
        event_time=Timestamp(seconds=seconds, nanos=nanos),
        signal_id=draw.signal.signal_id,
        strategy=draw.signal.strategy,
        symbol=draw.signal.symbol,
        outcome=ev.Outcome(
            status=ev.OUTCOME_STATUS_MATURED,
            return_fraction=draw.return_fraction,
            pnl=draw.pnl,
            fees=draw.fees,
            exit_price=draw.exit_price,
            exit_reason=ev.EXIT_REASON_TIME,
            holding_time=Duration(seconds=draw.holding_time_s),
            mfe=draw.mfe,
            mae=draw.mae,
        ),
    )


def exit_plan(draw: mix.Signal) -> ev.ExitPlan:
    """How the signal's position is meant to end."""
    return ev.ExitPlan(
        holding_period=Duration(seconds=draw.holding_period_s),
        stop_loss_price=draw.stop_loss_price,
        take_profit_price=draw.take_profit_price,
    )


def verdicts(draw: mix.Decision) -> list[ev.GuardVerdict]:
    """What the three guards said: volatility, open positions, exposure."""
    return [
        ev.GuardVerdict(
            guard="volatility",
            result=_PASS if draw.approved else _BLOCK,
            observed_value=draw.volatility,
            limit=VOLATILITY_MAX,
            version="1",
            memory=ev.GUARD_MEMORY_STATELESS,
            threshold=ev.ThresholdRule(is_minimum=False),
        ),
        ev.GuardVerdict(
            guard="open_positions",
            result=_PASS,
            version="1",
            memory=ev.GUARD_MEMORY_STATEFUL,
            position_count=ev.PositionCountRule(
                open_count=draw.open_count, open_count_max=OPEN_COUNT_MAX
            ),
        ),
        ev.GuardVerdict(
            guard="exposure",
            result=_PASS,
            version="1",
            memory=ev.GUARD_MEMORY_STATEFUL,
            exposure=ev.ExposureRule(
                exposure_fraction=draw.exposure_fraction,
                added_fraction=draw.signal.equity_fraction,
                exposure_fraction_max=EXPOSURE_MAX,
            ),
        ),
    ]


def snapshot(draw: mix.Decision) -> ev.MarketSnapshot:
    """The market at the decision."""
    return ev.MarketSnapshot(
        bid=draw.bid,
        ask=draw.ask,
        spread_bps=draw.spread_bps,
        volume=draw.volume,
        volatility=draw.volatility,
        regime=draw.signal.regime,
    )


BY_HAND: dict[type[Any], Callable[[Any, str, int, int], ev.Event]] = {
    mix.Bar: bar,
    mix.Signal: signal,
    mix.Decision: decision,
    mix.Execution: execution,
    mix.Outcome: outcome,
}


def ids(seed: int, start_ns: int, step_ns: int) -> Iterator[tuple[str, int, int]]:
    """Event id (UUID version 7, increasing), seconds and nanoseconds, one `step_ns` after the
    other. As in the client: milliseconds, a 26-bit counter, 48 bits that are random per seed."""
    tail = f"{random.Random(seed).getrandbits(48):012x}"
    when_ns, count = start_ns, 0
    while True:
        ms = when_ns // 1_000_000
        head = f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{count >> 14 & 0xFFF:03x}"
        yield (f"{head}-{count & 0x3FFF | 0x8000:04x}-{tail}", *divmod(when_ns, _NS))
        when_ns += step_ns
        count = (count + 1) & 0x3FFFFFF


def events(seed: int, start_ns: int, step_ns: int) -> Iterator[ev.Event]:
    """An endless series of mix events, the first of `start_ns`, the next `step_ns` later."""
    for draw, (event_id, seconds, nanos) in zip(
        mix.Mix(seed), ids(seed, start_ns, step_ns), strict=False
    ):
        yield BY_HAND[type(draw)](draw, event_id, seconds, nanos)


def bodies(count: int, seed: int, now_ns: int, step_ns: int = 10_000) -> list[bytes]:
    """`count` serialised mix events that end at `now_ns`."""
    made = events(seed, now_ns - count * step_ns, step_ns)
    return [event.SerializeToString(deterministic=True) for event in islice(made, count)]


def batches(serialised: list[bytes], batch_events: int) -> list[Batch]:
    """The events as batches of a stream, numbered from 1."""
    made = []
    for start in range(0, len(serialised), batch_events):
        part = serialised[start : start + batch_events]
        message = batch_message(start + 1, part)
        made.append(Batch(message, start + len(part), len(part), sum(map(len, part))))
    return made
