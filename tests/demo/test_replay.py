from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from trimtab_server.demo.calibrating import WalkForward
from trimtab_server.demo.guards import POSITION_FRACTION, STATEFUL, limits, verdicts
from trimtab_server.demo.prices import Market, load_market
from trimtab_server.demo.replay import (
    CAPITAL,
    FEE,
    SLIPPAGE,
    Replay,
    followed_return,
    net_return,
)
from trimtab_server.demo.steps import (
    AccountMarked,
    Closed,
    DecisionMade,
    Filled,
    GateSaid,
    NotFilled,
    SignalMade,
    Step,
)
from trimtab_server.demo.strategies import (
    CONFIDENCE_MAX,
    CONFIDENCE_MIN,
    HOLDING_DAYS,
    Generator,
    Proposal,
    claimed_confidence,
    view,
)


@pytest.fixture(scope="module")
def market() -> Market:
    """Six symbols through the crash of 2020."""
    names = ["AAPL", "AMD", "BAC", "JNJ", "MSFT", "XOM"]
    return load_market(names, date(2019, 10, 1), date(2020, 12, 31))


def played(
    market: Market, threshold: float = 0.0, tolerance: float = 0.5
) -> tuple[Replay, list[Step]]:
    """A replay that ran, and its steps."""
    replay = Replay(market, limits(threshold, tolerance))
    return replay, list(replay.steps())


@pytest.mark.parametrize("cut", [180, 250, 333])
def test_the_future_changes_nothing(market: Market, cut: int) -> None:
    """Cutting the data off after day T leaves every step up to T as it was (no look-ahead)."""

    def until(steps: list[Step]) -> list[Step]:
        kept = [s for s in steps if not isinstance(s, NotFilled)]
        return [
            s
            for s in kept
            if (s.proposal.position if not hasattr(s, "position") else s.position) <= cut
            and not (isinstance(s, Closed) and s.return_fraction is None)
        ]

    whole, truncated = played(market)[1], played(market.truncated(cut))[1]
    assert until(whole) == until(truncated)
    assert len(until(whole)) > 300


def test_a_changed_future_price_changes_nothing_before(market: Market) -> None:
    """Doubling every price after T leaves signals and decisions up to T as they were."""
    cut = 260
    close = market.close.copy()
    close[cut + 1 :] *= 2
    changed = replace(market, close=close, detail={})
    one, two = (played(m)[0] for m in (replace(market, detail={}), changed))
    assert [s for s in one.signals if s.proposal.position <= cut] == [
        s for s in two.signals if s.proposal.position <= cut
    ]
    assert [d for d in one.decisions if d.proposal.position <= cut] == [
        d for d in two.decisions if d.proposal.position <= cut
    ]


def test_entries_are_at_the_next_close_and_exits_at_the_end_of_the_hold(market: Market) -> None:
    """Every entry fills one bar after its signal, every exit `holding_days` bars later."""
    replay, steps = played(market)
    fills = [s for s in steps if isinstance(s, Filled)]
    assert fills
    for fill in fills:
        wait = 1 if fill.side == "BUY" else 1 + fill.proposal.holding_days
        assert fill.position == fill.proposal.position + wait
        column = market.symbols.index(fill.proposal.symbol)
        assert fill.expected_price == market.close[fill.position, column]
    for trade in replay.matured:
        assert trade.position - trade.entry_position == HOLDING_DAYS[trade.proposal.strategy]


def test_costs_are_in_every_return(market: Market) -> None:
    """A trade's return is the price move less slippage and fee at both ends, by hand."""
    trade = played(market)[0].matured[0]
    column = market.symbols.index(trade.proposal.symbol)
    bought = market.close[trade.entry_position, column] * (1 + SLIPPAGE)
    sold = market.close[trade.position, column] * (1 - SLIPPAGE)
    by_hand = (sold * (1 - FEE) - bought * (1 + FEE)) / bought
    assert trade.return_fraction == pytest.approx(by_hand)
    assert net_return(100, 100) == pytest.approx(-2 * (SLIPPAGE + FEE), rel=0.01)


def test_what_was_followed_is_what_was_traded(market: Market) -> None:
    """The provisional return of a traded signal equals its trade's, to the last digit."""
    replay = played(market)[0]
    for trade in replay.matured:
        followed = followed_return(market, trade.proposal)
        assert followed is not None
        assert followed[0] == trade.position
        assert followed[1] == pytest.approx(trade.return_fraction)


def test_daily_returns_add_up_to_the_trades(market: Market) -> None:
    """Marked to market day by day, the book makes what its trades and open positions make."""
    replay, steps = played(market)
    realised = sum(trade.pnl or 0.0 for trade in replay.matured)
    unrealised = sum(
        trade.quantity
        * (market.close[-1, market.symbols.index(trade.proposal.symbol)] - trade.entry_price)
        - trade.fees
        for trade in replay.trades
        if trade.return_fraction is None
    )
    assert replay.period_returns.sum() * CAPITAL == pytest.approx(realised + unrealised)
    last = [s for s in steps if isinstance(s, AccountMarked)][-1]
    expected = CAPITAL * (1 + replay.period_returns[: last.position + 1].sum())
    assert last.equity == pytest.approx(expected)


def test_every_guard_answers_on_every_signal(market: Market) -> None:
    """A block by one guard hides no other's verdict; approved means that none blocked."""
    replay = played(market, threshold=0.8, tolerance=0.2)[0]
    assert len(replay.decisions) == len(replay.signals) > 50
    several = 0
    for decision in replay.decisions:
        assert [v.guard for v in decision.verdicts] == list(STATEFUL)
        blocked = [v for v in decision.verdicts if v.blocked]
        assert decision.approved == (not blocked)
        several += len(blocked) > 1
    assert several > 0


def test_signals_do_not_depend_on_the_guards(market: Market) -> None:
    """The same proposals in every book, whatever was blocked."""
    books = [played(market, t, r)[0].signals for t, r in ((0.0, 1.0), (0.8, 0.5), (1.0, 0.0))]
    assert books[0] == books[1] == books[2]


def test_exposure_never_exceeds_its_limit(market: Market) -> None:
    """Open and approved positions together stay within 2.0 x risk tolerance of capital."""
    replay = Replay(market, limits(0.0, 0.1))
    for _ in replay.steps():
        assert replay.exposure <= 0.2 + 1e-9
    assert any(v.guard == "exposure" and v.blocked for d in replay.decisions for v in d.verdicts)


def test_no_tolerance_trades_nothing_and_nonsense_is_refused(market: Market) -> None:
    """Risk tolerance 0 blocks everything; values outside 0 to 1 are mistakes."""
    assert played(market, tolerance=0.0)[0].trades == []
    for threshold, tolerance in ((1.1, 0.5), (0.8, -0.1), (float("nan"), 0.5)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            limits(threshold, tolerance)


def test_the_threshold_is_inclusive(market: Market) -> None:
    """Confidence exactly at the threshold passes."""
    proposal = played(market)[0].signals[0].proposal
    at = limits(proposal.confidence, 1.0)
    assert not verdicts(proposal, 0.0, at)[2].blocked
    above = limits(min(1.0, proposal.confidence + 1e-6), 1.0)
    assert verdicts(proposal, 0.0, above)[2].blocked
    exposure = verdicts(proposal, 0.3, at)[1]
    assert exposure.observed_value == pytest.approx(0.3 + POSITION_FRACTION)


def test_claims_stay_between_their_bounds() -> None:
    """0.15 to 0.95 whatever the score."""
    assert claimed_confidence(-100) == CONFIDENCE_MIN
    assert claimed_confidence(100) == CONFIDENCE_MAX
    assert claimed_confidence(0) == 0.5


def test_without_history_there_is_no_view(market: Market) -> None:
    """The first 120 days say nothing; a symbol with a hole says nothing until it is filled."""
    assert view(market, 119) is None
    holed = replace(market, close=market.close.copy())
    holed.close[150, 0] = np.nan
    seen = view(holed, 200)
    assert seen is not None
    assert np.isnan(seen.volatility[0])
    assert np.isfinite(seen.volatility[1:]).all()
    generator = Generator(holed)
    assert all(p.symbol != market.symbols[0] for p in generator.proposals(200, seen))


def test_open_positions_at_the_end_are_censored(market: Market) -> None:
    """They have no return and are no matured trade."""
    replay = played(market)[0]
    censored = [trade for trade in replay.trades if trade.return_fraction is None]
    assert censored
    assert all(trade.position == market.days.size - 1 for trade in censored)
    assert len(replay.matured) + len(censored) == len(replay.trades)
    assert len(replay.book().trade_returns) == len(replay.matured)


def test_calibration_uses_only_what_was_known(market: Market) -> None:
    """Results that mature later change no probability of today."""
    proposal = played(market)[0].signals[-1].proposal
    rng = np.random.default_rng(1)
    known = [(float(p), bool(rng.random() < 0.5)) for p in rng.uniform(0.2, 0.9, 300)]
    later = [(float(p), True) for p in rng.uniform(0.2, 0.9, 300)]
    past = {proposal.position: known}
    one = WalkForward(market, past).probability(proposal)
    two = WalkForward(market, past | {proposal.position + 1: later}).probability(proposal)
    assert one is not None
    assert one == two
    assert WalkForward(market, {proposal.position: known[:50]}).probability(proposal) is None


def test_what_the_gate_denies_is_told_and_not_traded(market: Market) -> None:
    """Each signal is asked about before it is emitted; a denied one is recorded and decided like
    the others, and never filled."""
    asked: list[str] = []

    def ask(proposal: Proposal) -> GateSaid:
        asked.append(proposal.signal_id)
        return GateSaid(proposal.symbol != "AAPL", (), "halted", 3, "LEASE", "2020-01-02")

    replay = Replay(market, limits(0.0, 0.5), ask=ask)
    steps = list(replay.steps())
    plain = played(market)[0]
    assert asked == [made.proposal.signal_id for made in replay.signals]
    assert asked == [made.proposal.signal_id for made in plain.signals]
    assert sum(isinstance(step, SignalMade) for step in steps) == len(asked)
    decided = [step for step in steps if isinstance(step, DecisionMade)]
    assert all(step.gate is not None and len(step.verdicts) == 3 for step in decided)
    traded = {step.proposal.symbol for step in steps if isinstance(step, Filled)}
    assert traded == {"AMD", "BAC", "JNJ", "MSFT", "XOM"}
    assert not any(step.approved for step in decided if step.proposal.symbol == "AAPL")
    assert not any(trade.proposal.symbol == "AAPL" for trade in replay.trades)
