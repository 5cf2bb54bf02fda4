"""What if: the ledger recomputed under other rules, beside what really happened.

Which signals a scenario takes is worked out in `scenario_trades`; here both sides are given their
results. An answer is EXACT when the scenario only takes trades away and each of those has a
real result: then both sides are real. Otherwise both sides are simulated (same prices, same costs),
never one of each. What the engine itself would have proposed in another history is nobody's to
know: signals are taken as they were made.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from trimtab_server.domain.ledger.columns import APPROVED, BLOCKED, Ledger, Predictions
from trimtab_server.domain.ledger.trades import (
    Trades,
    has_real_trade,
    has_shadow_trade,
    real_trades,
    shadow_trades,
)
from trimtab_server.domain.reports.guard_records import BoolArray
from trimtab_server.domain.reports.guards import DIFFERENCE, MONEY
from trimtab_server.domain.reports.missing_results import without_size
from trimtab_server.domain.reports.performance import Performance, performance
from trimtab_server.domain.reports.portfolio import Identifiability
from trimtab_server.domain.reports.scenario_sides import Results, Sides, in_exit_order
from trimtab_server.domain.reports.scenario_trades import Choices, Selection
from trimtab_server.domain.reports.scenarios import CostChange, Plan, Scenario, plan
from trimtab_server.domain.shadow.result import NOT_FILLED
from trimtab_server.domain.statistics.block_sums import (
    BlockCalendar,
    block_calendar,
    outcomes_needed,
    total_estimate,
)
from trimtab_server.domain.statistics.chance import part_rng
from trimtab_server.domain.statistics.discoveries import student_factor
from trimtab_server.domain.statistics.estimates import Estimate, undefined
from trimtab_server.domain.wording import plural

OVERLAP_LOW = 0.5
"""Below this share of trades that really happened a reader is told."""

_ACTUAL = "as it was decided"
_BPS = 1e-4
_ROUNDING = 1e-12
"""Results, in stakes, that lie no further apart are the same: costs are sums of recorded parts."""


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """What a scenario comes to; see the message of the same name in the contract."""

    name: str
    actual: Performance
    scenario: Performance
    difference: Estimate
    difference_money: Estimate
    kept_count: int
    added_count: int
    removed_count: int
    pending_count: int
    overlap_fraction: float | None
    identifiability: Identifiability
    reasons: tuple[str, ...]
    outcomes_needed: int | None
    difference_at_once: Estimate | None = None


@dataclass(frozen=True, slots=True)
class ScenarioTotals:
    """A scenario in simulated results, without intervals: sums and drawdown in stakes."""

    trade_count: int
    total_return: float
    mean_return: float | None
    max_drawdown: float | None


def _at_once(difference: Estimate, count: int, calendar: BlockCalendar | None) -> Estimate:
    """The same with an interval that holds for so many at once: Bonferroni's, by Student's t, since
    no number of resamples that one waits for tells so rare a share of them."""
    value, low, high = difference.value, difference.low, difference.high
    if count < 2 or calendar is None or value is None or low is None or high is None:
        return difference
    blocks = max(2, calendar.length // calendar.block)
    factor = student_factor(difference.level, (1 - difference.level) / count, blocks)
    return replace(
        difference,
        low=value + (low - value) * factor,
        high=value + (high - value) * factor,
        method=f"{difference.method}; for {count:,} scenarios at once (Bonferroni)",
    )


class WhatIf:
    """A ledger made ready for many scenarios: what they share is worked out once.

    Keeps about 300 bytes a signal. Answers depend on the ledger, the scenario and the generator's
    seed alone, not on what was asked before.
    """

    def __init__(self, ledger: Ledger, predictions: Predictions | None = None) -> None:
        self.ledger = ledger
        self._predictions = predictions
        self._choices = Choices(ledger)
        self._has_real, self._has_shadow = has_real_trade(ledger), has_shadow_trade(ledger)
        everything = np.ones(len(ledger), dtype=np.bool_)
        self._shadow = in_exit_order(
            shadow_trades(ledger, everything), np.flatnonzero(self._has_shadow)
        )
        self._real = in_exit_order(real_trades(ledger, everything), np.flatnonzero(self._has_real))
        # A passive order that was not filled is no trade, unless it really was one.
        unfilled = ledger.has_shadow & ((ledger.shadow_flags & NOT_FILLED) != 0)
        self._no_trade: BoolArray = unfilled & ~self._has_real
        self._actual: tuple[object, BoolArray, Performance] | None = None

    def totals(self, scenario: Scenario) -> ScenarioTotals | None:
        """What the scenario comes to in simulated results, without intervals or a comparison: for
        looking over large grids. None where the record cannot tell. Raises as `result`."""
        asked = plan(scenario)
        selection = self._choices.selection(asked, self._predictions)
        if selection.obstacles:
            return None
        taken = selection.taken
        returns = self._shadow.trades.returns
        if asked.costs is not None:
            trades, known = self._at_other_costs(asked.costs)
            returns, taken = trades.returns, taken & known
        chosen = returns[taken[self._shadow.rows]]
        count = chosen.size
        if not count:
            return ScenarioTotals(0, 0.0, None, None)
        path = np.cumsum(chosen)
        peak = np.maximum.accumulate(path)
        np.maximum(peak, 0.0, out=peak)
        peak -= path
        total = float(path[-1])
        return ScenarioTotals(count, total, total / count, float(peak.max()))

    def result(
        self,
        scenario: Scenario,
        rng: np.random.Generator,
        *,
        level: float = 0.95,
        sweep_count: int | None = None,
    ) -> ScenarioResult:
        """What the scenario comes to beside what really happened. sweep_count: scenarios of the
        sweep that this one belongs to, itself included; None = it was asked for alone.

        The same ledger, scenario and seed give the same answer. What the record cannot tell is
        NOT_IDENTIFIABLE, without a value and with reasons; too little data gives no interval and
        says how much is missing. Raises InvalidScenario for guards and models that the ledger does
        not know, limits on guards that told nothing to hold against them, and changes that
        contradict each other.
        """
        asked = plan(scenario)
        selection = self._choices.selection(asked, self._predictions)
        # One generator each: what one number draws does not move another one's interval.
        for_actual, for_scenario, for_difference, for_money = (
            part_rng(rng, part) for part in ("actual", "scenario", DIFFERENCE, MONEY)
        )
        if selection.obstacles:
            told = self._untold(scenario, selection, for_actual, level)
            at_once = None if sweep_count is None else told.difference
            return replace(told, difference_at_once=at_once)
        sides = self._sides(asked, selection)
        results, calendar = sides.results, self._calendar(asked, sides)
        difference, money = sides.unchanged(level)
        values, pnl, rows = sides.changes()
        if values.size:
            entry, at = results.trades.entry_ns[rows], results.rows[rows]
            difference = total_estimate(values, entry, calendar, for_difference, level=level)
            unknown = at[~np.isfinite(pnl)]
            money = undefined(values.size, without_size(self.ledger, unknown), level)
            if not unknown.size:
                money = total_estimate(pnl, entry, calendar, for_money, level=level)
        kept = int(np.count_nonzero(sides.actual & sides.taken))
        count = int(np.count_nonzero(sides.taken))
        chosen = sides.other.at(sides.after[results.rows])
        return ScenarioResult(
            name=scenario.words,
            actual=self._actual_performance(sides.results, sides.before, for_actual, level),
            scenario=performance(
                scenario.words, chosen, for_scenario, calendar=results.calendar, level=level
            ),
            difference=difference,
            difference_money=money,
            kept_count=kept,
            added_count=count - kept,
            removed_count=int(np.count_nonzero(sides.actual)) - kept,
            pending_count=int(np.count_nonzero(sides.taken & ~sides.after)),
            overlap_fraction=kept / count if count else None,
            identifiability=(
                Identifiability.EXACT if sides.is_exact else Identifiability.SIMULATED
            ),
            reasons=(*self._reasons(asked, sides), *selection.reasons),
            outcomes_needed=outcomes_needed(difference),
            difference_at_once=(
                None if sweep_count is None else _at_once(difference, sweep_count, calendar)
            ),
        )

    def _calendar(self, asked: Plan, sides: Sides) -> BlockCalendar | None:
        """That of what could have gone another way: of single guards what they looked at, as in the
        report on guards, which gives the same interval; else of all results."""
        results, looked_at = sides.results, self._choices.looked_at(asked)
        if looked_at is None:
            return results.calendar
        rows = (looked_at | (sides.actual != sides.taken))[results.rows]
        return block_calendar(results.trades.entry_ns[rows], results.trades.exit_ns[rows])

    def _sides(self, asked: Plan, selection: Selection) -> Sides:
        actual = self._choices.approved & ~self._no_trade
        taken = selection.taken & ~self._no_trade
        removed = actual & ~taken
        has_real = self._has_real
        is_exact = (
            asked.costs is None
            and not selection.is_replayed
            and not (taken & ~actual).any()
            and not (removed & ~has_real).any()
            # Without any real result there is nothing to be exact about.
            and bool((actual & has_real).any() or not (actual & self._has_shadow).any())
        )
        results = self._real if is_exact else self._shadow
        has_result, other = has_real if is_exact else self._has_shadow, results.trades
        if asked.costs is not None:
            other, known = self._at_other_costs(asked.costs)
            has_result = has_result & known
        before, after = actual & has_result, taken & has_result
        return Sides(actual, taken, before, after, results, other, is_exact=is_exact)

    def _at_other_costs(self, costs: CostChange) -> tuple[Trades, BoolArray]:
        """The simulated trades in the order of exits at other costs, and for which signals the
        parts of their costs are known, shape (n,).

        A fee is paid on what is traded: at entry on the notional, at exit on what it has become.
        Bounds move as the middle does: their own costs are not recorded.
        """
        ledger, rows, trades = self.ledger, self._shadow.rows, self._shadow.trades
        gross, spread = ledger.shadow_gross[rows], ledger.shadow_spread_cost[rows]
        fee, carry = ledger.shadow_fee_cost[rows], ledger.shadow_carry_cost[rows]
        if costs.fee_bps is not None:
            at_exit = np.maximum(1.0 + ledger.side[rows] * gross, 0.0)
            fee = costs.fee_bps * _BPS * (1.0 + at_exit)
        if costs.spread_multiplier is not None:
            spread = spread * costs.spread_multiplier
        returns = gross - spread - fee - carry
        known = np.isfinite(returns)
        returns = np.where(known, returns, trades.returns)
        moved = returns - trades.returns
        # What is the same but for rounding is the same, and no change without any variation.
        moved = np.where(np.abs(moved) <= _ROUNDING, 0.0, moved)
        returns = trades.returns + moved
        priced = replace(
            trades,
            returns=returns,
            pnl=returns * ledger.size[rows],
            optimistic=trades.optimistic + moved,
            pessimistic=trades.pessimistic + moved,
        )
        by_signal = np.zeros(len(ledger), dtype=np.bool_)
        by_signal[rows] = known
        return priced, by_signal

    def _actual_performance(
        self, results: Results, chosen: BoolArray, rng: np.random.Generator, level: float
    ) -> Performance:
        """What happened, kept for the next scenario: it is the same for most."""
        key = (results is self._real, level, str(rng.bit_generator.state))
        last = self._actual
        if last is not None and last[0] == key and np.array_equal(last[1], chosen):
            return last[2]
        trades = results.trades.at(chosen[results.rows])
        made = performance(_ACTUAL, trades, rng, calendar=results.calendar, level=level)
        self._actual = (key, chosen, made)
        return made

    def _untold(
        self, scenario: Scenario, selection: Selection, rng: np.random.Generator, level: float
    ) -> ScenarioResult:
        """The answer where what was recorded cannot tell."""
        results = self._shadow if self._shadow.rows.size else self._real
        has_result = self._has_shadow if self._shadow.rows.size else self._has_real
        chosen = self._choices.approved & has_result
        none = undefined(0, "not identifiable", level)
        nothing = Performance(
            *(scenario.words, 0, 0),
            *(none, none, none, none, none),
            *(None, None, None, None),
        )
        return ScenarioResult(
            name=scenario.words,
            actual=self._actual_performance(results, chosen, rng, level),
            scenario=nothing,
            difference=none,
            difference_money=none,
            kept_count=0,
            added_count=0,
            removed_count=0,
            pending_count=0,
            overlap_fraction=None,
            identifiability=Identifiability.NOT_IDENTIFIABLE,
            reasons=(*selection.obstacles, *selection.reasons),
            outcomes_needed=None,
        )

    def _reasons(self, asked: Plan, sides: Sides) -> Iterator[str]:
        actual, taken = sides.actual, sides.taken
        count, kept = int(np.count_nonzero(taken)), int(np.count_nonzero(actual & taken))
        removed = int(np.count_nonzero(actual)) - kept
        if sides.is_exact:
            if removed:
                yield "only real results count: the scenario takes trades away and adds none"
        else:
            yield "both sides are simulated, with the same prices and costs but for what changes"
        if sides.is_changed:
            yield (
                "signals are taken as they were made: what the engine would have proposed in"
                " another history is not known"
            )
        if count and kept < OVERLAP_LOW * count:
            yield f"only {kept / count:.0%} of the scenario's trades really happened"
        pending = int(np.count_nonzero(taken & ~sides.after))
        if pending:
            only_real = int(np.count_nonzero(taken & ~sides.after & self._has_real))
            told = f", {only_real:,} of them a real one only" if only_real else ""
            have = "has" if pending == 1 else "have"
            yield f"{pending:,} of the scenario's trades {have} no result to compare{told}"
        lost = int(np.count_nonzero(actual & ~taken & ~sides.before))
        if lost:
            have = "has" if lost == 1 else "have"
            yield f"{lost:,} of the trades that would be gone {have} no result to compare"
        if asked.is_all_off:
            action = self.ledger.action
            passed_over = int(np.count_nonzero(taken & (action != APPROVED) & (action != BLOCKED)))
            if passed_over:
                signals = plural(passed_over, "signal that was", "signals that were")
                yield f"taken too: {signals} passed over or not decided"
        if asked.costs is not None:
            yield "prices, stops and sizes stay as they were: only what trading costs changes"
