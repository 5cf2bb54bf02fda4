"""Looking at a database as it is: read-only, nothing migrated, no lock taken. It works beside a
serving sidecar, and on a file that no sidecar would open."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from trimtab_server.errors import ConfigurationError
from trimtab_server.store.claims import PRUNED_KIND
from trimtab_server.store.database import backend_of
from trimtab_server.store.refusals import unavailable
from trimtab_server.store.sqlite import sqlite_path

SQLITE_VERSION = sqlite3.sqlite_version

_FAULTS_MAX = 5
_KEPT = f"FROM events WHERE kind <> {PRUNED_KIND} GROUP BY "
# Beside the count of a commit, which is what the reports say.
_BY_KIND = "kind"
_BY_GROUP = "source, environment, coalesce(run_id, ''), kind"
_POSTGRES = ("server_version", "fsync", "full_page_writes", "synchronous_commit")


class LogFacts(NamedTuple):
    """The log's own account of itself; times are nanoseconds UTC, `restore_time_ns` None = never
    restored."""

    log_id: str
    last_sequence: int
    create_time_ns: int
    restore_time_ns: int | None
    event_count: int
    pruned_count: int


class Inspection:
    """One snapshot of a database. Every method raises Unavailable when the database refuses, as a
    damaged one does."""

    def __init__(self, connection: Connection, backend: str) -> None:
        self.connection = connection
        self.backend = backend

    def revision(self) -> str | None:
        """The revision of the schema; None when this is no log of trimtab."""
        name = (
            "sqlite_master WHERE name" if self.backend == "sqlite" else "pg_tables WHERE tablename"
        )
        found = self._rows(f"SELECT 1 FROM {name} IN ('alembic_version', 'log', 'events')")
        if len(found) != 3:
            return None
        rows = self._rows("SELECT version_num FROM alembic_version")
        return str(rows[0][0]) if rows else None

    def integrity_faults(self, *, full: bool) -> list[str]:
        """What SQLite finds wrong with the file; `full` holds indexes against their tables too."""
        if self.backend != "sqlite":
            return []
        check = "integrity_check" if full else "quick_check"
        found = [str(row[0]) for row in self._rows(f"PRAGMA {check}({_FAULTS_MAX})")]
        return [] if found == ["ok"] else found

    def log(self) -> LogFacts:
        """What the log says of itself."""
        (row,) = self._rows(
            "SELECT log_id, last_sequence, create_time_ns, restore_time_ns,"
            " (SELECT coalesce(sum(event_count), 0) FROM event_counts),"
            " (SELECT coalesce(sum(event_count), 0) FROM pruned_kinds) FROM log"
        )
        return LogFacts(row[0], int(row[1]), int(row[2]), row[3], int(row[4]), int(row[5]))

    def log_ids(self) -> list[str]:
        """Its log_id, then those of the logs that it was restored from, newest first; also of a
        schema that is older than lineages."""
        (row,) = self._rows("SELECT * FROM log")
        return [row.log_id, *json.loads(getattr(row, "former_log_ids", "[]"))]

    def last_ingest_time_ns(self) -> int:
        """When the newest event was stored; 0 when there is none."""
        rows = self._rows("SELECT ingest_time_ns FROM events ORDER BY sequence DESC LIMIT 1")
        return int(rows[0][0]) if rows else 0

    def sequence_faults(self) -> list[str]:
        """Where sequences are not 1, 2, 3 up to the counter."""
        last = self.log().last_sequence
        ((count, low, high),) = self._rows(
            "SELECT count(*), min(sequence), max(sequence) FROM events"
        )
        found = []
        if (high or 0) != last:
            found.append(f"the counter is {last}, the last event {high or 0}")
        if count and (low != 1 or count != high):
            found.append(f"{count} events stand on the sequences {low} to {high}")
        return found

    def count_faults(self, *, full: bool) -> list[str]:
        """Where event_counts and pruned_kinds are not what the log holds: by kind, and with `full`
        by source, environment and run too."""
        keys = _BY_GROUP if full else _BY_KIND
        real = self._rows(f"SELECT {keys}, count(*), sum(length(body)) {_KEPT}{keys}")
        columns = keys.replace("coalesce(run_id, '')", "run_id")
        kept = self._rows(
            f"SELECT {columns}, sum(event_count), sum(byte_count) FROM event_counts"
            f" GROUP BY {columns}"
        )
        there, told = _by_key(real), _by_key(kept)
        found = [
            f"{' '.join(map(str, key))}: {there.get(key, (0, 0))} events and bytes are stored,"
            f" {told.get(key, (0, 0))} are counted"
            for key in sorted(there.keys() | told.keys(), key=str)
            if there.get(key, (0, 0)) != told.get(key, (0, 0))
        ]
        ((buried,),) = self._rows(f"SELECT count(*) FROM events WHERE kind = {PRUNED_KIND}")
        pruned = self.log().pruned_count
        if buried != pruned:
            found.append(f"{buried} events are pruned, {pruned} are counted")
        return found[:_FAULTS_MAX]

    def producer_faults(self) -> list[str]:
        """Events beyond the mark of their producer, or of an unknown one."""
        ((count,),) = self._rows(
            "SELECT count(*) FROM events LEFT JOIN producers"
            " ON producers.producer_key = events.producer_key"
            " WHERE events.producer_key IS NOT NULL AND (producers.producer_key IS NULL"
            " OR events.producer_seq > producers.durable_through_seq)"
        )
        return [f"{count} events lie beyond their producer's mark"] if count else []

    def server(self) -> dict[str, str]:
        """Of Postgres: its version and what durability rests on."""
        if self.backend == "sqlite":
            return {}
        return {name: str(self._rows(f"SHOW {name}")[0][0]) for name in _POSTGRES}

    def sidecar_count(self) -> int:
        """Connections of sidecars to a Postgres database, as far as we may see them."""
        if self.backend == "sqlite":
            return 0
        ((count,),) = self._rows(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'trimtab'"
        )
        return int(count)

    def _rows(self, statement: str) -> Sequence[Any]:
        try:
            return self.connection.execute(text(statement)).all()
        except DBAPIError as error:
            raise unavailable(error.orig) from error


@contextmanager
def inspecting(url: str) -> Iterator[Inspection]:
    """The database of `url` in one snapshot. Raises ConfigurationError when it does not open."""
    backend = backend_of(url)
    try:
        connection = (_file(url) if backend == "sqlite" else _server(url)).connect()
        if backend == "sqlite":
            connection.exec_driver_sql("BEGIN")
    except (DBAPIError, ImportError) as error:
        words = error.orig if isinstance(error, DBAPIError) else error
        raise ConfigurationError(f"cannot open the database: {words}") from error
    with connection:
        yield Inspection(connection, backend)


def _file(url: str) -> Engine:
    path = sqlite_path(url)
    if not path.is_file():
        raise ConfigurationError(f"{path} is not there")

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)

    return create_engine("sqlite://", creator=connect, poolclass=NullPool)


def _server(url: str) -> Engine:
    # The driver is an extra. Raises ImportError without it.
    from trimtab_server.store.postgres_connection import connect

    settings = {"default_transaction_read_only": "on"}
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect(url, settings, autocommit=False, name="trimtab-inspection"),
        poolclass=NullPool,
        isolation_level="REPEATABLE READ",
    )


def _by_key(rows: Sequence[Any]) -> dict[tuple[Any, ...], tuple[int, int]]:
    return {tuple(key): (int(count), int(size)) for *key, count, size in rows}
