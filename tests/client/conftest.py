"""A fake sidecar, and connections to it that are closed after the test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trimtab_client import FakeSidecar, RecorderSettings, Trimtab, connect
from trimtab_client.spool import folders_in

NOBODY = "127.0.0.1:1"
NOW_NS = 1_760_000_000_000_000_000
QUICK: dict[str, Any] = {
    "backoff_s_min": 0.01,
    "backoff_s_max": 0.05,
    "exit_flush_timeout_s": 0.0,
    # What a recorder does without a spool; tests of the spool tell another mode.
    "spool_mode": "off",
}

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


Left = Callable[..., Path]
Engine = Callable[..., Trimtab]


@pytest.fixture
def left(connected: Connect, spool_path: Path) -> Left:
    """Leaves a spool behind: of an engine that recorded first, first + 1, ... with nobody there."""

    def leave(first: int, count: int, mode: str = "always", source: str = "alpha-1") -> Path:
        before = set(folders_in(spool_path))
        limits = {"spool_mode": mode, "events_max": 2_000}
        tt = connected(address=NOBODY, limits=limits, source=source)
        record(tt, first, count)
        assert tt.close(0.0).spooled_count == count
        [path] = set(folders_in(spool_path)) - before
        return path

    return leave


@pytest.fixture
def engine(connected: Connect) -> Callable[..., Trimtab]:
    """Starts the next engine of the source; its own event is -1."""

    def start(mode: str = "overflow") -> Trimtab:
        tt = connected(limits={"spool_mode": mode})
        record(tt, -1, 1)
        return tt

    return start


def losses(fake: FakeSidecar) -> list[tuple[int, int, int]]:
    """First number, last number and reason of each loss in the log."""
    found = [e.recorder_loss for e in fake.events("RECORDER_LOSS")]
    return [(each.first_seq, each.last_seq, each.reason) for each in found]


def adopted(fake: FakeSidecar) -> list[int]:
    """The values in the log without the next engine's own, in its order."""
    return [v for v in values(fake) if v >= 0]


def record_starts(data: bytes | bytearray) -> list[int]:
    """Where each record of a spool file begins; their sizes differ with the clock."""
    starts, found = [], data.find(b"tTs1")
    while found >= 0:
        starts.append(found)
        found = data.find(b"tTs1", found + 1)
    return starts
