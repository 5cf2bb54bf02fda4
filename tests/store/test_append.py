"""Appending: each event once, gapless in commit order, numbers of producers held to their rules."""

import pytest

from tests.store.conftest import Backend
from tests.store.log_events import PRODUCER, TIME_NS, an_event, batch, loss, rejected, unary
from trimtab_server.domain.events import EventFilter, EventKind, Producer
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import InvalidRequest, NotFound, StreamBroken
from trimtab_server.store.store import Store


def _bodies(store: Store) -> list[bytes]:
    """The whole log; its sequences are gapless from 1."""
    page = store.events.tail(EventFilter(), 0, 1_000_000, 1 << 30)
    assert [event.sequence for event in page.events] == list(range(1, len(page.events) + 1))
    assert page.through_sequence == store.info().last_sequence == len(page.events)
    return [event.body for event in page.events]


def test_events_are_numbered_in_the_order_of_the_commit(store: Store) -> None:
    """Across callers and commits, from 1, without gaps; what is read is what was appended."""
    first, second = store.append([unary(an_event(3), an_event(1)), unary(an_event(2))])
    (third,) = store.append([unary(an_event(4))])
    assert (first.sequences, second.sequences, third.sequences) == ([1, 2], [3], [4])
    assert _bodies(store) == [b"body-3", b"body-1", b"body-2", b"body-4"]
    stored = store.events.get(an_event(2).event_id)
    assert (stored.sequence, stored.body) == (3, b"body-2")
    assert stored.ingest_time_ns > 0


def test_events_of_one_commit_have_one_ingest_time(store: Store) -> None:
    """It is the commit's, and it does not go back."""
    store.append([unary(an_event(1), an_event(2)), unary(an_event(3))])
    store.append([unary(an_event(4))])
    times = [
        event.ingest_time_ns for event in store.events.tail(EventFilter(), 0, 9, 1 << 30).events
    ]
    assert times[0] == times[1] == times[2] < times[3]


def test_the_same_event_again_is_a_duplicate_with_the_first_sequence(store: Store) -> None:
    """In a later commit, in the same commit, in the same call."""
    (first,) = store.append([unary(an_event(1), an_event(2), an_event(1))])
    assert (first.sequences, first.duplicates, first.rejections) == ([1, 2, 1], {2}, {})
    again, other = store.append([unary(an_event(2)), unary(an_event(3), an_event(2))])
    assert (again.sequences, again.duplicates) == ([2], {0})
    assert (other.sequences, other.duplicates) == ([3, 2], {1})
    assert len(_bodies(store)) == 3


def test_the_same_id_with_other_content_is_refused_alone(store: Store) -> None:
    """ID_REUSED with the id as it was sent; neighbours are stored, the first content stays."""
    store.append([unary(an_event(1))])
    other = an_event(1, body=b"other")
    (result,) = store.append([unary(an_event(2), other, an_event(3))])
    assert (result.sequences, result.duplicates) == ([2, 0, 3], set())
    assert result.rejections[1].reason is Reason.ID_REUSED
    assert result.rejections[1].event_id == "00000000-0000-0000-0000-000000000001"
    assert (result.rejections[1].prefix, result.rejections[1].byte_count) == (b"other", 5)
    assert store.events.get(other.event_id).body == b"body-1"


def test_within_one_commit_the_first_content_of_an_id_wins(store: Store) -> None:
    """Whoever comes later with other content is refused, with the same content is a duplicate."""
    one, two, three = store.append(
        [unary(an_event(1)), unary(an_event(1, body=b"x")), unary(an_event(1))]
    )
    assert one.sequences == [1]
    assert two.rejections[0].reason is Reason.ID_REUSED
    assert (three.sequences, three.duplicates) == ([1], {0})
    assert _bodies(store) == [b"body-1"]


def test_what_is_stored_wins_over_what_comes_first_in_a_commit(store: Store) -> None:
    """A stored event resent behind an impostor of its id is a duplicate, not refused."""
    store.append([unary(an_event(1))])
    impostor, resend = store.append([unary(an_event(1, body=b"x")), unary(an_event(1))])
    assert impostor.rejections[0].reason is Reason.ID_REUSED
    assert (resend.sequences, resend.duplicates, resend.rejections) == ([1], {0}, {})


def test_a_producer_starts_at_one_and_goes_on_behind_its_mark(store: Store) -> None:
    """open_producer tells the next number; batches move it; reopening keeps it."""
    assert store.open_producer(PRODUCER) == 1
    store.append([batch(1, an_event(1), an_event(2)), batch(3, an_event(3))])
    assert store.open_producer(PRODUCER) == 4
    assert store.open_producer(PRODUCER._replace(epoch=2)) == 4


def test_an_older_epoch_is_fenced(store: Store) -> None:
    """At opening, and for what it had sent before the newer one was opened."""
    store.open_producer(PRODUCER)
    store.open_producer(PRODUCER._replace(epoch=2))
    with pytest.raises(StreamBroken) as error:
        store.open_producer(PRODUCER)
    assert error.value.reason is Reason.PRODUCER_FENCED
    (result,) = store.append([batch(1, an_event(1))])
    assert (result.error_reason, result.sequences) == (Reason.PRODUCER_FENCED, [0])
    assert _bodies(store) == []


def test_a_producer_belongs_to_its_source(store: Store) -> None:
    """Opening it for another source names the field and changes nothing."""
    store.open_producer(PRODUCER)
    with pytest.raises(InvalidRequest) as error:
        store.open_producer(PRODUCER._replace(source="beta", epoch=9))
    assert [violation.field for violation in error.value.violations] == ["open.source"]
    assert store.open_producer(PRODUCER) == 1


def test_a_producer_that_was_never_opened_is_fenced(store: Store) -> None:
    """There is no mark to hold its numbers against."""
    (result,) = store.append([batch(1, an_event(1), producer=Producer(b"x" * 16, 1, "a"))])
    assert result.error_reason is Reason.PRODUCER_FENCED


def test_a_gap_stores_nothing_of_its_batch(store: Store) -> None:
    """SEQUENCE_GAP; the other callers of the commit are not concerned."""
    store.open_producer(PRODUCER)
    gap, other = store.append([batch(2, an_event(1)), unary(an_event(2))])
    assert gap.error_reason is Reason.SEQUENCE_GAP
    assert "1 is expected" in gap.error_message
    assert other.sequences == [1]
    assert store.open_producer(PRODUCER) == 1


def test_a_resend_is_duplicates_and_then_new_events(store: Store) -> None:
    """A batch that overlaps the mark: stored before, then stored now; in one commit too."""
    store.open_producer(PRODUCER)
    store.append([batch(1, an_event(1), an_event(2))])
    resent = batch(1, an_event(1), an_event(2), an_event(3))
    first, second = store.append([resent, resent])
    assert (first.sequences, first.duplicates) == ([1, 2, 3], {0, 1})
    assert (second.sequences, second.duplicates, second.error_reason) == (
        [1, 2, 3],
        {0, 1, 2},
        None,
    )
    assert store.open_producer(PRODUCER) == 4


def test_a_number_used_for_another_event_is_reused(store: Store) -> None:
    """SEQUENCE_REUSED, and nothing of that batch is stored, not even its new numbers."""
    store.open_producer(PRODUCER)
    store.append([batch(1, an_event(1), an_event(2))])
    (result,) = store.append([batch(2, an_event(9), an_event(10))])
    assert result.error_reason is Reason.SEQUENCE_REUSED
    assert _bodies(store) == [b"body-1", b"body-2"]
    assert store.open_producer(PRODUCER) == 3
    with pytest.raises(NotFound):
        store.events.get(an_event(10).event_id)


def test_a_resend_repeats_its_rejections(store: Store) -> None:
    """Refused before it came here or refused for its id: the same answer, in a later commit and in
    the same one; the number counts as used."""
    store.open_producer(PRODUCER)
    store.append([unary(an_event(7))])
    impostor = an_event(7, body=b"x")
    sent = batch(1, an_event(1), rejected("bad"), impostor)
    for results in (store.append([sent, sent]), store.append([sent])):
        for result in results:
            assert result.error_reason is None
            assert {i: r.reason for i, r in result.rejections.items()} == {
                1: Reason.INVALID_FIELD,
                2: Reason.ID_REUSED,
            }
    assert store.open_producer(PRODUCER) == 4
    kept = store.events.rejected(None, None, 10, None)
    assert [(row.producer_seq, row.rejection.reason) for row in kept] == [
        (3, Reason.ID_REUSED),
        (2, Reason.INVALID_FIELD),
    ]


def test_a_number_that_was_refused_stays_refused(store: Store) -> None:
    """Another event under it is answered with the rejection that its owner was told, in a later
    commit and in the same one."""
    store.open_producer(PRODUCER)
    sent, other = batch(1, rejected("bad", field="price")), batch(1, an_event(5))
    for result in (store.append([sent, other])[1], store.append([other])[0]):
        assert result.error_reason is None
        assert result.rejections[0].violations[0].field == "price"
    assert _bodies(store) == []


def test_a_resent_impostor_is_refused_twice_in_one_commit(store: Store) -> None:
    """It is held against the event that will be stored, not against its own first sending."""
    store.open_producer(PRODUCER)
    impostor = batch(1, an_event(5, body=b"x"))
    _, first, second = store.append([unary(an_event(5)), impostor, impostor])
    for result in (first, second):
        assert (result.error_reason, result.duplicates) == (None, set())
        assert result.rejections[0].reason is Reason.ID_REUSED


def test_lost_numbers_are_passed_over_and_stand_in_the_log(store: Store) -> None:
    """The mark moves and the loss is an event, in one commit; saying it again changes nothing."""
    store.open_producer(PRODUCER)
    store.append([batch(1, an_event(1))])
    lost = an_event(50, kind=EventKind.RECORDER_LOSS, environment=0)
    first, after = store.append([loss(2, 9, lost), batch(10, an_event(2))])
    assert (first.error_reason, after.error_reason, after.sequences) == (None, None, [3])
    again = an_event(51, kind=EventKind.RECORDER_LOSS, environment=0)
    (repeat,) = store.append([loss(2, 9, again)])
    assert repeat.error_reason is None
    assert _bodies(store) == [b"body-1", b"body-50", b"body-2"]
    assert store.open_producer(PRODUCER) == 11


def test_a_loss_behind_a_gap_is_refused(store: Store) -> None:
    """Numbers in between may still come."""
    store.open_producer(PRODUCER)
    (result,) = store.append([loss(2, 9, an_event(50))])
    assert result.error_reason is Reason.SEQUENCE_GAP
    assert store.open_producer(PRODUCER) == 1


def test_a_lost_number_cannot_be_sent_any_more(store: Store) -> None:
    """It was neither stored nor refused."""
    store.open_producer(PRODUCER)
    store.append([loss(1, 9, an_event(50))])
    (result,) = store.append([batch(3, an_event(3))])
    assert result.error_reason is Reason.SEQUENCE_REUSED


def test_an_empty_batch_changes_nothing(store: Store) -> None:
    """A flush is one."""
    store.open_producer(PRODUCER)
    (result,) = store.append([batch(1)])
    assert (result.sequences, result.error_reason) == ([], None)
    assert store.append([]) == []
    assert store.open_producer(PRODUCER) == 1


def test_rejected_events_are_bounded_and_listed_newest_first(backend: Backend) -> None:
    """The oldest go; pages, source and producer select."""
    store = backend.open(rejected_events_max=5)
    other = Producer(b"y" * 16, 1, "beta")
    store.open_producer(PRODUCER)
    store.open_producer(other)
    for number in range(1, 8):
        store.append([batch(number, rejected(f"a{number}"))])
    store.append([batch(1, rejected("b"), producer=other)])
    assert store.events.rejected_count() == 5
    rows = store.events.rejected(None, None, 3, None)
    assert [row.rejection.event_id for row in rows] == ["b", "a7", "a6"]
    more = store.events.rejected(None, None, 3, rows[-1].row_id)
    assert [row.rejection.event_id for row in more] == ["a5", "a4"]
    assert [row.source for row in store.events.rejected("beta", None, 9, None)] == ["beta"]
    assert len(store.events.rejected(None, PRODUCER.producer_id, 9, None)) == 4
    row = rows[1]
    assert (row.producer_seq, row.rejection.prefix, row.rejection.byte_count) == (7, b"pre", 9_000)
    assert row.rejection.violations == rejected("a7").violations


def test_refused_events_of_unary_calls_are_not_kept(store: Store) -> None:
    """Their caller was told at once."""
    (result,) = store.append([unary(rejected(), an_event(1))])
    assert (result.sequences, list(result.rejections)) == ([0, 1], [0])
    assert store.events.rejected_count() == 0


def test_counts_follow_every_commit(store: Store) -> None:
    """By kind, source and environment, largest first; of a run, a source, an environment; times
    are the latest; duplicates and refused events do not count."""
    bars = [an_event(n, kind=EventKind.MARKET_BAR, time_ns=TIME_NS + n) for n in (5, 9, 7)]
    store.append([unary(*bars[:2]), unary(an_event(1, source="beta", environment=3, run_id="r"))])
    store.append([unary(bars[2], bars[0], an_event(9, body=b"x"), rejected())])
    counts = store.events.counts(None, None, None)
    assert [(c.kind, c.source, c.environment, c.event_count) for c in counts] == [
        (EventKind.MARKET_BAR, "alpha", 2, 3),
        (EventKind.SIGNAL, "beta", 3, 1),
    ]
    assert (counts[0].byte_count, counts[0].last_event_time_ns) == (18, TIME_NS + 9)
    assert [c.event_count for c in store.events.counts("beta", None, None)] == [1]
    assert [c.event_count for c in store.events.counts(None, 2, None)] == [3]
    assert [c.event_count for c in store.events.counts(None, None, "r")] == [1]
    assert store.events.counts("alpha", 3, None) == []


def test_large_commits_are_whole(store: Store) -> None:
    """More rows than one statement takes, with duplicates all over."""
    events = [an_event(n) for n in range(1, 1_500)]
    store.append([unary(*events[::3])])
    (result,) = store.append([unary(*events)])
    assert len(result.duplicates) == 500
    assert sorted(result.sequences) == list(range(1, 1_500))
    assert len(_bodies(store)) == 1_499


def test_reopening_keeps_everything(backend: Backend, store: Store) -> None:
    """log_id, sequences, marks, counts, rejections: another start goes on where this one ended."""
    store.open_producer(PRODUCER)
    store.append([batch(1, an_event(1), rejected("bad")), unary(an_event(2))])
    log_id, counts = store.log_id, store.events.counts(None, None, None)
    again = backend.reopen(store)
    assert again.log_id == log_id
    assert (again.info().first_sequence, again.info().last_sequence) == (1, 2)
    assert again.events.counts(None, None, None) == counts
    assert again.open_producer(PRODUCER) == 3
    assert again.events.rejected_count() == 1
    (result,) = again.append([batch(3, an_event(3), an_event(1))])
    assert (result.sequences, result.duplicates) == ([3, 1], {1})


def test_another_database_is_another_log(backend: Backend, store: Store) -> None:
    """An empty log has an identity and no bounds."""
    other = backend.open("other")
    assert other.log_id != store.log_id
    assert (other.info().first_sequence, other.info().last_sequence) == (0, 0)
