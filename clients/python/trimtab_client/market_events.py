"""Recording methods for what surrounds a signal: market data, account, regime, risk, metrics.

Prices > 0 per unit, volumes and quantities in units, `_bps` basis points, `_s` seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, Unpack

from trimtab_client.envelope import Envelope, EventSink
from trimtab_client.event import CORPORATE_ACTION_KIND, SEVERITY, Word
from trimtab_client.fields import set_duration, set_given, set_needed, set_numbers
from trimtab_client.ring import EventClass

T = TypeVar("T")

_BULK = EventClass.BULK
_RESERVED = EventClass.RESERVED


class MarketEvents(EventSink[T]):
    """The market half of the recording methods."""

    def bar(
        self,
        *,
        symbol: str,
        interval_s: float,
        close: float,
        open: float | None = None,  # noqa: A002 - the contract's name
        high: float | None = None,
        low: float | None = None,
        volume: float | None = None,
        spread_bps: float | None = None,
        adjusted: bool = False,
        event_time_ns: int | None = None,
        **envelope: Unpack[Envelope],
    ) -> T:
        """An OHLCV bar, stamped at its close; interval_s > 0."""
        event = self._begin(envelope, event_time_ns)
        event.symbol = symbol
        payload = event.market_bar
        set_duration(payload.interval, interval_s, "interval_s")
        try:
            # Written out instead of looped: most events are bars, and a loop costs twice as much.
            if open is not None:
                payload.open = open
            if high is not None:
                payload.high = high
            if low is not None:
                payload.low = low
            payload.close = close
            if volume is not None:
                payload.volume = volume
            if spread_bps is not None:
                payload.spread_bps = spread_bps
        except TypeError:
            # Again, by the way that names the field.
            set_needed(payload, "close", close)
            set_given(
                payload,
                (
                    ("open", open),
                    ("high", high),
                    ("low", low),
                    ("volume", volume),
                    ("spread_bps", spread_bps),
                ),
            )
            raise
        if adjusted:
            payload.adjusted = True
        return self._emit(event, _BULK)

    def tick(
        self,
        *,
        symbol: str,
        bid: float | None = None,
        ask: float | None = None,
        bid_quantity: float | None = None,
        ask_quantity: float | None = None,
        last_price: float | None = None,
        last_quantity: float | None = None,
        event_time_ns: int | None = None,
        **envelope: Unpack[Envelope],
    ) -> T:
        """A quote or trade tick; at least one of bid, ask and last_price."""
        event = self._begin(envelope, event_time_ns)
        event.symbol = symbol
        payload = event.market_tick
        payload.SetInParent()
        try:
            if bid is not None:
                payload.bid = bid
            if ask is not None:
                payload.ask = ask
            if bid_quantity is not None:
                payload.bid_quantity = bid_quantity
            if ask_quantity is not None:
                payload.ask_quantity = ask_quantity
            if last_price is not None:
                payload.last_price = last_price
            if last_quantity is not None:
                payload.last_quantity = last_quantity
        except TypeError:
            # Again, by the way that names the field.
            set_given(
                payload,
                (
                    ("bid", bid),
                    ("ask", ask),
                    ("bid_quantity", bid_quantity),
                    ("ask_quantity", ask_quantity),
                    ("last_price", last_price),
                    ("last_quantity", last_quantity),
                ),
            )
            raise
        return self._emit(event, _BULK)

    def account(
        self,
        *,
        equity: float,
        currency: str,
        cash: float | None = None,
        exposure: float | None = None,
        margin_used: float | None = None,
        event_time_ns: int | None = None,
        **envelope: Unpack[Envelope],
    ) -> T:
        """The account at a moment, all in `currency`; exposure is gross, >= 0."""
        event = self._begin(envelope, event_time_ns)
        payload = event.account_snapshot
        payload.currency = currency
        set_needed(payload, "equity", equity)
        set_given(
            payload,
            (
                ("cash", cash),
                ("exposure", exposure),
                ("margin_used", margin_used),
            ),
        )
        return self._emit(event, _BULK)

    def corporate_action(
        self,
        *,
        symbol: str,
        action: Word,
        ratio: float | None = None,
        cash_amount: float | None = None,
        currency: str = "",
        new_symbol: str = "",
        event_time_ns: int | None = None,
        **envelope: Unpack[Envelope],
    ) -> T:
        """SPLIT (ratio: new units for one old), DIVIDEND (cash_amount per unit), ROLL (ratio: new
        price over old), RENAME (new_symbol) or DELISTING; stamped when it takes effect."""
        event = self._begin(envelope, event_time_ns)
        event.symbol = symbol
        payload = event.corporate_action
        kind = CORPORATE_ACTION_KIND(action, "corporate_action.action")
        payload.action = kind  # type: ignore[assignment]
        payload.currency = currency
        payload.new_symbol = new_symbol
        set_given(payload, (("ratio", ratio), ("cash_amount", cash_amount)))
        return self._emit(event, _BULK)

    def regime_change(
        self,
        *,
        regime: str,
        previous_regime: str = "",
        probability: float | None = None,
        scope: str = "",
        symbol: str = "",
        event_time_ns: int | None = None,
        **envelope: Unpack[Envelope],
    ) -> T:
        """The market regime changed. probability: filtered, 0 to 1. scope: "" = the market, else a
        symbol or sector."""
        event = self._begin(envelope, event_time_ns)
        event.symbol = symbol
        payload = event.regime_change
        payload.regime = regime
        payload.previous_regime = previous_regime
        payload.scope = scope
        set_given(payload, (("probability", probability),))
        return self._emit(event, _BULK)

    def risk_breach(
        self,
        *,
        rule: str,
        severity: Word,
        observed_value: float | None = None,
        limit: float | None = None,
        action_taken: str = "",
        signal_id: str = "",
        symbol: str = "",
        event_time_ns: int | None = None,
        **envelope: Unpack[Envelope],
    ) -> T:
        """A risk limit was breached; severity INFO, WARNING or CRITICAL."""
        event = self._begin(envelope, event_time_ns)
        event.signal_id = signal_id
        event.symbol = symbol
        payload = event.risk_breach
        payload.rule = rule
        payload.severity = SEVERITY(severity, "risk_breach.severity")  # type: ignore[assignment]
        payload.action_taken = action_taken
        set_given(payload, (("observed_value", observed_value), ("limit", limit)))
        return self._emit(event, _RESERVED)

    def metric(
        self,
        *,
        name: str,
        value: float | None = None,
        baseline: Mapping[str, float] | None = None,
        filtered: Mapping[str, float] | None = None,
        improvement: Mapping[str, float] | None = None,
        applied_threshold: float | None = None,
        confidence_key: str = "",
        calibrated: bool = False,
        unit: str = "",
        symbol: str = "",
        event_time_ns: int | None = None,
        **envelope: Unpack[Envelope],
    ) -> T:
        """A metric that the engine computed, or a comparison of filtered with baseline trades."""
        event = self._begin(envelope, event_time_ns)
        event.symbol = symbol
        payload = event.metric_recorded
        payload.name = name
        payload.confidence_key = confidence_key
        payload.calibrated = calibrated
        payload.unit = unit
        set_given(payload, (("value", value), ("applied_threshold", applied_threshold)))
        if baseline:
            set_numbers(payload, "baseline", baseline)
        if filtered:
            set_numbers(payload, "filtered", filtered)
        if improvement:
            set_numbers(payload, "improvement", improvement)
        return self._emit(event, _BULK)
