"""The event mix of every ingestion bench, as plain numbers (house rule, choice 6).

70 % bars, 12 % signals, 12 % decisions with all guards, 3 % executions, 3 % outcomes; 20 symbols,
2 strategies. `messages.py` turns the numbers into messages by hand, `calls.py` through the client.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

SOURCE = "bench-1"
SYMBOLS = (
    *("AAPL", "AMD", "AMZN", "AVGO", "BRK.B", "COST", "GOOGL", "HD", "JNJ", "JPM"),
    *("KO", "LLY", "MA", "META", "MSFT", "NVDA", "PG", "TSLA", "UNH", "XOM"),
)
STRATEGIES = ("momentum-1h", "mean-reversion-15m")
BAR_INTERVAL_S = 60
# Events of each kind in every hundred; signals and decisions take turns, so do the last two.
_SHARES = {"bar": 70, "trade": 24, "result": 6}


class Bar(NamedTuple):
    """An OHLCV bar of a minute."""

    symbol: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    spread_bps: float


class Signal(NamedTuple):
    """A proposal with its six indicator values and its exit plan."""

    signal_id: str
    strategy: str
    symbol: str
    side: str
    confidence: float
    expected_return: float
    equity_fraction: float
    indicator_values: dict[str, float]
    regime: str
    volatility: float
    reference_price: float
    holding_period_s: int
    stop_loss_price: float
    take_profit_price: float


class Decision(NamedTuple):
    """What was decided about a signal: three guards' verdicts and the market."""

    signal: Signal
    approved: bool
    volatility: float
    open_count: int
    exposure_fraction: float
    bid: float
    ask: float
    spread_bps: float
    volume: float


class Execution(NamedTuple):
    """A fill of an approved signal."""

    signal: Signal
    order_id: str
    quantity: float
    price: float
    fee: float


class Outcome(NamedTuple):
    """What a signal made."""

    signal: Signal
    return_fraction: float
    pnl: float
    fees: float
    exit_price: float
    holding_time_s: int
    mfe: float
    mae: float


Draw = Bar | Signal | Decision | Execution | Outcome


class Mix:
    """An endless series of draws; the same for the same seed. A decision follows its signal."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._signal_count = 0
        self._last = self._signal()
        self._filled = self._last

    def __iter__(self) -> Iterator[Draw]:
        kinds = [kind for kind, share in _SHARES.items() for _ in range(share)]
        count = {"bar": 0, "trade": 0, "result": 0}
        while True:
            self._rng.shuffle(kinds)
            for kind in kinds:
                count[kind] += 1
                first = count[kind] % 2 == 1
                if kind == "bar":
                    yield self._bar()
                elif kind == "trade":
                    yield self._trade(first=first)
                elif first:
                    yield self._execution()
                else:
                    yield self._outcome()

    def _trade(self, *, first: bool) -> Draw:
        if not first:
            return self._decision()
        self._last = self._signal()
        return self._last

    def _bar(self) -> Bar:
        rng = self._rng
        price = rng.uniform(20, 600)
        move = price * abs(rng.gauss(0, 0.002))
        return Bar(
            rng.choice(SYMBOLS),
            open=round(price, 2),
            high=round(price + 2 * move, 2),
            low=round(max(price - move, 1.0), 2),
            close=round(price + move, 2),
            volume=float(rng.randrange(100, 90_000)),
            spread_bps=rng.uniform(0.5, 6),
        )

    def _signal(self) -> Signal:
        rng = self._rng
        self._signal_count += 1
        price = round(rng.uniform(20, 600), 2)
        return Signal(
            signal_id=f"sig-{self._signal_count:09d}",
            strategy=rng.choice(STRATEGIES),
            symbol=rng.choice(SYMBOLS),
            side=rng.choice(("BUY", "SELL")),
            confidence=rng.uniform(0.5, 0.95),
            expected_return=rng.gauss(0.002, 0.004),
            equity_fraction=rng.uniform(0.005, 0.02),
            indicator_values={
                "rsi": rng.uniform(10, 90),
                "adx": rng.uniform(5, 60),
                "macd": rng.gauss(0, 1),
                "atr_fraction": rng.uniform(0.001, 0.03),
                "zscore": rng.gauss(0, 1.5),
                "volume_ratio": rng.uniform(0.3, 4),
            },
            regime=rng.choice(("Trending_Up", "Trending_Down", "Ranging")),
            volatility=rng.uniform(0.002, 0.03),
            reference_price=price,
            holding_period_s=rng.choice((900, 3_600, 14_400)),
            stop_loss_price=round(price * 0.98, 2),
            take_profit_price=round(price * 1.03, 2),
        )

    def _decision(self) -> Decision:
        rng = self._rng
        approved = rng.random() < 0.5
        if approved:
            self._filled = self._last
        price = self._last.reference_price
        return Decision(
            self._last,
            approved=approved,
            volatility=rng.uniform(0.002, 0.015) if approved else rng.uniform(0.015, 0.05),
            open_count=rng.randrange(8),
            exposure_fraction=rng.uniform(0.1, 0.7),
            bid=round(price - 0.01, 2),
            ask=round(price + 0.01, 2),
            spread_bps=rng.uniform(0.5, 6),
            volume=float(rng.randrange(100, 90_000)),
        )

    def _execution(self) -> Execution:
        rng = self._rng
        price = self._filled.reference_price
        return Execution(
            self._filled,
            order_id=f"ord-{rng.getrandbits(40):010x}",
            quantity=float(rng.randrange(1, 500)),
            price=round(price * (1 + rng.gauss(0, 0.0002)), 2),
            fee=rng.uniform(0.1, 2),
        )

    def _outcome(self) -> Outcome:
        rng = self._rng
        made = rng.gauss(0.001, 0.01)
        return Outcome(
            self._filled,
            return_fraction=made,
            pnl=1_000 * made,
            fees=rng.uniform(0.1, 2),
            exit_price=round(self._filled.reference_price * (1 + made), 2),
            holding_time_s=rng.randrange(60, 14_400),
            mfe=abs(rng.gauss(0, 0.01)),
            mae=abs(rng.gauss(0, 0.01)),
        )
