"""Worlds in which the truth about guards is known: seeded makers of ledgers.

All share one market: 20 symbols whose daily returns have a common factor, signals to buy on about
one symbol in seven a day, held for ten days. So results of open positions depend on each other,
across symbols and in time. A signal's expected result is DRIFT, plus what its guards know of it;
guards do not look at prices, so an expected value is a sum of expected results.
"""

from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from tests.domain.ledgers import DAY_NS, SECOND_NS, START_NS, a_ledger
from trimtab_server.domain.ledger.columns import (
    BLOCK,
    PASS,
    STATEFUL,
    STATELESS,
    GuardRule,
    Ledger,
    Names,
    Verdicts,
)

SYMBOL_COUNT = 20
SIGNAL_RATE = 0.15
HOLDING_DAYS = 10
DAYS = 500
DRIFT = 0.004
EDGE = -0.024
"""What is added to the expected result of a signal that a guard rightly blocks."""
VOLATILITY_SHARE, VOLATILITY_STAY_DAYS, SPREAD_SHARE = 0.25, 4, 0.2
OVERLAP, OVERLAP_SHARE = 0.8, 0.3
EXPOSURE_UNIT = 0.025
ROOM = {GuardRule.POSITION_COUNT: 6, GuardRule.EXPOSURE: 12}
"""Positions, or units of exposure, that may be open."""

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Signals:
    """day, symbol: shape (n,), by (day, symbol). noise: result without its mean."""

    day: IntArray
    symbol: IntArray
    noise: FloatArray

    @property
    def entry_ns(self) -> IntArray:
        """A minute a symbol after midnight."""
        return START_NS + self.day * DAY_NS + (self.symbol + 1) * 60 * SECOND_NS

    @property
    def exit_ns(self) -> IntArray:
        """At midnight, before that day's signals."""
        return START_NS + (self.day + HOLDING_DAYS) * DAY_NS


@dataclass(frozen=True)
class World:
    """A ledger and, by guard, the expected value and the expected Shapley value."""

    ledger: Ledger
    truth: dict[str, float]
    shapley: dict[str, float]


def signals(rng: np.random.Generator, days: int = DAYS) -> Signals:
    """Signals at random, with the results that one random market gives them."""
    length = days + HOLDING_DAYS
    factor = np.concatenate([[0.0], np.cumsum(rng.normal(0, 0.014, length))])
    own = np.cumsum(rng.normal(0, 0.012, (length, SYMBOL_COUNT)), axis=0)
    paths = factor[:, None] + np.concatenate([np.zeros((1, SYMBOL_COUNT)), own])
    day, symbol = np.nonzero(rng.random((days, SYMBOL_COUNT)) < SIGNAL_RATE)
    return Signals(day, symbol, paths[day + HOLDING_DAYS, symbol] - paths[day, symbol])


def turbulent_days(rng: np.random.Generator, days: int) -> BoolArray:
    """Days of a market that is turbulent for stretches of a few days, shape (days,)."""
    leave = 1 / VOLATILITY_STAY_DAYS
    enter = leave * VOLATILITY_SHARE / (1 - VOLATILITY_SHARE)
    state, chance = np.zeros(days, dtype=np.bool_), rng.random(days + 1)
    now = bool(chance[days] < VOLATILITY_SHARE)
    for k in range(days):
        state[k] = now
        now = bool(chance[k] >= leave) if now else bool(chance[k] < enter)
    return state


def _ledger(
    found: Signals, results: FloatArray, blocks: dict[str, BoolArray], told: Verdicts | None = None
) -> Ledger:
    names = sorted(blocks)
    said = np.stack([blocks[name] for name in names], axis=1)
    n = found.day.size
    nothing = np.full(said.size, np.nan)
    verdicts = told or Verdicts(
        start=np.arange(n + 1, dtype=np.int64) * len(names),
        guard=np.tile(np.arange(len(names), dtype=np.int32), n),
        result=np.where(said.reshape(-1), BLOCK, PASS).astype(np.int8),
        memory=np.full(said.size, STATELESS, dtype=np.int8),
        rule=np.full(said.size, GuardRule.UNKNOWN, dtype=np.int8),
        is_minimum=np.zeros(said.size, dtype=np.int8),
        observed=nothing,
        limit=nothing.copy(),
        detail=nothing.copy(),
    )
    return a_ledger(
        n,
        names=Names(
            symbols=tuple(f"S{k}" for k in range(SYMBOL_COUNT)),
            guards=tuple(names),
        ),
        symbol=found.symbol.astype(np.int32),
        action=np.where(said.any(axis=1), 2, 1),
        verdicts=verdicts,
        signal_time_ns=found.entry_ns - SECOND_NS,
        decision_time_ns=found.entry_ns,
        shadow_entry_time_ns=found.entry_ns,
        shadow_exit_time_ns=found.exit_ns,
        shadow_return=results,
        size=10_000.0,
    )


def independent_world(seed: int, *, days: int = DAYS) -> World:
    """Two stateless guards: volatility blocks whole stretches of days and knows, spread blocks
    single signals and knows nothing. Truth: by hand."""
    rng = np.random.default_rng(seed)
    found = signals(rng, days)
    volatile = turbulent_days(rng, days)[found.day]
    spread = rng.random(found.day.size) < SPREAD_SHARE
    ledger = _ledger(
        found,
        found.noise + DRIFT + EDGE * volatile,
        {"spread": spread, "volatility": volatile},
    )
    count = days * SYMBOL_COUNT * SIGNAL_RATE
    return World(
        ledger,
        {
            "spread": -count * SPREAD_SHARE * (1 - VOLATILITY_SHARE) * DRIFT,
            "volatility": -count * VOLATILITY_SHARE * (1 - SPREAD_SHARE) * (DRIFT + EDGE),
        },
        {
            "spread": -count
            * SPREAD_SHARE
            * ((1 - VOLATILITY_SHARE) * DRIFT + VOLATILITY_SHARE * (DRIFT + EDGE) / 2),
            "volatility": -count * VOLATILITY_SHARE * (1 - SPREAD_SHARE / 2) * (DRIFT + EDGE),
        },
    )


def null_world(seed: int, guard_count: int, *, days: int = DAYS) -> Ledger:
    """Guards that block at random in a market where a signal's expected result is zero."""
    rng = np.random.default_rng(seed)
    found = signals(rng, days)
    blocks = {f"g{k}": rng.random(found.day.size) < 0.1 for k in range(guard_count)}
    return _ledger(found, found.noise, blocks)


def overlapping_world(seed: int, *, days: int = DAYS) -> World:
    """Two stateless guards that block 30 % each, 80 % of it in common; both know. Truth: by
    hand."""
    rng = np.random.default_rng(seed)
    found = signals(rng, days)
    chance = rng.random((2, found.day.size))
    first = chance[0] < OVERLAP_SHARE
    other = OVERLAP_SHARE * (1 - OVERLAP) / (1 - OVERLAP_SHARE)
    second = chance[1] < np.where(first, OVERLAP, other)
    ledger = _ledger(
        found, found.noise + DRIFT + EDGE * (first | second), {"first": first, "second": second}
    )
    blocked = days * SYMBOL_COUNT * SIGNAL_RATE * OVERLAP_SHARE * -(DRIFT + EDGE)
    names = ("first", "second")
    return World(
        ledger,
        dict.fromkeys(names, blocked * (1 - OVERLAP)),
        dict.fromkeys(names, blocked * (1 - OVERLAP / 2)),
    )


def knowing_world(
    seed: int, days: int, *, mean: float = DRIFT + EDGE, as_expected: bool = False
) -> World:
    """One stateless guard that blocks 30 % of single signals, which make `mean` on average.
    as_expected: exactly so, in this world. Truth: by hand."""
    rng = np.random.default_rng(seed)
    found = signals(rng, days)
    blocked = rng.random(found.day.size) < OVERLAP_SHARE
    results = found.noise + np.where(blocked, mean, DRIFT)
    if as_expected:
        results[blocked] += mean - results[blocked].mean()
    truth = {"known": -days * SYMBOL_COUNT * SIGNAL_RATE * OVERLAP_SHARE * mean}
    return World(_ledger(found, results, {"known": blocked}), truth, truth)


def _traded(
    found: Signals, wanted: BoolArray, sizes: IntArray, room: int | None
) -> tuple[BoolArray, IntArray]:
    """A plain engine: who is let in while open sizes add up to at most `room`, and what they added
    up to before each signal."""
    entry, leave, size = found.entry_ns.tolist(), found.exit_ns.tolist(), sizes.tolist()
    taken, before = np.zeros(len(entry), dtype=np.bool_), np.zeros(len(entry), dtype=np.int64)
    exits: list[tuple[int, int]] = []
    bound = 0
    for k, wants in enumerate(wanted.tolist()):
        while exits and exits[0][0] <= entry[k]:
            bound -= heappop(exits)[1]
        before[k] = bound
        if wants and (room is None or bound + size[k] <= room):
            taken[k] = True
            bound += size[k]
            heappush(exits, (leave[k], size[k]))
    return taken, before


def _capped_parts(seed: int, days: int, rule: GuardRule) -> tuple[Signals, BoolArray, IntArray]:
    rng = np.random.default_rng(seed)
    found = signals(rng, days)
    volatile = rng.random(found.day.size) < OVERLAP_SHARE
    sizes = np.ones(found.day.size, dtype=np.int64)
    if rule is GuardRule.EXPOSURE:
        sizes = rng.choice(np.array([1, 2, 4]), found.day.size)
    return found, volatile, sizes


def capped_world(seed: int, rule: GuardRule, *, days: int = DAYS) -> Ledger:
    """A stateless guard `volatility` that knows, and a stateful one `cap`: six open positions at
    most, or (EXPOSURE) 30 % of equity with 2.5, 5 or 10 % a position."""
    found, volatile, sizes = _capped_parts(seed, days, rule)
    room = ROOM[rule]
    _, before = _traded(found, ~volatile, sizes, room)
    full = before + sizes > room
    n = found.day.size
    unit = 1.0 if rule is GuardRule.POSITION_COUNT else EXPOSURE_UNIT
    observed, limit, detail = np.full((3, n, 2), np.nan)
    observed[:, 0] = before * unit
    limit[:, 0] = room * unit
    detail[:, 0] = 0.0 if rule is GuardRule.POSITION_COUNT else sizes * unit
    told = Verdicts(
        start=np.arange(n + 1, dtype=np.int64) * 2,
        guard=np.tile(np.arange(2, dtype=np.int32), n),
        result=np.where(np.stack([full, volatile], axis=1).reshape(-1), BLOCK, PASS).astype(
            np.int8
        ),
        memory=np.tile(np.array([STATEFUL, STATELESS], dtype=np.int8), n),
        rule=np.tile(np.array([rule, GuardRule.THRESHOLD], dtype=np.int8), n),
        is_minimum=np.zeros(2 * n, dtype=np.int8),
        observed=observed.reshape(-1),
        limit=limit.reshape(-1),
        detail=detail.reshape(-1),
    )
    results = found.noise + DRIFT + EDGE * volatile
    return _ledger(found, results, {"cap": full, "volatility": volatile}, told)


def capped_truth(rule: GuardRule, world_count: int, *, days: int = DAYS) -> dict[str, float]:
    """Expected values of both guards of `capped_world`: the mean over so many other worlds of the
    same maker, where each result is replaced by its expectation (its noise is 0 on average,
    whoever is let in)."""
    totals = {"cap": 0.0, "volatility": 0.0}
    for seed in range(10_000_000, 10_000_000 + world_count):
        found, volatile, sizes = _capped_parts(seed, days, rule)
        expected = DRIFT + EDGE * volatile
        both, without_volatility, without_cap = (
            float(expected[_traded(found, wanted, sizes, room)[0]].sum())
            for wanted, room in (
                (~volatile, ROOM[rule]),
                (np.ones_like(volatile), ROOM[rule]),
                (~volatile, None),
            )
        )
        totals["volatility"] += both - without_volatility
        totals["cap"] += both - without_cap
    return {name: total / world_count for name, total in totals.items()}
