"""What happened beside a scenario: the trades of both, their results, and what differs."""

from dataclasses import dataclass

import numpy as np

from trimtab_server.domain.ledger.trades import Trades
from trimtab_server.domain.reports.guard_records import BoolArray
from trimtab_server.domain.statistics.block_sums import BlockCalendar, block_calendar
from trimtab_server.domain.statistics.estimates import Estimate, FloatArray, IntArray, undefined


@dataclass(frozen=True, slots=True)
class Results:
    """All results of one kind, in the order of exits. rows: the signal of each, shape (m,)."""

    rows: IntArray
    trades: Trades
    calendar: BlockCalendar | None


def in_exit_order(trades: Trades, rows: IntArray) -> Results:
    """Trades of these signals, shape (m,), by their exits."""
    order = np.argsort(trades.exit_ns, kind="stable")
    ordered = trades.at(order)
    return Results(rows[order], ordered, block_calendar(ordered.entry_ns, ordered.exit_ns))


@dataclass(frozen=True, slots=True)
class Sides:
    """What happened beside the scenario. actual, taken: shape (n,), trades; before, after: those of
    them that have a result. other: the results as the scenario has them."""

    actual: BoolArray
    taken: BoolArray
    before: BoolArray
    after: BoolArray
    results: Results
    other: Trades
    is_exact: bool

    @property
    def is_changed(self) -> bool:
        """Whether other trades are made."""
        return not np.array_equal(self.actual, self.taken)

    def unchanged(self, level: float) -> tuple[Estimate, Estimate]:
        """What the difference is where no trade with a result differs, in stakes and in money: zero
        where all are the same, else not known."""
        if self.is_changed:
            none = undefined(0, "no changed trade has a result", level)
        elif self.other is not self.results.trades and not self.before.any() and self.actual.any():
            none = undefined(0, "no trade tells the parts of its costs", level)
        else:
            none = Estimate(0.0, None, None, 0, 0.0, level)
        return none, none

    def changes(self) -> tuple[FloatArray, FloatArray, IntArray]:
        """Scenario minus actual of every trade that differs: in stakes, in money, and which of the
        results it is; none where all are the same."""
        results = self.results
        before, after = self.before[results.rows], self.after[results.rows]
        differs = before != after
        if self.other is not results.trades:
            differs = before | after
        rows = np.flatnonzero(differs)
        before, after = before[rows], after[rows]

        def change(old: FloatArray, new: FloatArray) -> FloatArray:
            return np.where(after, new[rows], 0.0) - np.where(before, old[rows], 0.0)

        values = change(results.trades.returns, self.other.returns)
        if not self.is_changed and not values.any():
            values, rows, before, after = values[:0], rows[:0], before[:0], after[:0]
        return values, change(results.trades.pnl, self.other.pnl), rows
