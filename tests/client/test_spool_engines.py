"""Engines that are processes: killed, forked, ended; what they accepted is sent by the next one."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.client.conftest import NOBODY, Engine, adopted, eventually, losses, record
from tests.conftest import Sidecar
from trimtab_client import Client, FakeSidecar, RecorderSettings, connect
from trimtab_client.spool import folders_in, is_held

ENGINE = """
import os, sys, trimtab_client
address, mode, first, count, end = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5]), sys.argv[5]
tt = trimtab_client.connect(
    source="alpha-1", environment="PAPER", address=address,
    settings=trimtab_client.RecorderSettings(
        spool_mode=mode, exit_flush_timeout_s=0.0, backoff_s_min=0.01, backoff_s_max=0.05,
    ),
)
child = 0
for number in range(first, first + count):
    while tt.metric(name="n", value=float(number)) is None:
        pass
    if end == "fork" and number == first + count // 2:
        child = os.fork()
        if not child:
            sys.stdin.read()  # lives on without recording
            os._exit(0)
print("recorded", flush=True)
if end != "exit":
    sys.stdin.read()
"""


def started(tmp_path: Path, *arguments: object) -> subprocess.Popen[str]:
    """An engine that has recorded everything."""
    script = tmp_path / "engine.py"
    script.write_text(ENGINE)
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(script), *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "recorded\n"
    return process


def ended(process: subprocess.Popen[str], how: int = signal.SIGKILL) -> None:
    """Ends the engine by this signal."""
    process.send_signal(how)
    process.wait(30)
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def test_always_loses_nothing_to_a_sigkill_of_the_engine(
    fake: FakeSidecar, engine: Engine, tmp_path: Path, spool_path: Path
) -> None:
    """Accepted is on disk: the sidecar was never there, the engine has no goodbye."""
    ended(started(tmp_path, NOBODY, "always", 0, 3_000, "kill"))
    assert engine().close(20).durable
    assert adopted(fake) == list(range(3_000))
    assert folders_in(spool_path) == []


def test_overflow_loses_at_most_the_ring_to_a_sigkill_of_the_engine(
    fake: FakeSidecar, engine: Engine, tmp_path: Path
) -> None:
    """What is missing are the last ones, never one in the middle."""
    ended(started(tmp_path, NOBODY, "overflow", 0, 30_000, "kill"))
    assert engine().close(60).durable
    found = adopted(fake)
    assert found == list(range(len(found)))
    assert len(found) >= 20_000
    assert losses(fake) == []


def test_a_sigkill_in_the_middle_of_sending_stores_everything_once(
    fake: FakeSidecar, engine: Engine, tmp_path: Path, spool_path: Path
) -> None:
    """Some is stored, some in flight, some only on disk."""
    fake.window.event_count = 50
    for start in range(0, 6_000, 2_000):
        ended(started(tmp_path, fake.address, "always", start, 2_000, "kill"))
    fake.window.event_count = 10_000
    assert engine().close(60).durable
    assert sorted(adopted(fake)) == list(range(6_000))
    assert losses(fake) == []
    assert folders_in(spool_path) == []


def test_a_child_of_a_fork_does_not_keep_its_parents_spool(
    fake: FakeSidecar, engine: Engine, tmp_path: Path, spool_path: Path
) -> None:
    """The lock ends with the parent, though the child lives on; nothing is written by both."""
    process = started(tmp_path, NOBODY, "always", 0, 500, "fork")
    [path] = folders_in(spool_path)
    assert is_held(path)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert eventually(lambda: not is_held(path))
    assert engine().close(20).durable
    assert adopted(fake) == list(range(500))
    ended(process)


def test_the_end_of_the_interpreter_keeps_what_is_pending(
    fake: FakeSidecar, engine: Engine, tmp_path: Path
) -> None:
    """Without a close, without a wait."""
    process = started(tmp_path, NOBODY, "overflow", 0, 100, "exit")
    assert process.wait(30) == 0
    ended(process)
    assert engine().close(20).durable
    assert adopted(fake) == list(range(100))


def test_a_real_sidecar_stores_what_killed_engines_left(
    sidecar: Callable[..., Sidecar], tmp_path: Path, spool_path: Path
) -> None:
    """It was away for one run and killed in another; all is stored once, in order."""
    ended(started(tmp_path, NOBODY, "always", 0, 2_000, "kill"))
    running = sidecar()
    process = started(tmp_path, running.address, "always", 2_000, 4_000, "kill")
    running.kill()
    ended(process)
    running.restart()
    settings = RecorderSettings(spool_mode="overflow")
    with connect(
        source="alpha-1", environment="PAPER", address=running.address, settings=settings
    ) as tt:
        record(tt, -1, 1)
        assert eventually(lambda: not folders_in(spool_path))
        assert tt.flush(30).durable
    with Client(running.address) as client:
        found = [int(e.metric_recorded.value) for e in client.iter_events()]
    first = [value for value in found if 0 <= value < 2_000]
    second = [value for value in found if value >= 2_000]
    assert first == list(range(2_000))
    assert second == list(range(2_000, 6_000))
    assert found.count(-1) == 1
    assert len(found) == 6_001
