"""The ledger's station: the same rows and the same events, whatever happened to it."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.loop.ledger_world import (
    MODEL,
    NS,
    START_NS,
    Clock,
    Sidecar,
    World,
    append_all,
    books_of,
    new_store,
    rows,
    shadow_bodies,
    stored,
)
from tests.store.conftest import Backend, backend, databases  # noqa: F401  (fixtures)
from trimtab.v1 import event_pb2 as ev
from trimtab_server.domain.events import Event, EventFilter, EventKind
from trimtab_server.domain.ledger.facts import Lane
from trimtab_server.loop import stations
from trimtab_server.loop.ledger import LedgerLimits
from trimtab_server.store.store import Store

LIVE, RUN = Lane("alpha", 1, ""), Lane("beta", 3, "r-1")
Opener = Callable[[str], Store]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens stores by name, and closes them."""
    stores: list[Store] = []

    def open_one(name: str) -> Store:
        stores.append(new_store(tmp_path, name))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def told(store: Store) -> tuple[dict[str, list[tuple[Any, ...]]], list[bytes]]:
    """What a store's ledger holds: rows, and bodies of shadow outcomes."""
    return rows(store), shadow_bodies(store)


def plain_run(store: Store, events: list[Event], limits: LedgerLimits | None = None) -> Any:
    """What the ledger holds after an undisturbed run."""
    append_all(store, events)
    Sidecar(store, Clock(), limits).finish()
    return told(store)


WORLD = World(1, (LIVE, RUN))


def test_every_signal_is_followed_blocked_or_not(opened: Opener) -> None:
    """One row a signal; shadow outcomes of each that could end."""
    ledger, bodies = plain_run(opened("one"), WORLD.events)
    signal_count = sum(event.kind == EventKind.SIGNAL for event in WORLD.events)
    assert len(ledger["ledger_signals"]) == signal_count
    # Of its own life, and of the horizon.
    assert signal_count < len(bodies) <= 2 * signal_count
    assert len(ledger["ledger_lanes"]) == 2


def test_both_databases_come_to_the_same(backend: Backend, opened: Opener) -> None:  # noqa: F811
    """With a kill in between."""
    expected = plain_run(opened("one"), WORLD.events)
    store, clock = backend.open(), Clock()
    append_all(store, WORLD.shifted(4))
    Sidecar(store, clock).step()
    Sidecar(store, clock).finish()
    assert told(store) == expected


@pytest.mark.parametrize("seed", range(3))
def test_another_order_within_the_bound_is_the_same(opened: Opener, seed: int) -> None:
    """Identical rows, byte-identical shadow outcomes; duplicates are not in the log twice."""
    expected = plain_run(opened("one"), WORLD.events)
    shifted = WORLD.shifted(seed)
    assert shifted != WORLD.events
    assert plain_run(opened("other"), [*shifted, *shifted[::7]]) == expected


@pytest.mark.parametrize(("span", "kill_every"), [(1_000, 1), (37, 3), (53, 5), (200, 2)])
def test_kills_and_pages_change_nothing(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, span: int, kill_every: int
) -> None:
    """Killed at every few pages, mostly without a checkpoint; started again from the store."""
    expected = plain_run(opened("one"), WORLD.events)
    monkeypatch.setattr(stations, "_PAGE_SPAN", span)
    store, clock = opened("other"), Clock()
    append_all(store, WORLD.shifted(5))
    sidecar, steps = Sidecar(store, clock), 0
    while sidecar.cursor < store.info().last_sequence and steps < 2_000:
        steps += 1
        # A checkpoint is due every two seconds.
        sidecar.step(passed_s=0.9)
        if steps % kill_every == 0:
            before = sidecar.station.settled_sequence
            sidecar = Sidecar(store, clock)
            assert sidecar.station.settled_sequence <= before
            sidecar.step(passed_s=2.1)
            sidecar.step(passed_s=2.1)
    sidecar.finish()
    assert told(store) == expected


def test_a_log_that_grows_while_it_is_read_is_the_same(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events in small commits with steps between them, a kill now and then."""
    expected = plain_run(opened("one"), WORLD.events)
    monkeypatch.setattr(stations, "_PAGE_SPAN", 50)
    store, clock = opened("other"), Clock()
    sidecar = Sidecar(store, clock)
    events = WORLD.shifted(9)
    for start in range(0, len(events), 40):
        append_all(store, events[start : start + 40])
        sidecar.step(passed_s=0.4)
        if start % 200 == 0:
            sidecar = Sidecar(store, clock)
    sidecar.finish()
    assert told(store) == expected


def test_a_replay_of_the_log_without_what_was_derived_is_the_same(opened: Opener) -> None:
    """Copied without shadow outcomes and run again: byte-identical results."""
    store = opened("one")
    expected = plain_run(store, WORLD.shifted(3))
    page = store.events.tail(EventFilter(), 0, 10**6, 1 << 28)
    derived = set(shadow_bodies(store))
    by_body = {event.body: event for event in WORLD.events}
    copy = [by_body[each.body] for each in page.events if each.body not in derived]
    assert len(copy) == len(WORLD.events)
    assert plain_run(opened("copy"), copy) == expected


def test_quiet_releases_what_is_held_and_saves_it(opened: Opener) -> None:
    """A second without events: results appear, and no restart after it takes them back."""
    store, clock = opened("one"), Clock()
    append_all(store, [each for each in WORLD.events if each.event_time_ns < START_NS + 50 * NS])
    sidecar = Sidecar(store, clock)
    sidecar.step()
    assert sidecar.station.settled_sequence < store.info().last_sequence
    before = len(shadow_bodies(store))
    sidecar.step(passed_s=1.5)
    after = shadow_bodies(store)
    assert len(after) > before
    # What comes now from before what has left is late, though a new life sees it in one page.
    late = World(2, (LIVE,), seconds=30)
    append_all(store, late.events[:20])
    sidecar = Sidecar(store, clock)
    sidecar.finish()
    assert set(after) <= set(shadow_bodies(store))
    (row,) = [row for row in rows(store)["ledger_lanes"] if "alpha" in row]
    assert row[-2] == 20


def test_quiet_is_only_what_later_ingest_times_will_say(opened: Opener) -> None:
    """While something is on its way nothing is released, or a replay would find another order; it
    is asked with the ingest time from which on a replay sees the quiet too."""
    asked: list[int] = []

    def never(until_ns: int) -> bool:
        asked.append(until_ns)
        return False

    store, clock = opened("one"), Clock()
    append_all(store, WORLD.events[:200])
    sidecar = Sidecar(store, clock, at_rest=never)
    sidecar.step()
    before = shadow_bodies(store)
    sidecar.step(passed_s=60.0)
    assert shadow_bodies(store) == before
    assert asked == [START_NS + NS]


def test_one_source_can_serve_the_prices_of_all(opened: Opener) -> None:
    """A feed's bars make the results of engines that record none, whatever the order."""
    feed = Lane("feed", 1, "")
    signals = [each for each in WORLD.events if each.source == "alpha" and each.kind < 9]
    bars = [each for each in World(4, (feed,)).events if each.kind == EventKind.MARKET_BAR]
    both = sorted([*signals, *bars], key=lambda each: each.event_time_ns)
    limits = LedgerLimits(price_source="feed")
    ledger, bodies = plain_run(opened("one"), both, limits)
    assert bodies
    assert plain_run(opened("two"), both)[1] == []
    shaken = sorted(both, key=lambda each: each.event_time_ns + each.event_id[0] % 5 * NS)
    assert plain_run(opened("three"), shaken, limits) == (ledger, bodies)


def test_lanes_in_memory_are_bounded(opened: Opener) -> None:
    """Many runs come and go: what is open in a forgotten one is counted, never guessed."""
    runs = [Lane("beta", 3, f"r-{n}") for n in range(12)]
    events = [event for n, run in enumerate(runs) for event in World(n, (run,), 20).events]
    store = opened("one")
    ledger, _ = plain_run(store, events, LedgerLimits(lanes_max=4))
    assert len(ledger["ledger_lanes"]) == len(runs)
    assert sum(row[-1] for row in ledger["ledger_lanes"]) > 0
    parts = store.ledger.checkpoints()
    assert sum(len(content) for content in parts.values()) < 100_000


def test_a_body_that_cannot_be_read_stops_nothing(opened: Opener) -> None:
    """It tells nothing; its neighbours do."""
    store = opened("one")
    broken = WORLD.events[0]._replace(event_id=b"?" * 16, body=b"\xff\x00broken")
    ledger, bodies = plain_run(store, [broken, *WORLD.events])
    assert plain_run(opened("two"), WORLD.events) == (ledger, bodies)


def test_a_checkpoint_of_another_version_is_passed_over(opened: Opener) -> None:
    """The ledger goes on with what comes; what was open stays without a result."""
    store, clock = opened("one"), Clock()
    append_all(store, WORLD.events[:200])
    Sidecar(store, clock).finish()
    with store._database.writing() as writer:
        store.ledger.checkpoint(writer, {"ordering": b"[1", "lanes-00": b"{}\n"})
    append_all(store, WORLD.events[200:])
    Sidecar(store, clock).finish()
    signal_count = sum(event.kind == EventKind.SIGNAL for event in WORLD.events)
    assert len(rows(store)["ledger_signals"]) == signal_count


@pytest.mark.parametrize(
    "change", [{"taker_fee_bps": 2.0}, {"horizons": ("2m", "9m"), "markout_ages": ()}]
)
def test_another_fill_model_touches_what_is_open_and_nothing_else(
    opened: Opener, change: dict[str, Any]
) -> None:
    """Trades go on where they were. Under other costs so do signals; under other horizons they are
    no longer followed, and counted."""
    expected = plain_run(opened("one"), WORLD.events)
    store, clock = opened("two"), Clock()
    append_all(store, WORLD.events[:250])
    Sidecar(store, clock).finish()
    append_all(store, WORLD.events[250:])
    model = replace(MODEL, **change)
    Sidecar(store, clock, books=books_of(model)).finish()
    found, bodies = told(store)
    is_lost = found["ledger_lanes"] != expected[0]["ledger_lanes"]
    assert is_lost == ("horizons" in change)
    assert [row[0] for row in found["ledger_signals"]] == [
        row[0] for row in expected[0]["ledger_signals"]
    ]
    assert bodies != expected[1]


async def test_a_report_can_wait_until_all_is_settled(opened: Opener) -> None:
    """Here, or in another sidecar that runs the station."""
    store = opened("one")
    append_all(store, WORLD.events)
    sidecar = Sidecar(store, Clock())
    last = store.info().last_sequence
    waiting = asyncio.create_task(sidecar.station.wait_settled(last))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await asyncio.to_thread(sidecar.finish)
    await asyncio.wait_for(waiting, 20)
    elsewhere = Sidecar(opened("two"), Clock())
    await asyncio.wait_for(elsewhere.station.wait_settled(last, lambda: last), 20)


def test_late_facts_are_counted_by_lane(opened: Opener) -> None:
    """Those behind the bound; their rows are written all the same."""
    late = World(3, (LIVE,), seconds=5)
    now = [event for event in WORLD.events if event.event_time_ns > START_NS + 30 * NS]
    ledger, _ = plain_run(opened("one"), [*now, *late.events])
    (row,) = [row for row in ledger["ledger_lanes"] if "alpha" in row]
    assert row[-2] == sum(each.event_time_ns < START_NS + 30 * NS for each in late.events)


def test_corrected_prices_are_counted_with_late_facts(opened: Opener) -> None:
    """What was followed along the first ones stays, so reports tell that there were others."""
    bars = [event for event in WORLD.events if event.kind == EventKind.MARKET_BAR]
    bar = ev.Event.FromString(next(each.body for each in bars if each.source == "alpha"))
    bar.corrects_event_id, bar.event_id = bar.event_id, str(UUID(int=11))
    ledger, _ = plain_run(opened("one"), [*WORLD.events, stored(bar)])
    (row,) = [row for row in ledger["ledger_lanes"] if "alpha" in row]
    assert row[-2] == 1
