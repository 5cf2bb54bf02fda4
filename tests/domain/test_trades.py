import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_server.domain.trades import (
    DAY_NS,
    Trade,
    TradeStatus,
    average_uniqueness,
    countable_trades,
    entry_calendar,
    latest_corrections,
    threshold_split,
    uniqueness_weights,
)


def trade(
    outcome_id: str,
    *,
    entry: int = 0,
    held: int = 1,
    symbol: str = "A",
    confidence: float | None = 0.6,
    result: float | None = 0.01,
    status: TradeStatus = TradeStatus.MATURED,
    corrects: str = "",
    simulated: bool = False,
) -> Trade:
    """A trade; entry and held in days."""
    return Trade(
        outcome_id, f"s-{outcome_id}", "m", symbol, entry * DAY_NS, (entry + held) * DAY_NS,
        confidence, result, None, status, corrects, simulated,
    )  # fmt: skip


def ids(trades: tuple[Trade, ...]) -> list[str]:
    """Their outcome ids."""
    return [one.outcome_id for one in trades]


def test_the_latest_correction_wins() -> None:
    """A chain keeps its last link, rivals keep the later one, strangers stay."""
    log = [trade("a"), trade("b"), trade("a2", corrects="a"), trade("a3", corrects="a2")]
    assert ids(latest_corrections(log)) == ["b", "a3"]
    rivals = [trade("a"), trade("x", corrects="a"), trade("y", corrects="a")]
    assert ids(latest_corrections(rivals)) == ["y"]
    assert ids(latest_corrections([trade("z", corrects="gone")])) == ["z"]
    assert ids(latest_corrections([trade("me", corrects="me")])) == ["me"]


def test_only_matured_latest_real_claimed_trades_count() -> None:
    """Everything left out is counted by its reason; nothing disappears silently."""
    log = [
        trade("good"),
        trade("open", result=None, status=TradeStatus.CENSORED),
        trade("wrong"),
        trade("right", corrects="wrong", result=-0.02),
        trade("shadow", simulated=True),
        trade("silent", confidence=None),
    ]
    found = countable_trades(log)
    assert ids(found.counted) == ["good", "right"]
    assert found.as_json() == {
        "counted": 2,
        "left_out_corrected": 1,
        "left_out_censored": 1,
        "left_out_simulated": 1,
        "left_out_without_confidence": 1,
    }


def test_censored_losers_do_not_flatter_the_win_rate() -> None:
    """A censored trade with a return so far is no result: it does not count (F15)."""
    log = [trade("won"), trade("open", result=-0.5, status=TradeStatus.CENSORED)]
    assert ids(countable_trades(log).counted) == ["won"]


def test_a_simulated_trade_corrects_nothing_real() -> None:
    """Simulated and real never mix, not even through a correction."""
    log = [trade("real"), trade("shadow", simulated=True, corrects="real")]
    assert ids(countable_trades(log).counted) == ["real"]


def test_split_at_the_threshold_includes_it() -> None:
    """Exactly at the threshold passes; without a claim nothing passes."""
    log = [
        trade("at", confidence=0.8),
        trade("below", confidence=0.79),
        trade("no", confidence=None),
    ]
    found = threshold_split(log, 0.8)
    assert ids(found.passed) == ["at"]
    assert ids(found.rejected) == ["below", "no"]
    with pytest.raises(ValueError, match="threshold"):
        threshold_split(log, 1.2)


@pytest.mark.parametrize(
    ("entries", "exits", "expected"),
    [
        ([0, 10], [10, 20], [1.0, 1.0]),
        ([0, 0], [10, 10], [0.5, 0.5]),
        ([0, 5], [10, 15], [0.75, 0.75]),
        ([0, 0, 0], [3, 3, 3], [1 / 3] * 3),
        ([7], [7], [1.0]),
        ([], [], []),
    ],
)
def test_uniqueness_by_hand(entries: list[int], exits: list[int], expected: list[float]) -> None:
    """Disjoint lives are whole, twins are halves, half an overlap leaves three quarters."""
    found = average_uniqueness(np.array(entries, dtype=np.int64), np.array(exits, dtype=np.int64))
    assert found == pytest.approx(np.array(expected))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), min_size=1, max_size=40))
def test_effective_sample_is_never_larger_than_the_sample(lives: list[tuple[int, int]]) -> None:
    """Each label keeps above zero and at most one; the order of labels does not matter."""
    entries = np.array([start for start, _ in lives], dtype=np.int64)
    exits = entries + np.array([held for _, held in lives], dtype=np.int64)
    found = average_uniqueness(entries, exits)
    assert np.all(found > 0)
    assert np.all(found <= 1)
    assert average_uniqueness(entries[::-1], exits[::-1]) == pytest.approx(found[::-1])


def test_an_exit_before_its_entry_is_refused() -> None:
    """A life cannot be negative."""
    with pytest.raises(ValueError, match="entry"):
        average_uniqueness(np.array([5]), np.array([4]))


def test_trades_of_different_symbols_do_not_share_a_label() -> None:
    """Overlap is counted within a symbol; the calendar of days looks after the rest."""
    same = [trade("a", held=4), trade("b", held=4)]
    other = [trade("a", held=4), trade("b", held=4, symbol="B")]
    assert uniqueness_weights(same).sum() == pytest.approx(1.0)
    assert uniqueness_weights(other).sum() == pytest.approx(2.0)


def test_calendar_is_in_days_and_in_hours_for_short_spans() -> None:
    """Blocks are calendar days over weeks, hours over a few days; the longest hold in that unit."""
    long = entry_calendar([trade("a", entry=3, held=2), trade("b", entry=33, held=10)])
    assert long.positions.tolist() == [0, 30]
    assert (long.length, long.period_ns, long.block_periods) == (31, DAY_NS, 10.0)
    short = entry_calendar([trade("a", entry=3), trade("b", entry=4)])
    assert short.positions.tolist() == [0, 24]
    assert short.block_periods == 24.0
    assert entry_calendar([]).length == 0
