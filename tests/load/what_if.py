"""What-if beside plain code: a NumPy pass over the same columns, and a plain loop of the rules.

The scenario's evaluation (which trades, their sum, mean and drawdown) is measured apart from the
whole answer, which adds both sides' figures and every interval. The ledger is prepared before, as
for a sweep; what preparing costs is a row of its own. vectorbt is no reference: it needs numba,
which this project does not install.
"""

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.domain.ledgers import SECOND_NS, START_NS, a_ledger
from tests.load.context import SEED, Bench
from tests.load.table import Report, Row
from trimtab_server.domain.ledger.columns import (
    APPROVED,
    BLOCK,
    BLOCKED,
    PASS,
    STATELESS,
    GuardRule,
    Ledger,
    Names,
    Verdicts,
)
from trimtab_server.domain.reports.scenarios import (
    CapitalLimit,
    ConfidenceThreshold,
    GuardOff,
    PositionLimit,
    Scenario,
)
from trimtab_server.domain.reports.what_if import ScenarioTotals, WhatIf

_GUARDS = ("confidence", "volatility", "news", "spread")
_HOLD_S = 3_600
_OPEN_MAX, _EXPOSURE_MAX = 250, 20.0

_FREED = Scenario((GuardOff("news"), ConfidenceThreshold(0.5)))
_LIMITED = Scenario((*_FREED.changes, PositionLimit(_OPEN_MAX), CapitalLimit(_EXPOSURE_MAX)))
_COUNTED = Scenario((*_FREED.changes, PositionLimit(_OPEN_MAX)))


@dataclass(frozen=True)
class _Columns:
    """The columns that the scenarios need, as somebody who writes plain code would hold them."""

    confidence: Any
    volatility: Any
    news: Any
    spread: Any
    returns: Any
    time_ns: Any
    exit_ns: Any
    fraction: Any

    def by_exit(self) -> "_Columns":
        """The same in the order of exits: for one pass with a drawdown."""
        order = np.argsort(self.exit_ns, kind="stable")
        return _Columns(*(getattr(self, name)[order] for name in self.__dataclass_fields__))

    def wanted(self) -> Any:
        """What the scenarios want, without limits."""
        return (self.confidence >= 0.5) & (self.volatility <= 0.05) & ~self.spread


def _world(count: int) -> tuple[Ledger, _Columns]:
    """Signals of four guards, one every four seconds, held for an hour on average."""
    rng = np.random.default_rng(SEED)
    time_ns = START_NS + np.arange(count, dtype=np.int64) * 4 * SECOND_NS
    exit_ns = time_ns + rng.integers(60, 2 * _HOLD_S, count) * SECOND_NS
    columns = _Columns(
        confidence=rng.random(count),
        volatility=rng.random(count) * 0.07,
        news=rng.random(count) < 0.1,
        spread=rng.random(count) < 0.1,
        returns=rng.normal(0.0001, 0.01, count),
        time_ns=time_ns,
        exit_ns=exit_ns,
        fraction=rng.integers(5, 15, count) / 100,
    )
    blocks = np.stack(
        [columns.confidence < 0.6, columns.volatility > 0.05, columns.news, columns.spread], axis=1
    )
    unknown = np.full(count, np.nan)
    shown = np.stack([columns.confidence, columns.volatility, unknown, unknown], axis=1)
    rules = (GuardRule.THRESHOLD, GuardRule.THRESHOLD, GuardRule.UNKNOWN, GuardRule.UNKNOWN)
    size = count * len(_GUARDS)
    verdicts = Verdicts(
        start=np.arange(count + 1, dtype=np.int64) * len(_GUARDS),
        guard=np.tile(np.arange(len(_GUARDS), dtype=np.int32), count),
        result=np.where(blocks, BLOCK, PASS).astype(np.int8).ravel(),
        memory=np.full(size, STATELESS, dtype=np.int8),
        rule=np.tile(np.array(rules, dtype=np.int8), count),
        is_minimum=np.tile(np.array([1, 0, 0, 0], dtype=np.int8), count),
        observed=shown.ravel(),
        limit=np.tile([0.6, 0.05, np.nan, np.nan], count),
        detail=np.full(size, np.nan),
    )
    ledger = a_ledger(
        count,
        names=Names(guards=_GUARDS),
        verdicts=verdicts,
        signal_key=rng.permutation(count) - count // 2,
        signal_time_ns=time_ns,
        decision_time_ns=time_ns,
        shadow_exit_time_ns=exit_ns,
        shadow_return=columns.returns,
        confidence=columns.confidence,
        position_fraction=columns.fraction,
        action=np.where(blocks.any(axis=1), BLOCKED, APPROVED),
    )
    return ledger, columns


def _mean_and_drawdown(returns: Any) -> ScenarioTotals:
    path = np.cumsum(returns)
    drawdown = float(np.max(np.maximum(np.maximum.accumulate(path), 0.0) - path))
    return ScenarioTotals(returns.size, float(path[-1]), float(returns.mean()), drawdown)


def _numpy_pass(columns: _Columns) -> ScenarioTotals:
    return _mean_and_drawdown(columns.returns[columns.wanted()])


def _plain_loop(columns: _Columns, exposure_max: float | None) -> ScenarioTotals:
    """The limits as one would write them: lists, and a heap of what is open."""
    wanted = columns.wanted().tolist()
    times, exits = columns.time_ns.tolist(), columns.exit_ns.tolist()
    taken: list[int] = []
    if exposure_max is None:
        ends: list[int] = []
        for i, now in enumerate(times):
            if wanted[i]:
                while ends and ends[0] <= now:
                    heapq.heappop(ends)
                if len(ends) < _OPEN_MAX:
                    heapq.heappush(ends, exits[i])
                    taken.append(i)
    else:
        sizes, exposure = columns.fraction.tolist(), 0.0
        opened: list[tuple[int, float]] = []
        for i, now in enumerate(times):
            if wanted[i]:
                while opened and opened[0][0] <= now:
                    exposure -= heapq.heappop(opened)[1]
                size = sizes[i]
                if len(opened) < _OPEN_MAX and exposure + size <= exposure_max + 1e-9:
                    heapq.heappush(opened, (exits[i], size))
                    exposure += size
                    taken.append(i)
    rows = np.array(taken)
    rows = rows[np.argsort(columns.exit_ns[rows], kind="stable")]
    return _mean_and_drawdown(columns.returns[rows])


def _pair(ours: Callable[[], Any], reference: Callable[[], Any]) -> tuple[float, float]:
    """Milliseconds of either."""
    start_s = time.perf_counter()
    ours()
    middle_s = time.perf_counter()
    reference()
    return (middle_s - start_s) * 1e3, (time.perf_counter() - middle_s) * 1e3


def _agree(first: ScenarioTotals | None, second: ScenarioTotals) -> None:
    same = first is not None and first.trade_count == second.trade_count
    if first is None or not same or not np.isclose(first.total_return, second.total_return):
        raise RuntimeError(f"the reference does something else: {first} and {second}")


def measure_what_if(bench: Bench, report: Report) -> None:
    """A scenario without limits, with limits, its whole answer, and what preparing costs."""
    count = bench.sizes.what_if_signals
    ledger, columns = _world(count)
    sorted_columns = columns.by_exit()
    start_s = time.perf_counter()
    prepared = WhatIf(ledger)
    first_s = time.perf_counter() - start_s

    def numpy_pass() -> ScenarioTotals:
        return _numpy_pass(sorted_columns)

    def capped_loop() -> ScenarioTotals:
        return _plain_loop(columns, None)

    def limited_loop() -> ScenarioTotals:
        return _plain_loop(columns, _EXPOSURE_MAX)

    _agree(prepared.totals(_FREED), numpy_pass())
    _agree(prepared.totals(_COUNTED), capped_loop())
    _agree(prepared.totals(_LIMITED), limited_loop())
    what = f"what-if, {count:,} signals, guard off and threshold moved"
    one_pass, loop = "a NumPy pass with mean and drawdown", "a plain loop of the same rules"

    def measure(
        name: str,
        words: str,
        ours: Callable[[], object],
        reference: Callable[[], object],
        target: float | None = None,
    ) -> None:
        pairs = [_pair(ours, reference) for _ in range(bench.rounds)]
        report.rows.append(Row(name, "ms", words, pairs, target))

    measure(
        f"{what}: trades, sum, drawdown", one_pass, lambda: prepared.totals(_FREED), numpy_pass, 3.0
    )
    measure(
        f"{what}: the whole answer, every interval",
        one_pass,
        lambda: prepared.result(_FREED, np.random.default_rng(SEED)),
        numpy_pass,
    )
    capped, limited = f"{what}, {_OPEN_MAX} positions", f"{what}, positions and capital"
    measure(capped, loop, lambda: prepared.totals(_COUNTED), capped_loop, 1.5)
    measure(limited, loop, lambda: prepared.totals(_LIMITED), limited_loop, 1.5)
    measure("what-if: preparing the ledger", one_pass, lambda: WhatIf(ledger), numpy_pass)
    report.notes.append(
        f"what-if: the first preparation took {first_s:.2f} s; vectorbt is left out: it needs numba"
    )
