"""Reading the ledger in bulk, from a process that only reads: a window as columns, not objects."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from trimtab_server.domain.ledger.columns import (
    COLUMNS,
    CodeArray,
    FloatArray,
    Horizons,
    IntArray,
    Ledger,
    LedgerScope,
    Markouts,
    Names,
    Predictions,
    column_dtype,
)
from trimtab_server.errors import NotFound
from trimtab_server.store.database import backend_of
from trimtab_server.store.learning_reports import (
    REPORT_BY_ID,
    LearningReport,
    page_query,
    report_of,
)
from trimtab_server.store.ledger import SETTLED, STATION
from trimtab_server.store.ledger_batch import MODEL, STRATEGY
from trimtab_server.store.ledger_columns import (
    Sizes,
    joined_sizes,
    latest_predictions,
    no_columns,
    signal_columns,
    sized,
    sizes,
    verdict_columns,
    verdicts_in_order,
)
from trimtab_server.store.ledger_fill_models import results_of_one
from trimtab_server.store.ledger_horizons import (
    Told,
    horizon_columns,
    markout_columns,
    told_of,
)
from trimtab_server.store.ledger_records import (
    ACCOUNT,
    DECISION,
    KNOWN,
    ORIGINAL,
    OUTCOME,
    PREDICTION,
    SHADOW,
    SIGNAL,
    TRADE,
    name_key,
)
from trimtab_server.store.ledger_scopes import (
    BACKTEST,
    LaneRow,
    Rows,
    all_lanes,
    coded,
    ends_of,
    lanes_of,
    used_names,
    window,
)
from trimtab_server.store.ledger_sources import (
    Array,
    Bulk,
    Field,
    PostgresSource,
    Source,
    SqliteSource,
)

_SIGNAL_FIELDS = (
    *(Field(name, name) for name in ("signal_key", "signal_time_ns", "strategy_key", "symbol_key")),
    Field("signal", "signal", SIGNAL),
    Field("known", "known", KNOWN),
    Field("decision", "decision", DECISION),
    Field("decision_original", "decision_original", ORIGINAL),
    Field("trade", "trade", TRADE),
    Field("outcome", "outcome", OUTCOME),
    Field("outcome_original", "outcome_original", ORIGINAL),
    Field("shadow", "shadow", SHADOW),
)
_VERDICTS = Field("verdicts", "decision", DECISION)
_KEY = Field("signal_key", "ledger_signals.signal_key")
_CONTEXT_PARTS = {"indicator": "i", "feature": "f", "attribute": "a"}


class Bounds(NamedTuple):
    """Of a scope: the first and last signal time (0 = there is none), and what its engines count
    beside signals."""

    first_ns: int
    last_ns: int
    unattributed_fill_count: int
    late_event_count: int
    unfollowed_count: int


class LedgerWorld(NamedTuple):
    """An environment, or a run of BACKTEST, that holds signals, and when they begin and end."""

    environment: int
    run_id: str
    first_ns: int
    last_ns: int


def open_ledger(url: str, *, time_s_max: float = 600.0) -> "LedgerReader":
    """A reader of the database of `url` on a connection of its own, beside a serving sidecar too.
    time_s_max: for one statement on Postgres. Raises ConfigurationError."""
    if backend_of(url) == "sqlite":
        return LedgerReader(SqliteSource(url))
    return LedgerReader(PostgresSource(url, time_s_max))


class LedgerReader:
    """The reading side of the ledger, for one thread at a time. Each method reads one snapshot; all
    raise Unavailable when the database refuses."""

    def __init__(self, source: Source) -> None:
        self._source = source

    # -- signals --------------------------------------------------------------------------------

    def load(self, scope: LedgerScope) -> Ledger:
        """The signals to enter of a scope as columns, by (signal_time_ns, signal_key); intents
        other than ENTRY are left out. Empty columns when there are none. `names.models` are those
        that predicted in its lanes, `names.fill_model` that which all simulated results are of: of
        several the one with the most."""
        source = self._source
        parts: dict[str, list[Array]] = {}
        amounts: list[Sizes] = []
        tails: list[bytes] = []
        with source.snapshot():
            lanes = lanes_of(source, scope)
            results = results_of_one(source, lanes, scope)
            for index, lane in enumerate(lanes):
                bulk = Bulk(_SIGNAL_FIELDS, *window(lane, scope).alone(), tail=_VERDICTS)
                for chunk in source.chunks(bulk):
                    told = chunk.columns
                    told["shadow"] = results.instead_of(told["shadow"], told["signal_key"])
                    columns = signal_columns(told)
                    columns["lane"] = np.full(columns["side"].size, index)
                    columns["byte_counts"] = chunk.columns["tail_byte_count"]
                    for name, column in columns.items():
                        parts.setdefault(name, []).append(column)
                    amounts.append(sizes(chunk.columns))
                    tails.append(chunk.tails)
            columns = {name: np.concatenate(parts.pop(name)) for name in list(parts)}
            columns = columns or no_columns()
            equity = self._equity(lanes, columns["lane"], columns["signal_time_ns"])
            columns["size"], columns["position_fraction"] = sized(joined_sizes(amounts), equity)
            ledger = self._ledger(lanes, columns, b"".join(tails))
        return replace(ledger, names=replace(ledger.names, fill_model=results.name))

    def _ledger(self, lanes: Sequence[LaneRow], columns: dict[str, Array], tails: bytes) -> Ledger:
        source, names = self._source, dict[str, tuple[str, ...]]()
        start, verdicts = verdict_columns(tails, columns["byte_counts"])
        guard, guards = coded(source, verdicts["guard"], ())
        for name in ("strategy", "symbol", "regime"):
            columns[name], names[name] = coded(source, columns[name])
        sources = ("", *sorted({lane.source for lane in lanes} - {""}))
        of_lane = np.array([sources.index(lane.source) for lane in lanes], dtype=np.int32)
        columns["source"] = of_lane[columns["lane"]]
        order = np.lexsort((columns["signal_key"], columns["signal_time_ns"]))
        return Ledger(
            names=Names(
                strategies=names["strategy"],
                symbols=names["symbol"],
                regimes=names["regime"],
                sources=sources,
                guards=guards,
                models=("", *(name for name in used_names(source, lanes, MODEL) if name)),
            ),
            verdicts=verdicts_in_order(start, verdicts, guard, order),
            **{
                name: columns.pop(name)[order].astype(column_dtype(name), copy=False)
                for name in COLUMNS
            },
        )

    def _equity(self, lanes: Sequence[LaneRow], lane: Array, time_ns: IntArray) -> FloatArray:
        """The latest equity of each signal's lane at or before it; NaN = none is known."""
        equity = np.full(time_ns.size, np.nan)
        fields = (Field("time_ns", "time_ns"), Field("record", "record", ACCOUNT))
        for index, each in enumerate(lanes):
            mine = np.flatnonzero(lane == index)
            if not mine.size:
                continue
            first, last = int(time_ns[mine].min()), int(time_ns[mine].max())
            bulk = Bulk(
                fields,
                "FROM ledger_accounts WHERE lane_key = ? AND time_ns <= ? AND time_ns >="
                " coalesce((SELECT max(time_ns) FROM ledger_accounts WHERE lane_key = ?"
                " AND time_ns <= ?), ?) ORDER BY time_ns",
                (each.key, last, each.key, first, first),
            )
            chunks = list(self._source.chunks(bulk))
            if not chunks:
                continue
            times = np.concatenate([chunk.columns["time_ns"] for chunk in chunks])
            known = np.concatenate([chunk.columns["record"]["equity"] for chunk in chunks])
            place = np.searchsorted(times, time_ns[mine], side="right") - 1
            equity[mine] = np.where(place >= 0, known[np.maximum(place, 0)], np.nan)
        return equity

    # -- what belongs to signals ----------------------------------------------------------------

    def load_ages(self, scope: LedgerScope, ledger: Ledger) -> tuple[Markouts, Horizons]:
        """Where the signals of `ledger` (as loaded from this scope) stood at several ages: the
        markouts of their shadow results over horizons (and of their own lives: ours tell none,
        those that others sent may), and each horizon's own return before costs; of several for one
        age one. And what they would have made over each horizon that is over, with excursions and
        volatility; where its prices stopped before, that."""
        with self._source.snapshot():
            told = self._told(scope, ledger)
            parts = [markout_columns(told), horizon_columns(told)]
            del told
            calendars = []
            for columns in parts:
                columns["calendar"], names = coded(self._source, columns["calendar"])
                columns["trading_days"] = columns["trading_days"].astype(np.int32)
                del columns["age_ns"]
                calendars.append(names)
        return (
            Markouts(**parts[0], calendars=calendars[0]),
            Horizons(**parts[1], calendars=calendars[1]),
        )

    def _told(self, scope: LedgerScope, ledger: Ledger) -> list[Told]:
        """Shadow results of the ledger's signals: their own, and those over horizons, of its fill
        model."""
        row_of = Rows(ledger.signal_key)
        ages = ("age_ns", "trading_days", "calendar_key")
        record = Field("record", "record", SHADOW)
        fields = (_KEY, *(Field(age, age) for age in ages), record)
        of_model = f"fill_model_key = {name_key(ledger.names.fill_model)}"
        told = []
        for lane in lanes_of(self._source, scope):
            bulk = Bulk(
                fields, *window(lane, scope).beside("ledger_markouts", of_model), tail=record
            )
            for chunk in self._source.chunks(bulk):
                rows = row_of(chunk.columns["signal_key"])
                told.append(told_of(rows, chunk.columns, chunk.tails))
        return told

    def load_predictions(self, scope: LedgerScope, ledger: Ledger) -> Predictions:
        """What models (of `ledger.names.models`) said about the signals of `ledger`, by row and
        model: the latest of each that could be known at the decision, or at the signal where there
        is none."""
        record = Field("record", "record", PREDICTION)
        names = ("model_key", "available_ns")
        fields = (_KEY, *(Field(name, name) for name in names), record)
        decided = ledger.decision_time_ns != 0
        until_ns = np.where(decided, ledger.decision_time_ns, ledger.signal_time_ns)
        row_of = Rows(ledger.signal_key)
        code_of = Rows(np.array([name_key(name) for name in ledger.names.models], dtype=np.int64))
        nothing = np.empty(0, dtype=np.int64)
        rows, codes, available = [nothing], [nothing], [nothing]
        records: list[Array] = [np.empty(0, dtype=PREDICTION)]
        with self._source.snapshot():
            for lane in lanes_of(self._source, scope):
                bulk = Bulk(fields, *window(lane, scope).beside("ledger_predictions"))
                for chunk in self._source.chunks(bulk):
                    row = row_of(chunk.columns["signal_key"])
                    code = code_of(chunk.columns["model_key"])
                    known_ns = chunk.columns["available_ns"]
                    is_known = (row >= 0) & (code >= 0)
                    is_known[is_known] = known_ns[is_known] <= until_ns[row[is_known]]
                    rows.append(row[is_known])
                    codes.append(code[is_known])
                    available.append(known_ns[is_known])
                    records.append(chunk.columns["record"][is_known])
        return latest_predictions(*map(np.concatenate, (rows, codes, available, records)))

    def load_contexts(
        self, scope: LedgerScope, ledger: Ledger, kind: str, name: str
    ) -> FloatArray | tuple[CodeArray, tuple[str, ...]]:
        """What the signals of `ledger` told under a name: of an "indicator" or a "feature" the
        number (NaN = not told), of an "attribute" codes and their texts ("" = not told). Raises
        ValueError for another kind."""
        if kind not in _CONTEXT_PARTS:
            raise ValueError(f"a context holds {', '.join(_CONTEXT_PARTS)}, not {kind!r}")
        part, row_of = _CONTEXT_PARTS[kind], Rows(ledger.signal_key)
        numbers = np.full(len(ledger), np.nan)
        codes, texts = np.zeros(len(ledger), dtype=np.int32), {"": 0}
        with self._source.snapshot():
            for lane in lanes_of(self._source, scope):
                rest, parameters = window(lane, scope).alone("length(context) > 0")
                statement = f"SELECT signal_key, context {rest}"
                for rows in self._source.stream(statement, parameters):
                    places = row_of(np.array([row[0] for row in rows], dtype=np.int64))
                    for place, (_, context) in zip(places.tolist(), rows, strict=True):
                        value = json.loads(bytes(context)).get(part, {}).get(name)
                        if value is None or place < 0:
                            continue
                        if kind == "attribute":
                            codes[place] = texts.setdefault(value, len(texts))
                        else:
                            numbers[place] = value
        return (codes, tuple(texts)) if kind == "attribute" else numbers

    # -- the ledger itself ----------------------------------------------------------------------

    def through_sequence(self) -> int:
        """The ledger holds all that the log tells through this sequence, as far as the station has
        said; before it first does, how far it has read. 0 = nothing."""
        with self._source.snapshot():
            settled = self._source.rows(
                "SELECT content FROM ledger_state WHERE part = ?", (SETTLED,)
            )
            cursor = self._source.rows("SELECT cursor FROM stations WHERE name = ?", (STATION,))
        if settled:
            return int(bytes(settled[0][0]))
        return int(cursor[0][0]) if cursor else 0

    def log_id(self) -> str:
        """The identity of the log."""
        with self._source.snapshot():
            return str(self._source.rows("SELECT log_id FROM log WHERE id = 1")[0][0])

    def load_trials(self, scope: LedgerScope) -> int:
        """Distinct strategies that ever gave a signal to enter in the scope's environment (or its
        run), whatever its source, strategy, symbol and times."""
        with self._source.snapshot():
            lanes = lanes_of(self._source, replace(scope, source=""))
            return len(used_names(self._source, lanes, STRATEGY))

    def bounds(self, scope: LedgerScope) -> Bounds:
        """First and last signal time within the scope's lanes and times (of all strategies and
        symbols), and what the lanes count since their beginning."""
        with self._source.snapshot():
            lanes = lanes_of(self._source, scope)
            found = [ends_of(self._source, lane, scope) for lane in lanes]
        ends = [pair for pair in found if pair is not None]
        return Bounds(
            min((first for first, _ in ends), default=0),
            max((last for _, last in ends), default=0),
            sum(lane.unattributed_fill_count for lane in lanes),
            sum(lane.late_event_count for lane in lanes),
            sum(lane.unfollowed_count for lane in lanes),
        )

    def worlds(self) -> list[LedgerWorld]:
        """The environments, and runs of BACKTEST, that hold signals, in order."""
        ends: dict[tuple[int, str], tuple[int, int]] = {}
        with self._source.snapshot():
            for lane in all_lanes(self._source):
                world = (lane.environment, lane.run_id if lane.environment == BACKTEST else "")
                found = ends_of(self._source, lane, LedgerScope(lane.environment))
                if found is not None:
                    known = ends.get(world, found)
                    ends[world] = (min(known[0], found[0]), max(known[1], found[1]))
        return [LedgerWorld(*world, *ends[world]) for world in sorted(ends)]

    def list_reports(
        self, environment: int | None, before: tuple[int, str] | None, count: int
    ) -> list[LearningReport]:
        """Summaries of up to `count` learning reports, newest first, behind the one that was made
        at `before` (time, id), of one environment or of all (None)."""
        with self._source.snapshot():
            rows = self._source.rows(*page_query(environment, before, count))
        return [report_of(row) for row in rows]

    def get_report(self, report_id: str) -> LearningReport:
        """A learning report with its body. Raises NotFound."""
        with self._source.snapshot():
            rows = self._source.rows(REPORT_BY_ID, (report_id,))
        if not rows:
            raise NotFound("report_id", f"no learning report has the id {report_id!r}")
        return report_of(rows[0])

    def close(self) -> None:
        """Closes the connection."""
        self._source.close()
