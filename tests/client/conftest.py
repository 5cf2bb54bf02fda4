"""A fake sidecar, and connections to it that are closed after the test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from trimtab_client import FakeSidecar, RecorderSettings, Trimtab, connect

NOW_NS = 1_760_000_000_000_000_000
QUICK: dict[str, Any] = {"backoff_s_min": 0.01, "backoff_s_max": 0.05, "exit_flush_timeout_s": 0.0}

Connect = Callable[..., Trimtab]


@pytest.fixture
def fake() -> Iterator[FakeSidecar]:
    """A sidecar in memory."""
    with FakeSidecar() as running:
        yield running


@pytest.fixture
def connected(fake: FakeSidecar) -> Iterator[Connect]:
    """Connects to the fake (or to `address`); keyword `limits` are RecorderSettings fields."""
    made: list[Trimtab] = []

    def make(*, limits: dict[str, Any] | None = None, **arguments: Any) -> Trimtab:
        wanted: dict[str, Any] = {"source": "alpha-1", "environment": "PAPER"}
        wanted |= {
            "address": fake.address,
            "settings": RecorderSettings(**(QUICK | (limits or {}))),
        }
        tt = connect(**(wanted | arguments))
        made.append(tt)
        return tt

    yield make
    for tt in made:
        tt.close(0.5)


@pytest.fixture
def tt(connected: Connect) -> Trimtab:
    """A connection to the fake."""
    return connected()


def record(tt: Trimtab, first: int, count: int) -> None:
    """Records metrics with the values first, first + 1, ... and expects the ring to take them."""
    for number in range(first, first + count):
        assert tt.metric(name="n", value=float(number)) is not None


def values(fake: FakeSidecar) -> list[int]:
    """The values of the metrics in the fake's log, in its order."""
    return [int(e.metric_recorded.value) for e in fake.events("METRIC_RECORDED")]


def eventually(holds: Callable[[], object], timeout_s: float = 20.0) -> bool:
    """Whether `holds` becomes true; the timeout only ends a failing test."""
    end_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.002)
    return True
