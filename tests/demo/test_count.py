from collections.abc import Callable
from itertools import count as numbers

import pytest

from trimtab_client import Client, EventBuilder, FakeSidecar
from trimtab_server.demo.count import (
    Stored,
    content_digest,
    independent_count,
    stored_events,
)

ACCEPTED = ["a", "b", "c", "d"]


def log(ids: str) -> list[Stored]:
    """A log of these one-letter ids, each with its own content."""
    return [Stored(k, one, f"content {one}") for k, one in enumerate(ids, start=1)]


def test_a_whole_log_is_clean() -> None:
    """All there, once, in order: the line begins as the demo promises."""
    found = independent_count(ACCEPTED, log("abcd"))
    assert found.is_clean
    told = "0 lost, 0 doubled (4 accepted by the engine, 4 of them in the log"
    assert found.line.startswith(told)


@pytest.mark.parametrize(
    ("doctored", "lost", "doubled", "foreign", "misplaced"),
    [
        ("abd", 1, 0, 0, 0),
        ("", 4, 0, 0, 0),
        ("abccd", 0, 1, 0, 0),
        ("abcdx", 0, 0, 1, 0),
        ("abdc", 0, 0, 0, 1),
        ("dabc", 0, 0, 0, 3),
        ("aab", 2, 1, 0, 0),
    ],
)
def test_a_doctored_log_is_caught(
    doctored: str, lost: int, doubled: int, foreign: int, misplaced: int
) -> None:
    """The count can fail: a removed, doubled, foreign or misplaced event is told as such."""
    found = independent_count(ACCEPTED, log(doctored))
    assert (found.lost_count, found.doubled_count, found.foreign_count, found.misplaced_count) == (
        lost, doubled, foreign, misplaced,
    )  # fmt: skip
    assert not found.is_clean
    assert found.line.startswith(f"{lost} lost, {doubled} doubled")


def test_the_same_content_under_another_id_is_doubled() -> None:
    """A resend that got a new id is a double, even though no id occurs twice."""
    twin = [*log("abcd"), Stored(5, "e", "content d")]
    found = independent_count([*ACCEPTED, "e"], twin)
    assert found.doubled_count == 1


def test_content_is_without_what_the_server_added() -> None:
    """Sequence, ingest time and id do not count; any other field does."""
    builder = EventBuilder(source="x", environment="BACKTEST", run_id="r")
    one = builder.bar(symbol="A", interval_s=60, close=1.0, event_time_ns=5)
    two = builder.bar(symbol="A", interval_s=60, close=1.0, event_time_ns=5)
    two.sequence = 9
    two.ingest_time.seconds = 7
    assert one.event_id != two.event_id
    assert content_digest(one) == content_digest(two)
    two.market_bar.close = 2.0
    assert content_digest(one) != content_digest(two)


@pytest.mark.parametrize("break_it", [None, lambda ids: ids.pop(3)])
def test_counting_a_sidecar(break_it: Callable[[list[str]], object] | None) -> None:
    """Against a served log: clean as it is, one foreign event when the engine's list lacks it."""
    with FakeSidecar() as fake, Client(fake.address) as client:
        accepted: list[str] = []
        clock = numbers(1)
        for run in ("r-baseline", "r-filtered"):
            builder = EventBuilder(source="x", environment="BACKTEST", run_id=run)
            events = [
                builder.bar(symbol="A", interval_s=60, close=1.0, event_time_ns=next(clock))
                for _ in range(5)
            ]
            client.record_events(events)
            accepted += [event.event_id for event in events]
        if break_it is not None:
            break_it(accepted)
        found = independent_count(
            accepted, stored_events(client, "x", ["r-filtered", "r-baseline"])
        )
    assert found.stored_count == 10
    assert found.is_clean == (break_it is None)
    assert found.foreign_count == (0 if break_it is None else 1)
