"""The signal gate in memory: swapped whole, told to whoever waits, the same on every sidecar."""

import asyncio
from functools import partial

import pytest

from tests.loop.gate_world import (
    LIVE,
    NS,
    RUN,
    START_NS,
    FakeClock,
    Running,
    an_order,
    decided,
    running,
    until,
)
from tests.store.conftest import Backend, backend, databases  # noqa: F401  (fixtures)
from trimtab_server.domain.events import Environment
from trimtab_server.domain.gate.breaker_record import Probe
from trimtab_server.domain.gate.gate_world import (
    Altered,
    BreakerKey,
    GateWorld,
    with_state,
    with_tripped,
)
from trimtab_server.domain.gate.signal_gate import (
    BreakerKind,
    GateReason,
    Intent,
    Scope,
    StateEntry,
    TradingState,
    World,
)
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import Overloaded, TrimtabError, Unavailable
from trimtab_server.loop import signal_gate as loop_signal_gate
from trimtab_server.store.store import Store

ALL = Scope()
ALPHA = Scope("alpha", "momentum", "BTC-USDT", "")
HALTED = [GateReason.HALTED]
# A change reaches other sidecars within a second; the machine of a test may be slow.
HEARD_S_MAX = 5.0


def _halted(until_ns: int | None, scope: Scope, before: GateWorld) -> Altered:
    entry = StateEntry(scope, TradingState.HALTED, False, "tester", "why", until_ns, START_NS, 0)
    return with_state(before, entry, None)


async def halt(
    one: Running, world: World = LIVE, scope: Scope = ALL, until_ns: int | None = None
) -> bytes:
    """Orders a halt; the revision that it made."""
    return await one.gate.order(an_order(world), decided(partial(_halted, until_ns, scope)))


async def trip(one: Running, world: World, cool_down_ns: int | None) -> bytes:
    """Opens a breaker by hand in all of a world."""
    key = BreakerKey(ALL, BreakerKind.DRAWDOWN, "")

    def tripped(before: GateWorld) -> Altered:
        return with_tripped(before, key, START_NS, cool_down_ns, "why", "tester")

    return await one.gate.order(an_order(world), decided(tripped))


async def test_an_order_holds_here_before_it_is_answered(backend: Backend) -> None:  # noqa: F811
    """Who waits for a change of the world is woken, others are not; an exit still passes."""
    async with running(backend.open(), with_monitor=False) as one:
        live, run = one.gate.change(LIVE), one.gate.change(RUN)
        assert await halt(one) == b"1"
        assert live.is_set()
        assert not run.is_set()
        assert one.codes(LIVE, ALPHA, START_NS) == HALTED
        assert one.codes(LIVE, ALPHA, START_NS, intent=Intent.EXIT) == []
        assert one.codes(RUN, ALPHA, START_NS) == []


async def test_an_order_whose_caller_left_holds_all_the_same(backend: Backend) -> None:  # noqa: F811
    """What is stored holds here too, whether or not anybody heard the answer."""
    async with running(backend.open(), with_monitor=False) as one:
        order = asyncio.create_task(halt(one))
        await asyncio.sleep(0)
        order.cancel()
        await until(lambda: one.codes(LIVE, ALPHA, START_NS) == HALTED, "the halt")


async def test_a_change_through_one_sidecar_is_heard_by_the_other(
    databases: Backend,  # noqa: F811
) -> None:
    """Halts, breakers and probes; those who wait there are woken."""
    async with (
        running(databases.open(), "one", with_monitor=False) as one,
        running(databases.open(), "two", with_monitor=False) as two,
    ):
        woken = two.gate.change(LIVE)
        await halt(one)
        await asyncio.wait_for(woken.wait(), HEARD_S_MAX)
        assert two.codes(LIVE, ALPHA, START_NS) == HALTED
        await trip(two, RUN, 1)
        await until(lambda: bool(one.gate.held(RUN).breakers), "the breaker")
        later = START_NS + NS
        for signal_id in ("p-1", "p-2", "p-3"):
            assert one.codes(RUN, ALPHA, later, signal_id) == [GateReason.PROBE_GRANTED]
        exhausted = [GateReason.PROBES_EXHAUSTED]
        await until(
            lambda: len(next(iter(two.gate.held(RUN).breakers.values())).probes) == 3, "the probes"
        )
        assert two.codes(RUN, ALPHA, later, "p-4") == exhausted
        assert two.gate.held(RUN).rules.revision == 1


def _is_at(one: Running, revision: int) -> bool:
    return one.gate.held(LIVE).rules.revision == revision


async def test_two_sidecars_never_overwrite_each_other(databases: Backend) -> None:  # noqa: F811
    """Forty orders at once through two: each counts, none is lost, both come to the same."""
    async with (
        running(databases.open(), "one", with_monitor=False) as one,
        running(databases.open(), "two", with_monitor=False) as two,
    ):
        orders = [
            halt(each, scope=Scope(f"{name}-{i}"))
            for i in range(20)
            for name, each in (("one", one), ("two", two))
        ]
        answers = await asyncio.gather(*orders)
        assert sorted(map(int, answers)) == list(range(1, 41))
        for each in (one, two):
            await until(partial(_is_at, each, 40), "all orders")
            assert len(each.gate.held(LIVE).rules.states) == 40


async def test_it_answers_while_the_database_is_away(
    backend: Backend,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Decisions and probes go on from memory; orders are refused; what was granted meanwhile is
    stored as soon as the database is back."""
    store = backend.open()
    async with running(store, with_monitor=False) as one:
        await trip(one, RUN, 1)

        def away(*_: object) -> None:
            raise Unavailable(Reason.STORE_UNAVAILABLE, "the database refused")

        with monkeypatch.context() as patched:
            patched.setattr(store.gate, "keep_grants", away)
            patched.setattr(store, "change_gate", away)
            assert one.codes(RUN, ALPHA, START_NS + NS) == [GateReason.PROBE_GRANTED]
            with pytest.raises(TrimtabError):
                await halt(one)
            assert one.codes(LIVE, ALPHA, START_NS) == []
            await asyncio.sleep(0.1)
            assert len(one.gate.grants) == 1
        await until(lambda: not one.gate.grants, "the storing of the probe")
        (breaker,) = (await one.gate.page(RUN, None, 10, include_closed=False)).breakers
        assert breaker.probes == (Probe("alpha", "s-1", START_NS + NS),)


async def test_orders_that_wait_are_limited(
    backend: Backend,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of many at once, previews among them, those beyond the limit are refused with a delay and
    without a trace; the others are carried out, and then there is room again."""
    monkeypatch.setattr(loop_signal_gate, "_ORDERS_MAX", 8)
    async with running(backend.open(), with_monitor=False) as one:
        previews = [one.gate.preview(an_order(LIVE), decided(Altered)) for _ in range(2)]
        orders = [halt(one, scope=Scope(f"s-{i}")) for i in range(10)]
        found = await asyncio.gather(*previews, *orders, return_exceptions=True)
        refused = [each for each in found if isinstance(each, Overloaded)]
        assert [each.reason for each in refused] == [Reason.OVERLOADED] * 4
        assert all(each.retry_after_s is not None for each in refused)
        assert found[2:8] == [b"1", b"2", b"3", b"4", b"5", b"6"]
        assert await halt(one, scope=Scope("late")) == b"7"


async def test_a_halt_ends_by_itself_and_a_restart_ends_none(backend: Backend) -> None:  # noqa: F811
    """`until` counts on the clock of the world; whatever else holds, holds after a restart."""
    store = backend.open()
    async with running(store, with_monitor=False) as one:
        await halt(one, until_ns=START_NS + 60 * NS)
        await halt(one, RUN)
        before = {world: one.gate.held(world).rules for world in (LIVE, RUN)}
    store = backend.reopen(store)
    async with running(store, with_monitor=False) as one:
        assert {world: one.gate.held(world).rules for world in (LIVE, RUN)} == before
        assert one.codes(LIVE, ALPHA, START_NS + 59 * NS) == HALTED
        assert one.codes(LIVE, ALPHA, START_NS + 60 * NS) == []
        assert one.codes(RUN, ALPHA, 10**18 * 7) == HALTED


async def test_runs_that_are_forgotten_leave_the_memory_too(backend: Backend) -> None:  # noqa: F811
    """And who watches one hears of it by a new revision, which is no lower."""
    store = backend.open()
    store.gate._limits = store.gate._limits._replace(runs_max=2)
    async with running(store, with_monitor=False) as one:
        runs = [World(int(Environment.BACKTEST), f"r-{i}") for i in range(4)]
        await halt(one, runs[0])
        woken = one.gate.change(runs[0])
        for world in runs[1:]:
            await halt(one, world)
        await asyncio.wait_for(woken.wait(), 20)
        await until(lambda: len(one.gate._worlds) == 2, "the end of the old runs")
        assert one.gate.held(runs[0]).rules.revision > 1
        assert one.codes(runs[0], ALPHA, START_NS) == []
        assert one.codes(runs[3], ALPHA, START_NS) == HALTED


async def test_orders_that_change_nothing_leave_nothing_in_memory(
    backend: Backend,  # noqa: F811
) -> None:
    """Names of runs that nobody uses do not pile up."""
    async with running(backend.open(), with_monitor=False) as one:
        for i in range(5):
            world = World(int(Environment.BACKTEST), f"r-{i}")
            await one.gate.order(an_order(world), decided(Altered))
            one.gate.asked_at(world, START_NS + i)
        assert one.gate._worlds == {}
        assert one.gate.time_of(world) == START_NS + 4


def _revisions(store: Store) -> dict[World, int]:
    return {each.world: each.revision for each in store.gate.since(-1, 0).worlds}


async def test_the_clock_of_live_is_the_server_s(backend: Backend) -> None:  # noqa: F811
    """The time of a run is what its questions told, of LIVE the clock that was given."""
    clock = FakeClock()
    store = backend.open()
    async with running(store, clock=clock, with_monitor=False) as one:
        assert one.gate.time_of(LIVE) == START_NS
        clock.now_ns += NS
        assert one.gate.time_of(LIVE) == START_NS + NS
        assert one.gate.time_of(RUN) == 0
        one.gate.asked_at(RUN, 5)
        one.gate.asked_at(RUN, 3)
        assert one.gate.time_of(RUN) == 5
    assert _revisions(store) == {}
