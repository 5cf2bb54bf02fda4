"""How a signal that is followed enters: the first price after its decision, as taker or passive."""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from trimtab_server.domain.ledger.columns import IntArray
from trimtab_server.domain.shadow.fill_model import Age, FillModel
from trimtab_server.domain.shadow.result import MAKER
from trimtab_server.domain.shadow.rows import Block
from trimtab_server.domain.shadow.state import (
    NEVER_NS,
    NO_ROW,
    NOT_SETTLED,
    Lives,
    SymbolState,
    Waiting,
)

# Rows that are kept for a signal that has not entered: its wait is over then.
WAIT_ROWS_MAX = 65_536
# Who decides at the close of a bar is told so a moment after the next one has opened: decided in
# this part of a bar (1.2 s of a minute, 72 s of an hour), its open is still the price of then. More
# would hand engines that decide within bars a price from before what moved them.
_FRESH_PART = 50


class Entry(NamedTuple):
    """row: position among the rows that are kept. at_open: at its open, else at its close or, as
    maker, somewhere in it; is_whole: all of that bar came after the order. price: in the units of
    the rows. since_ns: not known before."""

    row: int
    at_open: bool
    price: float
    is_maker: bool = False
    is_doubtful: bool = False
    since_ns: int = 0
    is_whole: bool = False


class Missed(NamedTuple):
    """A signal that does not enter: no price came (is_censored), or its order was not filled."""

    waiting: Waiting
    is_censored: bool
    time_ns: int
    known_ns: int


class Ends:
    """When the horizons and ages of a fill model end, for an entry."""

    def __init__(self, model: FillModel) -> None:
        ages: tuple[Age, ...] = model.spans + model.ages
        self._calendar = model.calendar_of("")
        self._days = tuple(age.trading_days for age in ages)
        self._wall_ns: IntArray = np.array([age.age_ns for age in ages], dtype=np.int64)
        self._is_wall = self._wall_ns > 0
        self._of_day = lru_cache(maxsize=4_096)(self._found)

    def of(self, entry_ns: int, time_ns: int) -> tuple[IntArray, IntArray]:
        """(begin, end) of each, horizons first: a price after begin is a price of its day; wall
        time begins at NO_ROW. time_ns: of the bar in which it entered, which tells the day."""
        begins, ends = self._of_day(self._calendar.day(time_ns))
        return begins, np.where(self._is_wall, entry_ns + self._wall_ns, ends)

    def _found(self, day: int) -> tuple[IntArray, IntArray]:
        bounds = [
            self._calendar.bounds(day, count) if count else (NO_ROW, NO_ROW) for count in self._days
        ]
        both = np.array(bounds, dtype=np.int64).reshape(-1, 2)
        return both[:, 0], both[:, 1]


def entries(
    state: SymbolState, model: FillModel, clock_ns: int
) -> Iterator[tuple[Waiting, Entry] | Missed]:
    """What becomes of the waiting signals of a symbol, as of the lane's clock; those that go on
    waiting are not told. The rows must be settled."""
    rows: Any = state.rows
    for each in state.waiting.values():
        since_ns = 0
        if not each.ready_ns:
            is_full = state.row_count - each.from_row >= WAIT_ROWS_MAX
            if clock_ns <= each.over_ns and not is_full:
                continue
            each.ready_ns, since_ns = each.signal_ns + model.latency_ns, each.over_ns
        first = _first_row(rows, max(0, each.from_row - state.base), each.ready_ns)
        last_ns = each.ready_ns + model.censor_after_ns
        if first < rows.size and int(rows["seen"][first]) <= last_ns:
            found = (
                _passive(rows, first, each, model, clock_ns)
                if model.is_passive
                else _taker(rows, first, each, model)
            )
            if isinstance(found, Entry):
                yield each, found._replace(since_ns=max(since_ns, found.since_ns))
            elif found is not None:
                yield found
            else:
                each.from_row = state.base + first
        elif first < rows.size or clock_ns > last_ns:
            yield Missed(each, is_censored=True, time_ns=last_ns, known_ns=last_ns)
        else:
            each.from_row = state.row_count


def _first_row(rows: Any, start: int, ready_ns: int) -> int:
    """The first bar that ends after `ready_ns`, or tick at or after it, from `start` on."""
    times = rows["time"]
    at = start + int(np.searchsorted(times[start:], ready_ns, "left"))
    while at < times.size and times[at] == ready_ns and rows["interval"][at]:
        at += 1
    return at


def _is_whole(rows: Any, at: int, waiting: Waiting, model: FillModel) -> bool:
    """Whether all of the row comes after the decision."""
    return bool(rows["start"][at] >= waiting.ready_ns - model.latency_ns)


def _taker(rows: Any, at: int, waiting: Waiting, model: FillModel) -> Entry:
    """At the open of a bar that starts after the decision, or has just started then, when the order
    arrives in the first tenth of it at the latest; else at the close."""
    opened, interval = float(rows["open"][at]), int(rows["interval"][at])
    arrives_ns = waiting.ready_ns - int(rows["start"][at])
    is_fresh = _FRESH_PART * (arrives_ns - model.latency_ns) <= interval
    is_early = 10 * arrives_ns <= interval
    if model.at_open and interval and opened > 0 and is_fresh and is_early:
        return Entry(at, at_open=True, price=opened)
    return Entry(at, at_open=False, price=float(rows["close"][at]))


def _passive(
    rows: Any, first: int, waiting: Waiting, model: FillModel, clock_ns: int
) -> Entry | Missed | None:
    """A limit order: filled when traded through, in doubt when touched; None = it still rests.

    It rests for passive_wait_s, at least for one row.
    """
    over_ns = waiting.ready_ns + model.passive_wait_ns
    last = int(np.searchsorted(rows["seen"], over_ns, "right"))
    last = min(max(last, first + 1), first + WAIT_ROWS_MAX)
    is_over = clock_ns > over_ns or last < rows.size or last == first + WAIT_ROWS_MAX
    touched: int | None = None
    for at in range(first, last):
        limit = _limit(rows, at, waiting)
        is_whole = _is_whole(rows, at, waiting, model)
        reached = rows["low" if waiting.side > 0 else "high"][at] if is_whole else rows["close"][at]
        beyond = waiting.side * (limit - float(reached))
        if beyond > 0:
            opened = float(rows["open"][at]) if is_whole else math.nan
            # An order that is better than the market when it opens gets the open.
            gain = max(0.0, waiting.side * (limit - opened)) if opened > 0 else 0.0
            price = limit - waiting.side * gain
            return Entry(at, at_open=False, price=price, is_maker=True, is_whole=is_whole)
        if beyond == 0 and touched is None:
            touched = at
    if not is_over:
        return None
    known_ns = max(over_ns, int(rows["seen"][first]))
    if touched is None:
        return Missed(waiting, is_censored=False, time_ns=known_ns, known_ns=known_ns)
    price, is_whole = _limit(rows, touched, waiting), _is_whole(rows, touched, waiting, model)
    found = Entry(touched, at_open=False, price=price, is_maker=True, is_whole=is_whole)
    return found._replace(is_doubtful=True, since_ns=known_ns)


def _limit(rows: Any, at: int, waiting: Waiting) -> float:
    """The limit price in the units of the rows: the quote at the decision, else the last price that
    was known; where nothing was, the row's own."""
    factor = 1.0 if rows["is_adjusted"][at] else waiting.factor
    for price in (waiting.limit_price, waiting.reference_price, waiting.last_price):
        if price > 0:
            return price * factor
    opened = float(rows["open"][at])
    return opened if opened > 0 else float(rows["close"][at])


class Entered(NamedTuple):
    """A signal that enters. symbol: position of its symbol in the block."""

    symbol: int
    waiting: Waiting
    entry: Entry


def new_lives(
    entered: Sequence[Entered], block: Block, model: FillModel, ends: Ends, dtype: Any
) -> Lives:
    """The rows of the table of lives for signals that enter, one each; at least one."""
    lives: Any = np.empty(len(entered), dtype=dtype)
    symbol, those, how = zip(*entered, strict=True)
    position = np.array([entry.row for entry in how]) + block.start[list(symbol)]
    at_open = np.array([entry.at_open for entry in how])
    rows: Any = block.rows[position]
    number = position + block.shift[list(symbol)]
    # A position that was opened with a bar ends with one, whatever the latency: two days held are
    # two bars of a day.
    entry_ns = np.where(at_open, rows["start"], rows["time"])
    for name in _FROM_WAITING:
        lives[name] = [getattr(one, name) for one in those]
    price = np.array([entry.price for entry in how])
    lives["entry"] = price
    lives["is_doubtful"] = [entry.is_doubtful for entry in how]
    lives["since_ns"] = [entry.since_ns for entry in how]
    is_maker = np.array([entry.is_maker for entry in how])
    lives["flags"] = is_maker * MAKER
    lives["entry_fee"] = np.where(is_maker, model.maker_fee_bps, model.taker_fee_bps)
    # A tick tells the spread that it was traded at, a bar that of its whole length.
    is_quoted = (rows["interval"] == 0) & ~np.isnan(rows["spread"])
    spread = lives["spread"]
    spread[np.isnan(spread)] = model.default_spread_bps
    taken = np.where(is_quoted, rows["spread"], spread)
    lives["entry_spread"] = np.where(is_maker, 0.0, taken)
    lives["entry_ns"], lives["entry_row"] = entry_ns, number
    lives["first_row"] = number + ~at_open
    lives["is_adjusted"], lives["entry_factor"] = rows["is_adjusted"], rows["factor"]
    plan_factor = np.where(rows["is_adjusted"], 1.0, [one.factor for one in those])
    lives["stop"] = plan_factor * [one.stop_price for one in those]
    lives["target"] = plan_factor * [one.target_price for one in those]
    is_long = lives["side"] > 0
    above = np.where(is_long, lives["target"], lives["stop"])
    below = np.where(is_long, lives["stop"], lives["target"])
    lives["high_limit"] = np.where(np.isnan(above), np.inf, above)
    lives["low_limit"] = np.where(np.isnan(below), -np.inf, below)
    is_whole = np.array([entry.is_whole for entry in how])
    _fill_own_bar(lives, rows, is_maker, is_whole)
    lives["logs"], lives["squares"] = rows["logs"], rows["squares"]
    # The row before is kept, unless there never was one.
    before = position - (at_open | (is_maker & is_whole))
    coarse: Any = block.rows["coarse"][before]
    lives["coarse"] = np.where(before >= block.start[list(symbol)], coarse, 0)
    lives["paid"] = rows["paid"]
    _fill_size(lives, those, price / rows["factor"], rows["volume"], model)
    _fill_ends(lives, those, entry_ns.tolist(), rows["time"].tolist(), model, ends)
    return lives  # type: ignore[no-any-return]


_FROM_WAITING = (
    *("key", "signal_ns", "side", "action", "confidence", "threshold", "is_calibrated", "spread"),
)


def _fill_own_bar(lives: Any, rows: Any, is_maker: Any, is_whole: Any) -> None:
    """What the bar of a passive entry held: at the end of a bar that came whole after the order,
    the way to a price beyond the limit led through the limit. So it lived through the worst of the
    bar, and its stop was taken; whether the best, or anything of a bar that had begun before, came
    before the entry nobody knows."""
    side, price = lives["side"], lives["entry"]
    is_long = side > 0
    worst, best = (
        np.where(is_long == is_low, rows["low"], rows["high"]) for is_low in (True, False)
    )
    lived = np.where(is_whole, worst, rows["close"])
    is_lower = is_maker & (side * (price - lived) > 0)
    lives["lowest"] = np.where(is_lower & is_long, lived, price)
    lives["highest"] = np.where(is_lower & ~is_long, lived, price)
    has_stop = is_maker & (side * (lives["stop"] - worst) >= 0)
    has_target = is_maker & (side * (best - lives["target"]) >= 0)
    # A barrier that the entry itself was beyond is left at its price.
    stop = side * np.minimum(side * lives["stop"], side * price)
    target = side * np.maximum(side * lives["target"], side * price)
    lives["fill_stop"] = np.where(has_stop, stop, np.nan)
    lives["fill_target"] = np.where(has_target, target, np.nan)
    lives["is_stopped"] = has_stop & is_whole


def _fill_size(
    lives: Any, those: Sequence[Waiting], price: Any, volume: Any, model: FillModel
) -> None:
    """Units wanted, and the share of them that the cap on the bar's volume allows."""
    kind, size = (np.array([getattr(one, name) for one in those]) for name in ("size_kind", "size"))
    multiplier = np.array([one.multiplier for one in those])
    wanted = np.where(kind == 1, size, np.where(kind == 2, size / (price * multiplier), np.nan))
    is_known = (wanted > 0) & (volume > 0)
    share = model.volume_share_max * volume / np.where(is_known, wanted, 1.0)
    lives["wanted"] = wanted
    lives["filled"] = np.where(is_known, np.minimum(share, 1.0), np.nan)


def _fill_ends(
    lives: Any,
    those: Sequence[Waiting],
    entries_ns: list[int],
    times_ns: list[int],
    model: FillModel,
    ends: Ends,
) -> None:
    """When the plan, the horizons and the ages end; nothing of them is over."""
    found = [ends.of(*times) for times in zip(entries_ns, times_ns, strict=True)]
    begins, finishes = (np.stack(each) for each in zip(*found, strict=True))
    count = len(model.spans)
    lives["horizon_from"], lives["age_from"] = begins[:, :count], begins[:, count:]
    lives["horizon_ns"], lives["age_ns"] = finishes[:, :count], finishes[:, count:]
    lives["is_open"], lives["is_left"] = True, True
    lives["age_row"], lives["age_return"] = NOT_SETTLED, np.nan
    due = [
        _due(one, model, entry_ns, time_ns)
        for one, entry_ns, time_ns in zip(those, entries_ns, times_ns, strict=True)
    ]
    lives["due_from"], lives["due_ns"] = zip(*due, strict=True)


def _due(waiting: Waiting, model: FillModel, entry_ns: int, time_ns: int) -> tuple[int, int]:
    """(begin, end) of the planned holding period; see `Ends.of`."""
    days = waiting.holding_days
    if not days and not waiting.holding_ns:
        days = model.default_holding_days
    due = (NO_ROW, min(entry_ns + waiting.holding_ns, NEVER_NS) if waiting.holding_ns else NEVER_NS)
    if days:
        calendar = model.calendar_of(waiting.calendar)
        begin, end = calendar.bounds(calendar.day(time_ns), days)
        if end < due[1]:
            due = (begin, end)
    return due
