"""Results of reports as messages: a dataclass fills the message of the same fields, all the way
down. A worker calls it, so that a large answer costs the event loop nothing."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from trimtab.v1 import report_service_pb2 as pb
from trimtab_server.domain.events import Violation
from trimtab_server.domain.reports.questions import ReportKind, ReportScope
from trimtab_server.errors import InvalidRequest

# Callers take 4 MiB, of which the frame and the status want some.
RESPONSE_BYTES_MAX = 7 << 19
_TIMES = {"google.protobuf.Timestamp", "google.protobuf.Duration"}
_FLOATS = {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}


class ResponseShape(NamedTuple):
    """The response of a kind of report, and the field that takes its result ("" = the result's own
    fields are the response's)."""

    message: type[Message]
    field: str


RESPONSES: dict[ReportKind, ResponseShape] = {
    ReportKind.LEARNING: ResponseShape(pb.GetLearningReportResponse, ""),
    ReportKind.OPPORTUNITY: ResponseShape(pb.GetBlockedOpportunityCostResponse, "cost"),
    ReportKind.GUARDS: ResponseShape(pb.GetGuardEffectivenessResponse, "guards"),
    ReportKind.LEADERBOARD: ResponseShape(pb.GetStrategyLeaderboardResponse, ""),
    ReportKind.DECAY: ResponseShape(pb.GetSignalDecayResponse, ""),
    ReportKind.COMPARISON: ResponseShape(pb.ComparePerformanceResponse, "comparison"),
    ReportKind.WHAT_IF: ResponseShape(pb.RunWhatIfResponse, "result"),
}


def report_bytes(kind: ReportKind, head: Any, result: Any, report_id: str = "") -> bytes:
    """The serialised response of a report. head: a ReportHead. result: of the kind's function.

    What is written out is left away, with a note, where it makes the answer too large. Raises
    InvalidRequest where the numbers alone do.
    """
    message: Any = _response(kind, head, result, report_id)
    if head.rendered and message.ByteSize() > RESPONSE_BYTES_MAX:
        note = "written out it would be too large for one answer; ask for less, or for the numbers"
        head = replace(head, rendered="", notes=(*head.notes, note))
        message = _response(kind, head, result, report_id)
    return _fitting(message)


def sweep_head_bytes(head: Any) -> bytes:
    """The first message of a sweep, serialised."""
    message = pb.RunWhatIfSweepResponse()
    fill(message.head, head)
    return _fitting(message)


def sweep_results_bytes(results: Iterable[tuple[int, Any]]) -> bytes:
    """A message of a sweep with results by index, serialised."""
    message = pb.RunWhatIfSweepResponse()
    for index, result in results:
        fill(message.results.add(index=index).result, result)
    return _fitting(message)


def scope_message(scope: ReportScope) -> pb.ReportScope:
    """A scope as callers get it."""
    message = pb.ReportScope()
    fill(message, scope)
    return message


def fill(message: Any, value: Any) -> None:
    """Fills a message with the values of the same names.

    Tuples are repeated fields, IntEnums numbers; None is absent, and so is a time of 0 (a Timestamp
    or Duration `x` is `x_ns` or `x_s` there). What is no finite number is absent where that is
    possible. Raises ValueError where it is not.
    """
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and field.message_type.full_name in _TIMES:
            told = getattr(value, f"{field.name}_ns", None)
            seconds = getattr(value, f"{field.name}_s", None)
            told = round(seconds * 1e9) if told is None and seconds is not None else told
            if told:
                getattr(message, field.name).FromNanoseconds(told)
            continue
        told = getattr(value, field.name, None)
        if told is None:
            continue
        if field.is_repeated:
            _fill_repeated(getattr(message, field.name), field, told)
        elif field.message_type is not None:
            part = getattr(message, field.name)
            # Presence is told even where all of it is zero.
            part.SetInParent()
            fill(part, told)
        else:
            _fill_plain(message, field, told)


def _fill_repeated(target: Any, field: FieldDescriptor, values: Sequence[Any]) -> None:
    if field.message_type is None:
        target.extend(values)
        return
    for each in values:
        fill(target.add(), each)


def _fill_plain(message: Any, field: FieldDescriptor, value: Any) -> None:
    if field.cpp_type in _FLOATS and not math.isfinite(value):
        if not field.has_presence:
            raise ValueError(f"{field.full_name} is {value}")
        return
    in_choice = field.containing_oneof is not None and len(field.containing_oneof.fields) > 1
    if in_choice and not value:
        return
    setattr(message, field.name, value)


def _response(kind: ReportKind, head: Any, result: Any, report_id: str) -> Message:
    shape = RESPONSES[kind]
    message: Any = shape.message()
    fill(message.head, head)
    if not shape.field:
        fill(message, result)
    else:
        field = message.DESCRIPTOR.fields_by_name[shape.field]
        part = getattr(message, shape.field)
        if field.is_repeated:
            _fill_repeated(part, field, result)
        else:
            part.SetInParent()
            fill(part, result)
    if report_id:
        message.report_id = report_id
    return message  # type: ignore[no-any-return]


def _fitting(message: Message) -> bytes:
    size = message.ByteSize()
    if size > RESPONSE_BYTES_MAX:
        words = (
            f"the answer would have {size:,} bytes, {RESPONSE_BYTES_MAX:,} fit; ask for one"
            " strategy, one symbol or a shorter time"
        )
        raise InvalidRequest(Violation("scope", words))
    data: bytes = message.SerializeToString()
    return data
