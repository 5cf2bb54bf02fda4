"""A Postgres database opened for use: one connection that writes, a bounded pool that reads, one
that hears of other sidecars' commits, and the place where the driver's errors become ours."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors
from psycopg.types.string import BytesBinaryDumper
from sqlalchemy import Connection as ReadConnection
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from trimtab_server.domain.events import Append
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import ConfigurationError, DeadlineExceeded, Unavailable
from trimtab_server.store.migrate import migrate
from trimtab_server.store.postgres_connection import connect, described
from trimtab_server.store.postgres_writer import CHANNEL, STAGE, Connection, PostgresWriter
from trimtab_server.store.refusals import busy, unavailable
from trimtab_server.store.watchdog import Watchdog

logger = logging.getLogger(__name__)

_SYNCHRONOUS = {"power_loss": "on", "process_crash": "off"}
_VERSION_MIN = 130000
# Seconds that another sidecar's commit may hold the lane while we wait, per attempt.
_LANE_WAIT_S = 5
# Seconds after which the server ends the transaction of a sidecar that went to sleep in it.
_IDLE_S = 5
_STATEMENT_S = 15
# Seconds for a whole commit. Past them the connection is cut on this side: a server that stopped,
# or a network that swallows everything, answers no statement and breaks no connection.
_WRITE_S_MAX = 20.0
_MIGRATION_S_MAX = 600.0
# Between two looks at the counter when no notification comes.
_POLL_S = 0.5
_COMMON = {
    # Statistics are those of the log as it was an hour ago. By them a scan, or a bitmap with a sort
    # behind it, looks cheap; every query here has an index in the order that it asks for.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # Compiling a plan costs more than any statement here.
    "jit": "off",
    "plan_cache_mode": "force_custom_plan",
}


class PostgresDatabase:
    """A log in Postgres that several sidecars may share."""

    name = "postgresql"
    is_exclusive = False

    def __init__(
        self,
        url: str,
        durability: str,
        readers_max: int,
        read_time_s_max: float,
        monotonic: Callable[[], float],
    ) -> None:
        """Connects and brings the schema up to date, one sidecar at a time.

        Raises ConfigurationError when that is not possible, or when the server's own settings
        break what `durability` promises.
        """
        self._url = url
        self._durability = durability
        self._read_time_s_max = read_time_s_max
        self._watchdog = Watchdog(monotonic)
        self._closing = threading.Event()
        self._follower: threading.Thread | None = None
        self._reading: set[Any] = set()
        self._reading_lock = threading.Lock()
        # Stations and retention write from threads of their own, over the one connection.
        self._turn = threading.Lock()
        self._writer: Connection | None = None
        try:
            self._where = described(url)
            with (
                self._connected(_migrating()) as connection,
                self._watchdog.watching(connection.fileno(), _WRITE_S_MAX),
            ):
                _check_server(connection, durability, self._where)
            self._migrate()
            self._writer = self._open_writer()
        except psycopg.Error as error:
            raise ConfigurationError(f"cannot open {self._where}: {_words(error)}") from error
        self._readers = create_engine(
            "postgresql+psycopg://",
            creator=lambda: self._connected(_read_settings(read_time_s_max), autocommit=False),
            poolclass=QueuePool,
            pool_size=readers_max,
            max_overflow=0,
            # As in sqlite: callers make shapes of filters by the thousand.
            query_cache_size=100,
            isolation_level="REPEATABLE READ",
        )

    # -- writing --------------------------------------------------------------------------------

    @contextmanager
    def writing(self, appends: Sequence[Append] = ()) -> Iterator[PostgresWriter]:
        """A transaction that commits at the end of the block, in the lane; the events of `appends`
        are staged before the lane is taken.

        Raises Unavailable when the database refuses or is away. Nothing of the block is stored
        then, unless the answer to the commit itself was lost: doing it again finds out.
        """
        connection: Connection | None = None
        self._turn.acquire()
        try:
            connection = self._writer = self._usable_writer()
            writer = PostgresWriter(connection)
            with self._watchdog.watching(connection.fileno(), _WRITE_S_MAX):
                writer.begin(appends)
                yield writer
                if not writer.is_committed:
                    connection.execute("COMMIT")
        except psycopg.Error as error:
            self._roll_back(connection)
            raise _refusal(error) from error
        except BaseException:
            self._roll_back(connection)
            raise
        finally:
            self._turn.release()

    def _usable_writer(self) -> Connection:
        if self._closing.is_set():
            raise Unavailable(Reason.SHUTTING_DOWN, "the server is stopping")
        connection = self._writer
        if connection is None or connection.closed or connection.broken:
            return self._open_writer()
        return connection

    def _open_writer(self) -> Connection:
        connection = self._connected(_write_settings(self._durability))
        # For COPY the driver would take a dumper written in Python: five times as slow a row.
        connection.adapters.register_dumper(bytes, BytesBinaryDumper)
        with self._watchdog.watching(connection.fileno(), _WRITE_S_MAX):
            connection.execute(STAGE)
        return connection

    def _roll_back(self, connection: Connection | None) -> None:
        """Ends a failed transaction; a connection that cannot is given up."""
        if connection is None:
            return
        try:
            with self._watchdog.watching(connection.fileno(), _IDLE_S):
                connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()

    # -- reading --------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[ReadConnection]:
        """A read-only snapshot. Raises DeadlineExceeded when the read takes too long."""
        try:
            connection = self._usable_reader()
            driver: Any = connection.connection.driver_connection
            limit_s = self._read_time_s_max + _IDLE_S
            # Giving it back to the pool asks the server too: under the same watch.
            with (
                self._watchdog.watching(driver.fileno(), limit_s),
                connection,
                self._tracked(driver),
            ):
                yield connection
        except DBAPIError as error:
            if self._closing.is_set():
                raise Unavailable(Reason.SHUTTING_DOWN, "the server is stopping") from error
            if isinstance(error.orig, errors.QueryCanceled):
                raise DeadlineExceeded(
                    f"the read took more than {self._read_time_s_max:g} s; narrow the filter"
                ) from error
            raise unavailable(error.orig) from error
        except psycopg.Error as error:
            raise unavailable(error) from error

    def _usable_reader(self) -> ReadConnection:
        """A connection that answers: one that the pool kept through a restart of the server is
        exchanged. The pool's own check has no time limit."""
        connection = self._readers.connect()
        driver: Any = connection.connection.driver_connection
        with self._watchdog.watching(driver.fileno(), _IDLE_S):
            try:
                connection.exec_driver_sql("SELECT 1")
            except DBAPIError as error:
                connection.close()
                if not error.connection_invalidated:
                    raise
            else:
                return connection
        # The failure made the pool forget all its connections.
        return self._readers.connect()

    @contextmanager
    def _tracked(self, driver: Any) -> Iterator[None]:
        with self._reading_lock:
            self._reading.add(driver)
        try:
            yield
        finally:
            with self._reading_lock:
                self._reading.discard(driver)

    # -- hearing of other sidecars --------------------------------------------------------------

    def follow(self, on_growth: Callable[[int], None], on_gate: Callable[[int], None]) -> None:
        """Calls `on_growth` with the log's last sequence and `on_gate` with the signal gate's
        generation, on a thread of its own, whenever some sidecar has committed: at once by
        notification, within half a second without."""
        self._follower = threading.Thread(
            target=self._follow, args=(on_growth, on_gate), name="trimtab-follower", daemon=True
        )
        self._follower.start()

    def _follow(self, on_growth: Callable[[int], None], on_gate: Callable[[int], None]) -> None:
        highest = 0
        while not self._closing.is_set():
            try:
                with self._connected(_follow_settings()) as connection:
                    with self._watchdog.watching(connection.fileno(), _IDLE_S):
                        connection.execute(f"LISTEN {CHANNEL}")
                    while not self._closing.is_set():
                        with self._watchdog.watching(connection.fileno(), 2 * _IDLE_S):
                            highest, generation = _heard(connection, highest)
                        on_growth(highest)
                        on_gate(generation)
            except psycopg.Error:
                # The database is away: the next look will tell.
                self._closing.wait(_POLL_S)
            except Exception:
                # Whatever it was, watchers depend on this thread.
                logger.exception("following the log failed")
                self._closing.wait(_POLL_S)

    # -- opening and closing --------------------------------------------------------------------

    def give_up(self) -> None:
        """Cuts the commit that is running and refuses every other: the time to stop is over."""
        self._closing.set()
        self._watchdog.hurry()

    def interrupt(self) -> None:
        """Ends the reads that are running, as if they had taken too long."""
        self._closing.set()
        with self._reading_lock:
            running = list(self._reading)
        for driver in running:
            with suppress(psycopg.Error):
                driver.cancel_safe(timeout=1.0)

    def close(self) -> None:
        """Closes all connections."""
        self._closing.set()
        self._watchdog.hurry()
        if self._follower is not None:
            self._follower.join()
        self._readers.dispose()
        if self._writer is not None:
            self._writer.close()
        self._watchdog.close()

    def _connected(self, settings: dict[str, str], *, autocommit: bool = True) -> Connection:
        return connect(self._url, settings, autocommit=autocommit)

    def _migrate(self) -> None:
        """Under a lock of its own: sidecars of a fleet start together."""
        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: self._connected(_migrating(), autocommit=False),
            poolclass=QueuePool,
            pool_size=1,
        )
        try:
            connection = engine.connect()
            driver: Any = connection.connection.driver_connection
            with (
                self._watchdog.watching(driver.fileno(), _MIGRATION_S_MAX),
                connection,
                connection.begin(),
            ):
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION,))
                migrate(connection, self._where)
        except DBAPIError as error:
            raise ConfigurationError(f"cannot open {self._where}: {error.orig}") from error
        finally:
            engine.dispose()


# Any number but the lane's.
_MIGRATION = 0x6D69677261746521 % (1 << 62)


def _heard(connection: Connection, highest: int) -> tuple[int, int]:
    """The log's counter and the gate's, when somebody says that one moved or half a second has
    passed. What they say is no more than a reason to look."""
    for _ in connection.notifies(timeout=_POLL_S, stop_after=1):
        pass
    row = connection.execute(
        "SELECT last_sequence, gate_generation FROM log WHERE id = 1"
    ).fetchone()
    last, generation = row or (0, 0)
    if last < highest:
        logger.error(
            "the log went back from sequence %d to %d: a failover lost commits; stop the sidecars"
            " and run `trimtab restore` for a new log_id",
            highest,
            last,
        )
    return last, generation


def _write_settings(durability: str) -> dict[str, str]:
    return _COMMON | {
        "synchronous_commit": _SYNCHRONOUS[durability],
        "default_transaction_isolation": "read\\ committed",
        "lock_timeout": f"{_LANE_WAIT_S}s",
        "statement_timeout": f"{_STATEMENT_S}s",
        "idle_in_transaction_session_timeout": f"{_IDLE_S}s",
        # The server's side of a network that swallows everything.
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
    }


def _read_settings(read_time_s_max: float) -> dict[str, str]:
    return _COMMON | {
        "default_transaction_read_only": "on",
        "statement_timeout": f"{int(read_time_s_max * 1e3)}ms",
        "idle_in_transaction_session_timeout": f"{int(read_time_s_max * 1e3) + _IDLE_S * 1000}ms",
    }


def _follow_settings() -> dict[str, str]:
    return {"default_transaction_read_only": "on", "statement_timeout": f"{_IDLE_S}s"}


def _migrating() -> dict[str, str]:
    return {"lock_timeout": "60s", "idle_in_transaction_session_timeout": "60s"}


def _check_server(connection: Connection, durability: str, where: str) -> None:
    """Raises ConfigurationError when this server cannot keep what we promise."""
    if connection.info.server_version < _VERSION_MIN:
        raise ConfigurationError(f"{where}: Postgres 13 or newer is needed")
    row = connection.execute(
        "SELECT current_setting('fsync'), current_setting('full_page_writes'),"
        " current_setting('server_encoding'), pg_is_in_recovery()"
    ).fetchone()
    assert row is not None
    fsync, full_page_writes, encoding, is_standby = row
    if is_standby:
        raise ConfigurationError(
            f"{where} is a standby; name all hosts and target_session_attrs=read-write"
        )
    if encoding != "UTF8":
        raise ConfigurationError(f"{where}: the database's encoding must be UTF8, not {encoding}")
    if durability == "power_loss" and (fsync, full_page_writes) != ("on", "on"):
        raise ConfigurationError(
            f"{where}: fsync is {fsync} and full_page_writes is {full_page_writes}, so nothing"
            " survives a loss of power; turn both on, or set durability to process_crash"
        )


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# The lane is held by another sidecar, or the connection was lost: nothing was stored, or doing it
# again finds that it was.
_PASSING = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)


def _refusal(error: psycopg.Error) -> Unavailable:
    words = RuntimeError(_words(error))
    is_lost = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
    if isinstance(error, _PASSING) or is_lost or (error.sqlstate or "").startswith(("08", "57P")):
        return busy(words)
    return unavailable(words)
