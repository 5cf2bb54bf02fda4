"""`trimtab gate`: an operator's orders against a real sidecar, and what the screen says of them."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.conftest import ROOT, Sidecar
from tests.faults.waiting import until
from trimtab_client import Client, read_override
from trimtab_server.cli import app

ENTRIES = ("--source", "alpha-1", "--symbol", "AAPL", "--strategy", "meanrev")


@pytest.fixture
def server(sidecar: Callable[..., Sidecar], monkeypatch: pytest.MonkeyPatch) -> Sidecar:
    """A sidecar that the command line finds by itself."""
    started = sidecar()
    monkeypatch.setenv("TRIMTAB_ADDRESS", started.address)
    monkeypatch.setenv("COLUMNS", "200")
    return started


def gate(*arguments: str) -> Result:
    """One command."""
    return CliRunner().invoke(app, ["gate", *arguments])


def order(name: str, *arguments: str) -> Result:
    """One order in LIVE by ann."""
    done = gate(name, *arguments, "-e", "live", "--reason", "news", "--actor", "ann")
    assert done.exit_code == 0, done.output
    return done


def test_a_halt_is_shown_explained_and_resumed(server: Sidecar) -> None:
    """Exit codes of status and explain follow it; a resume of another scope says what still
    holds."""
    assert gate("status").exit_code == 0
    assert "now: HALTED  symbol=AAPL  by ann: news" in order("halt", "--symbol", "AAPL").output
    shown = gate("status")
    assert shown.exit_code == 1
    assert "LIVE  entries restricted  (revision 1)" in shown.output
    assert "PAPER  entries pass" in shown.output
    why = gate("explain", "-e", "live", *ENTRIES, "--confidence", "0.9")
    assert why.exit_code == 1
    assert "DENY  trading_state [symbol=AAPL]: halted by ann: news" in why.output
    leaving = gate("explain", "-e", "live", *ENTRIES, "--intent", "exit")
    assert leaving.exit_code == 0
    assert "does not bind this intent" in leaving.output
    other = order("resume")
    assert "still in force: HALTED  symbol=AAPL" in other.output
    assert "before: HALTED" in order("resume", "--symbol", "AAPL").output
    assert gate("status").exit_code == 0
    assert gate("explain", "-e", "live", *ENTRIES).exit_code == 0


def test_what_ends_by_itself_says_when(server: Sidecar) -> None:
    """A span counts from the sidecar's clock; a time is taken as it is."""
    assert "(until 2099-01-01T00:00:00Z)" in order("reduce", "--until", "2099-01-01").output
    assert "until resumed" in order("halt", "--block-exits").output
    with Client(server.address) as client:
        before = client.list_breakers(environment="LIVE").server_time.seconds
    told = json.loads(order("halt", "--until", "2h", "--json").output)
    assert told["current"]["state"] == "TRADING_STATE_HALTED"
    with Client(server.address) as client:
        listed = client.list_breakers(environment="LIVE")
    until_s = listed.trading_states[0].until.seconds
    assert before + 7_200 <= until_s <= listed.server_time.seconds + 7_200


def test_what_is_half_open_everywhere_lets_probes_pass(server: Sidecar) -> None:
    """So status does not say that no entry passes."""
    order("trip", "drawdown", "--cool-down", "0.001s")
    until(lambda: "HALF_OPEN" in gate("status").output, "the cool-down is over")
    assert "LIVE  entries restricted" in gate("status").output
    order("trip", "drawdown")
    assert "LIVE  no entries" in gate("status").output


def test_a_reset_shows_exactly_what_it_clears(server: Sidecar) -> None:
    """First as a dry run, which clears nothing; then for good."""
    order("trip", "loss-rate", "--strategy", "meanrev")
    order("trip", "drawdown", "--symbol", "AAPL", "--cool-down", "1h")
    dry = order("reset", "--include-narrower", "--dry-run")
    assert dry.output.count("would clear: OPEN") == 2
    assert "loss_rate  strategy=meanrev  by ann: news" in dry.output
    assert gate("status").exit_code == 1
    one = order("reset", "loss_rate", "--strategy", "meanrev")
    assert "cleared 1 breaker, revision 3" in one.output
    assert "still not closed: OPEN  drawdown  symbol=AAPL" in one.output
    assert "cleared 1 breaker" in order("reset", "--include-narrower").output
    assert gate("status").exit_code == 0


MISTAKES = (
    (("halt", "-e", "moon", "-r", "x"), "environment"),
    (("halt", "-e", "backtest", "-r", "x"), "run_id"),
    (("halt", "-e", "live", "-r", "x", "--until", "soon"), "--until"),
    (("halt", "-e", "live", "-r", "x", "--until", "2001-01-01"), "until"),
    (("halt", "-e", "backtest", "--run-id", "r", "-r", "x", "--until", "2h"), "own time"),
    (("trip", "gravity", "-e", "live", "-r", "x"), "kind"),
    (("trip", "drawdown", "-e", "live", "-r", "x", "--cool-down", "long"), "--cool-down"),
    (("reduce", "-e", "live", "-r", ""), "reason"),
    # A variable that is not set must not widen a scope.
    (("resume", "-e", "live", "-r", "x", "--symbol", ""), "--symbol: must not be empty"),
    (("reset", "-e", "live", "-r", "x", "--source", ""), "--source: must not be empty"),
    (("halt", "-e", "live", "-r", "x", "--until", "30"), "30min"),
    (("override", "-e", "live", "--source", "a", "-r", "x", "--until", "0s"), "lasts_s"),
)


def test_a_mistake_ends_with_one_line_that_names_it(server: Sidecar) -> None:
    """Exit code 2; nothing has changed."""
    for arguments, words in MISTAKES:
        done = gate(*arguments)
        assert done.exit_code == 2, done.output
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    with Client(server.address) as client:
        assert client.list_breakers(environment="LIVE").revision == 0


def test_without_a_sidecar_every_command_says_so() -> None:
    """Exit code 2, which no answer of the gate has."""
    nobody = ("--address", "127.0.0.1:9")
    for command in (
        ("status",),
        ("halt", "-e", "live", "-r", "x"),
        ("watch",),
        ("explain", "-e", "live", "--source", "alpha-1"),
    ):
        done = gate(*command, *nobody)
        assert done.exit_code == 2, command
        assert "no sidecar answers" in done.stderr


def test_an_override_is_written_where_the_engine_looks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It needs no sidecar: that is what it is for."""
    monkeypatch.setenv("TRIMTAB_GATE_DIR", str(tmp_path))
    done = gate(
        *("override", "-e", "live", "--source", "alpha-1", "--symbol", "AAPL"),
        *("-r", "disk is being replaced", "--until", "30min", "--actor", "ann"),
    )
    assert done.exit_code == 0, done.output
    found = read_override(source="alpha-1", environment="LIVE")
    assert found is not None
    assert (found.actor, found.scope.symbol) == ("ann", "AAPL")


def test_the_watch_shows_each_change(server: Sidecar, tmp_path: Path) -> None:
    """On a terminal: the world as it is, a line for each order that comes, until Ctrl-C."""
    ours, theirs = pty.openpty()
    shown = tmp_path / "shown"
    with shown.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "trimtab_server", "gate", "watch"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=theirs,
            env={**os.environ, "TRIMTAB_ADDRESS": server.address, "COLUMNS": "160"},
        )
        try:
            halts = iter(range(1_000))

            def halted() -> bool:
                order("halt", "--symbol", f"S{next(halts)}")
                return b"+ HALTED" in shown.read_bytes()

            until(halted, "a change is shown")
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
            os.close(ours)
            os.close(theirs)
    assert b"LIVE" in shown.read_bytes()
