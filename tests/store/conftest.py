"""The store on every backend: one suite, run on each (today SQLite)."""

import itertools
import operator
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from trimtab_server.store.store import Store

BACKENDS = ("sqlite",)
START_NS = 1_700_000_000 * 10**9


class Backend:
    """A place for databases of one kind; opens stores on them, as often as asked."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder
        self._ticks = itertools.count(START_NS, 1_000)
        self.opened: list[Store] = []

    def url(self, database: str = "log") -> str:
        """The URL of a database that is new at the start of the test."""
        return f"sqlite:///{self._folder / database}.db"

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

    def reopen(self, store: Store) -> Store:
        """Closes a store and opens its database again."""
        store.close()
        return self.open()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """Each backend in turn."""
    one = Backend(request.param, tmp_path)
    yield one
    for store in one.opened:
        store.close()


@pytest.fixture
def store(backend: Backend) -> Store:
    """An empty log on each backend."""
    return backend.open()
