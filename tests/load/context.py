"""What the measurements share: sizes, a folder on a real disk, processes, databases."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

from tests.conftest import ROOT, Sidecar, filesystem_of
from tests.load import databases
from tests.postgres import PostgresServer, _children

# What a sync means nothing to: a ratio to a durable commit would mean nothing either.
_VOLATILE = {"tmpfs", "ramfs"}
_CHILD_S_MAX = 600.0
_SAMPLE_EVENTS = 2_000
SEED = 7
_RATES = (1_000.0, 10_000.0)


@dataclass(frozen=True)
class Sizes:
    """How much is measured, each number a round."""

    ingest_events: int
    record_events: int
    latency_rates: tuple[float, ...]
    latency_s: float
    unary_calls: int
    list_events: tuple[int, int]
    list_page: int
    list_calls: int
    postgres_events: int
    spool_events: int
    gate_checks: int
    gate_calls: int
    gate_ingest_s: float
    watchers: int
    watch_s: float
    day_report_events: tuple[int, int]
    sweep_signals: int
    sweep_scenarios: int
    what_if_signals: int


FULL = Sizes(
    *(200_000, 20_000, _RATES, 3.0, 300, (100_000, 3_000_000), 1_000, 20, 100_000, 50_000),
    *(50_000, 1_000, 20.0, 1_000, 17.0),
    *((100_000, 5_000_000), 100_000, 200, 1_000_000),
)
QUICK = Sizes(
    *(50_000, 4_000, _RATES, 1.0, 100, (20_000, 200_000), 150, 10, 20_000, 10_000),
    *(10_000, 200, 8.0, 200, 17.0),
    *((100_000, 500_000), 20_000, 200, 100_000),
)


class Bench:
    """A folder, the processes that work in it, and what one measurement learns for another."""

    def __init__(self, sizes: Sizes, rounds: int, base: Path, say: Callable[[str], None]) -> None:
        """Raises RuntimeError when `base` is not on a real disk."""
        base.mkdir(parents=True, exist_ok=True)
        self.filesystem = filesystem_of(base.resolve(), Path("/proc/mounts").read_text())
        if self.filesystem in _VOLATILE:
            raise RuntimeError(f"{base} lies on {self.filesystem}: set TRIMTAB_TEST_DIR to a disk")
        self.sizes = sizes
        self.rounds = rounds
        self.say = say
        self.folder = Path(tempfile.mkdtemp(prefix="bench-", dir=base))
        self._closing = ExitStack()
        self._closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._made = 0
        # Events a second that ingestion reached, by round; resident MB of the same servers, idle
        # and after the events.
        self.ingest_rates: list[float] = []
        self.resident_mb: list[tuple[float, float]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    @cached_property
    def _empty(self) -> tuple[Path, dict[str, Any]]:
        path = self.folder / "empty.db"
        return path, databases.make_empty(path)

    @property
    def pragmas(self) -> dict[str, Any]:
        """How the server's writer opens a database."""
        return self._empty[1]

    def new_database(self) -> Path:
        """A new empty database with the server's schema."""
        self._made += 1
        return databases.copy(self._empty[0], self.folder / f"{self._made}.db")

    @cached_property
    def sample(self) -> Path:
        """A small database of mix events: rows for the bare commits."""
        path = self.new_database()
        databases.fill(path, _SAMPLE_EVENTS, SEED)
        return path

    def drop(self, database: Path) -> None:
        """Removes a database and what lies beside it."""
        for path in self.folder.glob(database.name + "*"):
            path.unlink()

    @cached_property
    def postgres(self) -> PostgresServer:
        """A Postgres server with its own defaults, for all measurements."""
        server = PostgresServer(self.folder.parent)
        self._closing.callback(server.stop)
        return server.start()

    def new_folder(self) -> Path:
        """A new empty folder."""
        self._made += 1
        folder = self.folder / str(self._made)
        folder.mkdir()
        return folder

    def start(self, database: Path | str, environment: dict[str, str] | None = None) -> Sidecar:
        """A sidecar with default settings (but for the environment, and the ledger, which is off
        unless that says otherwise) on a file or a URL, killed at the end if it still runs."""
        told = {"TRIMTAB_LEDGER": "false"} | (environment or {})
        sidecar = Sidecar(database, environment=told, written=self.new_folder() / "sidecar")
        self._closing.callback(sidecar.kill)
        return sidecar.start()

    @cached_property
    def shared(self) -> Sidecar:
        """One sidecar for the measurements that do not care what it holds."""
        return self.start(self.new_database())

    def stop(self, sidecar: Sidecar) -> None:
        """Ends a sidecar in good order. Raises RuntimeError when it does not end so."""
        code = sidecar.terminate()
        if code:
            raise RuntimeError(f"the sidecar ended with {code}:\n{sidecar.log}")

    def echo_server(self) -> str:
        """Starts a bare gRPC server and returns its address."""
        command = [sys.executable, "-m", "tests.load.reference", "echo"]
        process = self._closing.enter_context(
            subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        self._closing.callback(process.kill)
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def child(self, module: str, *arguments: object) -> Any:
        """Runs a module of this folder in a fresh process; what its last line of output says."""
        done = subprocess.run(
            [sys.executable, "-m", f"tests.load.{module}", *map(str, arguments)],
            cwd=ROOT,
            # Never the spool, or the gate's memory, of whoever measures.
            env={
                **os.environ,
                "TRIMTAB_SPOOL_DIR": str(self.folder / "spool"),
                "TRIMTAB_GATE_DIR": str(self.folder / "gate"),
            },
            capture_output=True,
            text=True,
            timeout=_CHILD_S_MAX,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{module} failed:\n{done.stderr[-2_000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def bare_commit_s(self, count: int) -> float:
        """Median seconds of `count` bare commits, in a fresh process and database."""
        target = self.new_database()
        flags = ("--source", self.sample, "--target", target, "--count", count)
        took_s = self.child("reference", "commits", *flags, "--pragmas", json.dumps(self.pragmas))
        self.drop(target)
        return float(median(took_s))


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in MB (10**6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"process {pid} has no memory")


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used."""
    return _cpu_s(pid, 2)


def family_cpu_s(pid: int) -> float:
    """Processor seconds that a process and its children have used, ended ones included."""
    total = 0.0
    for child in _children(pid):
        # One that ends now is among its parent's ended children.
        with suppress(OSError):
            total += _cpu_s(child, 2)
    return total + _cpu_s(pid, 4)


def _cpu_s(pid: int, count: int) -> float:
    """user and system time; then those of ended children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11 : 11 + count])) / os.sysconf("SC_CLK_TCK")


def test_folder() -> Path:
    """Where databases go: TRIMTAB_TEST_DIR, else the clone's .cache."""
    base = Path(os.environ.get("TRIMTAB_TEST_DIR", ROOT / ".cache")).resolve()
    base.mkdir(parents=True, exist_ok=True)
    if base == ROOT / ".cache":
        (base / ".gitignore").write_text("*\n")
    return base
