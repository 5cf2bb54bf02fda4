"""What the kernel knows of a server, and what it can do to it."""

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import Sidecar


def free_address() -> str:
    """A loopback address that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def resident_bytes(pid: int) -> int:
    """What a process holds in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def is_stopped(pid: int) -> bool:
    """Whether every thread of a process stands still."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return {(t / "stat").read_text().rpartition(") ")[2][0] for t in threads} == {"T"}


@contextmanager
def full_disk(server: Sidecar, spare_bytes: int = 0) -> Iterator[None]:
    """No file of the server may grow beyond its largest one plus `spare_bytes`, as on a full disk.

    The kernel refuses the write that goes beyond (EFBIG); below, writes still succeed, so that a
    commit may fail half-way.
    """
    written = [server.file, server.file.with_name(server.file.name + "-wal")]
    largest = max(path.stat().st_size for path in written)
    before = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (largest + spare_bytes, before[1]))
    try:
        yield
    finally:
        if server.process.poll() is None:
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)
