"""A store, a writer, the gate and its monitor, as a sidecar runs them, on a clock of the test's."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from tests.store.log_events import an_event, unary
from trimtab_server.domain.events import Environment, EventKind
from trimtab_server.domain.gate.breaker_record import BreakerRule, Sample, SampleKind
from trimtab_server.domain.gate.breaker_rules import GatePolicy
from trimtab_server.domain.gate.gate_world import Decided, GateWorld, Order
from trimtab_server.domain.gate.signal_gate import (
    BreakerKind,
    GateReason,
    Intent,
    Query,
    Scope,
    World,
)
from trimtab_server.loop.ingest import Ingest, IngestLimits
from trimtab_server.loop.monitor import Monitor
from trimtab_server.loop.readers import Readers
from trimtab_server.loop.signal_gate import SignalGate
from trimtab_server.loop.stations import StationRunner
from trimtab_server.store.store import Store
from trimtab_server.telemetry import Telemetry

NS = 10**9
START_NS = 1_700_000_000 * NS
LIVE = World(int(Environment.LIVE), "")
RUN = World(int(Environment.BACKTEST), "run-1")
WAIT_S_MAX = 30.0
_LIMITS = IngestLimits(100, 1 << 20, 0.0, 1_000, 1 << 24)
_numbers = itertools.count(1)

LOSSES = BreakerRule(
    name="losses",
    kind=BreakerKind.CONSECUTIVE_LOSSES,
    limit=5,
    window_ns=86_400 * NS,
    per=("strategy",),
    cool_down_ns=3_600 * NS,
    cool_down_ns_max=7_200 * NS,
    probe_count_max=2,
    success_count_min=2,
)


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        """Nanoseconds UTC."""
        return self.now_ns


@dataclass
class Samples:
    """What the events of a test tell: by their bodies."""

    by_body: dict[bytes, Sample] = field(default_factory=dict)

    def __call__(self, body: bytes) -> Sample | None:
        """The sample of a body."""
        return self.by_body.get(body)


# Bodies are unique over all stores of a test run, so one memory serves them all.
SAMPLES = Samples()


@dataclass
class Running:
    """The parts at work."""

    store: Store
    ingest: Ingest
    gate: SignalGate
    monitor: Monitor
    clock: FakeClock

    async def record(self, *samples: Sample) -> int:
        """Commits an event for each sample; the last sequence."""
        last = 0
        for sample in samples:
            body = b"sample-%d" % next(_numbers)
            SAMPLES.by_body[body] = sample
            event = an_event(next(_numbers), kind=_KINDS[sample.kind], body=body)
            done = await self.ingest.submit(
                unary(event._replace(event_id=uuid4().bytes)), urgent=True
            )
            last = (await done).sequences[0]
        return last

    async def monitored(self, sequence: int) -> None:
        """Until the monitor has saved its cursor at `sequence`."""
        await until(lambda: self.cursor() >= sequence, f"the monitor at {sequence}")

    def cursor(self) -> int:
        """How far the monitor has read, as the store knows."""
        with self.store._database.writing() as writer:
            row = writer.execute("SELECT cursor FROM stations WHERE name = 'monitor'").fetchone()
        return int(row[0]) if row else 0

    def codes(
        self,
        world: World,
        scope: Scope,
        now_ns: int,
        signal_id: str = "s-1",
        intent: Intent = Intent.ENTRY,
    ) -> list[GateReason]:
        """The reasons about one signal."""
        query = Query(scope, signal_id, intent, None)
        (verdict,) = self.gate.decide(world, [query], now_ns)[1]
        return [each.code for each in verdict.reasons]


_KINDS = {
    SampleKind.EXECUTED: EventKind.EXECUTION,
    SampleKind.EXECUTION_FAILED: EventKind.EXECUTION_FAILURE,
    SampleKind.OUTCOME: EventKind.OUTCOME,
    SampleKind.MARKET_DATA: EventKind.MARKET_BAR,
}


def outcome(
    world: World,
    time_ns: int,
    *,
    won: bool,
    strategy: str = "momentum",
    signal_id: str = "",
    source: str = "alpha",
) -> Sample:
    """An outcome of a strategy of an engine."""
    scope = Scope(source, strategy, "BTC-USDT", "")
    return Sample(SampleKind.OUTCOME, world, scope, signal_id, time_ns, 0.1 if won else -0.1, won)


def losses(world: World, count: int, start_ns: int, step_ns: int = NS) -> list[Sample]:
    """So many losses, one after the other."""
    return [outcome(world, start_ns + i * step_ns, won=False) for i in range(count)]


@asynccontextmanager
async def running(
    store: Store,
    holder: str = "one",
    breakers: Iterable[BreakerRule] = (LOSSES,),
    clock: FakeClock | None = None,
    *,
    with_monitor: bool = True,
    rules_max: int = 10_000,
) -> AsyncIterator[Running]:
    """The gate and the monitor on a store."""
    clock = clock or FakeClock()
    telemetry, readers, own = Telemetry(), Readers(2, 8), Readers(1, 8)
    ingest = Ingest(store, _LIMITS, telemetry, time.monotonic, time.time_ns)
    policy = GatePolicy(breakers=tuple(breakers), rules_max=rules_max)
    gate = SignalGate(store, ingest, own, policy, telemetry, clock)
    gate.load()
    monitor = Monitor(gate, store.gate, SAMPLES, telemetry)
    runner = StationRunner(monitor, store, ingest, readers, telemetry, holder, time.monotonic)
    ingest.start()
    gate.start()
    loop = asyncio.get_running_loop()

    def unless_closed(call: Callable[[int], None]) -> Callable[[int], None]:
        # The store outlives the loop here.
        return lambda value: None if loop.is_closed() else call(value)

    store.follow(unless_closed(ingest.heard), unless_closed(gate.heard))
    if with_monitor:
        runner.start()
    try:
        yield Running(store, ingest, gate, monitor, clock)
    finally:
        await runner.stop()
        await gate.stop()
        await ingest.stop()
        readers.close()
        own.close()


async def until(holds: Callable[[], bool], what: str) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + WAIT_S_MAX
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline, f"{what}: not within {WAIT_S_MAX} s"
        await asyncio.sleep(0.01)


def an_order(world: World) -> Order:
    """A new order, for whatever the world is."""
    return Order(world, uuid4().bytes, b"d" * 16, "", "tester", "what")


def decided(altered: Callable[[GateWorld], object]) -> Callable[[GateWorld], Decided]:
    """A decision that answers by the revision."""

    def decide(before: GateWorld) -> Decided:
        after = altered(before)
        return Decided(after, str(after.world.revision).encode())  # type: ignore[arg-type,attr-defined]

    return decide
