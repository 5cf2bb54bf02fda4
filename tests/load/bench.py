"""make bench: what the sidecar costs on this machine, each number beside a reference.

python -m tests.load.bench [--quick] [--only NAME ...] [--rounds N] [--markdown FILE] [--json FILE]

Ours and the reference take turns in the same run; the table holds medians and the ratio's range.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.load.context import FULL, QUICK, Bench, test_folder
from tests.load.gate import (
    measure_gate_beside_ingestion,
    measure_gate_call,
    measure_gate_check,
    measure_watchers,
)
from tests.load.ingest import measure_ingest, measure_memory
from tests.load.latency import measure_latency, measure_unary
from tests.load.ledger import measure_day_report, measure_ledger_ingestion, measure_sweep
from tests.load.machine import machine_facts
from tests.load.postgres_ingest import measure_fleet, measure_postgres
from tests.load.reading import measure_list
from tests.load.record import measure_record
from tests.load.spool import measure_spool
from tests.load.table import Report
from tests.load.what_if import measure_what_if
from tests.postgres import EXTERNAL

MEASUREMENTS: dict[str, Callable[[Bench, Report], None]] = {
    "ingest": measure_ingest,
    "record": measure_record,
    "latency": measure_latency,
    "unary": measure_unary,
    "list": measure_list,
    "memory": measure_memory,
    "postgres": measure_postgres,
    "fleet": measure_fleet,
    "spool": measure_spool,
    "gate-check": measure_gate_check,
    "gate-call": measure_gate_call,
    "gate-ingest": measure_gate_beside_ingestion,
    "gate-watchers": measure_watchers,
    "ledger": measure_ledger_ingestion,
    "day-report": measure_day_report,
    "what-if": measure_what_if,
    "sweep": measure_sweep,
}


def run(bench: Bench, names: Sequence[str]) -> Report:
    """Runs the measurements that are named; one that fails is told and the others go on."""
    report = Report(notes=machine_facts(bench.filesystem))
    for name in names:
        bench.say(f"{name} ...")
        start_s = time.perf_counter()
        try:
            MEASUREMENTS[name](bench, report)
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - told in the report
            report.failures.append(f"{name}: {type(error).__name__}: {error}")
        bench.say(f"{name}: took {time.perf_counter() - start_s:.0f} s")
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code: 1 when a measurement failed, or with --check when a target
    is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, three rounds")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, metavar="NAME")
    parser.add_argument("--rounds", type=int, help="default 5, quick 3")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    for name in [name for name in os.environ if name.startswith("TRIMTAB_")]:
        if name not in ("TRIMTAB_TEST_DIR", EXTERNAL):
            del os.environ[name]  # servers run with default settings
    rounds = given.rounds or (3 if given.quick else 5)
    sizes = QUICK if given.quick else FULL
    with Bench(sizes, rounds, test_folder(), lambda words: print(words, file=sys.stderr)) as bench:
        report = run(bench, given.only or list(MEASUREMENTS))
    if given.quick:
        report.notes.append("quick: small sizes tell that the bench works, not what is met")
    print(report.text())
    if given.markdown:
        given.markdown.write_text(report.markdown(), "utf-8")
    if given.json:
        given.json.write_text(json.dumps(report.as_json(), indent=1), "utf-8")
    missed = given.check and any(row.met is False for row in report.rows)
    return int(bool(report.failures or missed))


if __name__ == "__main__":
    sys.exit(main())
