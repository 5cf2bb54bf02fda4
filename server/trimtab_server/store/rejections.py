"""What was refused on streams: kept for its owner, in a bounded number."""

import json
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from trimtab_server.domain.events import Producer, Rejection, Violation
from trimtab_server.domain.reasons import Reason


class Refused(NamedTuple):
    """A refused event of a producer's stream, by its number."""

    producer: Producer
    producer_seq: int
    rejection: Rejection


def keep_rejections(
    connection: Connection, refused: list[Refused], now_ns: int, rejected_events_max: int
) -> None:
    """Stores what was refused and forgets the oldest beyond `rejected_events_max`."""
    connection.exec_driver_sql(
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
        text(
            "DELETE FROM rejected_events WHERE row_id <="
            " (SELECT max(row_id) FROM rejected_events) - :keep"
        ),
        {"keep": rejected_events_max},
    )


def kept_rejection(
    connection: Connection, producer: Producer | None, producer_seq: int
) -> Rejection | None:
    """Why that number of the producer was refused, None when it was not or is forgotten."""
    if producer is None:
        return None
    row = connection.execute(
        text(
            "SELECT event_id, reason, violations, event_prefix, event_byte_count"
            " FROM rejected_events WHERE producer_id = :id AND producer_seq = :seq LIMIT 1"
        ),
        {"id": producer.producer_id, "seq": producer_seq},
    ).one_or_none()
    return None if row is None else rejection_of(row)


def rejection_of(row: Any) -> Rejection:
    """The rejection in a row of rejected_events."""
    violations = tuple(Violation(*pair) for pair in json.loads(row.violations))
    return Rejection(
        row.event_id, Reason(row.reason), violations, row.event_prefix, row.event_byte_count
    )
