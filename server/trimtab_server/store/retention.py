"""Retention: old events of a kind become tombstones.

A tombstone keeps what the promises of the log need: the sequence, so that the log stays gapless;
the id and a digest of the body, so that a resend is still a duplicate; the producer's number. What
readers ask for is gone. Pruning works through one kind in the order of the log, so one number says
what is missing: everything of the kind up to `pruned_kinds.through_sequence`.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, func, text
from sqlmodel import col, select

from trimtab_server.errors import ConfigurationError
from trimtab_server.store.claims import PRUNED_KIND, PRUNED_TIME_NS, body_digest
from trimtab_server.store.database import Writer
from trimtab_server.store.migrate import head_revision
from trimtab_server.store.refusals import busy, unavailable
from trimtab_server.store.sqlite import SqliteWriter, sqlite_path
from trimtab_server.store.tables import PrunedKindRow

# Rows of one transaction: some tens of milliseconds in which nothing is recorded.
_ROWS = 1_000
# Bytes of their bodies: one message to Postgres, and memory here.
_BYTES = 4 << 20
# Seconds to wait for a sidecar's commit; under full load there is a gap between two of them.
_WAIT_S = 30.0
_OLDEST = (
    "SELECT sequence, ingest_time_ns, length(body) FROM events WHERE kind = ? AND sequence > ?"
    " ORDER BY sequence LIMIT ?"
)
_WHOLE = (
    "SELECT sequence, ingest_time_ns, producer_key, producer_seq, event_id, source, environment,"
    " run_id, body FROM events WHERE kind = ? AND sequence BETWEEN ? AND ? ORDER BY sequence"
)
# Not an update: SQLite gives the room of a row that shrank in place to nobody.
_TAKE = "DELETE FROM events WHERE kind = ? AND sequence BETWEEN ? AND ?"
_BURY = (
    "INSERT INTO events (sequence, ingest_time_ns, producer_key, producer_seq, event_id, kind,"
    " source, environment, event_time_ns, available_time_ns, body)"
    f" VALUES (?, ?, ?, ?, ?, {PRUNED_KIND}, '', 0, {PRUNED_TIME_NS}, {PRUNED_TIME_NS}, ?)"
)
_COUNT_DOWN = (
    "UPDATE event_counts SET event_count = event_count - ?, byte_count = byte_count - ?"
    " WHERE source = ? AND environment = ? AND run_id = ? AND kind = ?"
)
_REMEMBER = (
    "INSERT INTO pruned_kinds (kind, through_sequence, event_count) VALUES (?, ?, ?)"
    " ON CONFLICT (kind) DO UPDATE SET through_sequence = excluded.through_sequence,"
    " event_count = pruned_kinds.event_count + excluded.event_count"
)

# Behind every sequence.
_BEYOND = (1 << 63) - 1


class Pruned(NamedTuple):
    """How many events of a kind one transaction pruned, their bytes, whether older ones than asked
    for may be left, and when the oldest that is left was ingested (0 = unknown)."""

    event_count: int
    byte_count: int
    has_more: bool
    oldest_time_ns: int = 0


class _Writable(Protocol):
    def writing(self) -> Any: ...


def prune_some(
    database: _Writable,
    kind: int,
    before_ns: int,
    rows_max: int = _ROWS,
    bytes_max: int = _BYTES,
) -> Pruned:
    """What one transaction pruned of the events of `kind` that were ingested before `before_ns`,
    oldest first; nothing when the oldest that is left is younger. One event may be larger than
    `bytes_max`. Raises Unavailable."""
    with database.writing() as writer:
        known = writer.execute(
            "SELECT through_sequence FROM pruned_kinds WHERE kind = ?", (kind,)
        ).fetchone()
        rows = writer.execute(_OLDEST, (kind, known[0] if known else 0, rows_max)).fetchall()
        count = _due_count(rows, before_ns, bytes_max)
        if count:
            _bury(writer, kind, rows[0][0], rows[count - 1][0])
    oldest_time_ns = rows[count][1] if count < len(rows) else 0
    has_more = count == rows_max or 0 < oldest_time_ns < before_ns
    return Pruned(count, sum(row[2] for row in rows[:count]), has_more, oldest_time_ns)


def _due_count(rows: Sequence[Any], before_ns: int, bytes_max: int) -> int:
    byte_count = 0
    for index, (_, time_ns, size) in enumerate(rows):
        byte_count += size
        if time_ns >= before_ns or (index and byte_count > bytes_max):
            return index
    return len(rows)


def _bury(writer: Writer, kind: int, first: int, last: int) -> None:
    old = writer.execute(_WHOLE, (kind, first, last)).fetchall()
    counts: Counter[tuple[str, int, str]] = Counter()
    byte_counts: Counter[tuple[str, int, str]] = Counter()
    for *_, source, environment, run_id, body in old:
        group = (source, environment, run_id or "")
        counts[group] += 1
        byte_counts[group] += len(body)
    with writer.together():
        writer.execute(_TAKE, (kind, first, last))
        writer.executemany(_BURY, [(*row[:5], body_digest(row[-1])) for row in old])
        writer.executemany(
            _COUNT_DOWN,
            [(count, byte_counts[group], *group, kind) for group, count in counts.items()],
        )
        writer.execute("DELETE FROM event_counts WHERE kind = ? AND event_count = 0", (kind,))
        writer.execute(_REMEMBER, (kind, last, len(old)))


def prunable_count(connection: Connection, kind: int, before_ns: int) -> int:
    """How many events of `kind` prune_some takes with `before_ns`: those in front of the first
    that is younger. Reads all of the kind."""
    found = connection.execute(
        text(
            "SELECT count(*) FROM events WHERE kind = :kind AND sequence < coalesce("
            "(SELECT min(sequence) FROM events WHERE kind = :kind"
            f" AND ingest_time_ns >= :before_ns), {_BEYOND})"
        ),
        {"kind": kind, "before_ns": before_ns},
    )
    return int(found.scalar_one())


def newest_time_ns(connection: Connection) -> int:
    """When the newest event was ingested, tombstones included; 0 when there is none."""
    newest = text("SELECT ingest_time_ns FROM events ORDER BY sequence DESC LIMIT 1")
    return connection.scalar(newest) or 0


def pruned_through(connection: Connection, kinds: Sequence[int]) -> int:
    """The last sequence at which an event of one of `kinds` (empty = of any) was pruned; 0 when
    none was."""
    query = select(func.max(col(PrunedKindRow.through_sequence)))
    if kinds:
        query = query.where(col(PrunedKindRow.kind).in_(kinds))
    return connection.scalar(query) or 0


def pruned_counts(connection: Connection) -> dict[int, int]:
    """How many events were ever pruned, by kind."""
    rows = connection.execute(
        text("SELECT kind, event_count FROM pruned_kinds WHERE event_count > 0")
    )
    return {int(kind): int(count) for kind, count in rows}


def first_kept(connection: Connection) -> int:
    """The first sequence that is no tombstone; 0 when there is none."""
    if not pruned_through(connection, ()):
        return connection.scalar(text("SELECT min(sequence) FROM events")) or 0
    kinds = connection.scalars(text("SELECT DISTINCT kind FROM event_counts")).all()
    # By the index of kinds, which holds nothing of what was pruned.
    first = text("SELECT sequence FROM events WHERE kind = :kind ORDER BY sequence LIMIT 1")
    found = [connection.scalar(first, {"kind": kind}) for kind in kinds]
    return min((sequence for sequence in found if sequence is not None), default=0)


class SharedFile:
    """A SQLite file that a sidecar may be serving, for work that numbers nothing: a connection of
    its own beside the sidecar's, without the lock that keeps a second sidecar out."""

    def __init__(self, url: str) -> None:
        """Opens the file. Raises ConfigurationError when it is not there or has another schema."""
        path = sqlite_path(url)
        self._connection = _connected(path)
        try:
            row = self._connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.Error as error:
            self._connection.close()
            raise ConfigurationError(f"{path} holds no trimtab log: {error}") from error
        if row != (head_revision(),):
            self._connection.close()
            raise ConfigurationError(
                f"{path} has the schema of another version; start its sidecar once with this one"
            )

    @contextmanager
    def writing(self) -> Iterator[SqliteWriter]:
        """A transaction that commits at the end of the block. Raises Unavailable."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield SqliteWriter(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise (busy if "locked" in str(error) else unavailable)(error) from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


def _connected(path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(
            f"{path.as_uri()}?mode=rw", uri=True, timeout=_WAIT_S, isolation_level=None
        )
    except sqlite3.Error as error:
        raise ConfigurationError(f"cannot open {path}: {error}") from error
