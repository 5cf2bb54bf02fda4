"""Holds a log against what was sent and acknowledged: the judge of every fault test.

It knows nothing of the server: `Record` is kept by the drivers, `Entry` is what a reader found.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class Sent(NamedTuple):
    """One event as a caller sent it; `producer` is None for unary calls. An expendable one may be
    missing though later ones are there: its engine was killed before it was told durable."""

    body: bytes
    producer: str | None = None
    producer_seq: int = 0
    valid: bool = True
    expendable: bool = False


class Loss(NamedTuple):
    """Numbers that a producer declared lost, the last one included."""

    producer: str
    first_seq: int
    last_seq: int


class Entry(NamedTuple):
    """One event as a reader found it; numbers are None where that reader does not show them.
    `loss` is set where the server itself wrote down that a producer's numbers are lost."""

    sequence: int
    event_id: str
    body: bytes
    producer_seq: int | None = None
    loss: Loss | None = None


@dataclass
class Record:
    """What was sent, and what was acknowledged. Callers write it from their own threads."""

    sent: dict[str, Sent] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note_sent(self, event_id: str, sent: Sent) -> None:
        """Remembers an event. To be called before its first byte leaves."""
        with self.lock:
            self.sent.setdefault(event_id, sent)

    def note_acknowledged(self, event_ids: Iterable[str]) -> None:
        """Remembers that the server vouched for these events."""
        with self.lock:
            self.acknowledged.update(event_ids)

    @property
    def acknowledged_count(self) -> int:
        """How many events were acknowledged."""
        return len(self.acknowledged)


def faults(log: list[Entry], record: Record) -> list[str]:
    """Everything that is wrong with `log`, in words; empty when each promise was kept."""
    found = list(_sequence_faults(log))
    found += _content_faults(log, record)
    found += _order_faults(log, record)
    found += _loss_faults(log, record)
    stored = {entry.event_id for entry in log}
    found += [
        f"lost: {event_id} was acknowledged"
        for event_id in sorted(record.acknowledged - stored)
        if record.sent[event_id].valid
    ]
    return found


def _sequence_faults(log: list[Entry]) -> Iterable[str]:
    for expected, entry in enumerate(log, 1):
        if entry.sequence != expected:
            yield f"gap: sequence {entry.sequence} stands where {expected} is due"
            return


def _content_faults(log: list[Entry], record: Record) -> Iterable[str]:
    for event_id, count in Counter(entry.event_id for entry in log).items():
        if count > 1:
            yield f"doubled: {event_id} is stored {count} times"
    for entry in log:
        sent = record.sent.get(entry.event_id)
        if sent is None and entry.loss is not None:
            continue
        if sent is None:
            yield f"invented: {entry.event_id} was never sent"
        elif not sent.valid:
            yield f"invented: {entry.event_id} should have been refused"
        elif sent.body != entry.body:
            yield f"changed: {entry.event_id} is not what was sent"
        elif sent.producer is not None and entry.producer_seq not in (None, sent.producer_seq):
            yield f"renumbered: {entry.event_id} has {entry.producer_seq}"


def _order_faults(log: list[Entry], record: Record) -> Iterable[str]:
    """A producer's numbers must rise, and leave out only what was refused."""
    stored: dict[str, list[int]] = defaultdict(list)
    wanted: dict[str, set[int]] = defaultdict(set)
    for sent in record.sent.values():
        if sent.producer is not None and sent.valid and not sent.expendable:
            wanted[sent.producer].add(sent.producer_seq)
    for entry in log:
        known = record.sent.get(entry.event_id)
        if known is not None and known.producer is not None:
            stored[known.producer].append(known.producer_seq)
    for producer, numbers in stored.items():
        if numbers != sorted(numbers):
            yield f"reordered: the numbers of {producer} do not rise"
        last = max(numbers)
        skipped = {number for number in wanted[producer] if number < last} - set(numbers)
        if skipped:
            yield f"skipped: {producer} misses {sorted(skipped)[:5]} below {last}"


def _loss_faults(log: list[Entry], record: Record) -> Iterable[str]:
    """What is declared lost is neither stored nor promised."""
    stored = {entry.event_id for entry in log}
    for entry in log:
        if entry.loss is None:
            continue
        producer, first, last = entry.loss
        for event_id, sent in record.sent.items():
            if sent.producer != producer or not first <= sent.producer_seq <= last:
                continue
            if event_id in stored or not sent.expendable:
                yield f"given up: {event_id} is {'stored' if event_id in stored else 'promised'}"
