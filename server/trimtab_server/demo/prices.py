"""Real daily prices from installed packages: read in place, never downloaded, never copied.

Two sources, both read with the standard library (neither package is imported):

- skfolio: adjusted daily closes of 20 large US companies, 1990 to 2022-12-28. Closes only. The
  companies were chosen in hindsight: they all survived and grew (survivorship), which flatters
  every long-only result.
- hvsampledata: AAPL, daily open, high, low, close, volume and adjusted close, 2019-01-02 to
  2024-12-30.

AAPL is in both. Where they overlap (2019-2022) the adjusted closes have a constant ratio of 1.0100
(adjusted to different end dates) and daily returns that differ by at most 0.03 % (three decimals
in one, two in the other): the same series. So AAPL is hvsampledata's throughout, its OHLC scaled by
adjusted close / close, and skfolio's earlier closes are divided by the median ratio of the overlap.
`splice` computes that ratio and refuses a worse match.
"""

import csv
import gzip
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from trimtab_server.domain.statistics.estimates import FloatArray, IntArray

CLOSE_HOUR_UTC = 21
"""Every bar is stamped 21:00 UTC: at or after the New York close in summer and in winter."""
WARM_UP_DAYS = 130
"""Trading days of history before the first day that may signal (the longest window is 120)."""
SPLICE_RETURN_DIFFERENCE_MAX = 0.001
"""Largest daily return difference at which two series are still called the same."""

SECTORS = {
    "AAPL": "Information Technology",
    "AMD": "Information Technology",
    "BAC": "Financials",
    "BBY": "Consumer Discretionary",
    "CVX": "Energy",
    "GE": "Industrials",
    "HD": "Consumer Discretionary",
    "JNJ": "Health Care",
    "JPM": "Financials",
    "KO": "Consumer Staples",
    "LLY": "Health Care",
    "MRK": "Health Care",
    "MSFT": "Information Technology",
    "PEP": "Consumer Staples",
    "PFE": "Health Care",
    "PG": "Consumer Staples",
    "RRC": "Energy",
    "UNH": "Health Care",
    "WMT": "Consumer Staples",
    "XOM": "Energy",
}


class PricesUnavailableError(Exception):
    """The packages with the prices are not installed, or do not hold what is expected."""


@dataclass(frozen=True, slots=True)
class Market:
    """Daily bars of several symbols on one calendar; NaN where a symbol has no bar.

    days: shape (n,), ordinal days (date.toordinal), increasing. close: shape (n, symbols), in USD,
    adjusted for splits and dividends. detail: open, high, low, volume by symbol, each (n,), for
    symbols that have them. first: position of the first day that may signal (before: warm-up).
    notes: what a reader of results must know about the data.
    """

    symbols: tuple[str, ...]
    days: IntArray
    close: FloatArray
    detail: dict[str, dict[str, FloatArray]]
    first: int
    notes: tuple[str, ...] = ()

    @property
    def judged(self) -> int:
        """Position behind the last day on which most symbols have a price.

        Most: two thirds of those that have any from `first` on. Later days hold too little of the
        book for its Sharpe ratio or drawdown.
        """
        there = np.isfinite(self.close[self.first :])
        symbol_count = int(np.any(there, axis=0).sum())
        enough = np.flatnonzero(3 * there.sum(axis=1) >= 2 * symbol_count)
        return self.first + int(enough[-1]) + 1 if enough.size else self.days.size

    def day(self, position: int) -> date:
        """The calendar day of a position."""
        return date.fromordinal(int(self.days[position]))

    def truncated(self, last: int) -> "Market":
        """The same market as it looked at the close of day `last` (a position): no later bars."""
        end = last + 1
        return replace(
            self,
            days=self.days[:end],
            close=self.close[:end],
            detail={
                symbol: {name: values[:end] for name, values in columns.items()}
                for symbol, columns in self.detail.items()
            },
        )

    def close_time_ns(self, position: int) -> int:
        """UTC nanoseconds of that day's close."""
        day = date.fromordinal(int(self.days[position]))
        stamp = datetime(day.year, day.month, day.day, CLOSE_HOUR_UTC, tzinfo=UTC)
        return int(stamp.timestamp()) * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Series:
    """One column of prices: ordinal days and values, both shape (n,), by name."""

    days: IntArray
    columns: dict[str, FloatArray]


def package_file(package: str, relative: str) -> Path:
    """Path of a data file inside an installed package, without importing it.

    Raises PricesUnavailableError, saying what to install, when it is not there.
    """
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / relative if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise PricesUnavailableError(
            f"the demo's prices are inside the package {package}, which is not installed "
            "(or without its data): pip install 'trimtab[demo]'"
        )
    return path


def _rows(text: io.TextIOBase, day_column: str) -> Series:
    reader = csv.DictReader(text)
    names = [name for name in reader.fieldnames or () if name != day_column]
    days: list[int] = []
    values: list[list[float]] = []
    for row in reader:
        days.append(date.fromisoformat(row[day_column]).toordinal())
        values.append([float(row[name]) if row[name] else np.nan for name in names])
    table = np.array(values, dtype=np.float64).reshape(len(days), len(names))
    columns = {name: table[:, k] for k, name in enumerate(names)}
    return Series(np.array(days, dtype=np.int64), columns)


def skfolio_closes() -> Series:
    """Adjusted closes of 20 companies, a column a symbol, 1990 to 2022."""
    path = package_file("skfolio", "datasets/data/sp500_dataset.csv.gz")
    with gzip.open(path, "rt", newline="", encoding="utf-8") as text:
        return _rows(text, "Date")


def hvsampledata_apple() -> Series:
    """AAPL with open, high, low, close, volume, adj_close, 2019 to 2024."""
    path = package_file("hvsampledata", "_data/apple_stocks.csv")
    with path.open(newline="", encoding="utf-8") as text:
        return _rows(text, "date")


def splice(earlier: Series, name: str, later: Series) -> tuple[Series, float, float]:
    """`earlier`'s closes scaled onto `later`'s adjusted bars: (series, ratio, worst difference).

    ratio: median of earlier / later adjusted closes on shared days. worst difference: largest
    absolute difference of daily log returns there. Raises PricesUnavailableError when it exceeds
    0.1 % or fewer than 20 days are shared: then they are not the same instrument.
    """
    _, a, b = np.intersect1d(earlier.days, later.days, return_indices=True)
    if a.size < 20:
        raise PricesUnavailableError(f"the two series of {name} share only {a.size} days")
    old, new = earlier.columns[name][a], later.columns["adj_close"][b]
    ratio = float(np.median(old / new))
    worst = float(np.max(np.abs(np.diff(np.log(old)) - np.diff(np.log(new)))))
    if worst > SPLICE_RETURN_DIFFERENCE_MAX:
        raise PricesUnavailableError(
            f"the two series of {name} differ by {worst:.2%} in a daily return: not spliced"
        )
    before = earlier.days < later.days[0]
    scale = later.columns["adj_close"] / later.columns["close"]
    empty = np.full(int(before.sum()), np.nan)
    columns = {
        key: np.concatenate([empty, later.columns[key] * scale]) for key in ("open", "high", "low")
    }
    columns["volume"] = np.concatenate([empty, later.columns["volume"]])
    columns["close"] = np.concatenate(
        [earlier.columns[name][before] / ratio, later.columns["adj_close"]]
    )
    return Series(np.concatenate([earlier.days[before], later.days]), columns), ratio, worst


def load_market(
    symbols: Sequence[str] = (),
    start: date = date(2019, 1, 1),
    end: date = date(2024, 12, 31),
) -> Market:
    """The bars from `start` to `end` (both included) with a warm-up before, of these symbols.

    symbols: of the 20; empty = all. Raises PricesUnavailableError when a package is missing, and
    ValueError for an unknown symbol or a range without bars.
    """
    closes = skfolio_closes()
    apple, ratio, worst = splice(closes, "AAPL", hvsampledata_apple())
    known = tuple(sorted(closes.columns))
    chosen = tuple(dict.fromkeys(symbol.upper() for symbol in symbols)) or known
    unknown = [symbol for symbol in chosen if symbol not in known]
    if unknown:
        raise ValueError(f"no prices of {', '.join(unknown)}; there are: {', '.join(known)}")
    days = np.union1d(closes.days, apple.days)
    first_wanted = int(np.searchsorted(days, start.toordinal()))
    stop = int(np.searchsorted(days, end.toordinal(), side="right"))
    begin = max(0, first_wanted - WARM_UP_DAYS)
    days = days[begin:stop]
    table = np.full((days.size, len(chosen)), np.nan)
    detail: dict[str, dict[str, FloatArray]] = {}
    for k, symbol in enumerate(chosen):
        one = apple if symbol == "AAPL" else Series(closes.days, {"close": closes.columns[symbol]})
        placed = _placed(one, days)
        table[:, k] = placed.pop("close")
        if placed:
            detail[symbol] = placed
    keep = np.any(np.isfinite(table), axis=1)
    if first_wanted >= stop or not keep[first_wanted - begin :].any():
        raise ValueError(f"no bars between {start} and {end}; there are 1990-01-02 to 2024-12-30")
    notes = _notes(chosen, days, table, first_wanted - begin, ratio, worst)
    first = int(keep[: first_wanted - begin].sum())
    detail = {s: {name: v[keep] for name, v in columns.items()} for s, columns in detail.items()}
    return Market(chosen, days[keep], table[keep], detail, first, notes)


def _placed(series: Series, days: IntArray) -> dict[str, FloatArray]:
    _, here, there = np.intersect1d(days, series.days, return_indices=True)
    result = {}
    for name, values in series.columns.items():
        column = np.full(days.size, np.nan)
        column[here] = values[there]
        result[name] = column
    return result


def _notes(
    symbols: tuple[str, ...],
    days: IntArray,
    close: FloatArray,
    first: int,
    ratio: float,
    worst: float,
) -> tuple[str, ...]:
    notes = [
        (
            "Survivorship: the companies were chosen in hindsight, all of them survived and grew. "
            "Every long-only number here is flattered by that."
        ),
        "Long only in a rising market: part of every win rate is the market's drift.",
        "Closes of 20 companies: skfolio (adjusted for splits and dividends, no volume).",
    ]
    if "AAPL" in symbols:
        notes.append(
            "AAPL: hvsampledata's OHLCV, adjusted by its adjusted close. On the days that both "
            f"sources share it is the same series (constant ratio {ratio:.4f}, daily returns "
            f"within {worst:.3%}); earlier days are skfolio's, divided by that ratio."
        )
    last_bars = {
        symbol: int(days[np.flatnonzero(np.isfinite(close[:, k]))[-1]])
        for k, symbol in enumerate(symbols)
        if np.isfinite(close[first:, k]).any()
    }
    final = max(last_bars.values(), default=0)
    ended = [symbol for symbol, day in last_bars.items() if day < final - 7]
    if ended:
        until = date.fromordinal(max(last_bars[symbol] for symbol in ended))
        left = ", ".join(symbol for symbol in last_bars if symbol not in ended)
        notes.append(
            f"Prices of {len(ended)} symbols end on {until.isoformat()}; from "
            f"{(until + timedelta(days=1)).isoformat()} the replay holds {left} only, so "
            "Sharpe ratio and drawdown are those of the days until then."
        )
    return tuple(notes)
