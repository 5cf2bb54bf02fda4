"""A sidecar beyond this machine: TLS with tokens, TLS with client certificates, or no start."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.callers import access_file, entry, new_token
from tests.certificates import Authority, Pair, server_pair, tls_flags
from tests.conftest import Sidecar
from trimtab_client import (
    Client,
    Credentials,
    PermissionDenied,
    TrimtabError,
    Unauthenticated,
    Unavailable,
    connect,
)
from trimtab_server.cli import app

TOKENS = {role: new_token() for role in ("ingest", "read", "operate")}
RUNNER = CliRunner()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    """The certificate of the sidecars."""
    return server_pair(authority)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


def _started(folder: Path, *flags: str) -> Sidecar:
    """A sidecar on every address of this machine; its own is then the loopback one."""
    one = Sidecar(folder / "log.db", flags, listen="0.0.0.0:0").start()
    one.address = one.address.replace("0.0.0.0", "127.0.0.1")
    return one


@pytest.fixture(scope="module")
def open_to_tokens(tmp_path_factory: pytest.TempPathFactory, pair: Pair) -> Iterator[Sidecar]:
    """A sidecar with TLS and an access file of tokens."""
    folder = tmp_path_factory.mktemp("tokens")
    path = access_file(folder / "access.toml", TOKENS)
    one = _started(folder, *tls_flags(pair), "--access-file", str(path), "--log-level", "debug")
    yield one
    one.kill()


@pytest.fixture(scope="module")
def open_to_certificates(
    tmp_path_factory: pytest.TempPathFactory, pair: Pair, authority: Authority
) -> Iterator[Sidecar]:
    """A sidecar that asks for client certificates and has no access file."""
    folder = tmp_path_factory.mktemp("certificates")
    one = _started(folder, *tls_flags(pair, authority.certificate))
    yield one
    one.kill()


def _stats(one: Sidecar, credentials: Credentials) -> int:
    with Client(one.address, credentials=credentials, timeout_s=5.0) as client:
        return client.get_stats().event_count


def test_tokens_over_tls_reach_what_their_roles_allow(
    open_to_tokens: Sidecar, authority: Authority
) -> None:
    """An engine records, holds a lease of the gate, and cannot read; a reader reads."""
    address, ca = open_to_tokens.address, authority.certificate
    engine = Credentials(token=TOKENS["ingest"], tls_ca=ca)
    with connect(source="e", environment="PAPER", address=address, credentials=engine) as tt:
        for number in range(3):
            tt.signal(signal_id=f"s{number}", symbol="AAPL", side="BUY")
        assert tt.flush(20).durable
        assert tt.gate.wait_fresh(20)
        with pytest.raises(PermissionDenied) as refused:
            tt.client.get_stats()
        assert refused.value.metadata == {"role": "read"}
    assert _stats(open_to_tokens, Credentials(token=TOKENS["read"], tls_ca=ca)) == 3
    for stranger in (Credentials(tls_ca=ca), Credentials(token=new_token(), tls_ca=ca)):
        with pytest.raises(Unauthenticated):
            _stats(open_to_tokens, stranger)


def test_without_tls_or_with_another_ca_nobody_talks(
    open_to_tokens: Sidecar, open_to_certificates: Sidecar, stranger: Authority
) -> None:
    """Not the client that speaks plainly, nor the one that does not know the server."""
    unknown = Credentials(tls_ca=stranger.certificate)
    for one in (open_to_tokens, open_to_certificates):
        for credentials in (Credentials(), unknown):
            with pytest.raises(Unavailable) as refused:
                _stats(one, credentials)
            assert not refused.value.reason


def test_reflection_is_off_beyond_this_machine(
    open_to_tokens: Sidecar, authority: Authority
) -> None:
    """Unless it is asked for; the services that are served are told by GetServerInfo."""
    credentials = Credentials(token=TOKENS["operate"], tls_ca=authority.certificate)
    with Client(open_to_tokens.address, credentials=credentials) as client:
        assert client.get_server_info().services
        reflect: Any = client._channel.get().unary_unary(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        )
        with pytest.raises(Exception, match="UNIMPLEMENTED"):
            reflect(b"", timeout=10)


def test_every_certificate_of_the_ca_may_call_without_an_access_file(
    open_to_certificates: Sidecar, authority: Authority, stranger: Authority
) -> None:
    """One of another CA, or none, does not get past the handshake."""
    ca, own = authority.certificate, authority.pair("anybody")
    mine = Credentials(tls_ca=ca, tls_cert=own.certificate, tls_key=own.key)
    assert _stats(open_to_certificates, mine) == 0
    theirs = stranger.pair("somebody")
    for credentials in (
        Credentials(tls_ca=ca),
        Credentials(tls_ca=ca, tls_cert=theirs.certificate, tls_key=theirs.key),
    ):
        with pytest.raises(Unavailable):
            _stats(open_to_certificates, credentials)


def test_certificates_have_roles(tmp_path: Path, pair: Pair, authority: Authority) -> None:
    """With an access file a certificate of the CA is a caller only when it stands there, by one of
    its DNS names or its common name; a token then says who calls."""
    path = access_file(
        tmp_path / "access.toml",
        TOKENS,
        entry("engine", ["ingest"], certificate="engine.local"),
        entry("desk", ["read"], certificate="desk"),
    )
    flags = [*tls_flags(pair, authority.certificate), "--access-file", str(path)]
    one = _started(tmp_path, *flags)
    try:
        by_dns = authority.pair("e", "DNS:x.local", "DNS:engine.local")
        by_name = authority.pair("desk")
        nobody = authority.pair("nobody", "DNS:nobody.local")

        def shown(own: Pair, token: str | None = None) -> Credentials:
            ca = authority.certificate
            return Credentials(token, tls_ca=ca, tls_cert=own.certificate, tls_key=own.key)

        assert _stats(one, shown(by_name)) == 0
        with pytest.raises(PermissionDenied):
            _stats(one, shown(by_dns))
        with pytest.raises(Unauthenticated):
            _stats(one, shown(nobody))
        assert _stats(one, shown(nobody, TOKENS["read"])) == 0
        with pytest.raises(Unauthenticated):
            _stats(one, shown(by_name, new_token()))
    finally:
        one.kill()


def test_the_command_line_reaches_a_secured_sidecar(
    open_to_tokens: Sidecar, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By options of the command or by the environment; without them it says what may be missing."""
    token_file = tmp_path / "token"
    token_file.write_text(TOKENS["read"] + "\n")
    address, ca = open_to_tokens.address, str(authority.certificate)
    command = ["events", "stats", "--address", address]
    options = ["--token-file", str(token_file), "--tls-ca", ca]
    done = RUNNER.invoke(app, [*command, *options])
    assert done.exit_code == 0, done.output
    assert RUNNER.invoke(app, ["status", *command[2:], *options]).exit_code == 0
    monkeypatch.setenv("TRIMTAB_TLS_CA", ca)
    done = RUNNER.invoke(app, command)
    assert (done.exit_code, "UNAUTHENTICATED" in done.stderr) == (1, True)
    monkeypatch.setenv("TRIMTAB_TOKEN", TOKENS["read"])
    assert RUNNER.invoke(app, command).exit_code == 0
    monkeypatch.delenv("TRIMTAB_TLS_CA")
    monkeypatch.delenv("TRIMTAB_TOKEN")
    done = RUNNER.invoke(app, command)
    assert done.exit_code == 1
    assert "--tls-ca" in done.stderr
    done = RUNNER.invoke(app, ["events", "stats", "--address", f"https://{address}"])
    assert done.exit_code == 1
    assert done.stderr.startswith(f"trimtab: TLS with {address} failed: CERTIFICATE_VERIFY_FAILED")


@pytest.mark.parametrize("what", ["key", "access file", "other key"])
def test_a_start_that_would_be_open_is_refused(
    tmp_path: Path, pair: Pair, authority: Authority, what: str
) -> None:
    """Exit code 2 and one line with the setting at fault; nothing is made or listened on."""
    key = tmp_path / "server.key"
    key.write_bytes(
        pair.key.read_bytes() if what != "other key" else authority.pair("k").key.read_bytes()
    )
    key.chmod(0o644 if what == "key" else 0o600)
    path = access_file(tmp_path / "access.toml", TOKENS)
    path.chmod(0o644 if what == "access file" else 0o600)
    flags = ["--listen", "0.0.0.0:0", "--database", str(tmp_path / "log.db")]
    flags += [*tls_flags(Pair(pair.certificate, key)), "--access-file", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "trimtab_server", "serve", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    line = done.stderr
    setting = {"key": "tls_key_file", "access file": "access_file", "other key": "tls_cert_file"}
    assert line.startswith(f"trimtab: {setting[what]}")
    assert not (tmp_path / "log.db").exists()


def test_no_token_is_logged_by_either_side(
    open_to_tokens: Sidecar,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    connected_errors: Callable[[Credentials, str], list[TrimtabError]],
) -> None:
    """At level debug, after good and wrong tokens; not by errors or texts of objects either."""
    caplog.set_level("DEBUG")
    tokens = [*TOKENS.values(), new_token()]
    told = []
    for token in tokens:
        credentials = Credentials(token=token, tls_ca=authority.certificate)
        errors = connected_errors(credentials, open_to_tokens.address)
        told += [f"{each!r} {each} {vars(each)}" for each in errors]
        told += [repr(credentials), str(credentials)]
    assert told
    everything = "".join([*told, caplog.text, open_to_tokens.log, open_to_tokens.output])
    assert not any(token in everything for token in tokens)


@pytest.fixture
def connected_errors() -> Callable[[Credentials, str], list[TrimtabError]]:
    """The errors of a recorder and of two calls with these credentials."""

    def errors(credentials: Credentials, address: str) -> list[TrimtabError]:
        found = []
        with connect(
            source="e", environment="BACKTEST", run_id="r", address=address, credentials=credentials
        ) as tt:
            tt.metric(name="n", value=1.0, event_time_ns=1)
            tt.flush(1.0)
            for call in (tt.client.get_stats, lambda: tt.client.get_event("x")):
                try:
                    call()
                except TrimtabError as error:
                    found.append(error)
            tt.close(0.1)
        return found

    return errors
