"""How every connection to Postgres is made: a sidecar's, and one that only looks."""

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from trimtab_server.store.postgres_writer import Connection

_NETWORK: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def connect(
    url: str, settings: dict[str, str], *, autocommit: bool = True, name: str = "trimtab"
) -> Connection:
    """A connection with the URL's own options and `settings` behind them. `name` is what sidecars
    are counted by, whatever the URL says. Raises psycopg.Error."""
    given = conninfo_to_dict(_plain(url))
    ours = " ".join(f"-c {setting}={value}" for setting, value in settings.items())
    options = f"{given.pop('options', '') or ''} {ours}".strip()
    return psycopg.connect(
        make_conninfo("", **(_NETWORK | given | {"options": options, "application_name": name})),
        autocommit=autocommit,
        # Few statements come twice on a connection; no plan is to outlive its statistics.
        prepare_threshold=None,
    )


def described(url: str) -> str:
    """The database without its password. Raises psycopg.Error when the URL is none of libpq's."""
    given = conninfo_to_dict(_plain(url))
    host = given.get("host") or given.get("hostaddr") or "the local socket"
    return f"Postgres database {given.get('dbname') or ''!r} on {host}"


def _plain(url: str) -> str:
    """The URL as libpq reads it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)
