from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.client.conftest import Connect, eventually
from trimtab_client import Client, Credentials, CredentialsError, FakeSidecar, Unauthenticated
from trimtab_client import credentials as module
from trimtab_client.channel import LazyChannel

TOKEN = "trimtab_" + "t" * 43
_VARIABLES = ("TOKEN", "TOKEN_FILE", "TLS_CA", "TLS_CERT", "TLS_KEY", "ADDRESS")
Arguments = dict[str, Any]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _VARIABLES:
        monkeypatch.delenv(f"TRIMTAB_{name}", raising=False)


class Heard(grpc.GenericRpcHandler):
    """A server that answers every call with what its caller sent as `authorization`."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def service(self, handler_call_details: Any) -> Any:
        """A handler of the kind that the method's name tells."""
        sent = [v for k, v in handler_call_details.invocation_metadata if k == "authorization"]
        self.tokens += sent
        answer = ",".join(sent).encode()
        if handler_call_details.method.endswith("stream_stream"):
            return grpc.stream_stream_rpc_method_handler(lambda _requests, _: iter([answer]))
        if handler_call_details.method.endswith("unary_stream"):
            return grpc.unary_stream_rpc_method_handler(lambda _request, _: iter([answer]))
        return grpc.unary_unary_rpc_method_handler(lambda _request, _: answer)


Echo = Callable[[str], tuple[str, Heard]]


@pytest.fixture
def echo() -> Iterator[Echo]:
    """Starts such a server; gives its address and what it heard."""
    servers = []

    def start(address: str) -> tuple[str, Heard]:
        heard = Heard()
        server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[heard])
        servers.append(server)
        port = server.add_insecure_port(address)
        server.start()
        return address.replace(":0", f":{port}") if address.endswith(":0") else address, heard

    yield start
    for server in servers:
        server.stop(None).wait()


def said(channel: LazyChannel, kind: str = "unary_unary") -> str:
    """What the server heard as `authorization` in a call of this kind."""
    call = getattr(channel.get(), kind)(f"/x/{kind}")
    if kind == "unary_unary":
        return bytes(call(b"", timeout=20)).decode()
    request: Any = iter([b""]) if kind == "stream_stream" else b""
    [answer] = call(request, timeout=20)
    return bytes(answer).decode()


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_stream"])
def test_the_token_goes_with_every_call(echo: Echo, tmp_path: Path, kind: str) -> None:
    """Over loopback and over a Unix socket, whatever the kind of the call; without one nothing
    is sent."""
    for listen in ("127.0.0.1:0", f"unix:{tmp_path}/s"):
        address, _ = echo(listen)
        for credentials, wanted in ((Credentials(token=TOKEN), f"Bearer {TOKEN}"), (None, "")):
            channel = LazyChannel(address, credentials)
            assert said(channel, kind) == wanted
            channel.close()


REMOTE = [
    *("10.0.0.1:7517", "example.com:7517", "[2001:db8::1]:7517", "0.0.0.0:7517"),
    *("dns:///127.0.0.1:7517", "ipv4:10.0.0.1:1", "localhost.example.com:1", "127.0.0.1.nip:1"),
    *("http://example.com:7517", "unix-abstract:x", "example.com"),
]


@pytest.mark.parametrize("address", REMOTE)
def test_a_token_never_goes_over_a_connection_that_others_read(address: str) -> None:
    """Refused when the client is made, with the argument at fault and what would do; over TLS it
    may go anywhere."""
    with pytest.raises(ValueError, match=r"^token: .*TLS") as refused:
        Client(address, credentials=Credentials(token=TOKEN))
    assert TOKEN not in str(refused.value)
    with pytest.raises(ValueError, match=r"^token_file: .*TLS"):
        LazyChannel(address, Credentials(token_file="/no/such/file"))
    LazyChannel(address, None)
    if not address.startswith("http://"):
        LazyChannel(address, Credentials(token=TOKEN, tls_ca="/no/such/file"))
        LazyChannel(f"https://{address}", Credentials(token=TOKEN))


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.9.9.9:1", "unix:/x", "http://[::1]:1"]
)
def test_a_token_stays_on_this_machine_without_tls(address: str) -> None:
    """Loopback and Unix sockets need no TLS; the channel is made, and shows no token."""
    channel = LazyChannel(address, Credentials(token=TOKEN))
    assert TOKEN not in f"{channel!r}{vars(channel)}"
    assert channel.get() is channel.get()
    channel.close()


def test_a_name_that_leads_elsewhere_gets_no_token(
    echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When "localhost" is somebody else's machine, the connection is refused before the call."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        here = probe.getsockname()[0]
    address, heard = echo(f"{here}:0")
    monkeypatch.setattr(module, "_is_local", lambda _address: True)
    channel = LazyChannel(address, Credentials(token=TOKEN))
    with pytest.raises(grpc.RpcError) as refused:
        said(channel)
    channel.close()
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert heard.tokens == []


def test_what_is_not_told_comes_from_the_environment(
    echo: Echo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token told beats both variables; two of them are refused."""
    address, _ = echo("127.0.0.1:0")
    monkeypatch.setenv("TRIMTAB_TOKEN", TOKEN)
    assert said(LazyChannel(address)) == f"Bearer {TOKEN}"
    path = tmp_path / "token"
    path.write_text("other\n")
    assert said(LazyChannel(address, Credentials(token_file=path))) == "Bearer other"
    monkeypatch.setenv("TRIMTAB_TOKEN_FILE", str(path))
    with pytest.raises(CredentialsError, match=r"^token, token_file: "):
        LazyChannel(address)
    assert said(LazyChannel(address, Credentials(token="mine"))) == "Bearer mine"
    monkeypatch.delenv("TRIMTAB_TOKEN")
    assert said(LazyChannel(address)) == "Bearer other"
    monkeypatch.setenv("TRIMTAB_TOKEN_FILE", "")
    assert said(LazyChannel(address)) == ""


BAD: list[tuple[str, Arguments]] = [
    ("token", {"token": ""}),
    ("token", {"token": "a b"}),
    ("token", {"token": "a\nb"}),
    ("token", {"token": "ä"}),
    ("token", {"token": "x" * 5_000}),
    ("token, token_file", {"token": "x", "token_file": "y"}),
    ("tls_cert", {"tls_cert": "x"}),
    ("tls_key", {"tls_key": "x"}),
]


@pytest.mark.parametrize(("name", "told"), BAD)
def test_credentials_that_make_no_sense_are_refused(name: str, told: Arguments) -> None:
    """With the name at fault, and never with what it holds."""
    with pytest.raises(ValueError, match=f"^{name}: ") as refused:
        Credentials(**told)
    assert "x" * 5_000 not in str(refused.value)


def test_a_ca_for_a_connection_without_tls_is_refused() -> None:
    """The address says one thing and the credentials another."""
    with pytest.raises(CredentialsError, match=r"^tls_ca: "):
        LazyChannel("http://127.0.0.1:1", Credentials(tls_ca="ca.pem"))


def test_nothing_shows_a_token() -> None:
    """Texts of the credentials and of all that holds them."""
    credentials = Credentials(token=TOKEN)
    channel = LazyChannel("127.0.0.1:1", credentials)
    shown = [repr(credentials), str(credentials), repr(channel), repr(channel.get())]
    shown.append(repr(Client(channel=channel)))
    assert not any(TOKEN in text for text in shown)


@pytest.mark.parametrize("name", ["token_file", "tls_ca", "tls_cert", "tls_key"])
def test_a_file_that_cannot_be_read_is_named_by_the_first_call(tmp_path: Path, name: str) -> None:
    """Construction reads nothing; the call raises an error of its kind, and a file with something
    else in it is told too."""
    files = {each: tmp_path / each for each in ("tls_cert", "tls_key")}
    for each, path in files.items():
        words = "CERTIFICATE" if each == "tls_cert" else "PRIVATE KEY"
        path.write_text(f"-----BEGIN {words}-----\n")
    told: Arguments = dict(files) if name.startswith("tls") else {}
    told[name] = tmp_path / "absent"
    with Client("127.0.0.1:1", credentials=Credentials(**told)) as client:
        with pytest.raises(Unauthenticated, match=f"{name}: cannot read .*absent"):
            client.get_stats()
        (tmp_path / "absent").write_text("two words")
        with pytest.raises(Unauthenticated, match=f"{name}: ") as refused:
            client.get_stats()
        assert "two words" not in str(refused.value)


def test_a_token_file_may_be_exchanged(echo: Echo, tmp_path: Path) -> None:
    """The next call carries the new token; while the file is away the one before still goes."""
    address, _ = echo("127.0.0.1:0")
    path = tmp_path / "token"
    path.write_text("one\n")
    channel = LazyChannel(address, Credentials(token_file=path))
    assert said(channel) == "Bearer one"
    path.write_text("two")
    assert said(channel) == "Bearer two"
    path.unlink()
    assert said(channel) == "Bearer two"


def test_a_recorder_without_its_token_file_waits_for_it(
    connected: Connect, fake: FakeSidecar, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Events are kept, one warning names the file, and nothing is lost when it comes."""
    path = tmp_path / "token"
    tt = connected(credentials=Credentials(token_file=path))
    assert tt.metric(name="n", value=1.0) is not None
    assert eventually(lambda: "token_file: cannot read" in tt.stats.last_error)
    path.write_text(TOKEN)
    assert tt.flush(20).durable
    assert len(fake.events()) == 1
    warnings = [each for each in caplog.records if "token_file" in each.getMessage()]
    assert [each.exc_info for each in warnings] == [None]
