"""systemd (Type=notify) hears when the sidecar serves and when it stops."""

import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Sidecar
from tests.faults.driver import CALL_S_MAX


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_hears_ready_and_stopping(sidecar: Callable[..., Sidecar], kind: str) -> None:
    """READY=1 once it listens, STOPPING=1 once it was told to stop."""
    # A socket's path holds 107 bytes: the test's own folder may be too deep.
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        path = str(Path(folder) / "notify")
        systemd.bind("\0" + path if kind == "abstract" else path)
        systemd.settimeout(CALL_S_MAX)
        told = "@" + path if kind == "abstract" else path
        server = sidecar(environment={"NOTIFY_SOCKET": told})
        assert systemd.recv(64) == b"READY=1"
        assert server.terminate() == 0
        assert systemd.recv(64) == b"STOPPING=1"


def test_a_notify_socket_that_is_gone_is_no_reason_to_fail(
    sidecar: Callable[..., Sidecar],
) -> None:
    """The sidecar serves and stops in order all the same."""
    server = sidecar(environment={"NOTIFY_SOCKET": "/nowhere/notify"})
    assert server.terminate() == 0
