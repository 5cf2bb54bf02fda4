"""Records of a spool file: number and event behind a header that is checked by itself.

    frame:  magic 4 | number 8 | length 4 | crc32 of the event 4 | crc32 of the header 4 | event

The header has its own checksum, so that a length can be trusted where the event behind it is
damaged, and the next record found where a header is.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

_MAGIC = b"tTs1"
_FIELDS = struct.Struct("<4sQII")
_CHECK = struct.Struct("<I")
HEADER_BYTES = _FIELDS.size + _CHECK.size


def frame(number: int, event: bytes) -> bytes:
    """One record. number: 1 to 2**63 - 1."""
    head = _FIELDS.pack(_MAGIC, number, len(event), crc32(event))
    return b"".join((head, _CHECK.pack(crc32(head)), event))


class Parsed(NamedTuple):
    """What a stretch of a spool file holds.

    records: number and event, None for an event that is damaged, in the order of the file.
    consumed: bytes that need no second look. needed: bytes from `consumed` on that the record there
    takes; 0 = unknown, its header is damaged or cut off. record_end: where the last record ends.
    """

    records: list[tuple[int, bytes | None]]
    consumed: int
    needed: int
    record_end: int


def parsed(data: bytes) -> Parsed:
    """The records of `data`, which starts at a record. Bytes that are no record are skipped."""
    records: list[tuple[int, bytes | None]] = []
    position = record_end = 0
    end = len(data)
    while position < end:
        header = _header(data, position)
        if header is None:
            found = _next_header(data, position + 1)
            if found < 0:
                # The last bytes may be the beginning of a header.
                return Parsed(records, max(position, end - HEADER_BYTES + 1), 0, record_end)
            position = found
            continue
        number, size, check = header
        start = position + HEADER_BYTES
        if start + size > end:
            return Parsed(records, position, HEADER_BYTES + size, record_end)
        event = data[start : start + size]
        records.append((number, event if crc32(event) == check else None))
        position = record_end = start + size
    return Parsed(records, position, 0, record_end)


def _header(data: bytes, position: int) -> tuple[int, int, int] | None:
    """Number, length and checksum of the event; None where no intact header stands."""
    end = position + HEADER_BYTES
    if end > len(data) or data[position : position + 4] != _MAGIC:
        return None
    (check,) = _CHECK.unpack_from(data, end - _CHECK.size)
    if crc32(data[position : end - _CHECK.size]) != check:
        return None
    _, number, size, event_check = _FIELDS.unpack_from(data, position)
    return number, size, event_check


def _next_header(data: bytes, position: int) -> int:
    """Where the next intact header stands; -1 when there is none."""
    found = data.find(_MAGIC, position)
    while found >= 0 and _header(data, found) is None:
        found = data.find(_MAGIC, found + 1)
    return found
