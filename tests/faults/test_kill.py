"""SIGKILL at random moments: at-least-once delivery, exactly-once storage, order per producer."""

import random
import secrets
import time
from collections.abc import Callable

import grpc
import pytest

from tests.conftest import Sidecar
from tests.faults.checker import faults
from tests.faults.driver import Load
from tests.faults.readers import filed_log, filed_marks, listed_log, watched_log
from tests.faults.waiting import until

# What a caller may see of a server that is killed or not there.
CUT = {grpc.StatusCode.UNAVAILABLE}


def kill_and_continue(
    start: Callable[..., Sidecar], rounds: int, seed: int, flags: tuple[str, ...] = ()
) -> None:
    """Streams, kills, restarts, continues, `rounds` times; then judges the log by the record."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    server = start(*flags)
    with Load(server.address, seed) as load:
        for number in range(rounds):
            before, more = load.record.acknowledged_count, rng.choice((0, 1, 50, 250))
            until(
                lambda: load.record.acknowledged_count >= before + more,  # noqa: B023  (called here)
                f"{more} acknowledgements in round {number}",
            )
            time.sleep(rng.uniform(0, 0.03))  # the moment of the kill is the chance under test
            server.kill()
            server.restart()
        load.drain()
    print(f"{len(load.record.sent)} events sent, {rounds} kills, {len(load.endings)} cuts")
    assert load.protocol_faults == []
    assert {ending.code for ending in load.endings} <= CUT | {grpc.StatusCode.OK}
    watched = watched_log(server.address)
    assert watched == listed_log(server.address)
    assert faults(watched, load.record) == []
    assert server.terminate() == 0
    filed = filed_log(server.database)
    assert faults(filed, load.record) == []
    assert [entry._replace(producer_seq=None) for entry in filed] == watched
    marks = filed_marks(server.database)
    assert marks == {p.producer_id: p.acknowledged_seq for p in load.producers}
    valid = {event_id for event_id, sent in load.record.sent.items() if sent.valid}
    assert {entry.event_id for entry in filed} == valid, "after draining everything is stored"


@pytest.mark.timeout(300)
def test_sigkill_at_random_moments_loses_doubles_reorders_and_invents_nothing(
    sidecar: Callable[..., Sidecar],
) -> None:
    """15 kills under streams and unary calls: each acknowledged event is stored exactly once."""
    kill_and_continue(sidecar, rounds=15, seed=secrets.randbits(32))


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("commit_age_ms", ["0", "5", "100"])
def test_sigkill_a_hundred_times_with_each_batching(
    sidecar: Callable[..., Sidecar], commit_age_ms: str
) -> None:
    """The same promise over many more kills, with tiny, usual and slow batches."""
    flags = ("--commit-age-ms-max", commit_age_ms, "--rejected-events-max", "100000")
    kill_and_continue(sidecar, rounds=100, seed=secrets.randbits(32), flags=flags)
