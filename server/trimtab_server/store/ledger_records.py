"""How facts are packed into the ledger's columns, and what the bytes mean.

Every record of an event begins with what orders facts of one kind about one signal: its rank (a
correction is above others, a simulated result that is CENSORED below), its time, its id, so that
comparing bytes compares facts, in Python, SQLite and Postgres alike, and the greatest is the one
that counts whatever came first. Little-endian behind that. A layout changes only with a migration
that empties the tables: they are made again from the log.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from math import nan
from struct import Struct
from typing import Any

import numpy as np

from trimtab_server.domain.ledger.facts import (
    AccountFact,
    DecisionFact,
    Lane,
    MarkoutFact,
    OutcomeFact,
    PredictionFact,
    ShadowFact,
    SignalFact,
)
from trimtab_server.domain.ledger.lots import TradeRow

Dtype = np.dtype[np.void]

# Times before 1970 sort before later ones: the sign bit is turned round.
_TIME_SHIFT = 1 << 63
CORRECTION = 2
"""Least rank of an outcome or a simulated result that is a correction."""
_ORDER = Struct(">BQ16s")
_HEAD = [("rank", "u1"), ("time_ns", ">u8"), ("event_id", "V16")]
_CODES = {"i1": "b", "i4": "i", "i8": "q", "f8": "d"}


def _layout(*parts: str, has_head: bool = True) -> Dtype:
    """The layout of parts, each a type and the names that have it, in the order of the fact."""
    fields = [(name, f"<{kind}") for kind, *names in map(str.split, parts) for name in names]
    return np.dtype([*(_HEAD if has_head else []), *fields])


def _struct(layout: Dtype, count: int = 1) -> Struct:
    """What packs so many records of a layout; a head goes in as 25 bytes."""
    names = layout.names or ()
    has_head = names[0] == _HEAD[0][0]
    plain = [layout[name].str[1:] for name in names[len(_HEAD) if has_head else 0 :]]
    codes = ("25s" if has_head else "") + "".join(_CODES[kind] for kind in plain)
    return Struct("<" + codes * count)


SIGNAL = _layout(
    "i8 model",
    "i1 side intent size_kind",
    "f8 size multiplier reference_price",
    "i8 holding_ns",
    "i4 holding_days",
    "i8 calendar",
    "f8 stop_price target_price",
)
# What a signal was decided on; the least record of a signal is what was known first.
KNOWN = _layout(
    "f8 confidence", "i1 is_calibrated", "f8 expected_return volatility threshold", "i8 regime"
)
DECISION = _layout(
    "i1 action", "f8 spread_bps bid ask price threshold position_fraction entry_price"
)
TRADE = _layout(
    "i8 first_fill_time_ns",
    "f8 entry_quantity entry_price exit_quantity exit_price fees pnl return_fraction",
    "i8 exit_time_ns",
    "i1 status is_attributed",
    has_head=False,
)
OUTCOME = _layout(
    "i1 status",
    "f8 return_fraction pnl",
    "i1 won",
    "i8 holding_ns",
    "f8 entry_price exit_price mfe mae volatility",
)
# When a decision or an outcome happened that may be corrected, with the outcome's status.
ORIGINAL = _layout("i1 status")
SHADOW = _layout(
    "i1 status flags",
    "i8 entry_time_ns",
    "f8 return_fraction optimistic pessimistic gross spread_cost fee_cost carry_cost",
    "f8 mfe mae volatility",
    "i8 fill_model",
)
PREDICTION = _layout("f8 probability")
ACCOUNT = _layout("f8 equity")
# Behind a decision and behind a shadow result, each any number of times.
VERDICT = _layout(
    "i8 guard", "i1 result memory rule is_minimum", "f8 observed limit detail", has_head=False
)
MARKOUT = _layout(
    "i8 age_ns", "i4 trading_days", "i8 calendar", "f8 return_fraction", has_head=False
)

_pack_signal = _struct(SIGNAL).pack
_pack_known = _struct(KNOWN).pack
_pack_original = _struct(ORIGINAL).pack
_pack_decision = _struct(DECISION).pack
_pack_trade = _struct(TRADE).pack
_pack_outcome = _struct(OUTCOME).pack
_pack_shadow = _struct(SHADOW).pack
_pack_prediction = _struct(PREDICTION).pack
_pack_account = _struct(ACCOUNT).pack
_pack_markout = _struct(MARKOUT).pack
_pack_order = _ORDER.pack

# Of the contract: an outcome without a result, and one that replaces another.
_CENSORED, _CORRECTED = 2, 3
# Verdicts that a decision may hold: the contract's limit.
_VERDICTS_MAX = 64


def absent(layout: Dtype) -> bytes:
    """The record of what is not known: numbers NaN, everything else 0."""
    row = np.zeros(1, dtype=layout)
    for name in layout.names or ():
        if layout[name].kind == "f":
            row[name] = nan
    return row.tobytes()


def times_ns(records: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The times of the facts in records with a head; 0 where there is no fact."""
    told = records["time_ns"].astype(np.uint64)
    times: np.ndarray[Any, np.dtype[np.int64]] = (told ^ np.uint64(_TIME_SHIFT)).view(np.int64)
    return np.where(told == 0, 0, times)


@lru_cache(maxsize=65_536)
def name_key(name: str) -> int:
    """64 bits (signed) that stand for a name; 0 for "" (no digest is)."""
    if not name:
        return 0
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True) or 1


class Keys(dict[str, int]):
    """The keys of names; afterwards the names that were asked for."""

    def __missing__(self, name: str) -> int:
        key = self[name] = name_key(name)
        return key


@lru_cache(maxsize=4_096)
def lane_key(lane: Lane) -> int:
    """64 bits (signed) that stand for a lane."""
    digest = hashlib.blake2b(json.dumps(lane).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def signal_record(fact: SignalFact, keys: Keys) -> bytes:
    """A signal; what it is looked for by and its context stand in columns of their own."""
    _, time_ns, event_id, corrects_id, _, _, _, _, model = fact[:9]
    return _pack_signal(
        _pack_order(corrects_id != b"", time_ns + _TIME_SHIFT, event_id),
        keys[model],
        *fact[9:11],
        *fact[14:17],
        fact[18],
        *fact[21:23],
        keys[fact[23]],
        *fact[24:26],
    )


def known_record(fact: SignalFact, keys: Keys) -> bytes:
    """What a signal was decided on, as this fact tells it."""
    order = _pack_order(fact[3] != b"", fact[1] + _TIME_SHIFT, fact[2])
    return _pack_known(order, *fact[11:14], fact[17], fact[20], keys[fact[19]])


def original_record(record: bytes, status: int) -> bytes:
    """When the fact of a record happened, b"" for a correction: what it corrects tells that."""
    return b"" if record[0] else _pack_original(record[: _ORDER.size], status)


def decision_record(fact: DecisionFact, keys: Keys) -> bytes:
    """A decision, and behind it the verdicts."""
    _, time_ns, event_id, corrects_id, _, _, _, _, action, verdicts, *numbers = fact
    record = _pack_decision(
        _pack_order(corrects_id != b"", time_ns + _TIME_SHIFT, event_id), action, *numbers
    )
    if not verdicts:
        return record
    told: list[Any] = []
    for verdict in verdicts:
        told += (keys[verdict[0]], *verdict[1:])
    return record + _verdicts(len(verdicts)).pack(*told)


@lru_cache(maxsize=_VERDICTS_MAX)
def _verdicts(count: int) -> Struct:
    return _struct(VERDICT, count)


def trade_record(trade: TradeRow) -> bytes:
    """What fills come to: the latest that is told counts."""
    return _pack_trade(*trade[2:])


def outcome_record(fact: OutcomeFact) -> bytes:
    """What really became of a signal."""
    is_correction = fact.corrects_id != b"" or fact.status == _CORRECTED
    order = _pack_order(is_correction * CORRECTION, fact.time_ns + _TIME_SHIFT, fact.event_id)
    return _pack_outcome(order, *fact[8:])


def shadow_record(fact: ShadowFact, keys: Keys) -> bytes:
    """A simulated result, of the signal's own life or over a horizon, and behind it markouts."""
    is_correction = fact.corrects_id != b"" or fact.status == _CORRECTED
    # Derived again from a log whose early prices were pruned, a result is CENSORED, and later.
    rank = CORRECTION if is_correction else int(fact.status != _CENSORED)
    record = _pack_shadow(
        _pack_order(rank, fact.time_ns + _TIME_SHIFT, fact.event_id),
        *(fact.status, fact.flags, fact.entry_time_ns),
        *(fact.return_fraction, fact.optimistic, fact.pessimistic, fact.gross),
        *(fact.spread_cost, fact.fee_cost, fact.carry_cost, fact.mfe, fact.mae, fact.volatility),
        keys[fact.fill_model],
    )
    if not fact.markouts:
        return record
    return record + _markouts(fact.markouts, keys)


def prediction_record(fact: PredictionFact) -> bytes:
    """What a model said."""
    order = _pack_order(fact.corrects_id != b"", fact.time_ns + _TIME_SHIFT, fact.event_id)
    return _pack_prediction(order, fact.probability)


def account_record(fact: AccountFact) -> bytes:
    """The account's equity."""
    order = _pack_order(fact.corrects_id != b"", fact.time_ns + _TIME_SHIFT, fact.event_id)
    return _pack_account(order, fact.equity)


def _markouts(markouts: Iterable[MarkoutFact], keys: Keys) -> bytes:
    return b"".join(
        [
            _pack_markout(age_ns, trading_days, keys[calendar], return_fraction)
            for age_ns, trading_days, calendar, return_fraction in markouts
        ]
    )
