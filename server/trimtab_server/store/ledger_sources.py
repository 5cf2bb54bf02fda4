"""Reading many rows at once: columns come as arrays, chunk by chunk, and no row stays an object.

A connection of its own, read-only, beside a serving sidecar: that to SQLite takes no lock of the
writer's, that to Postgres has its own time limit.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trimtab_server.errors import ConfigurationError
from trimtab_server.store.ledger_records import Dtype, absent
from trimtab_server.store.refusals import unavailable
from trimtab_server.store.sqlite import sqlite_path

if TYPE_CHECKING:
    from trimtab_server.store.postgres_writer import Connection

Array: TypeAlias = NDArray[Any]

# Rows that are objects at a time, and that become arrays at a time.
_ROWS_PER_FETCH = 4_096
_ROWS_PER_CHUNK = 32_768
_CACHE_KIB = 32_768
_TAIL = "tail_byte_count"
# COPY's binary form: signature, flags and length of an extension before the rows; before a row the
# number of its fields, before a field the number of its bytes.
_COPY_HEAD = 19
_ROW_HEAD, _FIELD_HEAD = 2, 4
_INT64 = np.dtype(np.int64)


class Field(NamedTuple):
    """A column to read: an integer by its SQL, or, with a layout, a column of records."""

    name: str
    sql: str
    layout: Dtype | None = None


class Bulk(NamedTuple):
    """Columns of `rest` (FROM and what follows it). tail: the column of records behind whose fixed
    part more bytes lie; they come joined, with their counts in `tail_byte_count`."""

    fields: tuple[Field, ...]
    rest: str
    parameters: tuple[Any, ...] = ()
    tail: Field | None = None


class Chunk(NamedTuple):
    """Some rows: arrays by name, and the tails behind each other."""

    columns: dict[str, Array]
    tails: bytes


class SqliteSource:
    """A SQLite file, read beside whoever writes it."""

    is_sqlite = True

    def __init__(self, url: str) -> None:
        """Raises ConfigurationError when there is no such file."""
        path = sqlite_path(url)
        if not path.is_file():
            raise ConfigurationError(f"{path} is not there")
        self._connection = sqlite3.connect(
            f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        self._connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read inside belongs together. Raises Unavailable when the database refuses."""
        try:
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise unavailable(error) from error

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a statement that has few."""
        return self._connection.execute(statement, parameters).fetchall()

    def stream(
        self, statement: str, parameters: Sequence[Any] = ()
    ) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a statement that may have many, some at a time."""
        cursor = self._connection.execute(statement, parameters)
        while rows := cursor.fetchmany(_ROWS_PER_FETCH):
            yield rows

    def chunks(self, bulk: Bulk) -> Iterator[Chunk]:
        """The rows, in order."""
        columns = [_sql(field, "X'{}'") for field in bulk.fields]
        if bulk.tail is not None:
            # Of no bytes at all SQLite makes NULL.
            columns.append(f"coalesce(substr({bulk.tail.sql}, {_size(bulk.tail) + 1}), X'')")
        for rows in self.stream(f"SELECT {', '.join(columns)} {bulk.rest}", bulk.parameters):
            told: list[Sequence[Any]] = list(zip(*rows, strict=True))
            arrays = {
                field.name: np.array(column, dtype=np.int64)
                if field.layout is None
                else np.frombuffer(b"".join(column), dtype=field.layout)
                for field, column in zip(bulk.fields, told, strict=False)
            }
            tails = b""
            if bulk.tail is not None:
                tails = b"".join(told[-1])
                arrays[_TAIL] = np.fromiter(map(len, told[-1]), dtype=np.int64, count=len(rows))
            yield Chunk(arrays, tails)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


class PostgresSource:
    """A Postgres database over a connection of its own."""

    is_sqlite = False

    def __init__(self, url: str, time_s_max: float) -> None:
        """Raises ConfigurationError when it does not answer."""
        try:
            import psycopg  # noqa: PLC0415 - the driver is an extra

            from trimtab_server.store.postgres_connection import connect  # noqa: PLC0415
        except ImportError as error:
            raise ConfigurationError(
                "database: Postgres needs a driver: pip install 'trimtab[postgres]'"
            ) from error
        self._refusals = psycopg.Error
        try:
            self._connection: Connection = connect(
                url, _settings(time_s_max), name="trimtab-ledger"
            )
        except psycopg.Error as error:
            words = " ".join(str(error).split())
            raise ConfigurationError(f"cannot open the database: {words}") from error

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read inside belongs together. Raises Unavailable when the database refuses."""
        try:
            with self._connection.transaction():
                yield
        except self._refusals as error:
            raise unavailable(error) from error

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a statement that has few."""
        return self._connection.execute(_marked(statement), parameters).fetchall()

    def stream(
        self, statement: str, parameters: Sequence[Any] = ()
    ) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a statement that may have many, some at a time."""
        with self._connection.cursor(name="stream") as cursor:
            cursor.execute(_marked(statement), parameters)
            while rows := cursor.fetchmany(_ROWS_PER_FETCH):
                yield rows

    def chunks(self, bulk: Bulk) -> Iterator[Chunk]:
        """The rows, in order. Fixed parts make rows of one width; tails are copied apart, first,
        because what lies between them is found by their counts."""
        fields = list(bulk.fields)
        tails, counts = b"", np.empty(0, dtype=np.int64)
        if bulk.tail is not None:
            counts = self._tail_counts(bulk, bulk.tail)
            tails = self._tails(bulk, bulk.tail, counts)
        ends = np.concatenate(([0], np.cumsum(counts)))
        place = 0
        for block in self._blocks(fields, bulk):
            arrays = {field.name: _plain(block[field.name]) for field in fields}
            told = b""
            if bulk.tail is not None:
                until = place + len(block)
                arrays[_TAIL] = counts[place:until]
                told = tails[ends[place] : ends[until]]
                place = until
            yield Chunk(arrays, told)

    def _tail_counts(self, bulk: Bulk, tail: Field) -> NDArray[np.int64]:
        beyond = f"greatest(length({tail.sql}) - {_size(tail)}, 0)"
        blocks = [_plain(block["count"]) for block in self._blocks([Field("count", beyond)], bulk)]
        return np.concatenate(blocks) if blocks else np.empty(0, dtype=np.int64)

    def _tails(self, bulk: Bulk, tail: Field, counts: NDArray[np.int64]) -> bytes:
        """The tails without what COPY writes between them."""
        column = f"substr({tail.sql}, {_size(tail) + 1})"
        data = np.frombuffer(b"".join(self._copied([column], bulk)), dtype=np.uint8)
        head = _ROW_HEAD + _FIELD_HEAD
        starts = _COPY_HEAD + np.cumsum(counts + head) - (counts + head)
        is_tail = np.ones(data.size, dtype=np.bool_)
        is_tail[:_COPY_HEAD] = is_tail[-_ROW_HEAD:] = False
        for offset in range(head):
            is_tail[starts + offset] = False
        return data[is_tail].tobytes()

    def _blocks(self, fields: Sequence[Field], bulk: Bulk) -> Iterator[Array]:
        """Rows of one width as arrays, each field under its name."""
        layout = np.dtype(list(_row_parts(fields)))
        columns = [_sql(field, "'\\x{}'::bytea") for field in fields]
        wanted, held, skipped = _ROWS_PER_CHUNK * layout.itemsize, bytearray(), False
        for data in self._copied(columns, bulk):
            held += data
            if not skipped and len(held) >= _COPY_HEAD:
                del held[:_COPY_HEAD]
                skipped = True
            if len(held) >= wanted:
                yield np.frombuffer(bytes(held[:wanted]), dtype=layout)
                del held[:wanted]
        # Behind the rows stands a count of -1.
        if count := (len(held) - _ROW_HEAD) // layout.itemsize:
            yield np.frombuffer(bytes(held), dtype=layout, count=count)

    def _copied(self, columns: Sequence[str], bulk: Bulk) -> Iterator[bytes]:
        statement = f"COPY (SELECT {', '.join(columns)} {bulk.rest}) TO STDOUT (FORMAT BINARY)"
        with (
            self._connection.cursor() as cursor,
            cursor.copy(_marked(statement), bulk.parameters) as copy,
        ):
            for data in copy:
                yield bytes(data)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


Source: TypeAlias = SqliteSource | PostgresSource


def _settings(time_s_max: float) -> dict[str, str]:
    """As for every connection that reads here: each query has an index in the order that it asks
    for, whatever old statistics say."""
    planned = ("seqscan", "bitmapscan", "hashjoin", "mergejoin")
    return {f"enable_{name}": "off" for name in planned} | {
        "jit": "off",
        "default_transaction_read_only": "on",
        "default_transaction_isolation": "repeatable\\ read",
        "statement_timeout": f"{int(time_s_max * 1e3)}ms",
    }


def _marked(statement: str) -> bytes:
    return statement.replace("?", "%s").encode()


def _size(field: Field) -> int:
    return 0 if field.layout is None else field.layout.itemsize


def _sql(field: Field, literal: str) -> str:
    """What gives the field at one width in every row."""
    if field.layout is None:
        return f"CAST({field.sql} AS BIGINT)"
    nothing = literal.format(absent(field.layout).hex())
    return (
        f"CASE WHEN length({field.sql}) > 0"
        f" THEN substr({field.sql}, 1, {field.layout.itemsize}) ELSE {nothing} END"
    )


def _row_parts(fields: Sequence[Field]) -> Iterator[tuple[str, Any]]:
    yield "field_count", ">i2"
    for field in fields:
        yield f"{field.name} byte count", ">i4"
        yield field.name, ">i8" if field.layout is None else field.layout


def _plain(column: Array) -> Array:
    """Integers as this machine has them; records as they are."""
    return column.astype(_INT64) if column.dtype.kind == "i" else column
