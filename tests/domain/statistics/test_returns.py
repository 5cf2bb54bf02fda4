import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trimtab_server.domain.statistics.estimates import FloatArray
from trimtab_server.domain.statistics.returns import (
    Book,
    book_metrics,
    improvement,
    max_drawdown,
    mean_difference,
    mean_estimate,
    profit_factor,
    sharpe_ratio,
    win_rate,
)

FRACTIONS = arrays(
    np.float64, st.integers(2, 60), elements=st.floats(-0.5, 0.5, allow_subnormal=False)
)


def test_golden_numbers_by_hand() -> None:
    """+2 %, -1 %, +3 %, 0 %, -2 %: 2 of 5 won, 5 over 3, and the fall after the third."""
    returns = np.array([0.02, -0.01, 0.03, 0.0, -0.02])
    assert win_rate(returns) == pytest.approx(0.4)
    assert profit_factor(returns) == pytest.approx(5 / 3)
    # mean 0.004, variance (n - 1) = 0.00172 / 4
    assert sharpe_ratio(returns, 252) == pytest.approx(0.004 / np.sqrt(0.00043) * np.sqrt(252))
    assert max_drawdown(returns) == pytest.approx(0.02 / 1.04)
    assert max_drawdown(np.array([-0.1, 0.05])) == pytest.approx(0.1)


def test_undefined_numbers_are_none() -> None:
    """No trades, no losing trade, no variation: None, never NaN or infinity."""
    empty = np.empty(0)
    assert win_rate(empty) is None
    assert profit_factor(empty) is None
    assert profit_factor(np.array([0.1, 0.2])) is None
    assert profit_factor(np.array([-0.1])) == 0.0
    assert sharpe_ratio(np.array([0.1])) is None
    assert sharpe_ratio(np.full(10, 0.1)) is None
    assert max_drawdown(empty) is None


@pytest.mark.parametrize("function", [win_rate, profit_factor, sharpe_ratio, max_drawdown])
def test_a_value_that_is_not_finite_is_named(function: object) -> None:
    """NaN is a mistake of the caller, told with its place."""
    assert callable(function)
    with pytest.raises(ValueError, match=r"\[1\] is not finite"):
        function(np.array([0.1, np.nan]))


@given(FRACTIONS, st.floats(0.01, 100))
def test_sharpe_does_not_depend_on_the_size_of_the_book(returns: FloatArray, scale: float) -> None:
    """Doubling every return changes nothing; turning every return round turns its sign."""
    plain = sharpe_ratio(returns)
    if plain is None or np.std(returns) < 1e-9:
        return
    assert sharpe_ratio(returns * scale) == pytest.approx(plain, rel=1e-6, abs=1e-9)
    assert sharpe_ratio(-returns) == pytest.approx(-plain, rel=1e-6, abs=1e-9)


@given(FRACTIONS)
def test_drawdown_is_zero_only_without_a_fall(returns: FloatArray) -> None:
    """Never negative; zero when nothing is lost; at least the worst single period at the start."""
    found = max_drawdown(returns)
    assert found is not None
    assert found >= 0
    assert max_drawdown(np.abs(returns)) == 0
    assert found >= -min(0.0, float(returns[0])) - 1e-12


def noisy_book(seed: int, days: int = 300, mean: float = 0.0) -> Book:
    """A book of one trade a day whose daily return is the trade's."""
    returns = np.random.default_rng(seed).normal(mean, 0.01, days)
    return Book(returns, returns.copy(), np.arange(days))


def test_book_metrics_match_the_plain_functions_and_lie_in_their_intervals() -> None:
    """Point estimates are those of the plain functions; each interval holds its own."""
    book = noisy_book(1)
    found = book_metrics(book, 5.0, np.random.default_rng(2), count=300)
    assert found.trade_count == 300
    for estimate, plain in (
        (found.win_rate, win_rate(book.trade_returns)),
        (found.sharpe_ratio, sharpe_ratio(book.period_returns)),
        (found.profit_factor, profit_factor(book.trade_returns)),
    ):
        assert estimate.value == pytest.approx(plain)
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < (plain or 0) < estimate.high
    assert found.max_drawdown.value == pytest.approx(max_drawdown(book.period_returns))
    assert found.total_return == pytest.approx(book.period_returns.sum())


def test_a_book_against_itself_did_not_improve() -> None:
    """Both books are resampled on the same days, so what they share cancels exactly."""
    book = noisy_book(3)
    change = improvement(book, book, 5.0, np.random.default_rng(1), count=200)
    for estimate in (change.win_rate, change.sharpe_ratio, change.profit_factor):
        assert estimate.value == 0
        assert estimate.low == 0
        assert estimate.high == 0


def test_an_empty_book_has_no_metrics_but_reasons() -> None:
    """No trades: undefined estimates that say so."""
    empty = Book(np.zeros(100), np.empty(0), np.empty(0, dtype=np.int64))
    found = book_metrics(empty, 5.0, np.random.default_rng(1))
    assert found.win_rate.value is None
    assert found.sharpe_ratio.note == "no trades"
    assert improvement(noisy_book(1, 100), empty, 5.0, np.random.default_rng(1)).win_rate.note


def test_books_of_different_calendars_or_broken_books_are_refused() -> None:
    """A change needs shared days; a trade needs a day of the calendar."""
    with pytest.raises(ValueError, match="same calendar"):
        improvement(noisy_book(1, 100), noisy_book(1, 99), 5.0, np.random.default_rng(1))
    with pytest.raises(ValueError, match="same shape"):
        Book(np.zeros(3), np.zeros(2), np.zeros(1, dtype=np.int64))
    with pytest.raises(ValueError, match="positions"):
        Book(np.zeros(3), np.zeros(1), np.array([3]))


def overlapping(rng: np.random.Generator, days: int, held: int) -> tuple[FloatArray, FloatArray]:
    """Returns of positions opened every day and held `held` days on a zero-mean market."""
    market = rng.normal(0, 0.01, days + held)
    path = np.concatenate([[0.0], np.cumsum(market)])
    return path[held : held + days] - path[:days], np.arange(days, dtype=np.float64)


@pytest.mark.parametrize(
    ("block", "low", "high"),
    [(12.0, 0.88, 0.99), (1.0, 0.2, 0.65)],
    ids=["blocks longer than the hold", "1-day blocks fail"],
)
def test_interval_of_overlapping_returns_covers_only_with_long_blocks(
    block: float, low: float, high: float
) -> None:
    """10-day holds opened daily: long blocks cover about 95 %, 1-day blocks under two thirds."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(120):
        values, days = overlapping(rng, 400, 10)
        found = mean_estimate(values, days.astype(np.int64), 400, block, rng, count=150)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
    assert low <= covered / 120 <= high


def test_mean_of_few_blocks_has_no_interval() -> None:
    """Outcomes on nine blocks of days are too few; none at all is undefined."""
    rng = np.random.default_rng(1)
    found = mean_estimate(np.ones(9), np.arange(9) * 10, 90, 10.0, rng)
    assert found.value == 1.0
    assert found.low is None
    assert "too few" in found.note
    nothing = mean_estimate(np.empty(0), np.empty(0, dtype=np.int64), 90, 10.0, rng)
    assert nothing.value is None


def test_sharpe_and_drawdown_are_those_of_the_judged_days() -> None:
    """A long tail without positions dilutes neither; trades and the total count in full."""
    rng = np.random.default_rng(3)
    period = rng.normal(0.001, 0.01, 400)
    trades, days = np.array([0.1, -0.05]), np.array([5, 420])
    whole = Book(np.concatenate([period, np.zeros(200)]), trades, days, judged_days=400)
    short = Book(period, trades[:1], days[:1])
    a, b = (book_metrics(x, 5, np.random.default_rng(1), count=50) for x in (whole, short))
    assert a.sharpe_ratio.value == b.sharpe_ratio.value
    assert a.max_drawdown.value == b.max_drawdown.value
    assert a.trade_count == 2


def test_a_difference_of_means_is_paired_by_day() -> None:
    """Equal values on equal days differ by nothing, with certainty; a constant is found."""
    rng = np.random.default_rng(4)
    days, values = np.arange(300), rng.normal(0, 1, 300)
    found = mean_difference((values + 0.1, days), (values, days), 300, 5, rng, count=100)
    assert found.value == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1)
    assert mean_difference((values[:0], days[:0]), (values, days), 300, 5, rng).value is None
