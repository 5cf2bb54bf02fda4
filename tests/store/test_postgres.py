"""What is Postgres's own: several sidecars in one lane, its time limits, its refusals."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlmodel import SQLModel

from tests.faults.waiting import until
from tests.postgres import PostgresServer
from tests.store.conftest import Backend
from tests.store.log_events import PRODUCER, an_event, batch, rejected, unary
from trimtab_server.domain.events import EventFilter
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import ConfigurationError, DeadlineExceeded, Unavailable
from trimtab_server.store import postgres
from trimtab_server.store.store import Store


@pytest.fixture
def log(databases: Backend) -> Store:
    """An empty log."""
    return databases.open()


def _numbers(store: Store) -> list[int]:
    return [e.sequence for e in store.events.tail(EventFilter(), 0, 1 << 20, 1 << 30).events]


def test_several_sidecars_number_one_log_without_a_gap(databases: Backend) -> None:
    """Four stores append at once, with repeated ids among them: sequences are gapless, every event
    is stored once, and each store's own answers rise."""
    stores = [databases.open() for _ in range(4)]
    answers: list[list[int]] = [[] for _ in stores]

    def fill(index: int) -> None:
        for start in range(0, 400, 20):
            numbers = range(start, start + 20)
            # Every fourth event is one that all of them send.
            made = [an_event(n if n % 4 == 0 else 10_000 * (index + 1) + n) for n in numbers]
            (result,) = stores[index].append([unary(*made)])
            answers[index] += [
                s for i, s in enumerate(result.sequences) if i not in result.duplicates
            ]

    threads = [threading.Thread(target=fill, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = 100 + 4 * 300
    assert _numbers(stores[0]) == list(range(1, expected + 1))
    assert sorted(itertools.chain.from_iterable(answers)) == list(range(1, expected + 1))
    assert all(own == sorted(own) for own in answers)
    counts = stores[1].events.counts(None, None, None)
    assert sum(count.event_count for count in counts) == expected


def test_a_reader_never_skips_a_late_commit(databases: Backend) -> None:
    """A tail that reads while others commit sees every sequence, in order, once."""
    one, two, reader = (databases.open() for _ in range(3))

    def fill(store: Store, first: int) -> None:
        for n in range(first, first + 150):
            store.append([unary(an_event(n))])

    threads = [threading.Thread(target=fill, args=each) for each in ((one, 0), (two, 1_000))]
    for thread in threads:
        thread.start()
    seen: list[int] = []
    while len(seen) < 300:
        after = seen[-1] if seen else 0
        seen += [e.sequence for e in reader.events.tail(EventFilter(), after, 50, 1 << 20).events]
    for thread in threads:
        thread.join()
    assert seen == list(range(1, 301))


def test_a_newer_stream_elsewhere_supersedes(databases: Backend) -> None:
    """The producer opened through another sidecar: the older stream appends nothing more."""
    one, two = databases.open(), databases.open()
    older, newer = PRODUCER._replace(stream_key=1), PRODUCER._replace(stream_key=2)
    assert one.open_producer(older) == 1
    one.append([batch(1, an_event(1), producer=older)])
    assert two.open_producer(newer) == 2
    (refused,) = one.append([batch(2, an_event(2), producer=older)])
    assert refused.error_reason is Reason.PRODUCER_SUPERSEDED
    (taken,) = two.append([batch(2, an_event(2), producer=newer)])
    assert taken.sequences == [2]


def test_a_notification_tells_the_others_of_a_commit(
    databases: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks by himself here, so only the commit's own word can be what is heard."""
    monkeypatch.setattr(postgres, "_POLL_S", 3_600.0)
    one, two = databases.open(), databases.open()
    heard: list[int] = []
    numbers = itertools.count(1)
    two.follow(heard.append, lambda _: None)
    # The first may come before somebody listens.
    until(lambda: one.append([unary(an_event(next(numbers)))]) and heard, "a notification")
    assert 0 < heard[0] <= one.info().last_sequence


def test_a_commit_is_found_without_a_notification(databases: Backend) -> None:
    """The follower looks at the counter twice a second."""
    one, two = databases.open(), databases.open()
    heard: list[int] = []
    two.follow(heard.append, lambda _: None)
    one.append([unary(an_event(1))])
    until(lambda: 1 in heard, "the first commit")
    with psycopg.connect(databases.url(), autocommit=True) as silent:
        silent.execute("UPDATE log SET last_sequence = 7")
    until(lambda: 7 in heard, "the look at the counter")


_SLEEPER = """
import os, sys, time, uuid
from trimtab_server.store.store import Store
store = Store(sys.argv[1], new_log_id=uuid.uuid4, now_ns=time.time_ns, monotonic=time.monotonic)
with store._database.writing() as writer:
    print("holds the lane", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(log: Store, databases: Backend) -> Iterator[subprocess.Popen[str]]:
    """Another sidecar's process that took the lane and went to sleep in it."""
    command = [sys.executable, "-c", _SLEEPER, databases.url()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds the lane\n"
        yield process
        process.kill()


@pytest.mark.parametrize("ends_by", [signal.SIGSTOP, signal.SIGKILL, None])
def test_a_holder_of_the_lane_that_dies_or_sleeps_is_passed(
    log: Store, holder: "subprocess.Popen[str]", ends_by: signal.Signals | None
) -> None:
    """Killed, stopped or hung: the server ends its transaction, and the others go on."""
    if ends_by is not None:
        os.kill(holder.pid, ends_by)
    (result,) = log.append([unary(an_event(1))])
    assert result.sequences == [1]


def test_a_connection_that_was_lost_is_opened_again(log: Store, databases: Backend) -> None:
    """Postgres ends every session (a restart, an administrator): nobody notices."""
    log.append([unary(an_event(1))])
    log.info()
    with psycopg.connect(databases.url(), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert log.append([unary(an_event(2))])[0].sequences == [2]
    assert log.info().last_sequence == 2


_REFUSALS = {
    "events": "BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.sequence = 5)",
    "counts": "BEFORE UPDATE ON event_counts FOR EACH ROW",
    "log": "BEFORE UPDATE ON log FOR EACH ROW",
    "producers": "BEFORE UPDATE ON producers FOR EACH ROW",
    "rejected_events": "BEFORE INSERT ON rejected_events FOR EACH ROW",
}


@pytest.mark.parametrize("table", _REFUSALS)
def test_a_commit_that_fails_leaves_no_trace(log: Store, databases: Backend, table: str) -> None:
    """Whichever statement is refused: Unavailable, nothing of the commit is stored, and the same
    appends succeed later with the sequences that they would have had."""
    log.open_producer(PRODUCER)
    log.append([batch(1, an_event(1))])
    before = (log.info(), log.events.counts(None, None, None), log.events.rejected_count())
    appends = [unary(an_event(2), an_event(3)), batch(2, an_event(4), rejected(), an_event(5))]
    name = "rejected_events" if table == "rejected_events" else _REFUSALS[table].split()[3]
    with psycopg.connect(databases.url(), autocommit=True) as other:
        other.execute(
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no'; END $$"
        )
        other.execute(f"CREATE TRIGGER t {_REFUSALS[table]} EXECUTE FUNCTION no()".encode())
        for _ in range(2):
            with pytest.raises(Unavailable) as error:
                log.append(appends)
            assert error.value.reason is Reason.STORE_UNAVAILABLE
            now = (log.info(), log.events.counts(None, None, None), log.events.rejected_count())
            assert now == before
        other.execute(f"DROP TRIGGER t ON {name}".encode())
    one, two = log.append(appends)
    assert (one.sequences, two.sequences) == ([2, 3], [4, 0, 5])
    assert log.open_producer(PRODUCER) == 5


def test_a_server_that_stands_still_is_given_up(
    postgres_server: PostgresServer, databases: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer ever comes: the connection is cut on our side, the caller hears Unavailable, and
    the same append succeeds when the server is back."""
    if not postgres_server.ours:
        pytest.skip("the server named by TRIMTAB_TEST_POSTGRES is not ours to pause")
    monkeypatch.setattr(postgres, "_WRITE_S_MAX", 0.5)
    log = databases.open()
    log.append([unary(an_event(1))])
    postgres_server.pause()
    try:
        with pytest.raises(Unavailable):
            log.append([unary(an_event(2))])
    finally:
        postgres_server.resume()
    assert log.append([unary(an_event(2))])[0].sequences == [2]
    assert _numbers(log) == [1, 2]


def test_a_read_beyond_its_time_is_ended(databases: Backend) -> None:
    """DeadlineExceeded; the reader serves the next one."""
    log = databases.open(read_time_s_max=0.2)
    with pytest.raises(DeadlineExceeded, match="took more than"), log._database.reading() as reader:
        reader.scalar(text("SELECT pg_sleep(60)"))
    assert log.info().last_sequence == 0


def test_a_read_ends_when_the_server_stops(databases: Backend) -> None:
    """However long its time was: a shutdown waits for no report."""
    log = databases.open(read_time_s_max=600)
    stopping = threading.Timer(0.3, log.interrupt)
    stopping.start()
    with pytest.raises(Unavailable, match="stopping"), log._database.reading() as reader:
        reader.scalar(text("SELECT pg_sleep(60)"))
    stopping.join()


def test_migrations_make_the_tables_that_the_code_declares(log: Store) -> None:
    """From an empty database to the newest revision: the same columns; indexes are Postgres's own
    (they name the sequence)."""

    def is_compared(_object: object, name: str | None, kind: str, *_: object) -> bool:
        return kind != "index" and not (kind == "table" and name == "alembic_version")

    with log._database.reading() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": is_compared}
        )
        assert compare_metadata(context, SQLModel.metadata) == []


def test_sidecars_that_start_together_make_one_log(databases: Backend) -> None:
    """An empty database and four sidecars: one schema, one log_id."""
    url, opened, failures = databases.url(), [], []

    def start() -> None:
        try:
            opened.append(databases.open())
        except ConfigurationError as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len({store.log_id for store in opened}) == 1, url


@pytest.mark.parametrize(
    ("setting", "words"),
    [("fsync", "nothing survives a loss of power"), ("full_page_writes", "loss of power")],
)
def test_a_server_that_cannot_keep_the_promise_is_refused(
    log: Store, databases: Backend, monkeypatch: pytest.MonkeyPatch, setting: str, words: str
) -> None:
    """With `fsync` off nothing is durable, whatever we say; without the promise it may be used."""
    real = psycopg.Connection.execute

    def execute(self: Any, query: Any, *arguments: Any, **more: Any) -> Any:
        if isinstance(query, str):
            query = query.replace(f"current_setting('{setting}')", "'off'")
        return real(self, query, *arguments, **more)

    monkeypatch.setattr(psycopg.Connection, "execute", execute)
    with pytest.raises(ConfigurationError, match=words):
        databases.open()
    Store(
        databases.url(),
        durability="process_crash",
        new_log_id=lambda: pytest.fail("the log has an id"),
        now_ns=time.time_ns,
        monotonic=time.monotonic,
    ).close()


def test_what_cannot_be_opened_is_said_without_its_password() -> None:
    """Nobody listens; the words name the database and the host, not the password."""
    with pytest.raises(ConfigurationError) as error:
        Store(
            "postgresql://me:secret@127.0.0.1:1/books",
            new_log_id=lambda: pytest.fail("never asked"),
            now_ns=time.time_ns,
            monotonic=time.monotonic,
        )
    assert "'books' on 127.0.0.1" in str(error.value)
    assert "secret" not in str(error.value)


def test_a_database_of_a_newer_version_is_refused(log: Store, databases: Backend) -> None:
    """A sidecar that does not know the schema does not touch it, and says so."""
    with psycopg.connect(databases.url(), autocommit=True) as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match="newer"):
        databases.open()
