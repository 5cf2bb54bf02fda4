"""The replay's tight loop: who still fits when somebody else was let in.

It runs over plain lists of numbers, once through the decisions in the order of time: no heap, no
object a signal. A position that is let in writes what it will free into the place of the first
decision behind its exit, and what a rule allows was turned into one bound a signal before.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, repeat

import numpy as np
from numpy.typing import NDArray

from trimtab_server.domain.ledger.columns import FloatArray, IntArray

BoolArray = NDArray[np.bool_]

UNIT = 1_000_000_000
"""Fractions of equity are counted in billionths, as integers: what is added and taken away again
leaves nothing behind."""

FREE = np.iinfo(np.int64).max // 4
"""A bound that never binds."""

NEVER = -FREE
"""The time of an exit that never was."""


@dataclass(frozen=True, slots=True)
class Cooling:
    """A wait after exits. Where the last exit is `known_last`, `known_ok` tells whether the signal
    passes; else it passes when the last exit lies at or before `last_max`. Shape (n,) each."""

    losses_only: bool
    known_last: IntArray
    known_ok: BoolArray
    last_max: IntArray


@dataclass(frozen=True, slots=True)
class LossBound:
    """A stop after a loss: a signal passes while its period has lost less than so much, (n,)."""

    period_ns: int
    lost_max: IntArray


@dataclass(frozen=True, slots=True)
class Bounds:
    """What each signal needs, shape (n,); None = no such rule. open_max, symbol_max: fewer than so
    many positions are open; exposure_max, capital_max: less than so much is bound, in UNITs."""

    open_max: IntArray | None = None
    symbol_max: IntArray | None = None
    exposure_max: IntArray | None = None
    capital_max: IntArray | None = None
    coolings: tuple[Cooling, ...] = ()
    losses: tuple[LossBound, ...] = ()

    @property
    def is_count_only(self) -> bool:
        """Whether nothing but the number of open positions counts."""
        return not (
            self.coolings
            or self.losses
            or any(
                each is not None for each in (self.symbol_max, self.exposure_max, self.capital_max)
            )
        )


@dataclass(frozen=True, slots=True)
class Lives:
    """Positions as the loop needs them, shape (n,): what each binds while it is open and what it
    has lost when it ends (UNITs of equity), and whether it lost at all."""

    symbol: IntArray
    symbol_count: int
    time_ns: IntArray
    exit_ns: IntArray
    added: IntArray
    capital: IntArray
    lost: IntArray
    is_loss: BoolArray


@dataclass(frozen=True, slots=True)
class Queue:
    """Who asks, in the order of time: rows of the columns of Lives and Bounds, shape (m,). leave,
    symbol_leave: for each the place in the queue of the first decision (of the same symbol) behind
    its exit, m = there is none."""

    rows: IntArray
    leave: IntArray
    symbol_leave: IntArray | None


def let_in(queue: Queue, lives: Lives, bounds: Bounds) -> BoolArray:
    """Which of the queue of one book the bounds let in, shape (m,)."""
    if bounds.is_count_only:
        if bounds.open_max is None:
            return np.ones(queue.rows.size, dtype=np.bool_)
        flags = _counted(bounds.open_max[queue.rows].tolist(), queue.leave.tolist())
    else:
        flags = _held(queue, lives, bounds)
    return np.frombuffer(flags, dtype=np.bool_)


def _counted(open_max: list[int], leave: list[int]) -> bytearray:
    taken, freed = bytearray(len(leave)), [0] * (len(leave) + 1)
    opened = 0
    for place, (most, end) in enumerate(zip(open_max, leave, strict=True)):
        opened -= freed[place]
        if opened < most:
            opened += 1
            freed[end] += 1
            taken[place] = 1
    return taken


class _Amount:
    """What open positions bind, of one kind: exposure, or capital."""

    def __init__(self, needs: IntArray, bound: IntArray, rows: IntArray) -> None:
        self.needs, self.bound = needs[rows].tolist(), bound[rows].tolist()
        self.freed = [0] * (rows.size + 1)
        self.sum = 0


def _held(queue: Queue, lives: Lives, bounds: Bounds) -> bytearray:
    rows, leave = queue.rows, queue.leave.tolist()
    open_max = repeat(FREE) if bounds.open_max is None else bounds.open_max[rows].tolist()
    asked = ((lives.added, bounds.exposure_max), (lives.capital, bounds.capital_max))
    amounts = [_Amount(needs, bound, rows) for needs, bound in asked if bound is not None]
    symbols = None
    if bounds.symbol_max is not None:
        symbols = _Symbols(queue, lives, bounds.symbol_max)
    past = _Past(queue, lives, bounds) if bounds.coolings or bounds.losses else None
    taken, freed = bytearray(len(leave)), [0] * (len(leave) + 1)
    opened = 0
    for place, (most, end) in enumerate(zip(open_max, leave, strict=False)):
        opened -= freed[place]
        fits = opened < most
        for amount in amounts:
            amount.sum -= amount.freed[place]
            if amount.sum >= amount.bound[place]:
                fits = False
        if symbols is not None and not symbols.has_room(place):
            fits = False
        if past is not None and past.forbids(place):
            fits = False
        if not fits:
            continue
        opened += 1
        freed[end] += 1
        taken[place] = 1
        for amount in amounts:
            needed = amount.needs[place]
            amount.sum += needed
            amount.freed[end] += needed
        if symbols is not None:
            symbols.take(place)
        if past is not None:
            past.note(place, end)
    return taken


class _Symbols:
    """How many positions of each symbol are open."""

    def __init__(self, queue: Queue, lives: Lives, most: IntArray) -> None:
        assert queue.symbol_leave is not None
        self._leave, self._most = queue.symbol_leave.tolist(), most[queue.rows].tolist()
        self._symbol = lives.symbol[queue.rows].tolist()
        self._opened = [0] * lives.symbol_count
        self._freed = [0] * (queue.rows.size + 1)

    def has_room(self, place: int) -> bool:
        """Whether the symbol takes one more; frees what ended before."""
        symbol = self._symbol[place]
        opened = self._opened[symbol] = self._opened[symbol] - self._freed[place]
        return bool(opened < self._most[place])

    def take(self, place: int) -> None:
        """Opens a position."""
        self._opened[self._symbol[place]] += 1
        self._freed[self._leave[place]] += 1


class _Wait:
    """The last exit, for one kind of cool-down."""

    def __init__(self, cooling: Cooling, rows: IntArray) -> None:
        self.losses_only = cooling.losses_only
        self.known_last = cooling.known_last[rows].tolist()
        self.known_ok = cooling.known_ok[rows].tolist()
        self.last_max = cooling.last_max[rows].tolist()
        self.last = NEVER
        self.ended = [NEVER] * (rows.size + 1)

    def forbids(self, place: int) -> bool:
        """Whether the wait is not over; notes what ended before."""
        self.last = last = max(self.last, self.ended[place])
        if last == self.known_last[place]:
            return not self.known_ok[place]
        return bool(last > self.last_max[place])


class _Period:
    """What the present period has lost, for one kind of loss limit."""

    def __init__(self, bound: LossBound, queue: Queue, lives: Lives) -> None:
        rows, none = queue.rows, queue.rows.size
        period = lives.time_ns[rows] // bound.period_ns
        # What ended in an earlier period than that of the next decision counts for none.
        behind = np.append(period, 0)[queue.leave]
        same = lives.exit_ns[rows] // bound.period_ns == behind
        self.leave = np.where(same, queue.leave, none).tolist()
        self.lost_max, self._period = bound.lost_max[rows].tolist(), period.tolist()
        self.ended = [0] * (none + 1)
        self._index, self._lost = NEVER, 0

    def forbids(self, place: int) -> bool:
        """Whether too much was lost; notes what ended before."""
        if self._period[place] != self._index:
            self._index, self._lost = self._period[place], 0
        self._lost += self.ended[place]
        return bool(self._lost >= self.lost_max[place])


class _Past:
    """What past exits forbid."""

    def __init__(self, queue: Queue, lives: Lives, bounds: Bounds) -> None:
        rows = queue.rows
        self._exit, self._lost = lives.exit_ns[rows].tolist(), lives.lost[rows].tolist()
        self._is_loss = lives.is_loss[rows].tolist()
        self._waits = [_Wait(each, rows) for each in bounds.coolings]
        self._periods = [_Period(each, queue, lives) for each in bounds.losses]

    def forbids(self, place: int) -> bool:
        """Whether a cool-down or a loss limit holds; every one of them hears what ended."""
        found = False
        for wait in self._waits:
            if wait.forbids(place):
                found = True
        for period in self._periods:
            if period.forbids(place):
                found = True
        return found

    def note(self, place: int, end: int) -> None:
        """A position was let in whose exit comes before the decision at `end`."""
        for wait in self._waits:
            if not wait.losses_only or self._is_loss[place]:
                wait.ended[end] = max(wait.ended[end], self._exit[place])
        for period in self._periods:
            period.ended[period.leave[place]] += self._lost[place]


def segments(groups: IntArray) -> Iterator[slice]:
    """Runs of equal values in a sorted array."""
    edges = np.flatnonzero(np.diff(groups)) + 1
    bounds = [0, *edges.tolist(), groups.size]
    for start, end in pairwise(bounds):
        if end > start:
            yield slice(start, end)


def units(fractions: FloatArray) -> IntArray:
    """Fractions in UNITs; what is not known, or absurd, counts as nothing or as the most."""
    known = np.nan_to_num(fractions, nan=0.0)
    rounded: IntArray = np.rint(np.clip(known, -1e3, 1e3) * UNIT).astype(np.int64)
    return rounded
