"""`trimtab demo`: the product on one screen, on real prices, in under two minutes."""

# Imports stand inside the commands: the command line starts fast.

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trimtab_server.cli.events import Wanted, fail, parsed_time

if TYPE_CHECKING:
    from datetime import date

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from trimtab_server.demo.backtest import Plan
    from trimtab_server.demo.prices import Market
    from trimtab_server.demo.run import DemoResult, Places
    from trimtab_server.demo.sidecar import SidecarProcess
    from trimtab_server.domain.calibration_report import CalibrationReport


def _day(text: str, option: str) -> date:
    from datetime import UTC, datetime

    nanoseconds = parsed_time(text, option) or 0
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).date()


def demo(
    *,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Confidence that the filtered book asks for.")
    ] = 0.80,
    risk_tolerance: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Scales the guards: daily volatility up to 0.08 x, gross exposure up to 2 x.",
        ),
    ] = 0.50,
    symbols: Annotated[str, typer.Option(help="Comma-separated; default: all 20.")] = "",
    start: Annotated[str, typer.Option(help="First day.")] = "2019-01-01",
    end: Annotated[str, typer.Option(help="Last day.")] = "2024-12-31",
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Hold walk-forward calibrated confidence instead.")
    ] = False,
    database: Annotated[
        Path | None,
        typer.Option(help="SQLite file; default: a fresh one in artifacts/learning_engine."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write the report here (.json or .html); default: both.")
    ] = None,
    drill: Annotated[
        bool,
        typer.Option("--drill", help="Trip a breaker and halt by hand midway; both end again."),
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Keep the sidecar running afterwards, until Ctrl-C.")
    ] = False,
) -> None:
    """Watch one sidecar and one engine trade real prices, survive a SIGKILL, and be counted."""
    if report is not None and report.suffix.lower() not in {".json", ".html", ".htm"}:
        raise fail(f"--report {report}: end it in .json or .html", 2)
    # Ctrl-C during the imports is a stop like any other.
    with suppress(KeyboardInterrupt):
        from rich.console import Console

        from trimtab_server.demo.backtest import Plan

        chosen = tuple(name.strip() for name in symbols.split(",") if name.strip())
        days = _day(start, "--start"), _day(end, "--end")
        # Its run is one of its own: what was denied makes other events of the same signals.
        name = f"drill-{os.getpid()}" if drill else ""
        plan = Plan(threshold, risk_tolerance, calibrate, chosen, *days, name)
        clean = _run(plan, database, report, Console(highlight=False), serve=serve)
        raise typer.Exit(0 if clean else 1)
    raise fail("stopped", 130)


def _run(
    plan: Plan, database: Path | None, report: Path | None, console: Console, *, serve: bool
) -> bool:
    from trimtab_client import TrimtabError
    from trimtab_server.demo.prices import PricesUnavailableError, load_market
    from trimtab_server.demo.replay import SHADOW
    from trimtab_server.demo.run import EngineFailedError, fresh_places
    from trimtab_server.demo.sidecar import SidecarFailedError, SidecarProcess, free_address

    try:
        market = load_market(plan.symbols, plan.start, plan.end)
    except PricesUnavailableError as error:
        raise fail(str(error)) from None
    except ValueError as error:
        raise fail(str(error), 2) from None
    try:
        places = fresh_places(database)
        flags = ("--shadow", json.dumps(SHADOW))
        log = places.beside(".sidecar.log")
        sidecar = SidecarProcess(free_address(), places.database, log, flags)
        with sidecar:
            _say_start(console, plan, market, sidecar, places)
            _say_replaced(console, places, report)
            result, calibration = _watched(plan, places, sidecar, console)
            plain = _print_report(console, result, calibration)
            for path in _write_reports(places, report, plain, calibration):
                console.print(f"written: {path}", soft_wrap=True)
            if serve:
                _serve(console, sidecar, plain)
    except (SidecarFailedError, EngineFailedError, TrimtabError) as error:
        raise fail(str(error)) from None
    except OSError as error:
        raise fail(f"{error.filename or 'file'}: {error.strerror}") from None
    return result.count.is_clean


def _say_start(
    console: Console, plan: Plan, market: Market, sidecar: SidecarProcess, places: Places
) -> None:
    line = sidecar.start()
    console.print(f"[bold]{line}[/bold] (process {sidecar.pid}), database {places.database}")
    console.print(
        f"engine: momentum and mean reversion on {len(market.symbols)} symbols, "
        f"{market.day(market.first)} to {market.day(-1)}; guards: volatility, exposure, "
        f"confidence >= {plan.threshold:.2f}"
    )


def _report_paths(places: Places, report: Path | None) -> list[Path]:
    return [places.beside(".json"), places.beside(".html")] if report is None else [report]


def _say_replaced(console: Console, places: Places, report: Path | None) -> None:
    there = [str(path) for path in _report_paths(places, report) if path.exists()]
    if there:
        console.print(
            f"earlier reports will be replaced: {', '.join(there)}", style="yellow", soft_wrap=True
        )


def _watched(
    plan: Plan, places: Places, sidecar: SidecarProcess, console: Console
) -> tuple[DemoResult, CalibrationReport]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from trimtab_server.demo.run import run_demo

    columns = (
        TextColumn("{task.description}"),
        BarColumn(30),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting the engine", total=1.0)

        def tell(what: str, line: dict[str, Any]) -> None:
            _tell(progress, task, what, line, sidecar)

        result = run_demo(plan, places, sidecar, tell)
        calibration = _calibration(sidecar, result)
        progress.update(task, completed=1.0, description="counted")
    return result, calibration


def _tell(
    progress: Progress, task: TaskID, what: str, line: dict[str, Any], sidecar: SidecarProcess
) -> None:
    if what == "progress":
        words = f"{line['book']} {line['day']}  {line['durable']:>6,} durable"
        progress.update(task, completed=0.95 * line["share"], description=words)
    elif what == "drill":
        words = f"drill: {line['order']} ({line['book']} book, {line['day']})"
        progress.console.print(words, style="yellow")
    elif what == "killed":
        waiting = line["events"] - line["durable"]
        progress.console.print(
            f"[bold red]SIGKILL[/bold red] to the sidecar half way ({line['book']} book): "
            f"{line['durable']:,} events durable, {waiting:,} accepted and on their way"
        )
    elif what == "restarted":
        progress.console.print(f"sidecar is back (process {sidecar.pid}), same file, same port")
    elif what == "counting":
        progress.update(task, completed=0.96, description="reading the log back")
    else:
        progress.update(task, completed=0.98, description="asking the ledger")


def _calibration(sidecar: SidecarProcess, result: DemoResult) -> CalibrationReport:
    """From the sidecar's log, as `trimtab report calibration` does it."""
    import numpy as np

    from trimtab_client import Client
    from trimtab_server.cli.report_calibration import SEED, logged_trades
    from trimtab_server.domain.calibration_report import calibration_report

    wanted = Wanted(
        source=result.report["source"],
        environment="BACKTEST",
        run_id=result.report["run_ids"]["baseline"],
    )
    with Client(sidecar.address, timeout_s=30.0) as client:
        logged = logged_trades(client, wanted)
    return calibration_report(logged.trades, np.random.default_rng(SEED))


def _print_report(
    console: Console, result: DemoResult, calibration: CalibrationReport
) -> dict[str, Any]:
    from trimtab_server.cli.report_calibration import print_calibration
    from trimtab_server.demo.page import SAME_RATE
    from trimtab_server.demo.run import full_report
    from trimtab_server.domain.documents.calibration_page import calibration_json

    plain = full_report(result, calibration_json(calibration))
    kinds = ", ".join(
        f"{count:,} {kind.lower().replace('_', ' ')}" for kind, count in result.kinds.items()
    )
    console.rule("events", align="left")
    console.print(f"{kinds}; {plain['log_bytes'] / 1e6:.1f} MB")
    _print_books(console, plain)
    console.rule("claimed confidence against win rate", align="left")
    print_calibration(console, calibration, "Baseline outcomes, read back from the log.")
    console.print(SAME_RATE, style="dim")
    _print_gate(console, plain)
    _print_ledger(console, plain)
    for note in plain["data"]["notes"]:
        console.print(f"- {note}", style="dim")
    console.rule()
    colour = "green" if result.count.is_clean else "red"
    console.print(f"[bold {colour}]{result.count.line}[/bold {colour}]")
    return plain


def _print_books(console: Console, plain: dict[str, Any]) -> None:
    from rich.table import Table

    from trimtab_server.cli.narrow import stacked, wrapped
    from trimtab_server.demo.page import (
        BOOK_HEADER,
        acceptance_text,
        any_day_text,
        book_rows,
        days_text,
        split_text,
        threshold_text,
    )

    console.rule("baseline against threshold-filtered", align="left")
    books = Table(box=None, header_style="bold", pad_edge=False)
    for k, name in enumerate(BOOK_HEADER):
        books.add_column(name, justify="left" if k == 0 else "right", no_wrap=k > 0)
    for row in book_rows(plain):
        books.add_row(*(stacked(cell, console.width) for cell in row))
    console.print(books)
    if told := days_text(plain):
        console.print(told, style="dim")
    console.print(threshold_text(plain), style="bold")
    console.print(wrapped(any_day_text(plain), console.width), style="bold", markup=False)
    console.print(f"{acceptance_text(plain)} {split_text(plain)}")


def _print_ledger(console: Console, plain: dict[str, Any]) -> None:
    from trimtab_server.cli.narrow import wrapped
    from trimtab_server.demo.ledger_page import (
        agreement_text,
        guard_rows,
        simulated_text,
        what_if_rows,
    )

    def say(words: str) -> None:
        console.print(wrapped(words, console.width), markup=False)

    console.rule("what each guard cost or saved", align="left")
    for book, guard, blocked, alone, without, value, effect in guard_rows(plain):
        say(
            f"{book} book, {guard}: blocked {blocked}, {alone} alone; without it {without} trades;"
            f" it was worth {value} of capital: {effect}"
        )
    console.print(simulated_text(plain), style="dim")
    say(agreement_text(plain))
    console.rule("what if (baseline book)", align="left")
    for name, trades, difference, overlap, how_far in what_if_rows(plain):
        say(f"{name}: {trades} trades, {difference} of capital, {overlap} happened: {how_far}")


def _print_gate(console: Console, plain: dict[str, Any]) -> None:
    from trimtab_server.cli.narrow import wrapped
    from trimtab_server.demo.gate_page import asked_text, denied_rows

    console.rule("what the signal gate said", align="left")
    console.print(wrapped(asked_text(plain), console.width), markup=False)
    for book, code, count, first, last, example in denied_rows(plain):
        told = f"{book} book, {code}: {count} signals, {first} to {last}; {example}"
        console.print(wrapped(told, console.width), markup=False)


def _write_reports(
    places: Places, report: Path | None, plain: dict[str, Any], calibration: CalibrationReport
) -> list[Path]:
    from trimtab_server.demo.page import demo_page

    paths = _report_paths(places, report)
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = (
            json.dumps(plain, indent=2) + "\n"
            if path.suffix.lower() == ".json"
            else demo_page(plain, calibration)
        )
        path.write_text(text, encoding="utf-8")
    return paths


def _serve(console: Console, sidecar: SidecarProcess, plain: dict[str, Any]) -> None:
    run = plain["run_ids"]["baseline"]
    console.print(f"\nthe sidecar keeps running at [bold]{sidecar.address}[/bold]; Ctrl-C stops it")
    for command in (
        f"trimtab events stats --address {sidecar.address}",
        f"trimtab events list --kind decision --limit 5 --address {sidecar.address}",
        f"trimtab report calibration --run-id {run} --address {sidecar.address}",
    ):
        console.print(f"  {command}", soft_wrap=True)
    with suppress(KeyboardInterrupt):
        sidecar.wait()
