"""Three win rates of the same signals: the one that everyone prints, and two that are right.

Where losers exit fast, closed trades hold too many of them: with a true rate of 0.50 theirs reads
0.41 (`tests/domain/reports/test_win_rates.py`). Two remedies: count only signals old enough that
all of their age are closed (the matured cohort), or let open ones count for as long as they have
been open (competing risks: a win and a loss race for each signal; Aalen and Johansen 1978).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from trimtab_server.domain.ledger.cohorts import Lives, lives_of
from trimtab_server.domain.ledger.columns import APPROVED, Ledger
from trimtab_server.domain.ledger.trades import Mask, has_real_trade
from trimtab_server.domain.statistics.block_sums import (
    block_calendar,
    mean_difference,
    mean_estimate,
)
from trimtab_server.domain.statistics.estimates import (
    Estimate,
    FloatArray,
    IntArray,
    joined_notes,
    undefined,
    within,
)

_S_PER_NS = 1e-9
_UNRESOLVED_MAX = 0.25
"""With a larger share still open at the longest age seen, the end is not in sight: no number."""


@dataclass(frozen=True, slots=True)
class WinRates:
    """Of the same signals; see the fields of PerformanceComparison in the contract.

    holding_gap_s: how much longer winners of the matured cohort were held than losers, on average:
    the sign in which the closed rate is wrong. win_holding_s, loss_holding_s: medians, None without
    any.
    """

    closed: Estimate
    matured: Estimate
    holding_gap_s: Estimate
    competing_risks: Estimate
    win_holding_s: float | None
    loss_holding_s: float | None


def win_rates(ledger: Ledger, rng: np.random.Generator, level: float = 0.95) -> WinRates:
    """Win rates of the approved signals that were really entered, as of the last time seen.

    Without a single real result: of all signals, simulated; the notes say so. A win is a return
    above zero. Too little data leaves out intervals, or the number, with a note.
    """
    is_real = bool(np.any(has_real_trade(ledger) & (ledger.action == APPROVED)))
    lives = lives_of(ledger, is_real=is_real)
    note = "" if is_real else "simulated: there is no real result"
    closed = _rate(lives, lives.is_closed, rng, level)
    cohort = lives.is_old & lives.is_closed
    matured = _rate(lives, cohort, rng, level)
    overdue = int(np.count_nonzero(lives.is_old & ~lives.is_closed))
    if not cohort.any() and lives.entry_ns.size:
        matured = replace(matured, note="no signal's longest holding period has passed")
    if overdue:
        reason = f"left out, because old enough but without a result: {overdue}"
        matured = replace(matured, note=joined_notes(matured.note, reason))
    # Medians of those whose length of life chance, not the clock, has decided.
    told = cohort if cohort.any() else lives.is_closed
    held_s: FloatArray = (lives.ended_ns - lives.entry_ns).astype(np.float64) * _S_PER_NS
    return WinRates(
        closed=replace(closed, note=joined_notes(closed.note, note)),
        matured=replace(matured, note=joined_notes(matured.note, note)),
        holding_gap_s=_holding_gap(lives, cohort, rng, level),
        competing_risks=_noted(competing_risks(lives, rng, level), note),
        win_holding_s=_median(held_s[told & lives.is_won]),
        loss_holding_s=_median(held_s[told & ~lives.is_won]),
    )


def _noted(estimate: Estimate, note: str) -> Estimate:
    return replace(estimate, note=joined_notes(estimate.note, note))


def _median(values: FloatArray) -> float | None:
    return float(np.median(values)) if values.size else None


def _rate(lives: Lives, counted: Mask, rng: np.random.Generator, level: float) -> Estimate:
    entry, ended = lives.entry_ns[counted], lives.ended_ns[counted]
    won = lives.is_won[counted].astype(np.float64)
    found = mean_estimate(won, entry, block_calendar(entry, ended), rng, level=level)
    return within(found, 0.0, 1.0)


def _holding_gap(lives: Lives, cohort: Mask, rng: np.random.Generator, level: float) -> Estimate:
    # Rates themselves differ by the last few lives alone, of which there are too few blocks to
    # judge by; why they differ shows in the whole cohort.
    held_s = (lives.ended_ns - lives.entry_ns).astype(np.float64) * _S_PER_NS
    won, lost = cohort & lives.is_won, cohort & ~lives.is_won
    return mean_difference(
        (held_s[won], lives.entry_ns[won]),
        (held_s[lost], lives.entry_ns[lost]),
        block_calendar(lives.entry_ns[cohort], lives.ended_ns[cohort]),
        rng,
        level=level,
    )


class Incidence(NamedTuple):
    """Cumulative incidence at the longest age, from n positions (Aalen and Johansen 1978).

    won, lost: shares that have ended so by then; open: 1 - won - lost. won_influences: what each
    position adds to `won`, shape (n,), of mean zero: won + won_influences are its pseudo-values
    (Andersen, Klein and Rosthoj 2003), whose mean is `won` and whose spread tells how sure it is.
    """

    won: float
    lost: float
    open: float
    won_influences: FloatArray


def incidence(age: IntArray, is_closed: Mask, is_won: Mask) -> Incidence:
    """Cumulative incidence of a win and of a loss, n >= 1. age: at exit, or when last seen, (n,).

    Of the same age, those that close count before those that were last seen.
    """
    n = age.size
    ages, place = np.unique(age, return_inverse=True)
    ended = np.bincount(place, minlength=ages.size)
    risk = n - np.concatenate([[0], np.cumsum(ended)[:-1]])
    wins = np.bincount(place, is_closed & is_won, minlength=ages.size)
    losses = np.bincount(place, is_closed & ~is_won, minlength=ages.size)
    hazard = (wins + losses) / risk
    after = np.cumprod(1.0 - hazard)
    before = np.concatenate([[1.0], after[:-1]])
    rise = before * wins / risk
    curve = np.cumsum(rise)
    won, rest = float(curve[-1]), float(max(after[-1], 0.0))
    # How `won` moves with the hazards: by a win now, less what an end now takes from later wins.
    later = np.where(hazard < 1.0, (won - curve) / np.where(hazard < 1.0, 1.0 - hazard, 1.0), 0.0)
    own = is_closed * (is_won * before[place] - later[place]) * n / risk[place]
    drift = np.cumsum((before * wins / risk - later * hazard) * n / risk)
    return Incidence(won, max(0.0, 1.0 - won - rest), rest, own - drift[place])


def competing_risks(lives: Lives, rng: np.random.Generator, level: float = 0.95) -> Estimate:
    """Share that wins in the end, open positions counted for as long as they were seen.

    What is still open at the longest age is shared out like the rest; the interval allows for all
    of it to win, and for none. Interval: block means of pseudo-values.
    """
    n = lives.entry_ns.size
    if not lives.is_closed.any():
        return undefined(n, "no outcomes", level)
    age = lives.ended_ns - lives.entry_ns
    found = incidence(age, lives.is_closed, lives.is_won)
    if found.open > _UNRESOLVED_MAX:
        reason = f"{found.open:.0%} are still open at the longest age seen: too early to tell"
        return undefined(n, reason, level)
    # A block as long as the longest life, also of those that are still open.
    calendar = block_calendar(lives.entry_ns, lives.ended_ns)
    pseudo = found.won + found.won_influences
    sure = mean_estimate(pseudo, lives.entry_ns, calendar, rng, level=level)
    value = found.won / (found.won + found.lost)
    note = f"{found.open:.1%} are still open at the longest age seen" if found.open > 5e-4 else ""
    method = f"Aalen-Johansen; {sure.method}"
    if sure.low is None or sure.high is None:
        return replace(sure, value=value, method=method, note=joined_notes(sure.note, note))
    high = max(value, sure.high + found.open)
    whole = replace(
        sure, value=value, low=min(value, sure.low), high=high, method=method, note=note
    )
    return within(whole, 0.0, 1.0)
