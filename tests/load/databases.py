"""Databases for the bench: empty ones as the server makes them, large ones made fast, and facts."""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from tests.load import messages
from trimtab.v1 import event_pb2
from trimtab_server.domain.events import EventKind

# What a connection is told beside the file itself: read from the server's own writer.
_PRAGMAS = (
    *("journal_mode", "synchronous", "cache_size", "wal_autocheckpoint", "mmap_size"),
    *("temp_store", "journal_size_limit"),
)
_COLUMNS = (
    *("sequence", "ingest_time_ns", "event_id", "kind", "source", "environment", "event_time_ns"),
    *("available_time_ns", "signal_id", "strategy", "symbol", "body"),
)
_POOL_EVENTS = 10_000
_ROWS_PER_COMMIT = 20_000


def make_empty(path: Path) -> dict[str, Any]:
    """Makes an empty database through the server's own store; returns its writer's pragmas."""
    # Half a second of SQLAlchemy, which the processes of this folder do not need.
    from trimtab_server.store.store import Store

    store = Store(
        f"sqlite:///{path}", new_log_id=uuid4, now_ns=time.time_ns, monotonic=time.monotonic
    )
    try:
        with store._database.writing() as connection:
            return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _PRAGMAS}
    finally:
        store.close()


def copy(database: Path, target: Path) -> Path:
    """A copy of a closed database."""
    shutil.copy(database, target)
    return target


def fill(database: Path, count: int, seed: int) -> None:
    """Puts `count` mix events into an empty, closed database, without care for power losses."""
    statement = (
        f"INSERT INTO events ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
    )
    rows = _rows(count, seed, time.time_ns())
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for pragma in ("synchronous=OFF", "cache_size=-262144", "wal_autocheckpoint=100000"):
            connection.execute(f"PRAGMA {pragma}")
        while batch := list(islice(rows, _ROWS_PER_COMMIT)):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(statement, batch)
            connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE log SET last_sequence = ?", (count,))
        connection.execute(
            "INSERT INTO event_counts SELECT source, environment, '', kind, count(*),"
            " sum(length(body)), max(event_time_ns) FROM events GROUP BY source, environment, kind"
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _rows(count: int, seed: int, now_ns: int) -> Iterator[tuple[Any, ...]]:
    """Rows of mix events that end at `now_ns`; only their ids and times are new after the first
    ten thousand, which makes them five times as fast."""
    step_ns = 1_000_000
    start_ns = now_ns - count * step_ns
    pool = list(islice(messages.events(seed, start_ns, step_ns), min(_POOL_EVENTS, count)))
    known = [(event, _kind(event)) for event in pool]
    made = messages.ids(seed, start_ns, step_ns)
    for index, (event_id, seconds, nanos) in enumerate(islice(made, count)):
        event, kind = known[index % len(known)]
        event.event_id = event_id
        event.event_time.seconds, event.event_time.nanos = seconds, nanos
        when_ns = seconds * 1_000_000_000 + nanos
        body = event.SerializeToString(deterministic=True)
        yield (
            *(index + 1, when_ns, UUID(event_id).bytes, kind, event.source, event.environment),
            *(when_ns, when_ns, event.signal_id or None, event.strategy or None, event.symbol),
            body,
        )


def _kind(event: event_pb2.Event) -> int:
    return int(EventKind[str(event.WhichOneof("payload")).upper()])


def facts(database: Path) -> dict[str, Any]:
    """What a closed database holds: rows, commits, bytes per event, indexes."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows, commits, body_bytes = connection.execute(
            "SELECT count(*), count(DISTINCT ingest_time_ns), avg(length(body)) FROM events"
        ).fetchone()
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
        indexes = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'events'"
            " ORDER BY name"
        )
        names = [name for (name,) in indexes]
    return {
        "rows": rows,
        "commits": commits,
        "body_bytes_per_event": body_bytes,
        "file_bytes_per_event": pages * page_bytes / rows,
        "indexes": names,
    }
