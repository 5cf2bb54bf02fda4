"""A report's result as a document: what a worker writes out, and what the command line shows.

One function, so that every form says the same: Markdown, a page, a terminal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trimtab_server.domain.documents.document import html, markdown
from trimtab_server.domain.documents.parts.blocking import blocked_document
from trimtab_server.domain.documents.parts.guards import guards_document
from trimtab_server.domain.documents.parts.performance import comparison_document, learning_document
from trimtab_server.domain.documents.parts.scenarios import scenario_document
from trimtab_server.domain.documents.parts.strategies import decay_document, leaderboard_document
from trimtab_server.domain.reports.questions import ReportForm, ReportKind

if TYPE_CHECKING:
    from trimtab_server.domain.documents.document import Document
    from trimtab_server.domain.reports.head import ReportHead

# Each takes the result of its kind, its fields named as in the contract: LEARNING what has
# comparison, blocked, guards, strategies and findings; OPPORTUNITY a BlockedOpportunityCost; GUARDS
# a sequence of GuardLine; LEADERBOARD what has lines, trial_count and false_discovery_rate; DECAY
# what has all, strategies and horizons; COMPARISON a PerformanceComparison; WHAT_IF a
# ScenarioResult.
_DOCUMENTS: dict[ReportKind, Callable[[Any, ReportHead], Document]] = {
    ReportKind.LEARNING: learning_document,
    ReportKind.OPPORTUNITY: blocked_document,
    ReportKind.GUARDS: guards_document,
    ReportKind.LEADERBOARD: leaderboard_document,
    ReportKind.DECAY: decay_document,
    ReportKind.COMPARISON: comparison_document,
    ReportKind.WHAT_IF: scenario_document,
}


def report_document(kind: ReportKind, result: Any, head: ReportHead) -> Document:
    """The report as a document. result: what the kind's domain function returns."""
    return _DOCUMENTS[kind](result, head)


def rendered(kind: ReportKind, result: Any, head: ReportHead, form: ReportForm) -> str:
    """The report written out in that form; "" for numbers only."""
    if form is ReportForm.NUMBERS:
        return ""
    document = report_document(kind, result, head)
    return html(document) if form is ReportForm.HTML else markdown(document)
