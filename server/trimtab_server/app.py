"""Where the parts are built, joined, started and stopped in order; the only reader of the clock
and of chance. `serve` runs a sidecar until SIGTERM or SIGINT."""

import asyncio
import contextlib
import gc
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

from google.protobuf.duration_pb2 import Duration

from trimtab.v1 import event_service_pb2
from trimtab_server import __version__, maintenance
from trimtab_server.credentials import read_callers, tls_keys
from trimtab_server.domain.events import EventKind
from trimtab_server.domain.retention import kept_days
from trimtab_server.errors import ConfigurationError
from trimtab_server.exporters import Targets, set_up_logs, set_up_telemetry
from trimtab_server.gate_policy import gate_policy
from trimtab_server.gating import gate_service, signal_gate
from trimtab_server.host import notify, refuse_taken
from trimtab_server.learning import STATION_READERS, Clocks, Learning
from trimtab_server.loop.gauges import observe_log
from trimtab_server.loop.health import Health, HealthLimits
from trimtab_server.loop.ingest import Ingest, IngestLimits
from trimtab_server.loop.monitor import Monitor
from trimtab_server.loop.readers import Readers
from trimtab_server.loop.retention import Retention
from trimtab_server.loop.signal_gate import SignalGate
from trimtab_server.loop.stations import Station, StationRunner
from trimtab_server.reports import EventQueries
from trimtab_server.rpc.access import Access
from trimtab_server.rpc.admin_service import AdminService, ServerFacts
from trimtab_server.rpc.convert import EventReader, same_content
from trimtab_server.rpc.event_service import EventService, ServiceLimits
from trimtab_server.rpc.event_stream import StreamTerms
from trimtab_server.rpc.intake import BatchLimits, Intake
from trimtab_server.rpc.interceptors import Answers
from trimtab_server.rpc.samples import sample_of
from trimtab_server.rpc.server import SERVICES, GrpcServer
from trimtab_server.settings import Settings
from trimtab_server.store.backup import Copied
from trimtab_server.store.backup import back_up as copy_log
from trimtab_server.store.backup import renew as renew_log
from trimtab_server.store.backup import restore as restore_log
from trimtab_server.store.database import backend_of
from trimtab_server.store.gate import GateLimits
from trimtab_server.store.inspection import LogFacts
from trimtab_server.store.store import Store
from trimtab_server.telemetry import METRIC_STREAMS, METRIC_WATCHERS, Telemetry

# Of the grace period, for callers to finish; the rest is for the log, telemetry and the exit.
_CALLERS_SHARE = 0.8
# From then on a commit that a silent database holds up is cut.
_COMMITS_SHARE = 0.9
# Threads hand the interpreter over this often: the writer and the event loop both do short work,
# and the default of 5 ms is longer than a commit.
_SWITCH_INTERVAL_S = 0.0005
# Of the grace period, for the last flush of telemetry: a dead collector must not hold up the end.
_FLUSH_SHARE = 0.1
# Threads that read for the signal gate and its monitor.
_GATE_READERS = 2
# Objects until a collection: a batch is thousands of tuples, none of them in a cycle.
_GC_THRESHOLDS = (50_000, 20, 50)


def serve(
    settings: Settings, on_ready: Callable[[str], None], stations: Sequence[Station] = ()
) -> None:
    """Runs a sidecar until SIGTERM or SIGINT; calls `on_ready` with its address. Of the sidecars on
    one database, one at a time runs each of `stations`.

    Raises ConfigurationError when it cannot start.
    """
    _kept_days(settings)
    refuse_taken(settings.listen)
    set_up_logs(settings.log_level, settings.log_format)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    # What start-up made stays; what requests make dies young or is counted by the thousand.
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    asyncio.run(Sidecar(settings, stations).run(on_ready))


def back_up(settings: Settings, target: Path, *, force: bool) -> Copied:
    """A copy of the log at `target`. Raises ConfigurationError and Unavailable."""
    if backend_of(settings.database_url) != "sqlite":
        raise ConfigurationError(
            "a Postgres database is copied by its own tools: pg_basebackup with an archive of the"
            " write-ahead log, or pg_dump; the README tells how, and what follows a restore"
        )
    return copy_log(settings.database_url, target, force=force)


def restore(settings: Settings, backup: Path | None) -> tuple[LogFacts, Path | None]:
    """The log under its new log_id, put back from `backup` (None = by other means), and where the
    database that was there is kept. Raises ConfigurationError and Unavailable; nothing has changed
    then."""
    url = settings.database_url
    if backup is None:
        log = renew_log(url, settings.durability, uuid4, time.time_ns(), time.monotonic)
        return log, None
    if backend_of(url) != "sqlite":
        raise ConfigurationError(
            "a backup file goes into a SQLite database; put Postgres back with its own tools, then"
            " run trimtab restore without a file"
        )
    done = restore_log(backup, url, uuid4, time.time_ns())
    return done.log, done.kept_aside


def prune(settings: Settings, *, dry_run: bool) -> Iterator[maintenance.PrunedKind]:
    """What the setting `retention` prunes now, kind by kind; with `dry_run` what it would."""
    return maintenance.prune(
        settings.database_url,
        settings.durability,
        _kept_days(settings),
        time.time_ns(),
        time.monotonic,
        dry_run=dry_run,
    )


def rebuild_ledger(settings: Settings, *, force: bool) -> str:
    """Has the ledger derived from the log again; what of it was pruned, in words. Raises
    ConfigurationError (with `force` not for what was pruned) and Unavailable."""
    url, durability = settings.database_url, settings.durability
    return maintenance.rebuild_ledger(url, durability, time.monotonic, force=force)


def examination(settings: Settings, *, full: bool) -> Iterator[maintenance.Check]:
    """The checks of `trimtab doctor`, as each is done."""
    return maintenance.examination(
        settings.database_url,
        full=full,
        durability=settings.durability,
        disk_free_bytes_min=settings.disk_free_bytes_min,
        now_ns=time.time_ns(),
    )


def _kept_days(settings: Settings) -> dict[EventKind, float]:
    try:
        return kept_days(settings.retention)
    except ValueError as error:
        raise ConfigurationError(f"setting {error}") from error


class Sidecar:
    """All parts of one sidecar."""

    def __init__(self, settings: Settings, stations: Sequence[Station] = ()) -> None:
        self._settings = settings
        self._stations = stations
        self._policy = gate_policy(settings.gate)
        self._boot_id = str(uuid4())
        self._start_time_ns = time.time_ns()
        files = (settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file)
        self._tls = tls_keys(*files)
        callers = read_callers(settings.access_file, with_certificates=bool(files[2]))
        self._access = Access(callers) if callers else None

    async def run(self, on_ready: Callable[[str], None]) -> None:
        """Starts, serves until a signal comes, and stops in order: callers first, log last."""
        settings = self._settings
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        telemetry, close_telemetry = self._telemetry()
        with contextlib.ExitStack() as closing:
            closing.callback(close_telemetry)
            store = self._store()
            closing.callback(store.close)
            readers = Readers(settings.readers_max, settings.read_queue_max)
            closing.callback(readers.close)
            # Their own: neither word of a halt nor a breaker waits behind reports.
            gate_readers = Readers(_GATE_READERS, settings.read_queue_max)
            closing.callback(gate_readers.close)
            closing.callback(store.interrupt)
            ingest = self._ingest(store, telemetry)
            health = self._health(store, ingest, telemetry)
            clock = _clock_that_never_leaps(time.time_ns, _boot_time_ns)
            gate = signal_gate(self._policy, store, ingest, gate_readers, telemetry, clock)
            clocks = Clocks(time.time_ns, time.monotonic)
            whole = (store, ingest, readers, telemetry)
            learning = Learning(settings, *whole, clocks, self._boot_id)
            server = self._server(*whole, gate, health, learning)
            retention = self._retention(store, telemetry)
            stations = self._runners(gate, gate_readers, *whole)
            ingest.start()
            gate.start()
            store.follow(ingest.heard, gate.heard)
            try:
                await server.start()
                telemetry.log_info("serving", address=server.address, log_id=store.log_id)
                retention.start()
                learning.start()
                for station in stations:
                    station.start()
                on_ready(server.address)
                notify("READY=1")
                await stop.wait()
                notify("STOPPING=1")
                telemetry.log_info("stopping")
                # A database that fell silent must not hold up the end beyond the grace period.
                late = loop.call_later(settings.grace_s * _COMMITS_SHARE, store.give_up)
                closing.callback(late.cancel)
                await server.stop(settings.grace_s * _CALLERS_SHARE)
            finally:
                await learning.stop()
                for station in stations:
                    await station.stop()
                await asyncio.to_thread(retention.stop)
                await gate.stop()
                await ingest.stop()

    def _runners(
        self,
        gate: SignalGate,
        gate_readers: Readers,
        store: Store,
        ingest: Ingest,
        readers: Readers,
        telemetry: Telemetry,
    ) -> list[StationRunner]:
        monitor = Monitor(gate, store.gate, sample_of, telemetry)
        parts = (telemetry, self._boot_id, time.monotonic)
        stations = [StationRunner(monitor, store, ingest, gate_readers, *parts)]
        return stations + [
            StationRunner(each, store, ingest, readers, *parts) for each in self._stations
        ]

    def _telemetry(self) -> tuple[Telemetry, Callable[[], None]]:
        try:
            return set_up_telemetry(_targets(self._settings), __version__, self._boot_id)
        except (OSError, OverflowError, ValueError) as error:
            address = self._settings.prometheus_listen
            raise ConfigurationError(f"prometheus_listen: {address!r}: {error}") from error

    def _store(self) -> Store:
        settings = self._settings
        return Store(
            settings.database_url,
            durability=settings.durability,
            readers_max=settings.readers_max + _GATE_READERS + STATION_READERS,
            read_time_s_max=settings.read_time_s_max,
            rejected_events_max=settings.rejected_events_max,
            gate_limits=GateLimits(self._policy.rules_max, self._policy.runs_max),
            same_content=same_content,
            new_log_id=uuid4,
            now_ns=time.time_ns,
            monotonic=time.monotonic,
        )

    def _ingest(self, store: Store, telemetry: Telemetry) -> Ingest:
        settings = self._settings
        limits = IngestLimits(
            commit_events_max=settings.commit_events_max,
            commit_bytes_max=settings.commit_bytes_max,
            commit_age_s_max=settings.commit_age_ms_max / 1e3,
            queue_events_max=settings.queue_events_max,
            queue_bytes_max=settings.queue_bytes_max,
        )
        return Ingest(store, limits, telemetry, time.monotonic, time.time_ns)

    def _retention(self, store: Store, telemetry: Telemetry) -> Retention:
        days = _kept_days(self._settings)
        # Before anybody records, whose events would have the time of a clock that is wrong.
        newest_ns = store.newest_time_ns() if days else 0
        clocks = (time.time_ns, time.monotonic)
        return Retention(store, days, self._boot_id, telemetry, *clocks, newest_ns)

    def _health(self, store: Store, ingest: Ingest, telemetry: Telemetry) -> Health:
        limits = HealthLimits(self._settings.disk_free_bytes_min, self._settings.writer_stuck_s_max)
        health = Health(store, ingest, limits, telemetry, time.time_ns)
        observe_log(telemetry, health, ingest)
        return health

    def _server(
        self,
        store: Store,
        ingest: Ingest,
        readers: Readers,
        telemetry: Telemetry,
        gate: SignalGate,
        health: Health,
        learning: Learning,
    ) -> GrpcServer:
        settings, start_ns = self._settings, _boot_time_ns()
        queries = EventQueries(store)
        skew_ns = int(settings.future_skew_s_max * 1e9)
        intake = Intake(
            EventReader(settings.event_bytes_max, skew_ns, _clock_not_set_back()),
            BatchLimits(settings.batch_events_max, settings.batch_bytes_max),
            lambda: gate.asked_count,
            is_tracing=telemetry.is_tracing,
        )
        limits = self._limits(skew_ns)
        terms = StreamTerms(
            log_id=store.log_id,
            limits=limits,
            window_events=settings.window_events,
            window_bytes=settings.window_bytes,
            retry_after_s=1.0,
            new_event_id=_new_event_id,
            new_stream_key=partial(secrets.randbits, 63),
            now_ns=time.time_ns,
        )
        service_limits = ServiceLimits(
            settings.streams_max, settings.watchers_max, settings.slow_reader_s
        )
        events = EventService(ingest, intake, readers, queries, terms, service_limits)
        facts = ServerFacts(
            version=__version__,
            boot_id=self._boot_id,
            services=SERVICES,
            limits=limits,
            durability=settings.durability,
            store=store.backend,
            start_time_ns=self._start_time_ns,
        )
        telemetry.observe(METRIC_STREAMS, lambda: events.stream_count, "Recording streams open.")
        telemetry.observe(METRIC_WATCHERS, lambda: events.watcher_count, "Watchers open.")
        try:
            return GrpcServer(
                settings.listen,
                events,
                gate_service(
                    settings,
                    gate,
                    store,
                    telemetry,
                    self._boot_id,
                    uptime_ns=lambda: _boot_time_ns() - start_ns,
                    may_probe=self._access.may_probe if self._access else None,
                ),
                AdminService(facts, queries, readers, ingest, health, events, time.time_ns),
                health,
                [Answers(telemetry, time.monotonic, self._access.admit if self._access else None)],
                settings.batch_bytes_max,
                with_reflection=settings.has_reflection,
                reports=learning.service,
                tls=self._tls,
            )
        except RuntimeError as error:
            raise ConfigurationError(f"cannot listen on {settings.listen}: {error}") from error

    def _limits(self, skew_ns: int) -> event_service_pb2.Limits:
        skew = Duration()
        skew.FromNanoseconds(skew_ns)
        return event_service_pb2.Limits(
            event_bytes_max=self._settings.event_bytes_max,
            batch_events_max=self._settings.batch_events_max,
            batch_bytes_max=self._settings.batch_bytes_max,
            page_size_max=self._settings.page_size_max,
            future_skew_max=skew,
        )


def _targets(settings: Settings) -> Targets:
    return Targets(
        otlp_endpoint=settings.otlp_endpoint,
        prometheus_listen=settings.prometheus_listen,
        metrics_interval_s=settings.metrics_interval_s,
        flush_s_max=settings.grace_s * _FLUSH_SHARE,
    )


def _clock_not_set_back() -> Callable[[], int]:
    """The wall clock, or what it would show had nobody set it back since the start: when somebody
    does, the engines' present is no event from the future."""
    ahead_ns = time.time_ns() - time.monotonic_ns()
    return lambda: max(time.time_ns(), time.monotonic_ns() + ahead_ns)


def _clock_that_never_leaps(
    wall_ns: Callable[[], int], boot_ns: Callable[[], int]
) -> Callable[[], int]:
    """The wall clock, or what it would show had nobody set it forward since the start: a clock that
    leaps ends no halt."""
    ahead_ns = wall_ns() - boot_ns()
    return lambda: min(wall_ns(), boot_ns() + ahead_ns)


def _boot_time_ns() -> int:
    """Nanoseconds since the machine started; those of its sleep count, where it tells them."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _new_event_id() -> str:
    """A version 7 UUID (RFC 9562): milliseconds, then chance."""
    value = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    return str(UUID(int=value | 0b10 << 62 | secrets.randbits(62)))
