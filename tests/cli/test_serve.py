"""`trimtab serve` and `trimtab config` as a user meets them: process, words, exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner

from tests.conftest import Sidecar
from trimtab_server import __version__
from trimtab_server.cli import app
from trimtab_server.settings import ENV_PREFIX, Settings

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)


def _serve(*flags: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A `trimtab serve` that must not come up."""
    return subprocess.run(
        [sys.executable, "-m", "trimtab_server", "serve", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
    )


def _one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one clear line of a start that failed, with exit code 2 and nothing else."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("trimtab: ")
    return line


def test_config_prints_every_setting_and_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Effective values, with flag, environment, file or default behind each."""
    path = tmp_path / "t.toml"
    path.write_text("window_events = 77\n")
    monkeypatch.setenv("TRIMTAB_GRACE_S", "2.5")
    done = RUNNER.invoke(app, ["config", "--config", str(path), "--log-level", "error"])
    assert done.exit_code == 0, done.output
    plain, _, tables = done.output.partition("\n\n")
    pairs = (line.split(" = ", 1) for line in plain.splitlines())
    lines = {name.strip("# "): rest for name, rest in pairs}
    assert set(lines) == set(Settings.model_fields) - {"gate", "shadow", "reports"}
    assert tables.startswith("# gate: default\n[gate]\nlease_ttl_s = 5.0\n")
    assert lines["window_events"].startswith("77 ")
    assert lines["window_events"].endswith(f"# file {path}")
    assert lines["grace_s"].startswith("2.5 ")
    assert lines["grace_s"].endswith("# environment TRIMTAB_GRACE_S")
    assert lines["log_level"].startswith('"error" ')
    assert lines["log_level"].endswith("# flag")
    assert lines["listen"].endswith("# default")


def test_every_setting_has_a_flag() -> None:
    """Nothing can be set by file or environment only; reflection can be turned off as well."""
    flags = [f"--{name.replace('_', '-')}" for name in Settings.model_fields]
    done = RUNNER.invoke(app, ["serve", "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert [flag for flag in flags if flag not in done.output] == []
    assert "--no-reflection" in done.output


def test_version_and_help() -> None:
    """`--version` prints it; no command prints the help."""
    assert RUNNER.invoke(app, ["--version"]).output == f"trimtab {__version__}\n"
    assert "serve" in RUNNER.invoke(app, []).output


@pytest.mark.parametrize("command", ["serve", "config"])
def test_a_mistake_in_the_settings_is_one_line(command: str, tmp_path: Path) -> None:
    """Exit code 2 and the setting's name, before anything is opened."""
    path = tmp_path / "t.toml"
    path.write_text("no_such_setting = 1\n")
    done = RUNNER.invoke(app, [command, "--config", str(path)])
    assert done.exit_code == 2
    assert done.stderr == f"trimtab: {path}: unknown setting 'no_such_setting'\n"
    done = RUNNER.invoke(app, [command, "--window-events", "none"])
    assert done.exit_code == 2
    assert done.stderr.startswith("trimtab: setting window_events: ")


@pytest.mark.parametrize(
    "listen",
    [
        *("0.0.0.0:0", "[::]:0", ":0", "192.168.0.1:0", "example.com:7517", "169.254.0.1:0"),
        *("localhost.evil.com:0", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:99999"),
        *("127.0.0.1:²", "127.0.0.1:" + "9" * 5_000, "", "unix", "0:0"),
    ],
)
def test_an_address_beyond_this_machine_is_refused(listen: str, tmp_path: Path) -> None:
    """Without TLS and tokens the sidecar serves loopback and Unix sockets only; what is no address
    is refused too. Nothing is created."""
    flags = ["serve", "--listen", listen, "--database", str(tmp_path / "x.db")]
    done = RUNNER.invoke(app, flags)
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("trimtab: listen: ")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("listen", ["localhost:0", "[::1]:0", "127.0.0.2:0"])
def test_every_loopback_address_will_do(
    sidecar: Callable[..., Sidecar], listen: str, tmp_path: Path
) -> None:
    """The address that is printed is the one that is served."""
    if listen.startswith("[") and not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    one = sidecar(listen=listen)
    assert one.version == __version__
    assert one.address.startswith(listen.rpartition(":")[0])
    with grpc.insecure_channel(one.address) as channel:
        grpc.channel_ready_future(channel).result(20)
    assert one.terminate() == 0


def test_a_second_sidecar_is_refused(sidecar: Callable[..., Sidecar], tmp_path: Path) -> None:
    """On the same database, and on the same port: exit code 2 and one clear line; the first one
    does not notice."""
    first = sidecar()
    words = _one_line(
        _serve("--listen", "127.0.0.1:0", "--database", str(first.database), cwd=tmp_path)
    )
    assert f"another sidecar serves {first.database}" in words
    words = _one_line(
        _serve("--listen", first.address, "--database", str(tmp_path / "y.db"), cwd=tmp_path)
    )
    assert f"cannot listen on {first.address}" in words
    with grpc.insecure_channel(first.address) as channel:
        grpc.channel_ready_future(channel).result(20)
    assert first.terminate() == 0


def test_a_second_sidecar_on_the_same_socket_is_refused(
    sidecar: Callable[..., Sidecar], tmp_path: Path
) -> None:
    """A Unix socket that is being served is not taken over; one that was left behind is."""
    listen = f"unix:{tmp_path / 's'}"
    first = sidecar(listen=listen)
    words = _one_line(
        _serve("--listen", listen, "--database", str(tmp_path / "y.db"), cwd=tmp_path)
    )
    assert f"cannot listen on {listen}" in words
    first.kill()
    assert first.restart().terminate() == 0


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("mysql://localhost/x", "database: the log is kept in SQLite or Postgres, not in 'mysql'"),
        ("postgresql://127.0.0.1:1/x", "cannot open Postgres database 'x' on 127.0.0.1"),
        ("sqlite://", "database: a file is needed"),
        ("sqlite:///:memory:", "database: a file is needed"),
        (":memory:", "database: a file is needed"),
        ("no such scheme://x", "database: "),
        ("/no/such/folder/x.db", "cannot create /no/such/folder/x.db.lock"),
    ],
)
def test_a_database_that_cannot_be_is_one_line(
    database: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 and what is wrong with it."""
    monkeypatch.chdir(tmp_path)
    done = RUNNER.invoke(app, ["serve", "--listen", "127.0.0.1:0", "--database", database])
    assert done.exit_code == 2, done
    assert done.stderr.splitlines()[-1].startswith(f"trimtab: {words}")


def test_what_config_prints_is_a_file_for_config(tmp_path: Path) -> None:
    """Printed, read again, printed again: the same settings, tables and strange names too."""
    hours = {
        "timezone": "Asia/Tokyo",
        "open": "09:00",
        "close": "15:30",
        "holidays": ["2025-01-01"],
    }
    gate = {
        "hours": {'Tōkyō "TSE" \U0001f5fe': hours},
        "parameters": [{"symbol": 'a"\\', "size_multiplier": 0.5}],
    }
    flags = ["--streams-max", "7", "--no-reflection", "--gate", json.dumps(gate)]
    first = RUNNER.invoke(app, ["config", *flags])
    path = tmp_path / "trimtab.toml"
    path.write_text(first.stdout)
    again = RUNNER.invoke(app, ["config", "--config", str(path)])
    assert again.exit_code == 0, again.output
    values = [line.split("#")[0] for line in first.stdout.splitlines()]
    assert [line.split("#")[0] for line in again.stdout.splitlines()] == values
    assert "file" in again.stdout
