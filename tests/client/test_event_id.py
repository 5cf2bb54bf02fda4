from __future__ import annotations

import threading
import uuid

from trimtab_client.event_id import EventIds, uuid7


def test_ids_are_version_7_in_canonical_form() -> None:
    """What the contract advises is what the client makes."""
    made = uuid7()
    parsed = uuid.UUID(made)
    assert str(parsed) == made
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122


def test_the_first_48_bits_are_the_milliseconds() -> None:
    """Ids sort by time, which keeps the server's index append-only."""
    ids = EventIds(now_ns=lambda: 1_760_000_000_123_456_789)
    assert uuid.UUID(ids.next()).int >> 80 == 1_760_000_000_123


def test_ids_increase_even_within_a_millisecond_and_when_the_clock_steps_back() -> None:
    """A strictly increasing order survives a fast engine and an NTP correction."""
    times = iter([5_000_000] * 40_000 + [3_000_000] * 1_000 + [6_000_000] * 1_000)
    ids = EventIds(now_ns=lambda: next(times))
    made = [ids.next() for _ in range(42_000)]
    assert made == sorted(set(made))


def test_the_counter_carries_into_the_time_instead_of_repeating() -> None:
    """More ids than the counter holds stay unique and valid."""
    ids = EventIds(now_ns=lambda: 5_000_000)
    ids._next_count = iter(range((1 << 26) - 3, (1 << 26) + 3)).__next__
    made = [ids.next() for _ in range(6)]
    assert made == sorted(set(made))
    assert {uuid.UUID(i).version for i in made} == {7}


def test_threads_never_get_the_same_id() -> None:
    """The generator is shared by every thread of an engine."""
    made: list[list[str]] = [[] for _ in range(8)]

    def take(mine: list[str]) -> None:
        mine.extend(uuid7() for _ in range(2_000))

    threads = [threading.Thread(target=take, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({i for mine in made for i in mine}) == 16_000
    assert all(mine == sorted(mine) for mine in made)


def test_a_reseed_changes_the_random_part() -> None:
    """A forked child does not continue its parent's ids."""
    ids = EventIds()
    before = ids.next()[-12:]
    ids.reseed()
    assert ids.next()[-12:] != before
