from __future__ import annotations

import pytest

from trimtab_client.channel import LazyChannel, resolved_address


def test_the_address_is_the_argument_then_the_environment_then_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An engine is moved to another sidecar without touching its code."""
    monkeypatch.delenv("TRIMTAB_ADDRESS", raising=False)
    assert resolved_address(None) == "127.0.0.1:7517"
    monkeypatch.setenv("TRIMTAB_ADDRESS", "unix:/run/trimtab.sock")
    assert resolved_address(None) == "unix:/run/trimtab.sock"
    assert resolved_address("host:1") == "host:1"


def test_the_channel_is_opened_once_and_not_after_close() -> None:
    """One connection is shared; a closed client says so."""
    channel = LazyChannel("127.0.0.1:1")
    assert channel.get() is channel.get()
    channel.close()
    channel.close()
    with pytest.raises(RuntimeError, match="closed"):
        channel.get()


def test_a_forgotten_channel_is_replaced_and_not_closed() -> None:
    """What a forked child does."""
    channel = LazyChannel("127.0.0.1:1")
    first = channel.get()
    channel.forget()
    assert channel.get() is not first
    channel.close()
    first.close()
