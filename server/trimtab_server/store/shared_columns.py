"""Columns in a file that several processes read as one: written once, mapped by each, not copied.

For our own processes only: the file is theirs, it lives as long as their work, and no stranger may
write to where it lies.
"""

import mmap
import pickle
from pathlib import Path
from typing import Any

from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import Unavailable

_ALIGNMENT = 64
_NUMBER_BYTES = 8


def write_columns(path: Path, value: Any) -> None:
    """Writes a value whose arrays are laid out as they are in memory. Raises Unavailable when there
    is no room for it."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(head), *(each.raw() for each in buffers)]
    sizes = [len(parts), *(part.nbytes for part in parts)]
    try:
        with path.open("wb") as file:
            file.write(b"".join(size.to_bytes(_NUMBER_BYTES, "little") for size in sizes))
            for part in parts:
                file.write(bytes(-file.tell() % _ALIGNMENT))
                file.write(part)
    except OSError as error:
        words = f"no room for the columns of a sweep: {error.strerror}"
        raise Unavailable(Reason.STORE_UNAVAILABLE, words, retry_after_s=10.0) from error


def read_columns(path: Path) -> Any:
    """The value, its arrays read-only and straight from the file. Raises Unavailable when the file
    is gone."""
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        words = f"the columns of a sweep are gone: {error.strerror}"
        raise Unavailable(Reason.STORE_UNAVAILABLE, words) from error
    view = memoryview(mapped)

    def number(at: int) -> int:
        return int.from_bytes(view[at * _NUMBER_BYTES : (at + 1) * _NUMBER_BYTES], "little")

    count = number(0)
    end = (count + 1) * _NUMBER_BYTES
    parts = []
    for index in range(count):
        start = end + -end % _ALIGNMENT
        end = start + number(index + 1)
        parts.append(view[start:end])
    return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301 - our own processes' file
