"""Worker processes for what is heavy: started on first use, bounded, each with a pipe of its own.

The event loop never waits for a pipe: a thread for each worker speaks with it. Whoever leaves, is
late or takes too long has its process killed, and the next job gets a new one.
"""

import asyncio
import pickle
from collections.abc import AsyncGenerator, Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import Overloaded, Unavailable
from trimtab_server.loop.worker_process import (
    Answer,
    ProcessRules,
    Refusal,
    Reply,
    error_of,
    serve,
    too_large,
)
from trimtab_server.telemetry import Telemetry

_SPAWN = get_context("spawn")
# A process that has done so much starts anew: what libraries leak goes with it.
_JOBS_MAX = 1_000
# When all are busy: a report takes seconds.
_RETRY_S = 2.0
# For a process whose pipe was closed to end by itself.
_END_S_MAX = 2.0


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """How many processes, how many callers may wait for one, how long one job may take, and what a
    process may take beyond its libraries. An idle process ends after idle_s_max. nice: how far
    workers stand back for the sidecar's own work."""

    workers_max: int
    queue_max: int
    time_s_max: float
    memory_bytes_max: int
    idle_s_max: float = 60.0
    nice: int = 10


class WorkerFailure(Exception):
    """A job failed in a way that nobody foresaw; holds the worker's traceback."""


class _WorkerDied(Exception):
    """The process is gone, or never came; says why."""


class _Worker:
    """One process. `ask` and `end` block, and are called on a thread; `kill` does not."""

    def __init__(self, packed: bytes, rules: ProcessRules, number: int) -> None:
        self._packed = packed
        self._rules = rules
        self._name = f"trimtab-worker-{number}"
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._is_killed = False
        self.job_count = 0
        # What it was last asked about, and when it ends if nobody asks again.
        self.key: Hashable = None
        self.retiring: asyncio.TimerHandle | None = None

    def ask(self, job: Any) -> Reply:
        """The reply. Raises _WorkerDied when there will be none."""
        self.job_count += 1
        if self._process is not None and not self._process.is_alive():
            # The system took it while it was idle: that is nobody's report.
            self.end()
            self._process = None
        if self._process is None:
            self._start()
        process, connection = self._process, self._connection
        assert process is not None
        assert connection is not None
        if self._is_killed:
            # Somebody left while it started.
            process.kill()
        try:
            connection.send(job)
            reply: Reply = connection.recv()
        except (EOFError, OSError) as error:
            self.end()
            raise _WorkerDied(f"exit code {process.exitcode}") from error
        return reply

    def _start(self) -> None:
        try:
            ours, theirs = _SPAWN.Pipe()
            # Only then does the end of the process end our reading.
            with theirs:
                process = _SPAWN.Process(
                    target=serve,
                    args=(theirs, self._packed, self._rules),
                    name=self._name,
                    daemon=True,
                )
                process.start()
        except OSError as error:
            raise _WorkerDied(f"it did not start: {error.strerror}") from error
        self._process, self._connection = process, ours

    def kill(self) -> None:
        """Ends it at once, whatever it does; whoever waits for its reply is told."""
        self._is_killed = True
        if (process := self._process) is not None:
            process.kill()

    def end(self) -> None:
        """Lets it end, and waits until it has."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.join(_END_S_MAX)
            self._process.kill()
            self._process.join()


class Workers:
    """Runs jobs in processes.

    make: makes, in the process, the function that answers a job; it is pickled, and so are jobs and
    answers. Call everything inside the event loop.
    """

    def __init__(
        self,
        make: Callable[[], Callable[[Any], Any]],
        limits: WorkerLimits,
        telemetry: Telemetry,
    ) -> None:
        self._packed = pickle.dumps(make)
        self._limits = limits
        self._rules = ProcessRules(limits.nice, limits.memory_bytes_max)
        self._telemetry = telemetry
        # One for each process, and as many to see off those that end.
        self._threads = ThreadPoolExecutor(2 * limits.workers_max, "trimtab-worker")
        self._slots = asyncio.Semaphore(limits.workers_max)
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._callers = 0
        self._numbers = count(1)
        self._folder: Path | None = None
        self._is_stopping = False

    @property
    def process_count(self) -> int:
        """Processes that are there."""
        return len(self._idle) + len(self._busy)

    @property
    def caller_count(self) -> int:
        """Callers whose jobs run or wait."""
        return self._callers

    async def run(self, job: Any, key: Hashable = None) -> Any:
        """The answer to a job. key: jobs of one key are best answered by one process, which may
        still hold what the last one needed.

        Raises what the job raised, if it is one of our errors; Overloaded when too many wait;
        InvalidRequest when it takes too long or too much memory; Unavailable when its process dies
        or the server stops; WorkerFailure for what nobody foresaw. A caller that is cancelled ends
        the work.
        """
        with self._admitted():
            return await self._run(job, key)

    async def run_each(
        self, jobs: Sequence[Any], key: Hashable = None, opening: Any = None
    ) -> AsyncGenerator[Any, None]:
        """The answers to jobs that one caller has, as they are done, in whatever order. opening: a
        job that is answered first, before any other begins.

        It raises what `run` raises for the first that fails; then, and when it is closed, the rest
        ends.
        """
        with self._admitted():
            if opening is not None:
                yield await self._run(opening, key)
            running: set[asyncio.Task[Any]] = set()
            waiting = iter(jobs)
            try:
                while True:
                    room = self._limits.workers_max - len(running)
                    running |= {
                        asyncio.create_task(self._run(job, key)) for job in islice(waiting, room)
                    }
                    if not running:
                        return
                    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    done = {each for each in running if each.done()}
                    for each in done:
                        if (error := each.exception()) is not None:
                            raise error
                    running -= done
                    for each in done:
                        yield each.result()
            finally:
                for each in running:
                    each.cancel()
                await asyncio.gather(*running, return_exceptions=True)

    @contextmanager
    def scratch_file(self) -> Iterator[Path]:
        """A path that jobs may share while the block runs; what they leave there is removed. Raises
        Unavailable when there is no room for a folder."""
        if self._folder is None:
            try:
                self._folder = Path(mkdtemp(prefix="trimtab-"))
            except OSError as error:
                words = f"no temporary folder can be made: {error.strerror}"
                raise Unavailable(Reason.STORE_UNAVAILABLE, words) from error
        path = self._folder / f"{next(self._numbers)}"
        try:
            yield path
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    async def stop(self) -> None:
        """Ends every process; callers are told that the server stops."""
        self._is_stopping = True
        workers = [*self._busy, *self._idle]
        self._idle.clear()
        for worker in workers:
            if worker.retiring is not None:
                worker.retiring.cancel()
            worker.kill()
        await asyncio.to_thread(self._finish, workers)

    def _finish(self, workers: Sequence[_Worker]) -> None:
        self._threads.shutdown(wait=True)
        for worker in workers:
            worker.end()
        folder, self._folder = self._folder, None
        if folder is not None:
            rmtree(folder, ignore_errors=True)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._is_stopping:
            raise _stopping()
        if self._callers >= self._limits.workers_max + self._limits.queue_max:
            words = "all workers are busy and too many reports are waiting"
            raise Overloaded(Reason.OVERLOADED, words, retry_after_s=_RETRY_S)
        self._callers += 1
        try:
            yield
        finally:
            self._callers -= 1

    async def _run(self, job: Any, key: Hashable) -> Any:
        async with self._slots:
            if self._is_stopping:
                raise _stopping()
            worker = self._take(key)
            reply: Reply | None = None
            self._busy.add(worker)
            try:
                reply = await self._reply(worker, job)
            finally:
                self._busy.discard(worker)
                self._leave(worker, reply)
        if isinstance(reply, Answer):
            return reply.result
        if isinstance(reply, Refusal):
            raise error_of(reply)
        raise WorkerFailure(reply.words)

    async def _reply(self, worker: _Worker, job: Any) -> Reply:
        asking = self._threads.submit(worker.ask, job)
        try:
            async with asyncio.timeout(self._limits.time_s_max) as limit:
                return await asyncio.wrap_future(asking)
        except TimeoutError:
            if not limit.expired():
                raise
            self._telemetry.worker_lost("timeout")
            raise too_large(f"takes longer than {self._limits.time_s_max:g} s") from None
        except asyncio.CancelledError:
            self._telemetry.worker_lost("cancelled")
            raise
        except _WorkerDied as died:
            if self._is_stopping:
                raise _stopping() from None
            self._telemetry.worker_lost("died")
            self._telemetry.log_warning("a worker process died", why=str(died))
            raise Unavailable(
                Reason.SERVER_FAULT,
                f"the process that made the report died ({died})",
                retry_after_s=5.0,
            ) from None
        finally:
            # What was given up before a thread took it leaves a process that nobody saw off.
            if asking.cancelled():
                self._see_off(worker)

    def _take(self, key: Hashable) -> _Worker:
        """An idle worker, best the one that was asked about `key` last, else a new one."""
        if not self._idle:
            worker = _Worker(self._packed, self._rules, next(self._numbers))
        else:
            same = (at for at, each in enumerate(self._idle) if key is not None and each.key == key)
            worker = self._idle.pop(next(same, 0))
            if worker.retiring is not None:
                worker.retiring.cancel()
        worker.key = key
        return worker

    def _leave(self, worker: _Worker, reply: Reply | None) -> None:
        """Puts a worker back, or ends it when it is of no more use."""
        if reply is None:
            worker.kill()
        elif self._is_stopping:
            return
        elif (isinstance(reply, Refusal) and reply.is_last) or worker.job_count >= _JOBS_MAX:
            self._see_off(worker)
        else:
            self._idle.append(worker)
            loop = asyncio.get_running_loop()
            worker.retiring = loop.call_later(self._limits.idle_s_max, self._retire, worker)

    def _see_off(self, worker: _Worker) -> None:
        # Once the server stops there are no threads left, and it is seen off there.
        with suppress(RuntimeError):
            self._threads.submit(worker.end)

    def _retire(self, worker: _Worker) -> None:
        with suppress(ValueError):
            self._idle.remove(worker)
            self._see_off(worker)


def _stopping() -> Unavailable:
    return Unavailable(Reason.SHUTTING_DOWN, "the server is stopping")
