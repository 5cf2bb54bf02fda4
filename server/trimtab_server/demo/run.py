"""The demo from outside: a sidecar and an engine in two processes, one kill, one count.

The parent starts the sidecar on a fresh file, then the engine. When the engine is half way the
sidecar is killed with SIGKILL and started again on the same file and port. When the engine is done,
the parent counts the log against the engine's own list.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab_client import Client, kind_word
from trimtab_server.demo.backtest import SOURCE, Plan
from trimtab_server.demo.count import Count, independent_count, stored_events
from trimtab_server.demo.drill import Drill, Told
from trimtab_server.demo.guards import limits
from trimtab_server.demo.learning import DATA_DIR
from trimtab_server.demo.ledger_report import ledger_report
from trimtab_server.demo.sidecar import SidecarProcess
from trimtab_server.demo.trading import Order

KILL_AT = 0.5


class EngineFailedError(Exception):
    """The engine's process failed; the message tells the end of its log."""


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one demo, side by side, named after the database."""

    database: Path

    def beside(self, suffix: str) -> Path:
        """The file of the same name with another ending."""
        return self.database.with_name(self.database.stem + suffix)

    @property
    def directory(self) -> Path:
        """Where they are."""
        return self.database.parent


def fresh_places(database: Path | None, directory: Path = DATA_DIR) -> Places:
    """Places for a demo: that database, else the next free number in `directory` (made here)."""
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
        return Places(database)
    directory.mkdir(parents=True, exist_ok=True)
    taken = {path.name.split(".")[0] for path in directory.glob("demo-*")}
    number = next(n for n in range(1, 100_000) if f"demo-{n:03d}" not in taken)
    return Places(directory / f"demo-{number:03d}.db")


@dataclass(frozen=True, slots=True)
class Killed:
    """The moment of the kill: the engine's day, and events accepted and durable by then."""

    day: str
    book: str
    event_count: int
    durable_count: int
    pid: int


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What came of it. report: the engine's; kinds: events in the log by kind, of these runs;
    ledger: `ledger_report`."""

    report: dict[str, Any]
    kinds: dict[str, int]
    log_bytes: int
    count: Count
    killed: Killed | None
    ledger: dict[str, Any]
    drill: tuple[Told, ...] = ()


def _engine_lines(order: Order, log: Path) -> Iterator[dict[str, Any]]:
    """Lines of the engine's process as it runs. Raises EngineFailedError when it fails."""
    with log.open("a", encoding="utf-8") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "trimtab_server.demo.trading", order.as_json()],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield json.loads(line)
            code = process.wait()
        finally:
            process.kill()  # nothing happens when it ended by itself
            process.wait()
            process.stdout.close()
    if code != 0:
        text = log.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
        raise EngineFailedError(f"the engine ended with code {code}; its log: {text or '(empty)'}")


def run_demo(
    plan: Plan,
    places: Places,
    sidecar: SidecarProcess,
    tell: Callable[[str, dict[str, Any]], None],
) -> DemoResult:
    """Runs the demo on a sidecar that was started; it runs (the second one) when this returns.

    tell: is called with "progress" (the engine's lines), "drill" (an order that was given),
    "killed", "restarted", "counting", "asking".
    Raises EngineFailedError, SidecarFailedError, or the client's TrimtabError.
    """
    order = Order(
        plan=plan,
        address=sidecar.address,
        accepted=places.beside(".accepted.txt"),
        report=places.beside(".engine.json"),
        data_dir=places.directory,
    )
    killed: Killed | None = None
    drill = Drill(sidecar.address)
    for line in _engine_lines(order, places.beside(".engine.log")):
        if "done" in line:
            continue
        tell("progress", line)
        if plan.drill and (told := drill.follow(line)) is not None:
            tell("drill", told.plain)
        if line["share"] >= KILL_AT and killed is None:
            killed = Killed(
                line["day"], line["book"], line["events"], line["durable"], sidecar.pid or 0
            )
            sidecar.kill()
            tell("killed", line)
            sidecar.start()
            tell("restarted", line)
    tell("counting", {})
    report = json.loads(order.report.read_text(encoding="utf-8"))
    runs = list(report["run_ids"].values())
    with Client(sidecar.address, timeout_s=30.0) as client:
        accepted = order.accepted.read_text(encoding="ascii").split()
        count = independent_count(accepted, stored_events(client, SOURCE, runs))
        kinds: dict[str, int] = {}
        size = 0
        for run_id in runs:
            stats = client.get_stats(source=SOURCE, environment="BACKTEST", run_id=run_id)
            size += stats.event_bytes
            for row in stats.counts:
                kind = kind_word(row.kind)
                kinds[kind] = kinds.get(kind, 0) + row.event_count
        tell("asking", {})
        allowed = limits(plan.threshold, plan.risk_tolerance)
        ledger = ledger_report(client, SOURCE, report["run_ids"], allowed, plan.threshold)
    ordered = dict(sorted(kinds.items(), key=lambda item: -item[1]))
    return DemoResult(report, ordered, size, count, killed, ledger, tuple(drill.told))


def full_report(result: DemoResult, calibration: dict[str, Any]) -> dict[str, Any]:
    """The demo's JSON report: the engine's, what the log holds, the count, the calibration."""
    killed = result.killed
    return result.report | {
        "events_by_kind": result.kinds,
        "log_bytes": result.log_bytes,
        "count": {
            "line": result.count.line,
            "accepted": result.count.accepted_count,
            "stored": result.count.stored_count,
            "lost": result.count.lost_count,
            "doubled": result.count.doubled_count,
            "foreign": result.count.foreign_count,
            "misplaced": result.count.misplaced_count,
        },
        "sidecar_killed": None
        if killed is None
        else {
            "signal": "SIGKILL",
            "engine_book": killed.book,
            "engine_day": killed.day,
            "accepted_by_then": killed.event_count,
            "durable_by_then": killed.durable_count,
        },
        "ledger": result.ledger,
        "drill": [told.plain for told in result.drill],
        "calibration": calibration,
    }
