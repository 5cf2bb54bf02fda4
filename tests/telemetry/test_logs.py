"""Log lines are JSON, one object a line, and name the trace that they belong to."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Sidecar
from tests.faults.driver import CALL_S_MAX, open_channel
from tests.faults.events import event
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

SET_UP = """
import logging
from opentelemetry import trace
from trimtab_server.exporters import set_up_logs
from trimtab_server.telemetry import Telemetry, span_context
set_up_logs("info", "json")
telemetry = Telemetry()
"""
INSIDE = """
context = span_context("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
with trace.use_span(trace.NonRecordingSpan(context)):
    {line}
"""


def lines_of(script: str) -> list[dict[str, Any]]:
    """The log lines of a script that runs in a process of its own, each parsed."""
    command = [sys.executable, "-c", SET_UP + script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    "line",
    ['telemetry.log_info("hello", count=3)', 'logging.getLogger("library").warning("hello")'],
)
def test_a_line_inside_a_span_names_its_trace(line: str) -> None:
    """Whether the server or a library writes it."""
    (told,) = lines_of(INSIDE.format(line=line))
    assert told["event"] == "hello"
    assert told["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert told["span_id"] == "b7ad6b7169203331"
    assert {"level", "timestamp"} <= set(told)


def test_a_line_outside_of_a_span_names_none() -> None:
    """An id of zeros would be worse than none."""
    (told,) = lines_of('telemetry.log_info("hello")\n')
    assert "trace_id" not in told
    assert told["level"] == "info"


def test_a_defect_keeps_its_traceback_in_one_line() -> None:
    """What nobody foresaw can be found, and parsed."""
    script = 'try: 1 / 0\nexcept ZeroDivisionError as error: telemetry.log_defect("odd", error)\n'
    (told,) = lines_of(script)
    assert "ZeroDivisionError" in told["exception"]
    assert told["level"] == "error"


def test_a_defect_of_a_call_names_the_caller_s_trace() -> None:
    """The trace that came with the call's metadata leads from the engine to the traceback."""
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    (told,) = lines_of(f'telemetry.log_defect("odd", ValueError(), "{traceparent}")\n')
    assert told["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    (untold,) = lines_of('telemetry.log_defect("odd", ValueError(), "nonsense")\n')
    assert "trace_id" not in untold


def test_every_line_of_a_server_s_life_is_json(sidecar: Callable[..., Sidecar]) -> None:
    """From the start to the stop, with a collector that is down."""
    server = sidecar("--otlp-endpoint", "http://127.0.0.1:9", "--metrics-interval-s", "0.1")
    assert server.terminate() == 0
    told = [json.loads(line)["event"] for line in server.log.splitlines()]
    assert {"serving", "stopping"} <= set(told)


def test_a_log_that_cannot_be_written_stops_nothing(sidecar: Callable[..., Sidecar]) -> None:
    """With a full disk behind standard error the sidecar starts, records and ends in order."""
    server = sidecar(wrapper=("sh", "-c", 'exec "$@" 2>/dev/full', "sh"))
    made = event(random.Random(1), "alpha")
    with open_channel(server.address) as channel:
        stub = EventServiceStub(channel)
        stub.RecordEvent(pb.RecordEventRequest(event=made), timeout=CALL_S_MAX)
    assert server.terminate() == 0
