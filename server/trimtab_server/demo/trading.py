"""The engine's process: `python -m trimtab_server.demo.trading ORDER`, started by `trimtab demo`.

ORDER is a JSON object (`Order`). Each line on standard output is a JSON object: progress while it
trades, then `{"done": ...}`. It knows nothing of the sidecar but its address; that the sidecar is
killed and comes back is its recorder's business, not its own.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from trimtab_client import GateSettings, RecorderSettings, Trimtab, connect
from trimtab_server.demo.asking import GateAsked
from trimtab_server.demo.backtest import (
    SOURCE,
    MarketBacktest,
    Plan,
    Progress,
    backtest_report,
)
from trimtab_server.demo.drill import SHARES
from trimtab_server.demo.learning import MAX_EVENTS_MEMORY, SidecarLearning
from trimtab_server.demo.prices import load_market

FLUSH_TIMEOUT_S = 120.0
LINES_PER_BOOK = 100


@dataclass(frozen=True, slots=True)
class Order:
    """What the engine is to do. accepted, report: files that it writes. data_dir: to be told."""

    plan: Plan
    address: str
    accepted: Path
    report: Path
    data_dir: Path

    def as_json(self) -> str:
        """The order as one argument of the process."""
        plain = asdict(self)
        plain["plan"] |= {
            "start": self.plan.start.isoformat(),
            "end": self.plan.end.isoformat(),
        }
        return json.dumps(plain, default=str)


def order_from_json(text: str) -> Order:
    """The order of that argument. Raises ValueError or KeyError for another text."""
    plain = json.loads(text)
    plan = plain["plan"]
    return Order(
        plan=Plan(
            threshold=plan["threshold"],
            risk_tolerance=plan["risk_tolerance"],
            use_calibration=plan["use_calibration"],
            symbols=tuple(plan["symbols"]),
            start=date.fromisoformat(plan["start"]),
            end=date.fromisoformat(plan["end"]),
            drill=plan["drill"],
        ),
        address=plain["address"],
        accepted=Path(plain["accepted"]),
        report=Path(plain["report"]),
        data_dir=Path(plain["data_dir"]),
    )


def trade(order: Order, tell: Callable[[dict[str, Any]], None]) -> bool:
    """Replays, records, writes both files; whether everything accepted became durable."""
    market = load_market(order.plan.symbols, order.plan.start, order.plan.end)
    with order.accepted.open("w", encoding="ascii") as accepted:
        tt = connect(
            source=SOURCE,
            environment="BACKTEST",
            # Each event carries the run of its book; this one is for events without.
            run_id="demo",
            address=order.address,
            settings=RecorderSettings(events_max=MAX_EVENTS_MEMORY),
        )
        learning = SidecarLearning(tt, lambda event_id: print(event_id, file=accepted))
        gate = GateAsked(market, partial(_connect_book, order.address))
        told = _Told(tell, tt, gate if order.plan.drill else None)
        backtest = MarketBacktest(order.plan, market, told.progress)
        backtest.register_learning_engine(learning)
        backtest.register_gate(gate)
        found = backtest.run_cycle()
        gate.close()
        result = tt.flush(FLUSH_TIMEOUT_S)
    stats = tt.stats
    report = backtest_report(
        backtest, found, learning_data_dir=order.data_dir, events_recorded=learning.accepted_count
    )
    report["gate"] = gate.report()
    report["recorder"] = {
        "accepted_count": stats.accepted_count,
        "durable_count": stats.durable_count,
        "rejected_count": stats.rejected_count,
        "resent_and_stored_before_count": stats.duplicate_count,
        "lost_count": stats.lost_count,
        "reconnect_count": stats.reconnect_count,
        "pending_count": stats.pending_count,
    }
    tt.close()
    order.report.write_text(json.dumps(report), encoding="utf-8")
    tell({"done": report["recorder"]})
    return result.pending_count == 0 and stats.rejected_count == 0 and stats.lost_count == 0


def _connect_book(address: str, run_id: str) -> Trimtab:
    """A connection for the gate of one book: each run is a world of its own. The engine records the
    gate's verdict among its guards', in the decision that it takes anyway."""
    return connect(
        source=SOURCE,
        environment="BACKTEST",
        run_id=run_id,
        address=address,
        on_unavailable="CLOSED",
        gate_settings=GateSettings(record_decisions=False),
    )


class _Told:
    """Progress lines, about a hundred a book. drilled: the gate, during a drill; at each of its
    orders the engine waits until the gate has heard of it."""

    def __init__(
        self, tell: Callable[[dict[str, Any]], None], tt: Trimtab, drilled: GateAsked | None
    ) -> None:
        self._tell = tell
        self._tt = tt
        self._drilled = drilled
        self._order_count = 0
        self._last = -1.0

    def progress(self, progress: Progress) -> None:
        is_order_due = (
            self._drilled is not None
            and self._order_count < len(SHARES)
            and progress.share >= SHARES[self._order_count]
        )
        is_due = progress.share - self._last >= 0.5 / LINES_PER_BOOK or progress.share >= 1.0
        if is_due or is_order_due:
            self._say(progress)
        if is_order_due and self._drilled is not None:
            # Each order makes one revision of the run's rules.
            self._order_count += 1
            self._drilled.wait_revision(progress.book, self._order_count)

    def _say(self, progress: Progress) -> None:
        self._last = progress.share
        stats = self._tt.stats
        self._tell(
            {
                "share": round(progress.share, 4),
                "book": progress.book,
                "run_id": progress.run_id,
                "day": progress.day.isoformat(),
                "events": progress.event_count,
                "durable": stats.durable_count,
                "state": stats.state,
            }
        )


def main(arguments: list[str]) -> int:
    """The process: exit code 0 when everything that was accepted is durable, else 1."""

    def tell(line: dict[str, Any]) -> None:
        print(json.dumps(line), flush=True)

    return 0 if trade(order_from_json(arguments[0]), tell) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
