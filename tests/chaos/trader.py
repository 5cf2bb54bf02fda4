r"""A small engine in a process of its own: it records, keeps its own book, and may be killed.

    python -m tests.chaos.trader --address A --source NAME --book FILE --seed N \
        --spool-mode overflow|always|off --spool-dir FOLDER

The book is written with one system call a line, so that a SIGKILL loses none: what was about to be
recorded, what `record()` accepted, and how many events were told durable. The end of its standard
input ends it in order: it closes its recorder and writes what that left behind.
"""

import argparse
import os
import random
import sys
import threading
from pathlib import Path

import trimtab_client
from tests.faults.events import body, event
from trimtab_client import RecorderSettings

EVENTS_MAX = 2_000
BURST_EVENTS_MAX = 40
PAUSE_S_MAX = 0.2
CLOSE_S_MAX = 60.0


class Book:
    """The engine's record file, appended to without a buffer."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(self, *words: object) -> None:
        """Appends one line."""
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


def record_until(
    over: threading.Event, engine: trimtab_client.Trimtab, book: Book, rng: random.Random
) -> None:
    """Records bursts of events, each noted before and after, until told to end."""
    told = 0
    while not over.wait(rng.uniform(0, PAUSE_S_MAX)):
        for _ in range(rng.randint(1, BURST_EVENTS_MAX)):
            made = event(rng, engine.source, padding=rng.randrange(300))
            book.note("sent", made.event_id, body(made).hex())
            accepted = engine.recorder.record(made)
            book.note("took" if accepted else "refused", made.event_id)
        durable = engine.stats.durable_count
        if durable > told:
            book.note("durable", durable)
            told = durable


def settings_of(arguments: argparse.Namespace) -> RecorderSettings:
    """A small ring, quick reconnects, and the spool that was asked for."""
    return RecorderSettings(
        events_max=EVENTS_MAX,
        backoff_s_min=0.02,
        backoff_s_max=0.3,
        ack_timeout_s=5.0,
        spool_mode=arguments.spool_mode,
        spool_dir=arguments.spool_dir,
    )


def main() -> None:
    """Runs one life of the engine."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--book", type=Path, required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--spool-mode", default="off")
    parser.add_argument("--spool-dir", type=Path, required=True)
    arguments = parser.parse_args()
    over = threading.Event()

    def watch_input() -> None:
        sys.stdin.buffer.read()
        over.set()

    threading.Thread(target=watch_input, daemon=True).start()
    book = Book(arguments.book)
    engine = trimtab_client.connect(
        source=arguments.source,
        environment="PAPER",
        address=arguments.address,
        settings=settings_of(arguments),
    )
    book.note("life", engine.recorder.producer_id, arguments.spool_mode)
    record_until(over, engine, book, random.Random(arguments.seed))
    closed = engine.close(CLOSE_S_MAX)
    book.note("closed", closed.durable_count, closed.dropped_count)


if __name__ == "__main__":
    main()
