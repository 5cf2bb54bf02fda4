"""`trimtab import FILE`: bring the trades that you have, from any engine, once.

Each trade becomes a Signal (what was known at its entry), an Execution per known price and, when it
is closed, an Outcome. Event ids are UUIDv5 of source, environment, run, trade and role: importing a
file twice stores it once, and a trade whose row has changed meanwhile is refused with its line.
"""

# Imports stand inside the commands: the command line starts fast.

from __future__ import annotations

import csv
import gzip
import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trimtab_server.cli.events import AddressOption, fail, sidecar

if TYPE_CHECKING:
    from trimtab_client import Client, Event, EventBuilder
    from trimtab_server.domain.trade_columns import Cell
    from trimtab_server.domain.trade_rows import Problem, TradeRow

NAMESPACE = uuid.UUID("b0f3c1de-6a51-5b7e-9d2c-7d0a4f9e1c35")
"""Of the event ids; never change it, or files that were imported would be stored again."""
PROBLEMS_SHOWN = 50
BATCH_EVENTS = 500


class Scale(StrEnum):
    """How confidence is written in the file."""

    FRACTION = "fraction"
    PERCENT = "percent"


class FileKind(StrEnum):
    """How the file is written; auto = by its name."""

    AUTO = "auto"
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class UnreadableError(Exception):
    """The file cannot be read as what it is said to be."""


@dataclass(slots=True)
class Read:
    """A file as read: trades, and what is wrong with the other rows."""

    rows: list[TradeRow] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    mapping: dict[str, str] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    duplicate_count: int = 0


def _kind(path: Path, told: FileKind) -> FileKind:
    if told is not FileKind.AUTO:
        return told
    suffix = path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]
    kinds = {
        ".csv": FileKind.CSV,
        ".tsv": FileKind.CSV,
        ".txt": FileKind.CSV,
        ".jsonl": FileKind.JSONL,
        ".ndjson": FileKind.JSONL,
        ".json": FileKind.JSONL,
        ".parquet": FileKind.PARQUET,
        ".pq": FileKind.PARQUET,
    }
    if not suffix or suffix[0].lower() not in kinds:
        raise UnreadableError("not told by its name what it is: tell --file-format")
    return kinds[suffix[0].lower()]


def _text(path: Path) -> str:
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UnreadableError(f"line {line}: not UTF-8") from None


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, Cell] | str]]:
    head = text.split("\n", 1)[0]
    delimiter = max((",", ";", "\t", "|"), key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [name.strip() for name in cells]
            elif len(cells) != len(header):
                yield reader.line_num, f"{len(cells)} cells, but the header has {len(header)}"
            else:
                yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        yield reader.line_num, f"not CSV: {error}"


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Cell]:
    """Nested objects as dotted columns; lists are left out."""
    flat: dict[str, Cell] = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            flat |= _flat(inner, f"{prefix}{name}.")
        elif not isinstance(inner, list):
            flat[f"{prefix}{name}"] = inner
    return flat


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, Cell] | str]]:
    if text.lstrip().startswith("["):
        try:
            listed = json.loads(text)
        except json.JSONDecodeError as error:
            yield error.lineno, f"not JSON: {error.msg}"
            return
        for number, value in enumerate(listed, start=1):
            yield number, _flat(value) if isinstance(value, dict) else "not a JSON object"
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            yield number, f"not JSON: {error.msg} (column {error.colno})"
            continue
        yield number, _flat(value) if isinstance(value, dict) else "not a JSON object"


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Cell] | str]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UnreadableError("Parquet needs pyarrow: pip install 'trimtab[parquet]'") from None
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise UnreadableError(f"not Parquet: {error}") from None
    # Nanosecond stamps do not fit a datetime: as integers since 1970 they do.
    for k, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            stamps = table.column(k).cast(pa.timestamp("ns")).cast(pa.int64())
            table = table.set_column(k, column.name, stamps)
    for number, value in enumerate(table.to_pylist(), start=1):
        yield number, _flat(value)


def read_trades(path: Path, kind: FileKind, given: dict[str, str], scale: Scale) -> Read:
    """The file's trades and everything that is wrong with it.

    kind: AUTO = by its name. given: our name -> their column. Raises UnreadableError, ValueError
    for a mapping that does not fit, OSError.
    """
    from trimtab_server.domain.trade_columns import column_mapping
    from trimtab_server.domain.trade_rows import Problem, content_digest, trade_row

    found = Read()
    chosen = _kind(path, kind)
    if chosen is FileKind.PARQUET:
        rows = list(_parquet_rows(path))
    else:
        text = _text(path)
        rows = list(_csv_rows(text) if chosen is FileKind.CSV else _json_rows(text))
    whole = [row for _, row in rows if isinstance(row, dict)]
    # JSON rows may differ in their columns: the mapping is made from all of them.
    found.columns = list(dict.fromkeys(name for row in whole for name in row))
    if whole:
        found.mapping = column_mapping(found.columns, given)
    seen: dict[str, tuple[int, str]] = {}
    repeated: dict[str, int] = {}
    for line, row in rows:
        if isinstance(row, str):
            found.problems.append(Problem(line, "", row))
            continue
        made = trade_row(row, found.mapping, line, confidence_percent=scale is Scale.PERCENT)
        if isinstance(made, list):
            found.problems += made
            continue
        digest = content_digest(row)
        if made.key.startswith("row-"):
            made = _numbered(made, repeated)
        elif made.key in seen:
            first, same = seen[made.key]
            if same == digest:
                found.duplicate_count += 1
            else:
                reason = f"trade {made.key} stands on line {first} already, with other content"
                found.problems.append(Problem(line, found.mapping.get("trade_id", ""), reason))
            continue
        seen[made.key] = (line, digest)
        found.rows.append(made)
    return found


def _numbered(row: TradeRow, repeated: dict[str, int]) -> TradeRow:
    """Equal rows without a trade id are several trades: the second gets "-2", and so on."""
    from dataclasses import replace

    count = repeated[row.key] = repeated.get(row.key, 0) + 1
    if count == 1:
        return row
    key = f"{row.key}-{count}"
    return replace(row, key=key, signal_id=key if row.signal_id == row.key else row.signal_id)


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


def import_trades(
    *,
    file: Annotated[Path, typer.Argument(help="CSV, JSON lines or Parquet; .gz is fine.")],
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
        typer.Option("--skip-bad", help="Import the good rows all the same (exit code 1)."),
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
    _say_columns(found)
    _say_problems(found.problems)
    open_count = sum(row.is_open for row in found.rows)
    unclaimed = sum(row.confidence is None for row in found.rows)
    told = f"{len(found.rows):,} trades read ({open_count:,} still open"
    told += f", {unclaimed:,} without confidence" if unclaimed else ""
    told += f", {found.duplicate_count:,} repeated" if found.duplicate_count else ""
    typer.echo(f"{told}), {len(found.problems):,} problems")
    if found.problems and not skip_bad:
        raise fail("nothing imported: mend the file, or pass --skip-bad")
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
    if done.refused or found.problems:
        raise typer.Exit(1)
