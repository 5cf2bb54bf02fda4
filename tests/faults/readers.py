"""The whole log as three readers see it: the tail, the list, and the database itself."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from tests.faults.checker import Entry, Loss
from tests.faults.driver import CALL_S_MAX, open_channel
from tests.faults.events import body, stored_body
from trimtab.v1 import event_pb2
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub


def entry(found: event_pb2.Event) -> Entry:
    """An event from the server, as the judge wants it."""
    return Entry(found.sequence, found.event_id, body(found), loss=_loss(found))


def _loss(found: event_pb2.Event) -> Loss | None:
    if found.WhichOneof("payload") != "recorder_loss":
        return None
    lost = found.recorder_loss
    return Loss(lost.producer_id, lost.first_seq, lost.last_seq)


def _rows(database: Path | str, query: str) -> list[tuple[Any, ...]]:
    """A query's answer, from the SQLite file or the Postgres URL, past the server."""
    if isinstance(database, Path):
        with contextlib.closing(sqlite3.connect(database)) as connection:
            return connection.execute(query).fetchall()
    with psycopg.connect(database, connect_timeout=int(CALL_S_MAX)) as server:
        return server.execute(query.encode()).fetchall()


def _uuid(stored: bytes | UUID) -> str:
    return str(stored if isinstance(stored, UUID) else UUID(bytes=stored))


def watched_log(address: str, after: int = 0, log_id: str = "") -> list[Entry]:
    """The log through WatchEvents, up to the last sequence of now."""
    with open_channel(address) as channel:
        stub = EventServiceStub(channel)
        last = stub.GetStats(pb.GetStatsRequest(), timeout=CALL_S_MAX).last_sequence
        request = pb.WatchEventsRequest(log_id=log_id, after_sequence=after)
        found: list[Entry] = []
        watch = stub.WatchEvents(request, timeout=CALL_S_MAX)
        for page in watch:
            found += [entry(one) for one in page.events]
            if page.through_sequence >= last:
                watch.cancel()
                break
        return found


def last_sequence(address: str) -> int:
    """The last number of the log, as a sidecar tells it."""
    with open_channel(address) as channel:
        stub = EventServiceStub(channel)
        return stub.GetStats(pb.GetStatsRequest(), timeout=CALL_S_MAX).last_sequence


def listed_log(address: str) -> list[Entry]:
    """The log through ListEvents, page by page."""
    found: list[Entry] = []
    with open_channel(address) as channel:
        stub = EventServiceStub(channel)
        request = pb.ListEventsRequest(page_size=5_000)
        while True:
            page = stub.ListEvents(request, timeout=CALL_S_MAX)
            found += [entry(one) for one in page.events]
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


def filed_log(database: Path | str) -> list[Entry]:
    """The log as the database holds it, with the producers' numbers. The server must be gone."""
    if isinstance(database, Path):
        assert _rows(database, "PRAGMA integrity_check") == [("ok",)]
    rows = _rows(
        database, "SELECT sequence, event_id, body, producer_seq FROM events ORDER BY sequence"
    )
    [(last,)] = _rows(database, "SELECT last_sequence FROM log")
    assert last == len(rows), "the log's counter and its rows differ"
    [(counted,)] = _rows(database, "SELECT sum(event_count) FROM event_counts")
    assert (counted or 0) == len(rows), "the statistics and the rows differ"
    return [
        Entry(
            sequence,
            _uuid(event_id),
            stored_body(bytes(stored)),
            producer_seq,
            _loss(event_pb2.Event.FromString(bytes(stored))),
        )
        for sequence, event_id, stored, producer_seq in rows
    ]


def filed_marks(database: Path | str) -> dict[str, int]:
    """Each producer's durable mark in the database."""
    rows = _rows(database, "SELECT producer_id, durable_through_seq FROM producers")
    return {_uuid(producer_id): mark for producer_id, mark in rows}
