"""Signals that have entered, taken over the rows that came since: what of them is settled.

A `Closings` is what is settled, as columns: the end of a life or of a horizon each.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from trimtab_server.domain.barriers import BoolArray, RunningExtremes, barrier_exits
from trimtab_server.domain.fill_model import FillModel
from trimtab_server.domain.ledger import FloatArray, IntArray
from trimtab_server.domain.shadow_result import (
    AMBIGUOUS,
    CENSORED,
    COARSE,
    END_OF_DATA,
    MATURED,
    STOP_LOSS,
    TAKE_PROFIT,
    TIME,
)
from trimtab_server.domain.shadow_rows import Rows
from trimtab_server.domain.shadow_state import NEVER_NS, NO_ROW, Lives, SymbolState


@dataclass(slots=True)
class Closings:
    """Shape (k,) each. life: position in the table. span: of the horizon, NO_ROW = the own life.
    row: among the rows kept; to_close: whether its close was lived to. price, optimistic: of the
    exit, in the units of the rows. highest, lowest: while held, without the exit's own row where
    its close was not lived to. rank: 0 = settled by a price, 1 = by the clock."""

    life: IntArray
    span: IntArray
    status: IntArray
    row: IntArray
    to_close: BoolArray
    price: FloatArray
    optimistic: FloatArray
    highest: FloatArray
    lowest: FloatArray
    time_ns: IntArray
    known_ns: IntArray
    rank: IntArray
    reason: IntArray
    flags: IntArray


def joined(parts: list[Closings]) -> Closings:
    """All of them behind each other; at least one."""
    names = [each.name for each in fields(Closings)]
    return Closings(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(slots=True)
class _Settled:
    """Where prices stood at the end of spans, shape (k,): row, whether that is known, and whether
    a price settled it (else the clock did). last: the last row up to the end; begin: the first row
    that counts."""

    row: IntArray
    by_price: BoolArray
    by_clock: BoolArray
    last: IntArray
    begin: IntArray


def advanced(state: SymbolState, lives: Lives, model: FillModel, clock_ns: int) -> list[Closings]:
    """What is settled of these lives as of the lane's clock. The table is brought up to date: ages
    and extremes, what is settled is no more open or left. The rows must be settled."""
    told: Any = lives
    rows: Any = state.rows
    first = np.minimum(np.maximum(told["next_row"] - state.base, 0), rows.size)
    extremes = RunningExtremes(rows["high"], rows["low"], first)
    closings = [
        each
        for each in (
            _ended(state, told, extremes, model, clock_ns),
            _matured(state, told, extremes, clock_ns),
        )
        if each is not None
    ]
    everyone = np.arange(told.size)
    if rows.size:
        told["highest"], told["lowest"] = extremes.through(
            everyone, np.full(told.size, rows.size - 1), told["highest"], told["lowest"]
        )
    told["next_row"] = np.maximum(told["next_row"], state.base + rows.size)
    return closings


def _settled(
    state: SymbolState, lives: Any, begin_ns: IntArray, end_ns: IntArray, clock_ns: int
) -> _Settled:
    """Prices at the end of a span for each of these lives: a row is the last one when the next one
    of its kind would lie behind the end; else the clock tells."""
    rows: Any = state.rows
    seen, reach = rows["seen"], rows["reach"]
    begin = np.maximum(
        np.searchsorted(seen, begin_ns, "right"), np.maximum(lives["first_row"] - state.base, 0)
    )
    stop = np.searchsorted(seen, end_ns, "right")
    row = np.searchsorted(np.maximum.accumulate(reach), end_ns, "right")
    # A row before the span reaches beyond its end: look in the span alone.
    for at in np.flatnonzero((row < begin) & (begin < stop)):
        beyond = reach[begin[at] : stop[at]] > end_ns[at]
        row[at] = begin[at] + (int(np.argmax(beyond)) if beyond.any() else beyond.size)
    by_price = (row < stop) & (row >= begin)
    by_clock = ~by_price & (clock_ns > end_ns)
    last: IntArray = stop - 1
    return _Settled(np.where(by_price, row, last), by_price, by_clock, last, begin)


# -- ages and horizons --------------------------------------------------------------------------


def _matured(
    state: SymbolState, lives: Any, extremes: RunningExtremes, clock_ns: int
) -> Closings | None:
    """The horizons that are over, after the ages."""
    _age(state, lives, clock_ns)
    rows: Any = state.rows
    latest = _latest(rows, clock_ns)
    life, span = np.nonzero(lives["is_left"] & (lives["horizon_ns"] < latest))
    if not life.size:
        return None
    end_ns = lives["horizon_ns"][life, span]
    found = _settled(state, lives[life], lives["horizon_from"][life, span], end_ns, clock_ns)
    known = np.flatnonzero(found.by_price | found.by_clock)
    if not known.size:
        return None
    life, span, end_ns = life[known], span[known], end_ns[known]
    row, by_price = found.row[known], found.by_price[known]
    has_price = row >= np.maximum(lives["first_row"][life] - state.base, 0)
    row = np.where(has_price, row, 0)
    price = np.where(has_price, _at(rows, "close", row), np.nan)
    highest, lowest = extremes.through(life, row, lives["highest"][life], lives["lowest"][life])
    lives["is_left"][life, span] = False
    none = np.zeros(life.size, dtype=np.int64)
    known_ns = np.where(by_price, _at(rows, "seen", row), end_ns)
    return Closings(
        life=life,
        span=span,
        status=np.where(has_price, MATURED, CENSORED),
        row=row,
        to_close=np.ones(life.size, dtype=np.bool_),
        price=price,
        optimistic=price,
        highest=highest,
        lowest=lowest,
        time_ns=np.where(has_price, _at(rows, "time", row), end_ns),
        known_ns=np.maximum(known_ns, lives["since_ns"][life]),
        rank=np.where(by_price, 0, 1),
        reason=none,
        flags=none,
    )


def _age(state: SymbolState, lives: Any, clock_ns: int) -> None:
    """Notes the return at every age that is over."""
    rows: Any = state.rows
    if not rows.size:
        return
    latest = _latest(rows, clock_ns)
    life, age = np.nonzero((lives["age_row"] == NO_ROW) & (lives["age_ns"] < latest))
    if not life.size:
        return
    found = _settled(
        state, lives[life], lives["age_from"][life, age], lives["age_ns"][life, age], clock_ns
    )
    known = np.flatnonzero(found.by_price | found.by_clock)
    life, age, row = life[known], age[known], found.row[known]
    moved = _at(rows, "close", np.maximum(row, 0)) / lives["entry"][life] - 1
    # Without a price since the entry it is the row before the first one: no new price.
    number = np.maximum(state.base + row, lives["first_row"][life] - 1)
    lives["age_row"][life, age] = number
    lives["age_return"][life, age] = lives["side"][life] * moved


def _latest(rows: Any, clock_ns: int) -> int:
    """Spans that end before may be over."""
    return max(clock_ns, int(rows["reach"].max())) if rows.size else clock_ns


def _at(rows: Rows, name: str, row: IntArray) -> Any:
    """That column at these rows; where there is no row at all, zeros."""
    column: Any = rows[name]
    return column[row] if rows.size else np.zeros(row.size, dtype=column.dtype)


# -- the own life ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Due:
    """The planned ends, shape (n,): row (the count of rows = not yet), whether at its open, and
    whether it never came (`is_lost`). stop: barriers count in the rows before."""

    row: IntArray
    at_open: BoolArray
    is_lost: BoolArray
    known_ns: IntArray
    rank: IntArray
    stop: IntArray


def _due(state: SymbolState, lives: Any, model: FillModel, clock_ns: int) -> _Due:
    """A wall time is due at the first price from then on; a trading day at its last price, or the
    first one behind it where it has none."""
    rows: Any = state.rows
    count = rows.size
    begin_ns, end_ns = lives["due_from"], lives["due_ns"]
    is_wall = begin_ns == NO_ROW
    found = _settled(state, lives, begin_ns, end_ns, clock_ns)
    on_day = ~is_wall & (found.by_price | (found.by_clock & (found.last >= found.begin)))
    later = np.where(is_wall, np.searchsorted(rows["seen"], end_ns, "left"), found.last + 1)
    later = np.maximum(later, np.maximum(lives["first_row"] - state.base, 0))
    is_due = (later < count) & (is_wall | found.by_clock) & ~on_day
    row = np.where(on_day, found.row, np.where(is_due, later, count))
    at = np.minimum(row, max(count - 1, 0))
    last_ns = np.minimum(end_ns, NEVER_NS - model.censor_after_ns) + model.censor_after_ns
    opened = _at(rows, "open", at) > 0
    at_open = is_due & opened & (_at(rows, "start", at) >= end_ns) & model.at_open
    seen = _at(rows, "seen", at)
    is_lost = ~on_day & np.where(is_due, seen > last_ns, clock_ns > last_ns)
    by_clock = is_lost | (on_day & ~found.by_price)
    clocked_ns = np.where(is_lost, last_ns, end_ns)
    return _Due(
        row=row,
        at_open=at_open,
        is_lost=is_lost,
        known_ns=np.where(by_clock, clocked_ns, seen),
        rank=by_clock.astype(np.int64),
        stop=np.where(at_open | is_lost, row, np.minimum(row + 1, count)),
    )


def _ended(
    state: SymbolState,
    lives: Any,
    extremes: RunningExtremes,
    model: FillModel,
    clock_ns: int,
) -> Closings | None:
    """The lives that are over: stop, target, planned end, or no more price."""
    rows: Any = state.rows
    count = rows.size
    due = _due(state, lives, model, clock_ns)
    exits = barrier_exits(
        *(extremes, rows["open"], rows["high"], rows["low"]),
        *(lives["side"], lives["stop"], lives["target"]),
    )
    by_barrier = exits.row < due.stop
    is_over = lives["is_open"] & (by_barrier | due.is_lost | (due.row < count))
    life = np.flatnonzero(is_over)
    if not life.size:
        return None
    by_barrier, is_lost = by_barrier[life], (due.is_lost & ~by_barrier)[life]
    at_open = due.at_open[life] & ~by_barrier
    row = np.minimum(np.where(by_barrier, exits.row[life], due.row[life]), max(count - 1, 0))
    opened = _at(rows, "open", row)
    planned = np.where(is_lost, np.nan, np.where(at_open, opened, _at(rows, "close", row)))
    price = np.where(by_barrier, exits.price[life], planned)
    to_close = ~by_barrier & ~at_open
    highest, lowest = extremes.through(
        life, np.where(to_close, row, row - 1), lives["highest"][life], lives["lowest"][life]
    )
    # At the open is when the bar starts, but never before the entry.
    at_start = at_open | (by_barrier & (price == opened))
    start_ns = np.maximum(_at(rows, "start", row), lives["entry_ns"][life])
    time_ns = np.where(at_start, start_ns, _at(rows, "time", row))
    has_plan = ~np.isnan(lives["stop"][life]) | ~np.isnan(lives["target"][life])
    is_coarse = has_plan & ~is_lost & (_at(rows, "coarse", row) > lives["coarse"][life])
    known_ns = np.where(by_barrier, _at(rows, "seen", row), due.known_ns[life])
    lives["is_open"][life] = False
    by_stop = np.where(exits.is_stop[life], STOP_LOSS, TAKE_PROFIT)
    return Closings(
        life=life,
        span=np.full(life.size, NO_ROW),
        status=np.where(is_lost, CENSORED, MATURED),
        row=row,
        to_close=to_close,
        price=price,
        optimistic=np.where(by_barrier, exits.optimistic[life], price),
        highest=highest,
        lowest=lowest,
        time_ns=np.where(is_lost, due.known_ns[life], time_ns),
        known_ns=np.maximum(known_ns, lives["since_ns"][life]),
        rank=np.where(by_barrier, 0, due.rank[life]),
        reason=np.where(by_barrier, by_stop, np.where(is_lost, 0, TIME)),
        flags=is_coarse * COARSE + (by_barrier & exits.is_ambiguous[life]) * AMBIGUOUS,
    )


def delisted(state: SymbolState, lives: Lives, clock_ns: int) -> list[Closings]:
    """Everything that is open or left ends at the last price that there was. The rows must be
    settled, the lives advanced."""
    told: Any = lives
    last = np.full(told.size, state.rows.size - 1)
    own = np.flatnonzero(told["is_open"])
    life, span = np.nonzero(told["is_left"])
    everyone = np.concatenate((own, life))
    row, count = last[:1].repeat(everyone.size), everyone.size
    price = _at(state.rows, "close", row)
    is_own = np.arange(count) < own.size
    has_plan = ~np.isnan(told["stop"][everyone]) | ~np.isnan(told["target"][everyone])
    is_coarse = is_own & has_plan & (_at(state.rows, "coarse", row) > told["coarse"][everyone])
    now_ns = np.full(count, clock_ns)
    closings = Closings(
        life=everyone,
        span=np.concatenate((np.full(own.size, NO_ROW), span)),
        status=np.full(count, MATURED),
        row=row,
        to_close=np.ones(count, dtype=np.bool_),
        price=price,
        optimistic=price,
        highest=told["highest"][everyone],
        lowest=told["lowest"][everyone],
        time_ns=now_ns,
        known_ns=now_ns,
        rank=np.ones(count, dtype=np.int64),
        reason=np.where(is_own, END_OF_DATA, 0),
        flags=is_coarse * COARSE,
    )
    told["is_open"], told["is_left"] = False, False
    return [closings]
