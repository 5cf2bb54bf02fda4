"""Requests to the signal gate as operators and generators send them."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from trimtab.v1 import event_pb2 as ev
from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab.v1 import signal_gate_service_pb2_grpc

Stub = signal_gate_service_pb2_grpc.SignalGateServiceStub
WAIT_S = 20.0
WATCH_S = 120.0
SOURCE = "alpha"
LIVE, PAPER, BACKTEST = ev.ENVIRONMENT_LIVE, ev.ENVIRONMENT_PAPER, ev.ENVIRONMENT_BACKTEST

POLICY = {
    "parameters": [
        {"strategy": "sized", "size_multiplier": 0.5, "position_fraction_max": 0.1},
        {"strategy": "sure", "threshold": 0.7, "threshold_scale": "confidence"},
        {"strategy": "calibrated", "threshold": 0.7, "threshold_scale": "probability"},
    ],
    "breakers": [
        {"name": "losses", "kind": "consecutive_losses", "loss_count": 3, "per": ["strategy"]}
        | {"window_s": 86_400, "cool_down_s": 60, "probe_count": 1, "success_count": 1}
    ],
    "lease_ttl_s": 0.9,
    "watchers_max": 3,
}
POLICY_FLAGS = ("--gate", json.dumps(POLICY))


def at(seconds: float) -> Timestamp:
    """The moment so many seconds after 1970."""
    when = Timestamp()
    when.FromNanoseconds(int(seconds * 1e9))
    return when


def new_run() -> str:
    """The name of a run that nobody else uses."""
    return f"run-{uuid.uuid4()}"


class Operator:
    """Orders in one world, each under a new request_id unless told."""

    def __init__(self, stub: Stub, environment: Any = BACKTEST, run_id: str = "") -> None:
        self.stub = stub
        self.environment = environment
        self.run_id = run_id or (new_run() if environment == BACKTEST else "")

    def scope(self, **names: str) -> pb.GateScope:
        """A scope in this world."""
        return pb.GateScope(environment=self.environment, run_id=self.run_id, **names)

    def _order(self, names: dict[str, str], told: dict[str, Any]) -> dict[str, Any]:
        usual = {
            "scope": self.scope(**names),
            "reason": "a test",
            "actor": "tester",
            "request_id": str(uuid.uuid4()),
        }
        return usual | told

    def set_state(
        self, state: Any, names: dict[str, str] | None = None, **told: Any
    ) -> pb.SetTradingStateResponse:
        """Orders a trading state."""
        order = self._order(names or {}, told)
        return self.stub.SetTradingState(
            pb.SetTradingStateRequest(state=state, **order), timeout=WAIT_S
        )

    def halt(self, **names: str) -> pb.SetTradingStateResponse:
        """Halts a scope."""
        return self.set_state(pb.TRADING_STATE_HALTED, names)

    def resume(self, **names: str) -> pb.SetTradingStateResponse:
        """Takes a state away."""
        return self.set_state(pb.TRADING_STATE_ACTIVE, names)

    def trip(
        self, kind: Any, names: dict[str, str] | None = None, **told: Any
    ) -> pb.TripBreakerResponse:
        """Opens a breaker."""
        order = self._order(names or {}, told)
        return self.stub.TripBreaker(pb.TripBreakerRequest(kind=kind, **order), timeout=WAIT_S)

    def reset(self, names: dict[str, str] | None = None, **told: Any) -> pb.ResetBreakerResponse:
        """Closes breakers."""
        order = self._order(names or {}, told)
        return self.stub.ResetBreaker(pb.ResetBreakerRequest(**order), timeout=WAIT_S)

    def breakers(self, **told: Any) -> pb.ListBreakersResponse:
        """A page of breakers."""
        request = pb.ListBreakersRequest(environment=self.environment, run_id=self.run_id, **told)
        return self.stub.ListBreakers(request, timeout=WAIT_S)

    def ask(self, *signals: pb.SignalQuery, **told: Any) -> pb.ShouldAllowSignalsResponse:
        """What the gate says."""
        if self.environment == BACKTEST:
            told.setdefault("signal_time", at(1_000.0))
        request = pb.ShouldAllowSignalsRequest(
            **{"source": SOURCE, **told},
            environment=self.environment,
            run_id=self.run_id,
            signals=signals,
        )
        return self.stub.ShouldAllowSignals(request, timeout=WAIT_S)

    def verdict(self, signal_id: str = "s-1", **told: Any) -> pb.SignalVerdict:
        """What the gate says about one signal; fields of SignalQuery go into it."""
        own = {
            name: told.pop(name) for name in ("intent", "model_name", "confidence") if name in told
        }
        return self.ask(pb.SignalQuery(signal_id=signal_id, **own), **told).verdicts[0]

    def codes(self, signal_id: str = "s-1", **told: Any) -> list[str]:
        """The codes of the reasons about one signal, without their prefix."""
        return [code_of(each) for each in self.verdict(signal_id, **told).reasons]

    def watch(self, source: str = SOURCE, **told: Any) -> Any:
        """A stream of snapshots and renewals."""
        request = pb.WatchSignalGateRequest(
            source=source, environment=self.environment, run_id=self.run_id, **told
        )
        return self.stub.WatchSignalGate(request, timeout=WATCH_S)


def code_of(reason: pb.GateReason) -> str:
    """The code of a reason without its prefix."""
    return pb.GateReasonCode.Name(reason.code).removeprefix("GATE_REASON_CODE_")


def until_revision(stream: Iterator[pb.WatchSignalGateResponse], revision: int) -> Any:
    """The first message of at least this revision."""
    for message in stream:
        if message.revision >= revision:
            return message
    raise AssertionError("the stream ended")


def operator(channel: grpc.Channel, environment: Any = BACKTEST) -> Operator:
    """An operator on a channel, in a world of its own for BACKTEST."""
    return Operator(Stub(channel), environment)
