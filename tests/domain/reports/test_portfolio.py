"""The replayed portfolio, against desks that are plain loops."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.domain.ledgers import HOUR_NS, SECOND_NS, START_NS, a_ledger
from tests.domain.small_desk import DESK_GUARDS, VOLATILITY, Desk, DeskGuard, Market, markets
from trimtab_server.domain.ledger.columns import (
    APPROVED,
    COLUMNS,
    NOT_EVALUATED,
    STATEFUL,
    GuardRule,
    Ledger,
    ResultStatus,
    Verdicts,
)
from trimtab_server.domain.reports.guard_records import BoolArray
from trimtab_server.domain.reports.portfolio import (
    Portfolio,
    PortfolioRules,
    guard_kinds,
)
from trimtab_server.domain.shadow.result import NOT_FILLED

FULL = settings(max_examples=80, deadline=None)


def recorded_rules(ledger: Ledger) -> PortfolioRules:
    """All recorded guards that can be replayed, with the limits that they told."""
    codes = (kind.code for kind in guard_kinds(ledger) if kind.is_replayed)
    return PortfolioRules(dict.fromkeys(codes))


def replayed(ledger: Ledger, wanted: BoolArray, rules: PortfolioRules) -> BoolArray:
    """Which of the wanted signals the rules let in."""
    return Portfolio(ledger).replayed(wanted, rules)


def everything(ledger: Ledger) -> np.ndarray:
    """All signals wanted."""
    return np.ones(len(ledger), dtype=bool)


@FULL
@given(markets(), DESK_GUARDS)
def test_what_a_desk_without_a_guard_would_have_done_is_what_the_replay_says(
    market: Market, guards: list[DeskGuard]
) -> None:
    """Without the volatility guard, every guard with memory sees another history: the replay lets
    in exactly those that the desk itself lets in, foreign positions and all."""
    ledger = Desk(market, guards).trade().ledger()
    wanted = everything(ledger)
    without = Desk(market, guards, uses_volatility=False).trade()
    assert replayed(ledger, wanted, recorded_rules(ledger)).tolist() == without.let_in()


@FULL
@given(markets(), DESK_GUARDS, st.sampled_from([0.0, 0.002, 0.3, 1.0, 3.0, 5.0]))
def test_a_moved_limit_is_what_the_desk_would_have_done_under_it(
    market: Market, guards: list[DeskGuard], limit: float
) -> None:
    """The first guard's limit moves: decisions are those of a desk that always had that limit."""
    ledger = Desk(market, guards).trade().ledger()
    moved = [replace(guards[0], limit=limit), *guards[1:]]
    rules = PortfolioRules({**recorded_rules(ledger).guards, 1: limit})
    wanted = ~np.array([market.volatile[i] for i in market.order], dtype=bool)
    assert replayed(ledger, wanted, rules).tolist() == Desk(market, moved).trade().let_in()


def behind(ledger: Ledger, start_ns: int) -> Ledger:
    """The ledger from a time on, as a report over a window loads it."""
    keep = ledger.decision_time_ns >= start_ns
    told = {name: getattr(ledger, name)[keep] for name in COLUMNS}
    guards, size = len(ledger.names.guards), int(np.count_nonzero(keep))
    verdicts = {
        field.name: getattr(ledger.verdicts, field.name).reshape(-1, guards)[keep].ravel()
        for field in fields(Verdicts)
        if field.name != "start"
    }
    start = np.arange(size + 1, dtype=np.int64) * guards
    return replace(ledger, verdicts=Verdicts(start=start, **verdicts), **told)


@FULL
@given(markets(), DESK_GUARDS, st.integers(0, 30))
def test_positions_from_before_the_window_keep_their_place(
    market: Market, guards: list[DeskGuard], start_s: int
) -> None:
    """A report sees a window: what was opened before it is not in its ledger, and yet the replay is
    what the desk would have done had the volatility guard gone when the window began."""
    ledger = behind(Desk(market, guards).trade().ledger(), START_NS + start_s * SECOND_NS)
    pairs = zip(market.volatile, market.decided_s, strict=True)
    gone = [volatile and at_s < start_s for volatile, at_s in pairs]
    desk = Desk(replace(market, volatile=gone), guards).trade()
    let_in = desk.let_in()[len(gone) - len(ledger) :]
    assert replayed(ledger, everything(ledger), recorded_rules(ledger)).tolist() == let_in


@FULL
@given(markets(), DESK_GUARDS)
def test_the_recorded_history_replays_to_itself(market: Market, guards: list[DeskGuard]) -> None:
    """What nothing changes stays: the recorded rules let in exactly what was let in, even where a
    guard's observed values make no sense."""
    desk = Desk(market, guards).trade()
    ledger = desk.ledger()
    wanted = ~np.array([market.volatile[i] for i in market.order], dtype=bool)
    rng = np.random.default_rng(len(market.key))
    shown = ledger.verdicts.observed
    odd = replace(ledger.verdicts, observed=np.where(rng.random(shown.size) < 0.3, 9.0, shown))
    for each in (ledger, replace(ledger, verdicts=odd)):
        assert replayed(each, wanted, recorded_rules(each)).tolist() == desk.let_in()


@FULL
@given(
    markets(),
    st.one_of(st.none(), st.integers(1, 4)),
    st.one_of(st.none(), st.integers(1, 3)),
    st.one_of(st.none(), st.sampled_from([0.1, 0.3, 0.5])),
)
def test_limits_of_a_scenario_are_those_of_a_plain_loop(
    market: Market, opened: int | None, of_symbol: int | None, exposure: float | None
) -> None:
    """Positions, positions of a symbol and capital: the replay lets in what a plain loop does."""
    limits = []
    if opened is not None:
        limits.append(DeskGuard("opened", GuardRule.POSITION_COUNT, opened))
    if of_symbol is not None:
        limits.append(DeskGuard("symbol", GuardRule.POSITION_COUNT, of_symbol, part=1.0))
    if exposure is not None:
        limits.append(DeskGuard("exposure", GuardRule.EXPOSURE, exposure))
    ledger = Desk(market, []).trade().ledger()
    plain = Desk(market, limits).trade()
    wanted = ~np.array([market.volatile[i] for i in market.order], dtype=bool)
    rules = PortfolioRules({}, opened, of_symbol, exposure)
    assert replayed(ledger, wanted, rules).tolist() == plain.let_in()


def test_the_agreement_tells_whether_the_ledger_foretells_the_verdicts() -> None:
    """It is 1 for a desk whose positions are all in the ledger, and stays so when others hold a
    place throughout; a guard that looks at something else than it says is found out."""
    market = Market(
        decided_s=list(range(0, 240, 3)),
        held_s=[10] * 80,
        symbol=[1, 2] * 40,
        source=[1] * 80,
        key=list(range(80)),
        returns=[0.01, -0.01] * 40,
        fraction=[0.1] * 80,
        volatile=[False] * 80,
    )
    for guard in (
        DeskGuard("positions", GuardRule.POSITION_COUNT, 3.0),
        DeskGuard("positions", GuardRule.POSITION_COUNT, 3.0, foreign=1.0),
        DeskGuard("positions", GuardRule.POSITION_COUNT, 2.0, part=1.0),
        DeskGuard("exposure", GuardRule.EXPOSURE, 0.3, foreign=0.1),
        DeskGuard("cooldown", GuardRule.COOLDOWN, 5.0),
        DeskGuard("losses", GuardRule.LOSS_LIMIT, 0.002, part=60.0, foreign=0.001),
    ):
        found = Portfolio(Desk(market, [guard]).trade().ledger()).agreement([1])
        assert found is not None
        assert found > 0.95
    ledger = Desk(market, [DeskGuard("cooldown", GuardRule.COOLDOWN, 9.0)]).trade().ledger()
    wait = np.where(ledger.verdicts.guard == 1, 30.0, np.nan)
    other = Portfolio(replace(ledger, verdicts=replace(ledger.verdicts, limit=wait)))
    found = other.agreement([1])
    assert found is not None
    assert found < 0.8
    assert other.agreement([0]) is None


def positions_ledger(**columns: Any) -> Ledger:
    """Five signals an hour apart, each held for ten."""
    entry = START_NS + np.arange(5) * HOUR_NS
    columns.setdefault("shadow_exit_time_ns", entry + 10 * HOUR_NS)
    return a_ledger(5, signal_time_ns=entry, **columns)


def test_what_has_no_result_holds_its_place_as_planned() -> None:
    """A signal without a price or a result frees its place after its planned holding period,
    however long it waited; a pending one without a plan never; an unfilled one with its order."""
    cap = PortfolioRules(open_count_max=1)
    status = np.full(5, ResultStatus.MATURED)
    short = START_NS + np.arange(5) * HOUR_NS + HOUR_NS // 2
    long = START_NS + 240 * HOUR_NS
    as_planned = [True, False, True, True, True]
    for first, flags, exit_ns, holding_s, expected in (
        (ResultStatus.MATURED, 0, short[0], 5_400.0, [True] * 5),
        (ResultStatus.PENDING, 0, 0, np.nan, [True] + [False] * 4),
        (ResultStatus.PENDING, 0, 0, 5_400.0, as_planned),
        (ResultStatus.NONE, 0, 0, 5_400.0, as_planned),
        (ResultStatus.CENSORED, NOT_FILLED, long, 5_400.0, as_planned),
        (ResultStatus.CENSORED, NOT_FILLED, long, np.nan, [True] + [False] * 4),
        (ResultStatus.CENSORED, 0, short[0], 5_400.0, [True] * 5),
        (ResultStatus.MATURED, NOT_FILLED, short[0], 5_400.0, [True] * 5),
    ):
        status[0], exits = first, short.copy()
        exits[0] = exit_ns
        ledger = positions_ledger(
            shadow_status=status,
            shadow_exit_time_ns=exits,
            shadow_flags=[flags, 0, 0, 0, 0],
            holding_s=holding_s,
        )
        assert replayed(ledger, everything(ledger), cap).tolist() == expected


def test_an_exit_comes_before_a_decision_at_the_same_time() -> None:
    """A position that ends at the very time of a decision no longer counts."""
    entry = START_NS + np.arange(5) * HOUR_NS
    ledger = positions_ledger(decision_time_ns=entry, shadow_exit_time_ns=entry + HOUR_NS)
    cap = PortfolioRules(open_count_max=1)
    assert replayed(ledger, everything(ledger), cap).all()


def test_one_guard_that_did_not_look_is_asked_with_its_latest_limit() -> None:
    """An engine that stops at the first block leaves the others unasked: a freed signal is held
    against the limit that the guard told elsewhere."""
    guard = DeskGuard("positions", GuardRule.POSITION_COUNT, 1.0)
    market = Market(
        [0, 10, 20], [100, 5, 5], [1] * 3, [1] * 3, [0, 1, 2], [0.0] * 3, [0.1] * 3,
        [False, True, True],
    )  # fmt: skip
    ledger = Desk(market, [guard]).trade().ledger()
    verdicts = ledger.verdicts
    unasked = np.arange(verdicts.result.size) == 3
    verdicts = replace(
        verdicts,
        result=np.where(unasked, NOT_EVALUATED, verdicts.result).astype(np.int8),
        observed=np.where(unasked, np.nan, verdicts.observed),
        limit=np.where(unasked, np.nan, verdicts.limit),
    )
    ledger = replace(ledger, verdicts=verdicts)
    found = replayed(ledger, everything(ledger), recorded_rules(ledger))
    assert found.tolist() == [True, False, False]


def test_a_limit_that_was_not_told_is_that_of_the_same_engine() -> None:
    """Two engines with a guard of one name and other limits: where it did not look, an engine's own
    limit holds, the latest one before."""
    guard = DeskGuard("positions", GuardRule.POSITION_COUNT, 1.0)
    market = Market(
        [0, 1, 10, 11, 20, 21], [100] * 6, [1] * 6, [1, 2] * 3, list(range(6)), [0.0] * 6,
        [0.1] * 6, [False, False, True, True, True, True],
    )  # fmt: skip
    ledger = Desk(market, [guard]).trade().ledger()
    told = ledger.verdicts
    limit = np.array([np.nan, 1.0, np.nan, 3.0, *[np.nan] * 8])
    unasked = np.arange(12) > 3
    verdicts = replace(
        told,
        limit=limit,
        result=np.where(unasked, NOT_EVALUATED, told.result).astype(np.int8),
        observed=np.where(unasked, np.nan, told.observed),
    )
    ledger = replace(ledger, verdicts=verdicts)
    found = replayed(ledger, everything(ledger), recorded_rules(ledger))
    assert found.tolist() == [True, True, False, True, False, True]


def test_a_signal_that_adds_nothing_known_adds_its_own_size() -> None:
    """An exposure guard that does not tell what a signal adds (zero): its own size counts."""
    guard = DeskGuard("exposure", GuardRule.EXPOSURE, 0.3)
    market = Market(
        [0, 10, 20, 30], [100] * 4, [1] * 4, [1] * 4, [0, 1, 2, 3], [0.0] * 4, [0.2] * 4,
        [False, True, True, True],
    )  # fmt: skip
    ledger = Desk(market, [guard]).trade().ledger()
    shown = ledger.verdicts.detail
    silent = replace(
        ledger, verdicts=replace(ledger.verdicts, detail=np.where(shown > 0, 0, shown))
    )
    for each in (ledger, silent):
        rules = PortfolioRules({1: 0.5})
        found = replayed(each, everything(each), rules)
        assert found.tolist() == [True, True, False, False]


def test_guard_kinds_tell_who_has_a_memory_and_who_can_be_replayed() -> None:
    """A known kind with memory is replayed; one that only says that it has a memory is unknown."""
    market = Market([0], [1], [1], [1], [0], [0.0], [0.1], [True])
    guards = [DeskGuard("positions", GuardRule.POSITION_COUNT, 1.0)]
    kinds = guard_kinds(Desk(market, guards).trade().ledger())
    assert [(k.name, k.is_stateful, k.is_replayed, k.is_unknown) for k in kinds] == [
        (VOLATILITY, False, False, False),
        ("positions", True, True, False),
    ]
    secret = a_ledger(1, blocked_by=[["secret"]], memory=[STATEFUL])
    assert [k.is_unknown for k in guard_kinds(secret)] == [True]
    assert [(k.blocked_count, k.evaluated_count) for k in guard_kinds(secret)] == [(1, 1)]


def test_an_empty_ledger_replays_to_nothing_and_a_wrong_shape_is_refused() -> None:
    """No signals, no trades; a mask of another ledger is an error that says so."""
    rules = PortfolioRules(open_count_max=1, symbol_count_max=1, exposure_fraction_max=0.1)
    empty = a_ledger(0)
    assert replayed(empty, np.empty(0, dtype=bool), rules).size == 0
    with pytest.raises(ValueError, match="shape"):
        replayed(empty, np.ones(3, dtype=bool), rules)


def test_a_cap_lets_in_far_fewer_than_a_naive_count_credits() -> None:
    """The trap: with a cap of three positions, hundreds of signals that one guard alone blocked
    are freed, and most of them find the book full or take another one's place."""
    rng = np.random.default_rng(14)
    n = 4_000
    market = Market(
        decided_s=(np.sort(rng.integers(0, 90 * 86_400, n))).tolist(),
        held_s=rng.integers(6 * 3_600, 3 * 86_400, n).tolist(),
        symbol=[1] * n,
        source=[1] * n,
        key=list(range(n)),
        returns=[0.0] * n,
        fraction=[0.1] * n,
        volatile=(rng.random(n) < 0.2).tolist(),
    )
    guards = [DeskGuard("positions", GuardRule.POSITION_COUNT, 3.0)]
    desk = Desk(market, guards).trade()
    ledger = desk.ledger()
    credited = int(np.count_nonzero(np.array(market.volatile)))
    taken = replayed(ledger, everything(ledger), recorded_rules(ledger))
    extra = int(np.count_nonzero(taken)) - len(desk.taken)
    assert credited > 700
    assert extra < credited / 10
    assert taken[ledger.action == APPROVED].mean() < 1.0
