from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from trimtab_client import errors
from trimtab_client.errors import TrimtabError, error_from_rpc


class Failure(grpc.RpcError):
    """A failed call as grpc raises it."""

    def __init__(
        self, code: grpc.StatusCode, message: str = "m", trailing: tuple[Any, ...] | None = None
    ) -> None:
        self._answer = (code, message, trailing)

    def code(self) -> grpc.StatusCode:
        """As grpc.Call."""
        return self._answer[0]

    def details(self) -> str:
        """As grpc.Call."""
        return self._answer[1]

    def trailing_metadata(self) -> Any:
        """As grpc.Call."""
        return self._answer[2]


def failure(code: grpc.StatusCode, *details: Any) -> Failure:
    """A failure with status details, as servers send them."""
    status = status_pb2.Status(code=code.value[0], message="m")
    for detail in details:
        status.details.add().Pack(detail)
    return Failure(code, "m", (("grpc-status-details-bin", status.SerializeToString()),))


def info(reason: str, domain: str = "trimtab") -> Any:
    """An ErrorInfo."""
    return error_details_pb2.ErrorInfo(domain=domain, reason=reason, metadata={"k": "v"})


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("INVALID_ARGUMENT", "InvalidArgument"),
        ("NOT_FOUND", "NotFound"),
        ("ALREADY_EXISTS", "AlreadyExists"),
        ("FAILED_PRECONDITION", "FailedPrecondition"),
        ("ABORTED", "Aborted"),
        ("OUT_OF_RANGE", "OutOfRange"),
        ("RESOURCE_EXHAUSTED", "ResourceExhausted"),
        ("DEADLINE_EXCEEDED", "DeadlineExceeded"),
        ("UNAVAILABLE", "Unavailable"),
        ("UNAUTHENTICATED", "Unauthenticated"),
        ("PERMISSION_DENIED", "PermissionDenied"),
        ("UNIMPLEMENTED", "Unimplemented"),
        ("CANCELLED", "Cancelled"),
        ("DATA_LOSS", "TrimtabError"),
    ],
)
def test_each_status_has_its_error(code: str, name: str) -> None:
    """A caller catches what it can act on."""
    error = error_from_rpc(Failure(grpc.StatusCode[code]))
    assert type(error) is getattr(errors, name)
    assert isinstance(error, TrimtabError)
    assert error.code is grpc.StatusCode[code]


def test_details_become_reason_violations_and_delay() -> None:
    """What the server says about a refusal reaches the caller typed."""
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="signal.confidence", description="0 to 1")
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1500)
    code = grpc.StatusCode.INVALID_ARGUMENT
    error = error_from_rpc(failure(code, info("INVALID_FIELD"), bad, retry))
    assert error.reason == "INVALID_FIELD"
    assert error.metadata == {"k": "v"}
    assert error.retry_after_s == 1.5
    assert error.field_violations == (errors.FieldViolation("signal.confidence", "0 to 1"),)
    assert str(error) == "INVALID_ARGUMENT/INVALID_FIELD: m (signal.confidence: 0 to 1)"


def test_a_reused_id_is_its_own_error() -> None:
    """It means a programming error in the engine, not a repeated call."""
    error = error_from_rpc(failure(grpc.StatusCode.ALREADY_EXISTS, info("ID_REUSED")))
    assert isinstance(error, errors.IdReused)


def test_another_domain_gives_no_reason() -> None:
    """A proxy's words are not mistaken for ours."""
    error = error_from_rpc(failure(grpc.StatusCode.UNAVAILABLE, info("X", domain="proxy")))
    assert error.reason == ""


@pytest.mark.parametrize("trailing", [None, (), (("grpc-status-details-bin", b"\xff\xff"),)])
def test_missing_or_damaged_details_are_survived(trailing: Any) -> None:
    """Reading an error never raises another."""
    error = error_from_rpc(Failure(grpc.StatusCode.UNAVAILABLE, "m", trailing))
    assert (error.reason, error.retry_after_s) == ("", None)
