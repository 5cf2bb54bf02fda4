"""The documents are true: generated parts are current, and what they show runs."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Sidecar
from trimtab_client import Client, EventBuilder, guard_verdict

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BUF_LINES = [line for line in README.splitlines() if line.startswith("buf curl ")]
STATS_LINE = next(line for line in BUF_LINES if "/GetStats " in line)
SERVICES = [
    path.read_text(encoding="utf-8") for path in (ROOT / "proto/trimtab/v1").glob("*_service.proto")
]
# They go on until somebody ends them.
WATCHES = ("/WatchEvents ", "/WatchSignalGate ")


def test_generated_parts_are_current() -> None:
    """The tables of settings and reasons are what the code says."""
    done = subprocess.run(
        [sys.executable, ROOT / ".ci/docs.py", "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_rpc_has_its_line() -> None:
    """The README shows one `buf curl` line for each RPC of the contract."""
    rpcs = re.findall(r"^  rpc (\w+)\(", "".join(SERVICES), re.MULTILINE)
    shown = [re.search(r"Service/(\w+) ", line) for line in BUF_LINES]
    assert sorted(match.group(1) for match in shown if match) == sorted(rpcs)


def _run(line: str, address: str, timeout_s: float) -> tuple[int, str]:
    words = shlex.split(line.replace("127.0.0.1:7517", address))
    words[0] = str(Path(sys.executable).parent / "buf")
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired as stopped:
        said: bytes | str | None = stopped.stdout
        return 0, said.decode() if isinstance(said, bytes) else str(said)
    return done.returncode, done.stdout + done.stderr


def test_the_buf_curl_lines_work(sidecar: Callable[..., Sidecar]) -> None:
    """Each `buf curl` line of the README, in order, is answered without an error."""
    server: Sidecar = sidecar()
    for line in BUF_LINES:
        watches = any(each in line for each in WATCHES)
        code, output = _run(line, server.address, 3.0 if watches else 20.0)
        assert code == 0, f"{line}\n{output}"
        assert "{" in output, line
    assert '"eventCount": "3"' in _run(STATS_LINE, server.address, 20.0)[1]


@pytest.mark.parametrize("document", ["README.md", "clients/python/README.md"])
def test_the_five_lines_record(sidecar: Callable[..., Sidecar], document: str) -> None:
    """The Python block that a newcomer copies records four events into a real sidecar: its own
    three and the gate's verdict."""
    server: Sidecar = sidecar()
    text = (ROOT / document).read_text(encoding="utf-8")
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert block is not None
    done = subprocess.run(
        [sys.executable, "-c", block.group(1)],
        env={"TRIMTAB_ADDRESS": server.address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"eventCount": "4"' in _run(STATS_LINE, server.address, 20.0)[1]


def test_the_clients_report_example_runs(sidecar: Callable[..., Sidecar]) -> None:
    """The Python block on reports in the client's README, as it stands, names the guard that a real
    sidecar has heard of, and says why its value is not known."""
    server: Sidecar = sidecar()
    build = EventBuilder(source="alpha-1", environment="PAPER")
    verdict = guard_verdict(guard="volatility", result="BLOCK", memory="STATELESS")
    with Client(server.address) as client:
        client.record_events(
            [
                build.signal(signal_id="s1", symbol="AAPL", side="BUY", confidence=0.7),
                build.decision(
                    signal_id="s1", symbol="AAPL", action="BLOCKED", guard_verdicts=[verdict]
                ),
            ]
        )
    text = (ROOT / "clients/python/README.md").read_text(encoding="utf-8")
    block = re.search(r"^## Reports$.*?```python\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    done = subprocess.run(
        [sys.executable, "-c", block.group(1)],
        env={"TRIMTAB_ADDRESS": server.address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    guard, changed = done.stdout.splitlines()
    assert guard.startswith("volatility GUARD_EFFECT_UNDECIDED the only trade that would change")
    assert changed.startswith("without volatility; 1; both sides are simulated")


def test_links_lead_somewhere() -> None:
    """Every relative link of the documents names a file or folder that exists."""
    for document in ("README.md", "clients/python/README.md", "server/ARCHITECTURE.md"):
        path = ROOT / document
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{document}: {target}"
