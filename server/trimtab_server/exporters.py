"""Sets up where telemetry goes: OpenTelemetry's SDK, the Prometheus endpoint, log lines."""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import structlog
from opentelemetry import trace

from trimtab_server.telemetry import SERVICE, Telemetry

_STANDARD_ERROR = 2
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


@dataclass(frozen=True, slots=True)
class Targets:
    """Where telemetry goes; empty = nowhere."""

    otlp_endpoint: str
    prometheus_listen: str
    metrics_interval_s: float
    flush_s_max: float


def set_up_logs(log_level: str, log_format: str) -> None:
    """Log lines go to standard error: JSON, or for people on a terminal."""
    for_people = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    level = _LEVELS[log_level]
    stamps: list[Any] = [
        _with_trace_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers: list[Any] = (
        # Plain: its own choice of a traceback shows local variables, tokens and events among them.
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if for_people
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*stamps, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(),
        cache_logger_on_first_use=False,
    )
    # What libraries log takes the same form.
    lines = _LibraryLines()
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *stamps],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(level=level, handlers=[lines])
    # Alembic tells every start; a migration is told by the server itself.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # grpc tells, with a traceback, of each caller that left before it took its status.
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_no_lost_status)


class _Lines:
    """Standard error, a line a write. A line that cannot be written is lost: a full disk or a
    reader that is gone must not end the server."""

    def msg(self, line: str) -> None:
        """Writes one line."""
        with contextlib.suppress(OSError):
            os.write(_STANDARD_ERROR, f"{line}\n".encode())

    debug = info = warning = error = msg


class _LibraryLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _Lines().msg(self.format(record))


def _is_no_lost_status(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("ExecuteBatchError raised in core")


def set_up_telemetry(
    targets: Targets, version: str, boot_id: str
) -> tuple[Telemetry, Callable[[], None]]:
    """The telemetry that the targets ask for, and what flushes and closes it within
    `flush_s_max` seconds.

    The SDK is imported only when something is on: off, it costs neither time nor memory.
    """
    if not targets.otlp_endpoint and not targets.prometheus_listen:
        return Telemetry(), lambda: None
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource

    resource = Resource.create(
        {"service.name": SERVICE, "service.version": version, "service.instance.id": boot_id}
    )
    closers: list[Callable[[], object]] = []
    tracer = None
    if targets.otlp_endpoint:
        tracer, close_tracer = _tracer(targets, resource)
        closers.append(close_tracer)
    meters = MeterProvider(
        metric_readers=_metric_readers(targets, closers),
        resource=resource,
        shutdown_on_exit=False,
    )
    closers.append(meters.shutdown)

    def close() -> None:
        # The exporters retry for ten seconds and more, whatever they are told.
        threads = [threading.Thread(target=closer, daemon=True) for closer in closers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(targets.flush_s_max / len(threads))

    return Telemetry(tracer, meters.get_meter(SERVICE)), close


def _tracer(targets: Targets, resource: Any) -> tuple[trace.Tracer, Callable[[], object]]:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

    # The engine decides which of its events are traced; only those make spans here.
    sampler = ParentBased(ALWAYS_ON)
    provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
    insecure = not targets.otlp_endpoint.startswith("https://")
    exporter = OTLPSpanExporter(endpoint=targets.otlp_endpoint, insecure=insecure)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider.get_tracer(SERVICE), provider.shutdown


def _metric_readers(targets: Targets, closers: list[Callable[[], object]]) -> list[Any]:
    readers: list[Any] = []
    if targets.otlp_endpoint:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        insecure = not targets.otlp_endpoint.startswith("https://")
        readers.append(
            PeriodicExportingMetricReader(
                OTLPMetricExporter(endpoint=targets.otlp_endpoint, insecure=insecure),
                export_interval_millis=targets.metrics_interval_s * 1_000,
            )
        )
    if targets.prometheus_listen:
        import prometheus_client
        from opentelemetry.exporter.prometheus import PrometheusMetricReader

        readers.append(PrometheusMetricReader())
        host, _, port = targets.prometheus_listen.rpartition(":")
        server, _thread = prometheus_client.start_http_server(int(port), addr=host)
        closers.append(server.shutdown)
    return readers


def _with_trace_ids(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> Any:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        line["trace_id"] = f"{context.trace_id:032x}"
        line["span_id"] = f"{context.span_id:016x}"
    return line
