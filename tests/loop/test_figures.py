"""Counts since the start and over the last minute, on a clock that stands still."""

import pytest

from tests.loop.conftest import PRODUCER, Clock
from trimtab_server.domain.events import Append, Appended, Event, Loss, Rejection
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import StreamBroken, Unavailable
from trimtab_server.loop.figures import Counts, Figures, Minute

ITEM = Rejection("r", Reason.INVALID_FIELD, ())
LOSS = Event(b"l" * 16, 17, "alpha", 1, "", 1, 1, "", "", "", b"")


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def figures(clock: Clock) -> Figures:
    """Nothing has come yet."""
    return Figures(clock)


def commit(
    figures: Figures,
    count: int,
    *,
    duplicates: int = 0,
    rejected: int = 0,
    duration_s: float = 0.01,
) -> None:
    """A commit of one caller: of `count` items some were stored before, some are refused."""
    result = Appended(
        [1] * count,
        duplicates=set(range(duplicates)),
        rejections=dict.fromkeys(range(duplicates, duplicates + rejected), ITEM),
    )
    figures.committed([Append([ITEM] * count, 0)], [result], duration_s)


def test_each_event_is_counted_once_as_what_became_of_it(figures: Figures) -> None:
    """Stored, sent again, rejected in a commit, rejected before it came to one."""
    commit(figures, 10, duplicates=3, rejected=2)
    figures.rejected(4)
    expected = Counts(stored=5, duplicates=3, rejected=6)
    assert figures.since_start == figures.last_minute().counts == expected


def test_a_loss_counts_its_numbers_once(figures: Figures) -> None:
    """Numbers 5 to 14 were given up; told again, they are not given up again; the event that says
    so is none of the engine's."""
    append = Append([LOSS], 0, PRODUCER, 5, Loss(5, 14, LOSS))
    figures.committed([append, append], [Appended([1]), Appended([0])], 0.01)
    assert figures.since_start == Counts(lost=10)


def test_what_was_refused_as_a_whole_is_not_counted(figures: Figures) -> None:
    """A gap ends the stream; its events come again."""
    refused = Appended([0], error_reason=Reason.SEQUENCE_GAP)
    figures.committed([Append([ITEM], 0, PRODUCER, 9)], [refused], 0.01)
    assert figures.since_start == Counts()


@pytest.mark.parametrize(
    ("counts", "share"),
    [
        (Counts(), None),
        (Counts(duplicates=7), None),
        (Counts(stored=3, duplicates=7), 1.0),
        (Counts(stored=97, rejected=1, lost=2), 0.97),
        (Counts(lost=2), 0.0),
    ],
)
def test_the_share_is_of_what_came(counts: Counts, share: float | None) -> None:
    """What was sent again is neither a gain nor a loss; nothing is no share."""
    assert counts.share == share


def test_a_minute_forgets_and_the_start_does_not(figures: Figures, clock: Clock) -> None:
    """Seconds leave the minute one by one."""
    commit(figures, 100)
    clock.now_s += 30
    commit(figures, 20)
    assert figures.last_minute().counts.stored == 120
    clock.now_s += 30
    assert figures.last_minute().counts.stored == 20
    clock.now_s += 30
    assert figures.last_minute() == Minute(Counts(), 0.0, 0, 0, None, None)
    assert figures.since_start.stored == 120


def test_the_rate_is_over_a_minute_or_the_time_since_the_start(
    figures: Figures, clock: Clock
) -> None:
    """A young server's rate is not watered down, and a moment is counted as a second."""
    commit(figures, 120)
    assert figures.last_minute().events_per_s == 120
    clock.now_s += 10
    assert figures.last_minute().events_per_s == 12
    clock.now_s += 49
    assert figures.last_minute().events_per_s == pytest.approx(120 / 59)
    clock.now_s += 1_000
    commit(figures, 120)
    assert figures.last_minute().events_per_s == 2


def test_latencies_are_right_to_five_percent(figures: Figures) -> None:
    """The quantiles are never below the truth, and at most 5 % above it."""
    durations = [(1 + (index * 37) % 1_000) / 1_000 for index in range(1_000)]
    for duration_s in durations:
        commit(figures, 1, duration_s=duration_s)
    minute = figures.last_minute()
    assert minute.commit_count == 1_000
    assert minute.latency_p50_s is not None
    assert minute.latency_p99_s is not None
    assert 0.5 <= minute.latency_p50_s <= 0.5 * 1.05
    assert 0.99 <= minute.latency_p99_s <= 0.99 * 1.05


def test_a_minute_of_any_load_takes_the_same_memory(figures: Figures, clock: Clock) -> None:
    """At most sixty seconds are kept, however long the server runs."""
    for _ in range(300):
        commit(figures, 1)
        clock.now_s += 1
    assert len(figures._seconds) == 60
    assert figures.last_minute().commit_count == 59


def test_only_unavailable_is_the_databases_fault(figures: Figures, clock: Clock) -> None:
    """A refusal that the contract knows is an answer; the next success ends a failure; each is an
    attempt."""
    clock.now_s += 8
    assert figures.idle_s == 8
    figures.failed(Unavailable(Reason.STORE_UNAVAILABLE, "disk full"))
    failures = [figures.failure]
    assert figures.idle_s == 0
    figures.failed(StreamBroken(Reason.PRODUCER_FENCED, "older"))
    failures.append(figures.failure)
    assert failures == ["disk full", ""]
    ages = [figures.commit_age_s]
    commit(figures, 1)
    clock.now_s += 3
    ages.append(figures.commit_age_s)
    assert ages == [None, 3]
    assert figures.last_minute().failure_count == 1
