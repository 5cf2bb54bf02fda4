"""What a station is: it tails the log by sequence, its cursor saved in the transaction of what it
writes. Of several sidecars on one database the one that holds the station's lease runs it."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trimtab_server.domain.events import Append, EventFilter, StoredEvent
from trimtab_server.errors import TrimtabError
from trimtab_server.loop.ingest import Ingest
from trimtab_server.loop.readers import Readers
from trimtab_server.store.database import Writer
from trimtab_server.store.stations import Lease
from trimtab_server.store.store import Store
from trimtab_server.telemetry import Telemetry

# A holder that dies is followed after this long; one that lives renews three times as often.
LEASE_S = 6.0
_RENEWAL_S = LEASE_S / 3
# A cursor behind which nothing was kept may be saved so much later.
_UNSAVED_S_MAX = 2.0
# From a commit to the look at it: what a busy writer commits meanwhile is looked at together, and a
# station does not double its transactions.
_REST_S = 0.01
_PAGE_SPAN = 2_000
_PAGE_BYTES_MAX = 4 << 20


@dataclass(frozen=True, slots=True)
class Derived:
    """What a page of events means to a station: events to append (with ids that depend on nothing
    else, so that deriving them again writes nothing twice), and what it writes `also`, in the same
    transaction; `then` is called once that is stored. can_wait: the cursor may be saved later.

    A station that holds events back has *settled* all before the first that it holds
    (`held_from`; 0 = it holds none): the cursor is saved there, so these come again after a
    restart. cursor_waits: what it writes is stored now, but the cursor stays where it is, because
    what the station remembers is not saved with it; so more will come again. `settle` writes how
    far all is settled, in the same transaction; `settled` hears it once that is so."""

    appends: Sequence[Append] = field(default=())
    also: Callable[[Writer], None] | None = None
    then: Callable[[], None] | None = None
    can_wait: bool = False
    held_from: int = 0
    cursor_waits: bool = False
    settle: Callable[[Writer, int], None] | None = None
    settled: Callable[[int], None] | None = None


class Station(Protocol):
    """Derives from the log, in order. What it keeps in memory is derived too: `start` tells it to
    begin anew behind a cursor, because another sidecar may have run it meanwhile.

    kinds: of the events that it looks at; empty = all. pulse_s: after so long without events it is
    asked with none; None = it is not."""

    name: str
    kinds: tuple[int, ...]
    pulse_s: float | None

    def start(self, cursor: int) -> None:
        """Forgets everything; the next events follow sequence `cursor`."""

    def derive(self, events: Sequence[StoredEvent]) -> Derived:
        """What these events mean. Runs on a thread that may block."""


class StationRunner:
    """Runs one station whenever its lease can be had.

    rest_s: from a commit to the look at it, where less than a page waits. rest_share: how long it
    rests after each step while the writer has work, as a share of what the step took: 1.0 leaves
    the event path half of the time."""

    def __init__(
        self,
        station: Station,
        store: Store,
        ingest: Ingest,
        readers: Readers,
        telemetry: Telemetry,
        holder: str,
        monotonic: Callable[[], float],
        *,
        rest_s: float = _REST_S,
        rest_share: float = 0.0,
    ) -> None:
        self._station = station
        self._store = store
        self._ingest = ingest
        self._readers = readers
        self._telemetry = telemetry
        self._holder = holder
        self._monotonic = monotonic
        self._task: asyncio.Task[None] | None = None
        self._filter = EventFilter(kinds=station.kinds)
        self._pause_s = min(_RENEWAL_S, station.pulse_s or _RENEWAL_S)
        self._rest_s = rest_s
        self._rest_share = rest_share
        # How far the log was read, the cursor that is saved, how far the store says that all is
        # settled, and since when.
        self._cursor = self._saved = self._stored = 0
        self._stored_s = 0.0
        # What was asked last of `at_rest`, and how far the log reached then; -1 = not known yet.
        self._rest_until_ns, self._rest_behind = 0, -1

    def start(self) -> None:
        """Starts it. Call it inside the event loop."""
        self._task = asyncio.create_task(self._run())

    @property
    def lag(self) -> int:
        """Events of the log that it has not looked at; while another sidecar runs it, those since
        it ran here."""
        return max(0, self._ingest.last_sequence - self._cursor)

    def at_rest(self, until_ns: int) -> bool:
        """Whether everything that will be stamped before `until_ns` has been handed to the station.
        Call it from `derive`. What a station then does because nothing came, a replay of the log
        does too: later events say by their ingest times that nothing came, even when the clock is
        set back meanwhile. The clocks of other sidecars on the database are theirs."""
        if until_ns != self._rest_until_ns:
            self._store.stamp_from(until_ns)
            self._rest_until_ns, self._rest_behind = until_ns, -1
        if self._rest_behind < 0 and not self._ingest.events_buffered:
            self._rest_behind = self._store.info().last_sequence
        return 0 <= self._rest_behind <= self._cursor

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
                    self._cursor = self._saved = self._stored = lease.cursor
                    self._stored_s = self._monotonic()
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
        renewed_s = self._monotonic()
        try:
            while True:
                if self._monotonic() - renewed_s >= _RENEWAL_S:
                    renewed_s = self._monotonic()
                    if await self._lease() != lease._replace(cursor=self._saved):
                        return
                # Not `wait_for`: that of Python 3.11 swallows a cancellation that meets its result.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause_s):
                        await self._ingest.beyond(self._cursor)
                        await asyncio.sleep(self._rest_s if self.lag < _PAGE_SPAN else _REST_S)
                start_s = self._monotonic()
                if not await self._readers.read(self._step, lease):
                    return
                if self._rest_share and self._ingest.events_buffered:
                    took_s = self._monotonic() - start_s
                    await asyncio.sleep(min(took_s * self._rest_share, _RENEWAL_S / 2))
        except asyncio.CancelledError:
            with contextlib.suppress(TrimtabError):
                await self._readers.read(self._store.stations.release, lease)
            raise

    def _step(self, lease: Lease) -> bool:
        """One page; False when the lease is another's. Runs on a thread."""
        cursor = self._cursor
        page = self._store.events.tail(self._filter, cursor, _PAGE_SPAN, _PAGE_BYTES_MAX)
        is_new = page.through_sequence != cursor
        if not is_new and self._station.pulse_s is None and cursor == self._stored:
            return True
        if page.pruned_sequence > cursor and is_new:
            self._telemetry.log_warning(
                "retention was ahead of a station", station=self._station.name, cursor=cursor
            )
        derived = self._station.derive(page.events)
        self._cursor = page.through_sequence
        settled = derived.held_from - 1 if derived.held_from else self._cursor
        now_s = self._monotonic()
        if not derived.can_wait or (
            settled != self._stored and now_s - self._stored_s >= _UNSAVED_S_MAX
        ):
            if not self._store_derived(lease, derived, settled):
                return False
            self._stored, self._stored_s = settled, now_s
        if derived.settled is not None:
            derived.settled(settled)
        return True

    def _store_derived(self, lease: Lease, derived: Derived, settled: int) -> bool:
        """Stores it in one transaction; False when the lease is another's."""

        def also(writer: Writer) -> None:
            if derived.also is not None:
                derived.also(writer)
            if derived.settle is not None:
                derived.settle(writer, settled)

        cursor = self._saved if derived.cursor_waits else settled
        done = self._store.stations.advance(lease, cursor, derived.appends, also)
        if done is None:
            return False
        self._saved = cursor
        if any(one.rejections for one in done):
            self._telemetry.log_warning(
                "a station derived an event anew, and otherwise than before",
                station=self._station.name,
                count=sum(len(one.rejections) for one in done),
            )
        self._ingest.heard(max((max(one.sequences, default=0) for one in done), default=0))
        if derived.then is not None:
            derived.then()
        return True
