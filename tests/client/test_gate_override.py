"""The local override: who, why, until when; used only without a lease, recorded, spent."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.client.gates import NOW_NS, SECOND_NS, Gate, halt, snapshot
from trimtab_client import (
    GateScope,
    OverrideMalformed,
    override_path,
    read_override,
    write_override,
)

SOON = datetime.fromtimestamp(NOW_NS / 1e9, UTC) + timedelta(hours=1)


def put(path: Path, **changes: Any) -> Path:
    """Writes an override as a person would; None leaves a key out."""
    told = {"actor": "ann", "reason": "disk", "expires": SOON.isoformat()} | changes
    file = override_path("alpha-1", "PAPER", path)
    file.write_text(json.dumps({key: v for key, v in told.items() if v is not None}))
    return file


@pytest.fixture
def halted(tmp_path: Path) -> Gate:
    """Built OPEN; AAPL and MSFT were halted when the sidecar fell silent."""
    gate = Gate(tmp_path)
    told = snapshot()
    halt(told, symbol="AAPL")
    halt(told, symbol="MSFT")
    gate.hear(told)
    gate.clock.pass_s(60)
    gate.gate.tick()
    return gate


def test_an_override_ends_a_sticky_denial(halted: Gate) -> None:
    """The fallback rule then answers, and the answer names who and why."""
    assert "STICKY_DENIAL" in halted.ask().codes
    put(halted.path)
    halted.clock.pass_s(1)
    halted.gate.tick()
    answer = halted.ask()
    assert answer.codes == ("LOCAL_OVERRIDE", "LEASE_EXPIRED", "FALLBACK")
    assert "override by ann" in answer.words
    assert halted.ask(confidence=0.1).verdict == "DENY"
    assert "ann" in halted.gate.stats.override


def test_an_override_for_one_name_covers_only_that(halted: Gate) -> None:
    """A signal that does not tell the name is not covered."""
    put(halted.path, symbol="AAPL")
    halted.clock.pass_s(1)
    halted.gate.tick()
    assert "LOCAL_OVERRIDE" in halted.ask().codes
    assert "STICKY_DENIAL" in halted.ask(symbol="MSFT").codes
    assert "STICKY_DENIAL" in halted.ask(symbol="").codes


def test_an_override_does_nothing_while_a_lease_is_held(halted: Gate) -> None:
    """The sidecar's word counts; when it falls silent again the file is looked for again."""
    put(halted.path)
    halted.renew()
    halted.gate.tick()
    assert halted.ask().codes == ("HALTED",)
    assert halted.gate.stats.override == ""
    halted.clock.pass_s(6.1)
    assert "STICKY_DENIAL" in halted.ask().codes
    halted.gate.tick()
    assert "LOCAL_OVERRIDE" in halted.ask().codes


def test_an_override_does_not_open_a_gate_that_was_built_closed(tmp_path: Path) -> None:
    """It ends the denial, not the policy."""
    gate = Gate(tmp_path, on_unavailable="CLOSED")
    gate.hear(snapshot(halted=True))
    gate.clock.pass_s(60)
    put(tmp_path)
    gate.gate.tick()
    assert (gate.ask().verdict, gate.ask().codes) == ("DENY", ("LOCAL_OVERRIDE", "LEASE_EXPIRED"))


def test_an_override_covers_a_state_that_cannot_be_read(tmp_path: Path) -> None:
    """A person has looked."""
    gate = Gate(tmp_path)
    gate.hear(snapshot())
    next(tmp_path.glob("*.heard")).write_bytes(b"")
    put(tmp_path)
    assert gate.again().ask().codes == ("LOCAL_OVERRIDE", "NO_LEASE", "FALLBACK")


def test_an_override_expires_by_the_wall_clock_and_stays_expired(halted: Gate) -> None:
    """At once, without another look; a clock that is set back does not bring it to life again."""
    put(halted.path)
    halted.clock.pass_s(1)
    halted.gate.tick()
    halted.clock.wall_ns += 3_600 * SECOND_NS
    assert "STICKY_DENIAL" in halted.ask().codes
    halted.clock.pass_s(1)
    halted.gate.tick()
    halted.clock.wall_ns = NOW_NS
    halted.clock.pass_s(1)
    halted.gate.tick()
    assert "STICKY_DENIAL" in halted.ask().codes


def test_an_override_written_in_the_future_is_not_in_force(halted: Gate) -> None:
    """A clock that was set back since does not make it valid for longer."""
    written = (SOON - timedelta(minutes=30)).isoformat()
    put(halted.path, written=written)
    halted.clock.pass_s(1)
    halted.gate.tick()
    assert "STICKY_DENIAL" in halted.ask().codes


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"actor": None}, "actor: required"),
        ({"reason": ""}, "reason: needs 1 to 1,024 characters"),
        ({"expires": "tomorrow"}, "expires: 'tomorrow' is no RFC 3339"),
        ({"expires": "2026-03-02T12:00:00"}, "expires: '2026-03-02T12:00:00' is no RFC 3339"),
        ({"expires": 12}, "expires: must be text"),
        ({"sybmol": "AAPL"}, "sybmol: unknown"),
        ({"symbol": "x" * 65}, "symbol: needs"),
    ],
)
def test_a_malformed_override_is_ignored_with_a_warning(
    halted: Gate, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], says: str
) -> None:
    """Once, with the file and what is wrong with it."""
    file = put(halted.path, **changes)
    for _ in range(3):
        halted.clock.pass_s(1)
        halted.gate.tick()
    assert "STICKY_DENIAL" in halted.ask().codes
    assert caplog.text.count(f"{file}: {says}") == 1


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 50_000, "x" * 70_000, "\xff"])
def test_what_is_no_json_is_malformed(tmp_path: Path, content: str) -> None:
    """Whatever it is."""
    override_path("a", "PAPER", tmp_path).write_bytes(content.encode("latin-1"))
    with pytest.raises(OverrideMalformed, match=r"a\.PAPER\.override\.json"):
        read_override(source="a", environment="PAPER", gate_dir=tmp_path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """For one engine in one environment."""
    told: dict[str, Any] = {"source": "a", "environment": "LIVE", "gate_dir": tmp_path / "new"}
    assert read_override(**told) is None
    expires = datetime.now(UTC) + timedelta(hours=1)
    path = write_override(actor="ann", reason="disk", expires=expires, symbol="AAPL", **told)
    assert path.stat().st_mode & 0o777 == 0o600
    found = read_override(**told)
    assert found is not None
    assert (found.actor, found.reason) == ("ann", "disk")
    assert found.scope == GateScope(symbol="AAPL")
    assert found.expires_ns == int(expires.timestamp() * 1e6) * 1_000
    assert found.written_ns > 0
    assert read_override(source="a", environment="PAPER", gate_dir=tmp_path / "new") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_writes_is_the_folders_owner_s(tmp_path: Path) -> None:
    """Folders that it makes too: the engine can read the one and write beside it in the other."""
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 1234, 2345)
    for folder in (home / "state" / "gate", home):
        path = write_override(
            source="a", environment="LIVE", actor="ann", reason="disk", lasts_s=60, gate_dir=folder
        )
        assert path.stat().st_mode & 0o777 == 0o600
        for made in (path, folder, folder.parent if folder is not home else folder):
            assert (made.stat().st_uid, made.stat().st_gid) == (1234, 2345)
    assert sorted(each.name for each in home.iterdir()) == [path.name, "state"]


def test_a_link_that_somebody_left_is_not_written_through(tmp_path: Path) -> None:
    """What has the name of the override is replaced, whatever it is."""
    other = tmp_path / "other"
    other.write_text("mine")
    file = override_path("a", "PAPER", tmp_path)
    file.symlink_to(other)
    told: dict[str, Any] = {"source": "a", "environment": "PAPER", "gate_dir": tmp_path}
    assert write_override(actor="ann", reason="disk", lasts_s=60, **told) == file
    assert (other.read_text(), file.is_symlink()) == ("mine", False)
    assert read_override(**told) is not None


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"expires": None}, "expires: required, or lasts_s"),
        ({"lasts_s": 60}, "lasts_s: tell either it or expires"),
        ({"expires": None, "lasts_s": 0}, "lasts_s: must be at least"),
        ({"expires": None, "lasts_s": 1e-9}, "lasts_s: must be at least"),
        ({"expires": None, "lasts_s": float("nan")}, "lasts_s: must be at least"),
        ({"expires": None, "lasts_s": 1e9}, "lasts_s: must be at least"),
        ({"expires": None, "lasts_s": "60"}, "lasts_s: must be a number"),
        ({"expires": datetime.now(UTC)}, "expires: must be after now"),
        ({"expires": 1}, "expires"),
        ({"actor": ""}, "actor"),
        ({"reason": "x" * 1_025}, "reason"),
        ({"source": ""}, "source"),
        ({"environment": "DEMO"}, "environment"),
        ({"expires": 10**30}, "expires"),
    ],
)
def test_an_override_that_makes_no_sense_is_not_written(
    tmp_path: Path, wrong: dict[str, Any], name: str
) -> None:
    """The argument is named."""
    told: dict[str, Any] = {
        "source": "a", "environment": "PAPER", "actor": "ann", "reason": "disk",
        "expires": datetime.now(UTC) + timedelta(hours=1), "gate_dir": tmp_path,
    }  # fmt: skip
    with pytest.raises((ValueError, TypeError), match=f"^{name}"):
        write_override(**(told | wrong))
    assert not list(tmp_path.iterdir())


def test_an_override_that_no_decision_could_tell_is_malformed(tmp_path: Path) -> None:
    """A lone surrogate cannot be encoded: what it lets through would not be recorded."""
    path = override_path("a", "PAPER", tmp_path)
    path.write_text(
        json.dumps({"actor": "a", "reason": "\ud800", "expires": "2099-01-01T00:00:00Z"})
    )
    with pytest.raises(OverrideMalformed, match="reason: holds a character"):
        read_override(source="a", environment="PAPER", gate_dir=tmp_path)


def test_a_pipe_is_no_override(tmp_path: Path) -> None:
    """It is not waited for."""
    os.mkfifo(override_path("a", "PAPER", tmp_path))
    with pytest.raises(OverrideMalformed, match="regular file"):
        read_override(source="a", environment="PAPER", gate_dir=tmp_path)
