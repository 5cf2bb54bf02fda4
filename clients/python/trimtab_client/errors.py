"""The errors of the client, and how a gRPC status becomes one.

    TrimtabError
    |- InvalidArgument      a field is at fault, see `field_violations`
    |- NotFound
    |- AlreadyExists
    |  `- IdReused          the event_id is stored with other content
    |- FailedPrecondition
    |- Aborted              read again before trying again (LOG_CHANGED, PRODUCER_SUPERSEDED, ...)
    |- OutOfRange           SEQUENCE_GAP, SEQUENCE_PRUNED
    |- ResourceExhausted    a retry helps only when `retry_after_s` is set
    |- DeadlineExceeded
    |- Unavailable          the sidecar is down, stopping, or the client's breaker is open
    |- Unauthenticated      no token or client certificate, or one that is not known
    |- PermissionDenied     the caller's roles do not allow the call; metadata["role"] would
    |- Unimplemented        the server is older than this client
    `- Cancelled            the client was closed meanwhile

Programming errors (an unknown word, a wrong type) stay ValueError and TypeError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "trimtab"
_STATUS_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field at fault: its path (`signal.confidence`) and what is allowed."""

    field: str
    description: str


class TrimtabError(Exception):
    """Root of what the client raises for a call; programming errors stay ValueError, TypeError.

    code: the gRPC status code.
    reason: name of an ErrorReason without its prefix, e.g. "ID_REUSED"; "" when the status was
        made by the transport or the client and not by a trimtab server.
    field_violations: the fields at fault; empty for most errors.
    retry_after_s: seconds after which a retry may help; None = the server did not say.
    metadata: ErrorInfo.metadata.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str = "",
        field_violations: tuple[FieldViolation, ...] = (),
        retry_after_s: float | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.field_violations = field_violations
        self.retry_after_s = retry_after_s
        self.metadata = metadata or {}

    def __str__(self) -> str:
        label = f"{self.code.name}/{self.reason}" if self.reason else self.code.name
        fields = "; ".join(f"{v.field}: {v.description}" for v in self.field_violations)
        return f"{label}: {self.message}" + (f" ({fields})" if fields else "")


class InvalidArgument(TrimtabError):
    """The request or event is wrong; see `field_violations`."""


class NotFound(TrimtabError):
    """Nothing has this id."""


class AlreadyExists(TrimtabError):
    """It exists already."""


class IdReused(AlreadyExists):
    """The event_id is stored already with other content."""


class FailedPrecondition(TrimtabError):
    """The server's state does not allow it."""


class Aborted(TrimtabError):
    """Someone else moved it: read again, then decide."""


class OutOfRange(TrimtabError):
    """The position lies outside of the log."""


class ResourceExhausted(TrimtabError):
    """Too much; a retry helps only when `retry_after_s` is set."""


class DeadlineExceeded(TrimtabError):
    """Not done in time; it may have happened all the same."""


class Unavailable(TrimtabError):
    """The sidecar cannot be reached, is stopping, or the client's breaker is open."""


class Unauthenticated(TrimtabError):
    """The sidecar does not know who calls; see `Credentials`."""


class PermissionDenied(TrimtabError):
    """The caller's roles do not allow the call; `metadata["role"]` is one that would."""


class Unimplemented(TrimtabError):
    """The server does not know this call."""


class Cancelled(TrimtabError):
    """The call was given up on this side."""


_BY_CODE: dict[grpc.StatusCode, type[TrimtabError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.CANCELLED: Cancelled,
}


def error_from_rpc(error: grpc.RpcError) -> TrimtabError:
    """The typed error of a failed call; never raises, whatever the details hold."""
    # Every RpcError of a real call is also a grpc.Call; grpcio's types do not say so.
    call: Any = error
    code: grpc.StatusCode = call.code() or grpc.StatusCode.UNKNOWN
    message: str = call.details() or ""
    reason = ""
    violations: list[FieldViolation] = []
    retry_after_s: float | None = None
    metadata: dict[str, str] = {}
    for detail in _details(call):
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            if info.domain == DOMAIN:
                reason, metadata = info.reason, dict(info.metadata)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest.FromString(detail.value)
            violations += [FieldViolation(v.field, v.description) for v in bad.field_violations]
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
            retry_after_s = max(0.0, delay.seconds + delay.nanos / 1e9)
    kind = _BY_CODE.get(code, TrimtabError)
    if reason == "ID_REUSED":
        kind = IdReused
    return kind(
        message,
        code=code,
        reason=reason,
        field_violations=tuple(violations),
        retry_after_s=retry_after_s,
        metadata=metadata,
    )


def _details(call: Any) -> list[Any]:
    """The google.rpc.Status details in the trailing metadata (what grpcio-status would read)."""
    for key, value in call.trailing_metadata() or ():
        if key == _STATUS_DETAILS_KEY:
            try:
                return list(status_pb2.Status.FromString(value).details)
            except DecodeError:
                return []
    return []
