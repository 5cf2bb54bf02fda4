"""The clock of one process, set forward or back while it runs: a shim before its C library.

Only the wall clock jumps, as when an operator or a time server sets it; the monotonic one goes on.
"""

import os
import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock.c")
_OFFSET = struct.Struct("=q")


def why_not() -> str:
    """Why no clock can be jumped here; empty when a C compiler is there."""
    found = shutil.which("cc") or shutil.which("gcc")
    return "" if found else "no C compiler: clock jumps are NOT tested here"


class JumpingClock:
    """The shim, compiled into `folder`, and the file through which it is told the offset."""

    def __init__(self, folder: Path) -> None:
        self._offset = folder / "clock-offset"
        self._library = folder / "clock.so"
        compiler = shutil.which("cc") or shutil.which("gcc")
        assert compiler is not None, why_not()
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O2", "-o", self._library, _SOURCE, "-ldl"],
            check=True,
            capture_output=True,
        )
        self._offset.write_bytes(_OFFSET.pack(0))

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to run on this clock."""
        return {"LD_PRELOAD": str(self._library), "TEST_CLOCK_OFFSET_FILE": str(self._offset)}

    def jump(self, seconds: float) -> None:
        """Sets the clock to `seconds` beside the true time, at once and for all its processes."""
        with self._offset.open("r+b") as file:
            os.pwrite(file.fileno(), _OFFSET.pack(int(seconds * 1e9)), 0)
