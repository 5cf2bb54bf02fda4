"""The power fails: whatever the disk holds then, each event that was acknowledged is in it.

A kill would not show it: the kernel still writes all that it was told. So the disk's journal is
rebuilt into the images that a disk without power may hold (`disk_images.py`).
"""

import random
import secrets
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from tests.chaos.disk import Disk
from tests.chaos.disk_images import SECTOR_BYTES, DiskModel, Step, steps
from tests.conftest import Sidecar
from tests.faults import without_sync
from tests.faults.checker import Record, faults
from tests.faults.driver import Load
from tests.faults.readers import filed_log, filed_marks
from tests.faults.waiting import until
from trimtab_server.errors import ConfigurationError
from trimtab_server.store.store import Store

LYING = (sys.executable, str(without_sync.__file__))
LOAD_S_MAX = 60.0


@dataclass
class TimedRecord(Record):
    """A record that also knows how long the disk's journal was when an acknowledgement came."""

    journal_bytes: Callable[[], int] = int
    acknowledged_at: dict[str, int] = field(default_factory=dict)

    def note_acknowledged(self, event_ids: Iterable[str]) -> None:
        """As in Record."""
        known, now = list(event_ids), self.journal_bytes()
        super().note_acknowledged(known)
        with self.lock:
            for event_id in known:
                self.acknowledged_at.setdefault(event_id, now)

    def until(self, journal_bytes: int) -> Record:
        """The same record as it was at a place of the journal."""
        early = {one for one, at in self.acknowledged_at.items() if at <= journal_bytes}
        return Record(self.sent, early)


@dataclass
class Run:
    """One sidecar under load on a disk that keeps a journal."""

    server: Sidecar
    disk: Disk
    load: Load
    record: TimedRecord

    def go_on(self, more: int) -> None:
        """Waits for so many more acknowledgements."""
        wanted = self.record.acknowledged_count + more
        until(lambda: self.record.acknowledged_count >= wanted, f"{more} more", LOAD_S_MAX)


def load_on(
    start: Callable[..., Sidecar],
    database: Path,
    seed: int,
    script: Callable[[Run], None],
    *flags: str,
    wrapper: tuple[str, ...] = (),
) -> tuple[list[Step], TimedRecord]:
    """What the disk was told while a sidecar ran under load and `script` did things to it, and what
    was sent and acknowledged when."""
    disk = Disk(database, journaled=True)
    server = start(*flags, database=database, wrapper=wrapper, environment=disk.environment)
    record = TimedRecord(journal_bytes=lambda: disk.journal_bytes)
    load = Load(server.address, seed, producers=2, unary=2)
    load.record = record
    for caller in load.callers:
        caller.record = record
    with load:
        script(Run(server, disk, load, record))
        server.kill()
    assert load.protocol_faults == []
    return list(steps(disk.journal.read_bytes())), record


def judged_images(
    told: list[Step], record: TimedRecord, folder: Path, seed: int, images: int
) -> list[str]:
    """Everything that is wrong with images of the disk at random moments, half of them just when a
    sync had returned."""
    rng = random.Random(seed)
    syncs = [number for number, step in enumerate(told) if step.kind == "S"]
    moments = rng.choices(syncs, k=images // 2) + rng.choices(range(len(told)), k=images // 2)
    model, found = DiskModel(rng), []
    for number, step in enumerate(told):
        model.follow(step)
        for _ in range(moments.count(number)):
            image = folder / f"image-{number}-{rng.getrandbits(32)}.db"
            model.image(image)
            wrong = image_faults(image, record.until(step.end))
            found += [f"after step {number} ({step.end} bytes): {words}" for words in wrong]
            for path in folder.glob(image.name + "*"):
                path.unlink()
    return found


def image_faults(image: Path, record: Record) -> list[str]:
    """What is wrong with one image: the store must open it, and it must hold what was promised."""
    try:
        store = Store(
            f"sqlite:///{image}", new_log_id=uuid4, now_ns=time.time_ns, monotonic=time.monotonic
        )
        store.close()
        found = faults(filed_log(image), record)
        marks = filed_marks(image)
    except ConfigurationError as error:
        # The first moments of a new file: its name may be lost while that of its log is not. The
        # sidecar then asks a person, rightly, and nobody was promised anything yet.
        if "without its database" in str(error) and not record.acknowledged:
            return []
        return [f"damaged: {error}"]
    except Exception as error:  # noqa: BLE001 - whatever it is, the image is damaged
        return [f"damaged: {type(error).__name__}: {error}"]
    promised: dict[str, int] = {}
    for event_id in record.acknowledged:
        sent = record.sent[event_id]
        if sent.producer is not None:
            promised[sent.producer] = max(promised.get(sent.producer, 0), sent.producer_seq)
    return found + [
        f"mark: {marks.get(producer, 0)} of {producer}, who was told {mark}"
        for producer, mark in promised.items()
        if marks.get(producer, 0) < mark
    ]


def busy(run: Run) -> None:
    """Load over several checkpoints, a restart in good order and a kill."""
    run.go_on(2_000)
    assert run.server.terminate() == 0
    run.server.restart()
    run.go_on(1_000)
    run.server.kill()
    run.server.restart()
    run.go_on(1_000)


def failing(run: Run) -> None:
    """The same while syncs and writes fail now and then, and the disk is full for a while."""
    rng = random.Random(1)
    run.go_on(1_500)
    for _ in range(4):
        run.go_on(250)
        before = run.disk.refused
        rng.choice((run.disk.fail_syncs, run.disk.fail_writes))(3, rng.randrange(30))
        until(lambda: run.disk.refused >= before + 3, "three refusals")  # noqa: B023
        run.go_on(100)
        run.disk.fill_up(rng.randrange(100_000))
        until(lambda: run.disk.refused > before + 3, "a full disk")  # noqa: B023
        run.disk.repair()
    run.server.kill()
    run.server.restart()
    run.go_on(250)
    # A slow machine may not have filled the log once by now: a stop in good order checkpoints it.
    assert run.server.terminate() == 0
    run.server.restart()
    run.go_on(250)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("script", [busy, failing])
def test_no_acknowledged_event_is_missing_after_a_power_loss(
    sidecar: Callable[..., Sidecar], disk_path: Path, script: Callable[[Run], None]
) -> None:
    """Images at random moments, of a healthy disk and of one whose syncs fail: the store opens
    each, it is whole and gapless, and holds all that was acknowledged before."""
    held(sidecar, disk_path, script, secrets.randbits(32), images=30)


@pytest.mark.chaos
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("script", [busy, failing])
def test_no_acknowledged_event_is_missing_after_many_power_losses(
    sidecar: Callable[..., Sidecar], disk_path: Path, script: Callable[[Run], None]
) -> None:
    """The same over a thousand images each."""
    held(sidecar, disk_path, script, secrets.randbits(32), images=1_000)


def held(
    start: Callable[..., Sidecar],
    folder: Path,
    script: Callable[[Run], None],
    seed: int,
    images: int,
) -> None:
    """Fails, with the seed, when an image does not hold what was promised."""
    print(f"seed {seed}")
    told, record = load_on(start, folder / "power.db", seed, script)
    checkpointed = sum(step.kind == "W" and step.file == 0 for step in told)
    print(f"{len(told)} steps, {checkpointed} pages of checkpoints, {len(record.sent)} events")
    assert checkpointed > 100, "no checkpoint was made: the images tell only half"
    assert judged_images(told, record, folder, seed, images) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("flags", "wrapper"),
    [(("--durability", "process_crash"), ()), ((), LYING)],
    ids=["synchronous-normal", "synchronous-off"],
)
def test_a_server_that_does_not_sync_is_caught(
    sidecar: Callable[..., Sidecar],
    disk_path: Path,
    flags: tuple[str, ...],
    wrapper: tuple[str, ...],
) -> None:
    """The same check finds acknowledged events missing where commits are not synced."""
    seed = secrets.randbits(32)
    told, record = load_on(
        sidecar, disk_path / "power.db", seed, lambda run: run.go_on(1_500), *flags, wrapper=wrapper
    )
    found = judged_images(told, record, disk_path, seed, images=20)
    assert any("lost: " in words for words in found), found


def images_of(folder: Path, *told: tuple[str, int, int, bytes], draws: int = 60) -> set[str]:
    """What the database's file may be after these steps (kind, file, offset, data): its letters, or
    "-" where there is none. A sync covers all that was told before it."""
    found = set()
    for draw in range(draws):
        model = DiskModel(random.Random(draw))
        for now, (kind, file, offset, data) in enumerate(told):
            model.follow(Step(kind, file, now if kind in "SF" else offset, data, now, now + 1))
        image = folder / f"{draw}.db"
        model.image(image)
        found.add(image.read_text().replace("\0", ".") if image.exists() else "-")
    return found


A, B, SYNC, FOLDER = ("W", 0, 0, b"a"), ("W", 0, 1, b"b"), ("S", 0, 0, b""), ("S", 3, 0, b"")


@pytest.mark.parametrize(
    ("told", "possible"),
    [
        ([A], {"-", "", "a"}),
        ([A, SYNC], {"-", "a"}),
        ([A, SYNC, FOLDER], {"a"}),
        ([A, FOLDER], {"", "a"}),
        ([A, B, FOLDER], {"", "a", ".b", "ab"}),
        ([A, SYNC, FOLDER, B], {"a", "ab"}),
        ([A, FOLDER, ("F", 0, 0, b""), SYNC], {"", "a"}),
        ([A, SYNC, FOLDER, ("U", 0, 0, b"")], {"-", "a"}),
        ([A, SYNC, FOLDER, ("U", 0, 0, b""), FOLDER], {"-"}),
        ([A, B, SYNC, FOLDER, ("T", 0, 1, b"")], {"ab", "a"}),
        ([A, SYNC, ("S", 1, 0, b""), FOLDER, ("W", 0, 0, b"c")], {"a", "c"}),
    ],
)
def test_images_are_what_a_disk_may_hold(
    tmp_path: Path, told: list[tuple[str, int, int, bytes]], possible: set[str]
) -> None:
    """All that may be left of a few steps is drawn, and nothing else."""
    assert images_of(tmp_path, *told) == possible


def test_a_write_may_be_torn_between_its_sectors(tmp_path: Path) -> None:
    """Any of a write's sectors may be there without the others, never a part of one."""
    half = SECTOR_BYTES // 2
    told = [("W", 0, half, b"x" * (SECTOR_BYTES + half)), FOLDER]
    left, right = "." * half + "x" * half, "." * SECTOR_BYTES + "x" * SECTOR_BYTES
    whole = "." * half + "x" * (SECTOR_BYTES + half)
    assert images_of(tmp_path, *told) == {"", left, right, whole}
