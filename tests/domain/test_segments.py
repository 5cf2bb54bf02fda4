"""Searches in stretches against numpy's own, stretch by stretch."""

from itertools import pairwise

import numpy as np

from trimtab_server.domain.shadow.segments import first_above, first_at_least


def test_positions_are_those_of_a_search_in_each_stretch_alone() -> None:
    """For values found, between, below and above; in empty stretches the end."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        bounds = np.sort(rng.integers(0, 60, 9))
        values = np.concatenate(
            [np.sort(rng.integers(0, 12, b - a)) for a, b in pairwise(bounds)]
            + [np.zeros(0, dtype=np.int64)]
        )
        bounds -= bounds[0]
        stretch = rng.integers(0, 8, 200)
        start, stop = bounds[stretch], bounds[stretch + 1]
        sought = rng.integers(-2, 14, 200)
        told = list(zip(sought.tolist(), start.tolist(), stop.tolist(), strict=True))
        for found, side in (
            (first_at_least(values, sought, start, stop), "left"),
            (first_above(values, sought, start, stop), "right"),
        ):
            expected = [a + int(np.searchsorted(values[a:b], x, side)) for x, a, b in told]  # type: ignore[call-overload]
            assert found.tolist() == expected


def test_what_is_no_number_is_never_reached() -> None:
    """A barrier that is not told."""
    nowhere = first_at_least(np.array([1.0, 2.0]), np.array([np.nan]), np.array([0]), np.array([2]))
    assert nowhere.tolist() == [2]
    nothing = np.zeros(0, dtype=np.int64)
    assert first_at_least(np.zeros(0), np.zeros(0), nothing, nothing).size == 0
