"""Facts by event time: what came in any order within a bound leaves in one order.

A lane holds what came until something newer by the bound (`lateness_ns`) was seen, or nothing came
for `quiet_ns` of ingest time. What then still comes from before is late: it is handed on at once,
by itself, and counted. All of it depends on the log alone, never on how it was cut into pages.
"""

import json
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from trimtab_server.domain.ledger.facts import (
    AccountFact,
    ActionFact,
    BarFact,
    DecisionFact,
    Fact,
    FillFact,
    Lane,
    OutcomeFact,
    PredictionFact,
    SignalFact,
    TickFact,
)

# At the same time: a bar that closes at t is known to a signal that is made at t.
_RANKS: dict[type, int] = {
    ActionFact: 0,
    BarFact: 1,
    TickFact: 1,
    AccountFact: 2,
    SignalFact: 3,
    DecisionFact: 4,
    FillFact: 5,
    OutcomeFact: 7,
    PredictionFact: 8,
}
# A correction follows what it corrects, should both tell the same time.
_CORRECTION_RANK = 9
_RANK_MAX = 9

# Time, rank, event id, sequence, fact: compared up to the id, which is unique.
_Entry: TypeAlias = "tuple[int, int, bytes, int, Fact]"


class Arrival(NamedTuple):
    """A fact as the log tells it: its sequence and when it was stored."""

    sequence: int
    ingest_time_ns: int
    fact: Fact


class Release(NamedTuple):
    """Facts of a lane (with `is_shared`, of all sources of a run) in order, or one that is late.
    Before `watermark_ns` nothing more is expected."""

    lane: Lane
    facts: list[Fact]
    watermark_ns: int
    is_late: bool


class _Queue:
    """What a lane holds."""

    __slots__ = ("arrivals", "fresh", "heard_ns", "held", "newest_ns", "rank", "time_ns")

    def __init__(self) -> None:
        # In order; and what came since, in no order; and both as they came.
        self.held: list[_Entry] = []
        self.fresh: list[_Entry] = []
        self.arrivals: deque[_Entry] = deque()  # bounded: as the lists, by held_max
        self.newest_ns = 0
        # All up to this time and rank has left.
        self.time_ns, self.rank = -1, 0
        self.heard_ns = 0


class Lanes:
    """Holds facts back until they can leave in order.

    lateness_ns: the bound. quiet_ns: ingest time without anything of a lane after which it leaves
    all. held_max: facts held over all lanes; at more, the older half of every lane leaves early.
    lanes_max: lanes remembered; at more, all leaves and those heard least recently are forgotten.
    is_shared: lanes of one run are ordered together, whatever their source.
    """

    def __init__(
        self,
        lateness_ns: int = 5_000_000_000,
        quiet_ns: int = 1_000_000_000,
        held_max: int = 100_000,
        lanes_max: int = 10_000,
        *,
        is_shared: bool = False,
    ) -> None:
        self._lateness_ns = lateness_ns
        self._quiet_ns = quiet_ns
        self._held_max = held_max
        self._lanes_max = lanes_max
        self._is_shared = is_shared
        self._queues: dict[Lane, _Queue] = {}
        self._holding: dict[Lane, _Queue] = {}
        self._sequence = 0
        # Of what was taken before a restart: it may come again.
        self._known_sequence = 0
        self._ingest_ns = 0
        self.held_count = 0
        # Late facts of each lane since the last `taken_late_counts`.
        self._late: dict[Lane, int] = {}
        # Lanes were forgotten: what was taken of them must not come again.
        self.has_forgotten = False

    def take(self, arrivals: Iterable[Arrival]) -> list[Release]:
        """What leaves now, of arrivals in the order of the log. Facts that were taken before
        (`load`) are passed over. Raises KeyError for a kind that is not ordered (ShadowFact)."""
        released: list[Release] = []
        lane: Lane | None = None
        for sequence, ingest_time_ns, fact in arrivals:
            if fact.lane is not lane:
                lane = fact.lane
                queue = self._queue(lane, released)
            time_ns = fact.time_ns
            rank = _CORRECTION_RANK if fact.corrects_id else _RANKS[type(fact)]
            is_over = time_ns < queue.time_ns or (time_ns == queue.time_ns and rank < queue.rank)
            entry = (time_ns, rank, fact.event_id, sequence, fact)
            if sequence <= self._known_sequence:
                if not is_over and (time_ns, rank) != (queue.time_ns, queue.rank):
                    self._hold(lane, queue, entry)
                continue
            self._hear(lane, queue, sequence, ingest_time_ns, released)
            if is_over or (time_ns, rank) < (queue.time_ns, queue.rank):
                self._hand_on(lane, queue, fact, released)
                continue
            self._hold(lane, queue, entry)
            if time_ns > queue.newest_ns:
                queue.newest_ns = time_ns
                if time_ns - self._lateness_ns > queue.time_ns:
                    queue.time_ns, queue.rank = time_ns - self._lateness_ns - 1, _RANK_MAX
            if self.held_count > self._held_max:
                # What may leave does not count: it only waits for the end of the page.
                self._let_go(released)
                if self.held_count > self._held_max:
                    self._make_room(released)
        self._let_go(released)
        return released

    def _let_go(self, released: list[Release]) -> None:
        """Lets go what may leave, of all lanes."""
        for place, queue in list(self._holding.items()):
            if self._ingest_ns - queue.heard_ns >= self._quiet_ns:
                self._leave_all(place, queue, released)
            else:
                self._leave(place, queue, released)

    def _hear(
        self,
        lane: Lane,
        queue: _Queue,
        sequence: int,
        ingest_time_ns: int,
        released: list[Release],
    ) -> None:
        """Notes that something new came; what is held leaves when nothing did for long."""
        self._sequence = sequence
        self._ingest_ns = max(self._ingest_ns, ingest_time_ns)
        if queue.heard_ns and self._ingest_ns - queue.heard_ns >= self._quiet_ns:
            self._leave_all(self._place(lane), queue, released)
        queue.heard_ns = self._ingest_ns

    def _hold(self, lane: Lane, queue: _Queue, entry: _Entry) -> None:
        if not queue.arrivals:
            self._holding[self._place(lane)] = queue
        queue.fresh.append(entry)
        queue.arrivals.append(entry)
        self.held_count += 1

    def release_all(self) -> list[Release]:
        """Everything that is held: nothing came for a while."""
        released: list[Release] = []
        for place, queue in list(self._holding.items()):
            self._leave_all(place, queue, released)
        return released

    @property
    def first_held_sequence(self) -> int:
        """The sequence of the first fact that is held; 0 when none is."""
        return min((queue.arrivals[0][3] for queue in self._holding.values()), default=0)

    @property
    def quiet_from_ns(self) -> int:
        """Ingest time from which on everything counts as having come after a quiet time."""
        return self._ingest_ns + self._quiet_ns

    def taken_late_counts(self) -> dict[Lane, int]:
        """Late facts of each lane since this was asked last. A correction is never late."""
        late, self._late = self._late, {}
        return late

    # -- what leaves ------------------------------------------------------------------------------

    def _place(self, lane: Lane) -> Lane:
        return Lane("", lane.environment, lane.run_id) if self._is_shared else lane

    def _queue(self, lane: Lane, released: list[Release]) -> _Queue:
        place = self._place(lane)
        queue = self._queues.get(place)
        if queue is None:
            if len(self._queues) >= self._lanes_max:
                self._forget(released)
            queue = self._queues[place] = _Queue()
        return queue

    def _hand_on(self, lane: Lane, queue: _Queue, fact: Fact, released: list[Release]) -> None:
        """Behind what left before it, as if facts came one by one."""
        place = self._place(lane)
        self._leave(place, queue, released)
        if not fact.corrects_id:
            self._late[lane] = self._late.get(lane, 0) + 1
        released.append(Release(place, [fact], queue.time_ns + 1, is_late=True))

    def _leave(self, place: Lane, queue: _Queue, released: list[Release]) -> None:
        """Lets go what is not above the queue's time and rank."""
        held = _in_order(queue)
        count = bisect_left(held, (queue.time_ns, queue.rank + 1))
        if not count:
            return
        released.append(
            Release(place, [entry[4] for entry in held[:count]], queue.time_ns + 1, is_late=False)
        )
        del held[:count]
        self.held_count -= count
        arrivals = queue.arrivals
        if held:
            while arrivals[0] < held[0]:
                arrivals.popleft()
        else:
            arrivals.clear()
            del self._holding[place]

    def _leave_all(self, place: Lane, queue: _Queue, released: list[Release]) -> None:
        if queue.arrivals:
            last = _in_order(queue)[-1][:2]
            queue.time_ns, queue.rank = max(last, (queue.time_ns, queue.rank))
            self._leave(place, queue, released)

    def _make_room(self, released: list[Release]) -> None:
        """The older half of every lane leaves, and whatever shares its last time and rank."""
        for place, queue in list(self._holding.items()):
            held = _in_order(queue)
            middle = held[(len(held) - 1) // 2][:2]
            queue.time_ns, queue.rank = max(middle, (queue.time_ns, queue.rank))
            self._leave(place, queue, released)

    def _forget(self, released: list[Release]) -> None:
        released += self.release_all()
        by_hearing = sorted(self._queues, key=lambda place: self._queues[place].heard_ns)
        for place in by_hearing[: len(by_hearing) // 2 + 1]:
            del self._queues[place]
        self.has_forgotten = True

    # -- over a restart ---------------------------------------------------------------------------

    def dump(self) -> bytes:
        """What has left, not what is held: that comes again from the log, read on behind the fact
        before `first_held_sequence`."""
        queues = [
            [*place, queue.newest_ns, queue.time_ns, queue.rank, queue.heard_ns]
            for place, queue in self._queues.items()
        ]
        told = {"sequence": self._sequence, "ingest_ns": self._ingest_ns, "lanes": queues}
        return json.dumps(told, separators=(",", ":")).encode()

    def load(self, dumped: bytes) -> None:
        """Goes on where `dump` was made; call it before anything is taken."""
        told = json.loads(dumped)
        self._sequence = self._known_sequence = told["sequence"]
        self._ingest_ns = told["ingest_ns"]
        for source, environment, run_id, *numbers in told["lanes"]:
            queue = self._queues[Lane(source, environment, run_id)] = _Queue()
            queue.newest_ns, queue.time_ns, queue.rank, queue.heard_ns = numbers


def _in_order(queue: _Queue) -> list[_Entry]:
    """What the queue holds, in order."""
    fresh, held = queue.fresh, queue.held
    if fresh:
        fresh.sort()
        if held and fresh[0] < held[-1]:
            at = bisect_left(held, fresh[0])
            held[at:] = sorted([*held[at:], *fresh])
        else:
            held += fresh
        queue.fresh = []
    return held
