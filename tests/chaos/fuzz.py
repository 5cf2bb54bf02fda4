"""Mutated messages through every RPC of a real sidecar, which must take them all in its stride.

python -m tests.chaos.fuzz --messages 1000000 --seed 7

The seed makes the same messages again; how concurrent calls meet is the machine's. `--only N` sends
the call of that number alone, to a fresh sidecar.
"""

import argparse
import itertools
import json
import random
import secrets
import shutil
import sqlite3
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from tests.chaos.fuzz_mutate import mutate_fields, mutated
from tests.chaos.fuzz_samples import SAMPLES, STREAM_EVENTS, methods, streamed
from tests.conftest import Sidecar, disk_base
from tests.faults.process import resident_bytes
from tests.load.raw_stream import open_channel
from tests.rpc.statuses import answer_of
from trimtab.v1 import error_pb2
from trimtab.v1.admin_service_pb2 import GetServerInfoRequest
from trimtab.v1.admin_service_pb2_grpc import AdminServiceStub
from trimtab.v1.event_service_pb2 import StreamEventsRequest

CALLS_AT_ONCE = 32
ANSWER_S_MAX = 60.0
READERS_MAX = 2
# Bytes of resident memory between the second fifth and the last of a run: in a million messages a
# leak of 100 bytes each adds 60 MB there. What is bounded is full by then: the page caches (16 MiB
# of the writer, 4 of each reader) and 150 compiled statements, 25 kB each. The rest is room for
# what the allocator keeps in pieces between messages of up to 1 MiB.
GROWTH_BYTES_MAX = 50_000_000
# Small bounds of the signal gate: they are reached early, and what grows then is a leak.
FLAGS = ("--readers-max", str(READERS_MAX), "--gate", '{"rules_max": 100, "runs_max": 8}')
_MEMORY_SAMPLES = 500
_FAULTS_MAX = 20
# What libraries answer by themselves, without our details: no such service, name or symbol.
_FOREIGN = ("/grpc.health.", "/grpc.reflection.")
_FOREIGN_CODES = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED}
_METHODS = methods()
_PATHS = sorted(SAMPLES)
_REASONS = {name.removeprefix("ERROR_REASON_") for name in dict(error_pb2.ErrorReason.items())}


@dataclass
class Findings:
    """What a run came to; `faults` is empty when the sidecar kept its promises."""

    message_count: int = 0
    call_count: int = 0
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    resident: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, path: str, messages: int, answer: str) -> None:
        """Notes a call, how many messages it had, and how it ended."""
        with self.lock:
            self.call_count += 1
            self.message_count += messages
            self.answers[path, answer] += 1

    def weigh(self, pid: int, step: int) -> None:
        """Notes what the process holds in memory, once in `step` messages."""
        with self.lock:
            if self.message_count >= step * (len(self.resident) + 1):
                self.resident.append(resident_bytes(pid))

    def blame(self, words: str) -> None:
        """Notes a fault; the first twenty tell enough."""
        with self.lock:
            if len(self.faults) < _FAULTS_MAX:
                self.faults.append(words)


def requests_of(seed: int, index: int) -> tuple[str, list[bytes]]:
    """The method and the messages of one call: the same for the same seed and index."""
    rng = random.Random(f"{seed}-{index}")
    path = _PATHS[index % len(_PATHS)]
    if not _METHODS[path].client_streaming:
        return path, [mutated(SAMPLES[path](rng), rng)]
    first = SAMPLES[path](rng)
    if path != STREAM_EVENTS:
        return path, [mutated(first, rng), mutated(SAMPLES[path](rng), rng)]
    is_open = rng.random() < 0.85
    made = [first.SerializeToString() if is_open else mutated(first, rng)]
    next_seq = 1
    for _ in range(rng.randint(2, 8)):
        message = streamed(rng, next_seq)
        next_seq += len(message.batch.events)
        made.append(_in_stream(message, rng))
    return path, made


def _in_stream(message: StreamEventsRequest, rng: random.Random) -> bytes:
    """The message, mostly broken inside its events alone: that lets the stream live on."""
    kind = rng.random()
    if kind < 0.3:
        return mutated(message, rng)
    if kind < 0.9 and message.batch.events:
        mutate_fields(rng.choice(message.batch.events), rng)
    return message.SerializeToString()


def _answers(channel: Any, path: str, messages: list[bytes]) -> Iterator[bytes]:
    """What the server says to one call. A stream that has no end of its own is cut after its first
    message, which tells that the request was taken."""
    method = _METHODS[path]
    if method.client_streaming:
        yield from channel.stream_stream(path)(iter(messages), timeout=ANSWER_S_MAX)
    elif method.server_streaming:
        rpc = channel.unary_stream(path)(messages[0], timeout=ANSWER_S_MAX)
        yield next(rpc)
        rpc.cancel()
    else:
        yield channel.unary_unary(path)(messages[0], timeout=ANSWER_S_MAX)


def call(channel: grpc.Channel, seed: int, index: int, findings: Findings) -> None:
    """Makes one call and judges its end."""
    path, messages = requests_of(seed, index)
    method = _METHODS[path]
    told, fault = "OK", ""
    try:
        for answer in _answers(channel, path, messages):
            GetMessageClass(method.output_type).FromString(answer)
    except grpc.RpcError as error:
        told, fault = judged(path, error)
    except DecodeError as error:
        fault = f"the answer does not decode: {error}"
    findings.note(path, len(messages), told)
    if fault:
        findings.blame(f"call {index}: {path}: {fault}")


def judged(path: str, error: Any) -> tuple[str, str]:
    """An error status in a word or two, and what is wrong with it: empty for an answer of ours."""
    wrong = f"{error.code()}: {error.details()}"
    try:
        told = answer_of(error)
    except AssertionError:
        return error.code().name, wrong
    if told.domain == "trimtab" and told.reason in _REASONS:
        words = f"{told.code.name} {told.reason}"
        return words, wrong if told.reason == "SERVER_FAULT" else ""
    is_foreign = path.startswith(_FOREIGN) and told.code in _FOREIGN_CODES and not told.domain
    return told.code.name, "" if is_foreign else wrong


def _run(server: Sidecar, messages: int, seed: int, findings: Findings) -> None:
    step = max(1, messages // _MEMORY_SAMPLES)
    numbers = itertools.count()

    def work(channel: grpc.Channel) -> None:
        while findings.message_count < messages and server.process.poll() is None:
            call(channel, seed, next(numbers), findings)
            findings.weigh(server.pid, step)

    with ExitStack() as channels, ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        opened = [channels.enter_context(open_channel(server.address)) for _ in range(4)]
        for channel in opened:
            grpc.channel_ready_future(channel).result(ANSWER_S_MAX)
        working = [pool.submit(work, opened[n % len(opened)]) for n in range(CALLS_AT_ONCE)]
        for each in working:
            each.result()


def fuzz(server: Sidecar, messages: int, seed: int) -> Findings:
    """Sends at least `messages` messages to a sidecar that serves, ends it, and tells what came
    of it."""
    findings = Findings()
    _run(server, messages, seed, findings)
    if server.process.poll() is not None:
        findings.blame(f"the sidecar ended with {server.process.returncode}")
        return findings
    with open_channel(server.address) as channel:
        try:
            AdminServiceStub(channel).GetServerInfo(GetServerInfoRequest(), timeout=ANSWER_S_MAX)
        except grpc.RpcError as error:
            findings.blame(f"the sidecar no longer answers: {error}")
    if code := server.terminate():
        findings.blame(f"the sidecar ended with {code} after SIGTERM")
    findings.faults += memory_faults(findings.resident)
    findings.faults += database_faults(server.file)
    with server.file.with_name(server.file.name + ".log").open() as log:
        findings.faults += log_faults(log)
    return findings


def memory_faults(resident: Sequence[int]) -> list[str]:
    """What is wrong with samples of resident memory: the last fifth lies above the second one."""
    fifth = len(resident) // 5
    if fifth == 0:
        return [f"{len(resident)} samples of memory tell nothing"]
    early, late = median(resident[fifth : 2 * fifth]), median(resident[-fifth:])
    if late - early > GROWTH_BYTES_MAX:
        return [f"memory grew from {early / 1e6:.0f} MB to {late / 1e6:.0f} MB"]
    return []


def database_faults(database: Path) -> list[str]:
    """What is wrong with the file of a sidecar that ended."""
    with closing(sqlite3.connect(database)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
        count, last = connection.execute("SELECT count(*), max(sequence) FROM events").fetchone()
    found = [] if verdict == "ok" else [f"integrity check: {verdict}"]
    if count != (last or 0):
        found.append(f"{count} events are stored up to sequence {last}")
    return found


def log_faults(lines: Iterable[str]) -> list[str]:
    """Lines of a sidecar's log that no message from outside may cause: errors and tracebacks."""
    found = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = {"level": "error"}
        if entry.get("level") in {"error", "critical"} or "exception" in entry:
            found.append(f"log: {line[:2_000]}")
            if len(found) == _FAULTS_MAX:
                break
    return found


def report(findings: Findings) -> str:
    """The run in words: how often each method gave each answer, memory, faults."""
    lines = [
        f"{count:9,}  {path}  {answer}"
        for (path, answer), count in sorted(findings.answers.items())
    ]
    megabytes = [round(size / 1e6) for size in findings.resident[:: max(1, _MEMORY_SAMPLES // 20)]]
    lines.append(f"{findings.message_count:,} messages in {findings.call_count:,} calls")
    lines.append(f"resident memory, MB: {megabytes}")
    lines += [f"FAULT: {words}" for words in findings.faults] or ["no fault"]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code: 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--only", type=int, metavar="CALL", help="send this call alone")
    given = parser.parse_args(arguments)
    print(f"seed {given.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=disk_base()))
    server = Sidecar(folder / "fuzz.db", FLAGS).start()
    try:
        if given.only is None:
            findings = fuzz(server, given.messages, given.seed)
        else:
            findings = _only(server.address, given.seed, given.only)
        print(report(findings))
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return int(bool(findings.faults))


def _only(address: str, seed: int, index: int) -> Findings:
    findings = Findings()
    print(*requests_of(seed, index), sep="\n")
    with open_channel(address) as channel:
        call(channel, seed, index, findings)
    return findings


if __name__ == "__main__":
    sys.exit(main())
