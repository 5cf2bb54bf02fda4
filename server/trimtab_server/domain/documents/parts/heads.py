"""What a report is made of, in words: scope, counts, how far the ledger has come, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab_server.domain.documents.document import Paragraph, Section, Table
from trimtab_server.domain.documents.parts.words import (
    percent_text,
    time_text,
)
from trimtab_server.domain.wording import ENVIRONMENTS, plural

if TYPE_CHECKING:
    from trimtab_server.domain.reports.head import ReportHead

# Field of LedgerCounts, what it counts. In the order of a signal's way; zeros are left out.
_COUNTS = (
    ("signal_count", "signals to enter"),
    ("approved_count", "approved"),
    ("blocked_count", "blocked"),
    ("passed_over_count", "held or ignored"),
    ("undecided_count", "without a decision"),
    ("outcome_count", "with a real result"),
    ("corrected_count", "whose real result was corrected"),
    ("censored_count", "still open when their outcome was told"),
    ("shadow_matured_count", "with a simulated result"),
    ("shadow_pending_count", "still followed, or waiting for prices"),
    ("shadow_censored_count", "whose prices ended before they did, or never came"),
    ("unfollowed_count", "given up (of these engines, at any time)"),
    ("unattributed_fill_count", "fills that belong to no signal (of these engines)"),
    (
        "late_event_count",
        "events beyond the lateness bound, and corrected prices (of these engines)",
    ),
)

# Why a signal has no simulated result.
_WITHOUT = (
    ("shadow_pending_count", "still followed, or waiting for prices"),
    ("shadow_censored_count", "whose prices ended before they did, or never came"),
)


def what_text(head: ReportHead) -> str:
    """Which signals, of when, in one sentence."""
    scope = head.scope
    environment = ENVIRONMENTS.get(scope.environment, f"environment {scope.environment}")
    told = [environment + (f" run {scope.run_id}" if scope.run_id else "")]
    told += [
        f"{name} {value}"
        for name, value in (
            ("source", scope.source),
            ("strategy", scope.strategy),
            ("symbol", scope.symbol),
        )
        if value
    ]
    if scope.start_time_ns:
        told.append(f"from {time_text(scope.start_time_ns)}")
    if scope.end_time_ns:
        told.append(f"until {time_text(scope.end_time_ns)}")
    if not head.counts.signal_count:
        return f"No signals were found of {', '.join(told)}."
    return f"{plural(head.counts.signal_count, 'signal')} of {', '.join(told)}."


def counts_section(head: ReportHead) -> Section:
    """What there was, and how far the ledger has read."""
    found = [(getattr(head.counts, name), words) for name, words in _COUNTS]
    rows = tuple((words, f"{count:,}") for count, words in found if count)
    made = f", made {time_text(head.make_time_ns)} UTC" if head.make_time_ns else ""
    told = f"Log {head.log_id}, taken in through number {head.through_sequence:,}{made}."
    table = Table(("what", "count"), rows or (("signals to enter", "0"),))
    return Section("What it is made of", (table, Paragraph(told, is_note=True)))


def method_text(head: ReportHead) -> str:
    """How intervals are made and what a stake is."""
    level = percent_text(head.scope.level).replace(".0%", "%")
    return (
        "A stake is one position's notional: 1.00 stakes is what one position would make by "
        f"doubling. Intervals in brackets are {level}, unless told otherwise by studentised "
        "calendar-block bootstraps with blocks at least as long as the longest holding "
        "period. Simulated results follow each signal along recorded prices, after spread and fees."
    )


def nothing_yet(head: ReportHead) -> str:
    """Why there is nothing to tell, "" when there are signals with results."""
    counts = head.counts
    if not counts.signal_count:
        return "No signals were found in this scope and window: there is nothing to tell."
    if not counts.shadow_matured_count and not counts.outcome_count:
        told = [
            f"{count:,} {words}" for name, words in _WITHOUT if (count := getattr(counts, name))
        ]
        why = ", ".join(told) or "none was followed"
        if counts.shadow_pending_count and counts.unfollowed_count:
            why += f" ({counts.unfollowed_count:,} of these engines, at any time, were given up)"
        if counts.signal_count == 1:
            return f"The only signal has no result: {why}."
        return f"Not one of {counts.signal_count:,} signals has a result: {why}."
    return ""
