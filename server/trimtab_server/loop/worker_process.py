"""What runs in a worker's process: jobs come over a pipe, answers go back, one at a time.

Nothing heavy is imported before the process has been told to use one thread and a low priority.
"""

import contextlib
import os
import pickle
import queue
import resource
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from trimtab_server import errors
from trimtab_server.domain.events import Violation
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import InvalidRequest, TrimtabError

# Read by the libraries under numpy when they are loaded: a report has one core, not all of them.
_ONE_THREAD = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
)
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class ProcessRules:
    """How a worker's process behaves: how far it stands back for others (as `nice` takes it), and
    how many bytes it may take beyond what it has loaded."""

    nice: int
    memory_bytes_max: int


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes what answers jobs, from a module that only a worker loads: the module, what it is
    called there, and what it is made of."""

    module: str
    name: str
    arguments: tuple[Any, ...]

    def __call__(self) -> Callable[[Any], Any]:
        """What is made."""
        made: Callable[..., Callable[[Any], Any]] = getattr(import_module(self.module), self.name)
        return made(*self.arguments)


class Answer(NamedTuple):
    """What a job came to."""

    result: Any


class Refusal(NamedTuple):
    """One of our errors, in plain values. is_last: the process ends with it."""

    kind: str
    reason: str
    message: str
    violations: tuple[tuple[str, str], ...]
    retry_after_s: float | None
    metadata: Mapping[str, str]
    is_last: bool = False


class Failure(NamedTuple):
    """What nobody foresaw: its traceback."""

    words: str


Reply = Answer | Refusal | Failure


def refusal_of(error: TrimtabError, *, is_last: bool = False) -> Refusal:
    """An error on its way to another process."""
    return Refusal(
        type(error).__name__,
        error.reason.value,
        error.message,
        tuple((each.field, each.description) for each in error.violations),
        error.retry_after_s,
        error.metadata,
        is_last,
    )


def error_of(told: Refusal) -> TrimtabError:
    """The error that a refusal was made of."""
    kind = getattr(errors, told.kind, TrimtabError)
    error: TrimtabError = kind.__new__(kind)
    violations = [Violation(*each) for each in told.violations]
    reason = Reason(told.reason)
    TrimtabError.__init__(
        error, reason, told.message, violations, told.retry_after_s, told.metadata
    )
    return error


def too_large(what: str) -> InvalidRequest:
    """The error for a scope whose report is beyond a limit; `what` says which."""
    words = f"{what}; ask for a shorter time, or for one source, strategy or symbol"
    return InvalidRequest(Violation("scope.start_time", words), Violation("scope.end_time", words))


def serve(connection: Connection, packed: bytes, rules: ProcessRules) -> None:
    """Answers jobs until the other end of the pipe is closed or its process is gone.

    packed: the pickled maker of the function that answers a job. Reports are computed by that
    function on the main thread; a thread beside it listens, so that a process whose sidecar died
    in the middle of a job does not outlive it.
    """
    # Ctrl-C on a terminal reaches the whole group: the sidecar stops its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(rules.nice)
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    jobs: queue.Queue[Any] = queue.Queue(maxsize=1)
    threading.Thread(target=_listen, args=(connection, jobs), daemon=True).start()
    run: Callable[[Any], Any] | None = None
    while True:
        job = jobs.get()
        if run is None:
            run, failed = _made(packed, rules)
            if failed is not None:
                connection.send(failed)
                continue
        assert run is not None
        reply = _replied(run, job)
        try:
            connection.send(reply)
        except (TypeError, AttributeError, ValueError, pickle.PicklingError):
            connection.send(Failure(traceback.format_exc()))
        if isinstance(reply, Refusal) and reply.is_last:
            return


def _listen(connection: Connection, jobs: "queue.Queue[Any]") -> None:
    """Hands jobs on; ends the process when nobody can send any more."""
    while True:
        try:
            jobs.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)


def _made(packed: bytes, rules: ProcessRules) -> tuple[Callable[[Any], Any] | None, Reply | None]:
    try:
        run: Callable[[Any], Any] = pickle.loads(packed)()  # noqa: S301 - our own sidecar's bytes
    except TrimtabError as error:
        return None, refusal_of(error)
    except Exception:  # noqa: BLE001 - told to the sidecar, which logs it
        return None, Failure(traceback.format_exc())
    _limit_memory(rules.memory_bytes_max)
    return run, None


def _replied(run: Callable[[Any], Any], job: Any) -> Reply:
    try:
        return Answer(run(job))
    except MemoryError:
        # What it holds is in pieces by now: the next job gets a new process.
        return refusal_of(too_large("needs more memory than reports may take"), is_last=True)
    except TrimtabError as error:
        return refusal_of(error)
    except Exception:  # noqa: BLE001 - told to the sidecar, which logs it
        return Failure(traceback.format_exc())


def _limit_memory(bytes_max: int) -> None:
    """Lets the process take `bytes_max` beyond what it has loaded; where the system keeps no such
    account (macOS), there is no limit."""
    try:
        mapped = int(_STATM.read_text("ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + bytes_max,) * 2)
    except (OSError, ValueError):
        return
