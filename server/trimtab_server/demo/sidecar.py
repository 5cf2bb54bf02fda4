"""The sidecar as a process of its own: started, killed without warning, started again, stopped."""

import contextlib
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0


class SidecarFailedError(Exception):
    """The sidecar did not start, or ended by itself; the message tells the end of its log."""


def free_address() -> str:
    """A loopback address whose port is free now (asked of the kernel)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class _Output:
    """The lines of a stream, read by a thread so that waiting for one can time out."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines: queue.Queue[str | None] = queue.Queue(maxsize=1000)
        self._thread = threading.Thread(target=self._read, name="sidecar-output", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._stream:
            for line in self._stream:
                self._put(line)
        self._put(None)

    def _put(self, line: str | None) -> None:
        # Nobody reads behind the first line: what comes later may be dropped.
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(line)

    def until_silent(self) -> Iterator[str]:
        """Lines until the stream ends, or none comes for 30 s."""
        with contextlib.suppress(queue.Empty):
            while (line := self._lines.get(timeout=READY_TIMEOUT_S)) is not None:
                yield line

    def close(self) -> None:
        """Waits until the stream of an ended process is read and closed."""
        self._thread.join(STOP_TIMEOUT_S)


class SidecarProcess:
    """`trimtab serve` on one address and one database, as often as it takes.

    address: host:port or unix:/path. database: SQLite file. log: file that its log lines go to.
    flags: settings beside these.
    """

    def __init__(self, address: str, database: Path, log: Path, flags: Sequence[str] = ()) -> None:
        self.address = address
        self.database = database
        self.log = log
        self._flags = flags
        self.start_count = 0
        self._process: subprocess.Popen[str] | None = None
        self._output: _Output | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> str:
        """Starts it and waits until it listens; returns the line that it printed.

        Raises SidecarFailedError when it does not within 30 s.
        """
        command = [sys.executable, "-m", "trimtab_server", "serve"]
        command += ["--listen", self.address, "--database", str(self.database), *self._flags]
        with self.log.open("a", encoding="utf-8") as log:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        assert process.stdout is not None
        self._process, self._output = process, _Output(process.stdout)
        self.start_count += 1
        for line in self._output.until_silent():
            if "listening on" in line:
                return line.strip()
        self.kill()
        raise SidecarFailedError(f"the sidecar did not start; its log: {self._log_end()}")

    def _log_end(self) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace").strip()
        return text[-2000:] or "(empty)"

    def kill(self) -> None:
        """SIGKILL: no warning, no last commit, no goodbye."""
        if self._process is not None:
            self._process.kill()
            self._ended(self._process)

    def stop(self) -> int:
        """SIGTERM and wait; returns its exit code (0 = in good order)."""
        if self._process is None:
            return 0
        process = self._process
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
        return self._ended(process)

    def wait(self) -> int:
        """Waits until it ends by itself; returns its exit code."""
        return self._process.wait() if self._process is not None else 0

    def _ended(self, process: subprocess.Popen[str]) -> int:
        code = process.wait()
        if self._output is not None:
            self._output.close()
        self._process = self._output = None
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
