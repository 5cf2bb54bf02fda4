"""What the sidecar is held against, each in a fresh process of its own.

python -m tests.load.reference executemany|commits|echo: the plain way to do the same work.
"""

import argparse
import asyncio
import json
import sqlite3
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import grpc

ECHO = "/trimtab.load.Echo/Echo"


def opened(database: Path, pragmas: dict[str, Any]) -> sqlite3.Connection:
    """A connection with the same pragmas as the server's writer."""
    connection = sqlite3.connect(database, isolation_level=None)
    for name, value in pragmas.items():
        connection.execute(f"PRAGMA {name}={value}").fetchall()
    return connection


def rows_of(database: Path, limit: int = -1) -> list[tuple[Any, ...]]:
    """The rows of the events table, in log order."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT * FROM events ORDER BY sequence LIMIT ?", (limit,))
        found: list[tuple[Any, ...]] = rows.fetchall()
    connection.close()
    return found


def insert_of(row: tuple[Any, ...]) -> str:
    """The INSERT statement for rows like this one."""
    return f"INSERT INTO events VALUES ({', '.join('?' * len(row))})"


def executemany(source: Path, target: Path, pragmas: dict[str, Any], batch_rows: int) -> float:
    """Seconds that raw executemany takes for all rows of `source`, `batch_rows` a commit."""
    rows = rows_of(source)
    connection = opened(target, pragmas)
    statement = insert_of(rows[0])
    waiting = iter(rows)
    start_s = time.perf_counter()
    while batch := list(islice(waiting, batch_rows)):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, batch)
        connection.execute("COMMIT")
    took_s = time.perf_counter() - start_s
    connection.close()
    return took_s


def commits(source: Path, target: Path, pragmas: dict[str, Any], count: int) -> list[float]:
    """Seconds of each of `count` bare commits: BEGIN, one insert, COMMIT."""
    rows = rows_of(source, count)
    connection = opened(target, pragmas)
    statement = insert_of(rows[0])
    took_s = []
    for row in rows:
        start_s = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(statement, row)
        connection.execute("COMMIT")
        took_s.append(time.perf_counter() - start_s)
    connection.close()
    return took_s


async def echo() -> None:
    """A bare grpc.aio server that answers what it was sent, until standard input closes."""

    async def answer(request: bytes, _context: Any) -> bytes:
        return request

    server = grpc.aio.server()
    _, service, method = ECHO.split("/")
    handler: Any = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


def main() -> None:
    """The command line; the last line of the output is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", choices=("executemany", "commits", "echo"))
    parser.add_argument("--source", type=Path)
    parser.add_argument("--target", type=Path)
    parser.add_argument("--pragmas", type=json.loads, default={})
    parser.add_argument("--count", type=int, default=1)
    given = parser.parse_args()
    if given.work == "echo":
        asyncio.run(echo())
    elif given.work == "executemany":
        print(json.dumps(executemany(given.source, given.target, given.pragmas, given.count)))
    else:
        print(json.dumps(commits(given.source, given.target, given.pragmas, given.count)))


if __name__ == "__main__":
    main()
