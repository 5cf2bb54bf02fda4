"""The demo's report as rows and as a self-contained HTML page."""

from collections.abc import Callable
from html import escape
from typing import Any

from trimtab_server.demo.gate_page import DENIED_HEADER, asked_text, denied_rows, drill_rows
from trimtab_server.demo.ledger_page import ledger_sections
from trimtab_server.domain.calibration_report import CalibrationReport
from trimtab_server.domain.documents.calibration_page import calibration_section
from trimtab_server.domain.documents.charts import line_chart
from trimtab_server.domain.documents.pages import bullets, heading, page, paragraph, table, tiles

BOOK_HEADER = ("", "baseline", "filtered", "change (95 % interval)")


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as per cent; "-" when undefined."""
    return "-" if value is None else f"{100 * value:.{digits}f}%"


def plain(value: float | None, digits: int = 2) -> str:
    """A number; "-" when undefined."""
    return "-" if value is None else f"{value:.{digits}f}"


def with_interval(
    value: float | None, interval: list[float] | None, text: Callable[[float | None], str]
) -> str:
    """A value with its interval in brackets, where there is one."""
    if value is None or interval is None:
        return text(value)
    return f"{text(value)} [{text(interval[0])}, {text(interval[1])}]"


def book_rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """Baseline against filtered, a row a metric, as in BOOK_HEADER."""
    base, filtered, change = report["baseline"], report["filtered"], report["improvement"]
    rows: list[tuple[str, ...]] = [
        ("trades", f"{base['trade_count']:,}", f"{filtered['trade_count']:,}", "")
    ]

    def change_text(name: str, text: Callable[[float | None], str]) -> str:
        shown = with_interval(change[name], change["intervals"][name], text)
        interval = change["intervals"][name]
        if interval is None or change[name] is None:
            return shown
        decided = interval[0] > 0 or interval[1] < 0
        shown = shown.replace(" points,", ",").replace(" points]", "]")
        return shown if decided else f"{shown} not decided"

    def points(value: float | None) -> str:
        return "-" if value is None else f"{value:+.1f} points"

    def signed(value: float | None) -> str:
        return "-" if value is None else f"{value:+.2f}"

    for name, words, text, key, shown in (
        ("win_rate", "win rate", percent, "win_rate_change_pct", points),
        ("sharpe_ratio", "Sharpe ratio (yearly)", plain, "sharpe_ratio_change", signed),
        ("profit_factor", "profit factor", plain, "profit_factor_change", signed),
        ("max_drawdown", "largest drawdown", percent, "", signed),
        ("mean_return", "mean return per trade", lambda v: percent(v, 2), "", signed),
    ):
        cells = [with_interval(b[name], b["intervals"][name], text) for b in (base, filtered)]
        changed = change_text(key, shown) if key else ""
        rows.append((words, *cells, changed))
    totals = [percent(book["total_return"]) for book in (base, filtered)]
    rows.append(("return on capital", *totals, ""))
    return rows


def threshold_text(report: dict[str, Any]) -> str:
    """What the threshold did, in one sentence that promises no more than the intervals."""
    base, filtered, change = report["baseline"], report["filtered"], report["improvement"]
    kept = f"The threshold {report['threshold']:.2f} kept {filtered['trade_count']:,} trades of "
    kept += f"{base['trade_count']:,}"
    names = {
        "win_rate_change_pct": "the win rate",
        "sharpe_ratio_change": "the Sharpe ratio",
        "profit_factor_change": "the profit factor",
    }
    better, worse = [], []
    for key, words in names.items():
        interval = change["intervals"][key]
        if interval is not None and interval[0] > 0:
            better.append(words)
        elif interval is not None and interval[1] < 0:
            worse.append(words)
    if not better and not worse:
        return f"{kept}; whether it helped or hurt is not decided by this data."
    told = [f"it raised {', '.join(better)}"] if better else []
    told += [f"it lowered {', '.join(worse)}"] if worse else []
    return f"{kept}; {' and '.join(told)}, beyond what chance would do."


def split_text(report: dict[str, Any]) -> str:
    """The baseline's own trades, split at the threshold."""
    split = report["split_of_baseline_trades"]
    parts = [
        f"{name} {one['trade_count']:,} (won {percent(one['win_rate'])}, mean "
        f"{percent(one['mean_return'], 2)})"
        for name, one in split.items()
    ]
    return f"Baseline trades split at {report['threshold']:.2f}: {', '.join(parts)}."


def any_day_text(report: dict[str, Any]) -> str:
    """Whether each strategy's signals were better than no signal at all, a sentence each."""
    told = []
    for name, one in report["reference_any_day"].items():
        if one["difference"] is None:
            continue
        interval, points = one["difference_interval"], 100 * one["difference"]
        ending = "not decided"
        if interval is not None:
            decided = interval[0] > 0 or interval[1] < 0
            ending = f"[{100 * interval[0]:+.2f}, {100 * interval[1]:+.2f}], "
            ending += "beyond what chance would do" if decided else "not decided"
        told.append(
            f"{name.replace('_', ' ').capitalize()}: entering on any day did "
            f"{'worse' if points > 0 else 'better'} than its signals. Every symbol on every day, "
            f"held as long at the same costs, won {percent(one['win_rate'])} and made "
            f"{percent(one['mean_return'], 2)} each; its {one['own_trade_count']:,} trades won "
            f"{percent(one['own_win_rate'])} and made {percent(one['own_mean_return'], 2)}: "
            f"{points:+.2f} points a trade {ending}."
        )
    return " ".join(told)


def days_text(report: dict[str, Any]) -> str:
    """Which days the Sharpe ratio and the drawdown are of; "" when they are of all."""
    data = report["data"]
    if data["sharpe_and_drawdown_days"] == data["trading_days"]:
        return ""
    return (
        f"Sharpe ratio and drawdown are those of {data['start']} to "
        f"{data['sharpe_and_drawdown_until']}: afterwards fewer than two thirds of the symbols "
        "have prices."
    )


SAME_RATE = (
    "The win rate's interval differs a little from the first table's: this report knows the trades "
    "alone, so it resamples the days from the first to the last entry in blocks of the longest "
    "holding period; the first table resamples every day of the replay in its own longer blocks."
)


def acceptance_text(report: dict[str, Any]) -> str:
    """How many signals the threshold lets through, before and after calibration."""
    told = report["acceptance"]
    text = (
        f"{told['confidence_used']:,} of {told['signals']:,} signals reach the threshold "
        f"{report['threshold']:.2f}"
    )
    if report["use_calibration"]:
        text += f" after calibration; {told['claimed_confidence']:,} did as claimed"
    return text + "."


def killed_text(report: dict[str, Any]) -> str:
    """What the kill met, and what the count found."""
    killed = report["sidecar_killed"]
    if killed is None:
        return f"{report['count']['line']}."
    waiting = killed["accepted_by_then"] - killed["durable_by_then"]
    return (
        f"The sidecar was killed with SIGKILL half way (the engine began its "
        f"{killed['engine_book']} book), with {waiting:,} accepted events not yet durable, and "
        f"started again on the same file. "
        f"Independent count: {report['count']['line']}."
    )


def _gate_section(report: dict[str, Any]) -> list[str]:
    parts = [heading("What the signal gate said"), paragraph(asked_text(report))]
    if report["drill"]:
        parts.append(bullets(drill_rows(report)))
    if rows := denied_rows(report):
        parts.append(table(DENIED_HEADER, rows, frozenset({1, 5})))
    return parts


def demo_page(report: dict[str, Any], calibration: CalibrationReport) -> str:
    """The whole report as one page: no script, no request."""
    data, series = report["data"], report["series"]
    lead = (
        f"Two strategies, three guards, {len(data['symbols'])} symbols, {data['start']} to "
        f"{data['end']}: the same signals in two books, with and without the confidence threshold "
        f"{report['threshold']:.2f} (risk tolerance {report['risk_tolerance']:.2f})."
    )
    sections = [
        "<h1>trimtab demo</h1>",
        paragraph(lead, "lead"),
        tiles(
            [
                (f"{report['count']['stored']:,}", "events of the engine in the log"),
                (f"{report['baseline']['trade_count']:,}", "baseline trades"),
                (f"{report['filtered']['trade_count']:,}", "filtered trades"),
                (f"{report['count']['lost']:,}", "lost over a SIGKILL"),
                (f"{report['count']['doubled']:,}", "doubled"),
            ]
        ),
        paragraph(killed_text(report)),
        heading("Baseline against threshold-filtered"),
        table(BOOK_HEADER, book_rows(report)),
        line_chart(
            "Return on capital",
            series["day"],
            {"baseline": series["baseline"], "filtered": series["filtered"]},
        ),
        paragraph(days_text(report), "note") if days_text(report) else "",
        paragraph(threshold_text(report)),
        paragraph(any_day_text(report)),
        paragraph(f"{acceptance_text(report)} {split_text(report)}"),
        paragraph(report["definitions"], "note"),
        heading("Does the claimed confidence mean anything?"),
        paragraph("Outcomes of the baseline book, read back from the sidecar's log.", "muted"),
        *calibration_section(calibration),
        paragraph(SAME_RATE, "note"),
        *ledger_sections(report),
        *_gate_section(report),
        heading("Events"),
        table(("kind", "events"), [(k, f"{n:,}") for k, n in report["events_by_kind"].items()]),
        heading("What the data is"),
        bullets(data["notes"]),
        paragraph(
            f"{sum(report['censored_count'].values()):,} positions were open when the data "
            "ended: recorded as CENSORED, counted nowhere.",
            "note",
        ),
        f'<p class="note">Runs: <code>{escape(report["run"])}</code></p>',
    ]
    return page("trimtab demo", sections)
