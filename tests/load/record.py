"""What the engine's thread pays for recording, beside building the same messages by hand.

Both sides make the nested messages (verdicts, snapshot, exit plan) from the same plain numbers and
end with serialised bytes. By hand, event id and time are given; the client makes them, checks
words, numbers the event and puts it on its ring, while its stream sends from other threads.
A burst is a thousand calls on a ring that was flushed before: it is never full.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from itertools import islice

import trimtab_client
from tests.load import messages, mix
from tests.load.calls import THROUGH_CLIENT
from tests.load.context import SEED, Bench
from tests.load.table import Report, Row

TARGET = 3.0
_BURST = 1_000
_FLUSH_S_MAX = 30.0


def measure_record(bench: Bench, report: Report) -> None:
    """Wall time (with a target) and processor time of the calling thread."""
    flags = ("--rounds", bench.rounds, "--events", bench.sizes.record_events)
    rounds = bench.child("record", "--address", bench.shared.address, *flags)
    for clock, index, target in (("wall time", 0, TARGET), ("thread's CPU time", 1, None)):
        pairs = [(ours[index], by_hand[index]) for ours, by_hand in rounds]
        name = f"record: a call of the mix, {clock}, drained ring"
        report.rows.append(Row(name, "us", "by hand", pairs, target))


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds of wall time and of the thread's processor time."""
    wall_s, cpu_s = time.perf_counter(), time.thread_time()
    work()
    return time.perf_counter() - wall_s, time.thread_time() - cpu_s


def _through_client(tt: trimtab_client.Trimtab, draws: list[mix.Draw]) -> Callable[[], None]:
    calls = [(THROUGH_CLIENT[type(draw)], draw) for draw in draws]

    def work() -> None:
        for call, draw in calls:
            call(tt, draw)

    return work


def _by_hand(draws: list[mix.Draw], ids: Iterator[tuple[str, int, int]]) -> Callable[[], None]:
    calls = [
        (messages.BY_HAND[type(draw)], draw, *stamp)
        for draw, stamp in zip(draws, ids, strict=False)
    ]

    def work() -> None:
        for build, draw, event_id, seconds, nanos in calls:
            build(draw, event_id, seconds, nanos).SerializeToString()

    return work


def _flushed(tt: trimtab_client.Trimtab) -> None:
    if not tt.flush(_FLUSH_S_MAX).durable:
        raise RuntimeError(f"the ring did not drain: {tt.stats}")


def _round(
    tt: trimtab_client.Trimtab, draws: Iterator[mix.Draw], count: int
) -> tuple[list[float], list[float]]:
    """Microseconds a call, ours and by hand: wall time, processor time."""
    ours, by_hand = [0.0, 0.0], [0.0, 0.0]
    ids = messages.ids(SEED, time.time_ns(), 1_000)
    for start in range(0, count, _BURST):
        burst = list(islice(draws, min(_BURST, count - start)))
        works = ((ours, _through_client(tt, burst)), (by_hand, _by_hand(burst, ids)))
        for total, work in works:
            _flushed(tt)
            for index, took_s in enumerate(_timed(work)):
                total[index] += took_s / count * 1e6
    return ours, by_hand


def main() -> None:
    """The engine's process; the last line of the output is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", required=True)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--events", type=int, default=10_000)
    given = parser.parse_args()
    draws = iter(mix.Mix(SEED))
    with trimtab_client.connect(source=mix.SOURCE, environment="LIVE", address=given.address) as tt:
        tt.wait_ready()
        _round(tt, draws, min(_BURST, given.events))
        rounds = [_round(tt, draws, given.events) for _ in range(given.rounds)]
        _flushed(tt)
        if any(tt.stats.refused_count.values()) or tt.stats.rejected_count:
            raise RuntimeError(f"events were refused: {tt.stats}")
    print(json.dumps(rounds))


if __name__ == "__main__":
    main()
