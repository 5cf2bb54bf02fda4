"""The gate and a real sidecar: halts, restarts, and what the engine knew meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.client.conftest import eventually
from tests.conftest import Sidecar
from trimtab_client import Client, GateSettings, RecorderSettings, Trimtab, connect

ORDER: dict[str, Any] = {"environment": "PAPER", "actor": "ann", "reason": "news"}
ASKED: dict[str, Any] = {"symbol": "AAPL", "side": "BUY", "confidence": 0.9}


def engine(address: str) -> Trimtab:
    """An engine with a gate that is quick to try again."""
    return connect(
        source="alpha-1",
        environment="PAPER",
        on_unavailable="OPEN",
        address=address,
        settings=RecorderSettings(spool_mode="off", backoff_s_max=0.2),
        gate_settings=GateSettings(backoff_s_max=0.2),
    )


@pytest.mark.timeout(300)
def test_a_halt_outlives_the_engine_and_the_sidecar(sidecar: Callable[..., Sidecar]) -> None:
    """Halted, both killed, the engine alone again, the sidecar again, resumed: never a moment in
    which an entry passes in between; exits always do. Every answer is in the log."""
    server = sidecar()
    with engine(server.address) as tt, Client(server.address) as operator:
        assert tt.gate.wait_fresh(60)
        assert tt.allow(signal_id="s1", **ASKED)
        assert tt.flush(20).durable
        operator.set_trading_state(state="HALTED", symbol="AAPL", **ORDER)
        assert eventually(lambda: tt.allow(**ASKED).codes == ("HALTED",))
        server.kill()
        assert eventually(lambda: tt.gate.state == "EXPIRED", 60)
        assert "STICKY_DENIAL" in tt.allow(**ASKED).codes
    with engine(server.address) as tt:
        assert eventually(lambda: "STICKY_DENIAL" in tt.allow(**ASKED).codes)
        assert tt.allow(intent="EXIT", **ASKED)
        assert eventually(lambda: "STARTING" not in tt.allow(**ASKED).codes, 60)
        assert tt.allow(signal_id="s3", symbol="MSFT", confidence=0.9).codes[-1] == "FALLBACK"
        server.restart()
        assert eventually(lambda: tt.gate.state == "FRESH", 60)
        assert tt.allow(**ASKED).codes == ("HALTED",)
        with Client(server.address) as operator:
            operator.set_trading_state(state="ACTIVE", symbol="AAPL", **ORDER)
            assert eventually(lambda: tt.allow(**ASKED).verdict == "ALLOW")
            assert tt.flush(20).durable
            found = {e.signal_id: e.decision.gate_source for e in operator.iter_events()}
    assert {"s1": 1, "s3": 4}.items() <= found.items()


@pytest.mark.timeout(300)
def test_a_stopped_sidecar_is_found_again(sidecar: Callable[..., Sidecar]) -> None:
    """SIGSTOP for longer than its lease, then SIGCONT: FRESH with the same rules."""
    server = sidecar()
    with Client(server.address) as operator:
        operator.set_trading_state(state="HALTED", symbol="AAPL", **ORDER)
    with engine(server.address) as tt:
        assert tt.gate.wait_fresh(60)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            assert eventually(lambda: tt.gate.state == "EXPIRED", 60)
            assert "STICKY_DENIAL" in tt.allow(**ASKED).codes
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert eventually(lambda: tt.gate.state == "FRESH", 60)
        assert tt.allow(**ASKED).codes == ("HALTED",)
        assert tt.gate.check_or_ask(5, signal_id="s1", **ASKED).verdict == "DENY"
