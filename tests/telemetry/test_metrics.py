"""The numbers that the sidecar tells about itself, over OTLP and for Prometheus."""

import random
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from tests.conftest import Sidecar
from tests.faults.driver import CALL_S_MAX, open_channel
from tests.faults.events import event
from tests.faults.process import free_address, full_disk
from tests.faults.stalls import metric
from tests.faults.waiting import until
from tests.telemetry.receiver import Receiver
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

KIND = "metric_recorded"


def record_some(stub: EventServiceStub) -> None:
    """Three calls: three events stored, two of them again, one refused beside a stored one."""
    rng = random.Random(1)
    first = [event(rng, "alpha") for _ in range(3)]
    second = [event(rng, "alpha", valid=False), event(rng, "beta")]
    for events in (first, first[:2], second):
        stub.RecordEvents(pb.RecordEventsRequest(events=events), timeout=CALL_S_MAX)


def test_metrics_arrive_over_otlp_with_the_right_counts(
    sidecar: Callable[..., Sidecar], receiver: Receiver
) -> None:
    """Events by kind, source and status, what is buffered, commits and acknowledgements."""
    server = sidecar("--otlp-endpoint", receiver.endpoint)
    with open_channel(server.address) as channel:
        record_some(EventServiceStub(channel))
    assert server.terminate() == 0
    count = receiver.collected.count
    stored = {"kind": KIND, "status": "stored"}
    assert count("trimtab_events", source="alpha", **stored) == 3
    assert count("trimtab_events", source="beta", **stored) == 1
    assert count("trimtab_events", source="alpha", kind=KIND, status="duplicate") == 2
    assert count("trimtab_events", status="rejected") == 1
    assert count("trimtab_events") == 7
    assert count("trimtab_events_buffered") == count("trimtab_bytes_buffered") == 0
    assert count("trimtab_commit_duration") == count("trimtab_commit_events") == 3
    assert count("trimtab_ack_duration") == 3
    method = "/trimtab.v1.EventService/RecordEvents"
    assert count("trimtab_rpcs", method=method, code="OK") == 3
    assert count("trimtab_rpc_duration", method=method) == 3


def test_metrics_come_while_the_server_runs(
    sidecar: Callable[..., Sidecar], receiver: Receiver
) -> None:
    """They are pushed every --metrics-interval-s, not only at the end."""
    server = sidecar("--otlp-endpoint", receiver.endpoint, "--metrics-interval-s", "0.1")
    with open_channel(server.address) as channel:
        record_some(EventServiceStub(channel))
    until(
        lambda: (
            "trimtab_events" in receiver.collected.metrics
            and receiver.collected.count("trimtab_events") == 7
        ),
        "the counts at the collector",
    )


def test_prometheus_finds_the_same_numbers(sidecar: Callable[..., Sidecar]) -> None:
    """Counters end in _total and durations in _seconds, as Prometheus wants them."""
    metrics = free_address()
    server = sidecar("--prometheus-listen", metrics)
    with open_channel(server.address) as channel:
        record_some(EventServiceStub(channel))
        stored = {"kind": KIND, "status": "stored"}
        assert metric(metrics, "trimtab_events_total", source="alpha", **stored) == 3
        assert metric(metrics, "trimtab_events_total", status="duplicate") == 2
        assert metric(metrics, "trimtab_events_total", status="rejected") == 1
        assert metric(metrics, "trimtab_events_buffered") == 0
        assert metric(metrics, "trimtab_commit_duration_seconds_count") == 3
        assert metric(metrics, "trimtab_ack_duration_seconds_count") == 3
        assert metric(metrics, "trimtab_rpcs_total", code="OK") == 3
        assert metric(metrics, "trimtab_streams_open") == 0
        assert metric(metrics, "trimtab_watchers_open") == 0


def test_sources_beyond_a_hundred_share_one_series(sidecar: Callable[..., Sidecar]) -> None:
    """The callers' choice of names cannot make more time series than the server can carry."""
    metrics = free_address()
    server = sidecar("--prometheus-listen", metrics)
    rng = random.Random(2)
    events = [event(rng, f"source-{number}") for number in range(104)]
    with open_channel(server.address) as channel:
        stub = EventServiceStub(channel)
        for _ in range(2):
            stub.RecordEvents(pb.RecordEventsRequest(events=events), timeout=CALL_S_MAX)
    stored = {"status": "stored"}
    assert metric(metrics, "trimtab_events_total", source="source-99", **stored) == 1
    assert metric(metrics, "trimtab_events_total", source="source-100") == 0
    assert metric(metrics, "trimtab_events_total", source="other", **stored) == 4
    assert metric(metrics, "trimtab_events_total", **stored) == 104


def test_a_refused_commit_is_counted(sidecar: Callable[..., Sidecar]) -> None:
    """An operator sees how often the database refused, and why."""
    metrics = free_address()
    server = sidecar("--prometheus-listen", metrics)
    with open_channel(server.address) as channel, full_disk(server):
        stub = EventServiceStub(channel)
        made = event(random.Random(3), "alpha", padding=50_000)
        for _ in range(3):
            with pytest.raises(grpc.RpcError, match="refused"):
                stub.RecordEvent(pb.RecordEventRequest(event=made), timeout=CALL_S_MAX)
        failures = "trimtab_commit_failures_total"
        assert metric(metrics, failures, reason="STORE_UNAVAILABLE") == 3


def test_health_is_told_as_gauges(sidecar: Callable[..., Sidecar]) -> None:
    """Whether it is ready and what fails, the disk, the writer and the collection rate; a rate of
    nothing is not told."""
    metrics = free_address()
    server = sidecar("--prometheus-listen", metrics, "--disk-free-bytes-min", str(1 << 60))
    assert metric(metrics, "trimtab_ready") == 0
    assert metric(metrics, "trimtab_condition_ok", condition="disk") == 0
    assert metric(metrics, "trimtab_condition_ok", condition="database") == 1
    assert metric(metrics, "trimtab_condition_ok") == 3
    assert metric(metrics, "trimtab_disk_free_bytes") > 0
    assert metric(metrics, "trimtab_writer_oldest_age_seconds") >= 0
    assert not has_series(metrics, "trimtab_collection_share")
    with open_channel(server.address) as channel:
        record_some(EventServiceStub(channel))
    share = "trimtab_collection_share"
    until(lambda: has_series(metrics, share), "the collection rate")
    assert metric(metrics, share) == pytest.approx(4 / 5)


def has_series(address: str, name: str) -> bool:
    """Whether the Prometheus endpoint has values of a metric."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=CALL_S_MAX) as page:
        lines = page.read().decode().splitlines()
    return any(line.startswith((f"{name}{{", f"{name} ")) for line in lines)


@pytest.mark.parametrize("wrong", ["taken", "nonsense", "127.0.0.1:99999"])
def test_an_address_that_cannot_serve_metrics_is_named(disk_path: Path, wrong: str) -> None:
    """A start that cannot work says which setting is at fault, in a line and not in a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}" if wrong == "taken" else wrong
        command = [sys.executable, "-m", "trimtab_server", "serve", "--listen", "127.0.0.1:0"]
        command += ["--database", str(disk_path / "no.db"), "--prometheus-listen", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("trimtab: prometheus_listen: ")
    assert len(done.stderr.splitlines()) == 1
