"""Telemetry that is off costs nothing; a collector that is down costs nothing else."""

import json
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import Sidecar
from tests.faults.driver import CALL_S_MAX, open_channel
from tests.faults.events import event
from tests.faults.process import free_address, resident_bytes
from tests.faults.readers import listed_log
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub
from trimtab_server.telemetry import Telemetry

IDLE_BYTES_MAX = 120 << 20
GRACE_S = 6.0
# Serves until it is ready, tells which modules that took, and stops.
SERVE_AND_TELL = """
import json, os, signal, sys
from trimtab_server.app import serve
from trimtab_server.settings import Settings

def ready(address):
    print(json.dumps(sorted(sys.modules)))
    os.kill(os.getpid(), signal.SIGTERM)

flags = json.loads(sys.argv[1])
serve(Settings(listen="127.0.0.1:0", grace_s=2, **flags), ready)
"""


def modules_of_a_server(**flags: str) -> set[str]:
    """What a serving process has imported."""
    command = [sys.executable, "-c", SERVE_AND_TELL, json.dumps(flags)]
    served = subprocess.run(command, capture_output=True, text=True, check=False)
    assert served.returncode == 0, served.stderr
    return set(json.loads(served.stdout))


def telemetry_modules(modules: set[str]) -> set[str]:
    """Those of the OpenTelemetry SDK, its exporters and the Prometheus client."""
    heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "prometheus_client")
    return {module for module in modules if module.startswith(heavy)}


def test_off_the_sdk_is_not_even_imported(disk_path: Path) -> None:
    """Without an endpoint the server runs on OpenTelemetry's API alone, and says so."""
    database = str(disk_path / "off.db")
    assert telemetry_modules(modules_of_a_server(database=database)) == set()
    assert not Telemetry().is_on
    assert not Telemetry().is_tracing


def test_on_the_sdk_is_imported(disk_path: Path) -> None:
    """The test above looks in the right place: with an endpoint the modules are there."""
    database = str(disk_path / "on.db")
    found = modules_of_a_server(database=database, prometheus_listen=free_address())
    assert {"opentelemetry.sdk.metrics", "prometheus_client"} <= telemetry_modules(found)


def test_an_idle_sidecar_stays_below_120_mb(sidecar: Callable[..., Sidecar]) -> None:
    """Resident memory of a server that has just started, with the defaults."""
    resident = resident_bytes(sidecar().pid)
    print(f"{resident / (1 << 20):.1f} MiB resident when idle")
    assert resident < IDLE_BYTES_MAX


@pytest.mark.parametrize("collector", ["refuses", "never answers"])
def test_a_collector_that_is_down_disturbs_nobody(
    sidecar: Callable[..., Sidecar], collector: str
) -> None:
    """Recording goes on, nothing that was recorded is missing, and the exit is in time."""
    with ExitStack() as closing:
        address = free_address()
        if collector == "never answers":
            deaf = closing.enter_context(socket.create_server(("127.0.0.1", 0)))
            address = f"127.0.0.1:{deaf.getsockname()[1]}"
        endpoint = ("--otlp-endpoint", f"http://{address}", "--metrics-interval-s", "0.2")
        server = sidecar("--grace-s", str(GRACE_S), *endpoint)
        channel = closing.enter_context(open_channel(server.address))
        stub = EventServiceStub(channel)
        rng = random.Random(1)
        for number in range(1, 601):  # more than one export's worth of spans
            made = event(rng, "alpha")
            made.traceparent = f"00-{number:032x}-{number:016x}-01"
            stub.RecordEvent(pb.RecordEventRequest(event=made), timeout=CALL_S_MAX)
        assert len(listed_log(server.address)) == 600
        assert server.terminate(within_s=GRACE_S) == 0
    assert "Traceback" not in server.log
