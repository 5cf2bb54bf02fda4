"""The proxy does what it is told, to the byte: else the faults above it prove nothing."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import grpc
import pytest

from tests.chaos.http2 import FrameReader
from tests.chaos.proxy import PASS, STALL, Proxy, Way
from tests.conftest import Sidecar
from tests.faults.checker import faults
from tests.faults.driver import CALL_S_MAX, Load, open_channel
from tests.faults.readers import filed_log
from tests.faults.waiting import until
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

SILENCE_S = 0.3


class EchoServer:
    """Sends back what it reads, and counts who came."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.open_connections = 0
        self.ends: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            self.open_connections += 1
            threading.Thread(target=self._echo, args=(one,), daemon=True).start()

    def _echo(self, one: socket.socket) -> None:
        with one:
            try:
                while data := one.recv(65_536):
                    one.sendall(data)
                self.ends.append("closed")
            except ConnectionResetError:
                self.ends.append("reset")
        self.open_connections -= 1

    def close(self) -> None:
        """No new connections; a pending accept ends. Idempotent."""
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    """A server that echoes."""
    server = EchoServer()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: EchoServer) -> Iterator[Proxy]:
    """A proxy before the echo."""
    with Proxy(echo.address) as one:
        yield one


@pytest.fixture
def connect(proxy: Proxy) -> Iterator[Callable[[], socket.socket]]:
    """Connections through the proxy, closed at the end."""
    with ExitStack() as closing:

        def new() -> socket.socket:
            one = closing.enter_context(socket.create_connection(("127.0.0.1", proxy.port)))
            one.settimeout(10)
            return one

        yield new


def echoed(one: socket.socket, data: bytes) -> bytes:
    """What comes back for `data`."""
    one.sendall(data)
    found = b""
    while len(found) < len(data):
        part = one.recv(65_536)
        assert part, f"the connection ended after {len(found)} bytes"
        found += part
    return found


def is_silent(one: socket.socket) -> bool:
    """Whether nothing arrives for a while."""
    one.settimeout(SILENCE_S)
    try:
        one.recv(1)
    except TimeoutError:
        return True
    finally:
        one.settimeout(10)
    return False


def test_bytes_pass_unchanged_and_ends_are_told(
    connect: Callable[[], socket.socket], proxy: Proxy, echo: EchoServer
) -> None:
    """A megabyte through jitter and back is the same; a close reaches the server as a close."""
    data = random.Random(1).randbytes(1_000_000)
    proxy.set(Way(jitter_s=0.005), Way(delay_s=0.001, jitter_s=0.005))
    one = connect()
    sender = threading.Thread(target=one.sendall, args=(data,))
    sender.start()
    found = b""
    while len(found) < len(data):
        found += one.recv(65_536)
    sender.join()
    assert found == data
    one.close()
    until(lambda: echo.ends == ["closed"], "the server to see the close")
    until(lambda: proxy.connections == 0, "the proxy to forget the connection")


@pytest.mark.parametrize(
    ("up", "down"), [(STALL, STALL), (STALL, PASS), (PASS, STALL)], ids=["both", "up", "down"]
)
def test_a_stalled_way_is_silent_and_loses_nothing(
    connect: Callable[[], socket.socket], proxy: Proxy, echo: EchoServer, up: Way, down: Way
) -> None:
    """Neither bytes nor the end pass; new connections stay silent too; healed, all arrives."""
    old = connect()
    assert echoed(old, b"before") == b"before"
    proxy.set(up, down)
    new = connect()
    for one in (old, new):
        one.sendall(b"during")
        assert is_silent(one)
    proxy.heal()
    for one in (old, new):
        assert one.recv(100) == b"during"


def test_a_black_hole_hides_the_end_of_a_connection(
    connect: Callable[[], socket.socket], proxy: Proxy, echo: EchoServer
) -> None:
    """A client that goes away while nothing passes stays connected for the server."""
    one = connect()
    assert echoed(one, b"x") == b"x"
    proxy.black_hole()
    one.close()
    time.sleep(SILENCE_S)  # silence is what is tested
    assert echo.ends == []
    proxy.heal()
    until(lambda: echo.ends != [], "the server to see the end")


def test_abandoned_connections_stay_dead_while_new_ones_pass(
    connect: Callable[[], socket.socket], proxy: Proxy
) -> None:
    """Half-open: the old connection is never answered nor ended, healed or not."""
    old = connect()
    assert echoed(old, b"x") == b"x"
    proxy.abandon()
    proxy.heal()
    old.sendall(b"y")
    assert is_silent(old)
    assert echoed(connect(), b"z") == b"z"


def test_a_reset_reaches_both_ends_as_a_reset(
    connect: Callable[[], socket.socket], proxy: Proxy, echo: EchoServer
) -> None:
    """RST, not an orderly end; the next connection passes."""
    one = connect()
    assert echoed(one, b"x") == b"x"
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        one.recv(1)
    until(lambda: echo.ends == ["reset"], "the server to see the reset")
    assert echoed(connect(), b"y") == b"y"


def test_a_server_that_is_not_there_is_a_reset(
    connect: Callable[[], socket.socket], proxy: Proxy, echo: EchoServer
) -> None:
    """A client learns at once that nobody listens behind the proxy."""
    echo.close()
    with pytest.raises(ConnectionResetError):
        connect().recv(1)


def test_a_slow_way_takes_its_time(connect: Callable[[], socket.socket], proxy: Proxy) -> None:
    """4 kB at 8 kB/s cannot arrive in less than half a second; nothing is lost."""
    proxy.set(up=Way(bytes_per_s=8_000))
    one = connect()
    before_s = time.monotonic()
    assert echoed(one, b"x" * 4_000) == b"x" * 4_000
    assert time.monotonic() - before_s >= 0.5


def frame(kind: int, flags: int, payload: bytes) -> bytes:
    """An HTTP/2 frame on stream 1."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags, 0, 0, 0, 1]) + payload


SETTINGS = frame(4, 0, b"\0" * 6)
HEADERS_BEGIN, HEADERS_END = frame(1, 0, b"ab"), frame(9, 4, b"cd")
DATA = frame(0, 1, b"payload")


def test_boundaries_are_found_however_the_bytes_are_cut() -> None:
    """Only after a whole frame, never inside a block of headers, never before the first frame."""
    stream = SETTINGS + HEADERS_BEGIN + HEADERS_END + DATA
    allowed = {len(SETTINGS), len(stream) - len(DATA), len(stream)}
    for cut in range(len(stream) + 1):
        reader = FrameReader()
        assert not reader.between_frames
        first = reader.boundary(stream[:cut])
        assert first == (len(SETTINGS) if cut >= len(SETTINGS) else None)
        assert reader.between_frames == (cut in allowed)
        second = reader.boundary(stream[cut:])
        due = sorted(at - cut for at in allowed if at > cut)
        assert second == (due[0] if due else None)


def test_a_go_away_is_understood_and_costs_nothing(sidecar: Callable[..., Sidecar]) -> None:
    """A real gRPC client moves to a new connection, and its running watch goes on; when the GOAWAY
    disowns every stream, callers resume. Nothing is lost or doubled."""
    server = sidecar()
    with (
        Proxy(server.address) as proxy,
        Load(proxy.address, seed=11, producers=2, unary=1) as load,
        open_channel(proxy.address) as channel,
    ):
        watch = EventServiceStub(channel).WatchEvents(pb.WatchEventsRequest(), timeout=CALL_S_MAX)
        until(lambda: load.record.acknowledged_count > 200, "a running load")
        seen = proxy.connections_seen
        proxy.go_away()
        until(lambda: proxy.connections_seen > seen, "a new connection after the GOAWAY")
        before = load.record.acknowledged_count
        until(lambda: load.record.acknowledged_count > before + 200, "recording to go on")
        assert next(watch).log_id
        watch.cancel()
        seen = proxy.connections_seen
        proxy.go_away(last_stream_id=0)
        until(lambda: proxy.connections_seen > seen, "a new connection after the second")
        load.drain()
    assert load.protocol_faults == []
    assert {e.code for e in load.endings} <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert server.terminate() == 0
    assert faults(filed_log(server.database), load.record) == []
