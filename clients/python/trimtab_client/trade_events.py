"""Recording methods for a signal's way: proposal, decision, order, fill, position.

Units as in trimtab/v1/event.proto: fractions (0.01 = 1 %), prices per unit, `_s` seconds. An
argument left None is absent ("not known"), which is not the same as zero. Every method raises
ValueError or TypeError only for programming errors (an unknown word, a wrong type); values out of
their range are the server's to reject.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar, Unpack

from trimtab_client.envelope import Envelope, EventSink
from trimtab_client.event import (
    DECISION_ACTION,
    DECISION_SOURCE,
    GATE_SOURCE,
    INTENT,
    LIQUIDITY,
    ORDER_STATE,
    ORDER_TYPE,
    POSITION_STATE,
    SIDE,
    THRESHOLD_SCALE,
    Allocation,
    ExitPlan,
    GuardVerdict,
    MarketContext,
    MarketSnapshot,
    Thesis,
    Word,
)
from trimtab_client.fields import set_given, set_needed, set_numbers
from trimtab_client.ring import EventClass

T = TypeVar("T")

_BULK = EventClass.BULK
_RESERVED = EventClass.RESERVED


class TradeEvents(EventSink[T]):
    """The trading half of the recording methods."""

    def signal(
        self,
        *,
        signal_id: str,
        side: Word,
        symbol: str = "",
        intent: Word = 0,
        confidence: float | None = None,
        calibrated: bool = False,
        strength: float | None = None,
        expected_return: float | None = None,
        quantity: float | None = None,
        notional: float | None = None,
        equity_fraction: float | None = None,
        currency: str = "",
        contract_multiplier: float | None = None,
        indicator_values: Mapping[str, float] | None = None,
        regime: str = "",
        agreeing_model_count: int | None = None,
        volatility: float | None = None,
        reference_price: float | None = None,
        exit_plan: ExitPlan | None = None,
        market_context: MarketContext | None = None,
        thesis: Thesis | None = None,
        features: Mapping[str, float] | None = None,
        applied_threshold: float | None = None,
        event_time_ns: int | None = None,
        **envelope: Unpack[Envelope],
    ) -> T:
        """A proposal to trade, before any guard. side BUY or SELL; intent ENTRY, REDUCE or EXIT;
        confidence 0 to 1; give at most one of quantity, notional, equity_fraction."""
        if (quantity is not None) + (notional is not None) + (equity_fraction is not None) > 1:
            raise ValueError("signal: give one of quantity, notional and equity_fraction")
        event = self._begin(envelope, event_time_ns)
        event.signal_id = signal_id
        event.symbol = symbol
        payload = event.signal
        payload.side = SIDE(side, "signal.side")  # type: ignore[assignment]
        payload.intent = INTENT(intent, "signal.intent")  # type: ignore[assignment]
        set_given(
            payload,
            (
                ("calibrated", calibrated or None),
                ("currency", currency or None),
                ("regime", regime or None),
                ("confidence", confidence),
                ("strength", strength),
                ("expected_return", expected_return),
                ("quantity", quantity),
                ("notional", notional),
                ("equity_fraction", equity_fraction),
                ("contract_multiplier", contract_multiplier),
                ("agreeing_model_count", agreeing_model_count),
                ("volatility", volatility),
                ("reference_price", reference_price),
                ("applied_threshold", applied_threshold),
            ),
        )
        if indicator_values:
            set_numbers(payload, "indicator_values", indicator_values)
        if features:
            set_numbers(payload, "features", features)
        if exit_plan is not None:
            payload.exit_plan.CopyFrom(exit_plan)
        if market_context is not None:
            payload.market_context.CopyFrom(market_context)
        if thesis is not None:
            payload.thesis.CopyFrom(thesis)
        return self._emit(event, _BULK)

    def decision(
        self,
        *,
        signal_id: str,
        action: Word,
        symbol: str = "",
        guard_verdicts: Iterable[GuardVerdict] = (),
        market_snapshot: MarketSnapshot | None = None,
        applied_threshold: float | None = None,
        threshold_scale: Word = 0,
        position_fraction: float | None = None,
        decision_source: Word = 0,
        gate_revision: int = 0,
        gate_source: Word = 0,
        propensity: float | None = None,
        reason: str = "",
        entry_price: float | None = None,
        event_time_ns: int | None = None,
        **envelope: Unpack[Envelope],
    ) -> T:
        """What was decided about a signal: action APPROVED, BLOCKED, HOLD or IGNORED, with the
        verdict of every guard (not only of the first that blocked). propensity: above 0 to 1."""
        event = self._begin(envelope, event_time_ns)
        event.signal_id = signal_id
        event.symbol = symbol
        payload = event.decision
        payload.action = DECISION_ACTION(action, "decision.action")  # type: ignore[assignment]
        payload.guard_verdicts.extend(guard_verdicts)
        if market_snapshot is not None:
            payload.market_snapshot.CopyFrom(market_snapshot)
        payload.reason = reason
        payload.gate_revision = gate_revision
        if threshold_scale:
            scale = THRESHOLD_SCALE(threshold_scale, "decision.threshold_scale")
            payload.threshold_scale = scale  # type: ignore[assignment]
        if decision_source:
            decider = DECISION_SOURCE(decision_source, "decision.decision_source")
            payload.decision_source = decider  # type: ignore[assignment]
        if gate_source:
            answerer = GATE_SOURCE(gate_source, "decision.gate_source")
            payload.gate_source = answerer  # type: ignore[assignment]
        set_given(
            payload,
            (
                ("applied_threshold", applied_threshold),
                ("position_fraction", position_fraction),
                ("propensity", propensity),
                ("entry_price", entry_price),
            ),
        )
        return self._emit(event, _RESERVED)

    def order_update(
        self,
        *,
        state: Word,
        side: Word,
        signal_id: str = "",
        symbol: str = "",
        order_type: Word = 0,
        quantity: float | None = None,
        filled_quantity: float | None = None,
        limit_price: float | None = None,
        stop_price: float | None = None,
        reason: str = "",
        event_time_ns: int | None = None,
        **envelope: Unpack[Envelope],
    ) -> T:
        """An order changed its state: SUBMITTED, ACCEPTED, PARTIALLY_FILLED, FILLED, CANCELLED,
        REJECTED or EXPIRED (tell order_id). order_type MARKET, LIMIT, STOP or STOP_LIMIT;
        quantities in units."""
        event = self._begin(envelope, event_time_ns)
        event.signal_id = signal_id
        event.symbol = symbol
        payload = event.order_update
        payload.state = ORDER_STATE(state, "order_update.state")  # type: ignore[assignment]
        payload.side = SIDE(side, "order_update.side")  # type: ignore[assignment]
        kind = ORDER_TYPE(order_type, "order_update.order_type")
        payload.order_type = kind  # type: ignore[assignment]
        payload.reason = reason
        set_given(
            payload,
            (
                ("quantity", quantity),
                ("filled_quantity", filled_quantity),
                ("limit_price", limit_price),
                ("stop_price", stop_price),
            ),
        )
        return self._emit(event, _RESERVED)

    def execution(
        self,
        *,
        side: Word,
        quantity: float,
        price: float,
        signal_id: str = "",
        symbol: str = "",
        fee: float | None = None,
        liquidity: Word = 0,
        allocations: Iterable[Allocation] = (),
        currency: str = "",
        expected_price: float | None = None,
        intent: Word = 0,
        event_time_ns: int | None = None,
        **envelope: Unpack[Envelope],
    ) -> T:
        """A fill: quantity in units > 0, price and expected_price per unit > 0, fee in `currency`
        (negative = rebate); liquidity MAKER or TAKER; allocations empty = first in, first out."""
        event = self._begin(envelope, event_time_ns)
        event.signal_id = signal_id
        event.symbol = symbol
        payload = event.execution
        payload.side = SIDE(side, "execution.side")  # type: ignore[assignment]
        set_needed(payload, "quantity", quantity)
        set_needed(payload, "price", price)
        if liquidity:
            taken = LIQUIDITY(liquidity, "execution.liquidity")
            payload.liquidity = taken  # type: ignore[assignment]
        if intent:
            payload.intent = INTENT(intent, "execution.intent")  # type: ignore[assignment]
        payload.allocations.extend(allocations)
        payload.currency = currency
        set_given(
            payload,
            (
                ("fee", fee),
                ("expected_price", expected_price),
            ),
        )
        return self._emit(event, _RESERVED)

    def execution_failure(
        self,
        *,
        error_type: str,
        message: str = "",
        rejected_by_venue: bool = False,
        retryable: bool = False,
        signal_id: str = "",
        symbol: str = "",
        event_time_ns: int | None = None,
        **envelope: Unpack[Envelope],
    ) -> T:
        """An order that could not be executed; error_type in the engine's words, e.g.
        "insufficient_margin", 1 to 64 characters."""
        event = self._begin(envelope, event_time_ns)
        event.signal_id = signal_id
        event.symbol = symbol
        payload = event.execution_failure
        payload.error_type = error_type
        payload.message = message
        payload.rejected_by_venue = rejected_by_venue
        payload.retryable = retryable
        return self._emit(event, _RESERVED)

    def position_update(
        self,
        *,
        state: Word,
        quantity: float,
        signal_id: str = "",
        symbol: str = "",
        entry_price: float | None = None,
        mark_price: float | None = None,
        unrealized_pnl: float | None = None,
        realized_pnl: float | None = None,
        currency: str = "",
        event_time_ns: int | None = None,
        **envelope: Unpack[Envelope],
    ) -> T:
        """A position was OPENED, CHANGED or CLOSED; quantity in signed units (short < 0)."""
        event = self._begin(envelope, event_time_ns)
        event.signal_id = signal_id
        event.symbol = symbol
        payload = event.position_update
        payload.state = POSITION_STATE(state, "position_update.state")  # type: ignore[assignment]
        payload.currency = currency
        set_needed(payload, "quantity", quantity)
        set_given(
            payload,
            (
                ("entry_price", entry_price),
                ("mark_price", mark_price),
                ("unrealized_pnl", unrealized_pnl),
                ("realized_pnl", realized_pnl),
            ),
        )
        return self._emit(event, _BULK)
