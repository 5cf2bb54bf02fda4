"""What the shadow says of the demo's trades, beside what they really made."""

from datetime import date

import numpy as np
import pytest

from trimtab_client import EventBuilder
from trimtab_server.demo.events import StepEvents
from trimtab_server.demo.guards import limits
from trimtab_server.demo.prices import Market, load_market
from trimtab_server.demo.replay import FEE, SHADOW, SLIPPAGE, Replay
from trimtab_server.demo.steps import Closed
from trimtab_server.domain.shadow.book import ShadowBook
from trimtab_server.domain.shadow.fill_model import FillModel
from trimtab_server.domain.shadow.result import MATURED, ShadowResult
from trimtab_server.rpc.facts import facts_of

SYMBOLS = ("AAPL", "AMD", "JPM", "KO", "MSFT", "XOM")
MEAN_ERROR = 1e-5
"""A tenth of a basis point a trade."""


@pytest.fixture(scope="module")
def market() -> Market:
    """Six symbols, two and a half years with a crash in them."""
    return load_market(SYMBOLS, date(2019, 6, 1), date(2021, 12, 31))


def test_the_shadow_agrees_with_what_was_really_made(market: Market) -> None:
    """Every signal that was executed and closed has a shadow result with the same exit day and,
    within the cost model, the same return."""
    replay = Replay(market, limits(0.0, 0.5))
    builder = EventBuilder(source="demo", environment="BACKTEST", run_id="agreement")
    made = StepEvents(builder, market, 0.0, calibration=False)
    facts = [
        fact
        for step in replay.steps()
        if (fact := facts_of(made.event(step).SerializeToString())) is not None
    ]
    facts.sort(key=lambda fact: fact.time_ns)
    book = ShadowBook(FillModel(**SHADOW), 10_000)  # type: ignore[arg-type]
    results = [
        result
        for start in range(0, len(facts), 500)
        for result in book.take(facts[start : start + 500], facts[start].time_ns)
    ]
    lives = {
        result.signal_id: result
        for result in results
        if not result.age_ns and not result.trading_days
    }
    matured = [trade for trade in replay.trades if trade.return_fraction is not None]
    assert len(matured) > 300
    for trade in matured:
        _holds(trade, lives[trade.proposal.signal_id], market)
    errors = [
        lives[t.proposal.signal_id].return_fraction - t.return_fraction
        for t in matured
        if t.return_fraction is not None
    ]
    assert abs(float(np.mean(errors))) < MEAN_ERROR


def _holds(trade: Closed, shadow: ShadowResult, market: Market) -> None:
    assert shadow.status == MATURED
    assert shadow.time_ns == market.close_time_ns(trade.position)
    assert trade.return_fraction is not None
    # The engine's returns are of what it paid, slippage included; the shadow's of the price.
    allowed = 2e-6 + (SLIPPAGE + FEE) * abs(trade.return_fraction)
    assert trade.return_fraction == pytest.approx(shadow.return_fraction, abs=allowed)
