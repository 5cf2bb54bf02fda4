"""Facts about this machine, without which a number means little."""

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

from google.protobuf.internal import api_implementation


def machine_facts(filesystem: str) -> list[str]:
    """Lines for below the table."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return [
        (
            f"machine: {usable} of {os.cpu_count()} cores, {_processor()};"
            f" {platform.system()} {platform.release()}; load before (1, 5, 15 min): {load};"
            f" niceness {os.getpriority(os.PRIO_PROCESS, 0)}"
        ),
        (
            f"software: Python {platform.python_version()}, SQLite {sqlite3.sqlite_version},"
            f" grpcio {version('grpcio')}, protobuf {version('protobuf')}"
            f" ({api_implementation.Type()}); file system: {filesystem}"
        ),
    ]


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
