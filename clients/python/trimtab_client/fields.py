"""Writing fields of a message, with errors that name the field: protobuf's own do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration

_NS = 1_000_000_000
_TYPE_WORDS = {
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_INT32: "an int",
    FieldDescriptor.CPPTYPE_INT64: "an int",
    FieldDescriptor.CPPTYPE_UINT32: "an int",
    FieldDescriptor.CPPTYPE_UINT64: "an int",
    FieldDescriptor.CPPTYPE_BOOL: "a bool",
    FieldDescriptor.CPPTYPE_STRING: "text",
}


def set_duration(target: Duration, duration_s: float, field: str = "a duration") -> None:
    """Writes `duration_s` (seconds) into `target`. ValueError when it is not finite, TypeError when
    it is no number; both name `field`."""
    try:
        finite = -1e11 < duration_s < 1e11  # false for NaN too; a protobuf Duration ends at 3e11
    except TypeError:
        raise TypeError(
            f"{field}: must be a number of seconds, not {type(duration_s).__name__}"
        ) from None
    if not finite:
        raise ValueError(f"{field} must be finite seconds, not {duration_s!r}")
    whole = int(duration_s)
    nanos = round((duration_s - whole) * 1e9)
    if abs(nanos) >= _NS:
        whole, nanos = whole + (1 if nanos > 0 else -1), 0
    target.seconds = whole
    target.nanos = nanos


def set_given(target: Any, fields: tuple[tuple[str, Any], ...]) -> None:
    """Sets each named field whose value is not None. TypeError naming the field of a wrong type."""
    for name, value in fields:
        if value is not None:
            set_needed(target, name, value)


def set_needed(target: Any, name: str, value: object) -> None:
    """Sets one field, which must not be None. TypeError naming a field of a wrong type."""
    try:
        setattr(target, name, value)
    except TypeError:
        raise wrong_type(target, name, value) from None


def set_numbers(target: Any, field: str, numbers: Mapping[Any, Any]) -> None:
    """Fills a map of numbers. TypeError naming the entry that is none, e.g. `features['rsi']`."""
    try:
        getattr(target, field).update(numbers)
    except (TypeError, AttributeError):
        for key, value in dict(numbers).items():
            if not isinstance(key, str):
                raise TypeError(f"{field}: keys must be text, not {type(key).__name__}") from None
            if not isinstance(value, int | float):
                told = type(value).__name__
                raise TypeError(f"{field}[{key!r}]: must be a number, not {told}") from None
        raise


def wrong_type(target: Any, name: str, value: object) -> TypeError:
    """The error for a field of `target` that does not take `value`."""
    field = target.DESCRIPTOR.fields_by_name[name]
    wanted = _TYPE_WORDS.get(field.cpp_type, "something else")
    return TypeError(f"{name}: must be {wanted}, not {type(value).__name__}")
