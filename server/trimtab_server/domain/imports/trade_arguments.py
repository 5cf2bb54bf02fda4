"""Trades of a file as the plain arguments of the client's recording methods.

A signal's arguments hold only what was known at the entry, so that importing the same trade first
while it is open and later when it is closed adds its outcome and changes nothing.
"""

from trimtab_server.domain.imports.guard_columns import GuardCell
from trimtab_server.domain.imports.trade_rows import TradeRow


def signal_arguments(row: TradeRow) -> dict[str, object]:
    """Arguments of the client's `signal`, from what was known at the entry only."""
    arguments: dict[str, object] = {
        "side": row.side,
        "intent": "ENTRY",
        "confidence": row.confidence,
        "calibrated": row.calibrated,
        "strength": row.strength,
        "regime": row.regime,
        "agreeing_model_count": row.agreeing_model_count,
        "volatility": row.volatility,
        "reference_price": row.entry_price,
        "applied_threshold": row.applied_threshold,
        "currency": row.currency,
        "expected_return": row.expected_return,
        "quantity": row.quantity,
    }
    return arguments | _envelope(row, row.signal_time_ns)


def plan_arguments(row: TradeRow) -> dict[str, object] | None:
    """Arguments of the client's `exit_plan`; None for a row that tells none."""
    if not row.has_plan:
        return None
    return {
        "holding_period_s": row.holding_s,
        "stop_loss_price": row.stop_loss_price,
        "take_profit_price": row.take_profit_price,
        "holding_trading_days": row.holding_days,
        "calendar": row.calendar,
    }


def decision_arguments(row: TradeRow) -> dict[str, object]:
    """Arguments of the client's `decision`, without the verdicts and the snapshot. Raises
    ValueError for a row without a decision."""
    if not row.decision:
        raise ValueError("the row tells no decision")
    arguments: dict[str, object] = {
        "action": row.decision,
        "applied_threshold": row.applied_threshold,
        "position_fraction": row.position_fraction,
        "decision_source": "GUARDS" if row.guards else 0,
        "entry_price": row.entry_price if row.is_traded else None,
    }
    return arguments | _envelope(row, row.signal_time_ns)


def snapshot_arguments(row: TradeRow) -> dict[str, object] | None:
    """Arguments of the client's `market_snapshot`; None for a row that tells nothing of it."""
    told: dict[str, object] = {
        "bid": row.bid,
        "ask": row.ask,
        "spread_bps": row.spread_bps,
        "volatility": row.volatility,
        "price": row.entry_price,
    }
    if all(value is None for value in told.values()):
        return None
    return told | {"regime": row.regime}


def verdict_arguments(row: TradeRow) -> list[dict[str, object]]:
    """Arguments of the client's `guard_verdict` for each guard, of which the rule is None or (its
    field in the contract, that message's fields, times in seconds)."""
    return [
        {
            "guard": cell.guard,
            "result": cell.result,
            "observed_value": cell.observed,
            "limit": cell.limit,
            "memory": "STATEFUL" if cell.is_stateful else "STATELESS",
            "rule": _rule(cell),
        }
        for cell in row.guards
        if not cell.is_left_out
    ]


def _rule(cell: GuardCell) -> tuple[str, dict[str, object]] | None:
    if cell.rule is not None:
        return cell.rule.message(cell.figures)
    return None if cell.is_minimum is None else ("threshold", {"is_minimum": cell.is_minimum})


def outcome_arguments(row: TradeRow) -> dict[str, object]:
    """Arguments of the client's `outcome` of a closed trade. Raises ValueError for an open one."""
    if row.exit_time_ns is None:
        raise ValueError("an open trade has no outcome")
    arguments: dict[str, object] = {
        "status": "MATURED",
        "side": row.side,
        "return_fraction": row.return_fraction,
        "won": row.won,
        "pnl": row.pnl,
        "fees": row.fees,
        "quantity": row.quantity,
        "entry_price": row.entry_price,
        "exit_price": row.exit_price,
        "exit_reason": row.exit_reason or 0,
        "holding_time_s": (row.exit_time_ns - row.entry_time_ns) / 1e9,
        "confidence_used": row.confidence,
        "calibrated": row.calibrated,
        "applied_threshold": row.applied_threshold,
        "currency": row.currency,
    }
    return arguments | _envelope(row, row.exit_time_ns)


def execution_arguments(row: TradeRow) -> list[tuple[str, dict[str, object]]]:
    """("entry" or "exit", arguments of the client's `execution`), where price and quantity are."""
    result: list[tuple[str, dict[str, object]]] = []
    if row.quantity is None or not row.is_traded:
        return result
    other = "SELL" if row.side == "BUY" else "BUY"
    for role, price, time, side in (
        ("entry", row.entry_price, row.entry_time_ns, row.side),
        ("exit", row.exit_price, row.exit_time_ns, other),
    ):
        if price is not None and time is not None:
            fill: dict[str, object] = {
                "side": side,
                "quantity": row.quantity,
                "price": price,
                "intent": "ENTRY" if role == "entry" else "EXIT",
                "currency": row.currency,
            }
            result.append((role, fill | _envelope(row, time)))
    return result


def _envelope(row: TradeRow, time_ns: int) -> dict[str, object]:
    return {
        "signal_id": row.signal_id,
        "symbol": row.symbol,
        "strategy": row.strategy,
        "model_name": row.model_name,
        "model_version": row.model_version,
        "position_id": row.key,
        "event_time_ns": time_ns,
    }
