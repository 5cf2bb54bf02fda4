"""What each recorded verdict of a guard with memory says about another history: one bound a signal.

A verdict was given on what the guard was shown. The recorded history, recomputed from the ledger,
gives a figure of its own (positions open, exposure, last exit, loss of the period); the difference
of the two is what the ledger does not know of (positions from before the window, foreign ones), and
is held fixed. Where observed value and limit contradict the verdict, the verdict is believed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab_server.domain.ledger.columns import FloatArray, GuardRule, IntArray
from trimtab_server.domain.reports.portfolio_history import History, Told
from trimtab_server.domain.reports.portfolio_replay import (
    FREE,
    NEVER,
    BoolArray,
    Bounds,
    Cooling,
    LossBound,
    units,
)

_NS = 1_000_000_000
_DAY_S = 86_400.0
_COUNT_MAX = 1e12
_SAME_NS = 1_000_000  # two times of one exit: seconds as floats are no more exact
_SECONDS_MAX = 4e9  # a hundred years: beyond it a wait or a period is as good as endless


@dataclass(frozen=True, slots=True)
class Reading:
    """Verdicts that hold one figure against a limit: they pass below `limit`, shape (k,) each.

    part: which positions the figure counts: for POSITION_COUNT 1 = of the signal's symbol, for
    LOSS_LIMIT the period in nanoseconds. state: the figure in the recorded history. unseen: what
    the guard was shown beyond it. added: what a limit is raised by to make it one to stay below.
    """

    rule: GuardRule
    part: int
    told: Told
    state: IntArray
    unseen: IntArray
    added: IntArray

    def bound(self, limits: FloatArray) -> IntArray:
        """The figure below which the verdicts pass under these limits, shape (k,)."""
        return _in_steps(self.rule, limits) + self.added


def _in_steps(rule: GuardRule, values: FloatArray) -> IntArray:
    if rule is not GuardRule.POSITION_COUNT:
        return units(values)
    known = np.clip(np.nan_to_num(values, nan=0.0), -_COUNT_MAX, _COUNT_MAX)
    whole: IntArray = np.floor(known).astype(np.int64)
    return whole


def readings(history: History, code: int) -> Iterator[Reading]:
    """What a guard's verdicts of the kinds that hold a figure against a limit were about."""

    def reading(rule: GuardRule, part: int, told: Told, figures: IntArray, sign: int) -> Reading:
        state = figures[told.row]
        shown = _in_steps(rule, sign * told.observed)
        unseen = np.where(np.isfinite(told.observed), shown - state, 0)
        # "At most" is "below the next step"; what the signal itself adds must fit too.
        added = np.full(state.size, 0 if rule is GuardRule.POSITION_COUNT else 1)
        if rule is GuardRule.EXPOSURE:
            added = added - history.added[told.row]
        return Reading(rule, part, told, state, unseen, added)

    told = history.told(code, GuardRule.POSITION_COUNT)
    for part, own in enumerate((told.only(told.detail != 1.0), told.only(told.detail == 1.0))):
        if own.row.size:
            figures = history.symbol_open_count if part else history.open_count
            yield reading(GuardRule.POSITION_COUNT, part, own, figures, 1)
    told = history.told(code, GuardRule.EXPOSURE)
    if told.row.size:
        yield reading(GuardRule.EXPOSURE, 0, told, history.exposure, 1)
    told = history.told(code, GuardRule.LOSS_LIMIT)
    known = (told.detail > 0) & (told.detail <= _SECONDS_MAX)
    periods: IntArray = (np.where(known, told.detail, _DAY_S) * _NS).astype(np.int64)
    for period_ns in np.unique(periods).tolist():
        own = told.only(periods == period_ns)
        yield reading(GuardRule.LOSS_LIMIT, period_ns, own, history.period_loss(period_ns), -1)


def recorded_bounds(history: History, guards: Mapping[int, float | None]) -> Bounds:
    """What these guards ask of another history. guards: code -> limit, None = as recorded."""
    bounds: dict[tuple[GuardRule, int], IntArray] = {}
    coolings: dict[bool, Cooling] = {}
    for code, limit in guards.items():
        for each in readings(history, code):
            own = _fitted(each, limit)
            folded = bounds.setdefault(
                (each.rule, each.part), np.full(len(history.ledger), FREE, dtype=np.int64)
            )
            folded[each.told.row] = np.minimum(folded[each.told.row], own)
        told = history.told(code, GuardRule.COOLDOWN)
        for losses_only in (False, True):
            of_kind = told.only((told.detail == 1.0) == losses_only)
            if of_kind.row.size:
                cooling = _cooling(history, of_kind, limit, losses_only=losses_only)
                coolings[losses_only] = _stricter(coolings.get(losses_only), cooling)
    return Bounds(
        open_max=bounds.get((GuardRule.POSITION_COUNT, 0)),
        symbol_max=bounds.get((GuardRule.POSITION_COUNT, 1)),
        exposure_max=bounds.get((GuardRule.EXPOSURE, 0)),
        coolings=tuple(coolings.values()),
        losses=tuple(
            LossBound(part, bound)
            for (rule, part), bound in bounds.items()
            if rule is GuardRule.LOSS_LIMIT
        ),
    )


def _fitted(reading: Reading, limit: float | None) -> IntArray:
    """The bounds of a reading, such that the recorded history gives the recorded verdicts."""
    told, state = reading.told, reading.state
    known = np.isfinite(told.limit)
    bound = np.where(known, reading.bound(told.limit) - reading.unseen, FREE)
    bound = np.where(told.passed, np.maximum(bound, state + 1), bound)
    bound = np.where(told.blocked, np.minimum(bound, state), bound)
    if limit is None:
        return bound
    wanted = reading.bound(np.full(state.size, limit))
    moved = bound + (wanted - reading.bound(told.limit))
    return np.where(known, moved, wanted - reading.unseen)


def _cooling(history: History, told: Told, limit: float | None, *, losses_only: bool) -> Cooling:
    n = len(history.ledger)
    last = history.last_exit_ns(losses_only=losses_only)[told.row]
    now = history.time_ns[told.row]
    waits = told.limit if limit is None else np.full(told.row.size, limit)
    known = np.isfinite(waits)
    wait_ns = np.clip(np.where(known, waits, 0.0), 0.0, _SECONDS_MAX) * _NS
    last_max = np.where(known, now - wait_ns.astype(np.int64), FREE)
    # An exit that the guard was shown and the ledger does not know happens in any history.
    foreign = now - _shown_ns(told.observed)
    last_max = np.where((foreign > last + _SAME_NS) & (foreign > last_max), NEVER - 1, last_max)
    by_ledger = last <= last_max
    if limit is not None:
        # What the guard was shown; where it was shown nothing, what the ledger knows.
        by_ledger = np.where(np.isfinite(told.observed), told.observed >= limit, by_ledger)
    stands = (told.passed | told.blocked) & ((limit is None) | (told.limit == limit))
    known_last = np.full(n, NEVER - 1)
    known_ok, bound = np.ones(n, dtype=np.bool_), np.full(n, FREE)
    known_last[told.row] = last
    known_ok[told.row] = np.where(stands, told.passed, by_ledger)
    bound[told.row] = last_max
    return Cooling(losses_only, known_last, known_ok, bound)


def _shown_ns(elapsed_s: FloatArray) -> IntArray:
    """Nanoseconds since the last exit, as a guard was shown it; none is a hundred years ago."""
    known = np.where(np.isfinite(elapsed_s), elapsed_s, _SECONDS_MAX)
    shown: IntArray = (np.clip(known, 0.0, _SECONDS_MAX) * _NS).astype(np.int64)
    return shown


def _stricter(first: Cooling | None, second: Cooling) -> Cooling:
    if first is None:
        return second
    return Cooling(
        losses_only=first.losses_only,
        known_last=np.maximum(first.known_last, second.known_last),
        known_ok=first.known_ok & second.known_ok,
        last_max=np.minimum(first.last_max, second.last_max),
    )


def agreed_counts(history: History, code: int, among: BoolArray | None = None) -> tuple[int, int]:
    """How many of a guard's verdicts the ledger foretells, and of how many that can be judged.
    among: signals whose verdicts count, shape (n,); None = all.

    Each is told from this ledger's history and from what the guard was shown the time before (of
    the same book, symbol or period), never from what it was shown itself: positions from before the
    window are so no fault, and a rule that works otherwise than it is taken to is.
    """
    agreed = total = 0

    def count(told: Told, would_pass: BoolArray) -> None:
        nonlocal agreed, total
        judged = (told.passed | told.blocked) & np.isfinite(told.limit)
        if among is not None:
            judged &= among[told.row]
        agreed += int(np.count_nonzero(judged & (would_pass == told.passed)))
        total += int(np.count_nonzero(judged))

    for each in readings(history, code):
        groups: list[NDArray[Any]] = [history.ledger.source[each.told.row]]
        if each.rule is GuardRule.POSITION_COUNT and each.part:
            groups.append(history.ledger.symbol[each.told.row])
        elif each.rule is GuardRule.LOSS_LIMIT:
            groups.append(history.time_ns[each.told.row] // each.part)
        known = np.where(np.isfinite(each.told.observed), each.unseen, 0)
        unseen = _before(known, groups, history.time_ns[each.told.row])
        count(each.told, each.state + unseen < each.bound(each.told.limit))
    told = history.told(code, GuardRule.COOLDOWN)
    for losses_only in (False, True):
        own = told.only((told.detail == 1.0) == losses_only)
        if own.row.size:
            now = history.time_ns[own.row]
            shown = now - _shown_ns(own.observed)
            foreign = _before(shown, [history.ledger.source[own.row]], now, nothing=NEVER)
            last = np.maximum(history.last_exit_ns(losses_only=losses_only)[own.row], foreign)
            count(own, (now - last) / _NS >= own.limit)
    return agreed, total


def _before(
    values: IntArray, groups: list[NDArray[Any]], times_ns: IntArray, *, nothing: int = 0
) -> IntArray:
    """The value before each of the same group in the order of time; the first has `nothing`."""
    order = np.lexsort((times_ns, *groups))
    result = np.full(values.size, nothing)
    result[order[1:]] = values[order[:-1]]
    for group in groups:
        ordered = group[order]
        result[order[1:][ordered[1:] != ordered[:-1]]] = nothing
    return result
