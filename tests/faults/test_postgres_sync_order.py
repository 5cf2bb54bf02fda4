"""The order of write, sync and answer on Postgres, whichever of its processes syncs."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Sidecar
from tests.faults import syscalls
from tests.faults.driver import CALL_S_MAX, open_channel
from tests.faults.syscalls import attached, calls, order_faults
from tests.faults.test_sync_order import (
    EVENTS,
    UNSYNCED,
    Recorder,
    record_in_lock_step,
    stream_in_lock_step,
)
from tests.postgres import PostgresServer
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

LOG = "/pg_wal/"


@pytest.fixture
def order(
    sidecar: Callable[..., Sidecar],
    own_postgres: PostgresServer,
    postgres_url: str,
    disk_path: Path,
) -> Callable[..., list[str]]:
    """Traces Postgres and a sidecar together while a recorder records; what is wrong with it."""
    if reason := syscalls.why_not_attach():
        pytest.skip(reason)

    def run(recorder: Recorder, *flags: str, change: str = "") -> list[str]:
        server = sidecar(*flags, database=postgres_url)
        if change:
            with psycopg.connect(own_postgres.url(), autocommit=True) as connection:
                connection.execute(change.encode())
                connection.execute("SELECT pg_reload_conf()")
        trace = disk_path / "trace"
        with open_channel(server.address) as channel:
            stub = EventServiceStub(channel)
            recorder(stub)  # once before: connections are made, plans are known
            with attached([server.pid, *own_postgres.processes], trace):
                markers = recorder(stub, seed=7)
                # Answered when the last answer before it has left in the trace, too.
                stub.GetStats(pb.GetStatsRequest(), timeout=CALL_S_MAX)
        assert len(markers) == EVENTS
        return order_faults(calls(trace.read_text().splitlines()), markers, LOG)

    return run


@pytest.mark.parametrize("recorder", [record_in_lock_step, stream_in_lock_step])
def test_the_log_is_synced_before_the_acknowledgement_leaves(
    order: Callable[..., list[str]], recorder: Recorder
) -> None:
    """No byte of an answer leaves the sidecar before fdatasync of Postgres's log came back."""
    assert order(recorder) == []


def test_a_sidecar_that_does_not_wait_for_the_sync_is_caught(
    order: Callable[..., list[str]],
) -> None:
    """With synchronous_commit=off the same check condemns it."""
    faults = order(record_in_lock_step, "--durability", "process_crash")
    assert {fault.partition(": ")[2] for fault in faults} <= {
        UNSYNCED,
        "answered before it was written",
    }
    assert faults


def test_a_postgres_that_does_not_sync_is_caught(
    order: Callable[..., list[str]], own_postgres: PostgresServer
) -> None:
    """With fsync=off, set behind the sidecar's back, every event is condemned."""
    try:
        faults = order(record_in_lock_step, change="ALTER SYSTEM SET fsync = off")
        assert [fault.partition(": ")[2] for fault in faults] == [UNSYNCED] * EVENTS
    finally:
        with psycopg.connect(own_postgres.url(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM RESET fsync")
            connection.execute("SELECT pg_reload_conf()")
