"""The way between ring and disk: its end, and a disk that is slow where nobody may wait."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.client.conftest import NOBODY, Connect, eventually, record, values
from tests.client.test_losses import adds_up
from trimtab_client import EventClass, FakeSidecar, Trimtab
from trimtab_client.ring import Ring
from trimtab_client.spool import Meta, SpoolFolder, folders_in
from trimtab_client.spool_inspection import inspections
from trimtab_client.spooler import Spooler

ALWAYS = {"spool_mode": "always"}


def refused_count(tt: Trimtab, while_alive: threading.Thread) -> int:
    """Records until the thread has ended; how many were refused, from the first refusal on all."""
    refused = 0

    def over() -> bool:
        nonlocal refused
        if tt.metric(name="n") is None:
            refused += 1
        else:
            assert not refused, "accepted after a refusal"
        return not while_alive.is_alive()

    assert eventually(over)
    return refused


def test_nothing_is_accepted_during_and_after_a_close(connected: Connect, spool_path: Path) -> None:
    """The folder's lock is released then: what were written would be in somebody else's file."""
    tt = connected(address=NOBODY, limits=ALWAYS)
    record(tt, 0, 10)
    # Longer than the spool's thread sleeps: it looks at the shut ring while the close waits.
    closing = threading.Thread(target=tt.close, args=(1.5,))
    closing.start()
    refused = refused_count(tt, closing)
    [path] = folders_in(spool_path)
    before = [(file.name, file.stat().st_size) for file in sorted(path.iterdir())]
    for _ in range(10):
        assert tt.metric(name="n") is None
    assert [(file.name, file.stat().st_size) for file in sorted(path.iterdir())] == before
    stats = tt.stats
    assert refused > 1
    assert stats.refused_count["BULK"] == refused + 10
    assert stats.spooled_count == stats.accepted_count == inspections(spool_path)[0].event_count
    assert adds_up(stats)


def test_a_stopped_recorder_accepts_nothing(
    fake: FakeSidecar, connected: Connect, spool_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second owner of its numbers exists; what it has is on disk, and stays what it is."""
    fake.fail_next("ABORTED", "PRODUCER_FENCED", rpc="StreamEvents", count=1)
    tt = connected(limits=ALWAYS)
    record(tt, 0, 1)
    assert eventually(lambda: tt.stats.state == "STOPPED")
    spool, ring = tt.recorder._spool, tt.recorder._ring
    assert spool is not None
    looks: list[bool] = []
    next_step = spool._spooler._next_step

    def noted() -> tuple[bool, float | None]:
        looks.append(True)
        return next_step()

    def has_looked() -> bool:
        with ring.lock:
            ring.spooling.notify_all()
        return len(looks) > 3

    monkeypatch.setattr(spool._spooler, "_next_step", noted)
    assert eventually(has_looked)
    assert tt.metric(name="n") is None
    stats = tt.stats
    assert (stats.pending_count, stats.spool_event_count) == (1, 1)
    assert inspections(spool_path)[0].event_count == 1


def test_a_spooler_that_caught_up_leaves_a_shut_ring_shut(tmp_path: Path) -> None:
    """Also where the disk recovers after the end: what is pending is written, nothing else."""
    ring = Ring(100, 10_000, head_share=0.5)
    folder = SpoolFolder.create(tmp_path, Meta("alpha-1", "p", 1), 1024 * 1024)
    spooler = Spooler(ring, lambda: folder, folder=folder, writes_always=True)
    ring.write = lambda _: False
    assert ring.offer(b"first", EventClass.RESERVED)
    with ring.lock:
        ring.shut()
        assert spooler._next_step() == (True, 0.0)
    spooler._spill()
    assert not ring.offer(b"second", EventClass.RESERVED)
    with ring.lock:
        assert ring.is_written
        assert spooler._next_step()[0] is False
    assert folder.next_number == 2
    assert spooler.close(1.0) == 1


def test_nobody_writes_to_a_folder_that_was_let_go(tmp_path: Path) -> None:
    """Neither events nor who wrote them: another process may hold it by now."""
    folder = SpoolFolder.create(tmp_path, Meta("alpha-1", "p", 1), 1024 * 1024)
    folder.append_one(b"mine")
    folder.release()
    with pytest.raises(OSError, match="let go"):
        folder.append_one(b"late")
    with pytest.raises(OSError, match="let go"):
        folder.replace_meta(Meta("alpha-1", "q", 1))
    assert folder.next_number == 2


def test_a_new_producer_id_makes_nobody_wait_for_the_disk(
    fake: FakeSidecar, connected: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recording goes on while the folder's meta is written; the server hears of the id after it."""
    fake.stop()
    tt = connected(limits={"spool_mode": "overflow", "events_max": 1_000})
    record(tt, 0, 600)
    assert eventually(lambda: tt.stats.spool_event_count > 0)
    first_id = tt.recorder.producer_id
    hanging, goes_on = threading.Event(), threading.Event()
    replace_meta = SpoolFolder.replace_meta

    def hang(folder: SpoolFolder, meta: Meta) -> None:
        hanging.set()
        goes_on.wait()
        replace_meta(folder, meta)

    monkeypatch.setattr(SpoolFolder, "replace_meta", hang)
    fake.fail_next("ALREADY_EXISTS", "SEQUENCE_REUSED", rpc="StreamEvents", count=3)
    fake.start()
    assert hanging.wait(20)
    record(tt, 600, 1)
    assert tt.stats.pending_count == 601
    new_id = tt.recorder.producer_id
    assert new_id != first_id
    assert new_id not in fake.producer_ids
    goes_on.set()
    assert tt.flush(30).durable
    assert values(fake) == list(range(601))


def test_a_folder_made_after_a_new_producer_id_is_of_that_one(
    fake: FakeSidecar, connected: Connect, spool_path: Path
) -> None:
    """Its numbers on disk and on the wire are told apart by the offset."""
    tt = connected(limits={"spool_mode": "overflow"})
    record(tt, 0, 5)
    assert tt.flush().durable
    fake.fail_next("ALREADY_EXISTS", "SEQUENCE_REUSED", rpc="StreamEvents", count=3)
    fake.cut_streams()
    first_id = tt.recorder.producer_id
    record(tt, 5, 1)
    assert eventually(lambda: tt.recorder.producer_id != first_id)
    assert tt.flush(30).durable
    fake.stop()
    record(tt, 6, 2)
    assert tt.close(0.0).spooled_count == 2
    [found] = inspections(spool_path)
    assert found.producer_id == tt.recorder.producer_id
    assert (found.first_seq, found.last_seq) == (2, 3)
