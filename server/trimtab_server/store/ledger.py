"""Writing the ledger: facts in, one row a signal out, whatever order they come in."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import text

from trimtab_server.domain.ledger.facts import Fact, Lane
from trimtab_server.domain.ledger.lots import TradeRow
from trimtab_server.store.database import Database, Writer
from trimtab_server.store.learning_reports import LearningReport, keep_report
from trimtab_server.store.ledger_batch import SIGNAL_AT, LedgerBatch
from trimtab_server.store.ledger_records import lane_key

STATION = "ledger"
"""Name of the station that keeps the ledger."""

SETTLED = "settled"
"""Part of the state that tells how far the ledger has settled: a sequence, as text."""

TABLES = (
    *("ledger_lanes", "ledger_names", "ledger_uses", "ledger_signals", "ledger_markouts"),
    *("ledger_predictions", "ledger_accounts", "ledger_state"),
)

Row: TypeAlias = Sequence[Any]

# As in sqlite: the driver lets other threads run once per statement.
_ROWS_PER_INSERT = 512
# What goes with the greatest record of a signal, and with the least of what was known.
_PLACED = ("intent", "strategy_key", "symbol_key")
_KNOWN = ("known", "context", "signal_time_ns")
_IS_FIRST = "(length(ledger_signals.known) = 0 OR excluded.known < ledger_signals.known)"


class LaneCounts(NamedTuple):
    """What a lane counts beside its signals, since its beginning."""

    unattributed_fill_count: int
    late_event_count: int
    unfollowed_count: int


class _Upsert(NamedTuple):
    """A table's columns with their types on Postgres, which of them are the key, and what becomes
    of a row that is there already ({greatest} is the backend's name of it; "" = it stays)."""

    table: str
    columns: dict[str, str]
    keys: Collection[str]
    change: str


def _signals(columns: dict[str, str], *, with_signal: bool) -> _Upsert:
    """The greatest record of each kind stays, but the least of what was known; the columns of the
    signal go with these. A row that nothing changes is not written."""
    originals = ("decision_original", "outcome_original")
    kinds = ("outcome", "decision", "shadow", *originals, *(["signal"] if with_signal else []))
    sets = [f"{kind} = {{greatest}}(ledger_signals.{kind}, excluded.{kind})" for kind in kinds]
    sets.append(
        "trade = CASE WHEN length(excluded.trade) > 0 THEN excluded.trade"
        " ELSE ledger_signals.trade END"
    )
    if with_signal:
        sets += [
            f"{name} = CASE WHEN excluded.signal > ledger_signals.signal"
            f" THEN excluded.{name} ELSE ledger_signals.{name} END"
            for name in _PLACED
        ]
        sets += [
            f"{name} = CASE WHEN {_IS_FIRST} THEN excluded.{name} ELSE ledger_signals.{name} END"
            for name in _KNOWN
        ]
    changed = [f"excluded.{kind} > ledger_signals.{kind}" for kind in kinds]
    changed += [_IS_FIRST] if with_signal else []
    changed.append("(length(excluded.trade) > 0 AND excluded.trade <> ledger_signals.trade)")
    change = f"{', '.join(sets)} WHERE {' OR '.join(changed)}"
    return _Upsert("ledger_signals", columns, ("signal_key",), change)


# In the order of a batch's rows: first what every row has.
_OTHERS = {
    "signal_key": "bigint",
    "lane_key": "bigint",
    **dict.fromkeys(("signal", "decision", "trade", "outcome", "shadow", "context"), "bytea"),
    **dict.fromkeys(("known", "decision_original", "outcome_original"), "bytea"),
}
_WHOLE = {
    **_OTHERS,
    "signal_time_ns": "bigint",
    "intent": "smallint",
    "strategy_key": "bigint",
    "symbol_key": "bigint",
}
_SIGNALS = _signals(_WHOLE, with_signal=True)
_ABOUT_SIGNALS = _signals(_OTHERS, with_signal=False)


def _latest(table: str, *keys: str) -> _Upsert:
    columns = dict.fromkeys(keys, "bigint") | {"record": "bytea"}
    return _Upsert(
        table,
        columns,
        keys,
        f"record = excluded.record WHERE excluded.record > {table}.record",
    )


_MARKOUTS = _latest(
    "ledger_markouts",
    *("signal_key", "fill_model_key", "age_ns", "trading_days", "calendar_key"),
)
_PREDICTIONS = _latest("ledger_predictions", "signal_key", "model_key", "available_ns")
_ACCOUNTS = _latest("ledger_accounts", "lane_key", "time_ns")
_NAMES = _Upsert("ledger_names", {"name_key": "bigint", "name": "text"}, ("name_key",), "")
_USES = _Upsert(
    "ledger_uses",
    {"lane_key": "bigint", "name_use": "smallint", "name_key": "bigint"},
    ("lane_key", "name_use", "name_key"),
    "",
)
_LANE = {
    "lane_key": "bigint",
    "source": "text",
    "environment": "smallint",
    "run_id": "text",
    "unattributed_fill_count": "bigint",
    "late_event_count": "bigint",
    "unfollowed_count": "bigint",
}
_LANES = _Upsert("ledger_lanes", _LANE, ("lane_key",), "")
_COUNTED_LANES = _Upsert(
    "ledger_lanes",
    _LANE,
    ("lane_key",),
    ", ".join(f"{name} = excluded.{name}" for name in LaneCounts._fields),
)


def _flat(records: Mapping[tuple[int, ...], Any]) -> list[Row]:
    return [(*key, record) for key, record in records.items()]


def _array(kind: str, column: Iterable[Any]) -> str:
    """A column as Postgres writes arrays. The driver looks at each element of a list by itself: ten
    times as slow."""
    if kind == "bytea":
        return "{" + ",".join([f'"\\\\x{each.hex()}"' for each in column]) + "}"
    if kind == "text":
        quoted = [each.replace("\\", "\\\\").replace('"', '\\"') for each in column]
        return "{" + ",".join([f'"{each}"' for each in quoted]) + "}"
    return "{" + ",".join(map(str, column)) + "}"


class LedgerTables:
    """The ledger's tables, for the station that keeps them. Call it from a thread that may block.

    Larger writes cost less a fact: those about one signal become one row, and the pages of the
    index of signals, which its digests scatter, are written once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        is_sqlite = database.name == "sqlite"
        self._greatest = "max" if is_sqlite else "greatest"
        # SQLite's driver passes bytearray straight on; bytes go through its adapters.
        self._bytes: Callable[[bytes], Any] = bytearray if is_sqlite else bytes
        self._insert = self._by_values if is_sqlite else self._by_arrays

    def write(
        self,
        writer: Writer,
        facts: Iterable[Fact],
        trades: Iterable[TradeRow] = (),
        lanes: Mapping[Lane, LaneCounts] | None = None,
    ) -> None:
        """Stores what these say. Of the facts of one kind about one signal that with the greatest
        (rank, time, event id) counts, whatever came first and however often; of what a
        signal was decided on the first; of trades the last that is written. lanes: what they count
        by now."""
        batch = LedgerBatch(self._bytes)
        batch.take(facts, trades)
        counts = lanes or {}
        new = [(key, *lane, 0, 0, 0) for lane, key in batch.lanes.items() if lane not in counts]
        counted = [(lane_key(lane), *lane, *count) for lane, count in counts.items()]
        names = [(key, name) for name, key in batch.keys.items() if name]
        signals = batch.rows.values()
        for upsert, rows in (
            (_LANES, new),
            (_COUNTED_LANES, counted),
            (_NAMES, names),
            (_USES, list(batch.uses)),
            (_SIGNALS, [row for row in signals if row[SIGNAL_AT]]),
            (_ABOUT_SIGNALS, [row[: len(_OTHERS)] for row in signals if not row[SIGNAL_AT]]),
            (_MARKOUTS, _flat(batch.markouts)),
            (_PREDICTIONS, _flat(batch.predictions)),
            (_ACCOUNTS, _flat(batch.accounts)),
        ):
            self._insert(writer, upsert, rows)

    def _statement(self, upsert: _Upsert, source: str) -> str:
        change = upsert.change.format(greatest=self._greatest)
        return (
            f"INSERT INTO {upsert.table} ({', '.join(upsert.columns)}) {source}"
            f" ON CONFLICT ({', '.join(upsert.keys)})"
            + (f" DO UPDATE SET {change}" if change else " DO NOTHING")
        )

    def _by_values(self, writer: Writer, upsert: _Upsert, rows: Sequence[Row]) -> None:
        row, start = f"({', '.join('?' * len(upsert.columns))})", 0
        while start < len(rows):
            # Powers of two: few distinct statements, so the driver keeps them all compiled.
            left = min(len(rows) - start, _ROWS_PER_INSERT)
            size = 1 << (left.bit_length() - 1)
            values = f"VALUES {', '.join([row] * size)}"
            writer.execute(
                self._statement(upsert, values),
                tuple(chain.from_iterable(rows[start : start + size])),
            )
            start += size

    def _by_arrays(self, writer: Writer, upsert: _Upsert, rows: Sequence[Row]) -> None:
        """One round trip, and one short statement to parse: each column is an array."""
        if rows:
            kinds = upsert.columns.values()
            arrays = ", ".join(f"?::{kind}[]" for kind in kinds)
            writer.execute(
                self._statement(upsert, f"SELECT * FROM unnest({arrays})"),
                list(map(_array, kinds, zip(*rows, strict=True))),
            )

    # -- what the station remembers -------------------------------------------------------------

    def checkpoint(self, writer: Writer, parts: Mapping[str, bytes]) -> None:
        """Keeps these parts of the station's state; a part of no bytes is forgotten."""
        for part, content in parts.items():
            if content:
                writer.execute(
                    "INSERT INTO ledger_state (part, content) VALUES (?, ?)"
                    " ON CONFLICT (part) DO UPDATE SET content = excluded.content",
                    (part, content),
                )
            else:
                writer.execute("DELETE FROM ledger_state WHERE part = ?", (part,))

    def checkpoints(self) -> dict[str, bytes]:
        """The parts that were kept, by name. Raises Unavailable."""
        with self._database.reading() as connection:
            rows = connection.execute(text("SELECT part, content FROM ledger_state"))
            return {part: bytes(content) for part, content in rows}

    def settled_sequence(self) -> int:
        """Through which sequence the ledger holds all that the log tells, as its station has said.
        Raises Unavailable."""
        with self._database.reading() as connection:
            found = connection.scalar(
                text("SELECT content FROM ledger_state WHERE part = :part"), {"part": SETTLED}
            )
        return int(bytes(found)) if found is not None else 0

    def keep_report(self, writer: Writer, report: LearningReport) -> None:
        """Keeps a learning report, in the place of one with the same id; the oldest beyond 10,000
        go."""
        keep_report(writer, report)


def reset_ledger(writer: Writer) -> None:
    """Empties the ledger and sends its station back to the log's beginning; whoever runs it now
    has lost its lease. Learning reports stay: they tell what was said."""
    for table in TABLES:
        writer.execute(f"DELETE FROM {table}")
    writer.execute(
        "UPDATE stations SET cursor = 0, lease_key = lease_key + 1 WHERE name = ?", (STATION,)
    )
