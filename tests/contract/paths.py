"""Paths into an Event, such as `signal.indicator_values[rsi]`: read, set, and looked up.

Times and durations are integers of nanoseconds here, enum values are names, absent is None.
"""

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from trimtab.v1 import event_pb2

_PART = re.compile(r"^(\w+)(?:\[(\w+)\])?$")
_TIMES = {"google.protobuf.Timestamp", "google.protobuf.Duration"}
_NAMES = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
}


def _parts(path: str) -> Iterator[tuple[str, str | None]]:
    for part in path.split("."):
        match = _PART.match(part)
        if match is None:
            raise KeyError(f"{part!r} of {path!r} is no field, map entry or list entry")
        yield match[1], match[2]


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and bool(kind.GetOptions().map_entry)


def type_of_path(path: str) -> str:
    """The type of a contract field by its path in Event. Raises KeyError when there is none."""
    # Any: protobuf has two descriptor classes, in Python and in C, and the stubs name both.
    descriptor: Any = event_pb2.Event.DESCRIPTOR
    name = ""
    for part, key in _parts(path):
        if descriptor is None or part not in descriptor.fields_by_name:
            raise KeyError(f"the contract has no {part!r} in {path!r}")
        field = descriptor.fields_by_name[part]
        if (key is not None) != field.is_repeated and not (_is_map(field) and key is None):
            raise KeyError(f"{part!r} of {path!r}: a key belongs to maps and lists")
        if _is_map(field) and key is None:
            entry = descriptor.fields_by_name[part].message_type.fields_by_name
            return f"map<{_NAMES[entry['key'].type]}, {_NAMES[entry['value'].type]}>"
        if _is_map(field):
            field = descriptor.fields_by_name[part].message_type.fields_by_name["value"]
        descriptor = field.message_type
        owner = field.message_type or field.enum_type
        name = owner.name if owner is not None else _NAMES[field.type]
    return name


def set_path(event: Message, path: str, value: Any) -> None:
    """Sets a field, making the messages on the way."""
    *outer, (last, key) = list(_parts(path))
    message: Any = event
    for name, index in outer:
        message = getattr(message, name)
        if index is not None:
            while len(message) <= int(index):
                message.add()
            message = message[int(index)]
    field = message.DESCRIPTOR.fields_by_name[last]
    if key is not None:
        getattr(message, last)[key] = value
    elif _is_map(field):
        getattr(message, last).update(value)
    elif field.message_type is not None and field.message_type.full_name in _TIMES:
        part = getattr(message, last)
        part.seconds, part.nanos = divmod(value, 10**9)
    elif field.enum_type is not None:
        setattr(message, last, field.enum_type.values_by_name[value].number)
    else:
        setattr(message, last, value)


def get_path(event: Message, path: str) -> Any:
    """Reads a field; None when it, or a message on the way, is absent."""
    *outer, (last, key) = list(_parts(path))
    message: Any = event
    for name, index in outer:
        if index is not None:
            entries = getattr(message, name)
            if len(entries) <= int(index):
                return None
            message = entries[int(index)]
        elif not message.HasField(name):
            return None
        else:
            message = getattr(message, name)
    field = message.DESCRIPTOR.fields_by_name[last]
    value = getattr(message, last)
    if key is not None:
        return value.get(key)
    if _is_map(field):
        return dict(value) or None
    if field.has_presence and not message.HasField(last):
        return None
    if field.message_type is not None:
        return value.seconds * 10**9 + value.nanos
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name if value else None
    return None if value == "" else value
