"""One fill model's simulated results: those of several are never mixed (fees changed, say)."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from trimtab_server.domain.ledger.columns import IntArray, LedgerScope
from trimtab_server.store.ledger_batch import FILL_MODEL
from trimtab_server.store.ledger_columns import LEFT_OUT, is_result, result_status
from trimtab_server.store.ledger_records import SHADOW, absent, name_key, times_ns
from trimtab_server.store.ledger_scopes import LaneRow, Rows, used_names, window
from trimtab_server.store.ledger_sources import Array, Bulk, Chunk, Field, Source

_FIELDS = (
    Field("signal_key", "ledger_signals.signal_key"),
    Field("record", "record", SHADOW),
)
_OWN_LIFE = ("age_ns = 0", "trading_days = 0")


class FillModelResults(NamedTuple):
    """Results of signals' own lives by one fill model. name: its version; rows: where a signal's
    record is; None = there is only this model, and what a signal's row holds is its."""

    name: str
    rows: Rows | None = None
    records: Array = np.empty(0, dtype=SHADOW)

    def instead_of(self, shadow: Array, signal_key: IntArray) -> Array:
        """The model's record of each signal; LEFT_OUT where only another one tells something."""
        if self.rows is None:
            return shadow
        found = np.repeat(np.frombuffer(absent(SHADOW), dtype=SHADOW), shadow.size)
        found["status"] = np.where(shadow["status"] != 0, LEFT_OUT, 0)
        at = self.rows(signal_key)
        found[at >= 0] = self.records[at[at >= 0]]
        return found


def results_of_one(
    source: Source, lanes: Sequence[LaneRow], scope: LedgerScope
) -> FillModelResults:
    """Of the fill models in these lanes the one that has the most results in the scope, of equals
    the one with the latest."""
    names = used_names(source, lanes, FILL_MODEL)
    if len(names) <= 1:
        return FillModelResults(*names or ("",))
    best: tuple[int, int, str] = (-1, 0, "")
    for name in names:
        count, last_ns = 0, 0
        for chunk in _own_lives(source, lanes, scope, name):
            record = chunk.columns["record"]
            told_ns = times_ns(record)[is_result(result_status(record))]
            count += told_ns.size
            last_ns = max(last_ns, int(told_ns.max(initial=0)))
        best = max(best, (count, last_ns, name))
    chunks = [chunk.columns for chunk in _own_lives(source, lanes, scope, best[2])]
    keys = [np.empty(0, dtype=np.int64), *(each["signal_key"] for each in chunks)]
    records = [np.empty(0, dtype=SHADOW), *(each["record"] for each in chunks)]
    return FillModelResults(best[2], Rows(np.concatenate(keys)), np.concatenate(records))


def _own_lives(
    source: Source, lanes: Sequence[LaneRow], scope: LedgerScope, name: str
) -> Iterator[Chunk]:
    conditions = (*_OWN_LIFE, f"fill_model_key = {name_key(name)}")
    for lane in lanes:
        wanted = window(lane, scope).beside("ledger_markouts", *conditions)
        yield from source.chunks(Bulk(_FIELDS, *wanted))
