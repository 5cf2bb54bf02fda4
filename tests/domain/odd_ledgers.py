"""Ledgers as nobody would send them, and a walk over every number of a result."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

import numpy as np
from hypothesis import strategies as st

from tests.domain.ledgers import DAY_NS, HOUR_NS, START_NS, a_ledger, verdicts_of
from trimtab_server.domain.ledger.columns import Ledger, Names

_NUMBERS = (0.0, -0.0, 0.01, -0.02, 1.0, -1.0, 5e-324, 1e-300, 1e9, -1e9, 1e300, -1e300, np.nan)
_USUAL = (0.01, -0.02, 0.03, -0.01, 0.0)
_GAPS_NS = (0, 1, HOUR_NS, DAY_NS, 400 * DAY_NS)
_GUARDS = ("exposure", "volatility")


@st.composite
def odd_ledgers(draw: st.DrawFn, returns_max: float = np.inf) -> Ledger:
    """Up to 300 signals with any results, sizes and times, from nothing known to everything.

    returns_max: no result beyond it.
    """
    n = draw(st.sampled_from((0, 1, 2, 5, 17, 40, 300)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    numbers = draw(st.sampled_from((_NUMBERS, _USUAL)))
    numbers = tuple(each for each in numbers if not abs(each) > returns_max)
    gaps = rng.choice(_GAPS_NS[: draw(st.integers(1, len(_GAPS_NS)))], n)
    signal = START_NS + np.cumsum(gaps)
    entry = np.where(rng.random(n) < 0.8, signal + rng.choice((0, 1, HOUR_NS), n), 0)
    leave = np.where(rng.random(n) < 0.9, entry + rng.choice(_GAPS_NS, n), 0)
    blocked_by = [[name for name in _GUARDS if rng.random() < 0.3] for _ in range(n)]
    return a_ledger(
        n,
        names=Names(strategies=("", "a", "b"), guards=_GUARDS),
        verdicts=verdicts_of(blocked_by, _GUARDS),
        strategy=rng.integers(0, 3, n),
        action=rng.choice((0, 1, 2, 3), n, p=(0.1, 0.5, 0.3, 0.1)),
        signal_time_ns=signal,
        decision_time_ns=np.where(rng.random(n) < 0.9, signal + rng.choice((0, HOUR_NS), n), 0),
        first_fill_time_ns=np.where(rng.random(n) < 0.6, signal + rng.choice(_GAPS_NS, n), 0),
        holding_s=rng.choice((np.nan, 0.0, 3600.0, 1e300), n),
        size=rng.choice((np.nan, 1.0, 1e300 if returns_max > 1e300 else 1e12), n),
        real_status=rng.integers(0, 5, n),
        real_return=rng.choice(numbers, n),
        real_pnl=rng.choice(numbers, n),
        real_entry_time_ns=entry,
        real_exit_time_ns=leave,
        shadow_status=rng.integers(0, 5, n),
        shadow_return=rng.choice(numbers, n),
        shadow_optimistic=rng.choice(numbers, n),
        shadow_pessimistic=rng.choice(numbers, n),
        shadow_flags=rng.choice((0, 1, 8), n),
        shadow_entry_time_ns=entry,
        shadow_exit_time_ns=leave,
    )


def bad_numbers(value: object, path: str = "") -> Iterator[str]:
    """The path of every NaN and infinity in a result, and of every interval turned round."""
    if isinstance(value, float) and not np.isfinite(value):
        yield f"{path}: {value}"
    elif isinstance(value, tuple | list):
        for k, each in enumerate(value):
            yield from bad_numbers(each, f"{path}[{k}]")
    elif is_dataclass(value):
        low, high = getattr(value, "low", None), getattr(value, "high", None)
        if isinstance(low, float) and isinstance(high, float) and low > high:
            yield f"{path}: {low} > {high}"
        for field in fields(value):
            yield from bad_numbers(getattr(value, field.name), f"{path}.{field.name}")
