"""The file system that holds a database file."""

import os
from pathlib import Path
from typing import NamedTuple


class DiskSpace(NamedTuple):
    """Bytes of a file system: what this process may still write, and its size."""

    free_bytes: int
    total_bytes: int


def disk_space(path: Path) -> DiskSpace:
    """The space of the file system that holds `path`. Raises OSError when it is not there."""
    found = os.statvfs(path)
    return DiskSpace(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def file_system(path: Path) -> str:
    """The type of the file system that holds `path`, by the longest mount point above it; empty
    where the system does not tell."""
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    best, kind = "", ""
    for line in mounts.splitlines():
        _, point, this_kind, *_ = line.split()
        point = point.replace("\\040", " ")
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, this_kind
    return kind
