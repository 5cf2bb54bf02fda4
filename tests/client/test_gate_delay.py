"""When a message was sent: told by its uptime, held by the promptest one."""

from __future__ import annotations

from tests.client.gates import SECOND_NS
from trimtab_client.event import to_duration
from trimtab_client.gate_delay import SendTimes
from trimtab_client.gate_memory import Heard


def message(uptime_s: float, boot_id: str = "b") -> Heard:
    """A message with nothing else."""
    made = Heard(boot_id=boot_id)
    made.uptime.CopyFrom(to_duration(uptime_s))
    return made


def test_a_message_without_an_uptime_was_sent_at_its_arrival() -> None:
    """As from a server that does not tell it."""
    sends = SendTimes()
    sends.sent_ns(message(1), SECOND_NS, None)
    assert sends.sent_ns(Heard(boot_id="b"), 9 * SECOND_NS, None) == 9 * SECOND_NS


def test_a_growing_delay_is_found_whoever_answers() -> None:
    """Each start of a server is held apart, so calls that go to two of them in turn are too."""
    sends = SendTimes()
    for second in range(0, 20, 2):
        for boot_id in ("b", "c"):
            late_s = second / 2
            arrival_ns = int((100 + second + late_s) * SECOND_NS)
            sent_ns = sends.sent_ns(message(second, boot_id), arrival_ns, None)
            assert abs(sent_ns - (100 + second) * SECOND_NS) < SECOND_NS / 50


def test_a_message_is_never_from_before_its_call() -> None:
    """Which ends what a paused machine's clock lost; nothing is sent after its arrival."""
    sends = SendTimes()
    sends.sent_ns(message(10), 100 * SECOND_NS, None)
    assert sends.sent_ns(message(11), 200 * SECOND_NS, None) < 102 * SECOND_NS
    assert sends.sent_ns(message(12), 210 * SECOND_NS, 209 * SECOND_NS) == 209 * SECOND_NS
    assert abs(sends.sent_ns(message(13), 211 * SECOND_NS, None) - 210 * SECOND_NS) < 10**6
    assert sends.sent_ns(message(20), 211 * SECOND_NS, None) == 211 * SECOND_NS


def test_few_starts_are_remembered() -> None:
    """The one that was heard longest ago goes."""
    sends = SendTimes()
    for number in range(40):
        sends.sent_ns(message(1, str(number)), SECOND_NS * number, None)
    assert len(sends._starts) == 16
    assert "39" in sends._starts
