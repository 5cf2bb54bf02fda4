"""Ingestion into Postgres: a sidecar beside raw staged COPY, two sidecars beside one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import psycopg

from tests.conftest import filesystem_of
from tests.load.context import SEED, Bench, cpu_s, family_cpu_s
from tests.load.table import Report, Row, number
from tests.postgres import PostgresServer

TARGET = 0.5
FLEET_TARGET = 0.75
_SETTINGS = (
    *("server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method"),
    *("shared_buffers", "max_wal_size"),
)


@dataclass(frozen=True)
class _Cpu:
    """Microseconds of processor time an event: the client of Postgres (one or more sidecars, or the
    raw loop), and all processes of Postgres."""

    client_us: float
    postgres_us: float


@dataclass(frozen=True)
class _Run:
    events_per_s: float
    cpu: _Cpu
    facts: dict[str, Any]


def measure_postgres(bench: Bench, report: Report) -> None:
    """Streaming ingestion beside raw staged COPY of the very rows that it stored."""
    pairs, ours_cpu, reference_cpu = [], [], []
    for _ in range(bench.rounds):
        with _database(bench) as source, _database(bench) as target:
            ours = _streamed(bench, source, sidecar_count=1, stream_count=1)
            batch_rows = round(ours.facts["rows"] / ours.facts["commits"])
            reference, cpu = _staged_copy(bench, source, target, batch_rows)
        pairs.append((ours.events_per_s, reference))
        ours_cpu.append(ours.cpu)
        reference_cpu.append(cpu)
        bench.say(f"postgres: {ours.events_per_s:,.0f} beside {reference:,.0f} events/s")
    name = "postgres: stream, durable, deduplicated"
    report.rows.append(Row(name, "events/s", "staged COPY", pairs, TARGET, at_least=True))
    found = ours.facts
    report.notes += [
        (
            f"postgres: {found['rows']:,} rows a round in {found['commits']} commits"
            f" ({batch_rows:,} rows each, for the reference too),"
            f" {found['body_bytes_per_event']:.0f} bytes of body an event,"
            f" {found['bytes_per_event']:.0f} bytes of table and indexes an event"
        ),
        f"postgres: indexes of the events table: {', '.join(found['indexes'])}",
        f"postgres: {_server_facts(bench.postgres)}",
        (
            f"postgres: processor time an event: {_cpu_words('sidecar', ours_cpu)};"
            f" {_cpu_words('staged COPY', reference_cpu)}"
        ),
    ]


def measure_fleet(bench: Bench, report: Report) -> None:
    """Two sidecars on one database, half of the events to each, beside one that takes both
    halves. Two streams send at the same time, either way."""
    runs: dict[int, list[_Run]] = {1: [], 2: []}
    for _ in range(bench.rounds):
        for sidecar_count in (2, 1):
            with _database(bench) as url:
                run = _streamed(bench, url, sidecar_count=sidecar_count, stream_count=2)
            runs[sidecar_count].append(run)
        two, one = runs[2][-1], runs[1][-1]
        bench.say(f"fleet: {two.events_per_s:,.0f} beside {one.events_per_s:,.0f} events/s")
    pairs = [
        (two.events_per_s, one.events_per_s) for two, one in zip(runs[2], runs[1], strict=True)
    ]
    name = "fleet: two sidecars on one Postgres"
    report.rows.append(Row(name, "events/s", "one sidecar", pairs, FLEET_TARGET, at_least=True))
    report.notes += [
        (
            f"fleet: {two.facts['rows']:,} rows a round, in {two.facts['commits']} commits of two"
            f" sidecars, in {one.facts['commits']} of one"
        ),
        "fleet: processor time an event: "
        + "; ".join(
            _cpu_words(words, [run.cpu for run in runs[count]])
            for count, words in ((2, "two sidecars"), (1, "one sidecar"))
        ),
    ]


def _streamed(bench: Bench, url: str, *, sidecar_count: int, stream_count: int) -> _Run:
    """A round of events to sidecars on one database, divided among the streams."""
    count = bench.sizes.postgres_events
    sidecars = [bench.start(url) for _ in range(sidecar_count)]
    addresses = [sidecars[i % sidecar_count].address for i in range(stream_count)]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    client_s, postgres_s = sum(cpu_s(each.pid) for each in sidecars), _postgres_cpu_s(bench)
    told = bench.child(
        "generate", "--rate", 0, "--events", count, "--seed", SEED, "--address", *addresses
    )
    client_s = sum(cpu_s(each.pid) for each in sidecars) - client_s
    postgres_s = _postgres_cpu_s(bench) - postgres_s
    for sidecar in sidecars:
        bench.stop(sidecar)
    found = _facts(url)
    if (found["rows"], found["last_sequence"]) != (count, count):
        raise RuntimeError(f"{count} events were acknowledged; stored: {found}")
    cpu = _Cpu(client_s / count * 1e6, postgres_s / count * 1e6)
    return _Run(told["events_per_s"], cpu, found)


def _staged_copy(bench: Bench, source: str, target: str, batch_rows: int) -> tuple[float, _Cpu]:
    """Rows a second, and the processor time."""
    count, server = bench.sizes.postgres_events, bench.postgres
    postmaster = server.postmaster if server.ours else 0
    _migrate(target)
    flags = ("--source", source, "--target", target, "--postmaster", postmaster)
    told = bench.child("staged_copy", *flags, "--count", batch_rows)
    stored = _facts(target)["rows"]
    if stored != count:
        raise RuntimeError(f"the reference stored {stored} rows of {count}")
    cpu = _Cpu(told["cpu_s"] / count * 1e6, told["postgres_cpu_s"] / count * 1e6)
    return count / told["seconds"], cpu


@contextmanager
def _database(bench: Bench) -> Iterator[str]:
    """The URL of a new, empty database, dropped afterwards."""
    url = bench.postgres.database()
    try:
        yield url
    finally:
        bench.postgres.drop(url)


def _migrate(url: str) -> None:
    # Half a second of SQLAlchemy, which the processes of this folder do not need.
    from trimtab_server.store.store import Store

    Store(url, new_log_id=uuid4, now_ns=time.time_ns, monotonic=time.monotonic).close()


def _facts(url: str) -> dict[str, Any]:
    """What a database holds: rows, commits, bytes per event, indexes."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*), max(sequence), count(DISTINCT ingest_time_ns),"
            " avg(length(body))::float, pg_total_relation_size('events') FROM events"
        ).fetchone()
        indexes = connection.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = 'events' ORDER BY indexname"
        ).fetchall()
    assert row is not None
    return {
        "rows": row[0],
        "last_sequence": row[1],
        "commits": row[2],
        "body_bytes_per_event": row[3],
        "bytes_per_event": row[4] / row[0],
        "indexes": [name for (name,) in indexes],
    }


def _server_facts(server: PostgresServer) -> str:
    with psycopg.connect(server.url()) as connection:
        values = {
            name: connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
            for name in _SETTINGS
        }
    words = ", ".join(f"{name}={value[0]}" for name, value in values.items() if value)
    if not server.ours:
        return f"{words}; a server elsewhere"
    mounts = Path("/proc/mounts").read_text()
    return f"{words}; file system: {filesystem_of(server.data.resolve(), mounts)}"


def _postgres_cpu_s(bench: Bench) -> float:
    """Processor seconds of all processes of Postgres; 0 for one elsewhere."""
    return family_cpu_s(bench.postgres.postmaster) if bench.postgres.ours else 0.0


def _cpu_words(words: str, found: list[_Cpu]) -> str:
    client = number(median(each.client_us for each in found))
    postgres = number(median(each.postgres_us for each in found))
    return f"{words} {client} us, Postgres {postgres} us"
