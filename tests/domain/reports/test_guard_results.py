from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.domain.guard_worlds import capped_world
from tests.domain.ledgers import a_ledger
from trimtab_server.domain.ledger.cohorts import settled_ledger
from trimtab_server.domain.ledger.columns import GuardRule
from trimtab_server.domain.reports.guard_records import guard_record
from trimtab_server.domain.reports.guards import GuardEffect, GuardLine, guard_lines
from trimtab_server.domain.reports.portfolio import Identifiability


def news_line(blocked_by: list[tuple[str, ...]], returns: object, **columns: Any) -> GuardLine:
    """The line of the only guard there is."""
    ledger = a_ledger(
        len(blocked_by),
        guards=("news",),
        blocked_by=blocked_by,
        shadow_return=returns,
        **columns,
    )
    (line,) = guard_lines(ledger, np.random.default_rng(7), count=199)
    return line


def test_results_that_are_not_counted_still_free_their_places() -> None:
    """Half of the plans are ten times as long as positions live: young results leave the value, but
    the replay knows their exits and lets in whom it lets in with all of them counted."""
    ledger = capped_world(3, GuardRule.POSITION_COUNT)
    n = len(ledger)
    last = ledger.shadow_exit_time_ns > ledger.signal_time_ns[-1]
    ledger = replace(
        ledger,
        shadow_status=np.where(last, 1, 2).astype(np.int8),
        holding_s=np.where(np.arange(n) % 2, 86_400.0 * 10, 86_400.0 * 100),
    )
    settled = settled_ledger(ledger)
    assert np.count_nonzero(settled.has_counted) < 0.95 * np.count_nonzero(ledger.has_shadow)
    whole, left = guard_record(ledger), guard_record(settled)
    codes = [kind.code for kind in whole.kinds if kind.is_replayed]
    assert whole.portfolio is not None
    assert left.portfolio is not None
    assert codes
    assert left.portfolio.agreement(codes) == whole.portfolio.agreement(codes)
    for kind in whole.kinds:
        assert left.taken_without([kind.code]).tolist() == whole.taken_without([kind.code]).tolist()


def test_orders_that_were_not_filled_are_no_trades() -> None:
    """A passive order that found no fill adds nothing, counts nowhere and thins no mean; if its
    doubtful fill had gone well or badly, the bounds say so."""
    returns = np.array([-0.02, 0.0, 0.04, 0.0])
    plain = news_line([("news",), (), ("news",), ()], returns)
    line = news_line(
        [("news",), ("news",), ("news",), ()],
        returns,
        shadow_flags=[0, 8, 0, 8],
        shadow_optimistic=[-0.02, 0.03, 0.04, 0.0],
        shadow_pessimistic=[-0.02, -0.05, 0.04, 0.0],
    )
    assert (line.matured_count, line.added_count) == (2, 2)
    assert line.value.value == pytest.approx(-0.02)
    assert line.value_per_signal.value == plain.value_per_signal.value == pytest.approx(-0.01)
    assert line.value_optimistic == pytest.approx(-0.05)
    assert line.value_pessimistic == pytest.approx(0.03)


def test_a_return_beyond_all_reason_drowns_no_other() -> None:
    """One simulated return of a million million stakes is as good as not known."""
    line = news_line([("news",), ("news",)], [0.05, 1e12])
    assert line.matured_count == 1
    assert line.value.value == pytest.approx(-0.05)
    assert line.value_optimistic == pytest.approx(-0.05)
    assert "1 of the trades that would change has no simulated result" in line.note


def test_a_guard_whose_orders_would_not_have_been_filled_is_no_exact_answer() -> None:
    """That they would not have been filled is simulated: so is the zero, and bounds stand beside
    it. Nothing gained and nothing lost is known, not absent."""
    line = news_line(
        [("news",)] * 50 + [()],
        np.zeros(51),
        shadow_flags=[8] * 50 + [0],
        shadow_optimistic=np.full(51, 0.02),
        shadow_pessimistic=np.full(51, -0.01),
    )
    assert (line.added_count, line.removed_count, line.matured_count) == (0, 0, 0)
    assert line.identifiability is Identifiability.SIMULATED
    assert line.value.value == 0.0
    assert line.value_optimistic == pytest.approx(-1.0)
    assert line.value_pessimistic == pytest.approx(0.5)
    assert (line.missed_profit, line.avoided_loss) == (0.0, 0.0)
    assert "none of 50 orders that its absence would change would have been filled" in line.note
    assert "no trade" not in line.note
    one = news_line([("news",), ()], np.zeros(2), shadow_flags=[8, 0])
    assert "the only order that its absence would change would not have been filled" in one.note


def test_a_guard_that_changes_no_order_is_exact_and_has_no_bounds() -> None:
    """All that it blocked was approved in spite of it: nothing is simulated."""
    line = news_line([("news",)] * 3, [0.1, -0.1, 0.2], action=1)
    assert line.identifiability is Identifiability.EXACT
    assert line.value_optimistic is None
    assert line.value_pessimistic is None
    assert line.note.startswith("its absence would change no trade")


def test_gains_and_losses_without_any_result_are_absent() -> None:
    """Of what it alone blocked: absent where none has a result, zero where there was none."""
    waiting = news_line([("news",), ()], [np.nan, 0.1])
    assert (waiting.missed_profit, waiting.avoided_loss) == (None, None)
    idle = news_line([(), ()], [0.1, 0.1])
    assert (idle.missed_profit, idle.avoided_loss) == (0.0, 0.0)
    known = news_line([("news",), ("news",)], [np.nan, 0.1])
    assert known.missed_profit == pytest.approx(0.1)
    assert known.avoided_loss == 0.0


def test_why_a_trade_has_no_simulated_result_is_always_told() -> None:
    """An order that was really filled but not in the simulation; a return beyond all reason."""
    real = news_line(
        [("news",), ()],
        [0.0, 0.0],
        shadow_flags=[8, 0],
        real_return=[0.02, 0.01],
    )
    assert (real.added_count, real.value.value) == (1, None)
    assert "no simulated result: 1 would not have been filled" in real.note
    absurd = news_line([("news",), ("news",)], [1e12, np.inf], shadow_status=2)
    assert absurd.effect is GuardEffect.UNDECIDED
    assert absurd.value.value is None
    assert "has a simulated result: 2 came to a return that is no sound number" in absurd.note
