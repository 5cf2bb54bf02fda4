"""Ingestion and memory: a fresh server with default settings takes the mix, flat out."""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.load import databases
from tests.load.context import SEED, Bench, cpu_s, resident_mb
from tests.load.table import Report, Row, number

TARGET = 0.5
ASKED_EVENTS_PER_S = 10_000
IDLE_MB_MAX = 120.0


@dataclass(frozen=True)
class _Run:
    events_per_s: float
    cpu_us_per_event: float
    database: Path
    facts: dict[str, Any]


def measure_ingest(bench: Bench, report: Report) -> None:
    """Streaming ingestion beside raw executemany of the very rows that it stored."""
    pairs, shares, cpu_us = [], [], []
    for _ in range(bench.rounds):
        ours = _stream(bench)
        batch_rows = round(ours.facts["rows"] / ours.facts["commits"])
        reference = _executemany(bench, ours.database, batch_rows)
        bench.drop(ours.database)
        pairs.append((ours.events_per_s, reference))
        shares.append(ASKED_EVENTS_PER_S / ours.events_per_s)
        cpu_us.append(ours.cpu_us_per_event)
        bench.say(f"ingest: {ours.events_per_s:,.0f} beside {reference:,.0f} events/s")
    name = "ingest: stream, durable, deduplicated"
    report.rows.append(Row(name, "events/s", "executemany", pairs, TARGET, at_least=True))
    found = ours.facts
    report.notes += [
        (
            f"ingest: {found['rows']:,} rows a round in {found['commits']} commits"
            f" ({batch_rows:,} rows each, for the reference too),"
            f" {found['body_bytes_per_event']:.0f} bytes of body an event,"
            f" {found['file_bytes_per_event']:.0f} bytes of file an event"
        ),
        f"ingest: indexes of the events table: {', '.join(found['indexes'])}",
        (
            f"ingest: {ASKED_EVENTS_PER_S:,} events/s = {median(shares):.0%} of ours; the server"
            f" used {number(median(cpu_us))} us of processor time an event"
        ),
        f"ingest: pragmas of both: {', '.join(f'{k}={v}' for k, v in bench.pragmas.items())}",
    ]


def measure_memory(bench: Bench, report: Report) -> None:
    """Resident memory of a server that was just started, and after the events of a round."""
    if not bench.resident_mb:
        for _ in range(bench.rounds):
            bench.drop(_stream(bench).database)
    idle = [(first, IDLE_MB_MAX) for first, _ in bench.resident_mb]
    after = [(last, IDLE_MB_MAX) for _, last in bench.resident_mb]
    count = bench.sizes.ingest_events
    report.rows.append(Row("memory: idle after start", "MB", "limit", idle, 1.0))
    report.rows.append(Row(f"memory: after {count:,} events", "MB", "limit", after))


def max_events_per_s(bench: Bench) -> float:
    """What ingestion reaches here: of the rounds before, or of one run now."""
    if not bench.ingest_rates:
        bench.drop(_stream(bench).database)
    return median(bench.ingest_rates)


def _stream(bench: Bench) -> _Run:
    count = bench.sizes.ingest_events
    database = bench.new_database()
    sidecar = bench.start(database)
    idle_mb, cpu_before_s = resident_mb(sidecar.pid), cpu_s(sidecar.pid)
    flags = ("--address", sidecar.address, "--rate", 0, "--events", count, "--seed", SEED)
    told = bench.child("generate", *flags)
    used_s = cpu_s(sidecar.pid) - cpu_before_s
    bench.resident_mb.append((idle_mb, resident_mb(sidecar.pid)))
    bench.stop(sidecar)
    found = databases.facts(database)
    if found["rows"] != count:
        raise RuntimeError(f"{count} events were acknowledged, {found['rows']} are stored")
    bench.ingest_rates.append(told["events_per_s"])
    return _Run(told["events_per_s"], used_s / count * 1e6, database, found)


def _executemany(bench: Bench, source: Path, batch_rows: int) -> float:
    """Rows a second."""
    target = bench.new_database()
    flags = ("--source", source, "--target", target, "--count", batch_rows)
    took_s = bench.child("reference", "executemany", *flags, "--pragmas", json.dumps(bench.pragmas))
    bench.drop(target)
    return float(bench.sizes.ingest_events / took_s)
