"""How a signal's edge unfolds with age: a markout curve with intervals, its half-life, and what
fixed horizons made.

A markout is the return from entry to an age in the signal's direction, before costs. The half-life
is the age at which half of the curve's peak is reached: what acts later than that has missed most.
At each age what is counted is chosen by when signals entered, as over horizons (`came_early`).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from trimtab_server.domain.ledger.columns import (
    APPROVED,
    CodeArray,
    Horizons,
    Ledger,
    Markouts,
    ResultStatus,
)
from trimtab_server.domain.ledger.trades import RETURN_MAX, Mask, first_known, later
from trimtab_server.domain.reports.ages import AGE_S_MAX, Age, Ages, distinct_ages
from trimtab_server.domain.reports.early import (
    came_early,
    horizon_entries,
    longest_ns,
    told_until,
)
from trimtab_server.domain.reports.horizons import HorizonResult, horizon_results
from trimtab_server.domain.statistics.block_sums import bin_sums, block_calendar, mean_estimate
from trimtab_server.domain.statistics.chance import part_rng
from trimtab_server.domain.statistics.estimates import (
    BLOCK_COUNT_MIN,
    Estimate,
    FloatArray,
    IntArray,
    percentile_interval,
    undefined,
)
from trimtab_server.domain.wording import plural

CURVE_COUNT_MAX = 1_000
AGE_COUNT_MAX = 64
_DRAWS_AT_ONCE = 100
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class MarkoutPoint:
    """The mean markout at one age."""

    age: Age
    mean_return: Estimate


@dataclass(frozen=True, slots=True)
class DecayCurve:
    """A markout curve; see the message of the same name in the contract."""

    strategy: str
    points: tuple[MarkoutPoint, ...]
    half_life_s: Estimate
    peak_age_s: float | None
    execution_delay_s: Estimate


@dataclass(frozen=True, slots=True)
class SignalDecay:
    """All signals together, and each strategy by itself, by name. horizons: of all signals,
    shortest first. notes: what was left out."""

    all: DecayCurve
    strategies: tuple[DecayCurve, ...]
    horizons: tuple[HorizonResult, ...]
    notes: tuple[str, ...]


class _Marks(NamedTuple):
    """Markouts of one curve, each of shape (m,); entry_ns of their signals, age by position."""

    age: IntArray
    entry_ns: IntArray
    returns: FloatArray


def decay_curves(
    ledger: Ledger,
    markouts: Markouts,
    horizons: Horizons,
    rng: np.random.Generator,
    level: float = 0.95,
) -> SignalDecay:
    """The curve of all signals and of each strategy, and what all signals made over each horizon.
    At most 64 ages, 1,000 strategies and 16 horizons.

    Strategies are those with the most signals where there are more. An age at which too few signals
    have a markout has no interval; a half-life is undefined unless the peak lies above zero. Left
    out, with a note of how many: a markout that came early (`came_early`).
    """
    sound = np.isfinite(markouts.return_fraction) & (np.abs(markouts.return_fraction) <= RETURN_MAX)
    ages = distinct_ages(markouts, AGE_COUNT_MAX)
    entry = _entries(ledger, horizons)
    early = _early(ledger, markouts, horizons, ages, entry)
    kept = np.flatnonzero(sound & ~early & (ages.of >= 0))
    row = markouts.row[kept]
    marks = _Marks(ages.of[kept], entry[row], markouts.return_fraction[kept])
    # Of its own chance: curves are the same whatever horizons there are.
    reached, notes = horizon_results(ledger, horizons, part_rng(rng, "horizons"), level)
    if np.any(ages.of < 0):
        notes.append(f"more than {AGE_COUNT_MAX} ages: those with the most markouts are shown")
    notes += _early_notes(ages, sound & early)
    every = np.arange(len(ledger), dtype=np.int64)
    signals = np.bincount(ledger.strategy, minlength=len(ledger.names.strategies))
    chosen = np.flatnonzero(signals)
    if chosen.size > CURVE_COUNT_MAX:
        chosen = chosen[np.argsort(-signals[chosen], kind="stable")[:CURVE_COUNT_MAX]]
        notes.append(f"the {CURVE_COUNT_MAX} strategies with the most signals are shown")
    whole = _curve("", marks, ages, _delay(ledger, every, rng, level), rng, level)
    marks_of = _positions(ledger.strategy[row], chosen)
    rows_of = _positions(ledger.strategy, chosen)
    curves = []
    for code in sorted(chosen.tolist(), key=lambda each: ledger.names.strategies[each]):
        own = marks_of[code]
        mine = _Marks(marks.age[own], marks.entry_ns[own], marks.returns[own])
        delay = _delay(ledger, rows_of[code], rng, level)
        curves.append(_curve(ledger.names.strategies[code], mine, ages, delay, rng, level))
    return SignalDecay(whole, tuple(curves), reached, tuple(notes))


def _entries(ledger: Ledger, horizons: Horizons) -> IntArray:
    """When each signal entered, ns, shape (n,): as its own life or its horizons tell, else when it
    was given."""
    told_ns = np.zeros(len(ledger), dtype=np.int64)
    told_ns[horizons.row] = horizons.entry_ns
    return first_known(ledger.shadow_entry_time_ns, told_ns, ledger.signal_time_ns)


def _early(
    ledger: Ledger, markouts: Markouts, horizons: Horizons, ages: Ages, entry: IntArray
) -> Mask:
    """Which markouts came early, shape (m,). A signal waits for its own as long as for the horizon,
    or the own life, that others were told theirs with; when that is over, none will come."""
    as_of_ns = told_until(ledger, horizons)
    horizon_entry = horizon_entries(ledger, horizons)
    reached_s = np.zeros(len(ledger))
    np.maximum.at(reached_s, horizons.row, np.nan_to_num(horizons.age_s, nan=0.0))
    lived_ns = np.maximum(ledger.shadow_exit_time_ns - entry, 0)
    has_ended = ledger.shadow_status != ResultStatus.PENDING
    until_s = np.clip(np.nan_to_num(markouts.until_s, nan=0.0), 0.0, AGE_S_MAX)
    early = np.zeros(markouts.row.size, dtype=np.bool_)
    for k in range(len(ages.ages)):
        at = np.flatnonzero(ages.of == k)
        row, age_s = markouts.row[at], float(ages.seconds[k])
        longest_s = max(age_s, float(until_s[at].max()))
        is_own = until_s[at] == 0
        is_told = np.ones(len(ledger), dtype=np.bool_)
        reach_ns = int(age_s * _NS)
        if not is_own.all():
            over = np.flatnonzero(horizons.age_s == longest_s)
            reach_ns = longest_ns(horizons, horizon_entry, over, int(longest_s * _NS))
            is_told &= reached_s >= longest_s
        if is_own.any():
            reach_ns = max(reach_ns, int(lived_ns[row[is_own]].max()))
            is_told &= has_ended
        early[at] = came_early(ledger, row, entry[row], is_told, as_of_ns - reach_ns)
    return early


def _early_notes(ages: Ages, early: Mask) -> list[str]:
    """How many markouts came early at which ages; nothing where none did."""
    counts = np.bincount(ages.of[early & (ages.of >= 0)], minlength=len(ages.ages))
    told = [f"{counts[k]:,} at {ages.ages[k].text}" for k in np.flatnonzero(counts).tolist()]
    if not told:
        return []
    why = "because a signal that entered before still waits for its own"
    return [f"early markouts left out ({', '.join(told)}), {why}"]


def _positions(codes: CodeArray, wanted: IntArray) -> dict[int, IntArray]:
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], wanted, side="left")
    ends = np.searchsorted(codes[order], wanted, side="right")
    return {int(code): order[a:b] for code, a, b in zip(wanted, starts.tolist(), ends, strict=True)}


def _delay(ledger: Ledger, rows: IntArray, rng: np.random.Generator, level: float) -> Estimate:
    """From decision to first fill of approved signals; fills before their decision are no delay."""
    decided, filled = ledger.decision_time_ns[rows], ledger.first_fill_time_ns[rows]
    both = (ledger.action[rows] == APPROVED) & (decided > 0) & (filled > 0)
    usable = both & (filled >= decided)
    delay_s = (filled[usable] - decided[usable]) / 1e9
    start = decided[usable]
    found = mean_estimate(delay_s, start, block_calendar(start, start), rng, level=level)
    early = int(np.count_nonzero(both & ~usable))
    if found.value is None:
        found = replace(found, note="no fills")
    if early:
        reason = f"{early} filled before their decision: left out"
        found = replace(found, note="; ".join(note for note in (found.note, reason) if note))
    return found


def _curve(
    name: str,
    marks: _Marks,
    ages: Ages,
    delay: Estimate,
    rng: np.random.Generator,
    level: float,
) -> DecayCurve:
    present = np.unique(marks.age)
    points = []
    for k in present.tolist():
        at = marks.age == k
        entry = marks.entry_ns[at]
        calendar = block_calendar(entry, later(entry, int(ages.seconds[k] * 1e9)))
        mean = mean_estimate(marks.returns[at], entry, calendar, rng, level=level)
        points.append(MarkoutPoint(ages.ages[k], mean))
    if not points:
        nothing = undefined(0, "no markouts", level)
        return DecayCurve(name, (), nothing, None, delay)
    means = np.array([point.mean_return.value for point in points], dtype=np.float64)
    seconds = ages.seconds[present]
    peak = int(np.argmax(means))
    half = _half_life(marks, present, seconds, rng, level)
    return DecayCurve(name, tuple(points), half, float(seconds[peak]), delay)


def half_life(seconds: FloatArray, curves: FloatArray) -> FloatArray:
    """First age at which each curve reaches half of its peak, straight lines between the ages.

    seconds: rising, shape (a,). curves: shape (k, a); every curve begins with 0 at age 0. Shape
    (k,); NaN for a curve that is nowhere above zero or holds NaN.
    """
    at = np.concatenate([[0.0], seconds])
    path = np.concatenate([np.zeros((curves.shape[0], 1)), curves], axis=1)
    half = path.max(axis=1) / 2
    fine = half > 0
    # The first position at or above the half; never 0, because the curve begins at 0.
    first = np.where(fine, np.argmax(path >= half[:, None], axis=1), 1)
    line = np.arange(curves.shape[0])
    low, high = path[line, first - 1], path[line, first]
    rise = np.where(fine, high - low, 1.0)
    reached = at[first - 1] + (half - low) / rise * (at[first] - at[first - 1])
    return np.where(fine, reached, np.nan)


def _half_life(
    marks: _Marks,
    present: IntArray,
    seconds: FloatArray,
    rng: np.random.Generator,
    level: float,
    count: int = 1000,
) -> Estimate:
    """Half-life with the middle of what resampled blocks of signals make it.

    Undefined unless the peak lies above zero by a bound that allows for having chosen it among so
    many ages.
    """
    n = marks.returns.size
    calendar = block_calendar(marks.entry_ns, later(marks.entry_ns, int(seconds.max() * 1e9)))
    assert calendar is not None
    columns = []
    for k in present.tolist():
        at = marks.age == k
        entry = marks.entry_ns[at]
        columns += [bin_sums(marks.returns[at], entry, calendar)]
        columns += [bin_sums(np.ones(entry.size), entry, calendar)]
    table = np.stack(columns, axis=1)
    total = table.sum(axis=0)
    curve = total[0::2] / total[1::2]
    peak = int(np.argmax(curve))
    at_peak = marks.age == present[peak]
    chosen_level = 1 - (1 - level) / present.size
    sure = mean_estimate(
        marks.returns[at_peak], marks.entry_ns[at_peak], calendar, rng, level=chosen_level
    )
    if sure.low is None or sure.low <= 0:
        return undefined(n, sure.note or "the peak is not above zero for sure", level)
    value = float(half_life(seconds, curve[None, :])[0])
    if not np.isfinite(value):
        return undefined(n, "the peak is too small to halve", level)
    block, length = calendar.block, calendar.length
    filled = np.add.reduceat(table[:, 1::2], np.arange(0, length, block), axis=0) > 0
    method = f"percentiles of {count} curves, circular blocks of {calendar.block_text}"
    fewest = int(filled.sum(axis=0).min())
    if fewest < BLOCK_COUNT_MIN:
        blocks = plural(fewest, "block")
        note = f"an age has markouts in only {blocks} of {calendar.block_text}: too few"
        return Estimate(value, None, None, n, float(n), level, method, note)
    wrapped = np.concatenate([table, table[: block - 1]])
    edges = np.concatenate([np.zeros((1, table.shape[1])), np.cumsum(wrapped, axis=0)])
    rolling = edges[block:] - edges[:-block]
    drawn = max(2, round(length / block))
    starts = rng.integers(0, length, size=(count, drawn))
    # By portions: many ages and blocks at once would take gigabytes.
    sums = np.concatenate(
        [
            rolling[starts[k : k + _DRAWS_AT_ONCE]].sum(axis=1)
            for k in range(0, count, _DRAWS_AT_ONCE)
        ]
    )
    tops, bottoms = sums[:, 0::2], sums[:, 1::2]
    curves = np.where(bottoms > 0.5, tops / np.maximum(bottoms, 1.0), np.nan)
    bounds = percentile_interval(half_life(seconds, curves), level)
    if bounds is None:
        note = "undefined on too many resamples for an interval"
        return Estimate(value, None, None, n, float(n), level, method, note)
    low, high = min(bounds[0], value), max(bounds[1], value)
    return Estimate(value, low, high, n, float(n), level, method)
