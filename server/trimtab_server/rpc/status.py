"""Errors to statuses: google.rpc.Status with ErrorInfo, BadRequest and RetryInfo."""

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import TrimtabError

DOMAIN = "trimtab"
DETAILS_KEY = "grpc-status-details-bin"
# Callers take 8 KiB of trailers; above that the transport's own error would hide the answer.
_MESSAGE_BYTES_MAX = 512
_VIOLATIONS_BYTES_MAX = 3_072

CODES = {
    Reason.INVALID_FIELD: StatusCode.INVALID_ARGUMENT,
    Reason.EVENT_TOO_LARGE: StatusCode.INVALID_ARGUMENT,
    Reason.BATCH_TOO_LARGE: StatusCode.INVALID_ARGUMENT,
    Reason.ID_REUSED: StatusCode.ALREADY_EXISTS,
    Reason.SEQUENCE_REUSED: StatusCode.ALREADY_EXISTS,
    Reason.SEQUENCE_GAP: StatusCode.OUT_OF_RANGE,
    Reason.PRODUCER_FENCED: StatusCode.ABORTED,
    Reason.PRODUCER_SUPERSEDED: StatusCode.ABORTED,
    Reason.WINDOW_EXCEEDED: StatusCode.RESOURCE_EXHAUSTED,
    Reason.STREAM_PROTOCOL: StatusCode.FAILED_PRECONDITION,
    Reason.LOG_CHANGED: StatusCode.ABORTED,
    Reason.SLOW_READER: StatusCode.RESOURCE_EXHAUSTED,
    Reason.SEQUENCE_PRUNED: StatusCode.OUT_OF_RANGE,
    Reason.NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.SHUTTING_DOWN: StatusCode.UNAVAILABLE,
    Reason.OVERLOADED: StatusCode.RESOURCE_EXHAUSTED,
    Reason.STORE_UNAVAILABLE: StatusCode.UNAVAILABLE,
    Reason.DEADLINE_EXCEEDED: StatusCode.DEADLINE_EXCEEDED,
    Reason.UNIMPLEMENTED: StatusCode.UNIMPLEMENTED,
    Reason.TOO_MANY_STREAMS: StatusCode.RESOURCE_EXHAUSTED,
    Reason.SERVER_FAULT: StatusCode.UNAVAILABLE,
    Reason.REQUEST_ID_REUSED: StatusCode.ALREADY_EXISTS,
    Reason.ETAG_STALE: StatusCode.ABORTED,
    Reason.REVISION_AHEAD: StatusCode.OUT_OF_RANGE,
    Reason.TOO_MANY_RULES: StatusCode.RESOURCE_EXHAUSTED,
    Reason.UNAUTHENTICATED: StatusCode.UNAUTHENTICATED,
    Reason.PERMISSION_DENIED: StatusCode.PERMISSION_DENIED,
}


def code_of(error: TrimtabError) -> StatusCode:
    """The gRPC status code of an error."""
    return CODES[error.reason]


def message_of(error: TrimtabError) -> str:
    """The words of an error, cut to what fits into the trailing metadata."""
    return error.message.encode()[:_MESSAGE_BYTES_MAX].decode(errors="ignore")


def details_of(error: TrimtabError) -> bytes:
    """The serialised google.rpc.Status that goes into the trailing metadata."""
    parts: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.reason.value, domain=DOMAIN, metadata=error.metadata
        )
    ]
    if error.violations:
        parts.append(_bad_request(error))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        parts.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code_of(error).value[0], message=message_of(error))
    for part in parts:
        packed = Any()
        packed.Pack(part)
        status.details.append(packed)
    serialised: bytes = status.SerializeToString()
    return serialised


def _bad_request(error: TrimtabError) -> error_details_pb2.BadRequest:
    """The fields at fault, as many as fit; at least one."""
    bad = error_details_pb2.BadRequest()
    for violation in error.violations:
        bad.field_violations.add(field=violation.field, description=violation.description)
        if bad.ByteSize() > _VIOLATIONS_BYTES_MAX and len(bad.field_violations) > 1:
            del bad.field_violations[-1]
            break
    return bad
