"""The books of engines that died and started again, read for the judge."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.checker import Entry, Record, Sent


@dataclass
class Life:
    """One start of an engine, up to its end or its death: what its book says."""

    producer: str
    spool_mode: str
    sent: dict[str, bytes] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    durable_count: int = 0
    dropped_count: int = 0
    closed: bool = False

    @property
    def promised(self) -> list[str]:
        """What must be stored in the end: all it took with a spool that misses nothing, or when it
        ended in order; else what it was told to be durable."""
        whole = self.spool_mode == "always" or (self.closed and self.spool_mode != "off")
        return self.taken if whole else self.taken[: self.durable_count]


def lives(book: Path) -> list[Life]:
    """Every life in an engine's book. A last line that was cut by a death is none."""
    found: list[Life] = []
    for line in book.read_text("utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        kind, first, *more = line.split()
        if kind == "life":
            found.append(Life(first, more[0]))
        elif kind == "sent":
            found[-1].sent[first] = bytes.fromhex(more[0])
        elif kind == "took":
            found[-1].taken.append(first)
        elif kind == "refused":
            found[-1].refused.add(first)
        elif kind == "durable":
            found[-1].durable_count = int(first)
        elif kind == "closed":
            found[-1].durable_count, found[-1].dropped_count = int(first), int(more[0])
            found[-1].closed = True
    return found


def note(life: Life, record: Record) -> None:
    """Adds a life to the record that the log is held against."""
    promised = life.promised
    kept = set(promised)
    numbers = {event_id: number for number, event_id in enumerate(life.taken, 1)}
    for event_id, body in life.sent.items():
        # The one that a death cut off may have been accepted; its number would be the next one.
        number = numbers.get(event_id, len(life.taken) + 1)
        valid = event_id not in life.refused
        sent = Sent(body, life.producer, number, valid, expendable=event_id not in kept)
        record.note_sent(event_id, sent)
    record.note_acknowledged(promised)


def faults(life: Life, log: list[Entry], ring_events: int) -> list[str]:
    """What a life lost beyond what its mode allows: a ring's content with its death, nothing
    without. What it must not lose at all is for the judge of the log."""
    stored = {entry.event_id for entry in log}
    missing = sum(1 for event_id in life.taken if event_id not in stored)
    found = []
    if missing > ring_events:
        found.append(f"{life.producer} lost {missing} events, more than its ring holds")
    if life.dropped_count and life.spool_mode != "off":
        found.append(f"{life.producer} dropped {life.dropped_count} events beside its spool")
    return found
