from __future__ import annotations

import inspect
import itertools
from typing import Any

import pytest

import trimtab_client
from tests.client.conftest import Connect
from trimtab_client import Event, FakeSidecar, MarketSnapshot, Trimtab, connect


def test_the_first_five_lines_work(fake: FakeSidecar) -> None:
    """What the README shows."""
    with connect(
        source="alpha-1",
        environment="BACKTEST",
        run_id="run-1",
        on_unavailable="CLOSED",
        address=fake.address,
    ) as tt:
        times = itertools.count(1_760_000_000_000_000_000, 60_000_000_000)
        tt.signal(
            signal_id="s1", symbol="AAPL", side="BUY", confidence=0.7, strategy="momentum",
            event_time_ns=next(times),
        )  # fmt: skip
        tt.decision(
            signal_id="s1", symbol="AAPL", action="BLOCKED", event_time_ns=next(times),
            guard_verdicts=[
                trimtab_client.guard_verdict(
                    guard="volatility", result="BLOCK", observed_value=0.05, limit=0.04
                )
            ],
            market_snapshot=MarketSnapshot(bid=1.0, ask=1.1),
        )  # fmt: skip
        tt.outcome(signal_id="s1", symbol="AAPL", return_fraction=0.01, event_time_ns=next(times))
    assert [trimtab_client.kind_word(e) for e in fake.events()] == ["SIGNAL", "DECISION", "OUTCOME"]
    assert {e.run_id for e in fake.events()} == {"run-1"}
    verdict = fake.events("DECISION")[0].decision.guard_verdicts[0]
    assert (verdict.guard, verdict.result) == ("volatility", 2)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"source": ""}, "source"),
        ({"environment": "DEMO"}, "environment"),
        ({"environment": "BACKTEST"}, "run_id"),
        ({"on_unavailable": "MAYBE"}, "on_unavailable"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named(wrong: dict[str, Any], name: str) -> None:
    """At construction, where the engine's author looks."""
    with pytest.raises(ValueError, match=name):
        connect(**({"source": "a", "environment": "PAPER"} | wrong))


def test_absence_of_the_sidecar_is_no_error(connected: Connect) -> None:
    """Construction never fails because the sidecar is down; waiting for it is explicit."""
    tt = connected(address="127.0.0.1:1", on_unavailable="OPEN")
    assert tt.on_unavailable == "OPEN"
    assert tt.address == "127.0.0.1:1"
    assert not tt.wait_ready(0.05)


def test_wait_ready_tells_serving_from_running(fake: FakeSidecar, tt: Trimtab) -> None:
    """A sidecar that is starting or stopping is not ready."""
    fake.serving = False
    assert not tt.wait_ready(0.05)
    fake.serving = True
    assert tt.wait_ready(20)


def test_a_ready_event_gets_its_envelope_filled(fake: FakeSidecar, tt: Trimtab) -> None:
    """Only what is empty."""
    event = Event(correlation_id="c", source="alpha-1")
    event.metric_recorded.name = "m"
    event_id = tt.record(event)
    assert tt.flush().durable
    stored = fake.events()[0]
    assert (stored.event_id, stored.environment, stored.correlation_id) == (event_id, 2, "c")


def test_every_recording_method_is_typed_and_documented() -> None:
    """Colleagues read signatures and docstrings, not code."""
    for name in ("signal", "decision", "execution", "outcome", "bar", "tick", "metric"):
        method = getattr(Trimtab, name)
        assert method.__doc__
        assert "Any" not in str(inspect.signature(method))
