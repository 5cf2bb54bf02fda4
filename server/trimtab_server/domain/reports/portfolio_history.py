"""A ledger in the order of time, and what its recorded trades add up to at each decision."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trimtab_server.domain.ledger.columns import (
    APPROVED,
    BLOCK,
    PASS,
    CodeArray,
    FloatArray,
    GuardRule,
    IntArray,
    Ledger,
    ResultStatus,
)
from trimtab_server.domain.reports.portfolio_replay import (
    FREE,
    NEVER,
    BoolArray,
    Lives,
    Queue,
    segments,
    units,
)
from trimtab_server.domain.shadow.result import NOT_FILLED

POSITION_FRACTION = 0.05
"""Size of a position whose own is not known, as a fraction of equity."""

_NS = 1_000_000_000


def exit_times(ledger: Ledger, decided_ns: IntArray) -> IntArray:
    """When each signal's position ends if it is traded, UTC nanoseconds, shape (n,), at least one
    behind the decision; FREE = not before the ledger's end. See `domain.reports.portfolio`."""
    shadow, real = ledger.shadow_exit_time_ns, ledger.real_exit_time_ns
    status = ledger.shadow_status
    unfilled = (ledger.shadow_flags & NOT_FILLED) != 0
    is_censored = status == ResultStatus.CENSORED
    seen_last = is_censored & ~unfilled & (shadow > 0)
    # No price came for it: that it waited for one says nothing of how long it would have been held.
    unseen = (is_censored & unfilled) | np.isin(status, (ResultStatus.NONE, ResultStatus.PENDING))
    planned = unseen & (ledger.holding_s >= 0)
    # Beyond 2^62 ns (a hundred years) a plan is none.
    held_ns = np.where(planned, np.minimum(ledger.holding_s, 4e9), 0.0) * _NS
    really = ledger.has_real & (real > 0)
    exit_ns: IntArray = np.select(
        [
            really,
            ledger.has_shadow & (shadow > 0),
            seen_last,
            planned,
            is_censored & (shadow > 0),
        ],
        [real, shadow, shadow, decided_ns + held_ns.astype(np.int64), shadow],
        default=FREE,
    )
    return np.maximum(exit_ns, decided_ns + 1)


@dataclass(frozen=True, slots=True)
class Told:
    """One guard's verdicts of one kind, each array of shape (k,). row: the signal's position.
    passed, blocked: what it came to; what was approved did pass, whatever a guard advised."""

    row: IntArray
    observed: FloatArray
    limit: FloatArray
    detail: FloatArray
    passed: BoolArray
    blocked: BoolArray

    def only(self, mask: BoolArray) -> "Told":
        """Those of the mask."""
        return Told(
            *(self.row[mask], self.observed[mask], self.limit[mask], self.detail[mask]),
            *(self.passed[mask], self.blocked[mask]),
        )


def _last_known(values: FloatArray, groups: CodeArray) -> FloatArray:
    """The values, where one is not known the last known before it of its group, else the first."""
    if np.isfinite(values).all():
        return values
    filled = values.copy()
    order = np.argsort(groups, kind="stable")
    for each in segments(groups[order].astype(np.int64)):
        part = values[order[each]]
        known = np.flatnonzero(np.isfinite(part))
        if known.size:
            at = np.searchsorted(known, np.arange(part.size), side="right") - 1
            filled[order[each]] = part[known[np.maximum(at, 0)]]
    return filled


class Line:
    """Decisions in the order of (group, time, key), and where in it each position frees its place.

    order: the signal at each place, shape (n,). groups: its group. leave: for each place that of
    the first decision of the same group at or behind the exit, n = there is none.
    """

    def __init__(
        self, groups: IntArray, time_ns: IntArray, exit_ns: IntArray, key: IntArray
    ) -> None:
        n = time_ns.size
        by_key = np.argsort(key, kind="stable")
        # Exits stand first, and the sort is stable: at one time an exit comes before a decision.
        who = np.concatenate([by_key, by_key])
        times = np.concatenate([exit_ns[by_key], time_ns[by_key]])
        events = np.lexsort((times, groups[who]))
        who, deciding = who[events], events >= n
        self.order: IntArray = who[deciding]
        self.groups: IntArray = groups[self.order]
        behind = np.cumsum(deciding)[~deciding]
        leaves = np.empty(n, dtype=np.int64)
        leaves[who[~deciding]] = behind
        self.leave: IntArray = leaves[self.order]
        _, at, lengths = np.unique(self.groups, return_index=True, return_counts=True)
        self._starts, self._lengths = at, lengths
        self.leave[self.leave >= np.repeat(at + lengths, lengths)] = n

    def open_sums(self, values: IntArray) -> IntArray:
        """Sum over the positions that are open at each decision, by signal, shape (n,). values: of
        each signal, 0 = it has no position."""
        own = values[self.order]
        sums = np.cumsum(own) - own - np.cumsum(self._freed(own, self.leave))
        return self._by_signal(sums - np.repeat(sums[self._starts], self._lengths))

    def ended_sums(self, values: IntArray, part: IntArray, end_part: IntArray) -> IntArray:
        """Sum over the positions that ended before each decision in the same part of time, by
        signal, shape (n,). part, end_part: of each signal's decision and exit, rising in time."""
        n, own, parts = values.size, values[self.order], part[self.order]
        counted = np.append(parts, 0)[self.leave] == end_part[self.order]
        sums = np.cumsum(self._freed(own, np.where(counted, self.leave, n)))
        fresh = np.union1d(np.flatnonzero(np.diff(parts)) + 1, self._starts)
        before = np.concatenate([[0], sums])[fresh]
        return self._by_signal(sums - np.repeat(before, np.diff(np.append(fresh, n))))

    def last_ended(self, times: IntArray) -> IntArray:
        """The latest of the times of positions that ended before each decision, by signal, (n,)."""
        latest = np.full(times.size + 1, NEVER)
        np.maximum.at(latest, self.leave, times[self.order])
        for start, length in zip(self._starts.tolist(), self._lengths.tolist(), strict=True):
            part = latest[start : start + length]
            part[:] = np.maximum.accumulate(part)
        return self._by_signal(latest[:-1])

    def queue(self, wanted: BoolArray, symbols: "Line | None") -> Iterator[Queue]:
        """The wanted signals, group by group."""
        keep = wanted[self.order]
        rows = self.order[keep]
        place = np.concatenate([np.cumsum(keep) - keep, [rows.size]])  # the first wanted from here
        leave = place[self.leave[keep]]
        symbol_leave = None
        if symbols is not None:
            symbol_leave = self._symbol_leave(wanted, symbols, rows)
        for each in segments(self.groups[keep]):
            count = each.stop - each.start
            own = None
            if symbol_leave is not None:
                own = np.minimum(symbol_leave[each] - each.start, count)
            yield Queue(rows[each], np.minimum(leave[each] - each.start, count), own)

    def _symbol_leave(self, wanted: BoolArray, symbols: "Line", rows: IntArray) -> IntArray:
        """For each of the rows the place among them of its symbol's first one behind its exit."""
        keep = wanted[symbols.order]
        own = symbols.order[keep]
        first = np.concatenate([np.cumsum(keep) - keep, [own.size]])[symbols.leave[keep]]
        groups = np.append(symbols.groups[keep], -1)
        place = np.empty(wanted.size + 1, dtype=np.int64)
        place[rows], place[-1] = np.arange(rows.size), rows.size
        behind = np.append(own, -1)[np.where(groups[first] == groups[:-1], first, own.size)]
        result = np.empty(wanted.size, dtype=np.int64)
        result[own] = place[behind]
        return result[rows]

    def _freed(self, own: IntArray, leave: IntArray) -> IntArray:
        freed = np.zeros(own.size + 1, dtype=np.int64)
        np.add.at(freed, leave, own)
        return freed[:-1]

    def _by_signal(self, values: IntArray) -> IntArray:
        result = np.empty_like(values)
        result[self.order] = values
        return result


class History:
    """A ledger, and what its recorded trades add up to at each decision. Each engine is a book."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.approved: BoolArray = ledger.action == APPROVED
        decided = ledger.decision_time_ns
        self.time_ns: IntArray = np.where(decided > 0, decided, ledger.signal_time_ns)
        self.exit_ns = exit_times(ledger, self.time_ns)
        self._books: IntArray = ledger.source.astype(np.int64)
        self.line = Line(self._books, self.time_ns, self.exit_ns, ledger.signal_key)
        self._lives: tuple[float, Lives] | None = None
        verdicts = ledger.verdicts
        self._rows: IntArray = np.repeat(np.arange(len(ledger)), np.diff(verdicts.start))
        self._by_guard = np.argsort(verdicts.guard, kind="stable")
        counts = np.bincount(verdicts.guard, minlength=len(ledger.names.guards))
        self._starts = np.concatenate([[0], np.cumsum(counts)])

    def told(self, code: int, kind: GuardRule) -> Told:
        """A guard's verdicts of one kind."""
        verdicts = self.ledger.verdicts
        own = self._by_guard[self._starts[code] : self._starts[code + 1]]
        own = own[verdicts.rule[own] == kind]
        row, result, limit = self._rows[own], verdicts.result[own], verdicts.limit[own]
        # A guard that did not look may not tell its limit: then it is the latest that it told.
        limit = _last_known(limit, self.ledger.source[row])
        passed = (result == PASS) | self.approved[row]
        blocked = (result == BLOCK) & ~self.approved[row]
        return Told(row, verdicts.observed[own], limit, verdicts.detail[own], passed, blocked)

    def lives(self, position_fraction: float) -> Lives:
        """What each position binds and earns. position_fraction: where its own is not known."""
        if self._lives is None or self._lives[0] != position_fraction:
            ledger = self.ledger
            returns = np.where(ledger.has_shadow, ledger.shadow_return, ledger.real_return)
            returns = np.where(ledger.has_shadow | ledger.has_real, returns, 0.0)
            returns = np.nan_to_num(returns, posinf=0.0, neginf=0.0)
            own = ledger.position_fraction
            lives = Lives(
                symbol=ledger.symbol.astype(np.int64),
                symbol_count=len(ledger.names.symbols),
                time_ns=self.time_ns,
                exit_ns=self.exit_ns,
                added=self.added,
                capital=units(np.where(np.isfinite(own), own, position_fraction)),
                lost=-units(returns * np.where(np.isfinite(own), own, POSITION_FRACTION)),
                is_loss=returns < 0,
            )
            self._lives = (position_fraction, lives)
        return self._lives[1]

    @cached_property
    def added(self) -> IntArray:
        """What each position adds to the exposure, as its guard said or as its size is, in UNITs,
        shape (n,)."""
        own = self.ledger.position_fraction
        added = np.where(np.isfinite(own), own, POSITION_FRACTION)
        for code in range(len(self.ledger.names.guards)):
            told = self.told(code, GuardRule.EXPOSURE)
            # Zero is what a guard tells that does not know.
            known = told.detail > 0
            added[told.row[known]] = told.detail[known]
        return units(added)

    def _of_approved(self, values: IntArray) -> IntArray:
        return np.where(self.approved, values, 0)

    @cached_property
    def symbol_line(self) -> Line:
        """The decisions of each symbol of each book."""
        ledger = self.ledger
        groups = self._books * len(ledger.names.symbols) + ledger.symbol
        return Line(groups, self.time_ns, self.exit_ns, ledger.signal_key)

    @cached_property
    def open_count(self) -> IntArray:
        """Positions open at each decision in the recorded history, shape (n,)."""
        return self.line.open_sums(self.approved.astype(np.int64))

    @cached_property
    def symbol_open_count(self) -> IntArray:
        """The same of the signal's own symbol."""
        return self.symbol_line.open_sums(self.approved.astype(np.int64))

    @cached_property
    def exposure(self) -> IntArray:
        """Exposure at each decision in the recorded history, in UNITs, shape (n,)."""
        return self.line.open_sums(self._of_approved(self.added))

    def last_exit_ns(self, *, losses_only: bool) -> IntArray:
        """The last exit (of a loss) before each decision in the recorded history, shape (n,)."""
        counted = self.approved.copy()
        if losses_only:
            counted &= self.lives(POSITION_FRACTION).is_loss
        return self.line.last_ended(np.where(counted, self.exit_ns, NEVER))

    def period_loss(self, period_ns: int) -> IntArray:
        """What the trades that ended in the decision's period before it lost, in UNITs of equity,
        in the recorded history, shape (n,). Periods begin at multiples of their length, UTC."""
        lost = self._of_approved(self.lives(POSITION_FRACTION).lost)
        return self.line.ended_sums(lost, self.time_ns // period_ns, self.exit_ns // period_ns)
