"""What was heard last outlives the engine: on disk, whole, or told to be unreadable."""

from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.client.gates import SECOND_NS, Gate, halt, snapshot
from trimtab_client import gate_memory
from trimtab_client.gate_lease import Intake
from trimtab_client.gate_memory import GateMemory, Heard, Unreadable, file_name, gate_directory


def test_a_denial_outlives_a_restart_of_the_engine(tmp_path: Path) -> None:
    """Also one whose `until` has passed meanwhile: nobody said that it ended."""
    gate = Gate(tmp_path)
    told = snapshot(3)
    halt(told, until_ns=gate.server_ns + SECOND_NS)
    gate.hear(told)
    gate.clock.pass_s(3_600)
    after = gate.again()
    assert after.ask().codes == ("HALTED", "STICKY_DENIAL", "NO_LEASE")
    assert after.gate.revision == 3
    assert gate.again(on_unavailable="CLOSED").ask().verdict == "DENY"


def test_a_halt_that_ended_while_the_sidecar_was_heard_is_over_after_a_restart(
    tmp_path: Path,
) -> None:
    """The renewal behind its end is remembered, though the revision did not move."""
    gate = Gate(tmp_path)
    told = snapshot(3)
    halt(told, until_ns=gate.server_ns + SECOND_NS)
    gate.hear(told)
    gate.clock.pass_s(2)
    gate.renew()
    assert gate.again().ask().codes == ("NO_LEASE", "FALLBACK")


def test_a_restarted_engine_is_spared_the_snapshot_that_it_remembers(tmp_path: Path) -> None:
    """A renewal of the same log, boot and revision is enough."""
    gate = Gate(tmp_path)
    gate.hear(snapshot(3, halted=True))
    after = gate.again()
    assert after.renew() is Intake.RENEWED
    assert after.ask().codes == ("HALTED",)


def test_an_older_backup_is_refused_after_a_restart_too(tmp_path: Path) -> None:
    """The disk remembers the revision."""
    gate = Gate(tmp_path)
    gate.hear(snapshot(9, halted=True))
    after = gate.again()
    assert after.hear(snapshot(8)) is Intake.REFUSED
    assert after.ask().codes == ("HALTED", "STICKY_DENIAL", "NO_LEASE", "SNAPSHOT_REFUSED")


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other", "longer"])
def test_what_cannot_be_read_denies_until_the_sidecar_is_heard(tmp_path: Path, damage: str) -> None:
    """It may have been a denial. Exits pass."""
    gate = Gate(tmp_path)
    gate.hear(snapshot(3))
    [file] = tmp_path.glob("*.heard")
    data = bytearray(file.read_bytes())
    damaged = {
        "cut": data[:-1],
        "flipped": data[:-1] + bytearray([data[-1] ^ 1]),
        "empty": bytearray(),
        "other": bytearray(b"xxxx") + data[4:],
        "longer": data + b"\0",
    }
    file.write_bytes(damaged[damage])
    after = gate.again()
    assert after.ask().codes == ("LAST_STATE_UNREADABLE", "NO_LEASE")
    assert str(file) in after.ask().words
    assert after.ask(intent="EXIT").verdict == "ALLOW"
    after.hear(snapshot(4))
    assert after.ask().verdict == "ALLOW"
    assert gate.again().ask().codes == ("NO_LEASE", "FALLBACK")


def test_a_folder_in_the_way_is_unreadable(tmp_path: Path) -> None:
    """As any file that cannot be opened."""
    (tmp_path / file_name("alpha-1", 2, "heard")).mkdir()
    gate = Gate(tmp_path)
    gate.gate.tick()
    assert gate.ask().codes == ("LAST_STATE_UNREADABLE", "NO_LEASE")
    gate.hear(snapshot(1))
    assert gate.ask().verdict == "ALLOW"
    assert gate.gate.stats.memory_error


def test_engines_of_one_name_never_put_back_an_older_revision(tmp_path: Path) -> None:
    """The later one of the same log stays on disk, whoever writes last; another log replaces."""
    memory = GateMemory(tmp_path, "a", 2)
    first = Gate(tmp_path / "x")

    def write(revision: int, log_id: str) -> None:
        descriptor = memory.write(first.message(snapshot(revision), log_id=log_id))
        if descriptor is not None:
            memory.settle(descriptor)

    for revision, log_id, kept in ((5, "l", 5), (4, "l", 5), (6, "l", 6), (1, "m", 1)):
        write(revision, log_id)
        heard = memory.read()
        assert heard is not None
        assert heard.snapshot.revision == kept


def test_a_stopped_writer_does_not_keep_the_others_from_remembering(tmp_path: Path) -> None:
    """Whoever holds the lock and never moves is passed after a moment."""
    memory = GateMemory(tmp_path, "a", 2)
    with memory._turn():
        descriptor = memory.write(Gate(tmp_path / "x").message(snapshot(5)))
    assert descriptor is not None
    memory.settle(descriptor)
    assert memory.read() is not None


def test_every_name_has_a_file_of_its_own(tmp_path: Path) -> None:
    """Names with dots, slashes or outside of ASCII stay apart and inside of the folder."""
    names = ["a", "a.b", "a/b", "..", "a%2Eb", "ä" * 64, "ä" * 63 + "ö", "A", "\U0001f600" * 64]
    files = {file_name(name, environment, "heard") for name in names for environment in (1, 2)}
    assert len(files) == 2 * len(names)
    for file in files:
        assert "/" not in file
        assert len(os.fsencode(file)) < 240


def test_the_folder_is_found_as_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told, then the variable, then the user's state."""
    assert gate_directory(tmp_path) == tmp_path
    monkeypatch.setenv("TRIMTAB_GATE_DIR", "/g")
    assert gate_directory() == Path("/g")
    monkeypatch.delenv("TRIMTAB_GATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert gate_directory() == Path("/x/trimtab/gate")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert gate_directory() == Path.home() / ".local/state/trimtab/gate"


def test_a_snapshot_is_on_disk_before_it_is_answered_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that dies right after an answer knows after its restart what that answer knew."""
    gate = Gate(tmp_path)
    gate.hear(snapshot(1))
    seen: list[tuple[int, int]] = []
    write = GateMemory.write

    def slow(self: GateMemory, heard: Heard) -> int | None:
        seen.append((heard.revision, gate.ask().revision))
        return write(self, heard)

    monkeypatch.setattr(GateMemory, "write", slow)
    gate.hear(snapshot(2, halted=True))
    assert seen == [(2, 1)]
    assert gate.ask().revision == 2


def test_a_disk_that_hangs_does_not_hold_up_a_halt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the new rules deny is denied, and what the old ones denied is until the disk is done."""
    gate = Gate(tmp_path)
    old = snapshot(1)
    halt(old, symbol="MSFT")
    gate.hear(old)
    hung, go_on = threading.Event(), threading.Event()
    write = GateMemory.write

    def hanging(self: GateMemory, heard: Heard) -> int | None:
        hung.set()
        assert go_on.wait(60)
        return write(self, heard)

    monkeypatch.setattr(GateMemory, "write", hanging)
    new = snapshot(2)
    halt(new, symbol="AAPL")
    gate.gate.apply(gate.message(new))
    assert hung.wait(60)
    assert gate.ask().codes == ("HALTED",)
    assert gate.ask(symbol="MSFT").codes == ("HALTED",)
    go_on.set()
    assert gate.gate._keeper.wait_written(60)
    assert gate.ask(symbol="MSFT").verdict == "ALLOW"
    assert gate.ask().codes == ("HALTED",)


def test_a_full_disk_ends_no_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, and again in the stats, until the disk recovers."""
    gate = Gate(tmp_path)

    def full(self: GateMemory, heard: Heard) -> int | None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(GateMemory, "write", full)
        gate.hear(snapshot(1))
        gate.hear(snapshot(2))
    assert gate.ask().revision == 2
    assert "No space left" in gate.gate.stats.memory_error
    assert caplog.text.count("cannot be kept on disk") == 1
    gate.hear(snapshot(3))
    assert gate.gate.stats.memory_error == ""


@pytest.mark.parametrize("what", ["write", "settle"])
def test_a_disk_that_hangs_holds_up_no_later_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The next halt is denied at once, beside what the disk may hold; nothing else is passed by
    rules that are not on disk, and the latest is what is written in the end."""
    gate = Gate(tmp_path)
    old = snapshot(1)
    halt(old, symbol="MSFT")
    gate.hear(old)
    hung, go_on = threading.Event(), threading.Event()
    real = getattr(GateMemory, what)

    def hanging(self: GateMemory, told: Any) -> Any:
        hung.set()
        assert go_on.wait(60)
        return real(self, told)

    monkeypatch.setattr(GateMemory, what, hanging)
    for revision, symbol in ((2, "IBM"), (3, "ORCL"), (4, "AAPL")):
        told = snapshot(revision)
        halt(told, symbol=symbol)
        assert gate.gate.apply(gate.message(told)) is Intake.TAKEN
        assert hung.wait(60)
        assert gate.ask(symbol=symbol).codes == ("HALTED",)
        assert gate.gate.revision == revision
    gate.revision = 4
    gate.clock.pass_s(5)
    assert gate.renew() is Intake.RENEWED
    assert gate.gate.state == "FRESH"
    assert gate.ask(symbol="IBM").codes == ("HALTED",)
    assert gate.ask(symbol="ORCL").verdict == "ALLOW"
    go_on.set()
    assert gate.gate._keeper.wait_written(60)
    for symbol, verdict in (("IBM", "ALLOW"), ("MSFT", "ALLOW"), ("AAPL", "DENY")):
        assert gate.ask(symbol=symbol).verdict == verdict
    assert gate.again().ask().codes == ("HALTED", "STICKY_DENIAL", "NO_LEASE")


def test_a_child_of_a_fork_writes_what_the_parent_did_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It denies what was heard at once, and has it written with the next renewal."""
    gate = Gate(tmp_path)
    gate.hear(snapshot(1))
    go_on = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(GateMemory, "write", lambda self, heard: go_on.wait(60) and None)
        gate.gate.apply(gate.message(snapshot(2, halted=True)))
        parents = gate.gate._keeper._writer
        gate.gate.reset_after_fork()
    assert gate.ask().codes == ("HALTED",)
    gate.revision = 2
    assert gate.renew() is Intake.RENEWED
    assert gate.again().ask().codes == ("HALTED", "STICKY_DENIAL", "NO_LEASE")
    go_on.set()
    assert parents is not None
    assert parents.wait(60)


def _full(descriptor: int, data: bytes) -> None:
    raise OSError(28, "No space left on device")


def test_a_denial_that_could_not_be_written_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on disk says less, so it is made unreadable; a renewal writes once there is room."""
    gate = Gate(tmp_path)
    gate.hear(snapshot(1))
    with monkeypatch.context() as patched:
        patched.setattr(gate_memory, "_write_all", _full)
        gate.hear(snapshot(2, halted=True))
        assert gate.ask().codes == ("HALTED",)
        assert gate.again().ask().codes == ("LAST_STATE_UNREADABLE", "NO_LEASE")
    gate.renew()
    assert gate.again().ask().codes == ("HALTED", "STICKY_DENIAL", "NO_LEASE")
    assert gate.gate.stats.memory_error == ""


def test_the_first_denial_that_could_not_be_written_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a file nothing would ever have been heard."""
    gate = Gate(tmp_path)
    monkeypatch.setattr(gate_memory, "_write_all", _full)
    gate.hear(snapshot(1))
    assert gate.again().ask().codes == ("NO_LEASE", "FALLBACK")
    gate.hear(snapshot(2, halted=True))
    assert gate.again().ask().codes == ("LAST_STATE_UNREADABLE", "NO_LEASE")


def test_what_denies_as_much_stays_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A halt of everything covers one of a symbol; nothing covers a stricter fail policy."""
    gate = Gate(tmp_path)
    gate.hear(snapshot(1, halted=True))
    monkeypatch.setattr(gate_memory, "_write_all", _full)
    told = snapshot(2)
    halt(told, symbol="AAPL")
    gate.hear(told)
    assert gate.again().ask().codes == ("HALTED", "STICKY_DENIAL", "NO_LEASE")
    told.fail_policy = 2  # type: ignore[assignment]
    told.revision = 3
    gate.hear(told)
    assert gate.again().ask().codes == ("LAST_STATE_UNREADABLE", "NO_LEASE")


def test_a_pipe_in_the_way_is_unreadable(tmp_path: Path) -> None:
    """It is not waited for."""
    gate = Gate(tmp_path)
    os.mkfifo(tmp_path / file_name("alpha-1", 2, "heard"))
    gate.gate.tick()
    assert gate.ask().codes == ("LAST_STATE_UNREADABLE", "NO_LEASE")
    assert "regular file" in gate.ask().words


def _write_many(path: str, first: int) -> None:
    memory = GateMemory(Path(path), "a", 2)
    maker = Gate(Path(path) / "unused")
    for revision in range(first, first + 400, 2):
        descriptor = memory.write(maker.message(snapshot(revision)))
        if descriptor is not None:
            os.close(descriptor)


def test_two_engines_of_one_name_leave_the_latest_whole(tmp_path: Path) -> None:
    """Written by two processes at once, read by a third: never torn, never falling."""
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write_many, args=(str(tmp_path), n)) for n in (1, 2)]
    for writer in writers:
        writer.start()
    memory, last = GateMemory(tmp_path, "a", 2), 0
    while any(writer.is_alive() for writer in writers):
        heard = memory.read()
        if heard is not None:
            assert heard.revision >= last
            last = heard.revision
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    heard = memory.read()
    assert heard is not None
    assert heard.revision == 400
    assert [each.suffix for each in sorted(tmp_path.iterdir())] == [".heard", ".lock"]


def test_unreadable_says_which_file(tmp_path: Path) -> None:
    """For the one who has to look at it."""
    memory = GateMemory(tmp_path, "a", 2)
    memory.path.write_bytes(b"?")
    with pytest.raises(Unreadable, match=r"a\.PAPER\.heard"):
        memory.read()
