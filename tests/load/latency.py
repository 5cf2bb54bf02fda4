"""Acknowledgement latency of an open loop, and the latency of one unary call."""

import time
from statistics import median
from typing import Any

import grpc

from tests.load import messages
from tests.load.context import SEED, Bench
from tests.load.ingest import max_events_per_s
from tests.load.raw_stream import RECORD_EVENT, open_channel
from tests.load.reference import ECHO
from tests.load.table import Report, Row
from trimtab.v1 import event_pb2
from trimtab.v1 import event_service_pb2 as pb

UNARY_TARGET = 1.5
_COMMITS = 300
_CALL_S_MAX = 10.0


def measure_latency(bench: Bench, report: Report) -> None:
    """Median and 99th percentile from the time an event is due to its acknowledgement."""
    half = max_events_per_s(bench) / 2
    rates = {f"{rate:,.0f}": rate for rate in bench.sizes.latency_rates}
    rates |= {f"half of the maximum, {half:,.0f}": half}
    pairs: dict[str, list[tuple[float, float]]] = {}
    for _ in range(bench.rounds):
        for words, rate in rates.items():
            flags = ("--rate", rate, "--seconds", bench.sizes.latency_s, "--seed", SEED)
            told = bench.child("generate", "--address", bench.shared.address, *flags)
            commit_ms = bench.bare_commit_s(min(_COMMITS, bench.sizes.unary_calls)) * 1e3
            for point, key in (("median", "latency_ms_p50"), ("99th percentile", "latency_ms_p99")):
                name = f"ack latency at {words} events/s, {point}"
                pairs.setdefault(name, []).append((told[key], commit_ms))
    report.rows += [Row(name, "ms", "bare commit", found) for name, found in pairs.items()]


def measure_unary(bench: Bench, report: Report) -> None:
    """RecordEvent, one after the other, beside an empty echo and a bare commit."""
    count = bench.sizes.unary_calls
    pairs = []
    echo_address = bench.echo_server()
    with open_channel(bench.shared.address) as ours, open_channel(echo_address) as bare:
        record, echo = _raw_call(ours, RECORD_EVENT), _raw_call(bare, ECHO)
        for _ in range(bench.rounds):
            requests = _requests(count)
            record_ms = _median_ms(record, requests)
            echo_ms = _median_ms(echo, [b""] * count)
            commit_ms = bench.bare_commit_s(count) * 1e3
            pairs.append((record_ms, echo_ms + commit_ms))
            bench.say(f"unary: {record_ms:.3f} beside {echo_ms:.3f} + {commit_ms:.3f} ms")
    name = "unary: RecordEvent, one after the other"
    report.rows.append(Row(name, "ms", "echo + bare commit", pairs, UNARY_TARGET))


def _raw_call(channel: grpc.Channel, method: str) -> Any:
    return channel.unary_unary(method, request_serializer=None, response_deserializer=None)


def _requests(count: int) -> list[bytes]:
    found = messages.bodies(count, SEED, time.time_ns())
    return [
        pb.RecordEventRequest(event=event_pb2.Event.FromString(body)).SerializeToString()
        for body in found
    ]


def _median_ms(call: Any, requests: list[bytes]) -> float:
    took_s = []
    for request in requests:
        start_s = time.perf_counter()
        call(request, timeout=_CALL_S_MAX)
        took_s.append(time.perf_counter() - start_s)
    return median(took_s) * 1e3
