"""The check itself: what a gate answers from what it holds, without a lock and without I/O."""

from __future__ import annotations

import functools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import copy_context

from trimtab_client.envelope import ID_CHARS_MAX
from trimtab_client.event import ENVIRONMENT, Word, current_traceparent_source, to_ns
from trimtab_client.gate_answer import FRESH, STALE, GateAnswer
from trimtab_client.gate_decisions import GateDecisions
from trimtab_client.gate_entries import FOREVER_NS
from trimtab_client.gate_explain import Asked, GateExplanation, explanation
from trimtab_client.gate_lease import Lease, LeaseKeeper
from trimtab_client.gate_offline import LastHeard, absent_answer, fail_answer
from trimtab_client.gate_override import GateOverride
from trimtab_client.gate_rules import Question, World

BACKTEST = ENVIRONMENT("BACKTEST", "environment")
# 2200-01-01T00:00:00Z, as in the contract.
_TIME_NS_END = 7_258_118_400_000_000_000
# A lease must not outlive a suspended machine: where there is a clock that goes on, it is used.
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
monotonic_ns = functools.partial(time.clock_gettime_ns, _BOOT_CLOCK)


class LocalCheck(ABC):
    """Answers from the lease, or by the fail policy; notes each answer to be recorded."""

    def __init__(
        self,
        world: World,
        keeper: LeaseKeeper,
        decisions: GateDecisions | None,
        *,
        built_closed: bool,
        monotonic_ns: Callable[[], int],
        wall_ns: Callable[[], int],
    ) -> None:
        """decisions: None = none are recorded. built_closed: what absence of the sidecar means."""
        self.world = world
        self.is_backtest = world.environment == BACKTEST
        self._keeper = keeper
        self._decisions = decisions
        self._ring = decisions.ring if decisions is not None else None
        self._ring_max = decisions.count_max if decisions is not None else 0
        # Only with opentelemetry-api: the trace is read later, from a copy of the context.
        self._traces = current_traceparent_source() is not None
        self._built_closed = built_closed
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        # The largest event time asked while a lease was held: the clock of a BACKTEST.
        self._event_ns = -FOREVER_NS
        # Whether the threads run, or none are wanted.
        self._running = False

    @abstractmethod
    def start(self) -> None:
        """Starts what keeps the lease."""

    @abstractmethod
    def _override(self) -> GateOverride | None:
        """The local override that was found last, whether or not it holds."""

    def check(
        self,
        signal_id: str = "",
        symbol: str = "",
        side: Word = 0,
        intent: Word = "ENTRY",
        strategy: str = "",
        model_name: str = "",
        confidence: float | None = None,
        event_time_ns: int | None = None,
    ) -> GateAnswer:
        """Whether a signal may be emitted: true, or false with its reasons.

        signal_id: the id that the signal has or will have; without one nothing is recorded. intent:
        ENTRY, REDUCE or EXIT. Names that are not told could be anything: trading states and
        breakers for one of them then bind, parameters do not. confidence: 0 to 1 as the generator
        claims it. event_time_ns: the engine's time, nanoseconds UTC; BACKTEST needs it, its rules
        run on it. Never gets a probe of a half-open breaker: `check_or_ask` does. Takes no lock,
        does no I/O. ValueError and TypeError name the argument at fault.
        """
        if not self._running:
            self.start()
        lease = self._keeper.lease
        now_ns = self._monotonic_ns()
        answer = None
        try:
            if now_ns <= lease.fresh_until_ns and (confidence is None or 0.0 <= confidence <= 1.0):
                plan = lease.rules.plans[strategy, symbol, model_name, intent, side]
                if self.is_backtest:
                    # None is compared with a number, and told below.
                    at_ns: int = event_time_ns  # type: ignore[assignment]
                    _check_time(at_ns)
                    self._event_ns = max(self._event_ns, at_ns)
                else:
                    at_ns = now_ns + lease.offset_ns
                if plan.begin_ns <= at_ns < plan.end_ns:
                    answer = plan.fixed
                    if answer is None:
                        answer = plan.answer(confidence)
        except (KeyError, TypeError):
            answer = None  # not asked before, or an argument of a wrong type: both below
        if answer is None:
            question = Question(strategy, symbol, model_name, intent, side)
            answer = self._judge(lease, now_ns, question, confidence, event_time_ns)
        if signal_id:
            self._note(signal_id, symbol, strategy, model_name, event_time_ns, now_ns, answer)
        return answer

    def _note(
        self,
        signal_id: str,
        symbol: str,
        strategy: str,
        model_name: str,
        event_time_ns: int | None,
        now_ns: int,
        answer: GateAnswer,
    ) -> None:
        """Keeps an answer to be recorded: one append, the rest is the gate's thread's."""
        try:
            if len(signal_id) > ID_CHARS_MAX:
                raise ValueError(f"signal_id: up to {ID_CHARS_MAX} characters")
        except TypeError:
            told = type(signal_id).__name__
            raise TypeError(f"signal_id: must be text, not {told}") from None
        ring = self._ring
        if ring is None:
            return
        if len(ring) >= self._ring_max and self._decisions is not None:
            self._decisions.overflow()
            return
        context = copy_context() if self._traces else None
        ring.append(
            (signal_id, symbol, strategy, model_name, event_time_ns, now_ns, context, answer)
        )

    def explain(
        self,
        *,
        symbol: str = "",
        side: Word = 0,
        intent: Word = "ENTRY",
        strategy: str = "",
        model_name: str = "",
        confidence: float | None = None,
        event_time_ns: int | None = None,
    ) -> GateExplanation:
        """The answer of `check` now, and what every rule said that was looked at, those that passed
        too. Records nothing and starts nothing: `wait_fresh` before it, for a lease."""
        question = Question(strategy, symbol, model_name, intent, side)
        lease, now_ns = self._keeper.lease, self._monotonic_ns()
        answer = self._judge(lease, now_ns, question, confidence, event_time_ns)
        at_ns = now_ns + lease.offset_ns
        if self.is_backtest and event_time_ns is not None:
            at_ns = event_time_ns
        scope, number = lease.rules.asked(question)
        heard = self._last_heard(lease, answer.state)
        return explanation(answer, Asked(scope, number, confidence, at_ns), heard)

    def _judge(
        self,
        lease: Lease,
        now_ns: int,
        question: Question,
        confidence: float | None,
        event_time_ns: int | None,
    ) -> GateAnswer:
        """The answer of this client, whatever state it is in."""
        _check_confidence(confidence)
        at_ns = now_ns + lease.offset_ns
        if self.is_backtest:
            if event_time_ns is None:
                raise ValueError("event_time_ns: a BACKTEST question must tell its time")
            at_ns = to_ns(event_time_ns, "event_time_ns")
            _check_time(at_ns)
        elif event_time_ns is not None:
            to_ns(event_time_ns, "event_time_ns")
        state = lease.state_at(now_ns)
        if state in (FRESH, STALE):
            if self.is_backtest:
                self._event_ns = max(self._event_ns, at_ns)
            plan = lease.rules.plan(question, at_ns, state)
            answer = plan.answer(confidence) if plan.fixed is None else plan.fixed
            if answer is None:
                asked, _ = lease.rules.asked(question)
                closed = self._built_closed
                return fail_answer(
                    lease.rules, asked, state, plan.asking, confidence, built_closed=closed
                )
            return answer
        asked, intent = lease.rules.asked(question)
        return absent_answer(self._last_heard(lease, state), asked, intent, confidence)

    def _last_heard(self, lease: Lease, state: str) -> LastHeard:
        """What this client goes by without a lease."""
        keeper, override = self._keeper, self._override()
        if override is not None and not override.holds_at(self._wall_ns()):
            override = None
        return LastHeard(
            lease.rules,
            self._event_ns if self.is_backtest else lease.server_ns,
            state,
            lease.is_starting,
            lease.unreadable,
            keeper.refusal,
            override,
            self._built_closed,
        )


def _check_time(time_ns: int) -> None:
    # One that is wrong by far would be the clock of the run from then on.
    if not 0 <= time_ns < _TIME_NS_END:
        raise ValueError(f"event_time_ns: must lie from 1970 to 2200, not {time_ns}")


def _check_confidence(confidence: float | None) -> None:
    try:
        fits = confidence is None or 0 <= confidence <= 1
    except TypeError:
        told = type(confidence).__name__
        raise TypeError(f"confidence: must be a number, not {told}") from None
    if not fits:
        raise ValueError(f"confidence: must be 0 to 1, not {confidence!r}")
