"""Whether the sidecar is well: conditions that are judged every second from a few facts.

Not being ready refuses nothing: the database does that itself when it is full or away, and its
refusals lose nothing. It tells engines and operators in time, with the reason.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trimtab_server.errors import TrimtabError
from trimtab_server.loop.ingest import Ingest, Waits
from trimtab_server.store.disk import DiskSpace
from trimtab_server.store.store import Store
from trimtab_server.telemetry import Telemetry

STARTING, SERVING, STOPPING = "the server is starting", "", "the server is stopping"

_LOOK_S = 1.0
# Without an attempt for so long the database is probed. While commits fail more often than that,
# no probe says otherwise: it needs less of the database than they do.
_PROBE_AFTER_S = 5.0
# A disk at its limit would come and go with every file: it is well again at this much of it.
_DISK_AGAIN_PERCENT = 110


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """What is no longer well."""

    disk_free_bytes_min: int
    writer_stuck_s_max: float


class Facts(NamedTuple):
    """What is judged. `state` is one of STARTING, SERVING, STOPPING; `failure` what the last
    attempt to write failed with; `disk` the space, why it cannot be seen, or None when the database
    is not a file here."""

    state: str
    failure: str
    waits: Waits
    disk: DiskSpace | str | None


class Condition(NamedTuple):
    """One thing that must hold. `message` says why it does not, and is empty when it does;
    `since_ns` (UTC) is when `ok` last changed."""

    name: str
    ok: bool
    message: str
    since_ns: int


def judged(
    facts: Facts, limits: HealthLimits, before: Sequence[Condition], now_ns: int
) -> tuple[Condition, ...]:
    """The conditions as the facts are now; `before` as they were judged last (empty at first)."""
    known = {condition.name: condition for condition in before}
    found = {
        "serving": facts.state,
        "database": facts.failure,
        "writer": _stuck(facts.waits, limits.writer_stuck_s_max),
    }
    if facts.disk is not None:
        was_well = known["disk"].ok if "disk" in known else True
        found["disk"] = _full(facts.disk, limits.disk_free_bytes_min, was_well=was_well)
    conditions = []
    for name, message in found.items():
        ok = not message
        last = known.get(name)
        since_ns = last.since_ns if last is not None and last.ok == ok else now_ns
        conditions.append(Condition(name, ok, message, since_ns))
    return tuple(conditions)


def _stuck(waits: Waits, limit_s: float) -> str:
    if waits.running_s > limit_s:
        return f"a commit has been running for {waits.running_s:.0f} s"
    if waits.oldest_s is not None and waits.oldest_s > limit_s:
        return f"events have waited {waits.oldest_s:.0f} s for their commit"
    return ""


def _full(disk: DiskSpace | str, limit: int, *, was_well: bool) -> str:
    if isinstance(disk, str):
        return f"the database's file cannot be found: {disk}"
    again = limit * _DISK_AGAIN_PERCENT // 100
    if disk.free_bytes >= (limit if was_well else again):
        return ""
    free, least = _mebibytes(disk.free_bytes), _mebibytes(limit)
    return f"{free} free; disk_free_bytes_min is {least}, ready again at {_mebibytes(again)}"


def _mebibytes(count: int) -> str:
    return f"{count / (1 << 20):,.0f} MiB"


class Health:
    """Judges every second. Create it, `start()` it inside the event loop, `leave()`, `stop()`."""

    def __init__(
        self,
        store: Store,
        ingest: Ingest,
        limits: HealthLimits,
        telemetry: Telemetry,
        now_ns: Callable[[], int],
    ) -> None:
        self._store = store
        self._ingest = ingest
        self._limits = limits
        self._telemetry = telemetry
        self._now_ns = now_ns
        self._state = STARTING
        self.change = asyncio.Event()
        """Set when `is_ready` changes or the server leaves; then there is a new one."""
        self._looking: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self.conditions: tuple[Condition, ...] = ()
        self.disk: DiskSpace | None = None
        self.collection_share: float | None = None
        """Of the last minute, for telemetry: its thread may not count."""
        self.is_ready = False

    def start(self) -> None:
        """The server serves: judges now and from now on. Call it inside the event loop."""
        self._state = SERVING
        self.look()
        self._looking = asyncio.create_task(self._look_on())

    def leave(self) -> None:
        """The server stops: it is not ready from now on."""
        self._state = STOPPING
        self.look()
        self._tell()

    async def stop(self) -> None:
        """Ends the judging."""
        for task in (self._looking, self._probing):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    @property
    def is_leaving(self) -> bool:
        """Whether the server stops."""
        return self._state == STOPPING

    def look(self) -> None:
        """Judges the facts as they are now, and tells who waits for a change."""
        disk = self._disk()
        self.disk = disk if isinstance(disk, DiskSpace) else None
        figures = self._ingest.figures
        self.collection_share = figures.last_minute().counts.share
        facts = Facts(self._state, figures.failure, self._ingest.waits(), disk)
        before, was_ready = self.conditions, self.is_ready
        self.conditions = judged(facts, self._limits, before, self._now_ns())
        self.is_ready = all(condition.ok for condition in self.conditions)
        self._log_changes(before)
        if self.is_ready != was_ready:
            self._tell()

    def _tell(self) -> None:
        self.change.set()
        self.change = asyncio.Event()

    def _log_changes(self, before: Sequence[Condition]) -> None:
        was_ok = {condition.name: condition.ok for condition in before}
        for condition in self.conditions:
            # What it starts and stops with is told elsewhere.
            if condition.name != "serving" and condition.ok != was_ok.get(condition.name, True):
                self._telemetry.log_condition(condition.name, condition.message)

    def _disk(self) -> DiskSpace | str | None:
        try:
            return self._store.disk_space()
        except OSError as error:
            return error.strerror or str(error)

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                self.look()
                self._probe()
            except Exception as error:  # noqa: BLE001 - a defect must not freeze what is told
                self._telemetry.log_defect("judging the health failed", error)

    def _probe(self) -> None:
        """Has the writer try an empty transaction when it had nothing to do for a while: one at a
        time, and on its thread, so that it needs what a commit needs."""
        is_idle = self._ingest.waits().oldest_s is None
        is_due = is_idle and self._ingest.figures.idle_s >= _PROBE_AFTER_S
        if is_due and (self._probing is None or self._probing.done()):
            self._probing = asyncio.create_task(self._probed())

    async def _probed(self) -> None:
        # What it ends with is judged from the figures.
        with contextlib.suppress(TrimtabError):
            await self._ingest.probe()
