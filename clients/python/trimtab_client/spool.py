"""The spool on disk: one folder per recorder, its lock, its meta file and its segments. No threads.

    SPOOL_DIR/PRODUCER_ID/meta                      json: who wrote it, replaced as a whole
                          lock                      held (flock) by the process that owns the folder
                          00000000000000000001.seg  records, named by the number of the first

Numbers here count what one recorder accepted, from 1. On the wire they are lower by `Meta.offset`,
which is above 0 only after the stream had to take a new producer id.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from trimtab_client.spool_frames import HEADER_BYTES, frame
from trimtab_client.spool_segments import Segment, segments_in

DIRECTORY_VARIABLE = "TRIMTAB_SPOOL_DIR"
_FORMAT = 1
_SEGMENT_BYTES_MAX = 4 * 1024 * 1024
# What one write(2) carries at most when many events are moved at once.
_WRITE_BYTES = 256 * 1024
# How long somebody who looks whether a folder is held may hold it.
_LOOK_S = 0.02


class SpoolFull(OSError):
    """The cap on the spool's size is reached."""


class SpoolTaken(Exception):
    """Another process holds the folder, or has just finished with it."""


@dataclass(frozen=True, slots=True)
class Meta:
    """Who wrote a folder. offset: number in the folder minus number on the wire."""

    source: str
    producer_id: str
    epoch: int
    offset: int = 0
    format: int = _FORMAT


def default_directory() -> Path:
    """$TRIMTAB_SPOOL_DIR, else $XDG_STATE_HOME/trimtab/spool, else ~/.local/state/trimtab/spool."""
    told = os.environ.get(DIRECTORY_VARIABLE)
    if told:
        return Path(told)
    state = os.environ.get("XDG_STATE_HOME")
    base = Path(state) if state else Path("~/.local/state").expanduser()
    return base / "trimtab" / "spool"


def read_meta(path: Path) -> Meta | None:
    """What a folder's meta file says; None when it says nothing that this version understands."""
    try:
        found = json.loads((path / "meta").read_text("utf-8"))
        meta = Meta(**found)
        uuid.UUID(meta.producer_id)
        numbers = (meta.epoch, meta.offset, meta.format)
        whole = all(type(each) is int for each in numbers) and isinstance(meta.source, str)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return meta if whole and meta.format == _FORMAT and meta.epoch >= 1 else None


def folders_in(root: Path) -> list[Path]:
    """Spool folders, oldest first; none where the directory does not exist or cannot be read."""
    found: list[tuple[int, Path]] = []
    for path in paths_in(root):
        # A folder is made under a name with a dot, and renamed when it is complete.
        if not path.name.startswith("."):
            with contextlib.suppress(OSError):  # none, or its owner removes it just now
                found.append((_made_ns(path), path))
    return [path for _, path in sorted(found)]


def paths_in(root: Path) -> list[Path]:
    """What lies in a directory; nothing where it does not exist or cannot be read."""
    try:
        return list(root.iterdir())
    except OSError:
        return []


def _made_ns(path: Path) -> int:
    """When a spool folder was made. Raises OSError when it is none."""
    try:
        return (path / "lock").stat().st_mtime_ns
    except PermissionError:
        # Another user's: it is listed, and whoever opens it says why that fails.
        return path.stat().st_mtime_ns


def bytes_in(root: Path, source: str, *, but: Path | None = None) -> int:
    """Bytes of all segments that one source has below `root`, without those of one folder."""
    total = 0
    for path in folders_in(root):
        meta = read_meta(path)
        if path != but and meta is not None and meta.source == source:
            with contextlib.suppress(OSError):
                total += sum(segment.size for segment in segments_in(path))
    return total


class SpoolFolder:
    """A folder that this process holds. Use `create` or `adopt`.

    One thread at a time appends and one at a time does the rest; the two may be different threads.
    Every method raises OSError when the disk refuses.
    """

    def __init__(self, path: Path, meta: Meta, lock_fd: int, bytes_max: int) -> None:
        self.path = path
        self.meta = meta
        # A new folder holds nothing: then the next number is whatever comes first.
        self.next_number = 1
        self.segments: list[Segment] = segments_in(path)
        self._bytes_max = bytes_max
        self._others_bytes: int | None = None
        self._segment_bytes = max(4_096, min(_SEGMENT_BYTES_MAX, bytes_max // 16))
        self._lock_fd = lock_fd
        self._fd = -1
        # Files that were written to and closed for writing since the last sync.
        self._finished: list[int] = []
        self._names_changed = True
        self._is_dirty = False

    @classmethod
    def create(cls, root: Path, meta: Meta, bytes_max: int) -> SpoolFolder:
        """A new, empty folder, held by this process. Not synced yet, see `sync`."""
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        making = root / f".{meta.producer_id}-{uuid.uuid4().hex[:8]}"
        making.mkdir(mode=0o700)
        (making / "lock").touch(mode=0o600)
        lock_fd = locked(making)
        path = root / meta.producer_id
        try:
            _write_meta(making, meta, sync=False)
            making.rename(path)
        except OSError:
            os.close(lock_fd)
            shutil.rmtree(making, ignore_errors=True)
            raise
        return cls(path, meta, lock_fd, bytes_max)

    @classmethod
    def adopt(cls, path: Path, bytes_max: int) -> SpoolFolder:
        """An orphaned folder. Raises SpoolTaken, or ValueError when its meta is unreadable."""
        try:
            lock_fd = locked(path)
        except SpoolTaken:
            # Maybe by `is_held`, for a moment; an owner still has it after that.
            time.sleep(_LOOK_S)
            lock_fd = locked(path)
        try:
            meta = read_meta(path)
            if meta is not None:
                return cls(path, meta, lock_fd, bytes_max)
            is_over = [each.name for each in path.iterdir()] == ["lock"]
            if is_over:
                _remove_lock(path)  # its owner ended in the middle of `remove`
        except BaseException:
            os.close(lock_fd)
            raise
        os.close(lock_fd)
        if is_over:
            raise SpoolTaken(str(path))
        raise ValueError(f"{path / 'meta'}: unreadable, or of another version")

    @property
    def byte_count(self) -> int:
        """Bytes of its segments."""
        return sum(segment.size for segment in tuple(self.segments))

    @property
    def is_dirty(self) -> bool:
        """Whether something was written that no sync has followed."""
        return self._is_dirty or self._names_changed or bool(self._finished)

    # -- writing ------------------------------------------------------------------------------

    def restart(self, number: int) -> None:
        """Drops everything; the next record has this number."""
        self._finish_segment()
        self.drop_below(number)
        self.next_number = number

    def append(self, events: Sequence[bytes]) -> None:
        """Writes the events; `next_number` tells how far that went, also where it raises."""
        for batch in _batches(events, min(_WRITE_BYTES, self._segment_bytes)):
            number = self.next_number
            frames = [frame(number + i, event) for i, event in enumerate(batch)]
            self._write(b"".join(frames), number)
            self.next_number = number + len(batch)

    def append_one(self, event: bytes) -> None:
        """Writes one event: one write(2), no sync."""
        number = self.next_number
        self._write(frame(number, event), number)
        self.next_number = number + 1

    def _write(self, data: bytes, number: int) -> None:
        self._check_held()
        segments = self.segments
        if self._fd < 0 or segments[-1].size + len(data) > self._segment_bytes:
            self._begin_segment(number, len(data))
        segment = segments[-1]
        written = os.write(self._fd, data)
        self._is_dirty = True
        if written != len(data):
            # A disk that is full takes a part. What is behind the last whole record goes again.
            os.ftruncate(self._fd, segment.size)
            raise OSError(errno.ENOSPC, "the disk took only a part of a record")
        segment.size += written

    def _begin_segment(self, number: int, byte_count: int) -> None:
        if self._others_bytes is None:
            self.count_others()
        held = self.byte_count + (self._others_bytes or 0)
        if held + max(self._segment_bytes, byte_count) > self._bytes_max:
            raise SpoolFull(
                errno.EDQUOT, f"the spool of this source holds its {self._bytes_max:,} bytes"
            )
        self._finish_segment()
        segment = Segment.at(self.path, number)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(segment.path, flags, 0o600)
        self.segments.append(segment)
        self._names_changed = True

    def count_others(self) -> None:
        """Looks how much of the cap the source's other folders take: that reads every folder, so it
        is kept until the next look."""
        self._others_bytes = bytes_in(self.path.parent, self.meta.source, but=self.path)

    def _check_held(self) -> None:
        if self._lock_fd < 0:
            raise OSError(errno.EBADF, "the spool folder was let go", str(self.path))

    def _finish_segment(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._finished.append(fd)
            self._is_dirty = False

    def sync(self) -> None:
        """Everything written so far survives a power loss when this returns."""
        # Flags first: what is written from here on sets them again. The open segment before the
        # finished ones: whoever appends may finish it meanwhile; only this thread closes it.
        if self._is_dirty:
            self._is_dirty = False
            fd = self._fd
            try:
                if fd >= 0:
                    os.fsync(fd)
            except OSError:
                self._is_dirty = True
                raise
        while self._finished:
            os.fsync(self._finished[0])
            os.close(self._finished.pop(0))
        if self._names_changed:
            self._names_changed = False
            try:
                for path in (self.path / "meta", self.path, self.path.parent):
                    _sync_path(path)
            except OSError:
                self._names_changed = True
                raise

    def replace_meta(self, meta: Meta) -> None:
        """Replaces who wrote it, as a whole, synced."""
        self._check_held()
        _write_meta(self.path, meta, sync=True)
        self.meta = meta

    # -- removing -----------------------------------------------------------------------------

    def has_below(self, number: int) -> bool:
        """Whether the first segment holds only numbers below this one and is not written to."""
        count = len(self.segments)
        if count > 1:
            return self.segments[1].first <= number
        return count == 1 and self._fd < 0 and self.next_number <= number

    def drop_below(self, number: int) -> None:
        """Deletes segments that hold only numbers below this one and are not written to."""
        while self.has_below(number):
            self.segments[0].path.unlink(missing_ok=True)
            self.segments.pop(0)

    def remove(self) -> None:
        """Deletes the folder and lets go of it."""
        # In this order, so that after a crash in between it can still be adopted.
        for name in (*(segment.path.name for segment in self.segments), "meta.new", "meta"):
            (self.path / name).unlink(missing_ok=True)
        _remove_lock(self.path)
        self.segments.clear()
        self.release()

    def release(self) -> None:
        """Lets go of the folder: from now on it is an orphan."""
        self._finish_segment()
        while self._finished:
            os.close(self._finished.pop())
        lock_fd, self._lock_fd = self._lock_fd, -1
        if lock_fd >= 0:
            os.close(lock_fd)

    def forget(self) -> None:
        """Child of a fork: closes its copies, so that the lock ends with the parent."""
        with contextlib.suppress(OSError):
            self.release()


def locked(path: Path) -> int:
    """The descriptor of a folder's lock file, locked. Raises SpoolTaken."""
    lock_path = path / "lock"
    try:
        fd = os.open(lock_path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SpoolTaken(str(path)) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its former owner may have removed the folder between the two calls.
        if lock_path.stat().st_ino == os.fstat(fd).st_ino:
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(fd)
        raise
    os.close(fd)
    raise SpoolTaken(str(path))


def _remove_lock(path: Path) -> None:
    """Ends a folder. The lock goes last, so that whoever waits for it finds it gone."""
    (path / "lock").unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody put a file of their own there
        path.rmdir()


def is_held(path: Path) -> bool:
    """Whether a live process holds the folder. Raises OSError when that cannot be told."""
    try:
        os.close(locked(path))
    except SpoolTaken:
        return True
    return False


def _batches(events: Sequence[bytes], bytes_max: int) -> Iterator[Sequence[bytes]]:
    start = size = 0
    for end, event in enumerate(events):
        size += HEADER_BYTES + len(event)
        if size > bytes_max and end > start:
            yield events[start:end]
            start, size = end, HEADER_BYTES + len(event)
    if start < len(events):
        yield events[start:]


def _write_meta(path: Path, meta: Meta, *, sync: bool) -> None:
    new = path / "meta.new"
    new.write_text(json.dumps(asdict(meta)) + "\n", "utf-8")
    if sync:
        _sync_path(new)
    new.replace(path / "meta")
    if sync:
        _sync_path(path)


def _sync_path(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
