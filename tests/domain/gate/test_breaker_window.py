"""What a window reads, against the same read afresh from its entries."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_server.domain.gate.breaker_window import ENTRIES_MAX, Window
from trimtab_server.domain.gate.signal_gate import BreakerKind

KINDS = [BreakerKind.EXECUTION_FAILURES, BreakerKind.CONSECUTIVE_LOSSES, BreakerKind.DRAWDOWN]


def _read_afresh(kind: BreakerKind, values: list[float]) -> float:
    if kind is BreakerKind.DRAWDOWN:
        sums = [0, *accumulate(round(value * 1e12) for value in values)]
        return (max(sums) - sums[-1]) / 1e12
    if kind is BreakerKind.CONSECUTIVE_LOSSES:
        return float(len(values))
    return sum(values) / len(values) if values else 0.0


@given(
    st.sampled_from(KINDS),
    st.lists(st.tuples(st.integers(-3, 10), st.floats(-1, 1), st.integers(0, 30)), max_size=80),
)
def test_a_reading_is_that_of_the_entries(
    kind: BreakerKind, steps: list[tuple[int, float, int]]
) -> None:
    """Whatever came, in whatever order of time, and whatever has gone since."""
    window, at = Window(kind, ()), 100
    for step, value, age in steps:
        at += step
        window.add(at, value if kind is BreakerKind.DRAWDOWN else float(value < 0))
        window.forget_before(at - age)
        entries = window.entries()
        assert window.reading() == _read_afresh(kind, [value for _, value in entries])
        assert list(entries) == sorted(entries, key=lambda entry: entry[0])
        assert all(time_ns >= at - age for time_ns, _ in entries)
        again = Window(kind, entries)
        assert (again.entries(), again.reading()) == (entries, window.reading())


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_never_holds_more_than_its_limit(kind: BreakerKind) -> None:
    """Beyond 1,000 the oldest go, and the reading is that of the rest."""
    window = Window(kind, ())
    for at in range(3 * ENTRIES_MAX):
        window.add(at, -0.001 * (at % 7) if kind is BreakerKind.DRAWDOWN else 1.0)
    entries = window.entries()
    assert [time_ns for time_ns, _ in entries] == list(range(2 * ENTRIES_MAX, 3 * ENTRIES_MAX))
    assert window.reading() == _read_afresh(kind, [value for _, value in entries])


def test_a_win_ends_a_run_of_losses() -> None:
    """Only the losses since the last win are kept."""
    window = Window(BreakerKind.CONSECUTIVE_LOSSES, ())
    for at, value in enumerate([1.0, 1.0, 0.0, 1.0]):
        window.add(at, value)
    assert window.entries() == ((3, 1.0),)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (BreakerKind.EXECUTION_FAILURES, "2 of 3 orders failed within 60 s"),
        (BreakerKind.LOSS_RATE, "2 of 3 outcomes lost within 60 s"),
        (BreakerKind.CONSECUTIVE_LOSSES, "1 losses in a row within 60 s"),
        (BreakerKind.DRAWDOWN, "returns fell by 0 within 60 s"),
    ],
)
def test_the_words_tell_what_was_measured(kind: BreakerKind, words: str) -> None:
    """For a person: what, how much, in which time, and what is allowed."""
    window = Window(kind, [(1, 1.0), (2, 0.0), (3, 1.0)])
    assert window.words(0.5, 60).startswith(words)
    assert window.words(0.5, 60).endswith("0.5")
