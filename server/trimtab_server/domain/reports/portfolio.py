"""The portfolio replayed: which signals would have been let in, had the history been another one.

A guard with memory (open positions, exposure, cool-down, loss limit) answers by what was traded
before it. When another guard goes, or a limit moves, it sees another history and answers otherwise:
with a cap of three positions, 723 signals that a naive count calls freed come to 101 more trades.

What counts as open: a position binds its place from the decision on (approved and not yet filled
counts, as it does for an engine) until its exit; an exit at the very time of a decision comes
first. Exits are the real ones of what was traded, so that the recorded history is replayed as it
was, else those of the simulation; else, for a signal without a price or still without a result, the
end of the planned holding period; without a plan, what is pending holds its place to the end. A
passive entry that was not filled binds until its order ended. Each engine (source) is a book of its
own.

The replay starts from what each guard told: where the replayed history equals the recorded one, the
recorded verdict stands, and where it differs by two positions, so does the count that the guard is
shown. So positions from before the window, or foreign ones, count as they did, and a scenario that
changes nothing changes nothing. How many of the recorded verdicts the ledger foretells is told as
the `agreement`.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np

from trimtab_server.domain.ledger.columns import (
    BLOCK,
    NOT_EVALUATED,
    STATEFUL,
    GuardRule,
    IntArray,
    Ledger,
)
from trimtab_server.domain.reports.portfolio_bounds import agreed_counts, recorded_bounds
from trimtab_server.domain.reports.portfolio_history import POSITION_FRACTION, History
from trimtab_server.domain.reports.portfolio_replay import BoolArray, Bounds, let_in, units

REPLAYED = frozenset(
    {GuardRule.POSITION_COUNT, GuardRule.EXPOSURE, GuardRule.COOLDOWN, GuardRule.LOSS_LIMIT}
)
"""Kinds of guards with memory that can be replayed."""


class Identifiability(IntEnum):
    """How far an answer follows from what was recorded; the numbers are the contract's."""

    EXACT = 1
    SIMULATED = 2
    NOT_IDENTIFIABLE = 3


@dataclass(frozen=True, slots=True)
class GuardKind:
    """What is recorded of a guard. rules: the kinds that its verdicts told. is_stateful: its
    verdict depends on earlier trades (not told = it does). is_replayed: it does, in a known way."""

    code: int
    name: str
    rules: frozenset[GuardRule]
    is_stateful: bool
    evaluated_count: int
    blocked_count: int

    @property
    def is_replayed(self) -> bool:
        """Whether the portfolio's replay tells its verdicts."""
        return bool(self.rules) and self.rules <= REPLAYED

    @property
    def is_unknown(self) -> bool:
        """Whether it has memory, and how it decides is not told."""
        return self.is_stateful and not self.is_replayed


def guard_kinds(ledger: Ledger) -> tuple[GuardKind, ...]:
    """What is recorded of each guard, in the order of Names.guards."""
    v, size = ledger.verdicts, len(ledger.names.guards)
    rule_count = max(GuardRule) + 1
    known = (v.rule >= 0) & (v.rule < rule_count)
    pairs = v.guard.astype(np.int64) * rule_count + np.where(known, v.rule, 0)
    rules = np.bincount(pairs, minlength=size * rule_count).reshape(size, rule_count)

    def count(mask: BoolArray) -> IntArray:
        return np.bincount(v.guard[mask], minlength=size)

    stateful, blocked = count(v.memory == STATEFUL), count(v.result == BLOCK)
    evaluated = count(v.result != NOT_EVALUATED)
    kinds = []
    for code, name in enumerate(ledger.names.guards):
        told = frozenset(GuardRule(int(each)) for each in np.flatnonzero(rules[code]))
        kinds.append(
            GuardKind(
                code=code,
                name=name,
                rules=told,
                is_stateful=bool(stateful[code]) or bool(told & REPLAYED),
                evaluated_count=int(evaluated[code]),
                blocked_count=int(blocked[code]),
            )
        )
    return tuple(kinds)


@dataclass(frozen=True, slots=True)
class PortfolioRules:
    """What holds in a replay.

    guards: code of a recorded guard of a kind in REPLAYED -> its limit, None = as recorded.
    open_count_max: at most so many open positions, of a book; symbol_count_max: of one symbol in
    it. exposure_fraction_max: at most so much of equity bound in positions; position_fraction: the
    size of a position whose own is not known (for this limit alone).
    """

    guards: Mapping[int, float | None] = field(default_factory=dict)
    open_count_max: int | None = None
    symbol_count_max: int | None = None
    exposure_fraction_max: float | None = None
    position_fraction: float = POSITION_FRACTION

    @property
    def binds(self) -> bool:
        """Whether there is anything to replay."""
        limits = (self.open_count_max, self.symbol_count_max, self.exposure_fraction_max)
        return bool(self.guards) or any(each is not None for each in limits)


def limits_beside(rules: PortfolioRules, kinds: Collection[GuardKind]) -> Iterator[str]:
    """For a limit on positions or capital: that the engine's own guards of that kind, where they
    are still there, hold as well: a signal has to pass both."""
    counts = (rules.open_count_max, rules.symbol_count_max)
    for limits, rule, what in (
        (counts, GuardRule.POSITION_COUNT, "positions"),
        ((rules.exposure_fraction_max,), GuardRule.EXPOSURE, "capital"),
    ):
        names = [kind.name for kind in kinds if kind.code in rules.guards and rule in kind.rules]
        if names and any(limit is not None for limit in limits):
            them = "it" if len(names) == 1 else "them"
            yield (
                f"the limit on {what} holds beside the engine's own {', '.join(names)}: a signal"
                f" has to pass both; to see the limit alone, leave {them} out as well"
            )


class Portfolio:
    """A ledger made ready for many replays: its columns are read and sorted once. Keeps about 200
    bytes a signal, and what the rules of the last replay came to."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._history = History(ledger)
        self._last: tuple[PortfolioRules, Bounds] | None = None

    def replayed(self, wanted: BoolArray, rules: PortfolioRules) -> BoolArray:
        """Which of the wanted signals the rules let in, in the order of their decisions, shape
        (n,). wanted: shape (n,), what everything but the rules allows. Raises ValueError for
        another shape."""
        if wanted.shape != (len(self.ledger),):
            raise ValueError(f"wanted must be of shape ({len(self.ledger)},), not {wanted.shape}")
        if not rules.binds:
            return wanted.copy()
        history = self._history
        lives = history.lives(rules.position_fraction)
        bounds = self._bounds(rules)
        symbols = None if bounds.symbol_max is None else history.symbol_line
        result = np.zeros(wanted.size, dtype=np.bool_)
        for queue in history.line.queue(wanted, symbols):
            result[queue.rows] = let_in(queue, lives, bounds)
        return result

    def agreement(self, codes: Collection[int], among: BoolArray | None = None) -> float | None:
        """Share of these guards' recorded verdicts that the ledger foretells, 0 to 1: see
        `portfolio_bounds.agreed_counts`. among: signals whose verdicts count, shape (n,); None =
        all. None when they told none that could be judged."""
        counts = [agreed_counts(self._history, code, among) for code in codes]
        total = sum(of for _, of in counts)
        return sum(agreed for agreed, _ in counts) / total if total else None

    def _bounds(self, rules: PortfolioRules) -> Bounds:
        if self._last is not None and self._last[0] == rules:
            return self._last[1]
        bounds = recorded_bounds(self._history, rules.guards)
        opened = _capped(bounds.open_max, rules.open_count_max, len(self.ledger))
        of_symbol = _capped(bounds.symbol_max, rules.symbol_count_max, len(self.ledger))
        bounds = replace(bounds, open_max=opened, symbol_max=of_symbol)
        if rules.exposure_fraction_max is not None:
            most = int(units(np.array([rules.exposure_fraction_max]))[0])
            needed = self._history.lives(rules.position_fraction).capital
            bounds = replace(bounds, capital_max=most - needed + 1)
        self._last = (rules, bounds)
        return bounds


def _capped(bound: IntArray | None, most: int | None, count: int) -> IntArray | None:
    if most is None:
        return bound
    return np.full(count, most) if bound is None else np.minimum(bound, most)
