"""Trade files as rows: CSV, JSON lines, JSON, Parquet, and freqtrade's backtest result."""

# Imports stand inside the functions: the command line starts fast.

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trimtab_server.domain.imports.guard_columns import GuardColumns
    from trimtab_server.domain.imports.guard_rules import GuardRule
    from trimtab_server.domain.imports.trade_columns import Cell
    from trimtab_server.domain.imports.trade_rows import Problem, TradeRow


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


SUFFIXES = {
    "csv": FileKind.CSV,
    "tsv": FileKind.CSV,
    "txt": FileKind.CSV,
    "jsonl": FileKind.JSONL,
    "ndjson": FileKind.JSONL,
    "json": FileKind.JSONL,
    "parquet": FileKind.PARQUET,
    "pq": FileKind.PARQUET,
}
"""Of file names, in lower case, without .gz."""


class UnreadableError(Exception):
    """The file cannot be read as what it is said to be."""


@dataclass(slots=True)
class Read:
    """A file as read: trades, what is wrong with the other rows, and doubts (words -> rows).

    thresholds: guards that hold a value against a limit -> whether it is a minimum.
    """

    rows: list[TradeRow] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    mapping: dict[str, str] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    duplicate_count: int = 0
    warnings: Counter[str] = field(default_factory=Counter)
    guards: tuple[GuardColumns, ...] = ()
    thresholds: dict[str, bool] = field(default_factory=dict)

    @property
    def bad_lines(self) -> set[int]:
        """Lines of rows that cannot be taken."""
        return {problem.line for problem in self.problems}


def _kind(path: Path, told: FileKind) -> FileKind:
    if told is not FileKind.AUTO:
        return told
    if path.suffix.lower() == ".zip":
        raise UnreadableError("an archive: unzip it and import the file in it")
    suffix = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if suffix not in SUFFIXES:
        raise UnreadableError("not told by its name what it is: tell --file-format")
    return SUFFIXES[suffix]


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


def _parsed(text: str) -> Any:
    """JSON. Raises JSONDecodeError, also for what is nested deeper than anything can be meant."""
    try:
        return json.loads(text)
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", text, 0) from None


def _nested_trades(text: str) -> list[Any] | None:
    """The trades of one object that holds them; None for any other text.

    freqtrade's backtest-result.json, {"strategy": {NAME: {"trades": [...]}}}, or {"trades": [...]}.
    """
    try:
        value = _parsed(text)
    except json.JSONDecodeError:
        return None
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("trades"), list):
        return list(value["trades"])
    strategies = value.get("strategy")
    if not isinstance(strategies, dict):
        return None
    return [
        {"strategy": name, **trade} if isinstance(trade, dict) else trade
        for name, result in strategies.items()
        if isinstance(result, dict)
        for trade in result.get("trades", [])
    ]


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, Cell] | str]]:
    nested = _nested_trades(text) if text.lstrip().startswith("{") else None
    if nested is not None:
        for number, value in enumerate(nested, start=1):
            yield number, _flat(value) if isinstance(value, dict) else "not a JSON object"
        return
    if text.lstrip().startswith("["):
        try:
            listed = _parsed(text)
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
            value = _parsed(line)
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


@dataclass(frozen=True, slots=True)
class Reading:
    """How the caller says that a file is to be read.

    given: our name -> their column. true_blocks: yes in a guard's column means that it blocked.
    stateful, stateless: names of guards. rules: guard -> how it decides. holding_s: planned holding
    period of rows that tell none.
    """

    given: dict[str, str] = field(default_factory=dict)
    scale: Scale = Scale.FRACTION
    true_blocks: bool = False
    stateful: tuple[str, ...] = ()
    stateless: tuple[str, ...] = ()
    rules: dict[str, GuardRule] = field(default_factory=dict)
    holding_s: float | None = None


def read_trades(path: Path, kind: FileKind, how: Reading) -> Read:
    """The file's trades and everything that is wrong with it.

    kind: AUTO = by its name. Raises UnreadableError, ValueError for a mapping that does not fit,
    OSError.
    """
    from trimtab_server.domain.imports.guard_columns import threshold_guards, with_rules
    from trimtab_server.domain.imports.trade_rows import Problem, trade_row

    found = Read()
    rows = list(file_rows(path, kind))
    _map_columns(found, [row for _, row in rows if isinstance(row, dict)], how)
    seen: dict[str, tuple[int, str]] = {}
    repeated: dict[str, int] = {}
    for line, row in rows:
        if isinstance(row, str):
            found.problems.append(Problem(line, "", row))
            continue
        made = trade_row(
            row,
            found.mapping,
            line,
            confidence_percent=how.scale is Scale.PERCENT,
            guards=found.guards,
            true_blocks=how.true_blocks,
            holding_s=how.holding_s,
        )
        if isinstance(made, list):
            found.problems += made
        else:
            _take(found, made, row, seen, repeated)
    found.thresholds = threshold_guards(row.guards for row in found.rows)
    if found.guards:
        found.rows = [
            replace(row, guards=with_rules(row.guards, found.thresholds)) for row in found.rows
        ]
    claims = [row.confidence for row in found.rows if row.confidence is not None]
    if how.scale is Scale.PERCENT and claims and max(claims) <= 0.01:
        doubt = "no confidence above 1 %: is --confidence-scale percent right?"
        found.warnings[doubt] = len(claims)
    return found


def _map_columns(found: Read, rows: list[dict[str, Cell]], how: Reading) -> None:
    """Finds out which column means what."""
    from trimtab_server.domain.imports.guard_columns import guard_columns
    from trimtab_server.domain.imports.trade_columns import column_mapping

    # JSON rows may differ in their columns: the mapping is made from all of them.
    found.columns = list(dict.fromkeys(name for row in rows for name in row))
    if not rows:
        return
    of_guards = {name for name in how.given if name.lower().startswith(("guard:", "guard_"))}
    found.guards = guard_columns(
        found.columns,
        {ours: theirs for ours, theirs in how.given.items() if ours in of_guards},
        stateful=how.stateful,
        stateless=how.stateless,
        rules=how.rules,
    )
    used = {name for one in found.guards for name in one.columns}
    found.mapping = column_mapping(
        [name for name in found.columns if name not in used],
        {ours: theirs for ours, theirs in how.given.items() if ours not in of_guards},
    )
    _tell_actions(found, rows, how)


def _tell_actions(found: Read, rows: list[dict[str, Cell]], how: Reading) -> None:
    """A column `action` holds sides in some files and decisions in others: its cells tell."""
    from trimtab_server.domain.imports.trade_columns import decision_word, is_empty, plain_name

    theirs = next((name for name in found.columns if plain_name(name) == "action"), None)
    used_for = [ours for ours, name in found.mapping.items() if name == theirs]
    if theirs is None or "decision" in found.mapping or used_for not in ([], ["side"]):
        return
    if used_for and "side" in how.given:
        return
    try:
        for row in rows:
            if not is_empty(row.get(theirs)):
                decision_word(row[theirs])
    except ValueError:
        return
    found.mapping.pop("side" if used_for else "", None)
    found.mapping["decision"] = theirs


def file_rows(path: Path, kind: FileKind) -> Iterator[tuple[int, dict[str, Cell] | str]]:
    """(line, row or what is wrong with it) of a file. Raises UnreadableError, OSError."""
    if str(path) == "-":
        raise UnreadableError("standard input is not read: write it to a file and name that")
    if path.is_dir():
        raise UnreadableError("is a directory: name one file in it")
    chosen = _kind(path, kind)
    if chosen is FileKind.PARQUET:
        return _parquet_rows(path)
    text = _text(path)
    return _csv_rows(text) if chosen is FileKind.CSV else _json_rows(text)


def _take(
    found: Read,
    made: TradeRow,
    row: dict[str, Cell],
    seen: dict[str, tuple[int, str]],
    repeated: dict[str, int],
) -> None:
    """Adds a good row, unless it is a repetition; what is doubtful about it is counted."""
    from trimtab_server.domain.imports.trade_rows import Problem, content_digest, row_doubts

    digest = content_digest(row)
    if made.key.startswith("row-"):
        made = _numbered(made, repeated)
    elif made.key in seen:
        first, same = seen[made.key]
        if same == digest:
            found.duplicate_count += 1
        else:
            reason = f"trade {made.key} stands on line {first} already, with other content"
            found.problems.append(Problem(made.line, found.mapping.get("trade_id", ""), reason))
        return
    seen[made.key] = (made.line, digest)
    found.rows.append(made)
    found.warnings.update(row_doubts(made, row, found.mapping))


def _numbered(row: TradeRow, repeated: dict[str, int]) -> TradeRow:
    """Equal rows without a trade id are several trades: the second gets "-2", and so on."""
    count = repeated[row.key] = repeated.get(row.key, 0) + 1
    if count == 1:
        return row
    key = f"{row.key}-{count}"
    return replace(row, key=key, signal_id=key if row.signal_id == row.key else row.signal_id)
