from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings

from tests.domain.ledgers import DAY_NS, START_NS, a_ledger
from tests.domain.odd_ledgers import bad_numbers, odd_ledgers
from trimtab_server.domain.ledger.columns import Ledger, Names
from trimtab_server.domain.reports.leaderboard import (
    DEFLATED_SHARPE_MIN,
    LINE_COUNT_MAX,
    Leaderboard,
    leaderboard,
)
from trimtab_server.domain.reports.questions import Basis
from trimtab_server.domain.reports.slices import SliceField, field_groups, number_groups
from trimtab_server.domain.statistics.estimates import FloatArray

NAN = float("nan")
LINES, DAYS = 20, 300
KINDS = ("independent", "overlapping", "heavy tails", "sold insurance")


class World(NamedTuple):
    """Returns of each strategy, shape (DAYS, LINES), one a day, held for so many days."""

    returns: FloatArray
    held_days: int


def rng() -> np.random.Generator:
    """The same chance for every test."""
    return np.random.default_rng(1)


def zero_skill(kind: str, seed: int) -> World:
    """Twenty strategies whose mean return is zero."""
    chance = np.random.default_rng(seed)
    if kind == "independent":
        return World(chance.normal(0, 0.01, (DAYS, LINES)), 1)
    if kind == "overlapping":
        # Held for ten days, with a market that all of them share.
        steps = 0.6 * chance.normal(0, 0.01, (DAYS + 10, 1))
        path = np.cumsum(steps + chance.normal(0, 0.008, (DAYS + 10, LINES)), axis=0)
        return World(path[10:] - path[:-10], 10)
    if kind == "heavy tails":
        market = chance.standard_t(4, (DAYS, 1))
        return World(0.005 * (0.4 * market + chance.standard_t(4, (DAYS, LINES))), 1)
    # Insurance sold at its fair price: 1 % a day, and now and then the loss that pays for it.
    lost = chance.random((DAYS, LINES)) < 0.02
    size = chance.exponential(0.49, (DAYS, LINES))
    return World(np.where(lost, -size, 0.01) + chance.normal(0, 0.005, (DAYS, LINES)), 1)


def ledger_of(world: World) -> Ledger:
    """The world's trades, simulated, as a ledger."""
    days, lines = world.returns.shape
    at = START_NS + np.repeat(np.arange(days, dtype=np.int64), lines) * DAY_NS
    return a_ledger(
        days * lines,
        names=Names(strategies=tuple(f"s{k:02}" for k in range(lines))),
        strategy=np.tile(np.arange(lines), days),
        shadow_return=world.returns.reshape(-1),
        signal_time_ns=at,
        decision_time_ns=at,
        shadow_exit_time_ns=at + world.held_days * DAY_NS - 1,
    )


def board_of(ledger: Ledger, count: int = 50, trial_count: int = 0) -> Leaderboard:
    """The leaderboard of strategies, with few resamples where intervals are not looked at."""
    groups = field_groups(ledger, SliceField.STRATEGY)
    return leaderboard(ledger, groups, rng(), count=count, trial_count=trial_count)


def test_zero_skill_strategies_are_seldom_significant() -> None:
    """In at most 5 % of 40 worlds of four kinds any of 20 is called
    significant, while the best of 20 at a plain 5 % looks significant in about every second."""
    called, naive, worlds = 0, 0, 40
    for seed in range(worlds):
        lines = board_of(ledger_of(zero_skill(KINDS[seed % 4], seed)), count=20).lines
        called += any(line.significant for line in lines)
        naive += any(line.p_value is not None and line.p_value <= 0.05 for line in lines)
    assert called / worlds <= 0.05
    assert naive / worlds >= 0.45


def test_sold_insurance_does_not_stand_out_before_its_losses_could_be_seen() -> None:
    """Cochran's rule: a record that is all but without its rare large losses is too short."""
    world = zero_skill("sold insurance", 2)
    world.returns[:, 7] = np.maximum(world.returns[:, 7], -0.05)
    lines = {line.name: line for line in board_of(ledger_of(world)).lines}
    lucky = lines["s07"]
    assert lucky.q_value is not None
    assert lucky.deflated_sharpe is not None
    assert lucky.q_value <= 0.05
    assert lucky.deflated_sharpe >= DEFLATED_SHARPE_MIN
    assert not lucky.significant
    assert "more days" in lucky.note


def test_a_strategy_with_skill_stands_out_and_the_others_do_not() -> None:
    """One of twenty earns 0.3 % a day: it comes first and is significant in 9 of 10 worlds."""
    found = 0
    for seed in range(10):
        world = zero_skill("independent", seed)
        world.returns[:, 7] += 0.003
        lines = board_of(ledger_of(world)).lines
        assert lines[0].name == "s07"
        found += lines[0].significant
        assert not any(line.significant for line in lines[1:])
        best = lines[0].shrunk_mean_return
        plain = lines[0].performance.mean_return.value
        assert best is not None
        assert plain is not None
        assert 0 < best < plain
    assert found >= 9


def holder(loss: float, closed_of_losers: float, seed: int) -> Ledger:
    """A trade a day, 60 % winners of 1 % that are closed next day; of losers only a share is."""
    chance, n = np.random.default_rng(seed), 400
    won = chance.random(n) < 0.6
    closed = won | (chance.random(n) < closed_of_losers)
    at = START_NS + np.arange(n, dtype=np.int64) * DAY_NS
    size = chance.normal(0.01, 0.002, n)
    return a_ledger(
        n,
        strategy="holder",
        signal_time_ns=at,
        decision_time_ns=at,
        shadow_return=NAN,
        real_return=np.where(closed, np.where(won, size, -loss), NAN),
        real_status=np.where(closed, 2, 1),
        real_entry_time_ns=at,
        real_exit_time_ns=np.where(closed, at + DAY_NS - 1, 0),
    )


def test_who_closes_winners_and_holds_losers_does_not_stand_out() -> None:
    """Closed trades alone are splendid (q far below 5 %), a third is still open: not significant,
    and the note says why. So with a tenth of losers open when those are old; with losers closed
    like winners the line stands out."""
    for share in (0.0, 0.02, 0.9):
        line = board_of(holder(0.002, share, 3), 300).lines[0]
        assert line.q_value is not None
        assert line.q_value <= 0.05
        assert not line.significant
        assert "would not stand out if" in line.note
    assert board_of(holder(0.002, 1.0, 3), 300).lines[0].significant


def test_a_few_positions_that_are_open_at_the_end_do_not_hide_skill() -> None:
    """The last two trades of a good year are still open: it stands out all the same."""
    ledger = holder(0.002, 1.0, 4)
    status = ledger.real_status.copy()
    status[-2:] = 1
    line = board_of(replace(ledger, real_status=status), 300).lines[0]
    assert "still open: 2" in line.note
    assert line.significant


def test_nothing_stands_out_whose_own_interval_holds_zero() -> None:
    """Of 150 single strategies without skill at most 2.5 % (plus three Monte-Carlo errors) stand
    out, and none of them with an interval that holds zero."""
    called, one_sided = 0, 0
    for seed in range(150):
        returns = np.random.default_rng(seed).normal(0, 0.01, DAYS)
        line = board_of(ledger_of(World(returns[:, None], 1)), 300).lines[0]
        low = line.performance.mean_return.low
        assert low is not None
        assert low > 0 or not line.significant
        called += line.significant
        one_sided += line.q_value is not None and line.q_value <= 0.05
    assert called <= 150 * 0.025 + 3 * np.sqrt(150 * 0.025 * 0.975)
    assert one_sided > called


def test_outcomes_needed_grow_with_the_lines_that_are_looked_at() -> None:
    """The same record among twenty others without skill needs more outcomes than alone."""
    world = zero_skill("independent", 5)
    world.returns[:, 7] += 0.0005 - world.returns[:, 7].mean()
    alone = board_of(ledger_of(World(world.returns[:, 7:8], 1)), 300).lines[0]
    among = {each.name: each for each in board_of(ledger_of(world), 300).lines}["s07"]
    assert alone.outcomes_needed is not None
    assert among.outcomes_needed is not None
    assert among.outcomes_needed > 1.3 * alone.outcomes_needed


def test_a_line_of_simulated_results_alone_says_so() -> None:
    """On the board of real results; on the simulated one everybody knows."""
    ledger = a_ledger(3, strategy="a", shadow_return=0.1)
    groups = field_groups(ledger, SliceField.STRATEGY)
    note = "all 3 results are simulated: none is real"
    assert note in leaderboard(ledger, groups, rng()).lines[0].note
    shadow = leaderboard(ledger, groups, rng(), basis=Basis.SHADOW).lines[0]
    assert "are simulated" not in shadow.note


def test_every_further_try_makes_it_harder() -> None:
    """The deflated Sharpe ratio falls with the tries; the probabilistic one does not know them."""
    world = zero_skill("independent", 3)
    world.returns[:, 7] += 0.0025
    ledger = ledger_of(world)
    few, many = board_of(ledger), board_of(ledger, trial_count=50_000)
    assert (few.trial_count, many.trial_count) == (20, 50_000)
    assert few.lines[0].probabilistic_sharpe == many.lines[0].probabilistic_sharpe
    assert few.lines[0].deflated_sharpe is not None
    assert many.lines[0].deflated_sharpe is not None
    assert few.lines[0].deflated_sharpe >= DEFLATED_SHARPE_MIN > many.lines[0].deflated_sharpe
    assert not many.lines[0].significant


def test_slices_are_tries_on_top_of_strategies() -> None:
    """Bins of a reading add to the strategies ever seen, and to what was tried outside of it."""
    ledger = a_ledger(40, shadow_return=0.01)
    groups = number_groups("rsi", np.arange(40.0))
    board = leaderboard(ledger, groups, rng(), trial_count=7, undeclared_trial_count=100)
    assert board.trial_count == 4 + 7 + 100
    assert [line.name for line in board.lines] == [
        "rsi 0 to 10",
        "rsi 10 to 20",
        "rsi 20 to 30",
        "rsi 30 to 39",
    ]


def test_lines_are_sorted_by_money_where_all_of_it_is_known() -> None:
    """In stakes b is ahead, in money a is; one size that is not known, and stakes decide."""
    told: dict[str, Any] = {"strategy": ["a", "b"], "shadow_return": [0.01, 0.02]}
    in_money = board_of(a_ledger(2, size=[1000.0, 10.0], **told))
    in_stakes = board_of(a_ledger(2, size=[1000.0, NAN], **told))
    assert [line.name for line in in_money.lines] == ["a", "b"]
    assert [line.name for line in in_stakes.lines] == ["b", "a"]


def test_a_strategy_without_a_result_comes_last() -> None:
    """It is listed, with its signals, and says that nothing is known."""
    board = board_of(
        a_ledger(3, strategy=["a", "b", "b"], shadow_return=[NAN, -0.5, -0.5], size=1.0)
    )
    assert [line.name for line in board.lines] == ["b", "a"]
    last = board.lines[1]
    assert (last.signal_count, last.performance.trade_count) == (1, 0)
    assert last.p_value is None
    assert last.note.startswith("no trades")


def test_real_results_come_before_simulated_ones() -> None:
    """Real where it is known, simulated where none came, nothing while a position is open; blocked
    signals only on the simulated board."""
    ledger = a_ledger(
        4,
        strategy="a",
        shadow_return=[0.1, 0.2, 0.3, 0.4],
        real_return=[0.01, NAN, NAN, NAN],
        real_status=[2, 0, 1, 0],
        action=[1, 1, 1, 2],
    )
    groups = field_groups(ledger, SliceField.STRATEGY)
    real = leaderboard(ledger, groups, rng()).lines[0]
    assert real.signal_count == 4
    assert real.performance.total_return.value == pytest.approx(0.21)
    assert "1 of 2 results are simulated" in real.note
    assert "still open: 1" in real.note
    shadow = leaderboard(ledger, groups, rng(), basis=Basis.SHADOW).lines[0]
    assert shadow.performance.total_return.value == pytest.approx(1.0)
    assert shadow.performance.simulated_count == 4


def test_at_most_a_thousand_lines_and_all_of_them_count() -> None:
    """The groups with the most signals are shown; the others are tries all the same."""
    n = LINE_COUNT_MAX + 5
    strategy = np.concatenate([np.arange(n), [3, n - 1]])
    names = Names(strategies=tuple(f"s{k:04}" for k in range(n)))
    ledger = a_ledger(n + 2, names=names, strategy=strategy, shadow_return=NAN)
    board = board_of(ledger)
    assert len(board.lines) == LINE_COUNT_MAX
    assert board.trial_count == n
    assert {"s0003", f"s{n - 1:04}"} <= {line.name for line in board.lines}
    assert board.notes


def test_outcomes_still_needed_are_told_while_the_sign_is_open() -> None:
    """A line whose interval holds zero says how many more outcomes would settle it."""
    returns = np.random.default_rng(8).normal(0.0005, 0.01, 400)
    line = board_of(a_ledger(400, shadow_return=returns), count=300).lines[0]
    assert line.performance.mean_return.decided_sign == 0
    assert line.outcomes_needed is not None
    assert line.outcomes_needed > 0


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_too_little_data_is_never_significant(n: int) -> None:
    """Five splendid trades prove nothing: no p-value, no probability, and a note that says so."""
    lines = board_of(a_ledger(n, shadow_return=0.5 + 0.01 * np.arange(n))).lines
    assert len(lines) == min(n, 1)
    for line in lines:
        assert not line.significant
        assert line.p_value is None
        assert line.deflated_sharpe is None
        assert line.note


@settings(max_examples=40, deadline=None)
@given(odd_ledgers())
def test_no_number_is_ever_undefined(ledger: Ledger) -> None:
    """Whatever the ledger holds, no NaN and no infinity leaves the leaderboard."""
    groups = field_groups(ledger, SliceField.STRATEGY)
    for basis in Basis:
        assert list(bad_numbers(leaderboard(ledger, groups, rng(), basis=basis, count=100))) == []


def test_a_line_says_why_it_has_no_shrunk_mean_and_why_its_own_interval_is_not_enough() -> None:
    """Fewer than three lines teach nothing about one another; a line whose interval leaves out zero
    by itself, but not among so many, says so wherever it still needs outcomes."""
    few = np.random.default_rng(1).normal(0.002, 0.01, (DAYS, 2))
    for line in board_of(ledger_of(World(few, 1))).lines:
        assert line.shrunk_mean_return is None
        assert "no shrunk mean: fewer than 3 lines have an interval" in line.note
    seen = 0
    for seed in range(6):
        for line in board_of(ledger_of(zero_skill("independent", seed))).lines:
            assert "no shrunk mean" not in line.note
            alone = line.performance.mean_return.decided_sign > 0 and bool(line.outcomes_needed)
            assert ("not after allowing for all lines" in line.note) == alone
            seen += alone
    assert seen > 0
