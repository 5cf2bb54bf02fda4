"""The segments of a spool folder, and reading them in order."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trimtab_client.spool_frames import HEADER_BYTES, parsed

_READ_BYTES = 256 * 1024


@dataclass(slots=True)
class Segment:
    """One file of records. first: number of the first; size: bytes."""

    path: Path
    first: int
    size: int

    @classmethod
    def at(cls, folder: Path, first: int) -> Segment:
        """The segment that begins with this number, empty."""
        return cls(folder / f"{first:020}.seg", first, 0)


def segments_in(folder: Path) -> list[Segment]:
    """The segments of a folder in order. Raises OSError."""
    return sorted(
        (
            Segment(path, int(path.stem), path.stat().st_size)
            for path in folder.glob("*.seg")
            if path.stem.isascii() and path.stem.isdigit()
        ),
        key=lambda segment: segment.first,
    )


class Ending(NamedTuple):
    """How a segment ends. last: its last number, damaged records included; is_torn: whether a
    record was cut off behind it, as by a crash in the middle of a write."""

    last: int
    is_torn: bool


def ending(segment: Segment) -> Ending:
    """How the last segment of a folder ends. Raises OSError."""
    data = segment.path.read_bytes()
    found = parsed(data)
    last = found.records[-1][0] if found.records else segment.first - 1
    rest = data[found.record_end :]
    if not rest:
        return Ending(last, is_torn=False)
    # Zeros are what a power loss leaves where a file had grown.
    if found.needed or len(rest) < HEADER_BYTES or not rest.strip(b"\0"):
        return Ending(last, is_torn=True)
    # A header that is damaged with nothing behind it: at least one record stood here.
    return Ending(last + 1, is_torn=False)


class Stretch(NamedTuple):
    """Consecutive events of a spool, and how many numbers right behind them are damaged."""

    events: list[bytes]
    damaged_count: int


class SpoolReader:
    """Reads the records of a list of segments in order. For one thread.

    segments: the folder's own list, which may grow at its end and shrink at its beginning.
    """

    def __init__(self, segments: list[Segment]) -> None:
        self._segments = segments
        self._fd = -1
        self._first = -1
        self._offset = 0
        # Records that were read and not handed out yet, the next one last.
        self._ahead: list[tuple[int, bytes]] = []
        self._next_number = -1

    def read(self, number: int, last: int, count_max: int, bytes_max: int) -> Stretch:
        """Events from `number` on, up to `last`, within both limits but at least one. A stretch
        ends before a damaged record; one that begins with it holds no event. Raises OSError."""
        if number != self._next_number:
            self._seek(number)
        events: list[bytes] = []
        size = damaged = 0
        while number <= last and not damaged and len(events) < max(1, count_max):
            record = self._next_record(number)
            if record is None or record[0] > number:
                damaged = (last + 1 if record is None else min(record[0], last + 1)) - number
            else:
                size += len(record[1])
                if events and size > bytes_max:
                    break
                events.append(record[1])
                self._ahead.pop()
                number += 1
        self._next_number = number + damaged
        return Stretch(events, damaged)

    def close(self) -> None:
        """Lets go of the open file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _seek(self, number: int) -> None:
        """Stands at the beginning of the segment that holds `number`."""
        self._ahead.clear()
        below = [s for s in tuple(self._segments) if s.first <= number]
        self._open(below[-1] if below else None)

    def _open(self, segment: Segment | None) -> None:
        self.close()
        self._offset = 0
        self._first = -1 if segment is None else segment.first
        if segment is not None:
            self._fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)

    def _next_record(self, number: int) -> tuple[int, bytes] | None:
        """The first intact record with at least this number; it stays the next one."""
        while True:
            while self._ahead:
                if self._ahead[-1][0] >= number:
                    return self._ahead[-1]
                self._ahead.pop()
            if not self._fill():
                return None

    def _fill(self) -> bool:
        """Reads on; False at the end of the last segment."""
        wanted = _READ_BYTES
        while self._fd >= 0:
            data = os.pread(self._fd, wanted, self._offset)
            found = parsed(data)
            self._offset += found.consumed
            if found.records:
                self._ahead = [
                    (n, event) for n, event in reversed(found.records) if event is not None
                ]
                return True
            if len(data) == wanted:
                wanted = max(_READ_BYTES, found.needed)
                continue
            break
        following = [s for s in tuple(self._segments) if s.first > self._first]
        if not following:
            return False
        self._open(following[0])
        return True
