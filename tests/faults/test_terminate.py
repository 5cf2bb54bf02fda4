"""SIGTERM: what was acknowledged is there, what was accepted is acknowledged, and the exit is 0."""

import secrets
import threading
from collections.abc import Callable, Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.chaos.watchers import Watcher
from tests.conftest import Sidecar
from tests.faults.checker import faults
from tests.faults.driver import Load, StreamProducer, open_channel
from tests.faults.readers import filed_log, filed_marks
from tests.faults.stalls import fill, open_narrow_channel, stalled_recorder, stalled_watch
from tests.faults.waiting import until
from tests.rpc.statuses import answer_of
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

GRACE_S = 6.0
GRACE = ("--grace-s", str(GRACE_S))


def ended_well(producer: StreamProducer) -> bool:
    """Whether the last stream that was open heard GoAway and then closed with OK."""
    last = [ending for ending in producer.endings if ending.was_open][-1]
    return last.said_go_away and last.code is grpc.StatusCode.OK


def test_under_load_the_last_acknowledgements_arrive_and_nothing_is_missing(
    sidecar: Callable[..., Sidecar],
) -> None:
    """Streams hear GoAway, then all that was stored is acknowledged, then OK; exit 0 in time."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    server = sidecar(*GRACE)
    with Load(server.address, seed) as load:
        until(lambda: load.record.acknowledged_count > 500, "a running load")
        assert server.terminate(within_s=GRACE_S) == 0
        until(
            lambda: all(any(e.was_open for e in p.endings) for p in load.producers),
            "the end of every stream",
        )
    assert [p.endings for p in load.producers if not ended_well(p)] == [], server.log
    assert load.protocol_faults == []
    ended = {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert {ending.code for each in load.producers for ending in each.endings} <= ended
    # A unary call that arrives while gRPC shuts down is cut by gRPC itself; we never see it.
    cut = ended | {grpc.StatusCode.CANCELLED}
    assert {ending.code for each in load.unary for ending in each.endings} <= cut
    log = filed_log(server.database)
    assert faults(log, load.record) == []
    told = {producer.producer_id: producer.acknowledged_seq for producer in load.producers}
    assert filed_marks(server.database) == told, "something was stored and not acknowledged"


def test_a_stream_that_never_opened_is_told_to_come_back(
    sidecar: Callable[..., Sidecar],
) -> None:
    """A stream without its first message ends as UNAVAILABLE/SHUTTING_DOWN, at once."""
    server = sidecar("--grace-s", "60")
    over = threading.Event()

    def says_nothing() -> Iterator[pb.StreamEventsRequest]:
        over.wait()
        yield from ()

    with open_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        stream = EventServiceStub(channel).StreamEvents(says_nothing())
        # The server answers calls of one connection in order: it has seen the stream by then.
        health.Check(health_pb2.HealthCheckRequest())
        assert server.terminate() == 0
        with pytest.raises(grpc.RpcError) as refusal:
            next(stream)
        over.set()
    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
    assert answer_of(refusal.value).reason == "SHUTTING_DOWN"


def test_clients_that_never_let_go_do_not_hold_up_the_end(
    sidecar: Callable[..., Sidecar],
) -> None:
    """A stalled watcher, an engine that reads no acknowledgement, and a health watcher, who hears
    NOT_SERVING first: exit 0 within the grace period all the same."""
    server = sidecar(*GRACE)
    with (
        open_channel(server.address) as channel,
        open_narrow_channel(server.address) as narrow,
    ):
        stub = EventServiceStub(narrow)
        fill(EventServiceStub(channel))
        calls: list[grpc.RpcContext] = [stalled_watch(stub), stalled_recorder(stub)]
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(health).status == health_pb2.HealthCheckResponse.SERVING
        server.process.terminate()
        assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert server.process.wait(GRACE_S) == 0
        for call in calls:
            call.cancel()


def test_no_acknowledged_unary_event_is_missing_after_many_quick_stops(
    sidecar: Callable[..., Sidecar],
) -> None:
    """Stop and start over and over under unary calls alone: each answered event is stored."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    server = sidecar(*GRACE)
    with Load(server.address, seed, producers=0, unary=4) as load:
        for _ in range(2):
            before = load.record.acknowledged_count
            until(lambda: load.record.acknowledged_count > before + 50, "calls")  # noqa: B023
            assert server.terminate(within_s=GRACE_S) == 0
            server.restart()
        load.drain()
    assert server.terminate() == 0
    assert faults(filed_log(server.database), load.record) == []


def test_watchers_of_a_busy_log_are_told_and_let_go(sidecar: Callable[..., Sidecar]) -> None:
    """However often a stop meets a commit, each watcher hears SHUTTING_DOWN from the sidecar itself
    and none holds up the end until the grace period cuts it."""
    server = sidecar(*GRACE)
    watchers = [Watcher(f"watcher-{number}", [server.address], number) for number in range(4)]

    def told() -> list[int]:
        return [
            sum(ending.reason == "SHUTTING_DOWN" for ending in watcher.endings)
            for watcher in watchers
        ]

    with Load(server.address, seed=8, producers=2, unary=1) as load:
        for watcher in watchers:
            watcher.start()
        for number in range(5):
            seen = max(watcher.through for watcher in watchers)
            until(lambda: all(w.through > seen + 200 for w in watchers), "watching")  # noqa: B023
            assert server.terminate(within_s=GRACE_S) == 0
            until(lambda: told() == [number + 1] * 4, "each to be told")  # noqa: B023
            server.restart()
        load.drain()
    for watcher in watchers:
        watcher.end(GRACE_S)
    assert [fault for watcher in watchers for fault in watcher.faults] == []
