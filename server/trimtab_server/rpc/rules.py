"""What each field of an event must be: one table, read twice by `validation`.

Messages and fields are spelled as in the contract; a test holds the table against it.
"""

from dataclasses import dataclass
from enum import Enum, auto

NAME_LENGTH_MAX = 64
ID_LENGTH_MAX = 128
MAP_ENTRIES_MAX = 256
TEXT_VALUE_LENGTH_MAX = 1_024
# 2200-01-01T00:00:00Z: nanoseconds since 1970 still fit a signed 64-bit integer.
TIME_SECONDS_MAX = 7_258_118_400
DURATION_SECONDS_MAX = 100 * 366 * 86_400


class Shape(Enum):
    """What a field holds and where its values end."""

    NAME = auto()
    """String of up to 64 characters without control characters."""
    ID = auto()
    """String of up to 128 characters without control characters."""
    TEXT = auto()
    """String of up to `length_max` characters."""
    UUID = auto()
    """UUID in canonical lower-case form."""
    TRACEPARENT = auto()
    """W3C trace context."""
    NUMBER = auto()
    """Finite."""
    POSITIVE = auto()
    """Finite and above zero."""
    NON_NEGATIVE = auto()
    """Finite and not below zero."""
    FRACTION = auto()
    """From 0 to 1."""
    PROPENSITY = auto()
    """Above 0, up to 1."""
    COUNT = auto()
    """Integer, not below zero."""
    FLAG = auto()
    """True or false."""
    ENUM = auto()
    """A number that the contract lists."""
    TIME = auto()
    """Timestamp from 1970 to 2200."""
    DURATION = auto()
    """Duration, not below zero, up to 100 years."""
    POSITIVE_DURATION = auto()
    """Duration above zero, up to 100 years."""
    MESSAGE = auto()
    """A message with rules of its own."""
    NUMBERS = auto()
    """Map from name to finite number, up to 256 entries."""
    TEXTS = auto()
    """Map from name to string of up to 1,024 characters, up to 256 entries."""
    SERVER = auto()
    """Set by the server, ignored on input."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A field's shape, whether it must be there, and limits that are its own."""

    shape: Shape
    required: bool = False
    length_max: int = 0
    entries_max: int = 0


def _required(shape: Shape, length_max: int = 0) -> Rule:
    return Rule(shape, required=True, length_max=length_max)


def _text(length_max: int) -> Rule:
    return Rule(Shape.TEXT, length_max=length_max)


def _several(entries_max: int) -> Rule:
    return Rule(Shape.MESSAGE, entries_max=entries_max)


_NAME = Rule(Shape.NAME)
_ID = Rule(Shape.ID)
_NUMBER = Rule(Shape.NUMBER)
_POSITIVE = Rule(Shape.POSITIVE)
_NON_NEGATIVE = Rule(Shape.NON_NEGATIVE)
_FRACTION = Rule(Shape.FRACTION)
_COUNT = Rule(Shape.COUNT)
_FLAG = Rule(Shape.FLAG)
_ENUM = Rule(Shape.ENUM)
_MESSAGE = Rule(Shape.MESSAGE)
_NUMBERS = Rule(Shape.NUMBERS)
_DURATION = Rule(Shape.DURATION)
_POSITIVE_DURATION = Rule(Shape.POSITIVE_DURATION)
_REASON = _text(1_024)
_REQUIRED_ENUM = _required(Shape.ENUM)
_REQUIRED_NAME = _required(Shape.NAME)

ENVELOPE: dict[str, Rule] = {
    "event_id": _required(Shape.UUID),
    "source": _REQUIRED_NAME,
    "environment": _REQUIRED_ENUM,
    "run_id": _ID,
    "event_time": _required(Shape.TIME),
    "available_time": Rule(Shape.TIME),
    "signal_id": _ID,
    "order_id": _ID,
    "position_id": _ID,
    "strategy": _NAME,
    "symbol": _NAME,
    "model_name": _NAME,
    "model_version": _NAME,
    "correlation_id": _ID,
    "causation_id": _ID,
    "corrects_event_id": Rule(Shape.UUID),
    "traceparent": Rule(Shape.TRACEPARENT),
    "attributes": Rule(Shape.TEXTS),
    "sequence": Rule(Shape.SERVER),
    "ingest_time": Rule(Shape.SERVER),
}

PAYLOADS: dict[str, dict[str, Rule]] = {
    "Signal": {
        "side": _REQUIRED_ENUM,
        "intent": _ENUM,
        "confidence": _FRACTION,
        "calibrated": _FLAG,
        "strength": _NUMBER,
        "expected_return": _NUMBER,
        "quantity": _POSITIVE,
        "notional": _POSITIVE,
        "equity_fraction": _POSITIVE,
        "currency": _NAME,
        "contract_multiplier": _POSITIVE,
        "indicator_values": _NUMBERS,
        "regime": _NAME,
        "agreeing_model_count": _COUNT,
        "volatility": _NON_NEGATIVE,
        "reference_price": _POSITIVE,
        "exit_plan": _MESSAGE,
        "market_context": _MESSAGE,
        "thesis": _MESSAGE,
        "features": _NUMBERS,
        "applied_threshold": _FRACTION,
    },
    "ExitPlan": {
        "holding_period": _POSITIVE_DURATION,
        "stop_loss_price": _POSITIVE,
        "take_profit_price": _POSITIVE,
        "holding_trading_days": _COUNT,
        "calendar": _NAME,
    },
    "MarketContext": {
        "vix": _NON_NEGATIVE,
        "sector": _NAME,
        "regime": _NAME,
        "values": _NUMBERS,
    },
    "Thesis": {
        "text": _text(4_096),
        "catalyst": _text(1_024),
        "expected_volume_pattern": _text(1_024),
    },
    "Decision": {
        "action": _REQUIRED_ENUM,
        "guard_verdicts": _several(64),
        "market_snapshot": _MESSAGE,
        "applied_threshold": _FRACTION,
        "threshold_scale": _ENUM,
        "position_fraction": _NON_NEGATIVE,
        "decision_source": _ENUM,
        "gate_revision": _COUNT,
        "gate_source": _ENUM,
        "propensity": Rule(Shape.PROPENSITY),
        "reason": _REASON,
        "entry_price": _POSITIVE,
    },
    "GuardVerdict": {
        "guard": _REQUIRED_NAME,
        "result": _REQUIRED_ENUM,
        "observed_value": _NUMBER,
        "limit": _NUMBER,
        "version": _NAME,
        "reason": _REASON,
        "memory": _ENUM,
        "threshold": _MESSAGE,
        "position_count": _MESSAGE,
        "exposure": _MESSAGE,
        "cooldown": _MESSAGE,
        "loss_limit": _MESSAGE,
    },
    "ThresholdRule": {"is_minimum": _FLAG},
    "PositionCountRule": {"open_count": _COUNT, "open_count_max": _COUNT, "per_symbol": _FLAG},
    "ExposureRule": {
        "exposure_fraction": _NON_NEGATIVE,
        "added_fraction": _NON_NEGATIVE,
        "exposure_fraction_max": _NON_NEGATIVE,
    },
    "CooldownRule": {"elapsed": _DURATION, "cooldown": _DURATION, "losses_only": _FLAG},
    "LossLimitRule": {
        "period_return": _NUMBER,
        "loss_fraction_max": _NON_NEGATIVE,
        "period": _required(Shape.POSITIVE_DURATION),
    },
    "MarketSnapshot": {
        "price": _POSITIVE,
        "bid": _POSITIVE,
        "ask": _POSITIVE,
        "spread_bps": _NON_NEGATIVE,
        "volume": _NON_NEGATIVE,
        "volatility": _NON_NEGATIVE,
        "regime": _NAME,
        "quote_time": Rule(Shape.TIME),
    },
    "OrderUpdate": {
        "state": _REQUIRED_ENUM,
        "side": _REQUIRED_ENUM,
        "order_type": _ENUM,
        "quantity": _POSITIVE,
        "filled_quantity": _NON_NEGATIVE,
        "limit_price": _POSITIVE,
        "stop_price": _POSITIVE,
        "reason": _REASON,
    },
    "Execution": {
        "side": _REQUIRED_ENUM,
        "quantity": _required(Shape.POSITIVE),
        "price": _required(Shape.POSITIVE),
        "fee": _NUMBER,
        "liquidity": _ENUM,
        "allocations": _several(256),
        "currency": _NAME,
        "expected_price": _POSITIVE,
        "intent": _ENUM,
    },
    "Allocation": {"signal_id": _required(Shape.ID), "quantity": _required(Shape.POSITIVE)},
    "ExecutionFailure": {
        "error_type": _REQUIRED_NAME,
        "message": _text(4_096),
        "rejected_by_venue": _FLAG,
        "retryable": _FLAG,
    },
    "PositionUpdate": {
        "state": _REQUIRED_ENUM,
        "quantity": _NUMBER,
        "entry_price": _POSITIVE,
        "mark_price": _POSITIVE,
        "unrealized_pnl": _NUMBER,
        "realized_pnl": _NUMBER,
        "currency": _NAME,
    },
    "AccountSnapshot": {
        "equity": _required(Shape.NUMBER),
        "cash": _NUMBER,
        "exposure": _NON_NEGATIVE,
        "currency": _required(Shape.TEXT, 16),
        "margin_used": _NON_NEGATIVE,
    },
    "Outcome": {
        "status": _REQUIRED_ENUM,
        "return_fraction": _NUMBER,
        "pnl": _NUMBER,
        "fees": _NUMBER,
        "funding": _NUMBER,
        "quantity": _POSITIVE,
        "won": _FLAG,
        "exit_price": _POSITIVE,
        "exit_reason": _ENUM,
        "holding_time": _DURATION,
        "mfe": _NON_NEGATIVE,
        "mae": _NON_NEGATIVE,
        "realized_volatility": _NON_NEGATIVE,
        "horizon": _MESSAGE,
        "confidence_used": _FRACTION,
        "applied_threshold": _FRACTION,
        "thesis_accuracy": _FRACTION,
        "catalyst_materialized": _FLAG,
        "volume_pattern_accuracy": _FRACTION,
        "currency": _NAME,
        "entry_price": _POSITIVE,
        "calibrated": _FLAG,
        "side": _ENUM,
    },
    "Horizon": {
        "duration": _POSITIVE_DURATION,
        "trading_days": _COUNT,
        "calendar": _NAME,
    },
    "ShadowOutcome": {
        "outcome": _required(Shape.MESSAGE),
        "return_fraction_optimistic": _NUMBER,
        "return_fraction_pessimistic": _NUMBER,
        "fill_model": _REQUIRED_NAME,
        "traded": _FLAG,
        "gross_return_fraction": _NUMBER,
        "spread_cost_fraction": _NUMBER,
        "barriers_coarse": _FLAG,
        "barriers_ambiguous": _FLAG,
        "filled_fraction": _FRACTION,
        "liquidity": _ENUM,
        "entry_time": Rule(Shape.TIME),
        "action": _ENUM,
        "markouts": _several(64),
        "fee_cost_fraction": _NUMBER,
        "carry_cost_fraction": _NUMBER,
    },
    "Markout": {
        "age": _required(Shape.MESSAGE),
        "return_fraction": _NUMBER,
    },
    "Prediction": {
        "probability": _FRACTION,
        "value": _NUMBER,
        "label": _NAME,
        "features": _NUMBERS,
        "horizon": _MESSAGE,
    },
    "MarketBar": {
        "interval": _required(Shape.POSITIVE_DURATION),
        "open": _POSITIVE,
        "high": _POSITIVE,
        "low": _POSITIVE,
        "close": _required(Shape.POSITIVE),
        "volume": _NON_NEGATIVE,
        "spread_bps": _NON_NEGATIVE,
        "adjusted": _FLAG,
    },
    "MarketTick": {
        "bid": _POSITIVE,
        "ask": _POSITIVE,
        "bid_quantity": _NON_NEGATIVE,
        "ask_quantity": _NON_NEGATIVE,
        "last_price": _POSITIVE,
        "last_quantity": _NON_NEGATIVE,
    },
    "CorporateAction": {
        "action": _REQUIRED_ENUM,
        "ratio": _POSITIVE,
        "cash_amount": _NUMBER,
        "currency": _NAME,
        "new_symbol": _NAME,
    },
    "RegimeChange": {
        "regime": _REQUIRED_NAME,
        "previous_regime": _NAME,
        "probability": _FRACTION,
        "scope": _NAME,
    },
    "RiskBreach": {
        "rule": _REQUIRED_NAME,
        "severity": _REQUIRED_ENUM,
        "observed_value": _NUMBER,
        "limit": _NUMBER,
        "action_taken": _REASON,
    },
    "MetricRecorded": {
        "name": _REQUIRED_NAME,
        "value": _NUMBER,
        "baseline": _NUMBERS,
        "filtered": _NUMBERS,
        "improvement": _NUMBERS,
        "applied_threshold": _FRACTION,
        "confidence_key": _NAME,
        "calibrated": _FLAG,
        "unit": _NAME,
    },
}
