from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from trimtab.v1 import event_service_pb2 as _event_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DurabilityLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DURABILITY_LEVEL_UNSPECIFIED: _ClassVar[DurabilityLevel]
    DURABILITY_LEVEL_PROCESS_CRASH: _ClassVar[DurabilityLevel]
    DURABILITY_LEVEL_POWER_LOSS: _ClassVar[DurabilityLevel]
DURABILITY_LEVEL_UNSPECIFIED: DurabilityLevel
DURABILITY_LEVEL_PROCESS_CRASH: DurabilityLevel
DURABILITY_LEVEL_POWER_LOSS: DurabilityLevel

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "log_id", "boot_id", "services", "limits", "durability", "first_sequence", "last_sequence", "store", "server_time", "start_time")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    version: str
    log_id: str
    boot_id: str
    services: _containers.RepeatedScalarFieldContainer[str]
    limits: _event_service_pb2.Limits
    durability: DurabilityLevel
    first_sequence: int
    last_sequence: int
    store: str
    server_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    def __init__(self, version: _Optional[str] = ..., log_id: _Optional[str] = ..., boot_id: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ..., limits: _Optional[_Union[_event_service_pb2.Limits, _Mapping]] = ..., durability: _Optional[_Union[DurabilityLevel, str]] = ..., first_sequence: _Optional[int] = ..., last_sequence: _Optional[int] = ..., store: _Optional[str] = ..., server_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetHealthRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HealthCondition(_message.Message):
    __slots__ = ("name", "ok", "message", "since_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SINCE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    ok: bool
    message: str
    since_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., ok: bool = ..., message: _Optional[str] = ..., since_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class QueueFigures(_message.Message):
    __slots__ = ("event_count", "bytes", "event_count_max", "bytes_max", "oldest_age")
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_MAX_FIELD_NUMBER: _ClassVar[int]
    BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    OLDEST_AGE_FIELD_NUMBER: _ClassVar[int]
    event_count: int
    bytes: int
    event_count_max: int
    bytes_max: int
    oldest_age: _duration_pb2.Duration
    def __init__(self, event_count: _Optional[int] = ..., bytes: _Optional[int] = ..., event_count_max: _Optional[int] = ..., bytes_max: _Optional[int] = ..., oldest_age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CollectionFigures(_message.Message):
    __slots__ = ("stored_count", "duplicate_count", "rejected_count", "lost_count")
    STORED_COUNT_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_COUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOST_COUNT_FIELD_NUMBER: _ClassVar[int]
    stored_count: int
    duplicate_count: int
    rejected_count: int
    lost_count: int
    def __init__(self, stored_count: _Optional[int] = ..., duplicate_count: _Optional[int] = ..., rejected_count: _Optional[int] = ..., lost_count: _Optional[int] = ...) -> None: ...

class CommitFigures(_message.Message):
    __slots__ = ("count", "failure_count", "latency_p50", "latency_p99", "last_age")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_COUNT_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P50_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P99_FIELD_NUMBER: _ClassVar[int]
    LAST_AGE_FIELD_NUMBER: _ClassVar[int]
    count: int
    failure_count: int
    latency_p50: _duration_pb2.Duration
    latency_p99: _duration_pb2.Duration
    last_age: _duration_pb2.Duration
    def __init__(self, count: _Optional[int] = ..., failure_count: _Optional[int] = ..., latency_p50: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., latency_p99: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., last_age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DiskFigures(_message.Message):
    __slots__ = ("free_bytes", "total_bytes")
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    free_bytes: int
    total_bytes: int
    def __init__(self, free_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class GetHealthResponse(_message.Message):
    __slots__ = ("ready", "conditions", "queue", "since_start", "last_minute", "events_per_second", "collection_share", "commits", "store", "disk", "stream_count", "watcher_count", "server_time", "uptime")
    READY_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    SINCE_START_FIELD_NUMBER: _ClassVar[int]
    LAST_MINUTE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_SHARE_FIELD_NUMBER: _ClassVar[int]
    COMMITS_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    DISK_FIELD_NUMBER: _ClassVar[int]
    STREAM_COUNT_FIELD_NUMBER: _ClassVar[int]
    WATCHER_COUNT_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    ready: bool
    conditions: _containers.RepeatedCompositeFieldContainer[HealthCondition]
    queue: QueueFigures
    since_start: CollectionFigures
    last_minute: CollectionFigures
    events_per_second: float
    collection_share: float
    commits: CommitFigures
    store: str
    disk: DiskFigures
    stream_count: int
    watcher_count: int
    server_time: _timestamp_pb2.Timestamp
    uptime: _duration_pb2.Duration
    def __init__(self, ready: bool = ..., conditions: _Optional[_Iterable[_Union[HealthCondition, _Mapping]]] = ..., queue: _Optional[_Union[QueueFigures, _Mapping]] = ..., since_start: _Optional[_Union[CollectionFigures, _Mapping]] = ..., last_minute: _Optional[_Union[CollectionFigures, _Mapping]] = ..., events_per_second: _Optional[float] = ..., collection_share: _Optional[float] = ..., commits: _Optional[_Union[CommitFigures, _Mapping]] = ..., store: _Optional[str] = ..., disk: _Optional[_Union[DiskFigures, _Mapping]] = ..., stream_count: _Optional[int] = ..., watcher_count: _Optional[int] = ..., server_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., uptime: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...
