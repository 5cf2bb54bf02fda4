"""The pool of readers: bounded, and answering at once when it is full."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import NotFound, Overloaded
from trimtab_server.loop.readers import Readers


@pytest.fixture
async def gate() -> AsyncIterator[threading.Event]:
    """What slow reads wait for; open at the end of the test."""
    one = threading.Event()
    yield one
    one.set()


async def test_a_read_runs_on_a_thread_and_is_handed_back() -> None:
    """Its value, or what it raised."""
    readers = Readers(1, 1)
    assert await readers.read(threading.current_thread) is not threading.main_thread()

    def fails() -> None:
        raise NotFound("event_id", "nothing")

    with pytest.raises(NotFound):
        await readers.read(fails)
    assert await readers.read(max, 3, 7) == 7
    readers.close()


async def test_more_reads_than_may_wait_are_refused(gate: threading.Event) -> None:
    """Overloaded with a delay; those that wait are served in turn, and afterwards there is room."""
    readers = Readers(2, 3)
    waiting = [asyncio.ensure_future(readers.read(gate.wait, 20)) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as error:
        await readers.read(max, 1, 2)
    assert (error.value.reason, error.value.retry_after_s is not None) == (Reason.OVERLOADED, True)
    gate.set()
    assert await asyncio.gather(*waiting) == [True] * 5
    assert await readers.read(max, 1, 2) == 2
    readers.close()


async def test_a_read_that_nobody_waits_for_keeps_its_place(gate: threading.Event) -> None:
    """A caller may give up; its read still holds a thread, so it counts until it ends."""
    readers = Readers(1, 0)
    started = threading.Event()

    def slow() -> None:
        started.set()
        gate.wait(20)

    given_up = asyncio.ensure_future(readers.read(slow))
    await asyncio.to_thread(started.wait, 20)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    with pytest.raises(Overloaded):
        await readers.read(max, 1, 2)
    gate.set()
    readers.close()
