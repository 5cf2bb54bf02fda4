"""Small jobs for worker processes, found there by name."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trimtab_server.domain.events import Violation
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import InvalidRequest, Unavailable


def make() -> Callable[[Any], Any]:
    """The answers to (name, argument)."""
    was_light = "numpy" not in sys.modules and os.environ["OPENBLAS_NUM_THREADS"] == "1"
    asked: list[Any] = []

    def run(job: Any) -> Any:
        name, argument = job
        asked.append(argument)
        return JOBS[name](argument, asked) if name != "light" else was_light

    return run


def make_nothing() -> Callable[[Any], Any]:
    """Fails as a database does that is away."""
    raise Unavailable(Reason.STORE_UNAVAILABLE, "the database is away", retry_after_s=3.0)


def _touch_and_sleep(path: str, _asked: list[Any]) -> None:
    Path(path).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(300)


def _refuse(_argument: Any, _asked: list[Any]) -> None:
    raise InvalidRequest(Violation("scope.symbol", "is odd"))


def _fail(_argument: Any, _asked: list[Any]) -> None:
    raise KeyError("what nobody foresaw")


def _fill(byte_count: int, _asked: list[Any]) -> int:
    return len(bytearray(byte_count))


def _wait_for(path: str, _asked: list[Any]) -> int:
    while not Path(path).exists():
        time.sleep(0.002)
    return os.getpid()


JOBS: dict[str, Callable[[Any, list[Any]], Any]] = {
    "echo": lambda argument, _: argument,
    "pid": lambda _, __: os.getpid(),
    "asked": lambda _, asked: list(asked),
    "nice": lambda _, __: os.nice(0),
    "unsendable": lambda _, __: lambda: None,
    "die": lambda code, _: os._exit(code),
    "sleep": _touch_and_sleep,
    "wait": _wait_for,
    "refuse": _refuse,
    "fail": _fail,
    "fill": _fill,
}
