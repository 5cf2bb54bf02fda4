"""SignalGateService: answers signal generators, tells watchers, takes operators' orders."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from google.protobuf.duration_pb2 import Duration

from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab.v1 import signal_gate_service_pb2_grpc
from trimtab_server.domain.events import Environment, Violation
from trimtab_server.domain.gate.gate_world import key_of
from trimtab_server.domain.gate.signal_gate import World, entry_denials
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import OutOfRange, Overloaded, Unavailable
from trimtab_server.loop.signal_gate import Held, SignalGate
from trimtab_server.rpc.convert import timestamp
from trimtab_server.rpc.gate_messages import (
    Verdicts,
    breaker_message,
    fallback_message,
    is_passing,
    parameters_message,
    snapshot_message,
    states_messages,
)
from trimtab_server.rpc.gate_orders import GateOrders, etag_of
from trimtab_server.rpc.gate_requests import (
    Place,
    asked,
    breaker_position,
    breaker_token,
    listed,
    watched,
)
from trimtab_server.rpc.requests import page_size
from trimtab_server.telemetry import Telemetry

_NAMES = {int(each): each.name.lower() for each in Environment}
_LIST_DEFAULT, _LIST_MAX = 100, 1_000
# Shared snapshots that are kept: one for each source and world that is watched, as a rule.
_SNAPSHOTS_MAX = 1_024
# Signals of one call that are judged in one go.
_SLICE = 16
# A renewal comes so many times within a lease.
_RENEWALS = 3


@dataclass(frozen=True, slots=True)
class GateTerms:
    """What watchers are told, and what the service allows."""

    log_id: str
    boot_id: str
    watchers_max: int
    slow_reader_s: float
    # The logs that this one was restored from, newest first.
    former_log_ids: tuple[str, ...]
    # Time since this start, by a clock that nobody sets.
    uptime_ns: Callable[[], int]
    # Whether the caller of a context may take probes.
    may_probe: Callable[[Any], bool]


class SignalGateService(signal_gate_service_pb2_grpc.SignalGateServiceServicer):
    """Translates between callers and the gate."""

    def __init__(self, gate: SignalGate, terms: GateTerms, telemetry: Telemetry) -> None:
        self._gate = gate
        self._terms = terms
        self._telemetry = telemetry
        self._orders = GateOrders(gate, telemetry)
        self._verdicts = Verdicts()
        self._lease_ttl = Duration()
        self._lease_ttl.FromNanoseconds(int(gate.policy.lease_ttl_s * 1e9))
        self._renewal_s = gate.policy.lease_ttl_s / _RENEWALS
        self._snapshots: dict[tuple[World, str], pb.GateSnapshot] = {}
        self._watchers: set[asyncio.Task[Any]] = set()
        self._watched: Counter[World] = Counter()
        self._is_leaving = False

    @property
    def watcher_count(self) -> int:
        """WatchSignalGate calls that are open."""
        return len(self._watchers)

    def leave(self) -> None:
        """The server stops: watchers end, new ones are refused."""
        self._is_leaving = True
        for watcher in self._watchers:
            watcher.cancel()

    # -- answering ------------------------------------------------------------------------------

    async def ShouldAllowSignals(self, request: pb.ShouldAllowSignalsRequest, context: Any) -> Any:
        """Whether signals may be emitted."""
        (world, scope), time_ns, queries = asked(request)
        gate = self._gate
        server_ns = gate.now_ns()
        if time_ns is None:
            time_ns = server_ns
        else:
            gate.asked_at(world, time_ns)
        response = pb.ShouldAllowSignalsResponse(server_time=timestamp(server_ns))
        if not queries:
            rules = gate.held(world).rules
            denials = entry_denials(rules, scope, time_ns)
            response.reasons.extend(self._verdicts.reasons(world, denials))
            response.allowed = not denials
        else:
            decide = partial(gate.decide, may_probe=self._terms.may_probe(context))
            rules, verdicts = decide(world, queries[:_SLICE], time_ns)
            for start in range(_SLICE, len(queries), _SLICE):
                # A world may hold thousands of rules: others get a turn, renewals above all. Should
                # the rules change meanwhile, the rest is judged by the newer ones.
                await asyncio.sleep(0)
                verdicts += decide(world, queries[start : start + _SLICE], time_ns)[1]
            message = self._verdicts.message
            response.verdicts.extend(
                [
                    message(world, query.signal_id, verdict)
                    for query, verdict in zip(queries, verdicts, strict=True)
                ]
            )
            response.allowed = all(map(is_passing, verdicts))
            if self._telemetry.is_metered:
                names = (verdict.kind.name.lower() for verdict in verdicts)
                self._telemetry.judged(_NAMES[world.environment], names)
        response.revision = rules.revision
        return response

    # -- watching -------------------------------------------------------------------------------

    async def WatchSignalGate(  # type: ignore[override]  # writes by context
        self, request: pb.WatchSignalGateRequest, context: Any
    ) -> None:
        """A snapshot, each change, and renewals in between. State, not a queue: who reads slowly
        gets only the latest."""
        self._refuse_when_leaving()
        place = watched(request)
        if len(self._watchers) >= self._terms.watchers_max:
            raise Overloaded(Reason.TOO_MANY_STREAMS, "too many watchers are open")
        watcher = asyncio.current_task()
        assert watcher is not None
        self._watchers.add(watcher)
        self._watched[place.world] += 1
        try:
            told = await self._known(request, place.world)
            # By itself: a first message that is cut would leave the library thinking that it has to
            # be sent with the status, which then never leaves.
            await context.send_initial_metadata(())
            await self._tell(context, place, told)
        except asyncio.CancelledError:
            if self._is_leaving and not context.cancelled():
                raise Unavailable(Reason.SHUTTING_DOWN, "the server is stopping") from None
            raise
        finally:
            self._watchers.discard(watcher)
            self._watched[place.world] -= 1
            if not self._watched[place.world]:
                del self._watched[place.world]
                self._gate.forget_change(place.world)

    async def _tell(self, context: Any, place: Place, told: int | None) -> None:
        while True:
            # In this order: what changes behind it is told next.
            change = self._gate.change(place.world)
            held = self._gate.held(place.world)
            message = self._renewal(held)
            if held.rules.revision != told:
                message.snapshot.CopyFrom(self._snapshot(place, held))
                told = held.rules.revision
            await self._write(context, message)
            # Not `wait_for`: that of Python 3.11 swallows a cancellation that meets its result.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._renewal_s):
                    await change.wait()

    async def _known(self, request: pb.WatchSignalGateRequest, world: World) -> int | None:
        """The revision that the client holds already, None when it is of no use. Raises OutOfRange
        when it lies above ours."""
        if request.log_id != self._terms.log_id:
            return None
        if request.revision > self._gate.held(world).rules.revision:
            # Another sidecar of the same log may have told it a moment ago.
            await self._gate.look()
        revision = self._gate.held(world).rules.revision
        if request.revision > revision:
            raise OutOfRange(
                Reason.REVISION_AHEAD,
                f"the log is at revision {revision}: an older backup was put back",
                [Violation("revision", f"lies above the server's own, {revision}")],
                metadata={"revision": str(revision)},
            )
        return request.revision if request.boot_id == self._terms.boot_id else None

    def _renewal(self, held: Held) -> pb.WatchSignalGateResponse:
        uptime = Duration()
        uptime.FromNanoseconds(self._terms.uptime_ns())
        return pb.WatchSignalGateResponse(
            log_id=self._terms.log_id,
            boot_id=self._terms.boot_id,
            revision=held.rules.revision,
            server_time=timestamp(self._gate.now_ns()),
            lease_ttl=self._lease_ttl,
            former_log_ids=self._terms.former_log_ids,
            uptime=uptime,
        )

    def _snapshot(self, place: Place, held: Held) -> pb.GateSnapshot:
        """The snapshot, one for all watchers of the source."""
        key = (place.world, place.scope.source)
        known = self._snapshots.get(key)
        if known is None or known.revision != held.rules.revision:
            known = snapshot_message(place.world, held.rules, place.scope.source)
            if len(self._snapshots) >= _SNAPSHOTS_MAX:
                self._snapshots.clear()
            self._snapshots[key] = known
        return known

    async def _write(self, context: Any, message: pb.WatchSignalGateResponse) -> None:
        try:
            async with asyncio.timeout(self._terms.slow_reader_s):
                await context.write(message)
        except TimeoutError:
            raise Overloaded(
                Reason.SLOW_READER,
                f"nothing was taken for {self._terms.slow_reader_s:g} s; watch again",
            ) from None

    def _refuse_when_leaving(self) -> None:
        if self._is_leaving:
            raise Unavailable(Reason.SHUTTING_DOWN, "the server is stopping")

    # -- orders and what they are about ---------------------------------------------------------

    async def SetTradingState(self, request: pb.SetTradingStateRequest, context: Any) -> Any:
        """Halts, reduces or resumes."""
        return await self._orders.set_trading_state(request)

    async def TripBreaker(self, request: pb.TripBreakerRequest, context: Any) -> Any:
        """Opens a breaker by hand."""
        return await self._orders.trip_breaker(request)

    async def ResetBreaker(self, request: pb.ResetBreakerRequest, context: Any) -> Any:
        """Closes breakers by hand."""
        return await self._orders.reset_breaker(request)

    async def ListBreakers(self, request: pb.ListBreakersRequest, context: Any) -> Any:
        """Lists breakers, a page at a time, and what else restricts."""
        world = listed(request)
        size = page_size(request.page_size, _LIST_DEFAULT, _LIST_MAX)
        after = breaker_position(request, self._terms.log_id)
        gate = self._gate
        page = await gate.page(world, after, size, include_closed=request.include_closed)
        now_ns = max(gate.time_of(world), page.world.event_time_ns)
        response = pb.ListBreakersResponse(
            breakers=[breaker_message(each, gate.rule_of(each), now_ns) for each in page.breakers],
            trading_states=states_messages(world, page.world.states, now_ns),
            fallback=fallback_message(gate.policy.fallback),
            revision=page.world.revision,
            etag=etag_of(page.world),
            server_time=timestamp(gate.now_ns()),
        )
        if after is None:
            for each in gate.held(world).rules.parameters:
                response.parameters.append(parameters_message(world, each))
        if page.has_more:
            last = key_of(page.breakers[-1])
            response.next_page_token = breaker_token(request, self._terms.log_id, last)
        return response
