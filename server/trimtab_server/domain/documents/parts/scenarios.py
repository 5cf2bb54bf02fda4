"""What would have happened: documents of one ScenarioResult, and of a sweep of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trimtab_server.domain.documents.charts import IntervalRow, interval_chart
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
from trimtab_server.domain.documents.parts.performance import performance_notes, performance_rows
from trimtab_server.domain.documents.parts.words import (
    EXACT,
    IDENTIFIED,
    NOT_IDENTIFIABLE,
    decided_sign,
    estimate_text,
    known,
    money_estimate_text,
    needed_count_text,
    needed_text,
    number_text,
    percent_estimate_text,
    percent_text,
    told_notes,
)
from trimtab_server.domain.wording import UNKNOWN, plural

if TYPE_CHECKING:
    from trimtab_server.domain.reports.head import ReportHead
    from trimtab_server.domain.reports.what_if import ScenarioResult
    from trimtab_server.domain.statistics.estimates import Estimate

ROWS_CHARTED_MAX = 60


def scenario_answer(result: ScenarioResult) -> str:
    """What the change would have made, in one sentence with its interval."""
    difference = result.difference
    value = known(difference.value)
    how = "" if result.identifiability == EXACT else " (simulated)"
    if result.identifiability == NOT_IDENTIFIABLE:
        why = "; ".join(result.reasons) or "what was recorded cannot tell"
        return f"What this would have changed is not identifiable: {why.rstrip('.')}."
    if value is None:
        why = difference.note or "; ".join(result.reasons) or "too little data"
        return f"What this would have changed is not known: {why.rstrip('.')}."
    amount = f"{estimate_text(difference)} stakes"
    if not result.added_count and not result.removed_count and value == 0:
        return "This would have changed nothing: the same trades at the same costs."
    trades = f"{plural(result.added_count, 'trade')} more and {result.removed_count:,} fewer"
    if decided_sign(difference):
        more = "more" if value >= 0 else "less"
        return f"This would have made {more}: {amount}{how}, with {trades}."
    more = "more" if value >= 0 else "less"
    needed = needed_text(result.outcomes_needed)
    end = f"; {needed}" if needed else f": {difference.note}" if difference.note else ""
    return f"This seems to have made {more}: {amount}{how}, with {trades}: undecided{end}."


def _between(result: ScenarioResult) -> tuple[Block, ...]:
    rows = [
        ("scenario minus actual, stakes", estimate_text(result.difference)),
        ("scenario minus actual, money", money_estimate_text(result.difference_money)),
        ("trades in both", f"{result.kept_count:,}"),
        ("only in the scenario", f"{result.added_count:,}"),
        ("only in what happened", f"{result.removed_count:,}"),
        ("without a result", f"{result.pending_count:,}"),
        ("scenario's trades that really happened", percent_text(result.overlap_fraction)),
        ("how sure", IDENTIFIED.get(int(result.identifiability), UNKNOWN)),
    ]
    if result.outcomes_needed is not None:
        rows.append(
            ("outcomes that would settle the sign", needed_count_text(result.outcomes_needed))
        )
    notes = told_notes(
        (("difference", result.difference), ("difference in money", result.difference_money))
    )
    found = (*result.reasons, *notes)
    return (
        Table(("difference", "value"), tuple(rows)),
        *((Bullets(found),) if found else ()),
    )


def scenario_document(result: ScenarioResult, head: ReportHead) -> Document:
    """What one scenario comes to."""
    sets = (result.actual, result.scenario)
    header, rows = performance_rows(sets)
    notes = performance_notes(sets)
    return Document(
        title=f"What if: {result.name}",
        what=what_text(head),
        answer=nothing_yet(head) or scenario_answer(result),
        figures=(),
        sections=(
            Section("The difference", _between(result)),
            Section(
                "Side by side",
                (Table(header, rows), *((Bullets(notes),) if notes else ())),
            ),
            counts_section(head),
            Section(
                "How it is worked out", (Paragraph(WHAT_IF_METHOD), Paragraph(method_text(head)))
            ),
        ),
        notes=head.notes,
    )


WHAT_IF_METHOD = (
    "The recorded signals are decided again under the change, both sides with results of one kind "
    "(real where every trade that changes has a real one, else simulated); "
    "limits on positions and capital are applied by replaying the portfolio in the order of time. "
    "The less of the scenario really happened, the more of its result is simulated. That a change "
    "would have paid is no promise that it will."
)


def sweep_document(
    results: Sequence[ScenarioResult], scenario_count: int, head: ReportHead
) -> Document:
    """What many scenarios come to, in the order of the grid. scenario_count: those that were asked
    for, more than there are results when the sweep was ended early."""
    rows = tuple(
        (
            result.name,
            estimate_text(result.difference),
            estimate_text(_at_once(result)),
            percent_estimate_text(result.scenario.mean_return, 2),
            f"{result.scenario.trade_count:,}",
            number_text(result.scenario.max_drawdown),
            IDENTIFIED.get(int(result.identifiability), UNKNOWN),
        )
        for result in results
    )
    chart = [
        IntervalRow(
            one_line(result.name),
            known(result.difference.value) or 0.0,
            known(result.difference.low),
            known(result.difference.high),
            plural(result.scenario.trade_count, "trade"),
        )
        for result in results
        if known(result.difference.value) is not None
    ][:ROWS_CHARTED_MAX]
    notes = told_notes((result.name, result.difference) for result in results)
    reasons = tuple(dict.fromkeys(reason for result in results for reason in result.reasons))
    early = (
        (f"Ended early: {len(results):,} of {scenario_count:,} scenarios are done.",)
        if len(results) < scenario_count
        else ()
    )
    return Document(
        title=f"What if: {plural(scenario_count, 'scenario')}",
        what=what_text(head),
        answer=nothing_yet(head) or sweep_answer(results),
        figures=(),
        sections=(
            Section(
                "Scenarios",
                (
                    Table(
                        (
                            *("scenario", "difference, stakes", "all at once"),
                            *("mean", "trades", "fall", "how sure"),
                        ),
                        rows,
                        frozenset({6}),
                    ),
                    Chart(interval_chart("Difference by scenario", chart, _AXIS, number_text)),
                    Paragraph(
                        "difference: scenario minus actual. all at once: the same with an interval "
                        "that holds for all scenarios together. mean: of a trade in the scenario. "
                        "fall: the deepest of the summed returns from their peak, in stakes.",
                        is_note=True,
                    ),
                    *((Bullets((*reasons, *notes)),) if reasons or notes else ()),
                ),
            ),
            counts_section(head),
            Section(
                "How it is worked out", (Paragraph(WHAT_IF_METHOD), Paragraph(method_text(head)))
            ),
        ),
        notes=(*early, *head.notes),
    )


_AXIS = "scenario minus actual, in stakes"


def sweep_answer(results: Sequence[ScenarioResult]) -> str:
    """The best of the scenarios, and what its being the best does to it."""
    known_results = [r for r in results if known(r.difference.value) is not None]
    if not known_results:
        return "No scenario has an answer yet."
    best = max(known_results, key=lambda r: r.difference.value or 0.0)
    how = "" if best.identifiability == EXACT else " (simulated)"
    signs = [decided_sign(_at_once(r)) for r in known_results]
    alone = sum(decided_sign(r.difference) != 0 for r in known_results)
    text = (
        f"Of {plural(len(results), 'scenario')}, {signs.count(1)} better and {signs.count(-1)} "
        f"worse than what happened after allowing for all of them ({alone} "
        f"{'differs by itself' if alone == 1 else 'differ by themselves'}); "
        f"the best, {best.name}, by {estimate_text(_at_once(best))} stakes{how}."
    )
    if len(results) > 1:
        text += " The best of many looks better than it is: hold it against other data first."
    return text


def _at_once(result: ScenarioResult) -> Estimate:
    return result.difference_at_once or result.difference
