from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from trimtab.v1 import event_pb2 as _event_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReportFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPORT_FORMAT_UNSPECIFIED: _ClassVar[ReportFormat]
    REPORT_FORMAT_MARKDOWN: _ClassVar[ReportFormat]
    REPORT_FORMAT_HTML: _ClassVar[ReportFormat]

class Identifiability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IDENTIFIABILITY_UNSPECIFIED: _ClassVar[Identifiability]
    IDENTIFIABILITY_EXACT: _ClassVar[Identifiability]
    IDENTIFIABILITY_SIMULATED: _ClassVar[Identifiability]
    IDENTIFIABILITY_NOT_IDENTIFIABLE: _ClassVar[Identifiability]

class GuardEffect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GUARD_EFFECT_UNSPECIFIED: _ClassVar[GuardEffect]
    GUARD_EFFECT_HELPS: _ClassVar[GuardEffect]
    GUARD_EFFECT_COSTS: _ClassVar[GuardEffect]
    GUARD_EFFECT_UNDECIDED: _ClassVar[GuardEffect]
    GUARD_EFFECT_NOT_IDENTIFIABLE: _ClassVar[GuardEffect]

class LeaderboardBasis(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEADERBOARD_BASIS_UNSPECIFIED: _ClassVar[LeaderboardBasis]
    LEADERBOARD_BASIS_REAL: _ClassVar[LeaderboardBasis]
    LEADERBOARD_BASIS_SHADOW: _ClassVar[LeaderboardBasis]

class SliceField(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SLICE_FIELD_UNSPECIFIED: _ClassVar[SliceField]
    SLICE_FIELD_STRATEGY: _ClassVar[SliceField]
    SLICE_FIELD_SYMBOL: _ClassVar[SliceField]
    SLICE_FIELD_REGIME: _ClassVar[SliceField]
    SLICE_FIELD_SIDE: _ClassVar[SliceField]
    SLICE_FIELD_SOURCE: _ClassVar[SliceField]
REPORT_FORMAT_UNSPECIFIED: ReportFormat
REPORT_FORMAT_MARKDOWN: ReportFormat
REPORT_FORMAT_HTML: ReportFormat
IDENTIFIABILITY_UNSPECIFIED: Identifiability
IDENTIFIABILITY_EXACT: Identifiability
IDENTIFIABILITY_SIMULATED: Identifiability
IDENTIFIABILITY_NOT_IDENTIFIABLE: Identifiability
GUARD_EFFECT_UNSPECIFIED: GuardEffect
GUARD_EFFECT_HELPS: GuardEffect
GUARD_EFFECT_COSTS: GuardEffect
GUARD_EFFECT_UNDECIDED: GuardEffect
GUARD_EFFECT_NOT_IDENTIFIABLE: GuardEffect
LEADERBOARD_BASIS_UNSPECIFIED: LeaderboardBasis
LEADERBOARD_BASIS_REAL: LeaderboardBasis
LEADERBOARD_BASIS_SHADOW: LeaderboardBasis
SLICE_FIELD_UNSPECIFIED: SliceField
SLICE_FIELD_STRATEGY: SliceField
SLICE_FIELD_SYMBOL: SliceField
SLICE_FIELD_REGIME: SliceField
SLICE_FIELD_SIDE: SliceField
SLICE_FIELD_SOURCE: SliceField

class ReportScope(_message.Message):
    __slots__ = ("environment", "run_id", "source", "strategy", "symbol", "start_time", "end_time", "level")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    environment: _event_pb2.Environment
    run_id: str
    source: str
    strategy: str
    symbol: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    level: float
    def __init__(self, environment: _Optional[_Union[_event_pb2.Environment, str]] = ..., run_id: _Optional[str] = ..., source: _Optional[str] = ..., strategy: _Optional[str] = ..., symbol: _Optional[str] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., level: _Optional[float] = ...) -> None: ...

class ReportOptions(_message.Message):
    __slots__ = ("format", "after_sequence")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    format: ReportFormat
    after_sequence: int
    def __init__(self, format: _Optional[_Union[ReportFormat, str]] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class ReportHead(_message.Message):
    __slots__ = ("scope", "make_time", "log_id", "through_sequence", "counts", "notes", "rendered")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    MAKE_TIME_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    THROUGH_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    RENDERED_FIELD_NUMBER: _ClassVar[int]
    scope: ReportScope
    make_time: _timestamp_pb2.Timestamp
    log_id: str
    through_sequence: int
    counts: LedgerCounts
    notes: _containers.RepeatedScalarFieldContainer[str]
    rendered: str
    def __init__(self, scope: _Optional[_Union[ReportScope, _Mapping]] = ..., make_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., log_id: _Optional[str] = ..., through_sequence: _Optional[int] = ..., counts: _Optional[_Union[LedgerCounts, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ..., rendered: _Optional[str] = ...) -> None: ...

class LedgerCounts(_message.Message):
    __slots__ = ("signal_count", "approved_count", "blocked_count", "passed_over_count", "undecided_count", "outcome_count", "corrected_count", "censored_count", "shadow_matured_count", "shadow_pending_count", "shadow_censored_count", "unfollowed_count", "unattributed_fill_count", "late_event_count")
    SIGNAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    APPROVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_COUNT_FIELD_NUMBER: _ClassVar[int]
    PASSED_OVER_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNDECIDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_COUNT_FIELD_NUMBER: _ClassVar[int]
    CORRECTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CENSORED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHADOW_MATURED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHADOW_PENDING_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHADOW_CENSORED_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNFOLLOWED_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNATTRIBUTED_FILL_COUNT_FIELD_NUMBER: _ClassVar[int]
    LATE_EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    signal_count: int
    approved_count: int
    blocked_count: int
    passed_over_count: int
    undecided_count: int
    outcome_count: int
    corrected_count: int
    censored_count: int
    shadow_matured_count: int
    shadow_pending_count: int
    shadow_censored_count: int
    unfollowed_count: int
    unattributed_fill_count: int
    late_event_count: int
    def __init__(self, signal_count: _Optional[int] = ..., approved_count: _Optional[int] = ..., blocked_count: _Optional[int] = ..., passed_over_count: _Optional[int] = ..., undecided_count: _Optional[int] = ..., outcome_count: _Optional[int] = ..., corrected_count: _Optional[int] = ..., censored_count: _Optional[int] = ..., shadow_matured_count: _Optional[int] = ..., shadow_pending_count: _Optional[int] = ..., shadow_censored_count: _Optional[int] = ..., unfollowed_count: _Optional[int] = ..., unattributed_fill_count: _Optional[int] = ..., late_event_count: _Optional[int] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("value", "low", "high", "n", "effective_n", "level", "method", "note")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_N_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    value: float
    low: float
    high: float
    n: int
    effective_n: float
    level: float
    method: str
    note: str
    def __init__(self, value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., n: _Optional[int] = ..., effective_n: _Optional[float] = ..., level: _Optional[float] = ..., method: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class Performance(_message.Message):
    __slots__ = ("name", "trade_count", "simulated_count", "win_rate", "mean_return", "total_return", "sharpe_ratio", "profit_factor", "max_drawdown", "total_pnl", "total_return_optimistic", "total_return_pessimistic")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TRADE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIMULATED_COUNT_FIELD_NUMBER: _ClassVar[int]
    WIN_RATE_FIELD_NUMBER: _ClassVar[int]
    MEAN_RETURN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_RETURN_FIELD_NUMBER: _ClassVar[int]
    SHARPE_RATIO_FIELD_NUMBER: _ClassVar[int]
    PROFIT_FACTOR_FIELD_NUMBER: _ClassVar[int]
    MAX_DRAWDOWN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_PNL_FIELD_NUMBER: _ClassVar[int]
    TOTAL_RETURN_OPTIMISTIC_FIELD_NUMBER: _ClassVar[int]
    TOTAL_RETURN_PESSIMISTIC_FIELD_NUMBER: _ClassVar[int]
    name: str
    trade_count: int
    simulated_count: int
    win_rate: Estimate
    mean_return: Estimate
    total_return: Estimate
    sharpe_ratio: Estimate
    profit_factor: Estimate
    max_drawdown: float
    total_pnl: float
    total_return_optimistic: float
    total_return_pessimistic: float
    def __init__(self, name: _Optional[str] = ..., trade_count: _Optional[int] = ..., simulated_count: _Optional[int] = ..., win_rate: _Optional[_Union[Estimate, _Mapping]] = ..., mean_return: _Optional[_Union[Estimate, _Mapping]] = ..., total_return: _Optional[_Union[Estimate, _Mapping]] = ..., sharpe_ratio: _Optional[_Union[Estimate, _Mapping]] = ..., profit_factor: _Optional[_Union[Estimate, _Mapping]] = ..., max_drawdown: _Optional[float] = ..., total_pnl: _Optional[float] = ..., total_return_optimistic: _Optional[float] = ..., total_return_pessimistic: _Optional[float] = ...) -> None: ...

class GetBlockedOpportunityCostRequest(_message.Message):
    __slots__ = ("scope", "options")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    scope: ReportScope
    options: ReportOptions
    def __init__(self, scope: _Optional[_Union[ReportScope, _Mapping]] = ..., options: _Optional[_Union[ReportOptions, _Mapping]] = ...) -> None: ...

class GetBlockedOpportunityCostResponse(_message.Message):
    __slots__ = ("head", "cost")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    head: ReportHead
    cost: BlockedOpportunityCost
    def __init__(self, head: _Optional[_Union[ReportHead, _Mapping]] = ..., cost: _Optional[_Union[BlockedOpportunityCost, _Mapping]] = ...) -> None: ...

class BlockedOpportunityCost(_message.Message):
    __slots__ = ("blocked_count", "matured_count", "missed_profit", "avoided_loss", "net_opportunity_cost", "net_opportunity_cost_optimistic", "net_opportunity_cost_pessimistic", "missed_profit_money", "avoided_loss_money", "win_rate", "blockers", "outcomes_needed")
    BLOCKED_COUNT_FIELD_NUMBER: _ClassVar[int]
    MATURED_COUNT_FIELD_NUMBER: _ClassVar[int]
    MISSED_PROFIT_FIELD_NUMBER: _ClassVar[int]
    AVOIDED_LOSS_FIELD_NUMBER: _ClassVar[int]
    NET_OPPORTUNITY_COST_FIELD_NUMBER: _ClassVar[int]
    NET_OPPORTUNITY_COST_OPTIMISTIC_FIELD_NUMBER: _ClassVar[int]
    NET_OPPORTUNITY_COST_PESSIMISTIC_FIELD_NUMBER: _ClassVar[int]
    MISSED_PROFIT_MONEY_FIELD_NUMBER: _ClassVar[int]
    AVOIDED_LOSS_MONEY_FIELD_NUMBER: _ClassVar[int]
    WIN_RATE_FIELD_NUMBER: _ClassVar[int]
    BLOCKERS_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_NEEDED_FIELD_NUMBER: _ClassVar[int]
    blocked_count: int
    matured_count: int
    missed_profit: Estimate
    avoided_loss: Estimate
    net_opportunity_cost: Estimate
    net_opportunity_cost_optimistic: float
    net_opportunity_cost_pessimistic: float
    missed_profit_money: float
    avoided_loss_money: float
    win_rate: Estimate
    blockers: _containers.RepeatedCompositeFieldContainer[BlockerLine]
    outcomes_needed: int
    def __init__(self, blocked_count: _Optional[int] = ..., matured_count: _Optional[int] = ..., missed_profit: _Optional[_Union[Estimate, _Mapping]] = ..., avoided_loss: _Optional[_Union[Estimate, _Mapping]] = ..., net_opportunity_cost: _Optional[_Union[Estimate, _Mapping]] = ..., net_opportunity_cost_optimistic: _Optional[float] = ..., net_opportunity_cost_pessimistic: _Optional[float] = ..., missed_profit_money: _Optional[float] = ..., avoided_loss_money: _Optional[float] = ..., win_rate: _Optional[_Union[Estimate, _Mapping]] = ..., blockers: _Optional[_Iterable[_Union[BlockerLine, _Mapping]]] = ..., outcomes_needed: _Optional[int] = ...) -> None: ...

class BlockerLine(_message.Message):
    __slots__ = ("guard", "blocked_count", "blocked_alone_count", "missed_profit", "avoided_loss")
    GUARD_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_COUNT_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_ALONE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MISSED_PROFIT_FIELD_NUMBER: _ClassVar[int]
    AVOIDED_LOSS_FIELD_NUMBER: _ClassVar[int]
    guard: str
    blocked_count: int
    blocked_alone_count: int
    missed_profit: float
    avoided_loss: float
    def __init__(self, guard: _Optional[str] = ..., blocked_count: _Optional[int] = ..., blocked_alone_count: _Optional[int] = ..., missed_profit: _Optional[float] = ..., avoided_loss: _Optional[float] = ...) -> None: ...

class GetGuardEffectivenessRequest(_message.Message):
    __slots__ = ("scope", "options")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    scope: ReportScope
    options: ReportOptions
    def __init__(self, scope: _Optional[_Union[ReportScope, _Mapping]] = ..., options: _Optional[_Union[ReportOptions, _Mapping]] = ...) -> None: ...

class GetGuardEffectivenessResponse(_message.Message):
    __slots__ = ("head", "guards")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    GUARDS_FIELD_NUMBER: _ClassVar[int]
    head: ReportHead
    guards: _containers.RepeatedCompositeFieldContainer[GuardLine]
    def __init__(self, head: _Optional[_Union[ReportHead, _Mapping]] = ..., guards: _Optional[_Iterable[_Union[GuardLine, _Mapping]]] = ...) -> None: ...

class GuardLine(_message.Message):
    __slots__ = ("guard", "memory", "evaluated_count", "blocked_count", "blocked_alone_count", "matured_count", "identifiability", "effect", "value", "value_per_signal", "value_money", "shapley_value", "missed_profit", "avoided_loss", "value_optimistic", "value_pessimistic", "added_count", "removed_count", "outcomes_needed", "note")
    GUARD_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    EVALUATED_COUNT_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_COUNT_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_ALONE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MATURED_COUNT_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIABILITY_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VALUE_PER_SIGNAL_FIELD_NUMBER: _ClassVar[int]
    VALUE_MONEY_FIELD_NUMBER: _ClassVar[int]
    SHAPLEY_VALUE_FIELD_NUMBER: _ClassVar[int]
    MISSED_PROFIT_FIELD_NUMBER: _ClassVar[int]
    AVOIDED_LOSS_FIELD_NUMBER: _ClassVar[int]
    VALUE_OPTIMISTIC_FIELD_NUMBER: _ClassVar[int]
    VALUE_PESSIMISTIC_FIELD_NUMBER: _ClassVar[int]
    ADDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_NEEDED_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    guard: str
    memory: _event_pb2.GuardMemory
    evaluated_count: int
    blocked_count: int
    blocked_alone_count: int
    matured_count: int
    identifiability: Identifiability
    effect: GuardEffect
    value: Estimate
    value_per_signal: Estimate
    value_money: Estimate
    shapley_value: Estimate
    missed_profit: float
    avoided_loss: float
    value_optimistic: float
    value_pessimistic: float
    added_count: int
    removed_count: int
    outcomes_needed: int
    note: str
    def __init__(self, guard: _Optional[str] = ..., memory: _Optional[_Union[_event_pb2.GuardMemory, str]] = ..., evaluated_count: _Optional[int] = ..., blocked_count: _Optional[int] = ..., blocked_alone_count: _Optional[int] = ..., matured_count: _Optional[int] = ..., identifiability: _Optional[_Union[Identifiability, str]] = ..., effect: _Optional[_Union[GuardEffect, str]] = ..., value: _Optional[_Union[Estimate, _Mapping]] = ..., value_per_signal: _Optional[_Union[Estimate, _Mapping]] = ..., value_money: _Optional[_Union[Estimate, _Mapping]] = ..., shapley_value: _Optional[_Union[Estimate, _Mapping]] = ..., missed_profit: _Optional[float] = ..., avoided_loss: _Optional[float] = ..., value_optimistic: _Optional[float] = ..., value_pessimistic: _Optional[float] = ..., added_count: _Optional[int] = ..., removed_count: _Optional[int] = ..., outcomes_needed: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class GetStrategyLeaderboardRequest(_message.Message):
    __slots__ = ("scope", "options", "slices", "basis", "undeclared_trial_count")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SLICES_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    UNDECLARED_TRIAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    scope: ReportScope
    options: ReportOptions
    slices: _containers.RepeatedCompositeFieldContainer[Slice]
    basis: LeaderboardBasis
    undeclared_trial_count: int
    def __init__(self, scope: _Optional[_Union[ReportScope, _Mapping]] = ..., options: _Optional[_Union[ReportOptions, _Mapping]] = ..., slices: _Optional[_Iterable[_Union[Slice, _Mapping]]] = ..., basis: _Optional[_Union[LeaderboardBasis, str]] = ..., undeclared_trial_count: _Optional[int] = ...) -> None: ...

class Slice(_message.Message):
    __slots__ = ("field", "indicator", "feature", "attribute", "bin_count")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    INDICATOR_FIELD_NUMBER: _ClassVar[int]
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    BIN_COUNT_FIELD_NUMBER: _ClassVar[int]
    field: SliceField
    indicator: str
    feature: str
    attribute: str
    bin_count: int
    def __init__(self, field: _Optional[_Union[SliceField, str]] = ..., indicator: _Optional[str] = ..., feature: _Optional[str] = ..., attribute: _Optional[str] = ..., bin_count: _Optional[int] = ...) -> None: ...

class GetStrategyLeaderboardResponse(_message.Message):
    __slots__ = ("head", "lines", "trial_count", "false_discovery_rate")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    TRIAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    FALSE_DISCOVERY_RATE_FIELD_NUMBER: _ClassVar[int]
    head: ReportHead
    lines: _containers.RepeatedCompositeFieldContainer[LeaderboardLine]
    trial_count: int
    false_discovery_rate: float
    def __init__(self, head: _Optional[_Union[ReportHead, _Mapping]] = ..., lines: _Optional[_Iterable[_Union[LeaderboardLine, _Mapping]]] = ..., trial_count: _Optional[int] = ..., false_discovery_rate: _Optional[float] = ...) -> None: ...

class LeaderboardLine(_message.Message):
    __slots__ = ("name", "signal_count", "performance", "shrunk_mean_return", "probabilistic_sharpe", "deflated_sharpe", "p_value", "q_value", "significant", "outcomes_needed", "note")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    SHRUNK_MEAN_RETURN_FIELD_NUMBER: _ClassVar[int]
    PROBABILISTIC_SHARPE_FIELD_NUMBER: _ClassVar[int]
    DEFLATED_SHARPE_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    Q_VALUE_FIELD_NUMBER: _ClassVar[int]
    SIGNIFICANT_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_NEEDED_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    name: str
    signal_count: int
    performance: Performance
    shrunk_mean_return: float
    probabilistic_sharpe: float
    deflated_sharpe: float
    p_value: float
    q_value: float
    significant: bool
    outcomes_needed: int
    note: str
    def __init__(self, name: _Optional[str] = ..., signal_count: _Optional[int] = ..., performance: _Optional[_Union[Performance, _Mapping]] = ..., shrunk_mean_return: _Optional[float] = ..., probabilistic_sharpe: _Optional[float] = ..., deflated_sharpe: _Optional[float] = ..., p_value: _Optional[float] = ..., q_value: _Optional[float] = ..., significant: bool = ..., outcomes_needed: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class GetSignalDecayRequest(_message.Message):
    __slots__ = ("scope", "options")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    scope: ReportScope
    options: ReportOptions
    def __init__(self, scope: _Optional[_Union[ReportScope, _Mapping]] = ..., options: _Optional[_Union[ReportOptions, _Mapping]] = ...) -> None: ...

class GetSignalDecayResponse(_message.Message):
    __slots__ = ("head", "all", "strategies", "horizons")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    STRATEGIES_FIELD_NUMBER: _ClassVar[int]
    HORIZONS_FIELD_NUMBER: _ClassVar[int]
    head: ReportHead
    all: DecayCurve
    strategies: _containers.RepeatedCompositeFieldContainer[DecayCurve]
    horizons: _containers.RepeatedCompositeFieldContainer[HorizonResult]
    def __init__(self, head: _Optional[_Union[ReportHead, _Mapping]] = ..., all: _Optional[_Union[DecayCurve, _Mapping]] = ..., strategies: _Optional[_Iterable[_Union[DecayCurve, _Mapping]]] = ..., horizons: _Optional[_Iterable[_Union[HorizonResult, _Mapping]]] = ...) -> None: ...

class HorizonResult(_message.Message):
    __slots__ = ("horizon", "matured_count", "young_count", "censored_count", "mean_return", "mean_mfe", "mean_mae", "mean_realized_volatility")
    HORIZON_FIELD_NUMBER: _ClassVar[int]
    MATURED_COUNT_FIELD_NUMBER: _ClassVar[int]
    YOUNG_COUNT_FIELD_NUMBER: _ClassVar[int]
    CENSORED_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEAN_RETURN_FIELD_NUMBER: _ClassVar[int]
    MEAN_MFE_FIELD_NUMBER: _ClassVar[int]
    MEAN_MAE_FIELD_NUMBER: _ClassVar[int]
    MEAN_REALIZED_VOLATILITY_FIELD_NUMBER: _ClassVar[int]
    horizon: _event_pb2.Horizon
    matured_count: int
    young_count: int
    censored_count: int
    mean_return: Estimate
    mean_mfe: Estimate
    mean_mae: Estimate
    mean_realized_volatility: Estimate
    def __init__(self, horizon: _Optional[_Union[_event_pb2.Horizon, _Mapping]] = ..., matured_count: _Optional[int] = ..., young_count: _Optional[int] = ..., censored_count: _Optional[int] = ..., mean_return: _Optional[_Union[Estimate, _Mapping]] = ..., mean_mfe: _Optional[_Union[Estimate, _Mapping]] = ..., mean_mae: _Optional[_Union[Estimate, _Mapping]] = ..., mean_realized_volatility: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class DecayCurve(_message.Message):
    __slots__ = ("strategy", "points", "half_life_s", "peak_age_s", "execution_delay_s")
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    HALF_LIFE_S_FIELD_NUMBER: _ClassVar[int]
    PEAK_AGE_S_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_DELAY_S_FIELD_NUMBER: _ClassVar[int]
    strategy: str
    points: _containers.RepeatedCompositeFieldContainer[MarkoutPoint]
    half_life_s: Estimate
    peak_age_s: float
    execution_delay_s: Estimate
    def __init__(self, strategy: _Optional[str] = ..., points: _Optional[_Iterable[_Union[MarkoutPoint, _Mapping]]] = ..., half_life_s: _Optional[_Union[Estimate, _Mapping]] = ..., peak_age_s: _Optional[float] = ..., execution_delay_s: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class MarkoutPoint(_message.Message):
    __slots__ = ("age", "mean_return")
    AGE_FIELD_NUMBER: _ClassVar[int]
    MEAN_RETURN_FIELD_NUMBER: _ClassVar[int]
    age: _event_pb2.Horizon
    mean_return: Estimate
    def __init__(self, age: _Optional[_Union[_event_pb2.Horizon, _Mapping]] = ..., mean_return: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class ComparePerformanceRequest(_message.Message):
    __slots__ = ("scope", "options")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    scope: ReportScope
    options: ReportOptions
    def __init__(self, scope: _Optional[_Union[ReportScope, _Mapping]] = ..., options: _Optional[_Union[ReportOptions, _Mapping]] = ...) -> None: ...

class ComparePerformanceResponse(_message.Message):
    __slots__ = ("head", "comparison")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    head: ReportHead
    comparison: PerformanceComparison
    def __init__(self, head: _Optional[_Union[ReportHead, _Mapping]] = ..., comparison: _Optional[_Union[PerformanceComparison, _Mapping]] = ...) -> None: ...

class PerformanceComparison(_message.Message):
    __slots__ = ("real", "real_simulated", "unfiltered", "selection_effect", "simulation_error", "closed_win_rate", "matured_win_rate", "competing_risks_win_rate", "win_holding_s", "loss_holding_s")
    REAL_FIELD_NUMBER: _ClassVar[int]
    REAL_SIMULATED_FIELD_NUMBER: _ClassVar[int]
    UNFILTERED_FIELD_NUMBER: _ClassVar[int]
    SELECTION_EFFECT_FIELD_NUMBER: _ClassVar[int]
    SIMULATION_ERROR_FIELD_NUMBER: _ClassVar[int]
    CLOSED_WIN_RATE_FIELD_NUMBER: _ClassVar[int]
    MATURED_WIN_RATE_FIELD_NUMBER: _ClassVar[int]
    COMPETING_RISKS_WIN_RATE_FIELD_NUMBER: _ClassVar[int]
    WIN_HOLDING_S_FIELD_NUMBER: _ClassVar[int]
    LOSS_HOLDING_S_FIELD_NUMBER: _ClassVar[int]
    real: Performance
    real_simulated: Performance
    unfiltered: Performance
    selection_effect: Estimate
    simulation_error: Estimate
    closed_win_rate: Estimate
    matured_win_rate: Estimate
    competing_risks_win_rate: Estimate
    win_holding_s: float
    loss_holding_s: float
    def __init__(self, real: _Optional[_Union[Performance, _Mapping]] = ..., real_simulated: _Optional[_Union[Performance, _Mapping]] = ..., unfiltered: _Optional[_Union[Performance, _Mapping]] = ..., selection_effect: _Optional[_Union[Estimate, _Mapping]] = ..., simulation_error: _Optional[_Union[Estimate, _Mapping]] = ..., closed_win_rate: _Optional[_Union[Estimate, _Mapping]] = ..., matured_win_rate: _Optional[_Union[Estimate, _Mapping]] = ..., competing_risks_win_rate: _Optional[_Union[Estimate, _Mapping]] = ..., win_holding_s: _Optional[float] = ..., loss_holding_s: _Optional[float] = ...) -> None: ...

class GetLearningReportRequest(_message.Message):
    __slots__ = ("scope", "options", "report_id", "window")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    REPORT_ID_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    scope: ReportScope
    options: ReportOptions
    report_id: str
    window: _duration_pb2.Duration
    def __init__(self, scope: _Optional[_Union[ReportScope, _Mapping]] = ..., options: _Optional[_Union[ReportOptions, _Mapping]] = ..., report_id: _Optional[str] = ..., window: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GetLearningReportResponse(_message.Message):
    __slots__ = ("head", "report_id", "comparison", "blocked", "guards", "strategies", "findings")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    REPORT_ID_FIELD_NUMBER: _ClassVar[int]
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    GUARDS_FIELD_NUMBER: _ClassVar[int]
    STRATEGIES_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    head: ReportHead
    report_id: str
    comparison: PerformanceComparison
    blocked: BlockedOpportunityCost
    guards: _containers.RepeatedCompositeFieldContainer[GuardLine]
    strategies: _containers.RepeatedCompositeFieldContainer[LeaderboardLine]
    findings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, head: _Optional[_Union[ReportHead, _Mapping]] = ..., report_id: _Optional[str] = ..., comparison: _Optional[_Union[PerformanceComparison, _Mapping]] = ..., blocked: _Optional[_Union[BlockedOpportunityCost, _Mapping]] = ..., guards: _Optional[_Iterable[_Union[GuardLine, _Mapping]]] = ..., strategies: _Optional[_Iterable[_Union[LeaderboardLine, _Mapping]]] = ..., findings: _Optional[_Iterable[str]] = ...) -> None: ...

class ListLearningReportsRequest(_message.Message):
    __slots__ = ("environment", "page_size", "page_token")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    environment: _event_pb2.Environment
    page_size: int
    page_token: str
    def __init__(self, environment: _Optional[_Union[_event_pb2.Environment, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListLearningReportsResponse(_message.Message):
    __slots__ = ("reports", "next_page_token")
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    reports: _containers.RepeatedCompositeFieldContainer[LearningReportSummary]
    next_page_token: str
    def __init__(self, reports: _Optional[_Iterable[_Union[LearningReportSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class LearningReportSummary(_message.Message):
    __slots__ = ("report_id", "scope", "make_time", "findings")
    REPORT_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    MAKE_TIME_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    report_id: str
    scope: ReportScope
    make_time: _timestamp_pb2.Timestamp
    findings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, report_id: _Optional[str] = ..., scope: _Optional[_Union[ReportScope, _Mapping]] = ..., make_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., findings: _Optional[_Iterable[str]] = ...) -> None: ...

class RunWhatIfRequest(_message.Message):
    __slots__ = ("scope", "options", "scenario")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    scope: ReportScope
    options: ReportOptions
    scenario: Scenario
    def __init__(self, scope: _Optional[_Union[ReportScope, _Mapping]] = ..., options: _Optional[_Union[ReportOptions, _Mapping]] = ..., scenario: _Optional[_Union[Scenario, _Mapping]] = ...) -> None: ...

class RunWhatIfResponse(_message.Message):
    __slots__ = ("head", "result")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    head: ReportHead
    result: ScenarioResult
    def __init__(self, head: _Optional[_Union[ReportHead, _Mapping]] = ..., result: _Optional[_Union[ScenarioResult, _Mapping]] = ...) -> None: ...

class Scenario(_message.Message):
    __slots__ = ("name", "changes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    name: str
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    def __init__(self, name: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("guard_off", "guard_limit", "confidence_threshold", "expected_return_threshold", "model_weights", "costs", "position_limit", "capital_limit")
    GUARD_OFF_FIELD_NUMBER: _ClassVar[int]
    GUARD_LIMIT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_RETURN_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MODEL_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    COSTS_FIELD_NUMBER: _ClassVar[int]
    POSITION_LIMIT_FIELD_NUMBER: _ClassVar[int]
    CAPITAL_LIMIT_FIELD_NUMBER: _ClassVar[int]
    guard_off: GuardOff
    guard_limit: GuardLimit
    confidence_threshold: ConfidenceThreshold
    expected_return_threshold: ExpectedReturnThreshold
    model_weights: ModelWeights
    costs: CostChange
    position_limit: PositionLimit
    capital_limit: CapitalLimit
    def __init__(self, guard_off: _Optional[_Union[GuardOff, _Mapping]] = ..., guard_limit: _Optional[_Union[GuardLimit, _Mapping]] = ..., confidence_threshold: _Optional[_Union[ConfidenceThreshold, _Mapping]] = ..., expected_return_threshold: _Optional[_Union[ExpectedReturnThreshold, _Mapping]] = ..., model_weights: _Optional[_Union[ModelWeights, _Mapping]] = ..., costs: _Optional[_Union[CostChange, _Mapping]] = ..., position_limit: _Optional[_Union[PositionLimit, _Mapping]] = ..., capital_limit: _Optional[_Union[CapitalLimit, _Mapping]] = ...) -> None: ...

class GuardOff(_message.Message):
    __slots__ = ("guard",)
    GUARD_FIELD_NUMBER: _ClassVar[int]
    guard: str
    def __init__(self, guard: _Optional[str] = ...) -> None: ...

class GuardLimit(_message.Message):
    __slots__ = ("guard", "limit")
    GUARD_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    guard: str
    limit: float
    def __init__(self, guard: _Optional[str] = ..., limit: _Optional[float] = ...) -> None: ...

class ConfidenceThreshold(_message.Message):
    __slots__ = ("threshold",)
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    threshold: float
    def __init__(self, threshold: _Optional[float] = ...) -> None: ...

class ExpectedReturnThreshold(_message.Message):
    __slots__ = ("threshold", "replaces_guard")
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    REPLACES_GUARD_FIELD_NUMBER: _ClassVar[int]
    threshold: float
    replaces_guard: str
    def __init__(self, threshold: _Optional[float] = ..., replaces_guard: _Optional[str] = ...) -> None: ...

class ModelWeights(_message.Message):
    __slots__ = ("weights",)
    class WeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    weights: _containers.ScalarMap[str, float]
    def __init__(self, weights: _Optional[_Mapping[str, float]] = ...) -> None: ...

class CostChange(_message.Message):
    __slots__ = ("fee_bps", "spread_multiplier")
    FEE_BPS_FIELD_NUMBER: _ClassVar[int]
    SPREAD_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    fee_bps: float
    spread_multiplier: float
    def __init__(self, fee_bps: _Optional[float] = ..., spread_multiplier: _Optional[float] = ...) -> None: ...

class PositionLimit(_message.Message):
    __slots__ = ("open_count_max", "per_symbol")
    OPEN_COUNT_MAX_FIELD_NUMBER: _ClassVar[int]
    PER_SYMBOL_FIELD_NUMBER: _ClassVar[int]
    open_count_max: int
    per_symbol: bool
    def __init__(self, open_count_max: _Optional[int] = ..., per_symbol: bool = ...) -> None: ...

class CapitalLimit(_message.Message):
    __slots__ = ("exposure_fraction_max", "position_fraction")
    EXPOSURE_FRACTION_MAX_FIELD_NUMBER: _ClassVar[int]
    POSITION_FRACTION_FIELD_NUMBER: _ClassVar[int]
    exposure_fraction_max: float
    position_fraction: float
    def __init__(self, exposure_fraction_max: _Optional[float] = ..., position_fraction: _Optional[float] = ...) -> None: ...

class ScenarioResult(_message.Message):
    __slots__ = ("name", "actual", "scenario", "difference", "difference_money", "kept_count", "added_count", "removed_count", "pending_count", "overlap_fraction", "identifiability", "reasons", "outcomes_needed", "difference_at_once")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_MONEY_FIELD_NUMBER: _ClassVar[int]
    KEPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    ADDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    PENDING_COUNT_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FRACTION_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIABILITY_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_NEEDED_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_AT_ONCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    actual: Performance
    scenario: Performance
    difference: Estimate
    difference_money: Estimate
    kept_count: int
    added_count: int
    removed_count: int
    pending_count: int
    overlap_fraction: float
    identifiability: Identifiability
    reasons: _containers.RepeatedScalarFieldContainer[str]
    outcomes_needed: int
    difference_at_once: Estimate
    def __init__(self, name: _Optional[str] = ..., actual: _Optional[_Union[Performance, _Mapping]] = ..., scenario: _Optional[_Union[Performance, _Mapping]] = ..., difference: _Optional[_Union[Estimate, _Mapping]] = ..., difference_money: _Optional[_Union[Estimate, _Mapping]] = ..., kept_count: _Optional[int] = ..., added_count: _Optional[int] = ..., removed_count: _Optional[int] = ..., pending_count: _Optional[int] = ..., overlap_fraction: _Optional[float] = ..., identifiability: _Optional[_Union[Identifiability, str]] = ..., reasons: _Optional[_Iterable[str]] = ..., outcomes_needed: _Optional[int] = ..., difference_at_once: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class RunWhatIfSweepRequest(_message.Message):
    __slots__ = ("scope", "options", "scenarios", "axes")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SCENARIOS_FIELD_NUMBER: _ClassVar[int]
    AXES_FIELD_NUMBER: _ClassVar[int]
    scope: ReportScope
    options: ReportOptions
    scenarios: _containers.RepeatedCompositeFieldContainer[Scenario]
    axes: _containers.RepeatedCompositeFieldContainer[ScenarioAxis]
    def __init__(self, scope: _Optional[_Union[ReportScope, _Mapping]] = ..., options: _Optional[_Union[ReportOptions, _Mapping]] = ..., scenarios: _Optional[_Iterable[_Union[Scenario, _Mapping]]] = ..., axes: _Optional[_Iterable[_Union[ScenarioAxis, _Mapping]]] = ...) -> None: ...

class ScenarioAxis(_message.Message):
    __slots__ = ("changes",)
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    def __init__(self, changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ...) -> None: ...

class RunWhatIfSweepResponse(_message.Message):
    __slots__ = ("head", "done_count", "scenario_count", "results")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    DONE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_COUNT_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    head: ReportHead
    done_count: int
    scenario_count: int
    results: _containers.RepeatedCompositeFieldContainer[SweepResult]
    def __init__(self, head: _Optional[_Union[ReportHead, _Mapping]] = ..., done_count: _Optional[int] = ..., scenario_count: _Optional[int] = ..., results: _Optional[_Iterable[_Union[SweepResult, _Mapping]]] = ...) -> None: ...

class SweepResult(_message.Message):
    __slots__ = ("index", "result")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    index: int
    result: ScenarioResult
    def __init__(self, index: _Optional[int] = ..., result: _Optional[_Union[ScenarioResult, _Mapping]] = ...) -> None: ...
