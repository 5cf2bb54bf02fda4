"""Stations: in order, each event once, wherever the lease is."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import NAMESPACE_OID, uuid5

from tests.store.conftest import Backend, backend, databases  # noqa: F401  (fixtures)
from tests.store.log_events import an_event, unary
from trimtab_server.domain.events import Append, EventFilter, EventKind, StoredEvent
from trimtab_server.loop.ingest import Ingest, IngestLimits
from trimtab_server.loop.readers import Readers
from trimtab_server.loop.stations import Derived, StationRunner
from trimtab_server.store.store import Store
from trimtab_server.telemetry import Telemetry

_LIMITS = IngestLimits(100, 1 << 20, 0.0, 1_000, 1 << 24)
_WAIT_S_MAX = 30.0


class Echo:
    """Derives one event from each that is not derived; notes what it was given."""

    name = "echo"
    kinds: tuple[int, ...] = ()
    pulse_s: float | None = None

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.starts: list[int] = []

    def start(self, cursor: int) -> None:
        """Notes where."""
        self.starts.append(cursor)

    def derive(self, events: Sequence[StoredEvent]) -> Derived:
        """An event that says which one it comes from."""
        derived = []
        for stored in events:
            if not stored.body.startswith(b"echo"):
                self.seen.append(stored.sequence)
                event_id = uuid5(NAMESPACE_OID, f"echo-{stored.sequence}").bytes
                event = an_event(0, kind=EventKind.METRIC_RECORDED, body=b"echo-" + stored.body)
                derived.append(unary(event._replace(event_id=event_id)))
        return Derived(derived)


@asynccontextmanager
async def running(store: Store, holder: str) -> AsyncIterator[tuple[Echo, Ingest, StationRunner]]:
    """A station on a store, as a sidecar runs it."""
    echo, readers, telemetry = Echo(), Readers(2, 8), Telemetry()
    ingest = Ingest(store, _LIMITS, telemetry, time.monotonic, time.time_ns)
    ingest.start()
    loop = asyncio.get_running_loop()

    def grown(last: int) -> None:
        # The store outlives the loop here.
        if not loop.is_closed():
            ingest.heard(last)

    store.follow(grown, lambda _: None)
    runner = StationRunner(echo, store, ingest, readers, telemetry, holder, time.monotonic)
    runner.start()
    yield echo, ingest, runner
    await runner.stop()
    await ingest.stop()
    readers.close()


async def _until_echoed(store: Store, count: int) -> list[bytes]:
    """The bodies of the log, once it holds `count` echoes."""
    deadline = time.monotonic() + _WAIT_S_MAX
    while True:
        page = await asyncio.to_thread(store.events.tail, EventFilter(), 0, 10_000, 1 << 24)
        bodies = [event.body for event in page.events]
        if sum(body.startswith(b"echo") for body in bodies) >= count:
            return bodies
        assert time.monotonic() < deadline, f"{bodies} after {_WAIT_S_MAX} s"
        await asyncio.sleep(0.02)


def _bodies(numbers: range) -> list[Append]:
    return [unary(an_event(n, body=b"n%d" % n)) for n in numbers]


async def _record(ingest: Ingest, numbers: range) -> None:
    for append in _bodies(numbers):
        await (await ingest.submit(append, urgent=True))


async def test_each_event_goes_through_a_station_once_and_in_order(
    backend: Backend,  # noqa: F811
) -> None:
    """What it derives stands in the log once, whatever was stored before it started."""
    store = backend.open()
    store.append(_bodies(range(1, 6)))
    async with running(store, "one") as (echo, ingest, _):
        await _record(ingest, range(6, 11))
        bodies = await _until_echoed(store, 10)
    assert sorted(bodies) == sorted(
        [b"n%d" % n for n in range(1, 11)] + [b"echo-n%d" % n for n in range(1, 11)]
    )
    assert echo.seen == sorted(echo.seen)
    assert len(echo.seen) == 10


async def test_a_station_goes_on_where_it_was(backend: Backend) -> None:  # noqa: F811
    """After a restart it derives nothing again and skips nothing."""
    store = backend.open()
    async with running(store, "one") as (_, ingest, _):
        await _record(ingest, range(1, 4))
        await _until_echoed(store, 3)
    store = backend.reopen(store)
    async with running(store, "two") as (echo, ingest, _):
        await _record(ingest, range(4, 7))
        await _until_echoed(store, 6)
    assert echo.starts[0] >= 3
    assert len(echo.seen) == 3


def test_a_lease_has_one_holder_at_a_time(backend: Backend) -> None:  # noqa: F811
    """The next holder gets a larger key, and a write under the older one is refused whole."""
    store = backend.open()
    first = store.stations.lease("echo", "one", 60.0)
    assert first is not None
    assert store.stations.lease("echo", "one", 60.0) == first
    if backend.name == "postgresql":
        assert store.stations.lease("echo", "two", 60.0) is None
    store.stations.release(first)
    second = store.stations.lease("echo", "two", 60.0)
    assert second is not None
    assert second.key > first.key
    assert store.stations.advance(first, 5, [unary(an_event(1))]) is None
    assert store.info().last_sequence == 0
    done = store.stations.advance(second, 5, [unary(an_event(1))])
    assert done is not None
    assert done[0].sequences == [1]
    assert store.stations.lease("echo", "two", 60.0) == second._replace(cursor=5)


def test_a_cursor_never_goes_back(backend: Backend) -> None:  # noqa: F811
    """A late step of the same holder changes nothing."""
    store = backend.open()
    lease = store.stations.lease("echo", "one", 60.0)
    assert lease is not None
    assert store.stations.advance(lease, 7) == []
    assert store.stations.advance(lease, 6) is None


async def test_two_sidecars_run_a_station_once(databases: Backend) -> None:  # noqa: F811
    """Both record, one of them derives; when it stops, the other goes on without a gap."""
    one, two = databases.open(), databases.open()
    async with running(two, "two") as (second, second_ingest, _):
        async with running(one, "one") as (first, first_ingest, _):
            await asyncio.gather(
                _record(first_ingest, range(1, 20)), _record(second_ingest, range(101, 120))
            )
            await _until_echoed(two, 38)
        await _record(second_ingest, range(201, 211))
        bodies = await _until_echoed(two, 48)
    assert sum(body.startswith(b"echo") for body in bodies) == 48
    assert len(set(bodies)) == len(bodies) == 96
    assert len(first.seen) + len(second.seen) == 48
    assert set(first.seen).isdisjoint(second.seen)


class Holder(Echo):
    """Holds back what comes after `holds_from`, and remembers that it was told so."""

    name = "holder"
    pulse_s: float | None = 0.02

    def __init__(self, holds_from: int, *, waits: bool) -> None:
        super().__init__()
        self._holds_from = holds_from
        self._waits = waits
        self.settled: list[int] = []
        self.written: list[int] = []

    def derive(self, events: Sequence[StoredEvent]) -> Derived:
        """Something to store, with a cursor that may not follow."""
        self.seen += [stored.sequence for stored in events]
        held = self._holds_from if self.seen and self.seen[-1] >= self._holds_from else 0
        return Derived(
            also=lambda _: None,
            held_from=held,
            cursor_waits=self._waits,
            settle=lambda _, sequence: self.written.append(sequence),
            settled=self.settled.append,
        )


async def _held(store: Store, station: Holder, last: int) -> int:
    """Runs the station until it has seen `last`; the cursor that is saved then."""
    readers, telemetry = Readers(2, 8), Telemetry()
    ingest = Ingest(store, _LIMITS, telemetry, time.monotonic, time.time_ns)
    ingest.start()
    runner = StationRunner(station, store, ingest, readers, telemetry, "one", time.monotonic)
    runner.start()
    deadline = time.monotonic() + _WAIT_S_MAX
    while not station.settled or last not in station.seen:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert runner.lag == 0
    await runner.stop()
    await ingest.stop()
    readers.close()
    lease = store.stations.lease("holder", "two", 60.0)
    assert lease is not None
    return lease.cursor


async def test_what_a_station_holds_comes_again_after_a_restart(
    backend: Backend,  # noqa: F811
) -> None:
    """The cursor is saved before the first event that it holds, and it is told so much."""
    store = backend.open()
    store.append(_bodies(range(1, 11)))
    first = Holder(7, waits=False)
    assert await _held(store, first, 10) == 6
    assert first.written[-1] == first.settled[-1] == 6
    store.stations.release(store.stations.lease("holder", "two", 60.0))  # type: ignore[arg-type]
    second = Holder(99, waits=False)
    assert await _held(store, second, 10) == 10
    assert second.seen == [7, 8, 9, 10]


async def test_a_cursor_can_wait_while_what_is_derived_is_stored(
    backend: Backend,  # noqa: F811
) -> None:
    """All is settled and said so; after a restart everything comes again."""
    store = backend.open()
    store.append(_bodies(range(1, 11)))
    first = Holder(99, waits=True)
    assert await _held(store, first, 10) == 0
    assert first.written[-1] == first.settled[-1] == 10


class Slow(Echo):
    """Derives nothing, and takes a while for it."""

    name = "slow"
    pulse_s: float | None = 0.005

    def __init__(self) -> None:
        super().__init__()
        self.step_count = 0

    def derive(self, events: Sequence[StoredEvent]) -> Derived:
        """Nothing."""
        self.step_count += 1
        time.sleep(0.02)
        return Derived(can_wait=True)


async def _steps_beside(store: Store, events_buffered: int) -> int:
    """Steps in a while, with so much waiting for the writer."""
    station, readers, telemetry = Slow(), Readers(2, 8), Telemetry()
    ingest = Ingest(store, _LIMITS, telemetry, time.monotonic, time.time_ns)
    ingest.start()
    parts = (store, ingest, readers, telemetry, "one", time.monotonic)
    runner = StationRunner(station, *parts, rest_share=20.0)
    runner.start()
    await asyncio.sleep(0.3)
    before = station.step_count
    ingest.events_buffered = events_buffered
    await asyncio.sleep(1.2)
    ingest.events_buffered = 0
    await runner.stop()
    await ingest.stop()
    readers.close()
    return station.step_count - before


async def test_a_station_makes_way_while_the_writer_has_work(
    backend: Backend,  # noqa: F811
) -> None:
    """It rests by what its steps take; with nothing to write it does not."""
    store = backend.open()
    assert await _steps_beside(store, 5) * 2 < await _steps_beside(store, 0)


async def test_after_a_rest_events_say_that_nothing_came(backend: Backend) -> None:  # noqa: F811
    """A station is at rest once it was handed everything that was on its way; what is stored later
    has no earlier ingest time, though the clock is set back."""
    store = backend.open()
    async with running(store, "one") as (echo, ingest, runner):
        await _record(ingest, range(1, 4))
        bodies = await _until_echoed(store, 3)
        first_ns = store.events.tail(EventFilter(), 0, 1, 1 << 20).events[0].ingest_time_ns
        until_ns = first_ns + 3_600 * 10**9
        ingest.events_buffered += 1
        assert not runner.at_rest(until_ns)
        ingest.events_buffered -= 1
        deadline = time.monotonic() + _WAIT_S_MAX
        while not runner.at_rest(until_ns):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        await _record(ingest, range(4, 5))
        await _until_echoed(store, 4)
        log = store.events.tail(EventFilter(), len(bodies), 10, 1 << 20).events
    assert {event.body: event.ingest_time_ns for event in log}[b"n4"] == until_ns
    assert echo.seen[:3] == [1, 2, 3]
