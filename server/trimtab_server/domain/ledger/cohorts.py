"""Positions by age: who is old enough that having a result says nothing about which.

Where losers exit fast, those that have a result hold too many losers until all of their age have
one. So what is counted is chosen by age, never by whether it is over: one that is still open, or
was told censored, says that those of its age may be a selection.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from trimtab_server.domain.ledger.columns import APPROVED, Ledger, ResultStatus
from trimtab_server.domain.ledger.trades import (
    Mask,
    first_known,
    has_real_trade,
    has_shadow_trade,
    real_trades,
    shadow_trades,
)
from trimtab_server.domain.statistics.estimates import FloatArray, IntArray

DARK_AFTER_NS = 10 * 86_400_000_000_000
"""So long behind its end a simulated position without a result will never have one: as long as a
signal waits for prices by default."""


class Lives(NamedTuple):
    """Positions that were entered, each array of shape (m,).

    ended_ns: of the exit, or until when an open one was seen. is_old: the longest that this one may
    be held has passed, so whether it is closed does not depend on how it went.
    """

    entry_ns: IntArray
    ended_ns: IntArray
    is_closed: Mask
    is_won: Mask
    is_old: Mask


def last_time(ledger: Ledger) -> int:
    """The latest time of anything that the ledger tells, ns; 0 without signals."""
    columns = (
        ledger.signal_time_ns,
        ledger.decision_time_ns,
        ledger.real_exit_time_ns,
        ledger.shadow_exit_time_ns,
    )
    return max((int(each.max()) for each in columns if each.size), default=0)


def lives_of(ledger: Ledger, *, is_real: bool) -> Lives:
    """The positions: real ones of approved signals, or else simulated ones of all signals.

    Closed ones first, in the order of their signals. The longest that one may be held is its plan
    and what its strategy was seen to overrun plans by; without a plan the longest that was seen.
    Where no position is open any more, all are old: whatever comes of them has come. Open is also
    one that was told censored, and a real one however old. Results that are not counted count here:
    they say how long positions live.
    """
    ledger = replace(ledger, counted=None)
    as_of_ns = last_time(ledger)
    if is_real:
        wanted = ledger.action == APPROVED
        closed, status = has_real_trade(ledger) & wanted, ledger.real_status
        trades, told_ns = real_trades(ledger, wanted), ledger.real_entry_time_ns
        until_ns = ledger.real_exit_time_ns
    else:
        wanted = np.ones(len(ledger), dtype=bool)
        closed, status = has_shadow_trade(ledger), ledger.shadow_status
        trades, until_ns = shadow_trades(ledger, wanted), ledger.shadow_exit_time_ns
        # Nothing was told yet of a pending one: it is followed from its decision on.
        told_ns = first_known(
            ledger.shadow_entry_time_ns, ledger.decision_time_ns, ledger.signal_time_ns
        )
    still = (status == ResultStatus.PENDING) | (status == ResultStatus.CENSORED)
    rows = np.flatnonzero(wanted & still & (told_ns > 0))
    # A censored one was seen until then, a pending one until now.
    was_seen = (status[rows] == ResultStatus.CENSORED) & (until_ns[rows] > 0)
    until = np.maximum(np.where(was_seen, until_ns[rows], as_of_ns), told_ns[rows])
    entry = np.concatenate([trades.entry_ns, told_ns[rows]])
    ended = np.concatenate([trades.exit_ns, until])
    is_closed = np.arange(entry.size) < len(trades)
    planned = np.concatenate([ledger.holding_s[np.flatnonzero(closed)], ledger.holding_s[rows]])
    group = np.concatenate([ledger.strategy[np.flatnonzero(closed)], ledger.strategy[rows]])
    held = ended - entry
    is_dark = np.zeros(entry.size, dtype=bool)
    if not is_real:
        # It may never have had prices; a real one is open whatever prices there are.
        longest = _longest(np.where(is_closed, held, 0), is_closed, planned, group)
        waiting = status[rows] == ResultStatus.PENDING
        waiting &= np.isfinite(ledger.holding_s[rows]) | ~np.isin(
            ledger.symbol[rows], ledger.symbol[closed]
        )
        is_dark[len(trades) :] = waiting & (held > longest + DARK_AFTER_NS)[len(trades) :]
    is_over = int(np.count_nonzero(wanted & still)) == int(np.count_nonzero(is_dark))
    longest = _longest(np.where(is_dark, 0, held), is_closed, planned, group)
    return Lives(
        entry_ns=entry,
        ended_ns=ended,
        is_closed=is_closed,
        is_won=np.concatenate([trades.returns > 0, np.zeros(rows.size, dtype=bool)]),
        is_old=(as_of_ns - entry >= longest) | is_over,
    )


def _longest(
    held_ns: IntArray, is_closed: Mask, planned_s: FloatArray, group: IntArray
) -> IntArray:
    """The plan, and by how much its strategy was seen to overrun it; the longest seen without."""
    has_plan = np.isfinite(planned_s)
    plan_ns = (np.where(has_plan, np.clip(planned_s, 0.0, 1e9), 0.0) * 1e9).astype(np.int64)
    size = int(group.max()) + 1 if group.size else 0
    overrun, seen = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    late, free = is_closed & has_plan, ~has_plan
    np.maximum.at(overrun, group[late], held_ns[late] - plan_ns[late])
    # An open one that is older than every closed one says that lives can be longer still.
    np.maximum.at(seen, group[free], held_ns[free])
    result: IntArray = np.where(has_plan, plan_ns + overrun[group], seen[group])
    return result


def settled_ledger(ledger: Ledger) -> Ledger:
    """The same, where simulated results of signals that are not old enough are not counted.

    What is counted is chosen by age alone: sums and means over it hold neither too many fast losers
    nor too many fast winners. Real results stay, because they really happened. When a position
    ended is left as it is: others took its place.
    """
    if ledger.counted is not None:
        return ledger
    lives = lives_of(ledger, is_real=False)
    rows = np.flatnonzero(has_shadow_trade(ledger))
    young = ~lives.is_old[: rows.size]
    if not young.any():
        return ledger
    counted = np.ones(len(ledger), dtype=bool)
    counted[rows[young]] = False
    return replace(ledger, counted=counted)
