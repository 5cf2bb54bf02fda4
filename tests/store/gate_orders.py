"""Orders, worlds and breakers for the tests of what the signal gate keeps."""

from dataclasses import replace
from functools import partial
from uuid import uuid4

from trimtab_server.domain.events import Environment
from trimtab_server.domain.gate.breaker_record import Breaker, Probe
from trimtab_server.domain.gate.gate_world import (
    BreakerKey,
    Decided,
    GateWorld,
    Order,
    closed_breaker,
    key_of,
    with_state,
    with_tripped,
)
from trimtab_server.domain.gate.signal_gate import (
    BreakerKind,
    Scope,
    StateEntry,
    TradingState,
    World,
)
from trimtab_server.store.store import Store

LIVE = World(int(Environment.LIVE), "")
PAPER = World(int(Environment.PAPER), "")
ALL = Scope()
LOSSES = BreakerKind.CONSECUTIVE_LOSSES


def run(name: str) -> World:
    """A run of BACKTEST."""
    return World(int(Environment.BACKTEST), name)


def an_order(world: World = LIVE, etag: str = "", digest: bytes = b"d" * 16) -> Order:
    """A new order."""
    return Order(world, uuid4().bytes, digest, etag, "tester", "what it was")


def halted(scope: Scope = ALL) -> StateEntry:
    """A halt until somebody resumes."""
    return StateEntry(scope, TradingState.HALTED, True, "tester", "a reason \U0001f6d1", None, 7, 0)


def decided_halt(scope: Scope, before: GateWorld) -> Decided:
    """A halt, answered by the revision."""
    altered = with_state(before, halted(scope), 0)
    return Decided(altered, b"revision %d" % altered.world.revision)


def decided_trip(key: BreakerKey, before: GateWorld) -> Decided:
    """A breaker opened by hand at 1 µs for 1 ms."""
    return Decided(with_tripped(before, key, 1_000, 1_000_000, "because", "tester"), b"tripped")


def halt(store: Store, world: World = LIVE, scope: Scope = ALL) -> GateWorld:
    """The world after a halt."""
    return store.change_gate(an_order(world), partial(decided_halt, scope)).world


def everything(store: Store) -> dict[World, GateWorld]:
    """All worlds as a sidecar reads them at its start."""
    return {each.world: each for each in store.gate.since(-1, 0).worlds}


def full_breaker(world: World = LIVE, **fields: object) -> Breaker:
    """A breaker with a value in every field."""
    whole = Breaker(
        world=world,
        scope=Scope("alpha", "momentum", "BTC-USDT", "trend"),
        kind=LOSSES,
        rule="losses",
        is_open=True,
        open_time_ns=1_700_000_000_123_456_789,
        open_until_ns=1_700_000_300_123_456_789,
        trip_count=3,
        reason="5 losses",
        actor="",
        revision=0,
        probes=(
            Probe("alpha", "s-1", 1_700_000_300_123_456_790),
            Probe("beta", "s-2", 1_700_000_300_123_456_791, has_ended=True),
        ),
        success_count=1,
        breach_count=2,
        window=((1_700_000_000_123_456_789, 0.1), (1_700_000_000_123_456_790, -1e-9)),
        clock_ns=1_700_000_000_123_456_790,
        observed_value=0.1 + 0.2,
        limit=5.0,
    )
    return replace(whole, **fields)  # type: ignore[arg-type]


def keep(store: Store, after: Breaker, before: Breaker | None = None) -> GateWorld:
    """Stores one breaker; the world as it is then."""
    with store._database.writing() as writer:
        gate = store.gate.held(writer, after.world)
        former = before or closed_breaker(after.world, key_of(after))
        return store.gate.keep(writer, gate, {key_of(after): former}, [after]).world
