"""Made-up ledgers: `a_ledger` fills in whatever a test does not tell."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab_server.domain.ledger.columns import (
    APPROVED,
    BLOCK,
    BLOCKED,
    COLUMNS,
    PASS,
    STATELESS,
    GuardRule,
    Horizons,
    Ledger,
    Names,
    ResultStatus,
    Verdicts,
    column_dtype,
    empty_verdicts,
)

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
DAY_NS = 24 * HOUR_NS
START_NS = 19_000 * DAY_NS
"""Midnight, 8 January 2022."""

_NAMED = {
    "strategy": "strategies",
    "symbol": "symbols",
    "regime": "regimes",
    "source": "sources",
}
_DEFAULTS: dict[str, float] = {
    "side": 1,
    "action": APPROVED,
    "confidence": 0.8,
    "reference_price": 100.0,
    "holding_s": 3_600.0,
    "spread_bps": 2.0,
}


def verdicts_of(
    blocked_by: Sequence[Collection[str]], guards: Sequence[str], memory: Sequence[int] = ()
) -> Verdicts:
    """Every guard's verdict on every signal: BLOCK where it is named, else PASS.

    memory: of each guard, in their order; all stateless unless told.
    """
    n, g = len(blocked_by), len(guards)
    said = np.array([[name in row for name in guards] for row in blocked_by], dtype=bool)
    kinds = np.array(memory or [STATELESS] * g, dtype=np.int8)
    nothing = np.full(n * g, np.nan)
    return Verdicts(
        start=np.arange(n + 1, dtype=np.int64) * g,
        guard=np.tile(np.arange(g, dtype=np.int32), n),
        result=np.where(said.reshape(n * g), BLOCK, PASS).astype(np.int8),
        memory=np.tile(kinds, n),
        rule=np.full(n * g, GuardRule.UNKNOWN, dtype=np.int8),
        is_minimum=np.zeros(n * g, dtype=np.int8),
        observed=nothing,
        limit=nothing.copy(),
        detail=nothing.copy(),
    )


def _filled(n: int, told: dict[str, Any]) -> dict[str, NDArray[Any]]:
    made: dict[str, NDArray[Any]] = {}
    for name in COLUMNS:
        dtype = column_dtype(name)
        default = _DEFAULTS.get(name, np.nan if dtype == np.float64 else 0)
        made[name] = np.broadcast_to(
            np.asarray(told.get(name, default)).astype(dtype, copy=True), n
        ).copy()
    return made


def _with_times(n: int, told: dict[str, Any]) -> dict[str, Any]:
    """Signals an hour apart, decided a second later, entered then, held for an hour."""

    def column(name: str, default: object) -> NDArray[np.int64]:
        return np.broadcast_to(np.asarray(told.get(name, default), dtype=np.int64), n).copy()

    signal = column("signal_time_ns", START_NS + np.arange(n, dtype=np.int64) * HOUR_NS)
    decision = column("decision_time_ns", signal + SECOND_NS)
    entry = column("shadow_entry_time_ns", decision)
    leave = column("shadow_exit_time_ns", entry + HOUR_NS)
    told = told | {
        "signal_key": told.get("signal_key", np.arange(1, n + 1)),
        "signal_time_ns": signal,
        "decision_time_ns": decision,
        "shadow_entry_time_ns": entry,
        "shadow_exit_time_ns": leave,
    }
    real = np.isfinite(np.broadcast_to(told.get("real_return", np.nan), n))
    for name, value in (
        ("real_status", np.where(real, ResultStatus.MATURED, ResultStatus.NONE)),
        ("real_entry_time_ns", np.where(real, entry, 0)),
        ("real_exit_time_ns", np.where(real, leave, 0)),
        ("first_fill_time_ns", np.where(real, entry, 0)),
    ):
        told.setdefault(name, value)
    return told


def a_ledger(
    n: int,
    *,
    names: Names | None = None,
    guards: Sequence[str] = (),
    blocked_by: Sequence[Collection[str]] | None = None,
    memory: Sequence[int] = (),
    verdicts: Verdicts | None = None,
    **columns: object,
) -> Ledger:
    """A ledger of n signals, an hour apart, approved, with a simulated result of zero.

    columns: of Ledger, by name: arrays of shape (n,) or one value for all. strategy, symbol,
    regime and source may be given as names. shadow_return NaN = pending; real_return finite = it
    really happened, at the simulated times. shadow_optimistic, _pessimistic and _gross follow
    shadow_return. blocked_by: for each signal the names of the guards that blocked it; those
    signals are BLOCKED unless `action` is told. Signal times must not fall.
    """
    told: dict[str, Any] = dict(columns)
    assert set(told) <= set(COLUMNS), f"no such column: {set(told) - set(COLUMNS)}"
    made_names = names or Names()
    for column, field in _NAMED.items():
        value = told.get(column)
        if value is None or np.asarray(value).dtype.kind not in "US":
            continue
        known, codes = np.unique(np.broadcast_to(np.asarray(value), n), return_inverse=True)
        # The empty name has code 0, as in a ledger that was read.
        others = [str(each) for each in known if each]
        place = {each: k for k, each in enumerate(["", *others])}
        told[column] = np.array([place[str(each)] for each in known], dtype=np.int32)[codes]
        changed: dict[str, Any] = {field: ("", *others)}
        made_names = replace(made_names, **changed)
    if blocked_by is not None:
        guards = guards or sorted({name for row in blocked_by for name in row})
        verdicts = verdicts or verdicts_of(blocked_by, guards, memory)
        blocked = np.array([bool(row) for row in blocked_by], dtype=bool)
        told.setdefault("action", np.where(blocked, BLOCKED, APPROVED))
    if guards:
        made_names = replace(made_names, guards=tuple(guards))
    told = _with_times(n, told)
    shadow = np.broadcast_to(np.asarray(told.setdefault("shadow_return", 0.0), dtype=float), n)
    told.setdefault(
        "shadow_status", np.where(np.isfinite(shadow), ResultStatus.MATURED, ResultStatus.PENDING)
    )
    for name in ("shadow_optimistic", "shadow_pessimistic", "shadow_gross"):
        told.setdefault(name, shadow)
    made = _filled(n, told)
    assert np.all(np.diff(made["signal_time_ns"]) >= 0), "signals are in the order of their times"
    return Ledger(
        names=made_names, verdicts=verdicts if verdicts is not None else empty_verdicts(n), **made
    )


def some_horizons(ledger: Ledger, rows: Sequence[int] | NDArray[np.int64], **told: Any) -> Horizons:
    """Results of these signals over an hour, or over `trading_days` of XNYS (then `age_s` tells
    how long they are on average), entered with their signal, all numbers 0.01 unless told."""
    row = np.asarray(rows, dtype=np.int64)
    days = told.pop("trading_days", 0)
    age_s = np.broadcast_to(told.pop("age_s", days * 7 / 5 * 86_400.0 or 3_600.0), row.size)
    entry = np.asarray(told.pop("entry_ns", ledger.signal_time_ns[row]), dtype=np.int64)
    ended = np.asarray(told.pop("ended_ns", entry + (age_s * 1e9).astype(np.int64)), dtype=np.int64)

    def column(name: str) -> NDArray[np.float64]:
        values = np.asarray(told.pop(name, 0.01), dtype=np.float64)
        return np.broadcast_to(values, row.size).copy()

    made = Horizons(
        row=row,
        age_s=age_s.copy(),
        trading_days=np.broadcast_to(np.int32(days), row.size).copy(),
        calendar=np.broadcast_to(np.int32(1 if days else 0), row.size).copy(),
        calendars=("", "XNYS"),
        entry_ns=entry,
        ended_ns=ended,
        is_censored=np.broadcast_to(
            np.asarray(told.pop("is_censored", False), dtype=np.bool_), row.size
        ).copy(),
        return_fraction=column("return_fraction"),
        gross=column("gross"),
        mfe=column("mfe"),
        mae=column("mae"),
        volatility=column("volatility"),
    )
    assert not told, f"no such column: {set(told)}"
    return made


def joined_horizons(*parts: Horizons) -> Horizons:
    """Several results over horizons in one."""
    names = [name for name in Horizons.__dataclass_fields__ if name != "calendars"]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(each, name) for each in parts]) for name in names
    }
    return replace(parts[0], **columns)
