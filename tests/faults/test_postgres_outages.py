"""Postgres restarted, killed and paused under load: held back or refused, never lost."""

from collections.abc import Callable

import grpc
import pytest

from tests.conftest import Sidecar
from tests.faults.checker import faults
from tests.faults.driver import Load, open_channel
from tests.faults.readers import filed_log, filed_marks, listed_log, watched_log
from tests.faults.waiting import until
from tests.postgres import PostgresServer
from tests.rpc.statuses import refusal
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

RECOVERY_S_MAX = 30.0
# What may be answered while the database is away; each with RetryInfo (Ending.fault holds that).
HELD_BACK = {
    grpc.StatusCode.OK,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def recovered(load: Load) -> None:
    """Returns when recording goes on, by itself."""
    before = load.record.acknowledged_count
    until(
        lambda: load.record.acknowledged_count > before + 200,
        "recording to go on",
        RECOVERY_S_MAX,
    )


def judged(server: Sidecar, load: Load) -> None:
    """Ends the load and the sidecar, and holds the log against what was acknowledged."""
    load.drain()
    assert load.protocol_faults == []
    watched = watched_log(server.address)
    assert watched == listed_log(server.address)
    assert server.terminate() == 0
    assert "Traceback" not in server.log
    filed = filed_log(server.database)
    assert faults(filed, load.record) == []
    assert [entry._replace(producer_seq=None) for entry in filed] == watched
    marks = filed_marks(server.database)
    assert marks == {p.producer_id: p.acknowledged_seq for p in load.producers}


@pytest.mark.parametrize("end", [PostgresServer.shut_down, PostgresServer.kill])
def test_callers_are_refused_while_postgres_is_away_and_the_sidecar_recovers(
    sidecar: Callable[..., Sidecar],
    own_postgres: PostgresServer,
    postgres_url: str,
    end: Callable[[PostgresServer], None],
) -> None:
    """Every caller hears UNAVAILABLE/STORE_UNAVAILABLE with RetryInfo, readers too; the sidecar
    lives on, finds the database again, and each acknowledged event is stored once."""
    server = sidecar(database=postgres_url)
    with Load(server.address, seed=21) as load, open_channel(server.address) as channel:
        until(lambda: load.record.acknowledged_count > 200, "a running load")
        end(own_postgres)
        until(
            lambda: all(
                any(ending.reason == "STORE_UNAVAILABLE" for ending in caller.endings)
                for caller in load.callers
            ),
            "every caller to be refused",
            RECOVERY_S_MAX,
        )
        answer = refusal(
            lambda: EventServiceStub(channel).ListEvents(pb.ListEventsRequest(), timeout=10)
        )
        assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert answer.retry_after_s is not None
        own_postgres.restart()
        recovered(load)
        assert server.process.poll() is None
        judged(server, load)
    assert {ending.code for ending in load.endings} <= HELD_BACK


def test_callers_wait_out_a_pause_of_postgres(
    sidecar: Callable[..., Sidecar], own_postgres: PostgresServer, postgres_url: str
) -> None:
    """Postgres that stands still for a moment costs that moment: no refusal, no loss."""
    server = sidecar(database=postgres_url)
    with Load(server.address, seed=22) as load:
        until(lambda: load.record.acknowledged_count > 200, "a running load")
        own_postgres.pause()
        held_at = load.record.acknowledged_count
        # One commit may have been on its way; from then on nothing can be acknowledged.
        until(lambda: load.producers[0].is_waiting, "callers to wait")
        own_postgres.resume()
        until(lambda: load.record.acknowledged_count > held_at + 400, "recording to go on")
        judged(server, load)
    assert {ending.code for ending in load.endings} <= HELD_BACK


def test_many_quick_restarts_of_postgres_under_load_lose_nothing(
    sidecar: Callable[..., Sidecar], own_postgres: PostgresServer, postgres_url: str
) -> None:
    """Kills and orderly restarts in turn, each as soon as recording goes on."""
    server = sidecar(database=postgres_url)
    with Load(server.address, seed=23) as load:
        until(lambda: load.record.acknowledged_count > 200, "a running load")
        for number in range(6):
            if number % 2:
                own_postgres.kill()
            own_postgres.restart()
            recovered(load)
        judged(server, load)
    assert {ending.code for ending in load.endings} <= HELD_BACK


def test_a_sidecar_that_is_killed_while_postgres_is_away_starts_when_it_is_back(
    sidecar: Callable[..., Sidecar], own_postgres: PostgresServer, postgres_url: str
) -> None:
    """Both are gone; both come back; what was acknowledged is there."""
    server = sidecar(database=postgres_url)
    with Load(server.address, seed=24) as load:
        until(lambda: load.record.acknowledged_count > 200, "a running load")
        own_postgres.kill()
        server.kill()
        own_postgres.restart()
        server.restart()
        recovered(load)
        judged(server, load)
