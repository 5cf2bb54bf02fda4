"""Event messages: the contract's types under short names, enum words, times, nested builders.

Wherever an enum is asked for, its word works ("BUY"), its full name ("SIDE_BUY") and its number.
Times are int nanoseconds UTC (`_ns`) or aware datetimes; durations are float seconds (`_s`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from trimtab.v1 import event_pb2, event_service_pb2
from trimtab.v1.event_pb2 import (
    AccountSnapshot,
    Allocation,
    CooldownRule,
    CorporateAction,
    Decision,
    Environment,
    Event,
    EventKind,
    Execution,
    ExecutionFailure,
    ExitPlan,
    ExposureRule,
    GuardVerdict,
    Horizon,
    LossLimitRule,
    MarketBar,
    MarketContext,
    MarketSnapshot,
    MarketTick,
    MetricRecorded,
    OrderUpdate,
    Outcome,
    PositionCountRule,
    PositionUpdate,
    Prediction,
    RecorderLoss,
    RegimeChange,
    RiskBreach,
    ShadowOutcome,
    Signal,
    Thesis,
    ThresholdRule,
)
from trimtab.v1.event_service_pb2 import EventFilter
from trimtab_client.fields import set_duration, set_given

__all__ = [
    "AccountSnapshot",
    "Allocation",
    "CooldownRule",
    "CorporateAction",
    "Decision",
    "EnumWords",
    "Environment",
    "Event",
    "EventFilter",
    "EventKind",
    "Execution",
    "ExecutionFailure",
    "ExitPlan",
    "ExposureRule",
    "GuardVerdict",
    "Horizon",
    "LossLimitRule",
    "MarketBar",
    "MarketContext",
    "MarketSnapshot",
    "MarketTick",
    "MetricRecorded",
    "OrderUpdate",
    "Outcome",
    "PositionCountRule",
    "PositionUpdate",
    "Prediction",
    "RecorderLoss",
    "RegimeChange",
    "RiskBreach",
    "ShadowOutcome",
    "Signal",
    "Thesis",
    "ThresholdRule",
    "Time",
    "Word",
    "event_filter",
    "exit_plan",
    "guard_verdict",
    "horizon",
    "kind_word",
    "market_context",
    "market_snapshot",
    "thesis",
    "to_duration",
    "to_ns",
    "to_timestamp",
]  # fmt: skip

Word: TypeAlias = str | int
Time: TypeAlias = int | datetime
RuleMessage: TypeAlias = (
    ThresholdRule | PositionCountRule | ExposureRule | CooldownRule | LossLimitRule
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS = 1_000_000_000


class EnumWords:
    """Numbers of one enum by short word, full name and number: one look-up on the engine's thread.

    >>> SIDE("BUY", "signal.side")
    1
    """

    __slots__ = ("_numbers", "_words")

    def __init__(self, enum_type: Any, prefix: str) -> None:
        names: dict[str, int] = dict(enum_type.items())
        self._words = {number: name.removeprefix(prefix) for name, number in names.items()}
        self._numbers: dict[Word, int] = {}
        for name, number in names.items():
            self._numbers |= {name: number, name.removeprefix(prefix): number, number: number}

    def __call__(self, value: Word, field: str) -> int:
        """The number; ValueError naming `field` when the enum has no such word or number."""
        number = self._numbers.get(value)
        if number is None:
            known = ", ".join(self._words[n] for n in sorted(self._words) if n)
            raise ValueError(f"{field}: {value!r} is none of {known}")
        return number

    def word(self, number: int) -> str:
        """The short word, e.g. "BUY"; the number as text for one that this client does not know."""
        return self._words.get(number, str(number))


ENVIRONMENT = EnumWords(event_pb2.Environment, "ENVIRONMENT_")
EVENT_KIND = EnumWords(event_pb2.EventKind, "EVENT_KIND_")
EVENT_ORDER = EnumWords(event_service_pb2.EventOrder, "EVENT_ORDER_")
SIDE = EnumWords(event_pb2.Side, "SIDE_")
INTENT = EnumWords(event_pb2.Intent, "INTENT_")
DECISION_ACTION = EnumWords(event_pb2.DecisionAction, "DECISION_ACTION_")
DECISION_SOURCE = EnumWords(event_pb2.DecisionSource, "DECISION_SOURCE_")
GATE_SOURCE = EnumWords(event_pb2.GateSource, "GATE_SOURCE_")
THRESHOLD_SCALE = EnumWords(event_pb2.ThresholdScale, "THRESHOLD_SCALE_")
GUARD_RESULT = EnumWords(event_pb2.GuardResult, "GUARD_RESULT_")
GUARD_MEMORY = EnumWords(event_pb2.GuardMemory, "GUARD_MEMORY_")
ORDER_STATE = EnumWords(event_pb2.OrderState, "ORDER_STATE_")
ORDER_TYPE = EnumWords(event_pb2.OrderType, "ORDER_TYPE_")
LIQUIDITY = EnumWords(event_pb2.Liquidity, "LIQUIDITY_")
POSITION_STATE = EnumWords(event_pb2.PositionState, "POSITION_STATE_")
OUTCOME_STATUS = EnumWords(event_pb2.OutcomeStatus, "OUTCOME_STATUS_")
EXIT_REASON = EnumWords(event_pb2.ExitReason, "EXIT_REASON_")
CORPORATE_ACTION_KIND = EnumWords(event_pb2.CorporateActionKind, "CORPORATE_ACTION_KIND_")
SEVERITY = EnumWords(event_pb2.Severity, "SEVERITY_")

# Payload field name ("market_bar") -> kind number: the names differ by case only.
KIND_OF_PAYLOAD: dict[str, int] = {
    field.name: EVENT_KIND(field.name.upper(), "payload")
    for field in event_pb2.Event.DESCRIPTOR.oneofs_by_name["payload"].fields
}


def to_ns(time: Time, field: str = "time") -> int:
    """Nanoseconds UTC since 1970. ValueError for a datetime without a time zone, TypeError for what
    is neither a datetime nor an int; both name `field`."""
    if not isinstance(time, datetime):
        try:
            return operator.index(time)
        except TypeError:
            raise TypeError(
                f"{field}: must be a datetime with a time zone or int nanoseconds UTC"
                f"{' (as event_time_ns)' if field == 'event_time' else ''}, "
                f"not {type(time).__name__}"
            ) from None
    if time.tzinfo is None:
        raise ValueError(f"{field}: a datetime needs a time zone, e.g. datetime.now(UTC)")
    since = time - _EPOCH
    return (since.days * 86_400 + since.seconds) * _NS + since.microseconds * 1_000


def to_timestamp(time: Time, field: str = "time") -> Timestamp:
    """A protobuf Timestamp from int nanoseconds or an aware datetime; errors as of `to_ns`."""
    seconds, nanos = divmod(to_ns(time, field), _NS)
    return Timestamp(seconds=seconds, nanos=nanos)


def to_duration(duration_s: float) -> Duration:
    """A protobuf Duration from seconds, to the nanosecond. ValueError when not finite."""
    duration = Duration()
    set_duration(duration, duration_s)
    return duration


_RULE_FIELDS: dict[type[Any], str] = {
    ThresholdRule: "threshold",
    PositionCountRule: "position_count",
    ExposureRule: "exposure",
    CooldownRule: "cooldown",
    LossLimitRule: "loss_limit",
}


def guard_verdict(
    *,
    guard: str,
    result: Word,
    observed_value: float | None = None,
    limit: float | None = None,
    version: str = "",
    reason: str = "",
    memory: Word = 0,
    rule: RuleMessage | None = None,
) -> GuardVerdict:
    """What one guard said: `result` PASS, BLOCK or NOT_EVALUATED.

    observed_value, limit: in the guard's own unit. memory: STATELESS or STATEFUL (not told =
    treated as STATEFUL). rule: for guards of a known kind, what a what-if needs to recompute it.
    """
    verdict = GuardVerdict(guard=guard, version=version, reason=reason)
    verdict.result = GUARD_RESULT(result, "guard_verdict.result")  # type: ignore[assignment]
    verdict.memory = GUARD_MEMORY(memory, "guard_verdict.memory")  # type: ignore[assignment]
    set_given(verdict, (("observed_value", observed_value), ("limit", limit)))
    if rule is not None:
        getattr(verdict, _RULE_FIELDS[type(rule)]).CopyFrom(rule)
    return verdict


def market_snapshot(
    *,
    price: float | None = None,
    bid: float | None = None,
    ask: float | None = None,
    spread_bps: float | None = None,
    volume: float | None = None,
    volatility: float | None = None,
    regime: str = "",
    quote_time: Time | None = None,
) -> MarketSnapshot:
    """The market at a decision: prices > 0, spread in basis points of the mid price, volume in
    units, volatility per bar as a fraction. quote_time: absent = the event's time."""
    snapshot = MarketSnapshot(
        price=price, bid=bid, ask=ask, spread_bps=spread_bps, volume=volume,
        volatility=volatility, regime=regime,
    )  # fmt: skip
    if quote_time is not None:
        snapshot.quote_time.CopyFrom(to_timestamp(quote_time, "quote_time"))
    return snapshot


def exit_plan(
    *,
    holding_period_s: float | None = None,
    stop_loss_price: float | None = None,
    take_profit_price: float | None = None,
    holding_trading_days: int = 0,
    calendar: str = "",
) -> ExitPlan:
    """How a position is meant to end, whatever comes first: seconds > 0, prices > 0, trading days
    (0 = none) of a calendar ("XNYS"; empty = the sidecar's)."""
    plan = ExitPlan(
        stop_loss_price=stop_loss_price,
        take_profit_price=take_profit_price,
        holding_trading_days=holding_trading_days,
        calendar=calendar,
    )
    if holding_period_s is not None:
        set_duration(plan.holding_period, holding_period_s, "holding_period_s")
    return plan


def market_context(
    *,
    vix: float | None = None,
    sector: str = "",
    regime: str = "",
    values: Mapping[str, float] | None = None,
) -> MarketContext:
    """The market around a signal: vix in points >= 0; values: documented keys in the contract."""
    return MarketContext(vix=vix, sector=sector, regime=regime, values=values)


def thesis(*, text: str = "", catalyst: str = "", expected_volume_pattern: str = "") -> Thesis:
    """Why a trade should work, so that its outcome can be held against it."""
    return Thesis(text=text, catalyst=catalyst, expected_volume_pattern=expected_volume_pattern)


def horizon(
    *, duration_s: float | None = None, trading_days: int | None = None, calendar: str = ""
) -> Horizon:
    """Over what an outcome was measured: seconds > 0, or trading days of a calendar ("XNYS")."""
    made = Horizon(trading_days=trading_days, calendar=calendar)
    if duration_s is not None:
        set_duration(made.duration, duration_s, "duration_s")
    return made


def kind_word(kind_or_event: Word | Event) -> str:
    """The word of a kind ("MARKET_BAR"), or of an event's; "UNSPECIFIED" without a payload."""
    if isinstance(kind_or_event, Event):
        payload = kind_or_event.WhichOneof("payload")
        return EVENT_KIND.word(KIND_OF_PAYLOAD[payload] if payload else 0)
    return EVENT_KIND.word(EVENT_KIND(kind_or_event, "kind"))


def event_filter(
    *,
    kinds: Iterable[Word] = (),
    source: str = "",
    environment: Word = 0,
    run_id: str = "",
    strategy: str = "",
    symbol: str = "",
    signal_id: str = "",
    start_time: Time | None = None,
    end_time: Time | None = None,
    known_at_time: Time | None = None,
) -> EventFilter:
    """Which events: all conditions hold, an empty one does not restrict. start_time <= event_time
    < end_time; known_at_time: available_time at or before. ValueError for an unknown word."""
    made = EventFilter(
        source=source, run_id=run_id, strategy=strategy, symbol=symbol, signal_id=signal_id
    )
    made.kinds.extend(EVENT_KIND(kind, "filter.kinds") for kind in kinds)  # type: ignore[misc]
    made.environment = ENVIRONMENT(environment, "filter.environment")  # type: ignore[assignment]
    for target, time in (
        (made.start_time, start_time),
        (made.end_time, end_time),
        (made.known_at_time, known_at_time),
    ):
        if time is not None:
            target.CopyFrom(to_timestamp(time))
    return made


def current_traceparent_source() -> Callable[[], str] | None:
    """How to read the engine's current trace context, or None without opentelemetry-api."""
    try:
        from opentelemetry import trace  # noqa: PLC0415 - optional
    except ImportError:
        return None
    get_current_span = trace.get_current_span
    no_span = trace.INVALID_SPAN

    def current_traceparent() -> str:
        span = get_current_span()
        if span is no_span:
            return ""
        context = span.get_span_context()
        if not context.is_valid:
            return ""
        flags = int(context.trace_flags) & 0xFF
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"

    return current_traceparent
