"""Stations of a fleet: each event goes through once, whichever sidecar dies."""

import random
import secrets
import sys
from collections import Counter
from collections.abc import Callable

import pytest

from tests.conftest import Sidecar
from tests.faults import with_echo
from tests.faults.driver import Load, open_channel
from tests.faults.waiting import until
from trimtab.v1 import event_pb2
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

WRAPPER = (sys.executable, str(with_echo.__file__))
KILLS = 4
CATCH_UP_S_MAX = 90.0
# Enough for kills in the middle of everything; as fast as it goes only makes the log longer.
PAUSE_S_MAX = 0.3


def _log(address: str) -> list[event_pb2.Event]:
    found: list[event_pb2.Event] = []
    token = ""
    with open_channel(address) as channel:
        stub = EventServiceStub(channel)
        while True:
            request = pb.ListEventsRequest(page_size=5_000, page_token=token)
            answer = stub.ListEvents(request, timeout=30, wait_for_ready=True)
            found += answer.events
            if not (token := answer.next_page_token):
                return found


def _echo_count(address: str) -> int:
    with open_channel(address) as channel:
        request = pb.GetStatsRequest(source=with_echo.NAME)
        stub = EventServiceStub(channel)
        return int(stub.GetStats(request, timeout=30, wait_for_ready=True).event_count)


def _echoes(log: list[event_pb2.Event]) -> Counter[int]:
    """How many echoes each sequence has."""
    metrics = [event.metric_recorded for event in log if event.source == with_echo.NAME]
    return Counter(int(metric.value) for metric in metrics)


@pytest.mark.timeout(400)
def test_each_event_goes_through_a_station_once_while_sidecars_are_killed(
    sidecar: Callable[..., Sidecar], postgres_url: str
) -> None:
    """Two sidecars on one Postgres run one station; now the one, now the other is killed under
    load. In the end every event has exactly one echo, though the ids of echoes never repeat."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    pair = [sidecar(database=postgres_url, wrapper=WRAPPER) for _ in range(2)]
    addresses = [each.address for each in pair]
    with (
        Load(addresses[0], seed, 2, 1, PAUSE_S_MAX) as one,
        Load(addresses[1], seed + 1, 2, 1, PAUSE_S_MAX) as two,
    ):
        loads = (one, two)
        for _ in range(KILLS):
            before = [load.record.acknowledged_count for load in loads]
            until(
                lambda: all(
                    load.record.acknowledged_count > count + 100
                    for load, count in zip(loads, before, strict=True)  # noqa: B023  (called here)
                ),
                "both to record",
                CATCH_UP_S_MAX,
            )
            victim = rng.choice(pair)
            victim.kill()
            victim.restart()
        for load in loads:
            load.drain()
    recorded = [event for event in _log(pair[0].address) if event.source != with_echo.NAME]
    wanted = {event.sequence for event in recorded}
    # Counted by the server: reading the whole log over and over would only slow the station down.
    until(
        lambda: _echo_count(pair[1].address) >= len(wanted),
        "the station to catch up",
        CATCH_UP_S_MAX,
    )
    assert _echoes(_log(pair[0].address)) == dict.fromkeys(wanted, 1)
    assert len(wanted) > 100 * KILLS
