"""A TCP proxy that misbehaves when told: between a client and its sidecar, or sidecar and Postgres.

`up` is the way from the client to the server, `down` the way back. A stalled way carries nothing,
not even the end of a connection, and goes on where it stood when it heals: what TCP shows of a
network that loses every packet for a while. An abandoned connection stays silent for ever, while
new ones pass: what is left when a peer or a router forgets it.
"""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.chaos.http2 import EVERY_STREAM, FrameReader, go_away_frame

_CHUNK_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)
_ANSWER_S_MAX = 10.0
_SLOW_TICK_S = 0.05


@dataclass(frozen=True)
class Way:
    """What happens to the bytes that go one way; the default passes them on."""

    stalled: bool = False
    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: int = 0  # 0: as fast as it goes


PASS = Way()
STALL = Way(stalled=True)


@dataclass
class _Link:
    """One connection through the proxy: a socket to each side, None while there is none."""

    client: socket.socket
    server: socket.socket | None = None
    abandoned: bool = False
    frames: FrameReader = field(default_factory=FrameReader)
    go_away: bytes = b""
    sending_down: asyncio.Lock = field(default_factory=asyncio.Lock)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def close(self, *, reset: bool) -> None:
        for one in (self.client, self.server):
            if one is not None:
                if reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                one.close()


class Proxy:
    """Listens on a loopback port of its own while its block runs; faults are set from any thread.

    target: "host:port", looked up at each new connection. seed: of the jitter.
    """

    def __init__(self, target: str, seed: int = 0) -> None:
        self.target = target
        self.up = PASS
        self.down = PASS
        self._rng = random.Random(seed)
        self._links: list[_Link] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._healed = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"proxy-{self.port}", daemon=True)
        self.connections_seen = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_S_MAX)
        self._loop.close()
        self._listener.close()

    # -- faults -------------------------------------------------------------------------------

    def set(self, up: Way = PASS, down: Way = PASS) -> None:
        """What happens from now on, to open and new connections; without arguments all passes."""

        async def change() -> None:
            self.up, self.down = up, down
            self._healed.set()
            self._healed = asyncio.Event()

        self._do(change)

    def black_hole(self) -> None:
        """Nothing passes in either direction, and nobody is told."""
        self.set(STALL, STALL)

    def heal(self) -> None:
        """Everything passes again, stalled bytes first; abandoned connections stay dead."""
        self.set()

    def reset(self) -> None:
        """Both ends of every connection get a RST."""

        async def cut() -> None:
            for link in list(self._links):
                await self._drop(link, reset=True)

        self._do(cut)

    def abandon(self) -> None:
        """The connections of now fall silent for ever; new ones pass."""

        async def forget() -> None:
            for link in self._links:
                link.abandoned = True

        self._do(forget)

    def go_away(self, last_stream_id: int = EVERY_STREAM) -> None:
        """Puts an HTTP/2 GOAWAY between two frames on every connection's way to its client."""

        async def tell() -> None:
            for link in self._links:
                link.go_away = go_away_frame(last_stream_id)
                async with link.sending_down:
                    if link.frames.between_frames and not self._is_stalled(link, "down"):
                        await self._loop.sock_sendall(link.client, link.go_away)
                        link.go_away = b""

        self._do(tell)

    @property
    def connections(self) -> int:
        """How many connections are open through it, abandoned ones included."""
        return len(self._links)

    # -- the loop's thread --------------------------------------------------------------------

    def _do(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result(_ANSWER_S_MAX)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._accepting = self._loop.create_task(self._accept())
        self._loop.run_forever()

    async def _end(self) -> None:
        self._accepting.cancel()
        for link in list(self._links):
            await self._drop(link, reset=False)
        await asyncio.gather(self._accepting, return_exceptions=True)

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections_seen += 1
            link = _Link(client)
            self._links.append(link)
            link.tasks.append(self._loop.create_task(self._carry(link)))

    async def _carry(self, link: _Link) -> None:
        """One connection's life: ends with both ways, or at the first error of either side."""
        await self._passable(link, "up")
        host, _, port = self.target.rpartition(":")
        reset = True
        try:
            link.server = socket.socket()
            link.server.setblocking(False)
            link.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(link.server, (host, int(port)))
            ways = [self._pump(link, "up"), self._pump(link, "down")]
            link.tasks += [self._loop.create_task(way) for way in ways]
            await asyncio.gather(*link.tasks[1:])
            reset = False
        except OSError:
            # A side is gone or refuses: the other one shall know, unless the network is mute.
            await self._passable(link, "down")
        await self._drop(link, reset=reset)

    async def _drop(self, link: _Link, *, reset: bool) -> None:
        if link not in self._links:
            return
        self._links.remove(link)
        others = [task for task in link.tasks if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        link.close(reset=reset)

    def _is_stalled(self, link: _Link, way: str) -> bool:
        return link.abandoned or (self.up if way == "up" else self.down).stalled

    async def _passable(self, link: _Link, way: str) -> None:
        while self._is_stalled(link, way):
            await self._healed.wait()

    async def _pump(self, link: _Link, way: str) -> None:
        assert link.server is not None
        source, sink = link.client, link.server
        if way == "down":
            source, sink = sink, source
        while True:
            await self._passable(link, way)
            data = await self._loop.sock_recv(source, _CHUNK_BYTES)
            now = self.up if way == "up" else self.down
            if now.delay_s or now.jitter_s:
                await asyncio.sleep(now.delay_s + self._rng.uniform(0, now.jitter_s))
            await self._passable(link, way)
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            await self._send(link, sink, way, data)

    async def _send(self, link: _Link, sink: socket.socket, way: str, data: bytes) -> None:
        while data:
            now = self.up if way == "up" else self.down
            size = max(1, int(now.bytes_per_s * _SLOW_TICK_S)) if now.bytes_per_s else len(data)
            part, data = data[:size], data[size:]
            if now.bytes_per_s:
                await asyncio.sleep(len(part) / now.bytes_per_s)
                await self._passable(link, way)
            if way == "up":
                await self._loop.sock_sendall(sink, part)
                continue
            async with link.sending_down:
                at = link.frames.boundary(part)
                if link.go_away and at is not None:
                    part = part[:at] + link.go_away + part[at:]
                    link.go_away = b""
                await self._loop.sock_sendall(sink, part)
