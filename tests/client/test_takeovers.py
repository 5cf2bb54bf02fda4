"""A stream that another one supersedes: our own dead one, or a second owner of the producer id."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from tests.client.conftest import eventually, record, values
from trimtab.v1 import event_service_pb2
from trimtab_client import FakeSidecar, Trimtab, wire
from trimtab_client.retry import Takeovers


@contextmanager
def another_stream(fake: FakeSidecar, producer_id: str) -> Iterator[None]:
    """A stream of the same producer that the server has just opened; it sends nothing."""
    over = threading.Event()

    def requests() -> Iterator[bytes]:
        yield wire.open_message(producer_id, "alpha-1")
        over.wait()

    with grpc.insecure_channel(fake.address) as channel:
        open_stream: Any = channel.stream_stream(
            "/trimtab.v1.EventService/StreamEvents",
            request_serializer=None,
            response_deserializer=event_service_pb2.StreamEventsResponse.FromString,
        )
        call: Any = open_stream(requests())
        assert next(call).HasField("opened")
        try:
            yield
        finally:
            over.set()
            call.cancel()


def test_its_own_dead_stream_read_late_does_not_stop_the_recorder(
    fake: FakeSidecar, tt: Trimtab
) -> None:
    """It opens again and goes on with the next number: nothing is lost or stored twice."""
    record(tt, 0, 5)
    assert tt.flush().durable
    with another_stream(fake, tt.recorder.producer_id):
        record(tt, 5, 5)
        result = tt.flush()
    assert (result.durable, result.durable_count) == (True, 10)
    assert values(fake) == list(range(10))
    assert len(set(fake.producer_ids)) == 1
    assert (tt.stats.state, tt.stats.reconnect_count) == ("OPEN", 1)


def test_takeovers_far_apart_never_stop_the_recorder(fake: FakeSidecar, tt: Trimtab) -> None:
    """A bad network for days is no second owner."""
    now_s = [0.0]
    tt.recorder._stream._takeovers = Takeovers(clock=lambda: now_s[0])
    record(tt, 0, 1)
    assert tt.flush().durable
    for number in range(1, 6):
        with another_stream(fake, tt.recorder.producer_id):
            record(tt, number, 1)
            assert tt.flush().durable
        now_s[0] += 31.0
    assert values(fake) == list(range(6))
    assert tt.stats.reconnect_count == 5


@pytest.mark.parametrize(("reason", "count"), [("PRODUCER_SUPERSEDED", 3), ("PRODUCER_FENCED", 1)])
def test_a_second_owner_stops_the_recorder(
    fake: FakeSidecar, tt: Trimtab, caplog: pytest.LogCaptureFixture, reason: str, count: int
) -> None:
    """Two writers under one id would fight over its numbers: this one ends and says so."""
    fake.fail_next("ABORTED", reason, rpc="StreamEvents", count=count)
    record(tt, 0, 3)
    assert eventually(lambda: tt.stats.state == "STOPPED")
    assert not tt.flush(30).durable
    assert tt.metric(name="n") is None
    stats = tt.stats
    assert reason in stats.last_error
    assert stats.pending_count == 3
    assert stats.refused_count["BULK"] == 1
    assert fake.opened_count == 0
    told = [r for r in caplog.records if "a second owner of this producer id exists" in r.message]
    assert [r.levelname for r in told] == ["WARNING"]
    assert tt.recorder.producer_id in told[0].message


def test_two_takeovers_at_the_opening_are_outlived(fake: FakeSidecar, tt: Trimtab) -> None:
    """One less than what stops it."""
    fake.fail_next("ABORTED", "PRODUCER_SUPERSEDED", rpc="StreamEvents", count=2)
    record(tt, 0, 3)
    assert tt.flush().durable
    assert values(fake) == [0, 1, 2]
