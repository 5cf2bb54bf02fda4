"""Reading the log: by id, in pages of every order, by each filter, as a tail, while it grows."""

import itertools
import threading
from typing import Any

import pytest

from tests.store.log_events import TIME_NS, an_event, unary
from trimtab_server.domain.events import (
    Environment,
    Event,
    EventFilter,
    EventKind,
    EventOrder,
    StoredEvent,
)
from trimtab_server.errors import NotFound
from trimtab_server.store.store import Store

ALL = EventFilter()
_PLENTY = 1 << 30


def _numbers(events: list[StoredEvent]) -> list[int]:
    return [int(event.body.removeprefix(b"body-")) for event in events]


def _pages(
    store: Store, wanted: EventFilter, order: EventOrder, size: int, byte_count_max: int = _PLENTY
) -> list[int]:
    """The numbers of all events that match, gathered page by page."""
    found: list[int] = []
    position: tuple[int, int] | None = None
    while True:
        page = store.events.page(wanted, order, size, byte_count_max, position)
        assert len(page.events) <= size
        found += _numbers(page.events)
        position = page.next_position
        if position is None:
            return found
        assert page.events


# Many share a time; times do not follow the order of arrival.
_TIED = [an_event(n, time_ns=TIME_NS + (n * 7) % 4) for n in range(1, 41)]


@pytest.mark.parametrize("order", EventOrder)
@pytest.mark.parametrize("size", [1, 3, 7, 39, 40, 41, 1_000])
def test_pages_join_to_the_whole_in_every_order(store: Store, order: EventOrder, size: int) -> None:
    """Nothing twice, nothing missed, ties by sequence; whatever the size of a page."""
    store.append([unary(*_TIED)])
    by_time = order in (EventOrder.EVENT_TIME, EventOrder.EVENT_TIME_DESC)
    descending = order in (EventOrder.SEQUENCE_DESC, EventOrder.EVENT_TIME_DESC)
    expected = sorted(
        range(1, 41),
        key=lambda n: (_TIED[n - 1].event_time_ns if by_time else 0, n),
        reverse=descending,
    )
    assert _pages(store, ALL, order, size) == expected


@pytest.mark.parametrize("order", EventOrder)
def test_a_page_ends_at_its_bytes_but_holds_one(store: Store, order: EventOrder) -> None:
    """Large events come one by one; the pages still join to the whole."""
    store.append([unary(*_TIED)])
    whole = _pages(store, ALL, order, 100)
    assert _pages(store, ALL, order, 100, byte_count_max=1) == whole
    assert _pages(store, ALL, order, 100, byte_count_max=20) == whole
    page = store.events.page(ALL, order, 100, 20, None)
    assert 1 <= len(page.events) <= 20 // 6


def test_the_last_page_knows_that_it_is(store: Store) -> None:
    """An exact fit has no next page; an empty log has one empty page."""
    assert store.events.page(ALL, EventOrder.SEQUENCE, 5, _PLENTY, None) == ([], None)
    store.append([unary(*_TIED[:5])])
    page = store.events.page(ALL, EventOrder.SEQUENCE, 5, _PLENTY, None)
    assert (len(page.events), page.next_position) == (5, None)


_MIXED = [
    an_event(1, kind=EventKind.MARKET_BAR, symbol="BTC", source="a", time_ns=TIME_NS),
    an_event(2, kind=EventKind.SIGNAL, symbol="BTC", signal_id="s1", strategy="x"),
    an_event(3, kind=EventKind.SIGNAL, symbol="ETH", signal_id="s2", strategy="y", source="b"),
    an_event(4, kind=EventKind.OUTCOME, signal_id="s1", environment=Environment.LIVE),
    an_event(5, environment=Environment.BACKTEST, run_id="r1", symbol="ETH"),
    an_event(6, kind=EventKind.DECISION, time_ns=TIME_NS + 10, available_ns=TIME_NS + 99),
    an_event(7, kind=EventKind.MARKET_BAR, symbol="ETH", time_ns=TIME_NS + 20),
]
_FILTERS: list[tuple[dict[str, Any], set[int]]] = [
    ({}, {1, 2, 3, 4, 5, 6, 7}),
    ({"kinds": (int(EventKind.MARKET_BAR),)}, {1, 7}),
    ({"kinds": (int(EventKind.OUTCOME), int(EventKind.MARKET_BAR))}, {1, 4, 7}),
    ({"source": "b"}, {3}),
    ({"environment": int(Environment.LIVE)}, {4}),
    ({"run_id": "r1"}, {5}),
    ({"strategy": "x"}, {2}),
    ({"symbol": "ETH"}, {3, 5, 7}),
    ({"symbol": "ETH", "kinds": (int(EventKind.MARKET_BAR),)}, {7}),
    ({"signal_id": "s1"}, {2, 4}),
    ({"start_time_ns": TIME_NS + 10}, {6, 7}),
    ({"end_time_ns": TIME_NS + 10}, {1, 2, 3, 4, 5}),
    ({"start_time_ns": TIME_NS + 10, "end_time_ns": TIME_NS + 20}, {6}),
    ({"known_at_ns": TIME_NS}, {1, 2, 3, 4, 5}),
    ({"known_at_ns": TIME_NS + 98}, {1, 2, 3, 4, 5, 7}),
    ({"known_at_ns": TIME_NS + 99}, {1, 2, 3, 4, 5, 6, 7}),
    ({"source": "nobody"}, set()),
    ({"symbol": "ETH", "source": "alpha", "environment": 2}, {7}),
]


@pytest.mark.parametrize(("conditions", "expected"), _FILTERS)
def test_each_filter_selects_in_pages_and_on_the_tail(
    store: Store, conditions: dict[str, Any], expected: set[int]
) -> None:
    """All conditions must hold; an empty filter holds for everything."""
    store.append([unary(*_MIXED)])
    wanted = EventFilter(**conditions)
    for order in EventOrder:
        found = _pages(store, wanted, order, 2)
        assert (len(found), set(found)) == (len(expected), expected)
    tail = store.events.tail(wanted, 0, 100, _PLENTY)
    assert (_numbers(tail.events), tail.through_sequence) == (sorted(expected), 7)


def test_a_tail_moves_in_spans(store: Store) -> None:
    """It looks at so many sequences at a time, whether they match or not, up to the end."""
    store.append([unary(*_MIXED)])
    wanted = EventFilter(symbol="ETH")
    after, seen, stops = 0, [], []
    while after < 7:
        page = store.events.tail(wanted, after, 2, _PLENTY)
        assert page.through_sequence > after
        after = page.through_sequence
        seen += _numbers(page.events)
        stops.append(after)
    assert (seen, stops) == ([3, 5, 7], [2, 4, 6, 7])
    assert store.events.tail(wanted, 7, 2, _PLENTY) == ([], 7, 0)
    assert store.events.tail(wanted, 99, 2, _PLENTY) == ([], 99, 0)


def test_a_tail_s_page_ends_at_its_bytes(store: Store) -> None:
    """The position is then the last event that was handed out: none is skipped."""
    store.append([unary(*_MIXED)])
    after, seen = 0, []
    while after < 7:
        page = store.events.tail(ALL, after, 100, 13)
        assert 1 <= len(page.events) <= 2
        after = page.through_sequence
        seen += _numbers(page.events)
    assert seen == [1, 2, 3, 4, 5, 6, 7]


def test_an_unknown_id_is_not_found(store: Store) -> None:
    """And named."""
    with pytest.raises(NotFound, match="00000000-0000-0000-0000-00000000002a"):
        store.events.get(an_event(42).event_id)


@pytest.mark.parametrize("text", ["'", '"; DROP TABLE events', "😀", "\\", "%", "_", "é" * 64])
def test_words_are_only_words(store: Store, text: str) -> None:
    """Nothing in a column is ever read as SQL or as a pattern."""
    event = an_event(1, symbol=text, source=text, signal_id=text, strategy=text, run_id=text)
    store.append([unary(event, an_event(2, symbol="other"))])
    wanted = EventFilter(source=text, symbol=text, signal_id=text, strategy=text, run_id=text)
    assert _pages(store, wanted, EventOrder.SEQUENCE, 10) == [1]


def test_times_and_numbers_at_the_ends_of_their_range(store: Store) -> None:
    """The first and last nanosecond that the contract allows keep their order."""
    last = 7_258_118_400 * 10**9 - 1
    store.append([unary(an_event(1, time_ns=last), an_event(2, time_ns=0, available_ns=last))])
    assert _pages(store, ALL, EventOrder.EVENT_TIME, 1) == [2, 1]
    assert _pages(store, EventFilter(known_at_ns=last - 1), EventOrder.SEQUENCE, 1) == []
    assert store.events.counts(None, None, None)[0].last_event_time_ns == last


def test_reading_goes_on_while_it_is_written(store: Store) -> None:
    """Readers see whole commits only, in sequence, and never wait for the writer."""
    failures: list[str] = []
    done = threading.Event()

    def read() -> None:
        seen = 0
        while not done.is_set() or seen < store.info().last_sequence:
            page = store.events.tail(ALL, seen, 1_000, _PLENTY)
            sequences = [event.sequence for event in page.events]
            if sequences != list(range(seen + 1, page.through_sequence + 1)):
                failures.append(f"after {seen}: {sequences[:5]}")
            if page.through_sequence % 10:
                failures.append(f"half a commit: {page.through_sequence}")
            seen = page.through_sequence

    readers = [threading.Thread(target=read, daemon=True) for _ in range(2)]
    for reader in readers:
        reader.start()
    numbers = itertools.count(1)
    for _ in range(60):
        batch: list[Event] = [an_event(next(numbers)) for _ in range(10)]
        store.append([unary(*batch[:5]), unary(*batch[5:])])
    done.set()
    for reader in readers:
        reader.join(30)
    assert failures == []
