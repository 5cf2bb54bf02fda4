# ruff: noqa: INP001 - a script, not a package
"""What a recording call costs the engine's thread: python clients/python/bench.py.

Compared with building and serialising the same message by hand, in the ordinary form (nested
constructors) and in the fastest known one (attribute by attribute). Budget: 3 times the ordinary.
"""

from __future__ import annotations

import logging
import timeit
from collections.abc import Callable

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from trimtab_client import (
    Environment,
    Event,
    MarketBar,
    RecorderSettings,
    Signal,
    connect,
)

NS = 1_700_000_000_000_000_005
EVENT_ID = "0199c7d2-0000-7000-8000-0123456789ab"
PAPER = Environment.ENVIRONMENT_PAPER
INDICATORS = {"rsi": 24.5, "adx": 35.0}
CALLS = 20_000


def bar_by_hand() -> None:
    """Nested constructors."""
    Event(
        event_id=EVENT_ID, source="alpha-1", environment=PAPER, symbol="AAPL",
        event_time=Timestamp(seconds=1_700_000_000, nanos=5),
        market_bar=MarketBar(
            interval=Duration(seconds=60), open=1.0, high=2.0, low=0.5, close=1.5, volume=100.0
        ),
    ).SerializeToString()  # fmt: skip


def bar_by_attributes() -> None:
    """Attribute by attribute."""
    event = Event(event_id=EVENT_ID, source="alpha-1", environment=PAPER, symbol="AAPL")
    event.event_time.seconds, event.event_time.nanos = divmod(NS, 1_000_000_000)
    bar = event.market_bar
    bar.interval.seconds = 60
    bar.open, bar.high, bar.low, bar.close, bar.volume = 1.0, 2.0, 0.5, 1.5, 100.0
    event.SerializeToString()


def signal_by_hand() -> None:
    """Nested constructors."""
    Event(
        event_id=EVENT_ID, source="alpha-1", environment=PAPER, symbol="AAPL", signal_id="s1",
        strategy="momentum", event_time=Timestamp(seconds=1_700_000_000, nanos=5),
        signal=Signal(
            side="SIDE_BUY", confidence=0.7, indicator_values=INDICATORS, reference_price=100.0
        ),
    ).SerializeToString()  # fmt: skip


def signal_by_attributes() -> None:
    """Attribute by attribute."""
    event = Event(event_id=EVENT_ID, source="alpha-1", environment=PAPER, symbol="AAPL")
    event.signal_id, event.strategy = "s1", "momentum"
    event.event_time.seconds, event.event_time.nanos = divmod(NS, 1_000_000_000)
    signal = event.signal
    signal.side = 1  # type: ignore[assignment]
    signal.confidence, signal.reference_price = 0.7, 100.0
    signal.indicator_values.update(INDICATORS)
    event.SerializeToString()


def cost_us(call: Callable[[], object]) -> float:
    """Microseconds a call, the best of seven rounds."""
    return min(timeit.repeat(call, number=CALLS, repeat=7)) / CALLS * 1e6


def main() -> None:
    """Prints costs and ratios; no sidecar is needed, and none is asked."""
    logging.disable()
    roomy = RecorderSettings(events_max=10_000_000, bytes_max=2**34, exit_flush_timeout_s=0)
    tt = connect(source="alpha-1", environment="PAPER", address="127.0.0.1:1", settings=roomy)

    def bar() -> None:
        tt.bar(
            symbol="AAPL", interval_s=60, open=1.0, high=2.0, low=0.5, close=1.5, volume=100.0,
            event_time_ns=NS,
        )  # fmt: skip

    def signal() -> None:
        tt.signal(
            signal_id="s1", symbol="AAPL", side="BUY", confidence=0.7, strategy="momentum",
            indicator_values=INDICATORS, reference_price=100.0, event_time_ns=NS,
        )  # fmt: skip

    for name, call, by_hand, fastest in (
        ("bar", bar, bar_by_hand, bar_by_attributes),
        ("signal", signal, signal_by_hand, signal_by_attributes),
    ):
        own, hand, best = cost_us(call), cost_us(by_hand), cost_us(fastest)
        print(f"{name}: {own:.2f} us; by hand {hand:.2f} us, ratio {own / hand:.2f}; ", end="")
        print(f"by attributes {best:.2f} us, ratio {own / best:.2f}")
    tt.close(0)


if __name__ == "__main__":
    main()
