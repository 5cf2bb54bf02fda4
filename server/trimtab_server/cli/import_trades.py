"""`trimtab import FILE`: bring the trades that you have, from any engine, once.

Each trade becomes a Signal (what was known at its entry), an Execution per known price and, when it
is closed, an Outcome. Event ids are UUIDv5 of source, environment, run, trade and role: importing a
file twice stores it once, and a trade whose row has changed meanwhile is refused with its line.
"""

# Imports stand inside the commands: the command line starts fast.

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trimtab_server.cli.events import AddressOption, fail, sidecar
from trimtab_server.cli.trade_files import FileKind, Read, Scale, UnreadableError, read_trades

if TYPE_CHECKING:
    from trimtab_client import Client, Event, EventBuilder
    from trimtab_server.domain.trade_rows import Problem, TradeRow

NAMESPACE = uuid.UUID("b0f3c1de-6a51-5b7e-9d2c-7d0a4f9e1c35")
"""Of the event ids; never change it, or files that were imported would be stored again."""
PROBLEMS_SHOWN = 50
BATCH_EVENTS = 500


def trade_events(row: TradeRow, builder: EventBuilder) -> list[Event]:
    """The events of a trade, with ids that depend on nothing but what it is."""
    from trimtab_client import Environment
    from trimtab_server.domain.trade_rows import (
        execution_arguments,
        outcome_arguments,
        signal_arguments,
    )

    word = Environment.Name(builder.environment)

    def event_id(role: str) -> str:
        told = json.dumps([builder.source, word, builder.run_id, row.key, role])
        return str(uuid.uuid5(NAMESPACE, told))

    make: Any = builder
    events: list[Event] = [make.signal(event_id=event_id("signal"), **signal_arguments(row))]
    for role, arguments in execution_arguments(row):
        events.append(make.execution(event_id=event_id(role), **arguments))
    if not row.is_open:
        events.append(make.outcome(event_id=event_id("outcome"), **outcome_arguments(row)))
    return events


@dataclass(slots=True)
class Imported:
    """What the sidecar did with the events."""

    stored_count: int = 0
    duplicate_count: int = 0
    refused: list[Problem] = field(default_factory=list)


def record_rows(client: Client, rows: list[TradeRow], builder: EventBuilder) -> Imported:
    """Records the trades' events in batches; refused ones come back with their line."""
    from trimtab_client import kind_word
    from trimtab_server.domain.trade_rows import Problem

    made = [(row, event) for row in rows for event in trade_events(row, builder)]
    done = Imported()
    for first in range(0, len(made), BATCH_EVENTS):
        batch = made[first : first + BATCH_EVENTS]
        results = client.record_events([event for _, event in batch], timeout_s=60.0)
        for (row, event), result in zip(batch, results, strict=True):
            if result.HasField("recorded"):
                done.duplicate_count += result.recorded.duplicate
                done.stored_count += not result.recorded.duplicate
                continue
            refusal = result.rejection
            reason = _reason(refusal)
            details = "; ".join(f"{v.field}: {v.description}" for v in refusal.violations)
            if reason == "ID_REUSED":
                kind = kind_word(event).lower()
                details = (
                    f"trade {row.key} was imported before and its {kind} has changed since; "
                    "what is stored stays (use another --run-id, or record a correction)"
                )
            done.refused.append(Problem(row.line, "", f"{reason}: {details}"))
    return done


def _reason(rejection: Any) -> str:
    """The word of a rejection's reason, from the message's own description of its enum."""
    known = rejection.DESCRIPTOR.fields_by_name["reason"].enum_type.values_by_number
    name = known[rejection.reason].name if rejection.reason in known else str(rejection.reason)
    return str(name).removeprefix("ERROR_REASON_")


def _given(maps: list[str] | None) -> dict[str, str]:
    given = {}
    for one in maps or ():
        ours, sign, theirs = one.partition("=")
        if not sign or not ours.strip() or not theirs.strip():
            raise fail(f"--map {one}: write it as ours=theirs", 2)
        given[ours.strip()] = theirs.strip()
    return given


def _say_columns(found: Read) -> None:
    used = ", ".join(
        ours if ours == theirs else f"{ours} = {theirs}" for ours, theirs in found.mapping.items()
    )
    ignored = [name for name in found.columns if name not in found.mapping.values()]
    typer.echo(f"columns: {used or 'none that is understood'}")
    if ignored:
        typer.echo(f"ignored: {', '.join(ignored)}")


def _say_problems(problems: list[Problem]) -> None:
    for problem in problems[:PROBLEMS_SHOWN]:
        typer.echo(str(problem), err=True)
    if len(problems) > PROBLEMS_SHOWN:
        typer.echo(f"... and {len(problems) - PROBLEMS_SHOWN:,} more", err=True)


def _say_read(found: Read) -> None:
    """Columns, problems, counts and doubts of a file as read."""
    _say_columns(found)
    _say_problems(found.problems)
    open_count = sum(row.is_open for row in found.rows)
    unclaimed = sum(row.confidence is None for row in found.rows)
    told = f"{len(found.rows):,} trades read ({open_count:,} still open"
    told += f", {unclaimed:,} without confidence" if unclaimed else ""
    told += f", {found.duplicate_count:,} repeated" if found.duplicate_count else ""
    typer.echo(f"{told}), {len(found.problems):,} problems")
    for words, count in found.warnings.items():
        typer.echo(f"warning: {count:,} trade{'s' if count != 1 else ''}: {words}", err=True)


def import_trades(
    *,
    file: Annotated[
        Path,
        typer.Argument(help="CSV, JSON lines or Parquet (.gz is fine), or a freqtrade result."),
    ],
    source: Annotated[str, typer.Option("--source", help="The engine that traded.")],
    environment: Annotated[
        str, typer.Option("--environment", help="live, paper or backtest. They never mix.")
    ],
    run_id: Annotated[str, typer.Option("--run-id", help="The run; needed for backtest.")] = "",
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", help="ours=theirs, e.g. confidence=my_score; repeatable."),
    ] = None,
    scale: Annotated[
        Scale, typer.Option("--confidence-scale", help="How confidence is written.")
    ] = Scale.FRACTION,
    kind: Annotated[
        FileKind, typer.Option("--file-format", help="Default: by the file's name.")
    ] = FileKind.AUTO,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check everything, record nothing.")
    ] = False,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Import the good rows; the others are told and skipped."),
    ] = False,
    address: AddressOption = None,
) -> None:
    """Import trades that another engine made: signal, executions and outcome of each.

    Understood columns (and many other names for them): trade_id, symbol*, strategy, side,
    entry_time*, exit_time, entry_price, exit_price, quantity, return_fraction or return_pct or pnl,
    fees, confidence, won, exit_reason, currency, model_name, model_version, ... (* = required).
    """
    from trimtab_client import EventBuilder

    try:
        builder = EventBuilder(source=source, environment=environment.upper(), run_id=run_id)
    except ValueError as error:
        raise fail(str(error), 2) from None
    try:
        found = read_trades(file, kind, _given(maps), scale)
    except (UnreadableError, ValueError) as error:
        raise fail(f"{file}: {error}", 2) from None
    except OSError as error:
        raise fail(f"{file}: {error.strerror or error}", 2) from None
    if not found.rows and not found.problems:
        raise fail(f"{file}: no rows")
    _say_read(found)
    if found.problems and not (skip_bad and found.rows):
        raise fail("nothing imported: mend the file, or pass --skip-bad")
    if found.bad_lines:
        typer.echo(f"{len(found.bad_lines):,} bad rows skipped", err=True)
    if dry_run:
        typer.echo("dry run: nothing imported")
        return
    with sidecar(address) as client:
        done = record_rows(client, found.rows, builder)
    _say_problems(done.refused)
    typer.echo(
        f"{done.stored_count:,} events stored, {done.duplicate_count:,} were there before, "
        f"{len(done.refused):,} refused"
    )
    if done.refused:
        raise typer.Exit(1)
