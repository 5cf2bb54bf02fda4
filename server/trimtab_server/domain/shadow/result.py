"""What following a signal in shadow came to, and the id of the event that says so."""

import hashlib
from typing import NamedTuple

from trimtab_server.domain.ledger.facts import Lane, MarkoutFact

STOP_LOSS, TAKE_PROFIT, TIME, END_OF_DATA = 1, 2, 3, 8
"""Why a position ended; values as in the contract."""
COARSE, AMBIGUOUS, MAKER, NOT_FILLED = 1, 2, 4, 8
"""Bits of the flags, as in `domain.ledger.columns.Ledger.shadow_flags`."""
MATURED, CENSORED = 1, 2
"""Status of an outcome; values as in the contract."""


class ShadowResult(NamedTuple):
    """The fields of a ShadowFact, and what else its event tells.

    age_ns and trading_days 0 = the signal's own life, else its horizon. Numbers that are not known
    are NaN. time_ns: when it left, or of the last price before the horizon's end; known_ns: when
    that was settled. quantity: units that the cap on volume allows. holding_ns: -1 = never entered.
    exit_reason: as in the contract, 0 for a horizon. threshold: as decided, else of the signal.
    """

    lane: Lane
    time_ns: int
    event_id: bytes
    corrects_id: bytes
    key: int
    status: int
    age_ns: int
    trading_days: int
    calendar: str
    return_fraction: float
    optimistic: float
    pessimistic: float
    gross: float
    spread_cost: float
    fee_cost: float
    carry_cost: float
    mfe: float
    mae: float
    volatility: float
    entry_time_ns: int
    flags: int
    markouts: tuple[MarkoutFact, ...]
    signal_id: str
    strategy: str
    symbol: str
    side: int
    quantity: float
    entry_price: float
    exit_price: float
    exit_reason: int
    holding_ns: int
    traded: bool
    filled_fraction: float
    action: int
    confidence: float
    is_calibrated: bool
    threshold: float
    known_ns: int
    fill_model: str


def shadow_event_id(
    lane: Lane, signal_id: str, time_ns: int, horizon: tuple[int, int, str], fill_model: str
) -> bytes:
    """16 bytes of a UUID of version 7 (RFC 9562), made of nothing but what it is about: the time in
    milliseconds, then a digest."""
    # No name or id holds a control character.
    source, environment, run_id = lane
    age_ns, trading_days, calendar = horizon
    told = (
        f"{source}\n{environment}\n{run_id}\n{signal_id}"
        f"\n{age_ns}\n{trading_days}\n{calendar}\n{fill_model}"
    )
    digest = bytearray(hashlib.blake2b(told.encode(), digest_size=10).digest())
    digest[0] = digest[0] & 0x0F | 0x70
    digest[2] = digest[2] & 0x3F | 0x80
    return (time_ns // 1_000_000).to_bytes(6, "big") + bytes(digest)
