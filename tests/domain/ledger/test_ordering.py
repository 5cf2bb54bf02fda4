"""Lanes: facts by event time, whatever order they came in and however the log was cut."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from trimtab_server.domain.ledger.facts import (
    AccountFact,
    ActionFact,
    Fact,
    FillFact,
    Lane,
    TickFact,
)
from trimtab_server.domain.ledger.ordering import Arrival, Lanes, Release

A, B = Lane("a", 1, ""), Lane("b", 1, "")
S = 10**9
_numbers = itertools.count(1)


def a_tick(time_ns: int, lane: Lane = A, corrects: bytes = b"") -> TickFact:
    """A tick with an id of its own."""
    event_id = next(_numbers).to_bytes(16, "big")
    return TickFact(lane, time_ns, event_id, corrects, "X", 1.0, 1.0, math.nan, math.nan)


def arriving(
    facts: Sequence[Fact], start: int = 1, step_ns: int = 1_000, ingest_ns: int = 1_000 * S
) -> list[Arrival]:
    """The facts as a log tells them, one `step_ns` after the other."""
    return [Arrival(start + at, ingest_ns + at * step_ns, fact) for at, fact in enumerate(facts)]


def times(released: Sequence[Release]) -> list[int]:
    """The times of what left."""
    return [fact.time_ns for each in released for fact in each.facts]


def test_what_came_within_the_bound_leaves_in_order() -> None:
    """Nothing leaves before something newer by the bound was seen; then by time."""
    lanes = Lanes(lateness_ns=5 * S)
    assert lanes.take(arriving([a_tick(n * S) for n in (3, 1, 2, 6)])) == []
    released = lanes.take(arriving([a_tick(8 * S), a_tick(4 * S)], start=5))
    assert times(released) == [1 * S, 2 * S]
    assert lanes.held_count == 4
    assert lanes.first_held_sequence == 1
    assert times(lanes.release_all()) == [3 * S, 4 * S, 6 * S, 8 * S]
    assert (lanes.held_count, lanes.first_held_sequence) == (0, 0)


def test_at_one_time_a_bar_comes_before_what_knew_it() -> None:
    """Corporate action, market data, account, fill, and last a correction."""
    fill = FillFact(A, 1, b"1", b"", 1, "s", "X", 1, 0, 1.0, 1.0, 0.0, ())
    told: list[Fact] = [
        fill._replace(event_id=b"0", corrects_id=b"1"),
        fill,
        AccountFact(A, 1, b"2", b"", 1.0),
        a_tick(1),
        ActionFact(A, 1, b"9", b"", "X", 1, 2.0, math.nan, ""),
    ]
    lanes = Lanes()
    assert lanes.take(arriving(told)) == []
    (released,) = lanes.release_all()
    assert released.facts == told[::-1]


def test_what_comes_behind_the_bound_is_handed_on_late_and_counted() -> None:
    """By itself, behind what left before it; a correction is late by nature and not counted."""
    lanes = Lanes(lateness_ns=5 * S)
    facts = [a_tick(1 * S), a_tick(10 * S), a_tick(2 * S), a_tick(3 * S, corrects=b"?"), a_tick(S)]
    released = lanes.take(arriving(facts))
    assert [(times([each]), each.is_late) for each in released] == [
        ([1 * S], False),
        ([2 * S], True),
        ([3 * S], True),
        ([1 * S], True),
    ]
    assert {each.watermark_ns for each in released} == {5 * S}
    assert lanes.taken_late_counts() == {A: 2}
    assert lanes.taken_late_counts() == {}


def test_lanes_do_not_wait_for_each_other() -> None:
    """One engine's clock says nothing about another's; shared, it does."""
    facts = [a_tick(1 * S, A), a_tick(100 * S, B), a_tick(2 * S, A)]
    assert Lanes().take(arriving(facts)) == []
    shared = Lanes(is_shared=True)
    released = shared.take(arriving(facts))
    assert times(released) == [1 * S, 2 * S]
    assert shared.taken_late_counts() == {A: 1}


def test_a_quiet_lane_leaves_all() -> None:
    """After a second of ingest time without anything of it, though others go on."""
    lanes = Lanes(quiet_ns=S)
    assert lanes.take(arriving([a_tick(1 * S, A), a_tick(1 * S, B)])) == []
    later = arriving([a_tick(2 * S, B)], start=3, ingest_ns=1_002 * S)
    released = lanes.take(later)
    assert {each.lane: times([each]) for each in released} == {A: [S], B: [S]}
    # What tells the same time afterwards is not late, what tells less is.
    again = arriving([a_tick(1 * S, A), a_tick(S - 1, A)], start=4, ingest_ns=1_002 * S)
    assert [each.is_late for each in lanes.take(again) if each.lane == A] == [False, True]


def test_what_is_held_is_bounded() -> None:
    """At the limit the older half of every lane leaves early; it is then late to come before."""
    lanes = Lanes(held_max=10)
    released = lanes.take(arriving([a_tick(n) for n in range(1, 12)]))
    assert times(released) == [1, 2, 3, 4, 5, 6]
    assert lanes.held_count == 5
    assert [each.is_late for each in lanes.take(arriving([a_tick(3)], start=12))] == [True]


def test_lanes_remembered_are_bounded() -> None:
    """At the limit all leaves, those heard least recently are forgotten, and it says so."""
    lanes = Lanes(lanes_max=4)
    facts = [a_tick(n, Lane(f"s{n}", 1, "")) for n in range(1, 6)]
    released = lanes.take(arriving(facts))
    assert times(released) == [1, 2, 3, 4]
    assert lanes.has_forgotten
    assert len(lanes.dump()) < 400


# -- properties -----------------------------------------------------------------------------------

_TOLD = st.lists(
    st.tuples(
        st.integers(0, 30), st.sampled_from((A, A, B)), st.sampled_from((1, 1, 1, 400, 2_000))
    ),
    max_size=40,
)


def _log(told: Sequence[tuple[int, Lane, int]]) -> list[Arrival]:
    ingest_ns, log = 1_000 * S, []
    for at, (seconds, lane, gap_ms) in enumerate(told):
        ingest_ns += gap_ms * 1_000_000
        log.append(Arrival(at + 1, ingest_ns, a_tick(seconds * S, lane)))
    return log


def _flat(released: Sequence[Release]) -> dict[Lane, list[tuple[int, bytes, bool]]]:
    """What left of each lane, in order."""
    left: dict[Lane, list[tuple[int, bytes, bool]]] = {}
    for each in released:
        told = [(fact.time_ns, fact.event_id, each.is_late) for fact in each.facts]
        left.setdefault(each.lane, []).extend(told)
    return left


# Most may leave before the page ends: it takes no room from the others.
@example([(seconds, A, 1) for seconds in (0, 1, 2, 20, 21, 22, 23, 19)], [8], 5)
@given(_TOLD, st.lists(st.integers(1, 7), min_size=1), st.sampled_from((5, 9, 1_000)))
def test_pages_change_nothing(
    told: list[tuple[int, Lane, int]], sizes: list[int], held_max: int
) -> None:
    """However the log is cut: the same facts in the same order, and the same ones late."""
    log = _log(told)
    one, other = Lanes(held_max=held_max), Lanes(held_max=held_max)
    single = [each for arrival in log for each in one.take([arrival])]
    paged, rest = [], log
    for size in itertools.cycle(sizes):
        if not rest:
            break
        paged += other.take(rest[:size])
        rest = rest[size:]
    assert _flat(single + one.release_all()) == _flat(paged + other.release_all())
    assert one.taken_late_counts() == other.taken_late_counts()


@given(_TOLD, st.integers(0, 40), st.integers(1, 5), st.sampled_from((5, 1_000)))
def test_a_restart_changes_nothing(
    told: list[tuple[int, Lane, int]], at: int, again: int, held_max: int
) -> None:
    """Read again from before what was held: nothing leaves twice, nothing is missing."""
    log = _log(told)
    whole, first = Lanes(held_max=held_max), Lanes(held_max=held_max)
    expected = _flat(whole.take(log) + whole.release_all())
    before = first.take(log[:at])
    second = Lanes(held_max=held_max)
    second.load(first.dump())
    needed = first.first_held_sequence or len(log[:at]) + 1
    after = second.take(log[max(needed - again, 0) :])
    assert _flat(before + after + second.release_all()) == expected


@given(_TOLD, st.randoms(use_true_random=False))
def test_any_order_within_the_bound_is_the_same(
    told: list[tuple[int, Lane, int]], rng: Any
) -> None:
    """Facts that are shifted by less than the bound leave as if they had come in order."""
    facts = [each.fact for each in _log(sorted(told, key=lambda one: one[0]))]
    shifted = sorted(facts, key=lambda fact: fact.time_ns + rng.random() * 4.9 * S)
    one, other = Lanes(), Lanes()
    in_order = one.take(arriving(facts)) + one.release_all()
    out_of_order = other.take(arriving(shifted)) + other.release_all()
    assert _flat(in_order) == _flat(out_of_order)
    assert other.taken_late_counts() == {}
