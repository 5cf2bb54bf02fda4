"""Waiting for something to become true, with a limit."""

import time
from collections.abc import Callable

WAIT_S_MAX = 20.0
LOOK_S = 0.005


def until(is_true: Callable[[], object], what: str, limit_s: float = WAIT_S_MAX) -> None:
    """Returns as soon as `is_true()`; fails, naming `what`, when that takes too long."""
    deadline = time.monotonic() + limit_s
    while not is_true():
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        time.sleep(LOOK_S)
