"""A disk that refuses: the caller is told to come back, nothing is half stored, nothing is lost."""

import random
from collections.abc import Callable

import grpc
import pytest

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
