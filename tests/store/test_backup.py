"""Copies of a log, and putting them back: whole or not at all, and never taken for the former."""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.store.conftest import Backend
from tests.store.log_events import PRODUCER, an_event, batch, unary
from trimtab_server.domain.events import EventFilter
from trimtab_server.errors import ConfigurationError, Unavailable
from trimtab_server.store.backup import back_up, renew, restore
from trimtab_server.store.disk import DiskSpace
from trimtab_server.store.inspection import LogFacts, inspecting
from trimtab_server.store.ledger import TABLES
from trimtab_server.store.store import Store

NEW_ID = UUID(int=7)


def _new_id() -> UUID:
    return NEW_ID


@pytest.fixture
def files(tmp_path: Path) -> Backend:
    """SQLite files in a folder of their own."""
    return Backend("sqlite", tmp_path)


def _filled(files: Backend, count: int = 5) -> Store:
    store = files.open()
    store.open_producer(PRODUCER)
    store.append([batch(1, *(an_event(i) for i in range(1, count + 1)))])
    return store


def _renewed(backend: Backend, now_ns: int = 1) -> LogFacts:
    return renew(backend.url(), "power_loss", _new_id, now_ns, time.monotonic)


def _refuse(*_arguments: object) -> None:
    raise OSError(errno.ENOSPC, "no room")


def _bodies(store: Store) -> list[bytes]:
    page = store.events.tail(EventFilter(), 0, 1_000_000, 1 << 30)
    return [event.body for event in page.events]


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_served_log_is_copied_whole(files: Backend, tmp_path: Path) -> None:
    """One file with every event so far and the same log_id; the store goes on meanwhile."""
    store = _filled(files)
    made = back_up(files.url(), tmp_path / "copy.db", force=False)
    assert (made.log.log_id, made.log.last_sequence, made.log.event_count) == (store.log_id, 5, 5)
    assert made.byte_count == (tmp_path / "copy.db").stat().st_size
    store.append([unary(an_event(6))])
    files.close()
    copy = files.open("copy")
    assert _bodies(copy) == [b"body-%d" % i for i in range(1, 6)]
    assert copy.log_id == store.log_id
    files.close()
    assert _names(tmp_path) == {"log.db", "log.db.lock", "copy.db", "copy.db.lock"}


def test_an_existing_file_is_replaced_only_when_told(files: Backend, tmp_path: Path) -> None:
    """Without force it is refused and left as it is."""
    _filled(files)
    target = tmp_path / "copy.db"
    target.write_text("mine")
    with pytest.raises(ConfigurationError, match="exists"):
        back_up(files.url(), target, force=False)
    assert target.read_text() == "mine"
    back_up(files.url(), target, force=True)
    with inspecting(f"sqlite:///{target}") as inspection:
        assert inspection.log().event_count == 5
    files.close()


def test_what_cannot_be_a_backup_is_refused(files: Backend, tmp_path: Path) -> None:
    """A folder, a missing folder, the database itself; a source that is no log. Nothing is made."""
    _filled(files)
    (tmp_path / "folder").mkdir()
    (tmp_path / "other.db").touch()
    before = _names(tmp_path)
    for target in (tmp_path / "folder", tmp_path / "no" / "copy.db", tmp_path / "log.db"):
        with pytest.raises(ConfigurationError):
            back_up(files.url(), target, force=True)
    for source in ("other", "missing"):
        with pytest.raises(ConfigurationError):
            back_up(files.url(source), tmp_path / "copy.db", force=True)
    assert _names(tmp_path) == before
    files.close()


# Stops where the copy is complete and has not its name yet, which is the last moment.
_STOPPING = """
import sys, time
from pathlib import Path
from trimtab_server.store import backup
def stop(path):
    print("there", flush=True)
    time.sleep(600)
backup._checked = stop
backup.back_up(sys.argv[1], Path(sys.argv[2]), force=False)
"""


def test_an_interrupted_backup_is_none(files: Backend, tmp_path: Path) -> None:
    """Killed at the last moment it leaves nothing under the name; a second one at the same time is
    refused, and the next one takes over what was left."""
    _filled(files)
    target = tmp_path / "copy.db"
    command = [sys.executable, "-c", _STOPPING, files.url(), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "there\n"
        with pytest.raises(ConfigurationError, match="another process is writing"):
            back_up(files.url(), target, force=False)
        first.send_signal(signal.SIGKILL)
    assert not target.exists()
    assert "copy.db.unfinished" in _names(tmp_path)
    assert back_up(files.url(), target, force=False).log.event_count == 5
    assert "copy.db.unfinished" not in _names(tmp_path)
    files.close()


def test_a_failed_backup_leaves_nothing(
    files: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room, or a source that cannot be read: told, and no file is left behind."""
    _filled(files)
    before = _names(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("trimtab_server.store.backup.disk_space", lambda _: DiskSpace(5, 5))
        with pytest.raises(ConfigurationError, match="5 bytes free"):
            back_up(files.url(), tmp_path / "copy.db", force=False)
    assert _names(tmp_path) == before
    files.close()
    with (tmp_path / "log.db").open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 40_960)
    with pytest.raises((ConfigurationError, Unavailable)):
        back_up(files.url(), tmp_path / "copy.db", force=False)
    assert "copy.db" not in _names(tmp_path)
    assert "copy.db.unfinished" not in _names(tmp_path)


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.rename"])
def test_a_file_system_that_refuses_a_backup_is_told(
    files: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """In words, and nothing is left behind."""
    _filled(files)
    before = _names(tmp_path)
    monkeypatch.setattr(call, _refuse)
    with pytest.raises(Unavailable, match=r"file system refused.*no room"):
        back_up(files.url(), tmp_path / "copy.db", force=False)
    assert _names(tmp_path) == before
    files.close()


@pytest.mark.parametrize("call", ["os.fsync", "shutil.copyfile", "os.link"])
@pytest.mark.parametrize("is_damaged", [True, False], ids=["damaged", "whole"])
def test_a_file_system_that_refuses_a_restore_changes_nothing(
    files: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, is_damaged: bool
) -> None:
    """No room, or no second names there: the database keeps its write-ahead log, and its name."""
    _filled(files)
    back_up(files.url(), tmp_path / "copy.db", force=False)
    files.close()
    log, wal = tmp_path / "log.db", tmp_path / "log.db-wal"
    wal.write_bytes(b"nor a log")
    if is_damaged:
        log.write_bytes(b"no database at all" * 999)
    with monkeypatch.context() as patched:
        patched.setattr(call, _refuse)
        with pytest.raises(Unavailable, match=r"file system refused.*no room"):
            restore(tmp_path / "copy.db", files.url(), _new_id, 1)
    assert not [name for name in _names(tmp_path) if "before" in name or "unfinished" in name]
    if is_damaged:
        assert log.read_bytes().startswith(b"no database")
        assert wal.read_bytes() == b"nor a log"
    else:
        assert len(_bodies(files.open())) == 5
        files.close()


def test_a_restored_log_is_another_log(files: Backend, tmp_path: Path) -> None:
    """The events of the backup under a new log_id with the time of it; numbers go on behind them,
    and what was there is kept beside."""
    store = _filled(files)
    back_up(files.url(), tmp_path / "copy.db", force=False)
    store.append([batch(6, an_event(6), an_event(7))])
    files.close()
    done = restore(tmp_path / "copy.db", files.url(), _new_id, 123)
    assert (done.log.log_id, done.log.restore_time_ns) == (str(NEW_ID), 123)
    again = files.open()
    assert again.log_id == str(NEW_ID) != store.log_id
    assert len(_bodies(again)) == again.info().last_sequence == 5
    assert again.open_producer(PRODUCER) == 6
    assert done.kept_aside == tmp_path / "log.db.before-restore-1"
    files.close()
    with inspecting(f"sqlite:///{done.kept_aside}") as inspection:
        assert inspection.log()[:2] == (store.log_id, 7)


def test_a_restored_log_remembers_which_logs_it_was(files: Backend, tmp_path: Path) -> None:
    """Its own former identities and those of what it took the place of, newest first and each once,
    up to 64; a log that was never restored remembers none."""
    store = _filled(files)
    assert store.former_log_ids == ()
    copy = tmp_path / "copy.db"
    back_up(files.url(), copy, force=False)
    files.close()
    first, second = UUID(int=8), UUID(int=9)
    restore(copy, files.url(), lambda: first, 1)
    restore(copy, files.url(), lambda: second, 1)
    again = files.open()
    assert again.log_id == str(second)
    assert again.former_log_ids == (str(first), store.log_id)
    files.close()
    for number in range(100, 170):
        renew(files.url(), "power_loss", lambda n=number: UUID(int=n), 1, time.monotonic)  # type: ignore[misc]
    former = files.open().former_log_ids
    files.close()
    assert former == tuple(str(UUID(int=n)) for n in range(168, 104, -1))


def test_what_a_crash_left_is_kept_whole_and_spoils_nothing(files: Backend, tmp_path: Path) -> None:
    """The write-ahead log of the former database goes with it and not into the new one."""
    store = _filled(files)
    back_up(files.url(), tmp_path / "copy.db", force=False)
    store.append([unary(*(an_event(i, body=b"x" * 900) for i in range(50, 150)))])
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for suffix in ("", "-wal", "-shm"):
        shutil.copy(tmp_path / f"log.db{suffix}", crashed)
    files.close()
    there = Backend("sqlite", crashed)
    done = restore(tmp_path / "copy.db", there.url(), _new_id, 1)
    assert len(_bodies(there.open())) == 5
    there.close()
    with inspecting(there.url()) as inspection:
        assert inspection.integrity_faults(full=True) == []
    with inspecting(f"sqlite:///{done.kept_aside}") as inspection:
        assert inspection.log().event_count == 105


def test_a_damaged_database_is_replaced_and_kept(files: Backend, tmp_path: Path) -> None:
    """What does not open any more is no hindrance; it keeps its write-ahead log under its new
    name, and each restore keeps its own."""
    _filled(files)
    back_up(files.url(), tmp_path / "copy.db", force=False)
    files.close()
    for number in (1, 2):
        (tmp_path / "log.db").write_bytes(b"no database at all" * 999)
        (tmp_path / "log.db-wal").write_bytes(b"nor a log")
        done = restore(tmp_path / "copy.db", files.url(), uuid4, 1)
        aside = tmp_path / f"log.db.before-restore-{number}"
        assert done.kept_aside == aside
        assert aside.read_bytes().startswith(b"no database")
        assert aside.with_name(aside.name + "-wal").read_bytes() == b"nor a log"
        assert len(_bodies(files.open())) == 5
        files.close()


def test_nothing_is_restored_under_a_serving_sidecar(files: Backend, tmp_path: Path) -> None:
    """Nor while another program has the file open; it stays as it is."""
    store = _filled(files)
    back_up(files.url(), tmp_path / "copy.db", force=False)
    for attempt in (
        lambda: restore(tmp_path / "copy.db", files.url(), _new_id, 1),
        lambda: _renewed(files),
    ):
        with pytest.raises(ConfigurationError, match="another sidecar serves"):
            attempt()
    files.close()
    shell = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    shell.execute("BEGIN")
    shell.execute("SELECT * FROM log").fetchall()
    with pytest.raises(ConfigurationError, match="another program has"):
        restore(tmp_path / "copy.db", files.url(), _new_id, 1)
    shell.close()
    assert files.open().log_id == store.log_id
    files.close()
    assert not [name for name in _names(tmp_path) if "restor" in name or "unfinished" in name]


def test_a_bad_backup_is_refused_and_changes_nothing(files: Backend, tmp_path: Path) -> None:
    """Damaged, of a newer version, no log, not there, the database itself."""
    store = _filled(files, 300)
    good = tmp_path / "good.db"
    back_up(files.url(), good, force=False)
    files.close()
    newer, damaged, other = (tmp_path / f"{name}.db" for name in ("newer", "damaged", "other"))
    shutil.copy(good, newer)
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    content = bytearray(good.read_bytes())
    content[40_960:57_344] = b"\xff" * 16_384
    damaged.write_bytes(content)
    other.write_text("no database")
    for backup in (newer, damaged, other, tmp_path / "missing.db", tmp_path / "log.db"):
        with pytest.raises((ConfigurationError, Unavailable)):
            restore(backup, files.url(), _new_id, 1)
    assert files.open().log_id == store.log_id
    files.close()
    assert not [name for name in _names(tmp_path) if "before" in name or "unfinished" in name]


def test_a_backup_of_an_older_version_is_brought_up_to_date(files: Backend, tmp_path: Path) -> None:
    """Before it takes the name of the database, so that nothing goes wrong afterwards."""
    _filled(files)
    old = tmp_path / "old.db"
    back_up(files.url(), old, force=False)
    files.close()
    with sqlite3.connect(old) as connection:
        gate = ("gate_worlds", "gate_states", "gate_breakers", "gate_changes")
        for table in ("stations", "pruned_kinds", *gate, *TABLES, "learning_reports"):
            connection.execute(f"DROP TABLE {table}")
        for column in ("gate_generation", "gate_floor", "gate_policy", "former_log_ids"):
            connection.execute(f"ALTER TABLE log DROP COLUMN {column}")
        connection.execute("ALTER TABLE log DROP COLUMN restore_time_ns")
        connection.execute("ALTER TABLE producers DROP COLUMN stream_key")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    assert restore(old, files.url(), _new_id, 1).log.log_id == str(NEW_ID)
    assert len(_bodies(files.open())) == 5
    files.close()


def test_a_log_that_was_put_back_otherwise_gets_a_new_identity(backend: Backend) -> None:
    """On each backend: the same events, another log_id."""
    store = backend.open()
    store.append([unary(an_event(1))])
    store.close()
    assert _renewed(backend, 99)[:4] == (str(NEW_ID), 1, _created(backend), 99)
    again = backend.open()
    assert (again.log_id, _bodies(again)) == (str(NEW_ID), [b"body-1"])
    assert again.former_log_ids == (store.log_id,)


def _created(backend: Backend) -> int:
    with inspecting(backend.url()) as inspection:
        return inspection.log().create_time_ns


def test_an_empty_database_gets_no_identity(backend: Backend) -> None:
    """It holds no log: renewing it would hide that nothing was put back."""
    with pytest.raises(ConfigurationError):
        _renewed(backend)


def test_the_file_keeps_its_owner_and_rights(files: Backend, tmp_path: Path) -> None:
    """The sidecar's user can open what an administrator put back; a backup is nobody else's."""
    _filled(files)
    made = back_up(files.url(), tmp_path / "copy.db", force=False)
    assert made.path.stat().st_mode & 0o777 == 0o600
    files.close()
    log = tmp_path / "log.db"
    log.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(log, 1234, 1234)
    owner = log.stat().st_uid
    restore(made.path, files.url(), _new_id, time.time_ns())
    assert (log.stat().st_mode & 0o777, log.stat().st_uid) == (0o640, owner)
