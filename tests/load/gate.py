"""The signal gate: the local check, the call, the call beside ingestion, a thousand watchers.

`measure_gate_check` runs the engine's side in a fresh process (`python -m tests.load.gate_check`),
`measure_watchers` its clients (`python -m tests.load.gate_watchers`).
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import quantiles
from typing import Any

import grpc

from tests.conftest import ROOT
from tests.load.context import SEED, Bench
from tests.load.ingest import max_events_per_s
from tests.load.raw_stream import open_channel
from tests.load.reference import ECHO
from tests.load.table import Report, Row
from trimtab.v1 import event_pb2
from trimtab.v1 import signal_gate_service_pb2 as pb

SHOULD_ALLOW = "/trimtab.v1.SignalGateService/ShouldAllowSignals"
SOURCE = "alpha-1"
CHECK_US_MAX = 2.0
THRESHOLD = json.dumps({"parameters": [{"threshold": 0.5, "threshold_scale": "confidence"}]})
DOWN_US_MAX = 50.0
CALL_TARGET = 1.3
LOCAL_TARGET = 0.01
SHARE_OF_MAXIMUM = 0.2
P99_TARGET, P99_AT_MAXIMUM_TARGET = 3.0, 10.0
_CALL_S_MAX = 10.0
_WARM_UP_CALLS = 50
_SETTLING_S = 0.5


def measure_gate_check(bench: Bench, report: Report) -> None:
    """The local check with decisions recorded, beside its bound and beside the call: without a
    threshold, and with one that half of the signals do not reach. And a check while there is no
    sidecar."""
    told = _checked(bench, {})
    checks, calls, down = told["check_us"], told["call_us"], told["down_us"]
    below = _checked(bench, {"TRIMTAB_GATE": THRESHOLD})["check_us"]
    name = "gate: local check, decision recorded"
    report.rows += [
        Row(name, "us", "limit", _beside(checks, CHECK_US_MAX), 1.0),
        Row(f"{name}, half below a threshold", "us", "limit", _beside(below, CHECK_US_MAX), 1.0),
        Row(
            "gate: local check beside the call",
            "us",
            "ShouldAllowSignals",
            list(zip(checks, calls, strict=True)),
            LOCAL_TARGET,
        ),
        Row("gate: check without a sidecar", "us", "limit", _beside(down, DOWN_US_MAX), 1.0),
    ]
    report.notes.append(f"gate: {told['recorded']:,} decisions of {told['made']:,} were recorded")


def _checked(bench: Bench, environment: dict[str, str]) -> Any:
    sidecar = bench.start(bench.new_database(), environment)
    flags = ("--rounds", bench.rounds, "--checks", bench.sizes.gate_checks)
    told = bench.child("gate_check", "--address", sidecar.address, *flags)
    bench.stop(sidecar)
    return told


def _beside(values: list[float], limit: float) -> list[tuple[float, float]]:
    return [(value, limit) for value in values]


def measure_gate_call(bench: Bench, report: Report) -> None:
    """ShouldAllowSignals for one signal beside an empty echo of grpc.aio, taking turns."""
    count = bench.sizes.unary_calls
    pairs = []
    echo_address = bench.echo_server()
    with open_channel(bench.shared.address) as ours, open_channel(echo_address) as bare:
        ask, echo = _raw_call(ours, SHOULD_ALLOW), _raw_call(bare, ECHO)
        _took_ms(ask, _question(), _WARM_UP_CALLS)
        _took_ms(echo, b"", _WARM_UP_CALLS)
        for _ in range(bench.rounds):
            gate_ms, echo_ms = _in_turns((ask, _question()), (echo, b""), count)
            pairs.append((_point(gate_ms, 50), _point(echo_ms, 50)))
    name = "gate: ShouldAllowSignals, median"
    report.rows.append(Row(name, "ms", "empty echo", pairs, CALL_TARGET))


def measure_gate_beside_ingestion(bench: Bench, report: Report) -> None:
    """The call's 99th percentile while events are ingested, beside the same sidecar idle."""
    count = bench.sizes.gate_calls
    maximum = max_events_per_s(bench)
    # Events a second (0 = flat out), and how many: for longer than the calls take.
    rates = {
        "20 % of the maximum": (SHARE_OF_MAXIMUM * maximum, bench.sizes.gate_ingest_s),
        "the maximum": (0.0, 2 * bench.sizes.gate_ingest_s),
    }
    pairs: dict[str, list[tuple[float, float]]] = {words: [] for words in rates}
    for _ in range(bench.rounds):
        for words, (rate, lasts_s) in rates.items():
            events = int((rate or maximum) * lasts_s)
            database = bench.new_database()
            sidecar = bench.start(database)
            with open_channel(sidecar.address) as channel:
                ask = _raw_call(channel, SHOULD_ALLOW)
                _took_ms(ask, _question(), _WARM_UP_CALLS)
                idle_ms = _took_ms(ask, _question(), count)
                with _ingestion(sidecar.address, rate, events) as is_running:
                    busy_ms = _took_ms(ask, _question(), count)
                    if not is_running():
                        raise RuntimeError("ingestion ended before the calls did")
            sidecar.kill()
            bench.drop(database)
            pairs[words].append((_point(busy_ms, 99), _point(idle_ms, 99)))
    for words, target in zip(rates, (P99_TARGET, P99_AT_MAXIMUM_TARGET), strict=True):
        name = f"gate: ShouldAllowSignals, 99th percentile, ingestion at {words}"
        report.rows.append(Row(name, "ms", "idle", pairs[words], target))


def measure_watchers(bench: Bench, report: Report) -> None:
    """Connected WatchSignalGate clients: how long a halt takes to the last of them, beside the
    first, and what each costs the server."""
    count = bench.sizes.watchers
    spread, memory = [], []
    for _ in range(bench.rounds):
        sidecar = bench.start(bench.new_database())
        flags = ("--watchers", count, "--pid", sidecar.pid, "--seconds", bench.sizes.watch_s)
        told = bench.child("gate_watchers", "--address", sidecar.address, *flags)
        bench.stop(sidecar)
        spread.append((told["last_ms"], told["order_ms"]))
        memory.append((told["kb_each"], told["renewal_kb_each"]))
    report.rows += [
        Row(f"gate: a halt to the last of {count:,} watchers", "ms", "the order itself", spread),
        Row(f"gate: memory of each of {count:,} watchers", "kB", "after ten renewals", memory),
    ]


def _question() -> bytes:
    return pb.ShouldAllowSignalsRequest(
        source=SOURCE,
        environment=event_pb2.ENVIRONMENT_LIVE,
        strategy="meanrev",
        symbol="AAPL",
        signals=[
            pb.SignalQuery(
                signal_id="s1",
                side=event_pb2.SIDE_BUY,
                intent=event_pb2.INTENT_ENTRY,
                confidence=0.7,
            )
        ],
    ).SerializeToString()


def _raw_call(channel: grpc.Channel, method: str) -> Any:
    return channel.unary_unary(method, request_serializer=None, response_deserializer=None)


def _took_ms(call: Any, request: bytes, count: int) -> list[float]:
    took = []
    for _ in range(count):
        start_s = time.perf_counter()
        call(request, timeout=_CALL_S_MAX)
        took.append((time.perf_counter() - start_s) * 1e3)
    return took


def _in_turns(
    first: tuple[Any, bytes], second: tuple[Any, bytes], count: int
) -> tuple[list[float], list[float]]:
    """Both in short bursts, one after the other: what the machine does meanwhile hits both."""
    ours: list[float] = []
    reference: list[float] = []
    burst = max(1, count // 10)
    for _ in range(0, count, burst):
        ours += _took_ms(*first, burst)
        reference += _took_ms(*second, burst)
    return ours, reference


def _point(values: list[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]


@contextmanager
def _ingestion(address: str, rate: float, events: int) -> Iterator[Callable[[], bool]]:
    """A generator process of its own that sends for longer than anybody measures; whether it still
    runs."""
    command = [sys.executable, "-m", "tests.load.generate", "--address", address, "--tell-ready"]
    command += ["--rate", str(rate), "--seed", str(SEED), "--events", str(events)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError("the generator did not start")
        time.sleep(_SETTLING_S)
        yield lambda: process.poll() is None
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
