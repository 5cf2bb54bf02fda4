"""A collector inside the test: takes spans and metrics over OTLP/gRPC and keeps them."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Labels = tuple[tuple[str, str], ...]


@dataclass
class Collected:
    """Everything that arrived: spans in order of arrival, each metric as it was last told."""

    spans: list[Span] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    services: set[str] = field(default_factory=set)

    def named(self, name: str, trace_id: bytes | None = None) -> list[Span]:
        """The spans of this name, of one trace or of all."""
        return [
            span for span in self.spans if span.name == name and trace_id in (None, span.trace_id)
        ]

    def one(self, name: str, trace_id: bytes | None = None) -> Span:
        """The only span of this name."""
        (span,) = self.named(name, trace_id)
        return span

    def count(self, metric: str, **labels: str) -> float:
        """A counter's or gauge's sum, or how often a histogram was recorded, over all points that
        have these labels."""
        told = self.metrics[metric]
        total = 0.0
        for points in (told.sum.data_points, told.gauge.data_points):
            total += sum(
                point.as_int or point.as_double
                for point in points
                if labels.items() <= words(point.attributes).items()
            )
        for point in told.histogram.data_points:
            if labels.items() <= words(point.attributes).items():
                total += point.count
        return total


def words(attributes: Iterable[KeyValue]) -> dict[str, str]:
    """Attributes whose values are strings."""
    return {pair.key: pair.value.string_value for pair in attributes}


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, collected: Collected) -> None:
        self._collected = collected

    def Export(self, request: Any, _: Any) -> Any:  # noqa: N802  (OTLP's name)
        """Keeps the spans."""
        for group in request.resource_spans:
            self._collected.services.add(words(group.resource.attributes)["service.name"])
            for scope in group.scope_spans:
                self._collected.spans += scope.spans
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, collected: Collected) -> None:
        self._collected = collected

    def Export(self, request: Any, _: Any) -> Any:  # noqa: N802  (OTLP's name)
        """Keeps the newest state of each metric."""
        for group in request.resource_metrics:
            for scope in group.scope_metrics:
                for metric in scope.metrics:
                    self._collected.metrics[metric.name] = metric
        return metrics_service_pb2.ExportMetricsServiceResponse()


class Receiver:
    """The collector's server; a context manager."""

    def __init__(self) -> None:
        self.collected = Collected()
        self._server = grpc.server(ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(  # type: ignore[no-untyped-call]
            _Traces(self.collected), self._server
        )
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(  # type: ignore[no-untyped-call]
            _Metrics(self.collected), self._server
        )
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"http://127.0.0.1:{port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop(grace=None).wait()
