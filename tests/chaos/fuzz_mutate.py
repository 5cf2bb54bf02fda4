"""Valid messages in, broken ones out: every field at odd values, and bytes that break the wire."""

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_INT32, _INT64 = 2**31, 2**63
_NUMBERS = (0.0, -0.0, 1.0, -1.0, 5e-324, 1.7e308, -1.7e308, math.inf, -math.inf, math.nan)
_WORDS = (
    *("", " ", "\x00", "a\x00b", "\n", "\x7f", "\u2028", "\u202e", "\ufffe", "é", "😀" * 16),
    *("x" * n for n in (64, 65, 128, 129, 1_025, 70_000)),
    *("00000000-0000-4000-8000-000000000000", "%s%n", "'; DROP TABLE events; --", "../../etc"),
)
_ODD: dict[int, tuple[Any, ...]] = {
    FieldDescriptor.CPPTYPE_DOUBLE: _NUMBERS,
    FieldDescriptor.CPPTYPE_FLOAT: _NUMBERS,
    FieldDescriptor.CPPTYPE_INT32: (-_INT32, -1, 0, 1, 65_536, _INT32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-_INT64, -1, 0, 1, 2**53 + 1, 2**62, _INT64 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 1, 2 * _INT32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 1, 2 * _INT64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-_INT32, -1, *range(20), _INT32 - 1),
    FieldDescriptor.CPPTYPE_BOOL: (False, True),
}
# Cannot stand in a valid message, and has the length of the bytes that replace it.
_MARK = b"\x01MARK\x02\x03\x04"
_NO_UTF8 = b"\xc3\x28\xff\xfe\xf0\x28\x8c\x28"
_REPEATS = (2, 3, 33, 300)
_DEPTHS = (5, 99, 101, 10_000)
_BYTES_MAX = 1 << 20


def mutated(message: Message, rng: random.Random) -> bytes:
    """The message with one to three faults, in its fields, on the wire, or both; `message` too is
    changed. At most 1 MiB and a few bytes."""
    kind = rng.random()
    if kind < 0.02:
        return rng.randbytes(rng.choice((0, 1, 2, 7, 100, 5_000)))
    if kind < 0.65:
        mutate_fields(message, rng)
    if rng.random() < 0.05:
        return _without_utf8(message, rng)
    made = message.SerializeToString()
    if kind >= 0.55:
        for _ in range(rng.randint(1, 3)):
            made = rng.choice(_WIRE)(made, message, rng)
    return made[:_BYTES_MAX]


def mutate_fields(message: Message, rng: random.Random) -> None:
    """Puts odd values into one to three fields of the message; it still serialises."""
    for _ in range(rng.randint(1, 3)):
        _mutate_field(message, rng)


# -- in the fields ------------------------------------------------------------------------------


def _parts(message: Message) -> Iterator[Message]:
    """The message and every message inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for part in value if field.is_repeated else (value,):
            yield from _parts(part)


def _mutate_field(message: Message, rng: random.Random) -> None:
    part: Any = rng.choice(list(_parts(message)))
    if not part.DESCRIPTOR.fields:
        return
    field = rng.choice(part.DESCRIPTOR.fields)
    if rng.random() < 0.15:
        part.ClearField(field.name)
    elif field.message_type is not None and field.message_type.GetOptions().map_entry:
        _mutate_map(getattr(part, field.name), field.message_type, rng)
    elif field.is_repeated:
        _mutate_list(getattr(part, field.name), field, rng)
    elif field.message_type is not None:
        inner = getattr(part, field.name)
        inner.SetInParent()
        for name in ("seconds", "nanos"):
            if name in inner.DESCRIPTOR.fields_by_name:
                setattr(inner, name, _odd_value(inner.DESCRIPTOR.fields_by_name[name], rng))
    else:
        setattr(part, field.name, _odd_value(field, rng))


def _mutate_map(entries: Any, entry: Any, rng: random.Random) -> None:
    key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
    for number in range(rng.choice((1, 2, 300))):
        odd = _odd_value(key, rng)
        entries[odd if number < 2 else f"{odd[:60]}{number}"] = _odd_value(value, rng)


def _mutate_list(entries: Any, field: FieldDescriptor, rng: random.Random) -> None:
    if field.message_type is None:
        entries.extend(_odd_value(field, rng) for _ in range(rng.choice(_REPEATS)))
    elif not entries:
        entries.add()
    else:
        # A full event three hundred times would only be cut at the size limit.
        times = rng.choice(_REPEATS if entries[0].ByteSize() < 500 else _REPEATS[:2])
        entries.extend([entries[0]] * times)


def _odd_value(field: FieldDescriptor, rng: random.Random) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        is_bytes = field.type == FieldDescriptor.TYPE_BYTES
        return rng.randbytes(9) if is_bytes else rng.choice(_WORDS)
    return rng.choice(_ODD[field.cpp_type])


def _without_utf8(message: Message, rng: random.Random) -> bytes:
    """The message with bytes in one of its texts that are no UTF-8."""
    texts = [
        (part, field.name)
        for part in _parts(message)
        for field in part.DESCRIPTOR.fields
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
    ]
    if not texts:
        return message.SerializeToString() + b"\x0a\x02\xff\xfe"
    part, name = rng.choice(texts)
    setattr(part, name, _MARK.decode())
    return message.SerializeToString().replace(_MARK, _NO_UTF8)


# -- on the wire --------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    """The number as the wire writes it."""
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def _a_place(made: bytes, rng: random.Random) -> int:
    return rng.randint(0, len(made))


def _truncated(made: bytes, _: Message, rng: random.Random) -> bytes:
    return made[: _a_place(made, rng)]


def _flipped(made: bytes, _: Message, rng: random.Random) -> bytes:
    changed = bytearray(made)
    for _n in range(rng.randint(1, 4) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _inserted(made: bytes, _: Message, rng: random.Random) -> bytes:
    place = _a_place(made, rng)
    return made[:place] + rng.randbytes(rng.choice((1, 2, 16))) + made[place:]


def _cut_out(made: bytes, _: Message, rng: random.Random) -> bytes:
    start, end = sorted((_a_place(made, rng), _a_place(made, rng)))
    return made[:start] + made[end:]


def _doubled(made: bytes, _: Message, rng: random.Random) -> bytes:
    start, end = sorted((_a_place(made, rng), _a_place(made, rng)))
    return made[:end] + made[start:end] + made[end:]


def _other_wire_type(made: bytes, message: Message, rng: random.Random) -> bytes:
    """A field that exists, under each of the eight wire types."""
    numbers = [field.number for field in message.DESCRIPTOR.fields] or [1]
    tag = varint(rng.choice(numbers) << 3 | rng.randrange(8))
    return made + tag + rng.choice((b"", b"\x01", b"\x02ab", bytes(4), bytes(8), b"\xff" * 11))


def _unknown(made: bytes, _: Message, rng: random.Random) -> bytes:
    """A field that does not exist; 0 and those from 19,000 are forbidden as well."""
    tag = varint(rng.choice((0, 99, 1_000, 19_000, 2**29 - 1, 2**29, 2**32)) << 3 | 2)
    return tag + b"\x03abc" + made


def _wrong_length(made: bytes, message: Message, rng: random.Random) -> bytes:
    numbers = [field.number for field in message.DESCRIPTOR.fields] or [1]
    length = rng.choice((1, 127, 2**14, 2**31 - 1, 2**31, 2**32, 2**63, 2**64 - 1))
    return made + varint(rng.choice(numbers) << 3 | 2) + varint(length) + b"abc"


def _nested(made: bytes, message: Message, rng: random.Random) -> bytes:
    """A field inside itself, many times; as groups, which are not counted by length, too."""
    number = rng.choice([field.number for field in message.DESCRIPTOR.fields] or [1])
    depth = rng.choice(_DEPTHS)
    if rng.random() < 0.5:
        return made + varint(number << 3 | 3) * depth + varint(number << 3 | 4) * depth
    inner = b""
    for _ in range(min(depth, 2_000)):
        inner = varint(number << 3 | 2) + varint(len(inner)) + inner
    return made + inner


def _tripled(made: bytes, _: Message, _rng: random.Random) -> bytes:
    """The same message merged with itself: lists grow, the last of a oneof wins."""
    return made * 3 if len(made) < _BYTES_MAX // 3 else made


_Fault = Callable[[bytes, Message, random.Random], bytes]
_WIRE: tuple[_Fault, ...] = (
    *(_truncated, _flipped, _inserted, _cut_out, _doubled, _other_wire_type),
    *(_unknown, _wrong_length, _nested, _tripled),
)
