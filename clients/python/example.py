# ruff: noqa: INP001 - a script, not a package
"""An engine's day in twenty lines: python clients/python/example.py [address].

Without an address it starts a FakeSidecar of its own, so it runs anywhere.
"""

from __future__ import annotations

import sys

import trimtab_client
from trimtab_client import FakeSidecar, guard_verdict, market_snapshot


def trade(address: str) -> trimtab_client.RecorderStats:
    """Records one blocked and one executed signal; the recorder's counts."""
    with trimtab_client.connect(
        source="example-1", environment="PAPER", on_unavailable="CLOSED", address=address
    ) as tt:
        print("gate:", "FRESH" if tt.gate.wait_fresh(5) else tt.gate.state)
        tt.bar(symbol="AAPL", interval_s=60, open=189.0, high=190.2, low=188.9, close=190.0)
        for signal_id, volatility in (("s1", 0.05), ("s2", 0.02)):
            tt.signal(signal_id=signal_id, symbol="AAPL", side="BUY", confidence=0.7)
            # The gate's answer is recorded by itself; the engine's own guards come after it.
            answer = tt.allow(signal_id=signal_id, symbol="AAPL", side="BUY", confidence=0.7)
            if not answer:
                print("not emitted:", answer.words)
                continue
            blocked = volatility > 0.04
            verdict = guard_verdict(
                guard="volatility",
                result="BLOCK" if blocked else "PASS",
                observed_value=volatility,
                limit=0.04,
                memory="STATELESS",
                rule=trimtab_client.ThresholdRule(),
            )
            tt.decision(
                signal_id=signal_id,
                symbol="AAPL",
                action="BLOCKED" if blocked else "APPROVED",
                guard_verdicts=[verdict],
                market_snapshot=market_snapshot(bid=189.9, ask=190.1, volatility=volatility),
            )
        tt.execution(signal_id="s2", symbol="AAPL", side="BUY", quantity=10, price=190.1, fee=0.5)
        tt.outcome(signal_id="s2", symbol="AAPL", return_fraction=0.012, exit_reason="TAKE_PROFIT")
        print("durable:", tt.flush(timeout=10).durable)
        for event in tt.client.iter_events(trimtab_client.event_filter(source="example-1")):
            print(event.sequence, trimtab_client.kind_word(event), event.signal_id)
        return tt.stats


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(trade(sys.argv[1]))
    else:
        with FakeSidecar() as fake:
            print(trade(fake.address))
