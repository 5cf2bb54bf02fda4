"""The signal gate in a running sidecar: what it answers from, swapped whole with every change.

Truth lies in the store. Orders are carried out there in the writer's turn, the monitor changes
breakers there, and other sidecars do both; what changed is read again and swapped in here. Only
probes go the other way: they are granted in memory and stored right after.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from trimtab_server.domain.events import Environment
from trimtab_server.domain.gate.breaker import granted, is_made_by
from trimtab_server.domain.gate.breaker_record import Breaker, BreakerRule, BreakerState, Probe
from trimtab_server.domain.gate.breaker_rules import GatePolicy
from trimtab_server.domain.gate.gate_world import (
    BreakerKey,
    Decided,
    GateWorld,
    Grant,
    Order,
    key_of,
    with_grants,
)
from trimtab_server.domain.gate.signal_gate import (
    BreakerKind,
    OpenBreaker,
    Query,
    RuleSet,
    Verdict,
    World,
    decide,
)
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import Overloaded, TrimtabError
from trimtab_server.loop.ingest import Ingest
from trimtab_server.loop.readers import Readers
from trimtab_server.store.gate import BreakerPage, GateNews
from trimtab_server.store.store import Store
from trimtab_server.telemetry import Telemetry

_BACKTEST = int(Environment.BACKTEST)
# Between a grant and its storing: a burst of signals is one transaction.
_GRANTS_REST_S = 0.02
_RETRY_S = 0.2
_ORDERS_MAX = 256
_NO_BREAKERS: Mapping[BreakerKey, Breaker] = MappingProxyType({})


class Held(NamedTuple):
    """What is held of one world: the frozen rules, the breakers that are not closed with their
    probes, and the generation with which it was read. event_time_ns: of BACKTEST, the largest."""

    rules: RuleSet
    breakers: Mapping[BreakerKey, Breaker]
    generation: int
    event_time_ns: int


class SignalGate:
    """Answers from memory. `load()` it, `start()` it inside the event loop, `stop()` it."""

    def __init__(
        self,
        store: Store,
        ingest: Ingest,
        readers: Readers,
        policy: GatePolicy,
        telemetry: Telemetry,
        now_ns: Callable[[], int],
    ) -> None:
        self._store = store
        self._ingest = ingest
        self._readers = readers
        self._telemetry = telemetry
        self._rules = {rule.name: rule for rule in policy.breakers}
        self.policy = policy
        self.now_ns = now_ns
        self._worlds: dict[World, Held] = {}
        self._floor = 0
        # Of worlds that nothing is kept of, by environment. Swapped whole: any thread reads it.
        self._bare = self._bare_worlds()
        # The largest time that was asked for, of runs.
        self._asked_ns: dict[World, int] = {}
        self._generation = -1
        self._wanted = -1
        self._changes: dict[World, asyncio.Event] = {}
        # Never edited: the monitor reads it on its thread.
        self.grants: tuple[Grant, ...] = ()
        # Orders that are being carried out: a bounded number.
        self._tasks: set[asyncio.Task[bytes]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        # Calls that were answered: ingestion gives way more often while there are any.
        self.asked_count = 0

    # -- starting and stopping ------------------------------------------------------------------

    def load(self) -> None:
        """Takes over what is stored, before anybody asks. Raises Unavailable."""
        self._store.gate.start(self.policy.digest, self.policy.breakers)
        self._take(self._store.gate.since(self._generation, self._floor))

    def start(self) -> None:
        """Call it inside the event loop."""
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Stores the probes that were granted last, as far as the database lets us."""
        for task in (self._reader, self._keeper):
            if task is not None:
                task.cancel()
        if self.grants:
            try:
                await self._keep_grants()
            except TrimtabError as error:
                self._telemetry.log_warning("probes were not stored", why=error.message)

    # -- answering ------------------------------------------------------------------------------

    def held(self, world: World) -> Held:
        """What holds in a world now; for any thread."""
        return self._worlds.get(world) or self._bare[world.environment]

    def time_of(self, world: World) -> int:
        """The time of a world: the server's clock, or the largest event time that was seen of a
        run (0 = none)."""
        if world.environment != _BACKTEST:
            return self.now_ns()
        return max(self.held(world).event_time_ns, self._asked_ns.get(world, 0))

    def decide(
        self, world: World, queries: Iterable[Query], now_ns: int, *, may_probe: bool = True
    ) -> tuple[RuleSet, list[Verdict]]:
        """The verdict about each, with the rules that it comes from. No SQL, no lock, no await.

        may_probe: False = as if no probe were left, and none is taken."""
        self.asked_count += 1
        held = self.held(world)
        rules = held.rules
        is_granting = may_probe and bool(held.breakers)
        grant = partial(self._grant, world, now_ns) if is_granting else _never
        return rules, [decide(rules, query, now_ns, grant) for query in queries]

    def asked_at(self, world: World, time_ns: int) -> None:
        """Remembers how far the clock of a run has come, of a bounded number of runs."""
        if time_ns > self._asked_ns.get(world, 0):
            self._asked_ns.pop(world, None)
            self._asked_ns[world] = time_ns
            if len(self._asked_ns) > self.policy.runs_max:
                del self._asked_ns[next(iter(self._asked_ns))]

    def rule_of(self, breaker: Breaker) -> BreakerRule | None:
        """The policy's rule of a breaker; None when it has none, or would not make it any more."""
        rule = self._rules.get(breaker.rule)
        return rule if rule is not None and is_made_by(breaker, rule) else None

    def change(self, world: World) -> asyncio.Event:
        """Set when the world's revision moves; then there is a new one."""
        event = self._changes.get(world)
        if event is None:
            event = self._changes[world] = asyncio.Event()
        return event

    def forget_change(self, world: World) -> None:
        """Nobody waits for this world's changes any more."""
        self._changes.pop(world, None)

    async def page(
        self, world: World, after: BreakerKey | None, count: int, *, include_closed: bool
    ) -> BreakerPage:
        """Breakers of a world from the store, ordered. Raises Unavailable, Overloaded."""
        read = partial(self._store.gate.page, include_closed=include_closed)
        return await self._readers.read(read, world, after, count)

    def worst_states(self) -> dict[tuple[BreakerKind, int], BreakerState]:
        """For every kind that is watched or not closed, and each environment, the worst state."""
        worst = {
            (rule.kind, int(environment)): BreakerState.CLOSED
            for rule in self.policy.breakers
            for environment in rule.environments or Environment
        }
        rank = (BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN).index
        for world, held in list(self._worlds.items()):
            now_ns = self.time_of(world)
            for breaker in held.breakers.values():
                place = (breaker.kind, world.environment)
                known = worst.get(place, BreakerState.CLOSED)
                worst[place] = max(known, breaker.state_at(now_ns), key=rank)
        return worst

    # -- orders ---------------------------------------------------------------------------------

    async def order(self, order: Order, decided: Callable[[GateWorld], Decided]) -> bytes:
        """Carries out an order; its answer, when the change is durable and every watcher of this
        sidecar is being told. Raises what `Gate.change` raises, and Overloaded."""
        return await self._in_turn(self._carry_out(order, decided))

    async def _carry_out(self, order: Order, decided: Callable[[GateWorld], Decided]) -> bytes:
        done = await self._ingest.call(partial(self._store.change_gate, order, decided))
        self._swap(done.world)
        # Runs that made room for this one are found by looking.
        self._want(done.world.generation)
        return done.answer

    async def preview(self, order: Order, decided: Callable[[GateWorld], Decided]) -> bytes:
        """The answer that the order would have. Raises Unavailable, Overloaded."""
        preview = partial(self._store.gate.preview, order, decided)
        return await self._in_turn(self._ingest.call(preview))

    async def _in_turn(self, work: Coroutine[object, object, bytes]) -> bytes:
        """What `work` comes to, which waits for the writer. A caller may give up; what was stored
        has to hold here all the same."""
        if len(self._tasks) >= _ORDERS_MAX:
            work.close()
            raise Overloaded(Reason.OVERLOADED, "too many orders are waiting")
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    # -- hearing of changes ---------------------------------------------------------------------

    def heard(self, generation: int) -> None:
        """The gate's generation is this by now; for any thread."""
        if generation > self._generation:
            self._loop.call_soon_threadsafe(self._want, generation)

    async def look(self) -> None:
        """Takes over what is stored by now. Raises Unavailable, Overloaded."""
        self._take(await self._readers.read(self._store.gate.since, self._generation, self._floor))

    def _want(self, generation: int) -> None:
        self._wanted = max(self._wanted, generation)
        if self._wanted > self._generation and (self._reader is None or self._reader.done()):
            self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while self._wanted > self._generation:
            try:
                news = await self._readers.read(
                    self._store.gate.since, self._generation, self._floor
                )
            except TrimtabError:
                # The database is away or busy: what is held goes on holding.
                await asyncio.sleep(_RETRY_S)
            except Exception as error:  # noqa: BLE001 - a defect must not end the hearing
                self._telemetry.log_defect("reading the gate failed", error)
                await asyncio.sleep(_RETRY_S)
            else:
                self._take(news)

    def _take(self, news: GateNews) -> None:
        self._generation = max(self._generation, news.generation)
        if news.runs is not None:
            self._floor = news.floor
            self._bare = self._bare_worlds()
            # An order that came behind this news has put its run in place already.
            gone = [
                world
                for world, held in self._worlds.items()
                if world.environment == _BACKTEST
                and world.run_id not in news.runs
                and held.generation <= news.generation
            ]
            for world in gone:
                del self._worlds[world]
            for world in list(self._changes):
                if world.environment == _BACKTEST and world not in self._worlds:
                    self._wake(world)
        for gate in news.worlds:
            self._swap(gate)

    def _swap(self, gate: GateWorld) -> None:
        """Puts a world in place as it was read, with the probes that are not stored yet."""
        former = self._worlds.get(gate.world)
        if gate.generation <= (former.generation if former else 0):
            return
        breakers = {key_of(each): each for each in gate.breakers}
        if self.grants:
            breakers = with_grants(breakers, self.grants, gate.world, self.granted)
        rules = self._ruled(gate, tuple(each.as_open() for each in gate.breakers))
        before = self.held(gate.world).rules.revision
        self._worlds[gate.world] = Held(rules, breakers, gate.generation, gate.event_time_ns)
        if rules.revision != before:
            self._wake(gate.world)

    def _bare_worlds(self) -> dict[int, Held]:
        floors = {int(each): 0 for each in Environment} | {_BACKTEST: self._floor}
        return {
            environment: Held(
                self._ruled(GateWorld(World(environment, ""), floor), ()), _NO_BREAKERS, -1, 0
            )
            for environment, floor in floors.items()
        }

    def _ruled(self, gate: GateWorld, breakers: tuple[OpenBreaker, ...]) -> RuleSet:
        return RuleSet(
            revision=gate.revision,
            states=gate.states,
            breakers=breakers,
            parameters=self.policy.parameters_of(gate.world.environment),
            fallback=self.policy.fallback,
            always_closed=self.policy.always_closed,
        )

    def _wake(self, world: World) -> None:
        event = self._changes.pop(world, None)
        if event is not None:
            event.set()

    # -- probes ---------------------------------------------------------------------------------

    def granted(self, breaker: Breaker, probe: Probe) -> Breaker | None:
        """The breaker with this probe under way; None when it has none left."""
        return granted(breaker, self.rule_of(breaker), probe)

    def _grant(
        self, world: World, now_ns: int, half_open: Sequence[OpenBreaker], query: Query
    ) -> list[OpenBreaker]:
        held = self._worlds[world]
        probe = Probe(query.scope.source, query.signal_id, now_ns)
        taken: dict[BreakerKey, Breaker] = {}
        short = []
        for each in half_open:
            key = BreakerKey(each.scope, each.kind, each.rule)
            after = self.granted(held.breakers[key], probe)
            if after is None:
                short.append(each)
            else:
                taken[key] = after
        new = [key for key, after in taken.items() if after.probes != held.breakers[key].probes]
        if short or not new:
            return short
        self._worlds[world] = held._replace(breakers={**held.breakers, **taken})
        self.grants += tuple(Grant(world, key, probe) for key in new)
        if self._keeper is None or self._keeper.done():
            self._keeper = self._loop.create_task(self._keep())
        return short

    async def _keep(self) -> None:
        await asyncio.sleep(_GRANTS_REST_S)
        while self.grants:
            try:
                await self._keep_grants()
            except TrimtabError:
                await asyncio.sleep(_RETRY_S)

    async def _keep_grants(self) -> None:
        grants = self.grants
        generation = await self._ingest.call(
            partial(self._store.gate.keep_grants, grants, self.granted)
        )
        # Those that came meanwhile stand behind.
        self.grants = self.grants[len(grants) :]
        # What is read just now may be from before.
        self._want(generation)


def _never(half_open: Sequence[OpenBreaker], query: Query) -> Sequence[OpenBreaker]:
    """None of them has a probe for the signal."""
    return half_open
