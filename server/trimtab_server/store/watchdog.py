"""Cuts connections whose answer never comes: a driver waits for ever on a network that swallows
everything, or on a server that stands still."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_LOOK_S = 0.25


class Watchdog:
    """One thread that shuts sockets down when their time is up. Its clock is `monotonic`."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        # By a descriptor of our own, which stays open whatever the driver does with its own.
        self._deadlines: dict[int, float] = {}
        self._lock = threading.Lock()
        self._in_haste = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="trimtab-watchdog", daemon=True)
        self._thread.start()

    @contextmanager
    def watching(self, fd: int, seconds: float) -> Iterator[None]:
        """The socket `fd` is shut down when the block takes longer than `seconds`."""
        own = os.dup(fd)
        with self._lock:
            self._deadlines[own] = self._monotonic() + (0 if self._in_haste else seconds)
        try:
            yield
        finally:
            with self._lock:
                self._deadlines.pop(own, None)
                os.close(own)

    def hurry(self) -> None:
        """Shuts every watched socket down, now and from now on: nobody waits any more."""
        with self._lock:
            self._in_haste = True
            self._deadlines = dict.fromkeys(self._deadlines, self._monotonic())

    def close(self) -> None:
        """Ends the thread."""
        self._closing.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closing.wait(_LOOK_S):
            now_s = self._monotonic()
            # Under the lock: what is watched is open.
            with self._lock:
                for own in [own for own, end_s in self._deadlines.items() if end_s <= now_s]:
                    del self._deadlines[own]
                    with suppress(OSError), socket.socket(fileno=os.dup(own)) as connection:
                        connection.shutdown(socket.SHUT_RDWR)
