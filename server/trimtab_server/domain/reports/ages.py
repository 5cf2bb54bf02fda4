"""Ages of signals, the same for markouts and for fixed horizons: wall time, or trading days."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trimtab_server.domain.ledger.columns import FloatArray, Horizons, IntArray, Markouts
from trimtab_server.domain.wording import age_text

AGE_S_MAX = 100 * 366 * 86_400.0  # as in the contract; beyond it time itself ends
_TRADING_DAY_S = 86_400.0 * 7 / 5


@dataclass(frozen=True, slots=True)
class Age:
    """Time since entry: seconds, or trading days of a calendar (then duration_s is None)."""

    duration_s: float | None
    trading_days: int = 0
    calendar: str = ""

    @property
    def text(self) -> str:
        """For people, for example "7 XNYS d"."""
        return age_text(self.duration_s, self.trading_days, self.calendar)


class Ages(NamedTuple):
    """Different ages, youngest first: what they are, their seconds, and of each position that was
    told (shape (m,)) which one it has; -1 = one that was left out."""

    ages: tuple[Age, ...]
    seconds: FloatArray
    of: IntArray


def distinct_ages(told: Markouts | Horizons, count_max: int) -> Ages:
    """The different ages among these; of more than `count_max` those that most have."""
    in_days = told.trading_days > 0
    told_s = np.minimum(np.nan_to_num(told.age_s, nan=0.0), AGE_S_MAX)
    seconds = np.where(in_days, 0.0, told_s)
    calendar = np.where(in_days, told.calendar, 0)
    # Of single numbers: sorting them is many times faster than sorting columns.
    key = np.zeros(seconds.size, dtype=np.int64)
    for column in (seconds, told.trading_days, calendar):
        values, place = np.unique(column, return_inverse=True)
        key = key * values.size + place
    _, first, of, count = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    days = told.trading_days[first]
    is_known = told_s > 0
    sums = np.bincount(of[is_known], told_s[is_known], minlength=count.size)
    known = np.bincount(of[is_known], minlength=count.size)
    # Trading days count as calendar time: as long as they were, on average, or else by the week.
    by_week = days * _TRADING_DAY_S
    lasted = np.where(known > 0, sums / np.maximum(known, 1), by_week)
    length = np.where(days > 0, lasted, seconds[first])
    kept = np.argsort(-count, kind="stable")[:count_max]
    kept = kept[np.argsort(length[kept], kind="stable")]
    position = np.full(count.size, -1, dtype=np.int64)
    position[kept] = np.arange(kept.size)
    ages = tuple(
        Age(None, int(days[k]), told.calendars[int(calendar[first[k]])])
        if days[k] > 0
        else Age(float(seconds[first[k]]))
        for k in kept.tolist()
    )
    return Ages(ages, length[kept], position[of])
