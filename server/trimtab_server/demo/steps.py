"""What happens in a book, step by step, as plain data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from trimtab_server.demo.guards import Verdict
from trimtab_server.demo.strategies import Proposal

GATE = "signal_gate"
"""Name of the gate among the guards of a decision."""


@dataclass(frozen=True, slots=True)
class BarClosed:
    """A bar. detail: open, high, low, volume where the data has them."""

    position: int
    symbol: str
    close: float
    detail: dict[str, float]


@dataclass(frozen=True, slots=True)
class RegimeChanged:
    """The label of the market's regime changed (from closes up to this day)."""

    position: int
    regime: str
    previous: str


@dataclass(frozen=True, slots=True)
class SignalMade:
    """A proposal. confidence: what the guard is asked about; claimed: before calibration."""

    proposal: Proposal
    claimed: float
    calibrated: bool


class GateSaid(NamedTuple):
    """What the signal gate answered. codes, words: its reasons; source: LEASE, RPC, STALE or
    FALLBACK; day: of the question, as an ISO date."""

    allowed: bool
    codes: tuple[str, ...]
    words: str
    revision: int
    source: str
    day: str


AskGate = Callable[[Proposal], GateSaid]
"""Asks the signal gate about one proposal, before anything else is done with it."""


@dataclass(frozen=True, slots=True)
class DecisionMade:
    """What the gate and the guards said about it; approved = the gate allowed it and no guard
    blocked. gate: None = nobody asked it."""

    proposal: Proposal
    verdicts: tuple[Verdict, ...]
    approved: bool
    volume: float | None
    gate: GateSaid | None = None


@dataclass(frozen=True, slots=True)
class Filled:
    """A fill at a close (BUY enters, SELL exits), slippage in the price, fee in USD."""

    proposal: Proposal
    position: int
    side: str
    quantity: float
    price: float
    expected_price: float
    fee: float


@dataclass(frozen=True, slots=True)
class Closed:
    """A position's result; return_fraction None = CENSORED at the end of the data.

    mfe, mae: largest gain and loss of the closes while held, as fractions of the entry price, >= 0.
    """

    proposal: Proposal
    claimed: float
    calibrated: bool
    entry_position: int
    position: int
    quantity: float
    entry_price: float
    exit_price: float | None
    return_fraction: float | None
    pnl: float | None
    fees: float
    mfe: float | None
    mae: float | None
    realized_volatility: float | None


@dataclass(frozen=True, slots=True)
class NotFilled:
    """An approved signal whose symbol had no later bar to enter at."""

    position: int
    proposal: Proposal


@dataclass(frozen=True, slots=True)
class AccountMarked:
    """The account at a close, USD."""

    position: int
    equity: float
    exposure: float


Step = (
    BarClosed
    | RegimeChanged
    | SignalMade
    | DecisionMade
    | Filled
    | NotFilled
    | Closed
    | AccountMarked
)
