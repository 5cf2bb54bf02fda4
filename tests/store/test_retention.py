"""Retention: what is old goes, what the log promises stays."""

from pathlib import Path

import pytest

from tests.store.conftest import START_NS, Backend
from tests.store.log_events import PRODUCER, an_event, batch, unary
from trimtab_server.domain.events import EventFilter, EventKind, EventOrder
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import ConfigurationError, NotFound, OutOfRange
from trimtab_server.reports import EventQueries
from trimtab_server.store.claims import PRUNED_KIND
from trimtab_server.store.retention import SharedFile, prunable_count, prune_some
from trimtab_server.store.store import Store

TICK, SIGNAL = EventKind.MARKET_TICK, EventKind.SIGNAL
_ALL = EventFilter()
_PLENTY = 1 << 30
# Far behind the clock of these tests: everything is old then.
LATE_NS = START_NS + 10**12


def _mixed(store: Store, count: int = 6) -> None:
    """Ticks on odd numbers and sequences, signals on even ones, by one producer."""
    store.open_producer(PRODUCER)
    events = [
        an_event(i, kind=TICK if i % 2 else SIGNAL, symbol="X", run_id="r" if i == 3 else "")
        for i in range(1, count + 1)
    ]
    store.append([batch(1, *events)])


def _tail(store: Store, wanted: EventFilter = _ALL) -> list[int]:
    return [event.sequence for event in store.events.tail(wanted, 0, 1_000, _PLENTY).events]


def test_no_reader_sees_what_was_pruned(store: Store) -> None:
    """Neither by id nor in a page of any order, on the tail or in the counts; the rest stays."""
    _mixed(store)
    assert store.prune_some(TICK, LATE_NS)[:2] == (3, len(b"body-n") * 3)
    assert _tail(store) == [2, 4, 6]
    for order in EventOrder:
        page = store.events.page(_ALL, order, 100, _PLENTY, None)
        assert sorted(event.sequence for event in page.events) == [2, 4, 6]
    assert _tail(store, EventFilter(symbol="X")) == [2, 4, 6]
    assert _tail(store, EventFilter(kinds=(TICK,))) == []
    assert [(c.kind, c.event_count) for c in store.events.counts(None, None, None)] == [(SIGNAL, 3)]
    with pytest.raises(NotFound, match="was pruned"):
        store.events.get(an_event(1).event_id)
    assert store.events.get(an_event(2).event_id).sequence == 2


def test_sequences_stay_gapless_and_go_on(store: Store) -> None:
    """The last sequence does not move back, the first is the first kept, new events follow."""
    _mixed(store)
    store.prune_some(TICK, LATE_NS)
    assert store.info()[1:] == (2, 6)
    store.prune_some(SIGNAL, LATE_NS)
    assert store.info()[1:] == (0, 6)
    (result,) = store.append([unary(an_event(7))])
    assert result.sequences == [7]
    assert store.info()[1:] == (7, 7)
    assert store.open_producer(PRODUCER) == 7


def test_a_pruned_event_that_is_sent_again_is_a_duplicate(store: Store) -> None:
    """By id alone and by its number, with its first sequence, in one commit with new ones too."""
    _mixed(store)
    store.prune_some(TICK, LATE_NS)
    ticks = [an_event(i, kind=TICK, symbol="X") for i in (1, 5)]
    alone, stream = store.append(
        [unary(*ticks, an_event(8)), batch(5, ticks[1], an_event(6), an_event(7))]
    )
    assert (alone.sequences, alone.duplicates) == ([1, 5, 7], {0, 1})
    assert (stream.sequences, stream.duplicates) == ([5, 6, 8], {0, 1})
    assert _tail(store) == [2, 4, 6, 7, 8]


def test_the_id_of_a_pruned_event_is_not_free(store: Store) -> None:
    """Other content under it is ID_REUSED, by id alone and under the old number."""
    _mixed(store)
    store.prune_some(TICK, LATE_NS)
    other = an_event(1, kind=TICK, body=b"other")
    alone, stream = store.append([unary(other), batch(1, other)])
    assert alone.rejections[0].reason is stream.rejections[0].reason is Reason.ID_REUSED
    assert _tail(store) == [2, 4, 6]


def test_only_what_is_old_and_of_the_kind_goes_oldest_first(backend: Backend) -> None:
    """A transaction takes so many rows at most, and says whether it may have left some."""
    store = backend.open()
    for number in range(1, 7):
        store.append([unary(an_event(number, kind=TICK))])
    times = [event.ingest_time_ns for event in store.events.tail(_ALL, 0, 100, _PLENTY).events]
    database = store._database
    assert prune_some(database, TICK, times[4], rows_max=3) == (3, 18, True, 0)
    assert _tail(store) == [4, 5, 6]
    assert prune_some(database, TICK, times[4], rows_max=3) == (1, 6, False, times[4])
    assert prune_some(database, TICK, times[4], rows_max=3) == (0, 0, False, times[4])
    assert prune_some(database, SIGNAL, LATE_NS, rows_max=3) == (0, 0, False, 0)
    assert _tail(store) == [5, 6]


def test_a_transaction_takes_so_many_bytes_at_most(backend: Backend) -> None:
    """What goes beyond them waits for the next one; an event that is larger goes alone."""
    store = backend.open()
    bodies = [b"small", b"small", b"x" * 100, b"small", b"small"]
    store.append([unary(*(an_event(i, kind=TICK, body=body) for i, body in enumerate(bodies)))])
    taken = [prune_some(store._database, TICK, LATE_NS, bytes_max=12)[:3] for _ in range(4)]
    assert taken == [(2, 10, True), (1, 100, True), (2, 10, False), (0, 0, False)]


def test_an_event_of_the_future_holds_its_kind_back(backend: Backend) -> None:
    """Until its time what lies behind it stays; that is told, and counting first knows it."""
    store = backend.open()
    _mixed(store)
    with store._database.writing() as writer:
        writer.execute("UPDATE events SET ingest_time_ns = ? WHERE sequence = 3", (LATE_NS + 9,))
    with store._database.reading() as connection:
        assert prunable_count(connection, TICK, LATE_NS) == 1
        assert prunable_count(connection, SIGNAL, LATE_NS) == 3
    assert store.prune_some(TICK, LATE_NS) == (1, 6, False, LATE_NS + 9)
    assert store.prune_some(TICK, LATE_NS) == (0, 0, False, LATE_NS + 9)
    assert _tail(store) == [2, 3, 4, 5, 6]


def test_the_newest_time_outlives_pruning(store: Store) -> None:
    """0 in an empty log; a tombstone's counts."""
    assert store.newest_time_ns() == 0
    _mixed(store, 5)
    newest_ns = store.newest_time_ns()
    assert START_NS < newest_ns < LATE_NS
    store.prune_some(TICK, LATE_NS)
    assert store.newest_time_ns() == newest_ns


def test_the_limit_of_each_kind_is_known(store: Store) -> None:
    """The last sequence that was taken, for the kinds that a reader wants."""
    _mixed(store)
    assert store.events.pruned_through(()) == 0
    store.prune_some(TICK, LATE_NS)
    assert store.events.pruned_through(()) == 5
    assert store.events.pruned_through((TICK, SIGNAL)) == 5
    assert store.events.pruned_through((SIGNAL,)) == 0
    assert store.events.tail(_ALL, 0, 10, _PLENTY).pruned_sequence == 5
    assert store.events.tail(EventFilter(kinds=(SIGNAL,)), 0, 10, _PLENTY).pruned_sequence == 0


def test_a_tail_that_retention_overtakes_is_told(store: Store) -> None:
    """It began before the limit moved: the next page behind it is refused, with where to resume."""
    _mixed(store)
    queries = EventQueries(store)
    known = queries.pruned_sequence(_ALL, 0)
    assert known == 0
    store.prune_some(TICK, LATE_NS)
    for after in (0, 4):
        with pytest.raises(OutOfRange) as error:
            queries.tail(_ALL, after, known)
        assert error.value.reason is Reason.SEQUENCE_PRUNED
        assert error.value.metadata == {"first_sequence": "6"}
    assert [event.sequence for event in queries.tail(_ALL, 5, known).events] == [6]
    known = queries.pruned_sequence(_ALL, 0)
    assert [event.sequence for event in queries.tail(_ALL, 0, known).events] == [2, 4, 6]


def test_a_tombstone_keeps_identity_and_digest_only(store: Store) -> None:
    """Sequence, ingest time, id and producer's number stay; names, times and body are gone."""
    _mixed(store)
    before = store.events.get(an_event(3).event_id)
    store.prune_some(TICK, LATE_NS)
    with store._database.writing() as writer:
        (row,) = writer.execute(
            "SELECT sequence, ingest_time_ns, producer_key, producer_seq, kind, source,"
            " run_id, strategy, symbol, signal_id, length(body) FROM events WHERE event_id = ?",
            (an_event(3).event_id,),
        ).fetchall()
    assert row[:2] == (3, before.ingest_time_ns)
    assert row[2] is not None
    assert row[3:] == (3, PRUNED_KIND, "", None, None, None, None, 16)


def test_counting_first_changes_nothing(store: Store) -> None:
    """What would be pruned is what is pruned."""
    _mixed(store)
    with store._database.reading() as connection:
        assert prunable_count(connection, TICK, LATE_NS) == 3
        assert prunable_count(connection, TICK, START_NS) == 0
    assert len(_tail(store)) == 6


def test_a_served_file_is_pruned_from_beside(tmp_path: Path) -> None:
    """Without the sidecar's lock, between its commits, and it sees the result at once."""
    files = Backend("sqlite", tmp_path)
    store = files.open()
    _mixed(store)
    shared = SharedFile(files.url())
    assert prune_some(shared, TICK, LATE_NS).event_count == 3
    store.append([unary(an_event(9, kind=TICK))])
    assert _tail(store) == [2, 4, 6, 7]
    shared.close()
    files.close()


def test_what_is_no_log_of_this_version_is_not_pruned(tmp_path: Path) -> None:
    """A missing file, another program's, another schema: refused before anything is touched."""
    files = Backend("sqlite", tmp_path)
    with pytest.raises(ConfigurationError, match="cannot open"):
        SharedFile(files.url("missing"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "other.db").touch()
    with pytest.raises(ConfigurationError, match="no trimtab log"):
        SharedFile(files.url("other"))
    store = files.open()
    with store._database.writing() as writer:
        writer.execute("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(ConfigurationError, match="another version"):
        SharedFile(files.url())
    files.close()
