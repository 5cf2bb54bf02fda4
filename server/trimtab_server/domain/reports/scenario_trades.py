"""Which signals a scenario takes: verdicts, thresholds and the portfolio, over whole columns.

A signal is taken when guards alone decided on it (it was approved, or blocked with a guard saying
so, or it was refused for its confidence) and nothing that is left in the scenario stops it. One
that was passed over for other reasons stays out, unless no guard at all is left ("*"). A verdict
that a scenario does not touch stands as it was recorded.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trimtab_server.domain.events import Violation
from trimtab_server.domain.ledger.columns import (
    APPROVED,
    BLOCK,
    FloatArray,
    GuardRule,
    IntArray,
    Ledger,
    Predictions,
)
from trimtab_server.domain.reports.guard_records import BoolArray, GuardRecord, guard_record
from trimtab_server.domain.reports.portfolio import Portfolio, PortfolioRules, limits_beside
from trimtab_server.domain.reports.portfolio_history import POSITION_FRACTION
from trimtab_server.domain.reports.replay_trust import ReplayTrust
from trimtab_server.domain.reports.scenario_memory import Memory
from trimtab_server.domain.reports.scenarios import ALL_GUARDS, InvalidScenario, Plan
from trimtab_server.domain.wording import plural

_CONFIDENCE = "confidence"
_CONFIDENCE_TOLERANCE = 1e-9
_WORD_BITS = 64

WordArray = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Threshold:
    """One guard's threshold verdicts that told what they measured, each array of shape (k,).
    stands: the signal was approved in spite of a BLOCK: the guard only advised."""

    row: IntArray
    observed: FloatArray
    is_minimum: BoolArray
    stands: BoolArray
    untold_count: int


@dataclass(frozen=True, slots=True)
class Selection:
    """What a scenario takes. taken: shape (n,). reasons: what limits the answer, in words.
    obstacles: why what was recorded cannot tell; with any the answer is not identifiable.
    is_replayed: whether the portfolio was."""

    taken: BoolArray
    reasons: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    is_replayed: bool = False


class Choices:
    """A ledger made ready for many scenarios: what does not depend on the scenario is worked out
    once (one bit a guard in a word a signal, what each threshold measured, the order of time)."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.record: GuardRecord = guard_record(ledger)
        self.approved: BoolArray = ledger.action == APPROVED
        self.kinds = self.record.kinds
        self.codes = {kind.name: kind.code for kind in self.kinds}
        self._thresholds: dict[int, _Threshold] = {}
        self._trust = ReplayTrust(self.record, lambda: self.portfolio)
        words = len(self.kinds) // _WORD_BITS + 1
        self._words: WordArray = np.zeros((words, len(ledger)), dtype=np.uint64)
        for kind in self.kinds:
            if not kind.is_replayed:
                bit = np.uint64(kind.code % _WORD_BITS)
                blocks = self.record.blocks[kind.code].astype(np.uint64)
                self._words[kind.code // _WORD_BITS] |= blocks << bit
        # Refused for its confidence without any guard saying so.
        with np.errstate(invalid="ignore"):
            below = ledger.confidence < ledger.applied_threshold
        silent = ~self.record.said_block.any(axis=0)
        self._below_threshold: BoolArray = ~self.approved & (ledger.action != 0) & silent & below
        self._is_confident = bool(np.isfinite(ledger.confidence).all())

    @cached_property
    def portfolio(self) -> Portfolio:
        """The ledger's portfolio, for replays."""
        return self.record.portfolio or Portfolio(self.ledger)

    @cached_property
    def confidence_guards(self) -> frozenset[int]:
        """Guards that hold the signal's confidence against a minimum: those called so (if they do),
        and thresholds that always measured it."""
        found = set()
        for kind in self.kinds:
            if kind.is_stateful or not kind.rules <= {GuardRule.THRESHOLD, GuardRule.UNKNOWN}:
                continue
            told = self.threshold(kind.code)
            if not told.is_minimum.all():
                continue
            gap = np.abs(told.observed - self.ledger.confidence[told.row])
            # NaN compares to nothing: signals without a claim tell nothing either way.
            same = bool(np.isfinite(gap).any()) and not np.any(gap > _CONFIDENCE_TOLERANCE)
            if same or kind.name.lower() == _CONFIDENCE:
                found.add(kind.code)
        return frozenset(found)

    def threshold(self, code: int) -> _Threshold:
        """What a guard's threshold verdicts measured."""
        if code not in self._thresholds:
            v = self.ledger.verdicts
            own = np.flatnonzero((v.guard == code) & (v.rule == GuardRule.THRESHOLD))
            known = own[np.isfinite(v.observed[own])]
            row = np.searchsorted(v.start, known, side="right") - 1
            self._thresholds[code] = _Threshold(
                row=row,
                observed=v.observed[known],
                is_minimum=v.is_minimum[known] != 0,
                stands=self.approved[row] & (v.result[known] == BLOCK),
                untold_count=own.size - known.size,
            )
        return self._thresholds[code]

    def looked_at(self, plan: Plan) -> BoolArray | None:
        """Signals that the guards looked at which are all that the scenario changes, shape (n,);
        None where it changes anything else."""
        others = (plan.confidence, plan.expected_return, plan.weights, plan.costs)
        limits = (plan.positions, plan.symbol_positions, plan.capital)
        codes = [self.codes[name] for name in plan.off | set(plan.limits) if name != ALL_GUARDS]
        if plan.is_all_off or not codes or any(each is not None for each in (*others, *limits)):
            return None
        result: BoolArray = np.any(self.record.asked[codes], axis=0)
        return result

    # ---- what a scenario lets through ---------------------------------------------------------

    def selection(self, plan: Plan, predictions: Predictions | None = None) -> Selection:
        """Which signals the scenario takes.

        Raises InvalidScenario for a guard or model that the ledger does not know, and for a limit
        on a guard whose verdicts told nothing to hold against it.
        """
        self._check(plan, predictions)
        changed = self._left_out(plan)
        reasons: list[str] = []
        obstacles = list(self._obstacles(plan, predictions))
        if obstacles:
            return Selection(self.approved, (), tuple(obstacles))
        left_out = set(changed)
        left_out |= {self.codes[name] for name in plan.limits if not self._is_replayed(name)}
        if plan.confidence or plan.weights:
            left_out |= self.confidence_guards
        wanted = self._unblocked(left_out, plan)
        for name, limit in plan.limits.items():
            if not self._is_replayed(name):
                self._stop_by_limit(wanted, self.codes[name], limit, reasons)
        self._stop_by_confidence(wanted, plan, predictions, reasons)
        self._stop_by_expected_return(wanted, plan, reasons)
        return self._replayed(wanted, plan, changed, reasons)

    def _is_replayed(self, name: str) -> bool:
        return self.kinds[self.codes[name]].is_replayed

    def _left_out(self, plan: Plan) -> frozenset[int]:
        """Guards that are not there in the scenario."""
        if plan.is_all_off:
            return frozenset(self.codes.values())
        names = set(plan.off)
        if plan.expected_return and plan.expected_return.replaces_guard:
            names.add(plan.expected_return.replaces_guard)
        return frozenset(self.codes[name] for name in names)

    def _check(self, plan: Plan, predictions: Predictions | None) -> None:
        wrong = []
        for path, name in _named_guards(plan):
            if name not in self.codes:
                known = ", ".join(sorted(self.codes)[:16]) or "none"
                words = f"no verdict of {name!r} is recorded here; there are: {known}"
                wrong.append(Violation(path, words))
        for name in plan.limits:
            code = self.codes.get(name)
            if code is None or self.kinds[code].rules != {GuardRule.THRESHOLD}:
                continue
            if not self.threshold(code).row.size:
                words = "its verdicts do not tell what they measured (observed_value)"
                wrong.append(Violation(f"{plan.paths[name]}.limit", words))
        if plan.weights is not None and predictions is not None and predictions.row.size:
            path = f"{plan.paths[type(plan.weights)]}.weights"
            known_models = {self.ledger.names.models[k] for k in np.unique(predictions.model)}
            for model in sorted(set(plan.weights.weights) - known_models):
                words = f"no prediction of {model!r} is recorded here"
                wrong.append(Violation(f"{path}[{model!r}]", words))
        if wrong:
            raise InvalidScenario(wrong)

    def _obstacles(self, plan: Plan, predictions: Predictions | None) -> Iterator[str]:
        for name in plan.limits:
            if GuardRule.UNKNOWN in self.kinds[self.codes[name]].rules:
                yield f"how {name} decides was not told: another limit cannot be applied"
        if plan.weights is not None and (predictions is None or not predictions.row.size):
            yield "no model's predictions for these signals are recorded"

    def _unblocked(self, left_out: Iterable[int], plan: Plan) -> BoolArray:
        """Signals that no guard stops which is still there as it was."""
        if plan.is_all_off:
            return np.ones(len(self.ledger), dtype=np.bool_)
        masks = np.full(len(self._words), ~np.uint64(0))
        for code in left_out:
            masks[code // _WORD_BITS] &= ~(np.uint64(1) << np.uint64(code % _WORD_BITS))
        wanted: BoolArray = (self._words[0] & masks[0]) == 0
        for word, mask in zip(self._words[1:], masks[1:], strict=True):
            wanted &= (word & mask) == 0
        wanted &= self.record.is_open
        if plan.confidence or plan.weights:
            wanted |= self._below_threshold
        return wanted

    def _stop_by_limit(
        self, wanted: BoolArray, code: int, limit: float, reasons: list[str]
    ) -> None:
        told = self.threshold(code)
        passes = np.where(told.is_minimum, told.observed >= limit, told.observed <= limit)
        # Verdicts without a measure stand; they are stopped first and those that pass come back.
        stopped = self.record.blocks[code].copy()
        stopped[told.row] = ~(passes | told.stands)
        wanted &= ~stopped
        if told.untold_count:
            name = self.kinds[code].name
            reasons.append(
                f"{told.untold_count:,} verdicts of {name} do not tell what it measured and stand"
            )

    def _stop_by_confidence(
        self,
        wanted: BoolArray,
        plan: Plan,
        predictions: Predictions | None,
        reasons: list[str],
    ) -> None:
        if plan.confidence is None and plan.weights is None:
            return
        confidence, ledger = self.ledger.confidence, self.ledger
        least: FloatArray | float = ledger.applied_threshold
        if plan.weights is not None and predictions is not None:
            confidence, remade = self._remade(plan, predictions)
            reasons.append(
                f"confidence is remade for {remade.sum():,} of {len(ledger):,} signals;"
                " the others keep theirs"
            )
            if plan.confidence is None:
                # Without a prediction nothing is held against anything anew.
                confidence = np.where(remade, confidence, np.nan)
        if plan.confidence is not None:
            least = plan.confidence.threshold
        wanted &= ~(confidence < least)
        if self._is_confident and confidence is ledger.confidence and isinstance(least, float):
            return
        unknown = ~(np.isfinite(confidence) & np.isfinite(least))
        if plan.is_all_off:
            return
        blocked = self._below_threshold.copy()
        for code in self.confidence_guards - self._left_out(plan):
            blocked |= self.record.blocks[code]
        wanted &= ~(unknown & blocked)
        count = int(np.count_nonzero(unknown))
        if count:
            reasons.append(
                f"{plural(count, 'signal has', 'signals have')} no confidence or no threshold to"
                " compare: what was decided on it stands"
            )

    def _remade(self, plan: Plan, predictions: Predictions) -> tuple[FloatArray, BoolArray]:
        """Confidence by the weights, and for which signals it was made of them; (n,) each."""
        assert plan.weights is not None
        n, models = len(self.ledger), self.ledger.names.models
        by_model = np.array([plan.weights.weights.get(name, 0.0) for name in models])
        weight = by_model[predictions.model]
        weight = np.where(np.isfinite(predictions.probability), weight, 0.0)
        known = np.nan_to_num(predictions.probability)
        total = np.bincount(predictions.row, weight, minlength=n)
        top = np.bincount(predictions.row, weight * known, minlength=n)
        remade = total > 0
        mean = np.divide(top, total, out=np.zeros(n), where=remade)
        return np.where(remade, mean, self.ledger.confidence), remade

    def _stop_by_expected_return(self, wanted: BoolArray, plan: Plan, reasons: list[str]) -> None:
        change = plan.expected_return
        if change is None:
            return
        expected = self.ledger.expected_return
        wanted &= ~(expected < change.threshold)
        unknown = ~np.isfinite(expected)
        count = int(np.count_nonzero(unknown))
        if count and change.replaces_guard and not plan.is_all_off:
            wanted &= ~(unknown & self.record.blocks[self.codes[change.replaces_guard]])
        if count:
            told = plural(count, "signal expects no return", "signals expect no return")
            reasons.append(f"{told}: what was decided on it stands")

    # ---- the portfolio ------------------------------------------------------------------------

    def _replayed(
        self, wanted: BoolArray, plan: Plan, left_out: frozenset[int], reasons: list[str]
    ) -> Selection:
        guards: dict[int, float | None] = {
            kind.code: plan.limits.get(kind.name)
            for kind in self.kinds
            if kind.is_replayed and kind.code not in left_out
        }
        positions, symbols, capital = plan.positions, plan.symbol_positions, plan.capital
        rules = PortfolioRules(
            guards=guards,
            open_count_max=positions.open_count_max if positions else None,
            symbol_count_max=symbols.open_count_max if symbols else None,
            exposure_fraction_max=capital.exposure_fraction_max if capital else None,
            position_fraction=(capital and capital.position_fraction) or POSITION_FRACTION,
        )
        reasons += limits_beside(rules, self.kinds)
        if self._is_as_recorded(wanted, rules):
            return Selection(self.approved, tuple(reasons))
        taken = self.portfolio.replayed(wanted, rules) if rules.binds else wanted
        if np.array_equal(taken, self.approved):
            return Selection(self.approved, tuple(reasons), is_replayed=rules.binds)
        memory = Memory(self.record, self._trust, plan, left_out, frozenset(guards), wanted)
        obstacles = memory.obstacles(taken & ~self.approved)
        reasons += memory.reasons()
        return Selection(taken, tuple(reasons), tuple(obstacles), is_replayed=rules.binds)

    def _is_as_recorded(self, wanted: BoolArray, rules: PortfolioRules) -> bool:
        """Whether a replay could only give what was recorded."""
        record = self.record
        return (
            rules == replace(PortfolioRules(), guards=dict.fromkeys(rules.guards))
            and len(rules.guards) == sum(kind.is_replayed for kind in self.kinds)
            and np.array_equal(wanted, record.is_open & (record.fixed_count == 0))
        )


def _named_guards(plan: Plan) -> Iterator[tuple[str, str]]:
    """Path and name of every guard that a scenario names."""
    for name in sorted(plan.off - {ALL_GUARDS}) + sorted(plan.limits):
        yield f"{plan.paths[name]}.guard", name
    change = plan.expected_return
    if change is not None and change.replaces_guard:
        yield f"{plan.paths[type(change)]}.replaces_guard", change.replaces_guard
