"""Rows of someone's price file as bars: which column means what, and how long a bar is."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from trimtab_server.domain.imports.trade_columns import (
    Cell,
    Column,
    is_empty,
    magnitude,
    plain_name,
    positive,
    text,
    time_ns,
)
from trimtab_server.domain.imports.trade_rows import NAME_CHARS_MAX, Problem

PRICE_COLUMNS: tuple[Column, ...] = (
    Column("time", "when the bar begins or ends (required)",
           ("timestamp", "date", "datetime", "ts", "open_time", "bar_time", "period"), time_ns),
    Column("symbol", "the instrument; default: the file's name",
           ("ticker", "pair", "instrument", "asset", "sym"), text),
    Column("open", "first price", ("o", "open_price"), positive),
    Column("high", "highest price", ("h", "high_price"), positive),
    Column("low", "lowest price", ("l", "low_price"), positive),
    Column("close", "last price (required)", ("c", "close_price", "price", "last"), positive),
    Column("volume", "units", ("v", "vol"), magnitude),
    Column("spread_bps", "average spread, in basis points", ("spread_bp",), magnitude),
)  # fmt: skip
_BY_NAME = {column.name: column for column in PRICE_COLUMNS}


class PriceRow(NamedTuple):
    """A bar as read. time_ns: as the file stamps it. None = not told."""

    line: int
    symbol: str
    time_ns: int
    open: float | None
    high: float | None
    low: float | None
    close: float
    volume: float | None
    spread_bps: float | None


def price_mapping(header: Iterable[str]) -> dict[str, str]:
    """Our name -> their column, for the columns that are understood. Raises ValueError without a
    time or a close."""
    theirs = {plain_name(name): name for name in header}
    found = {}
    for column in PRICE_COLUMNS:
        name = next((n for n in (column.name, *column.aliases) if n in theirs), None)
        if name is not None:
            found[column.name] = theirs[name]
    missing = [name for name in ("time", "close") if name not in found]
    if missing:
        raise ValueError(f"no column for {' and '.join(missing)}; there are: {', '.join(theirs)}")
    return found


def price_row(
    row: Mapping[str, Cell], mapping: Mapping[str, str], line: int, symbol: str
) -> PriceRow | list[Problem]:
    """The row as a bar, or everything that is wrong with it. symbol: where no column tells one."""
    values: dict[str, object] = {}
    problems: list[Problem] = []
    for ours, theirs in mapping.items():
        cell = row.get(theirs)
        if is_empty(cell):
            continue
        try:
            values[ours] = _BY_NAME[ours].read(cell)
        except ValueError as error:
            problems.append(Problem(line, theirs, str(error)))
    faulty = {problem.column for problem in problems}
    problems += [
        Problem(line, "", f"no {name}")
        for name in ("time", "close")
        if name not in values and mapping[name] not in faulty
    ]
    name = str(values.get("symbol") or symbol)
    if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable():
        problems.append(Problem(line, "symbol", "1 to 64 printable characters are wanted"))
    if problems:
        return problems
    values["time_ns"] = values.pop("time")
    told: Any = [values.get(field) for field in PriceRow._fields[2:]]
    made = PriceRow(line, name, *told)
    return _checked(made) or made


def _checked(bar: PriceRow) -> list[Problem]:
    prices = [price for price in (bar.open, bar.close) if price is not None]
    if bar.high is not None and bar.high < max([*prices, bar.low or 0.0]):
        return [Problem(bar.line, "high", f"{bar.high} lies below another price of the bar")]
    if bar.low is not None and bar.low > min(prices):
        return [Problem(bar.line, "low", f"{bar.low} lies above another price of the bar")]
    return []


def bar_intervals(bars: Iterable[PriceRow]) -> dict[str, int]:
    """Symbol -> the most frequent distance between its bars, in nanoseconds, the shorter of equally
    frequent ones. Symbols with one time only are left out.

    bars: of any order.
    """
    times: dict[str, list[int]] = {}
    for bar in bars:
        times.setdefault(bar.symbol, []).append(bar.time_ns)
    found = {}
    for symbol, stamps in times.items():
        stamps.sort()
        steps = Counter(
            later - earlier for earlier, later in itertools.pairwise(stamps) if later > earlier
        )
        if steps:
            found[symbol] = min(steps, key=lambda step: (-steps[step], step))
    return found
