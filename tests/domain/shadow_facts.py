"""Made-up facts for the shadow: a lane, bars, ticks, signals, decisions."""

import random
from collections.abc import Sequence
from math import nan
from typing import Any

from trimtab_server.domain.ledger.facts import (
    ActionFact,
    BarFact,
    DecisionFact,
    Fact,
    FillFact,
    Lane,
    SignalFact,
    TickFact,
    signal_key,
)
from trimtab_server.domain.shadow.book import ShadowBook
from trimtab_server.domain.shadow.fill_model import FillModel
from trimtab_server.domain.shadow.result import ShadowResult

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
START_NS = 19_723 * DAY_NS
"""Monday, 1 January 2024, midnight UTC."""
LANE = Lane("engine", 3, "run")
SPLIT, DIVIDEND, ROLL, RENAME, DELISTING = 1, 2, 3, 4, 5


def a_bar(time_ns: int, close: float, symbol: str = "ABC", **told: Any) -> BarFact:
    """An hour's bar of which only the close is known."""
    fact = BarFact(
        *(LANE, time_ns, b"b", b"", symbol, HOUR_NS),
        *(nan, nan, nan, close, nan, nan),
        is_adjusted=False,
    )
    return fact._replace(**told)


def a_whole_bar(
    time_ns: int, prices: tuple[float, float, float, float], symbol: str = "ABC", **told: Any
) -> BarFact:
    """An hour's bar with open, high, low and close."""
    opened, high, low, close = prices
    return a_bar(time_ns, close, symbol, open=opened, high=high, low=low, **told)


def a_tick(time_ns: int, symbol: str = "ABC", **told: Any) -> TickFact:
    """A tick that tells no price unless told."""
    fact = TickFact(LANE, time_ns, b"t", b"", symbol, nan, nan, nan, nan)
    return fact._replace(**told)


def a_signal(time_ns: int, name: str = "one", symbol: str = "ABC", **told: Any) -> SignalFact:
    """A plain buy for three hours."""
    fact = SignalFact(
        *(LANE, time_ns, b"s", b"", signal_key(LANE, name), name, "plan", symbol, "model", 1, 1),
        *(0.6, False, nan, 0, nan, 1.0, nan, nan, "", nan),
        *(3 * HOUR_NS, 0, "", nan, nan, b""),
    )
    return fact._replace(**told)


def a_decision(time_ns: int, name: str = "one", symbol: str = "ABC", **told: Any) -> DecisionFact:
    """A block with a spread of 4 basis points."""
    fact = DecisionFact(
        *(LANE, time_ns, b"d", b"", signal_key(LANE, name), name, "plan", symbol, 2, ()),
        *(4.0, nan, nan, nan, nan, nan, nan),
    )
    return fact._replace(**told)


def a_fill(time_ns: int, name: str = "one", symbol: str = "ABC") -> FillFact:
    """A buy of one unit."""
    key = signal_key(LANE, name)
    return FillFact(LANE, time_ns, b"f", b"", key, name, symbol, 1, 1, 1.0, 100.0, nan, ())


def an_action(time_ns: int, action: int, symbol: str = "ABC", **told: Any) -> ActionFact:
    """A corporate action."""
    fact = ActionFact(LANE, time_ns, b"a", b"", symbol, action, nan, nan, "")
    return fact._replace(**told)


def a_lane(rng: random.Random, bar_count: int = 120, *, style: str = "whole") -> list[Fact]:
    """Two symbols' hourly bars with gaps, signals with all kinds of plans, decisions at once, late
    or never, fills, splits and dividends; in order. style: "whole", "close" or "mixed" bars."""
    facts: list[Fact] = []
    price = {"ABC": 100.0, "XYZ": 40.0}
    count = 0
    for hour in range(1, bar_count + 1):
        end_ns = START_NS + hour * HOUR_NS
        for symbol in price:
            if rng.random() < 0.06:
                facts.append(_an_action(rng, end_ns - HOUR_NS + MINUTE_NS, symbol, price))
            if rng.random() < 0.85:
                facts.append(_a_random_bar(rng, end_ns, symbol, price, style))
        for symbol, last in price.items():
            if rng.random() < 0.3:
                count += 1
                facts += _a_random_signal(rng, end_ns, f"s{count}", symbol, last)
    return sorted(facts, key=lambda fact: (fact.time_ns, _RANKS[type(fact)]))


_RANKS: dict[type, int] = {
    ActionFact: 0,
    BarFact: 1,
    TickFact: 1,
    SignalFact: 3,
    DecisionFact: 4,
    FillFact: 5,
}


def _a_random_bar(
    rng: random.Random, end_ns: int, symbol: str, price: dict[str, float], style: str
) -> BarFact:
    opened = price[symbol] * (1 + rng.gauss(0, 0.01))
    close = opened * (1 + rng.gauss(0, 0.01))
    price[symbol] = close
    volume, spread = rng.choice((nan, 0.0, 50.0, 1e6)), rng.choice((nan, 3.0))
    if style == "close" or (style == "mixed" and rng.random() < 0.4):
        return a_bar(end_ns, close, symbol, volume=volume, spread_bps=spread)
    high = max(opened, close) * (1 + abs(rng.gauss(0, 0.006)))
    low = min(opened, close) * (1 - abs(rng.gauss(0, 0.006)))
    told = (opened, high, low, close)
    return a_whole_bar(end_ns, told, symbol, volume=volume, spread_bps=spread)


def _an_action(
    rng: random.Random, time_ns: int, symbol: str, price: dict[str, float]
) -> ActionFact:
    if rng.random() < 0.5:
        return an_action(time_ns, DIVIDEND, symbol, cash_amount=price[symbol] * 0.01)
    ratio = rng.choice((2.0, 0.5, 3.0))
    price[symbol] /= ratio
    return an_action(time_ns, SPLIT, symbol, ratio=ratio)


def _a_random_signal(
    rng: random.Random, time_ns: int, name: str, symbol: str, price: float
) -> list[Fact]:
    side = rng.choice((1, -1))
    time_ns += rng.choice((0, 0, 7 * MINUTE_NS))
    plan: dict[str, Any] = {"side": side, "holding_ns": 0, "holding_days": 0}
    if rng.random() < 0.6:
        plan["holding_ns"] = rng.choice((MINUTE_NS, HOUR_NS, 5 * HOUR_NS, 29 * HOUR_NS))
    if rng.random() < 0.5:
        plan["holding_days"] = rng.choice((1, 2))
    if rng.random() < 0.6:
        plan["stop_price"] = price * (1 - side * rng.uniform(0.002, 0.04))
    if rng.random() < 0.6:
        plan["target_price"] = price * (1 + side * rng.uniform(0.002, 0.04))
    plan |= rng.choice(({}, {"size_kind": 1, "size": 100.0}, {"size_kind": 2, "size": 5e4}))
    made: list[Fact] = [a_signal(time_ns, name, symbol, **plan)]
    wait_ns = rng.choice((0, 0, 0, 2 * SECOND_NS, 9 * SECOND_NS, None))
    if wait_ns is not None:
        spread = rng.choice((nan, 4.0))
        made.append(a_decision(time_ns + wait_ns, name, symbol, spread_bps=spread))
    if rng.random() < 0.3:
        made.append(a_fill(time_ns + rng.choice((1, HOUR_NS, 40 * HOUR_NS)), name, symbol))
    return made


def a_model(**told: Any) -> FillModel:
    """Without horizons, which are told where they matter."""
    return FillModel(**({"calendar": "24/7", "horizons": (), "markout_ages": ()} | told))


def results(facts: Sequence[Fact], **told: Any) -> list[ShadowResult]:
    """What a book with this model finds."""
    return ShadowBook(a_model(**told), 100).take(facts, 0)


def only(facts: Sequence[Fact], **told: Any) -> ShadowResult:
    """The one result."""
    (result,) = results(facts, **told)
    return result


def at(hours: float) -> int:
    """So many hours after the start."""
    return START_NS + round(hours * HOUR_NS)


def closes(*prices: float, first: int = 1, **told: Any) -> list[Fact]:
    """Hourly bars from hour `first` on of which only the close is known."""
    return [a_bar(at(first + each), price, **told) for each, price in enumerate(prices)]


def asked(hours: float = 1.0, **told: Any) -> list[Fact]:
    """A signal that was decided at once."""
    return [a_signal(at(hours), **told), a_decision(at(hours))]
