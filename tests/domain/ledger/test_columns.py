import numpy as np
import pytest

from tests.domain.ledgers import a_ledger
from trimtab_server.domain.ledger.columns import (
    APPROVED,
    BLOCKED,
    HOLD,
    ResultStatus,
    ledger_counts,
)

PENDING, CENSORED = ResultStatus.PENDING, ResultStatus.CENSORED


@pytest.mark.parametrize("given_up", [0, 2, 50_000])
def test_what_engines_gave_up_at_any_time_changes_no_count_of_these_signals(given_up: int) -> None:
    """Signals without a simulated result so far are pending, however many were given up in all; the
    counts of the engines stand as they were told."""
    ledger = a_ledger(
        6,
        action=[APPROVED, BLOCKED, BLOCKED, HOLD, 0, 0],
        shadow_return=[0.1, np.nan, np.nan, np.nan, np.nan, np.nan],
        shadow_status=[ResultStatus.MATURED, PENDING, PENDING, PENDING, CENSORED, 0],
    )
    counts = ledger_counts(ledger, 7, 8, given_up)
    assert (counts.signal_count, counts.approved_count, counts.blocked_count) == (6, 1, 2)
    assert (counts.passed_over_count, counts.undecided_count) == (1, 2)
    assert (counts.shadow_matured_count, counts.shadow_censored_count) == (1, 1)
    assert counts.shadow_pending_count == 3
    assert counts.unfollowed_count == given_up
    assert (counts.unattributed_fill_count, counts.late_event_count) == (7, 8)
