"""The signal gate of FakeSidecar: orders, breakers and leases in memory, and faults of its own.

fake.gate.set_trading_state(environment="PAPER", state="HALTED", reason="news")
fake.gate.trip(environment="PAPER", kind="DRAWDOWN", symbol="AAPL", cool_down_s=60)
fake.gate.clear()
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import grpc

from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab_client.errors import FieldViolation
from trimtab_client.event import ENVIRONMENT, Time, Word, to_duration, to_timestamp
from trimtab_client.fake_log import FakeLog, Refusal
from trimtab_client.gate_answer import (
    BREAKER_KIND,
    FRESH,
    TRADING_STATE,
    GateAnswer,
    GateReason,
    GateScope,
)
from trimtab_client.gate_calls import scope_message
from trimtab_client.gate_check import monotonic_ns
from trimtab_client.gate_rules import GateRules, Question
from trimtab_client.gate_rules import World as RulesOf

PROBES_MAX = 3
_ORDERS_MAX = 1_000
World = tuple[int, str]
Key = tuple[int, str, str, str, str, str]


def key_of(scope: pb.GateScope) -> Key:
    """What tells scopes apart, and orders them."""
    return (
        scope.environment, scope.run_id, scope.source, scope.strategy, scope.symbol,
        scope.model_name,
    )  # fmt: skip


def invalid(field: str, wanted: str) -> Refusal:
    """A field is missing or wrong."""
    violations = (FieldViolation(field, wanted),)
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", violations=violations)


class FakeWorld:
    """One world's rules."""

    def __init__(self) -> None:
        self.revision = 0
        self.states: dict[Key, pb.TradingStateEntry] = {}
        self.breakers: dict[tuple[Key, int], pb.Breaker] = {}
        # Signals to which a half-open breaker has granted a probe.
        self.probes: dict[tuple[Key, int], set[str]] = {}


class FakeGate:
    """The rules of every world. Guard with `changed`; `mute` stops renewals, as a sidecar does that
    hangs. lease_ttl_s, parameters, calibrators, fallback, fail_policy may be set by a test, before
    a world is asked or followed by `changed_policy`."""

    def __init__(self, log: FakeLog, now_ns: Callable[[], int]) -> None:
        """log: of the fake, whose identity watchers are told. now_ns: its clock."""
        self.changed = threading.Condition()
        self.boot_id, self._start_ns = str(uuid.uuid4()), monotonic_ns()
        self.lease_ttl_s = 5.0
        self.mute = False
        self.watch_count = 0
        self.parameters: list[pb.GateParameters] = []
        self.calibrators: list[pb.CalibratorTable] = []
        self.fallback = pb.FallbackRule(
            confidence_threshold=0.75, confidence_multiplier=0.8, max_position_fraction=0.02
        )
        self.fail_policy = pb.FAIL_POLICY_AS_BUILT
        self._log = log
        self._now_ns = now_ns
        self._worlds: dict[World, FakeWorld] = {}
        self._orders: dict[str, tuple[bytes, Any]] = {}

    # -- for tests ----------------------------------------------------------------------------

    def set_trading_state(
        self,
        *,
        environment: Word,
        state: Word,
        reason: str = "as the test told",
        actor: str = "test",
        run_id: str = "",
        source: str = "",
        strategy: str = "",
        symbol: str = "",
        model_name: str = "",
        block_exits: bool = False,
        until: Time | None = None,
    ) -> int:
        """Orders ACTIVE, REDUCING or HALTED for a scope; the world's new revision."""
        entry = pb.TradingStateEntry(block_exits=block_exits, actor=actor, reason=reason)
        entry.scope.CopyFrom(
            scope_message(environment, run_id, source, strategy, symbol, model_name)
        )
        entry.state = TRADING_STATE(state, "state")  # type: ignore[assignment]
        if until is not None:
            entry.until.CopyFrom(to_timestamp(until, "until"))
        with self.changed:
            self.put_state(entry)
            return entry.revision

    def trip(
        self,
        *,
        environment: Word,
        kind: Word = "DRAWDOWN",
        reason: str = "as the test told",
        run_id: str = "",
        source: str = "",
        strategy: str = "",
        symbol: str = "",
        model_name: str = "",
        cool_down_s: float | None = None,
    ) -> int:
        """Opens a breaker; the world's new revision. cool_down_s: then it is half-open, and grants
        three probes; it closes by `clear` only."""
        breaker = pb.Breaker(reason=reason, actor="test", trip_count=1)
        breaker.scope.CopyFrom(
            scope_message(environment, run_id, source, strategy, symbol, model_name)
        )
        breaker.kind = BREAKER_KIND(kind, "kind")  # type: ignore[assignment]
        with self.changed:
            self.put_breaker(breaker, cool_down_s)
            return breaker.revision

    def clear(self, environment: Word | None = None) -> None:
        """Ends every trading state and breaker, of one environment or of all."""
        number = None if environment is None else ENVIRONMENT(environment, "environment")
        with self.changed:
            for (known, _), world in self._worlds.items():
                if number in (None, known):
                    world.states.clear()
                    world.breakers.clear()
                    world.probes.clear()
                    world.revision += 1
            self.changed.notify_all()

    def changed_policy(self) -> None:
        """Parameters, calibrators or the fail policy were set: every world's revision grows."""
        with self.changed:
            for world in self._worlds.values():
                world.revision += 1
            self.changed.notify_all()

    def restart(self) -> None:
        """As another start of the server: the rules are kept, the boot is another one."""
        with self.changed:
            self.boot_id, self._start_ns = str(uuid.uuid4()), monotonic_ns()
            self.changed.notify_all()

    # -- rules; the caller holds `changed` ----------------------------------------------------

    def world(self, environment: int, run_id: str) -> FakeWorld:
        """The world, made at first sight."""
        return self._worlds.setdefault((environment, run_id), FakeWorld())

    def put_state(self, entry: pb.TradingStateEntry) -> pb.TradingStateEntry | None:
        """Sets or (ACTIVE) ends the state of exactly its scope; what held before."""
        world, key = self.world(entry.scope.environment, entry.scope.run_id), key_of(entry.scope)
        previous = world.states.pop(key, None)
        world.revision += 1
        entry.revision = world.revision
        entry.change_time.CopyFrom(to_timestamp(self._now_ns()))
        if entry.state != pb.TRADING_STATE_ACTIVE:
            world.states[key] = entry
        self.changed.notify_all()
        return previous

    def put_breaker(self, breaker: pb.Breaker, cool_down_s: float | None) -> pb.Breaker | None:
        """Opens it; what was open before."""
        world = self.world(breaker.scope.environment, breaker.scope.run_id)
        key = (key_of(breaker.scope), breaker.kind)
        previous = world.breakers.pop(key, None)
        world.probes.pop(key, None)
        world.revision += 1
        now_ns = self._now_ns()
        breaker.state = pb.BREAKER_STATE_OPEN
        breaker.revision = world.revision
        breaker.open_time.CopyFrom(to_timestamp(now_ns))
        if cool_down_s is not None:
            until_ns = now_ns + to_duration(cool_down_s).ToNanoseconds()
            breaker.open_until.CopyFrom(to_timestamp(until_ns))
        world.breakers[key] = breaker
        self.changed.notify_all()
        return previous

    def snapshot(self, environment: int, run_id: str) -> pb.GateSnapshot:
        """The rules of a world, in the contract's order."""
        world = self.world(environment, run_id)
        made = pb.GateSnapshot(revision=world.revision, fail_policy=self.fail_policy)
        made.trading_states.extend(world.states[key] for key in sorted(world.states))
        made.breakers.extend(world.breakers[key] for key in sorted(world.breakers))
        made.parameters.extend(self.parameters)
        made.calibrators.extend(self.calibrators)
        made.fallback.CopyFrom(self.fallback)
        return made

    def message(self, environment: int, run_id: str) -> pb.WatchSignalGateResponse:
        """What a watcher is sent now, without the snapshot."""
        log_id, former = self._log.identity
        made = pb.WatchSignalGateResponse(log_id=log_id, boot_id=self.boot_id)
        made.former_log_ids.extend(former)
        made.revision = self.world(environment, run_id).revision
        made.server_time.CopyFrom(to_timestamp(self._now_ns()))
        made.lease_ttl.CopyFrom(to_duration(self.lease_ttl_s))
        made.uptime.FromNanoseconds(monotonic_ns() - self._start_ns)
        return made

    def judge(
        self, source: str, world: World, question: Question, query: Any, at_ns: int
    ) -> GateAnswer:
        """The answer about one signal, and the probe that it may have been granted."""
        rules = GateRules(RulesOf(source, *world), self.snapshot(*world))
        plan = rules.plan(question, at_ns, FRESH)
        told = query.confidence if query.HasField("confidence") else None
        answer = plan.fixed if plan.fixed is not None else plan.answer(told)
        if answer is not None:
            return answer
        asked, _ = rules.asked(question)
        tuning = rules.tuning(asked)
        tuned = tuning.fixed if tuning.fixed is not None else tuning.answer(told)
        if tuned is None:
            raise RuntimeError("parameters alone ask nobody")
        return self._probing(self.world(*world), asked, query.signal_id, tuned)

    def _probing(
        self, world: FakeWorld, asked: GateScope, signal_id: str, tuned: GateAnswer
    ) -> GateAnswer:
        """A probe of every half-open breaker that concerns it, as large as the parameters say
        (`tuned`), or of none."""
        found = [
            (key, GateScope(*key[0][2:]), world.probes.setdefault(key, set()))
            for key in sorted(world.breakers)
            if GateScope(*key[0][2:]).concerns(asked)
        ]
        short = [each for each in found if signal_id not in each[2] and len(each[2]) >= PROBES_MAX]
        if not short:
            for _, _, granted in found:
                granted.add(signal_id)
        code = "PROBES_EXHAUSTED" if short else "PROBE_GRANTED"
        reasons = tuple(
            GateReason(code, "half-open", scope, None, BREAKER_KIND.word(key[1]))
            for key, scope, _ in short or found
        )
        if short:
            tuned = tuned._replace(
                verdict="DENY", size_multiplier=0.0, max_position_fraction=None, reasons=()
            )
        return tuned._replace(reasons=(*reasons, *tuned.reasons), gate_source="RPC")

    def entry_denials(
        self, source: str, world: World, question: Question, at_ns: int
    ) -> tuple[GateReason, ...]:
        """Why no ENTRY is possible at all in what the question tells."""
        rules = GateRules(RulesOf(source, *world), self.snapshot(*world))
        asked, entry = rules.asked(question)
        by_state = (
            s.denial(entry) for s in rules.states if s.scope.covers(asked) and at_ns < s.until_ns
        )
        by_breaker = (
            b.denial() for b in rules.breakers if b.scope.covers(asked) and at_ns < b.half_open_ns
        )
        return tuple(each for each in (*by_state, *by_breaker) if each is not None)

    # -- orders -------------------------------------------------------------------------------

    def once(self, request: Any, do: Callable[[], Any]) -> Any:
        """The answer to an order; the same again for the same request_id and body."""
        body = request.SerializeToString(deterministic=True)
        for name in ("actor", "reason", "request_id"):
            if not getattr(request, name):
                raise invalid(name, "required")
        known = self._orders.get(request.request_id)
        if known is not None:
            if known[0] != body:
                raise Refusal(grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
            return known[1]
        world = self.world(request.scope.environment, request.scope.run_id)
        if request.etag not in ("", str(world.revision)):
            raise Refusal(grpc.StatusCode.ABORTED, "ETAG_STALE")
        answer = do()
        answer.revision = world.revision
        answer.etag = str(world.revision)
        if getattr(request, "validate_only", False):
            return answer
        if len(self._orders) >= _ORDERS_MAX:
            self._orders.clear()
        self._orders[request.request_id] = (body, answer)
        return answer
