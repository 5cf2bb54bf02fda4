"""Reads a trace of the server's system calls, and judges in which order they came.

strace sees a call enter and leave; the line numbers of the trace are the order of both. That order
is the proof: an answer that entered `sendmsg` after `fdatasync` had left was sent after the sync.
"""

import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

_SYNCS = {"fsync", "fdatasync"}
_WRITES = {"pwrite64", "pwritev", "pwritev2", "write", "writev"}
_SENDS = {"sendmsg", "sendto", "write", "writev"}
_RECEIVES = {"recvmsg", "recvfrom", "read"}
_TRACED = sorted(_SYNCS | _WRITES | _SENDS | (_RECEIVES - {"read"}))
_LINE = re.compile(r"(\d+) +(?:\d+\.\d+ )?(.*)")
_ENTERED = re.compile(r"(\w+)\(\d+<((?:->|[^>])*)>(.*)", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_QUOTED = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_RESULT = re.compile(r"\) += (-?\d+)")
_UNFINISHED = " <unfinished ...>"
_DATA_FRAME = 0
_FRAME_HEADER_BYTES = 9


class Call(NamedTuple):
    """One system call on a file or socket: when it entered and left, and the bytes it moved."""

    name: str
    path: str
    entered: int
    left: int
    data: bytes = b""


def why_not() -> str:
    """Why nothing can be traced here; empty when strace is there and may trace."""
    strace = shutil.which("strace")
    if strace is None:
        return "strace is not installed: the order of sync and answer is NOT tested here"
    probe = subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else f"strace may not trace here: {probe.stderr!r}"


def tracer(trace: Path) -> tuple[str, ...]:
    """The command before the server's that writes `trace`; the server stays the direct child."""
    what = "trace=" + ",".join(_TRACED)
    options = ("-D", "-f", "--seccomp-bpf", "-yy", "-xx", "-ttt", "-s", "65536", "-e", what)
    return ("strace", *options, "-o", str(trace))


def why_not_attach() -> str:
    """Why running processes cannot be traced here; empty when strace may attach."""
    if reason := why_not():
        return reason
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        attached = subprocess.Popen(
            ["strace", "-o", "/dev/null", "-p", str(sleeper.pid)], stderr=subprocess.PIPE, text=True
        )
        assert attached.stderr is not None
        words = attached.stderr.readline()
        sleeper.kill()
        attached.communicate()
    return "" if "attached" in words else f"strace may not attach here: {words!r}"


@contextmanager
def attached(processes: list[int], trace: Path) -> Iterator[None]:
    """Traces running processes, and those that they start, while the block runs: one trace, so
    that the order of what different processes do is known."""
    what = "trace=" + ",".join(_TRACED)
    command = ["strace", "-f", "-yy", "-xx", "-ttt", "-s", "65536", "-e", what, "-o", str(trace)]
    command += [word for pid in processes for word in ("-p", str(pid))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracing:
        assert tracing.stderr is not None
        waiting = {str(pid) for pid in processes}
        for line in tracing.stderr:
            assert "Operation not permitted" not in line, line
            waiting -= set(line.split())
            if not waiting:
                break
        # Nobody reads its words from here on: a full pipe would stop it and all it traces.
        draining = threading.Thread(target=tracing.stderr.read, daemon=True)
        draining.start()
        try:
            yield
        finally:
            tracing.send_signal(signal.SIGINT)
            tracing.wait()
            draining.join()


def calls(lines: Iterable[str]) -> Iterator[Call]:
    """The calls of a trace, in the order in which they left."""
    waiting: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines):
        match = _LINE.match(line)
        if match is None:
            continue
        thread, words = match[1], match[2].rstrip("\n")
        if words.endswith(_UNFINISHED):
            waiting[thread] = (number, words.removesuffix(_UNFINISHED))
            continue
        entered = number
        if resumed := _RESUMED.match(words):
            entered, start = waiting.pop(thread)
            words = start + resumed[2]
        if call := _call(words, entered, number):
            yield call


def _call(words: str, entered: int, left: int) -> Call | None:
    match = _ENTERED.match(words)
    results = _RESULT.findall(words)
    if match is None or not results or int(results[-1]) < 0:
        return None
    moved = b"".join(_bytes(quoted) for quoted in _QUOTED.findall(match[3]))
    path = re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), match[2])
    return Call(match[1], path, entered, left, moved[: int(results[-1])])


def _bytes(quoted: str) -> bytes:
    return bytes.fromhex(quoted.replace("\\x", ""))


def order_faults(trace: Iterable[Call], markers: list[bytes], log_name: str = "-wal") -> list[str]:
    """What is wrong with the order of write, sync and answer, for events recorded one at a time;
    each `marker` is found in its request and in what the commit writes to the log (a file with
    `log_name` in its path). Empty = every answer left only after the sync of its commit had
    returned."""
    known = list(trace)
    answers = list(_answers(known))
    faults = []
    for marker in markers:
        fault = _order_fault(known, answers, marker, log_name)
        if fault:
            faults.append(f"{marker.decode()}: {fault}")
    return faults


def _in_log(marker: bytes) -> list[bytes]:
    """How a marker may stand in a log. An id stands there twice, as words and as a number: a page
    of Postgres's log may end within one of them."""
    try:
        return [marker, UUID(marker.decode()).bytes]
    except ValueError:
        return [marker]


def _order_fault(known: list[Call], answers: list[Call], marker: bytes, log_name: str) -> str:
    requests = [c for c in known if c.name in _RECEIVES and "TCP" in c.path and marker in c.data]
    if not requests:
        return "its request was not seen"
    request = requests[0]
    answer = next(
        (a for a in answers if a.path == request.path and a.entered > request.entered), None
    )
    if answer is None:
        return "no answer was sent"
    log = [c for c in known if log_name in c.path and request.left < c.entered]
    writes = [c for c in log if c.name in _WRITES and c.entered < answer.entered]
    if not any(known_as in write.data for write in writes for known_as in _in_log(marker)):
        return "answered before it was written"
    written = max(write.left for write in writes)
    syncs = [c for c in log if c.name in _SYNCS and c.entered > written]
    if not any(sync.left < answer.entered for sync in syncs):
        return "answered before a sync of it had returned"
    return ""


def _answers(known: list[Call]) -> Iterator[Call]:
    """The sends that began a DATA frame with content: a message, not HTTP/2's own talk."""
    sent: dict[str, bytes] = {}
    for call in known:
        if call.name not in _SENDS or "TCP" not in call.path:
            continue
        pending = sent.get(call.path, b"") + call.data
        has_message = False
        while len(pending) >= _FRAME_HEADER_BYTES:
            length, kind = int.from_bytes(pending[:3], "big"), pending[3]
            has_message = has_message or (kind == _DATA_FRAME and length > 0)
            if len(pending) < _FRAME_HEADER_BYTES + length:
                break
            pending = pending[_FRAME_HEADER_BYTES + length :]
        sent[call.path] = pending
        if has_message:
            yield call
