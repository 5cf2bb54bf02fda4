"""What signals make over fixed horizons: return, excursions and volatility, each with its interval.

A horizon ends with time and not with a trade, so having reached it says nothing of how a signal
went. Two things may: the end of a symbol ends all of its horizons at once, so what is counted is
chosen by age here too (`came_early`); and where prices stop without a word, whatever it was that
stopped them, there is no result: how many are lost stands beside the means (`censored_count`).
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from trimtab_server.domain.ledger.columns import Horizons, Ledger
from trimtab_server.domain.ledger.trades import RETURN_MAX, Mask, later
from trimtab_server.domain.reports.ages import Age, distinct_ages
from trimtab_server.domain.reports.early import (
    came_early,
    horizon_entries,
    longest_ns,
    told_until,
)
from trimtab_server.domain.statistics.block_sums import block_calendar, mean_estimate
from trimtab_server.domain.statistics.estimates import (
    Estimate,
    FloatArray,
    IntArray,
    joined_notes,
    undefined,
    within,
)
from trimtab_server.domain.wording import plural

HORIZON_COUNT_MAX = 16
_NS = 1_000_000_000
_PER_BAR = "per bar, and bars of several symbols may differ in length: ask for one symbol"


@dataclass(frozen=True, slots=True)
class HorizonResult:
    """What signals made over one horizon; see the message of the same name in the contract."""

    horizon: Age
    matured_count: int
    young_count: int
    censored_count: int
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
    entry_ns = horizon_entries(ledger, horizons)
    as_of_ns = told_until(ledger, horizons)
    found = []
    for k, age in enumerate(ages.ages):
        told = np.flatnonzero(ages.of == k)
        is_lost = horizons.is_censored[told]
        reach_ns = longest_ns(horizons, entry_ns, told, int(ages.seconds[k] * _NS))
        is_told = np.zeros(len(ledger), dtype=np.bool_)
        is_told[horizons.row[told]] = True
        at = told[~is_lost]
        since_ns = as_of_ns - reach_ns
        young = came_early(ledger, horizons.row[at], entry_ns[at], is_told, since_ns)
        is_known = _known(horizons.return_fraction[at], -RETURN_MAX)
        old, counted = at[~young], at[~young & is_known]
        mean = partial(_mean, entry_ns=entry_ns, reach_ns=reach_ns, rng=rng, level=level)
        # How long a bar lasts nobody tells: one symbol has bars of one length, as a rule.
        has_one_bar = np.unique(ledger.symbol[horizons.row[counted]]).size <= 1
        found.append(
            HorizonResult(
                horizon=age,
                matured_count=int(counted.size),
                young_count=int(np.count_nonzero(young & is_known)),
                censored_count=int(np.count_nonzero(is_lost)),
                mean_return=mean(horizons.return_fraction, old, -RETURN_MAX),
                mean_mfe=mean(horizons.mfe, counted, 0.0),
                mean_mae=mean(horizons.mae, counted, 0.0),
                mean_realized_volatility=mean(horizons.volatility, counted, 0.0)
                if has_one_bar
                else undefined(counted.size, _PER_BAR, level),
            )
        )
    notes = []
    if np.any(ages.of < 0):
        notes.append(
            f"more than {HORIZON_COUNT_MAX} horizons: those with the most results are shown"
        )
    return tuple(found), notes


def _known(values: FloatArray, least: float) -> Mask:
    result: Mask = (values >= least) & (values <= RETURN_MAX)
    return result


def _mean(
    told: FloatArray,
    at: IntArray,
    least: float,
    *,
    entry_ns: IntArray,
    reach_ns: int,
    rng: np.random.Generator,
    level: float,
) -> Estimate:
    """The mean of what is told at these positions, of values that are known and no less than
    `least`; its note says how many are not."""
    kept = at[_known(told[at], least)]
    entry = entry_ns[kept]
    calendar = block_calendar(entry, later(entry, reach_ns))
    found = within(mean_estimate(told[kept], entry, calendar, rng, level=level), least, None)
    missing = at.size - kept.size
    if not missing:
        return found
    reason = f"not known of {plural(missing, 'signal')}: left out"
    return replace(found, note=joined_notes(found.note, reason))
