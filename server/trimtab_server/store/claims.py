"""What the numbering of the log and its databases tell each other."""

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

from trimtab_server.domain.events import Event

SameContent = Callable[[bytes, bytes], bool]
"""Whether two bodies with other bytes say the same, as today's contract reads them."""


class Claim(NamedTuple):
    """An item of an append that wants a place in the log."""

    append_index: int
    item_index: int
    producer_key: int | None
    producer_seq: int | None
    event: Event


class KnownProducer(NamedTuple):
    """What the store knows of a producer."""

    producer_key: int
    source: str
    epoch: int
    durable_through_seq: int
    stream_key: int


PRUNED_KIND = 0
"""The kind of a tombstone: what retention leaves of an event."""

PRUNED_TIME_NS = -1
"""The event time of a tombstone: before every event's, so that pages by time pass over them."""


def body_digest(body: bytes) -> bytes:
    """The 16 bytes that a tombstone keeps of a body."""
    return blake2b(body, digest_size=16).digest()


class Content(NamedTuple):
    """Where an id stands in the log, and with what content; a tombstone has the body's digest."""

    sequence: int
    body: bytes
    kind: int

    def holds(self, body: bytes, same_content: SameContent) -> bool:
        """Whether this is what `body` says; a tombstone knows equal bytes only."""
        if self.kind == PRUNED_KIND:
            return self.body == body_digest(body)
        return self.body == body or same_content(self.body, body)


class IdStored(Exception):
    """The log holds one of the ids already; nothing of the write has happened."""
