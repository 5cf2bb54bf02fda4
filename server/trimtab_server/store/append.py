"""Appending to the log: one transaction for many callers, each event stored exactly once."""

import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple
from uuid import UUID

from trimtab_server.domain.events import Append, Appended, Event, Producer, Rejection, Violation
from trimtab_server.domain.reasons import Reason
from trimtab_server.store.rejections import Refused, keep_rejections, kept_rejection

# Rows of one INSERT. The driver lets other threads run once per statement, and takes its turn
# again afterwards: row by row, a busy event loop starved the writer (193 rows/s against 20,000).
_ROWS_PER_INSERT = 512
_COLUMNS = (
    "sequence, ingest_time_ns, producer_key, producer_seq, event_id, kind, source, environment,"
    " run_id, event_time_ns, available_time_ns, signal_id, strategy, symbol, body"
)
# The driver passes str and bytearray straight on, but sends None and bytes through its adapters,
# which cost more than the insert: absent names come as '' and become NULL here.
_ROW = (
    "(?, ?, ?, ?, ?, ?, ?, ?, NULLIF(?, ''), ?, ?, NULLIF(?, ''), NULLIF(?, ''), NULLIF(?, ''), ?)"
)


SameContent = Callable[[bytes, bytes], bool]
"""Whether two bodies with other bytes say the same, as today's contract reads them."""


class _Claim(NamedTuple):
    """An item that wants a place in the log."""

    append_index: int
    item_index: int
    producer_key: int | None
    producer_seq: int | None
    event: Event


def append(
    connection: sqlite3.Connection,
    appends: Sequence[Append],
    now_ns: int,
    rejected_events_max: int,
    same_content: SameContent,
) -> list[Appended]:
    """What became of each of `appends`, all in the transaction of `connection`."""
    commit = _Commit(connection, appends, same_content)
    for index, wanted in enumerate(appends):
        commit.claim(index, wanted)
    commit.drop_repeats()
    commit.insert(now_ns)
    commit.finish(now_ns, rejected_events_max)
    return commit.results


class ProducerRow(NamedTuple):
    """What the store knows of a producer."""

    producer_key: int
    source: str
    epoch: int
    durable_through_seq: int


def producer_row(connection: sqlite3.Connection, producer: Producer) -> ProducerRow | None:
    """The producer's row, or None when it was never opened."""
    row = connection.execute(
        "SELECT producer_key, source, epoch, durable_through_seq FROM producers"
        " WHERE producer_id = ?",
        (producer.producer_id,),
    ).fetchone()
    return None if row is None else ProducerRow._make(row)


class _Stored(NamedTuple):
    """Where an id stands in the log, and with what content."""

    sequence: int
    body: bytes


class _Commit:
    """One transaction in the making."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        appends: Sequence[Append],
        same_content: SameContent,
    ) -> None:
        self.results = [Appended([0] * len(wanted.events)) for wanted in appends]
        self._connection = connection
        self._appends = appends
        self._same_content = same_content
        self._claims: list[_Claim] = []
        self._marks: dict[int, int] = {}
        self._refused: list[Refused] = []
        self._has_repeats = False

    # -- which numbers are new --------------------------------------------------------------

    def claim(self, index: int, wanted: Append) -> None:
        """Checks the producer's numbers, claims a place for what is new, moves the mark."""
        if wanted.producer is None:
            self._claim_items(index, wanted, 0, None)
            return
        result = self.results[index]
        row = producer_row(self._connection, wanted.producer)
        if row is None or row.epoch != wanted.producer.epoch:
            result.error_reason = Reason.PRODUCER_FENCED
            result.error_message = "another epoch of this producer was opened"
            return
        mark = self._marks.get(row.producer_key, row.durable_through_seq)
        result.expected_seq = mark + 1
        if wanted.first_seq > mark + 1:
            result.error_reason = Reason.SEQUENCE_GAP
            result.error_message = (
                f"number {wanted.first_seq} follows {mark}; {mark + 1} is expected"
            )
        elif wanted.loss is not None:
            self._claim_loss(index, wanted, row.producer_key, mark)
        else:
            old_count = min(max(mark + 1 - wanted.first_seq, 0), len(wanted.events))
            if not old_count or self._settle_old(wanted, result, old_count):
                self._claim_items(index, wanted, old_count, row.producer_key)
                last_seq = wanted.first_seq + len(wanted.events) - 1
                self._marks[row.producer_key] = max(mark, last_seq)

    def _claim_items(self, index: int, wanted: Append, start: int, key: int | None) -> None:
        for i in range(start, len(wanted.events)):
            item = wanted.events[i]
            seq = wanted.first_seq + i if wanted.producer else None
            if isinstance(item, Event):
                # Past the named tuple's own constructor, which is written in Python.
                self._claims.append(_Claim._make((index, i, key, seq, item)))
            else:
                self._refuse(index, i, item)

    def _claim_loss(self, index: int, wanted: Append, key: int, mark: int) -> None:
        if wanted.loss is None or wanted.loss.last_seq <= mark:
            return
        if wanted.loss.first_seq <= mark:
            # A loss never names a number that was settled otherwise.
            result = self.results[index]
            result.error_reason = Reason.SEQUENCE_REUSED
            result.error_message = f"{wanted.loss.first_seq} is settled; {mark + 1} is expected"
            return
        self._claims.append(_Claim(index, 0, key, wanted.loss.last_seq, wanted.loss.event))
        self._marks[key] = wanted.loss.last_seq

    def _settle_old(self, wanted: Append, result: Appended, old_count: int) -> bool:
        """Answers numbers at or below the mark: stored before, or refused before and again. False
        when one was neither: then the number was used for something else."""
        old = wanted.events[:old_count]
        stored = self._stored([item.event_id for item in old if isinstance(item, Event)])
        # A resend may stand right behind the first sending, in the same commit. The first claim
        # of an id is the one that will be stored.
        claimed = {claim.event.event_id: claim.event.body for claim in reversed(self._claims)}
        for i, item in enumerate(old):
            seq = wanted.first_seq + i
            if isinstance(item, Rejection):
                self._settle_old_rejection(wanted, result, i, item)
                continue
            row = stored.get(item.event_id)
            body = row.body if row is not None else claimed.get(item.event_id)
            if body is not None and self._is_same(body, item.body):
                result.duplicates.add(i)
                if row is not None:
                    result.sequences[i] = row.sequence
                else:
                    self._has_repeats = True
            elif (kept := self._rejection(wanted, seq)) is not None:
                result.rejections[i] = kept
            elif body is not None:
                result.rejections[i] = _reused(item)
            else:
                result.error_reason = Reason.SEQUENCE_REUSED
                result.error_message = f"number {seq} was used for another event"
                return False
        return True

    def _settle_old_rejection(
        self, wanted: Append, result: Appended, i: int, item: Rejection
    ) -> None:
        """Today's rules refuse an old number: it was refused before, or stored under others."""
        kept = self._rejection(wanted, wanted.first_seq + i)
        event_id = _uuid_bytes(item.event_id) if kept is None else None
        row = self._stored([event_id]).get(event_id) if event_id else None
        if row is None:
            result.rejections[i] = kept or item
        else:
            result.sequences[i] = row.sequence
            result.duplicates.add(i)

    def _is_same(self, one: bytes, other: bytes) -> bool:
        return one == other or self._same_content(one, other)

    def _rejection(self, wanted: Append, seq: int) -> Rejection | None:
        """Why that number was refused, in this commit or before."""
        for producer, refused_seq, rejection in self._refused:
            if refused_seq == seq and producer == wanted.producer:
                return rejection
        return kept_rejection(self._connection, wanted.producer, seq)

    # -- which events are new ---------------------------------------------------------------

    def drop_repeats(self) -> None:
        """Settles ids that occur twice in this commit: the later one follows the first."""
        if len({claim.event.event_id for claim in self._claims}) == len(self._claims):
            return
        self._has_repeats = True
        # What the log holds goes before what came first here.
        self._drop_stored()
        first: dict[bytes, _Claim] = {}
        for claim in self._claims:
            first.setdefault(claim.event.event_id, claim)
        kept = []
        for claim in self._claims:
            earlier = first[claim.event.event_id]
            if claim is earlier:
                kept.append(claim)
            elif self._is_same(claim.event.body, earlier.event.body):
                self.results[claim.append_index].duplicates.add(claim.item_index)
            else:
                self._refuse(claim.append_index, claim.item_index, _reused(claim.event))
        self._claims = kept

    def _drop_stored(self) -> None:
        stored = self._stored([claim.event.event_id for claim in self._claims])
        kept = []
        for claim in self._claims:
            row = stored.get(claim.event.event_id)
            if row is None:
                kept.append(claim)
            elif self._is_same(row.body, claim.event.body):
                result = self.results[claim.append_index]
                result.sequences[claim.item_index] = row.sequence
                result.duplicates.add(claim.item_index)
            else:
                self._refuse(claim.append_index, claim.item_index, _reused(claim.event))
        self._claims = kept

    def _refuse(self, append_index: int, item_index: int, rejection: Rejection) -> None:
        self.results[append_index].rejections[item_index] = rejection
        wanted = self._appends[append_index]
        if wanted.producer is not None:
            self._refused.append(Refused(wanted.producer, wanted.first_seq + item_index, rejection))

    def _stored(self, ids: list[bytes]) -> dict[bytes, _Stored]:
        """Those of the ids that the log holds."""
        found = {}
        for start in range(0, len(ids), _ROWS_PER_INSERT):
            chunk = ids[start : start + _ROWS_PER_INSERT]
            marks = ", ".join("?" * len(chunk))
            for event_id, sequence, body in self._connection.execute(
                f"SELECT event_id, sequence, body FROM events WHERE event_id IN ({marks})", chunk
            ):
                found[event_id] = _Stored(sequence, body)
        return found

    # -- writing ----------------------------------------------------------------------------

    def insert(self, now_ns: int) -> None:
        """Inserts in the order of the claims, gapless. Ids that the log holds are rare: they are
        looked for only when the unique index objects."""
        if self._claims:
            (last,) = self._connection.execute("SELECT last_sequence FROM log").fetchone()
            try:
                self._insert_rows(last, now_ns)
            except sqlite3.IntegrityError:
                self._connection.execute("DELETE FROM events WHERE sequence > ?", (last,))
                self._drop_stored()
                self._insert_rows(last, now_ns)
            for sequence, claim in enumerate(self._claims, last + 1):
                self.results[claim.append_index].sequences[claim.item_index] = sequence
            self._count(last)
        if self._has_repeats:
            self._number_repeats()

    def _insert_rows(self, last: int, now_ns: int) -> None:
        rows = []
        for sequence, (_, _, key, seq, event) in enumerate(self._claims, last + 1):
            event_id, *columns, body = event
            rows.append(
                (sequence, now_ns, key, seq, bytearray(event_id), *columns, bytearray(body))
            )
        start = 0
        while start < len(rows):
            # Powers of two: few distinct statements, so the driver keeps them all compiled.
            left = min(len(rows) - start, _ROWS_PER_INSERT)
            size = 1 << (left.bit_length() - 1)
            values = ", ".join([_ROW] * size)
            self._connection.execute(
                f"INSERT INTO events ({_COLUMNS}) VALUES {values}",
                tuple(chain.from_iterable(rows[start : start + size])),
            )
            start += size

    def _number_repeats(self) -> None:
        """Gives repeats within this commit the sequence of the first one."""
        repeats = [
            (result, i, event)
            for result, wanted in zip(self.results, self._appends, strict=True)
            for i in result.duplicates
            if not result.sequences[i] and isinstance(event := wanted.events[i], Event)
        ]
        stored = self._stored([event.event_id for _, _, event in repeats])
        for result, i, event in repeats:
            result.sequences[i] = stored[event.event_id].sequence

    def _count(self, last: int) -> None:
        counts: dict[tuple[str, int, str, int], list[int]] = {}
        for claim in self._claims:
            event = claim.event
            group = (event.source, event.environment, event.run_id, event.kind)
            entry = counts.get(group)
            if entry is None:
                entry = counts[group] = [0, 0, 0]
            entry[0] += 1
            entry[1] += len(event.body)
            entry[2] = max(entry[2], event.event_time_ns)
        if counts:
            self._connection.executemany(
                "INSERT INTO event_counts VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (source, environment, run_id, kind) DO UPDATE SET"
                " event_count = event_count + excluded.event_count,"
                " byte_count = byte_count + excluded.byte_count,"
                " last_event_time_ns = max(last_event_time_ns, excluded.last_event_time_ns)",
                [(*group, *entry) for group, entry in counts.items()],
            )
        self._connection.execute(
            "UPDATE log SET last_sequence = ? WHERE id = 1", (last + len(self._claims),)
        )

    def finish(self, now_ns: int, rejected_events_max: int) -> None:
        """Moves the producers' marks and keeps what was refused, in the same transaction."""
        if self._marks:
            self._connection.executemany(
                "UPDATE producers SET durable_through_seq = ? WHERE producer_key = ?",
                [(mark, key) for key, mark in self._marks.items()],
            )
        if self._refused:
            keep_rejections(self._connection, self._refused, now_ns, rejected_events_max)


def _uuid_bytes(words: str) -> bytes | None:
    try:
        return UUID(words).bytes
    except ValueError:
        return None


def _reused(event: Event) -> Rejection:
    return Rejection(
        str(UUID(bytes=event.event_id)),
        Reason.ID_REUSED,
        (Violation("event_id", "is stored already with other content"),),
        event.body[:4096],
        len(event.body),
    )
