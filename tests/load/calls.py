"""The mix through the client: one call of an engine for each draw."""

from collections.abc import Callable
from typing import Any

from tests.load import messages, mix


def bar(tt: Any, draw: mix.Bar) -> Any:
    """Records the bar."""
    return tt.bar(
        symbol=draw.symbol,
        interval_s=mix.BAR_INTERVAL_S,
        open=draw.open,
        high=draw.high,
        low=draw.low,
        close=draw.close,
        volume=draw.volume,
        spread_bps=draw.spread_bps,
    )


def signal(tt: Any, draw: mix.Signal) -> Any:
    """Records the signal."""
    return tt.signal(
        signal_id=draw.signal_id,
        strategy=draw.strategy,
        symbol=draw.symbol,
        side=draw.side,
        intent="ENTRY",
        confidence=draw.confidence,
        expected_return=draw.expected_return,
        equity_fraction=draw.equity_fraction,
        indicator_values=draw.indicator_values,
        regime=draw.regime,
        volatility=draw.volatility,
        reference_price=draw.reference_price,
        exit_plan=messages.exit_plan(draw),
    )


def decision(tt: Any, draw: mix.Decision) -> Any:
    """Records the decision."""
    return tt.decision(
        signal_id=draw.signal.signal_id,
        strategy=draw.signal.strategy,
        symbol=draw.signal.symbol,
        action="APPROVED" if draw.approved else "BLOCKED",
        guard_verdicts=messages.verdicts(draw),
        market_snapshot=messages.snapshot(draw),
        position_fraction=draw.signal.equity_fraction,
        decision_source="GUARDS",
    )


def execution(tt: Any, draw: mix.Execution) -> Any:
    """Records the fill."""
    return tt.execution(
        signal_id=draw.signal.signal_id,
        order_id=draw.order_id,
        strategy=draw.signal.strategy,
        symbol=draw.signal.symbol,
        side=draw.signal.side,
        quantity=draw.quantity,
        price=draw.price,
        fee=draw.fee,
        liquidity="TAKER",
    )


def outcome(tt: Any, draw: mix.Outcome) -> Any:
    """Records the outcome."""
    return tt.outcome(
        signal_id=draw.signal.signal_id,
        strategy=draw.signal.strategy,
        symbol=draw.signal.symbol,
        return_fraction=draw.return_fraction,
        pnl=draw.pnl,
        fees=draw.fees,
        exit_price=draw.exit_price,
        exit_reason="TIME",
        holding_time_s=draw.holding_time_s,
        mfe=draw.mfe,
        mae=draw.mae,
    )


THROUGH_CLIENT: dict[type[Any], Callable[[Any, Any], Any]] = {
    mix.Bar: bar,
    mix.Signal: signal,
    mix.Decision: decision,
    mix.Execution: execution,
    mix.Outcome: outcome,
}
