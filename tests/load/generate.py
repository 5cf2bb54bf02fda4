"""The load generator: mix events at a steady rate, or as fast as the server takes them.

python -m tests.load.generate --rate 10000 --seconds 10 --address 127.0.0.1:7517

It is an open loop: an event is due at its time whether or not the server keeps up, and its latency
runs from that time to its acknowledgement. Batches are made as the Recorder makes them: 2 ms after
the first event that waits, of at most 1,000. `--rate 0` sends batches of 2,000 without a pause.
The last line of the output is JSON.
"""

import argparse
import json
import time
from collections.abc import Iterator
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


def generate(address: str, rate: float, seconds: float, seed: int, event_count: int = 0) -> Any:
    """Sends the load and tells what came of it. Raises RuntimeError when an event was refused.

    rate: events a second; 0 = `event_count` events, as fast as the server takes them."""
    count = event_count or max(1, int(rate * seconds))
    serialised = messages.bodies(count, seed, time.time_ns())
    with open_channel(address) as channel:
        stream = RawStream(channel, mix.SOURCE)
        if not rate:
            ready = messages.batches(serialised, FLAT_OUT_BATCH_EVENTS)
            settled = stream.run(iter(ready))
            settled.check()
            return _told(settled)
        due_s: list[float] = []
        settled = stream.run(paced(serialised, rate, due_s))
        settled.check()
        found = latencies_ms(settled, due_s[0], rate)
        return {
            **_told(settled),
            "latency_ms_p50": float(np.percentile(found, 50)),
            "latency_ms_p99": float(np.percentile(found, 99)),
            "latency_ms_max": float(found.max()),
        }


def _told(settled: Settled) -> dict[str, Any]:
    return {
        "events": settled.event_count,
        "bytes": settled.byte_count,
        "seconds": settled.seconds,
        "events_per_s": settled.event_count / settled.seconds,
        "ack_count": len(settled.acks),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="127.0.0.1:7517")
    parser.add_argument("--rate", type=float, default=10_000, help="events a second; 0 = flat out")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--events", type=int, default=0, help="instead of --seconds")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    if not given.rate and not given.events:
        parser.error("--rate 0 needs --events")
    told = generate(given.address, given.rate, given.seconds, given.seed, given.events)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
