"""What a disk may hold after the power failed: images, rebuilt from the journal of `disk.py`.

On the disk is for certain what was written before a sync began that returned. Of everything later,
any part may be there: whole writes, single sectors of them, in any order, or nothing. A file that
was made since its folder's last sync may be gone, and one that was removed may be back.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SECTOR_BYTES = 512
SUFFIXES = ("", "-wal", "-journal")
_FOLDER = 3
_HEAD = struct.Struct("<4q")


class Step(NamedTuple):
    """One thing that a disk was told. `end`: where the journal ends with it."""

    kind: str
    file: int
    offset: int
    data: bytes
    start: int
    end: int


@dataclass
class _Content:
    """A file's bytes as they are on the disk for certain, and what was told since."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Step] = field(default_factory=list)


class _Naming(NamedTuple):
    """What a name in the folder stood for from a place in the journal on; None = no file."""

    since: int
    content: _Content | None


def steps(journal: bytes) -> Iterator[Step]:
    """The journal, read. What a kill cut off at its end is left out."""
    place = 0
    while place + _HEAD.size <= len(journal):
        kind, file, offset, length = _HEAD.unpack_from(journal, place)
        start, data = place, journal[place + _HEAD.size : place + _HEAD.size + length]
        place += _HEAD.size + length
        if len(data) < length:
            return
        yield Step(chr(kind), file, offset, data, start, place)


class DiskModel:
    """The disk while the journal is followed; images may be drawn at any point of it."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        # By file: what its name certainly stood for at the folder's last sync, and ever since.
        self._names = [[_Naming(0, None)] for _ in SUFFIXES]

    def follow(self, step: Step) -> None:
        """Takes the next step of the journal."""
        if step.file == _FOLDER:
            if step.kind == "S":
                self._sync_folder(step.offset)
        elif step.kind == "U":
            self._names[step.file].append(_Naming(step.end, None))
        elif step.kind in "WT":
            self._content(step).pending.append(step)
        else:
            self._sync(self._content(step), step)

    def image(self, database: Path) -> None:
        """Writes one of the images that a power failure now may leave, as `database` and the files
        beside it."""
        for suffix, names in zip(SUFFIXES, self._names, strict=True):
            found = self._rng.choice(names).content
            if found is not None:
                content = bytearray(found.durable)
                for step in found.pending:
                    self._apply_perhaps(content, step)
                database.with_name(database.name + suffix).write_bytes(content)

    def _content(self, step: Step) -> _Content:
        """The bytes that a step is about; its first step makes a file."""
        names = self._names[step.file]
        content = names[-1].content
        if content is None:
            content = _Content()
            names.append(_Naming(step.end, content))
        return content

    def _sync_folder(self, journal_bytes: int) -> None:
        for names in self._names:
            certain = [name for name in names if name.since <= journal_bytes]
            del names[: len(certain) - 1]

    def _sync(self, content: _Content, step: Step) -> None:
        """What was told before the sync began is on the disk; after one that failed the kernel
        takes it for written, and some of it never is."""
        before = [each for each in content.pending if each.end <= step.offset]
        rest = content.pending[len(before) :]
        if step.kind == "S":
            for each in before:
                _apply(content.durable, each)
            content.pending = rest
        else:
            content.pending = [each for each in before if self._coin()] + rest

    def _apply_perhaps(self, content: bytearray, step: Step) -> None:
        chance = self._rng.random()
        if chance < 0.4:
            _apply(content, step)
        elif chance < 0.7 and step.kind == "W":
            end = step.offset + len(step.data)
            first = step.offset - step.offset % SECTOR_BYTES
            for sector in range(first, end, SECTOR_BYTES):
                if self._coin():
                    offset = max(sector, step.offset)
                    part = step.data[offset - step.offset : sector + SECTOR_BYTES - step.offset]
                    _apply(content, step._replace(offset=offset, data=part))

    def _coin(self) -> bool:
        return self._rng.random() < 0.5


def _apply(content: bytearray, step: Step) -> None:
    if step.kind == "T":
        del content[step.offset :]
        content.extend(bytes(step.offset - len(content)))
    else:
        content.extend(bytes(max(0, step.offset - len(content))))
        content[step.offset : step.offset + len(step.data)] = step.data
