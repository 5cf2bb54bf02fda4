"""What a committed event tells the ledger: one parse, and the few fields that it needs.

Seven of ten events are bars, so their way is short. What was stored was validated; should a body
still say something that makes no fact (an older version's, a damaged one), it tells nothing.
"""

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from math import isfinite, isnan, nan
from operator import attrgetter
from typing import Any

from google.protobuf.message import DecodeError

from trimtab.v1 import event_pb2
from trimtab_server.domain.ledger.columns import ENTRY
from trimtab_server.domain.ledger.facts import (
    AccountFact,
    ActionFact,
    BarFact,
    DecisionFact,
    Fact,
    FillFact,
    Lane,
    MarkoutFact,
    OutcomeFact,
    PredictionFact,
    ShadowFact,
    SignalFact,
    TickFact,
    signal_key,
)
from trimtab_server.domain.shadow.result import AMBIGUOUS, COARSE, MAKER, NOT_FILLED
from trimtab_server.rpc.guard_verdicts import verdict_of

_NS = 1_000_000_000
_NS_MAX = 1 << 62
_SIDES = {event_pb2.SIDE_BUY: 1, event_pb2.SIDE_SELL: -1}
_INTENTS = frozenset(event_pb2.Intent.values()) - {0}
_SIZES = {"quantity": 1, "notional": 2, "equity_fraction": 3}
_STATUSES = frozenset(event_pb2.OutcomeStatus.values()) - {0}
_ACTIONS = frozenset(event_pb2.DecisionAction.values()) - {0}
# Bits of ShadowFact.flags.
# Lanes are few and every event names one: the same tuple serves them all.
_LANES_MAX = 4_096
_lanes: dict[tuple[str, int, str], Lane] = {}
# A signal's decision, fills and outcome come soon after it.
_key = lru_cache(maxsize=16_384)(signal_key)
_as_json = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True
).encode
_parse = event_pb2.Event.FromString
_LANE = attrgetter("source", "environment", "run_id")
_SIGNAL_NAMES = attrgetter("signal_id", "strategy", "symbol", "model_name", "attributes")
_SIGNAL = attrgetter(
    *("side", "intent", "confidence", "expected_return", "volatility", "applied_threshold")
)
_DECISION = attrgetter(
    *("action", "applied_threshold", "position_fraction", "entry_price", "guard_verdicts")
)
_FILL = attrgetter("side", "quantity", "price", "intent", "allocations")
# Optional numbers, in the order of the facts.
_OUTCOME = ("return_fraction", "pnl", "mfe", "mae", "realized_volatility")
_SHADOW = (
    *("return_fraction_optimistic", "return_fraction_pessimistic", "gross_return_fraction"),
    *("spread_cost_fraction", "fee_cost_fraction", "carry_cost_fraction"),
)
_SNAPSHOT = attrgetter("price", "bid", "ask", "spread_bps")
_BAR_NAMES = attrgetter("event_id", "corrects_event_id", "symbol")
_BAR = attrgetter("open", "high", "low", "close", "volume", "spread_bps", "adjusted", "interval")

# Prices and quantities beyond these are mistakes; within them products neither vanish nor overflow.
_LEAST, _MOST = 1e-12, 1e15
_RATIO_MIN = 1e-6


def facts_of(body: bytes) -> Fact | None:
    """The fact in an event's body, None when it tells the ledger nothing: other kinds, outcomes
    over a horizon (they are not the signal's own result), predictions without a signal or a
    probability, bars and fills with numbers that no market knows, and bodies that cannot be read.
    Never raises."""
    try:
        event = _parse(body)
        read = _READERS.get(event.WhichOneof("payload"))
        return None if read is None else read(event)
    except (DecodeError, ValueError, ArithmeticError):
        return None


def _lane(told: tuple[str, int, str]) -> Lane:
    lane = _lanes.get(told)
    if lane is None:
        if len(_lanes) >= _LANES_MAX:
            _lanes.clear()
        lane = _lanes[told] = Lane(*told)
    return lane


def _head(event: Any) -> tuple[Lane, int, bytes, bytes]:
    """What every fact begins with: lane, time, id, corrected id. Raises ValueError."""
    corrects = event.corrects_event_id
    return (
        _lane(_LANE(event)),
        _nanoseconds(event.event_time),
        bytes.fromhex(event.event_id.replace("-", "")),
        bytes.fromhex(corrects.replace("-", "")) if corrects else b"",
    )


def _number(message: Any, name: str) -> float:
    """The optional field, NaN when it is absent."""
    value: float = getattr(message, name)
    return value if value or message.HasField(name) else nan


def _price(value: float) -> float:
    """The price, NaN when it is absent or none that any market knows."""
    return value if _LEAST <= value <= _MOST else nan


def _numbers(message: Any, names: tuple[str, ...]) -> Iterator[float]:
    return (_number(message, name) for name in names)


def _nanoseconds(told: Any) -> int:
    """Of a Timestamp or a Duration. Raises ValueError for what no column can hold."""
    whole: int = told.seconds * _NS + told.nanos
    if not 0 <= whole < _NS_MAX:
        raise ValueError(whole)
    return whole


# -- market data -----------------------------------------------------------------------------------


def _bar(event: Any) -> BarFact | None:
    # Written out: `attrgetter` reads several fields for the price of one.
    bar, when = event.market_bar, event.event_time
    event_id, corrects, symbol = _BAR_NAMES(event)
    opened, high, low, close, volume, spread_bps, adjusted, interval = _BAR(bar)
    time_ns = when.seconds * _NS + when.nanos
    if not _LEAST <= close <= _MOST or not 0 <= time_ns < _NS_MAX:
        return None
    told = _LANE(event)
    # Prices are above zero, so zero is "absent"; of the others only a zero has to be looked at.
    return BarFact._make(
        (
            _lanes.get(told) or _lane(told),
            time_ns,
            bytes.fromhex(event_id.replace("-", "")),
            bytes.fromhex(corrects.replace("-", "")) if corrects else b"",
            symbol,
            interval.seconds * _NS + interval.nanos,
            opened if _LEAST <= opened <= _MOST else nan,
            high if _LEAST <= high <= _MOST else nan,
            low if _LEAST <= low <= _MOST else nan,
            close,
            volume if volume or bar.HasField("volume") else nan,
            spread_bps if spread_bps or bar.HasField("spread_bps") else nan,
            adjusted,
        )
    )


def _tick(event: Any) -> TickFact:
    tick = event.market_tick
    return TickFact(
        *_head(event),
        event.symbol,
        _price(tick.bid),
        _price(tick.ask),
        _price(tick.last_price),
        _number(tick, "last_quantity"),
    )


def _corporate_action(event: Any) -> ActionFact:
    told = event.corporate_action
    return ActionFact(
        *_head(event),
        event.symbol,
        told.action,
        told.ratio if _RATIO_MIN <= told.ratio <= 1 / _RATIO_MIN else nan,
        _number(told, "cash_amount"),
        told.new_symbol,
    )


def _account(event: Any) -> AccountFact | None:
    equity = _number(event.account_snapshot, "equity")
    return AccountFact(*_head(event), equity) if isfinite(equity) else None


# -- signal, decision, fill ------------------------------------------------------------------------


def _signal(event: Any) -> SignalFact | None:
    signal, head = event.signal, _head(event)
    side, intent, confidence, expected, volatility, threshold = _SIGNAL(signal)
    if side not in _SIDES:
        return None
    plan, has, size = signal.exit_plan, signal.HasField, signal.WhichOneof("size")
    signal_id, strategy, symbol, model, attributes = _SIGNAL_NAMES(event)
    period = plan.holding_period
    return SignalFact._make(
        (
            *head,
            _key(head[0], signal_id),
            signal_id,
            strategy,
            symbol,
            model,
            _SIDES[side],
            intent if intent in _INTENTS else ENTRY,
            confidence if confidence or has("confidence") else nan,
            signal.calibrated,
            expected if expected or has("expected_return") else nan,
            _SIZES[size] if size else 0,
            getattr(signal, size) if size else nan,
            signal.contract_multiplier or 1.0,
            volatility if volatility or has("volatility") else nan,
            signal.reference_price or nan,
            signal.regime,
            threshold if threshold or has("applied_threshold") else nan,
            period.seconds * _NS + period.nanos,
            plan.holding_trading_days,
            plan.calendar,
            plan.stop_loss_price or nan,
            plan.take_profit_price or nan,
            _context(signal.indicator_values, signal.features, attributes),
        )
    )


def _context(indicators: Any, features: Any, attributes: Any) -> bytes:
    """The maps as JSON with sorted keys: "i" indicator values, "f" features, "a" attributes; b""
    when all are empty."""
    if not (indicators or features or attributes):
        return b""
    told = {"i": dict(indicators), "f": dict(features), "a": dict(attributes)}
    kept = {name: each for name, each in told.items() if each}
    try:
        return _as_json(kept).encode()
    except ValueError:  # a number that JSON does not know: it was never valid
        for name in kept.keys() - {"a"}:
            kept[name] = {key: each for key, each in kept[name].items() if isfinite(each)}
        return _as_json(kept).encode()


def _decision(event: Any) -> DecisionFact | None:
    decision, head = event.decision, _head(event)
    action, threshold, fraction, entry_price, told = _DECISION(decision)
    if action not in _ACTIONS:
        return None
    snapshot, has = decision.market_snapshot, decision.HasField
    price, bid, ask, spread_bps = _SNAPSHOT(snapshot)
    if not spread_bps and not snapshot.HasField("spread_bps"):
        # Of a crossed quote (or half of one) the spread is not known.
        known = _LEAST <= bid <= ask <= _MOST
        spread_bps = (ask - bid) / (ask / 2 + bid / 2) * 1e4 if known else nan
    signal_id = event.signal_id
    return DecisionFact._make(
        (
            *head,
            _key(head[0], signal_id),
            signal_id,
            event.strategy,
            event.symbol,
            action,
            tuple(map(verdict_of, told)),
            spread_bps,
            _price(bid),
            _price(ask),
            _price(price),
            threshold if threshold or has("applied_threshold") else nan,
            fraction if fraction or has("position_fraction") else nan,
            entry_price or nan,
        )
    )


def _fill(event: Any) -> FillFact | None:
    fill, head, signal_id = event.execution, _head(event), event.signal_id
    side, quantity, price, intent, parts = _FILL(fill)
    if side not in _SIDES or not _LEAST <= quantity <= _MOST or not _LEAST <= price <= _MOST:
        return None
    lane = head[0]
    return FillFact(
        *head,
        _key(lane, signal_id) if signal_id else 0,
        signal_id,
        event.symbol,
        _SIDES[side],
        intent if intent in _INTENTS else 0,
        quantity,
        price,
        _number(fill, "fee"),
        tuple((_key(lane, part.signal_id), part.quantity) for part in parts),
    )


# -- results --------------------------------------------------------------------------------------


def _outcome(event: Any) -> OutcomeFact | None:
    outcome, head, signal_id = event.outcome, _head(event), event.signal_id
    if outcome.status not in _STATUSES or outcome.HasField("horizon"):
        return None
    return_fraction, pnl, mfe, mae, volatility = _numbers(outcome, _OUTCOME)
    if outcome.HasField("won"):
        won = int(outcome.won)
    else:
        won = -1 if isnan(return_fraction) else int(return_fraction > 0)
    return OutcomeFact(
        *head,
        _key(head[0], signal_id),
        signal_id,
        event.strategy,
        event.symbol,
        outcome.status,
        return_fraction,
        pnl,
        won,
        _nanoseconds(outcome.holding_time) if outcome.HasField("holding_time") else -1,
        outcome.entry_price or nan,
        outcome.exit_price or nan,
        mfe,
        mae,
        volatility,
    )


def _shadow(event: Any) -> ShadowFact | None:
    shadow, head = event.shadow_outcome, _head(event)
    outcome = shadow.outcome
    if outcome.status not in _STATUSES:
        return None
    has_entered = shadow.HasField("entry_time")
    return_fraction, _, mfe, mae, volatility = _numbers(outcome, _OUTCOME)
    flags = MAKER if shadow.liquidity == event_pb2.LIQUIDITY_MAKER else 0
    flags |= COARSE if shadow.barriers_coarse else 0
    flags |= AMBIGUOUS if shadow.barriers_ambiguous else 0
    return ShadowFact._make(
        (
            *head,
            _key(head[0], event.signal_id),
            outcome.status,
            *_age(outcome.horizon),
            return_fraction,
            *_numbers(shadow, _SHADOW),
            *(mfe, mae, volatility),
            _nanoseconds(shadow.entry_time) if has_entered else 0,
            flags if has_entered else flags | NOT_FILLED,
            tuple(MarkoutFact(*_age(each.age), each.return_fraction) for each in shadow.markouts),
            shadow.fill_model,
        )
    )


def _age(horizon: Any) -> tuple[int, int, str]:
    """Nanoseconds, or trading days and their calendar; zeros where there is no horizon."""
    return _nanoseconds(horizon.duration), horizon.trading_days, horizon.calendar


def _prediction(event: Any) -> PredictionFact | None:
    prediction = event.prediction
    if not event.signal_id or not prediction.HasField("probability"):
        return None
    head = _head(event)
    key = _key(head[0], event.signal_id)
    available_ns = _nanoseconds(event.available_time)  # absent is 0
    return PredictionFact(
        *head, key, event.model_name, prediction.probability, max(head[1], available_ns)
    )


_READERS: dict[str | None, Callable[[Any], Fact | None]] = {
    "market_bar": _bar,
    "market_tick": _tick,
    "corporate_action": _corporate_action,
    "account_snapshot": _account,
    "signal": _signal,
    "decision": _decision,
    "execution": _fill,
    "outcome": _outcome,
    "shadow_outcome": _shadow,
    "prediction": _prediction,
}
