"""Our closed sets against the contract's, and errors as statuses."""

from enum import IntEnum

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from trimtab.v1 import error_pb2, event_pb2
from trimtab.v1 import event_service_pb2 as pb
from trimtab_server.domain.events import Environment, EventKind, EventOrder, Violation
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import InvalidRequest, NotFound, Overloaded, TrimtabError, Unavailable
from trimtab_server.rpc.convert import reason_number
from trimtab_server.rpc.status import CODES, code_of, details_of, message_of


def test_reasons_are_those_of_the_contract() -> None:
    """Reason and ErrorReason name the same set; each has its number."""
    ours = {f"ERROR_REASON_{reason.name}" for reason in Reason}
    assert ours == set(error_pb2.ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}
    assert all(reason.name == reason.value for reason in Reason)
    assert len({reason_number(reason) for reason in Reason}) == len(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_the_status_code_that_the_contract_names(reason: Reason) -> None:
    """The comment of each ErrorReason names its code; none is INTERNAL or UNKNOWN."""
    code = CODES[reason]
    assert code not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    assert code_pb2.Code.Value(code.name) == code.value[0]


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (Environment, event_pb2.Environment, "ENVIRONMENT"),
        (EventKind, event_pb2.EventKind, "EVENT_KIND"),
        (EventOrder, pb.EventOrder, "EVENT_ORDER"),
    ],
)
def test_enums_have_the_numbers_of_the_contract(
    ours: type[IntEnum], theirs: type[object], prefix: str
) -> None:
    """Same names, same numbers; UNSPECIFIED has no place in the domain."""
    numbers = dict(theirs.items())  # type: ignore[attr-defined]
    assert numbers.pop(f"{prefix}_UNSPECIFIED") == 0
    assert {f"{prefix}_{each.name}": each.value for each in ours} == numbers


def test_every_payload_has_its_kind() -> None:
    """The field of a payload, its message and its EventKind are named alike."""
    fields = event_pb2.Event.DESCRIPTOR.oneofs_by_name["payload"].fields
    assert [field.name.upper() for field in fields] == [kind.name for kind in EventKind]


def _status(error: TrimtabError) -> tuple[status_pb2.Status, dict[str, object]]:
    status = status_pb2.Status.FromString(details_of(error))
    parts: dict[str, object] = {}
    for make in (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.RetryInfo,
    ):
        for packed in status.details:
            part = make()
            if packed.Unpack(part):
                parts[make.DESCRIPTOR.name] = part
    return status, parts


def test_an_error_becomes_a_status_with_details() -> None:
    """ErrorInfo always, BadRequest with fields at fault, RetryInfo where a retry helps."""
    status, parts = _status(InvalidRequest(Violation("a.b", "is required")))
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert parts["ErrorInfo"] == error_details_pb2.ErrorInfo(
        reason="INVALID_FIELD", domain="trimtab"
    )
    assert "BadRequest" in parts
    assert "RetryInfo" not in parts
    for error in (
        Unavailable(Reason.STORE_UNAVAILABLE, "x", retry_after_s=1.5),
        Overloaded(Reason.OVERLOADED, "x", retry_after_s=1.5),
    ):
        _, parts = _status(error)
        retry = parts["RetryInfo"]
        assert isinstance(retry, error_details_pb2.RetryInfo)
        assert retry.retry_delay.ToMilliseconds() == 1_500
    assert code_of(NotFound("event_id", "nothing")) is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("letter", ["x", "é", "😀", "\U0010ffff"])
def test_the_largest_status_fits_into_trailing_metadata(letter: str) -> None:
    """Message and details stay below the 8 KiB that callers take, and keep at least one field."""
    words = letter * 1_000
    error = InvalidRequest(*(Violation(f"f{i}.{words[:80]}", words[:200]) for i in range(16)))
    details, message = details_of(error), message_of(error)
    # Percent-encoding of the message triples what is not ASCII; -bin values are base64.
    on_the_wire = 3 * len(message.encode()) + 4 * len(details) / 3
    assert on_the_wire < 7_500
    status, parts = _status(error)
    assert status.message == message
    bad = parts["BadRequest"]
    assert isinstance(bad, error_details_pb2.BadRequest)
    assert bad.field_violations[0].field.startswith("f0.")
