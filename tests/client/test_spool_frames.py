from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_client.spool_frames import HEADER_BYTES, frame, parsed

EVENTS = st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=8)


def written(events: list[bytes], first: int = 1) -> bytes:
    """A file with these events."""
    return b"".join(frame(first + i, event) for i, event in enumerate(events))


@given(EVENTS, st.integers(1, 2**62))
def test_what_was_written_is_read(events: list[bytes], first: int) -> None:
    """Numbers, contents, order."""
    data = written(events, first)
    found = parsed(data)
    assert found.records == [(first + i, event) for i, event in enumerate(events)]
    assert (found.consumed, found.record_end, found.needed) == (len(data), len(data), 0)


@pytest.mark.timeout(60)
@given(EVENTS, st.data())
@settings(max_examples=300, deadline=None)
def test_a_flipped_byte_costs_one_event_and_never_invents_one(
    events: list[bytes], data: st.DataObject
) -> None:
    """Wherever it is: in the header, in the event, in the checksum."""
    whole = written(events)
    position = data.draw(st.integers(0, len(whole) - 1))
    flip = data.draw(st.integers(1, 255))
    broken = bytearray(whole)
    broken[position] ^= flip
    intact = {n: event for n, event in parsed(bytes(broken)).records if event is not None}
    expected = dict(enumerate(events, 1))
    assert intact.items() <= expected.items()
    assert len(intact) == len(events) - 1


@given(EVENTS, st.data())
def test_a_file_cut_off_anywhere_keeps_every_whole_record(
    events: list[bytes], data: st.DataObject
) -> None:
    """A torn write costs what was torn; the rest of a record is awaited, not guessed."""
    whole = written(events)
    cut = data.draw(st.integers(0, len(whole)))
    found = parsed(whole[:cut])
    ends = [len(written(events[: i + 1])) for i in range(len(events))]
    count = sum(end <= cut for end in ends)
    assert found.records == list(enumerate(events, 1))[:count]
    assert found.record_end == found.consumed == (ends[count - 1] if count else 0)
    if cut - found.consumed >= HEADER_BYTES:
        assert found.needed == HEADER_BYTES + len(events[count])


def test_an_event_that_looks_like_a_record_is_an_event() -> None:
    """A header inside an intact event is never looked for."""
    inner = frame(7, b"inside")
    assert parsed(written([inner, b"x"])).records == [(1, inner), (2, b"x")]
