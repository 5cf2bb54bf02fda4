"""Events as the store takes them: identity, columns and bytes that it never looks into."""

from uuid import UUID

from trimtab_server.domain.events import (
    Append,
    Environment,
    Event,
    EventKind,
    Loss,
    Producer,
    Rejection,
    Violation,
)
from trimtab_server.domain.reasons import Reason

TIME_NS = 1_600_000_000 * 10**9
PRODUCER = Producer(UUID(int=1).bytes, 1, "alpha")


def an_event(
    number: int,
    *,
    body: bytes = b"",
    kind: EventKind = EventKind.SIGNAL,
    source: str = "alpha",
    environment: int = Environment.PAPER,
    run_id: str = "",
    time_ns: int = TIME_NS,
    available_ns: int | None = None,
    signal_id: str = "",
    strategy: str = "",
    symbol: str = "",
) -> Event:
    """An event whose id and body follow from its number, unless told."""
    return Event(
        UUID(int=number).bytes,
        int(kind),
        source,
        int(environment),
        run_id,
        time_ns,
        time_ns if available_ns is None else available_ns,
        signal_id,
        strategy,
        symbol,
        body or b"body-%d" % number,
    )


def rejected(event_id: str = "?", field: str = "symbol") -> Rejection:
    """An event that was refused before it reached the store."""
    return Rejection(event_id, Reason.INVALID_FIELD, (Violation(field, "is bad"),), b"pre", 9_000)


def unary(*events: Event | Rejection) -> Append:
    """What a unary call appends."""
    return Append(list(events), 0)


def batch(first_seq: int, *events: Event | Rejection, producer: Producer = PRODUCER) -> Append:
    """What a batch of a stream appends."""
    return Append(list(events), 0, producer, first_seq)


def loss(first_seq: int, last_seq: int, event: Event, producer: Producer = PRODUCER) -> Append:
    """Numbers declared lost."""
    return Append([event], 0, producer, first_seq, Loss(first_seq, last_seq, event))
