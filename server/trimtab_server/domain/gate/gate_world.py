"""What the gate holds of one world, and what an operator's order makes of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from trimtab_server.domain.gate.breaker import tripped_by_hand
from trimtab_server.domain.gate.breaker_record import Breaker, Probe, reset
from trimtab_server.domain.gate.signal_gate import (
    BreakerKind,
    Scope,
    StateEntry,
    TradingState,
    World,
)


class BreakerKey(NamedTuple):
    """Which breaker of a world; rule: empty = tripped by hand. Sorts as the contract lists them."""

    scope: Scope
    kind: BreakerKind
    rule: str


class Grant(NamedTuple):
    """A probe that a breaker granted, its time on the clock of the world."""

    world: World
    key: BreakerKey
    probe: Probe


@dataclass(frozen=True)
class GateWorld:
    """What holds in one world. revision: grows with every change that a signal could notice.
    generation: of all worlds together, grows with every change that another sidecar has to hear of.
    event_time_ns: of BACKTEST, the largest that was seen. breakers: those that are not closed."""

    world: World
    revision: int = 0
    generation: int = 0
    event_time_ns: int = 0
    states: tuple[StateEntry, ...] = ()
    breakers: tuple[Breaker, ...] = ()


class Altered(NamedTuple):
    """A world as an order leaves it, and those of its breakers that the order closed. The order
    changed nothing when the world is the same object as before."""

    world: GateWorld
    closed: tuple[Breaker, ...] = ()


class Order(NamedTuple):
    """What somebody ordered: of which world, by whom, under which id (16 bytes), with the digest of
    all that was asked; etag: the revision that it is for, empty = any; what: for the audit."""

    world: World
    request_id: bytes
    digest: bytes
    etag: str
    actor: str
    what: str


class Decided(NamedTuple):
    """What an order comes to, and the answer about it."""

    altered: Altered
    answer: bytes


def closed_breaker(world: World, key: BreakerKey) -> Breaker:
    """A breaker that has seen nothing."""
    return Breaker(world, key.scope, key.kind, key.rule)


def key_of(breaker: Breaker) -> BreakerKey:
    """Which one it is."""
    return BreakerKey(breaker.scope, breaker.kind, breaker.rule)


def with_state(gate: GateWorld, entry: StateEntry, now_ns: int | None) -> Altered:
    """The world under an order of `entry` for exactly its scope; ACTIVE takes away what was there.
    States that had ended by `now_ns` go too (None = the world's time is not the server's)."""
    others = tuple(each for each in gate.states if each.scope != entry.scope)
    if entry.state is TradingState.ACTIVE and len(others) == len(gate.states):
        return Altered(gate)
    kept = tuple(each for each in others if now_ns is None or each.holds_at(now_ns))
    if entry.state is not TradingState.ACTIVE:
        kept += (entry._replace(revision=gate.revision + 1),)
    return Altered(replace(gate, revision=gate.revision + 1, states=kept))


def with_tripped(
    gate: GateWorld,
    key: BreakerKey,
    now_ns: int,
    cool_down_ns: int | None,
    reason: str,
    actor: str,
) -> Altered:
    """The world with the breaker of `key` opened by hand."""
    before = next((each for each in gate.breakers if key_of(each) == key), None)
    closed = before or closed_breaker(gate.world, key)
    opened = tripped_by_hand(closed, now_ns, cool_down_ns, reason, actor)
    opened = replace(opened, revision=gate.revision + 1)
    others = tuple(each for each in gate.breakers if key_of(each) != key)
    return Altered(replace(gate, revision=gate.revision + 1, breakers=(*others, opened)))


def with_reset(
    gate: GateWorld, scope: Scope, kind: BreakerKind | None, *, include_narrower: bool
) -> Altered:
    """The world without the open breakers of exactly `scope` (and of narrower ones), of one kind
    or of all (None). What was cleared are those of `gate.breakers` that it has no more."""
    cleared = [
        each
        for each in gate.breakers
        if (scope.covers(each.scope) if include_narrower else scope == each.scope)
        and kind in (None, each.kind)
    ]
    if not cleared:
        return Altered(gate)
    revision = gate.revision + 1
    kept = tuple(each for each in gate.breakers if each not in cleared)
    closed = tuple(replace(reset(each), revision=revision) for each in cleared)
    return Altered(replace(gate, revision=revision, breakers=kept), closed)


def with_grants(
    breakers: Mapping[BreakerKey, Breaker],
    grants: Iterable[Grant],
    world: World,
    granted: Callable[[Breaker, Probe], Breaker | None],
) -> dict[BreakerKey, Breaker]:
    """The breakers of `world` with the probes that were granted to them, where they still can be:
    `granted` says so."""
    after = dict(breakers)
    for each in grants:
        record = after.get(each.key) if each.world == world else None
        if record is not None:
            after[each.key] = granted(record, each.probe) or record
    return after
