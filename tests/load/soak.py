"""make load: a real sidecar under a steady load for long enough that what grows is seen to grow.

python -m tests.load.soak [--rate 20000] [--seconds 1200] [--database URL] [--markdown FILE]

Mix events over one stream, in batches as the Recorder makes them; a table of twenty windows, and a
verdict: memory, latency and file handles stay flat, the rate is reached, and the log holds what was
sent and acknowledged. The exit code is 1 when one of them does not hold.

Latency runs from the time that a batch's first event was due to its acknowledgement. A sidecar that
falls behind by a second is let off what is due by then: the rate tells by how much it falls short,
and latency stays that of a call. At 20,000 events/s twenty minutes need about 20 GB of disk.
"""

import argparse
import json
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

import numpy as np

from tests.conftest import Sidecar, disk_base, filesystem_of
from tests.load import messages, mix
from tests.load.context import resident_mb
from tests.load.machine import machine_facts
from tests.load.messages import Batch
from tests.load.raw_stream import RawStream, Settled, open_channel
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub
from trimtab_client.settings import RecorderSettings
from trimtab_client.wire import batch_message

WINDOWS = 20
# The first quarter warms up: caches fill, the interpreter's heap finds its size.
WARM_UP_WINDOWS = WINDOWS // 4
# How much may grow from the second quarter to the last, and how much of the rate may be missing.
MEMORY_GROWTH_MAX = 0.10
LATENCY_GROWTH_MAX = 1.5
HANDLES_MORE_MAX = 4
RATE_SHARE_MIN = 0.99
_POOL_EVENTS = 10_000
_BEHIND_S_MAX = 1.0
_SAMPLES = 200
_KNOWN_EVERY = 10_000
_CALL_S_MAX = 60.0
NO_ANSWER = (np.inf, np.inf, np.inf)
HEAD = ("from, s", "events/s", "ack p50, ms", "p99, ms", "max, ms", "resident, MB", "file handles")


class Sample(NamedTuple):
    """What the kernel knew of the sidecar at a moment."""

    at_s: float
    resident_mb: float
    handle_count: int


class Window(NamedTuple):
    """A twentieth of the run."""

    start_s: float
    events_per_s: float
    latency_ms_p50: float
    latency_ms_p99: float
    latency_ms_max: float
    resident_mb: float
    handle_count: int


class Verdict(NamedTuple):
    """One thing that must hold, whether it does, and the figures."""

    name: str
    holds: bool
    words: str


@dataclass
class Run:
    """What was sent and measured. Times are seconds of `time.perf_counter`."""

    rate: float
    seconds: float
    start_s: float = 0.0
    # By batch: when its first event was due, and its last number.
    due: list[tuple[float, int]] = field(default_factory=list)
    # Some event ids, by their number.
    known: dict[int, str] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    settled: Settled = field(default_factory=Settled)


def events(rate: float, seed: int) -> Iterator[tuple[str, bytes]]:
    """Endless mix events of now, as ids and bytes. After the first ten thousand only ids and times
    are new, which makes them several times as fast."""
    now_ns, step_ns = time.time_ns(), int(1e9 / rate)
    pool = list(islice(messages.events(seed, now_ns, step_ns), _POOL_EVENTS))
    for number, (event_id, _, _) in enumerate(messages.ids(seed, now_ns, step_ns)):
        event = pool[number % len(pool)]
        event.event_id = event_id
        event.event_time.FromNanoseconds(time.time_ns())
        yield event_id, event.SerializeToString(deterministic=True)


def batches(run: Run, made: Iterator[tuple[str, bytes]]) -> Iterator[Batch]:
    """Batches of what is due, until the time is over; they are noted in `run`."""
    settings = RecorderSettings()
    run.start_s = time.perf_counter()
    zero_s, sent, first_due_s = run.start_s, 0, run.start_s
    while first_due_s < run.start_s + run.seconds:
        wait_s = first_due_s + settings.linger_s - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        behind_s = time.perf_counter() - first_due_s
        if behind_s > _BEHIND_S_MAX:
            zero_s += behind_s - _BEHIND_S_MAX
            first_due_s = zero_s + sent / run.rate
        due_count = int((time.perf_counter() - zero_s) * run.rate) + 1 - sent
        part = list(islice(made, max(1, min(due_count, settings.batch_events_max))))
        for number, (event_id, _) in enumerate(part, sent + 1):
            if number % _KNOWN_EVERY == 1:
                run.known[number] = event_id
        bodies = [body for _, body in part]
        message = batch_message(sent + 1, bodies)
        sent += len(part)
        run.due.append((first_due_s, sent))
        first_due_s = zero_s + sent / run.rate
        yield Batch(message, sent, len(part), sum(map(len, bodies)))


def drive(server: Sidecar, run: Run, seed: int) -> None:
    """Sends the load and samples the sidecar meanwhile. Raises RuntimeError when an event was
    refused, and what the stream raises."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(run.seconds / _SAMPLES):
            handles = sum(1 for _ in Path(f"/proc/{server.pid}/fd").iterdir())
            run.samples.append(Sample(time.perf_counter(), resident_mb(server.pid), handles))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        with open_channel(server.address) as channel:
            run.settled = RawStream(channel, mix.SOURCE).run(batches(run, events(run.rate, seed)))
        run.settled.check()
    finally:
        over.set()
        watching.join(_CALL_S_MAX)


def windows(run: Run) -> list[Window]:
    """The run in twenty parts of the same length, by the time of the acknowledgements."""
    acked = np.array(run.settled.acks)
    due = np.array(run.due)
    # The first acknowledgement that covers a batch's last number.
    acked_s = acked[np.searchsorted(acked[:, 1], due[:, 1]), 0]
    latency_ms = (acked_s - due[:, 0]) * 1e3
    counts = np.diff(due[:, 1], prepend=0)
    length_s = run.seconds / WINDOWS
    found = []
    for number in range(WINDOWS):
        start_s = run.start_s + number * length_s
        here = (acked_s >= start_s) & (acked_s < start_s + length_s)
        samples = [each for each in run.samples if start_s <= each.at_s < start_s + length_s]
        # Where nothing was acknowledged the latency has no bound.
        p50, p99, most = np.percentile(latency_ms[here], (50, 99, 100)) if here.any() else NO_ANSWER
        found.append(
            Window(
                number * length_s,
                float(counts[here].sum() / length_s),
                float(p50),
                float(p99),
                float(most),
                median(each.resident_mb for each in samples) if samples else np.nan,
                max((each.handle_count for each in samples), default=0),
            )
        )
    return found


def verdicts(found: Sequence[Window], rate: float) -> list[Verdict]:
    """What the windows say: the second quarter beside the last."""
    quarter = len(found) // 4
    early, late = found[WARM_UP_WINDOWS : WARM_UP_WINDOWS + quarter], found[-quarter:]
    rate_share = fmean(each.events_per_s for each in found[WARM_UP_WINDOWS:]) / rate
    missing = f"falls short by {1 - rate_share:.1%}" if rate_share < RATE_SHARE_MIN else "reached"
    told = [
        Verdict("rate", rate_share >= RATE_SHARE_MIN, f"{rate:,.0f} events/s: {missing}"),
        _flat_memory(found),
    ]
    for name in ("latency_ms_p50", "latency_ms_p99"):
        before, after = (median(getattr(each, name) for each in part) for part in (early, late))
        words = f"{before:.1f} ms, then {after:.1f} ms (x {after / before:.2f})"
        told.append(Verdict(name, bool(after <= before * LATENCY_GROWTH_MAX), words))
    handles = [max(each.handle_count for each in part) for part in (early, late)]
    is_flat = handles[1] <= handles[0] + HANDLES_MORE_MAX
    told.append(Verdict("file handles", is_flat, f"{handles[0]}, then {handles[1]}"))
    return told


def _flat_memory(found: Sequence[Window]) -> Verdict:
    """The slope of resident memory after the warm-up, by least squares."""
    after = found[WARM_UP_WINDOWS:]
    times = np.array([each.start_s for each in after])
    sizes = np.array([each.resident_mb for each in after])
    slope = float(np.polyfit(times, sizes, 1)[0])
    growth_mb = slope * (times[-1] - times[0])
    # Not a number, where a window has no sample, is no growth within bounds.
    is_flat = bool(growth_mb <= MEMORY_GROWTH_MAX * sizes[0])
    words = (
        f"{growth_mb:+.1f} MB after the warm-up, from {sizes[0]:.0f} MB ({slope * 3600:+.0f} MB/h)"
    )
    return Verdict("memory", is_flat, words)


def log_verdict(server: Sidecar, run: Run) -> Verdict:
    """Whether the log holds what was sent: as the sidecar tells it, at some numbers, and in the
    file once it has ended. Ends the sidecar."""
    wanted = run.settled.event_count
    with open_channel(server.address) as channel:
        stub = EventServiceStub(channel)
        stats = stub.GetStats(pb.GetStatsRequest(), timeout=_CALL_S_MAX)
        # One producer on an empty log: its numbers are the sequence.
        misplaced = [
            number for number, event_id in run.known.items() if _sequence(stub, event_id) != number
        ]
    code = server.terminate()
    counts = {
        "acknowledged": run.settled.acks[-1][1],
        "counted": stats.event_count,
        "last sequence": stats.last_sequence,
        **rows(server.database),
    }
    words = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    words += f"; {len(run.known)} looked up, {len(misplaced)} misplaced; exit code {code}"
    holds = set(counts.values()) == {wanted} and not misplaced and code == 0
    return Verdict("log", holds, f"sent {wanted:,}: {words}")


def _sequence(stub: EventServiceStub, event_id: str) -> int:
    request = pb.GetEventRequest(event_id=event_id)
    return stub.GetEvent(request, timeout=_CALL_S_MAX).event.sequence


def rows(database: Path | str) -> dict[str, int]:
    """How many events the database holds and how many numbers they span, past the sidecar."""
    statement = "SELECT count(*), coalesce(max(sequence) - min(sequence) + 1, 0) FROM events"
    if isinstance(database, Path):
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as file:
            count, span = file.execute(statement).fetchone()
    else:
        import psycopg

        with psycopg.connect(database) as connection:
            count, span = connection.execute(statement).fetchall()[0]
    return {"rows": count, "span": span}


def markdown(found: Sequence[Window], told: Sequence[Verdict], notes: Sequence[str]) -> str:
    """Windows and verdicts as Markdown."""
    lines = [HEAD, ("---:",) * len(HEAD)]
    lines += [
        (
            *(f"{each.start_s:,.0f}", f"{each.events_per_s:,.0f}", f"{each.latency_ms_p50:.1f}"),
            *(f"{each.latency_ms_p99:.1f}", f"{each.latency_ms_max:.0f}"),
            *(f"{each.resident_mb:.0f}", str(each.handle_count)),
        )
        for each in found
    ]
    table = [f"| {' | '.join(line)} |" for line in lines]
    judged = [f"- {each.name}: {'ok' if each.holds else 'FAILED'}: {each.words}" for each in told]
    return "\n".join([*table, "", *judged, *(f"- {note}" for note in notes), ""])


def soak(server: Sidecar, rate: float, seconds: float, seed: int) -> tuple[Run, list[Verdict]]:
    """Runs the load on a sidecar that serves an empty log, ends it, and judges. Raises
    RuntimeError when an event was refused."""
    run = Run(rate, seconds)
    drive(server, run, seed)
    return run, [*verdicts(windows(run), rate), log_verdict(server, run)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code: 1 when something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=20_000, help="events a second")
    parser.add_argument("--seconds", type=float, default=1_200.0)
    parser.add_argument("--database", metavar="URL", help="an empty Postgres database")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=disk_base()))
    file = folder / "soak.db"
    notes = machine_facts(filesystem_of(folder, Path("/proc/mounts").read_text()))
    server = Sidecar(given.database or file, written=file).start()
    try:
        run, told = soak(server, given.rate, given.seconds, given.seed)
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
    found = windows(run)
    text = markdown(found, told, notes)
    print(text)
    if given.markdown:
        given.markdown.write_text(text, "utf-8")
    if given.json:
        data = {
            "windows": [
                {
                    name: value if np.isfinite(value) else None
                    for name, value in each._asdict().items()
                }
                for each in found
            ],
            "verdicts": [each._asdict() for each in told],
            "notes": notes,
        }
        given.json.write_text(json.dumps(data, indent=1), "utf-8")
    return int(not all(each.holds for each in told))


if __name__ == "__main__":
    sys.exit(main())
