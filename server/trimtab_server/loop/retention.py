"""Retention in a running sidecar: on a thread of its own, in short transactions, by the one sidecar
of a fleet that holds the lease."""

import threading
from collections.abc import Callable, Mapping

from trimtab_server.domain.events import EventKind
from trimtab_server.errors import TrimtabError
from trimtab_server.store.store import Store
from trimtab_server.telemetry import Telemetry

STATION = "retention"
_DAY_NS = 86_400 * 10**9
_INTERVAL_S = 3_600.0
# Long enough for a transaction and the pause behind it, whatever the database is doing.
_LEASE_S = 60.0
# Between two transactions, in which the writer has its turn.
_PAUSE_S = 0.05


class Retention:
    """Prunes every hour what is older than `days` of its kind. `start()` it, `stop()` it."""

    def __init__(
        self,
        store: Store,
        days: Mapping[EventKind, float],
        holder: str,
        telemetry: Telemetry,
        now_ns: Callable[[], int],
    ) -> None:
        self._store = store
        self._days = days
        self._holder = holder
        self._telemetry = telemetry
        self._now_ns = now_ns
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trimtab-retention", daemon=True)

    def start(self) -> None:
        """Starts the thread; without a limit there is nothing to do, and none."""
        if self._days:
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread behind its present transaction."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def prune(self) -> int:
        """How many events were pruned: all that are due, or 0 while another sidecar sees to it.
        Raises Unavailable when the database refuses."""
        count = 0
        for kind, days in self._days.items():
            before_ns = self._now_ns() - int(days * _DAY_NS)
            has_more = True
            while has_more and not self._stopping.is_set():
                # Renewed each time: nobody else starts while we are at it, or waits when we die.
                lease = self._store.stations.lease(STATION, self._holder, _LEASE_S)
                if lease is None:
                    return count
                some = self._store.prune_some(kind, before_ns)
                count += some.event_count
                has_more = some.has_more
                if has_more:
                    self._stopping.wait(_PAUSE_S)
        return count

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stopping.wait(wait_s):
            wait_s = _INTERVAL_S
            try:
                count = self.prune()
            except TrimtabError as error:
                self._telemetry.log_warning("retention failed", reason=str(error))
            except Exception as error:  # noqa: BLE001 - a defect must not end it
                self._telemetry.log_defect("retention failed", error)
            else:
                if count:
                    self._telemetry.log_info("pruned", event_count=count)
