"""Trades: a claim (confidence), a life (entry to exit) and a result, and which of them may count.

Three rules keep a report honest: only matured outcomes count (losers exit fast: the win rate of
closed trades read 0.41 where the truth was 0.50), the latest correction replaces what it corrects,
and simulated results never mix with real ones.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from trimtab_server.domain.statistics.estimates import FloatArray, IntArray

DAY_NS = 86_400_000_000_000


class TradeStatus(StrEnum):
    """How far a trade's result can be trusted."""

    MATURED = "MATURED"
    CENSORED = "CENSORED"


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade, or the simulated following of a signal.

    outcome_id: identity of the result (event id). corrects_id: the result that it replaces, or "".
    entry_time_ns, exit_time_ns: UTC nanoseconds, exit >= entry; exit of a censored trade = last
    time seen. confidence: as claimed, 0 to 1, None = nothing claimed. return_fraction: after
    costs, None = not known (censored). won: None = return_fraction > 0.
    """

    outcome_id: str
    signal_id: str
    strategy: str
    symbol: str
    entry_time_ns: int
    exit_time_ns: int
    confidence: float | None
    return_fraction: float | None
    won: bool | None = None
    status: TradeStatus = TradeStatus.MATURED
    corrects_id: str = ""
    simulated: bool = False

    @property
    def is_win(self) -> bool | None:
        """Whether it won: as told, else whether the return is above zero; None = not known."""
        if self.won is not None:
            return self.won
        return None if self.return_fraction is None else self.return_fraction > 0


@dataclass(frozen=True, slots=True)
class Selection:
    """Trades that count, and how many were left out for which reason."""

    counted: tuple[Trade, ...]
    corrected_count: int
    censored_count: int
    simulated_count: int
    unclaimed_count: int

    def as_json(self) -> dict[str, int]:
        """Counts for a JSON report."""
        return {
            "counted": len(self.counted),
            "left_out_corrected": self.corrected_count,
            "left_out_censored": self.censored_count,
            "left_out_simulated": self.simulated_count,
            "left_out_without_confidence": self.unclaimed_count,
        }


def latest_corrections(trades: Sequence[Trade]) -> tuple[Trade, ...]:
    """Trades without those that a later one corrects, in their order; the last correction wins.

    trades: in log order. When two correct the same result, the one later in the log stays, and so
    does a chain's last link. Corrections of something absent stay as they are.
    """
    replaced: set[str] = set()
    last_of: dict[str, str] = {}
    for trade in trades:
        if not trade.corrects_id or trade.corrects_id == trade.outcome_id:
            continue
        rival = last_of.get(trade.corrects_id)
        if rival is not None:
            replaced.add(rival)
        last_of[trade.corrects_id] = trade.outcome_id
        replaced.add(trade.corrects_id)
    return tuple(trade for trade in trades if trade.outcome_id not in replaced)


def countable_trades(trades: Sequence[Trade]) -> Selection:
    """The matured, latest, real trades that claimed a confidence and have a result.

    trades: in log order. Nothing is dropped silently: the counts say what was left out and why.
    """
    real = [trade for trade in trades if not trade.simulated]
    latest = latest_corrections(real)
    matured = [
        trade
        for trade in latest
        if trade.status is TradeStatus.MATURED and trade.is_win is not None
    ]
    claimed = tuple(trade for trade in matured if trade.confidence is not None)
    return Selection(
        counted=claimed,
        corrected_count=len(real) - len(latest),
        censored_count=len(latest) - len(matured),
        simulated_count=len(trades) - len(real),
        unclaimed_count=len(matured) - len(claimed),
    )


@dataclass(frozen=True, slots=True)
class ThresholdSplit:
    """Trades whose confidence reaches the threshold, and the others."""

    passed: tuple[Trade, ...]
    rejected: tuple[Trade, ...]


def threshold_split(trades: Iterable[Trade], threshold: float) -> ThresholdSplit:
    """Trades with confidence at or above the threshold, and those below or without a claim.

    Raises ValueError for a threshold outside 0 to 1.
    """
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"threshold must lie between 0 and 1, got {threshold}")
    passed: list[Trade] = []
    rejected: list[Trade] = []
    for trade in trades:
        above = trade.confidence is not None and trade.confidence >= threshold
        (passed if above else rejected).append(trade)
    return ThresholdSplit(tuple(passed), tuple(rejected))


def average_uniqueness(entries: IntArray, exits: IntArray) -> FloatArray:
    """Share of each label's life that it has to itself, above 0 to 1, shape (n,).

    entries, exits: times in one unit, exit >= entry. At each moment a label counts 1 / (labels
    alive); a life of no length counts 1. Source: Lopez de Prado (2018), "Advances in Financial
    Machine Learning", section 4.4. No labels: an empty array. Raises ValueError when an exit lies
    before its entry.
    """
    start, end = np.asarray(entries, dtype=np.int64), np.asarray(exits, dtype=np.int64)
    if start.shape != end.shape or bool(np.any(end < start)):
        raise ValueError("every exit needs an entry at or before it")
    if start.size == 0:
        return np.empty(0)
    edges = np.unique(np.concatenate([start, end]))
    steps = np.zeros(edges.size)
    np.add.at(steps, np.searchsorted(edges, start), 1.0)
    np.add.at(steps, np.searchsorted(edges, end), -1.0)
    alive = np.cumsum(steps)[:-1]
    share = np.where(alive > 0, 1.0 / np.maximum(alive, 1.0), 0.0) * np.diff(edges)
    own = np.concatenate([[0.0], np.cumsum(share)])
    held = own[np.searchsorted(edges, end)] - own[np.searchsorted(edges, start)]
    life = (end - start).astype(np.float64)
    unique: FloatArray = np.where(life > 0, held / np.maximum(life, 1.0), 1.0)
    return np.minimum(unique, 1.0)


def uniqueness_weights(trades: Sequence[Trade]) -> FloatArray:
    """Average uniqueness of each trade among trades of the same symbol, shape (n,).

    Their sum is the overlap-adjusted effective sample size, <= n. Trades of different symbols
    count as separate, which flatters: markets move together, so intervals also resample days.
    """
    weights = np.ones(len(trades))
    groups: dict[Hashable, list[int]] = {}
    for position, trade in enumerate(trades):
        groups.setdefault(trade.symbol, []).append(position)
    for positions in groups.values():
        entries = np.array([trades[i].entry_time_ns for i in positions], dtype=np.int64)
        exits = np.array([trades[i].exit_time_ns for i in positions], dtype=np.int64)
        weights[positions] = average_uniqueness(entries, exits)
    return weights


@dataclass(frozen=True, slots=True)
class EntryCalendar:
    """When trades were entered, in periods from the first entry to the last.

    positions: shape (n,). length: periods. period_ns: length of one. block_periods: length of the
    blocks to resample, the longest holding period in whole periods, rounded up, at least 1.
    """

    positions: IntArray
    length: int
    period_ns: int
    block_periods: float


def entry_calendar(trades: Sequence[Trade]) -> EntryCalendar:
    """The calendar that blocks are resampled from: UTC days, or hours for a span under 20 days.

    Hours allow an interval on a few days of intraday trades, at the price of ignoring that a whole
    day may be good or bad. No trades: an empty calendar.
    """
    if not trades:
        return EntryCalendar(np.empty(0, dtype=np.int64), 0, DAY_NS, 1.0)
    entries = np.array([trade.entry_time_ns for trade in trades], dtype=np.int64)
    period = DAY_NS if int(entries.max() - entries.min()) >= 20 * DAY_NS else DAY_NS // 24
    positions = entries // period
    positions = positions - int(positions.min())
    longest = max(trade.exit_time_ns - trade.entry_time_ns for trade in trades) / period
    return EntryCalendar(
        positions, int(positions.max()) + 1, period, max(1.0, float(np.ceil(longest)))
    )
