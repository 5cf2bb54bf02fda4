"""The settings of reports: what stands under `reports` in the file.

Every mistake is told with its key, such as `reports.queue_max`.
"""

from typing import Literal

from pydantic import Field

from trimtab_server.settings_breakers import Strict


class ReportSettings(Strict):
    """How reports are made: in worker processes, of which each has one core and a limit."""

    workers_max: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Worker processes; unset = one less than there are cores, at least 1.",
    )
    queue_max: int = Field(
        default=16, ge=0, le=10_000, description="Callers that may wait for a worker."
    )
    time_s_max: float = Field(
        default=300.0,
        ge=1,
        le=86_400,
        description="Seconds that a report, or a part of a sweep, may take.",
    )
    memory_bytes_max: int = Field(
        default=2 << 30,
        ge=64 << 20,
        le=1 << 50,
        description="Bytes that a worker may take beyond its libraries (Linux).",
    )
    idle_s_max: float = Field(
        default=60.0, ge=1, le=86_400, description="Seconds after which an idle worker ends."
    )
    learning_cycle: Literal["off", "hourly", "daily"] = Field(
        default="daily",
        description="Learning reports on schedule: after each whole hour or day (UTC), of the last"
        " 30 of them, for each of LIVE and PAPER that had signals.",
    )
