"""What blocked signals would have made, one by one: missed profit, avoided loss, and their balance.

Not what trading them all would have made: they would have competed for capital, and have changed
what stateful guards saw. That is a what-if.
"""

from dataclasses import dataclass

import numpy as np

from trimtab_server.domain.ledger.columns import BLOCK, BLOCKED, Ledger
from trimtab_server.domain.ledger.trades import (
    Mask,
    has_shadow_trade,
    shadow_trades,
    unfilled_orders,
)
from trimtab_server.domain.reports.missing_results import without_simulation
from trimtab_server.domain.reports.performance import known_sum
from trimtab_server.domain.statistics.block_sums import (
    block_calendar,
    mean_estimate,
    outcomes_needed,
    total_estimate,
)
from trimtab_server.domain.statistics.estimates import Estimate, undefined, within


@dataclass(frozen=True, slots=True)
class BlockerLine:
    """Signals that one guard blocked; see the message of the same name in the contract."""

    guard: str
    blocked_count: int
    blocked_alone_count: int
    missed_profit: float | None
    avoided_loss: float | None


@dataclass(frozen=True, slots=True)
class BlockedOpportunityCost:
    """What blocking cost; see the message of the same name in the contract."""

    blocked_count: int
    matured_count: int
    missed_profit: Estimate
    avoided_loss: Estimate
    net_opportunity_cost: Estimate
    net_opportunity_cost_optimistic: float | None
    net_opportunity_cost_pessimistic: float | None
    missed_profit_money: float | None
    avoided_loss_money: float | None
    win_rate: Estimate
    blockers: tuple[BlockerLine, ...]
    outcomes_needed: int | None


def blocked_opportunity_cost(
    ledger: Ledger, rng: np.random.Generator, level: float = 0.95
) -> BlockedOpportunityCost:
    """What the blocked signals would have made, simulated, after costs.

    Where none has a simulated result, nothing is known: no number, and a note that says why. Orders
    that would not have been filled count as matured and made nothing; the win rate is that of the
    others. Money is told only where the size of all of them is known.
    """
    blocked = ledger.action == BLOCKED
    blocked_count = int(np.count_nonzero(blocked))
    has_result = has_shadow_trade(ledger) | unfilled_orders(ledger)
    matured_count = int(np.count_nonzero(blocked & has_result))
    trades = shadow_trades(ledger, blocked)
    calendar = block_calendar(trades.entry_ns, trades.exit_ns)
    gain, loss = np.maximum(trades.returns, 0.0), np.maximum(-trades.returns, 0.0)
    entry = trades.entry_ns
    net = total_estimate(trades.returns, entry, calendar, rng, level=level)
    rate = mean_estimate((trades.returns > 0).astype(np.float64), entry, calendar, rng, level=level)
    missed = within(total_estimate(gain, entry, calendar, rng, level=level), 0.0, None)
    avoided = within(total_estimate(loss, entry, calendar, rng, level=level), 0.0, None)
    if blocked_count and not matured_count:
        # A sum of nothing is zero, and would read like an answer.
        why = f"none has a simulated result: {without_simulation(ledger, blocked)}"
        net = missed = avoided = rate = undefined(0, why, level)
    return BlockedOpportunityCost(
        blocked_count=blocked_count,
        matured_count=matured_count,
        missed_profit=missed,
        avoided_loss=avoided,
        net_opportunity_cost=net,
        net_opportunity_cost_optimistic=float(trades.optimistic.sum()) if len(trades) else None,
        net_opportunity_cost_pessimistic=float(trades.pessimistic.sum()) if len(trades) else None,
        missed_profit_money=known_sum(np.maximum(trades.pnl, 0.0)),
        avoided_loss_money=known_sum(np.maximum(-trades.pnl, 0.0)),
        win_rate=within(rate, 0.0, 1.0),
        blockers=blocker_lines(ledger, blocked),
        outcomes_needed=outcomes_needed(net),
    )


def blocker_lines(ledger: Ledger, blocked: Mask) -> tuple[BlockerLine, ...]:
    """A line for each guard that blocked any of these signals, shape (n,), by name. Gains and
    losses are None where none of a guard's has a simulated result."""
    names = ledger.names.guards
    if not names or not len(ledger):
        return ()
    said = ledger.verdicts
    row = np.repeat(np.arange(len(ledger), dtype=np.int64), np.diff(said.start))
    stopped = (said.result == BLOCK) & blocked[row]
    # A guard that was told twice for a signal blocked it once.
    pairs = np.unique(row[stopped] * len(names) + said.guard[stopped])
    row, guard = pairs // len(names), pairs % len(names)
    alone = np.bincount(row, minlength=len(ledger))[row] == 1
    is_trade = has_shadow_trade(ledger)
    result = np.where(is_trade, ledger.shadow_return, 0.0)[row]
    has_result = (is_trade | unfilled_orders(ledger))[row]

    def by_guard(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> list[float]:
        return [float(each) for each in np.bincount(guard, values, minlength=len(names))]

    count, single = by_guard(np.ones(guard.size)), by_guard(alone)
    missed, avoided = by_guard(np.maximum(result, 0.0)), by_guard(np.maximum(-result, 0.0))
    told = by_guard(has_result)
    return tuple(
        BlockerLine(
            name,
            int(count[k]),
            int(single[k]),
            missed[k] if told[k] else None,
            avoided[k] if told[k] else None,
        )
        for name, k in sorted((name, k) for k, name in enumerate(names))
        if count[k]
    )
