"""A disk below a real sidecar that fails on demand and remembers what it was told, in which order.

It is a small library in C (`disk_shim.c`) that stands before libc in the sidecar's process; it is
compiled when a test asks for it.
"""

import mmap
import os
import shutil
import struct
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import disk_base

_SOURCE = Path(__file__).with_name("disk_shim.c")
_COMPILE_S_MAX = 60.0
# In the order of `struct control`, eight bytes each.
_FIELDS = (
    "space_bytes",
    "writes_before",
    "writes_fail",
    "syncs_before",
    "syncs_fail",
    "refused",
)
_FOREVER = 1 << 60


@cache
def shim() -> Path:
    """The compiled library. Skips the test where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc or gcc) here: the failing disk cannot be built")
    library = disk_base() / "disk_shim.so"
    flags = ("-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread")
    # Compiled aside and moved: several test processes may want it at once.
    made = library.with_suffix(f".{os.getpid()}.tmp")
    command = [compiler, *flags, "-o", str(made), str(_SOURCE)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_COMPILE_S_MAX, check=False
    )
    assert done.returncode == 0, done.stderr
    made.replace(library)
    return library


class Disk:
    """What the disk below one database does; tell it before the sidecar starts, or while it runs.

    `environment` goes to the sidecar."""

    def __init__(self, database: Path, *, journaled: bool = False) -> None:
        database = database.resolve()
        self.journal = database.with_name(database.name + ".journal")
        control = database.with_name(database.name + ".control")
        control.write_bytes(struct.pack("<q", -1) + bytes(8 * (len(_FIELDS) - 1)))
        with control.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), 8 * len(_FIELDS))
        self.environment = {
            "LD_PRELOAD": str(shim()),
            "DISK_DATABASE": str(database),
            "DISK_CONTROL": str(control),
        }
        if journaled:
            self.environment["DISK_JOURNAL"] = str(self.journal)

    @property
    def refused(self) -> int:
        """How many writes and syncs were refused so far."""
        return self._get("refused")

    @property
    def journal_bytes(self) -> int:
        """How much was written down so far."""
        return self.journal.stat().st_size if self.journal.exists() else 0

    def fill_up(self, space_bytes: int = 0) -> None:
        """Files may grow by this much more, then writes end with ENOSPC."""
        self._set("space_bytes", space_bytes)

    def empty(self) -> None:
        """There is space again, without a limit."""
        self._set("space_bytes", -1)

    def fail_writes(self, count: int = _FOREVER, after: int = 0) -> None:
        """So many writes end with EIO, after so many that succeed."""
        self._set("writes_fail", 0)
        self._set("writes_before", after)
        self._set("writes_fail", count)

    def fail_syncs(self, count: int = _FOREVER, after: int = 0) -> None:
        """So many syncs end with EIO, after so many that succeed."""
        self._set("syncs_fail", 0)
        self._set("syncs_before", after)
        self._set("syncs_fail", count)

    def repair(self) -> None:
        """Nothing fails any more."""
        self.fail_writes(0)
        self.fail_syncs(0)
        self.empty()

    def _get(self, name: str) -> int:
        return int(struct.unpack_from("<q", self._control, 8 * _FIELDS.index(name))[0])

    def _set(self, name: str, value: int) -> None:
        struct.pack_into("<q", self._control, 8 * _FIELDS.index(name), value)
