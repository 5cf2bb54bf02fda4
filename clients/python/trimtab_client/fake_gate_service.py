"""SignalGateService of FakeSidecar."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import grpc

from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab_client.event import ENVIRONMENT, to_timestamp
from trimtab_client.fake_gate import World, invalid, key_of
from trimtab_client.fake_log import Refusal
from trimtab_client.gate_answer import (
    BREAKER_KIND,
    GATE_REASON,
    GATE_VERDICT,
    THRESHOLD_SCALE,
    GateAnswer,
    GateReason,
    GateScope,
)
from trimtab_client.gate_rules import Question

if TYPE_CHECKING:
    from trimtab_client.fake import FakeSidecar


class GateService:
    """SignalGateService of the fake."""

    def __init__(self, fake: FakeSidecar) -> None:
        self._gate = fake.gate
        self._now_ns = fake.now_ns

    def should_allow_signals(self, request: Any, context: Any) -> Any:
        """The server's verdicts."""
        _check_world(request)
        world = (request.environment, request.run_id)
        at_ns = self._now_ns()
        if request.HasField("signal_time") and request.run_id:
            at_ns = request.signal_time.ToNanoseconds()
        answer = pb.ShouldAllowSignalsResponse(allowed=True)
        with self._gate.changed:
            answer.revision = self._gate.world(*world).revision
            for query in request.signals:
                question = Question(
                    request.strategy, request.symbol, query.model_name, query.intent, query.side
                )
                said = self._gate.judge(request.source, world, question, query, at_ns)
                answer.allowed = answer.allowed and bool(said)
                answer.verdicts.append(_verdict(query.signal_id, said))
            if not request.signals:
                question = Question(request.strategy, request.symbol, "", 1, 0)
                denials = self._gate.entry_denials(request.source, world, question, at_ns)
                answer.reasons.extend(_reason(each) for each in denials)
                answer.allowed = not denials
        answer.server_time.CopyFrom(to_timestamp(self._now_ns()))
        return answer

    def watch_signal_gate(self, request: Any, context: Any) -> Iterator[Any]:
        """Snapshots and renewals."""
        _check_world(request)
        if not request.source:
            raise invalid("source", "required")
        gate, world = self._gate, (request.environment, request.run_id)
        told = (request.log_id, request.boot_id, request.revision)
        context.add_callback(self._wake)
        with gate.changed:
            gate.watch_count += 1
            now = gate.message(*world)
        if told[0] == now.log_id and told[2] > now.revision:
            raise Refusal(grpc.StatusCode.OUT_OF_RANGE, "REVISION_AHEAD")
        while context.is_active():
            with gate.changed:
                message = gate.message(*world)
                present = (message.log_id, message.boot_id, message.revision)
                if told != present:
                    message.snapshot.CopyFrom(gate.snapshot(*world))
            if not gate.mute:
                yield message
                told = present
            self._wait(context, world, present, gate.lease_ttl_s / 3)

    def _wait(self, context: Any, world: World, told: Any, wait_s: float) -> None:
        """Until something changed, the call ended, or a renewal is due."""
        end_s = time.monotonic() + wait_s
        gate = self._gate
        with gate.changed:
            while context.is_active() and (left_s := end_s - time.monotonic()) > 0:
                message = gate.message(*world)
                if told != (message.log_id, message.boot_id, message.revision):
                    return
                gate.changed.wait(left_s)

    def _wake(self) -> None:
        with self._gate.changed:
            self._gate.changed.notify_all()

    def set_trading_state(self, request: Any, context: Any) -> Any:
        """An order."""
        _check_world(request.scope)
        gate = self._gate

        def do() -> Any:
            if not request.state:
                raise invalid("state", "ACTIVE, REDUCING or HALTED")
            entry = pb.TradingStateEntry(
                scope=request.scope, state=request.state, block_exits=request.block_exits,
                actor=request.actor, reason=request.reason,
            )  # fmt: skip
            if request.HasField("until"):
                # The clock of a run is its events', which is none of the fake's.
                is_over = request.until.ToNanoseconds() <= self._now_ns()
                if is_over and not request.scope.run_id:
                    raise invalid("until", "must lie after now")
                entry.until.CopyFrom(request.until)
            previous = gate.put_state(entry)
            answer = pb.SetTradingStateResponse(previous=previous)
            if request.state != pb.TRADING_STATE_ACTIVE:
                answer.current.CopyFrom(entry)
            states, breakers = self._binding(request.scope)
            answer.still_in_force.extend(
                s for s in states if key_of(s.scope) != key_of(entry.scope)
            )
            answer.breakers_not_closed.extend(breakers)
            return answer

        with gate.changed:
            return gate.once(request, do)

    def trip_breaker(self, request: Any, context: Any) -> Any:
        """An order."""
        _check_world(request.scope)
        gate = self._gate

        def do() -> Any:
            if not request.kind:
                raise invalid("kind", "required")
            breaker = pb.Breaker(
                scope=request.scope, kind=request.kind, reason=request.reason,
                actor=request.actor, trip_count=1,
            )  # fmt: skip
            cool_down = request.cool_down
            cool_down_s = cool_down.ToNanoseconds() / 1e9 if request.HasField("cool_down") else None
            previous = gate.put_breaker(breaker, cool_down_s)
            return pb.TripBreakerResponse(previous=previous, current=breaker)

        with gate.changed:
            return gate.once(request, do)

    def reset_breaker(self, request: Any, context: Any) -> Any:
        """An order."""
        _check_world(request.scope)
        gate, wanted = self._gate, GateScope(*key_of(request.scope)[2:])

        def do() -> Any:
            world = gate.world(request.scope.environment, request.scope.run_id)
            found = [
                key
                for key, breaker in world.breakers.items()
                if request.kind in (0, breaker.kind)
                and (
                    key[0] == key_of(request.scope)
                    or (request.include_narrower and wanted.covers(GateScope(*key[0][2:])))
                )
            ]
            answer = pb.ResetBreakerResponse(cleared=[world.breakers[key] for key in found])
            if not request.validate_only and found:
                for key in found:
                    del world.breakers[key]
                    world.probes.pop(key, None)
                world.revision += 1
                gate.changed.notify_all()
            states, breakers = self._binding(request.scope)
            answer.trading_states.extend(states)
            answer.still_not_closed.extend(breakers)
            return answer

        with gate.changed:
            return gate.once(request, do)

    def _binding(self, scope: pb.GateScope) -> tuple[list[Any], list[Any]]:
        """States and breakers that concern signals of a scope."""
        world, asked = (
            self._gate.world(scope.environment, scope.run_id),
            GateScope(*key_of(scope)[2:]),
        )
        states = [s for k, s in world.states.items() if GateScope(*k[2:]).concerns(asked)]
        breakers = [b for k, b in world.breakers.items() if GateScope(*k[0][2:]).concerns(asked)]
        return states, breakers

    def list_breakers(self, request: Any, context: Any) -> Any:
        """One page."""
        _check_world(request)
        gate = self._gate
        with gate.changed:
            world = gate.world(request.environment, request.run_id)
            keys = sorted(world.breakers)
            first, size = int(request.page_token or "0"), request.page_size or 100
            answer = pb.ListBreakersResponse(
                breakers=[world.breakers[key] for key in keys[first : first + size]],
                trading_states=[world.states[key] for key in sorted(world.states)],
                parameters=gate.parameters if not first else (),
                revision=world.revision,
                etag=str(world.revision),
            )
            if first + size < len(keys):
                answer.next_page_token = str(first + size)
            if not first:
                answer.fallback.CopyFrom(gate.fallback)
        answer.server_time.CopyFrom(to_timestamp(self._now_ns()))
        return answer


def _check_world(told: Any) -> None:
    if told.environment not in (1, 2, 3):
        raise invalid("environment", "LIVE, PAPER or BACKTEST")
    if bool(told.run_id) != (told.environment == ENVIRONMENT("BACKTEST", "environment")):
        raise invalid("run_id", "required for BACKTEST, else empty")


def _reason(reason: GateReason) -> pb.GateReason:
    made = pb.GateReason(message=reason.message)
    made.code = GATE_REASON(reason.code, "code")  # type: ignore[assignment]
    if reason.scope is not None:
        names = reason.scope
        made.scope.source, made.scope.strategy = names.source, names.strategy
        made.scope.symbol, made.scope.model_name = names.symbol, names.model_name
    if reason.until_ns is not None:
        made.until.CopyFrom(to_timestamp(reason.until_ns))
    if reason.breaker_kind:
        made.breaker_kind = BREAKER_KIND(reason.breaker_kind, "kind")  # type: ignore[assignment]
    return made


def _verdict(signal_id: str, answer: GateAnswer) -> pb.SignalVerdict:
    made = pb.SignalVerdict(
        signal_id=signal_id,
        size_multiplier=answer.size_multiplier,
        max_position_fraction=answer.max_position_fraction,
        probability=answer.probability,
        applied_threshold=answer.threshold,
        reasons=[_reason(each) for each in answer.reasons],
    )
    made.verdict = GATE_VERDICT(answer.verdict, "verdict")  # type: ignore[assignment]
    if answer.threshold_scale:
        scale = THRESHOLD_SCALE(answer.threshold_scale, "scale")
        made.threshold_scale = scale  # type: ignore[assignment]
    return made
