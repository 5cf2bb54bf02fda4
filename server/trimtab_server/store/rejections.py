"""What was refused on streams: kept for its owner, in a bounded number."""

import json
import sqlite3
from typing import NamedTuple

from trimtab_server.domain.events import Producer, Rejection, Violation
from trimtab_server.domain.reasons import Reason


class Refused(NamedTuple):
    """A refused event of a producer's stream, by its number."""

    producer: Producer
    producer_seq: int
    rejection: Rejection


def keep_rejections(
    connection: sqlite3.Connection, refused: list[Refused], now_ns: int, rejected_events_max: int
) -> None:
    """Stores what was refused and forgets the oldest beyond `rejected_events_max`."""
    connection.executemany(
        "INSERT INTO rejected_events (reject_time_ns, source, producer_id, producer_seq, event_id,"
        " reason, violations, event_prefix, event_byte_count) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                now_ns,
                producer.source,
                producer.producer_id,
                producer_seq,
                rejection.event_id,
                rejection.reason.value,
                json.dumps(rejection.violations),
                rejection.prefix,
                rejection.byte_count,
            )
            for producer, producer_seq, rejection in refused
        ],
    )
    connection.execute(
        "DELETE FROM rejected_events WHERE row_id <= (SELECT max(row_id) FROM rejected_events) - ?",
        (rejected_events_max,),
    )


def kept_rejection(
    connection: sqlite3.Connection, producer: Producer | None, producer_seq: int
) -> Rejection | None:
    """Why that number of the producer was refused, None when it was not or is forgotten."""
    if producer is None:
        return None
    row = connection.execute(
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
