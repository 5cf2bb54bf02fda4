"""Operators' orders to the signal gate: from a request to what it makes of a world, and back.

What is decided here runs inside the store's transaction, on the world as it is there.
"""

from collections.abc import Callable, Iterable
from typing import Any

from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab_server.domain.events import Environment, Violation
from trimtab_server.domain.gate.breaker_record import Breaker
from trimtab_server.domain.gate.gate_world import (
    Decided,
    GateWorld,
    Order,
    key_of,
    with_reset,
    with_state,
    with_tripped,
)
from trimtab_server.domain.gate.signal_gate import Scope, StateEntry, TradingState
from trimtab_server.errors import InvalidRequest
from trimtab_server.loop.signal_gate import SignalGate
from trimtab_server.rpc.gate_messages import breaker_message, states_messages
from trimtab_server.rpc.gate_requests import reset_order, state_order, trip_order
from trimtab_server.telemetry import Telemetry

_BACKTEST = int(Environment.BACKTEST)
# Of each list in an answer: answers are kept, to be given again. ListBreakers tells all.
_TOLD_MAX = 256


class GateOrders:
    """Carries out orders."""

    def __init__(self, gate: SignalGate, telemetry: Telemetry) -> None:
        self._gate = gate
        self._telemetry = telemetry

    async def set_trading_state(
        self, request: pb.SetTradingStateRequest
    ) -> pb.SetTradingStateResponse:
        """What the order changed. Raises InvalidRequest, and what `SignalGate.order` raises."""
        order, scope, until_ns = state_order(request)

        def decided(before: GateWorld) -> Decided:
            now_ns = self._now_ns(before)
            if until_ns is not None and until_ns <= now_ns:
                raise InvalidRequest(Violation("until", "must lie after now"))
            told = (bool(request.block_exits), request.actor, request.reason, until_ns)
            state = TradingState(request.state)
            entry = StateEntry(scope, state, *told, self._gate.now_ns(), 0)
            is_backtest = order.world.environment == _BACKTEST
            altered = with_state(before, entry, None if is_backtest else now_ns)
            after = altered.world
            response = pb.SetTradingStateResponse(
                revision=after.revision,
                previous=_exactly(before, scope, now_ns),
                current=_exactly(after, scope, now_ns),
                still_in_force=_states(after, scope, now_ns, without=scope),
                breakers_not_closed=self._open(after, scope, now_ns),
                etag=etag_of(after),
            )
            return Decided(altered, response.SerializeToString())

        answer = await self._ordered("set_trading_state", order, decided)
        return pb.SetTradingStateResponse.FromString(answer)

    async def trip_breaker(self, request: pb.TripBreakerRequest) -> pb.TripBreakerResponse:
        """What is open now. Raises as `set_trading_state`."""
        order, key, cool_down_ns = trip_order(request)

        def decided(before: GateWorld) -> Decided:
            now_ns = self._now_ns(before)
            if not now_ns and cool_down_ns is not None:
                words = "the run has told no event time yet at which it could begin"
                raise InvalidRequest(Violation("cool_down", words))
            told = (request.reason, request.actor)
            altered = with_tripped(before, key, now_ns, cool_down_ns, *told)
            after = altered.world
            response = pb.TripBreakerResponse(revision=after.revision, etag=etag_of(after))
            for gate, target in ((before, response.previous), (after, response.current)):
                for each in gate.breakers:
                    if key_of(each) == key:
                        target.CopyFrom(breaker_message(each, None, now_ns))
            return Decided(altered, response.SerializeToString())

        answer = await self._ordered("trip_breaker", order, decided)
        return pb.TripBreakerResponse.FromString(answer)

    async def reset_breaker(self, request: pb.ResetBreakerRequest) -> pb.ResetBreakerResponse:
        """What was cleared, or with validate_only would be. Raises as `set_trading_state`."""
        order, scope, kind = reset_order(request)

        def decided(before: GateWorld) -> Decided:
            now_ns = self._now_ns(before)
            altered = with_reset(before, scope, kind, include_narrower=request.include_narrower)
            after = altered.world
            kept = {key_of(each) for each in after.breakers}
            cleared = [each for each in before.breakers if key_of(each) not in kept]
            shown = before if request.validate_only else after
            response = pb.ResetBreakerResponse(
                revision=shown.revision,
                cleared=self._messages(cleared, now_ns),
                still_not_closed=self._open(after, scope, now_ns),
                trading_states=_states(after, scope, now_ns),
                etag=etag_of(shown),
            )
            return Decided(altered, response.SerializeToString())

        if request.validate_only:
            answer = await self._gate.preview(order, decided)
        else:
            answer = await self._ordered("reset_breaker", order, decided)
        return pb.ResetBreakerResponse.FromString(answer)

    async def _ordered(
        self, what: str, order: Order, decided: Callable[[GateWorld], Decided]
    ) -> bytes:
        environment = Environment(order.world.environment).name
        with self._telemetry.ordering(what, environment, order.world.run_id, order.actor):
            return await self._gate.order(order, decided)

    def _now_ns(self, gate: GateWorld) -> int:
        """The time of a world: of a run as much as anybody has told."""
        return max(self._gate.time_of(gate.world), gate.event_time_ns)

    def _open(self, gate: GateWorld, scope: Scope, now_ns: int) -> list[pb.Breaker]:
        """The breakers that are not closed and concern signals of a scope."""
        return self._messages(
            (each for each in gate.breakers if each.scope.concerns(scope)), now_ns
        )

    def _messages(self, breakers: Iterable[Breaker], now_ns: int) -> list[pb.Breaker]:
        return [
            breaker_message(each, self._gate.rule_of(each), now_ns)
            for each in sorted(breakers, key=key_of)[:_TOLD_MAX]
        ]


def etag_of(gate: GateWorld) -> str:
    """What an order tells to be refused when the world has changed since."""
    return str(gate.revision)


def _exactly(gate: GateWorld, scope: Scope, now_ns: int) -> pb.TradingStateEntry | None:
    """The state of exactly this scope; None when there is none in force."""
    held = states_messages(
        gate.world, (each for each in gate.states if each.scope == scope), now_ns
    )
    return held[0] if held else None


def _states(gate: GateWorld, scope: Scope, now_ns: int, without: Scope | None = None) -> list[Any]:
    """The states in force that concern signals of a scope."""
    concerning = (
        each for each in gate.states if each.scope.concerns(scope) and each.scope != without
    )
    return states_messages(gate.world, concerning, now_ns)[:_TOLD_MAX]
