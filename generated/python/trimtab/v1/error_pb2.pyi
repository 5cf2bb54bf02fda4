from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_FIELD: _ClassVar[ErrorReason]
    ERROR_REASON_EVENT_TOO_LARGE: _ClassVar[ErrorReason]
    ERROR_REASON_BATCH_TOO_LARGE: _ClassVar[ErrorReason]
    ERROR_REASON_ID_REUSED: _ClassVar[ErrorReason]
    ERROR_REASON_SEQUENCE_REUSED: _ClassVar[ErrorReason]
    ERROR_REASON_SEQUENCE_GAP: _ClassVar[ErrorReason]
    ERROR_REASON_PRODUCER_FENCED: _ClassVar[ErrorReason]
    ERROR_REASON_PRODUCER_SUPERSEDED: _ClassVar[ErrorReason]
    ERROR_REASON_WINDOW_EXCEEDED: _ClassVar[ErrorReason]
    ERROR_REASON_STREAM_PROTOCOL: _ClassVar[ErrorReason]
    ERROR_REASON_LOG_CHANGED: _ClassVar[ErrorReason]
    ERROR_REASON_SLOW_READER: _ClassVar[ErrorReason]
    ERROR_REASON_SEQUENCE_PRUNED: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_SHUTTING_DOWN: _ClassVar[ErrorReason]
    ERROR_REASON_OVERLOADED: _ClassVar[ErrorReason]
    ERROR_REASON_STORE_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_DEADLINE_EXCEEDED: _ClassVar[ErrorReason]
    ERROR_REASON_UNIMPLEMENTED: _ClassVar[ErrorReason]
    ERROR_REASON_TOO_MANY_STREAMS: _ClassVar[ErrorReason]
    ERROR_REASON_SERVER_FAULT: _ClassVar[ErrorReason]
    ERROR_REASON_REQUEST_ID_REUSED: _ClassVar[ErrorReason]
    ERROR_REASON_ETAG_STALE: _ClassVar[ErrorReason]
    ERROR_REASON_REVISION_AHEAD: _ClassVar[ErrorReason]
    ERROR_REASON_TOO_MANY_RULES: _ClassVar[ErrorReason]
    ERROR_REASON_UNAUTHENTICATED: _ClassVar[ErrorReason]
    ERROR_REASON_PERMISSION_DENIED: _ClassVar[ErrorReason]
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_INVALID_FIELD: ErrorReason
ERROR_REASON_EVENT_TOO_LARGE: ErrorReason
ERROR_REASON_BATCH_TOO_LARGE: ErrorReason
ERROR_REASON_ID_REUSED: ErrorReason
ERROR_REASON_SEQUENCE_REUSED: ErrorReason
ERROR_REASON_SEQUENCE_GAP: ErrorReason
ERROR_REASON_PRODUCER_FENCED: ErrorReason
ERROR_REASON_PRODUCER_SUPERSEDED: ErrorReason
ERROR_REASON_WINDOW_EXCEEDED: ErrorReason
ERROR_REASON_STREAM_PROTOCOL: ErrorReason
ERROR_REASON_LOG_CHANGED: ErrorReason
ERROR_REASON_SLOW_READER: ErrorReason
ERROR_REASON_SEQUENCE_PRUNED: ErrorReason
ERROR_REASON_NOT_FOUND: ErrorReason
ERROR_REASON_SHUTTING_DOWN: ErrorReason
ERROR_REASON_OVERLOADED: ErrorReason
ERROR_REASON_STORE_UNAVAILABLE: ErrorReason
ERROR_REASON_DEADLINE_EXCEEDED: ErrorReason
ERROR_REASON_UNIMPLEMENTED: ErrorReason
ERROR_REASON_TOO_MANY_STREAMS: ErrorReason
ERROR_REASON_SERVER_FAULT: ErrorReason
ERROR_REASON_REQUEST_ID_REUSED: ErrorReason
ERROR_REASON_ETAG_STALE: ErrorReason
ERROR_REASON_REVISION_AHEAD: ErrorReason
ERROR_REASON_TOO_MANY_RULES: ErrorReason
ERROR_REASON_UNAUTHENTICATED: ErrorReason
ERROR_REASON_PERMISSION_DENIED: ErrorReason

class FieldViolation(_message.Message):
    __slots__ = ("field", "description")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    field: str
    description: str
    def __init__(self, field: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...
