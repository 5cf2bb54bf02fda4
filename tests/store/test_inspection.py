"""A database as it is: a whole one has no fault, and each fault is found without a change."""

import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from tests.store.conftest import START_NS, Backend
from tests.store.log_events import PRODUCER, an_event, batch, unary
from trimtab_server.domain.events import EventKind
from trimtab_server.errors import ConfigurationError, Unavailable
from trimtab_server.store.database import open_database
from trimtab_server.store.inspection import Inspection, inspecting
from trimtab_server.store.store import Store

_LATE_NS = START_NS + 10**12


def _filled(store: Store) -> None:
    """Two producers' worth of events, some pruned, some of a run."""
    store.open_producer(PRODUCER)
    ticks = [an_event(i, kind=EventKind.MARKET_TICK) for i in range(1, 6)]
    store.append([batch(1, *ticks), unary(an_event(6), an_event(7, run_id="r", environment=3))])
    store.prune_some(EventKind.MARKET_TICK, _LATE_NS)
    store.append([unary(an_event(8, kind=EventKind.MARKET_TICK))])


def _faults(inspection: Inspection) -> list[str]:
    return [
        *inspection.integrity_faults(full=True),
        *inspection.sequence_faults(),
        *inspection.count_faults(full=False),
        *inspection.count_faults(full=True),
        *inspection.producer_faults(),
    ]


def test_a_served_log_has_no_fault(backend: Backend) -> None:
    """Beside an open store, empty and filled and pruned; what it says of itself is so."""
    store = backend.open()
    with inspecting(backend.url()) as inspection:
        assert _faults(inspection) == []
        assert inspection.last_ingest_time_ns() == 0
    _filled(store)
    with inspecting(backend.url()) as inspection:
        assert inspection.revision() is not None
        assert _faults(inspection) == []
        log = inspection.log()
        assert log[:2] == (store.log_id, 8)
        assert log[3:] == (None, 3, 5)
        assert inspection.last_ingest_time_ns() > START_NS


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE log SET last_sequence = 9", "the counter is 9, the last event 8"),
        ("DELETE FROM events WHERE sequence = 7", "7 events stand on the sequences 1 to 8"),
        ("UPDATE event_counts SET event_count = 2 WHERE run_id = 'r'", "are counted"),
        ("UPDATE event_counts SET byte_count = 0 WHERE kind = 1", "are counted"),
        ("UPDATE event_counts SET source = 'beta' WHERE kind = 12", "beta"),
        ("UPDATE pruned_kinds SET event_count = 4", "5 events are pruned, 4 are counted"),
        ("UPDATE producers SET durable_through_seq = 3", "2 events lie beyond"),
        ("UPDATE events SET producer_key = 99 WHERE sequence = 1", "1 events lie beyond"),
    ],
)
def test_each_fault_is_found(backend: Backend, damage: str, words: str) -> None:
    """A counter, a sequence, a count or a mark that does not fit is told with its figures."""
    store = backend.open()
    _filled(store)
    with store._database.writing() as writer:
        writer.execute(damage)
    with inspecting(backend.url()) as inspection:
        found = _faults(inspection)
    assert any(words in fault for fault in found), found


def _flip(path: Path) -> None:
    """Writes over a page in the middle of a file."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096)


def _cut(path: Path) -> None:
    """Takes the end off."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 8192)


@pytest.mark.parametrize("damage", [_flip, _cut], ids=["page", "end"])
def test_a_damaged_file_is_told(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """As a fault, or as a database that refuses; never as whole."""
    files = Backend("sqlite", tmp_path)
    store = files.open()
    _filled(store)
    store.append([unary(*(an_event(i, body=b"x" * 500) for i in range(100, 300)))])
    files.close()
    damage(tmp_path / "log.db")
    with inspecting(files.url()) as inspection:
        try:
            faults = inspection.integrity_faults(full=False)
        except Unavailable as error:
            faults = [error.message]
    assert faults


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """The file has the same bytes afterwards, and a log that was never there is not made."""
    files = Backend("sqlite", tmp_path)
    _filled(files.open())
    files.close()
    before = (tmp_path / "log.db").read_bytes()
    with inspecting(files.url()) as inspection:
        assert _faults(inspection) == []
    assert (tmp_path / "log.db").read_bytes() == before
    with pytest.raises(ConfigurationError, match="is not there"), inspecting(files.url("no")):
        pass
    assert not (tmp_path / "no.db").exists()


def test_another_programs_file_is_no_log(tmp_path: Path) -> None:
    """It has no revision."""
    with sqlite3.connect(tmp_path / "log.db") as connection:
        connection.execute("CREATE TABLE events (x)")
    connection.close()
    with inspecting(f"sqlite:///{tmp_path / 'log.db'}") as inspection:
        assert inspection.revision() is None


def test_a_postgres_url_is_read_as_the_sidecar_reads_it(databases: Backend) -> None:
    """Several hosts, options of its own, and a name that does not hide the sidecar."""
    address = urlsplit(databases.url()).netloc.rpartition("@")[2]
    url = databases.url().replace(address, f"{address},{address}")
    url += f"{'&' if '?' in url else '?'}application_name=mine&options=-c%20work_mem%3D96kB"
    databases.open().close()
    with inspecting(url) as inspection:
        assert inspection.revision() is not None
        assert inspection.sidecar_count() == 0
        for name, value in (("work_mem", "96kB"), ("transaction_read_only", "on")):
            assert inspection.connection.scalar(text(f"SHOW {name}")) == value
    database = open_database(url, "power_loss", 1, 10.0, time.monotonic)
    with closing(database), inspecting(url) as inspection:
        assert inspection.sidecar_count() > 0


@pytest.mark.parametrize(
    "url", ["postgresql://127.0.0.1:x/db", "postgresql://[::1/db", "postgresql://h/db?no=1"]
)
def test_a_url_that_will_not_do_is_told(url: str) -> None:
    """As settings that will not do, as for the sidecar."""
    with pytest.raises(ConfigurationError, match="cannot open"), inspecting(url):
        pass


def test_without_the_driver_postgres_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra; without it the command ends with a line."""
    monkeypatch.setitem(sys.modules, "trimtab_server.store.postgres_connection", None)
    with pytest.raises(ConfigurationError, match="cannot open"), inspecting("postgresql://h/db"):
        pass
