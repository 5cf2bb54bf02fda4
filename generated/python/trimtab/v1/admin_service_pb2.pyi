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
