"""The test server keeps what the tests rely on: it can be killed, paused, and leaves nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import ROOT, disk_base
from tests.faults.waiting import until
from tests.postgres import EXTERNAL, NOT_OURS, PostgresServer, running_server

DIES = """
import os, pathlib, signal
from tests.postgres import PostgresServer
server = PostgresServer(pathlib.Path({base!r})).start()
print(server.folder, server.postmaster, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server of this test alone."""
    if os.environ.get(EXTERNAL):
        pytest.skip(NOT_OURS)
    yield from running_server(disk_base())


def value(url: str, query: str) -> object:
    """The only value of a query's answer."""
    with psycopg.connect(url, connect_timeout=10) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_each_test_gets_an_empty_durable_database(postgres_url: str) -> None:
    """No tables, and the settings that an acknowledgement stands on."""
    count = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert value(postgres_url, count) == 0
    assert value(postgres_url, "SHOW fsync") == "on"
    assert value(postgres_url, "SHOW synchronous_commit") == "on"


def test_a_killed_server_comes_back_with_what_was_committed(own_server: PostgresServer) -> None:
    """SIGKILL ends every process of it; a restart recovers from the log, on the same port."""
    url = own_server.database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (x int)")
    own_server.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=2)
    own_server.restart()
    assert value(url, "SELECT count(*) FROM kept") == 0
    assert "was not properly shut down" in own_server.log


def test_a_paused_server_answers_nobody_and_then_goes_on(own_server: PostgresServer) -> None:
    """Its connections stay open, silent, and answer after the pause."""
    with psycopg.connect(own_server.url(), autocommit=True) as connection:
        own_server.pause()
        connection.pgconn.send_query(b"SELECT 1")
        states = [Path(f"/proc/{pid}/stat").read_text() for pid in own_server.processes]
        assert {state.rpartition(")")[2].split()[0] for state in states} == {"T"}
        assert connection.pgconn.is_busy() == 1
        own_server.resume()
        answer = connection.pgconn.get_result()
        assert answer is not None
        assert answer.get_value(0, 0) == b"1"
        assert connection.pgconn.get_result() is None


def test_it_ends_with_the_test_process_and_leaves_no_files(disk_path: Path) -> None:
    """Even when that process is killed, the server and its folder are gone soon after."""
    if os.environ.get(EXTERNAL):
        pytest.skip(NOT_OURS)
    script = DIES.format(base=str(disk_path))
    died = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    folder, postmaster = died.stdout.split()
    until(lambda: not Path(folder).exists(), "the folder to be gone")
    until(lambda: not Path(f"/proc/{postmaster}/cwd").exists(), "the server to be gone")
