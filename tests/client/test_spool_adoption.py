"""What an engine left in its spool, the next one sends: all of it, once, whatever happened."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.client.conftest import (
    NOBODY,
    Connect,
    Engine,
    Left,
    adopted,
    eventually,
    losses,
    record,
    record_starts,
)
from trimtab.v1 import event_pb2
from trimtab_client import FakeSidecar
from trimtab_client.fake_log import Producer
from trimtab_client.spool import Meta, SpoolFolder, folders_in, is_held, read_meta
from trimtab_client.spool_frames import HEADER_BYTES
from trimtab_client.spool_segments import segments_in
from trimtab_client.spooler import Spooler
from trimtab_client.stream import EventStream

CAP = 256 * 1024 * 1024


@pytest.mark.parametrize("mode", ["overflow", "always"])
def test_the_next_start_sends_what_an_engine_could_not(
    fake: FakeSidecar, left: Left, engine: Engine, spool_path: Path, mode: str
) -> None:
    """The sidecar was away for the whole run: everything is stored once, in order, and the folder
    is gone."""
    path = left(0, 1_500, mode)
    meta = read_meta(path)
    assert meta is not None
    tt = engine()
    assert eventually(lambda: not path.exists())
    assert adopted(fake) == list(range(1_500))
    stats = tt.stats
    assert (stats.adopted_count, stats.damaged_count) == (1_500, 0)
    assert (stats.accepted_count, stats.lost_count) == (1, 0)
    assert meta.producer_id in fake.producer_ids
    assert fake.log.producer(meta.producer_id).epoch == 2
    assert list(spool_path.iterdir()) == []


def test_a_close_right_after_the_start_still_replays(
    fake: FakeSidecar, left: Left, engine: Engine, spool_path: Path
) -> None:
    """A short run uses the time of its close."""
    left(0, 1_000)
    assert engine().close(20).durable
    assert adopted(fake) == list(range(1_000))
    assert folders_in(spool_path) == []


def test_several_spools_are_replayed_oldest_first(
    fake: FakeSidecar, left: Left, engine: Engine, spool_path: Path
) -> None:
    """Three runs without a sidecar; another engine's spool stays its own."""
    other = left(5_000, 10, source="alpha-2")
    for start in (0, 100, 200):
        left(start, 100)
    assert engine().close(20).durable
    assert adopted(fake) == list(range(300))
    assert folders_in(spool_path) == [other]


def test_a_spool_that_a_live_engine_holds_is_left_alone(
    fake: FakeSidecar, connected: Connect, engine: Engine, spool_path: Path
) -> None:
    """Two engines of one source: each uses its own folder, nothing is sent twice."""
    first = connected(address=NOBODY, limits={"spool_mode": "always"})
    record(first, 0, 100)
    [held] = folders_in(spool_path)
    second = engine("always")
    assert second.flush().durable
    assert second.close(5).durable
    assert is_held(held)
    assert adopted(fake) == []
    assert first.close(0.0).spooled_count == 100
    assert engine().close(20).durable
    assert adopted(fake) == list(range(100))
    assert fake.log.duplicate_count == 0


def test_what_the_server_has_already_is_not_sent_again(
    fake: FakeSidecar, connected: Connect, engine: Engine
) -> None:
    """It says where to go on."""
    tt = connected(limits={"spool_mode": "always"})
    record(tt, 0, 100)
    assert tt.flush().durable
    fake.stop()
    record(tt, 100, 50)
    assert tt.close(0.0).spooled_count == 50
    fake.start()
    fake.batch_sizes.clear()
    following = engine()
    assert following.close(20).durable
    assert adopted(fake) == list(range(150))
    assert sum(fake.batch_sizes) == 51
    assert fake.log.duplicate_count == 0
    assert following.stats.adopted_count == 50


def test_a_server_that_has_more_than_the_disk_gets_no_event_twice(
    fake: FakeSidecar, left: Left, engine: Engine, spool_path: Path
) -> None:
    """As after a power loss of the engine's machine: what is on disk goes out under a new producer
    id, and the server finds by the events' own ids that it has them."""
    path = left(0, 50)
    copy = spool_path.parent / "copy"
    shutil.copytree(path, copy)
    assert engine().close(20).durable
    segment = segments_in(copy)[0].path
    segment.write_bytes(segment.read_bytes()[: segment.stat().st_size // 2])
    shutil.copytree(copy, path)
    again = engine()
    assert again.close(20).durable
    assert adopted(fake) == list(range(50))
    assert folders_in(spool_path) == []
    assert losses(fake) == []


def test_an_older_copy_of_a_spool_is_fenced_once_and_then_sent(
    fake: FakeSidecar, left: Left, engine: Engine, spool_path: Path
) -> None:
    """Its meta knows an older epoch than the server; whoever holds the lock raises above it."""
    path = left(0, 50)
    meta = read_meta(path)
    assert meta is not None
    fake.log.producer(meta.producer_id).epoch = 7
    assert engine().close(20).durable
    assert adopted(fake) == list(range(50))
    assert fake.log.producer(meta.producer_id).epoch == 8
    assert folders_in(spool_path) == []


def test_a_spool_that_another_owner_keeps_fencing_stays_where_it_is(
    fake: FakeSidecar, left: Left, engine: Engine,
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It is kept and reported, not fought over."""
    path = left(0, 50)
    meta = read_meta(path)
    assert meta is not None
    known = fake.log.producer

    def rising(producer_id: str) -> Producer:
        producer = known(producer_id)
        if producer_id == meta.producer_id:
            producer.epoch += 10
        return producer

    monkeypatch.setattr(fake.log, "producer", rising)
    tt = engine()
    assert eventually(lambda: [m for m in caplog.messages if "50 left" in m])
    assert tt.close(5).durable
    assert path.exists()
    assert not is_held(path)
    assert adopted(fake) == []


def test_a_restored_server_is_told_what_is_missing(
    fake: FakeSidecar, connected: Connect, engine: Engine
) -> None:
    """Numbers whose segments are deleted can not be sent again; the rest is."""
    tt = connected(limits={"spool_mode": "overflow", "events_max": 100})
    record(tt, 0, 60)
    assert tt.flush().durable
    fake.stop()
    record(tt, 60, 40)
    assert tt.close(0.0).spooled_count == 40
    with fake.log.changed:
        fake.log.restore(30)
    fake.start()
    assert engine().close(20).durable
    assert adopted(fake) == [*range(30), *range(60, 100)]
    assert losses(fake) == [(31, 60, event_pb2.LOSS_REASON_SERVER_RESTORED)]


@pytest.mark.parametrize("place", ["header", "event"])
def test_a_flipped_byte_costs_one_event_that_is_declared_lost(
    fake: FakeSidecar, left: Left, engine: Engine, spool_path: Path,
    caplog: pytest.LogCaptureFixture, place: str,
) -> None:  # fmt: skip
    """The events before and behind it are stored, in order; log, stats and server tell of it."""
    path = left(0, 1_000)
    segment = segments_in(path)[0].path
    data = bytearray(segment.read_bytes())
    data[record_starts(data)[500] + (5 if place == "header" else HEADER_BYTES + 5)] ^= 0x40
    segment.write_bytes(data)
    tt = engine()
    assert tt.close(20).durable
    assert adopted(fake) == [n for n in range(1_000) if n != 500]
    assert losses(fake) == [(501, 501, event_pb2.LOSS_REASON_SPOOL_DAMAGED)]
    assert (tt.stats.damaged_count, tt.stats.adopted_count) == (1, 1_000)
    assert len([m for m in caplog.messages if "1 event(s), declared lost" in m]) == 1
    assert folders_in(spool_path) == []


def test_a_hole_of_many_numbers_is_one_loss(fake: FakeSidecar, left: Left, engine: Engine) -> None:
    """A block of zeros in the middle of a file."""
    path = left(0, 1_000)
    segment = segments_in(path)[0].path
    data = bytearray(segment.read_bytes())
    starts = record_starts(data)
    data[starts[100] : starts[700]] = bytes(starts[700] - starts[100])
    segment.write_bytes(data)
    assert engine().close(20).durable
    assert adopted(fake) == [*range(100), *range(700, 1_000)]
    assert losses(fake) == [(101, 700, event_pb2.LOSS_REASON_SPOOL_DAMAGED)]


def test_a_torn_last_record_is_ignored_and_reported(
    fake: FakeSidecar, left: Left, engine: Engine, spool_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """It was never accepted, so it is no loss."""
    path = left(0, 100)
    segment = segments_in(path)[0].path
    segment.write_bytes(segment.read_bytes()[:-10])
    assert engine().close(20).durable
    assert adopted(fake) == list(range(99))
    assert losses(fake) == []
    assert len([m for m in caplog.messages if "was cut off" in m]) == 1
    assert folders_in(spool_path) == []


def test_a_loss_is_declared_once_though_the_stream_breaks_before_its_answer(
    fake: FakeSidecar, left: Left, engine: Engine
) -> None:
    """What was settled of a folder is not told again by the one who goes on."""
    path = left(0, 100)
    segment = segments_in(path)[0].path
    data = bytearray(segment.read_bytes())
    data[HEADER_BYTES + 5] ^= 1
    segment.write_bytes(data)
    fake.drop_acks = True
    tt = engine()
    assert fake.wait_for_events(2)
    assert eventually(lambda: losses(fake))
    fake.drop_acks = False
    fake.cut_streams()
    assert tt.close(20).durable
    assert adopted(fake) == list(range(1, 100))
    assert losses(fake) == [(1, 1, event_pb2.LOSS_REASON_SPOOL_DAMAGED)]


def test_a_replay_that_is_cut_goes_on_where_it_was(
    fake: FakeSidecar, left: Left, engine: Engine, spool_path: Path
) -> None:
    """By the next engine, under a higher epoch."""
    path = left(0, 2_000)
    fake.window.event_count = 10
    first = engine()
    assert fake.wait_for_events(50)
    first.close(0.0)
    fake.window.event_count = 10_000
    assert engine().close(20).durable
    assert adopted(fake) == list(range(2_000))
    assert not path.exists()
    assert losses(fake) == []


def test_a_folder_whose_meta_is_unreadable_is_kept_and_reported(
    fake: FakeSidecar, left: Left, engine: Engine,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Whose events these are is not guessed; the folders beside it are replayed."""
    bad = left(0, 10)
    left(10, 10)
    (bad / "meta").write_text("{")
    assert engine().close(20).durable
    assert adopted(fake) == list(range(10, 20))
    assert bad.exists()
    assert len([m for m in caplog.messages if "stays as it is" in m]) == 1


def test_the_epoch_on_disk_is_raised_before_the_server_hears_of_it(
    left: Left, connected: Connect, fake: FakeSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that adopt one after the other never use the same epoch."""
    path = left(0, 10)
    epochs: list[int] = []
    raise_epoch = SpoolFolder.replace_meta

    def noted(folder: SpoolFolder, meta: object) -> None:
        assert fake.log.producer(folder.meta.producer_id).epoch < folder.meta.epoch + 1
        raise_epoch(folder, meta)  # type: ignore[arg-type]
        epochs.append(folder.meta.epoch)

    monkeypatch.setattr(SpoolFolder, "replace_meta", noted)
    tt = connected(limits={"spool_mode": "overflow"})
    record(tt, -1, 1)
    assert tt.close(20).durable
    assert epochs == [2]
    assert not path.exists()


def test_a_folder_without_events_is_removed(
    fake: FakeSidecar, left: Left, engine: Engine, spool_path: Path
) -> None:
    """As of an engine that was killed before its first event."""
    path = left(0, 1)
    for segment in segments_in(path):
        segment.path.unlink()
    meta = read_meta(path)
    assert meta is not None
    folder = SpoolFolder.create(spool_path, replace(meta, producer_id=str(path.name)[::-1]), CAP)
    folder.release()
    assert engine().close(20).durable
    assert not path.exists()
    assert adopted(fake) == []


@pytest.mark.parametrize("part", [Spooler, EventStream])
def test_a_failure_at_one_folder_lets_it_go_and_goes_on_with_the_next(
    fake: FakeSidecar, left: Left, engine: Engine, spool_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    part: type[Spooler | EventStream],
) -> None:  # fmt: skip
    """As when there is no thread to be had: the next start has both lock and events."""
    bad, good = left(0, 10), left(10, 10)
    meta = read_meta(bad)
    assert meta is not None
    start = part.start

    def refuse(each: Spooler | EventStream) -> None:
        folder = each.folder if isinstance(each, Spooler) else None
        is_bad = folder is not None and folder.path == bad
        if is_bad or (isinstance(each, EventStream) and each.producer_id == meta.producer_id):
            raise RuntimeError("can't start new thread")
        start(each)  # type: ignore[arg-type]

    with monkeypatch.context() as failing:
        failing.setattr(part, "start", refuse)
        tt = engine()
        assert eventually(lambda: not good.exists())
        assert adopted(fake) == list(range(10, 20))
        assert not is_held(bad)
        assert tt.close(5).durable
    assert eventually(lambda: not _spool_threads())
    assert len([m for m in caplog.messages if "stays as it is" in m]) == 1
    assert engine().close(20).durable
    assert sorted(adopted(fake)) == list(range(20))
    assert folders_in(spool_path) == []


def test_a_disk_that_refuses_the_second_epoch_leaves_no_thread_behind(
    fake: FakeSidecar, left: Left, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threads of the first attempt end before the folder is let go."""
    path = left(0, 10)
    meta = read_meta(path)
    assert meta is not None
    fake.log.producer(meta.producer_id).epoch = 7
    replace_meta = SpoolFolder.replace_meta

    def refuse(folder: SpoolFolder, new: Meta) -> None:
        if new.epoch > 2:
            raise OSError(28, "no space")
        replace_meta(folder, new)

    with monkeypatch.context() as failing:
        failing.setattr(SpoolFolder, "replace_meta", refuse)
        tt = engine()
        assert tt.close(20).durable
        assert not is_held(path)
        assert eventually(lambda: not _spool_threads())
    assert engine().close(20).durable
    assert adopted(fake) == list(range(10))


def _spool_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "trimtab-spool"]
