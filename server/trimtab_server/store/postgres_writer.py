"""One transaction on Postgres, in the lane that numbers the log.

What can be done without the lane comes first: rows travel by COPY into a temporary table. Then an
advisory lock is taken, numbers are given, and one message inserts, counts, moves the marks and
commits. The lock ends with the commit, so sequences are gapless and in commit order however many
sidecars there are; a holder that dies or sleeps is cut off by the server's time limits.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg

from trimtab_server.domain.events import Append, Event
from trimtab_server.store.claims import Claim, Content, IdStored, KnownProducer

Connection = psycopg.Connection[tuple[Any, ...]]

CHANNEL = "trimtab"
_UNIQUE_IDS = "events_event_id_key"
# Any number will do, as long as every version of trimtab takes the same: "trimtab" in ASCII.
_LANE = 0x7472696D746162

_EVENT_COLUMNS = (
    "event_id, kind, source, environment, run_id, event_time_ns, available_time_ns, signal_id,"
    " strategy, symbol, body"
)
STAGE = (
    "CREATE TEMPORARY TABLE staged (item integer NOT NULL, append integer NOT NULL,"
    " producer_seq bigint, event_id bytea, kind smallint, source text, environment smallint,"
    " run_id text, event_time_ns bigint, available_time_ns bigint, signal_id text, strategy text,"
    " symbol text, body bytea) ON COMMIT DELETE ROWS"
)
_COPY = f"COPY staged (item, append, producer_seq, {_EVENT_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_COPY_TYPES = (
    *("int4", "int4", "int8", "bytea", "int2", "text", "int2", "text", "int8", "int8"),
    *("text", "text", "text", "bytea"),
)
_INSERT = (
    "INSERT INTO events (sequence, ingest_time_ns, producer_key, producer_seq,"
    f" {_EVENT_COLUMNS})"
    " SELECT ? + row_number() OVER (ORDER BY item), ?, (?::integer[])[append + 1], producer_seq,"
    f" {_EVENT_COLUMNS} FROM staged ORDER BY item"
)
_TAKE_LANE = f"SELECT pg_advisory_xact_lock({_LANE}); SELECT last_sequence FROM log WHERE id = 1; "
_PRODUCERS = (
    "SELECT producer_id, producer_key, source, epoch, durable_through_seq, stream_key"
    " FROM producers WHERE producer_id IN ({})"
)


class _Staged(NamedTuple):
    """Where the items of each append begin among the staged ones, and which of them are events."""

    starts: list[int]
    items: set[int]


class PostgresWriter:
    """A transaction that holds the lane from `begin` on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._literals = psycopg.ClientCursor(connection)
        self._staged = _Staged([], set())
        self._known: dict[bytes, KnownProducer] = {}
        self._last = 0
        # Statements that go to the server in one message, while there is such a list.
        self._message: list[str] | None = None
        self.is_committed = False

    def begin(self, appends: Sequence[Append]) -> None:
        """Stages the events of `appends`, then takes the lane."""
        connection = self._connection
        connection.execute("BEGIN")
        if any(isinstance(item, Event) for wanted in appends for item in wanted.events):
            self._stage(appends)
        ids = {wanted.producer.producer_id for wanted in appends if wanted.producer}
        known = ", ".join(f"'\\x{producer_id.hex()}'::bytea" for producer_id in ids)
        # One message; each of its statements sees what is committed when it runs.
        rows = connection.execute(_TAKE_LANE + _PRODUCERS.format(known or "NULL::bytea"))
        rows.nextset()
        counter = rows.fetchone()
        self._last = counter[0] if counter else 0
        rows.nextset()
        self._known = _by_id(rows)

    def _stage(self, appends: Sequence[Append]) -> None:
        starts, items = [], set()
        position = 0
        with self._connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.set_types(_COPY_TYPES)
            for index, wanted in enumerate(appends):
                starts.append(position)
                first_seq = wanted.loss.last_seq if wanted.loss else wanted.first_seq
                for i, item in enumerate(wanted.events):
                    if isinstance(item, Event):
                        items.add(position + i)
                        copy.write_row(_row(position + i, index, wanted, first_seq + i, item))
                position += len(wanted.events)
        self._staged = _Staged(starts, items)

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        """The rows of a statement with `?` for each parameter; none, later, inside `together`."""
        words = statement.replace("?", "%s").encode()
        if self._message is None:
            return self._connection.execute(words, parameters)
        self._message.append(self._literals.mogrify(words, parameters))
        return None

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """A statement for each of `rows`."""
        for row in rows:
            self.execute(statement, row)

    def producers(self, producer_ids: Sequence[bytes]) -> dict[bytes, KnownProducer]:
        """Those of the producers that were opened before."""
        if any(producer_id not in self._known for producer_id in producer_ids):
            marks = ", ".join("?" * len(producer_ids))
            self._known |= _by_id(self.execute(_PRODUCERS.format(marks), producer_ids))
        return self._known

    def last_sequence(self) -> int:
        """The log's counter: nobody else moves it while the lane is ours."""
        return self._last

    def contents(self, ids: Sequence[bytes]) -> dict[bytes, Content]:
        """Those of the ids that the log holds."""
        rows = self._connection.execute(
            "SELECT event_id, sequence, body, kind FROM events WHERE event_id = ANY(%s)",
            (list(ids),),
        )
        return {event_id: Content._make(content) for event_id, *content in rows}

    @contextmanager
    def together(self) -> Iterator[None]:
        """Around all that a commit writes: one message, the commit included. Raises IdStored, and
        nothing of it is written, when the log holds one of the claims' ids.

        Not a pipeline: a server that waits for the rest of one, in a network that swallows it,
        holds the lane without any time limit; one that waits for a message is timed.
        """
        self._message = ["SAVEPOINT unwritten"]
        yield
        message = "; ".join([*self._message, "COMMIT"])
        self._message = None
        try:
            self._connection.execute(message.encode())
        except psycopg.errors.UniqueViolation as error:
            if error.diag.constraint_name != _UNIQUE_IDS:
                raise
            self._connection.execute("ROLLBACK TO SAVEPOINT unwritten")
            raise IdStored from error
        self.is_committed = True

    def insert(self, claims: Sequence[Claim], last: int, now_ns: int) -> None:
        """Stores the claims' staged events behind sequence `last`, gapless."""
        starts, items = self._staged
        keys: list[int | None] = [None] * len(starts)
        wanted = set()
        for append_index, item_index, key, _, _ in claims:
            wanted.add(starts[append_index] + item_index)
            keys[append_index] = key
        if len(wanted) < len(items):
            self.execute("DELETE FROM staged WHERE item = ANY(?)", (list(items - wanted),))
        self.execute(_INSERT, (last, now_ns, keys))

    def now_ns(self, _ours: Callable[[], int]) -> int:
        """The clock that leases run on: the database's, which all sidecars share."""
        row = self._connection.execute(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1e9)::bigint"
        ).fetchone()
        return int(row[0]) if row else 0

    def announce(self) -> None:
        """Wakes the other sidecars when this commits."""
        self.execute(f"NOTIFY {CHANNEL}")


def _row(item: int, index: int, wanted: Append, seq: int, event: Event) -> tuple[Any, ...]:
    (event_id, kind, source, environment, run_id, event_time_ns, available_time_ns, signal_id) = (
        event[:8]
    )
    return (
        *(item, index, seq if wanted.producer else None, event_id, kind, source, environment),
        *(run_id or None, event_time_ns, available_time_ns, signal_id or None),
        *(event.strategy or None, event.symbol or None, event.body),
    )


def _by_id(rows: Iterable[tuple[Any, ...]]) -> dict[bytes, KnownProducer]:
    return {row[0]: KnownProducer._make(row[1:]) for row in rows}
