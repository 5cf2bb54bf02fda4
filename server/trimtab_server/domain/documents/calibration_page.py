"""The calibration report as rows, Markdown, HTML and plain values: the same numbers each time."""

from typing import Any

from trimtab_server.domain.calibration_report import CalibrationReport, points_text
from trimtab_server.domain.documents.charts import reliability_chart
from trimtab_server.domain.documents.pages import heading, page, paragraph, table
from trimtab_server.domain.statistics.estimates import Estimate

BIN_HEADER = ("claimed", "trades", "mean claim", "win rate", "95% interval", "if claims were right")
METHOD = (
    "Only matured outcomes count, the latest correction of each, none that is simulated. "
    "Intervals are 95 %: of rates and scores by a stationary bootstrap of calendar blocks at least "
    "as long as the longest holding period (Politis, Romano 1994); of a bin's win rate by Wilson "
    "on the effective sample, which counts overlapping trades of one symbol by their average "
    "uniqueness (Lopez de Prado 2018) and is divided by the design effect of days on which many "
    "trades won or lost together (Kish 1965). The boxes show where the win rate would lie 95 "
    "times in 100 if the claims were right (Broecker and Smith 2007). Brier and log loss: lower is "
    "better; skill above 0 beats always claiming the base rate."
)

UNITS = {
    "win_rate": "fraction, 0 to 1",
    "mean_claim": "fraction, 0 to 1",
    "claim_gap": "difference of fractions (0.038 = 3.8 points), claimed minus won",
    "half_gap": "difference of fractions, win rate of the upper half of claims minus the lower",
    "brier_skill": "1 - Brier score / that of always claiming the base rate",
    "slope_error": "standard error, allowing for overlap and shared days (effective_n)",
    "longest_hold_days": "days, null = no trade tells it",
    "block_days": "days, blocks of the bootstrap",
}


def number_text(estimate: Estimate, digits: int = 3, *, percent: bool = False) -> str:
    """A value with its interval in brackets, where there is one."""
    if estimate.value is None:
        return f"undefined ({estimate.note})" if estimate.note else "undefined"

    def one(value: float) -> str:
        return f"{100 * value:.1f}%" if percent else f"{value:.{digits}f}"

    if estimate.low is None or estimate.high is None:
        return f"{one(estimate.value)} (no interval)"
    return f"{one(estimate.value)} [{one(estimate.low)}, {one(estimate.high)}]"


def score_rows(report: CalibrationReport) -> list[tuple[str, str]]:
    """(name, value) of every number that is not a bin."""
    parts, line = report.parts, report.line
    rows = [
        ("trades that count", f"{report.n:,}"),
        (
            "worth in independent trades",
            f"{report.effective_n:,.0f} (design effect of shared days {report.design_effect:.1f})",
        ),
        ("wins / losses", f"{report.win_count:,} / {report.n - report.win_count:,}"),
        *_hold_rows(report),
        ("win rate", number_text(report.win_rate, percent=True)),
        (
            "mean claim",
            "undefined" if report.mean_claim is None else f"{100 * report.mean_claim:.1f}%",
        ),
        ("claim minus win rate", points_text(report.claim_gap)),
        ("upper half minus lower half of claims", points_text(report.half_gap)),
        ("Brier score", number_text(report.brier, 4)),
        ("Brier skill against the base rate", number_text(report.brier_skill, 4)),
        ("log loss", number_text(report.log_loss, 4)),
        ("ranking (AUC)", "undefined" if report.ranking is None else f"{report.ranking:.3f}"),
        (
            "expected calibration error",
            "undefined" if report.calibration_error is None else f"{report.calibration_error:.3f}",
        ),
    ]
    if parts is not None:
        told = f"{parts.reliability:.4f} - {parts.resolution:.4f} + {parts.uncertainty:.4f}"
        words = "Brier = reliability - resolution + uncertainty + within bins"
        sign = "-" if parts.within < 0 else "+"
        rows.append((words, f"{told} {sign} {abs(parts.within):.4f}"))
    if line is not None:
        told = f"{line.slope:.2f} (standard error {line.slope_error:.2f})"
        rows.append(("recalibration slope (1 = right, 0 = says nothing)", told))
    if report.win_rate.note:
        rows.append(("no intervals", report.win_rate.note))
    return rows


def _hold_rows(report: CalibrationReport) -> list[tuple[str, str]]:
    rows = []
    if report.longest_hold_days is not None:
        days = report.longest_hold_days
        told = f"{days:,.2f} days" if days >= 1 else f"{24 * days:,.2f} hours"
        rows.append(("longest holding period", told))
    if report.n:
        rows.append(("blocks of the bootstrap", f"{report.block_days:,.3g} days"))
    return rows


def bin_rows(report: CalibrationReport) -> list[tuple[str, ...]]:
    """A row per bin, as in BIN_HEADER."""
    return [
        (
            f"{one.low:.2f} - {one.high:.2f}",
            f"{one.n:,}",
            f"{one.mean_claim:.1%}",
            f"{one.win_rate:.1%}",
            f"{one.win_low:.1%} - {one.win_high:.1%}",
            f"{one.consistent_low:.1%} - {one.consistent_high:.1%}"
            + (" " if one.is_consistent else "*"),
        )
        for one in report.bins
    ]


OUTSIDE = "* the win rate lies outside of where it would be if the claims were right."


def outside_text(report: CalibrationReport) -> str:
    """The legend of the star in the bins; "" when there is none."""
    return "" if all(one.is_consistent for one in report.bins) else OUTSIDE


def left_out_text(report: CalibrationReport) -> str:
    """What was not counted, and why; "" when everything was."""
    told = report.selection
    parts = [
        f"{count:,} {words}"
        for count, words in (
            (told.censored_count, "not matured (censored)"),
            (told.corrected_count, "replaced by a correction"),
            (told.simulated_count, "simulated"),
            (told.unclaimed_count, "without a claimed confidence"),
        )
        if count
    ]
    return "Left out: " + ", ".join(parts) + "." if parts else ""


def calibration_json(report: CalibrationReport) -> dict[str, Any]:
    """Everything in the report as plain values (no NaN)."""
    estimates = {
        name: getattr(report, name).as_json()
        for name in (
            "win_rate",
            "claim_gap",
            "half_gap",
            "brier",
            "brier_skill",
            "log_loss",
        )
    }
    parts, line = report.parts, report.line
    return {
        "verdict": report.verdict.name,
        "summary": report.summary,
        "outcomes_needed": report.outcomes_needed,
        "n": report.n,
        "win_count": report.win_count,
        "effective_n": round(report.effective_n, 1),
        "design_effect": round(report.design_effect, 3),
        "selection": report.selection.as_json(),
        "first_entry_ns": report.first_entry_ns,
        "last_exit_ns": report.last_exit_ns,
        "longest_hold_days": report.longest_hold_days,
        "block_days": report.block_days,
        "mean_claim": report.mean_claim,
        **estimates,
        "ranking_auc": report.ranking,
        "expected_calibration_error": report.calibration_error,
        "brier_parts": None
        if parts is None
        else {
            "reliability": parts.reliability,
            "resolution": parts.resolution,
            "uncertainty": parts.uncertainty,
            "within": parts.within,
        },
        "recalibration": None
        if line is None
        else {
            "intercept": line.intercept,
            "slope": line.slope,
            "intercept_error": line.intercept_error,
            "slope_error": line.slope_error,
        },
        "bins": [
            {
                "low": one.low,
                "high": one.high,
                "n": one.n,
                "effective_n": round(one.effective_n, 1),
                "mean_claim": one.mean_claim,
                "win_rate": one.win_rate,
                "win_rate_interval": [one.win_low, one.win_high],
                "consistency_bar": [one.consistent_low, one.consistent_high],
                "consistent": one.is_consistent,
            }
            for one in report.bins
        ],
        "units": UNITS,
        "method": METHOD,
    }


def calibration_section(report: CalibrationReport) -> list[str]:
    """The report as HTML sections without a heading of their own."""
    left_out = left_out_text(report)
    return [
        f'<div class="verdict">{paragraph(report.summary)}</div>',
        reliability_chart(report.bins),
        table(BIN_HEADER, bin_rows(report)),
        paragraph(outside_text(report), "note") if outside_text(report) else "",
        table(("number", "value"), score_rows(report)),
        paragraph(left_out, "note") if left_out else "",
        paragraph(METHOD, "note"),
    ]


def calibration_html(report: CalibrationReport, what: str) -> str:
    """The report as a page of its own. what: which trades, in words."""
    return page(
        "Does my confidence mean anything?",
        [
            "<h1>Does my confidence mean anything?</h1>",
            paragraph(what, "muted"),
            heading("Claimed confidence against win rate"),
            *calibration_section(report),
        ],
    )


def _escaped(cell: str) -> str:
    return cell.strip().replace("|", "\\|").replace("*", "\\*")


def _markdown_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"

    rule = "|" + "|".join([" --- ", *(" ---: " for _ in header[1:])]) + "|"
    return [line(header), rule, *(line(row) for row in rows)]


def calibration_markdown(report: CalibrationReport, what: str) -> str:
    """The report in Markdown."""
    lines = [
        "# Does my confidence mean anything?",
        "",
        what,
        "",
        f"**{report.summary}**",
        "",
        "## Claimed confidence against win rate",
        "",
        *_markdown_table(BIN_HEADER, bin_rows(report)),
        "",
        *([outside_text(report).replace("*", "\\*"), ""] if outside_text(report) else []),
        "## Scores",
        "",
        *_markdown_table(("number", "value"), list(score_rows(report))),
        "",
        *([left_out_text(report), ""] if left_out_text(report) else []),
        METHOD,
        "",
    ]
    return "\n".join(lines)
