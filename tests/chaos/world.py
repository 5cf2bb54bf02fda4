"""Everything a chaos run is made of: database, sidecars, proxies, engines, callers, watchers."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.chaos.clock import JumpingClock, why_not
from tests.chaos.lives import Life
from tests.chaos.lives import lives as read_lives
from tests.chaos.proxy import Proxy
from tests.chaos.watchers import Watcher
from tests.conftest import ROOT, Sidecar
from tests.faults.driver import Load
from tests.postgres import PostgresServer, free_port

ENGINE_END_S_MAX = 90.0
PRODUCERS, UNARY, WATCHERS = 4, 1, 2
# Harm is under test, not throughput: a long run keeps every event in memory to judge it.
PAUSE_S_MAX = 0.15
# One engine each.
SPOOL_MODES = ("always", "overflow", "off")


@dataclass
class Engine:
    """An engine's process, started anew after each death; its book goes on through all lives."""

    source: str
    address: str
    folder: Path
    seed: int
    spool_mode: str
    starts: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def lives(self) -> list[Life]:
        """What its book says."""
        return read_lives(self.book)

    @property
    def last_life(self) -> str:
        """What its book says of its last life, unread: the producer's id first."""
        return self.book.read_text("utf-8").rpartition("life ")[2]

    @property
    def book(self) -> Path:
        """Where it writes what it did."""
        return self.folder / f"{self.source}.book"

    @property
    def log(self) -> str:
        """What it wrote on stderr in all its lives."""
        return self.book.with_suffix(".log").read_text("utf-8", "replace")

    def start(self) -> None:
        """Begins a new life."""
        self.starts += 1
        command = [sys.executable, "-m", "tests.chaos.trader", "--address", self.address]
        command += ["--source", self.source, "--book", str(self.book)]
        command += ["--seed", f"{self.seed}-{self.source}-{self.starts}"]
        command += ["--spool-mode", self.spool_mode, "--spool-dir", str(self.folder / "spool")]
        with self.book.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)])},
            )

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def end(self) -> None:
        """Ends its life in order: all it took is settled, or kept in its spool."""
        assert self.process is not None
        self.process.communicate(timeout=ENGINE_END_S_MAX)
        assert self.process.returncode == 0, f"{self.source} ended badly:\n{self.log}"


@dataclass
class World:
    """A context manager: inside, everything runs; outside, nothing is left.

    postgres: the server to use, None for SQLite (then one sidecar). Each sidecar has a proxy before
    it, and on Postgres one between it and the database.
    """

    folder: Path
    seed: int
    postgres: PostgresServer | None = None
    sidecar_count: int = 1
    spool_modes: Sequence[str] = SPOOL_MODES
    flags: tuple[str, ...] = ()
    with_clock: bool = True
    sidecars: list[Sidecar] = field(default_factory=list)
    proxies: list[Proxy] = field(default_factory=list)
    database_proxies: list[Proxy] = field(default_factory=list)
    engines: list[Engine] = field(default_factory=list)
    watchers: list[Watcher] = field(default_factory=list)
    clock: JumpingClock | None = None
    load: Load = field(init=False)
    database: Path | str = ""
    _closing: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        with ExitStack() as closing:
            self.clock = JumpingClock(self.folder) if self.with_clock and not why_not() else None
            self._make_database(closing)
            for number in range(self.sidecar_count):
                self._make_sidecar(number, closing)
            addresses = [proxy.address for proxy in self.proxies]
            self.load = closing.enter_context(
                Load(addresses, self.seed, PRODUCERS, UNARY, pause_s_max=PAUSE_S_MAX)
            )
            for number in range(WATCHERS):
                self.watchers.append(Watcher(f"watcher-{number}", addresses, self.seed))
                self.watchers[-1].start()
            for number, mode in enumerate(self.spool_modes):
                address = addresses[number % len(addresses)]
                engine = Engine(f"engine-{number}", address, self.folder, self.seed, mode)
                self.engines.append(engine)
                closing.callback(engine.kill)
                engine.start()
            self._closing = closing.pop_all()
        return self

    def _make_database(self, closing: ExitStack) -> None:
        if self.postgres is None:
            assert self.sidecar_count == 1, "one sidecar serves a SQLite file"
            self.database = self.folder / "log.db"
            return
        self.database = self.postgres.database()
        closing.callback(self._drop_database)

    def _drop_database(self) -> None:
        assert self.postgres is not None
        assert isinstance(self.database, str)
        self.postgres.drop(self.database)

    def _make_sidecar(self, number: int, closing: ExitStack) -> None:
        database = self.database
        if self.postgres is not None and isinstance(database, str):
            target = f"{self.postgres.host}:{self.postgres.port}"
            between = closing.enter_context(Proxy(target, self.seed))
            self.database_proxies.append(between)
            database = self.postgres.url(database.rpartition("/")[2], port=between.port)
        sidecar = Sidecar(
            database,
            self.flags,
            environment=self.clock.environment if self.clock else {},
            listen=f"127.0.0.1:{free_port()}",
            written=self.folder / f"sidecar-{number}",
        )
        closing.callback(sidecar.kill)
        sidecar.start()
        self.sidecars.append(sidecar)
        self.proxies.append(closing.enter_context(Proxy(sidecar.address, self.seed)))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._closing:
            for watcher in self.watchers:
                watcher.end(10)
            # A process that stands still would not notice its end.
            for engine in self.engines:
                with contextlib.suppress(ProcessLookupError):
                    engine.signal(signal.SIGCONT)

    @property
    def spooled(self) -> list[Path]:
        """The folders in the spool."""
        spool = self.folder / "spool"
        return list(spool.iterdir()) if spool.exists() else []

    @property
    def acknowledged_count(self) -> int:
        """How many events of the callers were acknowledged so far."""
        return self.load.record.acknowledged_count
