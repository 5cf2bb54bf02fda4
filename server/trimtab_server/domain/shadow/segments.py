"""Searches in many sorted stretches of one array at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab_server.domain.ledger.columns import IntArray


def first_at_least(
    values: NDArray[Any], sought: NDArray[Any], start: IntArray, stop: IntArray
) -> IntArray:
    """The first position from `start` until before `stop` whose value is at least the one sought,
    else `stop`; shape (n,). In every stretch values must not fall. NaN is never reached.

    >>> first_at_least(np.array([1, 5, 2, 3]), np.array([2, 3]), np.array([0, 2]), np.array([2, 4]))
    array([1, 3])
    """
    low, high = start.copy(), np.maximum(start, stop)
    last = values.size - 1
    while (is_open := low < high).any():
        middle = (low + high) >> 1
        is_low = ~(values[np.minimum(middle, last)] >= sought) & is_open
        low = np.where(is_low, middle + 1, low)
        high = np.where(is_low | ~is_open, high, middle)
    return low


def first_above(
    values: NDArray[np.int64], sought: IntArray, start: IntArray, stop: IntArray
) -> IntArray:
    """As `first_at_least`, for the first value above the whole number that is sought."""
    return first_at_least(values, sought + 1, start, stop)
