"""A log outlives the version that wrote it."""

from tests.store.conftest import Backend
from tests.store.log_events import PRODUCER, an_event, batch, rejected, unary
from trimtab.v1 import event_pb2
from trimtab_server.rpc.convert import same_content

# Field 25 of the envelope is free: to this version it is what a later one knows.
_LATER_FIELD = b"\xca\x01\x03new"


def _bodies() -> tuple[bytes, bytes]:
    """One event as two versions write it: the unknown field last, and in its place."""
    first = event_pb2.Event(source="alpha").SerializeToString()
    second = event_pb2.Event(signal=event_pb2.Signal(strength=1.0)).SerializeToString()
    return first + second + _LATER_FIELD, first + _LATER_FIELD + second


def test_a_resend_across_an_upgrade_is_a_duplicate(backend: Backend) -> None:
    """The same event in other bytes is the same event; other content is still refused."""
    log = backend.open(same_content=same_content)
    stored, resent = _bodies()
    assert stored != resent
    log.append([unary(an_event(1, body=stored))])
    again, other = log.append(
        [unary(an_event(1, body=resent)), unary(an_event(1, body=resent[:-3] + b"old"))]
    )
    assert (again.sequences, again.duplicates) == ([1], {0})
    assert list(other.rejections) == [0]
    log.close()


def test_a_stored_number_that_todays_rules_refuse_is_a_duplicate(backend: Backend) -> None:
    """It was stored under other rules; one that was refused before stays refused."""
    log = backend.open()
    log.open_producer(PRODUCER)
    stored = an_event(1)
    log.append([batch(1, stored, rejected("00000000-0000-0000-0000-000000000063"))])
    refused_now = rejected("00000000-0000-0000-0000-000000000001")
    (result,) = log.append(
        [batch(1, refused_now, rejected("00000000-0000-0000-0000-000000000001"))]
    )
    assert (result.sequences[0], result.duplicates) == (1, {0})
    assert list(result.rejections) == [1]
    log.close()
