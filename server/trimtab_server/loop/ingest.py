"""From many callers to one commit: bounded queue -> batch -> commit -> acknowledgement.

The event loop hands work over; one writer thread gathers what waits into a batch, commits it, and
hands the results back. A batch closes when it is full, when its oldest part has waited for its
time, or at once when someone blocks on it or the writer was idle.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

from trimtab_server.domain.events import Append, Appended, Producer
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import Overloaded, TrimtabError, Unavailable
from trimtab_server.loop.figures import Figures
from trimtab_server.store.store import Store
from trimtab_server.telemetry import CommitRecord, Served, Telemetry

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """What closes a batch, and what the queue holds at most."""

    commit_events_max: int
    commit_bytes_max: int
    commit_age_s_max: float
    queue_events_max: int
    queue_bytes_max: int


@dataclass(slots=True)
class _Job:
    append: Append
    done: asyncio.Future[Appended]
    urgent: bool
    arrival_s: float
    arrival_time_ns: int
    traceparents: tuple[tuple[int, str], ...]


class Waits(NamedTuple):
    """For how long, in seconds, what the writer does has gone on (0 = it does nothing), and the
    oldest work has waited for its end (None = there is none)."""

    running_s: float
    oldest_s: float | None


class Ingest:
    """The only way into the log. Create it, `start()` it inside the event loop, `stop()` it."""

    def __init__(
        self,
        store: Store,
        limits: IngestLimits,
        telemetry: Telemetry,
        monotonic: Callable[[], float],
        now_ns: Callable[[], int],
    ) -> None:
        self._store = store
        self._limits = limits
        self._telemetry = telemetry
        self._monotonic = monotonic
        self._now_ns = now_ns
        # bounded: _admit() holds its limits; a call takes no place, its callers are few and wait.
        self._jobs: deque[_Job | _Call] = deque()  # bounded: as above
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._write, name="trimtab-writer", daemon=True)
        self._space = asyncio.Event()
        self._growth = asyncio.Event()
        # Places taken in the queue: a job without events takes one too.
        self._places = 0
        # What the writer does: when it began, and when the oldest part of that arrived.
        self._running: tuple[float, float] | None = None
        self.last_sequence = store.info().last_sequence
        self.figures = Figures(monotonic)
        self.events_buffered = 0
        self.bytes_buffered = 0
        self.duplicate_count = 0

    def start(self) -> None:
        """Starts the writer. Call it inside the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Commits what was accepted, then ends the writer."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)

    async def submit(
        self,
        append: Append,
        *,
        urgent: bool,
        waits: bool = True,
        traceparents: tuple[tuple[int, str], ...] = (),
    ) -> "asyncio.Future[Appended]":
        """A future of what becomes of `append`. While the queue is full it waits, or raises
        Overloaded without `waits`: streams are few and wait, unary callers are not counted.

        `urgent` closes the batch at once: somebody blocks on it. The future raises Unavailable
        when the database refuses. `traceparents` names the items that are traced.
        """
        await self._admit(append, waits=waits)
        done: asyncio.Future[Appended] = self._loop.create_future()
        job = _Job(append, done, urgent, self._monotonic(), self._now_ns(), traceparents)
        self._put(job)
        self._places += _places(append)
        self.events_buffered += len(append.events)
        self.bytes_buffered += append.byte_count
        return done

    async def open_producer(self, producer: Producer) -> int:
        """The producer's next expected number, behind everything submitted so far."""
        return int(await self.call(partial(self._store.open_producer, producer)))

    async def probe(self) -> None:
        """Tries an empty transaction, in its turn. Raises Unavailable when the database refuses."""
        await self.call(self._store.probe)

    async def call(self, run: Callable[[], T]) -> T:
        """What `run` returns, which the writer calls in its turn: a transaction of its own. Raises
        what it raises; a defect ends as Unavailable."""
        done: asyncio.Future[T] = self._loop.create_future()
        self._put(_Call(run, done, self._monotonic()))
        return await done

    @property
    def limits(self) -> IngestLimits:
        """What the queue and a batch may hold."""
        return self._limits

    def waits(self) -> Waits:
        """How long the writer and what waits for it have been at it; for any thread."""
        with self._changed:
            running, waiting = self._running, self._jobs[0].arrival_s if self._jobs else None
        now_s = self._monotonic()
        if running is None:
            return Waits(0.0, None if waiting is None else now_s - waiting)
        return Waits(now_s - running[0], now_s - running[1])

    def heard(self, last: int) -> None:
        """Another sidecar has committed up to `last`; for any thread."""
        self._loop.call_soon_threadsafe(self._grown, last)

    def _grown(self, last: int) -> None:
        if last > self.last_sequence:
            self.last_sequence = last
            self._growth.set()
            self._growth = asyncio.Event()

    def free_share(self) -> float:
        """How much of the queue is free, 0 to 1: what windows are sized by."""
        events = self.events_buffered / self._limits.queue_events_max
        return max(0.0, 1.0 - max(events, self.bytes_buffered / self._limits.queue_bytes_max))

    async def beyond(self, sequence: int) -> int:
        """The log's last sequence, as soon as it lies beyond `sequence`."""
        while self.last_sequence <= sequence:
            growth = self._growth
            await growth.wait()
        return self.last_sequence

    async def _admit(self, append: Append, *, waits: bool) -> None:
        while not self._stopping and not self._has_room(append):
            if not waits:
                raise Overloaded(Reason.OVERLOADED, "the server's queue is full")
            self._space.clear()
            await self._space.wait()

    def _has_room(self, append: Append) -> bool:
        """Whether the append fits; an empty queue takes anything."""
        limits = self._limits
        return not self._places or (
            self._places + _places(append) <= limits.queue_events_max
            and self.bytes_buffered + append.byte_count <= limits.queue_bytes_max
        )

    def _put(self, job: "_Job | _Call") -> None:
        with self._changed:
            if self._stopping:
                raise Unavailable(Reason.SHUTTING_DOWN, "the server is stopping")
            self._jobs.append(job)
            self._changed.notify()

    # -- the writer thread ----------------------------------------------------------------------

    def _write(self) -> None:
        while True:
            jobs, call = self._gather()
            if jobs:
                self._running = (self._monotonic(), jobs[0].arrival_s)
                self._commit(jobs)
            if call is not None:
                self._running = (self._monotonic(), call.arrival_s)
                self._run(call)
            self._running = None
            if not jobs and call is None:
                return

    def _gather(self) -> "tuple[list[_Job], _Call | None]":
        """The jobs of the next batch, or a call; both empty when the writer is to end."""
        with self._changed:
            idle = not self._jobs
            while not self._jobs and not self._stopping:
                self._changed.wait()
            if not idle:
                self._wait_for_company()
            return self._take()

    def _wait_for_company(self) -> None:
        first = self._jobs[0]
        if isinstance(first, _Call):
            return
        deadline = first.arrival_s + self._limits.commit_age_s_max
        while not self._stopping and not self._is_ripe():
            left = deadline - self._monotonic()
            if left <= 0:
                return
            self._changed.wait(left)

    def _is_ripe(self) -> bool:
        events = 0
        byte_count = 0
        for job in self._jobs:
            if isinstance(job, _Call) or job.urgent:
                return True
            events += len(job.append.events)
            byte_count += job.append.byte_count
        return (
            events >= self._limits.commit_events_max or byte_count >= self._limits.commit_bytes_max
        )

    def _take(self) -> "tuple[list[_Job], _Call | None]":
        jobs: list[_Job] = []
        events = 0
        byte_count = 0
        while self._jobs:
            job = self._jobs[0]
            if isinstance(job, _Call):
                if jobs:
                    break
                self._jobs.popleft()
                return [], job
            events += len(job.append.events)
            byte_count += job.append.byte_count
            if jobs and (
                events > self._limits.commit_events_max
                or byte_count > self._limits.commit_bytes_max
            ):
                break
            self._jobs.popleft()
            jobs.append(job)
        return jobs, None

    def _commit(self, jobs: list[_Job]) -> None:
        start_s, start_ns = self._monotonic(), self._now_ns()
        outcome: list[Appended] | TrimtabError
        try:
            outcome = self._store.append([job.append for job in jobs])
        except TrimtabError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - a defect must not end the writer
            self._telemetry.log_defect("commit failed", error)
            outcome = Unavailable(Reason.SERVER_FAULT, "the commit failed; see the server's log")
        record = CommitRecord(start_ns, self._now_ns(), self._monotonic() - start_s)
        self._loop.call_soon_threadsafe(self._deliver, jobs, outcome, record)

    def _run(self, call: "_Call") -> None:
        def answer(value: Any, failure: TrimtabError | None) -> None:
            if failure is not None:
                self.figures.failed(failure)
            else:
                self.figures.succeeded()
            if call.done.cancelled():
                return
            if failure is not None:
                call.done.set_exception(failure)
            else:
                call.done.set_result(value)

        try:
            value = call.run()
        except TrimtabError as error:
            self._loop.call_soon_threadsafe(answer, None, error)
        except Exception as error:  # noqa: BLE001 - as in _commit
            self._telemetry.log_defect("a call of the database failed", error)
            failure = Unavailable(Reason.SERVER_FAULT, "it failed; see the server's log")
            self._loop.call_soon_threadsafe(answer, None, failure)
        else:
            self._loop.call_soon_threadsafe(answer, value, None)

    # -- back on the event loop -----------------------------------------------------------------

    def _deliver(
        self,
        jobs: list[_Job],
        outcome: list[Appended] | TrimtabError,
        record: CommitRecord,
    ) -> None:
        for job in jobs:
            self._places -= _places(job.append)
            self.events_buffered -= len(job.append.events)
            self.bytes_buffered -= job.append.byte_count
        self._space.set()
        if isinstance(outcome, TrimtabError):
            for job in jobs:
                if not job.done.done():
                    job.done.set_exception(outcome)
            self.figures.failed(outcome)
            self._telemetry.commit_failed(outcome.reason)
            return
        self.figures.committed([job.append for job in jobs], outcome, record.duration_s)
        last = self.last_sequence
        for job, result in zip(jobs, outcome, strict=True):
            self.duplicate_count += len(result.duplicates)
            last = max(last, max(result.sequences, default=0))
            if not job.done.done():
                job.done.set_result(result)
        self._grown(last)
        if self._telemetry.is_on:
            now_ns = self._now_ns()
            served = [
                Served(job.append, result, job.arrival_time_ns, now_ns, job.traceparents)
                for job, result in zip(jobs, outcome, strict=True)
            ]
            self._telemetry.committed(served, record)


def _places(append: Append) -> int:
    return max(1, len(append.events))


class _Call(NamedTuple):
    """A transaction of its own, such as opening a producer: it takes its turn among the batches."""

    run: Callable[[], Any]
    done: asyncio.Future[Any]
    arrival_s: float
