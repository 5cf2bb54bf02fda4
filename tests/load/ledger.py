"""The ledger: what it takes of ingestion, what a day's report costs in a long log, how a sweep
scales, and what a running sweep does to the signal gate."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tests.load.context import SEED, Bench
from tests.load.gate import SHOULD_ALLOW, _point, _question, _raw_call, _took_ms
from tests.load.raw_stream import open_channel
from tests.load.table import Report, Row
from tests.store.ledger_facts import START_NS, a_decision, a_shadow, a_signal
from trimtab_client import (
    Client,
    confidence_threshold,
    guard_limit,
    report_scope,
    scenario_axis,
)
from trimtab_server.domain.ledger.facts import VerdictFact
from trimtab_server.domain.reports.questions import (
    Asked,
    Question,
    ReportForm,
    ReportJob,
    ReportKind,
    ReportScope,
)
from trimtab_server.learning import CODEC
from trimtab_server.report_jobs import ReportJobs
from trimtab_server.store.store import Store

ON = {"TRIMTAB_LEDGER": "true"}
INGEST_TARGET = 0.7
DAY_TARGET = 1.5
SWEEP_TARGET = 0.65
P99_TARGET = 3.0
_DAY_NS = 86_400 * 10**9
# Signals are 12 % of the bench's mix.
_SHARE = 0.12
_DAY_SIGNALS = 1_000
_WRITTEN = 4_000
_SETTLE_S = 600.0


def measure_ledger_ingestion(bench: Bench, report: Report) -> None:
    """Ingestion of the mix with the ledger beside without it, and how long the ledger then takes to
    catch up."""
    count = bench.sizes.ingest_events
    pairs, behind = [], []
    for _ in range(bench.rounds):
        rates = []
        for environment in (ON, None):
            database = bench.new_database()
            sidecar = bench.start(database, environment)
            flags = ("--address", sidecar.address, "--rate", 0, "--events", count, "--seed", SEED)
            rates.append(bench.child("generate", *flags)["events_per_s"])
            if environment:
                behind.append(_caught_up_s(sidecar.address))
            bench.stop(sidecar)
            bench.drop(database)
        pairs.append((rates[0], rates[1]))
    name = "ledger: ingestion of the mix with ledger and shadow"
    report.rows.append(Row(name, "events/s", "without", pairs, INGEST_TARGET, at_least=True))
    report.notes.append(
        f"ledger: {count:,} events later it took {median(behind):.1f} s to catch up"
        f" ({count / (count / median([on for on, _ in pairs]) + median(behind)):,.0f} events/s"
        " in all)"
    )


def _caught_up_s(address: str) -> float:
    start_s = time.perf_counter()
    with Client(address) as client:
        last = client.get_server_info().last_sequence
        scope = report_scope(environment="LIVE")
        client.get_blocked_opportunity_cost(scope=scope, after_sequence=last, timeout_s=_SETTLE_S)
    return time.perf_counter() - start_s


def measure_day_report(bench: Bench, report: Report) -> None:
    """The learning report over one day in a short log and in a long one."""
    sizes = bench.sizes.day_report_events
    files = {size: _written(bench, int(size * _SHARE)) for size in sizes}
    took: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(bench.rounds):
        for size, (path, first_ns) in files.items():
            scope = ReportScope(2, start_time_ns=first_ns, end_time_ns=first_ns + _DAY_NS)
            question = Question(ReportKind.LEARNING, scope, ReportForm.NUMBERS)
            jobs = ReportJobs(f"sqlite:///{path}", CODEC, 0)
            start_s = time.perf_counter()
            made = jobs(ReportJob(question, Asked(1, 0)))
            took[size].append((time.perf_counter() - start_s) * 1e3)
            if made.signal_count != _DAY_SIGNALS:
                raise RuntimeError(f"a day holds {made.signal_count} signals")
    for path, _ in files.values():
        bench.drop(path)
    pairs = list(zip(took[sizes[1]], took[sizes[0]], strict=True))
    name = f"ledger: learning report of a day in a log of {sizes[1]:,} events"
    report.rows.append(Row(name, "ms", f"of {sizes[0]:,}", pairs, DAY_TARGET))


def _written(bench: Bench, count: int) -> tuple[Path, int]:
    """A database whose ledger holds so many signals, a thousand a day; where its middle day
    begins."""
    path = bench.new_database()
    store = Store(
        f"sqlite:///{path}", new_log_id=_no_id, now_ns=time.time_ns, monotonic=time.monotonic
    )
    rng = np.random.default_rng(SEED)
    step_ns = _DAY_NS // _DAY_SIGNALS
    first_ns = START_NS // _DAY_NS * _DAY_NS
    try:
        for start in range(0, count, _WRITTEN):
            facts: list[Any] = []
            for number in range(start, min(start + _WRITTEN, count)):
                at_ns = first_ns + number * step_ns
                facts += _signal(number, at_ns, float(rng.normal(0.001, 0.01)), rng.random(3))
            with store._database.writing() as writer:
                store.ledger.write(writer, facts)
    finally:
        store.close()
    return path, first_ns + count // _DAY_SIGNALS // 2 * _DAY_NS


def _no_id() -> Any:
    raise RuntimeError("the database has its id")


def _signal(number: int, at_ns: int, made: float, chance: Any) -> list[Any]:
    """A signal, its decision by two guards, and what it would have made."""
    confidence, volatility = float(chance[0]), float(chance[1]) * 0.06
    verdicts = (
        _verdict("volatility", volatility, 0.04, is_minimum=False),
        _verdict("confidence", confidence, 0.4, is_minimum=True),
    )
    is_blocked = any(each.result == 2 for each in verdicts)
    strategy = f"strategy-{int(chance[2] * 5)}"
    times = {"time_ns": at_ns}
    ended_ns = at_ns + 3_600 * 10**9
    return [
        a_signal(number, **times, strategy=strategy, confidence=confidence),
        a_decision(number, **times, action=2 if is_blocked else 1, verdicts=verdicts),
        a_shadow(
            number,
            time_ns=ended_ns,
            entry_time_ns=at_ns + 10**9,
            flags=0,
            gross=made + 0.003,
            return_fraction=made,
            optimistic=made,
            pessimistic=made,
        ),
    ]


def _verdict(guard: str, observed: float, limit: float, *, is_minimum: bool) -> VerdictFact:
    is_blocked = observed < limit if is_minimum else observed > limit
    result = 2 if is_blocked else 1
    return VerdictFact(guard, result, 1, 1, is_minimum, observed, limit, float("nan"))


def measure_sweep(bench: Bench, report: Report) -> None:
    """A sweep of many scenarios by two workers beside one, and the gate while it runs."""
    count = bench.sizes.sweep_scenarios
    path, _ = _written(bench, bench.sizes.sweep_signals)
    took: dict[int, list[float]] = {1: [], 2: []}
    gate: list[tuple[float, float]] = []
    for _ in range(bench.rounds):
        for workers, seconds in took.items():
            told = ON | {"TRIMTAB_REPORTS": json.dumps({"workers_max": workers})}
            sidecar = bench.start(path, told)
            # Starts the workers, and loads the ledger once.
            _swept_s(sidecar.address, 4)
            seconds.append(_swept_s(sidecar.address, count))
            if workers == 1:
                gate.append(_gate_beside(sidecar.address, bench.sizes.gate_calls))
            bench.stop(sidecar)
    pairs = list(zip(took[2], took[1], strict=True))
    report.rows += [
        Row(f"sweep: {count:,} scenarios, two workers", "s", "one", pairs, SWEEP_TARGET),
        Row("gate: 99th percentile under a running sweep", "ms", "idle", gate, P99_TARGET),
    ]
    bench.drop(path)


def _swept_s(address: str, count: int) -> float:
    limits = [
        guard_limit("volatility", 0.06 * (k + 1) / (count // 4 + 1)) for k in range(count // 4)
    ]
    thresholds = [confidence_threshold(0.2 * (k + 1)) for k in range(4)]
    start_s = time.perf_counter()
    with Client(address) as client:
        answers = client.run_what_if_sweep(
            scope=report_scope(environment="PAPER"),
            axes=[scenario_axis(*limits), scenario_axis(*thresholds)],
            timeout_s=_SETTLE_S,
        )
        done = sum(len(each.results) for each in answers)
    if done != count:
        raise RuntimeError(f"{done} of {count} scenarios came back")
    return time.perf_counter() - start_s


def _gate_beside(address: str, calls: int) -> tuple[float, float]:
    """The 99th percentile under a sweep, and idle."""
    with open_channel(address) as channel:
        ask = _raw_call(channel, SHOULD_ALLOW)
        _took_ms(ask, _question(), 50)
        idle_ms = _took_ms(ask, _question(), calls)
        with _sweeping(address) as is_running:
            busy_ms = _took_ms(ask, _question(), calls)
            if not is_running():
                raise RuntimeError("the sweep ended before the calls did")
    return _point(busy_ms, 99), _point(idle_ms, 99)


@contextmanager
def _sweeping(address: str) -> Iterator[Any]:
    """A sweep of 1,000 scenarios that is given up at the end."""
    limits = [guard_limit("volatility", 0.06 * (k + 1) / 251) for k in range(250)]
    thresholds = [confidence_threshold(0.2 * (k + 1)) for k in range(4)]
    began = threading.Event()
    client = Client(address)
    state = {"running": True}

    def follow() -> None:
        answers = client.run_what_if_sweep(
            scope=report_scope(environment="PAPER"),
            axes=[scenario_axis(*limits), scenario_axis(*thresholds)],
            timeout_s=_SETTLE_S,
        )
        try:
            for _ in answers:
                began.set()
        except Exception:  # noqa: BLE001 - it is given up
            began.set()
        state["running"] = False

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    began.wait(_SETTLE_S)
    try:
        yield lambda: state["running"]
    finally:
        client.close()
        thread.join(_SETTLE_S)
