"""What the ledger says of the demo, as sentences, rows and sections of its page."""

from typing import Any

from trimtab_server.domain.documents.charts import IntervalRow, interval_chart
from trimtab_server.domain.documents.pages import heading, paragraph, table

GUARD_HEADER = (
    "book",
    "guard",
    "blocked",
    "alone",
    "trades without it",
    "guard value (95 %, of capital)",
    "effect",
)
WHAT_IF_HEADER = (
    "what if",
    "trades",
    "difference (95 %, of capital)",
    "really happened",
    "how far",
)
SIMULATED = (
    "Simulated from recorded prices, with the costs of the decision's moment: what would be "
    "different without each guard, everything else as it was. The exposure guard is replayed on "
    "the other history; a verdict never comes from an interval that holds zero, and what a guard "
    "still needs allows for having judged several. Values are "
    "shares of the book's capital, each position being {stake:.0%} of it."
)


def _share(estimate: dict[str, Any], stake: float) -> str:
    value, interval = estimate["value"], estimate["interval"]
    if value is None:
        return "not known"
    told = f"{stake * value:+.1%}"
    return (
        told
        if interval is None
        else (f"{told} [{stake * interval[0]:+.1%}, {stake * interval[1]:+.1%}]")
    )


def _needed(line: dict[str, Any]) -> str:
    needed = line["outcomes_needed"]
    return f", about {needed:,} more outcomes needed" if needed else ""


def guard_rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row per book and guard that blocked anything, as in GUARD_HEADER."""
    stake = report["position_fraction"]
    return [
        (
            book,
            f"{line['guard']} ({line['memory']})",
            f"{line['blocked_count']:,} of {line['evaluated_count']:,}",
            f"{line['blocked_alone_count']:,}",
            f"+{line['added_count']:,} -{line['removed_count']:,}",
            _share(line["guard_value"], stake),
            line["effect"] + _needed(line),
        )
        for book, told in report["ledger"]["books"].items()
        for line in told["guards"]
        if line["blocked_count"]
    ]


def what_if_rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row per scenario of the baseline book, as in WHAT_IF_HEADER."""
    stake = report["position_fraction"]
    return [
        (
            line["scenario"],
            f"{line['trade_count']:,} instead of {line['actual_trade_count']:,}",
            _share(line["difference"], stake),
            "-" if line["overlap"] is None else f"{line['overlap']:.0%}",
            line["identifiability"] + _needed(line),
        )
        for line in report["ledger"]["what_if"]
    ]


def agreement_text(report: dict[str, Any]) -> str:
    """How well the simulation of signals that were traded meets what they really made."""
    parts = []
    for book, told in report["ledger"]["books"].items():
        error = told["simulation_error"]
        if error["value"] is not None:
            parts.append(
                f"{book} {1e4 * error['value']:+.2f} basis points on average over {error['n']:,}"
            )
    if not parts:
        return "No trade that was made has a simulated result to compare."
    return f"Real minus simulated return of the trades that were made: {'; '.join(parts)}."


def simulated_text(report: dict[str, Any]) -> str:
    """What the numbers are."""
    return SIMULATED.format(stake=report["position_fraction"])


def ledger_sections(report: dict[str, Any]) -> list[str]:
    """HTML: what each guard cost or saved, and what if."""
    stake = report["position_fraction"]
    rows = []
    for book, told in report["ledger"]["books"].items():
        for line in told["guards"]:
            value = line["guard_value"]
            if value["value"] is not None and line["blocked_count"]:
                low, high = value["interval"] or (None, None)
                rows.append(
                    IntervalRow(
                        f"{book}: {line['guard']}",
                        stake * value["value"],
                        None if low is None else stake * low,
                        None if high is None else stake * high,
                        line["effect"],
                    )
                )
    return [
        heading("What each guard cost or saved"),
        table(GUARD_HEADER, guard_rows(report), frozenset({1, 6})),
        interval_chart(
            "Guard value: result with the guard minus result without it",
            rows,
            "guard value as a share of capital (above zero: the guard helped)",
        ),
        paragraph(simulated_text(report), "note"),
        paragraph(agreement_text(report)),
        heading("What if"),
        table(WHAT_IF_HEADER, what_if_rows(report), frozenset({4})),
        paragraph(
            "Of the baseline book. 'Really happened': the share of the scenario's trades that were "
            "made; the rest is simulated.",
            "note",
        ),
    ]
