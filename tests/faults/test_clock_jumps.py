"""The wall clock of a sidecar is set forward and back under load, as by an operator or NTP."""

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from tests.chaos.clock import JumpingClock, why_not
from tests.conftest import Sidecar
from tests.faults.checker import faults
from tests.faults.driver import Load
from tests.faults.readers import filed_log, listed_log, watched_log
from tests.faults.waiting import until

HOUR_S = 3_600


@pytest.fixture
def clock(disk_path: Path) -> JumpingClock:
    """A clock for sidecars that the test sets."""
    if reason := why_not():
        pytest.skip(reason)
    return JumpingClock(disk_path)


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S], ids=["forward", "back"])
def test_a_clock_that_jumps_loses_refuses_and_reorders_nothing(
    sidecar: Callable[..., Sidecar],
    clock: JumpingClock,
    backend: str,
    jump_s: int,
    request: pytest.FixtureRequest,
) -> None:
    """An hour away and back again: no stream ends, no good event is refused (though the engines'
    present looks like the future), and sequences rise with the commits."""
    database = request.getfixturevalue("postgres_url") if backend == "postgres" else None
    server = sidecar(database=database, environment=clock.environment)
    with Load(server.address, seed=41) as load:

        def goes_on() -> None:
            before = load.record.acknowledged_count
            until(lambda: load.record.acknowledged_count > before + 300, "recording to go on")

        goes_on()
        clock.jump(jump_s)
        goes_on()
        clock.jump(0)
        goes_on()
        load.drain()
    assert load.protocol_faults == []
    assert {ending.code for ending in load.endings} == {grpc.StatusCode.OK}
    watched = watched_log(server.address)
    assert watched == listed_log(server.address)
    assert server.terminate() == 0
    assert "Traceback" not in server.log
    assert faults(filed_log(server.database), load.record) == []
