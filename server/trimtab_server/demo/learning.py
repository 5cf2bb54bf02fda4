"""The learning side as an engine sees it: something with `update(events)`.

`SidecarLearning` is the one that talks to a sidecar. An engine that holds any object with this
method can be tested without a sidecar, and can be run without learning at all.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from trimtab_client import Event, Trimtab
from trimtab_server.domain.imports.trade_arguments import outcome_arguments, signal_arguments
from trimtab_server.domain.imports.trade_columns import Cell, column_mapping
from trimtab_server.domain.imports.trade_rows import Problem, TradeRow, trade_row

DATA_DIR = Path("artifacts/learning_engine")
MAX_EVENTS_MEMORY = 20_000
"""Events that an engine holds until they are durable (RecorderSettings.events_max)."""
REFUSED_WAIT_S = 5.0
ATTEMPTS_MAX = 60
"""A backtest can wait for room, where a live engine must not: up to 5 minutes."""


class LearningEngine(Protocol):
    """What a trading engine needs of whatever learns from it."""

    def update(self, events: Sequence[Event]) -> int:
        """Takes events; returns how many of them were accepted."""


class NotAcceptedError(Exception):
    """The recorder had no room for an event for minutes: the sidecar is gone for good."""


class SidecarLearning:
    """Sends an engine's events to a sidecar, waiting for room instead of losing one.

    on_accepted: is told the id of each event that the recorder accepted, in order.
    """

    def __init__(self, tt: Trimtab, on_accepted: Callable[[str], None] | None = None) -> None:
        self._tt = tt
        self._on_accepted = on_accepted
        self.accepted_count = 0

    async def initialize(self, timeout_s: float = 10.0) -> bool:
        """Whether the sidecar serves within `timeout_s`. The engine may start without it."""
        return await asyncio.to_thread(self._tt.wait_ready, timeout_s)

    def update(self, events: Sequence[Event]) -> int:
        """Records events in order; returns how many (all). Raises NotAcceptedError."""
        for event in events:
            event_id = self._recorded(event)
            self.accepted_count += 1
            if self._on_accepted is not None:
                self._on_accepted(event_id)
        return len(events)

    def _recorded(self, event: Event) -> str:
        for _ in range(ATTEMPTS_MAX):
            event_id = self._tt.record(event)
            if event_id is not None:
                return event_id
            self._tt.flush(REFUSED_WAIT_S)
        raise NotAcceptedError(f"no room for an event for {ATTEMPTS_MAX * REFUSED_WAIT_S:.0f} s")

    async def shutdown(self, timeout_s: float = 30.0) -> bool:
        """Whether everything that was accepted is durable; closes the connection."""
        result = await asyncio.to_thread(self._tt.close, timeout_s)
        return result.durable


def record_learning_feedback(
    tt: Any,
    trades: Sequence[Mapping[str, Cell]],
    confidence_key: str = "confidence",
    applied_threshold: float = 0.80,
    *,
    calibrated: bool = False,
) -> int:
    """Number of events recorded: two a trade, its signal (at entry) and its outcome (at exit).

    tt: a `trimtab_client.Trimtab`, or anything with its `signal`, `outcome` and `flush`. trades:
    mappings with the columns of `trade_columns.COLUMNS` (also under their aliases), closed trades
    only. confidence_key: which key holds the confidence that was acted upon. Raises ValueError that
    names every bad trade (nothing is recorded then) or says that the recorder had no room.
    """
    rows: list[TradeRow] = []
    problems: list[Problem] = []
    for number, trade in enumerate(trades, start=1):
        given = {"confidence": confidence_key} if confidence_key in trade else {}
        row = trade_row(trade, column_mapping(trade, given), number)
        if isinstance(row, list):
            problems += row
        elif row.is_open or row.confidence is None:
            problems.append(Problem(number, confidence_key, "not closed, or no confidence"))
        else:
            rows.append(row)
    if problems:
        told = "; ".join(f"trade {p.line}: {p.column}: {p.reason}" for p in problems[:20])
        raise ValueError(f"{len(problems)} problems, nothing recorded: {told}")
    count = 0
    same = {"calibrated": calibrated, "applied_threshold": applied_threshold}
    for row in rows:
        for record, arguments in (
            (tt.signal, signal_arguments(row)),
            (tt.outcome, outcome_arguments(row)),
        ):
            if record(**(arguments | same)) is None:
                tt.flush(REFUSED_WAIT_S)
                if record(**(arguments | same)) is None:
                    raise ValueError(f"the recorder had no room after {count} events")
            count += 1
    return count
