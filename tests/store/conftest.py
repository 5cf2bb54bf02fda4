"""The store on every backend: one suite, run on SQLite and on a real Postgres."""

import itertools
import operator
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.postgres import PostgresServer
from trimtab_server.store.ledger_reader import LedgerReader, open_ledger
from trimtab_server.store.store import Store

BACKENDS = ("sqlite", "postgresql")
START_NS = 1_700_000_000 * 10**9


class Backend:
    """A place for databases of one kind; opens stores on them, as often as asked."""

    def __init__(
        self, name: str, folder: Path, new_database: Callable[[], str] | None = None
    ) -> None:
        self.name = name
        self._folder = folder
        self._new_database = new_database
        self._urls: dict[str, str] = {}
        self._ticks = itertools.count(START_NS, 1_000)
        self.opened: list[Store] = []

    def url(self, database: str = "log") -> str:
        """The URL of a database that is new at the start of the test."""
        if self._new_database is None:
            return f"sqlite:///{self._folder / database}.db"
        if database not in self._urls:
            self._urls[database] = self._new_database()
        return self._urls[database]

    def open(
        self,
        database: str = "log",
        *,
        rejected_events_max: int = 10_000,
        read_time_s_max: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
        new_log_id: Callable[[], UUID] = uuid4,
        same_content: Callable[[bytes, bytes], bool] = operator.eq,
    ) -> Store:
        """A store on a database; its clock moves 1 µs a look."""
        store = Store(
            self.url(database),
            rejected_events_max=rejected_events_max,
            read_time_s_max=read_time_s_max,
            new_log_id=new_log_id,
            same_content=same_content,
            now_ns=lambda: next(self._ticks),
            monotonic=monotonic,
        )
        self.opened.append(store)
        return store

    @property
    def urls(self) -> list[str]:
        """The databases that were asked for."""
        return list(self._urls.values())

    def reopen(self, store: Store) -> Store:
        """Closes a store and opens its database again."""
        store.close()
        return self.open()

    def open_empty(self) -> Store:
        """A store on an empty log, as often as asked: a new SQLite file, but one Postgres database
        that is emptied, because making one takes a second."""
        if self._new_database is None:
            return self.open(f"empty-{len(self.opened)}")
        store = self.open("empty")
        with store._database.writing() as writer:
            writer.execute(
                "TRUNCATE events, producers, event_counts, rejected_events, stations, pruned_kinds,"
                " gate_worlds, gate_states, gate_breakers, gate_changes RESTART IDENTITY"
            )
            writer.execute("UPDATE log SET last_sequence = 0, gate_generation = 0, gate_floor = 0")
        return store

    def close(self) -> None:
        """Closes what a test left open."""
        for store in self.opened:
            store.close()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """Each backend in turn."""
    if request.param == "sqlite":
        one = Backend("sqlite", tmp_path)
        yield one
        one.close()
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    one = Backend("postgresql", tmp_path, server.database)
    yield one
    one.close()
    for url in one.urls:
        server.drop(url)


@pytest.fixture
def store(backend: Backend) -> Store:
    """An empty log on each backend."""
    return backend.open()


@pytest.fixture
def databases(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Backend]:
    """Databases of a real server."""
    one = Backend("postgresql", tmp_path, postgres_server.database)
    yield one
    one.close()
    for url in one.urls:
        postgres_server.drop(url)


@pytest.fixture
def reader(backend: Backend, store: Store) -> Iterator[LedgerReader]:
    """A reader of the ledger, beside the open store."""
    assert store.log_id
    opened = open_ledger(backend.url())
    yield opened
    opened.close()
