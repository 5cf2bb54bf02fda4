"""Copies of a SQLite log, made while it is served, and putting one back.

A copy is written under another name, checked, synced and renamed, so that whatever has the name
of a backup is one. A log that is put back gets a new `log_id`: positions and numbers of the log
that it was do not hold for it, and `log_id` is how readers and recorders find out. It remembers
which logs it was: to their signal gates it may say that a halt has ended, another log may not.
"""

import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import ConfigurationError, Unavailable
from trimtab_server.store.database import backend_of, open_database
from trimtab_server.store.disk import disk_space
from trimtab_server.store.inspection import LogFacts, inspecting
from trimtab_server.store.migrate import known_revisions, migrate
from trimtab_server.store.refusals import unavailable
from trimtab_server.store.sqlite import FileLock, sqlite_path

# A second look of ours at Ctrl-C, in steps of SQLite's virtual machine: some milliseconds.
_STEPS_PER_LOOK = 1_000_000
# What SQLite keeps beside a file.
_BESIDE = ("-wal", "-shm", "-journal")
_FORMER_MAX = 64


class Copied(NamedTuple):
    """A copy that was made, or put back: where, what it holds, its bytes, and the file that it
    replaced under the name that it has now (None = there was none)."""

    path: Path
    log: LogFacts
    byte_count: int
    kept_aside: Path | None = None


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Also a decorator: a file system that refuses raises Unavailable."""
    try:
        yield
    except OSError as error:
        raise Unavailable(Reason.STORE_UNAVAILABLE, f"the file system refused: {error}") from error


@_in_our_words()
def back_up(url: str, target: Path, *, force: bool) -> Copied:
    """A checked copy of the log of `url` at `target`, as it is at this moment; the sidecar goes on.

    `force` replaces a file at `target`. Raises ConfigurationError when the target will not do or
    the source is no log, Unavailable when the copy fails; nothing is at `target` then.
    """
    source, target = sqlite_path(url), target.absolute()
    if target.is_dir() or not target.parent.is_dir():
        raise ConfigurationError(f"{target} cannot be a backup: tell a file in an existing folder")
    if target.resolve() == source:
        raise ConfigurationError(f"{target} is the database itself")
    if target.exists() and not force:
        raise ConfigurationError(f"{target} exists; tell another name, or --force to replace it")
    _known_log(url)
    with _unfinished(target) as copy:
        _copy(source, copy.path)
        log = _checked(copy.path)
        copy.settle(target)
        copy.finish(target)
    return Copied(target, log, target.stat().st_size)


@_in_our_words()
def restore(backup: Path, url: str, new_log_id: Callable[[], UUID], now_ns: int) -> Copied:
    """The log of `backup` as the database of `url`, under a new log_id and with today's schema.

    What was there is kept beside it, as FILE.before-restore-N. Raises ConfigurationError while a
    sidecar serves it, when `backup` is damaged, newer, or no log, Unavailable when the file system
    refuses; nothing has changed then.
    """
    path = sqlite_path(url)
    if backup.resolve() == path:
        raise ConfigurationError(f"{path} is the database itself; leave the backup out")
    _known_log(f"sqlite:///{backup}")
    lock = FileLock(path)
    try:
        with _unfinished(path) as copy:
            _copy(backup.resolve(), copy.path)
            _renew_file(copy.path, str(new_log_id()), now_ns, _log_ids(path))
            log = _checked(copy.path)
            copy.settle(path)
            kept_aside = _put_aside(path)
            copy.finish(path)
    finally:
        lock.release()
    return Copied(path, log, path.stat().st_size, kept_aside)


@_in_our_words()
def renew(
    url: str,
    durability: str,
    new_log_id: Callable[[], UUID],
    now_ns: int,
    monotonic: Callable[[], float],
) -> LogFacts:
    """The log of `url`, which was put back by other means, after it was given a new log_id.

    Raises ConfigurationError while a sidecar serves it, or when it is damaged, newer, or no log.
    """
    _known_log(url)
    if backend_of(url) == "sqlite":
        path = sqlite_path(url)
        lock = FileLock(path)
        try:
            _checked(path)
            _renew_file(path, str(new_log_id()), now_ns, [])
        finally:
            lock.release()
    else:
        _refuse_served(url)
        database = open_database(url, durability, 1, 10.0, monotonic)
        try:
            with database.writing() as writer:
                (log_id, former) = writer.execute(
                    "SELECT log_id, former_log_ids FROM log"
                ).fetchone()
                writer.execute(
                    "UPDATE log SET log_id = ?, restore_time_ns = ?, former_log_ids = ?",
                    (str(new_log_id()), now_ns, _lineage([log_id, *json.loads(former)], [])),
                )
        finally:
            database.close()
    with inspecting(url) as inspection:
        return inspection.log()


def _known_log(url: str) -> None:
    """Raises ConfigurationError when this is no log, or one of a newer version."""
    with inspecting(url) as inspection:
        revision = inspection.revision()
    if revision is None:
        raise ConfigurationError("there is no log of trimtab in it")
    if revision not in known_revisions():
        raise ConfigurationError(f"it was written by a newer version of trimtab ({revision})")


def _refuse_served(url: str) -> None:
    with inspecting(url) as inspection:
        count = inspection.sidecar_count()
    if count:
        raise ConfigurationError(f"sidecars have {count} connections to this database; stop them")


def _copy(source: Path, target: Path) -> None:
    """Writes the log of `source` into the empty file `target`. Raises Unavailable."""
    try:
        with closing(
            sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, isolation_level=None)
        ) as connection:
            # Without it Ctrl-C waits for the whole copy.
            connection.set_progress_handler(lambda: 0, _STEPS_PER_LOOK)
            sizes = [
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            ]
            needed = (sizes[0] - sizes[1]) * sizes[2]
            free = disk_space(target).free_bytes
            if free < needed:
                raise ConfigurationError(
                    f"{target.parent} has {free} bytes free; {needed} are needed"
                )
            connection.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        raise unavailable(error) from error


def _checked(path: Path) -> LogFacts:
    with inspecting(f"sqlite:///{path}") as inspection:
        faults = inspection.integrity_faults(full=False)
        if faults:
            raise ConfigurationError(f"{path} is damaged: {faults[0]}")
        return inspection.log()


def _log_ids(path: Path) -> list[str]:
    """Of the database that is to be replaced, as `Inspection.log_ids`; empty when there is none
    that opens, which is no hindrance."""
    with (
        suppress(ConfigurationError, Unavailable, ValueError),
        inspecting(f"sqlite:///{path}") as inspection,
    ):
        if inspection.revision() is not None:
            return inspection.log_ids()
    return []


def _lineage(was: list[str], replaced: list[str]) -> str:
    """The former log_ids as they are stored, newest first: of what the log was, and of what it
    takes the place of, whose readers come over too."""
    found = dict.fromkeys([*replaced[:1], *was[:1], *replaced[1:], *was[1:]])
    return json.dumps(list(found)[:_FORMER_MAX])


def _renew_file(path: Path, log_id: str, now_ns: int, replaced: list[str]) -> None:
    """Brings the schema up to date and gives the log its new identity, in one transaction.
    replaced: the log_ids of what it takes the place of."""
    driver = sqlite3.connect(path, isolation_level=None)
    engine = create_engine("sqlite://", creator=lambda: driver, poolclass=StaticPool)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            migrate(connection, str(path))
            known = text("SELECT log_id, former_log_ids FROM log")
            was, former = connection.execute(known).one()
            renewing = text(
                "UPDATE log SET log_id = :log_id, restore_time_ns = :now_ns, former_log_ids = :ids"
            )
            ids = _lineage([was, *json.loads(former)], replaced)
            connection.execute(renewing, {"log_id": log_id, "now_ns": now_ns, "ids": ids})
    except DBAPIError as error:
        raise unavailable(error.orig) from error
    finally:
        engine.dispose()
        driver.close()


def _put_aside(path: Path) -> Path | None:
    """A second name for the file at `path`, which is about to be replaced; None when there is none.

    Its write-ahead log goes into it first: beside the new file it would be taken for the new one's.
    """
    if not path.exists():
        return None
    number = 1
    while (aside := path.with_name(f"{path.name}.before-restore-{number}")).exists():
        number += 1
    try:
        # Not a rename: at no moment is there no database under this name.
        os.link(path, aside)
        # SQLite throws the write-ahead log of a damaged database away when it opens it.
        for suffix in ("-wal", "-journal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(
                    path.with_name(path.name + suffix), aside.with_name(aside.name + suffix)
                )
        _sync_folder(path.parent)
        is_whole = _folded(path)
    except (ConfigurationError, OSError):
        _remove(aside, "", *_BESIDE)
        raise
    _remove(aside if is_whole else path, *_BESIDE)
    return aside


def _folded(path: Path) -> bool:
    """Whether the file is whole by itself now, its write-ahead log folded in. Raises
    ConfigurationError while another program has it open."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=2.0)
    try:
        # Leaving the mode needs the file alone.
        connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise ConfigurationError(f"another program has {path} open; close it") from error
        return False
    except sqlite3.DatabaseError:
        return False
    finally:
        connection.close()
    return True


class _Unfinished:
    """A file that has not its name yet."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.is_finished = False
        self._fd = fd

    def settle(self, target: Path) -> None:
        """Makes its bytes durable, with the owner of what it is to replace at `target`."""
        if target.exists():
            former = target.stat()
            os.fchmod(self._fd, former.st_mode & 0o777)
            if os.geteuid() == 0:
                os.fchown(self._fd, former.st_uid, former.st_gid)
        os.fsync(self._fd)

    def finish(self, target: Path) -> None:
        """Gives it the name `target`, durably."""
        self.path.rename(target)
        self.is_finished = True
        _sync_folder(target.parent)


@contextmanager
def _unfinished(target: Path) -> Iterator[_Unfinished]:
    """An empty file beside `target`, gone at the end of the block unless it was finished. What a
    killed process left there is taken over. Raises ConfigurationError while another one works."""
    path = target.with_name(target.name + ".unfinished")
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"cannot create {path}: {error.strerror}") from error
    if not _is_ours(path, fd):
        os.close(fd)
        raise ConfigurationError(f"another process is writing {target}")
    copy = _Unfinished(path, fd)
    try:
        # A journal that a killed process left would be played into our copy.
        _remove(path, *_BESIDE)
        os.ftruncate(fd, 0)
        yield copy
    finally:
        if not copy.is_finished:
            _remove(path, "", *_BESIDE)
        os.close(fd)


def _is_ours(path: Path, fd: int) -> bool:
    """Whether nobody else works on the open file, and it still has this name: whoever finished it
    in between has given it another, and it is not ours to empty."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(fd).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _remove(path: Path, *suffixes: str) -> None:
    for suffix in suffixes:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
