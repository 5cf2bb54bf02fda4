"""`trimtab what-if`: the ledger recomputed under another rule, or under a grid of them."""

# Imports stand inside the commands: the command line starts fast.

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    fail,
    sidecar,
)
from trimtab_server.cli.report import in_time, report
from trimtab_server.cli.report_output import (
    FormatOption,
    OutputOption,
    ReportFormat,
    chosen_format,
    show_document,
)
from trimtab_server.cli.report_scope import HoursOption, LevelOption, Scope
from trimtab_server.cli.scenarios import Change, Options, axes, single_changes

if TYPE_CHECKING:
    from collections.abc import Callable

SWEEP_TIMEOUT_S = 3_600.0
INTERRUPTED = 130


GuardOffOption = Annotated[
    list[str] | None,
    typer.Option("--guard-off", help='A guard is not there; "*" = all; repeatable.'),
]
GuardLimitOption = Annotated[
    list[str] | None,
    typer.Option("--guard-limit", help="NAME=VALUE: another limit; repeatable."),
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option(
        "--confidence-threshold",
        help="Signals below it are not taken, 0 to 1; in the place of a guard called confidence "
        "(with --guard-off NAME of one called otherwise).",
    ),
]
ExpectedReturnOption = Annotated[
    float | None,
    typer.Option("--expected-return", help="Signals below it are not taken; a fraction."),
]
ReplacesOption = Annotated[
    str,
    typer.Option("--replaces-guard", help="The guard that holds --expected-return now."),
]
FeeOption = Annotated[
    float | None, typer.Option("--fee-bps", help="Fee of each side, basis points.", min=0.0)
]
SpreadOption = Annotated[
    float | None, typer.Option("--spread-multiplier", help="Of the spread.", min=0.0)
]
PositionsOption = Annotated[
    int | None, typer.Option("--max-positions", help="At most so many at once.", min=1)
]
PerSymbolOption = Annotated[bool, typer.Option("--per-symbol", help="... of one symbol.")]
ExposureOption = Annotated[
    float | None, typer.Option("--max-exposure", help="At most so much at once, of equity: 0.5.")
]
FractionOption = Annotated[
    float | None,
    typer.Option("--position-fraction", help="Size where none is known, of equity."),
]
WeightOption = Annotated[
    list[str] | None,
    typer.Option("--weight", help="MODEL=WEIGHT: confidence is remade; repeatable."),
]
SweepOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sweep",
        help="A grid, e.g. guard-limit:volatility=0.02,0.03 or max-positions=1,2,3; several are "
        "combined.",
    ),
]


def what_if(
    *,
    guard_off: GuardOffOption = None,
    guard_limit: GuardLimitOption = None,
    confidence_threshold: ConfidenceOption = None,
    expected_return: ExpectedReturnOption = None,
    replaces_guard: ReplacesOption = "",
    fee_bps: FeeOption = None,
    spread_multiplier: SpreadOption = None,
    max_positions: PositionsOption = None,
    per_symbol: PerSymbolOption = False,
    max_exposure: ExposureOption = None,
    position_fraction: FractionOption = None,
    weight: WeightOption = None,
    sweep: SweepOption = None,
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
    """What would have happened under other rules: one scenario of all changes told, or a grid."""
    scope = Scope(environment, run_id, source, strategy, symbol, start, end, hours, level)
    options = Options(
        tuple(guard_off or ()),
        tuple(guard_limit or ()),
        confidence_threshold,
        expected_return,
        replaces_guard,
        fee_bps,
        spread_multiplier,
        max_positions,
        per_symbol,
        max_exposure,
        position_fraction,
        tuple(weight or ()),
        tuple(sweep or ()),
    )
    if options.sweeps:
        _sweep(scope, axes(options), chosen_format(form, output), output, address)
        return
    changes = single_changes(options)
    if not changes:
        raise fail("nothing changes: tell at least one of --guard-off, --guard-limit, ...", 2)
    report(
        "what_if",
        scope,
        lambda client, told: client.run_what_if(scenario={"changes": changes}, **told),
        form,
        output,
        address,
    )


def _sweep(
    scope: Scope,
    grid: list[list[Change]],
    form: ReportFormat,
    output: Path | None,
    address: str | None,
) -> None:
    """Computes a grid and shows it; Ctrl-C ends it and shows what is done."""
    from trimtab_server.cli.report_values import plain, report_head
    from trimtab_server.domain.documents.parts.scenarios import sweep_document

    scope.checked()
    head: Any = None
    found: dict[int, Any] = {}
    total = 0
    interrupted = False
    with sidecar(address) as client:
        from trimtab_client import report_scope

        stream: Any = client.run_what_if_sweep(
            scope=report_scope(**scope.arguments(client)),
            axes=grid,
            after_sequence=client.get_stats().last_sequence,
            timeout_s=SWEEP_TIMEOUT_S,
        )
        try:
            with in_time(), _progress() as tell:
                for message in stream:
                    if message.HasField("head"):
                        head = message.head
                    total = message.scenario_count
                    found |= {one.index: one.result for one in message.results}
                    tell(message.done_count, total)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            # Ends the work in the sidecar too.
            stream.close()
    if head is None:
        raise typer.Exit(INTERRUPTED)
    ordered = [found[index] for index in sorted(found)]
    document = sweep_document([plain(one) for one in ordered], total, report_head(head))
    show_document(document, lambda: _json_text(head, found, total), form, output)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _json_text(head: Any, found: dict[int, Any], total: int) -> str:
    from google.protobuf.json_format import MessageToDict

    told = {
        "head": MessageToDict(head, preserving_proto_field_name=True),
        "done_count": len(found),
        "scenario_count": total,
        "results": [
            {
                "index": index,
                "result": MessageToDict(found[index], preserving_proto_field_name=True),
            }
            for index in sorted(found)
        ],
    }
    return json.dumps(told, indent=2) + "\n"


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, where that is a terminal: it is told how many of how many."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True) as bar:
        if not console.is_terminal:
            bar.disable = True
        task = bar.add_task("scenarios", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
