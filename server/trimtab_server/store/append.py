"""Appending to the log: one transaction for many callers, each event stored exactly once."""

import json
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import IntegrityError

from trimtab_server.domain.events import (
    Append,
    Appended,
    Event,
    Producer,
    Rejection,
    Violation,
)
from trimtab_server.domain.reasons import Reason

# Rows of one INSERT. The driver lets other threads run once per statement, and takes its turn
# again afterwards: row by row, a busy event loop starved the writer (193 rows/s against 20,000).
_ROWS_PER_INSERT = 512
_COLUMNS = (
    "sequence, ingest_time_ns, producer_key, producer_seq, event_id, kind, source, environment,"
    " run_id, event_time_ns, available_time_ns, signal_id, strategy, symbol, body"
)
_ROW = "(" + ", ".join("?" * 15) + ")"


# A producer's number and why its event was refused.
_Refused = tuple[Producer, int, Rejection]


class _Claim(NamedTuple):
    """An item that wants a place in the log."""

    append_index: int
    item_index: int
    producer_key: int | None
    producer_seq: int | None
    event: Event


def append(
    connection: Connection, appends: Sequence[Append], now_ns: int, rejected_events_max: int
) -> list[Appended]:
    """What became of each of `appends`, all in the transaction of `connection`."""
    results = [Appended([0] * len(a.events)) for a in appends]
    claims: list[_Claim] = []
    marks: dict[int, int] = {}
    refused: list[_Refused] = []
    for index, (wanted, result) in enumerate(zip(appends, results, strict=True)):
        _claim(connection, index, wanted, result, claims, marks, refused)
    _insert_new(connection, claims, results, appends, now_ns, refused)
    if marks:
        connection.execute(
            text("UPDATE producers SET durable_through_seq = :m WHERE producer_key = :k"),
            [{"k": key, "m": mark} for key, mark in marks.items()],
        )
    if refused:
        _keep_rejections(connection, refused, now_ns, rejected_events_max)
    return results


def _claim(
    connection: Connection,
    index: int,
    wanted: Append,
    result: Appended,
    claims: list[_Claim],
    marks: dict[int, int],
    refused: list[_Refused],
) -> None:
    """Checks the producer's numbers; adds what is new to `claims` and moves its mark."""
    if wanted.producer is None:
        for i, item in enumerate(wanted.events):
            if isinstance(item, Rejection):
                result.rejections[i] = item
            else:
                claims.append(_Claim(index, i, None, None, item))
        return
    row = producer_row(connection, wanted.producer)
    if row is None or row.epoch != wanted.producer.epoch:
        result.error_reason = Reason.PRODUCER_FENCED
        result.error_message = "another epoch of this producer was opened"
        return
    key: int = row.producer_key
    mark = marks.get(key, row.durable_through_seq)
    first_seq = wanted.loss.first_seq if wanted.loss else wanted.first_seq
    if first_seq > mark + 1:
        result.error_reason = Reason.SEQUENCE_GAP
        result.error_message = f"number {first_seq} follows {mark}; {mark + 1} is expected"
        return
    if wanted.loss is not None:
        if wanted.loss.last_seq > mark:
            claims.append(_Claim(index, 0, key, wanted.loss.last_seq, wanted.loss.event))
            marks[key] = wanted.loss.last_seq
            result.sequences = [0]
        return
    old_count = min(max(mark + 1 - first_seq, 0), len(wanted.events))
    if old_count and not _settle_old(connection, wanted, result, old_count, claims, refused):
        return
    for i in range(old_count, len(wanted.events)):
        item = wanted.events[i]
        if isinstance(item, Rejection):
            result.rejections[i] = item
            refused.append((wanted.producer, first_seq + i, item))
        else:
            claims.append(_Claim(index, i, key, first_seq + i, item))
    marks[key] = max(mark, first_seq + len(wanted.events) - 1)


def _settle_old(
    connection: Connection,
    wanted: Append,
    result: Appended,
    old_count: int,
    claims: list[_Claim],
    refused: list[_Refused],
) -> bool:
    """Answers numbers at or below the mark: stored before (or claimed in this very commit), or
    refused before and again. False when one was neither: the number was used for another event."""
    old = wanted.events[:old_count]
    stored = _stored(connection, [item.event_id for item in old if isinstance(item, Event)])
    # The first claim of an id is the one that will be stored.
    claimed = {c.event.event_id: c.event.body for c in reversed(claims)}
    for i, item in enumerate(old):
        if isinstance(item, Rejection):
            result.rejections[i] = item
            continue
        seq = wanted.first_seq + i
        row = stored.get(item.event_id)
        body = row.body if row is not None else claimed.get(item.event_id)
        if body == item.body:
            # 0 = claimed in this commit: filled in after the insert.
            result.sequences[i] = row.sequence if row is not None else 0
            result.duplicates.add(i)
        elif (kept := _kept_rejection(connection, wanted.producer, seq, refused)) is not None:
            result.rejections[i] = kept
        elif body is not None:
            result.rejections[i] = _reused(item)
        else:
            result.error_reason = Reason.SEQUENCE_REUSED
            result.error_message = f"number {seq} was used for another event"
            return False
    return True


def _without_repeats(
    claims: list[_Claim],
    results: list[Appended],
    appends: Sequence[Append],
    refused: list[_Refused],
) -> list[_Claim]:
    """Claims without ids that occur twice in this commit; the later one follows the first."""
    first = {claim.event.event_id: claim for claim in reversed(claims)}
    kept = []
    for claim in claims:
        earlier = first[claim.event.event_id]
        if claim is earlier:
            kept.append(claim)
        elif claim.event.body == earlier.event.body:
            # Its sequence is filled in from the first one after the insert.
            results[claim.append_index].duplicates.add(claim.item_index)
        else:
            _refuse(claim, results, appends, refused)
    return kept


def _insert_new(
    connection: Connection,
    claims: list[_Claim],
    results: list[Appended],
    appends: Sequence[Append],
    now_ns: int,
    refused: list[_Refused],
) -> None:
    """Inserts, in the order of the claims, gapless; an id that the log holds or that occurs twice
    fails the first try and is settled then."""
    if not claims:
        _fill_repeats(connection, results, appends)
        return
    last = connection.scalar(text("SELECT last_sequence FROM log WHERE id = 1")) or 0
    savepoint = connection.begin_nested()
    try:
        _insert(connection, claims, last, now_ns)
        savepoint.commit()
    except IntegrityError:
        savepoint.rollback()
        # What the log holds comes first: a repeat of it is none of a claim that it refuses.
        claims = _without_stored(connection, claims, results, appends, refused)
        claims = _without_repeats(claims, results, appends, refused)
        _insert(connection, claims, last, now_ns)
    for offset, claim in enumerate(claims, 1):
        results[claim.append_index].sequences[claim.item_index] = last + offset
    _count(connection, [claim.event for claim in claims], last)
    _fill_repeats(connection, results, appends)


def _insert(connection: Connection, claims: list[_Claim], last: int, now_ns: int) -> None:
    rows = [
        (last + offset, now_ns, claim[2], claim[3], *claim[4])
        for offset, claim in enumerate(claims, 1)
    ]
    for start in range(0, len(rows), _ROWS_PER_INSERT):
        chunk = rows[start : start + _ROWS_PER_INSERT]
        size = len(chunk)
        # Few distinct statements, so that the driver's cache of compiled ones holds them all.
        while chunk:
            size = 1 << (len(chunk).bit_length() - 1)
            values = ", ".join([_ROW] * size)
            connection.exec_driver_sql(
                f"INSERT INTO events ({_COLUMNS}) VALUES {values}",
                tuple(chain.from_iterable(chunk[:size])),
            )
            chunk = chunk[size:]


def _without_stored(
    connection: Connection,
    claims: list[_Claim],
    results: list[Appended],
    appends: Sequence[Append],
    refused: list[_Refused],
) -> list[_Claim]:
    stored = _stored(connection, [claim.event.event_id for claim in claims])
    kept = []
    for claim in claims:
        row = stored.get(claim.event.event_id)
        if row is None:
            kept.append(claim)
        elif row.body == claim.event.body:
            result = results[claim.append_index]
            result.sequences[claim.item_index] = row.sequence
            result.duplicates.add(claim.item_index)
        else:
            _refuse(claim, results, appends, refused)
    return kept


def _refuse(
    claim: _Claim,
    results: list[Appended],
    appends: Sequence[Append],
    refused: list[_Refused],
) -> None:
    rejection = _reused(claim.event)
    results[claim.append_index].rejections[claim.item_index] = rejection
    producer = appends[claim.append_index].producer
    if producer is not None and claim.producer_seq is not None:
        refused.append((producer, claim.producer_seq, rejection))


def _fill_repeats(
    connection: Connection, results: list[Appended], appends: Sequence[Append]
) -> None:
    """Gives repeats within this commit the sequence of the first one."""
    open_ids = {
        event.event_id: (result, i)
        for result, wanted in zip(results, appends, strict=True)
        for i in result.duplicates
        if result.sequences[i] == 0 and isinstance(event := wanted.events[i], Event)
    }
    if not open_ids:
        return
    stored = _stored(connection, list(open_ids))
    for result, wanted in zip(results, appends, strict=True):
        for i in result.duplicates:
            event = wanted.events[i]
            if result.sequences[i] == 0 and isinstance(event, Event):
                result.sequences[i] = stored[event.event_id].sequence


def _count(connection: Connection, events: list[Event], last: int) -> None:
    counts: dict[tuple[str, int, str, int], list[int]] = {}
    for event in events:
        group = (event.source, event.environment, event.run_id or "", event.kind)
        entry = counts.get(group)
        if entry is None:
            counts[group] = [1, len(event.body), event.event_time_ns]
        else:
            entry[0] += 1
            entry[1] += len(event.body)
            entry[2] = max(entry[2], event.event_time_ns)
    if counts:
        connection.exec_driver_sql(
            "INSERT INTO event_counts VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (source, environment, run_id, kind) DO UPDATE SET"
            " event_count = event_count + excluded.event_count,"
            " byte_count = byte_count + excluded.byte_count,"
            " last_event_time_ns = max(last_event_time_ns, excluded.last_event_time_ns)",
            [(*group, *entry) for group, entry in counts.items()],
        )
    connection.execute(
        text("UPDATE log SET last_sequence = :last WHERE id = 1"), {"last": last + len(events)}
    )


def producer_row(
    connection: Connection, producer: Producer
) -> Row[tuple[int, str, int, int]] | None:
    """The producer's key, source, epoch and mark, or None when it was never opened."""
    return connection.execute(
        text(
            "SELECT producer_key, source, epoch, durable_through_seq FROM producers"
            " WHERE producer_id = :id"
        ),
        {"id": producer.producer_id},
    ).one_or_none()


def _stored(connection: Connection, ids: list[bytes]) -> dict[bytes, Row[tuple[bytes, int, bytes]]]:
    found = {}
    for start in range(0, len(ids), _ROWS_PER_INSERT):
        chunk = ids[start : start + _ROWS_PER_INSERT]
        marks = ", ".join("?" * len(chunk))
        for row in connection.exec_driver_sql(
            f"SELECT event_id, sequence, body FROM events WHERE event_id IN ({marks})",
            tuple(chunk),
        ):
            found[row.event_id] = row
    return found


def _kept_rejection(
    connection: Connection, producer: Producer | None, producer_seq: int, refused: list[_Refused]
) -> Rejection | None:
    """Why this number was refused before: in this commit, or as the table says."""
    if producer is None:
        return None
    for refused_producer, seq, rejection in refused:
        if seq == producer_seq and refused_producer.producer_id == producer.producer_id:
            return rejection
    row = connection.execute(
        text(
            "SELECT event_id, reason, violations, event_prefix, event_byte_count"
            " FROM rejected_events WHERE producer_id = :id AND producer_seq = :seq LIMIT 1"
        ),
        {"id": producer.producer_id, "seq": producer_seq},
    ).one_or_none()
    if row is None:
        return None
    return Rejection(
        row.event_id,
        Reason(row.reason),
        violations_from_json(row.violations),
        row.event_prefix,
        row.event_byte_count,
    )


def _keep_rejections(
    connection: Connection,
    refused: list[_Refused],
    now_ns: int,
    rejected_events_max: int,
) -> None:
    connection.exec_driver_sql(
        "INSERT INTO rejected_events (reject_time_ns, source, producer_id, producer_seq, event_id,"
        " reason, violations, event_prefix, event_byte_count) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                now_ns,
                producer.source,
                producer.producer_id,
                seq,
                rejection.event_id,
                rejection.reason.value,
                json.dumps(rejection.violations),
                rejection.prefix,
                rejection.byte_count,
            )
            for producer, seq, rejection in refused
        ],
    )
    connection.execute(
        text(
            "DELETE FROM rejected_events WHERE row_id <="
            " (SELECT max(row_id) FROM rejected_events) - :keep"
        ),
        {"keep": rejected_events_max},
    )


def violations_from_json(words: str) -> tuple[Violation, ...]:
    """The violations that a rejected event was stored with."""
    return tuple(Violation(*pair) for pair in json.loads(words))


def _reused(event: Event) -> Rejection:
    return Rejection(
        str(UUID(bytes=event.event_id)),
        Reason.ID_REUSED,
        (Violation("event_id", "is stored already with other content"),),
        event.body[:4096],
        len(event.body),
    )
