"""The clock of the signal gate: set forward it does not leap, so no halt ends before its time."""

import time

import pytest

from trimtab_server.app import _boot_time_ns, _clock_that_never_leaps

S = 10**9
START = 1_700_000_000 * S
HALT_ENDS = START + 3_600 * S


class Machine:
    """A wall clock that anybody sets, and one that only runs."""

    def __init__(self) -> None:
        self.wall_ns, self.boot_ns = START, 77 * S
        self.clock = _clock_that_never_leaps(lambda: self.wall_ns, lambda: self.boot_ns)

    def run(self, seconds: int) -> int:
        """What the gate's clock shows when so much time has passed."""
        self.wall_ns += seconds * S
        self.boot_ns += seconds * S
        return self.clock()

    def set(self, seconds: int) -> int:
        """What it shows when somebody has set the wall clock forward, or back."""
        self.wall_ns += seconds * S
        return self.clock()


def test_a_wall_clock_that_leaps_forward_ends_no_halt() -> None:
    """The gate's time goes on as if nobody had touched it, and meets the halt's end in its time."""
    machine = Machine()
    assert machine.clock() == START
    assert machine.run(60) == START + 60 * S
    assert machine.set(10**6) == START + 60 * S
    assert machine.run(3_539) == HALT_ENDS - S
    assert machine.run(1) == HALT_ENDS
    assert machine.set(-(10**6)) == HALT_ENDS


def test_a_wall_clock_that_is_set_back_is_followed() -> None:
    """A halt then lasts longer, never shorter, until the clock is right again."""
    machine = Machine()
    machine.run(60)
    assert machine.set(-600) == START - 540 * S
    assert machine.run(10) == START - 530 * S
    assert machine.set(600) == START + 70 * S
    assert machine.set(600) == START + 70 * S


def test_the_hours_of_a_sleeping_machine_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is held against the clock that runs on while the machine sleeps, where there is one."""
    shown = {time.CLOCK_MONOTONIC: 1, getattr(time, "CLOCK_BOOTTIME", -1): 2}
    monkeypatch.setattr(time, "clock_gettime_ns", shown.__getitem__)
    assert _boot_time_ns() == (2 if hasattr(time, "CLOCK_BOOTTIME") else 1)
