"""What is SQLite's own: the file, its lock, its schema, its query plans, and its refusals."""

import itertools
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, event, text
from sqlmodel import SQLModel

from tests.store.conftest import Backend
from tests.store.log_events import PRODUCER, an_event, batch, rejected, unary
from trimtab_server.domain.events import EventFilter, EventKind, EventOrder
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import ConfigurationError, DeadlineExceeded, Unavailable
from trimtab_server.store.sqlite import SqliteDatabase
from trimtab_server.store.store import Store


@pytest.fixture
def files(tmp_path: Path) -> Backend:
    """SQLite files in a folder of their own."""
    return Backend("sqlite", tmp_path)


@pytest.fixture
def log(files: Backend) -> Iterator[Store]:
    """An empty log in a file."""
    store = files.open()
    yield store
    for each in files.opened:
        each.close()


def _written(store: Store, statement: str) -> None:
    with store._database.writing() as connection:
        connection.execute(statement)


def _of_writer(store: Store, statement: str) -> None:
    assert isinstance(store._database, SqliteDatabase)
    store._database._writer.execute(statement)


def test_migrations_make_the_tables_that_the_code_declares(log: Store) -> None:
    """From an empty file to the newest revision: Alembic finds no difference to the metadata."""

    def is_compared(_object: object, name: str | None, kind: str, *_: object) -> bool:
        return not (kind == "table" and name == "alembic_version")

    with log._database.reading() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": is_compared}
        )
        assert compare_metadata(context, SQLModel.metadata) == []


def test_a_migrated_file_is_left_as_it_is(files: Backend, log: Store) -> None:
    """Opening again changes no schema."""

    def schema(store: Store) -> list[str]:
        with store._database.reading() as connection:
            return list(connection.scalars(text("SELECT sql FROM sqlite_master ORDER BY name")))

    before = schema(log)
    assert schema(files.reopen(log)) == before


def test_a_file_of_a_newer_version_is_refused(files: Backend, log: Store) -> None:
    """A sidecar that does not know the schema does not touch it, and says so."""
    _written(log, "UPDATE alembic_version SET version_num = '9999'")
    log.close()
    with pytest.raises(ConfigurationError, match="newer"):
        files.open()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://localhost/x", "not in 'mysql'"),
        ("sqlite://", "a file is needed"),
        ("sqlite:///:memory:", "a file is needed"),
        ("nonsense", "no database URL"),
        ("://", "no database URL"),
        ("sqlite:////proc/x.db", "cannot create"),
        ("sqlite:////no/such/folder/x.db", "cannot create"),
    ],
)
def test_what_cannot_be_opened_is_said(
    files: Backend, monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    """A URL of another database, no file, a folder that is not there: ConfigurationError."""
    monkeypatch.setattr(files, "url", lambda _database: url)
    with pytest.raises(ConfigurationError, match=words):
        files.open()


def test_a_file_that_is_no_database_is_refused_and_unlocked(files: Backend, tmp_path: Path) -> None:
    """The words name the file; the lock is given back."""
    (tmp_path / "log.db").write_bytes(b"these are no pages" * 500)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"cannot open .*log\.db"):
            files.open()
    (tmp_path / "log.db").unlink()
    files.open().close()


def test_a_folder_is_no_database(files: Backend, tmp_path: Path) -> None:
    """Nor is it harmed."""
    (tmp_path / "log.db").mkdir()
    with pytest.raises(ConfigurationError, match="cannot open"):
        files.open()


def test_one_store_at_a_time(files: Backend, log: Store) -> None:
    """A second one is refused, in this process and in another, until the first is closed."""
    with pytest.raises(ConfigurationError, match="another sidecar serves"):
        files.open()
    code = (
        "import sys, time, uuid\n"
        "from trimtab_server.store.store import Store\n"
        "Store(sys.argv[1], new_log_id=uuid.uuid4, now_ns=time.time_ns, monotonic=time.monotonic)"
    )
    command = [sys.executable, "-c", code, files.url()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "another sidecar serves" in done.stderr
    log.close()
    assert subprocess.run(command, check=False, timeout=60).returncode == 0


def test_closing_folds_the_write_ahead_log_into_the_file(log: Store, tmp_path: Path) -> None:
    """A closed database is one file: it can be copied."""
    log.append([unary(an_event(1))])
    log.close()
    assert {path.name for path in tmp_path.iterdir()} == {"log.db", "log.db.lock"}


@pytest.mark.parametrize("another", [False, True], ids=["gone", "exchanged"])
def test_a_file_that_was_taken_away_takes_no_more(
    files: Backend, log: Store, tmp_path: Path, another: bool
) -> None:
    """Deleted, or another file in its place: nothing is acknowledged that would go with the
    process. Put back, it goes on."""
    log.append([unary(an_event(1))])
    (tmp_path / "log.db").rename(tmp_path / "kept.db")
    if another:
        (tmp_path / "log.db").write_bytes(b"")
    for call in (lambda: log.append([unary(an_event(2))]), lambda: log.open_producer(PRODUCER)):
        with pytest.raises(Unavailable, match="taken away"):
            call()
    (tmp_path / "kept.db").replace(tmp_path / "log.db")
    assert log.append([unary(an_event(2))])[0].sequences == [2]


def test_a_write_ahead_log_without_its_database_is_refused(files: Backend, tmp_path: Path) -> None:
    """It holds commits: a new database in that place would throw them away."""
    (tmp_path / "log.db-wal").write_bytes(b"commits")
    with pytest.raises(ConfigurationError, match="without its database"):
        files.open()
    assert (tmp_path / "log.db-wal").read_bytes() == b"commits"
    (tmp_path / "log.db-wal").unlink()
    files.open().close()


_REFUSALS = {
    "events": "CREATE TRIGGER t BEFORE INSERT ON events WHEN NEW.sequence = 5"
    " BEGIN SELECT RAISE(ABORT, 'no'); END",
    "counts": "CREATE TRIGGER t BEFORE UPDATE ON event_counts BEGIN SELECT RAISE(FAIL, 'no'); END",
    "log": "CREATE TRIGGER t BEFORE UPDATE ON log BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
    "producers": "CREATE TRIGGER t BEFORE UPDATE ON producers BEGIN SELECT RAISE(ABORT, 'no'); END",
    "rejected_events": "CREATE TRIGGER t BEFORE INSERT ON rejected_events"
    " BEGIN SELECT RAISE(ABORT, 'no'); END",
}


@pytest.mark.parametrize("table", _REFUSALS)
def test_a_commit_that_fails_leaves_no_trace(log: Store, table: str) -> None:
    """Whichever statement is refused: Unavailable, nothing of the commit is stored, and the same
    appends succeed later with the sequences that they would have had."""
    log.open_producer(PRODUCER)
    log.append([batch(1, an_event(1))])
    before = (log.info(), log.events.counts(None, None, None), log.events.rejected_count())
    appends = [
        unary(an_event(2), an_event(3)),
        batch(2, an_event(4), rejected(), an_event(5)),
    ]
    _written(log, _REFUSALS[table])
    for _ in range(2):
        with pytest.raises(Unavailable) as error:
            log.append(appends)
        assert error.value.reason is Reason.STORE_UNAVAILABLE
        now = (log.info(), log.events.counts(None, None, None), log.events.rejected_count())
        assert now == before
    _written(log, "DROP TRIGGER t")
    one, two = log.append(appends)
    assert (one.sequences, two.sequences) == ([2, 3], [4, 0, 5])
    assert log.open_producer(PRODUCER) == 5


def test_a_database_that_turned_read_only_is_unavailable(log: Store) -> None:
    """Appending and opening say so; reading goes on."""
    log.append([unary(an_event(1))])
    _of_writer(log, "PRAGMA query_only=ON")
    for call in (lambda: log.append([unary(an_event(2))]), lambda: log.open_producer(PRODUCER)):
        with pytest.raises(Unavailable, match="the database refused"):
            call()
    assert log.info().last_sequence == 1
    _of_writer(log, "PRAGMA query_only=OFF")
    assert log.append([unary(an_event(2))])[0].sequences == [2]


def test_who_queues_behind_a_stranger_s_lock_waits_for_it_once(log: Store) -> None:
    """Jobs that waited while the one before them waited in vain are refused with it, not in turn:
    the lock's time is not added up."""
    database: Any = log._database
    stranger = sqlite3.connect(database.path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    refused = []

    def write() -> None:
        with pytest.raises(Unavailable, match="locked"), database.writing():
            pass
        refused.append(True)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    stranger.execute("ROLLBACK")
    stranger.close()
    assert len(refused) == 4
    assert database._locked_count == 1
    log.probe()


def test_a_read_beyond_its_time_is_interrupted(files: Backend) -> None:
    """DeadlineExceeded, on a clock of ours; the reader serves the next one."""
    clock = itertools.count()
    log = files.open(read_time_s_max=3.0, monotonic=lambda: float(next(clock)))
    log.append([unary(*(an_event(n) for n in range(3_000)))])
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    words = "took more than 3 s"
    with pytest.raises(DeadlineExceeded, match=words), log._database.reading() as connection:
        connection.scalar(text(endless))
    assert log.info().last_sequence == 3_000
    log.close()


def test_a_read_ends_when_the_server_stops(files: Backend) -> None:
    """However long its time was: a shutdown waits for no report."""
    log = files.open(read_time_s_max=1e6)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    stopping = threading.Timer(0.2, log.interrupt)
    stopping.start()
    with pytest.raises(Unavailable, match="stopping"), log._database.reading() as connection:
        connection.scalar(text(endless))
    stopping.join()
    log.close()


# -- query plans --------------------------------------------------------------------------------


def _plans(log: Store, call: Callable[[], object]) -> list[str]:
    """How SQLite goes about each query that a call makes."""
    seen: list[tuple[str, Any]] = []

    def remember(_c: object, _k: object, statement: str, parameters: Any, *_: object) -> None:
        seen.append((statement, parameters))

    event.listen(log._database._readers, "before_cursor_execute", remember)
    call()
    event.remove(log._database._readers, "before_cursor_execute", remember)
    selects = [each for each in seen if each[0].startswith("SELECT")]
    assert selects
    with log._database.reading() as connection:
        return [step for each in selects for step in _steps(connection, *each)]


def _steps(connection: Connection, statement: str, parameters: Any) -> list[str]:
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
    return [row.detail for row in rows]


_KIND = (int(EventKind.MARKET_BAR),)
_INDEXED = {
    "everything": EventFilter(),
    "kind": EventFilter(kinds=_KIND),
    "kind and symbol": EventFilter(kinds=_KIND, symbol="BTC"),
    "symbol": EventFilter(symbol="BTC"),
    "signal": EventFilter(signal_id="s"),
    "run": EventFilter(run_id="r"),
    "run and kind": EventFilter(run_id="r", kinds=_KIND),
}


@pytest.fixture
def filled(log: Store) -> Store:
    """A log with a few thousand events of several symbols, kinds and runs."""
    kinds = list(EventKind)
    log.append(
        [
            unary(
                *(
                    an_event(
                        n,
                        kind=kinds[n % 5],
                        symbol=f"S{n % 9}",
                        signal_id=f"s{n % 50}",
                        run_id=f"r{n % 3}",
                    )
                    for n in range(3_000)
                )
            )
        ]
    )
    return log


@pytest.mark.parametrize("name", _INDEXED)
@pytest.mark.parametrize("order", [EventOrder.SEQUENCE, EventOrder.SEQUENCE_DESC])
@pytest.mark.parametrize("position", [None, (0, 1_500)], ids=["first page", "later page"])
def test_a_page_in_sequence_order_is_read_from_an_index(
    filled: Store, name: str, order: EventOrder, position: tuple[int, int] | None
) -> None:
    """No sort; with a condition no scan either, whatever the size of the log."""
    wanted = _INDEXED[name]
    steps = _plans(filled, lambda: filled.events.page(wanted, order, 100, 1 << 20, position))
    assert not any("TEMP B-TREE" in step for step in steps), steps
    if wanted != EventFilter():
        assert all("SEARCH" in step and "INDEX" in step for step in steps), steps


@pytest.mark.parametrize("order", [EventOrder.EVENT_TIME, EventOrder.EVENT_TIME_DESC])
@pytest.mark.parametrize("wanted", [EventFilter(), EventFilter(start_time_ns=5, end_time_ns=2**62)])
@pytest.mark.parametrize("position", [None, (10**18, 7)], ids=["first page", "later page"])
def test_a_page_in_time_order_is_read_from_an_index(
    filled: Store, order: EventOrder, wanted: EventFilter, position: tuple[int, int] | None
) -> None:
    """Of everything, and of a time range."""
    steps = _plans(filled, lambda: filled.events.page(wanted, order, 9, 1 << 20, position))
    assert not any("TEMP B-TREE" in step for step in steps), steps
    assert all("ix_events_event_time" in step for step in steps), steps


@pytest.mark.parametrize("name", _INDEXED)
def test_a_tail_searches_its_span(filled: Store, name: str) -> None:
    """A page of the tail looks at its own sequences, never at the log."""
    steps = _plans(filled, lambda: filled.events.tail(_INDEXED[name], 2_900, 50, 1 << 20))
    assert not any("TEMP B-TREE" in step for step in steps), steps
    assert [step for step in steps if "events" in step and "SCAN" in step] == []


def test_statistics_and_lookups_never_look_at_the_log(filled: Store) -> None:
    """Counts come from their own table, an event by its unique id, the bounds from the ends."""
    for call in (
        lambda: filled.events.counts("alpha", 2, "r1"),
        lambda: filled.events.counts(None, None, None),
    ):
        steps = _plans(filled, call)
        assert all("events" not in step.replace("event_counts", "") for step in steps), steps
    steps = _plans(filled, lambda: filled.events.get(an_event(7).event_id))
    assert all("SEARCH events USING INDEX" in step for step in steps), steps
    steps = _plans(filled, filled.info)
    assert all("SEARCH" in step for step in steps), steps
