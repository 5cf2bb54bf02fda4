"""Strategies, slices and signal decay: documents of a Leaderboard and of DecayCurves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trimtab_server.domain.documents.charts import (
    CurvePoint,
    IntervalRow,
    curve_chart,
    interval_chart,
)
from trimtab_server.domain.documents.document import (
    Block,
    Bullets,
    Chart,
    Document,
    Paragraph,
    Section,
    Table,
    one_line,
)
from trimtab_server.domain.documents.parts.heads import (
    counts_section,
    method_text,
    nothing_yet,
    what_text,
)
from trimtab_server.domain.documents.parts.horizons import age_text, horizon_blocks
from trimtab_server.domain.documents.parts.words import (
    allowing_for_lines,
    decided_sign,
    duration_estimate_text,
    estimate_text,
    known,
    needed_count_text,
    number_text,
    percent_estimate_text,
    percent_text,
    told_notes,
)
from trimtab_server.domain.wording import UNKNOWN, outcomes_text, plural

if TYPE_CHECKING:
    from trimtab_server.domain.reports.decay import DecayCurve, SignalDecay
    from trimtab_server.domain.reports.head import ReportHead
    from trimtab_server.domain.reports.leaderboard import LeaderboardLine
    from trimtab_server.domain.reports.performance import Performance

LINES_CHARTED_MAX = 40
LINES_SHOWN_MAX = 200
CURVES_SHOWN_MAX = 20
LIKE_SHARE = 0.9
"""Ages of which one holds a smaller share of the signals of another are of different signals."""


def how_real(trade_count: int, simulated_count: int) -> str:
    """How much of a set of trades is simulated, in a word or two; "" for trades that are real."""
    if not simulated_count or not trade_count:
        return ""
    if simulated_count >= trade_count:
        return "simulated"
    return f"{percent_text(simulated_count / trade_count, 0)} simulated"


def how_made(made: Performance) -> str:
    """The same in a cell: "-" without any trade."""
    return how_real(made.trade_count, made.simulated_count) or ("real" if made.trade_count else "-")


def total_text(made: Performance) -> str:
    """The sum of a set of trades, in stakes: "-" without any, which is no zero."""
    return estimate_text(made.total_return) if made.trade_count else "-"


def leaderboard_answer(
    lines: Sequence[LeaderboardLine], trial_count: int, discovery_rate: float
) -> str:
    """Who stands out once all were looked at, or that nobody does."""
    if not lines:
        return "No strategy has a signal in this scope."
    best = [line for line in lines if line.significant]
    looked = (
        f"after all {plural(len(lines), 'line')} and {plural(trial_count, 'trial')} were counted"
    )
    if best:
        names = [f"{line.name} ({_mean(line)})" for line in best[:3]]
        more = f" and {len(best) - 3} more" if len(best) > 3 else ""
        return (
            f"{', '.join(names)}{more}: above zero {looked} (false discovery rate "
            f"{percent_text(discovery_rate, 0)})."
        )
    losing = [line for line in lines if decided_sign(line.performance.mean_return) < 0]
    text = f"No line stands out above zero {looked}"
    if losing:
        names = [line.name for line in losing[:3]]
        return f"{text}; below zero, each by itself: {', '.join(names)}."
    needed = [line.outcomes_needed for line in lines[:1] if line.outcomes_needed is not None]
    if needed:
        text += (
            f"; {outcomes_text(needed[0])} would settle the sign of the first, {lines[0].name}, "
            f"if its mean stays{allowing_for_lines(len(lines))}"
        )
    return f"{text}."


def _mean(line: LeaderboardLine) -> str:
    mean = f"{percent_estimate_text(line.performance.mean_return, 2)} a trade"
    how = how_real(line.performance.trade_count, line.performance.simulated_count)
    return f"{mean}, {how}" if how else mean


def leaderboard_blocks(lines: Sequence[LeaderboardLine]) -> tuple[Block, ...]:
    """Tables and a chart of the lines, with what limits each."""
    if not lines:
        return (Paragraph("Nothing to compare."),)
    shown = lines[:LINES_SHOWN_MAX]
    made = tuple(
        (
            line.name,
            f"{line.performance.trade_count:,}",
            how_made(line.performance),
            percent_estimate_text(line.performance.mean_return, 2),
            total_text(line.performance),
            percent_estimate_text(line.performance.win_rate),
        )
        for line in shown
    )
    skill = tuple(
        (
            line.name,
            percent_text(line.shrunk_mean_return, 2),
            estimate_text(line.performance.sharpe_ratio, 2),
            number_text(line.deflated_sharpe, 3),
            number_text(line.q_value, 3),
            "yes" if line.significant else "no",
            needed_count_text(line.outcomes_needed),
        )
        for line in shown
    )
    notes = tuple(f"{line.name}: {line.note}" for line in shown if line.note)
    notes += told_notes(
        (line.name, line.performance.mean_return) for line in shown if not line.note
    )
    if len(lines) > len(shown):
        notes += (f"{plural(len(lines) - len(shown), 'line')} more: in the JSON form.",)
    return (
        Table(
            ("name", "trades", "results", "mean return", "total, stakes", "win rate"),
            made,
            frozenset({2}),
        ),
        Chart(
            interval_chart("Mean return by line", _rows(shown), "mean return of a trade, in stakes")
        ),
        Table(
            ("name", "shrunk mean", "Sharpe", "deflated", "q-value", "stands out", "needed"),
            skill,
            frozenset({5}),
        ),
        Paragraph(
            "shrunk mean: drawn towards the mean of all lines by its uncertainty (empirical "
            "Bayes). deflated: probability that the Sharpe ratio beats the best of so many tries "
            "without skill (Bailey and Lopez de Prado). q-value: adjusted for all lines (Benjamini "
            "and Yekutieli). needed: outcomes more that would settle the sign of the mean"
            f"{allowing_for_lines(len(lines))}; intervals are each line's own.",
            is_note=True,
        ),
        *((Bullets(notes),) if notes else ()),
    )


def _rows(lines: Sequence[LeaderboardLine]) -> list[IntervalRow]:
    means = [(line, line.performance.mean_return) for line in lines]
    return [
        IntervalRow(
            one_line(line.name),
            known(mean.value) or 0.0,
            known(mean.low),
            known(mean.high),
            plural(line.performance.trade_count, "trade"),
        )
        for line, mean in means
        if known(mean.value) is not None
    ][:LINES_CHARTED_MAX]


def leaderboard_document(board: Any, head: ReportHead) -> Document:
    """Strategies, or slices, side by side. board: has lines, trial_count, false_discovery_rate."""
    return Document(
        title="Which strategies earn, and which only look like it?",
        what=what_text(head),
        answer=nothing_yet(head)
        or leaderboard_answer(board.lines, board.trial_count, board.false_discovery_rate),
        figures=(),
        sections=(
            Section("Side by side", leaderboard_blocks(board.lines)),
            counts_section(head),
            Section(
                "How it is worked out",
                (
                    Paragraph(
                        f"{plural(board.trial_count, 'trial')} count: every strategy that this "
                        "environment has ever shown, every line here, and what was declared "
                        "besides. The best of many lines looks better than it is; the deflated "
                        "Sharpe ratio and the q-value allow for that, the intervals do not."
                    ),
                    Paragraph(method_text(head)),
                ),
            ),
        ),
        notes=head.notes,
    )


# ---- decay ------------------------------------------------------------------------------------


def decay_answer(curve: DecayCurve) -> str:
    """How long an edge lasts, in one sentence."""
    if not curve.points:
        return "No signal has a markout yet: its age has to pass, with prices."
    peak_s = known(curve.peak_age_s)
    points = [point for point in curve.points if known(point.mean_return.value) is not None]
    if peak_s is None or not points:
        return f"Where the edge peaks is not known: {curve.half_life_s.note or 'too little data'}."
    peak = max(points, key=lambda point: point.mean_return.value or 0.0)
    mean = percent_estimate_text(peak.mean_return, 2)
    if (peak.mean_return.value or 0.0) <= 0:
        return f"No edge at any age: the best mean markout is {mean}, at {age_text(peak.age)}."
    sign = decided_sign(peak.mean_return)
    sure = "" if sign else ", which may be chance"
    text = f"The mean markout peaks at {mean} after {age_text(peak.age)}{sure}{_unlike(curve)}"
    if known(curve.half_life_s.value) is None:
        why = curve.half_life_s.note
        return f"{text}; its half-life is not known{f' ({why})' if why else ''}."
    text += f"; half of that is reached after {duration_estimate_text(curve.half_life_s)}"
    if known(curve.execution_delay_s.value) is None:
        return f"{text}."
    return f"{text}, the first fill after {duration_estimate_text(curve.execution_delay_s)}."


def _unlike(curve: DecayCurve) -> str:
    """That ages are of different signals, where one holds far fewer than another."""
    counts = [point.mean_return.n for point in curve.points]
    if not counts or min(counts) >= LIKE_SHARE * max(counts):
        return ""
    return (
        f" (ages hold {min(counts):,} to {max(counts):,} signals: a peak may come of other "
        "signals, not of age)"
    )


def _peak_text(curve: DecayCurve) -> str:
    """The age of the peak as the curve tells it."""
    points = [point for point in curve.points if known(point.mean_return.value) is not None]
    if known(curve.peak_age_s) is None or not points:
        return UNKNOWN
    return age_text(max(points, key=lambda point: point.mean_return.value or 0.0).age)


def _curve_blocks(curve: DecayCurve) -> tuple[Block, ...]:
    rows = tuple(
        (
            age_text(point.age),
            f"{point.mean_return.n:,}",
            percent_estimate_text(point.mean_return, 2),
        )
        for point in curve.points
    )
    if not rows:
        return (Paragraph("No markout yet."),)
    points = [
        CurvePoint(
            age_text(point.age),
            known(point.mean_return.value) or 0.0,
            known(point.mean_return.low),
            known(point.mean_return.high),
        )
        for point in curve.points
        if known(point.mean_return.value) is not None
    ]
    times = (
        ("age of the peak", _peak_text(curve)),
        ("half-life", duration_estimate_text(curve.half_life_s)),
        ("from decision to first fill", duration_estimate_text(curve.execution_delay_s)),
    )
    notes = told_notes(
        (
            *((age_text(point.age), point.mean_return) for point in curve.points),
            ("half-life", curve.half_life_s),
            ("from decision to first fill", curve.execution_delay_s),
        )
    )
    return (
        Chart(curve_chart("Mean markout by age", points, "age since entry (steps, not to scale)")),
        Table(("age", "signals", "mean markout"), rows),
        Table(("time", "value"), times),
        *((Bullets(notes),) if notes else ()),
    )


def decay_document(curves: SignalDecay, head: ReportHead) -> Document:
    """How signals' edge unfolds with age. curves: has `all`, `strategies` and `horizons`."""
    shown = curves.strategies[:CURVES_SHOWN_MAX]
    sections = [
        Section("All signals", _curve_blocks(curves.all)),
        Section("All signals over fixed horizons", horizon_blocks(curves.horizons)),
    ]
    if len(curves.strategies) > 1:
        sections += [
            Section(f"Strategy {one.strategy or '(none told)'}", _curve_blocks(one))
            for one in shown
        ]
    notes = head.notes
    if len(shown) < len(curves.strategies):
        left = len(curves.strategies) - len(shown)
        notes = (*notes, f"{plural(left, 'strategy', 'strategies')} more: in the JSON form.")
    return Document(
        title="How long does a signal's edge last?",
        what=what_text(head),
        answer=nothing_yet(head) or decay_answer(curves.all),
        figures=(),
        sections=(
            *sections,
            counts_section(head),
            Section(
                "How it is worked out",
                (
                    Paragraph(
                        "A markout is the return from entry to an age in the signal's direction, "
                        "simulated from recorded prices and before costs, of every signal whether "
                        "it was traded or not. The half-life is the age at which half of the "
                        "curve's peak is reached."
                    ),
                    Paragraph(method_text(head)),
                ),
            ),
        ),
        notes=notes,
    )
