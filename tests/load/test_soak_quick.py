"""The soak itself does not rot: it runs, it is whole, and each thing that it judges can fail."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sidecar
from tests.load.soak import (
    HEAD,
    RATE_SHARE_MIN,
    WINDOWS,
    Run,
    Window,
    drive,
    log_verdict,
    main,
    markdown,
    soak,
    verdicts,
    windows,
)

RATE = 1_000.0


def test_a_short_soak_is_whole_and_its_log_is_right(sidecar: Callable[..., Sidecar]) -> None:
    """Every window has its figures, and the log holds what was sent. How fast is not judged."""
    run, told = soak(sidecar(), RATE, 4.0, seed=1)
    names = [each.name for each in told]
    assert names == ["rate", "memory", "latency_ms_p50", "latency_ms_p99", "file handles", "log"]
    assert told[-1].holds, told[-1].words
    assert run.settled.event_count > 0
    found = windows(run)
    assert len(found) == WINDOWS
    assert sum(each.events_per_s for each in found) > 0
    text = markdown(found, told, ["a note"])
    assert text.count("\n|") == WINDOWS + 1
    assert all(words in text for words in (*HEAD, "a note", *names))


def test_the_command_writes_its_table(disk_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Markdown and JSON say the same; the folder of the run is gone; the exit code is the
    verdict's."""
    monkeypatch.setenv("TRIMTAB_TEST_DIR", str(disk_path))
    text, data = disk_path / "soak.md", disk_path / "soak.json"
    flags = ["--rate", "500", "--seconds", "2", "--markdown", str(text), "--json", str(data)]
    code = main(flags)
    told = json.loads(data.read_text())
    assert code == int(not all(each["holds"] for each in told["verdicts"]))
    assert len(told["windows"]) == WINDOWS
    assert text.read_text().count("\n|") == WINDOWS + 1
    assert sorted(path.name for path in disk_path.iterdir()) == ["soak.json", "soak.md"]


def doctored(**change: Callable[[int, float], float]) -> list[Window]:
    """Windows of a steady run, some of whose figures are made from number and steady value."""
    steady: dict[str, float] = {
        "events_per_s": RATE,
        "latency_ms_p50": 5.0,
        "latency_ms_p99": 20.0,
        "latency_ms_max": 90.0,
        "resident_mb": 150.0,
        "handle_count": 30,
    }
    made = []
    for number in range(WINDOWS):
        # A little noise, so that flat is not exact.
        figures: dict[str, Any] = {
            name: value * (1.03 if number % 2 else 1.0) if "ms" in name else value
            for name, value in steady.items()
        }
        figures |= {name: make(number, steady[name]) for name, make in change.items()}
        made.append(Window(60.0 * number, **figures))
    return made


def failed(found: list[Window]) -> set[str]:
    """The names of what does not hold."""
    return {each.name for each in verdicts(found, RATE) if not each.holds}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({}, set()),
        ({"resident_mb": lambda n, mb: mb * (1 + n / 50)}, {"memory"}),
        # What a warm-up takes is not held against the run, nor is a single bad window.
        ({"resident_mb": lambda n, mb: mb * (0.6 if n < 3 else 1.0)}, set()),
        ({"resident_mb": lambda n, mb: math.nan if n == 12 else mb}, {"memory"}),
        ({"latency_ms_p99": lambda n, ms: ms * (1 + n / 10)}, {"latency_ms_p99"}),
        ({"latency_ms_p50": lambda n, ms: ms * (1 + n / 10)}, {"latency_ms_p50"}),
        ({"latency_ms_p99": lambda n, ms: ms * (9 if n == 17 else 1)}, set()),
        ({"latency_ms_p99": lambda n, ms: math.inf if n > 15 else ms}, {"latency_ms_p99"}),
        ({"handle_count": lambda n, count: count + n}, {"file handles"}),
        ({"events_per_s": lambda _, rate: rate * (RATE_SHARE_MIN - 0.01)}, {"rate"}),
    ],
)
def test_what_is_not_flat_is_condemned(
    change: dict[str, Callable[[int, float], float]], names: set[str]
) -> None:
    """Doctored windows: each fault fails its own verdict and no other."""
    assert failed(doctored(**change)) == names


def test_a_rate_that_is_not_reached_is_told_in_figures() -> None:
    """A machine that is too slow reads by how much."""
    slow = doctored(events_per_s=lambda _, rate: rate * 0.8)
    words = {each.name: each.words for each in verdicts(slow, RATE)}
    assert words["rate"] == "1,000 events/s: falls short by 20.0%"


def test_a_log_that_differs_from_what_was_sent_is_condemned(
    sidecar: Callable[..., Sidecar],
) -> None:
    """An event at another place than it was sent fails the verdict; so does one more in the record
    than in the log."""
    server, run = sidecar(), Run(RATE, 1.0)
    drive(server, run, seed=2)
    run.known[2] = run.known[1]
    assert not log_verdict(server, run).holds
    del run.known[2]
    run.settled.event_count += 1
    assert not log_verdict(server.restart(), run).holds
    run.settled.event_count -= 1
    assert log_verdict(server.restart(), run).holds


def test_latency_runs_from_when_a_batch_was_due() -> None:
    """Two batches, one acknowledgement: each waits from its own time, whoever is covered first."""
    run = Run(rate=2.0, seconds=20.0, start_s=100.0, due=[(100.0, 1), (100.5, 2), (101.5, 4)])
    run.settled.acks = [(100.75, 2), (101.75, 4)]
    first, second = windows(run)[:2]
    assert (first.latency_ms_max, first.events_per_s) == (750.0, 2.0)
    assert (second.latency_ms_max, second.events_per_s) == (250.0, 2.0)
