from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_client import EVENT_CLASSES, EventClass, EventKind
from trimtab_client.ring import Ring

BULK = EventClass.BULK
RESERVED = EventClass.RESERVED


def settle(ring: Ring, seq: int) -> int:
    """Acknowledges up to `seq`."""
    with ring.lock:
        return ring.settle_through(seq)


def numbers(ring: Ring) -> tuple[int, int, int]:
    """First, next unsent and next number."""
    return ring.first_seq, ring.next_unsent_seq, ring.next_seq


def test_every_kind_has_a_class() -> None:
    """The table of classes is complete, and reserves what the contract names."""
    assert set(EVENT_CLASSES) == {k for k in EventKind.values() if k}
    reserved = {EventKind.Name(k)[11:] for k, c in EVENT_CLASSES.items() if c is RESERVED}
    assert reserved == {
        "DECISION", "EXECUTION", "EXECUTION_FAILURE", "ORDER_UPDATE", "OUTCOME", "RISK_BREACH",
    }  # fmt: skip


def test_the_last_fifth_of_events_is_reserved() -> None:
    """Bars never crowd out decisions, executions and outcomes."""
    ring = Ring(events_max=10, bytes_max=1_000)
    assert [ring.offer(b"x", BULK) for _ in range(10)] == [True] * 8 + [False] * 2
    assert [ring.offer(b"x", RESERVED) for _ in range(3)] == [True, True, False]
    assert ring.pending_count == 10


def test_the_last_fifth_of_bytes_is_reserved() -> None:
    """Large events are bounded like many events."""
    ring = Ring(events_max=1_000, bytes_max=100)
    assert ring.offer(b"x" * 80, BULK)
    assert not ring.offer(b"x", BULK)
    assert ring.offer(b"x" * 20, RESERVED)
    assert not ring.offer(b"x", RESERVED)
    assert ring.pending_bytes == 100


def test_refused_events_take_no_number() -> None:
    """Numbers are contiguous: they are given when an event is accepted."""
    ring = Ring(events_max=5, bytes_max=1_000)
    for _ in range(9):
        ring.offer(b"x", BULK)
    assert numbers(ring) == (1, 1, 5)


def test_a_batch_keeps_both_limits_and_the_order() -> None:
    """What is taken is in flight, the rest waits."""
    ring = Ring(100, 1_000)
    for letter in b"abcdef":
        ring.offer(bytes([letter]) * 10, RESERVED)
    assert ring.take(2, 1_000) == [b"a" * 10, b"b" * 10]
    assert ring.take(9, 25) == [b"c" * 10, b"d" * 10]
    assert ring.take(9, 25, overhead_bytes=6) == [b"e" * 10]
    assert (ring.in_flight_count, ring.in_flight_bytes, ring.unsent_count) == (5, 50, 1)
    assert numbers(ring) == (1, 6, 7)


def test_an_acknowledgement_frees_everything_up_to_it() -> None:
    """Cumulative, idempotent, and never beyond what is held."""
    ring = Ring(100, 1_000)
    for _ in range(6):
        ring.offer(b"xy", RESERVED)
    ring.take(4, 1_000)
    assert settle(ring, 3) == 3
    assert settle(ring, 3) == 0
    assert settle(ring, 2) == 0
    assert (ring.in_flight_count, ring.pending_bytes, ring.in_flight_bytes) == (1, 6, 2)
    assert settle(ring, 99) == 3
    assert (ring.pending_count, ring.pending_bytes, ring.settled_count) == (0, 0, 6)
    assert numbers(ring) == (7, 7, 7)


def test_a_rewind_makes_everything_in_flight_unsent_again_in_order() -> None:
    """After a lost connection the same numbers carry the same events."""
    ring = Ring(100, 1_000)
    for letter in b"abc":
        ring.offer(bytes([letter]), RESERVED)
    ring.take(2, 1_000)
    ring.rewind()
    assert numbers(ring) == (1, 1, 4)
    assert ring.take(9, 1_000) == [b"a", b"b", b"c"]


def test_a_new_producer_counts_from_one() -> None:
    """What was settled under the old id has no number any more; what is held starts anew."""
    ring = Ring(100, 1_000)
    for _ in range(5):
        ring.offer(b"x", RESERVED)
    ring.take(3, 1_000)
    settle(ring, 2)
    ring.renumber()
    assert numbers(ring) == (1, 1, 4)
    assert (ring.settled_count, ring.accepted_count) == (2, 5)


def test_a_shut_ring_refuses_everything_and_keeps_what_it_has() -> None:
    """Closing loses nothing that was accepted."""
    ring = Ring(100, 1_000)
    ring.offer(b"x", RESERVED)
    ring.shut()
    assert not ring.offer(b"", RESERVED)
    assert ring.pending_count == 1


def test_a_nested_offer_does_not_deadlock() -> None:
    """A signal handler of the engine may record while its own thread is recording."""
    ring = Ring(100, 1_000)
    with ring.lock:
        assert ring.offer(b"x", BULK)


def test_a_waiter_is_woken_by_the_event_it_waits_for() -> None:
    """The sender sleeps while there is nothing to do."""
    ring = Ring(100, 1_000)
    woken = threading.Event()

    def wait() -> None:
        with ring.lock:
            while ring.unsent_count < 2:
                ring.wait_for_unsent(2, None)
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    ring.offer(b"x", BULK)
    ring.offer(b"x", BULK)
    assert woken.wait(10)
    thread.join()


@pytest.mark.timeout(60)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("offer"), st.integers(0, 30)),
            st.tuples(st.just("take"), st.integers(0, 5)),
            st.tuples(st.just("settle"), st.integers(0, 5)),
            st.tuples(st.just("rewind"), st.just(0)),
            st.tuples(st.just("renumber"), st.just(0)),
        )
    )
)
@settings(max_examples=200, deadline=None)
def test_nothing_accepted_is_dropped_or_reordered(steps: list[tuple[str, int]]) -> None:
    """Whatever happens in between, events leave settled, once, in the order of acceptance."""
    ring = Ring(events_max=10, bytes_max=200)
    accepted: list[bytes] = []
    settled = 0
    for step, size in steps:
        if step == "offer":
            data = f"{len(accepted):04}".encode() * size
            if ring.offer(data, RESERVED):
                accepted.append(data)
        elif step == "take":
            start = settled + ring.in_flight_count
            assert ring.take(size, 60) == accepted[start : settled + ring.in_flight_count]
        elif step == "settle":
            settled += settle(ring, min(ring.next_unsent_seq, ring.first_seq + size) - 1)
        elif step == "rewind":
            ring.rewind()
        else:
            ring.renumber()
        assert ring.settled_count == settled
        assert ring.accepted_count == len(accepted)
        assert ring.pending_bytes == sum(map(len, accepted[settled:])) <= 200
        assert ring.in_flight_bytes <= ring.pending_bytes
        assert ring.pending_count <= 10
