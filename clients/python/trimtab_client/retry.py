"""When a call is tried again, how long it waits, and when it is not even tried.

The table is the contract's, the same in every client:

    UNAVAILABLE         always
    RESOURCE_EXHAUSTED  only when the server sent RetryInfo
    DEADLINE_EXCEEDED   only for idempotent calls, within the caller's budget
    ABORTED             never by itself: the caller reads again first
    anything else       never
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc

from trimtab_client.errors import TrimtabError


def is_retryable(error: TrimtabError, *, idempotent: bool) -> bool:
    """Whether the contract's retry table allows another attempt after `error`."""
    if error.code is grpc.StatusCode.UNAVAILABLE:
        return True
    if error.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return error.retry_after_s is not None
    if error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return idempotent
    return False


def is_transport_failure(error: TrimtabError) -> bool:
    """Whether nobody answered: a server that says why it refuses is alive."""
    silent = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    return not error.reason and error.code in silent


@dataclass(slots=True)
class Backoff:
    """Exponential delays with jitter: each is half to all of `min * 2**n`, at most `max_s`.

    min_s, max_s: seconds, 0 < min_s <= max_s.
    rng: returns a uniform number in [0, 1); injected by tests.
    """

    min_s: float = 0.1
    max_s: float = 4.0
    rng: Callable[[], float] = random.random
    _attempt_count: int = field(default=0, init=False)

    def next_s(self, at_least_s: float | None = None) -> float:
        """The next delay in seconds, not below `at_least_s` (what the server asked for)."""
        # The exponent is capped: 2**1100 is no float, and a sidecar may be down for days.
        ceiling = min(self.max_s, self.min_s * 2.0 ** min(self._attempt_count, 30))
        self._attempt_count += 1
        return max(ceiling * (0.5 + 0.5 * self.rng()), at_least_s or 0.0)

    def reset(self) -> None:
        """Starts over after a success."""
        self._attempt_count = 0


@dataclass(slots=True)
class Takeovers:
    """Tells our own dead stream, read late by the server, from a second owner of the producer id.

    Either supersedes the stream that is open. A dead one does so once, and opening again settles
    it; an owner that is alive comes back, and going on would fight over its numbers.
    `clock` is monotonic seconds, injected by tests.
    """

    count_max: int = 3
    window_s: float = 60.0
    clock: Callable[[], float] = time.monotonic
    _times_s: list[float] = field(default_factory=list, init=False)

    def lost_by(self, reason: str) -> bool:
        """Whether the id is another's for good: fenced, or superseded `count_max` times within
        `window_s`. reason: why a stream ended; called once for each that did."""
        if reason != "PRODUCER_SUPERSEDED":
            return reason == "PRODUCER_FENCED"
        now_s = self.clock()
        self._times_s = [t for t in self._times_s if now_s - t < self.window_s] + [now_s]
        return len(self._times_s) >= self.count_max


class Breaker:
    """Keeps callers from waiting on a dead sidecar. Thread-safe.

    Closed until `failure_count_max` transport failures in a row; then open for `open_s_min`
    seconds, doubling to `open_s_max` with each failed probe; after that one caller at a time
    probes. `clock` is monotonic seconds, `rng` uniform in [0, 1); both injected by tests.
    """

    def __init__(
        self,
        *,
        failure_count_max: int = 3,
        open_s_min: float = 1.0,
        open_s_max: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._failure_count_max = failure_count_max
        self._open_s_min = open_s_min
        self._open_s_max = open_s_max
        self._clock = clock
        self._rng = rng
        self._lock = threading.Lock()
        self._failure_count = 0
        self._trip_count = 0
        self._open_until: float | None = None
        self._probing = False

    @property
    def state(self) -> str:
        """CLOSED, OPEN or HALF_OPEN (the next call is, or is waiting for, the probe)."""
        with self._lock:
            if self._open_until is None:
                return "CLOSED"
            return "OPEN" if self._clock() < self._open_until else "HALF_OPEN"

    def wait_s(self) -> float | None:
        """None when the caller may go on, else the seconds until a probe is worth trying.

        Whoever gets None must report `succeeded`, `failed` or `abandoned`.
        """
        with self._lock:
            if self._open_until is None:
                return None
            remaining = self._open_until - self._clock()
            if remaining > 0:
                return remaining
            if self._probing:
                return self._open_s_min
            self._probing = True
            return None

    def succeeded(self) -> None:
        """Somebody answered, be it with a refusal."""
        with self._lock:
            self._failure_count = self._trip_count = 0
            self._open_until = None
            self._probing = False

    def abandoned(self) -> None:
        """The call ended without telling anything about the server (cancelled)."""
        with self._lock:
            self._probing = False

    def failed(self) -> None:
        """Nobody answered."""
        with self._lock:
            self._failure_count += 1
            probe_failed, self._probing = self._probing, False
            if probe_failed or (
                self._open_until is None and self._failure_count >= self._failure_count_max
            ):
                open_s = min(self._open_s_max, self._open_s_min * 2.0 ** min(self._trip_count, 30))
                self._trip_count += 1
                # Jitter spreads the probes of many engines; it only ever shortens the wait.
                self._open_until = self._clock() + open_s * (0.8 + 0.2 * self._rng())
