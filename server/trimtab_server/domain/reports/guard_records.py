"""What guards said, as one row of marks for each guard, and who was let in without one of them.

A signal is *open* when guards alone decided on it: it was approved, or blocked with at least one
guard saying so. One that was passed over, or blocked by something that is no guard here, stays out
whatever guard goes; one that was approved in spite of a guard's BLOCK stays in (the guard advised).
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trimtab_server.domain.ledger.columns import APPROVED, BLOCK, BLOCKED, PASS, IntArray, Ledger
from trimtab_server.domain.reports.portfolio import (
    GuardKind,
    Portfolio,
    PortfolioRules,
    guard_kinds,
)

BoolArray = NDArray[np.bool_]

_USUALLY = 0.5


@dataclass(frozen=True, slots=True)
class GuardRecord:
    """A ledger's verdicts made ready for "without this guard".

    said_block: shape (g, n), BLOCK verdicts. blocks: the same where the signal was indeed blocked.
    asked: shape (g, n), PASS or BLOCK. is_open: shape (n,). fixed_count: shape (n,), guards that
    block a signal and are not replayed. taken: shape (n,), what is let in with all guards, replayed
    where there are guards to replay. portfolio: None when there are none.
    """

    ledger: Ledger
    kinds: tuple[GuardKind, ...]
    said_block: BoolArray
    blocks: BoolArray
    asked: BoolArray
    is_open: BoolArray
    fixed_count: IntArray
    taken: BoolArray
    portfolio: Portfolio | None

    @property
    def unknown_blockers(self) -> tuple[GuardKind, ...]:
        """Guards with memory of an unknown kind that blocked something."""
        return tuple(k for k in self.kinds if k.is_unknown and self.blocks[k.code].any())

    @property
    def stateless(self) -> tuple[GuardKind, ...]:
        """Guards without memory."""
        return tuple(k for k in self.kinds if not k.is_stateful)

    def taken_without(self, codes: Collection[int]) -> BoolArray:
        """Signals that would have been let in without these guards, shape (n,)."""
        fixed = [code for code in codes if not self.kinds[code].is_replayed]
        wanted: BoolArray = self.is_open & (self.fixed_count == self.blocks[fixed].sum(axis=0))
        if self.portfolio is None:
            return wanted
        on = (kind.code for kind in self.kinds if kind.is_replayed and kind.code not in codes)
        return self.portfolio.replayed(wanted, PortfolioRules(dict.fromkeys(on)))

    def unasked_count(self, rows: BoolArray) -> int:
        """Of these signals, how many some guard was not asked about that else usually is.

        An engine that stops at the first BLOCK leaves the others' verdicts unknown. Usually: on
        over half of the approved signals of the same source and strategy. Replayed guards do not
        count: their verdict is computed.
        """
        chosen = np.flatnonzero(rows)
        fixed = [kind.code for kind in self.kinds if not kind.is_replayed]
        gaps = [code for code in fixed if not self.asked[code, chosen].all()]
        if not gaps:
            return 0
        ledger = self.ledger
        group = ledger.source.astype(np.int64) * len(ledger.names.strategies) + ledger.strategy
        size = int(group.max()) + 1
        approved = ledger.action == APPROVED
        approvals = np.bincount(group[approved], minlength=size)
        unknown = np.zeros(chosen.size, dtype=np.bool_)
        for code in gaps:
            asked = np.bincount(group[approved & self.asked[code]], minlength=size)
            usual = asked > _USUALLY * approvals
            unknown |= ~self.asked[code, chosen] & usual[group[chosen]]
        return int(np.count_nonzero(unknown))


def guard_record(ledger: Ledger) -> GuardRecord:
    """The ledger's verdicts as rows of marks, and who is let in with all guards."""
    kinds = guard_kinds(ledger)
    v, n = ledger.verdicts, len(ledger)
    rows = np.repeat(np.arange(n), np.diff(v.start))

    def marks(mask: BoolArray) -> BoolArray:
        found = np.zeros((len(kinds), n), dtype=np.bool_)
        found[v.guard[mask], rows[mask]] = True
        return found

    said_block = marks(v.result == BLOCK)
    asked = said_block | marks(v.result == PASS)
    was_blocked = ledger.action == BLOCKED
    blocks = said_block & was_blocked
    is_open = (ledger.action == APPROVED) | (was_blocked & blocks.any(axis=0))
    fixed = [kind.code for kind in kinds if not kind.is_replayed]
    fixed_count: IntArray = blocks[fixed].sum(axis=0, dtype=np.int64)
    portfolio = Portfolio(ledger) if any(kind.is_replayed for kind in kinds) else None
    record = GuardRecord(
        ledger, kinds, said_block, blocks, asked, is_open, fixed_count, is_open, portfolio
    )
    return replace(record, taken=record.taken_without(()))
