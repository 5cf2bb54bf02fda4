"""Which sidecar runs a station, and how far it has read: one row a station, leased for a time.

A lease that ran out may be taken by another holder, who gets a larger key; a write under an older
key is refused in its own transaction, so a holder that slept through its lease changes nothing.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from trimtab_server.domain.events import Append, Appended
from trimtab_server.store.append import append
from trimtab_server.store.claims import SameContent
from trimtab_server.store.database import Database, Writer


class Lease(NamedTuple):
    """The right to run a station: its name, the key of this lease, and where to read on."""

    name: str
    key: int
    cursor: int


class Stations:
    """Leases and cursors. Call it from a thread that may block."""

    def __init__(
        self,
        database: Database,
        rejected_events_max: int,
        same_content: SameContent,
        now_ns: Callable[[], int],
    ) -> None:
        self._database = database
        self._rejected_events_max = rejected_events_max
        self._same_content = same_content
        self._now_ns = now_ns

    def lease(self, name: str, holder: str, seconds: float) -> Lease | None:
        """A new or renewed lease of `seconds`; None while another holder has it.

        Time is the database's own on Postgres. A SQLite file has one sidecar at a time, which
        takes over whatever the one before had.
        """
        with self._database.writing() as writer:
            now_ns = writer.now_ns(self._now_ns)
            end_ns = now_ns + int(seconds * 1e9)
            row = writer.execute(
                "SELECT cursor, holder, lease_key, lease_end_ns FROM stations WHERE name = ?",
                (name,),
            ).fetchone()
            if row is None:
                writer.execute(
                    "INSERT INTO stations (name, cursor, holder, lease_key, lease_end_ns)"
                    " VALUES (?, 0, ?, 1, ?)",
                    (name, holder, end_ns),
                )
                return Lease(name, 1, 0)
            cursor, former, key, former_end_ns = row
            if former != holder and former_end_ns > now_ns and not self._database.is_exclusive:
                return None
            key += former != holder or former_end_ns <= now_ns
            writer.execute(
                "UPDATE stations SET holder = ?, lease_key = ?, lease_end_ns = ? WHERE name = ?",
                (holder, key, end_ns, name),
            )
            return Lease(name, key, cursor)

    def release(self, lease: Lease) -> None:
        """Lets others take the station at once."""
        with self._database.writing() as writer:
            writer.execute(
                "UPDATE stations SET lease_end_ns = 0 WHERE name = ? AND lease_key = ?",
                (lease.name, lease.key),
            )

    def advance(
        self,
        lease: Lease,
        cursor: int,
        derived: Sequence[Append] = (),
        also: Callable[[Writer], None] | None = None,
    ) -> list[Appended] | None:
        """Stores what a station derived, its new cursor and what `also` writes in one transaction;
        what became of each append, or None when the lease is another's by now: then nothing was
        stored."""
        with self._database.writing(derived) as writer:
            if not _moved(writer, lease, cursor):
                return None
            if also is not None:
                also(writer)
            return append(
                writer, derived, self._now_ns(), self._rejected_events_max, self._same_content
            )


def _moved(writer: Writer, lease: Lease, cursor: int) -> bool:
    moved = writer.execute(
        "UPDATE stations SET cursor = ? WHERE name = ? AND lease_key = ? AND cursor <= ?",
        (cursor, lease.name, lease.key, cursor),
    )
    return moved.rowcount == 1
