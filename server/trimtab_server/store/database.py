"""A database URL opened for use: one connection that writes, a bounded pool that reads, a lock
beside the file, migrations, and the one place where driver errors become ours."""

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool

from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import ConfigurationError, DeadlineExceeded, Unavailable

_SYNCHRONOUS = {"power_loss": "FULL", "process_crash": "NORMAL"}
# Seconds that one attempt waits for another process's lock.
_LOCK_WAIT_S = 2.0
# Virtual-machine steps between two looks at a read's deadline: about a millisecond.
_STEPS_PER_LOOK = 20_000


class Database:
    """A SQLite file in WAL mode. `close()` gives the lock back."""

    def __init__(
        self,
        url: str,
        durability: str,
        readers_max: int,
        read_time_s_max: float,
        monotonic: Callable[[], float],
    ) -> None:
        """Opens or creates the file and brings its schema up to date.

        Raises ConfigurationError when the URL is not for SQLite, the file cannot be opened, or
        another sidecar holds it.
        """
        self._path = _sqlite_path(url)
        self._lock = _FileLock(self._path)
        self._read_time_s_max = read_time_s_max
        self._monotonic = monotonic
        self._reading = threading.local()
        self._is_closing = False
        try:
            self._writers = self._engine(url, 1, _SYNCHRONOUS[durability], read_only=False)
            self._readers = self._engine(url, readers_max, "FULL", read_only=True)
            self._migrate()
            self._checked_out = self._writers.raw_connection()
            self._writer = cast("sqlite3.Connection", self._checked_out.driver_connection)
        except DBAPIError as error:
            self._lock.release()
            raise ConfigurationError(f"cannot open {self._path}: {error.orig}") from error
        except CommandError as error:
            self._lock.release()
            raise ConfigurationError(
                f"{self._path} was written by a newer version of trimtab: {error}"
            ) from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that commits at the end of the block, on the driver's own connection: a
        commit of one event cost three times as much through SQLAlchemy.

        Raises Unavailable when the database refuses (disk full, locked, damaged); nothing of the
        block is stored then.
        """
        connection = self._writer
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise _unavailable(error) from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        """Ends a failed transaction; SQLite has ended it already after some errors."""
        if self._writer.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read-only snapshot. Raises DeadlineExceeded when the read takes too long."""
        self._reading.deadline = self._monotonic() + self._read_time_s_max
        try:
            with self._readers.begin() as connection:
                yield connection
        except OperationalError as error:
            if self._is_closing:
                raise Unavailable(Reason.SHUTTING_DOWN, "the server is stopping") from error
            if "interrupted" in str(error.orig):
                raise DeadlineExceeded(
                    f"the read took more than {self._read_time_s_max:g} s; narrow the filter"
                ) from error
            raise _unavailable(error.orig) from error
        except DBAPIError as error:
            raise _unavailable(error.orig) from error

    def interrupt(self) -> None:
        """Ends the reads that are running, as if they had taken too long."""
        self._is_closing = True

    def close(self) -> None:
        """Closes all connections (SQLite folds the WAL into the file) and releases the lock."""
        self._readers.dispose()
        self._checked_out.close()
        self._writers.dispose()
        self._lock.release()

    def _engine(self, url: str, size: int, synchronous: str, *, read_only: bool) -> Engine:
        engine = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            connect_args={"check_same_thread": False, "timeout": _LOCK_WAIT_S},
        )

        def on_connect(connection: Any, _record: object) -> None:
            # Transactions are begun below: the driver's own BEGIN is deferred and would find out
            # too late that it cannot write.
            connection.isolation_level = None
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode != "wal":
                # What GetServerInfo promises would not hold.
                raise ConfigurationError(
                    f"{self._path}: SQLite cannot keep a write-ahead log here (journal: {mode})"
                )
            connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.execute("PRAGMA cache_size=-16384")
            connection.execute("PRAGMA wal_autocheckpoint=4000")
            if read_only:
                connection.execute("PRAGMA query_only=ON")
                connection.set_progress_handler(self._too_late, _STEPS_PER_LOOK)

        def on_begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

        event.listen(engine, "connect", on_connect)
        event.listen(engine, "begin", on_begin)
        return engine

    def _too_late(self) -> int:
        deadline: float | None = getattr(self._reading, "deadline", None)
        return int(self._is_closing or (deadline is not None and self._monotonic() > deadline))

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self._writers.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


class _FileLock:
    """An exclusive lock on FILE.lock, held for the life of the process: two sidecars on one file
    would number events twice. The kernel drops it when the process dies."""

    def __init__(self, path: Path) -> None:
        lock_path = path.with_name(path.name + ".lock")
        try:
            self._fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"cannot create {lock_path}: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise ConfigurationError(
                f"another sidecar serves {path}; stop it or choose another database"
            ) from error

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _sqlite_path(url: str) -> Path:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(f"database: {url!r} is no database URL") from error
    if parsed.get_backend_name() != "sqlite":
        raise ConfigurationError(
            f"database: this version stores in SQLite, not {parsed.get_backend_name()!r}"
        )
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigurationError("database: a file is needed; memory does not survive a restart")
    return Path(parsed.database).resolve()


class DatabaseLocked(Unavailable):
    """Another process holds the database's lock for longer than we wait at a time."""


def _unavailable(error: BaseException | None) -> Unavailable:
    if "locked" in str(error):
        return DatabaseLocked(Reason.STORE_UNAVAILABLE, f"the database is busy: {error}")
    return Unavailable(Reason.STORE_UNAVAILABLE, f"the database refused: {error}")
