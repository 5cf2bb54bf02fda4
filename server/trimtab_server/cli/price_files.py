"""Price files as bars: one file for many symbols, or a folder with a file a symbol."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab_server.cli.trade_files import SUFFIXES, FileKind, UnreadableError, file_rows
from trimtab_server.domain.imports.price_rows import bar_intervals, price_mapping, price_row
from trimtab_server.domain.imports.trade_rows import Problem

if TYPE_CHECKING:
    from trimtab_server.domain.imports.price_rows import PriceRow

BARS_MAX = 10_000_000
"""Of one import: they are sorted in memory."""


@dataclass(slots=True)
class Prices:
    """Bars by time, with what is wrong; each bar's event time and length in nanoseconds.

    unused: symbols of the files that no signal has. missing: symbols of signals without prices.
    """

    bars: list[PriceRow] = field(default_factory=list)
    problems: list[tuple[Path, Problem]] = field(default_factory=list)
    intervals: dict[str, int] = field(default_factory=dict)
    duplicate_count: int = 0
    unused: set[str] = field(default_factory=set)
    missing: tuple[str, ...] = ()


def _same(name: str) -> str:
    """A symbol as it is compared: BTC/USDT, btc-usdt and BTC_USDT are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(
        one
        for one in path.iterdir()
        if one.is_file() and one.name.removesuffix(".gz").rpartition(".")[2] in SUFFIXES
    )
    if not found:
        raise UnreadableError("no price file in this folder (.csv, .parquet, .jsonl)")
    return found


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0] or path.name


def read_prices(path: Path, wanted: Iterable[str], interval_ns: int | None) -> Prices:
    """The bars of the wanted symbols, spelled as wanted, by (time, symbol).

    interval_ns: length of every bar; None = as the distances between a symbol's bars tell. Raises
    UnreadableError when it cannot be told or the files cannot be read, ValueError for columns that
    do not fit, OSError.
    """
    spelled = {_same(symbol): symbol for symbol in wanted}
    found = Prices()
    seen: dict[tuple[str, int], PriceRow] = {}
    for file in _files(path):
        stem = _stem(file)
        if path.is_dir() and _same(stem) not in spelled and not _tells_symbol(file):
            found.unused.add(stem)
            continue
        alone = next(iter(spelled.values())) if len(spelled) == 1 else stem
        _read_file(file, spelled, spelled.get(_same(stem), alone), seen, found)
    found.bars = sorted(seen.values(), key=lambda bar: (bar.time_ns, bar.symbol))
    symbols = {bar.symbol for bar in found.bars}
    found.missing = tuple(sorted(set(spelled.values()) - symbols))
    known = bar_intervals(found.bars) if interval_ns is None else {}
    common = set(known.values())
    for symbol in symbols:
        step = interval_ns or known.get(symbol) or (min(common) if len(common) == 1 else None)
        if step is None:
            raise UnreadableError(f"{symbol}: one bar does not tell its length: tell --interval")
        found.intervals[symbol] = step
    return found


def _tells_symbol(file: Path) -> bool:
    """Whether it is a price file whose rows say of which symbol they are."""
    first = next((row for _, row in file_rows(file, FileKind.AUTO) if isinstance(row, dict)), None)
    try:
        return first is not None and "symbol" in price_mapping(first)
    except ValueError:
        return False


def _read_file(
    file: Path,
    spelled: dict[str, str],
    symbol: str,
    seen: dict[tuple[str, int], PriceRow],
    found: Prices,
) -> None:
    mapping: dict[str, str] | None = None
    for line, row in file_rows(file, FileKind.AUTO):
        if isinstance(row, str):
            found.problems.append((file, Problem(line, "", row)))
            continue
        mapping = price_mapping(row) if mapping is None else mapping
        made = price_row(row, mapping, line, symbol)
        if isinstance(made, list):
            found.problems += [(file, problem) for problem in made]
            continue
        if _same(made.symbol) not in spelled:
            found.unused.add(made.symbol)
            continue
        made = made._replace(symbol=spelled[_same(made.symbol)])
        key = (made.symbol, made.time_ns)
        before = seen.get(key)
        if before is None:
            seen[key] = made
        elif before[3:] == made[3:]:
            found.duplicate_count += 1
        else:
            reason = f"{made.symbol} has another bar of this time on line {before.line}"
            found.problems.append((file, Problem(line, mapping["time"], reason)))
        if len(seen) > BARS_MAX:
            raise UnreadableError(f"more than {BARS_MAX:,} bars: import a shorter time at once")
