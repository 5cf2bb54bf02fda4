"""The gate's first moments, and whose sidecar it believes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client.conftest import Connect, eventually
from trimtab_client import Credentials, FakeSidecar, GateSettings, Trimtab, write_override

QUICK = {"backoff_s_min": 0.01, "backoff_s_max": 0.05}
ASKED: dict[str, Any] = {"symbol": "AAPL", "side": "BUY", "confidence": 0.9}
PAPER: dict[str, Any] = {"environment": "PAPER"}
Engine = Callable[..., Trimtab]


@pytest.fixture
def fake() -> Iterator[FakeSidecar]:
    """A sidecar in memory with a short lease."""
    with FakeSidecar() as running:
        running.gate.lease_ttl_s = 0.9
        yield running


@pytest.fixture
def engine(connected: Connect, tmp_path: Path) -> Engine:
    """Connects a gate that was built OPEN, and remembers in a folder of the test."""

    def make(**arguments: Any) -> Trimtab:
        told = {"gate_dir": tmp_path / "gate"} | QUICK | arguments.pop("gate", {})
        settings = GateSettings(**told)
        return connected(on_unavailable="OPEN", gate_settings=settings, **arguments)

    return make


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
def test_nothing_passes_before_the_sidecar_was_heard(
    fake: FakeSidecar, engine: Engine, late: bool
) -> None:
    """Halted before the engine started: no answer before the first snapshot is anything but
    STARTING, however many are asked; exits pass."""
    fake.gate.set_trading_state(state="HALTED", **PAPER)
    fake.gate.mute = late
    tt = engine()
    seen, count = set(), 0
    end_s = time.monotonic() + 30
    while tt.gate.state == "NO_LEASE" and time.monotonic() < end_s:
        answer = tt.allow(**ASKED)
        seen.add(answer.codes)
        count += 1
        assert tt.allow(intent="EXIT", **ASKED)
        if late and count > 1_000 and fake.gate.watch_count:
            fake.gate.mute = False
    assert seen <= {("NO_LEASE", "STARTING"), ("HALTED",)}
    assert ("NO_LEASE", "STARTING") in seen
    assert tt.gate.state == "FRESH"
    assert tt.allow(**ASKED).codes == ("HALTED",)


def test_a_silent_sidecar_ends_the_start_after_its_time(fake: FakeSidecar, engine: Engine) -> None:
    """Then the fail policy answers, as when the connection is refused."""
    fake.gate.mute = True
    tt = engine(gate={"first_message_timeout_s": 0.3})
    assert tt.allow(**ASKED).codes == ("NO_LEASE", "STARTING")
    assert eventually(lambda: tt.allow(**ASKED).codes == ("NO_LEASE", "FALLBACK"))
    assert "no renewal came" in tt.gate.stats.last_error


def test_what_was_remembered_denies_while_the_gate_starts(
    fake: FakeSidecar, engine: Engine
) -> None:
    """With its reasons, and the server is not asked past it: only a lease ends it."""
    tt = engine()
    fake.gate.set_trading_state(state="HALTED", **PAPER)
    assert tt.gate.wait_fresh(20)
    tt.close()
    fake.gate.clear()
    again = engine()
    again.gate._running = True  # no threads: the moment before the first message
    answer = again.gate.check_or_ask(5, signal_id="s1", **ASKED)
    assert answer.codes == ("HALTED", "STICKY_DENIAL", "NO_LEASE", "STARTING")
    again.gate._running = False
    assert again.gate.wait_fresh(20)
    assert again.allow(**ASKED).verdict == "ALLOW"


def test_a_sidecar_on_another_database_ends_no_halt(
    fake: FakeSidecar, engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An empty one at the same address is refused, told once with what to do, also when it is asked
    itself; a person at the machine may end it, while it is refused."""
    tt = engine()
    fake.gate.set_trading_state(state="HALTED", **PAPER)
    assert tt.gate.wait_fresh(20)
    fake.stop()
    with FakeSidecar(fake.address) as other:
        other.gate.lease_ttl_s = 0.9
        assert eventually(lambda: tt.gate.stats.refused)
        assert eventually(lambda: tt.gate.state == "EXPIRED")
        refused_count = tt.gate.stats.refused_count
        assert eventually(lambda: tt.gate.stats.refused_count > refused_count + 2)
        codes = ("HALTED", "STICKY_DENIAL", "LEASE_EXPIRED", "SNAPSHOT_REFUSED")
        assert tt.allow(**ASKED).codes == codes
        assert tt.gate.check_or_ask(5, signal_id="s1", **ASKED).codes == codes
        assert caplog.text.count("serves another log") == 1
        assert "trimtab gate override" in caplog.text
        watch_count = other.gate.watch_count
        write_override(
            source="alpha-1", actor="ann", reason="moved", lasts_s=600,
            gate_dir=tmp_path / "gate", **PAPER,
        )  # fmt: skip
        assert eventually(lambda: tt.gate.state == "FRESH")
        assert tt.allow(**ASKED).verdict == "ALLOW"
        assert other.gate.watch_count > watch_count
        assert (tt.gate.stats.refused, tt.gate.stats.log_change_count) == (False, 1)


def test_a_refused_sidecar_is_listened_to_and_not_dialled_again(
    fake: FakeSidecar, engine: Engine
) -> None:
    """An engine that only remembers has no lease to measure silence by: messages tell theirs."""
    tt = engine()
    fake.gate.set_trading_state(state="HALTED", **PAPER)
    assert tt.gate.wait_fresh(20)
    tt.close()
    fake.stop()
    with FakeSidecar(fake.address) as other:
        other.gate.lease_ttl_s = 1.5
        again = engine()
        again.gate.start()
        assert eventually(lambda: again.gate.stats.refused_count >= 4)
        assert other.gate.watch_count == 1
        assert "STARTING" not in again.allow(**ASKED).codes
        assert again.gate.state == "NO_LEASE"


def test_credentials_that_cannot_be_read_are_told_once(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning and last_error, no traceback; the fail policy answers, and the file may come."""
    credentials = Credentials(tls_ca=tmp_path / "missing.pem")
    tt = engine(address="localhost:1", credentials=credentials)
    tt.gate.start()
    assert eventually(lambda: "missing.pem" in tt.gate.stats.last_error)
    assert eventually(lambda: tt.allow(**ASKED).codes == ("NO_LEASE", "FALLBACK"))
    for _ in range(20):
        tt.gate.tick()
        time.sleep(0.01)
    told = [each for each in caplog.records if "trimtab gate" in each.message]
    assert len(told) == 1
    assert not any(each.exc_info for each in caplog.records)
