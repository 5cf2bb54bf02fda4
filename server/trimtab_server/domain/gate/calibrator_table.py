"""A calibrator in production, as a table that every client reads the same."""

from itertools import pairwise
from typing import NamedTuple


class CalibratorTable(NamedTuple):
    """A calibrator as a table: confidences `x`, strictly increasing, and probabilities `y`."""

    model_name: str
    version: str
    x: tuple[float, ...]
    y: tuple[float, ...]


def calibrated_probability(table: CalibratorTable, confidence: float) -> float:
    """The probability of `confidence` (0 to 1) by linear interpolation, rounded to 1e-6.

    >>> calibrated_probability(CalibratorTable("", "1", (0.2, 0.8), (0.3, 0.6)), 0.5)
    0.45
    """
    x, y = table.x, table.y
    if confidence <= x[0]:
        return round(y[0], 6)
    for (low, high), (at_low, at_high) in zip(pairwise(x), pairwise(y), strict=True):
        if confidence < high:
            value = at_low + (confidence - low) * (at_high - at_low) / (high - low)
            return round(value, 6)
    return round(y[-1], 6)
