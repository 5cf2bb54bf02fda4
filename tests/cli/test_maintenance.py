"""`trimtab backup | restore | prune | doctor` beside a real sidecar under load."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner, Result

from tests.conftest import Sidecar
from tests.faults.checker import faults
from tests.faults.driver import Load, open_channel
from tests.faults.readers import filed_log
from tests.faults.waiting import until
from tests.rpc.samples import SOURCE, an_event, new_id
from tests.rpc.statuses import refusal, refused
from trimtab.v1 import admin_service_pb2, event_pb2
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.admin_service_pb2_grpc import AdminServiceStub
from trimtab.v1.event_service_pb2_grpc import EventServiceStub
from trimtab_server import maintenance
from trimtab_server.cli import app
from trimtab_server.store import backup
from trimtab_server.store.database import Database, open_database

Code = grpc.StatusCode
_PRUNE_ALL = "MARKET_TICK=1e-9"


def _run(*words: object, code: int = 0) -> Result:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done


def _checks(database: object, *flags: str, code: int = 0) -> dict[str, dict[str, str]]:
    """What the doctor says, by check."""
    done = _run("doctor", "--json", "--database", database, *flags, code=code)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {check["name"]: check for check in found}


@pytest.fixture
def connected() -> Iterator[Callable[[Sidecar], grpc.Channel]]:
    """Channels to sidecars, closed after the test."""
    channels: list[grpc.Channel] = []

    def connect(server: Sidecar) -> grpc.Channel:
        channels.append(open_channel(server.address))
        return channels[-1]

    yield connect
    for channel in channels:
        channel.close()


def _info(channel: grpc.Channel) -> admin_service_pb2.GetServerInfoResponse:
    return AdminServiceStub(channel).GetServerInfo(
        admin_service_pb2.GetServerInfoRequest(), timeout=20
    )


def _record(channel: grpc.Channel, *events: event_pb2.Event) -> list[Any]:
    answer = EventServiceStub(channel).RecordEvents(
        pb.RecordEventsRequest(events=events), timeout=20
    )
    return [result.recorded for result in answer.results]


def _watched(channel: grpc.Channel, through: int, **request: Any) -> list[int]:
    """The sequences that a watcher sees up to `through`."""
    stream = EventServiceStub(channel).WatchEvents(pb.WatchEventsRequest(**request), timeout=30)
    found: list[int] = []
    for page in stream:
        found += [event.sequence for event in page.events]
        if page.through_sequence >= through:
            break
    stream.cancel()
    return found


class _Producer:
    """One raw stream: sends one message after the other, and reads what is answered."""

    def __init__(self, channel: grpc.Channel, producer_id: str) -> None:
        opening = pb.Open(producer_id=producer_id, producer_epoch=1, source=SOURCE)
        self._opening = pb.StreamEventsRequest(open=opening)
        self._stub = EventServiceStub(channel)

    def call(self, *requests: pb.StreamEventsRequest) -> list[pb.StreamEventsResponse]:
        """Every answer to these requests behind Open."""
        return list(self._stub.StreamEvents(iter([self._opening, *requests]), timeout=20))


def _batch(first_seq: int, *events: event_pb2.Event) -> pb.StreamEventsRequest:
    return pb.StreamEventsRequest(batch=pb.Batch(first_seq=first_seq, events=events))


def test_a_backup_under_full_load_restores_and_passes_the_doctor(
    sidecar: Callable[..., Sidecar], disk_path: Path
) -> None:
    """Made while producers and unary callers record, it is a log like any: a prefix of the one
    served, whole, served again under a new log_id; and nobody who recorded was disturbed."""
    server = sidecar()
    copy, there = disk_path / "copy.db", disk_path / "there.db"
    with Load(server.address, seed=11) as load:
        until(lambda: load.record.acknowledged_count > 300, "load")
        done = _run("backup", copy, "--database", server.database)
        checks = _checks(server.database)
        seen = load.record.acknowledged_count
        until(lambda: load.record.acknowledged_count > seen + 50, "load behind the backup")
        load.drain()
    assert load.protocol_faults == []
    assert not [ending for ending in load.endings if ending.code is not Code.OK]
    assert {check["state"] for check in checks.values()} <= {"OK", "WARN"}
    assert checks["integrity"]["state"] == checks["counts"]["state"] == "OK"
    assert server.terminate() == 0
    served = filed_log(server.file)
    assert faults(served, load.record) == []
    _run("restore", copy, "--database", there)
    kept = filed_log(there)
    assert len(kept) >= 300
    assert kept == served[: len(kept)]
    assert f"{len(kept):,} events" in done.stdout
    checks = _checks(there, "--full")
    assert {check["state"] for check in checks.values()} <= {"OK", "WARN"}
    assert "restored" in checks["database"]["found"]
    assert sidecar(database=there).terminate() == 0


def test_a_restored_log_refuses_old_positions_and_numbers(
    sidecar: Callable[..., Sidecar],
    connected: Callable[[Sidecar], grpc.Channel],
    disk_path: Path,
) -> None:
    """Watchers of the former log are told LOG_CHANGED; a producer learns where it stands, a number
    beyond that is a gap, and what it can no longer send it declares lost."""
    server = sidecar()
    channel = connected(server)
    copy, producer_id = disk_path / "copy.db", new_id()
    producer = _Producer(channel, producer_id)
    first = [an_event() for _ in range(4)]
    producer.call(_batch(1, *first))
    _run("backup", copy, "--database", server.database)
    producer.call(_batch(5, *(an_event() for _ in range(3))))
    before = _info(channel)
    assert before.last_sequence == 7
    assert server.terminate() == 0
    done = _run("restore", copy, "--database", server.database)
    assert "before-restore-1" in done.stdout
    channel = connected(server.restart())
    after = _info(channel)
    assert after.log_id != before.log_id
    assert after.last_sequence == 4
    for position in (2, 7):
        with refused(Code.ABORTED, "LOG_CHANGED"):
            _watched(channel, 7, log_id=before.log_id, after_sequence=position)
    producer = _Producer(channel, producer_id)
    with refused(Code.OUT_OF_RANGE, "SEQUENCE_GAP", "batch.first_seq"):
        producer.call(_batch(8, an_event()))
    lost = pb.Lost(first_seq=5, last_seq=7, reason=event_pb2.LossReason.LOSS_REASON_SERVER_RESTORED)
    answers = producer.call(
        _batch(1, *first), pb.StreamEventsRequest(lost=lost), _batch(8, an_event())
    )
    assert answers[0].opened.next_expected_seq == 5
    assert answers[0].opened.log_id == after.log_id
    acks = [answer.ack for answer in answers[1:] if answer.HasField("ack")]
    assert acks[-1].durable_through_seq == 8
    assert sum(ack.duplicate_count for ack in acks) == 4
    assert _watched(channel, 6, log_id=after.log_id) == [1, 2, 3, 4, 5, 6]


def test_nothing_is_restored_under_a_serving_sidecar(
    sidecar: Callable[..., Sidecar], disk_path: Path
) -> None:
    """One line, exit code 2, and the sidecar goes on with its log."""
    server = sidecar()
    _run("backup", disk_path / "copy.db", "--database", server.database)
    done = _run("restore", disk_path / "copy.db", "--database", server.database, code=2)
    assert "another sidecar serves" in done.stderr
    done = _run("restore", "--database", server.database, code=2)
    assert "another sidecar serves" in done.stderr
    assert server.terminate() == 0


def test_pruning_beside_a_sidecar_is_told_to_its_readers(
    sidecar: Callable[..., Sidecar], connected: Callable[[Sidecar], grpc.Channel]
) -> None:
    """From the beginning a watcher gets what is kept; one that resumes below the limit of a kind
    that it wants is refused with the first sequence from which nothing is missing; others go on."""
    server = sidecar()
    channel = connected(server)
    batch = [an_event("market_tick" if i % 2 else "signal") for i in range(10)]
    _record(channel, *batch)
    log_id = _info(channel).log_id
    dry = _run("prune", "--dry-run", "--retention", _PRUNE_ALL, "--database", server.database)
    assert dry.stdout == "MARKET_TICK: 5 events would be pruned\n"
    assert _watched(channel, 10) == list(range(1, 11))
    done = _run("prune", "--retention", _PRUNE_ALL, "--database", server.database)
    assert done.stdout.startswith("MARKET_TICK: 5 events pruned, ")
    assert _watched(channel, 10) == [1, 3, 5, 7, 9]
    assert _watched(channel, 10, log_id=log_id, after_sequence=10, from_now=False) == []
    signals = pb.EventFilter(kinds=[event_pb2.EVENT_KIND_SIGNAL])
    assert _watched(channel, 10, log_id=log_id, after_sequence=4, filter=signals) == [5, 7, 9]
    told = refusal(lambda: _watched(channel, 10, log_id=log_id, after_sequence=4))
    assert (told.code, told.reason) == (Code.OUT_OF_RANGE, "SEQUENCE_PRUNED")
    assert told.metadata == {"first_sequence": "11"}
    (again, new) = _record(channel, batch[1], an_event("market_tick"))
    assert (again.duplicate, again.sequence, new.sequence) == (True, 2, 11)
    with refused(Code.NOT_FOUND, "NOT_FOUND", "event_id"):
        EventServiceStub(channel).GetEvent(
            pb.GetEventRequest(event_id=batch[1].event_id), timeout=20
        )
    stats = EventServiceStub(channel).GetStats(pb.GetStatsRequest(), timeout=20)
    assert stats.event_count == 6
    assert _checks(server.database, "--full")["counts"]["state"] == "OK"


def test_a_sidecar_prunes_by_itself(
    sidecar: Callable[..., Sidecar], connected: Callable[[Sidecar], grpc.Channel]
) -> None:
    """With the setting it starts at once, and tells the first sequence that is kept."""
    server = sidecar()
    _record(connected(server), *(an_event("market_tick") for _ in range(30)), an_event())
    assert server.terminate() == 0
    again = sidecar("--retention", _PRUNE_ALL, database=server.database)
    channel = connected(again)
    until(lambda: _info(channel).first_sequence == 31, "pruning")
    assert again.terminate() == 0


def test_a_ledger_is_not_rebuilt_from_a_log_that_was_pruned(
    sidecar: Callable[..., Sidecar], connected: Callable[[Sidecar], grpc.Channel]
) -> None:
    """Exit code 2 with what is missing and what it would cost; forced, it says what is gone."""
    server = sidecar()
    _record(connected(server), *(an_event("market_tick") for _ in range(3)), an_event())
    rebuild = ("rebuild-ledger", "--database", server.database)
    assert _run(*rebuild).stdout.startswith("the ledger is empty")
    _run("prune", "--retention", _PRUNE_ALL, "--database", server.database)
    refused_words = _run(*rebuild, code=2).stderr
    assert "retention has pruned 3 MARKET_TICK" in refused_words
    assert "--force" in refused_words
    assert "3 MARKET_TICK: what came of them is gone" in _run(*rebuild, "--force").stdout
    assert server.terminate() == 0


@pytest.mark.parametrize("command", ["serve", "config", "prune"])
def test_a_wrong_retention_is_one_line(command: str, tmp_path: Path) -> None:
    """Exit code 2, the setting and the kind, before anything is opened."""
    flags = [] if command == "config" else ["--database", tmp_path / "x.db"]
    done = _run(command, "--retention", "MARKET_TICK=-1", *flags, code=2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("trimtab: ")
    assert "retention: MARKET_TICK=-1" in line
    assert list(tmp_path.iterdir()) == []


def test_a_backup_tells_what_it_refuses(tmp_path: Path) -> None:
    """Postgres has its own tools; a log that is not there is not made."""
    done = _run("backup", tmp_path / "c", "--database", "postgresql://localhost/x", code=2)
    assert "pg_basebackup" in done.stderr
    done = _run("backup", tmp_path / "c", "--database", tmp_path / "none.db", code=2)
    assert "is not there" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_says_what_to_do(sidecar: Callable[..., Sidecar], tmp_path: Path) -> None:
    """Exit code 1 with the check that failed and advice; a table without --json."""
    server = sidecar()
    assert server.terminate() == 0
    with sqlite3.connect(server.file) as connection:
        connection.execute("UPDATE log SET last_sequence = 3")
    connection.close()
    checks = _checks(server.database, code=1)
    assert checks["sequences"]["state"] == "FAIL"
    assert "trimtab restore" in checks["sequences"]["advice"]
    assert checks["integrity"]["state"] == "OK"
    table = _run("doctor", "--database", server.database, code=1).stdout
    assert "FAIL" in table
    assert "→" in table
    assert _checks(tmp_path / "none.db", code=1)["database"]["state"] == "FAIL"


def test_the_doctor_looks_at_machine_and_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong setting, an unknown variable, a wrong clock and a full disk each have their check."""
    database = tmp_path / "x.db"
    monkeypatch.setenv("TRIMTAB_NO_SUCH", "1")
    assert _checks(database, code=1)["settings"]["state"] == "WARN"
    monkeypatch.setenv("TRIMTAB_DISK_FREE_BYTES_MIN", str(1 << 60))
    assert _checks(database, code=1)["disk"]["state"] == "FAIL"
    monkeypatch.setattr("time.time_ns", lambda: 0)
    assert _checks(database, code=1)["clock"]["state"] == "FAIL"
    monkeypatch.setenv("TRIMTAB_RETENTION", "X=1")
    checks = _checks(database, code=1)
    assert list(checks) == ["settings"]
    assert "'X' is no kind" in checks["settings"]["found"]


def test_postgres_is_maintained_too(
    sidecar: Callable[..., Sidecar],
    connected: Callable[[Sidecar], grpc.Channel],
    postgres_url: str,
) -> None:
    """Doctor and prune beside a sidecar; a new log_id only when none is connected any more."""
    server = sidecar(database=postgres_url)
    channel = connected(server)
    _record(channel, *(an_event("market_tick") for _ in range(3)), an_event())
    before = _info(channel)
    done = _run("prune", "--retention", _PRUNE_ALL, "--database", postgres_url)
    assert done.stdout.startswith("MARKET_TICK: 3 events pruned, ")
    assert _watched(channel, 4) == [4]
    checks = _checks(postgres_url, "--full")
    assert {check["state"] for check in checks.values()} == {"OK"}, checks
    assert "fsync on" in checks["durability"]["found"]
    done = _run("restore", "--database", postgres_url, code=2)
    assert "stop them" in done.stderr
    channel.close()
    assert server.terminate() == 0
    _run("restore", "--database", postgres_url)
    after = _info(connected(server.restart()))
    assert after.log_id != before.log_id
    assert (after.first_sequence, after.last_sequence) == (4, 4)
    with refused(Code.ABORTED, "LOG_CHANGED"):
        _watched(connected(server), 4, log_id=before.log_id, after_sequence=4)


def test_a_file_system_that_refuses_is_one_line(
    sidecar: Callable[..., Sidecar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1: it is no mistake of who asked."""
    server = sidecar()

    def refuse(_fd: int) -> None:
        raise OSError("no room")

    monkeypatch.setattr("os.fsync", refuse)
    done = _run("backup", tmp_path / "copy.db", "--database", server.database, code=1)
    assert done.stderr == "trimtab: the file system refused: no room\n"
    assert server.terminate() == 0


def test_postgres_is_written_to_as_the_settings_say(
    sidecar: Callable[..., Sidecar], postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their durability, and with a clock that cuts a server that does not answer."""
    assert sidecar(database=postgres_url).terminate() == 0
    opened = []

    def spy(url: str, durability: str, *limits: Any) -> Database:
        opened.append((durability, limits[-1]))
        return open_database(url, durability, *limits)

    for module in (maintenance, backup):
        monkeypatch.setattr(module, "open_database", spy)
    monkeypatch.setenv("TRIMTAB_DURABILITY", "process_crash")
    _run("prune", "--retention", _PRUNE_ALL, "--database", postgres_url)
    _run("restore", "--database", postgres_url)
    assert opened == [("process_crash", time.monotonic)] * 2
