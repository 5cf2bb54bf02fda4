"""What a call was answered with: status code, machine-readable reason, field paths, retry delay."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

# What only defects answer.
FORBIDDEN = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}


@dataclass
class Answer:
    """An error status, decoded."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    domain: str = ""
    fields: list[str] = field(default_factory=list)
    descriptions: list[str] = field(default_factory=list)
    retry_after_s: float | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.code not in FORBIDDEN, self


def answer_of(error: Any) -> Answer:
    """The decoded status of an RpcError, held against its own trailing metadata."""
    answer = Answer(error.code(), error.details())
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            assert status.code == answer.code.value[0]
            assert status.message == answer.message
            for part in status.details:
                _read(part, answer)
    return answer


def _read(part: Any, answer: Answer) -> None:
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    if part.Unpack(info):
        answer.reason, answer.domain = info.reason, info.domain
        answer.metadata = dict(info.metadata)
    elif part.Unpack(bad):
        answer.fields = [violation.field for violation in bad.field_violations]
        answer.descriptions = [violation.description for violation in bad.field_violations]
    elif part.Unpack(retry):
        answer.retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9


def refusal(call: Callable[[], object]) -> Answer:
    """The answer of a call that must be refused."""
    try:
        call()
    except grpc.RpcError as error:
        return answer_of(error)
    raise AssertionError("the call was not refused")


@contextmanager
def refused(code: grpc.StatusCode, reason: str, *fields: str) -> Iterator[None]:
    """Holds that the block ends with this status, this reason and these field paths."""
    try:
        yield
    except grpc.RpcError as error:
        answer = answer_of(error)
        found = (answer.code, answer.reason, answer.domain, tuple(answer.fields))
        assert found == (code, reason, "trimtab", fields), answer
        assert all(answer.descriptions)
    else:
        raise AssertionError("nothing was refused")
