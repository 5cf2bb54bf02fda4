"""Signals that have entered, taken over the rows that came since: what of them is settled.

A `Closings` is what is settled, as columns: the end of a life or of a horizon each.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from trimtab_server.domain.ledger.columns import FloatArray, IntArray
from trimtab_server.domain.shadow.barriers import (
    BarrierExits,
    BoolArray,
    RunningExtremes,
    barrier_exits,
)
from trimtab_server.domain.shadow.fill_model import FillModel
from trimtab_server.domain.shadow.result import (
    AMBIGUOUS,
    CENSORED,
    COARSE,
    END_OF_DATA,
    MATURED,
    STOP_LOSS,
    TAKE_PROFIT,
    TIME,
)
from trimtab_server.domain.shadow.rows import Block
from trimtab_server.domain.shadow.segments import first_above, first_at_least
from trimtab_server.domain.shadow.state import NEVER_NS, NO_ROW, NOT_SETTLED, Lives, set_next


@dataclass(slots=True)
class Closings:
    """Shape (k,) each. life: position in the table. span: of the horizon, NO_ROW = the own life.
    row: in the block; to_close: whether its close was lived to. price, optimistic, pessimistic: of
    the exit, in the units of the rows. highest, lowest: while held, without the exit's own row
    where its close was not lived to. rank: 0 = settled by a price, 1 = by the clock."""

    life: IntArray
    span: IntArray
    status: IntArray
    row: IntArray
    to_close: BoolArray
    price: FloatArray
    optimistic: FloatArray
    pessimistic: FloatArray
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


@dataclass(frozen=True, slots=True)
class Followed:
    """Lives and the rows that they follow. Shape (n,): start, stop: the rows of each one's symbol;
    first: the first one that counts for it; shift: as of the block. extremes: since what was lived
    through before."""

    lives: Any
    block: Block
    start: IntArray
    stop: IntArray
    first: IntArray
    shift: IntArray
    extremes: RunningExtremes

    def at(self, name: str, row: IntArray) -> Any:
        """That column at these rows."""
        column: Any = self.block.rows[name]
        return column[np.clip(row, 0, column.size - 1)]


def followed(lives: Lives, symbol: IntArray, is_new: BoolArray, block: Block) -> Followed:
    """These lives on the rows of the block. is_new: of those that have just entered, rows that are
    not fresh may count too."""
    told: Any = lives
    rows: Any = block.rows
    start, stop = block.start[symbol], block.stop[symbol]
    shift = block.shift[symbol]
    first = np.maximum(told["first_row"] - shift, start)
    since = np.minimum(np.where(is_new, first, np.maximum(block.fresh[symbol], first)), stop)
    extremes = RunningExtremes(rows["high"], rows["low"], since, stop)
    return Followed(lives, block, start, stop, first, shift, extremes)


def advanced(these: Followed, model: FillModel, clock_ns: int) -> list[Closings]:
    """What is settled of these lives as of the lane's clock. The table is brought up to date: ages
    and extremes, what is settled is no more open or left."""
    lives = these.lives
    found = [_ended(these, model, clock_ns), _matured(these, model, clock_ns)]
    everyone = np.arange(lives.size)
    lives["highest"], lives["lowest"] = these.extremes.through(
        everyone, these.stop - 1, lives["highest"], lives["lowest"]
    )
    set_next(lives, model, clock_ns)
    return [each for each in found if each is not None]


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


def _settled(
    these: Followed, life: IntArray, begin_ns: IntArray, end_ns: IntArray, clock_ns: int
) -> _Settled:
    """Prices at the end of a span for each of these lives: a row is the last one when the next one
    of its kind would lie behind the end; else the clock tells."""
    rows: Any = these.block.rows
    start, stop = these.start[life], these.stop[life]
    begin = np.maximum(first_above(rows["seen"], begin_ns, start, stop), these.first[life])
    behind = first_above(rows["seen"], end_ns, start, stop)
    row = first_above(these.block.reach, end_ns, start, stop)
    # A row before the span reaches beyond its end: look in the span alone.
    for at in np.flatnonzero((row < begin) & (begin < behind)).tolist():
        beyond = rows["reach"][begin[at] : behind[at]] > end_ns[at]
        row[at] = begin[at] + (int(np.argmax(beyond)) if beyond.any() else beyond.size)
    by_price = (row < behind) & (row >= begin)
    by_clock = ~by_price & (clock_ns > end_ns)
    last: IntArray = behind - 1
    return _Settled(np.where(by_price, row, last), by_price, by_clock, last, begin)


# -- ages and horizons -----------------------------------------------------------------------------


def _over(these: Followed, is_left: BoolArray, end_ns: IntArray, clock_ns: int) -> Any:
    """(life, span) of those left that may be over: the clock or a row reaches beyond the end."""
    reach = np.where(these.stop > these.start, these.block.reach[these.stop - 1], 0)
    return np.nonzero(is_left & (end_ns < np.maximum(reach, clock_ns)[:, None]))


def _is_fresh(
    these: Followed, found: _Settled, begin_ns: IntArray, end_ns: IntArray, model: FillModel
) -> Any:
    """Whether the price at the end of a span tells of it: one of its trading day, or not older than
    a price may be missing. A symbol whose prices ended long before has no return over the span."""
    is_of_day = (begin_ns != NO_ROW) & (found.row >= found.begin)
    is_near = these.at("time", found.row) >= end_ns - model.censor_after_ns
    return found.by_price | is_of_day | is_near


def _matured(these: Followed, model: FillModel, clock_ns: int) -> Closings | None:
    """The horizons that are over, after the ages."""
    lives = these.lives
    _age(these, model, clock_ns)
    life, span = _over(these, lives["is_left"], lives["horizon_ns"], clock_ns)
    begin_ns, end_ns = lives["horizon_from"][life, span], lives["horizon_ns"][life, span]
    found = _settled(these, life, begin_ns, end_ns, clock_ns)
    is_fresh = _is_fresh(these, found, begin_ns, end_ns, model)
    known = np.flatnonzero(found.by_price | found.by_clock)
    if not known.size:
        return None
    life, span, end_ns = life[known], span[known], end_ns[known]
    row, by_price = found.row[known], found.by_price[known]
    has_price = (row >= these.first[life]) & is_fresh[known]
    price = np.where(has_price, these.at("close", row), np.nan)
    highest, lowest = these.extremes.through(
        life, row, lives["highest"][life], lives["lowest"][life]
    )
    lives["is_left"][life, span] = False
    none = np.zeros(life.size, dtype=np.int64)
    known_ns = np.where(by_price, these.at("seen", row), end_ns)
    return Closings(
        life=life,
        span=span,
        status=np.where(has_price, MATURED, CENSORED),
        row=row,
        to_close=np.ones(life.size, dtype=np.bool_),
        price=price,
        optimistic=price,
        pessimistic=price,
        highest=highest,
        lowest=lowest,
        time_ns=np.where(has_price, these.at("time", row), end_ns),
        known_ns=np.maximum(known_ns, lives["since_ns"][life]),
        rank=np.where(by_price, 0, 1),
        reason=none,
        flags=none,
    )


def _age(these: Followed, model: FillModel, clock_ns: int) -> None:
    """Notes the return at every age that is over."""
    lives = these.lives
    life, age = _over(these, lives["age_row"] == NOT_SETTLED, lives["age_ns"], clock_ns)
    begin_ns, end_ns = lives["age_from"][life, age], lives["age_ns"][life, age]
    found = _settled(these, life, begin_ns, end_ns, clock_ns)
    is_fresh = _is_fresh(these, found, begin_ns, end_ns, model)
    known = np.flatnonzero(found.by_price | found.by_clock)
    life, age, row = life[known], age[known], found.row[known]
    moved = these.at("close", row) / lives["entry"][life] - 1
    # Without a price since the entry, or of late, it is the row before the first one: no new price.
    number = np.where(is_fresh[known], row + these.shift[life], NO_ROW)
    lives["age_row"][life, age] = np.maximum(number, lives["first_row"][life] - 1)
    lives["age_return"][life, age] = lives["side"][life] * moved


# -- the own life ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Due:
    """The planned ends, shape (n,): row (the life's `stop` = not yet), whether at its open, and
    whether it never came (`is_lost`). stop: barriers count in the rows before."""

    row: IntArray
    at_open: BoolArray
    is_lost: BoolArray
    known_ns: IntArray
    rank: IntArray
    stop: IntArray


def _due(these: Followed, model: FillModel, clock_ns: int) -> _Due:
    """A wall time is due at the first price from then on; a trading day at its last price, or the
    first one behind it where it has none."""
    lives, stop = these.lives, these.stop
    begin_ns, end_ns = lives["due_from"], lives["due_ns"]
    is_wall = begin_ns == NO_ROW
    found = _settled(these, np.arange(lives.size), begin_ns, end_ns, clock_ns)
    on_day = ~is_wall & (found.by_price | (found.by_clock & (found.last >= found.begin)))
    seen: Any = these.block.rows["seen"]
    later = np.where(is_wall, first_at_least(seen, end_ns, these.start, stop), found.last + 1)
    later = np.maximum(later, these.first)
    is_due = (later < stop) & (is_wall | found.by_clock) & ~on_day
    row = np.where(on_day, found.row, np.where(is_due, later, stop))
    last_ns = np.minimum(end_ns, NEVER_NS - model.censor_after_ns) + model.censor_after_ns
    starts_later = (these.at("open", row) > 0) & (these.at("start", row) >= end_ns)
    at_open = is_due & starts_later & model.at_open
    row_seen = these.at("seen", row)
    is_lost = ~on_day & np.where(is_due, row_seen > last_ns, clock_ns > last_ns)
    by_clock = is_lost | (on_day & ~found.by_price)
    clocked_ns = np.where(is_lost, last_ns, end_ns)
    return _Due(
        row=row,
        at_open=at_open,
        is_lost=is_lost,
        known_ns=np.where(by_clock, clocked_ns, row_seen),
        rank=by_clock.astype(np.int64),
        stop=np.where(at_open | is_lost, row, np.minimum(row + 1, stop)),
    )


def _exits(these: Followed) -> BarrierExits:
    """Where barriers are touched; of a passive entry, the stop that its own bar reached behind
    it."""
    lives, rows = these.lives, these.block.rows
    exits = barrier_exits(
        *(these.extremes, rows["open"], rows["high"], rows["low"]),
        *(lives["side"], lives["stop"], lives["target"]),
    )
    at = np.flatnonzero(lives["is_open"] & lives["is_stopped"])
    exits.row[at] = lives["entry_row"][at] - these.shift[at]
    exits.price[at] = exits.optimistic[at] = lives["fill_stop"][at]
    exits.is_stop[at], exits.is_ambiguous[at] = True, False
    return exits


def _bounds(of: Any, better: FloatArray, price: FloatArray) -> tuple[FloatArray, FloatArray, Any]:
    """(optimistic, pessimistic, whether anything is in doubt) of lives, shape (k,): with the stop
    and the target that the bar of a passive entry held, nobody knows whether before the entry."""
    side, stop, target = of["side"], of["fill_stop"], of["fill_target"]
    is_known = ~np.isnan(price)
    optimistic = np.where(is_known, side * np.fmax(side * better, side * target), np.nan)
    pessimistic = np.where(is_known, side * np.fmin(side * price, side * stop), np.nan)
    is_doubtful = ~np.isnan(target) | (~np.isnan(stop) & ~of["is_stopped"])
    return optimistic, pessimistic, is_known & is_doubtful


def _ended(these: Followed, model: FillModel, clock_ns: int) -> Closings | None:
    """The lives that are over: stop, target, planned end, or no more price."""
    lives = these.lives
    due = _due(these, model, clock_ns)
    exits = _exits(these)
    by_barrier = exits.row < due.stop
    is_over = lives["is_open"] & (by_barrier | due.is_lost | (due.row < these.stop))
    life = np.flatnonzero(is_over)
    if not life.size:
        return None
    by_barrier, is_lost = by_barrier[life], (due.is_lost & ~by_barrier)[life]
    at_open = due.at_open[life] & ~by_barrier
    row = np.where(by_barrier, exits.row[life], due.row[life])
    opened = these.at("open", row)
    planned = np.where(is_lost, np.nan, np.where(at_open, opened, these.at("close", row)))
    price = np.where(by_barrier, exits.price[life], planned)
    to_close = ~by_barrier & ~at_open
    highest, lowest = these.extremes.through(
        life,
        np.minimum(np.where(to_close, row, row - 1), these.stop[life] - 1),
        lives["highest"][life],
        lives["lowest"][life],
    )
    # Of the bar of a passive entry it lived through nothing but the way to the stop.
    at_fill = by_barrier & lives["is_stopped"][life]
    highest, lowest = (np.where(at_fill, lives["entry"][life], x) for x in (highest, lowest))
    # At the open is when the bar starts, but never before the entry.
    at_start = at_open | (by_barrier & (price == opened))
    start_ns = np.maximum(these.at("start", row), lives["entry_ns"][life])
    time_ns = np.where(at_start, start_ns, these.at("time", row))
    has_plan = ~np.isnan(lives["stop"][life]) | ~np.isnan(lives["target"][life])
    is_coarse = has_plan & ~is_lost & (these.at("coarse", row) > lives["coarse"][life])
    known_ns = np.where(by_barrier, these.at("seen", row), due.known_ns[life])
    lives["is_open"][life], lives["due_ns"][life] = False, NEVER_NS
    lives["high_limit"][life], lives["low_limit"][life] = np.inf, -np.inf
    by_stop = np.where(exits.is_stop[life], STOP_LOSS, TAKE_PROFIT)
    better = np.where(by_barrier, exits.optimistic[life], price)
    optimistic, pessimistic, is_ambiguous = _bounds(lives[life], better, price)
    is_ambiguous |= by_barrier & exits.is_ambiguous[life]
    return Closings(
        life=life,
        span=np.full(life.size, NO_ROW),
        status=np.where(is_lost, CENSORED, MATURED),
        row=row,
        to_close=to_close,
        price=price,
        optimistic=optimistic,
        pessimistic=pessimistic,
        highest=highest,
        lowest=lowest,
        time_ns=np.where(is_lost, due.known_ns[life], time_ns),
        known_ns=np.maximum(known_ns, lives["since_ns"][life]),
        rank=np.where(by_barrier, 0, due.rank[life]),
        reason=np.where(by_barrier, by_stop, np.where(is_lost, 0, TIME)),
        flags=is_coarse * COARSE + is_ambiguous * AMBIGUOUS,
    )


def delisted(these: Followed, clock_ns: int) -> Closings:
    """Everything that is open or left ends at the last price that there was; the lives have been
    advanced."""
    lives = these.lives
    own = np.flatnonzero(lives["is_open"])
    life, span = np.nonzero(lives["is_left"])
    everyone = np.concatenate((own, life))
    row, count = these.stop[everyone] - 1, everyone.size
    price = these.at("close", row)
    is_own = np.arange(count) < own.size
    has_plan = ~np.isnan(lives["stop"][everyone]) | ~np.isnan(lives["target"][everyone])
    is_coarse = is_own & has_plan & (these.at("coarse", row) > lives["coarse"][everyone])
    now_ns = np.full(count, clock_ns)
    optimistic, pessimistic, is_doubtful = _bounds(lives[everyone], price, price)
    _age_all(these)
    lives["is_open"], lives["is_left"] = False, False
    return Closings(
        life=everyone,
        span=np.concatenate((np.full(own.size, NO_ROW), span)),
        status=np.full(count, MATURED),
        row=row,
        to_close=np.ones(count, dtype=np.bool_),
        price=price,
        optimistic=np.where(is_own, optimistic, price),
        pessimistic=np.where(is_own, pessimistic, price),
        highest=lives["highest"][everyone],
        lowest=lives["lowest"][everyone],
        time_ns=now_ns,
        known_ns=now_ns,
        rank=np.ones(count, dtype=np.int64),
        reason=np.where(is_own, END_OF_DATA, 0),
        flags=is_coarse * COARSE + (is_own & is_doubtful) * AMBIGUOUS,
    )


def _age_all(these: Followed) -> None:
    """Notes the last price at every age that is left: there will be no other one. Each stands at a
    row of its own behind the last, for the same price is what every one of them tells."""
    lives, last = these.lives, these.stop - 1
    is_left = lives["age_row"] == NOT_SETTLED
    moved = lives["side"] * (these.at("close", last) / lives["entry"] - 1)
    number = np.maximum(last + these.shift, lives["first_row"] - 1) + 1
    behind = number[:, None] + np.arange(is_left.shape[1])
    lives["age_row"] = np.where(is_left, behind, lives["age_row"])
    lives["age_return"] = np.where(is_left, moved[:, None], lives["age_return"])
