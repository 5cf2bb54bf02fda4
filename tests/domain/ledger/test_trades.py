from dataclasses import replace

import numpy as np
import pytest

from tests.domain.ledgers import HOUR_NS, SECOND_NS, START_NS, a_ledger
from trimtab_server.domain.ledger.trades import (
    MONEY_MAX,
    RETURN_MAX,
    joined_trades,
    later,
    real_trades,
    shadow_trades,
)

NAN = float("nan")


def test_real_and_simulated_results_are_taken_where_they_are() -> None:
    """Real ones of signals with a real return; simulated ones of orders that would be filled."""
    ledger = a_ledger(
        6,
        real_status=[2, 4, 1, 2, 0, 2],
        real_return=[0.1, 0.2, 0.3, NAN, NAN, 2 * RETURN_MAX],
        real_pnl=[NAN, 7.0, NAN, NAN, NAN, NAN],
        size=10.0,
        shadow_return=[0.01, NAN, 0.03, 0.04, 0.05, 0.06],
        shadow_flags=[0, 0, 0, 0, 8, 0],
    )
    everything = np.ones(6, dtype=bool)
    real, shadow = real_trades(ledger, everything), shadow_trades(ledger, everything)
    assert real.returns.tolist() == [0.1, 0.2]
    assert real.pnl == pytest.approx([1.0, 7.0])
    assert shadow.returns.tolist() == [0.01, 0.03, 0.04, 0.06]
    assert len(joined_trades(real, shadow)) == 6
    # An exit that is not known, or lies before the entry, is the entry.
    strange = shadow_trades(
        replace(ledger, shadow_exit_time_ns=np.zeros(6, dtype=np.int64)), everything
    )
    assert strange.exit_ns.tolist() == strange.entry_ns.tolist()


def test_bounds_that_are_not_known_are_the_result_itself() -> None:
    """A simulated trade without bounds has no doubtful fill; a real one never has."""
    ledger = a_ledger(
        1, shadow_return=0.1, shadow_optimistic=NAN, shadow_pessimistic=NAN, real_return=0.2
    )
    for trades in (shadow_trades(ledger, np.ones(1, bool)), real_trades(ledger, np.ones(1, bool))):
        assert trades.optimistic.tolist() == trades.returns.tolist()
        assert trades.pessimistic.tolist() == trades.returns.tolist()


def test_money_beyond_all_bounds_is_not_known() -> None:
    """A size that nobody can have makes no money out of a return."""
    ledger = a_ledger(2, shadow_return=0.1, size=[100.0, 10 * MONEY_MAX])
    found = shadow_trades(ledger, np.ones(2, bool)).pnl
    assert found[0] == pytest.approx(10.0)
    assert np.isnan(found[1])


def test_times_that_are_not_told_are_the_nearest_that_are() -> None:
    """A real entry that is not known is the simulated one, and without it the signal's own time."""
    ledger = a_ledger(
        2,
        real_return=0.1,
        real_entry_time_ns=0,
        real_exit_time_ns=START_NS + 9 * HOUR_NS,
        shadow_entry_time_ns=[START_NS + SECOND_NS, 0],
    )
    found = real_trades(ledger, np.ones(2, bool))
    assert found.entry_ns.tolist() == [START_NS + SECOND_NS, START_NS + HOUR_NS]
    assert found.exit_ns.tolist() == [START_NS + 9 * HOUR_NS] * 2


def test_time_does_not_overflow() -> None:
    """The latest time there is has nothing behind it."""
    last = np.iinfo(np.int64).max
    assert later(np.array([0, last - 5]), 10).tolist() == [10, last]
