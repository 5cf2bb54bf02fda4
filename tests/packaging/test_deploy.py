"""What deploy/ holds fits the sidecar that it deploys."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from trimtab_server.settings import ENV_PREFIX, Settings, load

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


def variables(*, telemetry: bool = False) -> dict[str, str]:
    """The Environment= lines of the unit; telemetry: also those that are commented out."""
    text = UNIT.read_text()
    if telemetry:
        text = text.replace("\n#Environment=", "\nEnvironment=")
    pairs = [shlex.split(value) for value in unit_values(text)["Environment"]]
    assert all(len(words) == 1 for words in pairs), "one variable a line"
    return dict(words[0].split("=", 1) for words in pairs)


def test_unit_starts_the_sidecar_with_variables_that_are_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is one of the settings, and its value is one that they take."""
    told = variables(telemetry=True)
    assert set(told) <= {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    settings = load().model_dump()
    assert {name: str(settings[name.removeprefix(ENV_PREFIX).lower()]) for name in told} == told


def test_an_operator_can_change_every_setting_of_the_unit() -> None:
    """systemd puts EnvironmentFile over Environment; a flag would win over both."""
    values = unit_values(UNIT.read_text())
    assert values["ExecStart"] == ["/opt/trimtab/bin/trimtab serve"]
    assert values["EnvironmentFile"] == ["-/etc/trimtab/trimtab.env"]
    assert values["ConfigurationDirectory"] == ["trimtab"]


def test_unit_has_telemetry_off_and_shows_how_to_turn_it_on() -> None:
    """Both kinds at once would store every number twice: the operator picks one."""
    assert set(variables()) == {"TRIMTAB_LISTEN", "TRIMTAB_DATABASE"}
    offered = set(variables(telemetry=True)) - set(variables())
    assert offered == {"TRIMTAB_OTLP_ENDPOINT", "TRIMTAB_PROMETHEUS_LISTEN"}


def test_unit_leaves_room_for_the_orderly_end_and_keeps_the_database_where_it_may_write() -> None:
    """Stopped before its grace is over, a sidecar would not send the last acknowledgement."""
    values = unit_values(UNIT.read_text())
    assert float(values["TimeoutStopSec"][0]) >= 2 * load().grace_s
    state = "/var/lib/" + values["StateDirectory"][0]
    assert variables()["TRIMTAB_DATABASE"].startswith(f"sqlite:///{state}/")
    assert values["Type"] == ["notify"]


def test_unit_and_collector_agree_on_the_collectors_address() -> None:
    """Telemetry is sent to where the collector's configuration listens."""
    told = variables(telemetry=True)
    endpoint = told["TRIMTAB_OTLP_ENDPOINT"].removeprefix("http://")
    listens = re.findall(r"^\s+endpoint: (\S+)$", COLLECTOR.read_text(), re.MULTILINE)
    assert listens[0] == endpoint
    own = {told["TRIMTAB_LISTEN"], told["TRIMTAB_PROMETHEUS_LISTEN"]}
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
