"""A disk that refuses: the caller is told to come back, nothing is half stored, nothing is lost."""

import random
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from tests.chaos.disk import Disk
from tests.conftest import Sidecar
from tests.faults.checker import Record, Sent, faults
from tests.faults.driver import CALL_S_MAX, Load, open_channel
from tests.faults.events import body, event
from tests.faults.process import full_disk
from tests.faults.readers import filed_log, listed_log
from tests.faults.waiting import until
from tests.rpc.statuses import answer_of
from trimtab.v1 import event_pb2
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

# What a refused batch leaves of a file, in single events of 10 kB.
SMALL_ONES_MAX = 50
REFUSED_S_MAX = 60.0


def events(count: int, seed: int, record: Record) -> list[event_pb2.Event]:
    """Large events, noted as sent."""
    rng = random.Random(seed)
    made = [event(rng, "disk", padding=10_000) for _ in range(count)]
    for one in made:
        record.note_sent(one.event_id, Sent(body(one)))
    return made


@pytest.mark.parametrize("spare_bytes", [0, 50_000])
def test_a_full_disk_refuses_whole_calls_and_the_server_recovers(
    sidecar: Callable[..., Sidecar], spare_bytes: int
) -> None:
    """UNAVAILABLE/STORE_UNAVAILABLE with RetryInfo while it is full; reading goes on; afterwards
    the same call stores everything once."""
    server = sidecar()
    record = Record()
    with open_channel(server.address) as channel:
        stub = EventServiceStub(channel)
        first, second = events(40, 1, record), events(40, 2, record)
        stub.RecordEvents(pb.RecordEventsRequest(events=first), timeout=CALL_S_MAX)
        record.note_acknowledged(one.event_id for one in first)
        request = pb.RecordEventsRequest(events=second)
        with full_disk(server, spare_bytes):
            for _ in range(3):
                with pytest.raises(grpc.RpcError) as refusal:
                    stub.RecordEvents(request, timeout=CALL_S_MAX)
                answer = answer_of(refusal.value)
                assert answer.code is grpc.StatusCode.UNAVAILABLE
                assert answer.reason == "STORE_UNAVAILABLE"
                assert answer.retry_after_s is not None
            assert {entry.event_id for entry in listed_log(server.address)} == {
                one.event_id for one in first
            }
        results = stub.RecordEvents(request, timeout=CALL_S_MAX).results
        assert [result.recorded.duplicate for result in results] == [False] * 40
        record.note_acknowledged(one.event_id for one in second)
    assert server.terminate() == 0
    assert faults(filed_log(server.database), record) == []


def test_streams_outlive_a_full_disk(sidecar: Callable[..., Sidecar]) -> None:
    """A stream whose commit is refused ends as UNAVAILABLE; resumed, it stores each event once."""
    server = sidecar()
    with Load(server.address, seed=4, producers=2, unary=1) as load:
        until(lambda: load.record.acknowledged_count > 200, "a running load")
        with full_disk(server):
            until(
                lambda: all(
                    any("refused" in ending.details for ending in caller.endings)
                    for caller in load.callers
                ),
                "every caller to be refused",
            )
        before = load.record.acknowledged_count
        until(lambda: load.record.acknowledged_count > before + 200, "recording to go on")
        load.drain()
    assert load.protocol_faults == []
    assert {ending.code for ending in load.endings} <= {
        grpc.StatusCode.OK,
        grpc.StatusCode.UNAVAILABLE,
    }
    assert server.terminate() == 0
    assert faults(filed_log(server.database), load.record) == []


def test_a_server_that_is_killed_on_a_full_disk_starts_again(
    sidecar: Callable[..., Sidecar],
) -> None:
    """Whatever the refused commits left in the files, a restart finds a whole log."""
    server = sidecar()
    with Load(server.address, seed=5, producers=2, unary=1) as load:
        until(lambda: load.record.acknowledged_count > 200, "a running load")
        with full_disk(server, spare_bytes=20_000):
            until(lambda: any("refused" in ending.details for ending in load.endings), "a refusal")
            server.kill()
        server.restart()
        load.drain()
    assert load.protocol_faults == []
    assert server.terminate() == 0
    assert faults(filed_log(server.database), load.record) == []


def was_refused(load: Load) -> bool:
    """Whether a caller was refused. Not all at once need be: small calls may still fit where a
    large one did not."""
    return any(
        any("the database" in ending.details for ending in caller.endings)
        for caller in load.callers
    )


def refusal_of_one(address: str, record: Record, seed: int) -> None:
    """Holds that one more event is refused as the contract says: come back, and when. A batch that
    was refused half-way leaves room in its file: a few small ones may still fit."""
    refused: grpc.RpcError | None = None
    with open_channel(address) as channel:
        stub = EventServiceStub(channel)
        for number in range(SMALL_ONES_MAX):
            (one,) = events(1, seed + number, record)
            request = pb.RecordEventRequest(event=one)
            try:
                # A lock is waited for, by each call that stands in the queue before this one.
                stub.RecordEvent(request, timeout=4 * CALL_S_MAX, wait_for_ready=True)
            except grpc.RpcError as error:
                refused = error
                break
            record.note_acknowledged([one.event_id])
    assert refused is not None
    answer = answer_of(refused)
    assert answer.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert answer.reason in {"STORE_UNAVAILABLE", "OVERLOADED"}
    assert answer.retry_after_s is not None


def missing_in_list(address: str, record: Record) -> set[str]:
    """What was stored and acknowledged by now, and a reader does not find."""
    with record.lock:
        stored = {one for one in record.acknowledged if record.sent[one].valid}
    return stored - {entry.event_id for entry in listed_log(address)}


def goes_on(load: Load) -> None:
    """Waits until recording goes on by itself."""
    before = load.record.acknowledged_count
    until(lambda: load.record.acknowledged_count > before + 200, "recording to go on")


def held(server: Sidecar, load: Load) -> None:
    """Holds that callers were told nothing but to come back, and that nothing was lost."""
    assert load.protocol_faults == []
    assert {ending.code for ending in load.endings} <= {
        *(grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
    }
    assert server.terminate() == 0
    assert faults(filed_log(server.file), load.record) == []


def fill_up(disk: Disk) -> None:
    """No space is left: ENOSPC."""
    disk.fill_up()


def fill_up_soon(disk: Disk) -> None:
    """The space ends in the middle of a commit."""
    disk.fill_up(50_000)


def fail_writes(disk: Disk) -> None:
    """Every write fails: EIO."""
    disk.fail_writes()


def fail_syncs(disk: Disk) -> None:
    """Writes succeed, every sync fails: EIO."""
    disk.fail_syncs()


@pytest.mark.parametrize("fail", [fill_up, fill_up_soon, fail_writes, fail_syncs])
def test_a_failing_disk_under_load_refuses_and_then_goes_on_by_itself(
    sidecar: Callable[..., Sidecar], disk_path: Path, fail: Callable[[Disk], None]
) -> None:
    """Callers are told to come back, reading goes on, and when the disk works again so does
    recording, without a restart; each acknowledged event is stored once."""
    disk = Disk(disk_path / "disk.db")
    server = sidecar(database=disk_path / "disk.db", environment=disk.environment)
    with Load(server.address, secrets.randbits(32), producers=2, unary=2) as load:
        until(lambda: load.record.acknowledged_count > 200, "a running load")
        fail(disk)
        until(lambda: was_refused(load), "a caller to be refused", REFUSED_S_MAX)
        if fail is fill_up_soon:
            # What did not fit were batches; one small event might.
            fill_up(disk)
        refusal_of_one(server.address, load.record, seed=9)
        assert missing_in_list(server.address, load.record) == set()
        disk.repair()
        goes_on(load)
        load.drain()
    assert disk.refused > 0
    held(server, load)


def disturb(rng: random.Random, server: Sidecar, disk: Disk, load: Load) -> None:
    """One disturbance: a disk that fills up, writes or syncs that fail, sometimes a kill too."""
    before = disk.refused
    kind = rng.choice(("space", "writes", "syncs"))
    if kind == "space":
        disk.fill_up(rng.randrange(200_000))
    elif kind == "writes":
        disk.fail_writes(rng.randint(1, 20), after=rng.randrange(50))
    else:
        disk.fail_syncs(rng.randint(1, 5), after=rng.randrange(10))
    until(lambda: disk.refused > before, f"a refusal of {kind}")
    if rng.random() < 0.3:
        server.kill()
        disk.repair()
        server.restart()
    disk.repair()
    goes_on(load)


def disturbed(start: Callable[..., Sidecar], folder: Path, rounds: int, seed: int) -> None:
    """Disturbs a disk under load, by chance; then judges the log by the record."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    disk = Disk(folder / "disk.db")
    server = start(database=folder / "disk.db", environment=disk.environment)
    with Load(server.address, seed, producers=2, unary=2) as load:
        for _ in range(rounds):
            disturb(rng, server, disk, load)
        load.drain()
    held(server, load)


def test_a_disk_that_fails_at_random_moments_loses_nothing(
    sidecar: Callable[..., Sidecar], disk_path: Path
) -> None:
    """Five disturbances by a seed, some followed by a kill: each acknowledged event is stored
    once."""
    disturbed(sidecar, disk_path, rounds=5, seed=secrets.randbits(32))


@pytest.mark.chaos
@pytest.mark.timeout(1_800)
def test_a_disk_that_fails_two_hundred_times_loses_nothing(
    sidecar: Callable[..., Sidecar], disk_path: Path
) -> None:
    """The same promise over many more."""
    disturbed(sidecar, disk_path, rounds=200, seed=secrets.randbits(32))


_HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
database.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
database.execute("ROLLBACK")
"""


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process holds the database's write lock: a shell, a copy, a stranger's script."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            yield
        finally:
            other.communicate(timeout=CALL_S_MAX)


def test_a_database_locked_by_another_process_refuses_and_then_goes_on_by_itself(
    sidecar: Callable[..., Sidecar],
) -> None:
    """While a stranger holds the lock callers are told to come back and reading goes on; when it
    lets go so does recording."""
    server = sidecar()
    with Load(server.address, secrets.randbits(32), producers=1, unary=1) as load:
        until(lambda: load.record.acknowledged_count > 200, "a running load")
        with locked(server.file):
            assert missing_in_list(server.address, load.record) == set()
            refusal_of_one(server.address, load.record, seed=9)
        goes_on(load)
        load.drain()
    held(server, load)


def test_a_short_lock_is_waited_for(sidecar: Callable[..., Sidecar]) -> None:
    """A call that meets a lock for a moment is answered when the lock is gone, not refused."""
    server = sidecar()
    record = Record()
    (one,) = events(1, 1, record)
    with open_channel(server.address) as channel:
        with locked(server.file):
            request = pb.RecordEventRequest(event=one)
            waiting = EventServiceStub(channel).RecordEvent.future(
                request, timeout=CALL_S_MAX, wait_for_ready=True
            )
            # Calls of one connection are read in order: it has come when this one is answered.
            EventServiceStub(channel).GetStats(
                pb.GetStatsRequest(), timeout=CALL_S_MAX, wait_for_ready=True
            )
            assert not waiting.done()
        assert waiting.result().sequence == 1
