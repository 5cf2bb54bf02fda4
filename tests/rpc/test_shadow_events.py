"""Shadow results as events: valid, the same bytes always, and read back as what they were."""

import random
from collections.abc import Iterator
from math import inf, isnan, nan
from uuid import UUID

import pytest

from tests.domain.shadow_facts import (
    DELISTING,
    SECOND_NS,
    a_bar,
    a_decision,
    a_lane,
    a_model,
    a_signal,
    a_whole_bar,
    an_action,
    asked,
    at,
    closes,
)
from trimtab.v1 import event_pb2
from trimtab_server.domain.events import Event, EventKind
from trimtab_server.domain.ledger.facts import Fact, ShadowFact
from trimtab_server.domain.shadow.book import ShadowBook
from trimtab_server.domain.shadow.fill_model import FillModel
from trimtab_server.domain.shadow.result import ShadowResult
from trimtab_server.rpc.convert import EventReader
from trimtab_server.rpc.facts import facts_of
from trimtab_server.rpc.shadow_events import shadow_append, shadow_event

MODELS = {
    "taker": FillModel(
        calendar="24/7",
        horizons=("1d", "3d", "3h"),
        markout_ages=("1h", "2h", "1d", "2d"),
        censor_after_s=3_600.0,
    ),
    "passive": FillModel(
        entry_style="passive", passive_wait_s=3_600.0, calendar="24/7", censor_after_s=7_200.0
    ),
}


def some_results() -> Iterator[ShadowResult]:
    """Of every kind: lives and horizons, matured and censored, filled, doubtful and not."""
    for style in ("whole", "close"):
        facts = a_lane(random.Random(3), 120, style=style)
        for model in MODELS.values():
            yield from ShadowBook(model, 1_000).take(facts, 0)
    delisted = [*asked(), *closes(100, first=2), an_action(at(3), DELISTING)]
    yield from ShadowBook(MODELS["taker"], 10).take(delisted, 0)
    ambiguous = asked(stop_price=95.0, target_price=110.0)
    bar = a_whole_bar(at(2), (100, 120, 90, 100))
    yield from ShadowBook(a_model(), 10).take([*ambiguous, bar], 0)
    # Touched, not traded through.
    touched: list[Fact] = [a_signal(at(1)), a_decision(at(1), bid=99.0)]
    bars: list[Fact] = [a_bar(at(hour), 99.0) for hour in range(2, 9)]
    yield from ShadowBook(MODELS["passive"], 10).take([*touched, *bars], 0)


RESULTS = tuple(some_results())


def test_every_kind_of_result_is_among_them() -> None:
    """What the other tests here hold, they hold of all of these."""
    kinds = {
        (each.status, bool(each.age_ns), bool(each.trading_days), bool(each.entry_time_ns))
        for each in RESULTS
    }
    assert {(1, False, False, True), (2, False, False, True), (2, False, False, False)} <= kinds
    assert {(1, True, False, True), (1, False, True, True), (1, False, False, False)} <= kinds
    assert {each.flags for each in RESULTS} >= {0, 1, 2, 4, 12}
    assert {each.exit_reason for each in RESULTS} >= {0, 1, 2, 3, 8}
    assert any(each.markouts for each in RESULTS)
    assert {each.traded for each in RESULTS} == {False, True}


def test_what_is_written_is_valid() -> None:
    """The rules of the contract hold for the server's own events as for everybody's: read as sent,
    each is the very event that was made."""
    reader = EventReader(1 << 20, 0, lambda: at(10_000))
    events = [shadow_event(each) for each in RESULTS]
    sent = [event_pb2.Event.FromString(each.body) for each in events]
    assert reader.read(sent) == events
    # One by one too, the slow way.
    for message, event in zip(sent[::7], events[::7], strict=True):
        assert reader.read([message]) == [event]


def test_what_is_read_back_is_what_was_found() -> None:
    """The fact of the event has the numbers of the result, bit by bit."""
    for result in RESULTS:
        fact = facts_of(shadow_event(result).body)
        assert isinstance(fact, ShadowFact)
        for name in ShadowFact._fields:
            told, expected = getattr(fact, name), getattr(result, name)
            is_unknown = isinstance(expected, float) and isnan(expected)
            assert isnan(told) if is_unknown else told == expected, name


def test_same_result_is_the_same_bytes() -> None:
    """A replay writes nothing twice: equal ids, equal bodies."""
    again = tuple(some_results())
    assert shadow_append(again) == shadow_append(RESULTS)


def test_ids_are_uuids_of_version_7_and_differ() -> None:
    """By signal, horizon, time and model; ordered by the time of the event."""
    ids = {}
    for result in RESULTS:
        made = UUID(bytes=result.event_id)
        assert (made.version, made.variant) == (7, "specified in RFC 4122")
        assert int.from_bytes(result.event_id[:6], "big") == result.time_ns // 1_000_000
        what = (result.signal_id, result.age_ns, result.trading_days, result.fill_model)
        ids[result.event_id] = (*what, result.time_ns)
    assert len(ids) == len(set(ids.values()))


def test_append_counts_the_bytes_and_has_no_producer() -> None:
    """The station appends it in its own name."""
    append = shadow_append(RESULTS[:5])
    assert all(isinstance(each, Event) for each in append.events)
    assert append.byte_count == sum(len(shadow_event(each).body) for each in RESULTS[:5])
    assert (append.producer, append.first_seq, append.loss) == (None, 0, None)
    assert {each.kind for each in append.events} == {EventKind.SHADOW_OUTCOME}  # type: ignore[union-attr]
    assert shadow_append([]).events == []


def test_event_tells_when_it_could_be_known() -> None:
    """A day's last price is settled when the day is over: not before it may be used."""
    result = RESULTS[0]._replace(known_ns=RESULTS[0].time_ns + SECOND_NS)
    event = shadow_event(result)
    assert (event.event_time_ns, event.available_time_ns) == (result.time_ns, result.known_ns)
    at_once = shadow_event(result._replace(known_ns=0))
    assert at_once.available_time_ns == result.time_ns
    assert not event_pb2.Event.FromString(at_once.body).HasField("available_time")


@pytest.mark.parametrize("name", ["threshold", "confidence", "quantity", "volatility"])
def test_what_is_not_known_is_absent(name: str) -> None:
    """Never a NaN in an event."""
    names = {"threshold": "applied_threshold", "confidence": "confidence_used"}
    field = {**names, "volatility": "realized_volatility"}.get(name, name)
    for value in (nan, 0.5):
        event = shadow_event(ShadowResult(**{**RESULTS[0]._asdict(), name: value}))
        outcome = event_pb2.Event.FromString(event.body).shadow_outcome.outcome
        assert outcome.HasField(field) == (value == 0.5)


def test_a_markout_that_overflowed_is_left_out() -> None:
    """Prices that no market has would make it infinite: such an event would not be valid."""
    result = next(each for each in some_results() if len(each.markouts) > 1)
    first, *others = result.markouts
    for wrong in (inf, -inf):
        odd = result._replace(markouts=(first._replace(return_fraction=wrong), *others))
        body = event_pb2.Event.FromString(shadow_event(odd).body)
        assert len(body.shadow_outcome.markouts) == len(others)
