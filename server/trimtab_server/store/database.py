"""From a database URL to one of two concrete databases.

Both offer `writing` (a transaction in the one lane that numbers the log), `reading` (a read-only
snapshot), `follow` (word of what other sidecars commit), `interrupt` and `close`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from trimtab_server.errors import ConfigurationError
from trimtab_server.store.sqlite import SqliteDatabase, SqliteWriter

if TYPE_CHECKING:
    from trimtab_server.store.postgres import PostgresDatabase
    from trimtab_server.store.postgres_writer import PostgresWriter

Database: TypeAlias = "SqliteDatabase | PostgresDatabase"
Writer: TypeAlias = "SqliteWriter | PostgresWriter"


def open_database(
    url: str,
    durability: str,
    readers_max: int,
    read_time_s_max: float,
    monotonic: Callable[[], float],
) -> Database:
    """The database of a URL, with its schema brought up to date.

    Raises ConfigurationError when the URL is for neither kind, or it cannot be opened.
    """
    if backend_of(url) == "sqlite":
        return SqliteDatabase(url, durability, readers_max, read_time_s_max, monotonic)
    try:
        from trimtab_server.store.postgres import PostgresDatabase
    except ImportError as error:
        raise ConfigurationError(
            "database: Postgres needs a driver: pip install 'trimtab[postgres]'"
        ) from error
    return PostgresDatabase(url, durability, readers_max, read_time_s_max, monotonic)


def backend_of(url: str) -> str:
    """`sqlite` or `postgresql`. Raises ConfigurationError for anything else."""
    scheme, found, _ = url.partition("://")
    name = scheme.partition("+")[0]
    if not found or not name:
        raise ConfigurationError(f"database: {url!r} is no database URL")
    if name == "postgres":
        return "postgresql"
    if name not in {"sqlite", "postgresql"}:
        raise ConfigurationError(
            f"database: the log is kept in SQLite or Postgres, not in {name!r}"
        )
    return name
