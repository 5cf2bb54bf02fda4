"""A small world's log, and the ledger's station run over it step by step, without an event loop."""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from google.protobuf.duration_pb2 import Duration
from sqlalchemy import text

from tests.store.log_events import unary
from trimtab.v1 import event_pb2 as ev
from trimtab_server.domain.events import Event, EventFilter, EventKind
from trimtab_server.domain.ledger.facts import Lane
from trimtab_server.domain.shadow.book import ShadowBook
from trimtab_server.domain.shadow.dump import pending_count_of
from trimtab_server.domain.shadow.fill_model import FillModel
from trimtab_server.loop.ledger import LedgerLimits, LedgerStation
from trimtab_server.loop.ledger_lanes import BookMaker
from trimtab_server.loop.stations import StationRunner
from trimtab_server.rpc.convert import timestamp
from trimtab_server.rpc.facts import facts_of
from trimtab_server.rpc.shadow_events import shadow_append
from trimtab_server.store.ledger import TABLES
from trimtab_server.store.stations import Lease
from trimtab_server.store.store import Store
from trimtab_server.telemetry import Telemetry

NS = 10**9
START_NS = 1_700_000_000 * NS
_SPACE = UUID(int=7)
_KINDS = {kind.name.lower(): int(kind) for kind in EventKind}


# Ends soon: a signal's own life, and a horizon of 20 seconds.
MODEL = FillModel(
    latency_s=0.0,
    decision_wait_s=1.0,
    entry="close",
    horizons=("20s",),
    markout_ages=("1s", "5s", "20s"),
)


def books_of(model: FillModel) -> BookMaker:
    """Books that follow signals by this model."""
    return BookMaker(
        partial(ShadowBook, model, 1_000), partial(ShadowBook.load, model, 1_000), pending_count_of
    )


BOOKS = books_of(MODEL)


def an_event(
    lane: Lane, time_ns: int, event_id: str, signal_id: str = "", symbol: str = "", **payload: Any
) -> ev.Event:
    """An event of a lane."""
    return ev.Event(
        event_id=event_id,
        source=lane.source,
        environment=lane.environment,  # type: ignore[arg-type]  # an enum is an int
        run_id=lane.run_id,
        event_time=timestamp(time_ns),
        signal_id=signal_id,
        symbol=symbol,
        **payload,
    )


def stored(event: ev.Event) -> Event:
    """The event as the log takes it."""
    time_ns = event.event_time.seconds * NS + event.event_time.nanos
    return Event(
        UUID(event.event_id).bytes,
        _KINDS[str(event.WhichOneof("payload"))],
        event.source,
        event.environment,
        event.run_id,
        time_ns,
        time_ns,
        event.signal_id,
        event.strategy,
        event.symbol,
        event.SerializeToString(deterministic=True),
    )


class World:
    """A seeded log of some engines: bars, signals, decisions, fills and outcomes."""

    def __init__(self, seed: int, lanes: Iterable[Lane], seconds: int = 60) -> None:
        self._rng, self._seed = random.Random(seed), seed
        self._count = 0
        self.events: list[Event] = []
        for lane in lanes:
            price = {"X": 100.0, "Y": 50.0}
            for second in range(seconds):
                self._second(lane, START_NS + second * NS, price)
        self.events.sort(key=lambda event: event.event_time_ns)

    def shifted(self, seed: int, within_s: float = 4.9) -> list[Event]:
        """The events in another order, none later than the bound."""
        rng = random.Random(seed)
        return sorted(
            self.events, key=lambda each: each.event_time_ns + rng.random() * within_s * NS
        )

    def _second(self, lane: Lane, time_ns: int, price: dict[str, float]) -> None:
        for symbol, before in price.items():
            price[symbol] = before * (1 + self._rng.gauss(0, 0.01))
            bar = ev.MarketBar(interval=Duration(seconds=1), close=price[symbol])
            self._add(lane, time_ns, symbol=symbol, market_bar=bar)
        if self._rng.random() < 0.5:
            self._trade(lane, time_ns + self._rng.randrange(NS), self._rng.choice("XY"), price)

    def _trade(self, lane: Lane, time_ns: int, symbol: str, price: dict[str, float]) -> None:
        name, hold_s = f"{lane.source}-{self._seed}-{self._count}", self._rng.randint(2, 15)
        side, other = self._rng.sample((ev.SIDE_BUY, ev.SIDE_SELL), 2)
        about = {"signal_id": name, "symbol": symbol}
        plan = ev.ExitPlan(holding_period=Duration(seconds=hold_s))
        signal = ev.Signal(side=side, intent=ev.INTENT_ENTRY, exit_plan=plan, confidence=0.6)
        self._add(lane, time_ns, **about, signal=signal)
        is_taken = self._rng.random() < 0.6
        self._add(lane, time_ns + 1_000, **about, decision=self._decision(is_taken))
        if not is_taken:
            return
        quantity = float(self._rng.randint(1, 4))
        for at, part in enumerate((1.0, quantity)):
            fill = ev.Execution(side=side, quantity=part, price=price[symbol], fee=0.1)
            self._add(lane, time_ns + 2_000 + at, **about, execution=fill)
        end_ns = time_ns + hold_s * NS
        leave = ev.Execution(side=other, quantity=1.0 + quantity, price=price[symbol] * 1.01)
        named = about if self._rng.random() < 0.7 else {"symbol": symbol}
        self._add(lane, end_ns, **named, execution=leave)
        if self._rng.random() < 0.5:
            told = ev.Outcome(status=ev.OUTCOME_STATUS_MATURED, return_fraction=0.01)
            self._add(lane, end_ns + 5_000, **about, outcome=told)

    def _decision(self, is_taken: bool) -> ev.Decision:
        """By two guards; the second also blocks what the first did, now and then."""
        first, second = not is_taken, not is_taken and self._count % 2 == 0
        rule = ev.ThresholdRule()
        return ev.Decision(
            action=ev.DECISION_ACTION_APPROVED if is_taken else ev.DECISION_ACTION_BLOCKED,
            guard_verdicts=[
                ev.GuardVerdict(
                    guard=guard,
                    result=ev.GUARD_RESULT_BLOCK if is_blocked else ev.GUARD_RESULT_PASS,
                    memory=ev.GUARD_MEMORY_STATELESS,
                    observed_value=0.05 if is_blocked else 0.03,
                    limit=0.04,
                    threshold=rule,
                )
                for guard, is_blocked in (("volatility", first), ("spread", second))
            ],
        )

    def _add(self, lane: Lane, time_ns: int, **told: Any) -> None:
        self._count += 1
        event_id = str(uuid5(_SPACE, f"{self._seed}-{lane}-{self._count}"))
        self.events.append(stored(an_event(lane, time_ns, event_id, **told)))


class Clock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now_s


class _Log:
    """What a runner wants of an Ingest, where nobody waits."""

    events_buffered = 0
    last_sequence = 0

    def heard(self, last: int) -> None:
        """Nobody waits."""


class Sidecar:
    """A store with the ledger's station, as one life of a sidecar runs it."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        limits: LedgerLimits | None = None,
        books: BookMaker = BOOKS,
        at_rest: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self.store = store
        self._clock = clock
        self.station = LedgerStation(
            store.ledger,
            facts_of,
            books,
            shadow_append,
            Telemetry(),
            clock,
            limits or LedgerLimits(),
            at_rest,
        )
        self._runner = StationRunner(
            self.station,
            store,
            _Log(),  # type: ignore[arg-type]  # of an Ingest, as much as is needed
            None,  # type: ignore[arg-type]  # steps are taken here
            Telemetry(),
            "one",
            clock,
        )
        lease = store.stations.lease("ledger", "one", 1e9)
        assert lease is not None
        self._lease: Lease = lease
        self._runner._cursor = self._runner._saved = self._runner._stored = lease.cursor
        self.station.start(lease.cursor)

    @property
    def cursor(self) -> int:
        """How far it has read."""
        return self._runner._cursor

    def step(self, passed_s: float = 0.05) -> None:
        """One page."""
        self._clock.now_s += passed_s
        assert self._runner._step(self._lease)

    def finish(self) -> None:
        """Reads to the end, and goes on until it has nothing to do."""
        for _ in range(20):
            while self.cursor < self.store.info().last_sequence:
                self.step()
            self.step(passed_s=3.0)
        assert self.station.settled_sequence == self.store.info().last_sequence


def append_all(store: Store, events: Sequence[Event], together: int = 500) -> None:
    """Stores the events in this order."""
    for start in range(0, len(events), together):
        store.append([unary(*events[start : start + together])])


def rows(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the ledger's tables but those of its state."""
    found = {}
    with store._database.reading() as connection:
        for table in TABLES:
            if table != "ledger_state":
                result = connection.execute(text(f"SELECT * FROM {table}"))
                plain = [tuple(map(_plain, row)) for row in result]
                found[table] = sorted(plain, key=repr)
    return found


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def shadow_bodies(store: Store) -> list[bytes]:
    """The bodies of all shadow outcomes."""
    wanted = EventFilter(kinds=(int(EventKind.SHADOW_OUTCOME),))
    return sorted(event.body for event in store.events.tail(wanted, 0, 10**6, 1 << 28).events)


def new_store(folder: Path, name: str) -> Store:
    """A store on a new SQLite file."""
    return Store(
        f"sqlite:///{folder / name}.db",
        durability="process_crash",
        new_log_id=lambda: UUID(int=1),
        now_ns=lambda: START_NS,
        monotonic=lambda: math.nan,
    )
