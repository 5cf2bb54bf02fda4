"""A plan: all that can be said about one kind of question before its confidence is known."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from trimtab_client.gate_answer import (
    ALLOW,
    DENY,
    FRESH,
    FROM_LEASE,
    FROM_STALE,
    REDUCE,
    GateAnswer,
    GateReason,
    GateScope,
)
from trimtab_client.gate_entries import (
    ENTRY,
    FOREVER_NS,
    BreakerRule,
    Calibrator,
    ParameterRule,
    StateRule,
)

REASONS_MAX = 64
"""Most reasons that an answer tells of the rules."""
_new = tuple.__new__


class Concerned(NamedTuple):
    """What of a snapshot bears on one kind of question, each in the order of the snapshot."""

    states: Sequence[StateRule]
    breakers: Sequence[BreakerRule]
    parameters: Sequence[ParameterRule]
    calibrator: Calibrator | None


class Applied(NamedTuple):
    """What the parameters come to: of each value the first that is told. None = none tells it."""

    threshold: float | None
    threshold_scale: str
    threshold_scope: GateScope | None
    size_multiplier: float
    max_position_fraction: float | None
    size_scope: GateScope | None

    def limit_reasons(self) -> tuple[GateReason, ...]:
        """SIZE_LIMITED, when they make a signal smaller."""
        size, limit = self.size_multiplier, self.max_position_fraction
        if size >= 1 and limit is None:
            return ()
        words = f"size x {size:g}" + ("" if limit is None else f", at most {limit:g} of equity")
        return (GateReason("SIZE_LIMITED", words, self.size_scope),)


def applied(parameters: Sequence[ParameterRule]) -> Applied:
    """What matching parameters, in the order in which they win, come to."""
    threshold = next((p for p in parameters if p.threshold is not None), None)
    size = next((p for p in parameters if p.size_multiplier is not None), None)
    limit = next((p for p in parameters if p.max_position_fraction is not None), None)
    multiplier = 1.0 if size is None or size.size_multiplier is None else size.size_multiplier
    sized = size if multiplier < 1 else limit
    return Applied(
        threshold.threshold if threshold else None,
        threshold.threshold_scale if threshold else "",
        threshold.scope if threshold else None,
        multiplier,
        limit.max_position_fraction if limit else None,
        sized.scope if sized else None,
    )


class Plan:
    """The answer to one kind of question while the world's clock is in [begin_ns, end_ns): until
    the next `until` or cool-down ends.

    fixed: the answer whatever the confidence is, None = it depends on it, or only the server can
    say. asking: ASK_REQUIRED of each half-open breaker.
    """

    __slots__ = (
        "_answerer", "_around", "_by_confidence", "_calibrator", "_denials", "_is_below", "_last",
        "_passed", "_threshold", "_value_name", "asking", "begin_ns", "end_ns", "fixed",
        "parameters",
    )  # fmt: skip

    def __init__(self, told: Concerned, intent: int, at_ns: int, revision: int, state: str) -> None:
        breakers = told.breakers if intent == ENTRY else ()
        self.begin_ns, self.end_ns = -FOREVER_NS, FOREVER_NS
        for edge_ns in (*(s.until_ns for s in told.states), *(b.half_open_ns for b in breakers)):
            if edge_ns <= at_ns:
                self.begin_ns = max(self.begin_ns, edge_ns)
            else:
                self.end_ns = min(self.end_ns, edge_ns)
        by_state = (s.denial(intent) for s in told.states if at_ns < s.until_ns)
        by_breaker = (b.denial() for b in breakers if at_ns < b.half_open_ns)
        denials = (denial for denial in (*by_state, *by_breaker) if denial is not None)
        self._denials = tuple(islice(denials, REASONS_MAX))
        half_open = (b.asking() for b in breakers if b.half_open_ns <= at_ns)
        self.asking = tuple(islice(half_open, REASONS_MAX))
        self.parameters = applied(told.parameters if intent == ENTRY else ())
        self._threshold = self.parameters.threshold
        # Many signals are below: the words that do not depend on the signal are made once.
        self._value_name = self.parameters.threshold_scale.lower()
        self._is_below = f" is below {self._threshold or 0:g}"
        self._by_confidence = self.parameters.threshold_scale == "CONFIDENCE"
        self._calibrator = told.calibrator
        source = FROM_LEASE if state == FRESH else FROM_STALE
        self._answerer = (revision, source, state, self._threshold, self.parameters.threshold_scale)
        self._passed = self._passing()
        # Engines ask again about the same signal; one tuple, so that threads see both or neither.
        self._last: tuple[float | None, GateAnswer | None] = (-1.0, None)
        # What stands before and behind the probability in the answer that passes.
        whole = () if self._passed is None else tuple(self._passed)
        self._around = (whole[:3], whole[4:])
        depends = self._threshold is not None or (told.calibrator and told.calibrator.x)
        self.fixed = None if depends else self._passed

    def _passing(self) -> GateAnswer | None:
        """What holds once the threshold is passed; None = only the server can say."""
        if self._denials:
            return self._denied(self._denials, None)
        if self.asking:
            return None
        told = self.parameters
        limits = told.limit_reasons()
        verdict = REDUCE if limits else ALLOW
        size, limit = told.size_multiplier, told.max_position_fraction
        return GateAnswer(verdict, size, limit, None, limits, *self._answerer)

    def answer(self, confidence: float | None) -> GateAnswer | None:
        """The answer; None = only the server can say, for the reasons in `asking`."""
        asked, answer = self._last
        if asked == confidence:
            return answer
        table = self._calibrator
        probability = None
        if table is not None and confidence is not None:
            probability = table.probability(confidence)
        threshold = self._threshold
        if threshold is not None:
            value = confidence if self._by_confidence else probability
            if value is None or not value >= threshold:
                reason = self._below(confidence, value)
                return self._denied((*self._denials, reason)[:REASONS_MAX], probability)
        if probability is None or self._passed is None:
            return self._passed
        head, tail = self._around
        answer = _new(GateAnswer, head + (probability,) + tail)  # noqa: RUF005 - faster so
        self._last = (confidence, answer)
        return answer

    def _below(self, confidence: float | None, value: float | None) -> GateReason:
        """Why the threshold is not passed."""
        scope, threshold = self.parameters.threshold_scope, self._threshold
        if confidence is None:
            words = f"no confidence was told, and {threshold:g} is needed"
            return GateReason("CONFIDENCE_MISSING", words, scope)
        if value is None:
            words = f"a probability of {threshold:g} is needed, and no calibrator is in production"
            return GateReason("NOT_CALIBRATED", words, scope)
        words = f"{self._value_name} {value:g}{self._is_below}"
        return _new(GateReason, ("BELOW_THRESHOLD", words, scope, None, ""))

    def _denied(self, reasons: tuple[GateReason, ...], probability: float | None) -> GateAnswer:
        head = (DENY, 0.0, None, probability, reasons)
        return _new(GateAnswer, head + self._answerer)
