"""What each guard did to the result: with all guards as recorded, minus without this one.

Crediting a guard with all that it blocked, or the first that blocked, counts twice where guards
overlap: what two of them block stays blocked without either. So a guard's value is *leave-one-out*:
signals that no other guard blocks come in, and guards with memory of a known kind are replayed on
the history that this makes, because each new position takes a place. Both sides are simulated
alike, with the same costs. What all stateless guards did together is shared by Shapley's rule.

Every line is an interval at its own level, and each holds its truth that often whatever the number
of guards. HELPS and COSTS are findings, though, and who reads twenty lines finds one by chance: so
they stand only where the Benjamini-Hochberg rule over all lines of the report lets them (at most
5 % of findings are false at level 0.95; with one guard it is the interval itself). That is why a
line can be undecided though its own interval leaves out zero; its note says so.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from trimtab_server.domain.ledger.columns import STATEFUL, STATELESS, Ledger
from trimtab_server.domain.ledger.trades import (
    RETURN_MAX,
    first_known,
    has_real_trade,
    has_shadow_trade,
    unfilled_orders,
)
from trimtab_server.domain.reports.guard_records import BoolArray, GuardRecord, guard_record
from trimtab_server.domain.reports.missing_results import without_simulation
from trimtab_server.domain.reports.portfolio import GuardKind, Identifiability
from trimtab_server.domain.reports.shapley import shapley_weights
from trimtab_server.domain.statistics.block_sums import (
    BlockCalendar,
    BlockTest,
    block_calendar,
    mean_estimate,
    outcomes_needed,
    total_estimate,
    total_test,
)
from trimtab_server.domain.statistics.discoveries import standing_discoveries, student_factor
from trimtab_server.domain.statistics.estimates import (
    Estimate,
    FloatArray,
    IntArray,
    joined_notes,
    undefined,
)
from trimtab_server.domain.wording import plural

UNASKED_SHARE_MAX = 0.05
"""Of the signals that a guard's absence would free: with more of them unknown to other guards, what
those would have said cannot be passed over."""
AGREEMENT_MIN = 0.8
"""A replay that gives fewer of the recorded verdicts is a replay of something else."""


class GuardEffect(IntEnum):
    """What a guard did to the result; the numbers are the contract's."""

    HELPS = 1
    COSTS = 2
    UNDECIDED = 3
    NOT_IDENTIFIABLE = 4


@dataclass(frozen=True, slots=True)
class GuardLine:
    """One guard's line in the report; see the message of the same name in the contract."""

    guard: str
    memory: int
    evaluated_count: int
    blocked_count: int
    blocked_alone_count: int
    matured_count: int
    identifiability: Identifiability
    effect: GuardEffect
    value: Estimate
    value_per_signal: Estimate
    value_money: Estimate
    shapley_value: Estimate | None
    missed_profit: float | None
    avoided_loss: float | None
    value_optimistic: float | None
    value_pessimistic: float | None
    added_count: int
    removed_count: int
    outcomes_needed: int | None
    note: str


def guard_lines(
    ledger: Ledger, rng: np.random.Generator, *, count: int = 1000, level: float = 0.95
) -> tuple[GuardLine, ...]:
    """A line for each guard, in the order of their names. count: resamples of each interval.

    A guard whose value cannot be told from the record is NOT_IDENTIFIABLE and has no value; one
    with too little data, or whose interval holds zero, is UNDECIDED. The same ledger and the same
    seed give the same lines.
    """
    report = _Report(guard_record(ledger), rng, count, level)
    found = sorted((report.line(kind) for kind in report.record.kinds), key=lambda f: f[0].guard)
    judged = [k for k, (_, test, _) in enumerate(found) if test is not None and test.error]
    p_values = [test.p_value for _, test, _ in found if test is not None and test.error]
    stand = dict(zip(judged, standing_discoveries(p_values, 1 - level), strict=True))
    rate = (1 - level) * min(1.0, (sum(stand.values()) + 1) / max(1, len(judged)))
    return tuple(
        _settled(line, blocks, rate, stands=stand[k]) if k in stand else line
        for k, (line, _, blocks) in enumerate(found)
    )


def _settled(line: GuardLine, block_count: int, rate: float, *, stands: bool) -> GuardLine:
    """The line with its effect. rate: p-value at which it would stand as one finding more."""
    value = line.value
    if stands and value.value is not None:
        return replace(line, effect=GuardEffect.HELPS if value.value > 0 else GuardEffect.COSTS)
    factor = max(1.0, student_factor(value.level, rate, block_count))
    note = line.note
    if value.decided_sign:
        factor = max(factor, 1.0 + 1e-9)
        note = joined_notes(
            note, "its own interval leaves out zero, but among so many guards one does by chance"
        )
    return replace(line, outcomes_needed=outcomes_needed(value, width_factor=factor), note=note)


class _Report:
    """What all lines of one report share."""

    def __init__(
        self, record: GuardRecord, rng: np.random.Generator, count: int, level: float
    ) -> None:
        ledger = record.ledger
        self.record, self._rng, self._count, self._level = record, rng, count, level
        self._returns = ledger.shadow_return
        self._matured = has_shadow_trade(ledger)
        # A passive order that was not filled is no trade, unless it really was one.
        self._unfilled: BoolArray = unfilled_orders(ledger)
        self._no_trade: BoolArray = self._unfilled & ~has_real_trade(ledger)
        self._entry, self._exit = _lifetimes(ledger)
        self._unknown = record.unknown_blockers
        self._agreement: float | None = None  # share of recorded verdicts that the replay gives
        if record.portfolio is not None:
            known = [kind.code for kind in record.kinds if kind.is_replayed]
            self._agreement = record.portfolio.agreement(known)
        self._shapley, self._shapley_note = self._shapley_values()

    def line(self, kind: GuardKind) -> tuple[GuardLine, BlockTest | None, int]:
        """The guard's line, still undecided; its test, None where not identifiable; its blocks."""
        record, code = self.record, kind.code
        alone = record.blocks[code] & (record.blocks.sum(axis=0) == 1)
        results = self._returns[alone & self._matured]
        # A sum of nothing is no zero, unless nothing was to be summed up.
        has_results = not alone.any() or bool((alone & (self._matured | self._unfilled)).any())
        line = GuardLine(
            guard=kind.name,
            memory=STATEFUL if kind.is_stateful else STATELESS,
            evaluated_count=int(np.count_nonzero(record.asked[code])),
            blocked_count=int(np.count_nonzero(record.said_block[code])),
            blocked_alone_count=int(np.count_nonzero(alone)),
            matured_count=0,
            identifiability=Identifiability.NOT_IDENTIFIABLE,
            effect=GuardEffect.NOT_IDENTIFIABLE,
            value=undefined(0, "not identifiable", self._level),
            value_per_signal=undefined(0, "not identifiable", self._level),
            value_money=undefined(0, "not identifiable", self._level),
            shapley_value=self._shapley_value(kind),
            missed_profit=float(results[results > 0].sum()) if has_results else None,
            avoided_loss=float(np.maximum(-results, 0.0).sum()) if has_results else None,
            value_optimistic=None,
            value_pessimistic=None,
            added_count=0,
            removed_count=0,
            outcomes_needed=None,
            note="",
        )
        without = record.taken_without([code])
        reason = self._not_identifiable(kind, without & ~record.taken, without)
        if reason:
            return replace(line, note=reason), None, 0
        return self._valued(line, kind, without)

    def _valued(
        self, line: GuardLine, kind: GuardKind, without: BoolArray
    ) -> tuple[GuardLine, BlockTest, int]:
        record, ledger = self.record, self.record.ledger
        # +1 where the guard lets in what would be out without it, -1 where it keeps something out.
        whole = record.taken.astype(np.float64) - without
        change = np.where(self._no_trade, 0.0, whole)
        rows = np.flatnonzero((change != 0) & self._matured)
        sign, entry = change[rows], self._entry[rows]
        values = sign * self._returns[rows]
        calendar = self._calendar(record.asked[kind.code] | (change != 0))
        # Every doubtful fill gone well, or badly: what the middle did not fill counts too.
        doubtful = np.flatnonzero((whole != 0) & (self._matured | self._unfilled))
        draws = {"count": self._count}
        test = total_test(values, entry, calendar, self._rng, **draws, level=self._level)
        per_signal = mean_estimate(values, entry, calendar, self._rng, **draws, level=self._level)
        changed = int(np.count_nonzero(change))
        value, money = test.estimate, self._money(values, ledger.size[rows], entry, calendar)
        if changed and not rows.size:
            # A sum of nothing is zero, and would read like an answer.
            value = per_signal = money = self._untold(change != 0)
        # That an order would not have been filled is simulated too.
        nothing_changes = not whole.any() and record.portfolio is None
        done = replace(
            line,
            matured_count=rows.size,
            identifiability=(
                Identifiability.EXACT if nothing_changes else Identifiability.SIMULATED
            ),
            effect=GuardEffect.UNDECIDED,
            value=value,
            value_per_signal=per_signal,
            value_money=money,
            value_optimistic=self._bound(whole, doubtful, ledger.shadow_optimistic),
            value_pessimistic=self._bound(whole, doubtful, ledger.shadow_pessimistic),
            added_count=int(np.count_nonzero(change < 0)),
            removed_count=int(np.count_nonzero(change > 0)),
            note=self._notes(kind, line, (whole, change), changed - rows.size, value),
        )
        return done, test, 2 if calendar is None else max(2, calendar.length // calendar.block)

    def _untold(self, rows: BoolArray) -> Estimate:
        """The value where none of the trades that would change, shape (n,), has a result."""
        count = int(np.count_nonzero(rows))
        why = without_simulation(self.record.ledger, rows)
        told = "the only trade" if count == 1 else f"none of {count:,} trades"
        has = "that would change has no" if count == 1 else "that would change has a"
        return undefined(0, f"{told} {has} simulated result: {why}", self._level)

    def _bound(self, sign: FloatArray, rows: IntArray, bounds: FloatArray) -> float | None:
        """The value with these results instead, where they are known; None without any result."""
        if not rows.size:
            return None
        told, plain = bounds[rows], np.where(self._matured[rows], self._returns[rows], 0.0)
        with np.errstate(invalid="ignore"):
            sound = np.abs(told) <= RETURN_MAX
        return float((sign[rows] * np.where(sound, told, plain)).sum())

    def _not_identifiable(self, kind: GuardKind, added: BoolArray, without: BoolArray) -> str:
        """Why the record cannot tell what would be without the guard; "" = it can."""
        record = self.record
        if kind.is_unknown and kind in self._unknown:
            return (
                "its verdicts depend on earlier trades in a way that was not told: record its rule,"
                " or tell that it is stateless"
            )
        if self._unknown and (without != record.taken).any():
            names = ", ".join(each.name for each in self._unknown)
            return f"without it {names} would have seen another history and cannot be replayed"
        unasked, freed = record.unasked_count(added), int(np.count_nonzero(added))
        if unasked > UNASKED_SHARE_MAX * freed:
            return (
                f"other guards were not asked about {unasked:,} of {plural(freed, 'signal')} that"
                " it would free"
            )
        agreement = self._agreement
        if agreement is not None and agreement < AGREEMENT_MIN:
            return (
                f"the replay gives only {agreement:.0%} of the recorded verdicts of stateful guards"
            )
        return ""

    def _notes(
        self,
        kind: GuardKind,
        line: GuardLine,
        changes: tuple[FloatArray, FloatArray],
        pending: int,
        value: Estimate,
    ) -> str:
        """changes: by its absence, of orders and of trades."""
        record, notes = self.record, [value.note]
        orders, change = changes
        if not orders.any():
            notes = ["its absence would change no trade"]
        elif not change.any():
            count = int(np.count_nonzero(orders))
            told = "the only order" if count == 1 else f"none of {count:,} orders"
            not_filled = "not have been filled" if count == 1 else "have been filled"
            notes = [f"{told} that its absence would change would {not_filled}"]
        if pending and value.value is not None:
            have = "has" if pending == 1 else "have"
            notes.append(f"{pending:,} of the trades that would change {have} no simulated result")
        advised = line.blocked_count - int(np.count_nonzero(record.blocks[kind.code]))
        if advised:
            were = "was" if advised == 1 else "were"
            notes.append(f"{plural(advised, 'signal')} {were} not blocked in spite of its BLOCK")
        agreement = self._agreement
        if agreement is not None:
            notes.append(
                f"stateful guards are replayed; the replay gives {agreement:.1%} of their recorded"
                " verdicts"
            )
        silent = [k.name for k in record.kinds if k.is_unknown and k not in self._unknown]
        if silent and change.any():
            notes.append(f"{', '.join(silent)} never blocked and is taken not to")
        if not kind.is_stateful:
            notes.append(self._shapley_note)
        return joined_notes(*notes)

    def _calendar(self, rows: BoolArray) -> BlockCalendar | None:
        rows = rows & self._matured
        return block_calendar(self._entry[rows], self._exit[rows])

    def _money(
        self,
        values: FloatArray,
        sizes: FloatArray,
        entry: IntArray,
        calendar: BlockCalendar | None,
    ) -> Estimate:
        unknown = int(np.count_nonzero(~np.isfinite(sizes)))
        if unknown:
            return undefined(
                values.size, f"the size of {plural(unknown, 'trade')} is not known", self._level
            )
        return total_estimate(
            values * sizes, entry, calendar, self._rng, count=self._count, level=self._level
        )

    def _shapley_values(self) -> tuple[dict[int, FloatArray], str]:
        """Weights by guard, and why there are none."""
        record = self.record
        shared: BoolArray = np.any(record.blocks[[k.code for k in record.stateless]], axis=0)
        if not shared.any():
            return {kind.code: np.zeros(len(record.ledger)) for kind in record.stateless}, ""
        if self._unknown:
            return {}, "no Shapley value: guards with memory cannot be replayed"
        others = record.unasked_count(shared)
        if others > UNASKED_SHARE_MAX * np.count_nonzero(shared):
            return {}, "no Shapley value: not all guards were asked about what others blocked"
        weights = shapley_weights(record)
        if weights is None:
            return {}, "no Shapley value: too many guards to replay with so many signals"
        return weights, ""

    def _shapley_value(self, kind: GuardKind) -> Estimate | None:
        if kind.is_stateful:
            return None
        if kind.code not in self._shapley:
            return undefined(0, self._shapley_note, self._level)
        weight = self._shapley[kind.code]
        shared: BoolArray = (weight != 0) & ~self._no_trade
        rows = np.flatnonzero((weight != 0) & self._matured)
        if shared.any() and not rows.size:
            return self._untold(shared)
        calendar = self._calendar(self.record.asked[kind.code] | (weight != 0))
        return total_estimate(
            weight[rows] * self._returns[rows],
            self._entry[rows],
            calendar,
            self._rng,
            count=self._count,
            level=self._level,
        )


def _lifetimes(ledger: Ledger) -> tuple[IntArray, IntArray]:
    """Entry and exit of each signal: simulated, else real, else the signal's own time; (n,)."""
    entry = first_known(
        ledger.shadow_entry_time_ns, ledger.real_entry_time_ns, ledger.signal_time_ns
    )
    leaving = first_known(ledger.shadow_exit_time_ns, ledger.real_exit_time_ns, entry)
    return entry, np.maximum(entry, leaving)
