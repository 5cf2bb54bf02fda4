from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from trimtab.v1 import event_pb2 as _event_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TradingState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRADING_STATE_UNSPECIFIED: _ClassVar[TradingState]
    TRADING_STATE_ACTIVE: _ClassVar[TradingState]
    TRADING_STATE_REDUCING: _ClassVar[TradingState]
    TRADING_STATE_HALTED: _ClassVar[TradingState]

class BreakerKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BREAKER_KIND_UNSPECIFIED: _ClassVar[BreakerKind]
    BREAKER_KIND_EXECUTION_FAILURES: _ClassVar[BreakerKind]
    BREAKER_KIND_CONSECUTIVE_LOSSES: _ClassVar[BreakerKind]
    BREAKER_KIND_DRAWDOWN: _ClassVar[BreakerKind]
    BREAKER_KIND_LOSS_RATE: _ClassVar[BreakerKind]
    BREAKER_KIND_STALE_DATA: _ClassVar[BreakerKind]
    BREAKER_KIND_CRITICAL_DRIFT: _ClassVar[BreakerKind]

class BreakerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BREAKER_STATE_UNSPECIFIED: _ClassVar[BreakerState]
    BREAKER_STATE_CLOSED: _ClassVar[BreakerState]
    BREAKER_STATE_OPEN: _ClassVar[BreakerState]
    BREAKER_STATE_HALF_OPEN: _ClassVar[BreakerState]

class GateVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GATE_VERDICT_UNSPECIFIED: _ClassVar[GateVerdict]
    GATE_VERDICT_ALLOW: _ClassVar[GateVerdict]
    GATE_VERDICT_REDUCE: _ClassVar[GateVerdict]
    GATE_VERDICT_DENY: _ClassVar[GateVerdict]

class GateReasonCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GATE_REASON_CODE_UNSPECIFIED: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_HALTED: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_EXITS_BLOCKED: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_REDUCING: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_BREAKER_OPEN: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_PROBE_GRANTED: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_PROBES_EXHAUSTED: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_CONFIDENCE_MISSING: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_BELOW_THRESHOLD: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_NOT_CALIBRATED: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_SIZE_LIMITED: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_ASK_REQUIRED: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_NO_LEASE: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_LEASE_EXPIRED: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_STICKY_DENIAL: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_FALLBACK: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_BELOW_FALLBACK_THRESHOLD: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_LAST_STATE_UNREADABLE: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_LOCAL_OVERRIDE: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_STARTING: _ClassVar[GateReasonCode]
    GATE_REASON_CODE_SNAPSHOT_REFUSED: _ClassVar[GateReasonCode]

class FailPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAIL_POLICY_UNSPECIFIED: _ClassVar[FailPolicy]
    FAIL_POLICY_AS_BUILT: _ClassVar[FailPolicy]
    FAIL_POLICY_CLOSED: _ClassVar[FailPolicy]
TRADING_STATE_UNSPECIFIED: TradingState
TRADING_STATE_ACTIVE: TradingState
TRADING_STATE_REDUCING: TradingState
TRADING_STATE_HALTED: TradingState
BREAKER_KIND_UNSPECIFIED: BreakerKind
BREAKER_KIND_EXECUTION_FAILURES: BreakerKind
BREAKER_KIND_CONSECUTIVE_LOSSES: BreakerKind
BREAKER_KIND_DRAWDOWN: BreakerKind
BREAKER_KIND_LOSS_RATE: BreakerKind
BREAKER_KIND_STALE_DATA: BreakerKind
BREAKER_KIND_CRITICAL_DRIFT: BreakerKind
BREAKER_STATE_UNSPECIFIED: BreakerState
BREAKER_STATE_CLOSED: BreakerState
BREAKER_STATE_OPEN: BreakerState
BREAKER_STATE_HALF_OPEN: BreakerState
GATE_VERDICT_UNSPECIFIED: GateVerdict
GATE_VERDICT_ALLOW: GateVerdict
GATE_VERDICT_REDUCE: GateVerdict
GATE_VERDICT_DENY: GateVerdict
GATE_REASON_CODE_UNSPECIFIED: GateReasonCode
GATE_REASON_CODE_HALTED: GateReasonCode
GATE_REASON_CODE_EXITS_BLOCKED: GateReasonCode
GATE_REASON_CODE_REDUCING: GateReasonCode
GATE_REASON_CODE_BREAKER_OPEN: GateReasonCode
GATE_REASON_CODE_PROBE_GRANTED: GateReasonCode
GATE_REASON_CODE_PROBES_EXHAUSTED: GateReasonCode
GATE_REASON_CODE_CONFIDENCE_MISSING: GateReasonCode
GATE_REASON_CODE_BELOW_THRESHOLD: GateReasonCode
GATE_REASON_CODE_NOT_CALIBRATED: GateReasonCode
GATE_REASON_CODE_SIZE_LIMITED: GateReasonCode
GATE_REASON_CODE_ASK_REQUIRED: GateReasonCode
GATE_REASON_CODE_NO_LEASE: GateReasonCode
GATE_REASON_CODE_LEASE_EXPIRED: GateReasonCode
GATE_REASON_CODE_STICKY_DENIAL: GateReasonCode
GATE_REASON_CODE_FALLBACK: GateReasonCode
GATE_REASON_CODE_BELOW_FALLBACK_THRESHOLD: GateReasonCode
GATE_REASON_CODE_LAST_STATE_UNREADABLE: GateReasonCode
GATE_REASON_CODE_LOCAL_OVERRIDE: GateReasonCode
GATE_REASON_CODE_STARTING: GateReasonCode
GATE_REASON_CODE_SNAPSHOT_REFUSED: GateReasonCode
FAIL_POLICY_UNSPECIFIED: FailPolicy
FAIL_POLICY_AS_BUILT: FailPolicy
FAIL_POLICY_CLOSED: FailPolicy

class GateScope(_message.Message):
    __slots__ = ("environment", "run_id", "source", "strategy", "symbol", "model_name")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    environment: _event_pb2.Environment
    run_id: str
    source: str
    strategy: str
    symbol: str
    model_name: str
    def __init__(self, environment: _Optional[_Union[_event_pb2.Environment, str]] = ..., run_id: _Optional[str] = ..., source: _Optional[str] = ..., strategy: _Optional[str] = ..., symbol: _Optional[str] = ..., model_name: _Optional[str] = ...) -> None: ...

class GateReason(_message.Message):
    __slots__ = ("code", "scope", "message", "until", "breaker_kind")
    CODE_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    BREAKER_KIND_FIELD_NUMBER: _ClassVar[int]
    code: GateReasonCode
    scope: GateScope
    message: str
    until: _timestamp_pb2.Timestamp
    breaker_kind: BreakerKind
    def __init__(self, code: _Optional[_Union[GateReasonCode, str]] = ..., scope: _Optional[_Union[GateScope, _Mapping]] = ..., message: _Optional[str] = ..., until: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., breaker_kind: _Optional[_Union[BreakerKind, str]] = ...) -> None: ...

class SignalQuery(_message.Message):
    __slots__ = ("signal_id", "side", "intent", "model_name", "confidence")
    SIGNAL_ID_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    signal_id: str
    side: _event_pb2.Side
    intent: _event_pb2.Intent
    model_name: str
    confidence: float
    def __init__(self, signal_id: _Optional[str] = ..., side: _Optional[_Union[_event_pb2.Side, str]] = ..., intent: _Optional[_Union[_event_pb2.Intent, str]] = ..., model_name: _Optional[str] = ..., confidence: _Optional[float] = ...) -> None: ...

class ShouldAllowSignalsRequest(_message.Message):
    __slots__ = ("source", "environment", "run_id", "strategy", "symbol", "signal_time", "signals")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_TIME_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    source: str
    environment: _event_pb2.Environment
    run_id: str
    strategy: str
    symbol: str
    signal_time: _timestamp_pb2.Timestamp
    signals: _containers.RepeatedCompositeFieldContainer[SignalQuery]
    def __init__(self, source: _Optional[str] = ..., environment: _Optional[_Union[_event_pb2.Environment, str]] = ..., run_id: _Optional[str] = ..., strategy: _Optional[str] = ..., symbol: _Optional[str] = ..., signal_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., signals: _Optional[_Iterable[_Union[SignalQuery, _Mapping]]] = ...) -> None: ...

class SignalVerdict(_message.Message):
    __slots__ = ("signal_id", "verdict", "size_multiplier", "max_position_fraction", "probability", "reasons", "applied_threshold", "threshold_scale")
    SIGNAL_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    SIZE_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    MAX_POSITION_FRACTION_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    APPLIED_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_SCALE_FIELD_NUMBER: _ClassVar[int]
    signal_id: str
    verdict: GateVerdict
    size_multiplier: float
    max_position_fraction: float
    probability: float
    reasons: _containers.RepeatedCompositeFieldContainer[GateReason]
    applied_threshold: float
    threshold_scale: _event_pb2.ThresholdScale
    def __init__(self, signal_id: _Optional[str] = ..., verdict: _Optional[_Union[GateVerdict, str]] = ..., size_multiplier: _Optional[float] = ..., max_position_fraction: _Optional[float] = ..., probability: _Optional[float] = ..., reasons: _Optional[_Iterable[_Union[GateReason, _Mapping]]] = ..., applied_threshold: _Optional[float] = ..., threshold_scale: _Optional[_Union[_event_pb2.ThresholdScale, str]] = ...) -> None: ...

class ShouldAllowSignalsResponse(_message.Message):
    __slots__ = ("allowed", "verdicts", "reasons", "revision", "server_time")
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    allowed: bool
    verdicts: _containers.RepeatedCompositeFieldContainer[SignalVerdict]
    reasons: _containers.RepeatedCompositeFieldContainer[GateReason]
    revision: int
    server_time: _timestamp_pb2.Timestamp
    def __init__(self, allowed: bool = ..., verdicts: _Optional[_Iterable[_Union[SignalVerdict, _Mapping]]] = ..., reasons: _Optional[_Iterable[_Union[GateReason, _Mapping]]] = ..., revision: _Optional[int] = ..., server_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TradingStateEntry(_message.Message):
    __slots__ = ("scope", "state", "block_exits", "actor", "reason", "until", "change_time", "revision")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BLOCK_EXITS_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    CHANGE_TIME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    scope: GateScope
    state: TradingState
    block_exits: bool
    actor: str
    reason: str
    until: _timestamp_pb2.Timestamp
    change_time: _timestamp_pb2.Timestamp
    revision: int
    def __init__(self, scope: _Optional[_Union[GateScope, _Mapping]] = ..., state: _Optional[_Union[TradingState, str]] = ..., block_exits: bool = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., until: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., change_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class Breaker(_message.Message):
    __slots__ = ("scope", "kind", "state", "open_time", "open_until", "trip_count", "reason", "actor", "probe_count", "probe_count_max", "success_count", "observed_value", "limit", "revision", "rule")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OPEN_TIME_FIELD_NUMBER: _ClassVar[int]
    OPEN_UNTIL_FIELD_NUMBER: _ClassVar[int]
    TRIP_COUNT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    PROBE_COUNT_FIELD_NUMBER: _ClassVar[int]
    PROBE_COUNT_MAX_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_COUNT_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_VALUE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    scope: GateScope
    kind: BreakerKind
    state: BreakerState
    open_time: _timestamp_pb2.Timestamp
    open_until: _timestamp_pb2.Timestamp
    trip_count: int
    reason: str
    actor: str
    probe_count: int
    probe_count_max: int
    success_count: int
    observed_value: float
    limit: float
    revision: int
    rule: str
    def __init__(self, scope: _Optional[_Union[GateScope, _Mapping]] = ..., kind: _Optional[_Union[BreakerKind, str]] = ..., state: _Optional[_Union[BreakerState, str]] = ..., open_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., open_until: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., trip_count: _Optional[int] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ..., probe_count: _Optional[int] = ..., probe_count_max: _Optional[int] = ..., success_count: _Optional[int] = ..., observed_value: _Optional[float] = ..., limit: _Optional[float] = ..., revision: _Optional[int] = ..., rule: _Optional[str] = ...) -> None: ...

class GateParameters(_message.Message):
    __slots__ = ("scope", "threshold", "threshold_scale", "size_multiplier", "max_position_fraction")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_SCALE_FIELD_NUMBER: _ClassVar[int]
    SIZE_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    MAX_POSITION_FRACTION_FIELD_NUMBER: _ClassVar[int]
    scope: GateScope
    threshold: float
    threshold_scale: _event_pb2.ThresholdScale
    size_multiplier: float
    max_position_fraction: float
    def __init__(self, scope: _Optional[_Union[GateScope, _Mapping]] = ..., threshold: _Optional[float] = ..., threshold_scale: _Optional[_Union[_event_pb2.ThresholdScale, str]] = ..., size_multiplier: _Optional[float] = ..., max_position_fraction: _Optional[float] = ...) -> None: ...

class CalibratorTable(_message.Message):
    __slots__ = ("model_name", "version", "x", "y")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    version: str
    x: _containers.RepeatedScalarFieldContainer[float]
    y: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, model_name: _Optional[str] = ..., version: _Optional[str] = ..., x: _Optional[_Iterable[float]] = ..., y: _Optional[_Iterable[float]] = ...) -> None: ...

class FallbackRule(_message.Message):
    __slots__ = ("confidence_threshold", "confidence_multiplier", "max_position_fraction")
    CONFIDENCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    MAX_POSITION_FRACTION_FIELD_NUMBER: _ClassVar[int]
    confidence_threshold: float
    confidence_multiplier: float
    max_position_fraction: float
    def __init__(self, confidence_threshold: _Optional[float] = ..., confidence_multiplier: _Optional[float] = ..., max_position_fraction: _Optional[float] = ...) -> None: ...

class GateSnapshot(_message.Message):
    __slots__ = ("revision", "trading_states", "breakers", "parameters", "calibrators", "fallback", "fail_policy")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TRADING_STATES_FIELD_NUMBER: _ClassVar[int]
    BREAKERS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    CALIBRATORS_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    FAIL_POLICY_FIELD_NUMBER: _ClassVar[int]
    revision: int
    trading_states: _containers.RepeatedCompositeFieldContainer[TradingStateEntry]
    breakers: _containers.RepeatedCompositeFieldContainer[Breaker]
    parameters: _containers.RepeatedCompositeFieldContainer[GateParameters]
    calibrators: _containers.RepeatedCompositeFieldContainer[CalibratorTable]
    fallback: FallbackRule
    fail_policy: FailPolicy
    def __init__(self, revision: _Optional[int] = ..., trading_states: _Optional[_Iterable[_Union[TradingStateEntry, _Mapping]]] = ..., breakers: _Optional[_Iterable[_Union[Breaker, _Mapping]]] = ..., parameters: _Optional[_Iterable[_Union[GateParameters, _Mapping]]] = ..., calibrators: _Optional[_Iterable[_Union[CalibratorTable, _Mapping]]] = ..., fallback: _Optional[_Union[FallbackRule, _Mapping]] = ..., fail_policy: _Optional[_Union[FailPolicy, str]] = ...) -> None: ...

class WatchSignalGateRequest(_message.Message):
    __slots__ = ("source", "environment", "run_id", "log_id", "boot_id", "revision")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    source: str
    environment: _event_pb2.Environment
    run_id: str
    log_id: str
    boot_id: str
    revision: int
    def __init__(self, source: _Optional[str] = ..., environment: _Optional[_Union[_event_pb2.Environment, str]] = ..., run_id: _Optional[str] = ..., log_id: _Optional[str] = ..., boot_id: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class WatchSignalGateResponse(_message.Message):
    __slots__ = ("log_id", "boot_id", "revision", "server_time", "lease_ttl", "snapshot", "former_log_ids", "uptime")
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    LEASE_TTL_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    FORMER_LOG_IDS_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    log_id: str
    boot_id: str
    revision: int
    server_time: _timestamp_pb2.Timestamp
    lease_ttl: _duration_pb2.Duration
    snapshot: GateSnapshot
    former_log_ids: _containers.RepeatedScalarFieldContainer[str]
    uptime: _duration_pb2.Duration
    def __init__(self, log_id: _Optional[str] = ..., boot_id: _Optional[str] = ..., revision: _Optional[int] = ..., server_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., lease_ttl: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., snapshot: _Optional[_Union[GateSnapshot, _Mapping]] = ..., former_log_ids: _Optional[_Iterable[str]] = ..., uptime: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SetTradingStateRequest(_message.Message):
    __slots__ = ("scope", "state", "block_exits", "reason", "until", "actor", "request_id", "etag")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BLOCK_EXITS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    scope: GateScope
    state: TradingState
    block_exits: bool
    reason: str
    until: _timestamp_pb2.Timestamp
    actor: str
    request_id: str
    etag: str
    def __init__(self, scope: _Optional[_Union[GateScope, _Mapping]] = ..., state: _Optional[_Union[TradingState, str]] = ..., block_exits: bool = ..., reason: _Optional[str] = ..., until: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., actor: _Optional[str] = ..., request_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class SetTradingStateResponse(_message.Message):
    __slots__ = ("revision", "previous", "current", "still_in_force", "breakers_not_closed", "etag")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    STILL_IN_FORCE_FIELD_NUMBER: _ClassVar[int]
    BREAKERS_NOT_CLOSED_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    revision: int
    previous: TradingStateEntry
    current: TradingStateEntry
    still_in_force: _containers.RepeatedCompositeFieldContainer[TradingStateEntry]
    breakers_not_closed: _containers.RepeatedCompositeFieldContainer[Breaker]
    etag: str
    def __init__(self, revision: _Optional[int] = ..., previous: _Optional[_Union[TradingStateEntry, _Mapping]] = ..., current: _Optional[_Union[TradingStateEntry, _Mapping]] = ..., still_in_force: _Optional[_Iterable[_Union[TradingStateEntry, _Mapping]]] = ..., breakers_not_closed: _Optional[_Iterable[_Union[Breaker, _Mapping]]] = ..., etag: _Optional[str] = ...) -> None: ...

class TripBreakerRequest(_message.Message):
    __slots__ = ("scope", "kind", "cool_down", "reason", "actor", "request_id", "etag")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    COOL_DOWN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    scope: GateScope
    kind: BreakerKind
    cool_down: _duration_pb2.Duration
    reason: str
    actor: str
    request_id: str
    etag: str
    def __init__(self, scope: _Optional[_Union[GateScope, _Mapping]] = ..., kind: _Optional[_Union[BreakerKind, str]] = ..., cool_down: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ..., request_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class TripBreakerResponse(_message.Message):
    __slots__ = ("revision", "previous", "current", "etag")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    revision: int
    previous: Breaker
    current: Breaker
    etag: str
    def __init__(self, revision: _Optional[int] = ..., previous: _Optional[_Union[Breaker, _Mapping]] = ..., current: _Optional[_Union[Breaker, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ResetBreakerRequest(_message.Message):
    __slots__ = ("scope", "kind", "include_narrower", "validate_only", "reason", "actor", "request_id", "etag")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_NARROWER_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    scope: GateScope
    kind: BreakerKind
    include_narrower: bool
    validate_only: bool
    reason: str
    actor: str
    request_id: str
    etag: str
    def __init__(self, scope: _Optional[_Union[GateScope, _Mapping]] = ..., kind: _Optional[_Union[BreakerKind, str]] = ..., include_narrower: bool = ..., validate_only: bool = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ..., request_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class ResetBreakerResponse(_message.Message):
    __slots__ = ("revision", "cleared", "still_not_closed", "trading_states", "etag")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CLEARED_FIELD_NUMBER: _ClassVar[int]
    STILL_NOT_CLOSED_FIELD_NUMBER: _ClassVar[int]
    TRADING_STATES_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    revision: int
    cleared: _containers.RepeatedCompositeFieldContainer[Breaker]
    still_not_closed: _containers.RepeatedCompositeFieldContainer[Breaker]
    trading_states: _containers.RepeatedCompositeFieldContainer[TradingStateEntry]
    etag: str
    def __init__(self, revision: _Optional[int] = ..., cleared: _Optional[_Iterable[_Union[Breaker, _Mapping]]] = ..., still_not_closed: _Optional[_Iterable[_Union[Breaker, _Mapping]]] = ..., trading_states: _Optional[_Iterable[_Union[TradingStateEntry, _Mapping]]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListBreakersRequest(_message.Message):
    __slots__ = ("environment", "run_id", "include_closed", "page_size", "page_token")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_CLOSED_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    environment: _event_pb2.Environment
    run_id: str
    include_closed: bool
    page_size: int
    page_token: str
    def __init__(self, environment: _Optional[_Union[_event_pb2.Environment, str]] = ..., run_id: _Optional[str] = ..., include_closed: bool = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBreakersResponse(_message.Message):
    __slots__ = ("breakers", "next_page_token", "trading_states", "parameters", "fallback", "revision", "etag", "server_time")
    BREAKERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TRADING_STATES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    breakers: _containers.RepeatedCompositeFieldContainer[Breaker]
    next_page_token: str
    trading_states: _containers.RepeatedCompositeFieldContainer[TradingStateEntry]
    parameters: _containers.RepeatedCompositeFieldContainer[GateParameters]
    fallback: FallbackRule
    revision: int
    etag: str
    server_time: _timestamp_pb2.Timestamp
    def __init__(self, breakers: _Optional[_Iterable[_Union[Breaker, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., trading_states: _Optional[_Iterable[_Union[TradingStateEntry, _Mapping]]] = ..., parameters: _Optional[_Iterable[_Union[GateParameters, _Mapping]]] = ..., fallback: _Optional[_Union[FallbackRule, _Mapping]] = ..., revision: _Optional[int] = ..., etag: _Optional[str] = ..., server_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
