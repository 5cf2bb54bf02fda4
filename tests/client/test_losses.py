"""No event is lost without a word, and no close waits long for a sidecar that is not there."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.client.conftest import Connect, eventually, record, values
from trimtab_client import FakeSidecar, RecorderStats

NOBODY = "127.0.0.1:1"

EXIT = """
import sys, trimtab_client
tt = trimtab_client.connect(
    source="a", environment="PAPER", address=sys.argv[1],
    settings=trimtab_client.RecorderSettings(
        exit_flush_timeout_s=float(sys.argv[2]), spool_mode="off"
    ),
)
for number in range(3):
    tt.metric(name="n", value=float(number))
"""


def adds_up(stats: RecorderStats) -> bool:
    """Whether every accepted event is in exactly one count."""
    settled = stats.durable_count + stats.rejected_count + stats.lost_count
    gone = stats.dropped_count + stats.spooled_count
    return stats.accepted_count == settled + gone + stats.pending_count


def closings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings of recorders that closed with events pending."""
    return [m for m in caplog.messages if "closed with" in m]


def test_close_without_a_sidecar_warns_once_and_counts(
    connected: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """Reason, number and address; a second close is silent."""
    tt = connected(address=NOBODY)
    record(tt, 0, 3)
    first, second = tt.close(0.05), tt.close(0.05)
    assert first == second
    [told] = closings(caplog)
    assert told == (
        "trimtab recorder: closed with 3 events not durable; they are gone: "
        f"no sidecar answered at {NOBODY}"
    )
    stats = tt.stats
    assert (stats.accepted_count, stats.dropped_count, stats.pending_count) == (3, 3, 0)
    assert adds_up(stats)


def test_close_with_everything_stored_is_silent(
    connected: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning that always comes is none."""
    tt = connected()
    record(tt, 0, 3)
    assert tt.close().durable
    assert closings(caplog) == []
    assert adds_up(tt.stats)


def test_close_with_a_sidecar_that_went_away_says_so(
    fake: FakeSidecar, connected: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """It did answer once: another cause to look for."""
    tt = connected()
    record(tt, 0, 2)
    assert tt.flush().durable
    fake.stop()
    assert eventually(lambda: tt.stats.last_error)
    record(tt, 2, 1)
    assert not tt.close(0.05).durable
    assert len(closings(caplog)) == 1
    assert "closed with 1 event not durable; it is gone: the sidecar at" in closings(caplog)[0]
    assert closings(caplog)[0].endswith("went away")
    assert (tt.stats.durable_count, tt.stats.dropped_count) == (2, 1)
    assert adds_up(tt.stats)


def test_close_of_a_stopped_recorder_tells_why(
    fake: FakeSidecar, connected: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """The server answered, but not as hoped."""
    tt = connected()
    fake.fail_next("ABORTED", "PRODUCER_SUPERSEDED", rpc="StreamEvents", count=3)
    record(tt, 0, 3)
    assert eventually(lambda: tt.stats.state == "STOPPED")
    tt.close()
    assert "PRODUCER_SUPERSEDED" in closings(caplog)[0]
    assert adds_up(tt.stats)


@pytest.mark.parametrize("exit_flush_timeout_s", ["0", "0.1"])
def test_the_end_of_the_interpreter_warns(tmp_path: Path, exit_flush_timeout_s: str) -> None:
    """On stderr even where nobody has set up logging."""
    script = tmp_path / "engine.py"
    script.write_text(EXIT)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), NOBODY, exit_flush_timeout_s],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "closed with 3 events" in line]
    assert len(told) == 1, done.stderr
    assert told[0].endswith(f"they are gone: no sidecar answered at {NOBODY}")


def test_close_does_not_wait_long_for_a_sidecar_that_never_answered(connected: Connect) -> None:
    """By default; the time is a setting."""
    tt = connected(address=NOBODY, limits={"absent_close_timeout_s": 0.1})
    record(tt, 0, 1)
    start_s = time.monotonic()
    assert tt.close().dropped_count == 1
    assert time.monotonic() - start_s < 5.0


def test_close_waits_longer_for_a_sidecar_that_has_answered(
    fake: FakeSidecar, connected: Connect
) -> None:
    """A slow acknowledgement is no absence: its stream is cut, the next one finds all stored."""
    tt = connected(limits={"absent_close_timeout_s": 0.0, "ack_timeout_s": 0.3})
    record(tt, 0, 1)
    assert tt.flush().durable
    fake.drop_acks = True
    record(tt, 1, 5)
    assert tt.close().durable
    assert values(fake) == list(range(6))


def test_counts_add_up_after_a_restored_server(fake: FakeSidecar, connected: Connect) -> None:
    """What it forgot was durable and is lost: it counts once."""
    tt = connected()
    record(tt, 0, 10)
    assert tt.flush().durable
    fake.restore(through_sequence=4)
    record(tt, 10, 5)
    result = tt.flush()
    assert (result.settled, result.durable) == (True, False)
    assert (tt.stats.lost_count, tt.stats.durable_count) == (6, 9)
    assert adds_up(tt.stats)


def test_a_flush_that_was_only_answered_is_not_durable(
    connected: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """Rejected is settled, not stored; and the log says what was wrong with it."""
    tt = connected()
    tt.signal(signal_id="s1", side="BUY", confidence=7.0)
    result = tt.flush()
    assert (result.settled, result.durable, result.rejected_count) == (True, False, 1)
    assert eventually(lambda: caplog.messages)
    assert caplog.records[0].levelno == logging.WARNING
    assert "INVALID_FIELD, signal.confidence: " in caplog.messages[0]
    assert adds_up(tt.stats)
