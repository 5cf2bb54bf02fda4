"""Day by day through the closes: what one book saw, proposed, decided, filled and earned.

At the close of each day, in this order: bars; exits that are due; entries that were approved the
day before (so at the *next* close); proposals of the strategies on closes up to today; the guards'
verdicts. A position is held for its holding period counted in the symbol's own bars. Costs: 4 basis
points of slippage against the trade and 1 basis point of fee, at entry and at exit. Every position
is 5 % of initial capital (nothing is compounded); exposure is counted at cost.

Every signal, traded or not, is also followed to the return that it would have made with the same
entry, exit and costs: `Followed`, provisional. A signal whose exit lies beyond the last bar has
none; an open position then is CENSORED.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from trimtab_server.demo.calibrating import WalkForward
from trimtab_server.demo.guards import POSITION_FRACTION, Limits, verdicts
from trimtab_server.demo.prices import Market
from trimtab_server.demo.steps import (
    AccountMarked,
    AskGate,
    BarClosed,
    Closed,
    DecisionMade,
    Filled,
    NotFilled,
    RegimeChanged,
    SignalMade,
    Step,
)
from trimtab_server.demo.strategies import Generator, Proposal, view
from trimtab_server.domain.statistics.estimates import FloatArray
from trimtab_server.domain.statistics.returns import Book

CAPITAL = 1_000_000.0
"""Initial capital, USD."""
SLIPPAGE = 0.0004
FEE = 0.0001
ACCOUNT_EVERY_DAYS = 5
SHADOW = {"entry": "close", "taker_fee_bps": 1e4 * FEE}
"""How the sidecar is to follow the signals of an engine like this: it trades at closes."""


@dataclass(slots=True)
class _Open:
    made: SignalMade
    entry_position: int
    quantity: float
    entry_price: float
    fee: float
    closes: list[float] = field(default_factory=list)


def followed_return(market: Market, proposal: Proposal) -> tuple[int, float] | None:
    """(position of exit, return after costs) of a signal from its own later prices, or None.

    Entry at the symbol's next bar, exit `holding_days` bars after it. None: not matured.
    """
    column = market.close[proposal.position + 1 :, market.symbols.index(proposal.symbol)]
    bars = np.flatnonzero(np.isfinite(column))
    if bars.size <= proposal.holding_days:
        return None
    entry, leave = int(bars[0]), int(bars[proposal.holding_days])
    result = net_return(float(column[entry]), float(column[leave]))
    return proposal.position + 1 + leave, result


def net_return(entry_close: float, exit_close: float) -> float:
    """Return of a long trade after slippage and fees, as a fraction of entry notional."""
    bought, sold = entry_close * (1 + SLIPPAGE), exit_close * (1 - SLIPPAGE)
    return (sold * (1 - FEE) - bought * (1 + FEE)) / bought


class Replay:
    """One book's way through the market; iterate `steps()` once, then read the results.

    allowed: the guards' limits. calibrator: None, or what turns a claim into a probability with
    what was known that day. ask: the signal gate; None = not asked. Results: signals and decisions
    (as made), trades (Closed), and period_returns (of capital, one a day from market.first on).
    """

    def __init__(
        self,
        market: Market,
        allowed: Limits,
        calibrator: WalkForward | None = None,
        ask: AskGate | None = None,
    ):
        self.market = market
        self.allowed = allowed
        self._ask = ask
        self.signals: list[SignalMade] = []
        self.decisions: list[DecisionMade] = []
        self.trades: list[Closed] = []
        self.period_returns: FloatArray = np.zeros(market.days.size)
        self._calibrator = calibrator
        self._generator = Generator(market)
        self._open: list[_Open] = []
        self._pending: list[SignalMade] = []
        self._regime = ""
        self._column = {symbol: k for k, symbol in enumerate(market.symbols)}

    def steps(self) -> Iterator[Step]:
        """Everything that happens, in order. The warm-up days give bars only to the strategies."""
        for position in range(self.market.first, self.market.days.size):
            yield from self._bars(position)
            self._mark(position)
            yield from self._exits(position)
            yield from self._entries(position)
            yield from self._decide(position)
            if (position - self.market.first) % ACCOUNT_EVERY_DAYS == 0:
                yield self._account(position)
        yield from self._censor()

    def _bars(self, position: int) -> Iterator[Step]:
        for k, symbol in enumerate(self.market.symbols):
            close = float(self.market.close[position, k])
            if np.isfinite(close):
                columns = self.market.detail.get(symbol, {})
                detail = {name: float(values[position]) for name, values in columns.items()}
                known = {name: value for name, value in detail.items() if np.isfinite(value)}
                yield BarClosed(position, symbol, close, known)

    def _close(self, position: int, symbol: str) -> float | None:
        close = float(self.market.close[position, self._column[symbol]])
        return close if np.isfinite(close) else None

    def _mark(self, position: int) -> None:
        for held in self._open:
            close = self._close(position, held.made.proposal.symbol)
            if close is not None:
                gain = held.quantity * (close - held.closes[-1])
                self.period_returns[position] += gain / CAPITAL
                held.closes.append(close)

    def _exits(self, position: int) -> Iterator[Step]:
        due = [
            held
            for held in self._open
            if len(held.closes) > held.made.proposal.holding_days
            and self._close(position, held.made.proposal.symbol) is not None
        ]
        for held in due:
            self._open.remove(held)
            proposal, close = held.made.proposal, held.closes[-1]
            price = close * (1 - SLIPPAGE)
            fee = held.quantity * price * FEE
            cost = held.quantity * (close - price) + fee
            self.period_returns[position] -= cost / CAPITAL
            yield Filled(proposal, position, "SELL", held.quantity, price, close, fee)
            closed = self._closed(held, position, price, fee)
            self.trades.append(closed)
            yield closed

    def _closed(self, held: _Open, position: int, price: float, fee: float) -> Closed:
        path = np.array(held.closes) / held.entry_price - 1.0
        pnl = held.quantity * (price - held.entry_price) - fee - held.fee
        return Closed(
            proposal=held.made.proposal,
            claimed=held.made.claimed,
            calibrated=held.made.calibrated,
            entry_position=held.entry_position,
            position=position,
            quantity=held.quantity,
            entry_price=held.entry_price,
            exit_price=price,
            return_fraction=pnl / (held.quantity * held.entry_price),
            pnl=pnl,
            fees=fee + held.fee,
            mfe=max(0.0, float(path.max())),
            mae=max(0.0, float(-path.min())),
            realized_volatility=float(np.std(np.diff(np.log(held.closes)), ddof=1)),
        )

    def _entries(self, position: int) -> Iterator[Step]:
        pending, self._pending = self._pending, []
        for made in pending:
            close = self._close(position, made.proposal.symbol)
            if close is None:
                self._pending.append(made)
                continue
            price = close * (1 + SLIPPAGE)
            quantity = POSITION_FRACTION * CAPITAL / price
            fee = quantity * price * FEE
            self.period_returns[position] -= (quantity * (price - close) + fee) / CAPITAL
            self._open.append(_Open(made, position, quantity, price, fee, [close]))
            yield Filled(made.proposal, position, "BUY", quantity, price, close, fee)

    def _decide(self, position: int) -> Iterator[Step]:
        seen = view(self.market, position)
        if seen is None:
            return
        if seen.regime != self._regime:
            yield RegimeChanged(position, seen.regime, self._regime)
            self._regime = seen.regime
        for proposal in self._generator.proposals(position, seen):
            made = self._signal(proposal)
            said = self._ask(made.proposal) if self._ask is not None else None
            self.signals.append(made)
            yield made
            answers = verdicts(made.proposal, self.exposure, self.allowed)
            approved = not any(answer.blocked for answer in answers)
            if said is not None:
                approved = approved and said.allowed
            column = self.market.detail.get(proposal.symbol, {}).get("volume")
            volume = None if column is None else float(column[position])
            decision = DecisionMade(
                made.proposal,
                answers,
                approved,
                volume if volume is not None and np.isfinite(volume) else None,
                said,
            )
            self.decisions.append(decision)
            if approved:
                self._pending.append(made)
            yield decision

    def _signal(self, proposal: Proposal) -> SignalMade:
        if self._calibrator is None:
            return SignalMade(proposal, proposal.confidence, calibrated=False)
        probability = self._calibrator.probability(proposal)
        calibrated = probability is not None
        used = replace(proposal, confidence=probability) if probability is not None else proposal
        return SignalMade(used, proposal.confidence, calibrated=calibrated)

    @property
    def exposure(self) -> float:
        """Gross exposure at cost, open and approved positions, as a fraction of capital."""
        return (len(self._open) + len(self._pending)) * POSITION_FRACTION

    def _account(self, position: int) -> AccountMarked:
        equity = CAPITAL * (1.0 + float(self.period_returns[: position + 1].sum()))
        marks = (held.quantity * held.closes[-1] for held in self._open)
        return AccountMarked(position, equity, float(sum(marks)))

    def _censor(self) -> Iterator[Step]:
        """What the end of the data leaves without a result: unfilled entries, open positions."""
        last = self.market.days.size - 1
        for made in self._pending:
            yield NotFilled(last, made.proposal)
        for held in self._open:
            closed = Closed(
                held.made.proposal,
                held.made.claimed,
                held.made.calibrated,
                held.entry_position,
                last,
                held.quantity,
                held.entry_price,
                *(None, None, None),
                held.fee,
                *(None, None, None),
            )
            self.trades.append(closed)
            yield closed

    @property
    def matured(self) -> list[Closed]:
        """The trades that have a result, in the order of their exits."""
        return [trade for trade in self.trades if trade.return_fraction is not None]

    def book(self, trades: list[Closed] | None = None) -> Book:
        """The book's returns and matured trades (or these of them) on the calendar of the replay.

        For a part of the trades the period returns are still the whole book's.
        """
        chosen = self.matured if trades is None else trades
        returns = [t.return_fraction for t in chosen if t.return_fraction is not None]
        days = [t.entry_position - self.market.first for t in chosen]
        return Book(
            self.period_returns[self.market.first :],
            np.array(returns, dtype=np.float64),
            np.array(days, dtype=np.int64),
            self.market.judged - self.market.first,
        )
