"""Simulated results over horizons, and markouts: where signals stood at several ages."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab_server.domain.ledger.columns import FloatArray, IntArray, ResultStatus
from trimtab_server.domain.shadow.result import NOT_FILLED
from trimtab_server.store.ledger_columns import is_result, result_status, trading_day_s
from trimtab_server.store.ledger_records import MARKOUT, times_ns
from trimtab_server.store.ledger_sources import Array

_NS = 1e9


class Told(NamedTuple):
    """Simulated results, shape (k,), with the row of their signal in a Ledger, and the markouts
    behind them, shape (l,), with theirs and the length of the horizon that they stand behind.
    Calendars are keys; own lives have neither age nor length."""

    row: IntArray
    age_ns: IntArray
    trading_days: IntArray
    calendar: IntArray
    record: Array
    markout_row: IntArray
    markout_until_s: FloatArray
    markout: Array


def told_of(row: IntArray, columns: dict[str, Array], tails: bytes) -> Told:
    """The results of a chunk of rows; those of no signal (row -1) and those without an entry are
    left out."""
    record = columns["record"]
    taken = (row >= 0) & (record["status"] != 0) & (record["flags"] & NOT_FILLED == 0)
    markout = np.frombuffer(tails, dtype=MARKOUT)
    owner = np.repeat(np.arange(row.size), columns["tail_byte_count"] // MARKOUT.itemsize)
    length_s = age_s(columns["age_ns"], columns["trading_days"], columns["calendar_key"])
    return Told(
        row=row[taken],
        age_ns=columns["age_ns"][taken],
        trading_days=columns["trading_days"][taken],
        calendar=columns["calendar_key"][taken],
        record=record[taken],
        markout_row=row[owner][taken[owner]],
        markout_until_s=length_s[owner][taken[owner]],
        markout=markout[taken[owner]],
    )


def markout_columns(told: list[Told]) -> dict[str, Array]:
    """row, age_s, trading_days, calendar (a key), return_fraction and until_s, by row and age. A
    markout that was told comes before a horizon's own return of the same age."""
    numbers = ("return_fraction", "until_s")
    parts: dict[str, list[Array]] = {
        name: [] for name in ("row", "age_ns", "trading_days", "calendar", *numbers)
    }
    for one in told:
        parts["row"].append(one.markout_row)
        parts["until_s"].append(one.markout_until_s)
        for name in ("age_ns", "trading_days", "calendar", "return_fraction"):
            parts[name].append(one.markout[name])
    for one in told:
        is_matured = _is_horizon(one) & is_result(result_status(one.record))
        is_age = is_matured & np.isfinite(one.record["gross"])
        parts["row"].append(one.row[is_age])
        for name in ("age_ns", "trading_days", "calendar"):
            parts[name].append(getattr(one, name)[is_age])
        parts["return_fraction"].append(one.record["gross"][is_age])
        own_s = age_s(one.age_ns[is_age], one.trading_days[is_age], one.calendar[is_age])
        parts["until_s"].append(own_s)
    columns = {
        name: np.concatenate(
            [np.empty(0, dtype=np.float64 if name in numbers else np.int64), *arrays]
        )
        for name, arrays in parts.items()
    }
    columns["age_s"] = age_s(columns["age_ns"], columns["trading_days"], columns["calendar"])
    # Stable: of the same row and age the first that was put in stays first.
    keys = [columns[name] for name in ("calendar", "trading_days", "age_s", "row")]
    order = np.lexsort(keys)
    is_new = np.ones(order.size, dtype=np.bool_)
    is_new[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    return {name: column[order[is_new]] for name, column in columns.items()}


def horizon_columns(told: list[Told]) -> dict[str, Array]:
    """The columns of Horizons, calendars as keys."""
    kept = [_is_horizon(one) for one in told]

    def joined(parts: Sequence[Array], dtype: type[np.generic] = np.int64) -> Array:
        masked = [part[mask] for part, mask in zip(parts, kept, strict=True)]
        return np.concatenate([np.empty(0, dtype=dtype), *masked])

    columns = {
        name: joined([getattr(one, name) for one in told])
        for name in ("row", "age_ns", "trading_days", "calendar")
    }
    columns["age_s"] = age_s(columns["age_ns"], columns["trading_days"], columns["calendar"])
    columns["entry_ns"] = joined([one.record["entry_time_ns"] for one in told])
    columns["ended_ns"] = joined([times_ns(one.record) for one in told])
    is_censored = [result_status(one.record) == ResultStatus.CENSORED for one in told]
    columns["is_censored"] = joined(is_censored, np.bool_)
    for name in ("return_fraction", "gross", "mfe", "mae", "volatility"):
        columns[name] = joined([one.record[name] for one in told], np.float64)
    order = np.lexsort((columns["calendar"], columns["age_s"], columns["row"]))
    return {name: column[order] for name, column in columns.items()}


def age_s(age_ns: IntArray, trading_days: IntArray, calendar: IntArray) -> FloatArray:
    """Ages in seconds; of trading days as many as they take on average, so that one age of one
    calendar is one number."""
    days: FloatArray = trading_days * trading_day_s(calendar)
    return np.where(trading_days > 0, days, age_ns / _NS)


def _is_horizon(told: Told) -> NDArray[np.bool_]:
    """Those over a horizon that is over: with a result, or with prices that stopped before."""
    is_aged: NDArray[np.bool_] = (told.age_ns != 0) | (told.trading_days != 0)
    return is_aged
