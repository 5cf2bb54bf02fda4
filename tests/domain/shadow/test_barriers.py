"""The triple barrier against a loop over every bar."""

from math import isnan, nan

import numpy as np
import pytest

from trimtab_server.domain.ledger.columns import FloatArray, IntArray
from trimtab_server.domain.shadow.barriers import RunningExtremes, barrier_exits


def paths(rng: np.random.Generator, count: int) -> tuple[FloatArray, ...]:
    """Open, high, low of so many bars: gaps, opens that are not known, bars of one price."""
    opened = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, count)))
    close = opened * np.exp(rng.normal(0, 0.02, count))
    high = np.maximum(opened, close) * (1 + rng.exponential(0.01, count))
    low = np.minimum(opened, close) * (1 - np.minimum(rng.exponential(0.01, count), 0.5))
    is_coarse = rng.random(count) < 0.2
    high, low = np.where(is_coarse, close, high), np.where(is_coarse, close, low)
    is_unknown = is_coarse | (rng.random(count) < 0.2)
    return np.where(is_unknown, nan, opened), high, low


def slowly(
    bars: list[tuple[float, float, float]], first: int, side: int, stop: float, target: float
) -> tuple[int, float, float, bool, bool]:
    """(row, price, optimistic, is_stop, is_ambiguous) of the first bar that touches, bar by bar."""
    for row in range(first, len(bars)):
        opened, high, low = bars[row]
        # A short is a long in the mirror.
        if side < 0:
            opened, high, low = -opened, -low, -high
        stopped, won = low <= side * stop, high >= side * target
        if not (stopped or won):
            continue
        at_stop = min(max(side * stop, low), high)
        at_target = min(max(side * target, low), high)
        ambiguous = stopped and won
        if not isnan(opened) and opened <= side * stop:
            stopped, won, at_stop, ambiguous = True, False, opened, False
        elif not isnan(opened) and opened >= side * target:
            stopped, won, at_target, ambiguous = False, True, opened, False
        price = at_stop if stopped else at_target
        best = at_target if ambiguous or not stopped else at_stop
        return row, side * price, side * best, stopped, ambiguous
    return len(bars), nan, nan, False, False


@pytest.mark.parametrize("shared", [True, False], ids=["one start", "a start each"])
def test_exits_are_those_of_a_loop_over_bars(*, shared: bool) -> None:
    """Thousands of positions on random paths: row, price, bounds, kind, ambiguity."""
    rng = np.random.default_rng(5)
    counts = dict.fromkeys(("none", "stop", "target", "ambiguous"), 0)
    for _ in range(60):
        opened, high, low = paths(rng, int(rng.integers(1, 40)))
        bars = list(zip(opened.tolist(), high.tolist(), low.tolist(), strict=True))
        count = 80
        side: IntArray = rng.choice([-1, 1], count)
        start = rng.integers(0, len(bars) + 1) if shared else rng.integers(0, len(bars) + 1, count)
        first: IntArray = np.full(count, start) if shared else np.asarray(start)
        stop = high[0] * np.exp(-side * rng.exponential(0.03, count))
        target = high[0] * np.exp(side * rng.exponential(0.03, count))
        stop[rng.random(count) < 0.2] = nan
        target[rng.random(count) < 0.2] = nan
        extremes = RunningExtremes(high, low, first, np.full(count, len(bars)))
        found = barrier_exits(extremes, opened, high, low, side, stop, target)
        for at in range(count):
            told = (int(first[at]), int(side[at]), float(stop[at]), float(target[at]))
            expected = slowly(bars, *told)
            got = (
                *(found.row[at], found.price[at], found.optimistic[at]),
                *(found.is_stop[at], found.is_ambiguous[at]),
            )
            assert got == pytest.approx(expected, nan_ok=True)
            kind = "none" if isnan(expected[1]) else "stop" if expected[3] else "target"
            counts["ambiguous" if expected[4] else kind] += 1
    assert min(counts.values()) > 20


def test_extremes_count_from_each_position_on() -> None:
    """Highs and lows up to a row, and what was before where the row lies before."""
    high, low = np.array([5.0, 9.0, 7.0]), np.array([4.0, 6.0, 3.0])
    extremes = RunningExtremes(high, low, np.array([0, 2, 3]), np.array([3, 3, 3]))
    position, row = np.array([0, 0, 1, 1, 2]), np.array([0, 2, 1, 2, 2])
    highest, lowest = extremes.through(position, row, np.full(5, 6.0), np.full(5, 5.0))
    assert highest.tolist() == [6, 9, 6, 7, 6]
    assert lowest.tolist() == [4, 3, 5, 3, 5]
