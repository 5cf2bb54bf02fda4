"""Reading the ledger: windows that mix nothing, in bulk, beside others."""

import multiprocessing
import tracemalloc
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from tests.store.conftest import Backend
from tests.store.ledger_facts import (
    GUARDS,
    LANE,
    SECOND_NS,
    START_NS,
    Opened,
    a_decision,
    a_shadow,
    a_signal,
    a_trade,
    an_outcome,
    write,
)
from trimtab_server.domain.ledger.columns import (
    COLUMNS,
    LedgerScope,
    column_dtype,
)
from trimtab_server.domain.ledger.facts import Lane
from trimtab_server.errors import ConfigurationError, Unavailable
from trimtab_server.store.ledger import SETTLED, STATION, LaneCounts
from trimtab_server.store.ledger_reader import LedgerReader, LedgerWorld, open_ledger
from trimtab_server.store.ledger_scopes import LaneRow, window
from trimtab_server.store.store import Store

PAPER = LedgerScope(2)


# -- which signals --------------------------------------------------------------------------------


@pytest.fixture
def mixed(store: Store) -> None:
    """Signals of two engines, two environments, three runs, several names and intents."""
    lanes = [
        LANE,
        Lane("beta", 2, ""),
        Lane("alpha", 1, ""),
        Lane("alpha", 3, "run-1"),
        Lane("alpha", 3, "run-2"),
        Lane("alpha", 2, "named"),
    ]
    told: list[Any] = []
    for place, lane in enumerate(lanes):
        told += [
            a_signal(
                number,
                lane=lane,
                strategy=f"strategy {number % 2}",
                symbol=f"S{number // 2}",
                confidence=place / 10,
            )
            for number in range(4)
        ]
        told += [a_decision(9, lane=lane), a_signal(5, lane=lane, intent=3)]
    write(store, *told)


_SCOPES = [
    (LedgerScope(2), [0, 1, 5], [0, 1, 2, 3]),
    (LedgerScope(2, source="alpha"), [0, 5], [0, 1, 2, 3]),
    (LedgerScope(2, run_id="named"), [5], [0, 1, 2, 3]),
    (LedgerScope(1), [2], [0, 1, 2, 3]),
    (LedgerScope(3, "run-2"), [4], [0, 1, 2, 3]),
    (LedgerScope(3), [], []),
    (LedgerScope(2, strategy="strategy 1", source="beta"), [1], [1, 3]),
    (LedgerScope(2, symbol="S1", strategy="strategy 0", source="beta"), [1], [2]),
    (LedgerScope(2, symbol="S7"), [], []),
    (
        LedgerScope(1, start_ns=START_NS + SECOND_NS, end_ns=START_NS + 3 * SECOND_NS),
        [2],
        [1, 2],
    ),
    (LedgerScope(1, end_ns=START_NS), [], []),
]


@pytest.mark.usefixtures("mixed")
def test_a_scope_is_what_it_says_and_nothing_else(reader: LedgerReader) -> None:
    """Environments and runs of BACKTEST never mix; engines of one environment are read together,
    in the order of time; exits and what has no signal are left out."""
    for scope, lanes, numbers in _SCOPES:
        ledger = reader.load(scope)
        expected = [(number, place / 10) for number in numbers for place in lanes]
        seconds = (ledger.signal_time_ns - START_NS) // SECOND_NS
        found = sorted(zip(seconds.tolist(), ledger.confidence.tolist(), strict=True))
        assert found == expected, scope
        order = np.lexsort((ledger.signal_key, ledger.signal_time_ns))
        assert np.array_equal(order, np.arange(len(ledger)))


@pytest.mark.usefixtures("mixed")
def test_worlds_bounds_and_trials(store: Store, reader: LedgerReader) -> None:
    """Each environment is a world, each run of BACKTEST too; trials are the strategies ever seen
    there; counts are those of the scope's engines."""
    last = START_NS + 5 * SECOND_NS
    expected = [(1, ""), (2, ""), (3, "run-1"), (3, "run-2")]
    assert reader.worlds() == [LedgerWorld(*world, START_NS, last) for world in expected]
    write(store, a_signal(4, strategy="another"), a_signal(5, strategy="ending", intent=3))
    assert reader.load_trials(replace(PAPER, source="beta", start_ns=last)) == 3
    assert reader.load_trials(LedgerScope(1)) == 2
    with store._database.writing() as writer:
        counts = {LANE: LaneCounts(1, 2, 3), Lane("beta", 2, ""): LaneCounts(10, 20, 30)}
        store.ledger.write(writer, [], (), counts)
    window = replace(PAPER, start_ns=START_NS + SECOND_NS, end_ns=START_NS + 4 * SECOND_NS)
    ends = (START_NS + SECOND_NS, START_NS + 3 * SECOND_NS)
    assert reader.bounds(window) == (*ends, 11, 22, 33)
    assert reader.bounds(replace(window, source="beta")) == (*ends, 10, 20, 30)


# -- beside others --------------------------------------------------------------------------------


def test_it_tells_how_far_the_ledger_has_settled(store: Store, reader: LedgerReader) -> None:
    """By the station's word; before that by its cursor."""
    lease = store.stations.lease(STATION, "one", 60.0)
    assert lease is not None
    store.stations.advance(lease, 7)
    assert reader.through_sequence() == 7
    with store._database.writing() as writer:
        store.ledger.checkpoint(writer, {SETTLED: b"5"})
    assert reader.through_sequence() == 5


def _loaded(url: str, results: Any) -> None:
    reader = open_ledger(url)
    results.send((len(reader.load(PAPER)), reader.log_id()))
    reader.close()


def test_another_process_reads_beside_the_sidecar(backend: Backend, store: Store) -> None:
    """While the store is open and its lock held; what is committed is there at once."""
    write(store, a_signal(1))
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_loaded, args=(backend.url(), theirs))
    process.start()
    theirs.close()
    assert ours.recv() == (1, store.log_id)
    process.join()
    assert process.exitcode == 0


def test_a_reader_writes_nothing(reader: LedgerReader) -> None:
    """Its connection is read-only: the database itself refuses."""
    with pytest.raises(Unavailable, match=r"read-?only"), reader._source.snapshot():
        reader._source.rows("DELETE FROM ledger_state")


def test_what_cannot_be_read_is_said(tmp_path: Path, postgres_server: Any) -> None:
    """No file, no database, no log: an error of ours, and no file is made."""
    with pytest.raises(ConfigurationError, match="not there"):
        open_ledger(f"sqlite:///{tmp_path / 'no.db'}")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError, match="cannot open"):
        open_ledger("postgresql://127.0.0.1:1/none")
    url = postgres_server.database()
    with Opened(url) as empty, pytest.raises(Unavailable, match="ledger_lanes"):
        empty.load(PAPER)
    slow = open_ledger(url, time_s_max=0.05)
    with pytest.raises(Unavailable, match="timeout"), slow._source.snapshot():
        slow._source.rows("SELECT pg_sleep(60)")
    slow.close()
    postgres_server.drop(url)
    (tmp_path / "other.db").touch()
    with Opened(f"sqlite:///{tmp_path / 'other.db'}") as empty, pytest.raises(Unavailable):
        empty.load(PAPER)


# -- many -----------------------------------------------------------------------------------------

_MANY = 100_000


@pytest.fixture
def many(store: Store) -> None:
    """A signal with all that belongs to it, a hundred thousand times, a second apart."""
    write(store, a_signal(0), a_decision(0), an_outcome(0), a_shadow(0), a_trade(0))
    rest = (
        "lane_key, intent, strategy_key, symbol_key, signal, known, decision, decision_original,"
        " trade, outcome, outcome_original, shadow, context"
    )
    with store._database.writing() as writer:
        writer.execute(
            f"INSERT INTO ledger_signals (signal_key, signal_time_ns, {rest})"
            " WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers"
            f" WHERE n < {_MANY - 1})"
            f" SELECT n, signal_time_ns + CAST(n AS BIGINT) * {SECOND_NS}, {rest}"
            " FROM ledger_signals, numbers"
        )


@pytest.mark.usefixtures("many")
def test_many_signals_are_columns_not_objects(reader: LedgerReader) -> None:
    """Of a hundred thousand rows no object stays, and few are alive at any time: memory is that of
    the columns, a few times over while they are put together."""
    held = sum(column_dtype(name).itemsize for name in COLUMNS) + len(GUARDS) * 32
    tracemalloc.start(1)
    ledger = reader.load(PAPER)
    size, peak = tracemalloc.get_traced_memory()
    blocks = sum(each.count for each in tracemalloc.take_snapshot().statistics("filename"))
    tracemalloc.stop()
    assert len(ledger) == _MANY
    assert ledger.verdicts.start[-1] == _MANY * len(GUARDS)
    # Python keeps up to 2,000 tuples of a length for later.
    assert blocks < _MANY / 20
    assert size < 1.2 * held * _MANY
    assert peak < 4 * held * _MANY
    assert {field.name for field in fields(ledger)} >= set(COLUMNS)


@pytest.mark.usefixtures("many")
def test_a_window_is_read_from_its_index(backend: Backend, reader: LedgerReader) -> None:
    """No scan and no sort, for signals alone and with what belongs to them; statistics never
    taken, or taken of an empty table, make no difference."""
    if backend.name == "postgresql":
        with psycopg.connect(backend.url().replace("+psycopg", ""), autocommit=True) as other:
            other.execute("ANALYZE ledger_signals")
    lane = LaneRow(1, "alpha", 2, "", 0, 0, 0)
    scope = replace(
        PAPER, start_ns=START_NS, end_ns=START_NS + 100 * SECOND_NS, strategy="momentum"
    )
    explain = "EXPLAIN QUERY PLAN" if backend.name == "sqlite" else "EXPLAIN"
    wanted = window(lane, scope)
    for rest, parameters in (wanted.alone(), wanted.beside("ledger_markouts")):
        with reader._source.snapshot():
            statement = f"{explain} SELECT signal_time_ns {rest}"
            plan = str(reader._source.rows(statement, parameters))
        assert "ix_ledger_signals_window" in plan
        assert "Sort" not in plan
        assert "TEMP B-TREE" not in plan
        assert "Seq Scan" not in plan
        assert "SCAN" not in plan.replace("Index Only Scan", "").replace("Index Scan", "")
