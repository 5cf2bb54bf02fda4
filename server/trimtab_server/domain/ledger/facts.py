"""What the ledger reads out of events: a small tuple a kind, so nothing behind it knows protobuf.

Numbers that are not known are NaN, names that are not told "", times that are not told 0. Every
fact begins with where it belongs (`lane`), when it happened, and the event that told it.
"""

import hashlib
import json
from typing import NamedTuple, TypeAlias


class Lane(NamedTuple):
    """What never mixes with anything else: one engine's one environment or run."""

    source: str
    environment: int
    run_id: str


def signal_key(lane: Lane, signal_id: str) -> int:
    """64 bits (signed) that stand for a signal. Two signals of a log share one with a probability
    of about n^2 / 2^65: three in a million for ten million signals."""
    told = json.dumps([lane.source, lane.environment, lane.run_id, signal_id]).encode()
    return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "big", signed=True)


class SignalFact(NamedTuple):
    """A Signal. side: +1, -1. size_kind: 0 not told, 1 quantity, 2 notional, 3 equity fraction.
    context: indicator values, features and attributes as JSON, for slices; b"" = none."""

    lane: Lane
    time_ns: int
    event_id: bytes
    corrects_id: bytes
    key: int
    signal_id: str
    strategy: str
    symbol: str
    model: str
    side: int
    intent: int
    confidence: float
    is_calibrated: bool
    expected_return: float
    size_kind: int
    size: float
    multiplier: float
    volatility: float
    reference_price: float
    regime: str
    threshold: float
    holding_ns: int
    holding_days: int
    calendar: str
    stop_price: float
    target_price: float
    context: bytes


class VerdictFact(NamedTuple):
    """One guard's verdict; numbers as in `domain.ledger.columns.Verdicts`."""

    guard: str
    result: int
    memory: int
    rule: int
    is_minimum: bool
    observed: float
    limit: float
    detail: float


class DecisionFact(NamedTuple):
    """A Decision. spread_bps: as of the decision, from the snapshot. price: of the snapshot."""

    lane: Lane
    time_ns: int
    event_id: bytes
    corrects_id: bytes
    key: int
    signal_id: str
    strategy: str
    symbol: str
    action: int
    verdicts: tuple[VerdictFact, ...]
    spread_bps: float
    bid: float
    ask: float
    price: float
    threshold: float
    position_fraction: float
    entry_price: float


class FillFact(NamedTuple):
    """An Execution. allocations: (signal_key, quantity); empty = first in, first out. key: of the
    event's own signal_id; 0 = none told. side: +1, -1."""

    lane: Lane
    time_ns: int
    event_id: bytes
    corrects_id: bytes
    key: int
    signal_id: str
    symbol: str
    side: int
    intent: int
    quantity: float
    price: float
    fee: float
    allocations: tuple[tuple[int, float], ...]


class OutcomeFact(NamedTuple):
    """An Outcome of a position's own life (those over a horizon are not the signal's result).
    status as in the contract; holding_ns: -1 = not told; entry_price NaN = not told."""

    lane: Lane
    time_ns: int
    event_id: bytes
    corrects_id: bytes
    key: int
    signal_id: str
    strategy: str
    symbol: str
    status: int
    return_fraction: float
    pnl: float
    won: int
    holding_ns: int
    entry_price: float
    exit_price: float
    mfe: float
    mae: float
    volatility: float


class MarkoutFact(NamedTuple):
    """One age of a ShadowOutcome. age_ns 0 = the age is in trading days of `calendar`."""

    age_ns: int
    trading_days: int
    calendar: str
    return_fraction: float


class ShadowFact(NamedTuple):
    """A ShadowOutcome. age_ns and trading_days 0 = the signal's own life, else its horizon.
    flags: as in `domain.ledger.columns.Ledger.shadow_flags`. fill_model: its version."""

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
    fill_model: str


class PredictionFact(NamedTuple):
    """A Prediction that belongs to a signal and tells a probability. available_ns: when it could be
    known, never before time_ns."""

    lane: Lane
    time_ns: int
    event_id: bytes
    corrects_id: bytes
    key: int
    model: str
    probability: float
    available_ns: int


class BarFact(NamedTuple):
    """A MarketBar; time_ns is its close."""

    lane: Lane
    time_ns: int
    event_id: bytes
    corrects_id: bytes
    symbol: str
    interval_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    spread_bps: float
    is_adjusted: bool


class TickFact(NamedTuple):
    """A MarketTick."""

    lane: Lane
    time_ns: int
    event_id: bytes
    corrects_id: bytes
    symbol: str
    bid: float
    ask: float
    last: float
    volume: float


class ActionFact(NamedTuple):
    """A CorporateAction; action as in the contract."""

    lane: Lane
    time_ns: int
    event_id: bytes
    corrects_id: bytes
    symbol: str
    action: int
    ratio: float
    cash_amount: float
    new_symbol: str


class AccountFact(NamedTuple):
    """An AccountSnapshot: what makes money of an equity fraction."""

    lane: Lane
    time_ns: int
    event_id: bytes
    corrects_id: bytes
    equity: float


Fact: TypeAlias = (
    SignalFact
    | DecisionFact
    | FillFact
    | OutcomeFact
    | ShadowFact
    | PredictionFact
    | BarFact
    | TickFact
    | ActionFact
    | AccountFact
)
