"""A recorder with a spool: what the ring has no room for goes to disk, and nothing is mixed up."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.client.conftest import Connect, eventually, record, record_starts, values
from tests.client.test_losses import adds_up
from trimtab_client import FakeSidecar, RecorderSettings, Trimtab, recorder, spooler
from trimtab_client.spool import SpoolFolder, folders_in
from trimtab_client.spool_frames import HEADER_BYTES
from trimtab_client.spool_inspection import inspections

NOBODY = "127.0.0.1:1"
MODES = pytest.mark.parametrize("mode", ["overflow", "always"])


def threads() -> set[str]:
    """Names of the client's threads."""
    return {t.name for t in threading.enumerate() if t.name.startswith("trimtab")}


def patient(tt: Trimtab, first: int, count: int) -> None:
    """Records metrics, waiting for the disk where the ring is full for a moment."""

    def taken(number: int) -> bool:
        return tt.metric(name="n", value=float(number)) is not None

    for number in range(first, first + count):
        assert eventually(lambda n=number: taken(n))  # type: ignore[misc]


@MODES
def test_a_long_absence_is_carried_by_the_disk_and_replayed_in_order(
    fake: FakeSidecar, connected: Connect, mode: str
) -> None:
    """Fifty times the ring while nobody answers; then everything once, in order, by itself."""
    fake.stop()
    tt = connected(limits={"spool_mode": mode, "events_max": 100})
    patient(tt, 0, 5_000)
    stats = tt.stats
    assert stats.pending_count == 5_000
    assert stats.spool_event_count >= 4_900
    assert stats.spool_bytes > 5_000 * HEADER_BYTES * 0.9
    assert stats.pending_bytes < 100_000
    fake.start()
    assert tt.flush(30).durable
    assert values(fake) == list(range(5_000))
    assert adds_up(tt.stats)


@MODES
def test_recording_goes_on_while_the_disk_is_replayed(
    fake: FakeSidecar, connected: Connect, mode: str
) -> None:
    """What is new queues behind what is older, whichever way it takes."""
    fake.stop()
    tt = connected(limits={"spool_mode": mode, "events_max": 200})
    patient(tt, 0, 2_000)
    fake.start()
    patient(tt, 2_000, 3_000)
    fake.cut_streams()
    patient(tt, 5_000, 1_000)
    assert tt.flush(30).durable
    assert values(fake) == list(range(6_000))
    assert adds_up(tt.stats)


@MODES
def test_nothing_is_left_on_disk_when_everything_is_stored(
    fake: FakeSidecar, connected: Connect, spool_path: Path, mode: str
) -> None:
    """A clean end leaves no folder."""
    fake.stop()
    tt = connected(limits={"spool_mode": mode, "events_max": 100})
    patient(tt, 0, 500)
    assert len(folders_in(spool_path)) == 1
    fake.start()
    assert tt.close(30).durable
    assert list(spool_path.iterdir()) == []
    assert tt.stats.spool_bytes == 0
    assert not threads() & {"trimtab-spool", "trimtab-adoption", "trimtab-recorder"}


def test_construction_touches_no_disk(connected: Connect, spool_path: Path) -> None:
    """The first event does, or the first that has to go there."""
    tt = connected(address=NOBODY, limits={"spool_mode": "always"})
    assert tt.stats.spool_mode == "always"
    assert not spool_path.exists()
    record(tt, 0, 1)
    assert len(folders_in(spool_path)) == 1


def test_overflow_writes_nothing_while_the_ring_has_room(
    fake: FakeSidecar, connected: Connect, spool_path: Path
) -> None:
    """The usual day costs no disk."""
    tt = connected(limits={"spool_mode": "overflow"})
    record(tt, 0, 1_000)
    assert tt.flush().durable
    assert tt.stats.spool_event_count == tt.stats.spool_bytes == 0
    assert folders_in(spool_path) == []


def test_always_has_written_an_event_when_it_is_accepted(
    connected: Connect, spool_path: Path
) -> None:
    """Whatever happens to the engine after that."""
    tt = connected(address=NOBODY, limits={"spool_mode": "always"})
    for number in range(1, 20):
        record(tt, number, 1)
        [path] = folders_in(spool_path)
        written = b"".join(p.read_bytes() for p in sorted(path.glob("*.seg")))
        assert tt.stats.spool_event_count == number
        assert len(written) == tt.stats.spool_bytes > number * HEADER_BYTES


@MODES
def test_what_is_pending_at_the_end_is_kept_and_said(
    connected: Connect, spool_path: Path, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    """The counts add up, and one warning says where the events are."""
    tt = connected(address=NOBODY, limits={"spool_mode": mode})
    record(tt, 0, 3)
    first, second = tt.close(0.05), tt.close(0.05)
    assert first == second
    assert (first.durable, first.settled) == (False, False)
    assert (first.spooled_count, first.dropped_count, first.pending_count) == (3, 0, 0)
    assert adds_up(tt.stats)
    [told] = [m for m in caplog.messages if "closed with" in m]
    assert told == (
        "trimtab recorder: closed with 3 events not durable; they are kept in the spool "
        f"{folders_in(spool_path)[0]}, the next start sends them: no sidecar answered at {NOBODY}"
    )


@MODES
def test_a_full_spool_refuses_by_class_and_loses_nothing_that_it_took(
    fake: FakeSidecar, connected: Connect, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    """Then the ring is what it is without a spool, and room on disk comes back by itself."""
    fake.stop()
    limits = {"spool_mode": mode, "events_max": 100, "spool_bytes_max": 65_536}
    tt = connected(limits=limits)
    number = 0
    while not tt.stats.spool_error:
        number += _took(tt, number)
    assert "holds its 65,536 bytes" in tt.stats.spool_error
    while _took(tt, number):
        number += 1
    decided = [tt.decision(signal_id="s", action="HOLD") for _ in range(100)]
    assert decided[0] is not None
    assert decided[-1] is None
    stats = tt.stats
    assert stats.spool_bytes <= 65_536
    assert stats.refused_count["BULK"] > 0
    assert stats.refused_count["RESERVED"] > 0
    assert len([m for m in caplog.messages if "takes no events" in m]) == 1
    fake.start()
    assert tt.flush(30).durable
    assert len(values(fake)) + len(fake.events("DECISION")) == stats.accepted_count
    assert values(fake) == sorted(values(fake))
    fake.stop()
    assert eventually(lambda: tt.stats.spool_bytes < 10_000)
    patient(tt, 10_000, 300)
    assert eventually(lambda: not tt.stats.spool_error)
    assert tt.stats.spool_event_count >= 200
    assert adds_up(tt.stats)


def _took(tt: Trimtab, number: int) -> bool:
    return tt.metric(name="n", value=float(number)) is not None


@MODES
def test_a_directory_that_cannot_be_written_is_one_warning(
    fake: FakeSidecar, connected: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    mode: str,
) -> None:  # fmt: skip
    """The recorder works as without a spool, and its stats say why there is none."""
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    limits = {"spool_mode": mode, "spool_dir": in_the_way / "spool", "events_max": 100}
    tt = connected(limits=limits)
    record(tt, 0, 20)
    assert tt.flush().durable
    assert eventually(lambda: "file" in tt.stats.spool_error)
    fake.stop()
    record(tt, 20, 30)
    assert len([m for m in caplog.messages if "takes no events" in m]) == 1
    fake.start()
    record(tt, 50, 1)
    assert tt.flush(30).durable
    assert values(fake) == list(range(51))
    fake.stop()
    record(tt, 51, 3)
    assert tt.close(0.05).dropped_count == 3
    assert adds_up(tt.stats)


@MODES
def test_a_disk_that_breaks_and_recovers_mixes_nothing_up(
    fake: FakeSidecar, connected: Connect, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Events wait in memory meanwhile, and go to disk again behind one another."""
    fake.stop()
    monkeypatch.setattr(spooler, "_RETRY_S", 0.01)
    tt = connected(limits={"spool_mode": mode, "events_max": 400})
    number = 0
    write = SpoolFolder._write
    for _ in range(4):
        patient(tt, number, 500)
        assert eventually(lambda: tt.stats.spool_event_count == tt.stats.pending_count)
        with monkeypatch.context() as broken:
            broken.setattr(SpoolFolder, "_write", _refuse)
            record(tt, number + 500, 1)
            assert eventually(lambda: "no space" in tt.stats.spool_error or mode == "overflow")
            record(tt, number + 501, 20)
        number += 521
    assert SpoolFolder._write is write
    fake.start()
    patient(tt, number, 100)
    assert tt.flush(30).durable
    assert values(fake) == list(range(number + 100))


def _refuse(*_: Any) -> None:
    raise OSError(28, "no space")


def test_a_disk_that_hangs_makes_nobody_wait_in_overflow(
    connected: Connect, spool_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recording refuses by class when the ring is full, close comes back, what is on disk stays."""
    monkeypatch.setattr(recorder, "_SPOOL_TIMEOUT_S_MIN", 0.05)
    tt = connected(address=NOBODY, limits={"spool_mode": "overflow", "events_max": 100})
    patient(tt, 0, 300)
    assert eventually(lambda: tt.stats.spool_event_count == 300)
    hanging, goes_on = threading.Event(), threading.Event()
    write = SpoolFolder._write

    def hang(folder: SpoolFolder, data: bytes, number: int) -> None:
        hanging.set()
        goes_on.wait()
        write(folder, data, number)

    monkeypatch.setattr(SpoolFolder, "_write", hang)
    number = 300
    while _took(tt, number):
        number += 1
    assert hanging.wait(20)
    result = tt.close(0.05)
    assert (result.spooled_count, result.dropped_count) == (300, number - 300)
    assert adds_up(tt.stats)
    goes_on.set()
    assert eventually(lambda: "trimtab-spool" not in threads())
    [found] = inspections(spool_path)
    assert (found.first_seq, found.damaged_count, found.is_held) == (1, 0, False)
    assert found.event_count >= 300


def test_a_number_the_disk_damaged_is_declared_lost_while_the_engine_runs(
    fake: FakeSidecar, connected: Connect, spool_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its neighbours are stored, in order; the log and the server know how many are missing."""
    fake.stop()
    tt = connected(limits={"spool_mode": "always", "events_max": 100})
    record(tt, 0, 1_000)
    [path] = folders_in(spool_path)
    segment = next(path.glob("*.seg"))
    data = bytearray(segment.read_bytes())
    starts = record_starts(data)
    for number in (500, 501, 700):
        data[starts[number] + HEADER_BYTES + 3] ^= 1
    segment.write_bytes(data)
    fake.start()
    result = tt.flush(30)
    assert (result.settled, result.durable, result.lost_count) == (True, False, 3)
    assert values(fake) == [n for n in range(1_000) if n not in (500, 501, 700)]
    lost = [e.recorder_loss for e in fake.events("RECORDER_LOSS")]
    assert [(each.first_seq, each.last_seq) for each in lost] == [(501, 502), (701, 701)]
    assert tt.stats.damaged_count == 3
    assert len([m for m in caplog.messages if "damaged in the spool" in m]) == 2
    assert adds_up(tt.stats)


@MODES
def test_a_new_producer_id_goes_into_the_folder(
    fake: FakeSidecar, connected: Connect, spool_path: Path, mode: str
) -> None:
    """What was on disk under the old numbers is sent, and adopted, under the new ones."""
    fake.stop()
    tt = connected(limits={"spool_mode": mode, "events_max": 100})
    patient(tt, 0, 500)
    first_id = tt.recorder.producer_id
    fake.fail_next("ALREADY_EXISTS", "SEQUENCE_REUSED", rpc="StreamEvents", count=3)
    fake.start()
    assert tt.flush(30).durable
    assert tt.recorder.producer_id != first_id
    fake.stop()
    patient(tt, 500, 200)
    assert tt.close(0.0).spooled_count == 200
    fake.start()
    other = connected(limits={"spool_mode": mode})
    record(other, 1_000, 1)
    assert eventually(lambda: not folders_in(spool_path) or other.stats.adopted_count == 200)
    assert other.close(10).durable
    assert sorted(values(fake)) == [*range(700), 1_000]
    assert fake.events("RECORDER_LOSS") == []


def test_backtests_and_fakes_have_no_spool_unless_told(
    fake: FakeSidecar, connected: Connect, tmp_path: Path
) -> None:
    """A backtest can be run again, and a test leaves no files."""

    def mode(environment: str, address: str, **told: Any) -> str:
        tt = connected(
            environment=environment, run_id="r", address=address, source="mode",
            settings=RecorderSettings(**told),
        )  # fmt: skip
        return tt.stats.spool_mode

    assert mode("LIVE", NOBODY) == mode("PAPER", NOBODY) == "overflow"
    assert mode("BACKTEST", NOBODY) == "off"
    assert mode("BACKTEST", NOBODY, spool_dir=tmp_path) == "overflow"
    assert mode("BACKTEST", NOBODY, spool_mode="always") == "always"
    assert mode("LIVE", fake.address) == "off"
    assert mode("LIVE", fake.address, spool_dir=tmp_path) == "overflow"
    assert mode("LIVE", fake.address, spool_mode="overflow") == "overflow"


@pytest.mark.parametrize("wrong", [{"spool_mode": "sometimes"}, {"spool_bytes_max": 1}])
def test_settings_of_the_spool_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    """At construction, by name."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RecorderSettings(**wrong)
