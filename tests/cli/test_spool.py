import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.client.conftest import record_starts
from trimtab_client import FakeSidecar, RecorderSettings, connect
from trimtab_client.spool import folders_in
from trimtab_client.spool_frames import HEADER_BYTES
from trimtab_client.spool_segments import segments_in
from trimtab_server.cli import app

NOBODY = "127.0.0.1:1"


@pytest.fixture
def fake() -> Iterator[FakeSidecar]:
    """A sidecar in memory."""
    with FakeSidecar() as running:
        yield running


def leave(source: str, count: int) -> None:
    """What an engine leaves that never found a sidecar."""
    settings = RecorderSettings(spool_mode="always")
    tt = connect(source=source, environment="PAPER", address=NOBODY, settings=settings)
    for number in range(count):
        assert tt.metric(name="n", value=float(number)) is not None
    assert tt.close(0.0).spooled_count == count


def damage(path: Path, number: int) -> None:
    """Flips a byte in the event with this number."""
    segment = segments_in(path)[0].path
    data = bytearray(segment.read_bytes())
    data[record_starts(data)[number - 1] + HEADER_BYTES + 5] ^= 1
    segment.write_bytes(data)


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    result = CliRunner().invoke(app, ["spool", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_inspect_tells_what_every_folder_holds(
    spool_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose, whether its engine lives, which numbers, what is damaged."""
    monkeypatch.setenv("COLUMNS", "160")
    leave("alpha", 100)
    damage(folders_in(spool_path)[0], 7)
    settings = RecorderSettings(spool_mode="always")
    live = connect(source="beta", environment="PAPER", address=NOBODY, settings=settings)
    live.metric(name="n", value=1.0)
    code, out, _ = run("inspect", "--json")
    assert code == 0
    first, second = map(json.loads, out.splitlines())
    assert (first["source"], first["state"], first["epoch"]) == ("alpha", "orphaned", 1)
    assert (first["first_seq"], first["last_seq"], first["event_count"]) == (1, 100, 99)
    assert (first["damaged_count"], first["is_torn"]) == (1, False)
    assert (second["source"], second["state"], second["event_count"]) == ("beta", "held", 1)
    assert second["byte_count"] > HEADER_BYTES
    code, out, _ = run("inspect")
    assert code == 0
    assert ["alpha", "orphaned"] == out.splitlines()[1].split()[:2]
    assert "2 folders, 100 events" in out
    assert len(run("inspect", "--json", "--source", "beta")[1].splitlines()) == 1
    live.close(0.0)


def test_inspect_changes_nothing(spool_path: Path) -> None:
    """Not a byte, not a name."""
    leave("alpha", 10)

    def state() -> list[tuple[Path, bytes]]:
        return sorted((p, p.read_bytes()) for p in spool_path.rglob("*") if p.is_file())

    before = state()
    assert run("inspect")[0] == 0
    assert state() == before


def test_inspect_of_nothing_says_so(spool_path: Path) -> None:
    """A machine without a spool is well."""
    assert run("inspect") == (0, f"no spool in {spool_path}\n", "")


def test_a_directory_that_is_none_is_an_error(tmp_path: Path) -> None:
    """One line, exit 2."""
    for command in ("inspect", "drain"):
        code, _, err = run(command, "--dir", str(tmp_path / "nowhere"))
        assert (code, err.count("\n")) == (2, 1)
        assert "--dir" in err


def test_drain_sends_every_orphan_and_tells_what_became_of_it(
    fake: FakeSidecar, spool_path: Path
) -> None:
    """Stored once, in order; the folders are gone."""
    leave("alpha", 100)
    leave("beta", 50)
    code, out, err = run("drain", "--address", fake.address)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("alpha ")
    assert lines[0].endswith(": 100 stored, 0 stored before, 0 rejected, 0 lost")
    assert lines[1].startswith("beta ")
    assert lines[2] == "no orphaned spool is left"
    assert [e.source for e in fake.events()] == ["alpha"] * 100 + ["beta"] * 50
    assert [int(e.metric_recorded.value) for e in fake.events()][:100] == list(range(100))
    assert list(spool_path.iterdir()) == []
    assert run("drain", "--address", fake.address)[:2] == (0, "no orphaned spool is left\n")


def test_drain_tells_loss_rejection_and_repetition(fake: FakeSidecar, spool_path: Path) -> None:
    """Each accepted event is in exactly one of the counts."""
    fake.stop()
    fake.start()
    settings = RecorderSettings(spool_mode="always")
    tt = connect(source="alpha", environment="PAPER", address=fake.address, settings=settings)
    tt.metric(name="n", value=0.0)
    assert tt.flush().durable
    fake.stop()
    for number in range(1, 10):
        tt.metric(name="n", value=float(number))
    tt.signal(signal_id="s", side="BUY", confidence=7.0)
    assert tt.close(0.0).spooled_count == 10
    fake.start()
    [path] = folders_in(spool_path)
    damage(path, 5)
    code, out, _ = run("drain", "--address", fake.address, "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["stored_count"], found["known_count"]) == (8, 1)
    assert (found["rejected_count"], found["lost_count"], found["left_count"]) == (1, 1, 0)
    assert found["event_count"] == 11


def test_drain_without_a_sidecar_leaves_everything_as_it_is(spool_path: Path) -> None:
    """Exit 1, one line, the epoch not raised."""
    leave("alpha", 10)
    [path] = folders_in(spool_path)
    before = (path / "meta").read_bytes()
    code, _, err = run("drain", "--address", NOBODY)
    assert code == 1
    assert "no sidecar answers" in err
    assert (path / "meta").read_bytes() == before


def test_drain_out_of_time_says_what_is_left(fake: FakeSidecar, spool_path: Path) -> None:
    """And fails, so that a script notices; the next one goes on."""
    leave("alpha", 10)
    code, _, err = run("drain", "--address", fake.address, "--timeout", "0")
    assert code == 1
    assert f"left: {folders_in(spool_path)[0]}, 10 events" in err
    assert run("drain", "--address", fake.address)[0] == 0


def test_drain_leaves_unreadable_folders_and_live_engines_alone(
    fake: FakeSidecar, spool_path: Path
) -> None:
    """The one fails the command, the other is only told."""
    settings = RecorderSettings(spool_mode="always")
    live = connect(source="beta", environment="PAPER", address=NOBODY, settings=settings)
    live.metric(name="n", value=1.0)
    code, out, err = run("drain", "--address", fake.address)
    assert (code, out) == (0, "no orphaned spool is left\n")
    assert err == "1 held by live engines, not touched\n"
    leave("alpha", 3)
    (folders_in(spool_path)[1] / "meta").write_text("{")
    code, _, err = run("drain", "--address", fake.address)
    assert code == 1
    assert "meta is unreadable" in err
    assert fake.events() == []
    live.close(0.0)


def test_drain_takes_only_the_source_it_is_told(fake: FakeSidecar, spool_path: Path) -> None:
    """Others wait for their engine."""
    leave("alpha", 3)
    leave("beta", 3)
    assert run("drain", "--address", fake.address, "--source", "beta")[0] == 0
    assert {e.source for e in fake.events()} == {"beta"}
    assert len(folders_in(spool_path)) == 1
