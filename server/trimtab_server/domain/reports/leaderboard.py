"""Strategies, or slices of the signals, side by side, after allowing for having looked at all.

The best of twenty strategies without skill looks significant two times out of three. So a line
stands out only when its p-value holds after all lines were looked at (Benjamini and Yekutieli:
lines share markets, so any dependence is allowed), and when its Sharpe ratio lies above what the
best of all tries would show without skill, those of the past and of notebooks included. Rare large
losses hide in short records: a line whose days are skewed by them stands out only after Cochran's
rule (`skill.periods_for_skew`); sold insurance without any edge did in 22 % of worlds before.
"""

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from trimtab_server.domain.ledger.columns import APPROVED, CodeArray, Ledger, ResultStatus
from trimtab_server.domain.ledger.trades import (
    Mask,
    Trades,
    has_real_trade,
    has_shadow_trade,
    joined_trades,
    real_trades,
    shadow_trades,
)
from trimtab_server.domain.reports.performance import Judgement, Performance, judgement
from trimtab_server.domain.reports.slices import Groups
from trimtab_server.domain.statistics.block_sums import block_calendar, outcomes_needed
from trimtab_server.domain.statistics.estimates import FloatArray, IntArray
from trimtab_server.domain.statistics.sharpe import expected_max_sharpe, probabilistic_sharpe
from trimtab_server.domain.statistics.skill import (
    adjusted_p_values,
    draws_wanted,
    mean_p_value,
    periods_for_skew,
    shrunk_means,
)

LINE_COUNT_MAX = 1_000
FALSE_DISCOVERY_RATE = 0.05
DEFLATED_SHARPE_MIN = 0.95
_SCALE_LINES_MIN = 10
_MAD_TO_SPREAD = 1.4826


class LeaderboardBasis(IntEnum):
    """Whose results; values as in the contract."""

    REAL = 1
    SHADOW = 2


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
    basis: LeaderboardBasis = LeaderboardBasis.REAL,
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
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], chosen, side="right")
    starts = np.searchsorted(codes[order], chosen, side="left")
    found = [
        judgement(groups.names[group], trades.at(order[a:b]), rng, count=count, level=level)
        for group, a, b in zip(chosen.tolist(), starts.tolist(), ends.tolist(), strict=True)
    ]
    waiting = np.bincount(groups.codes[_is_open(ledger, basis)], minlength=len(groups.names))
    made = _judged(found, signals[chosen], waiting[chosen], tries, rng)
    return Leaderboard(tuple(_sorted(made)), tries, FALSE_DISCOVERY_RATE, tuple(notes))


def _trades_of(
    ledger: Ledger, codes: CodeArray, basis: LeaderboardBasis
) -> tuple[Trades, CodeArray]:
    """The trades that lines are made of, and the group of each."""
    if basis is LeaderboardBasis.SHADOW:
        wanted = has_shadow_trade(ledger)
        return shadow_trades(ledger, wanted), codes[wanted]
    approved = ledger.action == APPROVED
    real = has_real_trade(ledger) & approved
    # Positions that are open, or were told censored, really happened: no simulation stands in.
    simulated = has_shadow_trade(ledger) & approved & ~real & (ledger.real_status == 0)
    trades = joined_trades(real_trades(ledger, real), shadow_trades(ledger, simulated))
    return trades, np.concatenate([codes[real], codes[simulated]])


def _is_open(ledger: Ledger, basis: LeaderboardBasis) -> Mask:
    """Signals that this basis would count if their position, or what simulates it, had ended."""
    if basis is LeaderboardBasis.SHADOW:
        pending: Mask = ledger.shadow_status == ResultStatus.PENDING
        return pending
    real = ledger.real_status
    is_open: Mask = (real == ResultStatus.PENDING) | (real == ResultStatus.CENSORED)
    approved: Mask = ledger.action == APPROVED
    return is_open & approved


def _judged(
    found: list[Judgement],
    signals: IntArray,
    waiting: IntArray,
    tries: int,
    rng: np.random.Generator,
) -> list[LeaderboardLine]:
    p_values = _p_values(found, rng)
    tested = np.isfinite(p_values)
    q_values = np.full(p_values.size, np.nan)
    q_values[tested] = adjusted_p_values(p_values[tested])
    sure, deflated = _sharpe_probabilities(found, tries)
    skew = np.array([float(each.record.moments.skew[0]) for each in found])
    days = np.array([each.record.annual.effective_n for each in found])
    wanted = periods_for_skew(skew)
    errors = np.array([np.nan if each.mean_error is None else each.mean_error for each in found])
    shrunk = np.full(errors.size, np.nan)
    known = np.isfinite(errors)
    means = np.array([each.performance.mean_return.value or 0.0 for each in found])
    drawn = shrunk_means(means[known], errors[known])
    if drawn is not None:
        shrunk[known] = drawn
    result = []
    for k, each in enumerate(found):
        mean = each.performance.mean_return
        stands = bool(q_values[k] <= FALSE_DISCOVERY_RATE and deflated[k] >= DEFLATED_SHARPE_MIN)
        short = math.ceil(wanted[k] - days[k]) if stands else 0
        result.append(
            LeaderboardLine(
                name=each.performance.name,
                signal_count=int(signals[k]),
                performance=each.performance,
                shrunk_mean_return=_told(shrunk[k]),
                probabilistic_sharpe=_told(sure[k]),
                deflated_sharpe=_told(deflated[k]),
                p_value=_told(p_values[k]),
                q_value=_told(q_values[k]),
                significant=stands and short <= 0,
                outcomes_needed=outcomes_needed(mean),
                note=_note(each, deflated[k], short, int(waiting[k])),
            )
        )
    return result


def _told(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _note(each: Judgement, deflated: float, short_days: int, open_count: int) -> str:
    made = each.performance
    notes = [made.mean_return.note]
    if 0 < made.simulated_count < made.trade_count:
        notes.append(f"{made.simulated_count} of {made.trade_count} results are simulated")
    if not made.mean_return.note and not np.isfinite(deflated):
        notes.append(f"Sharpe ratio: {made.sharpe_ratio.note or 'undefined'}")
    if open_count:
        notes.append(f"still open: {open_count}; fast exits weigh too much until they end")
    if short_days > 0:
        notes.append(
            f"losses are rare and large: about {short_days} more days until so good a mean counts"
        )
    return "; ".join(note for note in notes if note)


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
