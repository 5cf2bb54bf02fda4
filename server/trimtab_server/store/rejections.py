"""What was refused on streams: kept for its owner, in a bounded number."""

import json
from typing import NamedTuple

from trimtab_server.domain.events import Producer, Rejection, Violation
from trimtab_server.domain.reasons import Reason
from trimtab_server.store.database import Writer


class Refused(NamedTuple):
    """A refused event of a producer's stream, by its number."""

    producer: Producer
    producer_seq: int
    rejection: Rejection


def keep_rejections(
    writer: Writer, refused: list[Refused], now_ns: int, rejected_events_max: int
) -> None:
    """Stores what was refused and forgets the oldest beyond `rejected_events_max`."""
    writer.executemany(
        "INSERT INTO rejected_events (reject_time_ns, source, producer_id, producer_seq, event_id,"
        " reason, violations, event_prefix, event_byte_count) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                now_ns,
                producer.source,
                producer.producer_id,
                producer_seq,
                # Postgres keeps no NUL in text; what was sent is in the prefix.
                rejection.event_id.replace("\0", "\N{REPLACEMENT CHARACTER}"),
                rejection.reason.value,
                json.dumps(rejection.violations),
                rejection.prefix,
                rejection.byte_count,
            )
            for producer, producer_seq, rejection in refused
        ],
    )
    writer.execute(
        "DELETE FROM rejected_events WHERE row_id <= (SELECT max(row_id) FROM rejected_events) - ?",
        (rejected_events_max,),
    )


def kept_rejection(
    writer: Writer, producer: Producer | None, producer_seq: int
) -> Rejection | None:
    """Why that number of the producer was refused, None when it was not or is forgotten."""
    if producer is None:
        return None
    row = writer.execute(
        "SELECT event_id, reason, violations, event_prefix, event_byte_count FROM rejected_events"
        " WHERE producer_id = ? AND producer_seq = ? LIMIT 1",
        (producer.producer_id, producer_seq),
    ).fetchone()
    return None if row is None else rejection_of(*row)


def rejection_of(
    event_id: str, reason: str, violations: str, event_prefix: bytes, event_byte_count: int
) -> Rejection:
    """The rejection in a row of rejected_events."""
    found = tuple(Violation(*pair) for pair in json.loads(violations))
    return Rejection(event_id, Reason(reason), found, event_prefix, event_byte_count)
