"""`trimtab status`: what it says, and the exit codes that scripts rely on."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import pytest
from typer.testing import CliRunner

from trimtab_client import FakeSidecar, GetHealthResponse
from trimtab_server.cli import app
from trimtab_server.cli.status import bytes_text, span_text, status_lines


@pytest.fixture
def fake() -> Iterator[FakeSidecar]:
    """A sidecar in memory."""
    with FakeSidecar() as running:
        yield running


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    result = CliRunner().invoke(app, ["status", *arguments])
    return result.exit_code, result.stdout, result.stderr


def a_health() -> GetHealthResponse:
    """A sidecar whose disk is full, in the middle of its work."""
    health = GetHealthResponse(store="sqlite", stream_count=1, watcher_count=2)
    health.events_per_second = 1_234.56
    health.collection_share = 0.99996
    health.server_time.seconds = 1_760_000_300
    health.uptime.seconds = 93_784
    health.conditions.add(name="writer", ok=True)
    health.conditions.add(name="disk", message="9 MiB free; low")
    health.conditions[1].since_time.seconds = 1_760_000_000
    health.queue.event_count, health.queue.event_count_max = 1_200, 65_536
    health.queue.bytes, health.queue.bytes_max = 3 << 20, 64 << 20
    health.queue.oldest_age.nanos = 12_300_000
    minute, start = health.last_minute, health.since_start
    minute.stored_count, minute.duplicate_count, minute.lost_count = 74_000, 5, 3
    start.stored_count, start.rejected_count = 1_000_000, 7
    health.commits.count, health.commits.failure_count = 640, 2
    health.commits.latency_p50.nanos, health.commits.latency_p99.nanos = 1_230_000, 9_870_000
    health.commits.last_age.nanos = 40_000_000
    health.disk.free_bytes, health.disk.total_bytes = 9 << 20, 250 << 30
    return health


def test_a_ready_sidecar_ends_with_0(fake: FakeSidecar) -> None:
    """The first line says it all."""
    code, out, err = run("--address", fake.address)
    assert (code, err) == (0, "")
    assert out.startswith(f"READY  {fake.address}, memory, up ")


def test_a_sidecar_that_is_not_ready_ends_with_1_and_says_why(fake: FakeSidecar) -> None:
    """Which condition, its reason, and since when."""
    fake.serving = False
    code, out, _ = run("--address", fake.address)
    assert code == 1
    first, reason, well = out.splitlines()[:3]
    assert first.startswith("NOT READY  ")
    assert reason.startswith("serving      as the test told (since 2")
    assert well.split() == ["well", "nothing"]


@pytest.mark.parametrize("arguments", [["--address", "127.0.0.1:1"], ["--address", ""], ["--what"]])
def test_no_answer_and_wrong_arguments_end_with_2(arguments: list[str]) -> None:
    """Nothing on standard output, no traceback."""
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err
    assert "Traceback" not in err


def test_an_older_sidecar_ends_with_2(fake: FakeSidecar) -> None:
    """It does not know the question: neither ready nor unready."""
    fake.fail_next("UNIMPLEMENTED", rpc="GetHealth")
    code, out, err = run("--address", fake.address)
    assert (code, out) == (2, "")
    assert "UNIMPLEMENTED" in err


def test_json_is_the_contracts_answer_in_one_line(fake: FakeSidecar) -> None:
    """With the contract's field names, zeros too; the exit code is the same."""
    fake.serving = False
    code, out, _ = run("--json", "--address", fake.address)
    assert code == 1
    (line,) = out.splitlines()
    plain = json.loads(line)
    assert (plain["ready"], plain["stream_count"]) == (False, 0)
    assert plain["conditions"][0]["message"] == "as the test told"


def test_the_screen_shows_reasons_and_figures() -> None:
    """A line a subject."""
    took = "half in 1.23 ms, 99 % in 9.87 ms"
    assert status_lines(a_health(), None) == [
        "disk         9 MiB free; low (since 2025-10-09T08:53:20Z, 5 min)",
        "well         writer",
        "collection   99.99 % of what came in the last minute; 1,234.6 events/s",
        "last minute  74,000 stored, 5 sent again, 0 rejected, 3 lost",
        "since start  1,000,000 stored, 0 sent again, 7 rejected, 0 lost",
        "queue        1,200 of 65,536 events, 3 MiB of 64 MiB; the oldest has waited 12.3 ms",
        f"commits      640 in the last minute, 2 failed; {took}; last 40 ms ago",
        "disk         9 MiB free of 250 GiB",
        "open         1 recording stream, 2 watchers",
    ]


def test_a_quiet_sidecar_says_so() -> None:
    """What is absent is told in words, not as zero."""
    lines = status_lines(GetHealthResponse(store="postgresql"), None)
    assert lines[1:] == [
        "collection   nothing came in the last minute",
        "last minute  0 stored, 0 sent again, 0 rejected, 0 lost",
        "since start  0 stored, 0 sent again, 0 rejected, 0 lost",
        "queue        0 of 0 events, 0 B of 0 B",
        "commits      0 in the last minute, 0 failed; none since the start",
        "disk         not a file here",
        "open         0 recording streams, 0 watchers",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_screen_fits_the_terminal(width: int) -> None:
    """Long lines go on below, and nothing is cut."""
    lines = status_lines(a_health(), width)
    assert max(map(len, lines)) <= width
    whole = " ".join(" ".join(lines).split())
    assert whole == " ".join(" ".join(status_lines(a_health(), None)).split())


def test_words_of_a_database_do_not_steer_the_terminal() -> None:
    """Control characters and line breaks in a reason are shown as question marks."""
    health = GetHealthResponse()
    health.conditions.add(name="database", message="x\x1b[31m\ny")
    assert status_lines(health, None)[0].startswith("database     x?[31m?y")


def interrupted(*arguments: str, address: str, after: str) -> tuple[int, str]:
    """Exit code and output of a watch that gets Ctrl-C after it wrote some words."""
    command = [sys.executable, "-m", "trimtab_server", "status", "--watch", *arguments]
    with subprocess.Popen(
        [*command, "--address", address],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        written = _read_until(process.stdout, after)
        process.send_signal(signal.SIGINT)
        written += process.stdout.read()
        return process.wait(20), written


def _read_until(stream: IO[str], words: str) -> str:
    written = ""
    while words not in written:
        line = stream.readline()
        assert line, written
        written += line
    return written


def test_a_watch_ends_with_what_it_saw_last(fake: FakeSidecar) -> None:
    """Ctrl-C is its normal end; a script still learns the state."""
    assert interrupted(address=fake.address, after="watchers\n")[0] == 0
    fake.serving = False
    code, out = interrupted("--json", address=fake.address, after="}\n")
    assert code == 1
    assert json.loads(out.splitlines()[0])["ready"] is False


def test_a_watch_outlives_the_sidecar(fake: FakeSidecar) -> None:
    """It says that nobody answers, and looks again."""
    address = fake.address
    fake.stop()
    code, out = interrupted(address=address, after=f"no sidecar answers at {address}\n")
    assert code == 2
    assert "Traceback" not in out


@pytest.mark.parametrize(
    ("span_s", "text"),
    [
        (0.0, "0 ms"),
        (0.0012345, "1.23 ms"),
        (2.345, "2.35 s"),
        (59.9, "1 min"),
        (61, "1 min 1 s"),
        (7_265, "2 h 1 min"),
        (7_205, "2 h"),
        (266_400, "3 d 2 h"),
    ],
)
def test_spans_have_two_units(span_s: float, text: str) -> None:
    """As a person would say it."""
    assert span_text(span_s) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "0.977 KiB"), (256 << 20, "256 MiB"), (3 << 40, "3 TiB")],
)
def test_bytes_have_three_digits(count: int, text: str) -> None:
    """With a binary unit."""
    assert bytes_text(count) == text
