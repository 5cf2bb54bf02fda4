"""Answers of ReportService as plain values, their fields named as in the contract.

`domain.documents.report_documents` takes them as it takes the domain's own results.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from trimtab_server.domain.documents.report_documents import report_document
from trimtab_server.domain.ledger.columns import LedgerCounts
from trimtab_server.domain.reports.head import ReportHead
from trimtab_server.domain.reports.questions import ReportKind, ReportScope

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from trimtab_server.domain.documents.document import Document

_NS = 1_000_000_000


def plain(message: Message) -> Any:
    """The message's fields as attributes: what is absent is None, lists are tuples, durations are
    seconds, times nanoseconds UTC."""
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Duration":
        return message.seconds + message.nanos / _NS  # type: ignore[attr-defined]
    if name == "google.protobuf.Timestamp":
        return message.seconds * _NS + message.nanos  # type: ignore[attr-defined]
    if name == "trimtab.v1.Horizon":
        horizon: Any = message
        return SimpleNamespace(
            duration_s=plain(horizon.duration) if horizon.HasField("duration") else None,
            trading_days=horizon.trading_days,
            calendar=horizon.calendar,
        )
    found = SimpleNamespace()
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        is_message = field.message_type is not None
        if field.is_repeated:
            value = tuple(plain(one) for one in value) if is_message else tuple(value)
        elif field.has_presence and not message.HasField(field.name):
            value = None
        elif is_message:
            value = plain(value)
        setattr(found, field.name, value)
    return found


def report_head(message: Any) -> ReportHead:
    """The head of a report: a message ReportHead."""
    scope, counts = message.scope, message.counts
    return ReportHead(
        scope=ReportScope(
            environment=scope.environment,
            run_id=scope.run_id,
            source=scope.source,
            strategy=scope.strategy,
            symbol=scope.symbol,
            start_time_ns=scope.start_time.ToNanoseconds(),
            end_time_ns=scope.end_time.ToNanoseconds(),
            level=scope.level or 0.95,
        ),
        make_time_ns=message.make_time.ToNanoseconds(),
        log_id=message.log_id,
        through_sequence=message.through_sequence,
        counts=LedgerCounts(**{f.name: getattr(counts, f.name) for f in counts.DESCRIPTOR.fields}),
        notes=tuple(message.notes),
    )


def response_document(kind: ReportKind, response: Any) -> Document:
    """The document of a response of ReportService."""
    part = _PARTS.get(kind)
    values = plain(response)
    return report_document(
        kind, values if part is None else getattr(values, part), report_head(response.head)
    )


# Where the result stands in the response; else the response itself is it.
_PARTS = {
    ReportKind.OPPORTUNITY: "cost",
    ReportKind.GUARDS: "guards",
    ReportKind.COMPARISON: "comparison",
    ReportKind.WHAT_IF: "result",
}
