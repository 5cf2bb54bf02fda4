"""Results that came early: what counts at an age is chosen by when signals entered, never by what
became of them.

The end of a symbol ends all of its horizons and ages at once, so its young signals have results
while others that entered before them still wait: counted alone they would be a selection.
"""

import numpy as np

from trimtab_server.domain.ledger.cohorts import last_time
from trimtab_server.domain.ledger.columns import Horizons, IntArray, Ledger, ResultStatus
from trimtab_server.domain.ledger.trades import Mask, first_known
from trimtab_server.domain.shadow.result import NOT_FILLED

_NS = 1_000_000_000
# By so much trading days may outlast their average: weekends, holidays, closures out of turn.
_CLOSED_NS, _CLOSED_SHARE = 7 * 86_400 * _NS, 0.1


def told_until(ledger: Ledger, horizons: Horizons) -> int:
    """The latest time that the ledger or a result over a horizon tells, ns; 0 without any."""
    return max(last_time(ledger), int(horizons.ended_ns.max(initial=0)))


def horizon_entries(ledger: Ledger, horizons: Horizons) -> IntArray:
    """When the signals of these results entered, ns, shape (m,) like horizons.row."""
    return first_known(horizons.entry_ns, ledger.signal_time_ns[horizons.row])


def longest_ns(horizons: Horizons, entry_ns: IntArray, at: IntArray, age_ns: int) -> int:
    """How long a horizon of this length may take, ns: as long as those at these positions took, at
    least its length. entry_ns: of all, shape (m,)."""
    taken_ns = int((np.maximum(horizons.ended_ns[at], entry_ns[at]) - entry_ns[at]).max(initial=0))
    in_days = bool(np.any(horizons.trading_days[at] > 0))
    # What was told later than any horizon takes is a correction.
    most_ns = age_ns + (int(_CLOSED_SHARE * age_ns) + _CLOSED_NS if in_days else 0)
    return max(age_ns, min(taken_ns, most_ns))


def came_early(
    ledger: Ledger, rows: IntArray, entry_ns: IntArray, is_told: Mask, since_ns: int
) -> Mask:
    """Which results at one age came early, shape (m,): a signal that entered before them, after
    `since_ns` (its age may still run), waits for its own.

    rows, entry_ns: of the results' signals, shape (m,). is_told: signals that wait for nothing,
    shape (n,). Those without a fill, and those that another fill model followed, never wait.
    """
    waits = ledger.shadow_status != ResultStatus.NONE
    waits &= (ledger.shadow_flags & NOT_FILLED) == 0
    waits &= ~is_told
    waits[rows] = False
    entered_ns = first_known(
        ledger.shadow_entry_time_ns, ledger.decision_time_ns, ledger.signal_time_ns
    )[waits]
    running_ns = entered_ns[entered_ns > since_ns]
    if not running_ns.size:
        return np.zeros(rows.size, dtype=np.bool_)
    result: Mask = entry_ns > running_ns.min()
    return result
