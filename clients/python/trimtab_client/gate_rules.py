"""The rules of one snapshot: what the head of signal_gate_service.proto says, for a client."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple, TypeVar

from trimtab.v1 import signal_gate_service_pb2
from trimtab_client.event import INTENT, SIDE, Word
from trimtab_client.gate_answer import FRESH, GateReason, GateScope
from trimtab_client.gate_entries import (
    ENTRY,
    FOREVER_NS,
    BreakerRule,
    StateRule,
    breaker_rule,
    calibrator,
    fallback_of,
    parameter_rule,
    state_rule,
)
from trimtab_client.gate_plan import Concerned, Plan

GateSnapshot = signal_gate_service_pb2.GateSnapshot

NAME_CHARS_MAX = 64
_PLANS_MAX = 4_096

R = TypeVar("R", StateRule, BreakerRule)


class World(NamedTuple):
    """Whose rules: an engine in an environment, and for BACKTEST in one run."""

    source: str
    environment: int
    run_id: str


class Question(NamedTuple):
    """What a plan is made for: the names as told, intent and side in any form."""

    strategy: str
    symbol: str
    model_name: str
    intent: Word
    side: Word


class GateRules:
    """The rules of one world at one revision. Plans are remembered, up to a limit; everything else
    is frozen. Thread-safe without a lock."""

    def __init__(
        self, world: World, snapshot: GateSnapshot | None = None, before: GateRules | None = None
    ) -> None:
        """snapshot: None = nothing was ever heard. Entries of another world or engine are left
        out: nothing of one world touches another. before: its states and breakers deny too."""
        told = snapshot if snapshot is not None else GateSnapshot()
        self.world = world
        self.revision = told.revision
        states = (state_rule(e) for e in _ours(world, told.trading_states))
        breakers = (breaker_rule(b) for b in _ours(world, told.breakers))
        self.states = tuple(s for s in states if s is not None)
        self.breakers = tuple(b for b in breakers if b is not None)
        if before is not None:
            self.states = (*before.states, *self.states)
            self.breakers = (*before.breakers, *self.breakers)
        self.parameters = tuple(parameter_rule(p) for p in _ours(world, told.parameters))
        self.calibrators = tuple(calibrator(table) for table in told.calibrators)
        self.fallback = fallback_of(told)
        self.always_closed = told.fail_policy == signal_gate_service_pb2.FAIL_POLICY_CLOSED
        self._states_of = _by_scope(self.states)
        self._breakers_of = _by_scope(self.breakers)
        # Plans for a fresh lease, and for a stale one.
        self.plans: dict[Any, Plan] = {}
        self.stale_plans: dict[Any, Plan] = {}
        self._denials: dict[Any, tuple[GateReason, ...]] = {}
        self._tunings: dict[GateScope, Plan] = {}

    def plan(self, question: Question, at_ns: int, state: str) -> Plan:
        """The plan for a question at a time of the world's clock, under a FRESH or STALE lease;
        remembered. ValueError or TypeError naming the argument at fault."""
        plans = self.plans if state == FRESH else self.stale_plans
        try:
            known = plans.get(question)
        except TypeError:  # an argument that no dict takes: `asked` names it
            known = None
        if known is not None and known.begin_ns <= at_ns < known.end_ns:
            return known
        asked, intent = self.asked(question)
        made = Plan(self.concerned(asked), intent, at_ns, self.revision, state)
        if len(plans) >= _PLANS_MAX:
            plans.clear()
        plans[question] = made
        return made

    def asked(self, question: Question) -> tuple[GateScope, int]:
        """The scope and intent of a question. ValueError, TypeError naming the argument."""
        names = (question.strategy, question.symbol, question.model_name)
        for field, name in zip(("strategy", "symbol", "model_name"), names, strict=True):
            if not isinstance(name, str):
                raise TypeError(f"{field}: must be text, not {type(name).__name__}")
            if len(name) > NAME_CHARS_MAX:
                raise ValueError(f"{field}: up to {NAME_CHARS_MAX} characters")
        _word(SIDE, question.side, "side")
        # Not told = ENTRY: what might be one is judged as one.
        intent = _word(INTENT, question.intent, "intent") or ENTRY
        return GateScope(self.world.source, *names), intent

    def concerned(self, asked: GateScope) -> Concerned:
        """What bears on a question of this scope."""
        own = (c for c in self.calibrators if c.model_name == asked.model_name)
        shared = (c for c in self.calibrators if not c.model_name)
        return Concerned(
            _concerning(self.states, self._states_of, asked),
            _concerning(self.breakers, self._breakers_of, asked),
            tuple(p for p in self.parameters if p.scope.covers(asked)),
            next(own, None) or next(shared, None),
        )

    def tuning(self, asked: GateScope) -> Plan:
        """What the parameters alone say about an ENTRY, whatever states and breakers do;
        remembered."""
        known = self._tunings.get(asked)
        if known is None:
            if len(self._tunings) >= _PLANS_MAX:
                self._tunings.clear()
            told = self.concerned(asked)._replace(states=(), breakers=())
            known = self._tunings[asked] = Plan(told, ENTRY, 0, self.revision, FRESH)
        return known

    def denies_anything(self, heard_ns: int) -> bool:
        """Whether any state or breaker denied anything when the world's clock was last heard."""
        return bool(self.breakers) or any(heard_ns < s.until_ns for s in self.states)

    def denied_scopes(self, heard_ns: int) -> set[GateScope]:
        """Where an ENTRY was denied by a state or breaker when the world's clock was last heard."""
        states = {s.scope for s in self.states if heard_ns < s.until_ns}
        return states | {b.scope for b in self.breakers}

    def last_denials(self, asked: GateScope, heard_ns: int) -> tuple[GateReason, ...]:
        """Why an ENTRY was denied by a state or breaker when the world's clock was last heard. A
        half-open breaker counts: its probes are the server's to grant."""
        key = (asked, heard_ns)
        known = self._denials.get(key)
        if known is None:
            if len(self._denials) >= _PLANS_MAX:
                self._denials.clear()
            told = self.concerned(asked)
            by_state = (s.denial(ENTRY) for s in told.states if heard_ns < s.until_ns)
            found = (*by_state, *(b.denial() for b in told.breakers))
            known = self._denials[key] = tuple(d for d in found if d is not None)
        return known

    def next_end_ns(self, at_ns: int) -> int:
        """When the next trading state in force ends by itself; FOREVER_NS = none does."""
        return min((s.until_ns for s in self.states if s.until_ns > at_ns), default=FOREVER_NS)


def _word(words: Any, value: Word, field: str) -> int:
    try:
        number: int = words(value, field)
    except TypeError:
        raise TypeError(f"{field}: must be a word or number, not {type(value).__name__}") from None
    return number


def _ours(world: World, entries: Iterable[Any]) -> list[Any]:
    """The entries that a scope of this world and engine has; a world not told is the snapshot's."""
    return [
        entry
        for entry in entries
        if entry.scope.environment in (0, world.environment)
        and entry.scope.run_id in ("", world.run_id)
        and entry.scope.source in ("", world.source)
    ]


def _by_scope(rules: Sequence[R]) -> dict[GateScope, list[tuple[int, R]]]:
    """The rules of each scope, with their place in the snapshot."""
    found: dict[GateScope, list[tuple[int, R]]] = {}
    for place, rule in enumerate(rules):
        found.setdefault(rule.scope, []).append((place, rule))
    return found


def _concerning(
    rules: Sequence[R], by_scope: dict[GateScope, list[tuple[int, R]]], asked: GateScope
) -> list[R]:
    """The rules that concern a scope, in the order of the snapshot. Who tells every name is
    answered from the 16 scopes that it may have: thousands of rules are not walked."""
    if not all(asked):
        return [rule for rule in rules if rule.scope.concerns(asked)]
    scopes = product(*((name, "") for name in asked))
    found = [each for names in scopes for each in by_scope.get(GateScope(*names), ())]
    return [rule for _, rule in sorted(found, key=lambda each: each[0])]
