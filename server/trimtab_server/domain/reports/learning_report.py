"""What was learned in a window: four parts, and what stands out of them in plain words.

A finding is said only with its number and interval, and only where it holds after all guards, or
all strategies, were looked at. What is not known yet is a finding too, with what it still needs.
That two things agree is a finding as well: only an interval within a stated margin says so.
Each part has the numbers that it has as a report of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab_server.domain.documents.parts.words import (
    allowing_for_lines,
    beside_others,
    duration_estimate_text,
    estimate_text,
    percent_estimate_text,
)
from trimtab_server.domain.ledger.cohorts import settled_ledger
from trimtab_server.domain.ledger.columns import Ledger, LedgerCounts, ledger_counts
from trimtab_server.domain.reports.guards import GuardEffect, GuardLine, guard_lines
from trimtab_server.domain.reports.leaderboard import Leaderboard, LeaderboardLine, leaderboard
from trimtab_server.domain.reports.opportunity import (
    BlockedOpportunityCost,
    blocked_opportunity_cost,
)
from trimtab_server.domain.reports.performance import PerformanceComparison, performance_comparison
from trimtab_server.domain.reports.questions import ReportKind
from trimtab_server.domain.reports.slices import SliceField, field_groups
from trimtab_server.domain.statistics.chance import part_rng
from trimtab_server.domain.statistics.estimates import Estimate
from trimtab_server.domain.statistics.skill import adjusted_p_values
from trimtab_server.domain.wording import UNKNOWN, outcomes_text, plural

FINDINGS_PER_KIND_MAX = 5
_P_VALUE_FLOOR = 5e-4  # of the fewest resamples that a p-value of the leaderboard is made of
_GAP_SHOWN = 0.01
SIMULATION_MARGIN = 0.001
"""Simulated results agree with real ones when the whole interval of their mean difference lies
within so much, in stakes: about what a liquid share costs to trade both ways."""


@dataclass(frozen=True, slots=True)
class LearningReport:
    """What was learned; see GetLearningReportResponse in the contract."""

    comparison: PerformanceComparison
    blocked: BlockedOpportunityCost
    guards: tuple[GuardLine, ...]
    strategies: tuple[LeaderboardLine, ...]
    findings: tuple[str, ...]


def learning_report(
    ledger: Ledger,
    rng: np.random.Generator,
    *,
    trial_count: int = 0,
    level: float = 0.95,
) -> LearningReport:
    """The report on these signals. trial_count: strategies that the log has ever seen."""
    settled = settled_ledger(ledger)
    comparison = performance_comparison(settled, part_rng(rng, ReportKind.COMPARISON), level)
    blocked = blocked_opportunity_cost(settled, part_rng(rng, ReportKind.OPPORTUNITY), level)
    guards = guard_lines(settled, part_rng(rng, ReportKind.GUARDS), level=level)
    groups = field_groups(ledger, SliceField.STRATEGY)
    for_board = part_rng(rng, ReportKind.LEADERBOARD)
    board = leaderboard(settled, groups, for_board, trial_count=trial_count, level=level)
    counts = ledger_counts(ledger)
    return LearningReport(
        comparison=comparison,
        blocked=blocked,
        guards=guards,
        strategies=board.lines,
        findings=findings(counts, comparison, blocked, guards, board),
    )


def findings(
    counts: LedgerCounts,
    comparison: PerformanceComparison,
    blocked: BlockedOpportunityCost,
    guards: Sequence[GuardLine],
    board: Leaderboard,
) -> tuple[str, ...]:
    """What stands out, in words: guards, blocking, strategies, the simulation, what is missing."""
    if not counts.signal_count:
        return ("There are no signals in this window.",)
    return (
        *_of_guards(guards),
        *_of_blocking(blocked),
        *_of_strategies(board),
        *_of_simulation(comparison),
        *_of_win_rates(comparison),
        *_of_other_guards(guards),
        *_of_gaps(counts),
    )


def _first(sentences: Sequence[str], more: str) -> Iterator[str]:
    yield from sentences[:FINDINGS_PER_KIND_MAX]
    if len(sentences) > FINDINGS_PER_KIND_MAX:
        yield f"{len(sentences) - FINDINGS_PER_KIND_MAX} {more}"


def _stakes(estimate: Estimate) -> str:
    return UNKNOWN if estimate.value is None else f"{estimate_text(estimate)} stakes"


def _percent(estimate: Estimate) -> str:
    return percent_estimate_text(estimate, 2)


def _more(outcomes: int | None, allowing: str = "") -> str:
    if outcomes is None:
        return ""
    return f"; {outcomes_text(outcomes)} would settle it{allowing}, if its mean stays"


def _over(line: GuardLine) -> str:
    signals = plural(line.matured_count, "signal")
    return f"{_stakes(line.value)} over {signals} that would go another way without it"


def _of_guards(guards: Sequence[GuardLine]) -> Iterator[str]:
    """Of those that have something to judge: without them a signal with a result would go another
    way."""
    by_effect: dict[GuardEffect, list[GuardLine]] = {effect: [] for effect in GuardEffect}
    for line in guards:
        if line.matured_count:
            by_effect[line.effect].append(line)

    def cost(line: GuardLine) -> float:
        return line.value.value or 0.0

    yield from _first(
        [
            f"Guard {line.guard} costs more than it saves: its value is {_over(line)}."
            for line in sorted(by_effect[GuardEffect.COSTS], key=cost)
        ],
        "more guards cost more than they save.",
    )
    yield from _first(
        [
            f"Guard {line.guard} helps: its value is {_over(line)}."
            for line in sorted(by_effect[GuardEffect.HELPS], key=cost, reverse=True)
        ],
        "more guards help.",
    )
    yield from _first(
        [
            f"Guard {line.guard} is undecided: its value is {_stakes(line.value)} over"
            f" {plural(line.matured_count, 'signal')}"
            f"{_more(line.outcomes_needed, beside_others(guards))}."
            for line in sorted(
                by_effect[GuardEffect.UNDECIDED],
                key=lambda line: (line.outcomes_needed is None, line.outcomes_needed or 0),
            )
        ],
        "more guards are undecided.",
    )


def _of_other_guards(guards: Sequence[GuardLine]) -> Iterator[str]:
    """Of those that have nothing to judge: they cannot be told, or changed nothing."""
    left = [line for line in guards if not line.matured_count]
    idle = [line for line in left if not line.blocked_count]
    yield from _first(
        [
            f"What guard {line.guard} costs cannot be told{': ' if line.note else ''}{line.note}."
            for line in left
            if line.blocked_count and (line.added_count or line.removed_count or _is_hidden(line))
        ],
        "more guards cannot be told.",
    )
    yield from _first(
        [
            f"Guard {line.guard} blocked {plural(line.blocked_count, 'signal')}, and {_idly(line)}."
            for line in left
            if line.blocked_count
            and not (line.added_count or line.removed_count or _is_hidden(line))
        ],
        "more guards would change nothing by their absence.",
    )
    yield from _first(
        [
            f"Guard {line.guard} blocked none of {plural(line.evaluated_count, 'signal')} that it"
            " looked at."
            for line in idle
        ],
        "more guards blocked nothing.",
    )


def _idly(line: GuardLine) -> str:
    """Why no trade would change without it. Bounds are told where it kept orders out."""
    if line.value_optimistic is None:
        return "none would go another way without it"
    return "none of the orders that would go another way without it would have been filled"


def _is_hidden(line: GuardLine) -> bool:
    return line.effect is GuardEffect.NOT_IDENTIFIABLE


def _unfilled(blocked: BlockedOpportunityCost) -> str:
    """Of blocked signals with results, but without a trade."""
    if blocked.blocked_count == blocked.matured_count:
        return "none of the orders would have been filled"
    return f"none of the {blocked.matured_count:,} with a simulated result would have been filled"


def _of_blocking(blocked: BlockedOpportunityCost) -> Iterator[str]:
    if not blocked.blocked_count:
        return
    were = "signal was" if blocked.blocked_count == 1 else "signals were"
    start = f"{blocked.blocked_count:,} {were} blocked"
    if not blocked.net_opportunity_cost.n:
        why = blocked.net_opportunity_cost.note
        yield f"{start}; {_unfilled(blocked) if blocked.matured_count else why}."
        return
    sign = blocked.net_opportunity_cost.decided_sign
    verdict = {1: "blocking them cost", -1: "blocking them saved", 0: "the balance is open"}[sign]
    yield (
        f"{start}; the {blocked.matured_count:,} with a simulated result, one by one, would have"
        f" gained {_stakes(blocked.missed_profit)} and lost {_stakes(blocked.avoided_loss)}:"
        f" {verdict}, net {_stakes(blocked.net_opportunity_cost)}{_more(blocked.outcomes_needed)}."
    )


def _of_strategies(board: Leaderboard) -> Iterator[str]:
    judged = [line for line in board.lines if line.p_value is not None]
    if not judged:
        if board.lines:
            yield "No strategy has enough results yet to be judged."
        return
    best = [line for line in judged if line.significant]
    yield from _first(
        [
            f"{line.name} stands out: mean return {_percent(line.performance.mean_return)},"
            f" q-value {line.q_value:.2g}, and its Sharpe ratio lies above the best of"
            f" {plural(board.trial_count, 'try', 'tries')} without skill with probability"
            f" {line.deflated_sharpe:.3g}."
            for line in best
        ],
        "more strategies stand out.",
    )
    losing = _losing(judged, board.false_discovery_rate)
    yield from _first(
        [
            f"{line.name} loses: mean return {_percent(line.performance.mean_return)} over"
            f" {plural(line.performance.trade_count, 'trade')}, after allowing for all"
            f" {len(judged)} that were looked at."
            for line in losing
        ],
        "more strategies lose.",
    )
    if not best:
        top = judged[0]
        yield (
            "No strategy stands out after allowing for"
            f" {plural(board.trial_count, 'try', 'tries')}; the first,"
            f" {top.name}, has a mean return of {_percent(top.performance.mean_return)}"
            f"{_more(top.outcomes_needed, allowing_for_lines(len(board.lines)))}."
        )


def _losing(judged: Sequence[LeaderboardLine], rate: float) -> list[LeaderboardLine]:
    """Lines whose mean lies below zero at this rate of false discoveries, worst first."""
    above = np.array([line.p_value for line in judged], dtype=np.float64)
    q = adjusted_p_values(np.maximum(1.0 - above, _P_VALUE_FLOOR))
    found = [
        line
        for line, each in zip(judged, q.tolist(), strict=True)
        if each <= rate and line.performance.mean_return.decided_sign < 0
    ]
    return sorted(found, key=lambda line: line.performance.mean_return.value or 0.0)


def _of_simulation(comparison: PerformanceComparison) -> Iterator[str]:
    error = comparison.simulation_error
    if not error.n:
        yield "No signal has both a real and a simulated result: the simulation is untested here."
    elif error.low is None or error.high is None:
        yield (
            f"Real minus simulated return is {_percent(error)} on {error.n:,} signals: how far the"
            f" simulation can be trusted cannot be said ({error.note})."
        )
    elif max(-error.low, error.high) <= SIMULATION_MARGIN:
        yield (
            f"Simulated results agree with real ones to within {SIMULATION_MARGIN:.1%} on average:"
            f" the difference is {_percent(error)} on {error.n:,} signals."
        )
    elif error.decided_sign:
        word = "too low" if error.decided_sign > 0 else "too high"
        yield (
            f"Simulated results are {word}: real minus simulated return is {_percent(error)} on"
            f" {error.n:,} signals; read every simulated number with that."
        )
    else:
        yield (
            f"Whether simulated results agree with real ones to within {SIMULATION_MARGIN:.1%} is"
            f" open: the difference is {_percent(error)} on {error.n:,} signals."
        )
    effect = comparison.selection_effect
    if effect.decided_sign:
        word = "more" if effect.decided_sign > 0 else "less"
        yield f"Approved signals make {word} than all together: by {_percent(effect)} a trade."


def _of_win_rates(comparison: PerformanceComparison) -> Iterator[str]:
    closed, matured = comparison.closed_win_rate.value, comparison.matured_win_rate.value
    gap = comparison.holding_gap_s
    if closed is None or matured is None or not gap.decided_sign:
        return
    # Who is held longer is missing among the closed.
    if (matured - closed) * gap.decided_sign < _GAP_SHOWN:
        return
    word, longer = ("low", "longer") if gap.decided_sign > 0 else ("high", "shorter")
    yield (
        f"The win rate of closed trades ({closed:.1%}) is too {word}: of the signals that are old"
        f" enough, {matured:.1%} won. Winners are held {longer} than losers, by"
        f" {duration_estimate_text(gap)}."
    )


def _of_gaps(counts: LedgerCounts) -> Iterator[str]:
    missing = [
        (counts.undecided_count, "without a decision"),
        (counts.shadow_pending_count, "still followed, or waiting for prices"),
        (counts.shadow_censored_count, "whose prices ended before they did, or never came"),
    ]
    told = [f"{count:,} {words}" for count, words in missing if count]
    if told:
        yield f"Of {plural(counts.signal_count, 'signal')}: {', '.join(told)}."
