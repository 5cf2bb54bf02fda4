"""Reading of events over all fields of the contract: quick and slow agree, and nothing raises."""

from collections.abc import Callable, Sequence
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rpc.bad_events import BAD_EVENTS, Bad
from tests.rpc.edges import events_at_edges, full_event
from tests.rpc.generated_events import events
from tests.rpc.samples import KINDS, RECENT_S, SOURCE, an_event
from trimtab.v1 import event_pb2 as ev
from trimtab_server.domain.events import Event, Rejection, StoredEvent
from trimtab_server.rpc.convert import EventReader, sent_back
from trimtab_server.rpc.validation import uuids

_FAST = settings(
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
_NOW_NS = (RECENT_S + 60) * 10**9
_SKEW_NS = 60 * 10**9


class _Slow(EventReader):
    """A reader that sends every event the slow way, field by field."""

    def _read_plain(
        self, sent: Sequence[ev.Event], bodies: list[bytes], source: str | None
    ) -> list[Event] | None:
        return None


QUICK = EventReader(64 << 10, _SKEW_NS, lambda: _NOW_NS)
SLOW = _Slow(64 << 10, _SKEW_NS, lambda: _NOW_NS)


def read(event: ev.Event, source: str | None = None, by: EventReader = QUICK) -> Event | Rejection:
    """What becomes of one event."""
    (item,) = by.read([event], source)
    return item


def read_plainly(event: ev.Event) -> Event | None:
    """The event as the quick way reads it; None when it does not take it."""
    found = QUICK._read_plain([event], [event.SerializeToString(deterministic=True)], None)
    return None if found is None else found[0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_at_every_edge_is_read_the_same(kind: str) -> None:
    """One fault at a time, at any depth, in an event that is full: quick and slow agree on each."""
    assert read_plainly(full_event(kind)) is not None
    for what, event in events_at_edges(kind):
        copy = ev.Event.FromString(event.SerializeToString())
        assert read(event) == read(copy, by=SLOW), what


@settings(_FAST, max_examples=200)
@given(events(oddness=1), st.sampled_from((None, SOURCE)))
def test_quick_and_slow_read_the_same(sent: ev.Event, source: str | None) -> None:
    """The quick way never lets a bad event through, and reads a good one as the slow way does."""
    wire = sent.SerializeToString()
    quick = read(ev.Event.FromString(wire), source)
    slow = read(ev.Event.FromString(wire), source, by=SLOW)
    assert quick == slow


@settings(_FAST, max_examples=60)
@given(st.lists(events(oddness=0) | events(oddness=1), min_size=2, max_size=9))
def test_events_are_read_the_same_in_company(sent: list[ev.Event]) -> None:
    """What becomes of an event does not depend on the others of its slice, nor its place."""
    together = QUICK.read([ev.Event.FromString(one.SerializeToString()) for one in sent], SOURCE)
    alone = [read(one, SOURCE, by=SLOW) for one in sent]
    assert together == alone


@pytest.mark.parametrize(
    "spoil",
    [
        lambda words: words.upper(),
        lambda words: words.replace("-", "", 1) + "-",
        lambda words: words[:4] + " " + words[5:],
        lambda words: words[:35] + "\u0661",
        lambda words: words[:35] + "-",
        lambda words: words[:35],
        lambda words: words + "0",
        lambda words: "",
    ],
)
def test_one_bad_uuid_is_found_among_good_ones(spoil: Callable[[str], str]) -> None:
    """The column of ids is read at once, and is as strict as the pattern is for one."""
    good = [f"{n:08x}-0a1b-7c2d-8e3f-{n:012x}" for n in range(10, 15)]
    assert uuids(good) == [UUID(words).bytes for words in good]
    for at in range(len(good)):
        assert uuids([*good[:at], spoil(good[at]), *good[at + 1 :]]) is None
        # Two whose lengths make up for each other.
        assert uuids([good[0][:-1], good[1] + "0"]) is None


def test_rare_fields_take_the_quick_way() -> None:
    """Attributes, an available time, a trace, a correction and long ids do not slow an engine."""
    sent = an_event(
        "outcome",
        order_id="x" * 128,
        traceparent=f"00-{'4' * 32}-{'b' * 16}-01",
        corrects_event_id=str(UUID(int=7)),
        attributes={"k": "any\ntext"},
    )
    sent.outcome.status = ev.OUTCOME_STATUS_CORRECTED
    sent.available_time.seconds = sent.event_time.seconds + 1
    assert read_plainly(sent) == read(sent, by=SLOW)


@settings(_FAST, max_examples=100)
@given(events(oddness=0))
def test_every_valid_event_is_read(sent: ev.Event) -> None:
    """What the rules allow is never refused, and keeps its bytes and its columns."""
    body = sent.SerializeToString(deterministic=True)
    event = read(sent)
    if isinstance(event, Rejection):
        # Only the size is not bounded by the strategy.
        assert event.reason == "EVENT_TOO_LARGE", event
        return
    assert event.event_id.hex() == sent.event_id.replace("-", "")
    assert (event.source, event.environment) == (sent.source, sent.environment)
    assert (event.signal_id or "", event.symbol or "") == (sent.signal_id, sent.symbol)
    assert event.event_time_ns == sent.event_time.ToNanoseconds()
    assert event.available_time_ns >= event.event_time_ns
    sent.ClearField("sequence")
    sent.ClearField("ingest_time")
    assert event.body == sent.SerializeToString(deterministic=True)
    assert len(event.body) <= len(body)


@settings(_FAST, max_examples=120)
@given(events(oddness=8))
def test_whatever_is_sent_becomes_an_event_or_a_rejection(sent: ev.Event) -> None:
    """Nothing raises; a rejection names a reason, up to 16 paths with words, and bounded bytes."""
    item = read(sent)
    if isinstance(item, Rejection):
        assert 1 <= len(item.violations) <= 16
        assert all(violation.description for violation in item.violations)
        assert len(item.event_id) <= 128
        assert len(item.prefix) == min(item.byte_count, 4_096)
        assert len({violation.field for violation in item.violations}) == len(item.violations)


@settings(_FAST, max_examples=120)
@given(st.binary(max_size=300) | events(oddness=3).map(lambda event: event.SerializeToString()))
def test_whatever_decodes_is_read(wire: bytes) -> None:
    """Bytes that protobuf takes, with fields that nobody knows, become an event or a rejection."""
    from google.protobuf.message import DecodeError

    try:
        sent = ev.Event.FromString(wire)
    except DecodeError:
        return
    assert isinstance(read(sent), Event | Rejection)


@pytest.mark.parametrize("kind", KINDS)
def test_the_usual_event_takes_the_quick_way(kind: str) -> None:
    """A plain event of every kind is read without looking at its fields one by one: this is what
    ingestion is fast by."""
    sent = an_event(kind)
    assert read_plainly(sent) == read(sent, by=SLOW)


@pytest.mark.parametrize("bad", BAD_EVENTS, ids=lambda bad: f"{bad.kind}: {bad.what}")
def test_no_bad_event_takes_the_quick_way(bad: Bad) -> None:
    """Everything of the table of bad events is refused with the quick way in place."""
    rejection = read(bad.event())
    assert isinstance(rejection, Rejection)
    assert rejection.reason == bad.reason


def test_what_the_server_adds_is_ignored_on_input() -> None:
    """sequence and ingest_time of the caller change nothing, not even whether it is the same."""
    plain, dressed = an_event(), ev.Event()
    dressed.CopyFrom(plain)
    dressed.sequence = 99
    dressed.ingest_time.seconds = -5
    assert read(dressed) == read(plain)


@pytest.mark.parametrize(
    "text", ["\u202eקרא", "e\u0301", "😀" * 64, "\ufeffx", "Ω" * 64, "a b", "\U0010ffff"]
)
def test_names_may_be_of_any_script(text: str) -> None:
    """64 characters are 64 code points of any script; only control characters are refused."""
    event = read(an_event(symbol=text, strategy=text))
    assert isinstance(event, Event)
    assert event.symbol == text


def test_times_are_held_to_the_server_s_clock_but_not_in_backtests() -> None:
    """LIVE and PAPER may lead by the allowance and no more; a backtest has its own clock."""
    for ahead_ns, environment, fits in (
        (_SKEW_NS, ev.ENVIRONMENT_LIVE, True),
        (_SKEW_NS + 1, ev.ENVIRONMENT_LIVE, False),
        (_SKEW_NS + 1, ev.ENVIRONMENT_PAPER, False),
        (_SKEW_NS * 10**6, ev.ENVIRONMENT_BACKTEST, True),
    ):
        sent = an_event(environment=environment, run_id="r-1")
        sent.event_time.FromNanoseconds(_NOW_NS + ahead_ns)
        assert isinstance(read(sent), Event) == fits


def test_the_largest_event_is_taken_and_one_byte_more_is_not() -> None:
    """The limit is on the serialised event without the server's fields."""
    sent = an_event()
    for i in range(100):
        sent.attributes[f"k{i}"] = "x" * 600
    size = len(sent.SerializeToString())
    at_limit, below = (EventReader(limit, 0, lambda: _NOW_NS) for limit in (size, size - 1))
    assert isinstance(read(sent, by=at_limit), Event)
    rejection = read(sent, by=below)
    assert isinstance(rejection, Rejection)
    assert (rejection.reason, rejection.byte_count) == ("EVENT_TOO_LARGE", size)


def test_what_is_given_back_is_what_was_sent() -> None:
    """sent_back adds the sequence and the time of the commit, and nothing else."""
    sent = an_event("decision")
    event = read(sent)
    assert isinstance(event, Event)
    back = sent_back(StoredEvent(7, 1_500_000_001, event.body))
    assert (back.sequence, back.ingest_time.ToNanoseconds()) == (7, 1_500_000_001)
    back.ClearField("sequence")
    back.ClearField("ingest_time")
    assert back == sent
