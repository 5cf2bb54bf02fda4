"""What the gate heard last, on disk: a halt outlives a restart of the engine.

A file is `tTg1`, the CRC-32 and the length of what follows (big-endian), then a
WatchSignalGateResponse with its snapshot.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import struct
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from google.protobuf.message import DecodeError

from trimtab.v1 import signal_gate_service_pb2
from trimtab_client.event import ENVIRONMENT

Heard = signal_gate_service_pb2.WatchSignalGateResponse

DIRECTORY_VARIABLE = "TRIMTAB_GATE_DIR"
_HEAD = struct.Struct(">4sIQ")
_MAGIC = b"tTg1"
_BYTES_MAX = 64 * 1024 * 1024
_QUOTED_CHARS_MAX = 192
_LOCK_TRIES, _LOCK_WAIT_S = 20, 0.005


class Unreadable(Exception):
    """What was heard last is there and cannot be read; it may have been a denial."""


def gate_directory(told: str | os.PathLike[str] | None = None) -> Path:
    """`told`, else $TRIMTAB_GATE_DIR, else $XDG_STATE_HOME/trimtab/gate, else
    ~/.local/state/trimtab/gate."""
    if told is not None or os.environ.get(DIRECTORY_VARIABLE):
        return Path(told or os.environ[DIRECTORY_VARIABLE])
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "trimtab" / "gate"


def file_name(source: str, environment: int, suffix: str) -> str:
    """The name of a file of one engine in one environment; any source gives a plain name."""
    quoted = urllib.parse.quote(source, safe="").replace(".", "%2E")
    if len(quoted) > _QUOTED_CHARS_MAX:
        # 64 characters outside of ASCII take up to 768 when quoted; a file name has 255.
        quoted = f"{quoted[:64]}-{hashlib.sha256(source.encode()).hexdigest()}"
    return f"{quoted}.{ENVIRONMENT.word(environment)}.{suffix}"


class GateMemory:
    """The file of one engine in one environment. Engines of the same name share it: the later
    revision of a log stays."""

    def __init__(self, directory: Path, source: str, environment: int) -> None:
        """Does no I/O."""
        self.path = directory / file_name(source, environment, "heard")

    def read(self) -> Heard | None:
        """What was heard last; None = nothing ever was. Unreadable says why."""
        try:
            data = read_regular(self.path, _BYTES_MAX + _HEAD.size + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unreadable(f"{self.path}: {error.strerror or error}") from None
        try:
            magic, crc, size = _HEAD.unpack_from(data)
        except struct.error:
            raise Unreadable(f"{self.path}: cut off") from None
        body = data[_HEAD.size :]
        if magic != _MAGIC:
            raise Unreadable(f"{self.path}: written by another version, or damaged")
        if len(body) != size or zlib.crc32(body) != crc:
            raise Unreadable(f"{self.path}: damaged")
        try:
            heard = Heard.FromString(body)
        except DecodeError:
            raise Unreadable(f"{self.path}: damaged") from None
        if not heard.HasField("snapshot"):
            raise Unreadable(f"{self.path}: without a snapshot")
        return heard

    def write(self, heard: Heard) -> int | None:
        """Replaces the file; a descriptor to hand to `settle`, or None when the disk holds a later
        revision of the same log. OSError."""
        body = heard.SerializeToString()
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._turn():
            if self._is_later(heard):
                return None
            beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                _write_all(descriptor, _HEAD.pack(_MAGIC, zlib.crc32(body), len(body)) + body)
                beside.replace(self.path)
            except BaseException:
                os.close(descriptor)
                beside.unlink(missing_ok=True)
                raise
        return descriptor

    def settle(self, descriptor: int) -> None:
        """Waits until what `write` wrote survives a power loss. OSError."""
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def spoil_unless(self, is_enough: Callable[[Heard | None], bool]) -> None:
        """Makes the file unreadable unless `is_enough` of what it says (None = there is none): what
        came later could not be written, and may have been a denial. OSError."""
        with ExitStack() as turn:
            with suppress(OSError):
                turn.enter_context(self._turn())
            try:
                if is_enough(self.read()):
                    return
            except Unreadable:
                return
            # In place: without a file nothing would ever have been heard.
            descriptor = _opened(self.path, os.O_WRONLY | os.O_CREAT)
            try:
                os.ftruncate(descriptor, 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _is_later(self, heard: Heard) -> bool:
        try:
            there = self.read()
        except Unreadable:
            return False
        if there is None or there.log_id != heard.log_id:
            return False
        return there.revision > heard.revision

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Lets one engine write at a time. One that was stopped while it holds the lock does not
        keep the others from remembering: they go on after a moment."""
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            for _ in range(_LOCK_TRIES):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(_LOCK_WAIT_S)
            yield
        finally:
            os.close(lock)


def read_regular(path: Path, bytes_max: int) -> bytes:
    """The first bytes of a regular file. OSError, also for what is none: a pipe would hang."""
    with os.fdopen(_opened(path, os.O_RDONLY), "rb") as file:
        return file.read(bytes_max)


def _opened(path: Path, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "is no regular file", str(path))


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
