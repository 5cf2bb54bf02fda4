"""The gRPC channel: opened at first use, never touched after a fork."""

from __future__ import annotations

import os
import threading
import weakref

import grpc

from trimtab_client.credentials import Credentials, CredentialsError, open_channel, target
from trimtab_client.errors import Unauthenticated

DEFAULT_ADDRESS = "127.0.0.1:7517"
ADDRESS_VARIABLE = "TRIMTAB_ADDRESS"

_OPTIONS: list[tuple[str, int | str]] = [
    # A peer that vanished without a FIN is noticed after half a minute; the server permits it.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Below the lease of the signal gate (5 s): a restarted sidecar is found again in time.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # Each channel has its own connection state: closing one never resets the other's backoff.
    ("grpc.use_local_subchannel_pool", 1),
    # A sidecar is beside the engine; a proxy from the environment would only break it.
    ("grpc.enable_http_proxy", 0),
]


# Where a FakeSidecar of this process listens, or did: recorders of tests leave no files behind.
FAKE_ADDRESSES: set[str] = set()


def resolved_address(address: str | None) -> str:
    """`address`, else $TRIMTAB_ADDRESS, else 127.0.0.1:7517. "unix:/path" works too, and
    "https://host:port" for TLS."""
    return address or os.environ.get(ADDRESS_VARIABLE) or DEFAULT_ADDRESS


class LazyChannel:
    """One channel to one address, opened by the first `get`. Thread-safe and fork-safe.

    Construction does no I/O. Credentials are those told, then the environment's; ValueError when
    they make no sense, or would go over a connection that others can read. Their files are read by
    the first `get`. In a forked child the parent's channel is left alone (never used, never closed:
    its sockets and threads belong to the parent) and a new one is opened.
    """

    def __init__(self, address: str | None = None, credentials: Credentials | None = None) -> None:
        self._credentials = (credentials or Credentials()).with_environment()
        self._target = target(resolved_address(address), self._credentials)
        self.address = self._target.address
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._closed = False
        _live.add(self)

    def get(self) -> grpc.Channel:
        """The channel; RuntimeError after `close`, Unauthenticated when a file of the credentials
        will not do: it may come back, so the next `get` looks again."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the client is closed")
            if self._channel is None:
                try:
                    self._channel = open_channel(self._target, self._credentials, _OPTIONS)
                except CredentialsError as error:
                    code = grpc.StatusCode.UNAUTHENTICATED
                    raise Unauthenticated(str(error), code=code) from None
            return self._channel

    def close(self) -> None:
        """Closes it; calls in flight end with CANCELLED. Idempotent."""
        with self._lock:
            self._closed = True
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def forget(self) -> None:
        """Child of a fork: leaves the parent's channel behind."""
        self._lock = threading.Lock()
        if self._channel is not None:
            _abandoned.append(self._channel)
        self._channel = None


_live: weakref.WeakSet[LazyChannel] = weakref.WeakSet()
# Keeps the parent's channels from being finalised (and thereby touched) in a forked child.
_abandoned: list[grpc.Channel] = []


def _forget_all() -> None:
    for channel in list(_live):
        channel.forget()


os.register_at_fork(after_in_child=_forget_all)
