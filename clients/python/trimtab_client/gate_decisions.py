"""Every answer becomes a Decision: the engine's thread appends a tuple, another makes events."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from trimtab.v1 import event_pb2
from trimtab_client.event import Event, current_traceparent_source, guard_verdict
from trimtab_client.event_builder import EventBuilder
from trimtab_client.gate_answer import GateAnswer
from trimtab_client.recorder import Recorder
from trimtab_client.ring import EventClass

logger = logging.getLogger("trimtab_client")

_REASON_CHARS_MAX = 1_024
# So many are made before other threads get a chance: about a millisecond's work.
_SLICE = 64

# signal_id, symbol, strategy, model_name, event time (None = now), the monotonic time, the engine's
# context (None = without traces), answer
Noted = tuple[str, str, str, str, int | None, int, Context | None, GateAnswer]

# Reasons that depend on how earlier trades went.
_OF_BREAKERS = frozenset({"BREAKER_OPEN", "PROBE_GRANTED", "PROBES_EXHAUSTED", "ASK_REQUIRED"})
_current_traceparent = current_traceparent_source()


def decision_of(builder: EventBuilder, noted: Noted, wall_offset_ns: int) -> Event:
    """The Decision that an answer of the gate is. wall_offset_ns: from the monotonic clock to the
    wall clock; the engine's thread is spared reading a second clock."""
    signal_id, symbol, strategy, model_name, time_ns, now_ns, context, answer = noted
    allowed = bool(answer)
    verdict = guard_verdict(
        guard="signal_gate",
        result="PASS" if allowed else "BLOCK",
        version=str(answer.revision),
        reason=answer.words[:_REASON_CHARS_MAX],
        # States that operators set and thresholds do not depend on what was traded before.
        memory="STATEFUL" if _OF_BREAKERS.intersection(answer.codes) else "STATELESS",
    )
    traceparent = ""
    if context is not None and _current_traceparent is not None:
        traceparent = context.run(_current_traceparent)
    envelope: Any = {"strategy": strategy, "model_name": model_name, "traceparent": traceparent}
    return builder.decision(
        signal_id=signal_id,
        symbol=symbol,
        action="APPROVED" if allowed else "BLOCKED",
        guard_verdicts=(verdict,),
        applied_threshold=answer.threshold,
        threshold_scale=answer.threshold_scale or 0,
        position_fraction=answer.max_position_fraction,
        decision_source=event_pb2.DECISION_SOURCE_GATE,
        gate_revision=answer.revision,
        gate_source=answer.gate_source,
        event_time_ns=now_ns + wall_offset_ns if time_ns is None else time_ns,
        **{name: value for name, value in envelope.items() if value},
    )


class GateDecisions:
    """A bounded ring of answers, and what became of them.

    recorded_count: handed to the recorder. overflow_count: lost because the ring was full, told
    once a while in the log. refused_count: the recorder had no room. failed_count: no event could
    be made of them (names that are no text).
    """

    def __init__(
        self,
        builder: EventBuilder,
        recorder: Recorder,
        count_max: int,
        *,
        monotonic_ns: Callable[[], int],
        wall_ns: Callable[[], int],
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self.count_max = count_max
        # More than count_max by no more than the engine's threads: `note` looks, then appends.
        self.ring: deque[Noted] = deque()  # bounded: by `note`
        self.recorded_count = self.refused_count = self.failed_count = 0
        self.overflow_count = 0
        self._overflows = itertools.count(1).__next__
        self._told_overflow_count = 0
        self._builder = builder
        self._recorder = recorder
        self._turn = threading.Lock()

    def overflow(self) -> None:
        """Counts an answer that the ring had no room for. The count's step is atomic."""
        self.overflow_count = self._overflows()

    def drain(self) -> None:
        """Hands what waits to the recorder. Called by the gate's thread, by flush and by
        close; one of them at a time, so that the order stays."""
        with self._turn:
            # Whoever is faster than this does not keep the caller for ever.
            for _ in range(self.count_max // _SLICE + 1):
                if not self._drain_slice():
                    break

    def _drain_slice(self) -> int:
        """Makes events of a few; how many."""
        count = 0
        offset_ns = self._wall_ns() - self._monotonic_ns()
        while count < _SLICE:
            try:
                noted = self.ring.popleft()
            except IndexError:
                break
            count += 1
            self._hand_over(noted, offset_ns)
        if self.overflow_count != self._told_overflow_count:
            logger.warning(
                "trimtab gate: %d decisions were not recorded, more than %d waited",
                self.overflow_count - self._told_overflow_count,
                self.count_max,
            )
            self._told_overflow_count = self.overflow_count
        return count

    def _hand_over(self, noted: Noted, wall_offset_ns: int) -> None:
        try:
            event = decision_of(self._builder, noted, wall_offset_ns)
        except (ValueError, TypeError) as error:
            self.failed_count += 1
            logger.warning("trimtab gate: a decision was not recorded: %s", error)
            return
        if self._recorder.record_bytes(event.SerializeToString(), EventClass.RESERVED):
            self.recorded_count += 1
        else:
            self.refused_count += 1

    def reset_after_fork(self) -> None:
        """Child of a fork: what waits is the parent's to record."""
        self.ring = deque()  # bounded: by `note`
        self._turn = threading.Lock()
