"""Retention in a sidecar: what is due goes, one sidecar of a fleet sees to it, a failure passes."""

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from trimtab_server.domain.events import EventKind
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import Unavailable
from trimtab_server.loop import retention
from trimtab_server.loop.retention import STATION, Retention
from trimtab_server.store.retention import Pruned
from trimtab_server.store.stations import Lease
from trimtab_server.telemetry import Telemetry

_DAY_NS = 86_400 * 10**9
_HOUR_NS = 3_600 * 10**9
_NOW_NS = 100 * _DAY_NS
_DAYS = {EventKind.MARKET_TICK: 1.0, EventKind.MARKET_BAR: 2.5}
WAIT_S = 20.0


class FakeStore:
    """Answers each transaction from a list, then with nothing left to prune."""

    def __init__(self, *answers: Pruned | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[int, int]] = []
        self.leased: list[tuple[str, str]] = []
        self.leases_left = 1_000
        self.stations = SimpleNamespace(lease=self._lease)

    def _lease(self, name: str, holder: str, seconds: float) -> Lease | None:
        assert seconds > 0
        self.leased.append((name, holder))
        self.leases_left -= 1
        return Lease(name, 1, 0) if self.leases_left >= 0 else None

    def prune_some(self, kind: int, before_ns: int) -> Pruned:
        """The next answer."""
        self.asked.append((kind, before_ns))
        answer = self.answers.pop(0) if self.answers else Pruned(0, 0, has_more=False)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clocks:
    """A wall clock and a monotonic one that go together, until somebody sets the first."""

    def __init__(self) -> None:
        self.wall_ns = _NOW_NS
        self.mono_s = 5.0

    def pass_by(self, hours: float) -> None:
        """Lets time go by."""
        self.wall_ns += int(hours * _HOUR_NS)
        self.mono_s += hours * 3_600


def _made(
    store: FakeStore,
    days: dict[EventKind, float] = _DAYS,
    clocks: Clocks | None = None,
    newest_ns: int = 0,
) -> Retention:
    clocks = clocks or Clocks()
    return Retention(
        store,  # type: ignore[arg-type]
        days,
        "me",
        Telemetry(),
        lambda: clocks.wall_ns,
        lambda: clocks.mono_s,
        newest_ns,
    )


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_PAUSE_S", 0.0)


def test_each_kind_is_pruned_by_its_days_until_nothing_is_due() -> None:
    """In short transactions, each under a lease that was renewed for it."""
    store = FakeStore(Pruned(7, 70, has_more=True), Pruned(2, 20, has_more=False))
    assert _made(store).prune() == 9
    ticks, bars = (_NOW_NS - _DAY_NS, _NOW_NS - int(2.5 * _DAY_NS))
    assert store.asked == [
        (EventKind.MARKET_TICK, ticks),
        (EventKind.MARKET_TICK, ticks),
        (EventKind.MARKET_BAR, bars),
    ]
    assert store.leased == [(STATION, "me")] * 3


@pytest.mark.parametrize("leases", [0, 1])
def test_without_the_lease_nothing_is_pruned(leases: int) -> None:
    """Another sidecar has it from the start, or took it over in between."""
    store = FakeStore(*[Pruned(5, 50, has_more=True)] * 3)
    store.leases_left = leases
    assert _made(store).prune() == 5 * leases
    assert len(store.asked) == leases


def test_a_clock_that_leaps_forward_is_not_believed_for_hours() -> None:
    """What is pruned is gone: nothing is for four hours, and the log says why."""
    store, clocks = FakeStore(), Clocks()
    running = _made(store, clocks=clocks)
    running.prune()
    before = len(store.asked)
    assert before == 2
    clocks.wall_ns += 400 * _DAY_NS
    with capture_logs() as logs:
        for hours in (1, 1, 1, 0.9):
            assert running.prune() == 0
            clocks.pass_by(hours)
    assert [(log["log_level"], log["ahead_s"]) for log in logs] == [("warning", 400 * 86_400)]
    assert len(store.asked) == before
    clocks.pass_by(0.1)
    running.prune()
    assert store.asked[before] == (EventKind.MARKET_TICK, clocks.wall_ns - _DAY_NS)


def test_a_clock_that_was_mended_prunes_as_before() -> None:
    """A small step, and one back, are believed at once."""
    store, clocks = FakeStore(), Clocks()
    running = _made(store, clocks=clocks)
    for step_h in (2, -500, 2):
        clocks.wall_ns += step_h * _HOUR_NS
        clocks.pass_by(1)
        running.prune()
    assert len(store.asked) == 6


@pytest.mark.parametrize(("still_days", "waits"), [(0.0, False), (1.0, False), (1.2, True)])
def test_a_start_that_would_take_all_of_a_kind_waits(still_days: float, waits: bool) -> None:
    """The log lay still for longer than ticks are kept, or the clock is wrong: who knows."""
    store, clocks = FakeStore(), Clocks()
    running = _made(store, clocks=clocks, newest_ns=_NOW_NS - int(still_days * _DAY_NS))
    running.prune()
    assert bool(store.asked) is not waits
    clocks.pass_by(4)
    running.prune()
    assert store.asked


def test_an_event_of_the_future_is_told() -> None:
    """It holds its kind back; without a word nobody would know why nothing goes."""
    store = FakeStore(Pruned(0, 0, has_more=False, oldest_time_ns=_NOW_NS + _HOUR_NS))
    with capture_logs() as logs:
        assert _made(store).prune() == 0
    assert [(log["kind"], log["ahead_s"]) for log in logs] == [("MARKET_TICK", 3_600)]


def test_without_a_limit_nothing_runs() -> None:
    """Everything is kept: no thread, no lease; stopping is harmless."""
    store = FakeStore()
    idle = _made(store, {})
    idle.start()
    idle.stop()
    assert (store.leased, store.asked) == ([], [])


def _until(is_true: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(int(WAIT_S / 0.01)):
        if is_true():
            return
        waiting.wait(0.01)
    raise AssertionError("it never happened")


@pytest.mark.parametrize(
    ("failure", "wait"),
    [
        (Unavailable(Reason.STORE_UNAVAILABLE, "away"), "_RETRY_S"),
        (ZeroDivisionError("a defect"), "_INTERVAL_S"),
    ],
)
def test_a_failure_is_tried_again(
    failure: Exception, wait: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away soon, a defect with the next round; the thread goes on."""
    monkeypatch.setattr(retention, wait, 0.001)
    store = FakeStore(failure, failure, Pruned(3, 30, has_more=False))
    running = _made(store)
    running.start()
    _until(lambda: not store.answers)
    running.stop()
    assert len(store.asked) >= 3


def test_stopping_ends_a_round_behind_its_transaction() -> None:
    """However much is left to prune."""
    store = FakeStore(*[Pruned(1, 1, has_more=True)] * 1_000_000)
    running = _made(store)
    running.start()
    _until(lambda: len(store.asked) > 3)
    running.stop()
    assert store.answers
