"""The load generator: mix events at a steady rate, or as fast as the server takes them.

python -m tests.load.generate --rate 10000 --seconds 10 --address 127.0.0.1:7517

It is an open loop: an event is due at its time whether or not the server keeps up, and its latency
runs from that time to its acknowledgement. Batches are made as the Recorder makes them: 2 ms after
the first event that waits, of at most 1,000. `--rate 0` sends batches of 2,000 without a pause;
with several addresses, the events are divided among as many streams that run at the same time.
The last line of the output is JSON.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import numpy as np

from tests.load import messages, mix
from tests.load.messages import Batch
from tests.load.raw_stream import RawStream, Settled, open_channel
from trimtab_client.settings import RecorderSettings
from trimtab_client.wire import batch_message

FLAT_OUT_BATCH_EVENTS = 2_000


def paced(serialised: list[bytes], rate: float, due_s: list[float]) -> Iterator[Batch]:
    """Batches of what is due at `rate` events a second; `due_s[0]` tells when the first one was.

    Sleeps between the batches, the linger of the Recorder at least."""
    settings = RecorderSettings()
    start_s = time.perf_counter()
    due_s.append(start_s)
    sent = 0
    while sent < len(serialised):
        wait_s = start_s + sent / rate + settings.linger_s - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        due = int((time.perf_counter() - start_s) * rate) + 1
        part = serialised[sent : min(due, sent + settings.batch_events_max)]
        message = batch_message(sent + 1, part)
        sent += len(part)
        yield Batch(message, sent, len(part), sum(map(len, part)))


def latencies_ms(settled: Settled, due_s: float, rate: float) -> "np.ndarray[Any, Any]":
    """Milliseconds from the time that each event was due to its acknowledgement, shape (n,)."""
    found = []
    for (_, before), (ack_s, through) in pairwise([(0.0, 0), *settled.acks]):
        found.append(ack_s - due_s - np.arange(before, through) / rate)
    return np.concatenate(found) * 1e3


def flat_out(
    addresses: Sequence[str],
    event_count: int,
    seed: int,
    on_ready: Callable[[], None] = lambda: None,
) -> Any:
    """Sends the events as fast as the servers take them, an equal share on a stream to each address
    (the same one may occur twice), and tells what came of it all together. Raises RuntimeError when
    an event was refused."""
    shares = [len(range(i, event_count, len(addresses))) for i in range(len(addresses))]
    ready = [
        messages.batches(messages.bodies(share, seed + i, time.time_ns()), FLAT_OUT_BATCH_EVENTS)
        for i, share in enumerate(shares)
    ]
    with ExitStack() as closing, ThreadPoolExecutor(len(addresses)) as threads:
        channels = [closing.enter_context(open_channel(address)) for address in addresses]
        streams = [RawStream(channel, mix.SOURCE) for channel in channels]
        on_ready()
        return _told(list(threads.map(RawStream.run, streams, map(iter, ready))))


def generate(
    address: str,
    rate: float,
    event_count: int,
    seed: int,
    on_ready: Callable[[], None] = lambda: None,
) -> Any:
    """Sends the events, `rate` a second, and tells what came of it. Raises RuntimeError when one
    was refused."""
    serialised = messages.bodies(event_count, seed, time.time_ns())
    due_s: list[float] = []
    on_ready()
    with open_channel(address) as channel:
        settled = RawStream(channel, mix.SOURCE).run(paced(serialised, rate, due_s))
    told = _told([settled])
    found = latencies_ms(settled, due_s[0], rate)
    return {
        **told,
        "latency_ms_p50": float(np.percentile(found, 50)),
        "latency_ms_p99": float(np.percentile(found, 99)),
        "latency_ms_max": float(found.max()),
    }


def _told(runs: Sequence[Settled]) -> dict[str, Any]:
    """From the first batch of any to the last acknowledgement of all."""
    for settled in runs:
        settled.check()
    count = sum(settled.event_count for settled in runs)
    start_s = min(settled.first_sent_s for settled in runs)
    seconds = max(settled.acks[-1][0] for settled in runs) - start_s
    return {
        "events": count,
        "bytes": sum(settled.byte_count for settled in runs),
        "seconds": seconds,
        "events_per_s": count / seconds,
        "ack_count": sum(len(settled.acks) for settled in runs),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", nargs="+", default=["127.0.0.1:7517"])
    parser.add_argument("--rate", type=float, default=10_000, help="events a second; 0 = flat out")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--events", type=int, default=0, help="instead of --seconds")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--tell-ready", action="store_true", help="a line when the sending begins")
    given = parser.parse_args()
    if not given.rate and not given.events:
        parser.error("--rate 0 needs --events")
    if given.rate and len(given.address) > 1:
        parser.error("a second --address needs --rate 0")

    def on_ready() -> None:
        if given.tell_ready:
            print("ready", flush=True)

    if given.rate:
        count = given.events or max(1, int(given.rate * given.seconds))
        told = generate(given.address[0], given.rate, count, given.seed, on_ready)
    else:
        told = flat_out(given.address, given.events, given.seed, on_ready)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
