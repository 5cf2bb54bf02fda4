"""What a scenario's other history does to guards with memory: what is replayed, what cannot be."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from trimtab_server.domain.reports.guard_records import BoolArray, GuardRecord
from trimtab_server.domain.reports.guards import UNASKED_SHARE_MAX
from trimtab_server.domain.reports.replay_trust import ReplayTrust
from trimtab_server.domain.reports.scenarios import Plan
from trimtab_server.domain.wording import plural


@dataclass(frozen=True)
class Memory:
    """A scenario's replay. left_out: guards that are not there; replayed: those that the portfolio
    foretells. wanted: shape (n,), what everything but the portfolio lets in."""

    record: GuardRecord
    trust: ReplayTrust
    plan: Plan
    left_out: frozenset[int]
    replayed: frozenset[int]
    wanted: BoolArray

    @cached_property
    def engines(self) -> BoolArray:
        """Signals of the engines whose history could become another one, shape (n,)."""
        record, plan = self.record, self.plan
        if plan.positions or plan.symbol_positions or plan.capital:
            return np.ones(self.wanted.size, dtype=np.bool_)
        rows: BoolArray = self.wanted != (record.is_open & (record.fixed_count == 0))
        for kind in record.kinds:
            if kind.is_replayed and kind.name in plan.limits:
                rows |= record.asked[kind.code]
            elif kind.is_replayed and kind.code in self.left_out:
                rows |= record.blocks[kind.code]
        return self.trust.engines(rows)

    def obstacles(self, added: BoolArray) -> Iterator[str]:
        """Why another history cannot be told. added: signals that it lets in besides, (n,)."""
        # Which engines are concerned takes passes over all signals: asked only where it matters.
        unknown: tuple[str, ...] = ()
        if self.trust.has_unknown:
            unknown = self.trust.unknown_names(self.engines, self.left_out)
        if unknown:
            yield (
                f"{', '.join(unknown)} would have seen another history, and how it decides was not"
                " told: record its rule, or tell that it is stateless"
            )
        if self.replayed and (disbelief := self.trust.disbelief(self.replayed, self.engines)):
            yield disbelief
        if self.plan.is_all_off:
            return
        count = int(np.count_nonzero(added))
        left = tuple(kind for kind in self.record.kinds if kind.code not in self.left_out)
        unasked = replace(self.record, kinds=left).unasked_count(added) if count else 0
        if unasked > UNASKED_SHARE_MAX * count:
            signals = plural(count, "signal")
            yield f"other guards were not asked about {unasked:,} of {signals} it would add"

    def reasons(self) -> Iterator[str]:
        """What the replay took for given."""
        plan, agreement = self.plan, None
        if self.replayed:
            agreement = self.trust.agreement(self.replayed, self.engines)
        if agreement is not None:
            yield (
                "guards with memory are replayed on the new history; the replay gives"
                f" {agreement:.1%} of their recorded verdicts"
            )
        if plan.positions or plan.symbol_positions or plan.capital:
            yield "limits hold for each engine by itself, and see these signals' positions only"
        silent = [
            kind.name
            for kind in self.record.kinds
            if kind.is_unknown and kind.code not in self.left_out and not kind.blocked_count
        ]
        if silent:
            yield f"{', '.join(silent)} never blocked and is taken not to"
