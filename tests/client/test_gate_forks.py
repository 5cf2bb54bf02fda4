"""A log that has gone back ends no denial, even when its revision has caught up."""

from pathlib import Path

import pytest

from tests.client.gates import Gate, snapshot
from trimtab_client import SignalGate
from trimtab_client.gate_lease import Intake


def gone_back(path: Path, *, halted: bool) -> Gate:
    """An engine that knows revision 5, whose sidecar said that it is behind."""
    one = Gate(path)
    assert one.hear(snapshot(5, halted=halted)) is Intake.TAKEN
    one.gate._keeper.refuse_ahead()
    one.boot_id = "boot-2"
    return one


@pytest.mark.parametrize("revision", [4, 5, 6, 500])
def test_a_log_that_went_back_ends_no_denial_at_any_revision(tmp_path: Path, revision: int) -> None:
    """Another history of the same log is not the one in which somebody resumed."""
    one = gone_back(tmp_path, halted=True)
    assert one.hear(snapshot(revision)) is Intake.REFUSED
    one.clock.pass_s(60)
    answer = one.ask()
    assert {"HALTED", "STICKY_DENIAL", "SNAPSHOT_REFUSED"} <= set(answer.codes)


def test_where_nothing_is_denied_a_log_that_caught_up_is_believed(tmp_path: Path) -> None:
    """There is nothing that it could end; below the revision it is refused as ever."""
    one = gone_back(tmp_path, halted=False)
    assert one.hear(snapshot(4)) is Intake.REFUSED
    assert one.hear(snapshot(5, halted=True)) is Intake.TAKEN
    assert one.ask().codes == ("HALTED",)


def test_a_restore_ends_what_a_log_that_went_back_cannot(tmp_path: Path) -> None:
    """It is another log, which names the one that it comes from."""
    one = gone_back(tmp_path, halted=True)
    one.log_id, one.revision = "log-2", 1
    message = one.message(snapshot(1), former_log_ids=["log-1"])
    assert one.gate.apply(message) is Intake.TAKEN
    assert one.ask().verdict == "ALLOW"


def test_an_override_believes_it_again(tmp_path: Path) -> None:
    """A person at the engine's machine has looked."""
    one = gone_back(tmp_path, halted=True)
    gate: SignalGate = one.gate
    told = one.message(snapshot(6))
    now_ns = one.clock.monotonic_ns
    assert gate._keeper.take(told, now_ns, overridden=True) is Intake.TAKEN
    assert gate._keeper.take(one.message(snapshot(7)), now_ns) is Intake.TAKEN
