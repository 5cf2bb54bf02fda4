"""What a trading engine installs works on the protobuf and grpcio that engines pin, old and new."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
ROUND_TRIP = Path(__file__).with_name("round_trip.py")
# Requirements of an engine, and how the versions that are then found begin.
MATRIX = {
    "oldest": (["protobuf==5.29.*", "grpcio==1.71.2"], "5.29.", "1.71.2"),
    "protobuf-6": (["protobuf>=6,<7"], "6.", "1."),
    "newest": (["protobuf>=7,<8", "grpcio>=1.85"], "7.", "1."),
}
# What a trading engine gets, besides the two packages of ours: little.
CLIENT_BRINGS = {"grpcio", "protobuf", "googleapis-common-protos", "typing-extensions"}

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]


def run(*command: object, cwd: Path = ROOT) -> str:
    """What a command prints; the test fails with its words when the command does."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Wheels of the contract and the client, built from their sdists."""
    out = tmp_path_factory.mktemp("wheels")
    for package in ("generated/python", "clients/python"):
        run(BIN / "python", "-m", "build", "--no-isolation", "--outdir", out, ROOT / package)
    return sorted(out.glob("*.whl"))


@pytest.mark.parametrize("name", MATRIX)
def test_client_runs_on_the_versions_of_an_engine(
    name: str, wheels: list[Path], tmp_path: Path
) -> None:
    """Imports, a round trip of every kind of event, the stubs: on that protobuf and grpcio."""
    requirements, protobuf, grpcio = MATRIX[name]
    python = tmp_path / "env" / "bin" / "python"
    run(BIN / "uv", "venv", "--quiet", "--python", sys.executable, tmp_path / "env")
    install: list[str | Path] = [
        BIN / "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        *wheels,
        *requirements,
    ]
    # From the cache when it is filled: then the test needs no network.
    if subprocess.run([*install, "--offline"], check=False, capture_output=True).returncode:
        run(*install)
    listed = run(BIN / "uv", "pip", "list", "--format", "freeze", "--python", python)
    brought = {line.split("==")[0] for line in listed.split()} - {
        "trimtab-client",
        "trimtab-contract",
    }
    assert brought <= CLIENT_BRINGS
    found = run(python, ROUND_TRIP, cwd=tmp_path).split()
    assert found[0].startswith(protobuf)
    assert found[1].startswith(grpcio)
    assert int(found[2]) >= 17


def test_wheels_hold_their_package_and_nothing_else(wheels: list[Path]) -> None:
    """No test, no cache, no neighbour; and the types are marked as such."""
    for wheel in wheels:
        package = "trimtab_client" if "client" in wheel.name else "trimtab"
        names = zipfile.ZipFile(wheel).namelist()
        assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {package}
        assert not [name for name in names if name.endswith(".pyc")]
        assert [name for name in names if name.endswith("py.typed")]
