from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from trimtab.v1 import error_pb2 as _error_pb2
from trimtab.v1 import event_pb2 as _event_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GoAwayReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GO_AWAY_REASON_UNSPECIFIED: _ClassVar[GoAwayReason]
    GO_AWAY_REASON_SHUTTING_DOWN: _ClassVar[GoAwayReason]

class EventOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_ORDER_UNSPECIFIED: _ClassVar[EventOrder]
    EVENT_ORDER_SEQUENCE: _ClassVar[EventOrder]
    EVENT_ORDER_SEQUENCE_DESC: _ClassVar[EventOrder]
    EVENT_ORDER_EVENT_TIME: _ClassVar[EventOrder]
    EVENT_ORDER_EVENT_TIME_DESC: _ClassVar[EventOrder]
GO_AWAY_REASON_UNSPECIFIED: GoAwayReason
GO_AWAY_REASON_SHUTTING_DOWN: GoAwayReason
EVENT_ORDER_UNSPECIFIED: EventOrder
EVENT_ORDER_SEQUENCE: EventOrder
EVENT_ORDER_SEQUENCE_DESC: EventOrder
EVENT_ORDER_EVENT_TIME: EventOrder
EVENT_ORDER_EVENT_TIME_DESC: EventOrder

class RecordEventRequest(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: _event_pb2.Event
    def __init__(self, event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ...) -> None: ...

class RecordEventResponse(_message.Message):
    __slots__ = ("event_id", "sequence", "duplicate")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    sequence: int
    duplicate: bool
    def __init__(self, event_id: _Optional[str] = ..., sequence: _Optional[int] = ..., duplicate: bool = ...) -> None: ...

class RecordEventsRequest(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_event_pb2.Event]
    def __init__(self, events: _Optional[_Iterable[_Union[_event_pb2.Event, _Mapping]]] = ...) -> None: ...

class RecordEventsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[RecordEventResult]
    def __init__(self, results: _Optional[_Iterable[_Union[RecordEventResult, _Mapping]]] = ...) -> None: ...

class RecordEventResult(_message.Message):
    __slots__ = ("recorded", "rejection")
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    REJECTION_FIELD_NUMBER: _ClassVar[int]
    recorded: RecordEventResponse
    rejection: Rejection
    def __init__(self, recorded: _Optional[_Union[RecordEventResponse, _Mapping]] = ..., rejection: _Optional[_Union[Rejection, _Mapping]] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("producer_seq", "event_id", "reason", "violations")
    PRODUCER_SEQ_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    producer_seq: int
    event_id: str
    reason: _error_pb2.ErrorReason
    violations: _containers.RepeatedCompositeFieldContainer[_error_pb2.FieldViolation]
    def __init__(self, producer_seq: _Optional[int] = ..., event_id: _Optional[str] = ..., reason: _Optional[_Union[_error_pb2.ErrorReason, str]] = ..., violations: _Optional[_Iterable[_Union[_error_pb2.FieldViolation, _Mapping]]] = ...) -> None: ...

class StreamEventsRequest(_message.Message):
    __slots__ = ("open", "batch", "lost", "flush")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    FLUSH_FIELD_NUMBER: _ClassVar[int]
    open: Open
    batch: Batch
    lost: Lost
    flush: Flush
    def __init__(self, open: _Optional[_Union[Open, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., lost: _Optional[_Union[Lost, _Mapping]] = ..., flush: _Optional[_Union[Flush, _Mapping]] = ...) -> None: ...

class Open(_message.Message):
    __slots__ = ("producer_id", "producer_epoch", "source", "client_info")
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_INFO_FIELD_NUMBER: _ClassVar[int]
    producer_id: str
    producer_epoch: int
    source: str
    client_info: ClientInfo
    def __init__(self, producer_id: _Optional[str] = ..., producer_epoch: _Optional[int] = ..., source: _Optional[str] = ..., client_info: _Optional[_Union[ClientInfo, _Mapping]] = ...) -> None: ...

class ClientInfo(_message.Message):
    __slots__ = ("name", "version", "runtime", "host", "process_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PROCESS_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    runtime: str
    host: str
    process_id: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., runtime: _Optional[str] = ..., host: _Optional[str] = ..., process_id: _Optional[int] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("first_seq", "events")
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    first_seq: int
    events: _containers.RepeatedCompositeFieldContainer[_event_pb2.Event]
    def __init__(self, first_seq: _Optional[int] = ..., events: _Optional[_Iterable[_Union[_event_pb2.Event, _Mapping]]] = ...) -> None: ...

class Lost(_message.Message):
    __slots__ = ("first_seq", "last_seq", "reason")
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    first_seq: int
    last_seq: int
    reason: _event_pb2.LossReason
    def __init__(self, first_seq: _Optional[int] = ..., last_seq: _Optional[int] = ..., reason: _Optional[_Union[_event_pb2.LossReason, str]] = ...) -> None: ...

class Flush(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StreamEventsResponse(_message.Message):
    __slots__ = ("opened", "ack", "go_away")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    GO_AWAY_FIELD_NUMBER: _ClassVar[int]
    opened: Opened
    ack: Ack
    go_away: GoAway
    def __init__(self, opened: _Optional[_Union[Opened, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., go_away: _Optional[_Union[GoAway, _Mapping]] = ...) -> None: ...

class Opened(_message.Message):
    __slots__ = ("log_id", "next_expected_seq", "limits", "window")
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_EXPECTED_SEQ_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    log_id: str
    next_expected_seq: int
    limits: Limits
    window: Window
    def __init__(self, log_id: _Optional[str] = ..., next_expected_seq: _Optional[int] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., window: _Optional[_Union[Window, _Mapping]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("event_bytes_max", "batch_events_max", "batch_bytes_max", "page_size_max", "future_skew_max")
    EVENT_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    BATCH_EVENTS_MAX_FIELD_NUMBER: _ClassVar[int]
    BATCH_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_MAX_FIELD_NUMBER: _ClassVar[int]
    FUTURE_SKEW_MAX_FIELD_NUMBER: _ClassVar[int]
    event_bytes_max: int
    batch_events_max: int
    batch_bytes_max: int
    page_size_max: int
    future_skew_max: _duration_pb2.Duration
    def __init__(self, event_bytes_max: _Optional[int] = ..., batch_events_max: _Optional[int] = ..., batch_bytes_max: _Optional[int] = ..., page_size_max: _Optional[int] = ..., future_skew_max: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("event_count", "bytes")
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    event_count: int
    bytes: int
    def __init__(self, event_count: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("durable_through_seq", "duplicate_count", "rejections", "window")
    DURABLE_THROUGH_SEQ_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_COUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    durable_through_seq: int
    duplicate_count: int
    rejections: _containers.RepeatedCompositeFieldContainer[Rejection]
    window: Window
    def __init__(self, durable_through_seq: _Optional[int] = ..., duplicate_count: _Optional[int] = ..., rejections: _Optional[_Iterable[_Union[Rejection, _Mapping]]] = ..., window: _Optional[_Union[Window, _Mapping]] = ...) -> None: ...

class GoAway(_message.Message):
    __slots__ = ("reason", "retry_after")
    REASON_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    reason: GoAwayReason
    retry_after: _duration_pb2.Duration
    def __init__(self, reason: _Optional[_Union[GoAwayReason, str]] = ..., retry_after: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GetEventRequest(_message.Message):
    __slots__ = ("event_id",)
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    def __init__(self, event_id: _Optional[str] = ...) -> None: ...

class GetEventResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: _event_pb2.Event
    def __init__(self, event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ...) -> None: ...

class EventFilter(_message.Message):
    __slots__ = ("kinds", "source", "environment", "run_id", "strategy", "symbol", "signal_id", "start_time", "end_time", "known_at_time")
    KINDS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    KNOWN_AT_TIME_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedScalarFieldContainer[_event_pb2.EventKind]
    source: str
    environment: _event_pb2.Environment
    run_id: str
    strategy: str
    symbol: str
    signal_id: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    known_at_time: _timestamp_pb2.Timestamp
    def __init__(self, kinds: _Optional[_Iterable[_Union[_event_pb2.EventKind, str]]] = ..., source: _Optional[str] = ..., environment: _Optional[_Union[_event_pb2.Environment, str]] = ..., run_id: _Optional[str] = ..., strategy: _Optional[str] = ..., symbol: _Optional[str] = ..., signal_id: _Optional[str] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., known_at_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListEventsRequest(_message.Message):
    __slots__ = ("filter", "order", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: EventFilter
    order: EventOrder
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[EventFilter, _Mapping]] = ..., order: _Optional[_Union[EventOrder, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_event_pb2.Event]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[_event_pb2.Event, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListRejectedEventsRequest(_message.Message):
    __slots__ = ("source", "producer_id", "page_size", "page_token")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    source: str
    producer_id: str
    page_size: int
    page_token: str
    def __init__(self, source: _Optional[str] = ..., producer_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRejectedEventsResponse(_message.Message):
    __slots__ = ("rejected_events", "next_page_token")
    REJECTED_EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rejected_events: _containers.RepeatedCompositeFieldContainer[RejectedEvent]
    next_page_token: str
    def __init__(self, rejected_events: _Optional[_Iterable[_Union[RejectedEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RejectedEvent(_message.Message):
    __slots__ = ("reject_time", "source", "producer_id", "rejection", "event_prefix", "event_bytes")
    REJECT_TIME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    REJECTION_FIELD_NUMBER: _ClassVar[int]
    EVENT_PREFIX_FIELD_NUMBER: _ClassVar[int]
    EVENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    reject_time: _timestamp_pb2.Timestamp
    source: str
    producer_id: str
    rejection: Rejection
    event_prefix: bytes
    event_bytes: int
    def __init__(self, reject_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., source: _Optional[str] = ..., producer_id: _Optional[str] = ..., rejection: _Optional[_Union[Rejection, _Mapping]] = ..., event_prefix: _Optional[bytes] = ..., event_bytes: _Optional[int] = ...) -> None: ...

class WatchEventsRequest(_message.Message):
    __slots__ = ("log_id", "after_sequence", "from_now", "filter")
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FROM_NOW_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    log_id: str
    after_sequence: int
    from_now: bool
    filter: EventFilter
    def __init__(self, log_id: _Optional[str] = ..., after_sequence: _Optional[int] = ..., from_now: bool = ..., filter: _Optional[_Union[EventFilter, _Mapping]] = ...) -> None: ...

class WatchEventsResponse(_message.Message):
    __slots__ = ("events", "through_sequence", "log_id")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    THROUGH_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_event_pb2.Event]
    through_sequence: int
    log_id: str
    def __init__(self, events: _Optional[_Iterable[_Union[_event_pb2.Event, _Mapping]]] = ..., through_sequence: _Optional[int] = ..., log_id: _Optional[str] = ...) -> None: ...

class GetStatsRequest(_message.Message):
    __slots__ = ("source", "environment", "run_id")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    source: str
    environment: _event_pb2.Environment
    run_id: str
    def __init__(self, source: _Optional[str] = ..., environment: _Optional[_Union[_event_pb2.Environment, str]] = ..., run_id: _Optional[str] = ...) -> None: ...

class GetStatsResponse(_message.Message):
    __slots__ = ("event_count", "counts", "event_bytes", "duplicate_count", "rejected_count", "events_buffered", "last_sequence")
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    EVENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_COUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    EVENTS_BUFFERED_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    event_count: int
    counts: _containers.RepeatedCompositeFieldContainer[EventCount]
    event_bytes: int
    duplicate_count: int
    rejected_count: int
    events_buffered: int
    last_sequence: int
    def __init__(self, event_count: _Optional[int] = ..., counts: _Optional[_Iterable[_Union[EventCount, _Mapping]]] = ..., event_bytes: _Optional[int] = ..., duplicate_count: _Optional[int] = ..., rejected_count: _Optional[int] = ..., events_buffered: _Optional[int] = ..., last_sequence: _Optional[int] = ...) -> None: ...

class EventCount(_message.Message):
    __slots__ = ("kind", "source", "environment", "event_count", "event_bytes", "last_event_time")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    EVENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    kind: _event_pb2.EventKind
    source: str
    environment: _event_pb2.Environment
    event_count: int
    event_bytes: int
    last_event_time: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[_Union[_event_pb2.EventKind, str]] = ..., source: _Optional[str] = ..., environment: _Optional[_Union[_event_pb2.Environment, str]] = ..., event_count: _Optional[int] = ..., event_bytes: _Optional[int] = ..., last_event_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
