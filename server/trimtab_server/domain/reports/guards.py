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
line can be undecided though its own interval leaves out zero; its note says so. The outcomes that
it still needs allow for the other guards in the same way; its interval does not, so that it is that
of the what-if without the guard.
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
from trimtab_server.domain.reports.missing_results import without_simulation, without_size
from trimtab_server.domain.reports.portfolio import GuardKind, Identifiability, Portfolio
from trimtab_server.domain.reports.replay_trust import ReplayTrust
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
from trimtab_server.domain.statistics.chance import part_rng
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
DIFFERENCE, MONEY = "difference", "money"
"""Parts of chance: of a value, and of the same in money. Each guard draws the same, so that neither
other guards nor other questions move its interval."""


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
        self._replayed = [kind.code for kind in record.kinds if kind.is_replayed]
        self._trust = ReplayTrust(record, lambda: record.portfolio or Portfolio(ledger))
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
        freed = self._freed(kind)
        if not freed.any():
            # Then no history is another one, however well it can be replayed.
            return self._valued(line, kind, record.taken, freed)
        without = record.taken_without([code])
        reason = self._not_identifiable(kind, freed, without)
        if reason:
            return replace(line, note=reason), None, 0
        return self._valued(line, kind, without, freed)

    def _freed(self, kind: GuardKind) -> BoolArray:
        """Signals that it blocked and no other guard did that is not replayed, shape (n,)."""
        record = self.record
        own = 0 if kind.is_replayed else 1
        result: BoolArray = record.blocks[kind.code] & (record.fixed_count == own)
        return result

    def _chance(self, part: str) -> np.random.Generator:
        return part_rng(self._rng, part)

    def _valued(
        self, line: GuardLine, kind: GuardKind, without: BoolArray, freed: BoolArray
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
        rng, money_rng = self._chance(DIFFERENCE), self._chance(MONEY)
        told = {"count": self._count}
        test = total_test(values, entry, calendar, rng, **told, level=self._level)
        mean_rng = self._chance("mean")
        per_signal = mean_estimate(values, entry, calendar, mean_rng, **told, level=self._level)
        changed = int(np.count_nonzero(change))
        value, money = test.estimate, self._money(values, rows, calendar, money_rng)
        if changed and not rows.size:
            # A sum of nothing is zero, and would read like an answer.
            value = per_signal = money = self._untold(change != 0)
        done = replace(
            line,
            matured_count=rows.size,
            identifiability=(
                # That an order would not have been filled is simulated too.
                Identifiability.SIMULATED if freed.any() else Identifiability.EXACT
            ),
            effect=GuardEffect.UNDECIDED,
            value=value,
            value_per_signal=per_signal,
            value_money=money,
            value_optimistic=self._bound(whole, doubtful, ledger.shadow_optimistic),
            value_pessimistic=self._bound(whole, doubtful, ledger.shadow_pessimistic),
            added_count=int(np.count_nonzero(change < 0)),
            removed_count=int(np.count_nonzero(change > 0)),
            note=self._notes(kind, line, (freed, whole, change), changed - rows.size, value),
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

    def _not_identifiable(self, kind: GuardKind, freed: BoolArray, without: BoolArray) -> str:
        """Why the record cannot tell what would be without the guard; "" = it can."""
        record, added = self.record, without & ~self.record.taken
        if kind.is_unknown:
            return (
                "its verdicts depend on earlier trades in a way that was not told: record its rule,"
                " or tell that it is stateless"
            )
        engines = self._trust.engines(freed)
        unknown = self._trust.unknown_names(engines)
        if unknown and (without != record.taken).any():
            names = ", ".join(unknown)
            return f"without it {names} would have seen another history and cannot be replayed"
        unasked, count = record.unasked_count(added), int(np.count_nonzero(added))
        if unasked > UNASKED_SHARE_MAX * count:
            return (
                f"other guards were not asked about {unasked:,} of {plural(count, 'signal')} that"
                " it would free"
            )
        return self._trust.disbelief(self._replayed, engines)

    def _notes(
        self,
        kind: GuardKind,
        line: GuardLine,
        changes: tuple[BoolArray, FloatArray, FloatArray],
        pending: int,
        value: Estimate,
    ) -> str:
        """changes: by its absence, of what it alone keeps out, of orders and of trades."""
        record, notes = self.record, [value.note]
        freed, orders, change = changes
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
        agreement = self._trust.agreement(self._replayed, self._trust.engines(freed))
        if agreement is not None:
            notes.append(
                f"guards with memory are replayed; the replay gives {agreement:.1%} of their"
                " recorded verdicts"
            )
        silent = [k.name for k in record.kinds if k.is_unknown and not record.blocks[k.code].any()]
        if silent and change.any():
            notes.append(f"{', '.join(silent)} never blocked and is taken not to")
        if not kind.is_stateful and kind.code not in self._shapley:
            notes.append(self._shapley_note[kind.code])
        return joined_notes(*notes)

    def _calendar(self, rows: BoolArray) -> BlockCalendar | None:
        rows = rows & self._matured
        return block_calendar(self._entry[rows], self._exit[rows])

    def _money(
        self,
        values: FloatArray,
        rows: IntArray,
        calendar: BlockCalendar | None,
        rng: np.random.Generator,
    ) -> Estimate:
        sizes = self.record.ledger.size[rows]
        unknown = rows[~np.isfinite(sizes)]
        if unknown.size:
            return undefined(values.size, without_size(self.record.ledger, unknown), self._level)
        told = {"count": self._count}
        return total_estimate(
            values * sizes, self._entry[rows], calendar, rng, **told, level=self._level
        )

    def _shapley_values(self) -> tuple[dict[int, FloatArray], dict[int, str]]:
        """Weights by guard, and for the other stateless guards why they have none."""
        record = self.record
        blocking = [k.code for k in record.stateless if record.blocks[k.code].any()]
        # A guard that blocked nothing adds nothing, whatever others do.
        idle = {k.code for k in record.stateless} - set(blocking)
        found = dict.fromkeys(idle, np.zeros(len(record.ledger)))
        if not blocking:
            return found, {}
        reasons = {code: self._shapley_obstacle(code) for code in blocking}
        open_codes = [code for code in blocking if not reasons[code]]
        if not open_codes:
            return found, reasons
        shared: BoolArray = np.any(record.blocks[blocking], axis=0)
        weights = None
        if record.unasked_count(shared) > UNASKED_SHARE_MAX * np.count_nonzero(shared):
            why = "not all guards were asked about what others blocked"
        else:
            weights = shapley_weights(record)
            why = "too many guards to replay with so many signals"
        if weights is None:
            return found, reasons | dict.fromkeys(open_codes, f"no Shapley value: {why}")
        return found | {code: weights[code] for code in open_codes}, reasons

    def _shapley_obstacle(self, code: int) -> str:
        """Why a share of what this guard and others did together cannot be told: it rests on the
        replay of every guard with memory that its engines have; without any on verdicts alone."""
        engines = self._trust.engines(self.record.blocks[code])
        if self._trust.unknown_names(engines):
            return "no Shapley value: guards with memory cannot be replayed"
        disbelief = self._trust.disbelief(self._replayed, engines)
        return f"no Shapley value: {disbelief}" if disbelief else ""

    def _shapley_value(self, kind: GuardKind) -> Estimate | None:
        if kind.is_stateful:
            return None
        if kind.code not in self._shapley:
            return undefined(0, self._shapley_note[kind.code], self._level)
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
            self._chance("shapley"),
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
