from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Environment(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENVIRONMENT_UNSPECIFIED: _ClassVar[Environment]
    ENVIRONMENT_LIVE: _ClassVar[Environment]
    ENVIRONMENT_PAPER: _ClassVar[Environment]
    ENVIRONMENT_BACKTEST: _ClassVar[Environment]

class EventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_KIND_UNSPECIFIED: _ClassVar[EventKind]
    EVENT_KIND_SIGNAL: _ClassVar[EventKind]
    EVENT_KIND_DECISION: _ClassVar[EventKind]
    EVENT_KIND_ORDER_UPDATE: _ClassVar[EventKind]
    EVENT_KIND_EXECUTION: _ClassVar[EventKind]
    EVENT_KIND_EXECUTION_FAILURE: _ClassVar[EventKind]
    EVENT_KIND_POSITION_UPDATE: _ClassVar[EventKind]
    EVENT_KIND_ACCOUNT_SNAPSHOT: _ClassVar[EventKind]
    EVENT_KIND_OUTCOME: _ClassVar[EventKind]
    EVENT_KIND_SHADOW_OUTCOME: _ClassVar[EventKind]
    EVENT_KIND_PREDICTION: _ClassVar[EventKind]
    EVENT_KIND_MARKET_BAR: _ClassVar[EventKind]
    EVENT_KIND_MARKET_TICK: _ClassVar[EventKind]
    EVENT_KIND_CORPORATE_ACTION: _ClassVar[EventKind]
    EVENT_KIND_REGIME_CHANGE: _ClassVar[EventKind]
    EVENT_KIND_RISK_BREACH: _ClassVar[EventKind]
    EVENT_KIND_METRIC_RECORDED: _ClassVar[EventKind]
    EVENT_KIND_RECORDER_LOSS: _ClassVar[EventKind]

class Side(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SIDE_UNSPECIFIED: _ClassVar[Side]
    SIDE_BUY: _ClassVar[Side]
    SIDE_SELL: _ClassVar[Side]

class Intent(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INTENT_UNSPECIFIED: _ClassVar[Intent]
    INTENT_ENTRY: _ClassVar[Intent]
    INTENT_REDUCE: _ClassVar[Intent]
    INTENT_EXIT: _ClassVar[Intent]

class DecisionAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_ACTION_UNSPECIFIED: _ClassVar[DecisionAction]
    DECISION_ACTION_APPROVED: _ClassVar[DecisionAction]
    DECISION_ACTION_BLOCKED: _ClassVar[DecisionAction]
    DECISION_ACTION_HOLD: _ClassVar[DecisionAction]
    DECISION_ACTION_IGNORED: _ClassVar[DecisionAction]

class DecisionSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_SOURCE_UNSPECIFIED: _ClassVar[DecisionSource]
    DECISION_SOURCE_DISCOVERY: _ClassVar[DecisionSource]
    DECISION_SOURCE_THESIS: _ClassVar[DecisionSource]
    DECISION_SOURCE_MANUAL: _ClassVar[DecisionSource]
    DECISION_SOURCE_GATE: _ClassVar[DecisionSource]
    DECISION_SOURCE_GUARDS: _ClassVar[DecisionSource]

class GateSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GATE_SOURCE_UNSPECIFIED: _ClassVar[GateSource]
    GATE_SOURCE_LEASE: _ClassVar[GateSource]
    GATE_SOURCE_RPC: _ClassVar[GateSource]
    GATE_SOURCE_STALE: _ClassVar[GateSource]
    GATE_SOURCE_FALLBACK: _ClassVar[GateSource]

class ThresholdScale(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    THRESHOLD_SCALE_UNSPECIFIED: _ClassVar[ThresholdScale]
    THRESHOLD_SCALE_CONFIDENCE: _ClassVar[ThresholdScale]
    THRESHOLD_SCALE_PROBABILITY: _ClassVar[ThresholdScale]

class GuardResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GUARD_RESULT_UNSPECIFIED: _ClassVar[GuardResult]
    GUARD_RESULT_PASS: _ClassVar[GuardResult]
    GUARD_RESULT_BLOCK: _ClassVar[GuardResult]
    GUARD_RESULT_NOT_EVALUATED: _ClassVar[GuardResult]

class GuardMemory(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GUARD_MEMORY_UNSPECIFIED: _ClassVar[GuardMemory]
    GUARD_MEMORY_STATELESS: _ClassVar[GuardMemory]
    GUARD_MEMORY_STATEFUL: _ClassVar[GuardMemory]

class OrderState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_STATE_UNSPECIFIED: _ClassVar[OrderState]
    ORDER_STATE_SUBMITTED: _ClassVar[OrderState]
    ORDER_STATE_ACCEPTED: _ClassVar[OrderState]
    ORDER_STATE_PARTIALLY_FILLED: _ClassVar[OrderState]
    ORDER_STATE_FILLED: _ClassVar[OrderState]
    ORDER_STATE_CANCELLED: _ClassVar[OrderState]
    ORDER_STATE_REJECTED: _ClassVar[OrderState]
    ORDER_STATE_EXPIRED: _ClassVar[OrderState]

class OrderType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_TYPE_UNSPECIFIED: _ClassVar[OrderType]
    ORDER_TYPE_MARKET: _ClassVar[OrderType]
    ORDER_TYPE_LIMIT: _ClassVar[OrderType]
    ORDER_TYPE_STOP: _ClassVar[OrderType]
    ORDER_TYPE_STOP_LIMIT: _ClassVar[OrderType]

class Liquidity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LIQUIDITY_UNSPECIFIED: _ClassVar[Liquidity]
    LIQUIDITY_MAKER: _ClassVar[Liquidity]
    LIQUIDITY_TAKER: _ClassVar[Liquidity]

class PositionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POSITION_STATE_UNSPECIFIED: _ClassVar[PositionState]
    POSITION_STATE_OPENED: _ClassVar[PositionState]
    POSITION_STATE_CHANGED: _ClassVar[PositionState]
    POSITION_STATE_CLOSED: _ClassVar[PositionState]

class OutcomeStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_STATUS_UNSPECIFIED: _ClassVar[OutcomeStatus]
    OUTCOME_STATUS_MATURED: _ClassVar[OutcomeStatus]
    OUTCOME_STATUS_CENSORED: _ClassVar[OutcomeStatus]
    OUTCOME_STATUS_CORRECTED: _ClassVar[OutcomeStatus]

class ExitReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXIT_REASON_UNSPECIFIED: _ClassVar[ExitReason]
    EXIT_REASON_STOP_LOSS: _ClassVar[ExitReason]
    EXIT_REASON_TAKE_PROFIT: _ClassVar[ExitReason]
    EXIT_REASON_TIME: _ClassVar[ExitReason]
    EXIT_REASON_SIGNAL: _ClassVar[ExitReason]
    EXIT_REASON_MANUAL: _ClassVar[ExitReason]
    EXIT_REASON_LIQUIDATION: _ClassVar[ExitReason]
    EXIT_REASON_TRAILING_STOP: _ClassVar[ExitReason]
    EXIT_REASON_END_OF_DATA: _ClassVar[ExitReason]

class CorporateActionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CORPORATE_ACTION_KIND_UNSPECIFIED: _ClassVar[CorporateActionKind]
    CORPORATE_ACTION_KIND_SPLIT: _ClassVar[CorporateActionKind]
    CORPORATE_ACTION_KIND_DIVIDEND: _ClassVar[CorporateActionKind]
    CORPORATE_ACTION_KIND_ROLL: _ClassVar[CorporateActionKind]
    CORPORATE_ACTION_KIND_RENAME: _ClassVar[CorporateActionKind]
    CORPORATE_ACTION_KIND_DELISTING: _ClassVar[CorporateActionKind]

class Severity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEVERITY_UNSPECIFIED: _ClassVar[Severity]
    SEVERITY_INFO: _ClassVar[Severity]
    SEVERITY_WARNING: _ClassVar[Severity]
    SEVERITY_CRITICAL: _ClassVar[Severity]

class LossReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOSS_REASON_UNSPECIFIED: _ClassVar[LossReason]
    LOSS_REASON_SPOOL_DAMAGED: _ClassVar[LossReason]
    LOSS_REASON_SERVER_RESTORED: _ClassVar[LossReason]
    LOSS_REASON_UNSENDABLE: _ClassVar[LossReason]
ENVIRONMENT_UNSPECIFIED: Environment
ENVIRONMENT_LIVE: Environment
ENVIRONMENT_PAPER: Environment
ENVIRONMENT_BACKTEST: Environment
EVENT_KIND_UNSPECIFIED: EventKind
EVENT_KIND_SIGNAL: EventKind
EVENT_KIND_DECISION: EventKind
EVENT_KIND_ORDER_UPDATE: EventKind
EVENT_KIND_EXECUTION: EventKind
EVENT_KIND_EXECUTION_FAILURE: EventKind
EVENT_KIND_POSITION_UPDATE: EventKind
EVENT_KIND_ACCOUNT_SNAPSHOT: EventKind
EVENT_KIND_OUTCOME: EventKind
EVENT_KIND_SHADOW_OUTCOME: EventKind
EVENT_KIND_PREDICTION: EventKind
EVENT_KIND_MARKET_BAR: EventKind
EVENT_KIND_MARKET_TICK: EventKind
EVENT_KIND_CORPORATE_ACTION: EventKind
EVENT_KIND_REGIME_CHANGE: EventKind
EVENT_KIND_RISK_BREACH: EventKind
EVENT_KIND_METRIC_RECORDED: EventKind
EVENT_KIND_RECORDER_LOSS: EventKind
SIDE_UNSPECIFIED: Side
SIDE_BUY: Side
SIDE_SELL: Side
INTENT_UNSPECIFIED: Intent
INTENT_ENTRY: Intent
INTENT_REDUCE: Intent
INTENT_EXIT: Intent
DECISION_ACTION_UNSPECIFIED: DecisionAction
DECISION_ACTION_APPROVED: DecisionAction
DECISION_ACTION_BLOCKED: DecisionAction
DECISION_ACTION_HOLD: DecisionAction
DECISION_ACTION_IGNORED: DecisionAction
DECISION_SOURCE_UNSPECIFIED: DecisionSource
DECISION_SOURCE_DISCOVERY: DecisionSource
DECISION_SOURCE_THESIS: DecisionSource
DECISION_SOURCE_MANUAL: DecisionSource
DECISION_SOURCE_GATE: DecisionSource
DECISION_SOURCE_GUARDS: DecisionSource
GATE_SOURCE_UNSPECIFIED: GateSource
GATE_SOURCE_LEASE: GateSource
GATE_SOURCE_RPC: GateSource
GATE_SOURCE_STALE: GateSource
GATE_SOURCE_FALLBACK: GateSource
THRESHOLD_SCALE_UNSPECIFIED: ThresholdScale
THRESHOLD_SCALE_CONFIDENCE: ThresholdScale
THRESHOLD_SCALE_PROBABILITY: ThresholdScale
GUARD_RESULT_UNSPECIFIED: GuardResult
GUARD_RESULT_PASS: GuardResult
GUARD_RESULT_BLOCK: GuardResult
GUARD_RESULT_NOT_EVALUATED: GuardResult
GUARD_MEMORY_UNSPECIFIED: GuardMemory
GUARD_MEMORY_STATELESS: GuardMemory
GUARD_MEMORY_STATEFUL: GuardMemory
ORDER_STATE_UNSPECIFIED: OrderState
ORDER_STATE_SUBMITTED: OrderState
ORDER_STATE_ACCEPTED: OrderState
ORDER_STATE_PARTIALLY_FILLED: OrderState
ORDER_STATE_FILLED: OrderState
ORDER_STATE_CANCELLED: OrderState
ORDER_STATE_REJECTED: OrderState
ORDER_STATE_EXPIRED: OrderState
ORDER_TYPE_UNSPECIFIED: OrderType
ORDER_TYPE_MARKET: OrderType
ORDER_TYPE_LIMIT: OrderType
ORDER_TYPE_STOP: OrderType
ORDER_TYPE_STOP_LIMIT: OrderType
LIQUIDITY_UNSPECIFIED: Liquidity
LIQUIDITY_MAKER: Liquidity
LIQUIDITY_TAKER: Liquidity
POSITION_STATE_UNSPECIFIED: PositionState
POSITION_STATE_OPENED: PositionState
POSITION_STATE_CHANGED: PositionState
POSITION_STATE_CLOSED: PositionState
OUTCOME_STATUS_UNSPECIFIED: OutcomeStatus
OUTCOME_STATUS_MATURED: OutcomeStatus
OUTCOME_STATUS_CENSORED: OutcomeStatus
OUTCOME_STATUS_CORRECTED: OutcomeStatus
EXIT_REASON_UNSPECIFIED: ExitReason
EXIT_REASON_STOP_LOSS: ExitReason
EXIT_REASON_TAKE_PROFIT: ExitReason
EXIT_REASON_TIME: ExitReason
EXIT_REASON_SIGNAL: ExitReason
EXIT_REASON_MANUAL: ExitReason
EXIT_REASON_LIQUIDATION: ExitReason
EXIT_REASON_TRAILING_STOP: ExitReason
EXIT_REASON_END_OF_DATA: ExitReason
CORPORATE_ACTION_KIND_UNSPECIFIED: CorporateActionKind
CORPORATE_ACTION_KIND_SPLIT: CorporateActionKind
CORPORATE_ACTION_KIND_DIVIDEND: CorporateActionKind
CORPORATE_ACTION_KIND_ROLL: CorporateActionKind
CORPORATE_ACTION_KIND_RENAME: CorporateActionKind
CORPORATE_ACTION_KIND_DELISTING: CorporateActionKind
SEVERITY_UNSPECIFIED: Severity
SEVERITY_INFO: Severity
SEVERITY_WARNING: Severity
SEVERITY_CRITICAL: Severity
LOSS_REASON_UNSPECIFIED: LossReason
LOSS_REASON_SPOOL_DAMAGED: LossReason
LOSS_REASON_SERVER_RESTORED: LossReason
LOSS_REASON_UNSENDABLE: LossReason

class Event(_message.Message):
    __slots__ = ("event_id", "source", "environment", "run_id", "event_time", "available_time", "signal_id", "order_id", "position_id", "strategy", "symbol", "model_name", "model_version", "correlation_id", "causation_id", "corrects_event_id", "traceparent", "attributes", "sequence", "ingest_time", "signal", "decision", "order_update", "execution", "execution_failure", "position_update", "account_snapshot", "outcome", "shadow_outcome", "prediction", "market_bar", "market_tick", "corporate_action", "regime_change", "risk_breach", "metric_recorded", "recorder_loss")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_TIME_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_ID_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSATION_ID_FIELD_NUMBER: _ClassVar[int]
    CORRECTS_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    INGEST_TIME_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ORDER_UPDATE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FAILURE_FIELD_NUMBER: _ClassVar[int]
    POSITION_UPDATE_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    SHADOW_OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    MARKET_BAR_FIELD_NUMBER: _ClassVar[int]
    MARKET_TICK_FIELD_NUMBER: _ClassVar[int]
    CORPORATE_ACTION_FIELD_NUMBER: _ClassVar[int]
    REGIME_CHANGE_FIELD_NUMBER: _ClassVar[int]
    RISK_BREACH_FIELD_NUMBER: _ClassVar[int]
    METRIC_RECORDED_FIELD_NUMBER: _ClassVar[int]
    RECORDER_LOSS_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    source: str
    environment: Environment
    run_id: str
    event_time: _timestamp_pb2.Timestamp
    available_time: _timestamp_pb2.Timestamp
    signal_id: str
    order_id: str
    position_id: str
    strategy: str
    symbol: str
    model_name: str
    model_version: str
    correlation_id: str
    causation_id: str
    corrects_event_id: str
    traceparent: str
    attributes: _containers.ScalarMap[str, str]
    sequence: int
    ingest_time: _timestamp_pb2.Timestamp
    signal: Signal
    decision: Decision
    order_update: OrderUpdate
    execution: Execution
    execution_failure: ExecutionFailure
    position_update: PositionUpdate
    account_snapshot: AccountSnapshot
    outcome: Outcome
    shadow_outcome: ShadowOutcome
    prediction: Prediction
    market_bar: MarketBar
    market_tick: MarketTick
    corporate_action: CorporateAction
    regime_change: RegimeChange
    risk_breach: RiskBreach
    metric_recorded: MetricRecorded
    recorder_loss: RecorderLoss
    def __init__(self, event_id: _Optional[str] = ..., source: _Optional[str] = ..., environment: _Optional[_Union[Environment, str]] = ..., run_id: _Optional[str] = ..., event_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., available_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., signal_id: _Optional[str] = ..., order_id: _Optional[str] = ..., position_id: _Optional[str] = ..., strategy: _Optional[str] = ..., symbol: _Optional[str] = ..., model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., correlation_id: _Optional[str] = ..., causation_id: _Optional[str] = ..., corrects_event_id: _Optional[str] = ..., traceparent: _Optional[str] = ..., attributes: _Optional[_Mapping[str, str]] = ..., sequence: _Optional[int] = ..., ingest_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., signal: _Optional[_Union[Signal, _Mapping]] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ..., order_update: _Optional[_Union[OrderUpdate, _Mapping]] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ..., execution_failure: _Optional[_Union[ExecutionFailure, _Mapping]] = ..., position_update: _Optional[_Union[PositionUpdate, _Mapping]] = ..., account_snapshot: _Optional[_Union[AccountSnapshot, _Mapping]] = ..., outcome: _Optional[_Union[Outcome, _Mapping]] = ..., shadow_outcome: _Optional[_Union[ShadowOutcome, _Mapping]] = ..., prediction: _Optional[_Union[Prediction, _Mapping]] = ..., market_bar: _Optional[_Union[MarketBar, _Mapping]] = ..., market_tick: _Optional[_Union[MarketTick, _Mapping]] = ..., corporate_action: _Optional[_Union[CorporateAction, _Mapping]] = ..., regime_change: _Optional[_Union[RegimeChange, _Mapping]] = ..., risk_breach: _Optional[_Union[RiskBreach, _Mapping]] = ..., metric_recorded: _Optional[_Union[MetricRecorded, _Mapping]] = ..., recorder_loss: _Optional[_Union[RecorderLoss, _Mapping]] = ...) -> None: ...

class Signal(_message.Message):
    __slots__ = ("side", "intent", "confidence", "calibrated", "strength", "expected_return", "quantity", "notional", "equity_fraction", "currency", "contract_multiplier", "indicator_values", "regime", "agreeing_model_count", "volatility", "reference_price", "exit_plan", "market_context", "thesis", "features", "applied_threshold")
    class IndicatorValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SIDE_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATED_FIELD_NUMBER: _ClassVar[int]
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_RETURN_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    NOTIONAL_FIELD_NUMBER: _ClassVar[int]
    EQUITY_FRACTION_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    INDICATOR_VALUES_FIELD_NUMBER: _ClassVar[int]
    REGIME_FIELD_NUMBER: _ClassVar[int]
    AGREEING_MODEL_COUNT_FIELD_NUMBER: _ClassVar[int]
    VOLATILITY_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_PRICE_FIELD_NUMBER: _ClassVar[int]
    EXIT_PLAN_FIELD_NUMBER: _ClassVar[int]
    MARKET_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    THESIS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    APPLIED_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    side: Side
    intent: Intent
    confidence: float
    calibrated: bool
    strength: float
    expected_return: float
    quantity: float
    notional: float
    equity_fraction: float
    currency: str
    contract_multiplier: float
    indicator_values: _containers.ScalarMap[str, float]
    regime: str
    agreeing_model_count: int
    volatility: float
    reference_price: float
    exit_plan: ExitPlan
    market_context: MarketContext
    thesis: Thesis
    features: _containers.ScalarMap[str, float]
    applied_threshold: float
    def __init__(self, side: _Optional[_Union[Side, str]] = ..., intent: _Optional[_Union[Intent, str]] = ..., confidence: _Optional[float] = ..., calibrated: bool = ..., strength: _Optional[float] = ..., expected_return: _Optional[float] = ..., quantity: _Optional[float] = ..., notional: _Optional[float] = ..., equity_fraction: _Optional[float] = ..., currency: _Optional[str] = ..., contract_multiplier: _Optional[float] = ..., indicator_values: _Optional[_Mapping[str, float]] = ..., regime: _Optional[str] = ..., agreeing_model_count: _Optional[int] = ..., volatility: _Optional[float] = ..., reference_price: _Optional[float] = ..., exit_plan: _Optional[_Union[ExitPlan, _Mapping]] = ..., market_context: _Optional[_Union[MarketContext, _Mapping]] = ..., thesis: _Optional[_Union[Thesis, _Mapping]] = ..., features: _Optional[_Mapping[str, float]] = ..., applied_threshold: _Optional[float] = ...) -> None: ...

class ExitPlan(_message.Message):
    __slots__ = ("holding_period", "stop_loss_price", "take_profit_price", "holding_trading_days", "calendar")
    HOLDING_PERIOD_FIELD_NUMBER: _ClassVar[int]
    STOP_LOSS_PRICE_FIELD_NUMBER: _ClassVar[int]
    TAKE_PROFIT_PRICE_FIELD_NUMBER: _ClassVar[int]
    HOLDING_TRADING_DAYS_FIELD_NUMBER: _ClassVar[int]
    CALENDAR_FIELD_NUMBER: _ClassVar[int]
    holding_period: _duration_pb2.Duration
    stop_loss_price: float
    take_profit_price: float
    holding_trading_days: int
    calendar: str
    def __init__(self, holding_period: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., stop_loss_price: _Optional[float] = ..., take_profit_price: _Optional[float] = ..., holding_trading_days: _Optional[int] = ..., calendar: _Optional[str] = ...) -> None: ...

class MarketContext(_message.Message):
    __slots__ = ("vix", "sector", "regime", "values")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    VIX_FIELD_NUMBER: _ClassVar[int]
    SECTOR_FIELD_NUMBER: _ClassVar[int]
    REGIME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    vix: float
    sector: str
    regime: str
    values: _containers.ScalarMap[str, float]
    def __init__(self, vix: _Optional[float] = ..., sector: _Optional[str] = ..., regime: _Optional[str] = ..., values: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Thesis(_message.Message):
    __slots__ = ("text", "catalyst", "expected_volume_pattern")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CATALYST_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VOLUME_PATTERN_FIELD_NUMBER: _ClassVar[int]
    text: str
    catalyst: str
    expected_volume_pattern: str
    def __init__(self, text: _Optional[str] = ..., catalyst: _Optional[str] = ..., expected_volume_pattern: _Optional[str] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("action", "guard_verdicts", "market_snapshot", "applied_threshold", "threshold_scale", "position_fraction", "decision_source", "gate_revision", "gate_source", "propensity", "reason", "entry_price")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    GUARD_VERDICTS_FIELD_NUMBER: _ClassVar[int]
    MARKET_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    APPLIED_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_SCALE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FRACTION_FIELD_NUMBER: _ClassVar[int]
    DECISION_SOURCE_FIELD_NUMBER: _ClassVar[int]
    GATE_REVISION_FIELD_NUMBER: _ClassVar[int]
    GATE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ENTRY_PRICE_FIELD_NUMBER: _ClassVar[int]
    action: DecisionAction
    guard_verdicts: _containers.RepeatedCompositeFieldContainer[GuardVerdict]
    market_snapshot: MarketSnapshot
    applied_threshold: float
    threshold_scale: ThresholdScale
    position_fraction: float
    decision_source: DecisionSource
    gate_revision: int
    gate_source: GateSource
    propensity: float
    reason: str
    entry_price: float
    def __init__(self, action: _Optional[_Union[DecisionAction, str]] = ..., guard_verdicts: _Optional[_Iterable[_Union[GuardVerdict, _Mapping]]] = ..., market_snapshot: _Optional[_Union[MarketSnapshot, _Mapping]] = ..., applied_threshold: _Optional[float] = ..., threshold_scale: _Optional[_Union[ThresholdScale, str]] = ..., position_fraction: _Optional[float] = ..., decision_source: _Optional[_Union[DecisionSource, str]] = ..., gate_revision: _Optional[int] = ..., gate_source: _Optional[_Union[GateSource, str]] = ..., propensity: _Optional[float] = ..., reason: _Optional[str] = ..., entry_price: _Optional[float] = ...) -> None: ...

class GuardVerdict(_message.Message):
    __slots__ = ("guard", "result", "observed_value", "limit", "version", "reason", "memory", "threshold", "position_count", "exposure", "cooldown", "loss_limit")
    GUARD_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_VALUE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    POSITION_COUNT_FIELD_NUMBER: _ClassVar[int]
    EXPOSURE_FIELD_NUMBER: _ClassVar[int]
    COOLDOWN_FIELD_NUMBER: _ClassVar[int]
    LOSS_LIMIT_FIELD_NUMBER: _ClassVar[int]
    guard: str
    result: GuardResult
    observed_value: float
    limit: float
    version: str
    reason: str
    memory: GuardMemory
    threshold: ThresholdRule
    position_count: PositionCountRule
    exposure: ExposureRule
    cooldown: CooldownRule
    loss_limit: LossLimitRule
    def __init__(self, guard: _Optional[str] = ..., result: _Optional[_Union[GuardResult, str]] = ..., observed_value: _Optional[float] = ..., limit: _Optional[float] = ..., version: _Optional[str] = ..., reason: _Optional[str] = ..., memory: _Optional[_Union[GuardMemory, str]] = ..., threshold: _Optional[_Union[ThresholdRule, _Mapping]] = ..., position_count: _Optional[_Union[PositionCountRule, _Mapping]] = ..., exposure: _Optional[_Union[ExposureRule, _Mapping]] = ..., cooldown: _Optional[_Union[CooldownRule, _Mapping]] = ..., loss_limit: _Optional[_Union[LossLimitRule, _Mapping]] = ...) -> None: ...

class ThresholdRule(_message.Message):
    __slots__ = ("is_minimum",)
    IS_MINIMUM_FIELD_NUMBER: _ClassVar[int]
    is_minimum: bool
    def __init__(self, is_minimum: bool = ...) -> None: ...

class PositionCountRule(_message.Message):
    __slots__ = ("open_count", "open_count_max", "per_symbol")
    OPEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    OPEN_COUNT_MAX_FIELD_NUMBER: _ClassVar[int]
    PER_SYMBOL_FIELD_NUMBER: _ClassVar[int]
    open_count: int
    open_count_max: int
    per_symbol: bool
    def __init__(self, open_count: _Optional[int] = ..., open_count_max: _Optional[int] = ..., per_symbol: bool = ...) -> None: ...

class ExposureRule(_message.Message):
    __slots__ = ("exposure_fraction", "added_fraction", "exposure_fraction_max")
    EXPOSURE_FRACTION_FIELD_NUMBER: _ClassVar[int]
    ADDED_FRACTION_FIELD_NUMBER: _ClassVar[int]
    EXPOSURE_FRACTION_MAX_FIELD_NUMBER: _ClassVar[int]
    exposure_fraction: float
    added_fraction: float
    exposure_fraction_max: float
    def __init__(self, exposure_fraction: _Optional[float] = ..., added_fraction: _Optional[float] = ..., exposure_fraction_max: _Optional[float] = ...) -> None: ...

class CooldownRule(_message.Message):
    __slots__ = ("elapsed", "cooldown", "losses_only")
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    COOLDOWN_FIELD_NUMBER: _ClassVar[int]
    LOSSES_ONLY_FIELD_NUMBER: _ClassVar[int]
    elapsed: _duration_pb2.Duration
    cooldown: _duration_pb2.Duration
    losses_only: bool
    def __init__(self, elapsed: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., cooldown: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., losses_only: bool = ...) -> None: ...

class LossLimitRule(_message.Message):
    __slots__ = ("period_return", "loss_fraction_max", "period")
    PERIOD_RETURN_FIELD_NUMBER: _ClassVar[int]
    LOSS_FRACTION_MAX_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    period_return: float
    loss_fraction_max: float
    period: _duration_pb2.Duration
    def __init__(self, period_return: _Optional[float] = ..., loss_fraction_max: _Optional[float] = ..., period: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class MarketSnapshot(_message.Message):
    __slots__ = ("price", "bid", "ask", "spread_bps", "volume", "volatility", "regime", "quote_time")
    PRICE_FIELD_NUMBER: _ClassVar[int]
    BID_FIELD_NUMBER: _ClassVar[int]
    ASK_FIELD_NUMBER: _ClassVar[int]
    SPREAD_BPS_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    VOLATILITY_FIELD_NUMBER: _ClassVar[int]
    REGIME_FIELD_NUMBER: _ClassVar[int]
    QUOTE_TIME_FIELD_NUMBER: _ClassVar[int]
    price: float
    bid: float
    ask: float
    spread_bps: float
    volume: float
    volatility: float
    regime: str
    quote_time: _timestamp_pb2.Timestamp
    def __init__(self, price: _Optional[float] = ..., bid: _Optional[float] = ..., ask: _Optional[float] = ..., spread_bps: _Optional[float] = ..., volume: _Optional[float] = ..., volatility: _Optional[float] = ..., regime: _Optional[str] = ..., quote_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class OrderUpdate(_message.Message):
    __slots__ = ("state", "side", "order_type", "quantity", "filled_quantity", "limit_price", "stop_price", "reason")
    STATE_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    ORDER_TYPE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    FILLED_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_PRICE_FIELD_NUMBER: _ClassVar[int]
    STOP_PRICE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    state: OrderState
    side: Side
    order_type: OrderType
    quantity: float
    filled_quantity: float
    limit_price: float
    stop_price: float
    reason: str
    def __init__(self, state: _Optional[_Union[OrderState, str]] = ..., side: _Optional[_Union[Side, str]] = ..., order_type: _Optional[_Union[OrderType, str]] = ..., quantity: _Optional[float] = ..., filled_quantity: _Optional[float] = ..., limit_price: _Optional[float] = ..., stop_price: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class Execution(_message.Message):
    __slots__ = ("side", "quantity", "price", "fee", "liquidity", "allocations", "currency", "expected_price", "intent")
    SIDE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    LIQUIDITY_FIELD_NUMBER: _ClassVar[int]
    ALLOCATIONS_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_PRICE_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    side: Side
    quantity: float
    price: float
    fee: float
    liquidity: Liquidity
    allocations: _containers.RepeatedCompositeFieldContainer[Allocation]
    currency: str
    expected_price: float
    intent: Intent
    def __init__(self, side: _Optional[_Union[Side, str]] = ..., quantity: _Optional[float] = ..., price: _Optional[float] = ..., fee: _Optional[float] = ..., liquidity: _Optional[_Union[Liquidity, str]] = ..., allocations: _Optional[_Iterable[_Union[Allocation, _Mapping]]] = ..., currency: _Optional[str] = ..., expected_price: _Optional[float] = ..., intent: _Optional[_Union[Intent, str]] = ...) -> None: ...

class Allocation(_message.Message):
    __slots__ = ("signal_id", "quantity")
    SIGNAL_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    signal_id: str
    quantity: float
    def __init__(self, signal_id: _Optional[str] = ..., quantity: _Optional[float] = ...) -> None: ...

class ExecutionFailure(_message.Message):
    __slots__ = ("error_type", "message", "rejected_by_venue", "retryable")
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REJECTED_BY_VENUE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    error_type: str
    message: str
    rejected_by_venue: bool
    retryable: bool
    def __init__(self, error_type: _Optional[str] = ..., message: _Optional[str] = ..., rejected_by_venue: bool = ..., retryable: bool = ...) -> None: ...

class PositionUpdate(_message.Message):
    __slots__ = ("state", "quantity", "entry_price", "mark_price", "unrealized_pnl", "realized_pnl", "currency")
    STATE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    ENTRY_PRICE_FIELD_NUMBER: _ClassVar[int]
    MARK_PRICE_FIELD_NUMBER: _ClassVar[int]
    UNREALIZED_PNL_FIELD_NUMBER: _ClassVar[int]
    REALIZED_PNL_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    state: PositionState
    quantity: float
    entry_price: float
    mark_price: float
    unrealized_pnl: float
    realized_pnl: float
    currency: str
    def __init__(self, state: _Optional[_Union[PositionState, str]] = ..., quantity: _Optional[float] = ..., entry_price: _Optional[float] = ..., mark_price: _Optional[float] = ..., unrealized_pnl: _Optional[float] = ..., realized_pnl: _Optional[float] = ..., currency: _Optional[str] = ...) -> None: ...

class AccountSnapshot(_message.Message):
    __slots__ = ("equity", "cash", "exposure", "currency", "margin_used")
    EQUITY_FIELD_NUMBER: _ClassVar[int]
    CASH_FIELD_NUMBER: _ClassVar[int]
    EXPOSURE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    MARGIN_USED_FIELD_NUMBER: _ClassVar[int]
    equity: float
    cash: float
    exposure: float
    currency: str
    margin_used: float
    def __init__(self, equity: _Optional[float] = ..., cash: _Optional[float] = ..., exposure: _Optional[float] = ..., currency: _Optional[str] = ..., margin_used: _Optional[float] = ...) -> None: ...

class Horizon(_message.Message):
    __slots__ = ("duration", "trading_days", "calendar")
    DURATION_FIELD_NUMBER: _ClassVar[int]
    TRADING_DAYS_FIELD_NUMBER: _ClassVar[int]
    CALENDAR_FIELD_NUMBER: _ClassVar[int]
    duration: _duration_pb2.Duration
    trading_days: int
    calendar: str
    def __init__(self, duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., trading_days: _Optional[int] = ..., calendar: _Optional[str] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("status", "return_fraction", "pnl", "fees", "funding", "quantity", "won", "exit_price", "exit_reason", "holding_time", "mfe", "mae", "realized_volatility", "horizon", "confidence_used", "applied_threshold", "thesis_accuracy", "catalyst_materialized", "volume_pattern_accuracy", "currency", "entry_price", "calibrated", "side")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RETURN_FRACTION_FIELD_NUMBER: _ClassVar[int]
    PNL_FIELD_NUMBER: _ClassVar[int]
    FEES_FIELD_NUMBER: _ClassVar[int]
    FUNDING_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    WON_FIELD_NUMBER: _ClassVar[int]
    EXIT_PRICE_FIELD_NUMBER: _ClassVar[int]
    EXIT_REASON_FIELD_NUMBER: _ClassVar[int]
    HOLDING_TIME_FIELD_NUMBER: _ClassVar[int]
    MFE_FIELD_NUMBER: _ClassVar[int]
    MAE_FIELD_NUMBER: _ClassVar[int]
    REALIZED_VOLATILITY_FIELD_NUMBER: _ClassVar[int]
    HORIZON_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_USED_FIELD_NUMBER: _ClassVar[int]
    APPLIED_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    THESIS_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    CATALYST_MATERIALIZED_FIELD_NUMBER: _ClassVar[int]
    VOLUME_PATTERN_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    ENTRY_PRICE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATED_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    status: OutcomeStatus
    return_fraction: float
    pnl: float
    fees: float
    funding: float
    quantity: float
    won: bool
    exit_price: float
    exit_reason: ExitReason
    holding_time: _duration_pb2.Duration
    mfe: float
    mae: float
    realized_volatility: float
    horizon: Horizon
    confidence_used: float
    applied_threshold: float
    thesis_accuracy: float
    catalyst_materialized: bool
    volume_pattern_accuracy: float
    currency: str
    entry_price: float
    calibrated: bool
    side: Side
    def __init__(self, status: _Optional[_Union[OutcomeStatus, str]] = ..., return_fraction: _Optional[float] = ..., pnl: _Optional[float] = ..., fees: _Optional[float] = ..., funding: _Optional[float] = ..., quantity: _Optional[float] = ..., won: bool = ..., exit_price: _Optional[float] = ..., exit_reason: _Optional[_Union[ExitReason, str]] = ..., holding_time: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., mfe: _Optional[float] = ..., mae: _Optional[float] = ..., realized_volatility: _Optional[float] = ..., horizon: _Optional[_Union[Horizon, _Mapping]] = ..., confidence_used: _Optional[float] = ..., applied_threshold: _Optional[float] = ..., thesis_accuracy: _Optional[float] = ..., catalyst_materialized: bool = ..., volume_pattern_accuracy: _Optional[float] = ..., currency: _Optional[str] = ..., entry_price: _Optional[float] = ..., calibrated: bool = ..., side: _Optional[_Union[Side, str]] = ...) -> None: ...

class ShadowOutcome(_message.Message):
    __slots__ = ("outcome", "return_fraction_optimistic", "return_fraction_pessimistic", "fill_model", "traded", "gross_return_fraction", "spread_cost_fraction", "barriers_coarse", "barriers_ambiguous", "filled_fraction", "liquidity", "entry_time", "action", "markouts", "fee_cost_fraction", "carry_cost_fraction")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    RETURN_FRACTION_OPTIMISTIC_FIELD_NUMBER: _ClassVar[int]
    RETURN_FRACTION_PESSIMISTIC_FIELD_NUMBER: _ClassVar[int]
    FILL_MODEL_FIELD_NUMBER: _ClassVar[int]
    TRADED_FIELD_NUMBER: _ClassVar[int]
    GROSS_RETURN_FRACTION_FIELD_NUMBER: _ClassVar[int]
    SPREAD_COST_FRACTION_FIELD_NUMBER: _ClassVar[int]
    BARRIERS_COARSE_FIELD_NUMBER: _ClassVar[int]
    BARRIERS_AMBIGUOUS_FIELD_NUMBER: _ClassVar[int]
    FILLED_FRACTION_FIELD_NUMBER: _ClassVar[int]
    LIQUIDITY_FIELD_NUMBER: _ClassVar[int]
    ENTRY_TIME_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    MARKOUTS_FIELD_NUMBER: _ClassVar[int]
    FEE_COST_FRACTION_FIELD_NUMBER: _ClassVar[int]
    CARRY_COST_FRACTION_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    return_fraction_optimistic: float
    return_fraction_pessimistic: float
    fill_model: str
    traded: bool
    gross_return_fraction: float
    spread_cost_fraction: float
    barriers_coarse: bool
    barriers_ambiguous: bool
    filled_fraction: float
    liquidity: Liquidity
    entry_time: _timestamp_pb2.Timestamp
    action: DecisionAction
    markouts: _containers.RepeatedCompositeFieldContainer[Markout]
    fee_cost_fraction: float
    carry_cost_fraction: float
    def __init__(self, outcome: _Optional[_Union[Outcome, _Mapping]] = ..., return_fraction_optimistic: _Optional[float] = ..., return_fraction_pessimistic: _Optional[float] = ..., fill_model: _Optional[str] = ..., traded: bool = ..., gross_return_fraction: _Optional[float] = ..., spread_cost_fraction: _Optional[float] = ..., barriers_coarse: bool = ..., barriers_ambiguous: bool = ..., filled_fraction: _Optional[float] = ..., liquidity: _Optional[_Union[Liquidity, str]] = ..., entry_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., action: _Optional[_Union[DecisionAction, str]] = ..., markouts: _Optional[_Iterable[_Union[Markout, _Mapping]]] = ..., fee_cost_fraction: _Optional[float] = ..., carry_cost_fraction: _Optional[float] = ...) -> None: ...

class Markout(_message.Message):
    __slots__ = ("age", "return_fraction")
    AGE_FIELD_NUMBER: _ClassVar[int]
    RETURN_FRACTION_FIELD_NUMBER: _ClassVar[int]
    age: Horizon
    return_fraction: float
    def __init__(self, age: _Optional[_Union[Horizon, _Mapping]] = ..., return_fraction: _Optional[float] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("probability", "value", "label", "features", "horizon")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    HORIZON_FIELD_NUMBER: _ClassVar[int]
    probability: float
    value: float
    label: str
    features: _containers.ScalarMap[str, float]
    horizon: Horizon
    def __init__(self, probability: _Optional[float] = ..., value: _Optional[float] = ..., label: _Optional[str] = ..., features: _Optional[_Mapping[str, float]] = ..., horizon: _Optional[_Union[Horizon, _Mapping]] = ...) -> None: ...

class MarketBar(_message.Message):
    __slots__ = ("interval", "open", "high", "low", "close", "volume", "spread_bps", "adjusted")
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    SPREAD_BPS_FIELD_NUMBER: _ClassVar[int]
    ADJUSTED_FIELD_NUMBER: _ClassVar[int]
    interval: _duration_pb2.Duration
    open: float
    high: float
    low: float
    close: float
    volume: float
    spread_bps: float
    adjusted: bool
    def __init__(self, interval: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., open: _Optional[float] = ..., high: _Optional[float] = ..., low: _Optional[float] = ..., close: _Optional[float] = ..., volume: _Optional[float] = ..., spread_bps: _Optional[float] = ..., adjusted: bool = ...) -> None: ...

class MarketTick(_message.Message):
    __slots__ = ("bid", "ask", "bid_quantity", "ask_quantity", "last_price", "last_quantity")
    BID_FIELD_NUMBER: _ClassVar[int]
    ASK_FIELD_NUMBER: _ClassVar[int]
    BID_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    ASK_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    LAST_PRICE_FIELD_NUMBER: _ClassVar[int]
    LAST_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    bid: float
    ask: float
    bid_quantity: float
    ask_quantity: float
    last_price: float
    last_quantity: float
    def __init__(self, bid: _Optional[float] = ..., ask: _Optional[float] = ..., bid_quantity: _Optional[float] = ..., ask_quantity: _Optional[float] = ..., last_price: _Optional[float] = ..., last_quantity: _Optional[float] = ...) -> None: ...

class CorporateAction(_message.Message):
    __slots__ = ("action", "ratio", "cash_amount", "currency", "new_symbol")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RATIO_FIELD_NUMBER: _ClassVar[int]
    CASH_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    NEW_SYMBOL_FIELD_NUMBER: _ClassVar[int]
    action: CorporateActionKind
    ratio: float
    cash_amount: float
    currency: str
    new_symbol: str
    def __init__(self, action: _Optional[_Union[CorporateActionKind, str]] = ..., ratio: _Optional[float] = ..., cash_amount: _Optional[float] = ..., currency: _Optional[str] = ..., new_symbol: _Optional[str] = ...) -> None: ...

class RegimeChange(_message.Message):
    __slots__ = ("regime", "previous_regime", "probability", "scope")
    REGIME_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_REGIME_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    regime: str
    previous_regime: str
    probability: float
    scope: str
    def __init__(self, regime: _Optional[str] = ..., previous_regime: _Optional[str] = ..., probability: _Optional[float] = ..., scope: _Optional[str] = ...) -> None: ...

class RiskBreach(_message.Message):
    __slots__ = ("rule", "severity", "observed_value", "limit", "action_taken")
    RULE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_VALUE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ACTION_TAKEN_FIELD_NUMBER: _ClassVar[int]
    rule: str
    severity: Severity
    observed_value: float
    limit: float
    action_taken: str
    def __init__(self, rule: _Optional[str] = ..., severity: _Optional[_Union[Severity, str]] = ..., observed_value: _Optional[float] = ..., limit: _Optional[float] = ..., action_taken: _Optional[str] = ...) -> None: ...

class MetricRecorded(_message.Message):
    __slots__ = ("name", "value", "baseline", "filtered", "improvement", "applied_threshold", "confidence_key", "calibrated", "unit")
    class BaselineEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class FilteredEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class ImprovementEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    FILTERED_FIELD_NUMBER: _ClassVar[int]
    IMPROVEMENT_FIELD_NUMBER: _ClassVar[int]
    APPLIED_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_KEY_FIELD_NUMBER: _ClassVar[int]
    CALIBRATED_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    baseline: _containers.ScalarMap[str, float]
    filtered: _containers.ScalarMap[str, float]
    improvement: _containers.ScalarMap[str, float]
    applied_threshold: float
    confidence_key: str
    calibrated: bool
    unit: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., baseline: _Optional[_Mapping[str, float]] = ..., filtered: _Optional[_Mapping[str, float]] = ..., improvement: _Optional[_Mapping[str, float]] = ..., applied_threshold: _Optional[float] = ..., confidence_key: _Optional[str] = ..., calibrated: bool = ..., unit: _Optional[str] = ...) -> None: ...

class RecorderLoss(_message.Message):
    __slots__ = ("producer_id", "first_seq", "last_seq", "reason")
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    producer_id: str
    first_seq: int
    last_seq: int
    reason: LossReason
    def __init__(self, producer_id: _Optional[str] = ..., first_seq: _Optional[int] = ..., last_seq: _Optional[int] = ..., reason: _Optional[_Union[LossReason, str]] = ...) -> None: ...
