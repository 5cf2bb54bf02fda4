"""What learns, joined: the ledger's station, the workers that make reports, the learning cycle.

`app` builds one and hands it the clocks; nothing here reads them.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from trimtab_server.domain.reports.questions import Codec
from trimtab_server.domain.shadow.book import ShadowBook
from trimtab_server.domain.shadow.dump import pending_count_of
from trimtab_server.domain.shadow.fill_model import FillModel
from trimtab_server.loop.ingest import Ingest
from trimtab_server.loop.learning_cycle import (
    DAY_NS,
    HOUR_NS,
    CycleTerms,
    LearningCycle,
)
from trimtab_server.loop.ledger import LedgerLimits, LedgerStation
from trimtab_server.loop.ledger_lanes import BookMaker
from trimtab_server.loop.readers import Readers
from trimtab_server.loop.stations import StationRunner
from trimtab_server.loop.worker_process import Maker
from trimtab_server.loop.workers import WorkerLimits, Workers
from trimtab_server.reports import KeptReports
from trimtab_server.rpc.facts import facts_of
from trimtab_server.rpc.report_messages import (
    report_bytes,
    sweep_head_bytes,
    sweep_results_bytes,
)
from trimtab_server.rpc.report_service import ReportService, ReportTerms
from trimtab_server.rpc.shadow_events import shadow_append
from trimtab_server.settings import Settings
from trimtab_server.store.store import Store
from trimtab_server.telemetry import (
    METRIC_LEDGER_LAG,
    METRIC_WORKER_CALLERS,
    METRIC_WORKERS,
    Telemetry,
)

_PERIODS = {"off": 0, "hourly": HOUR_NS, "daily": DAY_NS}
# Of the shadow's settings: how much, and whose prices.
_NOT_OF_THE_MODEL = {"pending_max", "price_source"}
CODEC = Codec(report_bytes, sweep_head_bytes, sweep_results_bytes)
LEDGER_OFF = "the ledger is switched off here (setting `ledger`)"
# Of what a worker may take, what it may keep for the next question about the same scope.
_KEPT_SHARE = 0.25
# Of a lane, before what is held back leaves.
_QUIET_S_MIN = 1.0
# Threads of the ledger's station.
STATION_READERS = 1
# The station waits so long for more before it looks: a page costs about as much as an event.
_REST_S = 0.05
# While the writer has work, the station rests as long as it works.
_REST_SHARE = 1.0


@dataclass(frozen=True, slots=True)
class Clocks:
    """The wall clock in nanoseconds, and a monotonic one in seconds."""

    now_ns: Callable[[], int]
    monotonic: Callable[[], float]


class Learning:
    """Start it inside the event loop; stop it before the store closes. holder: who we are in a
    fleet. readers: for short questions; the station has a thread of its own."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        ingest: Ingest,
        readers: Readers,
        telemetry: Telemetry,
        clocks: Clocks,
        holder: str,
    ) -> None:
        self._store = store
        self._ingest = ingest
        self._station_readers = Readers(STATION_READERS, 4)
        self._runner: StationRunner | None = None
        self._station = _station(settings, store, telemetry, clocks.monotonic, self._at_rest)
        if settings.ledger:
            self._runner = StationRunner(
                self._station,
                store,
                ingest,
                self._station_readers,
                telemetry,
                holder,
                clocks.monotonic,
                rest_s=_REST_S,
                rest_share=_REST_SHARE,
            )
            words = "Events that the ledger has not looked at yet."
            telemetry.observe(METRIC_LEDGER_LAG, lambda: self.lag, words)
        self._workers = _workers(settings, store, telemetry)
        words = "Callers whose reports are made, or wait."
        telemetry.observe(METRIC_WORKER_CALLERS, lambda: self._workers.caller_count, words)
        words = "Worker processes that are there."
        telemetry.observe(METRIC_WORKERS, lambda: self._workers.process_count, words)
        kept = KeptReports(settings.database_url)
        terms = ReportTerms(
            log_id=store.log_id,
            last_sequence=lambda: ingest.last_sequence,
            wait_settled=self._wait_settled,
            now_ns=clocks.now_ns,
            slow_reader_s=settings.slow_reader_s,
        )
        self.service = ReportService(self._workers, readers, kept, terms)
        cycle = CycleTerms(
            last_sequence=lambda: ingest.last_sequence,
            wait_settled=self._wait_settled,
            find_report=kept.get,
            holder=holder,
            now_ns=clocks.now_ns,
            lateness_ns=_lateness_ns(settings),
        )
        period_ns = _PERIODS[settings.reports.learning_cycle]
        self._cycle = LearningCycle(store, self._workers, readers, cycle, telemetry, period_ns)

    def _at_rest(self, until_ns: int) -> bool:
        return self._runner is None or self._runner.at_rest(until_ns)

    @property
    def lag(self) -> int:
        """Events of the log that the ledger's station has not looked at."""
        return self._runner.lag if self._runner is not None else 0

    def start(self) -> None:
        """The station tails the log; reports are made on schedule."""
        if self._runner is not None:
            self._runner.start()
        self._cycle.start()

    async def stop(self) -> None:
        """Ends the cycle, the workers and the station, in this order."""
        await self._cycle.stop()
        await self._workers.stop()
        if self._runner is not None:
            await self._runner.stop()
        self._station_readers.close()

    async def _wait_settled(self, sequence: int) -> None:
        if self._runner is None:
            # The ledger is off: what it once took in is all there will be.
            return
        await self._station.wait_settled(sequence, self._store.ledger.settled_sequence)


def _lateness_ns(settings: Settings) -> int:
    return int(settings.lateness_s * 1e9)


def _station(
    settings: Settings,
    store: Store,
    telemetry: Telemetry,
    monotonic: Callable[[], float],
    at_rest: Callable[[int], bool],
) -> LedgerStation:
    shadow = settings.shadow
    model = FillModel(**shadow.model_dump(exclude=_NOT_OF_THE_MODEL))
    books = BookMaker(
        new=partial(ShadowBook, model, shadow.pending_max),
        load=partial(ShadowBook.load, model, shadow.pending_max),
        pending_count_of=pending_count_of,
    )
    limits = LedgerLimits(
        lateness_ns=_lateness_ns(settings),
        # As long on the wall clock: an outage that is shorter makes nothing late.
        quiet_s=max(_QUIET_S_MIN, settings.lateness_s),
        price_source=shadow.price_source,
    )
    return LedgerStation(
        store.ledger, facts_of, books, shadow_append, telemetry, monotonic, limits, at_rest
    )


def _workers(settings: Settings, store: Store, telemetry: Telemetry) -> Workers:
    told = settings.reports
    limits = WorkerLimits(
        workers_max=told.workers_max or max(1, (os.cpu_count() or 1) - 1),
        queue_max=told.queue_max,
        time_s_max=told.time_s_max,
        memory_bytes_max=told.memory_bytes_max,
        idle_s_max=told.idle_s_max,
    )
    return Workers(jobs_maker(settings), limits, telemetry)


def jobs_maker(settings: Settings) -> Maker:
    """Makes what answers jobs in a worker."""
    kept_bytes_max = int(settings.reports.memory_bytes_max * _KEPT_SHARE)
    rests = "" if settings.ledger else LEDGER_OFF
    # By name: what it loads is too heavy for the serving process.
    arguments = (settings.database_url, CODEC, kept_bytes_max, rests)
    return Maker("trimtab_server.report_jobs", "ReportJobs", arguments)
