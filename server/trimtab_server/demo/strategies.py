"""Two strategies that propose; each claims a confidence, made a priori.

Both read closes up to and including today. z(k) = log return over k days / (daily volatility over
60 days * sqrt(k)): how unusual the move is.

momentum: m = mean of z(20), z(60), z(120). Proposes when m >= 0.75 and at least two of the three
    are positive; holds 10 trading days.
mean reversion: d = -z(5). Proposes when d >= 1.0; holds 5 trading days.

confidence = logistic(intercept + slope * (strength - entry) + agreement - turbulence), clipped to
0.15..0.95. The coefficients are round numbers written down beforehand (a bare entry claims
about 0.45, an extreme one 0.9; more agreement claims more, rising volatility less). They are NOT
fitted to anything: whether such a claim means anything is what the report finds out.

A strategy does not repeat itself: after a signal on a symbol it stays silent there for the holding
period, whatever the guards said. So the signals are the same in every book.
"""

from dataclasses import dataclass

import numpy as np

from trimtab_server.demo.prices import Market
from trimtab_server.domain.statistics.estimates import FloatArray

CONFIDENCE_MIN, CONFIDENCE_MAX = 0.15, 0.95
WINDOW = 120
"""Days of history that a signal needs."""
HOLDING_DAYS = {"momentum": 10, "mean_reversion": 5}
"""Trading days in the market, from entry close to exit close."""
HOLDING_DAYS_MAX = max(HOLDING_DAYS.values())
RULES_VERSION = "3"
"""Change it with any rule or coefficient of the demo: it is part of the run's name."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A signal before any guard.

    position: day (position in the market's calendar) of the close it was made at. confidence: 0.15
    to 0.95. strength: in standard deviations. volatility: daily, 20 days, as a fraction.
    """

    signal_id: str
    strategy: str
    symbol: str
    position: int
    confidence: float
    strength: float
    agreeing_model_count: int
    holding_days: int
    volatility: float
    reference_price: float
    indicator_values: dict[str, float]
    regime: str
    breadth: float


@dataclass(frozen=True, slots=True)
class View:
    """What the closes up to one day say, a value per symbol (NaN without enough history)."""

    z: dict[int, FloatArray]
    volatility: FloatArray
    turbulence: FloatArray
    regime: str
    breadth: float


def view(market: Market, position: int) -> View | None:
    """The readings at the close of that day; None when there is less than 120 days of history."""
    if position < WINDOW:
        return None
    logs = np.log(market.close[position - WINDOW : position + 1])
    steps = np.diff(logs, axis=0)
    ready = np.isfinite(logs).all(axis=0)
    steps = np.where(ready, steps, np.nan)
    spread = {k: np.std(steps[-k:], axis=0, ddof=1) for k in (20, 60, 120)}
    moves = {k: (logs[-1] - logs[-1 - k]) / (spread[60] * np.sqrt(k)) for k in (5, 10, 20, 60, 120)}
    if not ready.any():
        return None
    above = logs[-1, ready] > logs[:, ready].mean(axis=0)
    whole = steps[:, ready].mean(axis=1)
    rising = "up" if whole.sum() > 0 else "down"
    calm = "calm" if whole[-20:].std() <= whole.std() else "turbulent"
    return View(
        z=moves,
        volatility=spread[20],
        turbulence=spread[20] / spread[120] - 1.0,
        regime=f"{rising}_{calm}",
        breadth=float(above.mean()),
    )


def claimed_confidence(score: float) -> float:
    """Logistic of the score, clipped to 0.15..0.95 and rounded to 1e-6 (as it is recorded)."""
    claimed = 1.0 / (1.0 + np.exp(-score))
    return round(float(np.clip(claimed, CONFIDENCE_MIN, CONFIDENCE_MAX)), 6)


def _momentum(seen: View, k: int) -> tuple[float, float, int] | None:
    readings = [float(seen.z[days][k]) for days in (20, 60, 120)]
    strength = sum(readings) / 3
    agreeing = sum(reading > 0 for reading in readings)
    if not strength >= 0.75 or agreeing < 2:
        return None
    turbulence = float(seen.turbulence[k])
    score = -0.2 + 1.4 * (strength - 0.75) + 0.3 * (agreeing - 2) - 1.0 * turbulence
    return claimed_confidence(score), strength, agreeing


def _mean_reversion(seen: View, k: int) -> tuple[float, float, int] | None:
    strength = -float(seen.z[5][k])
    if not strength >= 1.0:
        return None
    agreeing = sum(float(seen.z[days][k]) < -0.5 for days in (5, 10, 20))
    trend = 0.4 if float(seen.z[120][k]) > 0 else -0.4
    score = -0.4 + 1.2 * (strength - 1.0) + trend - 0.8 * float(seen.turbulence[k])
    return claimed_confidence(score), strength, agreeing


RULES = {"momentum": _momentum, "mean_reversion": _mean_reversion}


class Generator:
    """Proposals day by day; remembers only when it last spoke, never what was done with it."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._silent_until: dict[tuple[str, str], int] = {}

    def proposals(self, position: int, seen: View) -> list[Proposal]:
        """The proposals at the close of that day, in a fixed order (strategy, then symbol)."""
        found = []
        for strategy, rule in RULES.items():
            for k, symbol in enumerate(self._market.symbols):
                if not np.isfinite(seen.volatility[k]) or not seen.volatility[k] > 0:
                    continue
                if position < self._silent_until.get((strategy, symbol), 0):
                    continue
                claim = rule(seen, k)
                if claim is not None:
                    self._silent_until[strategy, symbol] = position + HOLDING_DAYS[strategy]
                    found.append(self._proposal(strategy, k, position, seen, claim))
        return found

    def _proposal(
        self, strategy: str, k: int, position: int, seen: View, claim: tuple[float, float, int]
    ) -> Proposal:
        confidence, strength, agreeing = claim
        symbol = self._market.symbols[k]
        stamp = self._market.close_time_ns(position) // 1_000_000_000 // 86_400
        return Proposal(
            signal_id=f"{strategy}-{symbol}-{stamp}",
            strategy=strategy,
            symbol=symbol,
            position=position,
            confidence=confidence,
            strength=strength,
            agreeing_model_count=agreeing,
            holding_days=HOLDING_DAYS[strategy],
            volatility=float(seen.volatility[k]),
            reference_price=float(self._market.close[position, k]),
            indicator_values={f"z_{days}d": float(values[k]) for days, values in seen.z.items()},
            regime=seen.regime,
            breadth=seen.breadth,
        )
