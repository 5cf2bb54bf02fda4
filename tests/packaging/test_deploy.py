"""What deploy/ holds fits the sidecar that it deploys."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from trimtab_server.cli import app
from trimtab_server.settings import load

ROOT = Path(__file__).resolve().parent.parent.parent
UNIT = ROOT / "deploy" / "systemd" / "trimtab.service"
COLLECTOR = ROOT / "deploy" / "otel-collector" / "config.yaml"
# systemd's own measure: 0 is locked up, 10 is wide open; a network service that it calls OK has 4.
EXPOSURE_MAX = 1.2


def unit_values(text: str) -> dict[str, list[str]]:
    """The settings of a unit file: each name with its values in order."""
    values: dict[str, list[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        name, found, value = line.partition("=")
        if found and not line.startswith("#"):
            values.setdefault(name, []).append(value.strip())
    return values


def start_flags() -> dict[str, str]:
    """The flags of ExecStart with their values."""
    program, command, *words = shlex.split(unit_values(UNIT.read_text())["ExecStart"][0])
    assert (Path(program).name, command) == ("trimtab", "serve")
    return dict(zip(words[::2], words[1::2], strict=True))


def test_unit_starts_the_sidecar_with_flags_that_it_knows() -> None:
    """Every flag is one of `trimtab serve`, and its value is one that the settings take."""
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    known = {flag for parameter in serve.params for flag in parameter.opts}
    flags = start_flags()
    assert set(flags) <= known
    assert {"--listen", "--database", "--otlp-endpoint", "--prometheus-listen"} <= set(flags)
    load(flags={name[2:].replace("-", "_"): value for name, value in flags.items()})


def test_unit_leaves_room_for_the_orderly_end_and_keeps_the_database_where_it_may_write() -> None:
    """Stopped before its grace is over, a sidecar would not send the last acknowledgement."""
    values = unit_values(UNIT.read_text())
    assert float(values["TimeoutStopSec"][0]) >= 2 * load().grace_s
    state = "/var/lib/" + values["StateDirectory"][0]
    assert start_flags()["--database"].startswith(f"sqlite:///{state}/")
    assert values["Type"] == ["notify"]


def test_unit_and_collector_agree_on_the_collectors_address() -> None:
    """Telemetry is sent to where the collector's configuration listens."""
    endpoint = start_flags()["--otlp-endpoint"].removeprefix("http://")
    listens = re.findall(r"^\s+endpoint: (\S+)$", COLLECTOR.read_text(), re.MULTILINE)
    assert listens[0] == endpoint
    own = {start_flags()[flag] for flag in ("--listen", "--prometheus-listen")}
    assert len({*listens, *own}) == len(listens) + len(own)


@pytest.mark.parametrize(
    ("line", "instead", "is_fine"),
    [
        ("", "", True),
        ("NoNewPrivileges=yes", "NoNewPrivilege=yes", False),
        ("SystemCallFilter=@system-service", "", False),
        ("CapabilityBoundingSet=", "", False),
    ],
)
def test_unit_is_well_formed_and_locked_up(
    line: str, instead: str, is_fine: bool, tmp_path: Path
) -> None:
    """By systemd's own tools; a misspelt or missing line of the hardening is noticed."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        # Without systemd's tools the lines themselves are all there is to see.
        assert {"ProtectSystem=strict", "NoNewPrivileges=yes"} <= set(UNIT.read_text().splitlines())
        return
    text = UNIT.read_text().replace(line, instead, 1) if line else UNIT.read_text()
    unit = tmp_path / "trimtab.service"
    # The program need not be installed here.
    unit.write_text(text.replace("/opt/trimtab/bin/trimtab", "/bin/true"))
    verified = subprocess.run(
        [tool, "verify", "--man=no", unit], check=False, capture_output=True, text=True
    )
    measured = subprocess.run(
        [tool, "security", "--offline=true", f"--threshold={EXPOSURE_MAX * 10:.0f}", unit],
        check=False,
        capture_output=True,
        text=True,
    )
    words = verified.stdout + verified.stderr
    clean = verified.returncode == 0 and "Unknown key" not in words
    assert (clean and measured.returncode == 0) == is_fine, words + measured.stdout[-300:]
