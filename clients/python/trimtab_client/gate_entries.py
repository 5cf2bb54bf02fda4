"""The entries of a snapshot as plain data, read once."""

from __future__ import annotations

import logging
import math
from bisect import bisect_right
from itertools import pairwise
from typing import NamedTuple

from trimtab.v1 import signal_gate_service_pb2
from trimtab_client.gate_answer import (
    BREAKER_KIND,
    BREAKER_STATE,
    THRESHOLD_SCALE,
    TRADING_STATE,
    GateReason,
    GateScope,
)

logger = logging.getLogger("trimtab_client")

FOREVER_NS = 1 << 62
ENTRY = 1


class StateRule(NamedTuple):
    """A trading state in force. until_ns: FOREVER_NS = until somebody resumes."""

    scope: GateScope
    is_halt: bool
    block_exits: bool
    words: str
    until_ns: int

    def denial(self, intent: int) -> GateReason | None:
        """Why it denies a signal of this intent, while it holds; None = it does not."""
        if intent == ENTRY:
            code = "HALTED" if self.is_halt else "REDUCING"
        elif self.is_halt and self.block_exits:
            code = "EXITS_BLOCKED"
        else:
            return None
        return GateReason(code, self.words, self.scope, _told(self.until_ns))


class BreakerRule(NamedTuple):
    """A breaker that is not closed. half_open_ns: from then on it is half-open; FOREVER_NS = it
    stays open until somebody resets it."""

    scope: GateScope
    kind: str
    words: str
    half_open_ns: int

    def denial(self) -> GateReason:
        """Why it denies an ENTRY while it is open."""
        words = f"{self._name}: {self.words}"
        until_ns = _told(self.half_open_ns)
        return GateReason("BREAKER_OPEN", words, self.scope, until_ns, self.kind)

    def asking(self) -> GateReason:
        """Why only the server can answer while it is half-open."""
        words = f"{self._name}: half-open, only the sidecar grants probes: ask it (check_or_ask)"
        return GateReason("ASK_REQUIRED", words, self.scope, None, self.kind)

    @property
    def _name(self) -> str:
        return self.kind.lower().replace("_", " ")


class ParameterRule(NamedTuple):
    """Parameters of a scope; None = not told."""

    scope: GateScope
    threshold: float | None
    threshold_scale: str
    size_multiplier: float | None
    max_position_fraction: float | None


class Calibrator:
    """A table of probabilities y at confidences x; without any it is not usable."""

    __slots__ = ("_dx", "_dy", "model_name", "version", "x", "y")

    def __init__(
        self, model_name: str, version: str, x: tuple[float, ...], y: tuple[float, ...]
    ) -> None:
        self.model_name = model_name
        self.version = version
        self.x = x
        self.y = y
        # The differences of the formula, which do not depend on the confidence.
        self._dx = tuple(after - before for before, after in pairwise(x))
        self._dy = tuple(after - before for before, after in pairwise(y))

    def probability(self, confidence: float) -> float | None:
        """By linear interpolation in the contract's order of operations, rounded to 1e-6."""
        x = self.x
        i = bisect_right(x, confidence) - 1
        if i < 0:
            return round(self.y[0], 6) if x else None
        if i >= len(self._dx):
            return round(self.y[i], 6)
        value = self.y[i] + (confidence - x[i]) * self._dy[i] / self._dx[i]
        # As round(value, 6), at a quarter of its cost: away from ties the nearest millionth is
        # certain, and dividing gives the double nearest to it.
        scaled = value * 1e6
        whole = int(scaled + 0.5)
        return whole / 1e6 if -0.4999 < scaled - whole < 0.4999 else round(value, 6)


class Fallback(NamedTuple):
    """What a client built OPEN does for an ENTRY when nobody else can answer."""

    confidence_threshold: float = 0.75
    confidence_multiplier: float = 0.8
    max_position_fraction: float = 0.02


def _told(time_ns: int) -> int | None:
    return None if time_ns == FOREVER_NS else time_ns


def scope_of(scope: signal_gate_service_pb2.GateScope) -> GateScope:
    """The names of a scope; its world is the snapshot's."""
    return GateScope(scope.source, scope.strategy, scope.symbol, scope.model_name)


def state_rule(entry: signal_gate_service_pb2.TradingStateEntry) -> StateRule | None:
    """None for ACTIVE, which does nothing. A state that this client does not know is a halt: the
    one who ordered it wanted less trading, not more."""
    word = TRADING_STATE.word(entry.state)
    if word == "ACTIVE":
        return None
    is_halt = word != "REDUCING"
    words = f"{'halted' if is_halt else 'reducing'} by {entry.actor}: {entry.reason}"
    until_ns = entry.until.ToNanoseconds() if entry.HasField("until") else FOREVER_NS
    return StateRule(scope_of(entry.scope), is_halt, entry.block_exits, words, until_ns)


def breaker_rule(breaker: signal_gate_service_pb2.Breaker) -> BreakerRule | None:
    """None for one that is CLOSED."""
    state = BREAKER_STATE.word(breaker.state)
    if state == "CLOSED":
        return None
    half_open_ns = FOREVER_NS
    if state == "HALF_OPEN":
        half_open_ns = 0
    elif breaker.HasField("open_until"):
        half_open_ns = breaker.open_until.ToNanoseconds()
    kind = BREAKER_KIND.word(breaker.kind)
    return BreakerRule(scope_of(breaker.scope), kind, breaker.reason, half_open_ns)


def parameter_rule(told: signal_gate_service_pb2.GateParameters) -> ParameterRule:
    """The parameters; a threshold without a scale is one of confidence."""
    scale = THRESHOLD_SCALE.word(told.threshold_scale or 1)
    return ParameterRule(
        scope_of(told.scope),
        told.threshold if told.HasField("threshold") else None,
        scale,
        told.size_multiplier if told.HasField("size_multiplier") else None,
        told.max_position_fraction if told.HasField("max_position_fraction") else None,
    )


def calibrator(table: signal_gate_service_pb2.CalibratorTable) -> Calibrator:
    """The calibrator; one whose table makes no sense is kept without it, so that a threshold of
    probability denies and no other model's table is taken for it."""
    x, y = tuple(table.x), tuple(table.y)
    in_range = all(0 <= value <= 1 for value in (*x, *y))
    if not x or len(x) != len(y) or not in_range or any(a >= b for a, b in pairwise(x)):
        logger.warning("trimtab gate: the calibrator of %r is no table", table.model_name or "all")
        x = y = ()
    return Calibrator(table.model_name, table.version, x, y)


def fallback_of(snapshot: signal_gate_service_pb2.GateSnapshot) -> Fallback:
    """The fallback rule; the contract's own values where the snapshot tells none that make
    sense."""
    if not snapshot.HasField("fallback"):
        return Fallback()
    told, default = snapshot.fallback, Fallback()
    threshold, multiplier = told.confidence_threshold, told.confidence_multiplier
    limit = told.max_position_fraction
    return Fallback(
        threshold if 0 <= threshold <= 1 else default.confidence_threshold,
        multiplier if 0 <= multiplier <= 1 else default.confidence_multiplier,
        limit if 0 < limit and math.isfinite(limit) else default.max_position_fraction,
    )
