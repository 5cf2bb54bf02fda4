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
# After a database that was busy or away.
_RETRY_S = 60.0
# After the clock leapt: time for NTP or a person to mend it, and less than the trading day after
# which many a sidecar is stopped.
_STEADY_S = 4 * 3_600.0
# A leap that counts: no suspended machine's hours, where events are kept for days.
_LEAP_SHARE = 0.1
_LEAP_NS_MIN = 3_600 * 10**9
# Long enough for a transaction and the pause behind it, whatever the database is doing.
_LEASE_S = 60.0
# Between two transactions, in which the writer has its turn.
_PAUSE_S = 0.05


class Retention:
    """Prunes every hour what is older than `days` of its kind. `start()` it, `stop()` it.

    What is pruned is gone, so a clock that leaps forward is not believed at once: nothing is
    pruned for four hours. `newest_ns` is when the newest event of the log was ingested (0 = there
    is none): the first look compares with it.
    """

    def __init__(
        self,
        store: Store,
        days: Mapping[EventKind, float],
        holder: str,
        telemetry: Telemetry,
        now_ns: Callable[[], int],
        monotonic: Callable[[], float],
        newest_ns: int,
    ) -> None:
        self._store = store
        self._days = days
        self._holder = holder
        self._telemetry = telemetry
        self._now_ns = now_ns
        self._monotonic = monotonic
        shortest_ns = int(min(days.values(), default=0.0) * _DAY_NS)
        self._leap_ns_max = max(_LEAP_NS_MIN, int(shortest_ns * _LEAP_SHARE))
        self._seen_s = self._steady_s = monotonic()
        # A log may have lain still; for longer than events are kept, and all of a kind would go.
        self._seen_ns = newest_ns + shortest_ns if newest_ns else now_ns()
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
        """How many events were pruned: all that are due, or 0 while another sidecar sees to it or
        the clock is not believed. Raises Unavailable when the database refuses."""
        now_ns = self._now_ns()
        if not self._is_believed(now_ns):
            return 0
        count = 0
        for kind, days in self._days.items():
            before_ns = now_ns - int(days * _DAY_NS)
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
                elif some.oldest_time_ns > now_ns:
                    self._telemetry.log_warning(
                        "nothing more of a kind is pruned: its oldest event lies in the future",
                        kind=kind.name,
                        ahead_s=(some.oldest_time_ns - now_ns) // 10**9,
                    )
        return count

    def _is_believed(self, now_ns: int) -> bool:
        now_s = self._monotonic()
        leap_ns = now_ns - self._seen_ns - int((now_s - self._seen_s) * 1e9)
        self._seen_ns, self._seen_s = now_ns, now_s
        if leap_ns > self._leap_ns_max:
            self._steady_s = now_s + _STEADY_S
            self._telemetry.log_warning(
                "the clock is far ahead of where it was: nothing is pruned for now; check it",
                ahead_s=leap_ns // 10**9,
                wait_s=_STEADY_S,
            )
        return now_s >= self._steady_s

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stopping.wait(wait_s):
            wait_s = _INTERVAL_S
            try:
                count = self.prune()
            except TrimtabError as error:
                wait_s = _RETRY_S
                self._telemetry.log_warning("retention failed", reason=str(error))
            except Exception as error:  # noqa: BLE001 - a defect must not end it
                self._telemetry.log_defect("retention failed", error)
            else:
                if count:
                    self._telemetry.log_info("pruned", event_count=count)
