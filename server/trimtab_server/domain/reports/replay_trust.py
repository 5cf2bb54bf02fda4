"""How far a replay of guards with memory can be believed, engine by engine.

Each engine (source) is a book of its own, so what another history would be is asked of those alone
whose signals would go another way: a replay that fails for one engine says nothing of the others.
"""

from collections.abc import Callable, Iterable
from functools import cached_property

import numpy as np

from trimtab_server.domain.reports.guard_records import BoolArray, GuardRecord
from trimtab_server.domain.reports.portfolio import GuardKind, Portfolio

AGREEMENT_MIN = 0.8
"""A replay that gives fewer of the recorded verdicts is a replay of something else."""


class ReplayTrust:
    """What is known of a record's replays. portfolio: gives the one to ask, when it is needed."""

    def __init__(self, record: GuardRecord, portfolio: Callable[[], Portfolio]) -> None:
        self._record, self._portfolio = record, portfolio
        self._agreement: dict[tuple[frozenset[int], bytes], float | None] = {}

    @cached_property
    def _unknown(self) -> tuple[GuardKind, ...]:
        return self._record.unknown_blockers

    @property
    def has_unknown(self) -> bool:
        """Whether a guard of unknown memory blocked anything at all."""
        return bool(self._unknown)

    def engines(self, rows: BoolArray) -> BoolArray:
        """Signals of the engines that any of these belongs to, shape (n,) both."""
        return self._held(rows)[self._record.ledger.source]

    def _held(self, rows: BoolArray) -> BoolArray:
        source = self._record.ledger.source
        return np.bincount(source[rows], minlength=int(source.max(initial=0)) + 1) > 0

    def unknown_names(self, among: BoolArray, left_out: Iterable[int] = ()) -> tuple[str, ...]:
        """Guards that blocked, whose memory is of an unknown kind, and that looked at any of these
        signals, shape (n,); but for those left out."""
        gone = frozenset(left_out)
        return tuple(
            kind.name
            for kind in self._unknown
            if kind.code not in gone and bool((self._record.asked[kind.code] & among).any())
        )

    def agreement(self, codes: Iterable[int], among: BoolArray) -> float | None:
        """See `Portfolio.agreement`; worked out once for each set of guards and engines."""
        guards = frozenset(codes)
        key = guards, np.packbits(self._held(among)).tobytes()
        if key not in self._agreement:
            self._agreement[key] = self._portfolio().agreement(guards, among)
        return self._agreement[key]

    def disbelief(self, codes: Iterable[int], among: BoolArray) -> str:
        """Why a replay of these guards is no answer for these engines; "" = it can be one."""
        agreement = self.agreement(codes, among)
        if agreement is None or agreement >= AGREEMENT_MIN:
            return ""
        count = int(np.count_nonzero(self._held(among)))
        hint = f" of {count:,} sources: ask for one source by itself" if count > 1 else ""
        return (
            f"the replay gives only {agreement:.0%} of the recorded verdicts of guards with memory"
            f"{hint}"
        )
