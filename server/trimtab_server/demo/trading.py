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
from pathlib import Path
from typing import Any

from trimtab_client import RecorderSettings, Trimtab, connect
from trimtab_server.demo.backtest import (
    SOURCE,
    MarketBacktest,
    Plan,
    Progress,
    backtest_report,
)
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
        told = _Told(tell, tt)
        backtest = MarketBacktest(order.plan, market, told.progress)
        backtest.register_learning_engine(learning)
        found = backtest.run_cycle()
        result = tt.flush(FLUSH_TIMEOUT_S)
    stats = tt.stats
    report = backtest_report(
        backtest, found, learning_data_dir=order.data_dir, events_recorded=learning.accepted_count
    )
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


class _Told:
    """Progress lines, about a hundred a book."""

    def __init__(self, tell: Callable[[dict[str, Any]], None], tt: Trimtab) -> None:
        self._tell = tell
        self._tt = tt
        self._last = -1.0

    def progress(self, progress: Progress) -> None:
        if progress.share - self._last < 0.5 / LINES_PER_BOOK and progress.share < 1.0:
            return
        self._last = progress.share
        stats = self._tt.stats
        self._tell(
            {
                "share": round(progress.share, 4),
                "book": progress.book,
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
