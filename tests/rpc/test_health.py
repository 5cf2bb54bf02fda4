"""Readiness and its reasons, at a real sidecar: GetHealth, grpc.health.v1, and both while the
database is away."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.conftest import Sidecar
from tests.faults.waiting import until
from tests.postgres import PostgresServer
from tests.rpc.conversation import Conversation
from tests.rpc.samples import an_event
from tests.rpc.statuses import answer_of, refusal
from trimtab.v1 import admin_service_pb2, admin_service_pb2_grpc
from trimtab.v1 import event_pb2 as ev
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

State = health_pb2.HealthCheckResponse
SERVICES = ("", "trimtab.v1.EventService", "trimtab.v1.AdminService")
CALL_S_MAX = 20.0
NOBODY_HAS_SO_MUCH = str(1 << 60)


class Asked:
    """A sidecar's answers about itself."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.events = EventServiceStub(channel)
        self.admin = admin_service_pb2_grpc.AdminServiceStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)

    def health(self) -> admin_service_pb2.GetHealthResponse:
        """Conditions and figures."""
        request = admin_service_pb2.GetHealthRequest()
        return self.admin.GetHealth(request, timeout=CALL_S_MAX)

    def info(self) -> admin_service_pb2.GetServerInfoResponse:
        """What the server is."""
        request = admin_service_pb2.GetServerInfoRequest()
        return self.admin.GetServerInfo(request, timeout=CALL_S_MAX)

    def failing(self) -> dict[str, str]:
        """The conditions that fail, with their words."""
        answer = self.health()
        found = {each.name: each.message for each in answer.conditions if not each.ok}
        assert answer.ready == (not found)
        return found

    def states(self) -> set[int]:
        """What grpc.health.v1 says of the services, each once."""
        requests = [health_pb2.HealthCheckRequest(service=name) for name in SERVICES]
        return {self._health.Check(each, timeout=CALL_S_MAX).status for each in requests}

    def watch(self, service: str = "") -> Any:
        """The states of a service as they change."""
        return self._health.Watch(health_pb2.HealthCheckRequest(service=service), timeout=60)

    def record(self) -> None:
        """Records an event."""
        self.events.RecordEvent(pb.RecordEventRequest(event=an_event()), timeout=CALL_S_MAX)


@contextmanager
def asked(server: Sidecar) -> Iterator[Asked]:
    """A connection to ask over."""
    with grpc.insecure_channel(server.address) as channel:
        yield Asked(channel)


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another program holds the database's write lock."""
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        holder.close()


def is_stuck(found: admin_service_pb2.GetHealthResponse) -> bool:
    """Whether a commit that does not end is told, with the age of what waits for it."""
    words = {each.name: each.message for each in found.conditions}["writer"]
    return "a commit has been running for" in words and found.queue.HasField("oldest_age")


def test_figures_tell_what_became_of_each_event(sidecar: Callable[..., Sidecar]) -> None:
    """Stored, sent again, refused and lost; the share of what came; commits, queue, disk."""
    with asked(sidecar()) as server:
        before = server.health()
        assert not before.HasField("collection_share")
        assert not before.commits.HasField("last_age")
        events = [an_event() for _ in range(5)]
        for sent in (events, events[:2], [an_event(source=""), an_event()]):
            server.events.RecordEvents(pb.RecordEventsRequest(events=sent), timeout=CALL_S_MAX)
        refusal(
            lambda: server.events.RecordEvent(
                pb.RecordEventRequest(event=an_event(source="")), timeout=CALL_S_MAX
            )
        )
        with Conversation(server.events) as stream:
            stream.record(1, [an_event()])
            stream.say(lost=pb.Lost(first_seq=2, last_seq=4, reason=ev.LOSS_REASON_SPOOL_DAMAGED))
            stream.ack_through(4)
            found = server.health()
            assert (found.stream_count, found.watcher_count) == (1, 0)
    for counts in (found.since_start, found.last_minute):
        told = (counts.stored_count, counts.duplicate_count)
        assert (*told, counts.rejected_count, counts.lost_count) == (7, 2, 2, 3)
    assert found.collection_share == pytest.approx(7 / 12)
    assert 7 / 60 < found.events_per_second <= 7
    # Three calls, the batch of the stream, the loss.
    assert (found.commits.count, found.commits.failure_count) == (5, 0)
    p50, p99 = found.commits.latency_p50, found.commits.latency_p99
    assert 0 < p50.ToNanoseconds() <= p99.ToNanoseconds()
    assert (found.queue.event_count, found.queue.bytes) == (0, 0)
    assert (found.queue.event_count_max, found.queue.bytes_max) == (65_536, 64 << 20)
    assert not found.queue.HasField("oldest_age")
    assert 0 < found.disk.free_bytes <= found.disk.total_bytes
    assert found.store == "sqlite"
    assert found.uptime.ToNanoseconds() > 0


def test_a_disk_that_is_nearly_full_is_told_and_refuses_nothing(
    sidecar: Callable[..., Sidecar],
) -> None:
    """NOT_SERVING for every service, with the reason; recording and reading go on."""
    with asked(sidecar("--disk-free-bytes-min", NOBODY_HAS_SO_MUCH)) as server:
        assert server.states() == {State.NOT_SERVING}
        (words,) = server.failing().values()
        assert "disk_free_bytes_min is 1,099,511,627,776 MiB" in words
        server.record()
        assert server.info().last_sequence == 1
        assert server.health().since_start.stored_count == 1


def test_a_database_file_that_is_gone_is_told_until_it_is_back(
    sidecar: Callable[..., Sidecar],
) -> None:
    """A watcher hears NOT_SERVING, then SERVING: SQLite itself would go on without a word."""
    one = sidecar()
    away = one.file.with_suffix(".away")
    with asked(one) as server:
        states = server.watch(SERVICES[1])
        assert next(states).status == State.SERVING
        one.file.rename(away)
        assert next(states).status == State.NOT_SERVING
        assert list(server.failing()) == ["disk"]
        assert not server.health().HasField("disk")
        away.rename(one.file)
        assert next(states).status == State.SERVING
        states.cancel()


def test_a_locked_database_is_told_and_recovers_by_itself(
    sidecar: Callable[..., Sidecar],
) -> None:
    """While the commit hangs it is the writer, once it has failed the database; when the lock is
    gone, the sidecar finds out without anybody recording."""
    one = sidecar("--writer-stuck-s-max", "0.2")
    with asked(one) as server:
        server.record()
        states = server.watch()
        assert next(states).status == State.SERVING
        with locked(one.file):
            answers: list[Any] = []
            caller = threading.Thread(target=lambda: answers.append(refusal(server.record)))
            caller.start()
            assert next(states).status == State.NOT_SERVING
            until(lambda: is_stuck(server.health()), "the writer to be told")
            until(lambda: "database" in server.failing(), "the database to be told")
            assert "busy" in server.failing()["database"]
            caller.join(CALL_S_MAX)
            assert answers[0].reason == "STORE_UNAVAILABLE"
            assert server.health().commits.failure_count > 0
        until(lambda: not server.failing(), "all to be well")
        until(lambda: server.states() == {State.SERVING}, "every service to be SERVING")
        server.record()
        states.cancel()


def test_a_database_that_is_away_leaves_the_server_answering(
    sidecar: Callable[..., Sidecar], postgres_server: PostgresServer, postgres_url: str
) -> None:
    """Postgres is killed and nobody records: the sidecar notices, tells what it knows of the log,
    and is ready again when the server is back."""
    with asked(sidecar(database=postgres_url)) as server:
        server.record()
        known = server.info()
        assert (known.first_sequence, known.last_sequence) == (1, 1)
        postgres_server.kill()
        try:
            until(lambda: "database" in server.failing(), "its absence to be noticed")
            assert server.states() == {State.NOT_SERVING}
            away = server.info()
            assert away.log_id == known.log_id
            assert (away.first_sequence, away.last_sequence) == (1, 1)
            assert not server.health().HasField("disk")
        finally:
            postgres_server.start()
        until(lambda: server.states() == {State.SERVING}, "the database's return")
        server.record()


def test_a_service_that_is_not_served_has_no_state(sidecar: Callable[..., Sidecar]) -> None:
    """Watch says SERVICE_UNKNOWN and stays open: it may come with another version."""
    with asked(sidecar()) as server:
        states = server.watch("trimtab.v1.Nothing")
        assert next(states).status == State.SERVICE_UNKNOWN
        assert states.is_active()
        states.cancel()


def test_a_watch_ends_with_the_server(sidecar: Callable[..., Sidecar]) -> None:
    """It hears NOT_SERVING and then why: a watch is no call that the end waits for. A watch that
    was told NOT_SERVING before ends too."""
    for flags, first in (((), State.SERVING), (("--disk-free-bytes-min", NOBODY_HAS_SO_MUCH), 2)):
        one = sidecar("--grace-s", "300", *flags)
        with asked(one) as server:
            states = server.watch()
            heard: list[int] = []
            assert next(states).status == first
            one.process.terminate()
            with pytest.raises(grpc.RpcError) as error:
                heard.extend(answer.status for answer in states)
            assert set(heard) <= {State.NOT_SERVING}
            assert answer_of(error.value).reason == "SHUTTING_DOWN"
            assert one.process.wait(CALL_S_MAX) == 0
