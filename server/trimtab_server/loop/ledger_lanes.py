"""What the ledger's station remembers of each lane: open lots and signals that are followed.

A lane comes to be with the first fact that is no market data: bars of an engine that never gives a
signal serve nobody. With a price source, that source's market data serve every lane of their
environment and run, and those of the others serve none.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from zlib import crc32

from trimtab_server.domain.ledger.facts import ActionFact, BarFact, Fact, Lane, TickFact
from trimtab_server.domain.ledger.lots import Lots, TradeRow
from trimtab_server.domain.ledger.ordering import Release
from trimtab_server.store.ledger import LaneCounts

_MARKET = frozenset((ActionFact, BarFact, TickFact))
# Lanes are kept in so many parts: a part is written whole when one of its lanes has changed.
_PARTS = 64
_PART = "lanes-"
# Counts of lanes that nothing else is known of.
_COUNTS_MAX = 100_000
_NO_COUNTS = LaneCounts(0, 0, 0)


class Book(Protocol):
    """Signals that are followed: `domain.shadow.book.ShadowBook`."""

    @property
    def pending_count(self) -> int:
        """Signals that are being followed."""

    @property
    def unfollowed_count(self) -> int:
        """Signals that never will be."""

    @property
    def corrected_bar_count(self) -> int:
        """Corrections of prices, which came too late for it."""

    def take(self, facts: Sequence[Fact], watermark_ns: int) -> list[Any]:
        """What these facts come to, all before `watermark_ns` being known."""

    def dump(self) -> bytes:
        """All of it."""


class BookMaker(NamedTuple):
    """How books are made: a new one, and one that was dumped; how many signals a dump holds."""

    new: Callable[[], Book]
    load: Callable[[bytes], Book]
    pending_count_of: Callable[[bytes], int]


@dataclass(slots=True)
class Gathered:
    """What facts came to: shadow results, and the last row of each trade."""

    results: list[Any] = field(default_factory=list)
    trades: dict[int, TradeRow] = field(default_factory=dict)
    # Lanes whose facts could not be taken, and why.
    failures: list[tuple[Lane, Exception]] = field(default_factory=list)


@dataclass(slots=True)
class _State:
    """A lane. counts: from before it was forgotten last."""

    lots: Lots
    book: Book
    counts: LaneCounts
    late_count: int = 0
    heard_s: float = 0.0

    @property
    def is_empty(self) -> bool:
        return not self.lots.open_count and not self.book.pending_count

    def counted(self) -> LaneCounts:
        before = self.counts
        return LaneCounts(
            before.unattributed_fill_count + self.lots.unattributed_count,
            # Late prices are among late facts already, corrections never are.
            before.late_event_count + self.late_count + self.book.corrected_bar_count,
            before.unfollowed_count + self.book.unfollowed_count,
        )


class LedgerLanes:
    """The lanes of the ledger's station. lanes_max: more are forgotten, those without anything open
    first; what a forgotten lane held open then counts as unattributed and unfollowed."""

    def __init__(self, books: BookMaker, lanes_max: int, price_source: str = "") -> None:
        self._books = books
        self._lanes_max = lanes_max
        self._price_source = price_source
        self._states: dict[Lane, _State] = {}
        # By environment and run: whom a price source serves.
        self._worlds: dict[tuple[int, str], list[Lane]] = {}
        # Of lanes that were forgotten.
        self._counts: dict[Lane, LaneCounts] = {}
        # Since the last dump; and since counts were told last, with what was told.
        self._changed: set[Lane] = set()
        self._uncounted: set[Lane] = set()
        self._told: dict[Lane, LaneCounts] = {}

    def take(self, released: Iterable[Release], now_s: float) -> Gathered:
        """What these facts come to."""
        gathered = Gathered()
        for release in released:
            if self._price_source:
                self._take_shared(release, now_s, gathered)
            else:
                self._take_own(release, now_s, gathered)
        return gathered

    def count_late(self, late: dict[Lane, int], now_s: float) -> None:
        """Adds late facts to what their lanes count."""
        for lane, count in late.items():
            state = self._states.get(lane)
            if state is None:
                counts = self._counts.get(lane, _NO_COUNTS)
                self._keep_counts(
                    lane, counts._replace(late_event_count=counts.late_event_count + count)
                )
            else:
                state.late_count += count
                state.heard_s = now_s
            self._note(lane)

    def taken_counts(self) -> dict[Lane, LaneCounts]:
        """Counts that differ from what was told last, by lane."""
        told = {}
        for lane in self._uncounted:
            state = self._states.get(lane)
            counts = state.counted() if state else self._counts.get(lane, _NO_COUNTS)
            if counts != self._told.get(lane, _NO_COUNTS):
                told[lane] = counts
        self._uncounted = set()
        if len(self._told) > _COUNTS_MAX:
            # They are told once more, that is all.
            self._told = {}
        self._told |= told
        return told

    def _note(self, lane: Lane) -> None:
        self._changed.add(lane)
        self._uncounted.add(lane)

    # -- facts to lanes ---------------------------------------------------------------------------

    def _take_own(self, release: Release, now_s: float, gathered: Gathered) -> None:
        facts = release.facts
        if release.lane not in self._states:
            facts = _from_first_of_engine(facts)
            if not facts:
                return
        self._serve(release.lane, facts, release.watermark_ns, now_s, gathered)

    def _take_shared(self, release: Release, now_s: float, gathered: Gathered) -> None:
        world = (release.lane.environment, release.lane.run_id)
        facts: dict[Lane, list[Fact]] = {lane: [] for lane in self._worlds.get(world, ())}
        for fact in release.facts:
            if type(fact) not in _MARKET:
                facts.setdefault(fact.lane, []).append(fact)
            elif fact.lane.source == self._price_source:
                for each in facts.values():
                    each.append(fact)
        for lane, its_facts in facts.items():
            self._serve(lane, its_facts, release.watermark_ns, now_s, gathered)

    def _serve(
        self,
        lane: Lane,
        facts: list[Fact],
        watermark_ns: int,
        now_s: float,
        gathered: Gathered,
    ) -> None:
        state = self._states.get(lane)
        if state is None:
            counts = self._counts.pop(lane, _NO_COUNTS)
            state = self._states[lane] = _State(Lots(lane), self._books.new(), counts)
            self._worlds.setdefault((lane.environment, lane.run_id), []).append(lane)
        state.heard_s = now_s
        self._note(lane)
        try:
            self._take(state, facts, watermark_ns, gathered)
        except Exception as error:  # noqa: BLE001 - one engine's facts must not end the others'
            gathered.failures.append((lane, error))
            self._forget(lane)

    @staticmethod
    def _take(state: _State, facts: list[Fact], watermark_ns: int, gathered: Gathered) -> None:
        gathered.results += state.book.take(facts, watermark_ns)
        own = [fact for fact in facts if type(fact) is not BarFact or fact.is_adjusted]
        if own:
            for row in state.lots.take(own):
                gathered.trades[row.signal_key] = row

    # -- what is forgotten ------------------------------------------------------------------------

    def forget_idle(self, before_s: float) -> None:
        """Forgets lanes that were not heard since and have nothing open; and the least recently
        heard ones beyond the limit."""
        idle = [
            lane
            for lane, state in self._states.items()
            if state.heard_s < before_s and state.is_empty
        ]
        beyond = len(self._states) - len(idle) - self._lanes_max
        if beyond > 0:
            rest = sorted(
                self._states.keys() - set(idle),
                key=lambda lane: (
                    not self._states[lane].is_empty,
                    self._states[lane].heard_s,
                    lane,
                ),
            )
            idle += rest[: beyond + self._lanes_max // 10]
        for lane in idle:
            self._forget(lane)

    def _forget(self, lane: Lane) -> None:
        state = self._states.pop(lane)
        world = (lane.environment, lane.run_id)
        self._worlds[world].remove(lane)
        if not self._worlds[world]:
            del self._worlds[world]
        counts = state.counted()
        self._keep_counts(
            lane,
            counts._replace(
                unattributed_fill_count=counts.unattributed_fill_count + state.lots.open_count,
                unfollowed_count=counts.unfollowed_count + state.book.pending_count,
            ),
        )
        self._note(lane)

    def _keep_counts(self, lane: Lane, counts: LaneCounts) -> None:
        if counts == _NO_COUNTS:
            return
        if len(self._counts) >= _COUNTS_MAX:
            del self._counts[next(iter(self._counts))]
        self._counts[lane] = counts

    # -- over a restart ---------------------------------------------------------------------------

    def dump(self) -> dict[str, bytes]:
        """The parts that changed since the last dump; a part of no bytes holds nothing."""
        numbers = {_part_of(lane) for lane in self._changed}
        self._changed = set()
        parts: dict[int, list[Lane]] = {number: [] for number in numbers}
        for lane in (*self._states, *self._counts):
            number = _part_of(lane)
            if number in parts:
                parts[number].append(lane)
        return {f"{_PART}{number:02}": self._packed(lanes) for number, lanes in parts.items()}

    def _packed(self, lanes: Sequence[Lane]) -> bytes:
        """A line of JSON, then the lots and the book of each lane behind each other."""
        head, blobs = [], []
        for lane in lanes:
            state = self._states.get(lane)
            if state is None:
                head.append([lane, self._counts[lane], 0, 0])
                continue
            lots, book = state.lots.dump(), state.book.dump()
            counts = state.counts._replace(
                late_event_count=state.counts.late_event_count + state.late_count
            )
            head.append([lane, counts, len(lots), len(book)])
            blobs += [lots, book]
        if not head:
            return b""
        return b"\n".join([json.dumps(head, separators=(",", ":")).encode(), b"".join(blobs)])

    def load(self, parts: dict[str, bytes], now_s: float) -> list[str]:
        """Goes on with what was dumped; why books could not be read, such as those of other
        horizons: new ones take their place, and what they followed is counted. Raises ValueError,
        KeyError or TypeError for parts that are none."""
        faults = []
        for name, packed in parts.items():
            if not name.startswith(_PART):
                continue
            head, _, blobs = packed.partition(b"\n")
            for told_lane, told_counts, lots_length, book_length in json.loads(head):
                lane, counts = Lane(*told_lane), LaneCounts(*told_counts)
                if not lots_length:
                    self._counts[lane] = counts
                    continue
                lots, blobs = blobs[:lots_length], blobs[lots_length:]
                dumped, blobs = blobs[:book_length], blobs[book_length:]
                try:
                    book = self._books.load(dumped)
                except ValueError as error:
                    faults.append(f"{'/'.join(map(str, lane))}: {error}")
                    book = self._books.new()
                    lost = self._books.pending_count_of(dumped)
                    counts = counts._replace(unfollowed_count=counts.unfollowed_count + lost)
                    self._note(lane)
                self._states[lane] = _State(Lots.load(lots), book, counts, heard_s=now_s)
                self._worlds.setdefault((lane.environment, lane.run_id), []).append(lane)
        return faults


def _part_of(lane: Lane) -> int:
    return crc32(json.dumps(lane).encode()) % _PARTS


def _from_first_of_engine(facts: list[Fact]) -> list[Fact]:
    """From the first fact that is no market data."""
    for at, fact in enumerate(facts):
        if type(fact) not in _MARKET:
            return facts[at:]
    return []
