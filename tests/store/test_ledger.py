"""Writing the ledger: rows do not depend on what came first, how often, or in which commit."""

import random
from math import nan
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.conftest import Backend
from tests.store.ledger_facts import (
    LANE,
    SECOND_NS,
    START_NS,
    Opened,
    a_decision,
    a_markout,
    a_prediction,
    a_shadow,
    a_signal,
    a_trade,
    an_account,
    an_outcome,
    event_id,
    write,
)
from tests.store.log_events import an_event, unary
from trimtab_server.domain.ledger.columns import LedgerScope, ResultStatus
from trimtab_server.domain.ledger.facts import BarFact, Lane, signal_key
from trimtab_server.errors import NotFound
from trimtab_server.store.learning_reports import LearningReport, keep_report
from trimtab_server.store.ledger import SETTLED, STATION, TABLES, LaneCounts, reset_ledger
from trimtab_server.store.ledger_records import SHADOW, lane_key, name_key
from trimtab_server.store.store import Store

PAPER = LedgerScope(2)


def _rows(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """All that the ledger's tables hold, in an order of its own."""
    found = {}
    with store._database.writing() as writer:
        for table in TABLES:
            rows = writer.execute(f"SELECT * FROM {table}").fetchall()
            found[table] = sorted(
                tuple(bytes(each) if isinstance(each, bytearray) else each for each in row)
                for row in rows
            )
    return {table: [tuple(map(repr, row)) for row in rows] for table, rows in found.items()}


def _reset(store: Store) -> None:
    with store._database.writing() as writer:
        reset_ledger(writer)


def _all_facts() -> list[Any]:
    """Three signals in two lanes, each kind told several times, corrections among them."""
    facts: list[Any] = []
    other = Lane("beta", 2, "")
    for number in range(3):
        lane = other if number == 2 else LANE
        key = signal_key(lane, f"s{number}")
        for make in (a_signal, a_decision, an_outcome):
            first = make(number, lane=lane)
            facts += [
                first,
                first._replace(event_id=event_id(9_000 + number), time_ns=first.time_ns + 5),
                first._replace(
                    event_id=event_id(9_100 + number),
                    corrects_id=first.event_id,
                    time_ns=first.time_ns - 7,
                ),
            ]
        facts += [
            a_shadow(number, lane=lane, key=key, markouts=(a_markout(60, 0.01),)),
            a_shadow(number, lane=lane, key=key, status=2, event_id=event_id(9_200)),
            a_shadow(number, lane=lane, key=key, age_ns=SECOND_NS, gross=0.5),
            a_shadow(number, lane=lane, key=key, age_ns=SECOND_NS, event_id=event_id(9_300)),
            a_shadow(number, lane=lane, key=key, trading_days=7, calendar="XNYS"),
            a_prediction(number, "gbm", 0.6, lane=lane, key=key),
            a_prediction(number, "gbm", 0.7, lane=lane, key=key, event_id=event_id(9_400)),
            a_prediction(number, "gbm", 0.8, lane=lane, key=key, available_ns=START_NS),
            a_prediction(number, "forest", 0.5, lane=lane, key=key),
            a_shadow(number, lane=lane, key=key, fill_model="v2", event_id=event_id(9_500)),
            an_account(number, 1_000.0, lane=lane),
            an_account(number, 2_000.0, lane=lane, event_id=event_id(2 * 10**6)),
        ]
    return facts


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32), repeated=st.integers(0, 20), commits=st.integers(1, 12))
def test_any_order_of_facts_ends_in_the_same_rows(
    backend: Backend, seed: int, repeated: int, commits: int
) -> None:
    """Shuffled, repeated, in one commit or in several: every table is the same to the byte."""
    store = backend.opened[0] if backend.opened else backend.open()
    facts, chance = _all_facts(), random.Random(seed)
    _reset(store)
    write(store, *facts)
    expected = _rows(store)
    _reset(store)
    shuffled = facts + chance.choices(facts, k=repeated)
    chance.shuffle(shuffled)
    for start in range(commits):
        write(store, *shuffled[start::commits])
    assert _rows(store) == expected


@pytest.mark.parametrize("order", [1, -1])
def test_a_correction_counts_whatever_its_time(backend: Backend, store: Store, order: int) -> None:
    """It outranks a later fact that is none, and of two corrections the later counts."""
    first = a_signal(1, confidence=0.5, context=b'{"i":{"rsi":24.5}}')
    correction = a_signal(
        1,
        confidence=0.4,
        corrects_id=first.event_id,
        event_id=event_id(7),
        time_ns=first.time_ns - SECOND_NS,
        symbol="ETHUSDT",
        side=-1,
        context=b'{"i":{"rsi":1.0}}',
    )
    later = a_signal(1, confidence=0.9, event_id=event_id(8), time_ns=first.time_ns + SECOND_NS)
    for fact in [first, correction, later][::order]:
        write(store, fact)
    with Opened(backend.url()) as reader:
        ledger = reader.load(PAPER)
        rsi = reader.load_contexts(PAPER, ledger, "indicator", "rsi")
    assert ledger.side.tolist() == [-1]
    assert ledger.names.symbols[ledger.symbol[0]] == "ETHUSDT"
    # When it was, and what it was decided on, no correction changes.
    assert ledger.confidence.tolist() == [0.5]
    assert ledger.signal_time_ns.tolist() == [first.time_ns]
    assert list(rsi) == [24.5]


@pytest.mark.parametrize("order", [1, -1])
def test_a_correction_keeps_the_time_of_what_it_corrects(
    backend: Backend, store: Store, order: int
) -> None:
    """Decided and closed when it was, however long the correction took; but where what it corrects
    was still open, the correction is the first to tell of an end."""
    facts = [a_signal(1), a_decision(1), an_outcome(1), a_signal(2), an_outcome(2, status=2)]
    late_ns = START_NS + 90_000 * SECOND_NS
    corrections = [
        a_decision(1, action=1, corrects_id=event_id(102), event_id=event_id(5), time_ns=late_ns),
        an_outcome(1, corrects_id=event_id(103), event_id=event_id(6), time_ns=late_ns),
        an_outcome(2, corrects_id=event_id(203), event_id=event_id(7), time_ns=late_ns),
    ]
    for fact in (facts + corrections)[::order]:
        write(store, fact)
    with Opened(backend.url()) as reader:
        ledger = reader.load(PAPER)
    assert ledger.action.tolist() == [1, 0]
    assert ledger.decision_time_ns.tolist() == [a_decision(1).time_ns, 0]
    assert ledger.real_status.tolist() == [ResultStatus.CORRECTED] * 2
    assert ledger.real_exit_time_ns.tolist() == [an_outcome(1).time_ns, late_ns]
    assert ledger.real_entry_time_ns[0] == START_NS + 2 * SECOND_NS


def test_a_correction_alone_tells_when(backend: Backend, store: Store) -> None:
    """Of what it corrects nothing has come: its own times are the best that is known."""
    told = [make(1, corrects_id=event_id(9)) for make in (a_signal, a_decision, an_outcome)]
    write(store, *told)
    with Opened(backend.url()) as reader:
        ledger = reader.load(PAPER)
    columns = (ledger.signal_time_ns, ledger.decision_time_ns, ledger.real_exit_time_ns)
    assert [column[0] for column in columns] == [fact.time_ns for fact in told]


def test_a_corrected_outcome_says_so(backend: Backend, store: Store) -> None:
    """By its status, or by the event that it names."""
    write(store, a_signal(1), an_outcome(1), a_signal(2), an_outcome(2))
    named = an_outcome(1, corrects_id=event_id(103), event_id=event_id(5), return_fraction=-0.5)
    write(store, named, an_outcome(2, status=3, event_id=event_id(6), return_fraction=-0.25))
    with Opened(backend.url()) as reader:
        ledger = reader.load(PAPER)
    assert ledger.real_status.tolist() == [ResultStatus.CORRECTED] * 2
    assert ledger.real_return.tolist() == [-0.5, -0.25]


def test_market_data_and_fills_are_no_rows(store: Store) -> None:
    """What the station derives from them comes back as trades and shadow results."""
    prices = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    bar = BarFact(
        LANE,
        START_NS,
        event_id(1),
        b"",
        "BTCUSDT",
        60 * SECOND_NS,
        *prices,
        is_adjusted=False,
    )
    write(store, bar)
    assert all(not rows for rows in _rows(store).values())


def test_the_last_trade_that_is_written_counts(backend: Backend, store: Store) -> None:
    """In one write and in the next; facts without a trade leave it alone."""
    is_open = a_trade(1, status=int(ResultStatus.PENDING), exit_quantity=1.0)
    write(store, a_signal(1), is_open, a_trade(1, pnl=1.0, return_fraction=0.25))
    write(store, a_trade(1, pnl=2.0, return_fraction=0.5))
    write(store, a_decision(1))
    with Opened(backend.url()) as reader:
        ledger = reader.load(PAPER)
    assert (ledger.real_pnl[0], ledger.real_return[0]) == (2.0, 0.5)


def test_lanes_count_what_they_are_told_last(backend: Backend, store: Store) -> None:
    """Counts are whole, not additions: told again they are the same; facts alone change none."""
    with store._database.writing() as writer:
        store.ledger.write(writer, [a_signal(1)], (), {LANE: LaneCounts(3, 2, 1)})
        store.ledger.write(writer, [a_signal(2)], (), {LANE: LaneCounts(4, 2, 1)})
        store.ledger.write(writer, [a_signal(3)])
    with Opened(backend.url()) as reader:
        assert reader.bounds(PAPER)[2:] == (4, 2, 1)


def test_names_come_back_whatever_they_hold(backend: Backend, store: Store) -> None:
    """Quotes, backslashes, braces, commas, NULL and other scripts are names like others."""
    names = ['"', "\\", '\\"', "{a,b}", "NULL", "it's", "naïve ✓", " ", "%s ?"]
    write(store, *(a_signal(n, strategy=name) for n, name in enumerate(names)))
    with Opened(backend.url()) as reader:
        ledger = reader.load(PAPER)
    assert [ledger.names.strategies[code] for code in ledger.strategy] == names


def test_keys_depend_on_the_name_alone() -> None:
    """Fixed for all time: rows of different versions must agree. The empty name is 0."""
    assert name_key("") == 0
    assert name_key("momentum") == 9_081_943_288_210_028_819
    assert lane_key(LANE) == -5_494_917_794_744_049_735
    assert lane_key(LANE) != lane_key(LANE._replace(environment=1))
    assert lane_key(Lane("a", 1, "bc")) != lane_key(Lane("ab", 1, "c"))


def test_state_is_kept_with_what_was_written(backend: Backend, store: Store) -> None:
    """Parts are replaced by name, survive a restart, and go when they are empty."""
    with store._database.writing() as writer:
        store.ledger.checkpoint(writer, {"lots": b"\x00one", "books": b"two", SETTLED: b"17"})
        store.ledger.checkpoint(writer, {"lots": b"three", "books": b""})
    store = backend.reopen(store)
    assert store.ledger.checkpoints() == {"lots": b"three", SETTLED: b"17"}


def test_a_reset_empties_the_ledger_and_ends_the_lease(backend: Backend, store: Store) -> None:
    """The station begins at the log's beginning, whoever ran it writes nothing any more; the log
    and learning reports stay."""
    store.append([unary(an_event(1))])
    lease = store.stations.lease(STATION, "one", 60.0)
    assert lease is not None
    write(store, *_all_facts(), a_trade(1))
    with store._database.writing() as writer:
        store.ledger.checkpoint(writer, {"lots": b"one"})
        store.ledger.keep_report(writer, _report(1))
    assert store.stations.advance(lease, 1) == []
    _reset(store)
    assert all(not rows for rows in _rows(store).values())
    assert store.stations.advance(lease, 1) is None
    again = store.stations.lease(STATION, "one", 60.0)
    assert again is not None
    assert (again.cursor, again.key) == (0, lease.key + 1)
    assert store.info().last_sequence == 1
    with Opened(backend.url()) as reader:
        assert len(reader.load(PAPER)) == 0
        assert len(reader.list_reports(None, None, 10)) == 1


def _report(number: int, environment: int = 2) -> LearningReport:
    return LearningReport(
        report_id=f"r{number:03}",
        environment=environment,
        run_id="",
        make_time_ns=START_NS + number // 2,
        start_ns=START_NS,
        end_ns=START_NS + SECOND_NS,
        findings=(f"found «{number}»", "and more"),
        body=b"\x00%d" % number,
    )


def test_learning_reports_are_kept_listed_and_found(backend: Backend, store: Store) -> None:
    """Newest first in pages, by environment or all; the same id again replaces; the oldest go."""
    with store._database.writing() as writer:
        for number in range(8):
            keep_report(writer, _report(number, environment=1 + number % 2), count_max=6)
        keep_report(writer, _report(7, 2)._replace(body=b"newer"), count_max=6)
    with Opened(backend.url()) as reader:
        found = [report.report_id for report in reader.list_reports(None, None, 10)]
        assert found == ["r007", "r006", "r005", "r004", "r003", "r002"]
        (first, second) = reader.list_reports(None, None, 2)
        behind = reader.list_reports(None, (second.make_time_ns, second.report_id), 2)
        assert [report.report_id for report in behind] == ["r005", "r004"]
        assert [each.report_id for each in reader.list_reports(2, None, 10)] == found[::2]
        assert first == _report(7, 2)._replace(body=b"")
        assert reader.get_report("r007") == _report(7, 2)._replace(body=b"newer")
        with pytest.raises(NotFound):
            reader.get_report("r000")


def test_a_log_of_the_former_schema_gets_an_empty_ledger(backend: Backend) -> None:
    """From 0003 with data: events stay, the station finds no cursor and begins at the beginning."""
    store = backend.open()
    store.append([unary(an_event(1), an_event(2))])
    with store._database.writing() as writer:
        for table in (*TABLES, "learning_reports"):
            writer.execute(f"DROP TABLE {table}")
        writer.execute("UPDATE alembic_version SET version_num = '0003'")
    store = backend.reopen(store)
    assert store.info().last_sequence == 2
    lease = store.stations.lease(STATION, "one", 60.0)
    assert lease is not None
    assert lease.cursor == 0
    write(store, a_signal(1))
    with Opened(backend.url()) as reader:
        assert len(reader.load(PAPER)) == 1
        assert reader.log_id() == store.log_id


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("trading_days", [0, 7])
def test_a_simulated_result_outranks_a_later_censored_one(
    store: Store, order: int, trading_days: int
) -> None:
    """Derived again without the prices that were pruned, it ends CENSORED: that takes nothing from
    what was known; a correction does."""
    known = a_shadow(1, trading_days=trading_days)
    later: dict[str, Any] = {"time_ns": known.time_ns + SECOND_NS, "event_id": event_id(7)}
    censored = known._replace(status=2, return_fraction=nan, **later)
    for fact in [known, censored][::order]:
        write(store, fact)
    assert _shadow_statuses(store) == {1}
    write(store, censored._replace(corrects_id=known.event_id, event_id=event_id(8)))
    assert _shadow_statuses(store) == {2}


def _shadow_statuses(store: Store) -> set[int]:
    """The status in every record of a simulated result."""
    with store._database.writing() as writer:
        rows = writer.execute("SELECT shadow FROM ledger_signals").fetchall()
        rows += writer.execute("SELECT record FROM ledger_markouts").fetchall()
    records = [np.frombuffer(bytes(row[0]), dtype=SHADOW, count=1) for row in rows if row[0]]
    return {int(record["status"][0]) for record in records}
