"""What each guard blocked, and what later prices say of it: a first, provisional line.

Every guard's verdict on every signal is needed: crediting only the first that blocked counts
twice. So a guard is credited only with signals that it *alone* blocked: those would have gone
through without it. For a stateful guard even that is no answer, because each freed signal changes
what the guard would have seen next; its numbers are shown and its verdict is withheld.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from trimtab_server.domain.estimates import Estimate
from trimtab_server.domain.returns import mean_estimate, win_rate


class GuardEffect(StrEnum):
    """What a guard did to the result, as far as the outcomes can tell."""

    HELPS = "helps"
    COSTS = "costs"
    UNDECIDED = "undecided"
    NOT_IDENTIFIABLE = "not identifiable"


@dataclass(frozen=True, slots=True)
class JudgedSignal:
    """One signal, what every guard said, and what it would have made.

    day: position in the calendar of its entry. blocked_by: names of the guards that said BLOCK.
    evaluated_by: names of those that looked. return_fraction: provisional, after costs, from later
    prices; None = not matured.
    """

    signal_id: str
    day: int
    evaluated_by: frozenset[str]
    blocked_by: frozenset[str]
    return_fraction: float | None


@dataclass(frozen=True, slots=True)
class GuardLine:
    """One guard's line in the report.

    blocked_alone_count: blocked by this guard and no other. matured_count: of these, how many
    have a provisional outcome. missed_profit, avoided_loss: sums of their positive and negative
    returns (as positive fractions of one position's notional). guard_value = avoided loss - missed
    profit. outcomes_needed: how many more would settle it if the mean stays; None = settled, or no
    answer possible.
    """

    guard: str
    stateful: bool
    evaluated_count: int
    blocked_count: int
    blocked_alone_count: int
    matured_count: int
    provisional_win_rate: float | None
    mean_return: Estimate
    missed_profit: float
    avoided_loss: float
    effect: GuardEffect
    outcomes_needed: int | None

    @property
    def guard_value(self) -> float:
        """Avoided loss minus missed profit, in fractions of one position's notional."""
        return self.avoided_loss - self.missed_profit


def guard_lines(
    signals: Sequence[JudgedSignal],
    stateful: dict[str, bool],
    calendar_length: int,
    mean_block: float,
    rng: np.random.Generator,
    *,
    count: int = 1000,
    level: float = 0.95,
) -> tuple[GuardLine, ...]:
    """A line per guard of `stateful` (name -> depends on earlier trades), in that order.

    calendar_length: days; mean_block: days, at least the longest holding period. A guard whose
    interval includes zero is undecided, and says how many outcomes are still needed.
    """
    lines = []
    for guard, has_memory in stateful.items():
        blocked = [s for s in signals if guard in s.blocked_by]
        alone = [s for s in blocked if len(s.blocked_by) == 1]
        matured = [s for s in alone if s.return_fraction is not None]
        returns = np.array([s.return_fraction for s in matured], dtype=np.float64)
        days = np.array([s.day for s in matured], dtype=np.int64)
        mean = mean_estimate(
            returns, days, calendar_length, mean_block, rng, count=count, level=level
        )
        effect = _effect(mean, has_memory=has_memory)
        lines.append(
            GuardLine(
                guard=guard,
                stateful=has_memory,
                evaluated_count=sum(guard in s.evaluated_by for s in signals),
                blocked_count=len(blocked),
                blocked_alone_count=len(alone),
                matured_count=len(matured),
                provisional_win_rate=win_rate(returns),
                mean_return=mean,
                missed_profit=float(returns[returns > 0].sum()),
                avoided_loss=float(np.maximum(-returns, 0.0).sum()),
                effect=effect,
                outcomes_needed=outcomes_needed(mean) if effect is GuardEffect.UNDECIDED else None,
            )
        )
    return tuple(lines)


def _effect(mean: Estimate, *, has_memory: bool) -> GuardEffect:
    if has_memory:
        return GuardEffect.NOT_IDENTIFIABLE
    if mean.decided_sign == 0:
        return GuardEffect.UNDECIDED
    return GuardEffect.HELPS if mean.decided_sign < 0 else GuardEffect.COSTS


def outcomes_needed(mean: Estimate) -> int | None:
    """How many more outcomes would move the interval off zero if the mean stays as it is.

    The half-width shrinks with the square root of n. None when already decided, when there is no
    interval, or when the mean is zero to within a millionth (no finite number would do).
    """
    if mean.value is None or mean.low is None or mean.high is None or mean.decided_sign:
        return None
    if abs(mean.value) < 1e-6:
        return None
    half = (mean.high - mean.low) / 2
    return max(1, int(np.ceil(mean.n * (half / abs(mean.value)) ** 2)) - mean.n)
