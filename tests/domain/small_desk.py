"""A desk that trades by guards with memory, as plain loops: what replays are held against."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.domain.ledgers import SECOND_NS, START_NS, a_ledger
from trimtab_server.domain.ledger.columns import (
    APPROVED,
    BLOCK,
    BLOCKED,
    PASS,
    STATEFUL,
    STATELESS,
    GuardRule,
    Ledger,
    Names,
    Verdicts,
)

VOLATILITY = "volatility"


@dataclass(frozen=True)
class Market:
    """What signals meet, each list of length n; times in seconds since START_NS."""

    decided_s: list[int]
    held_s: list[int]
    symbol: list[int]
    source: list[int]
    key: list[int]
    returns: list[float]
    fraction: list[float]
    volatile: list[bool]

    @property
    def order(self) -> list[int]:
        """Signals as the desk takes them up."""
        return sorted(range(len(self.key)), key=lambda i: (self.decided_s[i], self.key[i]))


@dataclass(frozen=True)
class DeskGuard:
    """A guard with memory. part: symbol only, losses only, or the period in seconds."""

    name: str
    rule: GuardRule
    limit: float
    part: float = 0.0
    foreign: float = 0.0


@dataclass
class Desk:
    """The desk's books: who was let in, and what each guard saw and said."""

    market: Market
    guards: Sequence[DeskGuard]
    uses_volatility: bool = True
    taken: list[int] = field(default_factory=list)
    seen: dict[tuple[int, str], tuple[float, bool, float]] = field(default_factory=dict)

    def trade(self) -> "Desk":
        """Takes up every signal in turn."""
        for i in self.market.order:
            verdicts = [self._passes(i, guard) for guard in self.guards]
            if all(verdicts) and not (self.uses_volatility and self.market.volatile[i]):
                self.taken.append(i)
        return self

    def _exit_ns(self, j: int) -> int:
        exit_ns = (self.market.decided_s[j] + self.market.held_s[j]) * SECOND_NS
        return max(exit_ns, self.market.decided_s[j] * SECOND_NS + 1)

    def _passes(self, i: int, guard: DeskGuard) -> bool:
        m, now_ns = self.market, self.market.decided_s[i] * SECOND_NS
        mine = [j for j in self.taken if m.source[j] == m.source[i]]
        still = [j for j in mine if self._exit_ns(j) > now_ns]
        ended = [j for j in mine if self._exit_ns(j) <= now_ns]
        detail = guard.part
        if guard.rule is GuardRule.POSITION_COUNT:
            own = [j for j in still if not guard.part or m.symbol[j] == m.symbol[i]]
            observed: float = len(own) + guard.foreign
            passes = observed + 1 <= guard.limit
        elif guard.rule is GuardRule.EXPOSURE:
            detail = m.fraction[i]
            observed = sum(m.fraction[j] for j in still) + guard.foreign
            passes = round((observed + detail) * 1e9) <= round(guard.limit * 1e9)
        elif guard.rule is GuardRule.COOLDOWN:
            exits = [self._exit_ns(j) for j in ended if not guard.part or m.returns[j] < 0]
            observed = (now_ns - max(exits)) / SECOND_NS if exits else float("nan")
            passes = not exits or now_ns - max(exits) >= guard.limit * SECOND_NS
        else:
            period = int(guard.part) * SECOND_NS
            start = (START_NS + now_ns) // period
            now = [j for j in ended if (START_NS + self._exit_ns(j)) // period == start]
            observed = sum(m.returns[j] * m.fraction[j] for j in now) - guard.foreign
            passes = round(-observed * 1e9) <= round(guard.limit * 1e9)
        self.seen[i, guard.name] = (observed, passes, detail)
        return passes

    def ledger(self, **columns: Any) -> Ledger:
        """What the desk would have recorded, followed to the same exits in the simulation."""
        m, n = self.market, len(self.market.key)
        order = sorted(range(n), key=lambda i: (m.decided_s[i], m.key[i]))
        names = [VOLATILITY, *(guard.name for guard in self.guards)]
        rows = []
        for i in order:
            said = BLOCK if m.volatile[i] else PASS
            rows.append((0, said, STATELESS, GuardRule.UNKNOWN, np.nan, np.nan, np.nan))
            for code, guard in enumerate(self.guards, 1):
                observed, passes, detail = self.seen[i, guard.name]
                said = PASS if passes else BLOCK
                rows.append((code, said, STATEFUL, guard.rule, observed, guard.limit, detail))
        table = np.array(rows, dtype=np.float64).reshape(-1, 7)
        taken = set(self.taken)
        decided = START_NS + np.array([m.decided_s[i] for i in order], dtype=np.int64) * SECOND_NS
        held = np.array([m.held_s[i] for i in order], dtype=np.int64) * SECOND_NS
        told: dict[str, Any] = {
            "signal_key": [m.key[i] for i in order],
            "signal_time_ns": decided,
            "decision_time_ns": decided,
            "shadow_entry_time_ns": decided,
            "shadow_exit_time_ns": decided + held,
            "symbol": [m.symbol[i] for i in order],
            "source": [m.source[i] for i in order],
            "shadow_return": [m.returns[i] for i in order],
            "position_fraction": [m.fraction[i] for i in order],
            "action": [APPROVED if i in taken else BLOCKED for i in order],
        }
        return a_ledger(
            n,
            names=Names(
                symbols=("", "A", "B"), sources=("", "first", "second"), guards=tuple(names)
            ),
            verdicts=Verdicts(
                start=np.arange(n + 1, dtype=np.int64) * len(names),
                guard=table[:, 0].astype(np.int32),
                result=table[:, 1].astype(np.int8),
                memory=table[:, 2].astype(np.int8),
                rule=table[:, 3].astype(np.int8),
                is_minimum=np.zeros(n * len(names), dtype=np.int8),
                observed=table[:, 4],
                limit=table[:, 5],
                detail=table[:, 6],
            ),
            **(told | columns),
        )

    def let_in(self) -> list[bool]:
        """Whether each signal of `ledger` was let in."""
        taken = set(self.taken)
        order = sorted(range(len(self.market.key)), key=self._place)
        return [i in taken for i in order]

    def _place(self, i: int) -> tuple[int, int]:
        return self.market.decided_s[i], self.market.key[i]


@st.composite
def markets(draw: st.DrawFn, most: int = 24) -> Market:
    """Small markets, with ties, exits at decisions, two engines and two symbols."""
    n = draw(st.integers(1, most))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=n, max_size=n))

    return Market(
        decided_s=column(st.integers(0, 40)),
        held_s=column(st.integers(0, 15)),
        symbol=column(st.integers(1, 2)),
        source=column(st.sampled_from([1, 1, 2])),
        key=draw(st.permutations(range(n))),
        returns=column(st.sampled_from([-0.03, -0.01, 0.0, 0.02])),
        fraction=column(st.sampled_from([0.05, 0.1, 0.2])),
        volatile=column(st.booleans()),
    )


GUARDS = st.one_of(
    st.builds(
        DeskGuard,
        name=st.just("positions"),
        rule=st.just(GuardRule.POSITION_COUNT),
        limit=st.sampled_from([0.0, 1.0, 2.0, 4.0]),
        part=st.sampled_from([0.0, 1.0]),
        foreign=st.sampled_from([0.0, 1.0]),
    ),
    st.builds(
        DeskGuard,
        name=st.just("exposure"),
        rule=st.just(GuardRule.EXPOSURE),
        limit=st.sampled_from([0.1, 0.25, 0.4]),
        foreign=st.sampled_from([0.0, 0.1]),
    ),
    st.builds(
        DeskGuard,
        name=st.just("cooldown"),
        rule=st.just(GuardRule.COOLDOWN),
        limit=st.sampled_from([0.0, 3.0, 8.0]),
        part=st.sampled_from([0.0, 1.0]),
    ),
    st.builds(
        DeskGuard,
        name=st.just("losses"),
        rule=st.just(GuardRule.LOSS_LIMIT),
        limit=st.sampled_from([0.001, 0.003, 0.006]),
        part=st.sampled_from([10.0, 25.0]),
        foreign=st.sampled_from([0.0, 0.001]),
    ),
)
DESK_GUARDS = st.lists(GUARDS, min_size=1, max_size=4, unique_by=lambda guard: guard.name)
