"""How to share among guards what they did together: the Shapley value (Shapley 1953).

A guard's share is what it adds to the result, averaged over all orders in which guards could be
switched on. Shares add up to what all did together, and guards that always block the same get the
same; leave-one-out gives both of them nothing.
"""

from itertools import chain, combinations
from math import factorial

import numpy as np

from trimtab_server.domain.reports.guard_records import GuardRecord
from trimtab_server.domain.statistics.estimates import FloatArray

REPLAYED_SIGNALS_MAX = 16_000_000
"""Coalitions times signals: beyond this a report would replay portfolios for more than seconds."""


def shapley_weights(record: GuardRecord) -> dict[int, FloatArray] | None:
    """Share of each signal's result that each stateless guard has, by guard code, shape (n,).

    The guard's value is the sum of weight * return. Without guards to replay this is a closed form.
    A signal that k stateless guards block (and no other guard) is in exactly when none of them is
    on: the first of the k to be switched on takes the whole of -return, the others nothing; each is
    the first in one order of k; so each has the weight -1 / k, and the value of a sum of games is
    the sum of their values. With guards to replay a freed signal takes the place of another, and
    all coalitions are replayed. None where those are too many (`REPLAYED_SIGNALS_MAX`).
    """
    active = [kind.code for kind in record.stateless if record.blocks[kind.code].any()]
    size = len(record.ledger)
    weights = {kind.code: np.zeros(size) for kind in record.stateless}
    if record.portfolio is None:
        together = record.blocks[active].sum(axis=0)
        sole = (together > 0) & (record.fixed_count == together)
        for code in active:
            mine = sole & record.blocks[code]
            weights[code][mine] = -1.0 / together[mine]
        return weights
    if size << len(active) > REPLAYED_SIGNALS_MAX:
        return None
    count = len(active)
    coalitions = chain.from_iterable(combinations(active, k) for k in range(count + 1))
    for off in coalitions:
        taken = record.taken_without(off)
        on = count - len(off)
        for code in active:
            # With the guard on, this is one side of its difference to the same without it.
            before = on if code in off else on - 1
            share = factorial(before) * factorial(count - before - 1) / factorial(count)
            weights[code][taken] += -share if code in off else share
    for code in active:
        weights[code][np.abs(weights[code]) < 1e-12] = 0.0
    return weights
