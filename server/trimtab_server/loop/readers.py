"""The bounded pool of threads that read the store for the event loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import Overloaded

T = TypeVar("T")


class Readers:
    """Runs reads on threads; more than `queue_max` waiting ones are refused, never piled up."""

    def __init__(self, readers_max: int, queue_max: int) -> None:
        self._pool = ThreadPoolExecutor(readers_max, thread_name_prefix="trimtab-reader")
        self._waiting_max = readers_max + queue_max
        self._waiting = 0
        self._lock = threading.Lock()

    async def read(self, query: Callable[..., T], *arguments: object) -> T:
        """What `query(*arguments)` returns. Raises Overloaded when too many reads wait."""
        if self._waiting >= self._waiting_max:
            raise Overloaded(Reason.OVERLOADED, "too many reads are waiting")
        with self._lock:
            self._waiting += 1
        running = self._pool.submit(query, *arguments)
        # A caller may give up; its read holds the thread until it ends, and counts as long.
        running.add_done_callback(self._ended)
        return await asyncio.wrap_future(running)

    def _ended(self, _running: "Future[T]") -> None:
        with self._lock:
            self._waiting -= 1

    def close(self) -> None:
        """Waits for running reads and ends the threads."""
        self._pool.shutdown(wait=True)
