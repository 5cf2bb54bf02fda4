"""What a station is: it tails the log by sequence, its cursor saved in the transaction of what it
writes. Of several sidecars on one database the one that holds the station's lease runs it."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

from trimtab_server.domain.events import Append, EventFilter, StoredEvent
from trimtab_server.errors import TrimtabError
from trimtab_server.loop.ingest import Ingest
from trimtab_server.loop.readers import Readers
from trimtab_server.store.stations import Lease
from trimtab_server.store.store import Store
from trimtab_server.telemetry import Telemetry

# A holder that dies is followed after this long; one that lives renews three times as often.
LEASE_S = 6.0
_RENEWAL_S = LEASE_S / 3
_PAGE_SPAN = 2_000
_PAGE_BYTES_MAX = 4 << 20


class Station(Protocol):
    """Derives events from the log, in order. What it keeps in memory is derived too: `start` tells
    it to begin anew behind a cursor, because another sidecar may have run it meanwhile."""

    name: str

    def start(self, cursor: int) -> None:
        """Forgets everything; the next events follow sequence `cursor`."""

    def derive(self, events: Sequence[StoredEvent]) -> list[Append]:
        """What these events mean: events with ids that depend on nothing else, so that deriving
        them again writes nothing twice."""


class StationRunner:
    """Runs one station whenever its lease can be had."""

    def __init__(
        self,
        station: Station,
        store: Store,
        ingest: Ingest,
        readers: Readers,
        telemetry: Telemetry,
        holder: str,
        monotonic: Callable[[], float],
    ) -> None:
        self._station = station
        self._store = store
        self._ingest = ingest
        self._readers = readers
        self._telemetry = telemetry
        self._holder = holder
        self._monotonic = monotonic
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts it. Call it inside the event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends it; the lease runs out by itself, or is given back when that is possible now."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            try:
                lease = await self._lease()
                if lease is not None:
                    self._station.start(lease.cursor)
                    await self._tail(lease)
            except TrimtabError as error:
                # The database is away or busy: the cursor tells where to go on.
                self._telemetry.log_info(
                    "station waits", station=self._station.name, why=error.message
                )
            except Exception as error:  # noqa: BLE001 - a defect must not end the others
                self._telemetry.log_defect(f"station {self._station.name} failed", error)
            await asyncio.sleep(_RENEWAL_S / 2)

    async def _lease(self) -> Lease | None:
        return await self._readers.read(
            self._store.stations.lease, self._station.name, self._holder, LEASE_S
        )

    async def _tail(self, lease: Lease) -> None:
        """Follows the log until the lease is another's."""
        cursor, renewed_s = lease.cursor, self._monotonic()
        try:
            while True:
                if self._monotonic() - renewed_s >= _RENEWAL_S:
                    renewed_s = self._monotonic()
                    if await self._lease() != lease._replace(cursor=cursor):
                        return
                # Not `wait_for`: that of Python 3.11 swallows a cancellation that meets its result.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RENEWAL_S):
                        await self._ingest.beyond(cursor)
                through = await self._readers.read(self._step, lease, cursor)
                if through is None:
                    return
                cursor = through
        except asyncio.CancelledError:
            with contextlib.suppress(TrimtabError):
                await self._readers.read(self._store.stations.release, lease)
            raise

    def _step(self, lease: Lease, cursor: int) -> int | None:
        """One page: the new cursor, or None when the lease is another's. Runs on a thread."""
        page = self._store.events.tail(EventFilter(), cursor, _PAGE_SPAN, _PAGE_BYTES_MAX)
        if page.through_sequence == cursor:
            return cursor
        if page.pruned_sequence > cursor:
            self._telemetry.log_warning(
                "retention was ahead of a station", station=self._station.name, cursor=cursor
            )
        derived = self._station.derive(page.events)
        done = self._store.stations.advance(lease, page.through_sequence, derived)
        if done is None:
            return None
        self._ingest.heard(max((max(one.sequences, default=0) for one in done), default=0))
        return page.through_sequence
