"""Reading in slices: ingestion gives way to whoever asks the signal gate."""

from collections.abc import Sequence
from typing import Any

from trimtab.v1 import event_pb2
from trimtab_server.domain.events import Event, Rejection
from trimtab_server.domain.reasons import Reason
from trimtab_server.rpc.intake import BatchLimits, Intake


class Slices:
    """A reader that only notes how many events it was handed at a time."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def read(self, sent: Sequence[event_pb2.Event], source: str | None) -> list[Event | Rejection]:
        """Refuses each."""
        self.lengths.append(len(sent))
        return [Rejection(each.event_id, Reason.INVALID_FIELD, ()) for each in sent]


async def test_slices_are_short_while_somebody_asks() -> None:
    """Long before the first question, short from the question on, also within a batch; long again
    when nobody asked for a while. Nothing is left out and the order stays."""
    asked = [0]
    slices = Slices()
    reader: Any = slices
    intake = Intake(reader, BatchLimits(2_000, 1 << 20), lambda: asked[0], is_tracing=False)
    sent = [event_pb2.Event(event_id=str(number)) for number in range(200)]

    async def lengths() -> list[int]:
        slices.lengths.clear()
        taken = await intake.take(sent, "events")
        items = taken.append.events
        assert [item.event_id for item in items] == [event.event_id for event in sent]
        return list(slices.lengths)

    assert await lengths() == [64, 64, 64, 8]
    asked[0] += 1
    assert set(await lengths()) == {8}
    calm = [await lengths() for _ in range(64)]
    assert set(calm[0]) == {8}
    assert calm[-1] == [64, 64, 64, 8]
