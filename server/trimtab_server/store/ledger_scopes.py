"""Which rows of the ledger a scope means, and what the keys in them stand for."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from trimtab_server.domain.events import Environment
from trimtab_server.domain.ledger.columns import ENTRY, CodeArray, IntArray, LedgerScope
from trimtab_server.store.ledger_records import name_key
from trimtab_server.store.ledger_sources import Source

BACKTEST = int(Environment.BACKTEST)
"""Each run of it is a world; the other environments are one world each, whatever runs they name."""

_NAMES_PER_QUERY = 500
_LANE = (
    "lane_key, source, environment, run_id, unattributed_fill_count, late_event_count,"
    " unfollowed_count"
)


class LaneRow(NamedTuple):
    """A lane with what it counts."""

    key: int
    source: str
    environment: int
    run_id: str
    unattributed_fill_count: int
    late_event_count: int
    unfollowed_count: int


class Window(NamedTuple):
    """The signals of a scope in one lane, by time: one range of an index."""

    conditions: tuple[str, ...]
    parameters: tuple[Any, ...]

    def alone(self, *conditions: str) -> tuple[str, tuple[Any, ...]]:
        """FROM and what follows it, with its parameters."""
        where = " AND ".join([*self.conditions, *conditions])
        return f"FROM ledger_signals WHERE {where} ORDER BY signal_time_ns", self.parameters

    def beside(self, table: str, *conditions: str) -> tuple[str, tuple[Any, ...]]:
        """The same with the rows that another table has of each signal."""
        # SQLite takes a CROSS JOIN in the order that is written: signals first.
        joined = f"{table}.signal_key = ledger_signals.signal_key"
        where = " AND ".join([*self.conditions, joined, *conditions])
        rest = f"FROM ledger_signals CROSS JOIN {table} WHERE {where} ORDER BY signal_time_ns"
        return rest, self.parameters


def window(lane: LaneRow, scope: LedgerScope) -> Window:
    """The signals to enter that a scope means, in a lane."""
    conditions, parameters = ["lane_key = ?", "signal_time_ns IS NOT NULL"], [lane.key]
    if scope.start_ns:
        conditions.append("signal_time_ns >= ?")
        parameters.append(scope.start_ns)
    if scope.end_ns:
        conditions.append("signal_time_ns < ?")
        parameters.append(scope.end_ns)
    conditions.append(f"intent <= {ENTRY}")
    for column, name in (("strategy_key", scope.strategy), ("symbol_key", scope.symbol)):
        if name:
            conditions.append(f"{column} = ?")
            parameters.append(name_key(name))
    return Window(tuple(conditions), tuple(parameters))


class Rows:
    """Where keys stand in a column of distinct ones: their positions, -1 for those that do not."""

    def __init__(self, keys: IntArray) -> None:
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]

    def __call__(self, wanted: IntArray) -> IntArray:
        """The positions of these keys."""
        if not self._sorted.size:
            return np.full(wanted.size, -1, dtype=np.int64)
        place = np.minimum(np.searchsorted(self._sorted, wanted), self._sorted.size - 1)
        found: IntArray = np.where(self._sorted[place] == wanted, self._order[place], -1)
        return found


def lanes_of(source: Source, scope: LedgerScope) -> list[LaneRow]:
    """The lanes of a scope: of one run of BACKTEST; elsewhere of the whole environment unless a
    run is named."""
    conditions, parameters = ["environment = ?"], list[Any]([scope.environment])
    if scope.run_id or scope.environment == BACKTEST:
        conditions.append("run_id = ?")
        parameters.append(scope.run_id)
    if scope.source:
        conditions.append("source = ?")
        parameters.append(scope.source)
    rows = source.rows(
        f"SELECT {_LANE} FROM ledger_lanes WHERE {' AND '.join(conditions)}"
        " ORDER BY source, run_id",
        parameters,
    )
    return [LaneRow(*row) for row in rows]


def all_lanes(source: Source) -> list[LaneRow]:
    """Every lane."""
    return [LaneRow(*row) for row in source.rows(f"SELECT {_LANE} FROM ledger_lanes")]


def ends_of(source: Source, lane: LaneRow, scope: LedgerScope) -> tuple[int, int] | None:
    """The first and last time of the lane's signals (of any intent) within the scope's times; None
    when there is none."""
    conditions, parameters = "lane_key = ? AND signal_time_ns >= ?", [lane.key, scope.start_ns]
    if scope.end_ns:
        conditions += " AND signal_time_ns < ?"
        parameters.append(scope.end_ns)
    # An index tells either end at once; asked for both, SQLite would walk through all between.
    found = [
        source.rows(
            f"SELECT signal_time_ns FROM ledger_signals WHERE {conditions}"
            f" ORDER BY signal_time_ns {direction} LIMIT 1",
            parameters,
        )
        for direction in ("ASC", "DESC")
    ]
    return (found[0][0][0], found[1][0][0]) if found[0] else None


def used_names(source: Source, lanes: Iterable[LaneRow], use: int) -> list[str]:
    """The names that lanes have used as what `use` says, sorted."""
    keys = {
        key
        for lane in lanes
        for (key,) in source.rows(
            "SELECT name_key FROM ledger_uses WHERE lane_key = ? AND name_use = ?", (lane.key, use)
        )
    }
    return sorted(set(_names(source, keys).values()))


def coded(
    source: Source, keys: IntArray, always: Sequence[str] = ("",)
) -> tuple[CodeArray, tuple[str, ...]]:
    """Codes for keys of names, and the names in code order: sorted, with those of `always`."""
    unique, inverse = np.unique(keys, return_inverse=True)
    known = _names(source, unique.tolist())
    names = sorted({*always, *known.values()})
    place = {name: code for code, name in enumerate(names)}
    codes = np.array([place[known[key]] for key in unique.tolist()], dtype=np.int32)
    return codes[inverse], tuple(names)


def _names(source: Source, keys: Iterable[int]) -> dict[int, str]:
    """The names of keys. The empty one has no row, nor what was reset meanwhile."""
    names = dict.fromkeys(keys, "")
    wanted = [key for key in names if key]
    for start in range(0, len(wanted), _NAMES_PER_QUERY):
        some = wanted[start : start + _NAMES_PER_QUERY]
        marks = ", ".join("?" * len(some))
        names |= dict(
            source.rows(
                f"SELECT name_key, name FROM ledger_names WHERE name_key IN ({marks})", some
            )
        )
    return names
