"""The bounded pool of threads that read the store for the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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

    async def read(self, query: Callable[..., T], *arguments: object) -> T:
        """What `query(*arguments)` returns. Raises Overloaded when too many reads wait."""
        if self._waiting >= self._waiting_max:
            raise Overloaded(Reason.OVERLOADED, "too many reads are waiting")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, query, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Waits for running reads and ends the threads."""
        self._pool.shutdown(wait=True)
