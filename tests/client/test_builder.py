from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry import trace

from trimtab_client import (
    Allocation,
    Event,
    EventBuilder,
    MarketContext,
    Thesis,
    exit_plan,
    guard_verdict,
    horizon,
    kind_word,
    market_snapshot,
)

NOW_NS = 1_760_000_000_000_000_007

ALL: dict[str, dict[str, Any]] = {
    "signal": {
        "signal_id": "s1", "symbol": "AAPL", "side": "BUY", "intent": "ENTRY", "confidence": 0.7,
        "calibrated": True, "strength": 2.0, "expected_return": 0.01, "quantity": 5.0,
        "currency": "USD", "contract_multiplier": 1.0, "indicator_values": {"rsi": 24.5},
        "regime": "Trending_Up", "agreeing_model_count": 3, "volatility": 0.02,
        "reference_price": 100.0, "exit_plan": exit_plan(holding_period_s=60),
        "market_context": MarketContext(vix=20), "thesis": Thesis(text="t"),
        "features": {"f": 1.0}, "applied_threshold": 0.6,
    },
    "decision": {
        "signal_id": "s1", "action": "BLOCKED",
        "guard_verdicts": [guard_verdict(guard="g", result="BLOCK")],
        "market_snapshot": market_snapshot(price=1.0), "applied_threshold": 0.6,
        "threshold_scale": "PROBABILITY", "position_fraction": 0.1, "decision_source": "GUARDS",
        "gate_revision": 4, "gate_source": "LEASE", "propensity": 0.5, "reason": "r",
        "entry_price": 10.0,
    },
    "order_update": {
        "order_id": "o1", "state": "FILLED", "side": "SELL", "order_type": "LIMIT",
        "quantity": 2.0, "filled_quantity": 2.0, "limit_price": 3.0, "stop_price": 2.0,
        "reason": "r",
    },
    "execution": {
        "side": "BUY", "quantity": 2.0, "price": 3.0, "fee": -0.1, "liquidity": "MAKER",
        "allocations": [Allocation(signal_id="s1", quantity=2.0)], "currency": "USD",
        "expected_price": 3.1, "intent": "EXIT",
    },
    "execution_failure": {
        "error_type": "insufficient_margin", "message": "m", "rejected_by_venue": True,
        "retryable": True,
    },
    "position_update": {
        "state": "OPENED", "quantity": -2.0, "entry_price": 1.0, "mark_price": 1.1,
        "unrealized_pnl": -0.2, "realized_pnl": 0.0, "currency": "USD",
    },
    "account": {
        "equity": 1e6, "currency": "USD", "cash": 5e5, "exposure": 5e5, "margin_used": 0.0,
    },
    "outcome": {
        "signal_id": "s1", "status": "MATURED", "return_fraction": 0.012, "pnl": 12.0,
        "fees": 0.1, "funding": 0.0, "quantity": 2.0, "won": True, "exit_price": 3.0,
        "exit_reason": "TAKE_PROFIT", "holding_time_s": 60.5, "mfe": 0.02, "mae": 0.01,
        "realized_volatility": 0.02, "horizon": horizon(trading_days=1, calendar="XNYS"),
        "confidence_used": 0.7, "applied_threshold": 0.6, "thesis_accuracy": 0.9,
        "catalyst_materialized": False, "volume_pattern_accuracy": 0.5, "currency": "USD",
        "entry_price": 2.9, "calibrated": True, "side": "BUY",
    },
    "shadow_outcome": {
        "signal_id": "s1", "fill_model": "mid-1", "traded": True, "return_fraction": 0.01,
        "return_fraction_optimistic": 0.02, "return_fraction_pessimistic": 0.0,
        "gross_return_fraction": 0.012, "spread_cost_fraction": 0.001, "fee_cost_fraction": 0.001,
        "carry_cost_fraction": 0.0, "barriers_coarse": True, "barriers_ambiguous": True,
        "filled_fraction": 0.5, "liquidity": "TAKER", "entry_time": NOW_NS, "action": "BLOCKED",
        "markouts": [(horizon(duration_s=60), 0.001)],
    },
    "prediction": {
        "probability": 0.6, "value": 0.01, "label": "up", "features": {"f": 1.0},
        "horizon": horizon(duration_s=60), "model_name": "m",
    },
    "bar": {
        "symbol": "AAPL", "interval_s": 60, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5,
        "volume": 100.0, "spread_bps": 1.0, "adjusted": True,
    },
    "tick": {
        "symbol": "AAPL", "bid": 1.0, "ask": 1.1, "bid_quantity": 5.0, "ask_quantity": 6.0,
        "last_price": 1.05, "last_quantity": 1.0,
    },
    "corporate_action": {
        "symbol": "AAPL", "action": "SPLIT", "ratio": 4.0, "cash_amount": 0.1, "currency": "USD",
        "new_symbol": "X",
    },
    "regime_change": {
        "regime": "bear", "previous_regime": "bull", "probability": 0.8, "scope": "XLK",
    },
    "risk_breach": {
        "rule": "max_drawdown", "severity": "CRITICAL", "observed_value": 0.2, "limit": 0.1,
        "action_taken": "flat",
    },
    "metric": {
        "name": "threshold_filter", "value": 1.0, "baseline": {"w": 1.0}, "filtered": {"w": 2.0},
        "improvement": {"w": 1.0}, "applied_threshold": 0.8, "confidence_key": "confidence",
        "calibrated": True, "unit": "fraction",
    },
}  # fmt: skip
PAYLOADS = {"bar": "market_bar", "tick": "market_tick", "account": "account_snapshot"}
PAYLOADS |= {"metric": "metric_recorded"}


@pytest.fixture
def builder() -> EventBuilder:
    """A builder of a backtest's events."""
    return EventBuilder(source="alpha-1", environment="BACKTEST", run_id="run-1")


@pytest.mark.parametrize("method", ALL)
def test_each_method_fills_every_field_of_its_payload(builder: EventBuilder, method: str) -> None:
    """No field of the contract is out of reach, and none is mixed up."""
    arguments = ALL[method]
    event: Event = getattr(builder, method)(event_time_ns=NOW_NS, **arguments)
    name = PAYLOADS.get(method, method)
    assert event.WhichOneof("payload") == name
    assert (event.source, event.environment, event.run_id) == ("alpha-1", 3, "run-1")
    assert event.event_time.ToNanoseconds() == NOW_NS
    payload = getattr(event, name)
    given = {field.name for field, _ in payload.ListFields()}
    wanted = {f.name for f in payload.DESCRIPTOR.fields} - {"notional", "equity_fraction"}
    if name == "shadow_outcome":
        payload = payload.outcome
    assert given == wanted
    for key, value in arguments.items():
        if isinstance(value, float) and hasattr(payload, key):
            assert getattr(payload, key) == value


@pytest.mark.parametrize("method", ["tick", "prediction", "metric", "execution_failure", "account"])
def test_a_payload_exists_even_when_nothing_is_known(builder: EventBuilder, method: str) -> None:
    """An empty payload is the server's to reject, with its field's path."""
    least: dict[str, dict[str, Any]] = {
        "tick": {"symbol": "X"},
        "metric": {"name": ""},
        "execution_failure": {"error_type": ""},
        "account": {"equity": 0.0, "currency": ""},
    }
    event: Event = getattr(builder, method)(event_time_ns=1, **least.get(method, {}))
    assert event.WhichOneof("payload") == PAYLOADS.get(method, method)


def test_the_envelope_takes_what_every_event_may_carry(builder: EventBuilder) -> None:
    """Ids, names, knowledge time and attributes go with any kind."""
    event = builder.tick(
        symbol="X",
        bid=1.0,
        event_id="id",
        event_time=datetime(2026, 1, 2, tzinfo=UTC),
        available_time=NOW_NS,
        strategy="momentum",
        attributes={"a": "b"},
    )
    assert (event.event_id, event.strategy, dict(event.attributes)) == (
        "id",
        "momentum",
        {"a": "b"},
    )
    assert event.event_time.ToDatetime(UTC) == datetime(2026, 1, 2, tzinfo=UTC)
    assert event.available_time.ToNanoseconds() == NOW_NS


def test_an_unknown_argument_is_named(builder: EventBuilder) -> None:
    """A misspelt field never disappears silently."""
    with pytest.raises(ValueError, match="symbl"):
        builder.outcome(signal_id="s", symbl="X", event_time_ns=1)  # type: ignore[call-arg]


def test_a_backtest_must_tell_the_time_and_the_run() -> None:
    """The wall clock in a backtest would poison every window of event time."""
    with pytest.raises(ValueError, match="run_id"):
        EventBuilder(source="a", environment="BACKTEST")
    builder = EventBuilder(source="a", environment="BACKTEST", run_id="r")
    with pytest.raises(ValueError, match="event_time_ns"):
        builder.bar(symbol="X", interval_s=60, close=1.0)
    with pytest.raises(ValueError, match="event_time_ns"):
        builder.fill(Event())


def test_live_events_without_a_time_are_stamped_now() -> None:
    """The engine's clock is the default where the clock is real."""
    event = EventBuilder(source="a", environment="LIVE").metric(name="m")
    assert event.HasField("event_time")
    assert kind_word(event) == "METRIC_RECORDED"


@pytest.mark.parametrize("source", ["", "x" * 65])
def test_a_source_that_the_server_would_refuse_is_refused_here(source: str) -> None:
    """It would make every event a rejection."""
    with pytest.raises(ValueError, match="source"):
        EventBuilder(source=source, environment="PAPER")


def test_an_unspecified_environment_is_refused() -> None:
    """Environments never mix, so each event has one."""
    with pytest.raises(ValueError, match="environment"):
        EventBuilder(source="a", environment=0)


def test_a_signal_has_one_size(builder: EventBuilder) -> None:
    """The last of two would win silently in a oneof."""
    with pytest.raises(ValueError, match="one of"):
        builder.signal(signal_id="s", side="BUY", quantity=1, notional=2, event_time_ns=1)


def test_the_current_span_becomes_the_traceparent(builder: EventBuilder) -> None:
    """An event is found again from the engine's trace."""
    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        traced = builder.metric(name="m", event_time_ns=1)
        filled = builder.fill(Event(event_time={"seconds": 1}))
    wanted = f"00-{0xABC:032x}-{0xDEF:016x}-01"
    assert traced.traceparent == filled.traceparent == wanted
    assert builder.metric(name="m", event_time_ns=1).traceparent == ""
