"""What a report cannot tell for want of results or of signals, and why, in words."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np

from trimtab_server.domain.ledger.cohorts import last_time
from trimtab_server.domain.ledger.columns import IntArray, Ledger, LedgerCounts, ResultStatus
from trimtab_server.domain.ledger.trades import (
    Mask,
    first_known,
    has_shadow_trade,
    unfilled_orders,
)
from trimtab_server.domain.reports.questions import ReportWorld
from trimtab_server.domain.wording import ENVIRONMENTS, plural

SYMBOLS_SHOWN_MAX = 3
WORLDS_SHOWN_MAX = 5
_NS = 1_000_000_000


def without_simulation(ledger: Ledger, rows: Mask) -> str:
    """Why these signals, shape (n,), have no simulated trade that counts: how many for which
    reason, and which symbols lack prices; "" when all have one."""
    told = [f"{count:,} {words}" for count, words in _reasons(ledger, rows) if count]
    symbols = _symbols(ledger, rows & (_priceless(ledger) | _overdue(ledger)))
    if not symbols:
        return ", ".join(told)
    more = len(symbols) - SYMBOLS_SHOWN_MAX
    names = ", ".join(symbols[:SYMBOLS_SHOWN_MAX]) + (f" and {more:,} more" if more > 0 else "")
    return f"{', '.join(told)} (no prices of {names} were recorded behind them)"


def _reasons(ledger: Ledger, rows: Mask) -> Iterator[tuple[int, str]]:
    status = ledger.shadow_status
    priceless, overdue = _priceless(ledger), _overdue(ledger)
    pending = status == ResultStatus.PENDING
    unfilled = unfilled_orders(ledger)
    unsound = ledger.has_counted & ~unfilled & ~has_shadow_trade(ledger)
    for mask, words in (
        (priceless, "had no price after the decision"),
        ((status == ResultStatus.CENSORED) & ~priceless, "lost their prices before they ended"),
        (overdue, "should have ended and wait for prices"),
        (pending & ~overdue, "are still followed, or wait for prices"),
        (status == ResultStatus.NONE, "were followed by another fill model only"),
        (ledger.has_shadow & ~ledger.has_counted, "are as young as others that are still open"),
        (unfilled, "would not have been filled"),
        (unsound, "came to a return that is no sound number"),
    ):
        yield int(np.count_nonzero(rows & mask)), words


def _priceless(ledger: Ledger) -> Mask:
    """Signals that were given up without ever having found a price to enter at, shape (n,)."""
    result: Mask = (ledger.shadow_status == ResultStatus.CENSORED) & (
        ledger.shadow_entry_time_ns <= 0
    )
    return result


def _overdue(ledger: Ledger) -> Mask:
    """Signals that are followed beyond their planned end, and of whose symbol no signal ever found
    a price, shape (n,)."""
    decided = first_known(ledger.decision_time_ns, ledger.signal_time_ns)
    age_s = (last_time(ledger) - decided) / _NS
    with np.errstate(invalid="ignore"):
        over = age_s > ledger.holding_s
    priced = (ledger.shadow_entry_time_ns > 0) | ledger.has_shadow
    result: Mask = (
        (ledger.shadow_status == ResultStatus.PENDING)
        & over
        & ~np.isin(ledger.symbol, ledger.symbol[priced])
    )
    return result


def _symbols(ledger: Ledger, rows: Mask) -> list[str]:
    names = ledger.names.symbols
    return sorted(names[code] for code in np.unique(ledger.symbol[rows]).tolist())


def missing_results(ledger: Ledger) -> tuple[str, ...]:
    """How many signals have neither a real nor a simulated result, and why: a note, or none."""
    rows = ~ledger.has_real & ~ledger.has_shadow
    count = int(np.count_nonzero(rows))
    if not count:
        return ()
    have = "has" if count == 1 else "have"
    told = (
        f"{count:,} of {plural(len(ledger), 'signal')} {have} neither a real nor a simulated"
        " result, so no number here tells what they made or would have made:"
        f" {without_simulation(ledger, rows)}"
    )
    return (told,)


def without_size(ledger: Ledger, rows: IntArray) -> str:
    """Why the result of trades of these signals, positions of shape (m,), is not known in money."""
    count = rows.size
    in_equity = int(np.count_nonzero(np.isfinite(ledger.position_fraction[rows])))
    told = f"the size of {plural(count, 'trade')} is not known in money"
    no_equity = "no account snapshot at or before {} tells the equity"
    if in_equity == count:
        it, them = ("it is a fraction", "it") if count == 1 else ("they are fractions", "them")
        return f"{told}: {it} of equity, and {no_equity.format(them)}"
    if not in_equity:
        return f"{told}: no notional, no quantity with a price and no fraction of equity was told"
    return (
        f"{told}: of {in_equity:,} a fraction of equity is, but {no_equity.format('them')}; of the"
        " others nothing was told"
    )


def given_up(counts: LedgerCounts) -> tuple[str, ...]:
    """For pending signals of engines that had signals given up: a note on how many, and why."""
    if not (counts.unfollowed_count and counts.shadow_pending_count):
        return ()
    were = "was" if counts.unfollowed_count == 1 else "were"
    told = (
        f"{plural(counts.unfollowed_count, 'signal')} of these engines, at any time, {were} given"
        " up: beyond the simulation's limits, or when its horizons changed; those in this window"
        " count as still followed, but get no simulated result"
    )
    return (told,)


def nothing_found(worlds: Sequence[ReportWorld]) -> tuple[str, ...]:
    """For a scope without signals: that there is none, and the worlds that have some."""
    shown = [_world(world) for world in worlds[:WORLDS_SHOWN_MAX]]
    more = len(worlds) - len(shown)
    if more > 0:
        shown.append(f"{more:,} more")
    return (
        "there is no signal to enter in this scope and window",
        f"there are signals of {'; '.join(shown)}" if shown else "the ledger holds no signal yet",
    )


def _world(world: ReportWorld) -> str:
    run = f" run {world.run_id}" if world.run_id else ""
    first, last = (
        f"{datetime.fromtimestamp(time_ns // _NS, UTC):%Y-%m-%d %H:%M}"
        for time_ns in (world.first_time_ns, world.last_time_ns)
    )
    environment = ENVIRONMENTS.get(world.environment, f"environment {world.environment}")
    return f"{environment}{run}, from {first} until {last}"
