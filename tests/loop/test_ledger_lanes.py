"""What the ledger's station remembers of each lane: one engine's facts never end another's."""

from collections.abc import Sequence
from typing import Any

from tests.store.ledger_facts import a_signal
from trimtab_server.domain.ledger.facts import Fact, FillFact, Lane
from trimtab_server.domain.ledger.ordering import Release
from trimtab_server.loop.ledger_lanes import BookMaker, LedgerLanes

GOOD, BAD = Lane("good", 1, ""), Lane("bad", 1, "")


class Brittle:
    """A book that fails at the facts of one lane."""

    pending_count = 3
    unfollowed_count = 0
    late_bar_count = 0
    corrected_bar_count = 0

    def take(self, facts: Sequence[Fact], watermark_ns: int) -> list[Any]:
        """Nothing, or ZeroDivisionError."""
        if any(fact.lane == BAD for fact in facts):
            raise ZeroDivisionError("a defect")
        return []

    def dump(self) -> bytes:
        """Nothing."""
        return b""


def a_fill(lane: Lane, key: int, side: int, price: float, time_ns: int) -> FillFact:
    """Ten units."""
    return FillFact(
        *(lane, time_ns, time_ns.to_bytes(16, "big"), b"", key, f"s{key}", "X"),
        *(side, 0, 10.0, price, 0.0, ()),
    )


def released(lane: Lane) -> Release:
    """A signal, its entry and its exit."""
    facts = (
        a_signal(1, lane=lane, time_ns=1),
        a_fill(lane, 7, 1, 100.0, 2),
        a_fill(lane, 7, -1, 110.0, 3),
    )
    return Release(lane, list(facts), 10, is_late=False)


def test_a_lane_whose_facts_fail_is_forgotten_and_counted_and_the_others_go_on() -> None:
    """What was open there counts as not followed; the failure is told, not raised."""
    lanes = LedgerLanes(BookMaker(Brittle, lambda _: Brittle(), lambda _: 0), 100)
    gathered = lanes.take([released(BAD), released(GOOD)], 0.0)
    assert [lane for lane, _ in gathered.failures] == [BAD]
    assert [(row.lane, round(row.return_fraction, 9)) for row in gathered.trades.values()] == [
        (GOOD, 0.1)
    ]
    assert lanes.taken_counts()[BAD].unfollowed_count == Brittle.pending_count
