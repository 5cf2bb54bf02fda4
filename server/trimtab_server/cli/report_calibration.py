"""`trimtab report calibration`: whether a claimed confidence means anything."""

# Imports stand inside the commands: the command line starts fast.

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import typer

from trimtab_server.cli.events import (
    AddressOption,
    EndOption,
    EnvironmentOption,
    RunOption,
    SourceOption,
    StartOption,
    StrategyOption,
    SymbolOption,
    Wanted,
    fail,
    sidecar,
)
from trimtab_server.cli.narrow import WIDE, stacked, wrapped
from trimtab_server.cli.report_output import (
    FormatOption,
    OutputOption,
    ReportFormat,
    chosen_format,
    write_text,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from trimtab_client import Client, Event
    from trimtab_server.domain.calibration_report import CalibrationReport
    from trimtab_server.domain.trades import Trade

SEED = 7
"""Of the bootstrap: the same trades give the same report."""


def trades_of_events(events: Iterable[Event]) -> list[Trade]:
    """The trades that these signals, outcomes and shadow outcomes tell of, in log order.

    events: by sequence, of one environment and run (or several, joined by their key). A claim not
    in the outcome is its signal's. Outcomes over a fixed horizon are not a trade's result and are
    left out. Entry = exit - holding time, else the signal's time.
    """
    from trimtab_server.domain.trades import Trade, TradeStatus

    signals: dict[tuple[str, int, str, str], Event] = {}
    trades = []
    for event in events:
        key = (event.source, event.environment, event.run_id, event.signal_id)
        kind = event.WhichOneof("payload")
        if kind == "signal":
            signals[key] = event
        if kind not in {"outcome", "shadow_outcome"}:
            continue
        simulated = kind == "shadow_outcome"
        outcome = event.shadow_outcome.outcome if simulated else event.outcome
        if outcome.HasField("horizon"):
            continue
        signal = signals.get(key)
        exit_ns = event.event_time.ToNanoseconds()
        entry_ns = exit_ns
        if outcome.HasField("holding_time"):
            entry_ns = exit_ns - outcome.holding_time.ToNanoseconds()
        elif signal is not None:
            entry_ns = min(exit_ns, signal.event_time.ToNanoseconds())
        confidence: float | None = None
        if outcome.HasField("confidence_used"):
            confidence = outcome.confidence_used
        elif signal is not None and signal.signal.HasField("confidence"):
            confidence = signal.signal.confidence
        trades.append(
            Trade(
                outcome_id=event.event_id,
                signal_id=event.signal_id,
                strategy=event.strategy or (signal.strategy if signal is not None else ""),
                symbol=event.symbol or (signal.symbol if signal is not None else ""),
                entry_time_ns=entry_ns,
                exit_time_ns=exit_ns,
                confidence=confidence,
                return_fraction=(
                    outcome.return_fraction if outcome.HasField("return_fraction") else None
                ),
                won=outcome.won if outcome.HasField("won") else None,
                # CENSORED = 2; a correction (3) is a result like any other.
                status=TradeStatus.CENSORED if outcome.status == 2 else TradeStatus.MATURED,
                corrects_id=event.corrects_event_id,
                simulated=simulated,
            )
        )
    return trades


@dataclass(frozen=True, slots=True)
class Logged:
    """Trades in the log, and the engines and environments that they are of."""

    trades: list[Trade]
    sources: tuple[str, ...]
    environments: tuple[str, ...]

    def words(self) -> str:
        """Sources and environment, for the report."""
        told = f"source{'s' if len(self.sources) > 1 else ''}: {', '.join(self.sources)}"
        return f"{told}; environment: {', '.join(self.environments)}" if self.sources else ""


def logged_trades(client: Client, wanted: Wanted) -> Logged:
    """The trades in the log by filter; times select by the outcome.

    Signals are read without the filter's times, and symbol and strategy are compared afterwards: an
    outcome may leave those to its signal. Environments never mix, nor do the runs of a backtest:
    exit 2 when the filter leaves several.
    """
    signals = replace(wanted, kinds=("signal",), start="", end="", symbol="", strategy="")
    outcomes = replace(wanted, kinds=("outcome", "shadow_outcome"), symbol="", strategy="")
    results = _read(client, outcomes)
    environments = _one_world(results)
    source_of = {event.event_id: event.source for event in results}
    trades = [
        trade
        for trade in trades_of_events([*_read(client, signals), *results])
        if wanted.symbol in {"", trade.symbol} and wanted.strategy in {"", trade.strategy}
    ]
    sources = sorted({source_of[trade.outcome_id] for trade in trades})
    return Logged(trades, tuple(sources), environments)


def _read(client: Client, wanted: Wanted) -> list[Event]:
    return list(client.iter_events(wanted.message(), page_size=2000, timeout_s=30.0))


def _one_world(results: list[Event]) -> tuple[str, ...]:
    from trimtab_client import Environment

    names = {Environment.Name(event.environment) for event in results}
    held = sorted(name.removeprefix("ENVIRONMENT_").lower() for name in names)
    if len(held) > 1:
        raise fail(f"outcomes of {', '.join(held)} never mix: tell --environment", 2)
    runs = sorted({event.run_id for event in results})
    if held == ["backtest"] and len(runs) > 1:
        more = f" and {len(runs) - 5} more" if len(runs) > 5 else ""
        raise fail(f"backtest runs never mix: tell --run-id ({', '.join(runs[:5])}{more})", 2)
    return tuple(held)


def print_calibration(console: Console, report: CalibrationReport, what: str) -> None:
    """The report on a terminal."""
    from rich.panel import Panel

    from trimtab_server.domain.documents.calibration_page import left_out_text, outside_text

    words = wrapped(report.summary, console.width - 4)
    console.print(Panel(words, title="Does my confidence mean anything?", expand=False))
    console.print(what, style="dim", markup=False)
    if not report.n:
        if left_out := left_out_text(report):
            console.print(left_out, style="dim")
        return
    console.print(_bins_table(report, console.width))
    if legend := outside_text(report):
        console.print(legend, style="dim")
    if console.width >= WIDE:
        console.print("bar: win rate; |: the mean claim", style="dim")
    console.print(_scores_table(report, console.width))
    if left_out := left_out_text(report):
        console.print(left_out, style="dim")


def _bins_table(report: CalibrationReport, width: int) -> Table:
    from rich.table import Table

    from trimtab_server.domain.documents.calibration_page import BIN_HEADER, bin_rows

    bins = Table(box=None, header_style="bold", pad_edge=False)
    for k, name in enumerate(BIN_HEADER):
        title = name.replace("if claims were", "if claims\nwere")
        bins.add_column(title, justify="left" if k == 0 else "right", no_wrap=True)
    bins.add_column("")
    for row, one in zip(bin_rows(report), report.bins, strict=True):
        bins.add_row(*row, _bar(one.win_rate, one.mean_claim) if width >= WIDE else "")
    return bins


def _scores_table(report: CalibrationReport, width: int) -> Table:
    from rich.table import Table

    from trimtab_server.domain.documents.calibration_page import score_rows

    rows = [(name, stacked(value, width)) for name, value in score_rows(report)]
    longest = max(len(line) for _, value in rows for line in value.split("\n"))
    scores = Table(box=None, show_header=False, pad_edge=False)
    scores.add_column()
    scores.add_column(min_width=min(longest, width // 2))
    for name, value in rows:
        scores.add_row(name, value)
    return scores


def _bar(win_rate: float, claim: float, width: int = 20) -> str:
    cells = ["=" if k < round(win_rate * width) else " " for k in range(width + 1)]
    cells[round(claim * width)] = "|"
    return "".join(cells)


def rendered(report: CalibrationReport, form: ReportFormat, what: str, logged: Logged) -> str:
    """The report as a text in that format (not the terminal's)."""
    from trimtab_server.domain.documents.calibration_page import (
        calibration_html,
        calibration_json,
        calibration_markdown,
    )

    if form is ReportFormat.JSON:
        of = {"sources": logged.sources, "environments": logged.environments}
        return json.dumps(calibration_json(report) | {"trades": what} | of, indent=2) + "\n"
    if form is ReportFormat.HTML:
        return calibration_html(report, what)
    return calibration_markdown(report, what)


def calibration(
    source: SourceOption = "",
    environment: EnvironmentOption = "",
    run_id: RunOption = "",
    strategy: StrategyOption = "",
    symbol: SymbolOption = "",
    start: StartOption = "",
    end: EndOption = "",
    form: FormatOption = None,
    output: OutputOption = None,
    address: AddressOption = None,
) -> None:
    """Does my confidence mean anything? Claims against what was won, with the sample's limits."""
    wanted = Wanted((), source, environment, run_id, strategy, symbol, "", start, end)
    chosen = chosen_format(form, output)
    wanted.message()
    with sidecar(address) as client:
        logged = logged_trades(client, wanted)
    if not logged.trades and wanted != Wanted():
        raise fail(f"no outcome in the log matches {wanted.words()}")
    import numpy as np
    from rich.console import Console

    from trimtab_server.domain.calibration_report import calibration_report

    report = calibration_report(logged.trades, np.random.default_rng(SEED))
    included = f" ({logged.words()})" if logged.trades else ""
    what = f"Trades of {wanted.words()}{included}."
    if chosen is not ReportFormat.TERMINAL:
        text = rendered(report, chosen, what, logged)
        if output is None:
            typer.echo(text, nl=False)
            return
        write_text(output, text)
    elif output is None:
        print_calibration(Console(highlight=False), report, what)
        return
    else:
        buffer = io.StringIO()
        print_calibration(Console(file=buffer, width=120), report, what)
        write_text(output, buffer.getvalue())
    typer.echo(f"{report.summary}\nwritten to {output}")
