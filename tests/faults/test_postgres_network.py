"""The network between a sidecar and its Postgres: silent, half-open, cut, slow."""

from collections.abc import Callable, Iterator

import grpc
import pytest

from tests.chaos.proxy import PASS, STALL, Proxy, Way
from tests.conftest import Sidecar
from tests.faults.checker import faults
from tests.faults.driver import Load
from tests.faults.readers import filed_log
from tests.faults.waiting import until
from tests.postgres import PostgresServer

# A connection that fell silent for ever is noticed by the sidecar's own limit for one commit.
RECOVERY_S_MAX = 75.0
# What a busy machine may take beyond the grace period until the process is gone.
GRACE_S, SLACK_S = 4.0, 10.0


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[Proxy]:
    """Stands between the sidecar and Postgres."""
    with Proxy(f"{postgres_server.host}:{postgres_server.port}") as one:
        yield one


@pytest.fixture
def proxied(
    sidecar: Callable[..., Sidecar],
    postgres_server: PostgresServer,
    postgres_url: str,
    proxy: Proxy,
) -> Sidecar:
    """A sidecar that reaches its database through the proxy."""
    name = postgres_url.rpartition("/")[2]
    return sidecar(database=postgres_server.url(name, port=proxy.port))


def running(load: Load, more: int = 200, limit_s: float = RECOVERY_S_MAX) -> None:
    """Returns when recording goes on."""
    before = load.record.acknowledged_count
    until(lambda: load.record.acknowledged_count > before + more, "recording", limit_s)


def judged(server: Sidecar, load: Load, database: str) -> None:
    """Ends everything and holds the log against the record; each refusal was one to retry."""
    load.drain(RECOVERY_S_MAX)
    assert load.protocol_faults == []
    assert {ending.code for ending in load.endings} <= {
        grpc.StatusCode.OK,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
    assert server.terminate() == 0
    assert "Traceback" not in server.log
    assert faults(filed_log(database), load.record) == []


@pytest.mark.parametrize(
    ("up", "down"),
    [(STALL, STALL), (STALL, PASS), (PASS, STALL), (Way(delay_s=0.02, jitter_s=0.02), PASS)],
    ids=["black-hole", "no-requests", "no-answers", "slow"],
)
def test_a_network_that_fails_for_a_while_costs_that_while(
    proxied: Sidecar, proxy: Proxy, postgres_url: str, up: Way, down: Way
) -> None:
    """Commits wait, or are refused with RetryInfo, and go on when the network does."""
    with Load(proxied.address, seed=31) as load:
        running(load)
        proxy.set(up, down)
        if up.stalled or down.stalled:
            until(lambda: load.producers[0].is_waiting, "callers to wait")
        else:
            running(load, more=50)
        proxy.heal()
        running(load)
        judged(proxied, load, postgres_url)


def test_cut_connections_are_made_anew(proxied: Sidecar, proxy: Proxy, postgres_url: str) -> None:
    """A reset of every connection to Postgres, several times over, loses nothing."""
    with Load(proxied.address, seed=32) as load:
        for _ in range(5):
            running(load, more=100)
            proxy.reset()
        running(load)
        judged(proxied, load, postgres_url)


@pytest.mark.timeout(240)
def test_a_half_open_connection_is_given_up_and_replaced(
    proxied: Sidecar, proxy: Proxy, postgres_url: str
) -> None:
    """The connections of now fall silent for ever, as after a failover: nobody ends them. The
    sidecar gives them up, connects anew, and a commit in doubt is not stored twice."""
    with Load(proxied.address, seed=33) as load:
        running(load)
        proxy.abandon()
        running(load)
        judged(proxied, load, postgres_url)


def test_a_stop_keeps_to_its_grace_though_the_database_is_silent(
    sidecar: Callable[..., Sidecar],
    postgres_server: PostgresServer,
    postgres_url: str,
    proxy: Proxy,
) -> None:
    """SIGTERM while a commit waits for an answer that never comes: exit 0 within the grace period,
    and what was not acknowledged is sent again by its callers."""
    name = postgres_url.rpartition("/")[2]
    database = postgres_server.url(name, port=proxy.port)
    server = sidecar("--grace-s", str(GRACE_S), database=database)
    with Load(server.address, seed=34) as load:
        running(load)
        proxy.abandon()
        until(lambda: load.producers[0].is_waiting, "callers to wait")
        assert server.terminate(within_s=GRACE_S + SLACK_S) == 0
        server.restart()
        running(load)
        judged(server, load, postgres_url)
