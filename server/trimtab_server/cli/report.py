"""`trimtab report`: asking the log and the ledger questions."""

# Imports stand inside the commands: the command line starts fast.

from __future__ import annotations

import contextlib
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from trimtab_server.cli import report_calibration
from trimtab_server.cli.events import (
    AddressOption,
    EndOption,
    EnvironmentOption,
    RunOption,
    SourceOption,
    StartOption,
    StrategyOption,
    SymbolOption,
    TextFormat,
    TextFormatOption,
    fail,
    sidecar,
)
from trimtab_server.cli.report_output import (
    FormatOption,
    OutputOption,
    ReportFormat,
    chosen_format,
    show_document,
)
from trimtab_server.cli.report_scope import HoursOption, LevelOption, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from trimtab_client import Client

app = typer.Typer(help="Ask the log and the ledger questions.", no_args_is_help=True)

TIMEOUT_S = 300.0
"""Of one report: a million signals take seconds, a busy machine more."""
SLICES_MAX = 3
FIELDS = ("strategy", "symbol", "regime", "side", "source")
READINGS = ("indicator", "feature", "attribute")


class Basis(StrEnum):
    """Whose results a leaderboard is made of."""

    REAL = "real"
    SHADOW = "shadow"


app.command("calibration")(report_calibration.calibration)

Ask: TypeAlias = "Callable[[Client, dict[str, Any]], Any]"


def report(
    kind: str,
    scope: Scope,
    ask: Ask,
    form: ReportFormat | None,
    output: Path | None,
    address: str | None,
) -> None:
    """Asks for a report over a scope and shows it. ask: is given the client and the arguments
    that every report has (scope, after_sequence, timeout_s)."""
    chosen = chosen_format(form, output)
    scope.checked()
    with sidecar(address) as client:
        from trimtab_client import report_scope

        told = {
            "scope": report_scope(**scope.arguments(client)),
            # Whatever the log holds by now counts, also what was imported a moment ago.
            "after_sequence": client.get_stats().last_sequence,
            "timeout_s": TIMEOUT_S,
        }
        with in_time():
            response = ask(client, told)
    show_response(kind, response, chosen, output)


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Tells of a report that takes too long; else that would read as an absent sidecar. Exit 1."""
    from trimtab_client import DeadlineExceeded

    try:
        yield
    except DeadlineExceeded as error:
        words = "ask again later, or for a shorter time (--hours, --start)"
        raise fail(f"the report was not ready in time ({error.message}): {words}") from None


def show_response(kind: str, response: Any, form: ReportFormat, output: Path | None) -> None:
    """Shows or writes the answer of ReportService."""
    from google.protobuf.json_format import MessageToJson

    from trimtab_server.cli.report_values import response_document
    from trimtab_server.domain.reports.questions import ReportKind

    def json_text() -> str:
        return MessageToJson(response, preserving_proto_field_name=True, indent=2) + "\n"

    show_document(response_document(ReportKind(kind), response), json_text, form, output)


def _plain_report(name: str, kind: str, ask: Ask, words: str) -> None:
    """Adds the command of a report that is asked for by its scope alone."""

    @app.command(name, help=words)
    def command(
        source: SourceOption = "",
        environment: EnvironmentOption = "",
        run_id: RunOption = "",
        strategy: StrategyOption = "",
        symbol: SymbolOption = "",
        start: StartOption = "",
        end: EndOption = "",
        hours: HoursOption = None,
        level: LevelOption = 0.95,
        form: FormatOption = None,
        output: OutputOption = None,
        address: AddressOption = None,
    ) -> None:
        scope = Scope(environment, run_id, source, strategy, symbol, start, end, hours, level)
        report(kind, scope, ask, form, output, address)


_plain_report(
    "blocked",
    "opportunity",
    lambda client, told: client.get_blocked_opportunity_cost(**told),
    "What blocked signals would have made: missed profit, avoided loss, and their balance.",
)
_plain_report(
    "guards",
    "guards",
    lambda client, told: client.get_guard_effectiveness(**told),
    "What each guard costs or saves.",
)
_plain_report(
    "decay",
    "decay",
    lambda client, told: client.get_signal_decay(**told),
    "How a signal's edge unfolds with age, its half-life, and what fixed horizons make.",
)
_plain_report(
    "compare",
    "comparison",
    lambda client, told: client.compare_performance(**told),
    "What really happened beside what would have without any guard, and honest win rates.",
)


@app.command("learning")
def learning(
    report_id: Annotated[
        str, typer.Option("--id", help="One that was made on schedule; see `report list`.")
    ] = "",
    source: SourceOption = "",
    environment: EnvironmentOption = "",
    run_id: RunOption = "",
    strategy: StrategyOption = "",
    symbol: SymbolOption = "",
    start: StartOption = "",
    end: EndOption = "",
    hours: HoursOption = None,
    level: LevelOption = 0.95,
    form: FormatOption = None,
    output: OutputOption = None,
    address: AddressOption = None,
) -> None:
    """What was learned in a window: results, what blocking cost, guards, strategies."""
    scope = Scope(environment, run_id, source, strategy, symbol, start, end, hours, level)
    if not report_id:
        report(
            "learning",
            scope,
            lambda client, told: client.get_learning_report(**told),
            form,
            output,
            address,
        )
        return
    if scope != Scope():
        raise fail("--id: a report that is made already has a scope of its own", 2)
    chosen = chosen_format(form, output)
    with sidecar(address) as client:
        response = client.get_learning_report(report_id=report_id)
    show_response("learning", response, chosen, output)


def slice_told(word: str, bins: int) -> dict[str, Any]:
    """A slice of the contract, field by field, of "symbol" or "indicator:rsi"; exit 2 for another
    word."""
    kind, colon, name = word.partition(":")
    if not colon and word.lower() in FIELDS:
        return {"field": f"SLICE_FIELD_{word.upper()}"}
    if kind in READINGS and name:
        return {kind: name, "bin_count": 0 if kind == "attribute" else bins}
    known = ", ".join([*FIELDS, *(f"{one}:NAME" for one in READINGS)])
    raise fail(f"--by {word}: there are {known}", 2)


@app.command("leaderboard")
def leaderboard(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            help="strategy, symbol, regime, side, source, indicator:NAME, feature:NAME or "
            "attribute:NAME; up to three.",
        ),
    ] = None,
    basis: Annotated[Basis, typer.Option("--basis", help="Whose results.")] = Basis.REAL,
    bins: Annotated[
        int, typer.Option("--bins", help="Of a number that signals are cut by.", min=2, max=20)
    ] = 4,
    trials: Annotated[
        int,
        typer.Option("--trials", help="What was tried elsewhere besides.", min=0, max=1_000_000),
    ] = 0,
    source: SourceOption = "",
    environment: EnvironmentOption = "",
    run_id: RunOption = "",
    strategy: StrategyOption = "",
    symbol: SymbolOption = "",
    start: StartOption = "",
    end: EndOption = "",
    hours: HoursOption = None,
    level: LevelOption = 0.95,
    form: FormatOption = None,
    output: OutputOption = None,
    address: AddressOption = None,
) -> None:
    """Strategies, or slices of the signals, side by side, after allowing for luck."""
    told_slices = [slice_told(word, bins) for word in by or ()]
    if len(told_slices) > SLICES_MAX:
        raise fail(f"--by: at most {SLICES_MAX}", 2)
    words = "SHADOW" if basis is Basis.SHADOW else "REAL"
    report(
        "leaderboard",
        Scope(environment, run_id, source, strategy, symbol, start, end, hours, level),
        lambda client, told: client.get_strategy_leaderboard(
            slices=told_slices, basis=words, undeclared_trial_count=trials, **told
        ),
        form,
        output,
        address,
    )


@app.command("list")
def list_reports(
    environment: EnvironmentOption = "",
    limit: Annotated[int, typer.Option("--limit", help="Most of them.", min=1)] = 20,
    page_token: Annotated[str, typer.Option("--page-token", help="Go on where a list ended.")] = "",
    form: TextFormatOption = TextFormat.TABLE,
    address: AddressOption = None,
) -> None:
    """The learning reports that were made on schedule, newest first."""
    from google.protobuf.json_format import MessageToDict

    from trimtab_server.cli.event_lines import fitted, line_width

    width, left, token, count = line_width(), limit, page_token, 0
    with sidecar(address) as client:
        while True:
            try:
                page = client.list_learning_reports(
                    environment=environment.upper() or 0,
                    page_size=min(left, 1_000),
                    page_token=token,
                )
            except ValueError as error:
                raise fail(str(error), 2) from None
            for one in page.reports:
                count += 1
                if form is TextFormat.JSON:
                    plain = MessageToDict(one, preserving_proto_field_name=True)
                    typer.echo(json.dumps(plain, sort_keys=True))
                else:
                    _say_report(one, width, fitted)
            left, token = left - len(page.reports), page.next_page_token
            if not token or left <= 0:
                break
    if not count and form is TextFormat.TABLE:
        typer.echo("no learning report was made on schedule yet")
    if token:
        typer.echo(f"there is more: --page-token {token}", err=True)


def _say_report(one: Any, width: int | None, fitted: Callable[[str, int | None], str]) -> None:
    from trimtab_client import Environment

    environment = Environment.Name(one.scope.environment).removeprefix("ENVIRONMENT_").lower()
    run = f" run {one.scope.run_id}" if one.scope.run_id else ""
    times = [
        time.ToJsonString()[:16].replace("T", " ")
        for time in (one.scope.start_time, one.scope.end_time)
    ]
    typer.echo(fitted(f"{one.report_id}  {environment}{run}  {times[0]} to {times[1]}", width))
    for finding in one.findings[:3]:
        typer.echo(fitted(f"  - {finding}", width))
