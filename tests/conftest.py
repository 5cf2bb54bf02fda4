"""Fixtures for every test folder: a real sidecar process on a real disk."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.postgres import NOT_OURS, PostgresServer, running_server

ROOT = Path(__file__).resolve().parent.parent
START_S_MAX = 120.0
STOP_S_MAX = 20.0
_LISTENING = re.compile(r"^trimtab (\S+) listening on (\S+)$", re.MULTILINE)
# What fsync means nothing to: a durability test there would prove nothing.
_VOLATILE = {"tmpfs", "ramfs"}


def filesystem_of(path: Path, mounts: str) -> str:
    """The type of the file system that holds a path, by the longest mount point above it."""
    best, kind = "", "unknown"
    for line in mounts.splitlines():
        _, point, this_kind, *_ = line.split()
        point = point.replace("\\040", " ")
        inside = path.is_relative_to(point)
        if inside and len(point) >= len(best):
            best, kind = point, this_kind
    return kind


@pytest.fixture(autouse=True)
def spool_path(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where recorders of this test spool, started processes included; the first makes it. Gates
    remember what they heard beside it."""
    name = uuid.uuid4().hex
    path = tmp_path_factory.getbasetemp() / "spools" / name
    monkeypatch.setenv("TRIMTAB_SPOOL_DIR", str(path))
    monkeypatch.setenv("TRIMTAB_GATE_DIR", str(path.with_name(f"{name}-gate")))
    return path


def disk_base() -> Path:
    """A folder on a real disk: TRIMTAB_TEST_DIR, else the clone's .cache."""
    base = Path(os.environ.get("TRIMTAB_TEST_DIR", ROOT / ".cache")).resolve()
    base.mkdir(parents=True, exist_ok=True)
    if base == ROOT / ".cache":
        (base / ".gitignore").write_text("*\n")
    mounts = Path("/proc/mounts")
    if mounts.exists():
        kind = filesystem_of(base, mounts.read_text())
        assert kind not in _VOLATILE, f"{base} lies on {kind}: set TRIMTAB_TEST_DIR to a real disk"
    return base


@pytest.fixture
def disk_path() -> Iterator[Path]:
    """A new folder on a real disk."""
    folder = Path(tempfile.mkdtemp(prefix="test-", dir=disk_base()))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real Postgres server for all tests of this process."""
    yield from running_server(disk_base())


@pytest.fixture
def own_postgres(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """The same server for a test that kills, pauses or restarts it; it runs again afterwards."""
    if not postgres_server.ours:
        pytest.skip(NOT_OURS)
    yield postgres_server
    postgres_server.ensure_running()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a new, empty Postgres database."""
    url = postgres_server.database()
    yield url
    postgres_server.drop(url)


@dataclass
class Sidecar:
    """A real `trimtab serve` process, its address and its database (a file, or a URL)."""

    database: Path | str
    flags: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()
    listen: str = "127.0.0.1:0"
    # Where its output goes; beside the database unless told.
    written: Path | None = None
    version: str = ""
    address: str = ""
    _process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        """The process (of the wrapper, where there is one)."""
        assert self._process is not None, "the sidecar was not started"
        return self._process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def log(self) -> str:
        """What it wrote on stderr in all its lives."""
        return self._written(".log").read_text("utf-8", "replace")

    @property
    def output(self) -> str:
        """What it wrote on stdout in its present life."""
        return self._written(".out").read_text("utf-8", "replace")

    @property
    def file(self) -> Path:
        """Its SQLite database."""
        assert isinstance(self.database, Path), "its database is no file"
        return self.database

    def _written(self, suffix: str) -> Path:
        base = self.written or self.file
        return base.with_name(base.name + suffix)

    def start(self) -> "Sidecar":
        """Starts it and waits until it listens."""
        command = [*self.wrapper, sys.executable, "-m", "trimtab_server", "serve"]
        command += ["--listen", self.listen, "--database", str(self.database), *self.flags]
        with self._written(".out").open("w") as output, self._written(".log").open("a") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                text=True,
                env={**os.environ, **self.environment},
            )
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline and self._process.poll() is None:
            if match := _LISTENING.search(self.output):
                self.version, self.address = match[1], match[2]
                return self
            time.sleep(0.01)
        ended = self._process.poll()
        self.kill()
        pytest.fail(f"no sidecar (exit code {ended}); it wrote:\n{self.output}\n{self.log}")

    def kill(self) -> None:
        """SIGKILL: the end without a goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S_MAX)

    def terminate(self, within_s: float = STOP_S_MAX) -> int:
        """SIGTERM, and the exit code of the orderly end."""
        self.process.terminate()
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"the sidecar did not stop within {within_s} s; it wrote:\n{self.log}")

    def restart(self, *, same_address: bool = True) -> "Sidecar":
        """Starts it anew on the same database (and address), after `kill` or `terminate`."""
        assert self.process.poll() is not None, "kill or terminate it first"
        if same_address:
            self.listen = self.address
        return self.start()


@pytest.fixture
def sidecar(disk_path: Path) -> Iterator[Callable[..., Sidecar]]:
    """Starts sidecars, each in its own database unless told; all are gone after the test.

    `sidecar("--grace-s", "1", wrapper=("strace", "-D", "-f"), database=path_or_url)`; with -D the
    process stays the direct child, so signals reach it and not the tracer.
    """
    started: list[Sidecar] = []

    def start(*flags: str, database: Path | str | None = None, **more: object) -> Sidecar:
        path = disk_path / f"sidecar-{len(started)}.db"
        more.setdefault("written", path)
        one = Sidecar(database or path, flags, **more)  # type: ignore[arg-type]
        started.append(one)
        return one.start()

    yield start
    for one in started:
        one.kill()
