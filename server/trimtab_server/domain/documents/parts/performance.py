"""Real against unfiltered, and the learning report: documents of what was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab_server.domain.documents.charts import IntervalRow, interval_chart
from trimtab_server.domain.documents.document import (
    Block,
    Bullets,
    Chart,
    Document,
    Paragraph,
    Section,
    Table,
)
from trimtab_server.domain.documents.parts.blocking import blocked_answer, blocked_blocks
from trimtab_server.domain.documents.parts.guards import GUARD_METHOD, guard_blocks, guards_answer
from trimtab_server.domain.documents.parts.heads import (
    counts_section,
    method_text,
    nothing_yet,
    what_text,
)
from trimtab_server.domain.documents.parts.strategies import (
    how_made,
    leaderboard_blocks,
    total_text,
)
from trimtab_server.domain.documents.parts.words import (
    bounds_text,
    decided_sign,
    estimate_text,
    known,
    money_text,
    number_text,
    percent_estimate_text,
    told_notes,
)
from trimtab_server.domain.wording import UNKNOWN, duration_text, plural

if TYPE_CHECKING:
    from trimtab_server.domain.ledger.columns import LedgerCounts
    from trimtab_server.domain.reports.head import ReportHead
    from trimtab_server.domain.reports.performance import Performance, PerformanceComparison


def performance_rows(
    sets: tuple[Performance, ...],
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Header and rows of some sets of trades beside each other, a column a set."""
    header = ("what", *(one.name for one in sets))
    lines = (
        ("results", [how_made(s) for s in sets]),
        ("trades", [f"{s.trade_count:,}" for s in sets]),
        ("mean return", [percent_estimate_text(s.mean_return, 2) for s in sets]),
        ("total, stakes", [total_text(s) for s in sets]),
        ("win rate", [percent_estimate_text(s.win_rate) for s in sets]),
        ("Sharpe ratio, annual", [estimate_text(s.sharpe_ratio, 2) for s in sets]),
        ("profit factor", [estimate_text(s.profit_factor, 2) for s in sets]),
        ("deepest fall, stakes", [number_text(s.max_drawdown) for s in sets]),
        ("total, money", [money_text(s.total_pnl) for s in sets]),
        (
            "total, bad to good fills",
            [
                bounds_text(s.total_return_pessimistic, s.total_return_optimistic)
                if s.simulated_count
                else "-"
                for s in sets
            ],
        ),
    )
    return header, tuple((name, *cells) for name, cells in lines)


def performance_notes(sets: tuple[Performance, ...]) -> tuple[str, ...]:
    """Why numbers of these sets are missing, each reason once."""
    return told_notes(
        (f"{one.name}, {name}", getattr(one, field))
        for one in sets
        for field, name in (
            ("mean_return", "mean return"),
            ("total_return", "total"),
            ("win_rate", "win rate"),
            ("sharpe_ratio", "Sharpe ratio"),
            ("profit_factor", "profit factor"),
        )
    )


def _really_made(real: Performance, counts: LedgerCounts) -> str:
    """What was let through really made, or why that is not known."""
    if real.trade_count:
        trades = plural(real.trade_count, "trade")
        return f"What really happened made {estimate_text(real.total_return)} stakes in {trades}."
    if counts.signal_count and counts.undecided_count == counts.signal_count:
        return "No signal has a decision, so what was really traded is not known."
    if not counts.approved_count:
        return "No signal was approved, so nothing really happened."
    return "No approved signal has a real result yet."


def comparison_answer(comparison: PerformanceComparison, counts: LedgerCounts) -> str:
    """Whether what was let through did better than everything, in one or two sentences."""
    effect = comparison.selection_effect
    made = _really_made(comparison.real, counts)
    if known(effect.value) is None:
        return f"{made} Whether the filter helped is not known: {effect.note or 'too little data'}."
    better = "better" if (effect.value or 0.0) >= 0 else "worse"
    amount = percent_estimate_text(effect, 2)
    if decided_sign(effect):
        return (
            f"{made} Approved signals did {better} than all signals: {amount} a trade (simulated)."
        )
    return (
        f"{made} Approved signals seem to have done {better} than all signals: {amount} a trade "
        "(simulated): undecided."
    )


def comparison_blocks(comparison: PerformanceComparison) -> tuple[Block, ...]:
    """The three sets side by side, and what lies between them."""
    sets = (comparison.real, comparison.real_simulated, comparison.unfiltered)
    header, rows = performance_rows(sets)
    between = (
        ("approved minus all, mean (simulated)", comparison.selection_effect),
        ("real minus simulated, mean", comparison.simulation_error),
    )
    notes = (*performance_notes(sets), *told_notes(between))
    means = [(one.name, one.mean_return) for one in sets]
    chart = [
        IntervalRow(name, known(e.value) or 0.0, known(e.low), known(e.high), plural(e.n, "trade"))
        for name, e in means
        if known(e.value) is not None
    ]
    return (
        Table(header, rows),
        Chart(interval_chart("Mean return of a trade", chart, "mean return of a trade, in stakes")),
        Table(
            ("difference", "per trade"),
            tuple((name, percent_estimate_text(value, 2)) for name, value in between),
        ),
        *((Bullets(notes),) if notes else ()),
    )


def win_rate_blocks(comparison: PerformanceComparison) -> tuple[Block, ...]:
    """Three win rates, and why they differ."""
    rates = (
        ("closed trades", comparison.closed_win_rate),
        ("matured signals", comparison.matured_win_rate),
        ("all signals, open ones too", comparison.competing_risks_win_rate),
    )
    held = (
        ("holding time until a win, median", duration_text(comparison.win_holding_s)),
        ("holding time until a loss, median", duration_text(comparison.loss_holding_s)),
    )
    notes = told_notes(rates)
    return (
        Table(
            ("win rate of", "signals", "win rate"),
            tuple((name, f"{one.n:,}", percent_estimate_text(one)) for name, one in rates),
        ),
        Table(("holding", "time"), held),
        Paragraph(
            "Closed trades alone mislead: where losers exit fast, they are counted before winners "
            "that still run, and the win rate reads too low (too high where winners exit fast). "
            "Matured signals all had their whole holding period; the last line counts open ones by "
            "competing risks (Aalen and Johansen).",
            is_note=True,
        ),
        *((Bullets(notes),) if notes else ()),
    )


def comparison_document(comparison: PerformanceComparison, head: ReportHead) -> Document:
    """What really happened beside what would have happened without any guard."""
    return Document(
        title="What happened, and what would have without any guard?",
        what=what_text(head),
        answer=nothing_yet(head) or comparison_answer(comparison, head.counts),
        figures=(),
        sections=(
            Section("Real against unfiltered", comparison_blocks(comparison)),
            Section("Win rates", win_rate_blocks(comparison)),
            counts_section(head),
            Section(
                "How it is worked out",
                (
                    Paragraph(
                        "The same signals stand beside each other as they really went and as they "
                        "are simulated: that tells how far the simulation can be trusted. Without "
                        "any guard every signal counts by itself, whatever capital it would have "
                        "needed; a what-if with limits replays the portfolio."
                    ),
                    Paragraph(method_text(head)),
                ),
            ),
        ),
        notes=head.notes,
    )


def learning_document(report: Any, head: ReportHead) -> Document:
    """What was learned in a window. report: has comparison, blocked, guards, strategies and
    findings."""
    counts = head.counts
    findings = tuple(report.findings) or ("Nothing stands out.",)
    real = report.comparison.real
    figures = (
        (f"{counts.signal_count:,}", "signals"),
        (f"{counts.blocked_count:,}", "blocked"),
        (f"{counts.outcome_count:,}", "real results"),
        (
            number_text(known(real.total_return.value)) if real.trade_count else UNKNOWN,
            "made, in stakes",
        ),
        (
            number_text(known(report.blocked.net_opportunity_cost.value)),
            "net cost of blocking, in stakes (simulated)",
        ),
    )
    return Document(
        title="What was learned?",
        what=what_text(head),
        answer=nothing_yet(head) or findings[0],
        figures=figures,
        sections=(
            Section("What stands out", (Bullets(findings),)),
            Section(
                "Real against unfiltered",
                (
                    Paragraph(comparison_answer(report.comparison, counts)),
                    *comparison_blocks(report.comparison),
                ),
            ),
            Section("Win rates", win_rate_blocks(report.comparison)),
            Section(
                "What blocking cost",
                (Paragraph(blocked_answer(report.blocked)), *blocked_blocks(report.blocked)),
            ),
            Section(
                "Guards", (Paragraph(guards_answer(report.guards)), *guard_blocks(report.guards))
            ),
            Section("Strategies", leaderboard_blocks(report.strategies)),
            counts_section(head),
            Section(
                "How it is worked out", (Paragraph(GUARD_METHOD), Paragraph(method_text(head)))
            ),
        ),
        notes=head.notes,
    )
