"""The gate's calls of `Client`: what operators order and ask, and the server's own answers."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import TypeVar

from google.protobuf.message import Message

from trimtab.v1 import signal_gate_service_pb2
from trimtab_client.event import ENVIRONMENT, INTENT, SIDE, Time, Word, to_duration, to_timestamp
from trimtab_client.gate_answer import BREAKER_KIND, TRADING_STATE

SignalQuery = signal_gate_service_pb2.SignalQuery
ShouldAllowSignalsResponse = signal_gate_service_pb2.ShouldAllowSignalsResponse
SetTradingStateResponse = signal_gate_service_pb2.SetTradingStateResponse
TripBreakerResponse = signal_gate_service_pb2.TripBreakerResponse
ResetBreakerResponse = signal_gate_service_pb2.ResetBreakerResponse
ListBreakersResponse = signal_gate_service_pb2.ListBreakersResponse
WatchSignalGateResponse = signal_gate_service_pb2.WatchSignalGateResponse

R = TypeVar("R", bound=Message)

_GATE = "/trimtab.v1.SignalGateService/"


def signal_query(
    *,
    signal_id: str,
    side: Word = 0,
    intent: Word = 0,
    model_name: str = "",
    confidence: float | None = None,
) -> SignalQuery:
    """One signal to be judged: intent ENTRY (also when not told), REDUCE or EXIT; confidence 0 to
    1, None = it claims nothing."""
    query = SignalQuery(signal_id=signal_id, model_name=model_name, confidence=confidence)
    query.side = SIDE(side, "side")  # type: ignore[assignment]
    query.intent = INTENT(intent, "intent")  # type: ignore[assignment]
    return query


def scope_message(
    environment: Word, run_id: str, source: str, strategy: str, symbol: str, model_name: str
) -> signal_gate_service_pb2.GateScope:
    """A scope; a name that is empty does not restrict."""
    scope = signal_gate_service_pb2.GateScope(
        run_id=run_id, source=source, strategy=strategy, symbol=symbol, model_name=model_name
    )
    scope.environment = ENVIRONMENT(environment, "environment")  # type: ignore[assignment]
    return scope


class GateCalls(ABC):
    """The gate's half of Client.

    Orders (`set_trading_state`, `trip_breaker`, `reset_breaker`) carry a request_id, by default a
    new one for each call, so that every attempt of a call counts once; the same id with another
    order is AlreadyExists/REQUEST_ID_REUSED. With an `etag` of an earlier answer an order is
    Aborted/ETAG_STALE when its world has changed since. Empty names do not restrict.
    """

    @abstractmethod
    def _call(self, method: str, request: Message, answer: type[R], timeout_s: float | None) -> R:
        """One call within its budget."""

    @abstractmethod
    def _watch(
        self, method: str, request: Message, answer: type[R], timeout_s: float | None
    ) -> Iterator[R]:
        """The messages of a call that is opened again when it ends."""

    def should_allow_signals(
        self,
        *,
        source: str,
        environment: Word,
        run_id: str = "",
        strategy: str = "",
        symbol: str = "",
        signal_time: Time | None = None,
        signals: Iterable[SignalQuery] = (),
        timeout_s: float | None = None,
    ) -> ShouldAllowSignalsResponse:
        """The server's verdict on each signal (see `signal_query`), up to 256; without signals
        `allowed` tells whether an ENTRY is possible at all. signal_time: required for BACKTEST,
        whose clock it is. DENY is an answer, not an error."""
        request = signal_gate_service_pb2.ShouldAllowSignalsRequest(
            source=source, run_id=run_id, strategy=strategy, symbol=symbol, signals=signals
        )
        request.environment = ENVIRONMENT(environment, "environment")  # type: ignore[assignment]
        if signal_time is not None:
            request.signal_time.CopyFrom(to_timestamp(signal_time, "signal_time"))
        method = _GATE + "ShouldAllowSignals"
        return self._call(method, request, ShouldAllowSignalsResponse, timeout_s)

    def set_trading_state(
        self,
        *,
        environment: Word,
        state: Word,
        actor: str,
        reason: str,
        run_id: str = "",
        source: str = "",
        strategy: str = "",
        symbol: str = "",
        model_name: str = "",
        block_exits: bool = False,
        until: Time | None = None,
        request_id: str = "",
        etag: str = "",
        timeout_s: float | None = None,
    ) -> SetTradingStateResponse:
        """Orders a trading state for exactly this scope: ACTIVE (resume), REDUCING or HALTED.
        Durable, and on its way to every watcher, when it returns. block_exits: only with HALTED.
        until: when it ends by itself, None = when somebody resumes."""
        request = signal_gate_service_pb2.SetTradingStateRequest(
            scope=scope_message(environment, run_id, source, strategy, symbol, model_name),
            block_exits=block_exits,
            reason=reason,
            actor=actor,
            request_id=request_id or str(uuid.uuid4()),
            etag=etag,
        )
        request.state = TRADING_STATE(state, "state")  # type: ignore[assignment]
        if until is not None:
            request.until.CopyFrom(to_timestamp(until, "until"))
        return self._call(_GATE + "SetTradingState", request, SetTradingStateResponse, timeout_s)

    def trip_breaker(
        self,
        *,
        environment: Word,
        kind: Word,
        actor: str,
        reason: str,
        run_id: str = "",
        source: str = "",
        strategy: str = "",
        symbol: str = "",
        model_name: str = "",
        cool_down_s: float | None = None,
        request_id: str = "",
        etag: str = "",
        timeout_s: float | None = None,
    ) -> TripBreakerResponse:
        """Opens a breaker of exactly this scope by hand. kind: e.g. DRAWDOWN. cool_down_s: seconds
        until probes may pass, None = not before somebody resets it."""
        request = signal_gate_service_pb2.TripBreakerRequest(
            scope=scope_message(environment, run_id, source, strategy, symbol, model_name),
            reason=reason,
            actor=actor,
            request_id=request_id or str(uuid.uuid4()),
            etag=etag,
        )
        request.kind = BREAKER_KIND(kind, "kind")  # type: ignore[assignment]
        if cool_down_s is not None:
            request.cool_down.CopyFrom(to_duration(cool_down_s))
        return self._call(_GATE + "TripBreaker", request, TripBreakerResponse, timeout_s)

    def reset_breaker(
        self,
        *,
        environment: Word,
        actor: str,
        reason: str,
        kind: Word = 0,
        run_id: str = "",
        source: str = "",
        strategy: str = "",
        symbol: str = "",
        model_name: str = "",
        include_narrower: bool = False,
        validate_only: bool = False,
        request_id: str = "",
        etag: str = "",
        timeout_s: float | None = None,
    ) -> ResetBreakerResponse:
        """Closes breakers of exactly this scope; tells what it cleared and what still denies.
        kind: 0 = all. include_narrower: those of narrower scopes too. validate_only: changes
        nothing, and tells what it would clear."""
        request = signal_gate_service_pb2.ResetBreakerRequest(
            scope=scope_message(environment, run_id, source, strategy, symbol, model_name),
            include_narrower=include_narrower,
            validate_only=validate_only,
            reason=reason,
            actor=actor,
            request_id=request_id or str(uuid.uuid4()),
            etag=etag,
        )
        request.kind = BREAKER_KIND(kind, "kind")  # type: ignore[assignment]
        return self._call(_GATE + "ResetBreaker", request, ResetBreakerResponse, timeout_s)

    def list_breakers(
        self,
        *,
        environment: Word,
        run_id: str = "",
        include_closed: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout_s: float | None = None,
    ) -> ListBreakersResponse:
        """One page of a world's breakers, with every trading state in force; page_size 0 = 100."""
        request = signal_gate_service_pb2.ListBreakersRequest(
            run_id=run_id,
            include_closed=include_closed,
            page_size=page_size,
            page_token=page_token,
        )
        request.environment = ENVIRONMENT(environment, "environment")  # type: ignore[assignment]
        return self._call(_GATE + "ListBreakers", request, ListBreakersResponse, timeout_s)

    def watch_signal_gate(
        self,
        *,
        source: str,
        environment: Word,
        run_id: str = "",
        log_id: str = "",
        boot_id: str = "",
        revision: int = 0,
        timeout_s: float | None = None,
    ) -> Iterator[WatchSignalGateResponse]:
        """Snapshots of one engine's rules and the renewals in between, as the server sends them.

        log_id, boot_id, revision: of the last message, to be spared its snapshot. Resumes by
        itself after UNAVAILABLE, SLOW_READER and the like. Ends after `timeout_s` seconds (None =
        never) or when the client is closed. Raises OutOfRange/REVISION_AHEAD, and Unavailable when
        the server is down from the start. `SignalGate` is what an engine uses.
        """
        request = signal_gate_service_pb2.WatchSignalGateRequest(
            source=source, run_id=run_id, log_id=log_id, boot_id=boot_id, revision=revision
        )
        request.environment = ENVIRONMENT(environment, "environment")  # type: ignore[assignment]
        method = _GATE + "WatchSignalGate"
        for message in self._watch(method, request, WatchSignalGateResponse, timeout_s):
            request.log_id, request.boot_id = message.log_id, message.boot_id
            request.revision = message.revision
            yield message
