"""The Python client of trimtab, the learning sidecar for trading engines.

    tt = trimtab_client.connect(source="alpha-1", environment="PAPER", on_unavailable="CLOSED")
    tt.signal(signal_id="s1", symbol="AAPL", side="BUY", confidence=0.7)
    tt.decision(signal_id="s1", symbol="AAPL", action="APPROVED")
    tt.outcome(signal_id="s1", symbol="AAPL", return_fraction=0.012)
    tt.close()

`connect` for engines, `Client` for unary calls, `FakeSidecar` for tests of your own.
"""
from trimtab_client.channel import ADDRESS_VARIABLE, DEFAULT_ADDRESS
from trimtab_client.client import (
    Client,
    GetServerInfoResponse,
    GetStatsResponse,
    ListEventsResponse,
    ListRejectedEventsResponse,
    RecordEventResponse,
    RecordEventResult,
    WatchEventsResponse,
)
from trimtab_client.connect import Trimtab, connect
from trimtab_client.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    IdReused,
    InvalidArgument,
    NotFound,
    OutOfRange,
    ResourceExhausted,
    TrimtabError,
    Unavailable,
    Unimplemented,
)
from trimtab_client.event import (
    AccountSnapshot,
    Allocation,
    CooldownRule,
    CorporateAction,
    Decision,
    Environment,
    Event,
    EventFilter,
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
    event_filter,
    exit_plan,
    guard_verdict,
    horizon,
    kind_word,
    market_context,
    market_snapshot,
    thesis,
    to_duration,
    to_ns,
    to_timestamp,
)
from trimtab_client.event_builder import EventBuilder
from trimtab_client.event_id import uuid7
from trimtab_client.fake import FakeSidecar
from trimtab_client.recorder import FlushResult, Recorder, RecorderStats
from trimtab_client.retry import Breaker
from trimtab_client.ring import EVENT_CLASSES, EventClass
from trimtab_client.settings import RecorderSettings
from trimtab_client.stream import Rejection

__all__ = [
    "ADDRESS_VARIABLE", "Aborted", "AccountSnapshot", "Allocation", "AlreadyExists", "Breaker",
    "Cancelled", "Client", "CooldownRule", "CorporateAction", "DEFAULT_ADDRESS", "DeadlineExceeded",
    "Decision", "EVENT_CLASSES", "Environment", "Event", "EventBuilder", "EventClass",
    "EventFilter", "EventKind", "Execution", "ExecutionFailure", "ExitPlan", "ExposureRule",
    "FailedPrecondition", "FakeSidecar", "FieldViolation", "FlushResult", "GetServerInfoResponse",
    "GetStatsResponse", "GuardVerdict", "Horizon", "IdReused", "InvalidArgument",
    "ListEventsResponse", "ListRejectedEventsResponse", "LossLimitRule", "MarketBar",
    "MarketContext", "MarketSnapshot", "MarketTick", "MetricRecorded", "NotFound", "OrderUpdate",
    "OutOfRange", "Outcome", "PositionCountRule", "PositionUpdate", "Prediction",
    "RecordEventResponse", "RecordEventResult", "Recorder", "RecorderLoss", "RecorderSettings",
    "RecorderStats", "RegimeChange", "Rejection", "ResourceExhausted", "RiskBreach",
    "ShadowOutcome", "Signal", "Thesis", "ThresholdRule", "Trimtab", "TrimtabError", "Unavailable",
    "Unimplemented", "WatchEventsResponse", "connect", "event_filter", "exit_plan", "guard_verdict",
    "horizon", "kind_word", "market_context", "market_snapshot", "thesis", "to_duration", "to_ns",
    "to_timestamp", "uuid7",
]  # fmt: skip
