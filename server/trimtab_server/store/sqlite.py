"""A SQLite file opened for use: one connection that writes, a bounded pool that reads, a lock
beside the file, and the place where the driver's errors become ours."""

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool

from trimtab_server.domain.events import Append
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import ConfigurationError, DeadlineExceeded, Unavailable
from trimtab_server.store.claims import Claim, Content, IdStored, KnownProducer
from trimtab_server.store.migrate import migrate
from trimtab_server.store.refusals import busy, unavailable

_SYNCHRONOUS = {"power_loss": "FULL", "process_crash": "NORMAL"}
# Seconds that one attempt waits for another process's lock.
_LOCK_WAIT_S = 2.0
# KiB of pages that a connection keeps. A list reads most pages once, and those that it reads again
# the operating system has: every reader with the writer's share would be memory for nothing.
_WRITER_CACHE_KIB = 16_384
_READER_CACHE_KIB = 4_096
# Compiled statements that are kept, 25 kB each: callers make shapes of filters by the thousand,
# the default keeps up to 750 of them.
_STATEMENTS_MAX = 100
# Virtual-machine steps between two looks at a read's deadline: about a millisecond.
_STEPS_PER_LOOK = 20_000
# Rows of one INSERT. The driver lets other threads run once per statement, and takes its turn
# again afterwards: row by row, a busy event loop starved the writer (193 rows/s against 20,000).
_ROWS_PER_INSERT = 512
_COLUMNS = (
    "sequence, ingest_time_ns, producer_key, producer_seq, event_id, kind, source, environment,"
    " run_id, event_time_ns, available_time_ns, signal_id, strategy, symbol, body"
)
# The driver passes str and bytearray straight on, but sends None and bytes through its adapters,
# which cost more than the insert: absent names come as '' and become NULL here.
_ROW = (
    "(?, ?, ?, ?, ?, ?, ?, ?, NULLIF(?, ''), ?, ?, NULLIF(?, ''), NULLIF(?, ''), NULLIF(?, ''), ?)"
)


class SqliteWriter:
    """One transaction on the driver's own connection: a commit of one event cost three times as
    much through SQLAlchemy."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """The rows of a statement with `?` for each parameter."""
        return self._connection.execute(statement, parameters)

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """A statement for each of `rows`."""
        self._connection.executemany(statement, rows)

    def producers(self, producer_ids: Sequence[bytes]) -> dict[bytes, KnownProducer]:
        """Those of the producers that were opened before."""
        found = {}
        for producer_id in producer_ids:
            row = self._connection.execute(
                "SELECT producer_key, source, epoch, durable_through_seq, stream_key"
                " FROM producers WHERE producer_id = ?",
                (producer_id,),
            ).fetchone()
            if row is not None:
                found[producer_id] = KnownProducer._make(row)
        return found

    def last_sequence(self) -> int:
        """The log's counter."""
        (last,) = self._connection.execute("SELECT last_sequence FROM log").fetchone()
        return int(last)

    def contents(self, ids: Sequence[bytes]) -> dict[bytes, Content]:
        """Those of the ids that the log holds."""
        found = {}
        for start in range(0, len(ids), _ROWS_PER_INSERT):
            chunk = ids[start : start + _ROWS_PER_INSERT]
            marks = ", ".join("?" * len(chunk))
            for event_id, *content in self._connection.execute(
                f"SELECT event_id, sequence, body, kind FROM events WHERE event_id IN ({marks})",
                chunk,
            ):
                found[event_id] = Content._make(content)
        return found

    @contextmanager
    def together(self) -> Iterator[None]:
        """Around all that a commit writes, the claims first. Raises IdStored, and nothing of it is
        written, when the log holds one of their ids."""
        try:
            yield
        except sqlite3.IntegrityError as error:
            if "events.event_id" not in str(error):
                raise
            # The insert was the first to write, and the counter has not moved.
            self._connection.execute("DELETE FROM events WHERE sequence > ?", (self._last,))
            raise IdStored from error

    def insert(self, claims: Sequence[Claim], last: int, now_ns: int) -> None:
        """Stores the claims' events behind sequence `last`, gapless."""
        self._last = last
        rows = []
        for sequence, (_, _, key, seq, claimed) in enumerate(claims, last + 1):
            event_id, *columns, body = claimed
            rows.append(
                (sequence, now_ns, key, seq, bytearray(event_id), *columns, bytearray(body))
            )
        start = 0
        while start < len(rows):
            # Powers of two: few distinct statements, so the driver keeps them all compiled.
            left = min(len(rows) - start, _ROWS_PER_INSERT)
            size = 1 << (left.bit_length() - 1)
            values = ", ".join([_ROW] * size)
            self._connection.execute(
                f"INSERT INTO events ({_COLUMNS}) VALUES {values}",
                tuple(chain.from_iterable(rows[start : start + size])),
            )
            start += size

    def now_ns(self, ours: Callable[[], int]) -> int:
        """The clock that leases run on: one process, its clock."""
        return ours()

    def announce(self) -> None:
        """Nobody else reads this file's growth."""


class SqliteDatabase:
    """A SQLite file in WAL mode. `close()` gives the lock back."""

    name = "sqlite"
    # The lock beside the file: no other sidecar has it open.
    is_exclusive = True

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
        self.path = sqlite_path(url)
        self._lock = FileLock(self.path)
        self._read_time_s_max = read_time_s_max
        self._monotonic = monotonic
        self._reading = threading.local()
        # Stations and retention write from threads of their own, over the one connection.
        self._turn = threading.Lock()
        # Times that a transaction could not begin.
        self._locked_count = 0
        self._is_closing = False
        try:
            _refuse_orphaned_wal(self.path)
            self._writers = self._engine(url, 1, _SYNCHRONOUS[durability], read_only=False)
            self._readers = self._engine(url, readers_max, "FULL", read_only=True)
            with self._writers.begin() as connection:
                migrate(connection, str(self.path))
            self._checked_out = self._writers.raw_connection()
            self._writer = cast("sqlite3.Connection", self._checked_out.driver_connection)
            self._file = self.path.stat().st_ino
        except DBAPIError as error:
            self._lock.release()
            raise ConfigurationError(f"cannot open {self.path}: {error.orig}") from error
        except BaseException:
            self._lock.release()
            raise

    @contextmanager
    def writing(self, _appends: Sequence[Append] = ()) -> Iterator[SqliteWriter]:
        """A transaction that commits at the end of the block.

        Raises Unavailable when the database refuses (disk full, locked, damaged); nothing of the
        block is stored then.
        """
        connection = self._writer
        locked_count = self._locked_count
        self._turn.acquire()
        try:
            self._check_file()
            self._begin(connection, locked_count)
            yield SqliteWriter(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise _refusal(error) from error
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._turn.release()

    def _begin(self, connection: sqlite3.Connection, locked_count: int) -> None:
        """locked_count: before we waited for our turn. Whoever was before us and has waited for a
        stranger's lock in vain has waited for us too."""
        if locked_count != self._locked_count:
            raise sqlite3.OperationalError("database is locked")
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            self._locked_count += 1
            raise

    def _check_file(self) -> None:
        """Raises Unavailable when the path holds no file, or another one: SQLite would go on
        writing into a file without a name, and all of it would be gone with the process."""
        try:
            is_ours = self.path.stat().st_ino == self._file
        except OSError:
            is_ours = False
        if not is_ours:
            raise Unavailable(
                Reason.STORE_UNAVAILABLE, f"the database's file was taken away: {self.path}"
            )

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
            raise _refusal(error.orig) from error
        except DBAPIError as error:
            raise _refusal(error.orig) from error

    def follow(self, on_growth: Callable[[int], None], on_gate: Callable[[int], None]) -> None:
        """Nothing to follow: this process is the only one that writes."""

    def give_up(self) -> None:
        """Nothing to cut: a file answers, or the process could not end either."""

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
            query_cache_size=_STATEMENTS_MAX,
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
                    f"{self.path}: SQLite cannot keep a write-ahead log here (journal: {mode})"
                )
            connection.execute(f"PRAGMA synchronous={synchronous}")
            cache_kib = _READER_CACHE_KIB if read_only else _WRITER_CACHE_KIB
            connection.execute(f"PRAGMA cache_size=-{cache_kib}")
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


class FileLock:
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
        """Gives the lock back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def sqlite_path(url: str) -> Path:
    """The file of a SQLite URL. Raises ConfigurationError when it names none."""
    parsed = make_url(url)
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigurationError("database: a file is needed; memory does not survive a restart")
    return Path(parsed.database).resolve()


def _refuse_orphaned_wal(path: Path) -> None:
    """Raises ConfigurationError for a write-ahead log without its database: it holds commits, and a
    new database in that place would throw them away."""
    wal = path.with_name(path.name + "-wal")
    if not path.exists() and wal.exists() and wal.stat().st_size:
        raise ConfigurationError(
            f"{wal} lies there without its database; put {path.name} back, or move the log away"
        )


def _refusal(error: BaseException | None) -> Unavailable:
    return busy(error) if "locked" in str(error) else unavailable(error)
