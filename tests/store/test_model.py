"""Random histories of appends against a small model: what the store may never get wrong."""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.conftest import Backend
from tests.store.log_events import PRODUCER, an_event, batch, loss, rejected, unary
from trimtab_server.domain.events import Append, Appended, Event, EventFilter, Producer, Rejection
from trimtab_server.domain.reasons import Reason
from trimtab_server.store.store import Store

_PRODUCERS = (PRODUCER, Producer(b"p" * 16, 1, "alpha"))
_LOSS_IDS = 1_000


@dataclass
class Model:
    """A log in a dictionary, producers in two."""

    bodies: dict[bytes, bytes] = field(default_factory=dict)
    sequences: dict[bytes, int] = field(default_factory=dict)
    marks: dict[Producer, int] = field(default_factory=lambda: dict.fromkeys(_PRODUCERS, 0))
    refused: dict[tuple[Producer, int], Reason] = field(default_factory=dict)

    def append(self, wanted: Append) -> list[object]:
        """What must become of each item: a sequence, (sequence,) of a duplicate, or a reason; or
        only a reason when nothing of it is taken."""
        producer = wanted.producer
        if producer is None:
            return [self._settle(item, None, 0) for item in wanted.events]
        mark = self.marks[producer]
        if wanted.first_seq > mark + 1:
            return [Reason.SEQUENCE_GAP]
        if wanted.loss is not None:
            return self._lose(wanted, producer)
        answers: list[object] = []
        for offset, item in enumerate(wanted.events):
            seq = wanted.first_seq + offset
            if seq > mark:
                answers.append(self._settle(item, producer, seq))
                continue
            answer = self._resend(item, producer, seq)
            if answer is Reason.SEQUENCE_REUSED:
                return [answer]
            answers.append(answer)
        self.marks[producer] = max(mark, wanted.first_seq + len(wanted.events) - 1)
        return answers

    def _lose(self, wanted: Append, producer: Producer) -> list[object]:
        assert wanted.loss is not None
        if wanted.loss.last_seq > self.marks[producer]:
            if wanted.loss.first_seq <= self.marks[producer]:
                return [Reason.SEQUENCE_REUSED]
            self.marks[producer] = wanted.loss.last_seq
            return [self._settle(wanted.loss.event, None, 0)]
        return [0]

    def _resend(self, item: Event | Rejection, producer: Producer, seq: int) -> object:
        if isinstance(item, Rejection):
            return self.refused.get((producer, seq), item.reason)
        if self.bodies.get(item.event_id) == item.body:
            return (self.sequences[item.event_id],)
        if (reason := self.refused.get((producer, seq))) is not None:
            return reason
        return Reason.ID_REUSED if item.event_id in self.bodies else Reason.SEQUENCE_REUSED

    def _settle(self, item: Event | Rejection, producer: Producer | None, seq: int) -> object:
        reason = item.reason if isinstance(item, Rejection) else None
        if isinstance(item, Event):
            known = self.bodies.get(item.event_id)
            if known == item.body:
                return (self.sequences[item.event_id],)
            if known is None:
                self.bodies[item.event_id] = item.body
                self.sequences[item.event_id] = len(self.bodies)
                return len(self.bodies)
            reason = Reason.ID_REUSED
        assert reason is not None
        if producer is not None:
            self.refused.setdefault((producer, seq), reason)
        return reason


def _answers(wanted: Append, result: Appended) -> list[object]:
    if result.error_reason is not None:
        return [result.error_reason]
    return [
        result.rejections[i].reason
        if i in result.rejections
        else (sequence,)
        if i in result.duplicates
        else sequence
        for i, sequence in enumerate(result.sequences)
    ]


_ITEMS = st.builds(
    lambda number, twisted: an_event(number, body=b"other-%d" % number if twisted else b""),
    st.integers(1, 12),
    st.integers(0, 4).map(lambda n: n == 0),
) | st.just(rejected())


@st.composite
def _appends(draw: st.DrawFn) -> Append:
    """A unary call, a batch somewhere around the mark, or a loss."""
    items = draw(st.lists(_ITEMS, max_size=5))
    producer = draw(st.sampled_from((None, *_PRODUCERS)))
    if producer is None:
        return unary(*items)
    first_seq = draw(st.integers(1, 5))
    if draw(st.integers(0, 6)) == 0:
        event = an_event(_LOSS_IDS + draw(st.integers(0, 10**9)))
        return loss(first_seq, first_seq + draw(st.integers(0, 3)), event, producer)
    return batch(first_seq, *items, producer=producer)


def _holds(store: Store, model: Model) -> None:
    page = store.events.tail(EventFilter(), 0, 10_000, 1 << 30)
    expected = {model.sequences[event_id]: body for event_id, body in model.bodies.items()}
    assert {event.sequence: event.body for event in page.events} == expected
    assert [event.sequence for event in page.events] == list(range(1, len(expected) + 1))
    assert sum(count.event_count for count in store.events.counts(None, None, None)) == len(
        expected
    )
    for producer, mark in model.marks.items():
        assert store.open_producer(producer) == mark + 1


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(commits=st.lists(st.lists(_appends(), min_size=1, max_size=4), min_size=3, max_size=14))
def test_any_history_of_appends_is_as_the_model_says(
    backend: Backend, commits: list[list[Append]]
) -> None:
    """Duplicates, repeats, impostors, gaps, resends, losses, in one commit or in several: every
    answer and the whole log are those of the model that takes one append at a time."""
    store = backend.open_empty()
    model = Model()
    for producer in _PRODUCERS:
        store.open_producer(producer)
    for appends in commits:
        results = store.append(appends)
        found = [_answers(w, result) for w, result in zip(appends, results, strict=True)]
        assert found == [model.append(wanted) for wanted in appends]
    _holds(store, model)
    store.close()


def test_one_commit_or_many_make_the_same_log(backend: Backend) -> None:
    """How appends are gathered into commits changes no answer and no byte."""
    store, other = backend.open("one"), backend.open("many")
    appends = [unary(an_event(n % 7, body=b"%d" % (n % 3))) for n in range(1, 40)]
    at_once = store.append(appends)
    one_by_one = [other.append([wanted])[0] for wanted in appends]
    assert at_once == one_by_one
    with pytest.raises(AssertionError):
        assert at_once == one_by_one[1:]
