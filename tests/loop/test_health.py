"""The judge of the sidecar's health: facts in, conditions out; and its life beside the writer."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.loop.conftest import Writer
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import Unavailable
from trimtab_server.loop import health as health_module
from trimtab_server.loop.health import (
    SERVING,
    STARTING,
    STOPPING,
    Condition,
    Facts,
    Health,
    HealthLimits,
    judged,
)
from trimtab_server.loop.ingest import Waits
from trimtab_server.store.disk import DiskSpace
from trimtab_server.telemetry import Telemetry

MIB = 1 << 20
LIMITS = HealthLimits(disk_free_bytes_min=100 * MIB, writer_stuck_s_max=10.0)
WELL = Facts(SERVING, "", Waits(0.0, None), DiskSpace(500 * MIB, 1_000 * MIB))


def failing(facts: Facts) -> dict[str, str]:
    """The conditions that fail, with their words."""
    return {each.name: each.message for each in judged(facts, LIMITS, (), 1) if not each.ok}


def test_all_is_well() -> None:
    """Four conditions hold, without a word."""
    names = ["serving", "database", "writer", "disk"]
    assert judged(WELL, LIMITS, (), 7) == tuple(Condition(name, True, "", 7) for name in names)


@pytest.mark.parametrize("state", [STARTING, STOPPING])
def test_a_server_that_comes_or_goes_is_not_ready(state: str) -> None:
    """It says which."""
    assert failing(WELL._replace(state=state)) == {"serving": state}


def test_a_database_whose_last_attempt_failed_is_not_ready() -> None:
    """With the database's own words."""
    assert failing(WELL._replace(failure="connection refused")) == {
        "database": "connection refused"
    }


@pytest.mark.parametrize(
    ("waits", "words"),
    [
        (Waits(10.0, 10.0), ""),
        (Waits(12.4, 50.0), "a commit has been running for 12 s"),
        (Waits(0.2, 30.0), "events have waited 30 s for their commit"),
        (Waits(0.0, 11.0), "events have waited 11 s for their commit"),
    ],
)
def test_a_writer_that_does_not_get_on_is_not_ready(waits: Waits, words: str) -> None:
    """Its commit takes too long, or work waits too long."""
    assert failing(WELL._replace(waits=waits)) == ({"writer": words} if words else {})


def test_a_database_that_is_no_file_here_has_no_disk() -> None:
    """Its disk is its own server's business."""
    assert "disk" not in {each.name for each in judged(WELL._replace(disk=None), LIMITS, (), 1)}


def test_a_database_whose_file_is_gone_is_not_ready() -> None:
    """SQLite goes on writing into a file that nobody will find again."""
    (words,) = failing(WELL._replace(disk="No such file or directory")).values()
    assert words == "the database's file cannot be found: No such file or directory"


def test_a_disk_at_its_limit_does_not_come_and_go() -> None:
    """Below the limit it is full; it is well again a tenth above, not before."""
    before: tuple[Condition, ...] = ()
    found = []
    for free in (100, 99, 100, 109, 110, 100, 99):
        facts = WELL._replace(disk=DiskSpace(free * MIB, 1_000 * MIB))
        before = judged(facts, LIMITS, before, free)
        found.append(next(each.ok for each in before if each.name == "disk"))
    assert found == [True, False, False, False, True, True, False]
    words = "99 MiB free; disk_free_bytes_min is 100 MiB, ready again at 110 MiB"
    assert before[-1].message == words


def test_since_is_when_a_condition_changed() -> None:
    """Other words for the same failure, and other conditions, do not move it."""
    steps = [("", 1), ("refused", 2), ("away", 3), ("", 4), ("", 5)]
    before: tuple[Condition, ...] = ()
    found = []
    for failure, now_ns in steps:
        before = judged(WELL._replace(failure=failure), LIMITS, before, now_ns)
        found.append({each.name: (each.message, each.since_ns) for each in before}["database"])
    assert found == [("", 1), ("refused", 2), ("away", 2), ("", 4), ("", 4)]
    assert {each.since_ns for each in before if each.name != "database"} == {1}


@pytest.fixture
async def health(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Health]:
    """A judge of the writer's sidecar that looks again at once."""
    monkeypatch.setattr(health_module, "_LOOK_S", 0.001)
    store, ingest = writer.store, writer.ingest
    one = Health(store, ingest, LIMITS, Telemetry(), lambda: 1)  # type: ignore[arg-type]
    yield one
    writer.store.failure = None
    writer.store.let(1_000)
    await one.stop()


async def until(health: Health, *, is_ready: bool) -> None:
    """Waits as a watcher does."""
    async with asyncio.timeout(20):
        while health.is_ready != is_ready:
            change = health.change
            await change.wait()


def words(health: Health) -> dict[str, str]:
    """What fails and why."""
    return {each.name: each.message for each in health.conditions if not each.ok}


async def test_it_is_ready_from_its_start_to_its_leave(health: Health) -> None:
    """At once, so that who hears "listening" finds it ready; leaving is told to all who wait."""
    ready = [health.is_ready]
    health.start()
    ready.append(health.is_ready)
    assert ready == [False, True]
    change = health.change
    health.leave()
    assert change.is_set()
    assert health.is_leaving
    assert words(health) == {"serving": STOPPING}


async def test_a_failed_commit_makes_it_unready_and_a_good_one_ready(
    writer: Writer, health: Health
) -> None:
    """The reason is the database's."""
    health.start()
    await writer.idle()
    writer.store.failure = Unavailable(Reason.STORE_UNAVAILABLE, "the database refused: full")
    writer.store.let()
    with pytest.raises(Unavailable):
        await (await writer.submit("a"))
    await until(health, is_ready=False)
    assert words(health) == {"database": "the database refused: full"}
    writer.store.failure = None
    await writer.alone("b")
    await until(health, is_ready=True)


async def test_a_quiet_database_is_probed(writer: Writer, health: Health) -> None:
    """Nobody records: its absence is noticed, and its return; one probe at a time."""
    health.start()
    writer.store.failure = Unavailable(Reason.STORE_UNAVAILABLE, "away")
    writer.clock.now_s += 5
    await writer.store.entered()
    await asyncio.sleep(0.02)
    writer.store.let()
    await until(health, is_ready=False)
    assert words(health) == {"database": "away"}
    writer.store.failure = None
    writer.clock.now_s += 5
    await writer.store.entered()
    writer.store.let()
    await until(health, is_ready=True)
    assert writer.store.log == ["probe"]


async def test_while_commits_fail_no_probe_says_otherwise(writer: Writer, health: Health) -> None:
    """An attempt less than five seconds ago is as good as a probe, and needs more."""
    health.start()
    writer.store.failure = Unavailable(Reason.STORE_UNAVAILABLE, "disk full")
    for _ in range(3):
        await writer.idle()
        writer.clock.now_s += 4.9
        writer.store.let()
        with pytest.raises(Unavailable):
            await (await writer.submit("a"))
        await until(health, is_ready=False)
    assert health.conditions[1].message == "disk full"
    assert "probe" not in writer.store.log


async def test_a_commit_that_hangs_is_noticed(writer: Writer, health: Health) -> None:
    """With how long it has run; when it ends, all is well."""
    health.start()
    first = await writer.busy()
    writer.clock.now_s += 15
    await until(health, is_ready=False)
    assert words(health) == {"writer": "a commit has been running for 15 s"}
    assert writer.ingest.waits() == Waits(15.0, 15.0)
    writer.store.let()
    await first
    await until(health, is_ready=True)
    await writer.idle()
    assert writer.ingest.waits() == Waits(0.0, None)


async def test_the_disk_is_looked_at(writer: Writer, health: Health) -> None:
    """Space that goes, comes back; a file that is gone."""
    writer.store.disk = DiskSpace(500 * MIB, 1_000 * MIB)
    health.start()
    assert health.disk == writer.store.disk
    writer.store.disk = DiskSpace(50 * MIB, 1_000 * MIB)
    await until(health, is_ready=False)
    assert list(words(health)) == ["disk"]
    writer.store.disk = DiskSpace(500 * MIB, 1_000 * MIB)
    await until(health, is_ready=True)
    writer.store.disk = FileNotFoundError(2, "No such file or directory")
    await until(health, is_ready=False)
    assert health.disk is None


async def test_a_defect_does_not_freeze_what_is_told(
    writer: Writer, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look that fails is logged, and the next one counts."""
    health.start()
    failed = asyncio.Event()

    def defect() -> None:
        monkeypatch.undo()
        failed.set()
        raise ValueError("a defect")

    monkeypatch.setattr(writer.store, "disk_space", defect)
    await asyncio.wait_for(failed.wait(), 20)
    writer.store.disk = DiskSpace(1, 1)
    await until(health, is_ready=False)
