"""Requests to domain: filters, page sizes and page tokens, each bad field named."""

import base64
import hashlib
import json
from typing import Any

from google.protobuf.message import Message

from trimtab.v1 import event_pb2, event_service_pb2
from trimtab_server.domain.events import EventFilter, EventOrder, Violation
from trimtab_server.errors import InvalidRequest
from trimtab_server.rpc.convert import to_ns
from trimtab_server.rpc.rules import Rule, Shape
from trimtab_server.rpc.validation import is_uuid, violations

KINDS_MAX = 32
_FILTER = {
    "source": Rule(Shape.NAME),
    "environment": Rule(Shape.ENUM),
    "run_id": Rule(Shape.ID),
    "strategy": Rule(Shape.NAME),
    "symbol": Rule(Shape.NAME),
    "signal_id": Rule(Shape.ID),
    "start_time": Rule(Shape.TIME),
    "end_time": Rule(Shape.TIME),
    "known_at_time": Rule(Shape.TIME),
}
_STATS = {
    "source": Rule(Shape.NAME),
    "environment": Rule(Shape.ENUM),
    "run_id": Rule(Shape.ID),
}
_REJECTED = {"source": Rule(Shape.NAME), "producer_id": Rule(Shape.UUID)}
_OPEN = {"producer_id": Rule(Shape.UUID, required=True), "source": Rule(Shape.NAME, required=True)}
_LOST = {"reason": Rule(Shape.ENUM, required=True)}


def event_filter(wanted: event_service_pb2.EventFilter, path: str) -> EventFilter:
    """The filter. Raises InvalidRequest that names the field."""
    found = list(violations(wanted, _FILTER, path))
    if len(wanted.kinds) > KINDS_MAX:
        found.append(Violation(f"{path}kinds", f"has {len(wanted.kinds)} entries; 32 are allowed"))
    known = event_pb2.EventKind.values()
    for index, kind in enumerate(wanted.kinds[:KINDS_MAX]):
        if kind not in known or kind == event_pb2.EVENT_KIND_UNSPECIFIED:
            found.append(Violation(f"{path}kinds[{index}]", f"{kind} is no value of EventKind"))
    _raise(found)
    return EventFilter(
        kinds=tuple(sorted(set(wanted.kinds))),
        source=wanted.source or None,
        environment=wanted.environment or None,
        run_id=wanted.run_id or None,
        strategy=wanted.strategy or None,
        symbol=wanted.symbol or None,
        signal_id=wanted.signal_id or None,
        start_time_ns=_time(wanted, "start_time"),
        end_time_ns=_time(wanted, "end_time"),
        known_at_ns=_time(wanted, "known_at_time"),
    )


def event_order(order: int) -> EventOrder:
    """The order; unset = by sequence. Raises InvalidRequest."""
    if order not in event_service_pb2.EventOrder.values():
        raise InvalidRequest(Violation("order", f"{order} is no value of EventOrder"))
    return EventOrder(order or EventOrder.SEQUENCE)


def page_size(wanted: int, default: int, limit: int) -> int:
    """The page size, coerced into 1..limit; 0 = the default. Raises InvalidRequest below 0."""
    if wanted < 0:
        raise InvalidRequest(Violation("page_size", f"must not be negative, is {wanted}"))
    return min(wanted or default, limit)


def page_token(query: Message, log_id: str, position: tuple[int, ...] | None) -> str:
    """An opaque token of `position`, good for the same query on the same log; empty for None."""
    if position is None:
        return ""
    words = json.dumps([_digest(query, log_id), *position]).encode()
    return base64.urlsafe_b64encode(words).decode().rstrip("=")


def page_position(query: Message, log_id: str, token: str, length: int) -> tuple[int, ...] | None:
    """The position in a token of `page_token`, None for an empty one. Raises InvalidRequest when
    it is damaged or belongs to another query or log."""
    if not token:
        return None
    wrong = InvalidRequest(
        Violation("page_token", "is damaged, or belongs to another filter, order or log")
    )
    if len(token) > 200:
        raise wrong
    try:
        words = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        digest, *position = json.loads(words)
    except (ValueError, TypeError) as error:
        raise wrong from error
    whole = all(type(part) is int and abs(part) < 1 << 63 for part in position)
    if digest != _digest(query, log_id) or len(position) != length or not whole:
        raise wrong
    return tuple(position)


def uuid_bytes(words: str, field: str) -> bytes:
    """The UUID's 16 bytes. Raises InvalidRequest that names `field`."""
    if not is_uuid(words):
        raise InvalidRequest(Violation(field, f"{words[:80]!r} is no lower-case UUID"))
    return bytes.fromhex(words.replace("-", ""))


def checked_stats(request: event_service_pb2.GetStatsRequest) -> None:
    """Raises InvalidRequest when a field is wrong."""
    _raise(list(violations(request, _STATS, "")))


def checked_rejected(request: event_service_pb2.ListRejectedEventsRequest) -> None:
    """Raises InvalidRequest when a field is wrong."""
    _raise(list(violations(request, _REJECTED, "")))


def checked_open(opening: event_service_pb2.Open) -> None:
    """Raises InvalidRequest when a field is wrong."""
    found = list(violations(opening, _OPEN, "open."))
    if not 1 <= opening.producer_epoch < 1 << 62:
        found.append(Violation("open.producer_epoch", "starts at 1"))
    found += [
        Violation(f"open.client_info.{name}", "256 characters are allowed")
        for name in ("name", "version", "runtime", "host")
        if len(getattr(opening.client_info, name)) > 256
    ]
    _raise(found)


def checked_lost(lost: event_service_pb2.Lost) -> None:
    """Raises InvalidRequest when a field is wrong."""
    found = list(violations(lost, _LOST, "lost."))
    if lost.first_seq < 1:
        found.append(Violation("lost.first_seq", "numbers start at 1"))
    if not lost.first_seq <= lost.last_seq < 1 << 62:
        found.append(Violation("lost.last_seq", "must not lie below first_seq"))
    _raise(found)


def _digest(query: Message, log_id: str) -> str:
    words = query.SerializeToString(deterministic=True) + log_id.encode()
    return hashlib.blake2b(words, digest_size=9).hexdigest()


def _time(message: Any, name: str) -> int | None:
    return to_ns(getattr(message, name)) if message.HasField(name) else None


def _raise(found: list[Violation]) -> None:
    if found:
        raise InvalidRequest(*found[:16])
