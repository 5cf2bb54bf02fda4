"""Strategies, or slices of the signals, side by side, after allowing for having looked at all.

The best of twenty strategies without skill looks significant two times out of three. So a line
stands out only when its p-value holds after all lines were looked at (Benjamini and Yekutieli:
lines share markets, so any dependence is allowed), and when its Sharpe ratio lies above what the
best of all tries would show without skill, those of the past and of notebooks included. The
interval of its mean has to lie above zero as well, also with every real position that is still open
taken to end badly: who closes winners and holds losers has no losses to show. Rare large losses
hide in short records: a line whose days are skewed by them stands out only after Cochran's rule
(`skill.periods_for_skew`); sold insurance without any edge did in 22 % of worlds before.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab_server.domain.ledger.cohorts import last_time
from trimtab_server.domain.ledger.columns import APPROVED, CodeArray, Ledger, ResultStatus
from trimtab_server.domain.ledger.trades import (
    RETURN_MAX,
    Mask,
    Trades,
    first_known,
    has_real_trade,
    has_shadow_trade,
    joined_trades,
    real_trades,
    shadow_trades,
)
from trimtab_server.domain.reports.performance import Judgement, Performance, judgement
from trimtab_server.domain.reports.questions import Basis
from trimtab_server.domain.reports.slices import Groups
from trimtab_server.domain.statistics.block_sums import (
    block_calendar,
    mean_estimate,
    outcomes_needed,
)
from trimtab_server.domain.statistics.discoveries import student_factor
from trimtab_server.domain.statistics.estimates import FloatArray, IntArray
from trimtab_server.domain.statistics.sharpe import expected_max_sharpe, probabilistic_sharpe
from trimtab_server.domain.statistics.skill import (
    SHRUNK_COUNT_MIN,
    adjusted_p_values,
    draws_wanted,
    mean_p_value,
    p_value_wanted,
    periods_for_skew,
    shrunk_means,
)

LINE_COUNT_MAX = 1_000
FALSE_DISCOVERY_RATE = 0.05
DEFLATED_SHARPE_MIN = 0.95
_SCALE_LINES_MIN = 10
_MAD_TO_SPREAD = 1.4826


@dataclass(frozen=True, slots=True)
class LeaderboardLine:
    """A strategy, or a slice; see the message of the same name in the contract."""

    name: str
    signal_count: int
    performance: Performance
    shrunk_mean_return: float | None
    probabilistic_sharpe: float | None
    deflated_sharpe: float | None
    p_value: float | None
    q_value: float | None
    significant: bool
    outcomes_needed: int | None
    note: str


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Lines, best first. trial_count: tries that the deflated Sharpe ratio allows for.

    false_discovery_rate: that `significant` allows. notes: what was left out.
    """

    lines: tuple[LeaderboardLine, ...]
    trial_count: int
    false_discovery_rate: float
    notes: tuple[str, ...]


def leaderboard(
    ledger: Ledger,
    groups: Groups,
    rng: np.random.Generator,
    *,
    basis: Basis = Basis.REAL,
    trial_count: int = 0,
    undeclared_trial_count: int = 0,
    count: int = 1000,
    level: float = 0.95,
) -> Leaderboard:
    """A line for each group that holds signals, by total result, best first.

    trial_count: strategies that the log has ever seen; undeclared_trial_count: what was tried
    outside of it. Sorted by money where it is known of every line, else by stakes. Beyond 1,000
    groups, those with the most signals. count: resamples of each interval.
    """
    signals = np.bincount(groups.codes, minlength=len(groups.names))
    filled = np.flatnonzero(signals)
    chosen, notes = filled, []
    if filled.size > LINE_COUNT_MAX:
        chosen = np.sort(filled[np.argsort(-signals[filled], kind="stable")[:LINE_COUNT_MAX]])
        notes.append(
            f"{filled.size} groups: the {LINE_COUNT_MAX} with the most signals are shown, all count"
        )
    # Strategies are tries that the log knows already; other slices are tries on top of them.
    lines = int(filled.size)
    tries = max(lines, trial_count) if groups.by_strategy else lines + trial_count
    tries = max(1, tries + undeclared_trial_count)
    trades, codes = _trades_of(ledger, groups.codes, basis)
    found = [
        judgement(groups.names[group], trades.at(rows), rng, count=count, level=level)
        for group, rows in zip(chosen.tolist(), _rows_by_group(codes, chosen), strict=True)
    ]
    waiting = np.flatnonzero(_is_open(ledger, basis))
    board = _Board(ledger, basis, tries, level, rng)
    still_open = [waiting[rows] for rows in _rows_by_group(groups.codes[waiting], chosen)]
    made = board.judged(found, signals[chosen], still_open)
    return Leaderboard(tuple(_sorted(made)), tries, FALSE_DISCOVERY_RATE, tuple(notes))


def _trades_of(ledger: Ledger, codes: CodeArray, basis: Basis) -> tuple[Trades, CodeArray]:
    """The trades that lines are made of, and the group of each."""
    if basis is Basis.SHADOW:
        wanted = has_shadow_trade(ledger)
        return shadow_trades(ledger, wanted), codes[wanted]
    approved = ledger.action == APPROVED
    real = has_real_trade(ledger) & approved
    # Positions that are open, or were told censored, really happened: no simulation stands in.
    simulated = has_shadow_trade(ledger) & approved & ~real & (ledger.real_status == 0)
    trades = joined_trades(real_trades(ledger, real), shadow_trades(ledger, simulated))
    return trades, np.concatenate([codes[real], codes[simulated]])


def _rows_by_group(codes: CodeArray, groups: IntArray) -> list[IntArray]:
    """For each of the groups the positions of its codes, rising."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], groups, side="left")
    ends = np.searchsorted(codes[order], groups, side="right")
    return [order[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]


def _is_open(ledger: Ledger, basis: Basis) -> Mask:
    """Signals that this basis would count if their position, or what simulates it, had ended, and
    all others of its age."""
    if basis is Basis.SHADOW:
        pending: Mask = ledger.shadow_status == ResultStatus.PENDING
        return pending | (ledger.has_shadow & ~ledger.has_counted)
    real = ledger.real_status
    is_open: Mask = (real == ResultStatus.PENDING) | (real == ResultStatus.CENSORED)
    approved: Mask = ledger.action == APPROVED
    return is_open & approved


@dataclass(frozen=True, slots=True)
class _Board:
    """What it takes to judge lines. tries: that the deflated Sharpe ratio allows for."""

    ledger: Ledger
    basis: Basis
    tries: int
    level: float
    rng: np.random.Generator

    def judged(
        self, found: list[Judgement], signals: IntArray, still_open: list[IntArray]
    ) -> list[LeaderboardLine]:
        """The lines. still_open: for each the rows of signals that it would count if they ended."""
        p_values = _p_values(found, self.rng)
        tested = np.isfinite(p_values)
        q_values = np.full(p_values.size, np.nan)
        q_values[tested] = adjusted_p_values(p_values[tested])
        discovered = int(np.count_nonzero(q_values[tested] <= FALSE_DISCOVERY_RATE))
        wanted = p_value_wanted(int(np.count_nonzero(tested)), discovered, FALSE_DISCOVERY_RATE)
        sure, deflated = _sharpe_probabilities(found, self.tries)
        shrunk = _shrunk(found)
        result = []
        for k, each in enumerate(found):
            q, opened = float(q_values[k]), still_open[k]
            passed = q <= FALSE_DISCOVERY_RATE
            stands = bool(passed and deflated[k] >= DEFLATED_SHARPE_MIN)
            doubts = list(self._doubts(each, opened)) if stands else []
            needed = self._outcomes_needed(each, 1.0 if passed else wanted)
            limits = _limits(each, needed, has_shrunk=bool(np.isfinite(shrunk[k])))
            result.append(
                LeaderboardLine(
                    name=each.performance.name,
                    signal_count=int(signals[k]),
                    performance=each.performance,
                    shrunk_mean_return=_told(shrunk[k]),
                    probabilistic_sharpe=_told(sure[k]),
                    deflated_sharpe=_told(deflated[k]),
                    p_value=_told(p_values[k]),
                    q_value=_told(q),
                    significant=stands and not doubts,
                    outcomes_needed=needed,
                    note=self._note(each, float(deflated[k]), opened.size, (*doubts, *limits)),
                )
            )
        return result

    def _doubts(self, each: Judgement, opened: IntArray) -> Iterator[str]:
        """Why a line does not stand out although its p-value and Sharpe ratio would let it."""
        mean = each.performance.mean_return
        if mean.decided_sign <= 0:
            yield "the interval of its mean holds zero"
        moments, days = each.record.moments, each.record.annual.effective_n
        short = math.ceil(float(periods_for_skew(moments.skew)[0]) - days)
        if short > 0:
            yield f"losses are rare and large: about {short} more days until so good a mean counts"
        if self.basis is Basis.REAL and opened.size:
            trades, entry = each.trades, self._entry_ns(opened)
            values = np.concatenate([trades.returns, self._bad_ends(trades, opened)])
            entries = np.concatenate([trades.entry_ns, entry])
            calendar = block_calendar(trades.entry_ns, trades.exit_ns)
            filled = mean_estimate(values, entries, calendar, self.rng, level=self.level)
            if filled.decided_sign <= 0:
                yield f"it would not stand out if the {opened.size} still open ended badly"

    def _entry_ns(self, rows: IntArray) -> IntArray:
        return first_known(self.ledger.real_entry_time_ns[rows], self.ledger.signal_time_ns[rows])

    def _bad_ends(self, trades: Trades, rows: IntArray) -> FloatArray:
        """Returns of open positions that end badly, shape of rows: as large a loss as the largest
        result of a closed one, larger by the square root of how much longer it is held already than
        any of them was; or what its simulation lost, where that is more."""
        held = np.maximum(last_time(self.ledger) - self._entry_ns(rows), 0)
        longest = max(1, int((trades.exit_ns - trades.entry_ns).max()))
        bad = -float(np.abs(trades.returns).max()) * np.sqrt(np.maximum(held / longest, 1.0))
        told = self.ledger.shadow_pessimistic[rows]
        known = np.isfinite(told) & self.ledger.has_shadow[rows]
        return np.maximum(np.where(known & (told < bad), told, bad), -RETURN_MAX)

    def _outcomes_needed(self, each: Judgement, p_value: float) -> int | None:
        """Outcomes until the mean's sign would be settled at this one-sided p-value too."""
        mean, trades = each.performance.mean_return, each.trades
        calendar = block_calendar(trades.entry_ns, trades.exit_ns)
        if calendar is None or mean.decided_sign < 0:
            return None
        blocks = max(2, calendar.length // calendar.block)
        factor = max(1.0, student_factor(self.level, min(1.0, 2 * p_value), blocks))
        return outcomes_needed(mean, width_factor=factor)

    def _note(
        self, each: Judgement, deflated: float, open_count: int, reasons: Sequence[str]
    ) -> str:
        made = each.performance
        notes = [made.mean_return.note]
        if 0 < made.simulated_count < made.trade_count:
            notes.append(f"{made.simulated_count} of {made.trade_count} results are simulated")
        elif made.simulated_count and self.basis is Basis.REAL:
            notes.append(f"all {made.trade_count} results are simulated: none is real")
        if not made.mean_return.note and not np.isfinite(deflated):
            notes.append(f"Sharpe ratio: {made.sharpe_ratio.note or 'undefined'}")
        if open_count and self.basis is Basis.REAL:
            notes.append(f"still open: {open_count}; fast exits weigh too much until they end")
        elif open_count:
            notes.append(f"not counted before all of their age have ended: {open_count}")
        return "; ".join(note for note in (*notes, *reasons) if note)


def _limits(each: Judgement, needed: int | None, *, has_shrunk: bool) -> Iterator[str]:
    """What a line does not tell, or tells otherwise than its interval by itself does."""
    if needed is not None and each.performance.mean_return.decided_sign:
        yield "its own interval leaves out zero, but not after allowing for all lines"
    if each.mean_error is not None and not has_shrunk:
        yield f"no shrunk mean: fewer than {SHRUNK_COUNT_MIN} lines have an interval"


def _shrunk(found: list[Judgement]) -> FloatArray:
    """Mean returns drawn towards what all lines share, NaN where that is not known."""
    errors = np.array([np.nan if each.mean_error is None else each.mean_error for each in found])
    means = np.array([each.performance.mean_return.value or 0.0 for each in found])
    known = np.isfinite(errors)
    shrunk = np.full(errors.size, np.nan)
    drawn = shrunk_means(means[known], errors[known])
    if drawn is not None:
        shrunk[known] = drawn
    return shrunk


def _told(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _p_values(found: list[Judgement], rng: np.random.Generator) -> FloatArray:
    """One-sided, NaN where there is too little data for one."""
    tests = sum(each.mean_error is not None for each in found)
    result = np.full(len(found), np.nan)
    for k, each in enumerate(found):
        if each.mean_error is None:
            continue
        trades = each.trades
        calendar = block_calendar(trades.entry_ns, trades.exit_ns)
        assert calendar is not None
        result[k] = mean_p_value(
            trades.returns,
            trades.entry_ns,
            calendar,
            each.mean_error,
            rng,
            draws_wanted(tests, FALSE_DISCOVERY_RATE),
        )
    return result


def _sharpe_probabilities(found: list[Judgement], tries: int) -> tuple[FloatArray, FloatArray]:
    """Probabilistic and deflated Sharpe ratio of each line, NaN where undefined.

    Days count for what they are worth after allowing for overlap. Without skill the ratios of tries
    vary by their own sampling error; where they vary more (by the median deviation, which a few
    good lines do not move), by that. With records of one length that is the published formula.
    """
    usable = np.array([each.record.annual.low is not None for each in found], dtype=bool)
    records = [each.record for each in found]
    days = np.array([each.annual.effective_n for each in records])
    usable &= days > 1
    days = np.where(usable, days, 2.0)
    sharpe, skew, kurtosis = (
        np.array([float(getattr(each.moments, name)[0]) for each in records])
        for name in ("sharpe", "skew", "kurtosis")
    )
    sharpe = np.where(usable, sharpe, 0.0)
    score = sharpe[usable] * np.sqrt(days[usable] - 1)
    scale = 1.0
    if score.size >= _SCALE_LINES_MIN:
        spread = _MAD_TO_SPREAD * float(np.median(np.abs(score - np.median(score))))
        scale = max(1.0, spread)
    benchmark = expected_max_sharpe(scale**2 / (days - 1), tries)
    plain = probabilistic_sharpe(sharpe, days, skew, kurtosis)
    deflated = probabilistic_sharpe(sharpe, days, skew, kurtosis, benchmark)
    return np.where(usable, plain, np.nan), np.where(usable, deflated, np.nan)


def _sorted(lines: list[LeaderboardLine]) -> list[LeaderboardLine]:
    """Best first, those without a result last, equals by name."""
    with_trades = [line for line in lines if line.performance.trade_count]
    in_money = all(line.performance.total_pnl is not None for line in with_trades)

    def key(line: LeaderboardLine) -> tuple[bool, float, str]:
        made = line.performance
        total = made.total_pnl if in_money else made.total_return.value
        return not made.trade_count, -(total or 0.0), line.name

    return sorted(lines, key=key)
