"""Short chaos runs in every test run, long ones in `make chaos`. A printed seed makes the schedule
again: `python -m tests.chaos.run --backend B --kind K --rounds N --seed SEED`."""

import random
import secrets
from pathlib import Path

import pytest

from tests.chaos.actions import kill_postgres, kill_sidecar, moment
from tests.chaos.clock import why_not
from tests.chaos.run import RECOVERY_S_MAX, chaos
from tests.chaos.world import World
from tests.faults.waiting import until
from tests.postgres import PostgresServer

# 12 rounds need about a minute on a machine of two busy cores; a fault takes longer than a kill.
# `make chaos` does the hundreds.
SHORT, SHORT_S_MAX = {"kills": 12, "faults": 6}, 600
LONG, LONG_S_MAX = 500, 5_400
# Each kill under load has a good chance to cost something.
KILLS_MAX = 20


def new_seed() -> int:
    """A new seed, printed."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return seed


def say_what_is_left_out(kind: str) -> None:
    """A machine without a compiler runs the rest."""
    if kind == "faults" and why_not():
        print(why_not())


@pytest.mark.timeout(SHORT_S_MAX)
@pytest.mark.parametrize("kind", ["kills", "faults"])
def test_a_sidecar_and_its_engines_survive_on_sqlite(kind: str) -> None:
    """12 kills, or six of all faults: what was acknowledged is stored once, in order, and nothing
    was invented; what an engine with spool mode `always` took arrives, however it died."""
    say_what_is_left_out(kind)
    assert chaos(new_seed(), kind, SHORT[kind]).faults == []


@pytest.mark.timeout(SHORT_S_MAX)
@pytest.mark.parametrize("kind", ["kills", "faults"])
def test_two_sidecars_and_their_engines_survive_on_postgres(
    own_postgres: PostgresServer, kind: str
) -> None:
    """The same with callers that move between two sidecars, and a Postgres that dies too."""
    say_what_is_left_out(kind)
    assert chaos(new_seed(), kind, SHORT[kind], own_postgres, sidecar_count=2).faults == []


@pytest.mark.timeout(SHORT_S_MAX)
def test_two_watchers_see_one_order_while_a_sidecar_dies(postgres_server: PostgresServer) -> None:
    """Four producers through two sidecars on one Postgres, one of them killed at random, six times:
    both watchers see every event once, without a gap, in the order that is stored."""
    report = chaos(new_seed(), "kills", 6, postgres_server, sidecar_count=2, known=[kill_sidecar])
    assert report.faults == []
    assert report.stored_count > 0


@pytest.mark.timeout(SHORT_S_MAX)
def test_a_log_that_forgets_what_it_acknowledged_is_caught(
    own_postgres: PostgresServer, disk_path: Path
) -> None:
    """The same callers accuse a sidecar that does not wait for the sync, as soon as a kill of
    Postgres costs it an acknowledged event."""
    lax = ("--durability", "process_crash")
    with World(disk_path, new_seed(), own_postgres, flags=lax, with_clock=False) as world:
        for _ in range(KILLS_MAX):
            before = world.acknowledged_count
            until(
                lambda: world.acknowledged_count > before + 50 or world.load.protocol_faults,  # noqa: B023
                "recording or an accusation",
                RECOVERY_S_MAX,
            )
            kill_postgres(world, moment(random.Random(0)))
            if world.load.protocol_faults:
                break
        assert any("is expected after acknowledgement" in f for f in world.load.protocol_faults)


@pytest.mark.chaos
@pytest.mark.timeout(LONG_S_MAX)
@pytest.mark.parametrize("kind", ["kills", "faults"])
def test_five_hundred_rounds_on_sqlite(kind: str) -> None:
    """The same promise over many more rounds."""
    say_what_is_left_out(kind)
    assert chaos(new_seed(), kind, LONG).faults == []


@pytest.mark.chaos
@pytest.mark.timeout(LONG_S_MAX)
@pytest.mark.parametrize("kind", ["kills", "faults"])
def test_five_hundred_rounds_on_postgres(own_postgres: PostgresServer, kind: str) -> None:
    """The same promise over many more rounds."""
    say_what_is_left_out(kind)
    assert chaos(new_seed(), kind, LONG, own_postgres, sidecar_count=2).faults == []
