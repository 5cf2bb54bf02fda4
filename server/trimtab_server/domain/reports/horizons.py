"""What signals make over fixed horizons: return, excursions and volatility, each with its interval.

A horizon ends with time and not with a trade, so having reached it says nothing of how a signal
went. One thing does: the end of a symbol ends all of its horizons at once. So what is counted is
chosen by age here too (`_young`).
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from trimtab_server.domain.ledger.cohorts import last_time
from trimtab_server.domain.ledger.columns import Horizons, Ledger, ResultStatus
from trimtab_server.domain.ledger.trades import RETURN_MAX, Mask, first_known, later
from trimtab_server.domain.reports.ages import Age, distinct_ages
from trimtab_server.domain.shadow.result import NOT_FILLED
from trimtab_server.domain.statistics.block_sums import block_calendar, mean_estimate
from trimtab_server.domain.statistics.estimates import (
    Estimate,
    FloatArray,
    IntArray,
    joined_notes,
    within,
)
from trimtab_server.domain.wording import plural

HORIZON_COUNT_MAX = 16
_NS = 1_000_000_000
# By so much trading days may outlast their average: weekends, holidays, closures out of turn.
_CLOSED_NS, _CLOSED_SHARE = 7 * 86_400 * _NS, 0.1


@dataclass(frozen=True, slots=True)
class HorizonResult:
    """What signals made over one horizon; see the message of the same name in the contract."""

    horizon: Age
    matured_count: int
    young_count: int
    mean_return: Estimate
    mean_mfe: Estimate
    mean_mae: Estimate
    mean_realized_volatility: Estimate


def horizon_results(
    ledger: Ledger, horizons: Horizons, rng: np.random.Generator, level: float = 0.95
) -> tuple[tuple[HorizonResult, ...], list[str]]:
    """Means over each horizon, shortest first, and notes on what was left out.

    At most 16 horizons. Intervals are of blocks at least as long as the horizon was seen to take;
    with too few of them there is none, and the estimate's note says what is missing.
    """
    ages = distinct_ages(horizons, HORIZON_COUNT_MAX)
    entry_ns = first_known(horizons.entry_ns, ledger.signal_time_ns[horizons.row])
    ended_ns = np.maximum(horizons.ended_ns, entry_ns)
    as_of_ns = max(last_time(ledger), int(ended_ns.max(initial=0)))
    found = []
    for k, age in enumerate(ages.ages):
        at = np.flatnonzero(ages.of == k)
        age_ns = int(ages.seconds[k] * _NS)
        # What was told later than any horizon takes is a correction.
        most_ns = age_ns + (int(_CLOSED_SHARE * age_ns) + _CLOSED_NS if age.trading_days else 0)
        longest_ns = min(int((ended_ns - entry_ns)[at].max()), most_ns)
        young = _young(ledger, horizons.row[at], entry_ns[at], as_of_ns - longest_ns)
        counted = at[~young & _known(horizons.return_fraction[at], -RETURN_MAX)]
        mean = partial(
            _mean,
            entry_ns=entry_ns[counted],
            reach_ns=max(longest_ns, age_ns),
            rng=rng,
            level=level,
        )
        found.append(
            HorizonResult(
                horizon=age,
                matured_count=int(counted.size),
                young_count=int(np.count_nonzero(young)),
                mean_return=mean(horizons.return_fraction[counted], -RETURN_MAX),
                mean_mfe=mean(horizons.mfe[counted], 0.0),
                mean_mae=mean(horizons.mae[counted], 0.0),
                mean_realized_volatility=mean(horizons.volatility[counted], 0.0),
            )
        )
    notes = []
    if np.any(ages.of < 0):
        notes.append(
            f"more than {HORIZON_COUNT_MAX} horizons: those with the most results are shown"
        )
    return tuple(found), notes


def _young(ledger: Ledger, rows: IntArray, entry_ns: IntArray, since_ns: int) -> Mask:
    """Which results over a horizon came early: a signal that entered before them, after `since_ns`
    (the horizon may still run), has none. Shape (m,) like rows, of their signals, and entry_ns."""
    waits = ledger.shadow_status != ResultStatus.NONE
    waits &= (ledger.shadow_flags & NOT_FILLED) == 0
    waits[rows] = False
    entered_ns = first_known(
        ledger.shadow_entry_time_ns, ledger.decision_time_ns, ledger.signal_time_ns
    )[waits]
    running_ns = entered_ns[entered_ns > since_ns]
    if not running_ns.size:
        return np.zeros(rows.size, dtype=np.bool_)
    result: Mask = entry_ns > running_ns.min()
    return result


def _known(values: FloatArray, least: float) -> Mask:
    result: Mask = (values >= least) & (values <= RETURN_MAX)
    return result


def _mean(
    values: FloatArray,
    least: float,
    *,
    entry_ns: IntArray,
    reach_ns: int,
    rng: np.random.Generator,
    level: float,
) -> Estimate:
    """The mean of the values that are known and no less than `least`, shape (m,); its note says how
    many are not."""
    kept = _known(values, least)
    entry = entry_ns[kept]
    calendar = block_calendar(entry, later(entry, reach_ns))
    found = within(mean_estimate(values[kept], entry, calendar, rng, level=level), least, None)
    missing = int(np.count_nonzero(~kept))
    if not missing:
        return found
    reason = f"not known of {plural(missing, 'signal')}: left out"
    return replace(found, note=joined_notes(found.note, reason))
