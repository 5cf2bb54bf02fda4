"""A writer on a clock that stands still, with a store that waits to be told."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from trimtab_server.domain.events import Append, Appended, LogInfo, Producer, Rejection
from trimtab_server.domain.reasons import Reason
from trimtab_server.loop.ingest import Ingest, IngestLimits
from trimtab_server.store.disk import DiskSpace
from trimtab_server.telemetry import Telemetry

AGE_S = 3_600.0
_LIMITS = IngestLimits(
    commit_events_max=4,
    commit_bytes_max=1_000,
    commit_age_s_max=AGE_S,
    queue_events_max=10,
    queue_bytes_max=5_000,
)
PRODUCER = Producer(b"p" * 16, 1, "alpha")


class FakeStore:
    """Keeps what it is given, numbers it, and stops at a gate before each commit."""

    def __init__(self) -> None:
        self.commits: list[list[str]] = []
        self.failure: Exception | None = None
        self.disk: DiskSpace | OSError | None = None
        self.log: list[object] = []
        self._turns = threading.Semaphore(0)
        self._entered = threading.Semaphore(0)
        self._last = 0

    def info(self) -> LogInfo:
        """Empty at the start."""
        return LogInfo("log", 0, self._last)

    def append(self, appends: Sequence[Append]) -> list[Appended]:
        """Every item is new; none is looked into."""
        self._wait()
        self.commits.append([_name(append) for append in appends])
        self.log.append(self.commits[-1])
        results = []
        for wanted in appends:
            results.append(Appended([self._last + i + 1 for i in range(len(wanted.events))]))
            self._last += len(wanted.events)
        return results

    def open_producer(self, producer: Producer) -> int:
        """One above all that was appended."""
        self._wait()
        self.log.append(producer)
        return self._last + 1

    def probe(self) -> None:
        """Takes its turn like the others."""
        self._wait()
        self.log.append("probe")

    def disk_space(self) -> DiskSpace | None:
        """As the test has put it."""
        if isinstance(self.disk, OSError):
            raise self.disk
        return self.disk

    def _wait(self) -> None:
        self._entered.release()
        assert self._turns.acquire(timeout=20)
        if self.failure is not None:
            raise self.failure

    async def entered(self) -> None:
        """Until the writer stands at the gate."""
        assert await asyncio.to_thread(self._entered.acquire, timeout=20)

    def let(self, count: int = 1) -> None:
        """Opens the gate so many times."""
        self._turns.release(count)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


class Writer:
    """An Ingest, its store and its clock."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.clock = Clock()
        self.ingest = Ingest(
            self.store,  # type: ignore[arg-type]  # a store for this test
            _LIMITS,
            Telemetry(),
            self.clock,
            lambda: 1_000_000_000,
        )

    async def submit(
        self, name: str, count: int = 1, *, byte_count: int = 1, urgent: bool = False
    ) -> "asyncio.Future[Appended]":
        """A job of so many items, known by its name."""
        items = [Rejection(name, Reason.INVALID_FIELD, ())] * count
        append = Append(list(items), byte_count)
        return await self.ingest.submit(append, urgent=urgent)

    async def alone(self, name: str, count: int = 1, byte_count: int = 1) -> list[list[str]]:
        """Submits a job to a writer that has nothing to do, and lets it through."""
        await self.idle()
        self.store.let()
        return await self.committed(await self.submit(name, count, byte_count=byte_count))

    async def idle(self) -> None:
        """Until the writer waits for something to do."""
        for _ in range(20_000):
            if self.ingest._changed._waiters:  # type: ignore[attr-defined]
                return
            await asyncio.sleep(0.001)
        raise AssertionError("the writer never came to rest")

    async def busy(self) -> "asyncio.Future[Appended]":
        """Has the writer stand at the gate with a first job: what comes now waits for company."""
        await self.idle()
        done = await self.submit("first")
        await self.store.entered()
        return done

    async def committed(self, *jobs: "asyncio.Future[Appended]") -> list[list[str]]:
        """The commits, once these jobs are done."""
        await asyncio.wait_for(asyncio.gather(*jobs), 20)
        return self.store.commits

    def pass_time(self, seconds: float) -> None:
        """Moves the clock and has the writer look at it."""
        self.clock.now_s += seconds
        with self.ingest._changed:
            self.ingest._changed.notify()


def _name(append: Append) -> str:
    first = append.events[0] if append.events else None
    return first.event_id if isinstance(first, Rejection) else "empty"


@pytest.fixture
async def writer() -> AsyncIterator[Writer]:
    """A writer at work; at the end it has nothing buffered, and no callback failed."""
    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    one = Writer()
    one.ingest.start()
    yield one
    one.store.failure = None
    one.store.let(1_000)
    await one.ingest.stop()
    assert (one.ingest.events_buffered, one.ingest.bytes_buffered) == (0, 0)
    assert one.ingest.free_share() == 1.0
    assert failures == []
