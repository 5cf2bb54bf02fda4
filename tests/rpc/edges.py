"""Every field of every payload at every edge of its type: one fault in an otherwise full event."""

import math
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tests.rpc.samples import RECENT_S, an_event
from trimtab.v1 import event_pb2 as ev
from trimtab_server.rpc.rules import PAYLOADS, Rule, Shape

_NUMBERS = (0.0, -0.0, 1.0, math.nextafter(1, 2), 2.0, -1.0, -5e-324, 5e-324, 1.7e308)
_SPANS = [
    (seconds, nanos)
    for seconds in (-(2**63), -1, 0, 1, RECENT_S, 7_258_118_400, 2**63 - 1)
    for nanos in (-1, 0, 1, 999_999_999, 10**9)
]
_EDGES: dict[int, tuple[Any, ...]] = {
    FieldDescriptor.CPPTYPE_DOUBLE: (*_NUMBERS, math.inf, -math.inf, math.nan),
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), -1, 0, 1, 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), -1, 0, 1, 2**63 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-1, *range(20), 2**31 - 1),
    FieldDescriptor.CPPTYPE_BOOL: (False, True),
    FieldDescriptor.CPPTYPE_STRING: (
        *("", "\x00", "a\nb", "\x7f", "\x9f", "\u2028", "\u202e", "é", "😀" * 16),
        *("x" * n for n in (16, 17, 63, 64, 65, 128, 129, 1_024, 1_025, 4_096, 4_097)),
    ),
}
_KEYS = ("", "k" * 64, "k" * 65, "a\x00", "\u202e", "😀")


def full_event(kind: str) -> ev.Event:
    """A valid event of a kind with every field of its payload set, each plainly."""
    event = an_event(kind)
    payload = getattr(event, kind)
    _fill(payload, PAYLOADS[payload.DESCRIPTOR.name])
    return event


def _fill(message: Any, table: dict[str, Rule]) -> None:
    for name, rule in table.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        value = getattr(message, name)
        if rule.shape is Shape.NUMBERS:
            value["k"] = 1.0
        elif rule.shape is Shape.MESSAGE:
            part = (value[0] if value else value.add()) if field.is_repeated else value
            part.SetInParent()
            _fill(part, PAYLOADS[part.DESCRIPTOR.name])
        elif field.message_type is not None:
            value.seconds = RECENT_S if rule.shape is Shape.TIME else 60
        elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            setattr(message, name, value or "a")
        else:
            setattr(message, name, value or 1)


def events_at_edges(kind: str) -> Iterator[tuple[str, ev.Event]]:
    """A name and an event for each field of the kind's payload, at any depth, and each edge."""
    base = full_event(kind)
    payload = getattr(base, kind)
    for path in _paths(payload, kind):
        for edge in _edges_of(_at(base, path[:-1]), path[-1]):
            event = ev.Event()
            event.CopyFrom(base)
            _put(_at(event, path[:-1]), path[-1], edge)
            yield f"{'.'.join(path)} = {str(edge)[:40]!r}", event


def _paths(message: Message, *prefix: str) -> Iterator[tuple[str, ...]]:
    for name, rule in PAYLOADS[message.DESCRIPTOR.name].items():
        yield (*prefix, name)
        if rule.shape is Shape.MESSAGE:
            yield from _paths(_part(message, name), *prefix, name)


def _part(message: Message, name: str) -> Any:
    """An empty message of a field's type."""
    inner = message.DESCRIPTOR.fields_by_name[name].message_type
    assert inner is not None
    return getattr(ev, inner.name)()


def _at(message: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        part = getattr(message, name)
        message = part[0] if message.DESCRIPTOR.fields_by_name[name].is_repeated else part
    return message


def _edges_of(message: Message, name: str) -> Iterator[Any]:
    field = message.DESCRIPTOR.fields_by_name[name]
    rule = PAYLOADS[message.DESCRIPTOR.name][name]
    yield None
    if rule.shape is Shape.NUMBERS:
        yield from ({key: 1.0} for key in _KEYS)
        yield from ({"k": edge} for edge in _EDGES[FieldDescriptor.CPPTYPE_DOUBLE])
        yield from ({f"k{i}": 1.0 for i in range(count)} for count in (255, 256))
    elif rule.shape is Shape.MESSAGE:
        if field.is_repeated:
            yield [getattr(message, name)[0]] * rule.entries_max
        yield _part(message, name) if not field.is_repeated else []
    elif field.message_type is not None:
        make = Timestamp if rule.shape is Shape.TIME else Duration
        yield from (make(seconds=seconds, nanos=nanos) for seconds, nanos in _SPANS)
    else:
        yield from _EDGES[field.cpp_type]


def _put(message: Any, name: str, edge: Any) -> None:
    if edge is None:
        message.ClearField(name)
    elif isinstance(edge, dict):
        getattr(message, name).update(edge)
    elif isinstance(edge, list):
        getattr(message, name).extend(edge)
    elif isinstance(edge, Message):
        getattr(message, name).CopyFrom(edge)
    else:
        setattr(message, name, edge)
