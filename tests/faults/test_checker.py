"""The judge itself: every kind of damage to a log is found, and a good log is not accused."""

from collections.abc import Callable

import pytest

from tests.faults.checker import Entry, Record, Sent, faults

Damage = Callable[[list[Entry]], list[Entry]]


def good_case() -> tuple[list[Entry], Record]:
    """Two producers and a unary caller, interleaved; one event refused, the last one unacked."""
    record = Record()
    log: list[Entry] = []
    for seq in range(1, 6):
        for producer in ("p", "q", None):
            event_id = f"{producer}-{seq}"
            valid = event_id != "q-3"
            body = event_id.encode()
            record.note_sent(event_id, Sent(body, producer, seq if producer else 0, valid))
            if valid:
                log.append(Entry(len(log) + 1, event_id, body, seq if producer else None))
            if seq < 5:
                record.note_acknowledged([event_id])
    record.note_sent("p-6", Sent(b"p-6", "p", 6))
    return log, record


def without(log: list[Entry], index: int) -> list[Entry]:
    """The log without one entry, numbered anew as if it had never been there."""
    kept = log[:index] + log[index + 1 :]
    return [entry._replace(sequence=i) for i, entry in enumerate(kept, 1)]


def with_one_more(log: list[Entry], event_id: str, body: bytes) -> list[Entry]:
    """The log with one entry more at its end."""
    return [*log, Entry(len(log) + 1, event_id, body)]


def swapped(log: list[Entry], first: int, second: int) -> list[Entry]:
    """The log with two entries in each other's place."""
    copy = list(log)
    copy[first] = log[second]._replace(sequence=log[first].sequence)
    copy[second] = log[first]._replace(sequence=log[second].sequence)
    return copy


def test_a_good_log_has_no_faults() -> None:
    """Unacknowledged events may be stored or not, and refused ones leave a hole: no fault."""
    log, record = good_case()
    assert faults(log, record) == []
    assert faults(log[:-3], record) == []


@pytest.mark.parametrize(
    ("word", "damage"),
    [
        ("lost: None-2", lambda log: without(log, 5)),
        ("lost: p-4", lambda log: without(log, 8)),
        ("skipped: p", lambda log: without(log, 8)),
        ("doubled: p-1", lambda log: with_one_more(log, "p-1", b"p-1")),
        ("invented: ghost", lambda log: with_one_more(log, "ghost", b"")),
        ("invented: q-3", lambda log: with_one_more(log, "q-3", b"q-3")),
        ("reordered: the numbers of p", lambda log: swapped(log, 0, 3)),
        ("changed: p-1", lambda log: [log[0]._replace(body=b"other"), *log[1:]]),
        ("renumbered: p-1", lambda log: [log[0]._replace(producer_seq=7), *log[1:]]),
        ("gap: sequence 2", lambda log: log[1:]),
        ("gap: sequence 15", lambda log: [*log[:-1], log[-1]._replace(sequence=15)]),
    ],
)
def test_each_kind_of_damage_is_caught(word: str, damage: Damage) -> None:
    """A doctored log is accused of exactly what was done to it."""
    log, record = good_case()
    assert any(fault.startswith(word) for fault in faults(damage(log), record))
