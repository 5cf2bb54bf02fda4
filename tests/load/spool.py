"""The recorder's spool: mode `always` beside `overflow`, and a replay beside live recording.

Each run has a sidecar, a database and an engine's process of its own. The engine records ready
events as fast as they are stored: it holds back while a good part of its ring is pending, so that
nothing overflows, and mode `overflow` is what recording costs without a disk. The clock runs from
the first record() until flush says durable; for a replay, from the connection until the folder of
the spool is gone.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import trimtab_client
from tests.load import databases, messages, mix
from tests.load.context import SEED, Bench
from tests.load.table import Report, Row, number
from trimtab_client.settings import RecorderSettings
from trimtab_client.spool import bytes_in, folders_in

ALWAYS_TARGET = 0.5
REPLAY_TARGET = 1.0
_NOBODY = "127.0.0.1:1"
_LOOK_S = 0.001
# Of the ring's 10,000; in mode overflow, what is beyond these goes to disk.
_PENDING_MAX = 5_000
_STEP_EVENTS = 250
_WAIT_S_MAX = 300.0


@dataclass(frozen=True)
class _Recorded:
    """seconds: until all was durable. cpu_us: processor time of the whole process, an event.
    call_cpu_us: of the recording thread alone."""

    seconds: float
    cpu_us: float
    call_cpu_us: float


def measure_spool(bench: Bench, report: Report) -> None:
    """Events a second in mode `always`, and of a replay, each beside those in mode `overflow`."""
    count = bench.sizes.spool_events
    always, overflow, replays, replay_cpu_us, spool_bytes = [], [], [], [], 0
    for _ in range(bench.rounds):
        always.append(_recorded(bench, "always"))
        overflow.append(_recorded(bench, "overflow"))
        took_s, cpu_us, spool_bytes = _replayed(bench)
        replays.append(count / took_s)
        replay_cpu_us.append(cpu_us)
        live = count / overflow[-1].seconds
        bench.say(
            f"spool: always {count / always[-1].seconds:,.0f}, replay {replays[-1]:,.0f} beside"
            f" {live:,.0f} events/s"
        )
    live_rates = [count / run.seconds for run in overflow]
    pairs = list(zip([count / run.seconds for run in always], live_rates, strict=True))
    name = "spool: record() until durable, mode always"
    report.rows.append(Row(name, "events/s", "mode overflow", pairs, ALWAYS_TARGET, at_least=True))
    pairs = list(zip(replays, live_rates, strict=True))
    name = "spool: replay of an engine's spool"
    report.rows.append(
        Row(name, "events/s", "live, mode overflow", pairs, REPLAY_TARGET, at_least=True)
    )
    report.notes.append(
        f"spool: {count:,} events a round, {spool_bytes / count:.0f} bytes on disk an event;"
        f" processor time an event: {_words('always', always)}; {_words('overflow', overflow)};"
        f" for the replay {number(median(replay_cpu_us))} us"
    )


def _words(mode: str, runs: list[_Recorded]) -> str:
    cpu_us = number(median(run.cpu_us for run in runs))
    call_cpu_us = number(median(run.call_cpu_us for run in runs))
    return f"in mode {mode} the engine used {cpu_us} us, its recording thread {call_cpu_us} us"


def _recorded(bench: Bench, mode: str) -> _Recorded:
    return _Recorded(**_with_sidecar(bench, "record", bench.new_folder(), mode))


def _replayed(bench: Bench) -> tuple[float, float, int]:
    """Seconds of the replay, its processor time, and the bytes on disk that it had to send."""
    folder = bench.new_folder()
    left = bench.child("spool", "leave", *_flags(bench, _NOBODY, folder, "overflow"))
    took_s, cpu_us = _with_sidecar(bench, "replay", folder, "overflow")
    return float(took_s), float(cpu_us), int(left)


def _with_sidecar(bench: Bench, work: str, folder: Path, mode: str) -> Any:
    """What an engine's process tells that had a sidecar, which stored every event."""
    database = bench.new_database()
    sidecar = bench.start(database)
    told = bench.child("spool", work, *_flags(bench, sidecar.address, folder, mode))
    bench.stop(sidecar)
    rows = databases.facts(database)["rows"]
    bench.drop(database)
    if rows != bench.sizes.spool_events:
        raise RuntimeError(f"{work}, {mode}: {rows} of {bench.sizes.spool_events} events stored")
    return told


def _flags(bench: Bench, address: str, folder: Path, mode: str) -> tuple[object, ...]:
    count = bench.sizes.spool_events
    return ("--address", address, "--folder", folder, "--mode", mode, "--events", count)


# -- the engine's process -------------------------------------------------------------------------


def record(tt: trimtab_client.Trimtab, count: int) -> _Recorded:
    """Records until all is durable."""
    events = _events(count)
    _connect(tt)
    start_s, cpu_s, call_cpu_s = time.perf_counter(), time.process_time(), 0.0
    for start in range(0, count, _STEP_EVENTS):
        _until(lambda: tt.stats.pending_count <= _PENDING_MAX - _STEP_EVENTS, tt)
        step_cpu_s = time.thread_time()
        for event in events[start : start + _STEP_EVENTS]:
            tt.recorder.record(event)
        call_cpu_s += time.thread_time() - step_cpu_s
    if not tt.flush(_WAIT_S_MAX).durable:
        raise RuntimeError(f"not durable: {tt.stats}")
    took_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_s
    spooled_count = tt.recorder._ring.written_count
    if spooled_count != (count if tt.stats.spool_mode == "always" else 0):
        raise RuntimeError(f"{spooled_count} events went to disk: {tt.stats}")
    return _Recorded(took_s, cpu_s / count * 1e6, call_cpu_s / count * 1e6)


def leave(tt: trimtab_client.Trimtab, count: int, folder: Path) -> int:
    """Records while there is no sidecar; the bytes that are left on disk."""
    for event in _events(count):
        # The thread that writes may have to catch up.
        _until(partial(tt.recorder.record, event), tt)
    kept = tt.close()
    if kept.spooled_count != count:
        raise RuntimeError(f"{kept.spooled_count} of {count} events are kept: {tt.stats}")
    return bytes_in(folder, mix.SOURCE)


def replay(tt: trimtab_client.Trimtab, count: int, folder: Path) -> tuple[float, float]:
    """Seconds from the connection until the spool of another engine's process is gone, and
    microseconds of processor time an event."""
    (left,) = folders_in(folder)
    _connect(tt)
    start_s, cpu_s = time.perf_counter(), time.process_time()
    _until(lambda: not left.exists(), tt)
    took_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_s
    tt.close()
    if tt.stats.adopted_count != count or tt.stats.damaged_count:
        raise RuntimeError(f"{count} events were left: {tt.stats}")
    return took_s, cpu_s / count * 1e6


def _events(count: int) -> list[Any]:
    step_ns = 10_000
    return list(islice(messages.events(SEED, time.time_ns() - count * step_ns, step_ns), count))


def _connect(tt: trimtab_client.Trimtab) -> None:
    tt.recorder.start()
    _until(lambda: tt.stats.state == "OPEN", tt)


def _until(is_true: Callable[[], bool], tt: trimtab_client.Trimtab) -> None:
    deadline_s = time.monotonic() + _WAIT_S_MAX
    while not is_true():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {_WAIT_S_MAX:g} s: {tt.stats}")
        time.sleep(_LOOK_S)


def main() -> None:
    """The command line; the last line of the output is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", choices=("record", "leave", "replay"))
    parser.add_argument("--address", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--mode", required=True)
    parser.add_argument("--events", type=int, required=True)
    given = parser.parse_args()
    settings = RecorderSettings(
        spool_mode=given.mode, spool_dir=given.folder, absent_close_timeout_s=0.0
    )
    with trimtab_client.connect(
        source=mix.SOURCE, environment="LIVE", address=given.address, settings=settings
    ) as tt:
        if given.work == "record":
            print(json.dumps(asdict(record(tt, given.events))))
        elif given.work == "leave":
            print(json.dumps(leave(tt, given.events, given.folder)))
        else:
            print(json.dumps(replay(tt, given.events, given.folder)))


if __name__ == "__main__":
    main()
