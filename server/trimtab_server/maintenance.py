"""What an operator does with a log: copy it, put it back, prune it, have it examined.

`examination` is what `trimtab doctor` says: facts come from the store, the machine and the
settings; each becomes a check with what was found and what to do.
"""

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from trimtab_server.domain.events import EventKind
from trimtab_server.errors import ConfigurationError, TrimtabError
from trimtab_server.store.database import Database, backend_of, open_database
from trimtab_server.store.disk import disk_space, file_system
from trimtab_server.store.inspection import SQLITE_VERSION, Inspection, inspecting
from trimtab_server.store.ledger import reset_ledger
from trimtab_server.store.migrate import head_revision
from trimtab_server.store.retention import SharedFile, prunable_count, prune_some, pruned_counts
from trimtab_server.store.sqlite import sqlite_path

_DAY_NS = 86_400 * 10**9
# Seconds between two transactions of a prune, in which a sidecar records.
_PAUSE_S = 0.05
# What the ledger and the shadow are derived from; of the others none but their own rows is lost.
_LEDGER_KINDS = (
    *(EventKind.SIGNAL, EventKind.DECISION, EventKind.EXECUTION, EventKind.OUTCOME),
    *(EventKind.SHADOW_OUTCOME, EventKind.PREDICTION, EventKind.ACCOUNT_SNAPSHOT),
    *(EventKind.MARKET_BAR, EventKind.MARKET_TICK, EventKind.CORPORATE_ACTION),
)
_NETWORK_FILE_SYSTEMS = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "fuse.glusterfs", "ceph", "lustre"),
    *("9p", "afs", "ncpfs", "gfs2", "ocfs2", "beegfs", "fuse.s3fs", "fuse.rclone"),
}
_VOLATILE_FILE_SYSTEMS = {"tmpfs", "ramfs"}
_FREE_SHARE_LOW = 0.1
_FREE_BYTES_LOW = 1 << 30
# Outside of these years a clock was never set: 2024-01-01 and 2100-01-01.
_SANE_NS = (1_704_067_200 * 10**9, 4_102_444_800 * 10**9)
_RESTORE = "restore the last backup (trimtab restore); it keeps this database for a closer look"
_DISTRIBUTIONS = ("grpcio", "protobuf", "SQLAlchemy", "psycopg")

OK, WARN, FAIL = "OK", "WARN", "FAIL"


class Check(NamedTuple):
    """One thing that was looked at: OK, WARN or FAIL, what was found, and what to do about it."""

    name: str
    state: str
    found: str
    advice: str = ""


class PrunedKind(NamedTuple):
    """How many events of a kind were pruned (or would be), and their bytes (0 = not counted)."""

    kind: EventKind
    event_count: int
    byte_count: int


def prune(
    url: str,
    durability: str,
    days: Mapping[EventKind, float],
    now_ns: int,
    monotonic: Callable[[], float],
    *,
    dry_run: bool,
) -> Iterator[PrunedKind]:
    """What was pruned, kind by kind, of what is older than `days`; with `dry_run`, what would be.
    A sidecar may be serving the database.

    Raises ConfigurationError when the database is not there, Unavailable when it refuses.
    """
    limits = {kind: now_ns - int(kept * _DAY_NS) for kind, kept in days.items()}
    if dry_run:
        with inspecting(url) as inspection:
            _current(inspection)
            for kind, before_ns in limits.items():
                yield PrunedKind(kind, prunable_count(inspection.connection, kind, before_ns), 0)
        return
    with inspecting(url) as inspection:
        _current(inspection)
    with closing(_beside_a_sidecar(url, durability, monotonic)) as database:
        for kind, before_ns in limits.items():
            event_count = byte_count = 0
            while (some := prune_some(database, kind, before_ns)).event_count:
                event_count += some.event_count
                byte_count += some.byte_count
                if not some.has_more:
                    break
                time.sleep(_PAUSE_S)
            yield PrunedKind(kind, event_count, byte_count)


def rebuild_ledger(
    url: str, durability: str, monotonic: Callable[[], float], *, force: bool
) -> str:
    """Empties the ledger; the sidecar that serves the database, or its next start, derives it again
    from the log. What of the log retention has pruned, in words ("" = nothing that it needs).

    Raises ConfigurationError when the database is not there, or when something it needs was pruned
    (with `force` it does it all the same); Unavailable when the database refuses.
    """
    with inspecting(url) as inspection:
        _current(inspection)
        counts = pruned_counts(inspection.connection)
    told = [f"{counts[kind]:,} {kind.name}" for kind in _LEDGER_KINDS if counts.get(kind)]
    pruned = f"retention has pruned {', '.join(told)}" if told else ""
    if pruned and not force:
        raise ConfigurationError(
            f"{pruned}: the ledger holds what came of them and cannot derive it again. With --force"
            " it is derived from what is left: pruned signals, decisions and trades are gone from"
            " every report, and signals whose prices are gone end CENSORED, with new events in the"
            " log"
        )
    database = _beside_a_sidecar(url, durability, monotonic)
    with closing(database), database.writing() as writer:
        reset_ledger(writer)
    return pruned


def _beside_a_sidecar(
    url: str, durability: str, monotonic: Callable[[], float]
) -> "SharedFile | Database":
    if backend_of(url) == "sqlite":
        return SharedFile(url)
    return open_database(url, durability, 1, 10.0, monotonic)


def _current(inspection: Inspection) -> None:
    revision = inspection.revision()
    if revision is None:
        raise ConfigurationError("there is no log of trimtab in this database")
    if revision != head_revision():
        raise ConfigurationError(
            f"its schema is {revision}, this version works with {head_revision()}: start a sidecar"
            " of this version on it once"
        )


def examination(
    url: str, *, full: bool, durability: str, disk_free_bytes_min: int, now_ns: int
) -> Iterator[Check]:
    """Every check of the machine and of the log of `url`, as each is done. Nothing is changed; a
    sidecar may be serving."""
    yield _versions()
    yield _clock_alone(now_ns)
    try:
        if backend_of(url) == "sqlite":
            path = sqlite_path(url)
            yield from _tried("disk", lambda: _disk(path, disk_free_bytes_min))
            yield from _tried("file system", lambda: _file_system(path))
        with inspecting(url) as inspection:
            yield from _of_log(inspection, full=full, durability=durability, now_ns=now_ns)
    except ConfigurationError as error:
        yield Check(
            "database", FAIL, str(error), "check the setting database, and that it is reachable"
        )


def _of_log(inspection: Inspection, *, full: bool, durability: str, now_ns: int) -> Iterator[Check]:
    schema = list(_tried("database", lambda: _schema(inspection)))
    yield from schema
    if schema[0].state != OK:
        return
    yield from _tried("durability", lambda: _durability(inspection, durability))
    yield from _faultless("integrity", lambda: inspection.integrity_faults(full=full))
    yield from _faultless("sequences", inspection.sequence_faults)
    yield from _faultless("counts", lambda: inspection.count_faults(full=full))
    yield from _faultless("producers", inspection.producer_faults)
    yield from _tried("last event", lambda: _last_event(inspection, now_ns))


def _tried(name: str, check: Callable[[], Check]) -> Iterator[Check]:
    """The check, or what went wrong with it."""
    try:
        yield check()
    except (TrimtabError, OSError) as error:
        yield Check(name, FAIL, str(error), "check that the database is there and whole")


def _faultless(name: str, faults: Callable[[], list[str]]) -> Iterator[Check]:
    def check() -> Check:
        if found := faults():
            return Check(name, FAIL, "; ".join(found), _RESTORE)
        return Check(name, OK, "no fault")

    return _tried(name, check)


def _versions() -> Check:
    found = [f"Python {platform.python_version()}", f"SQLite {SQLITE_VERSION}"]
    for name in ("trimtab", *_DISTRIBUTIONS):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return Check("versions", OK, ", ".join(found))


def _clock_alone(now_ns: int) -> Check:
    if _SANE_NS[0] <= now_ns < _SANE_NS[1]:
        return Check("clock", OK, _time(now_ns))
    return Check(
        "clock",
        FAIL,
        f"it is {_time(now_ns)} on this machine",
        "set the clock (NTP) before a sidecar records: ingest times and retention follow it",
    )


def _disk(path: Path, bytes_min: int) -> Check:
    found = disk_space(path.parent)
    words = f"{_mib(found.free_bytes)} of {_mib(found.total_bytes)} free below {path.parent}"
    if found.free_bytes < bytes_min:
        advice = f"below disk_free_bytes_min ({_mib(bytes_min)}) it is not ready: make room"
        return Check("disk", FAIL, words, advice)
    if found.free_bytes < max(_FREE_BYTES_LOW, _FREE_SHARE_LOW * found.total_bytes):
        advice = "make room, or set retention and run trimtab prune"
        return Check("disk", WARN, words, advice)
    return Check("disk", OK, words)


def _file_system(path: Path) -> Check:
    kind = file_system(path)
    if kind in _NETWORK_FILE_SYSTEMS:
        advice = (
            "SQLite's locks and syncs do not hold over a network: use a local disk, or Postgres"
        )
        return Check("file system", WARN, kind, advice)
    if kind in _VOLATILE_FILE_SYSTEMS:
        advice = "it lies in memory and is gone after a restart: use a disk"
        return Check("file system", WARN, kind, advice)
    return Check("file system", OK, kind or "unknown here")


def _schema(inspection: Inspection) -> Check:
    try:
        _current(inspection)
    except ConfigurationError as error:
        return Check("database", FAIL, str(error), "check the setting database")
    log = inspection.log()
    words = f"{inspection.backend}, schema {head_revision()}, log {log.log_id}"
    if log.restore_time_ns is not None:
        words += f", restored {_time(log.restore_time_ns)}"
    return Check("database", OK, f"{words}, {log.event_count} events, {log.pruned_count} pruned")


def _durability(inspection: Inspection, durability: str) -> Check:
    server = inspection.server()
    weak = [
        f"{name} is off" for name in ("fsync", "full_page_writes") if server.get(name, "on") != "on"
    ]
    words = ", ".join([durability, *(f"{name} {value}" for name, value in server.items())])
    if durability == "power_loss" and weak:
        advice = f"{' and '.join(weak)}: nothing survives a loss of power; turn it on in Postgres"
        return Check("durability", FAIL, words, advice)
    if durability != "power_loss":
        advice = "a loss of power may take acknowledged events; set durability to power_loss"
        return Check("durability", WARN, words, advice)
    return Check("durability", OK, words)


def _last_event(inspection: Inspection, now_ns: int) -> Check:
    last_ns = inspection.last_ingest_time_ns()
    if not last_ns:
        return Check("last event", OK, "there is none yet")
    words = f"stored {_time(last_ns)}"
    if last_ns > now_ns:
        advice = f"the clock is {(last_ns - now_ns) / 1e9:.1f} s behind it: set it (NTP)"
        return Check("last event", WARN, words, advice)
    return Check("last event", OK, words)


def _time(time_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time_ns // 10**9))


def _mib(count: int) -> str:
    return f"{count / (1 << 20):,.0f} MiB"
