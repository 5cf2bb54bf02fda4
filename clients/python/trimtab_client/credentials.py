"""What a client shows to a secured sidecar, and how its channel is opened."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import grpc

TOKEN_VARIABLE = "TRIMTAB_TOKEN"  # noqa: S105 - the name of a variable
_PATH_VARIABLES = {
    "token_file": "TRIMTAB_TOKEN_FILE",
    "tls_ca": "TRIMTAB_TLS_CA",
    "tls_cert": "TRIMTAB_TLS_CERT",
    "tls_key": "TRIMTAB_TLS_KEY",
}
_TOKEN_LENGTH_MAX = 4_096
_FILE_BYTES_MAX = 1 << 20

FilePath = str | os.PathLike[str]
Options = Sequence[tuple[str, int | str]]


class CredentialsError(ValueError):
    """A credential will not do; the message begins with its name and never holds what is in it."""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Who the client is, and whom it trusts. Frozen; CredentialsError when it makes no sense.

    What is not told is taken from the environment: $TRIMTAB_TOKEN or $TRIMTAB_TOKEN_FILE (neither,
    when one of the two is told), $TRIMTAB_TLS_CA, $TRIMTAB_TLS_CERT and $TRIMTAB_TLS_KEY. Files
    are read when the channel opens; a token file again for each call, so that it may be exchanged.
    """

    # A token of the sidecar's access file, or a file that holds nothing else.
    token: str | None = None
    token_file: FilePath | None = None
    # PEM file of the CA that signed the sidecar's certificate. It turns TLS on; without it
    # "https://host:port" does, with the CAs that gRPC knows.
    tls_ca: FilePath | None = None
    # PEM files of the client's own certificate and its key.
    tls_cert: FilePath | None = None
    tls_key: FilePath | None = None

    def __post_init__(self) -> None:
        if self.token is not None:
            _usable_token(self.token, "token")
            if self.token_file is not None:
                raise CredentialsError("token, token_file: tell one of them, not both")
        if (self.tls_cert is None) != (self.tls_key is None):
            told, missing = ("tls_cert", "tls_key")[:: 1 if self.tls_cert is not None else -1]
            raise CredentialsError(f"{told}: needs {missing} too")

    def __repr__(self) -> str:
        paths = [f"{name}={getattr(self, name)!r}" for name in _PATH_VARIABLES]
        token = "token=(hidden)" if self.token is not None else "token=None"
        return f"Credentials({', '.join([token, *paths])})"

    @property
    def has_token(self) -> bool:
        """Whether a token is told."""
        return self.token is not None or self.token_file is not None

    @property
    def has_tls(self) -> bool:
        """Whether something is told that only TLS has a use for."""
        return self.tls_ca is not None or self.tls_cert is not None

    def with_environment(self) -> Credentials:
        """These, and what only the environment tells."""
        told: dict[str, Any] = {}
        if not self.has_token and os.environ.get(TOKEN_VARIABLE):
            told["token"] = os.environ[TOKEN_VARIABLE]
        for name, variable in _PATH_VARIABLES.items():
            is_told = self.has_token if name == "token_file" else getattr(self, name) is not None
            if not is_told and os.environ.get(variable):
                told[name] = os.environ[variable]
        return replace(self, **told) if told else self

    def read_token(self) -> str:
        """The token, read from its file where it stands in one. CredentialsError."""
        if self.token_file is None:
            return self.token or ""
        text = _read("token_file", self.token_file).decode("utf-8", "replace").strip()
        return _usable_token(text, "token_file")


class Target(NamedTuple):
    """Where a channel goes: host:port or unix:/path, and whether by TLS."""

    address: str
    is_tls: bool


def target(address: str, credentials: Credentials) -> Target:
    """Where a channel with these credentials goes. No I/O.

    address: host:port, unix:/path, or either host form behind http:// or https://.
    CredentialsError for a token or certificate that would go over a connection that others read.
    """
    plain = address.removeprefix("http://").removeprefix("https://")
    is_tls = credentials.has_tls or address.startswith("https://")
    if plain != address:
        plain = plain.removesuffix("/")
    if is_tls and address.startswith("http://"):
        name = "tls_ca" if credentials.tls_ca is not None else "tls_cert"
        raise CredentialsError(f"{name}: {address} asks for a connection without TLS")
    if credentials.has_token and not is_tls and not _is_local(plain):
        name = "token" if credentials.token is not None else "token_file"
        raise CredentialsError(
            f"{name}: a token goes to {plain} over TLS only: tell tls_ca, or https://{plain}"
        )
    return Target(plain, is_tls)


def open_channel(where: Target, credentials: Credentials, options: Options) -> grpc.Channel:
    """The channel; reads the files. CredentialsError names the one that will not do."""
    # First, so that a token that cannot be read is told here and not by the first call.
    bearer = _Bearer(credentials) if credentials.has_token else None
    channel = _opened(where, credentials, list(options))
    return grpc.intercept_channel(channel, bearer) if bearer is not None else channel


def _opened(where: Target, credentials: Credentials, options: list[Any]) -> grpc.Channel:
    if where.is_tls:
        ca = _pem("tls_ca", credentials.tls_ca, "CERTIFICATE")
        key = _pem("tls_key", credentials.tls_key, "PRIVATE KEY")
        certificate = _pem("tls_cert", credentials.tls_cert, "CERTIFICATE")
        secured = grpc.ssl_channel_credentials(ca, key, certificate)
        return grpc.secure_channel(where.address, secured, options=options)
    if not credentials.has_token:
        return grpc.insecure_channel(where.address, options=options)
    # Plain, but gRPC itself refuses a peer that is not this machine: a name such as localhost
    # could lead elsewhere.
    is_socket = where.address.startswith("unix:")
    kind = grpc.LocalConnectionType.UDS if is_socket else grpc.LocalConnectionType.LOCAL_TCP
    return grpc.secure_channel(where.address, grpc.local_channel_credentials(kind), options=options)


class _Details(NamedTuple):
    """grpc.ClientCallDetails, with a token."""

    method: str
    timeout: float | None
    metadata: list[tuple[str, str | bytes]]
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class _Bearer(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds the token to every call: gRPC's own call credentials start a thread for each."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._token = credentials.read_token()

    def _signed(self, details: Any) -> _Details:
        if self._credentials.token_file is not None:
            # In the middle of an exchange the one before may still do.
            with contextlib.suppress(CredentialsError):
                self._token = self._credentials.read_token()
        sent = [*(details.metadata or ()), ("authorization", f"Bearer {self._token}")]
        return _Details(
            details.method, details.timeout, sent, details.credentials,
            details.wait_for_ready, details.compression,
        )  # fmt: skip

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        """The call, with the token."""
        return continuation(self._signed(client_call_details), request)

    def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        """The call, with the token."""
        return continuation(self._signed(client_call_details), request)

    def intercept_stream_stream(
        self, continuation: Callable[..., Any], client_call_details: Any, request_iterator: Any
    ) -> Any:
        """The call, with the token."""
        return continuation(self._signed(client_call_details), request_iterator)


def _is_local(address: str) -> bool:
    """Whether only this machine can be there: a Unix socket or a loopback address."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0]
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _usable_token(token: str, name: str) -> str:
    if not 1 <= len(token) <= _TOKEN_LENGTH_MAX:
        raise CredentialsError(f"{name}: a token has 1 to {_TOKEN_LENGTH_MAX:,} characters")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise CredentialsError(f"{name}: a token has ASCII characters and no spaces only")
    return token


def _read(name: str, path: FilePath) -> bytes:
    try:
        with Path(path).open("rb") as opened:
            content = opened.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise CredentialsError(f"{name}: cannot read {path}: {error.strerror}") from None
    if len(content) > _FILE_BYTES_MAX:
        raise CredentialsError(f"{name}: {path} has more than {_FILE_BYTES_MAX:,} bytes")
    return content


def _pem(name: str, path: FilePath | None, what: str) -> bytes | None:
    if path is None:
        return None
    content = _read(name, path)
    if b"-----BEGIN " not in content or f"{what}-----".encode() not in content:
        raise CredentialsError(f"{name}: {path} holds no PEM {what.lower()}")
    return content
