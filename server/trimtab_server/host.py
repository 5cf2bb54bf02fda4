"""The machine around the sidecar: whose an address is, and systemd's word of it."""

import contextlib
import errno
import os
import socket

from trimtab_server.errors import ConfigurationError


def refuse_taken(listen: str) -> None:
    """Raises ConfigurationError when another process serves the address: gRPC would take over its
    Unix socket, and says more than one clear line about its port."""
    is_taken = False
    try:
        if listen.startswith("unix:"):
            with socket.socket(socket.AF_UNIX) as probe:
                is_taken = probe.connect_ex(listen.removeprefix("unix:")) == 0
        else:
            host, _, port = listen.rpartition(":")
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host.strip("[]"), int(port)))
    except OSError as error:
        is_taken = error.errno == errno.EADDRINUSE
    if is_taken:
        raise ConfigurationError(f"cannot listen on {listen}: another process does")


def notify(words: str) -> None:
    """Tells systemd (Type=notify), where there is one."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel,
        contextlib.suppress(OSError),
    ):
        channel.sendto(words.encode(), address)
