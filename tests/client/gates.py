"""A gate in virtual time: messages by hand, clocks by hand, no threads, no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trimtab.v1 import event_pb2
from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab_client import GateSettings, SignalGate
from trimtab_client.event import to_duration, to_timestamp
from trimtab_client.gate_lease import Intake

NOW_NS = 1_760_000_000_000_000_000
SECOND_NS = 1_000_000_000
PAPER = event_pb2.ENVIRONMENT_PAPER
BACKTEST = event_pb2.ENVIRONMENT_BACKTEST
LIVE = event_pb2.ENVIRONMENT_LIVE


class Clock:
    """A monotonic and a wall clock that a test moves."""

    def __init__(self) -> None:
        self.monotonic_ns = 5_000 * SECOND_NS
        self.wall_ns = NOW_NS

    def pass_s(self, seconds: float) -> None:
        """Time goes on, by both clocks."""
        self.monotonic_ns += int(seconds * SECOND_NS)
        self.wall_ns += int(seconds * SECOND_NS)


def snapshot(revision: int = 1, **fields: Any) -> pb.GateSnapshot:
    """A snapshot with the contract's fallback rule; halted=True halts the world."""
    halted = fields.pop("halted", False)
    made = pb.GateSnapshot(revision=revision, **fields)
    if not made.HasField("fallback"):
        made.fallback.confidence_threshold = 0.75
        made.fallback.confidence_multiplier = 0.8
        made.fallback.max_position_fraction = 0.02
    if halted:
        halt(made)
    return made


def halt(
    told: pb.GateSnapshot, *, until_ns: int | None = None, **fields: Any
) -> pb.TradingStateEntry:
    """Adds a halt to a snapshot."""
    scope = {
        name: fields.pop(name) for name in ("strategy", "symbol", "model_name") if name in fields
    }
    entry = told.trading_states.add(
        state=pb.TRADING_STATE_HALTED, actor="ops", reason="news", **fields
    )
    entry.scope.environment = PAPER
    for name, value in scope.items():
        setattr(entry.scope, name, value)
    if until_ns is not None:
        entry.until.CopyFrom(to_timestamp(until_ns))
    return entry


def breaker(
    told: pb.GateSnapshot, *, open_until_ns: int | None = None, symbol: str = ""
) -> pb.Breaker:
    """Adds an open breaker to a snapshot."""
    made = told.breakers.add(
        kind=pb.BREAKER_KIND_DRAWDOWN, state=pb.BREAKER_STATE_OPEN, reason="-5 %"
    )
    made.scope.environment = PAPER
    made.scope.symbol = symbol
    if open_until_ns is not None:
        made.open_until.CopyFrom(to_timestamp(open_until_ns))
    return made


class Gate:
    """A SignalGate and the sidecar that it hears."""

    def __init__(
        self,
        path: Path,
        *,
        on_unavailable: str = "OPEN",
        clock: Clock | None = None,
        **arguments: Any,
    ) -> None:
        self.clock = clock or Clock()
        self.log_id, self.boot_id, self.revision = "log-1", "boot-1", 0
        # The server's clock, ahead of the engine's wall clock.
        self.server_ahead_ns = 7 * SECOND_NS
        told: dict[str, Any] = {"source": "alpha-1", "environment": "PAPER"} | arguments
        self.path = path
        self.gate = SignalGate(
            on_unavailable=on_unavailable,
            settings=told.pop("settings", GateSettings(gate_dir=path)),
            monotonic_ns=lambda: self.clock.monotonic_ns,
            wall_ns=lambda: self.clock.wall_ns,
            **told,
        )

    @property
    def server_ns(self) -> int:
        """The server's clock: the engine's monotonic one plus what nobody changes."""
        return NOW_NS + self.clock.monotonic_ns - 5_000 * SECOND_NS + self.server_ahead_ns

    def message(
        self, told: pb.GateSnapshot | None = None, **fields: Any
    ) -> pb.WatchSignalGateResponse:
        """What the server would send now."""
        revision = self.revision if told is None else told.revision
        named: dict[str, Any] = {"log_id": self.log_id, "boot_id": self.boot_id}
        made = pb.WatchSignalGateResponse(**(named | {"revision": revision} | fields))
        made.server_time.CopyFrom(to_timestamp(self.server_ns))
        made.lease_ttl.CopyFrom(to_duration(6.0))
        if told is not None:
            made.snapshot.CopyFrom(told)
        return made

    def hear(self, told: pb.GateSnapshot) -> Intake:
        """A snapshot arrives, and the disk does its work, however slow it is."""
        self.revision = told.revision
        intake = self.gate.apply(self.message(told))
        assert self.gate._keeper.wait_written(60)
        return intake

    def renew(self) -> Intake:
        """A renewal arrives."""
        return self.gate.apply(self.message())

    def again(self, **arguments: Any) -> Gate:
        """The engine after a restart: another process, the same disk."""
        assert self.gate._keeper.wait_written(60)
        other = Gate(self.path, clock=self.clock, **arguments)
        other.log_id, other.boot_id, other.revision = self.log_id, self.boot_id, self.revision
        other.gate.tick()
        return other

    def ask(self, confidence: float | None = 0.9, **question: Any) -> Any:
        """Asks for an ENTRY of AAPL by momentum."""
        asked: dict[str, Any] = {"symbol": "AAPL", "strategy": "momentum", "side": "BUY"}
        return self.gate.check(confidence=confidence, **(asked | question))
