"""Signals of the ledger as trades with a result: what really happened, or what was simulated."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab_server.domain.ledger.columns import Ledger
from trimtab_server.domain.shadow.result import NOT_FILLED
from trimtab_server.domain.statistics.estimates import FloatArray, IntArray

Mask = NDArray[np.bool_]

RETURN_MAX = 1e9
"""A result beyond so many stakes is a mistake of whoever sent it, and would drown all others."""

MONEY_MAX = 1e18
"""Sizes and results in money beyond it are as good as not known."""


@dataclass(frozen=True, slots=True)
class Trades:
    """Trades with a result, each array of shape (m,), in any order.

    returns: in stakes, finite. pnl: money, NaN = not known. optimistic, pessimistic: returns if
    every doubtful fill went well, or badly; of a real trade both are its return.
    """

    returns: FloatArray
    pnl: FloatArray
    entry_ns: IntArray
    exit_ns: IntArray
    is_simulated: Mask
    optimistic: FloatArray
    pessimistic: FloatArray

    def __len__(self) -> int:
        return int(self.returns.size)

    def at(self, rows: IntArray | Mask) -> "Trades":
        """Those at some positions, or where a mask says so."""
        return Trades(
            self.returns[rows],
            self.pnl[rows],
            self.entry_ns[rows],
            self.exit_ns[rows],
            self.is_simulated[rows],
            self.optimistic[rows],
            self.pessimistic[rows],
        )


def has_real_trade(ledger: Ledger) -> Mask:
    """Signals whose real result is known as a return, shape (n,)."""
    return _sound(ledger.has_real, ledger.real_return)


def has_shadow_trade(ledger: Ledger) -> Mask:
    """Signals whose simulated order was filled and has a result that is counted, shape (n,)."""
    filled = (ledger.shadow_flags & NOT_FILLED) == 0
    return _sound(ledger.has_counted & filled, ledger.shadow_return)


def unfilled_orders(ledger: Ledger) -> Mask:
    """Signals whose simulated order found no fill, as far as they are counted, shape (n,)."""
    result: Mask = ledger.has_counted & ((ledger.shadow_flags & NOT_FILLED) != 0)
    return result


def _sound(has_result: Mask, returns: FloatArray) -> Mask:
    with np.errstate(invalid="ignore"):
        result: Mask = has_result & (np.abs(returns) <= RETURN_MAX)
    return result


def _money(values: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore"):
        result: FloatArray = np.where(np.abs(values) <= MONEY_MAX, values, np.nan)
    return result


def shadow_trades(ledger: Ledger, wanted: Mask) -> Trades:
    """Simulated results of the signals wanted, shape (n,), that have one."""
    rows = np.flatnonzero(wanted & has_shadow_trade(ledger))
    returns = ledger.shadow_return[rows]
    entry = first_known(ledger.shadow_entry_time_ns[rows], ledger.signal_time_ns[rows])

    def bound(values: FloatArray) -> FloatArray:
        return np.where(_sound(np.ones(rows.size, dtype=bool), values), values, returns)

    return Trades(
        returns=returns,
        pnl=returns * _money(ledger.size[rows]),
        entry_ns=entry,
        exit_ns=np.maximum(ledger.shadow_exit_time_ns[rows], entry),
        is_simulated=np.ones(rows.size, dtype=bool),
        optimistic=bound(ledger.shadow_optimistic[rows]),
        pessimistic=bound(ledger.shadow_pessimistic[rows]),
    )


def real_trades(ledger: Ledger, wanted: Mask) -> Trades:
    """Real results of the signals wanted, shape (n,), that have one."""
    rows = np.flatnonzero(wanted & has_real_trade(ledger))
    returns = ledger.real_return[rows]
    told = _money(ledger.real_pnl[rows])
    entry = first_known(
        ledger.real_entry_time_ns[rows],
        ledger.shadow_entry_time_ns[rows],
        ledger.signal_time_ns[rows],
    )
    leave = first_known(ledger.real_exit_time_ns[rows], ledger.shadow_exit_time_ns[rows])
    return Trades(
        returns=returns,
        pnl=np.where(np.isfinite(told), told, returns * _money(ledger.size[rows])),
        entry_ns=entry,
        exit_ns=np.maximum(leave, entry),
        is_simulated=np.zeros(rows.size, dtype=bool),
        optimistic=returns,
        pessimistic=returns,
    )


def first_known(*times_ns: IntArray) -> IntArray:
    """The first of several times that is known (above 0), else the last of them, shape (n,)."""
    found = times_ns[-1]
    for each in reversed(times_ns[:-1]):
        found = np.where(each > 0, each, found)
    return found


def joined_trades(first: Trades, second: Trades) -> Trades:
    """Both sets in one."""
    return Trades(
        *(
            np.concatenate([getattr(first, name), getattr(second, name)])
            for name in Trades.__dataclass_fields__
        )
    )


def later(times_ns: IntArray, duration_ns: int) -> IntArray:
    """Times so much later, at most the last that there is, shape (n,)."""
    result: IntArray = np.minimum(times_ns, np.iinfo(np.int64).max - duration_ns) + duration_ns
    return result
