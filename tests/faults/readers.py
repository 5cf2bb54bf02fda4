"""The whole log as three readers see it: the tail, the list, and the file itself."""

import contextlib
import sqlite3
from pathlib import Path
from uuid import UUID

from tests.faults.checker import Entry
from tests.faults.driver import CALL_S_MAX, open_channel
from tests.faults.events import body
from trimtab.v1 import event_pb2
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub


def entry(found: event_pb2.Event) -> Entry:
    """An event from the server, as the judge wants it."""
    return Entry(found.sequence, found.event_id, body(found))


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


def filed_log(database: Path) -> list[Entry]:
    """The log as the SQLite file holds it, with the producers' numbers. The server must be gone."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute(
            "SELECT sequence, event_id, body, producer_seq FROM events ORDER BY sequence"
        ).fetchall()
        last = connection.execute("SELECT last_sequence FROM log").fetchone()[0]
        assert last == len(rows), "the log's counter and its rows differ"
        counted = connection.execute("SELECT sum(event_count) FROM event_counts").fetchone()[0]
        assert (counted or 0) == len(rows), "the statistics and the rows differ"
    return [
        Entry(sequence, str(UUID(bytes=event_id)), bytes(stored), producer_seq)
        for sequence, event_id, stored, producer_seq in rows
    ]


def filed_marks(database: Path) -> dict[str, int]:
    """Each producer's durable mark in the file."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT producer_id, durable_through_seq FROM producers")
        return {str(UUID(bytes=producer_id)): mark for producer_id, mark in rows}
