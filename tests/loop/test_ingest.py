"""The way into the log, on a clock that stands still and a store that waits to be told."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from trimtab_server.domain.events import Append, Appended, LogInfo, Producer, Rejection
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import Overloaded, StreamBroken, TrimtabError, Unavailable
from trimtab_server.loop.ingest import Ingest, IngestLimits
from trimtab_server.telemetry import Telemetry

_AGE_S = 3_600.0
_LIMITS = IngestLimits(
    commit_events_max=4,
    commit_bytes_max=1_000,
    commit_age_s_max=_AGE_S,
    queue_events_max=10,
    queue_bytes_max=5_000,
)
_PRODUCER = Producer(b"p" * 16, 1, "alpha")


class FakeStore:
    """Keeps what it is given, numbers it, and stops at a gate before each commit."""

    def __init__(self) -> None:
        self.commits: list[list[str]] = []
        self.failure: Exception | None = None
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


async def test_an_idle_writer_commits_at_once(writer: Writer) -> None:
    """Nobody waits for company that may never come."""
    for name in ("a", "b"):
        await writer.alone(name)
    assert writer.store.commits == [["a"], ["b"]]


async def test_what_comes_during_a_commit_shares_the_next(writer: Writer) -> None:
    """The batch closes by count: those that wait are committed together, in their order."""
    first = await writer.busy()
    b, c = await writer.submit("b"), await writer.submit("c")
    writer.store.let(2)
    await writer.committed(first)
    d = await writer.submit("d", count=2)
    assert await writer.committed(b, c, d) == [["first"], ["b", "c", "d"]]
    assert [job.result().sequences for job in (b, c, d)] == [[2], [3], [4, 5]]


async def test_a_batch_closes_by_bytes(writer: Writer) -> None:
    """Large events need no company."""
    first = await writer.busy()
    b = await writer.submit("b", byte_count=400)
    writer.store.let(2)
    await writer.committed(first)
    c = await writer.submit("c", byte_count=600)
    assert await writer.committed(b, c) == [["first"], ["b", "c"]]


async def test_a_batch_closes_by_the_age_of_its_oldest(writer: Writer) -> None:
    """Company that does not come is not waited for longer than told."""
    first = await writer.busy()
    b = await writer.submit("b")
    writer.pass_time(_AGE_S / 2)
    c = await writer.submit("c")
    writer.store.let(2)
    await writer.committed(first)
    assert not b.done()
    writer.pass_time(_AGE_S / 2)
    assert await writer.committed(b, c) == [["first"], ["b", "c"]]


async def test_somebody_who_blocks_closes_the_batch(writer: Writer) -> None:
    """An urgent job takes along what waits before it."""
    first = await writer.busy()
    b = await writer.submit("b")
    writer.store.let(2)
    await writer.committed(first)
    c = await writer.submit("c", urgent=True)
    assert await writer.committed(b, c) == [["first"], ["b", "c"]]


async def test_a_commit_has_its_limits(writer: Writer) -> None:
    """Jobs are never split; what does not fit comes next; what is too large goes alone."""
    first = await writer.busy()
    jobs = [await writer.submit(name, count=3) for name in ("b", "c")]
    jobs.append(await writer.submit("d", byte_count=4_000, urgent=True))
    writer.store.let(4)
    await writer.committed(first, *jobs)
    assert writer.store.commits == [["first"], ["b"], ["c"], ["d"]]


async def test_an_empty_job_is_answered_in_its_turn(writer: Writer) -> None:
    """A flush is one: behind everything before it."""
    first = await writer.busy()
    b = await writer.submit("b")
    flush = await writer.submit("flush", count=0, byte_count=0, urgent=True)
    writer.store.let(2)
    assert await writer.committed(first, b, flush) == [["first"], ["b", "empty"]]


async def test_opening_a_producer_takes_its_turn(writer: Writer) -> None:
    """Behind what was submitted before it, ahead of what comes after: its answer counts all that
    an older stream had sent."""
    first = await writer.busy()
    b = await writer.submit("b")
    opening = asyncio.ensure_future(writer.ingest.open_producer(_PRODUCER))
    await asyncio.sleep(0)
    c = await writer.submit("c", urgent=True)
    writer.store.let(4)
    assert await asyncio.wait_for(opening, 20) == 3
    await writer.committed(first, b, c)
    assert writer.store.log == [["first"], ["b"], _PRODUCER, ["c"]]


@pytest.mark.parametrize(("count", "byte_count"), [(10, 1), (1, 5_000)], ids=["events", "bytes"])
async def test_a_full_queue_makes_callers_wait(writer: Writer, count: int, byte_count: int) -> None:
    """submit() returns when there is room again, and in turn."""
    first = await writer.busy()
    waiting = asyncio.ensure_future(writer.submit("b", count=count, byte_count=byte_count))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert writer.ingest.free_share() > 0
    writer.store.let()
    await writer.committed(first)
    job = await asyncio.wait_for(waiting, 20)
    assert writer.ingest.free_share() == 0
    writer.store.let()
    assert await writer.committed(job) == [["first"], ["b"]]


async def test_what_alone_exceeds_the_queue_is_taken_when_it_is_empty(writer: Writer) -> None:
    """Else nobody could ever send it."""
    assert await writer.alone("huge", count=50, byte_count=9_999) == [["huge"]]


_FAILURES: list[tuple[Exception, Reason]] = [
    (Unavailable(Reason.STORE_UNAVAILABLE, "disk full"), Reason.STORE_UNAVAILABLE),
    (RuntimeError("a defect"), Reason.SERVER_FAULT),
]


@pytest.mark.parametrize(("failure", "reason"), _FAILURES, ids=["database", "defect"])
async def test_a_commit_that_fails_is_told_to_all_of_it(
    writer: Writer, failure: Exception, reason: Reason
) -> None:
    """Each caller gets Unavailable, the log's end does not move, and the writer goes on."""
    first = await writer.busy()
    jobs = [await writer.submit("b"), await writer.submit("c", urgent=True)]
    writer.store.let()
    await writer.committed(first)
    await writer.store.entered()
    writer.store.failure = failure
    writer.store.let()
    for job in jobs:
        with pytest.raises(Unavailable) as error:
            await asyncio.wait_for(job, 20)
        assert error.value.reason is reason
        assert error.value.retry_after_s is not None
    assert writer.ingest.last_sequence == 1
    writer.store.failure = None
    await writer.alone("d")
    assert writer.ingest.last_sequence == 2


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (StreamBroken(Reason.PRODUCER_FENCED, "older"), Reason.PRODUCER_FENCED),
        (RuntimeError("a defect"), Reason.SERVER_FAULT),
    ],
    ids=["refused", "defect"],
)
async def test_an_opening_that_fails_is_told(
    writer: Writer, failure: Exception, expected: Reason
) -> None:
    """As it is, or as a server's fault; the writer goes on."""
    writer.store.failure = failure
    writer.store.let()
    with pytest.raises(TrimtabError) as error:
        await asyncio.wait_for(writer.ingest.open_producer(_PRODUCER), 20)
    assert error.value.reason is expected
    writer.store.failure = None
    writer.store.let()
    assert await asyncio.wait_for(writer.ingest.open_producer(_PRODUCER), 20) == 1


async def test_stopping_commits_what_was_accepted(writer: Writer) -> None:
    """Nothing accepted is lost, nothing new is accepted, nothing stays buffered."""
    first = await writer.busy()
    jobs = [await writer.submit(name) for name in ("b", "c")]
    stopping = asyncio.ensure_future(writer.ingest.stop())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as error:
        _ = await writer.submit("late")
    assert error.value.reason is Reason.SHUTTING_DOWN
    with pytest.raises(Unavailable):
        await writer.ingest.open_producer(_PRODUCER)
    writer.store.let(2)
    await asyncio.wait_for(stopping, 20)
    assert await writer.committed(first, *jobs) == [["first"], ["b", "c"]]
    assert writer.ingest.events_buffered == 0


async def test_stopping_releases_those_who_wait_for_room(writer: Writer) -> None:
    """They are told to come back."""
    first = await writer.busy()
    waiting = asyncio.ensure_future(writer.submit("b", count=10))
    await asyncio.sleep(0)
    stopping = asyncio.ensure_future(writer.ingest.stop())
    await asyncio.sleep(0)
    writer.store.let()
    with pytest.raises(Unavailable, match="stopping"):
        _ = await asyncio.wait_for(waiting, 20)
    await asyncio.wait_for(stopping, 20)
    assert await writer.committed(first) == [["first"]]


async def test_callers_that_gave_up_do_no_harm(writer: Writer) -> None:
    """A caller whose deadline passed: its events are committed; others are answered."""
    first = await writer.busy()
    b, c = await writer.submit("b"), await writer.submit("c", urgent=True)
    b.cancel()
    opening = asyncio.ensure_future(writer.ingest.open_producer(_PRODUCER))
    await asyncio.sleep(0)
    opening.cancel()
    writer.store.let(3)
    assert await writer.committed(first, c) == [["first"], ["b", "c"]]
    assert b.cancelled()
    await writer.alone("d")


async def test_callers_that_gave_up_waiting_for_room_do_no_harm(writer: Writer) -> None:
    """They were never accepted."""
    first = await writer.busy()
    waiting = asyncio.ensure_future(writer.submit("b", count=10))
    await asyncio.sleep(0)
    waiting.cancel()
    writer.store.let()
    assert await writer.committed(first) == [["first"]]
    assert writer.ingest.events_buffered == 0


async def test_beyond_wakes_everyone_when_the_log_has_grown(writer: Writer) -> None:
    """At once when it already lies beyond, else with the commit that gets there."""
    near, far = (asyncio.ensure_future(writer.ingest.beyond(n)) for n in (0, 1))
    await asyncio.sleep(0)
    await writer.alone("a")
    assert await asyncio.wait_for(near, 20) == 1
    assert not far.done()
    await writer.alone("b")
    assert await asyncio.wait_for(far, 20) == 2
    assert await writer.ingest.beyond(-1) == 2


async def test_a_commit_of_nothing_new_wakes_nobody(writer: Writer) -> None:
    """Duplicates and refusals do not move the end of the log."""
    waiting = asyncio.ensure_future(writer.ingest.beyond(0))
    await writer.alone("none", count=0)
    assert not waiting.done()
    waiting.cancel()


async def test_a_caller_that_does_not_wait_is_refused_by_a_full_queue(writer: Writer) -> None:
    """Jobs without events take a place too, so that nothing fills the queue unseen; a caller that
    nobody counts is told to come back."""
    first = await writer.busy()
    empty = [await writer.submit(f"e{i}", 0, byte_count=0, urgent=True) for i in range(9)]
    with pytest.raises(Overloaded):
        _ = await writer.ingest.submit(Append([], 0), urgent=True, waits=False)
    waiting = asyncio.create_task(writer.submit("later", 0, byte_count=0, urgent=True))
    await asyncio.sleep(0)
    assert not waiting.done()
    writer.store.let(20)
    await asyncio.gather(first, *empty)
    later = await waiting
    assert (await later).error_reason is None
    assert writer.ingest.events_buffered == 0
