"""When several things are judged at once: which findings stand, and what it takes to be one."""

from collections.abc import Sequence

from scipy.special import stdtrit


def standing_discoveries(p_values: Sequence[float], rate: float) -> list[bool]:
    """Which of several findings stand when at most `rate` of those that stand may be chance.

    Source: Benjamini and Hochberg (1995); with one p-value it is the test itself.
    """
    ranked = sorted(p_values)
    limits = [p for k, p in enumerate(ranked, 1) if p <= rate * k / len(ranked)]
    bound = max(limits, default=-1.0)
    return [p <= bound for p in p_values]


def student_factor(level: float, rate: float, block_count: int) -> float:
    """How many times as wide an interval at 1 - rate is as one at `level`, from so many blocks."""
    degrees = max(1, block_count - 1)
    return float(stdtrit(degrees, 1 - rate / 2) / stdtrit(degrees, 0.5 + level / 2))
