"""The answer to "does my confidence mean anything?", with its sample size in plain words.

Question asked: did trades with a higher claim win more often? The statistic is the gap between
the win rates of the upper and the lower half of the claims; its interval resamples calendar days
in blocks at least as long as the longest holding period, so neither overlapping trades nor days
on which everything moved together count as independent evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from scipy.special import ndtri

from trimtab_server.domain.calibration import (
    BrierParts,
    RecalibrationLine,
    ReliabilityBin,
    brier_decomposition,
    calibration_error,
    ranking_score,
    recalibration_line,
    reliability_bins,
)
from trimtab_server.domain.statistics.estimates import (
    Estimate,
    FloatArray,
    IntArray,
    block_estimate,
    day_sums,
    undefined,
)
from trimtab_server.domain.trades import (
    DAY_NS,
    EntryCalendar,
    Selection,
    Trade,
    countable_trades,
    entry_calendar,
    uniqueness_weights,
)

EFFECTIVE_N_MIN = 200
"""Below this effective sample no calibrator but a strongly shrunken one can be trusted (F3)."""
MINORITY_MIN = 30
"""Fewest wins, and fewest losses, for any verdict."""
GAP_OF_INTEREST = 0.10
"""A gap of 10 points between the halves is worth knowing about; an interval wider than this on
either side of the gap leaves the question open."""
DEFAULT_EDGES: FloatArray = np.linspace(0.0, 1.0, 11)


class CalibrationVerdict(StrEnum):
    """Whether the claims rank outcomes."""

    INFORMATIVE = "informative"
    UNINFORMATIVE = "uninformative"
    INVERTED = "inverted"
    TOO_FEW = "too few to tell"


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """Everything that the report prints. Fractions are 0 to 1; times are UTC nanoseconds.

    claim_gap: mean claim - win rate (above 0 = overconfident). half_gap: win rate of the upper
    half of claims - that of the lower half. outcomes_needed: effective outcomes still missing
    for a verdict; None = none missing. effective_n: the sample's worth in independent trades:
    overlap within a symbol removed by average uniqueness, then divided by design_effect (>= 1) for
    days on which many trades won or lost together. longest_hold_days: None = no trade tells it.
    block_days: length of the bootstrap's blocks. line: its standard errors allow for the effective
    sample. summary: the verdict in plain words.
    """

    selection: Selection
    n: int
    win_count: int
    effective_n: float
    design_effect: float
    first_entry_ns: int | None
    last_exit_ns: int | None
    longest_hold_days: float | None
    block_days: float
    mean_claim: float | None
    win_rate: Estimate
    claim_gap: Estimate
    half_gap: Estimate
    brier: Estimate
    brier_skill: Estimate
    log_loss: Estimate
    ranking: float | None
    parts: BrierParts | None
    calibration_error: float | None
    line: RecalibrationLine | None
    bins: tuple[ReliabilityBin, ...]
    verdict: CalibrationVerdict
    outcomes_needed: int | None
    summary: str


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Claims and results with their place in the calendar."""

    claim: FloatArray
    won: FloatArray
    weights: FloatArray
    calendar: EntryCalendar
    rng: np.random.Generator
    count: int
    level: float

    def sums(self, values: FloatArray, positions: IntArray) -> FloatArray:
        by_day = day_sums(self.calendar.positions, values, self.calendar.length)
        result: FloatArray = by_day[positions].sum(axis=1)
        return result

    def estimate(self, kind: str) -> Estimate:
        """One of the statistics below, with an interval from resampled blocks of periods."""
        if not self.claim.size:
            return undefined(0, "no trades", self.level)
        one = np.ones(self.claim.size)
        upper = (self.claim > np.median(self.claim)).astype(np.float64)
        eps = float(np.finfo(np.float64).eps)
        p, y = np.clip(self.claim, eps, 1 - eps), self.won

        def mean(values: FloatArray, positions: IntArray, of: FloatArray = one) -> FloatArray:
            below = self.sums(of, positions)
            with np.errstate(divide="ignore", invalid="ignore"):
                result: FloatArray = self.sums(values * of, positions) / below
            return result

        def skill(positions: IntArray) -> FloatArray:
            rate = mean(y, positions)
            chance = rate * (1 - rate)
            with np.errstate(divide="ignore", invalid="ignore"):
                result: FloatArray = 1 - mean((self.claim - y) ** 2, positions) / chance
            return result

        statistic = {
            "win_rate": lambda i: mean(y, i),
            "claim_gap": lambda i: mean(self.claim - y, i),
            "half_gap": lambda i: mean(y, i, upper) - mean(y, i, one - upper),
            "brier": lambda i: mean((self.claim - y) ** 2, i),
            "brier_skill": skill,
            "log_loss": lambda i: mean(-(y * np.log(p) + (1 - y) * np.log1p(-p)), i),
        }[kind]
        found = block_estimate(
            statistic,
            self.calendar.length,
            self.claim.size,
            self.calendar.block_periods,
            self.rng,
            count=self.count,
            level=self.level,
        )
        return replace(found, effective_n=float(self.weights.sum()))


def calibration_report(
    trades: Sequence[Trade],
    rng: np.random.Generator,
    *,
    edges: FloatArray = DEFAULT_EDGES,
    count: int = 1000,
    level: float = 0.95,
) -> CalibrationReport:
    """The calibration report of these trades (in log order), as the module describes.

    Only matured, latest, real trades with a claim count; the rest is counted by reason. Too little
    data gives the verdict TOO_FEW, estimates without intervals, and never an error.
    edges: of the bins, from 0 to 1. count: bootstrap draws. Raises ValueError for a claim outside
    0 to 1.
    """
    selection = countable_trades(trades)
    counted = selection.counted
    claim = np.array([trade.confidence for trade in counted], dtype=np.float64)
    won = np.array([bool(trade.is_win) for trade in counted], dtype=np.float64)
    weights = uniqueness_weights(counted)
    calendar = entry_calendar(counted)
    pairs = _Pairs(claim, won, weights, calendar, rng, count, level)
    kinds = ("win_rate", "claim_gap", "half_gap", "brier", "brier_skill", "log_loss")
    found = {kind: pairs.estimate(kind) for kind in kinds}
    crowding = design_effect(found["win_rate"], float(weights.sum()))
    weights = weights / crowding
    pairs = replace(pairs, weights=weights)
    found = {
        kind: replace(estimate, effective_n=estimate.effective_n / crowding)
        for kind, estimate in found.items()
    }
    effective = float(weights.sum())
    verdict = _verdict(effective, won, found["half_gap"])
    needed = _outcomes_needed(verdict, effective, won, found["half_gap"])
    return CalibrationReport(
        selection=selection,
        n=claim.size,
        win_count=int(won.sum()),
        effective_n=effective,
        design_effect=crowding,
        first_entry_ns=min((trade.entry_time_ns for trade in counted), default=None),
        last_exit_ns=max((trade.exit_time_ns for trade in counted), default=None),
        longest_hold_days=_longest_hold_days(counted),
        block_days=calendar.block_periods * calendar.period_ns / DAY_NS,
        mean_claim=float(claim.mean()) if claim.size else None,
        win_rate=found["win_rate"],
        claim_gap=found["claim_gap"],
        half_gap=found["half_gap"],
        brier=found["brier"],
        brier_skill=found["brier_skill"],
        log_loss=found["log_loss"],
        ranking=ranking_score(claim, won),
        parts=brier_decomposition(claim, won, edges),
        calibration_error=calibration_error(claim, won, edges),
        line=_widened(recalibration_line(claim, won), claim.size, effective),
        bins=reliability_bins(claim, won, edges, weights, level),
        verdict=verdict,
        outcomes_needed=needed,
        summary=_summary(verdict, pairs, found, needed),
    )


def _longest_hold_days(trades: Sequence[Trade]) -> float | None:
    longest = max((trade.exit_time_ns - trade.entry_time_ns for trade in trades), default=0)
    return longest / DAY_NS if longest else None


def _widened(
    line: RecalibrationLine | None, n: int, effective_n: float
) -> RecalibrationLine | None:
    """The line with the errors of `effective_n` pairs: a copy of the data adds no precision."""
    if line is None:
        return None
    factor = (n / effective_n) ** 0.5
    return replace(
        line,
        intercept_error=line.intercept_error * factor,
        slope_error=line.slope_error * factor,
    )


def design_effect(win_rate: Estimate, n: float) -> float:
    """How many times wider (in variance) the win rate's block interval is than n coin tosses, >= 1.

    1 when there is no interval, or when everything won or lost. Source: Kish (1965), chapter 8.
    """
    if win_rate.value is None or win_rate.low is None or win_rate.high is None:
        return 1.0
    variance = win_rate.value * (1 - win_rate.value) / n
    if variance <= 0:
        return 1.0
    error = (win_rate.high - win_rate.low) / 2 / float(ndtri(0.5 + win_rate.level / 2))
    return max(1.0, error**2 / variance)


def _verdict(effective: float, won: FloatArray, gap: Estimate) -> CalibrationVerdict:
    minority = min(won.sum(), won.size - won.sum())
    if effective < EFFECTIVE_N_MIN or minority < MINORITY_MIN:
        return CalibrationVerdict.TOO_FEW
    if gap.value is None or gap.low is None or gap.high is None:
        return CalibrationVerdict.TOO_FEW
    if gap.decided_sign:
        return (
            CalibrationVerdict.INFORMATIVE if gap.decided_sign > 0 else CalibrationVerdict.INVERTED
        )
    if (gap.high - gap.low) / 2 > GAP_OF_INTEREST:
        return CalibrationVerdict.TOO_FEW
    return CalibrationVerdict.UNINFORMATIVE


def _outcomes_needed(
    verdict: CalibrationVerdict, effective: float, won: FloatArray, gap: Estimate
) -> int | None:
    if verdict is not CalibrationVerdict.TOO_FEW:
        return None
    rate = float(np.clip(won.mean(), 0.05, 0.95)) if won.size else 0.5
    minority = min(float(won.sum()), won.size - float(won.sum()))
    share = max(minority / won.size, 0.05) if won.size else 0.5
    wanted = [
        float(EFFECTIVE_N_MIN),
        MINORITY_MIN / share,
        gap_sample_size(rate, GAP_OF_INTEREST),
    ]
    if gap.low is not None and gap.high is not None:
        half = (gap.high - gap.low) / 2
        wanted.append(effective * (half / GAP_OF_INTEREST) ** 2)
    return max(1, int(np.ceil(max(wanted) - effective)))


def gap_sample_size(win_rate: float, gap: float, level: float = 0.95, power: float = 0.8) -> float:
    """Outcomes, both halves together, that show a gap between two win rates with this power.

    Two-sided test of two independent proportions around `win_rate`; normal approximation, Fleiss,
    Levin and Paik (2003), section 4.2. Raises ValueError unless 0 < win_rate < 1 and gap > 0.
    """
    if not 0 < win_rate < 1 or gap <= 0:
        raise ValueError(f"need 0 < win_rate < 1 and gap > 0, got {win_rate} and {gap}")
    z = float(ndtri(0.5 + level / 2) + ndtri(power))
    return 4 * win_rate * (1 - win_rate) * (z / gap) ** 2


def points_text(estimate: Estimate) -> str:
    """A difference of rates in points, with its interval in brackets where there is one."""
    if estimate.value is None:
        return "undefined"
    text = f"{100 * estimate.value:+.1f} points"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"


def _summary(
    verdict: CalibrationVerdict,
    pairs: _Pairs,
    found: dict[str, Estimate],
    needed: int | None,
) -> str:
    claim, won, effective = pairs.claim, pairs.won, float(pairs.weights.sum())
    if not claim.size:
        return "No matured trade with a claimed confidence: nothing to judge yet."
    gap = points_text(found["half_gap"])
    sample = f"{claim.size:,} trades (worth about {effective:,.0f} independent ones)"
    like_these = (needed or 0) * claim.size / max(effective, 1.0)
    text = {
        CalibrationVerdict.INFORMATIVE: (
            f"Yes, it ranks: over {sample} the upper half of the claims won more often than the "
            f"lower half, by {gap}."
        ),
        CalibrationVerdict.INVERTED: (
            f"It is upside down: over {sample} the upper half of the claims won LESS often than "
            f"the lower half, by {gap}."
        ),
        CalibrationVerdict.UNINFORMATIVE: (
            f"No sign of it: over {sample} the upper half of the claims won about as often as the "
            f"lower half, {gap}. A higher claim was no better."
        ),
        CalibrationVerdict.TOO_FEW: (
            f"Too few to tell: {sample}. About {needed or 0:,} more independent outcomes (about "
            f"{like_these:,.0f} trades like these) are needed to see a gap of "
            f"{100 * GAP_OF_INTEREST:.0f} points between the upper and the lower half of the "
            f"claims; so far it is {gap}."
        ),
    }[verdict]
    return f"Does it rank? {text} Is the level right? {_level_text(claim, won, found)}"


def _level_text(claim: FloatArray, won: FloatArray, found: dict[str, Estimate]) -> str:
    """Whether the claims are as high as the win rate, and better than the base rate alone."""
    over, skill = found["claim_gap"], found["brier_skill"]
    told = f"on average {claim.mean():.0%} was claimed and {won.mean():.0%} won"
    worse = ""
    if skill.value is not None and skill.low is not None and skill.decided_sign < 0:
        worse = "as probabilities the claims are worse than always saying the base rate (Brier "
        worse += f"skill {skill.value:+.3f} [{skill.low:+.3f}, {skill.high:+.3f}])"
    if over.decided_sign:
        kind = "overconfident" if over.decided_sign > 0 else "underconfident"
        text = f"No: {told}, {kind} by {points_text(over)} (claimed minus won)"
        return f"{text}; and {worse}." if worse else f"{text}."
    if worse:
        return f"No: {worse}, although {told}, {points_text(over)} apart."
    if over.low is None:
        return f"Too few to tell: {told}."
    return f"Nothing against it: {told}, {points_text(over)} apart."
