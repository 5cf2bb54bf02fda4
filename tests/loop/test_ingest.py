"""The way into the log, on a clock that stands still and a store that waits to be told."""

import asyncio

import pytest

from tests.loop.conftest import AGE_S, PRODUCER, Writer
from trimtab_server.domain.events import Append
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import Overloaded, StreamBroken, TrimtabError, Unavailable


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
    writer.pass_time(AGE_S / 2)
    c = await writer.submit("c")
    writer.store.let(2)
    await writer.committed(first)
    assert not b.done()
    writer.pass_time(AGE_S / 2)
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
    opening = asyncio.ensure_future(writer.ingest.open_producer(PRODUCER))
    await asyncio.sleep(0)
    c = await writer.submit("c", urgent=True)
    writer.store.let(4)
    assert await asyncio.wait_for(opening, 20) == 3
    await writer.committed(first, b, c)
    assert writer.store.log == [["first"], ["b"], PRODUCER, ["c"]]


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
        await asyncio.wait_for(writer.ingest.open_producer(PRODUCER), 20)
    assert error.value.reason is expected
    writer.store.failure = None
    writer.store.let()
    assert await asyncio.wait_for(writer.ingest.open_producer(PRODUCER), 20) == 1


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
        await writer.ingest.open_producer(PRODUCER)
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
    opening = asyncio.ensure_future(writer.ingest.open_producer(PRODUCER))
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
