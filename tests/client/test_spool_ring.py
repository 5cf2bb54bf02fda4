"""The ring with a disk in its middle: whatever happens, order and numbers stay."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_client import EventClass
from trimtab_client.ring import Ring

RESERVED = EventClass.RESERVED


def locked_ring(events_max: int, head_share: float = 1.0) -> Ring:
    """A ring whose lock this thread holds."""
    ring = Ring(events_max, 10_000, head_share=head_share)
    ring.lock.acquire()
    return ring


class Disk:
    """A spool in memory: what the spooler does, one step at a time."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.written: dict[int, bytes] = {}
        self.works = True

    def write(self, data: bytes) -> bool:
        """What the ring calls in mode always."""
        if self.works:
            self.written[self.ring.accepted_count + 1] = data
        return self.works

    def spill(self, count: int) -> None:
        """Writes the oldest that are not written."""
        first, events = self.ring.unwritten(count)
        if self.works and events:
            self.written |= dict(enumerate(events, first))
            self.ring.note_written(first + len(events) - 1)

    def refill(self) -> None:
        """Reads on behind the head."""
        count, _ = self.ring.refill_room()
        first = self.ring.settled_count + self.ring.head_count + 1
        if count:
            assert self.ring.refill(first, [self.written[first + i] for i in range(count)], 0)


@pytest.mark.timeout(60)
@given(
    always=st.booleans(),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("offer"), st.integers(1, 12)),
            st.tuples(st.just("take"), st.integers(1, 9)),
            st.tuples(st.just("settle"), st.integers(0, 30)),
            st.tuples(st.just("rewind"), st.just(0)),
            st.tuples(st.just("spill"), st.integers(1, 9)),
            st.tuples(st.just("refill"), st.just(0)),
            st.tuples(st.just("break"), st.just(0)),
            st.tuples(st.just("mend"), st.just(0)),
        ),
        max_size=60,
    ),
)
@settings(max_examples=300, deadline=None)
def test_everything_accepted_leaves_once_in_order(
    *, steps: list[tuple[str, int]], always: bool
) -> None:
    """Over the disk or past it, with acknowledgements of any size, a disk that comes and goes."""
    ring = locked_ring(10, head_share=0.5)
    disk = Disk(ring)
    ring.write = disk.write if always else None
    accepted: list[bytes] = []
    for step, size in steps:
        if step == "offer":
            for _ in range(size):
                data = str(len(accepted)).encode()
                if ring.offer(data, RESERVED):
                    accepted.append(data)
        elif step == "take":
            start = ring.settled_count + ring.in_flight_count
            taken = ring.take(size, 1_000)
            assert taken == accepted[start : start + len(taken)]
        elif step == "settle":
            settled = ring.settled_count
            count = ring.settle_through(ring.first_seq + size - 1)
            assert ring.settled_count == settled + count == min(settled + size, len(accepted))
        elif step == "rewind":
            ring.rewind()
        elif step == "spill":
            disk.spill(size)
            if always and disk.works and ring.is_written:
                ring.written_count = ring.accepted_count
                ring.write = disk.write
        elif step == "refill":
            disk.refill()
        else:
            disk.works = step == "mend"
        assert ring.accepted_count == len(accepted)
        assert ring.head_count + ring.tail_count <= 10
        assert all(accepted[n - 1] == data for n, data in disk.written.items())
        stored = range(ring.settled_count + ring.head_count, len(accepted) - ring.tail_count)
        assert len(stored) == ring.stored_count
        assert all(n + 1 in disk.written for n in stored)
    disk.works = True
    while ring.pending_count:
        disk.spill(99)
        disk.refill()
        start = ring.settled_count + ring.in_flight_count
        taken = ring.take(99, 1_000)
        assert taken == accepted[start : start + len(taken)]
        assert ring.settle_through(ring.next_unsent_seq - 1)
    assert ring.settled_count == len(accepted)
    assert (ring.pending_bytes, ring.in_flight_bytes) == (0, 0)


def test_an_event_recorded_by_a_signal_handler_queues_behind_the_one_it_interrupts() -> None:
    """Their numbers on disk and on the wire are the same."""
    ring = locked_ring(100, head_share=0.5)
    disk = Disk(ring)

    def interrupted(data: bytes) -> bool:
        written = disk.write(data)
        assert ring.offer(b"inner", RESERVED)
        return written

    ring.write = interrupted
    assert ring.offer(b"outer", RESERVED)
    disk.spill(9)
    assert disk.written == {1: b"outer", 2: b"inner"}
    disk.refill()
    assert ring.take(9, 1_000) == [b"outer", b"inner"]


def test_damaged_numbers_stand_between_what_was_before_and_what_comes_after() -> None:
    """Nothing passes them; one acknowledgement frees them."""
    ring = locked_ring(10)
    ring.hold(1, 20, 0)
    assert ring.refill(1, [b"a", b"b"], 5)
    assert ring.refill_room() == (0, 0)
    assert ring.take(9, 1_000) == [b"a", b"b"]
    assert ring.settle_through(2) == 2
    assert (ring.first_seq, ring.damaged_count, ring.pending_count) == (3, 5, 18)
    assert ring.settle_through(7) == 5
    assert ring.refill(8, [b"h"], 0)
    assert (ring.first_seq, ring.damaged_count, ring.stored_count) == (8, 0, 12)
    assert not ring.refill(8, [b"h"], 0)


def test_an_adopted_spool_keeps_its_numbers() -> None:
    """They continue; on the wire they are lower by the offset."""
    ring = locked_ring(10)
    ring.hold(101, 150, 90)
    assert (ring.first_seq, ring.next_seq, ring.pending_count) == (11, 61, 50)
