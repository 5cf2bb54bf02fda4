"""What ingestion into Postgres is held against: a raw loop of COPY, INSERT and COMMIT.

python -m tests.load.staged_copy --source URL --target URL --count ROWS_PER_COMMIT
"""

import argparse
import json
import time
from itertools import islice
from typing import Any

import psycopg
from psycopg.types.string import BytesBinaryDumper

from tests.load.context import family_cpu_s

Row = tuple[Any, ...]


def rows_of(source: str) -> tuple[list[Row], list[int]]:
    """The rows of the events table in log order, and the types of their columns."""
    with psycopg.connect(source) as connection, connection.cursor(binary=True) as cursor:
        rows = cursor.execute("SELECT * FROM events ORDER BY sequence").fetchall()
        return rows, [column.type_code for column in cursor.description or ()]


def staged_copy(
    connection: psycopg.Connection[Row], rows: list[Row], types: list[int], batch_rows: int
) -> None:
    """Stores all rows in a migrated database, `batch_rows` a commit: COPY into a temporary table,
    INSERT from there, COMMIT."""
    waiting = iter(rows)
    while batch := list(islice(waiting, batch_rows)):
        connection.execute("BEGIN")
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY staged FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types(types)
            for row in batch:
                copy.write_row(row)
        connection.execute("INSERT INTO events SELECT * FROM staged")
        connection.execute("COMMIT")


def measured(source: str, target: str, batch_rows: int, postmaster: int) -> dict[str, float]:
    """Seconds that it takes, and processor seconds of this process and of Postgres.

    postmaster: the process id, 0 = elsewhere, which tells no processor time."""
    rows, types = rows_of(source)
    with psycopg.connect(target, autocommit=True) as connection:
        # As the store does: the driver's default for COPY is written in Python.
        connection.adapters.register_dumper(bytes, BytesBinaryDumper)
        connection.execute("CREATE TEMPORARY TABLE staged (LIKE events) ON COMMIT DELETE ROWS")
        connection.execute("CHECKPOINT")
        postgres_s = family_cpu_s(postmaster) if postmaster else 0.0
        cpu_s, start_s = time.process_time(), time.perf_counter()
        staged_copy(connection, rows, types, batch_rows)
        took_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_s
        if postmaster:
            postgres_s = family_cpu_s(postmaster) - postgres_s
    return {"seconds": took_s, "cpu_s": cpu_s, "postgres_cpu_s": postgres_s}


def main() -> None:
    """The command line; the last line of the output is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--postmaster", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(measured(given.source, given.target, given.count, given.postmaster)))


if __name__ == "__main__":
    main()
