"""The ledger: a station that follows every signal to its outcome, blocked or not.

What events tell goes into the tables as it comes: rows do not depend on order. What does depend on
it, fills to trades and prices to shadow results, goes through `domain.ledger.ordering` first.
Results are events of the same log and come back to the tables by themselves.

What the station remembers is saved now and then (a *checkpoint*), with the cursor behind it; what
lies between comes again after a restart, and everything that it is written as is written again.
Facts that are held back are not saved at all: the cursor lies before the first of them.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab_server.domain.events import Append, EventKind, StoredEvent
from trimtab_server.domain.ledger.facts import (
    AccountFact,
    ActionFact,
    BarFact,
    Fact,
    FillFact,
    Lane,
    OutcomeFact,
    PredictionFact,
    ShadowFact,
    TickFact,
)
from trimtab_server.domain.ledger.lots import TradeRow
from trimtab_server.domain.ledger.ordering import Arrival, Lanes, Release
from trimtab_server.loop.ledger_lanes import BookMaker, LedgerLanes
from trimtab_server.loop.stations import Derived
from trimtab_server.store.database import Writer
from trimtab_server.store.ledger import SETTLED, STATION, LaneCounts, LedgerTables
from trimtab_server.telemetry import Telemetry

_KINDS = (
    *(EventKind.SIGNAL, EventKind.DECISION, EventKind.EXECUTION, EventKind.ACCOUNT_SNAPSHOT),
    *(EventKind.OUTCOME, EventKind.SHADOW_OUTCOME, EventKind.PREDICTION, EventKind.MARKET_BAR),
    *(EventKind.MARKET_TICK, EventKind.CORPORATE_ACTION),
)
# Rows do not depend on the order of these, nor does anything else.
_UNORDERED = frozenset((AccountFact, PredictionFact, ShadowFact))
# None of the tables'.
_UNWRITTEN = frozenset((ActionFact, BarFact, FillFact, TickFact))
_ORDERING = "ordering"
# A checkpoint is due after so long, or so many times what the last one took.
_SAVED_S_MIN = 2.0
_SAVE_SHARE = 20.0
_IDLE_S = 600.0
_POLL_S = 0.02
_POLL_STORE_S = 0.25


@dataclass(frozen=True, slots=True)
class LedgerLimits:
    """lateness_ns: how far facts of a lane may come out of order. quiet_s: after so long without
    any, what is held back leaves. held_max: facts held back. lanes_max: lanes remembered.
    price_source: whose market data serve all sources ("" = each serves itself)."""

    lateness_ns: int = 5_000_000_000
    quiet_s: float = 1.0
    held_max: int = 100_000
    lanes_max: int = 10_000
    price_source: str = ""


class LedgerStation:
    """Keeps the ledger. facts_of reads an event's body, None when it tells nothing; shadow_append
    makes events of shadow results, with ids and bytes that depend on nothing else; at_rest tells
    whether nothing more will be stored with an ingest time before the one that is asked for."""

    name = STATION
    kinds: tuple[int, ...] = tuple(sorted(int(kind) for kind in _KINDS))

    def __init__(
        self,
        tables: LedgerTables,
        facts_of: Callable[[bytes], Fact | None],
        books: BookMaker,
        shadow_append: Callable[[Sequence[Any]], Append],
        telemetry: Telemetry,
        monotonic: Callable[[], float],
        limits: LedgerLimits = LedgerLimits(),
        at_rest: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self._tables = tables
        self._facts_of = facts_of
        self._books = books
        self._shadow_append = shadow_append
        self._telemetry = telemetry
        self._monotonic = monotonic
        self._limits = limits
        self._at_rest = at_rest
        self.pulse_s: float | None = limits.quiet_s
        self.settled_sequence = 0
        self._ordering: Lanes | None = None
        self._lanes = self._new_lanes()
        self._heard_s = self._saved_s = 0.0
        self._save_began_s = self._save_took_s = 0.0
        self._is_unsaved = False

    def start(self, cursor: int) -> None:
        """Forgets everything: what was saved is read with the first events."""
        self._ordering = None
        self.settled_sequence = cursor

    def derive(self, events: Sequence[StoredEvent]) -> Derived:
        """Rows, trades and shadow results of these events, with a checkpoint when one is due."""
        now_s = self._monotonic()
        ordering = self._ordering or self._loaded(now_s)
        facts, arrivals = self._read(events)
        released = ordering.take(arrivals)
        if arrivals:
            self._heard_s, self._is_unsaved = now_s, True
        elif self._is_quiet(ordering, now_s):
            # Only the clock says so: what follows from it is saved with it, or a restart would
            # not find it again.
            released = ordering.release_all()
            self._is_unsaved = True
            return self._derived(facts, released, ordering, now_s, saves=True)
        return self._derived(facts, released, ordering, now_s, saves=self._is_due(now_s))

    def _read(self, events: Sequence[StoredEvent]) -> tuple[list[Fact], list[Arrival]]:
        """What the events tell: to the tables, and to what depends on order."""
        facts: list[Fact] = []
        arrivals: list[Arrival] = []
        facts_of = self._facts_of
        for sequence, ingest_time_ns, body in events:
            fact = facts_of(body)
            if fact is None:
                continue
            kind = type(fact)
            if kind not in _UNWRITTEN:
                facts.append(fact)
            if kind not in _UNORDERED and not (kind is OutcomeFact and fact.corrects_id):
                arrivals.append(Arrival(sequence, ingest_time_ns, fact))
        return facts, arrivals

    def _derived(
        self,
        facts: list[Fact],
        released: list[Release],
        ordering: Lanes,
        now_s: float,
        *,
        saves: bool,
    ) -> Derived:
        gathered = self._lanes.take(released, now_s)
        for lane, error in gathered.failures:
            words = "the ledger forgot what it held open of " + "/".join(map(str, lane))
            self._telemetry.log_defect(words, error)
        self._lanes.count_late(ordering.taken_late_counts(), now_s)
        if ordering.has_forgotten:
            # What was taken of forgotten lanes must not come again.
            ordering.has_forgotten, saves = False, True
        if saves:
            self._lanes.forget_idle(now_s - _IDLE_S)
        counts = self._lanes.taken_counts()
        parts = self._dumped(ordering) if saves else {}
        trades = list(gathered.trades.values())
        appends = [self._shadow_append(gathered.results)] if gathered.results else []
        return Derived(
            appends,
            also=self._writing(facts, trades, counts, parts),
            then=self._noted if saves else None,
            can_wait=not (facts or trades or counts or parts or appends),
            held_from=ordering.first_held_sequence,
            cursor_waits=not saves,
            settle=self._settle,
            settled=self._settled,
        )

    def _writing(
        self,
        facts: list[Fact],
        trades: list[TradeRow],
        counts: dict[Lane, LaneCounts],
        parts: dict[str, bytes],
    ) -> Callable[[Writer], None]:
        def also(writer: Writer) -> None:
            self._tables.write(writer, facts, trades, counts)
            self._tables.checkpoint(writer, parts)

        return also

    def _settle(self, writer: Writer, sequence: int) -> None:
        self._tables.checkpoint(writer, {SETTLED: str(sequence).encode()})

    def _settled(self, sequence: int) -> None:
        self.settled_sequence = sequence

    async def wait_settled(self, sequence: int, elsewhere: Callable[[], int] | None = None) -> None:
        """Until the ledger holds all that the log tells through this sequence. Bound it by a time
        limit. elsewhere: how far another sidecar's station has come, asked on a thread."""
        waited_s = 0.0
        while self.settled_sequence < sequence:
            if elsewhere is not None and waited_s >= _POLL_STORE_S:
                waited_s = 0.0
                if await asyncio.to_thread(elsewhere) >= sequence:
                    return
            await asyncio.sleep(_POLL_S)
            waited_s += _POLL_S

    # -- what it remembers ------------------------------------------------------------------------

    def _new_lanes(self) -> LedgerLanes:
        return LedgerLanes(self._books, self._limits.lanes_max, self._limits.price_source)

    def _new_ordering(self) -> Lanes:
        limits = self._limits
        return Lanes(
            limits.lateness_ns,
            int(limits.quiet_s * 1e9),
            limits.held_max,
            limits.lanes_max,
            is_shared=bool(limits.price_source),
        )

    def _loaded(self, now_s: float) -> Lanes:
        """The ordering; it and the lanes as they were saved."""
        parts = self._tables.checkpoints()
        ordering, self._lanes = self._new_ordering(), self._new_lanes()
        try:
            if _ORDERING in parts:
                ordering.load(parts[_ORDERING])
            for fault in self._lanes.load(parts, now_s):
                words = "signals are no longer followed; trimtab rebuild-ledger follows them again"
                self._telemetry.log_warning(words, why=fault)
        except (ValueError, KeyError, TypeError) as error:
            # Another version's: what was open then stays without a result.
            self._telemetry.log_warning("the ledger's checkpoint cannot be read", why=repr(error))
            ordering, self._lanes = self._new_ordering(), self._new_lanes()
        self._ordering = ordering
        self._heard_s = self._saved_s = now_s
        self._is_unsaved = False
        return ordering

    def _is_quiet(self, ordering: Lanes, now_s: float) -> bool:
        return bool(
            ordering.held_count
            and now_s - self._heard_s >= self._limits.quiet_s
            and now_s - self._saved_s >= _SAVE_SHARE * self._save_took_s
            and self._at_rest(ordering.quiet_from_ns)
        )

    def _is_due(self, now_s: float) -> bool:
        wait_s = max(_SAVED_S_MIN, _SAVE_SHARE * self._save_took_s)
        return self._is_unsaved and now_s - self._saved_s >= wait_s

    def _dumped(self, ordering: Lanes) -> dict[str, bytes]:
        self._save_began_s = self._monotonic()
        return {_ORDERING: ordering.dump(), **self._lanes.dump()}

    def _noted(self) -> None:
        self._saved_s = self._monotonic()
        self._save_took_s = self._saved_s - self._save_began_s
        self._is_unsaved = False
