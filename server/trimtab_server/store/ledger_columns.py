"""From records to `domain.ledger.columns`: which of several sources of a number counts.

- What really happened: an Outcome with a return; else what attributed fills come to, once closed;
  else an Outcome that says "still open" (CENSORED), else fills that are still open (PENDING). An
  Outcome that tells only whether it won has no return, so it is no result, and nothing is made up
  from it. Fills that closed after an Outcome said "still open" count instead of it.
- A correction that has a return is CORRECTED, whatever its own status. It happened when what it
  corrects did; and what a signal was decided on (confidence, threshold, regime, context) is what
  was known first.
- A signal that no shadow result was told of is PENDING; how many were given up counts its lane.
- The size in money is what was asked for; where only a fraction of equity was (or only the decision
  granted one), of the latest equity known at the signal; else what was filled.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab_server.domain.ledger.columns import (
    STATEFUL,
    FloatArray,
    IntArray,
    Predictions,
    ResultStatus,
    Verdicts,
)
from trimtab_server.store.ledger_records import (
    CORRECTION,
    DECISION,
    KNOWN,
    ORIGINAL,
    OUTCOME,
    SHADOW,
    SIGNAL,
    TRADE,
    VERDICT,
    name_key,
    times_ns,
)
from trimtab_server.store.ledger_sources import Array

_NS = 1e9
_DAY_S = 86_400.0
# A week of most calendars has five trading days; markets that never close have seven.
_TRADING_DAY_S = _DAY_S * 7 / 5
_ALWAYS_OPEN = "24/7"
# Statuses of outcomes in the contract.
_TOLD = np.array(
    [ResultStatus.NONE, ResultStatus.MATURED, ResultStatus.CENSORED, ResultStatus.CORRECTED],
    dtype=np.int8,
)
LEFT_OUT = -1
"""Status of a simulated result that is another fill model's than the others."""
_QUANTITY, _NOTIONAL, _FRACTION = 1, 2, 3
_LAYOUTS = {
    "signal": SIGNAL,
    "known": KNOWN,
    "decision": DECISION,
    "decision_original": ORIGINAL,
    "trade": TRADE,
    "outcome": OUTCOME,
    "outcome_original": ORIGINAL,
    "shadow": SHADOW,
}


class Sizes(NamedTuple):
    """What sizes are made of: money, where it needs no equity; else a fraction of equity; granted:
    the decision's fraction; filled: money that fills came to; shape (n,), NaN = not known."""

    money: FloatArray
    fraction: FloatArray
    granted: FloatArray
    filled: FloatArray


def signal_columns(told: dict[str, Array]) -> dict[str, Array]:
    """The columns of Ledger that need nothing but the rows themselves; names as keys."""
    signal, decision, shadow = told["signal"], told["decision"], told["shadow"]
    known, time_ns = told["known"], told["signal_time_ns"]
    decided_ns = times_ns(told["decision_original"])
    columns: dict[str, Array] = {
        "signal_key": told["signal_key"],
        "strategy": told["strategy_key"],
        "symbol": told["symbol_key"],
        "regime": known["regime"],
        "side": signal["side"],
        "signal_time_ns": time_ns,
        "decision_time_ns": np.where(decided_ns != 0, decided_ns, times_ns(decision)),
        "action": decision["action"],
        "is_calibrated": known["is_calibrated"],
        "confidence": known["confidence"],
        "expected_return": known["expected_return"],
        "volatility": known["volatility"],
        "reference_price": signal["reference_price"],
        "applied_threshold": _first(decision["threshold"], known["threshold"]),
        "holding_s": _holding_s(signal),
        "spread_bps": decision["spread_bps"],
        "first_fill_time_ns": told["trade"]["first_fill_time_ns"],
        "shadow_status": shadow_status(shadow),
        "shadow_entry_time_ns": shadow["entry_time_ns"],
        "shadow_exit_time_ns": times_ns(shadow),
        "shadow_return": shadow["return_fraction"],
        "shadow_flags": shadow["flags"],
    }
    for name in ("optimistic", "pessimistic", "gross", "spread_cost", "fee_cost", "carry_cost"):
        columns[f"shadow_{name}"] = shadow[name]
    for name in ("mfe", "mae", "volatility"):
        columns[f"shadow_{name}"] = shadow[name]
    columns |= _real(told["outcome"], told["outcome_original"], told["trade"], time_ns)
    # Records lie packed: columns that go on are arrays of their own.
    return {name: np.ascontiguousarray(column) for name, column in columns.items()}


def sizes(told: dict[str, Array]) -> Sizes:
    """What the sizes of these signals are made of."""
    signal, decision, trade = told["signal"], told["decision"], told["trade"]
    kind, size, multiplier = signal["size_kind"], signal["size"], signal["multiplier"]
    price = _first(
        signal["reference_price"],
        _first(decision["entry_price"], _first(decision["price"], trade["entry_price"])),
    )
    money = np.where(kind == _QUANTITY, size * price * multiplier, np.nan)
    is_filled = trade["is_attributed"] != 0
    return Sizes(
        money=np.where(kind == _NOTIONAL, size, money),
        fraction=np.where(kind == _FRACTION, size, np.nan),
        granted=np.array(decision["position_fraction"]),
        filled=np.where(
            is_filled, trade["entry_quantity"] * trade["entry_price"] * multiplier, np.nan
        ),
    )


def joined_sizes(parts: Sequence[Sizes]) -> Sizes:
    """Those of several chunks behind each other."""
    empty = Sizes(*(np.empty(0) for _ in Sizes._fields))
    return Sizes(*(np.concatenate(columns) for columns in zip(empty, *parts, strict=True)))


def sized(parts: Sizes, equity: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Size in money and position fraction, given the equity at each signal (NaN = not known)."""
    positive = np.where(equity > 0, equity, np.nan)
    asked = _first(parts.fraction, parts.granted) * positive
    money = _first(parts.money, _first(asked, parts.filled))
    money = np.where(money > 0, money, np.nan)
    return money, _first(parts.granted, _first(parts.fraction, money / positive))


def shadow_status(shadow: Array) -> NDArray[np.int8]:
    """A ResultStatus for each record of a simulated result; NONE where one is LEFT_OUT."""
    status = result_status(shadow)
    is_pending = (status == ResultStatus.NONE) & (shadow["status"] != LEFT_OUT)
    return np.where(is_pending, ResultStatus.PENDING, status).astype(np.int8)


def latest_predictions(
    row: IntArray, code: IntArray, available_ns: IntArray, record: Array
) -> Predictions:
    """Of the predictions of each model about each signal one, by row and model: a correction, else
    the latest."""
    told = (available_ns, times_ns(record), record["rank"])
    order = np.lexsort((*told, code, row))
    row, code = row[order], code[order]
    is_last = np.ones(row.size, dtype=np.bool_)
    is_last[:-1] = (row[1:] != row[:-1]) | (code[1:] != code[:-1])
    return Predictions(
        row[is_last], code[is_last].astype(np.int32), record["probability"][order][is_last]
    )


def no_columns() -> dict[str, Array]:
    """What `signal_columns` and a window add up to where there is no signal."""
    keys = ("signal_key", "signal_time_ns", "strategy_key", "symbol_key")
    told: dict[str, Array] = {name: np.empty(0, dtype=np.int64) for name in keys}
    for name, layout in _LAYOUTS.items():
        told[name] = np.empty(0, dtype=layout)
    nowhere = np.empty(0, dtype=np.int64)
    return signal_columns(told) | {"lane": nowhere, "byte_counts": nowhere}


def verdict_columns(tails: bytes, byte_counts: IntArray) -> tuple[IntArray, dict[str, Array]]:
    """Where each signal's verdicts begin, and the columns of Verdicts; guards as keys."""
    told = np.frombuffer(tails, dtype=VERDICT)
    start = np.concatenate(([0], np.cumsum(byte_counts // VERDICT.itemsize)))
    columns = {name: np.ascontiguousarray(told[name]) for name in VERDICT.names or ()}
    # A guard that does not tell whether it remembers is taken to.
    columns["memory"] = np.where(columns["memory"] == 0, STATEFUL, columns["memory"])
    return start, columns


def verdicts_in_order(
    start: IntArray, columns: dict[str, Array], guard: NDArray[np.int32], order: IntArray
) -> Verdicts:
    """The verdicts of the signals in another order."""
    counts = np.diff(start)[order]
    begin = np.concatenate(([0], np.cumsum(counts)))
    taken = np.repeat(start[:-1][order] - begin[:-1], counts) + np.arange(begin[-1])
    return Verdicts(
        start=begin.astype(np.int64),
        guard=guard[taken],
        result=columns["result"][taken],
        memory=columns["memory"][taken].astype(np.int8),
        rule=columns["rule"][taken],
        is_minimum=columns["is_minimum"][taken],
        observed=columns["observed"][taken],
        limit=columns["limit"][taken],
        detail=columns["detail"][taken],
    )


def _real(
    outcome: Array, original: Array, trade: Array, signal_time_ns: IntArray
) -> dict[str, Array]:
    told = result_status(outcome)
    # A correction of "still open" is the first to tell of an end.
    told_ns = np.where(is_result(result_status(original)), times_ns(original), times_ns(outcome))
    from_outcome = is_result(told) & np.isfinite(outcome["return_fraction"])
    traded = np.where(trade["is_attributed"] != 0, trade["status"], ResultStatus.NONE)
    closed = is_result(traded) & np.isfinite(trade["return_fraction"])
    is_open = told == ResultStatus.CENSORED
    from_trade = closed & ~from_outcome & ~(is_open & (told_ns >= trade["exit_time_ns"]))
    is_open &= ~from_trade
    still_held = ~(from_outcome | from_trade | is_open) & (
        (traded == ResultStatus.PENDING) | (traded == ResultStatus.CENSORED)
    )
    choices = [from_outcome | is_open, from_trade | still_held]
    exit_ns = np.select(choices, [told_ns, np.where(from_trade, trade["exit_time_ns"], 0)], 0)
    first_ns = np.where(
        trade["first_fill_time_ns"] != 0, trade["first_fill_time_ns"], signal_time_ns
    )
    from_holding = (outcome["holding_ns"] >= 0) & choices[0]
    entry_ns = np.where(from_holding, told_ns - outcome["holding_ns"], first_ns)
    numbers = [from_outcome, from_trade]
    return {
        "real_status": np.select(choices, [told, traded], ResultStatus.NONE).astype(np.int8),
        "real_entry_time_ns": np.where(choices[0] | choices[1], entry_ns, 0),
        "real_exit_time_ns": exit_ns,
        "real_return": np.select(
            numbers, [outcome["return_fraction"], trade["return_fraction"]], np.nan
        ),
        "real_pnl": np.select(numbers, [outcome["pnl"], trade["pnl"]], np.nan),
    }


def result_status(records: Array) -> NDArray[np.int8]:
    """A ResultStatus by what was told; NONE where nothing was. A correction that is a result is
    CORRECTED."""
    status = _TOLD[np.clip(records["status"], 0, len(_TOLD) - 1)]
    is_corrected = (records["rank"] >= CORRECTION) & (status == ResultStatus.MATURED)
    return np.where(is_corrected, np.int8(ResultStatus.CORRECTED), status)


def is_result(status: Array) -> NDArray[np.bool_]:
    """Where a ResultStatus stands for a result."""
    result: NDArray[np.bool_] = (status == ResultStatus.MATURED) | (
        status == ResultStatus.CORRECTED
    )
    return result


def _holding_s(signal: Array) -> FloatArray:
    """The planned holding period in seconds, the shorter of two; NaN = open-ended. Trading days
    are taken for as many days as they are on average."""
    told_s = np.where(signal["holding_ns"] > 0, signal["holding_ns"] / _NS, np.nan)
    days_s = signal["holding_days"] * trading_day_s(signal["calendar"])
    return np.fmin(told_s, np.where(days_s > 0, days_s, np.nan))


def trading_day_s(calendar: IntArray) -> FloatArray:
    """Seconds from one trading day to the next, on average, by the key of the calendar."""
    always = calendar == name_key(_ALWAYS_OPEN)
    return np.where(always, _DAY_S, _TRADING_DAY_S)


def _first(one: Any, other: Any) -> FloatArray:
    """The first where it is known, else the other."""
    chosen: FloatArray = np.where(np.isnan(one), other, one)
    return chosen
