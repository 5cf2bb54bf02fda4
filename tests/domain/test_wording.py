import pytest

from trimtab_server.domain.wording import (
    OUTCOMES_TOLD_MAX,
    UNKNOWN,
    duration_text,
    outcomes_text,
    plural,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2.5 * 86_400, "2.5 d"),
        (36 * 3_600, "36 h"),
        (5_400, "90 min"),
        (2_880, "48 min"),
        (2, "2 s"),
        (0.25, "250 ms"),
        (7e-9, "7 ns"),
        (0, "0 s"),
        (-90, "-90 s"),
        (None, UNKNOWN),
        (float("inf"), UNKNOWN),
    ],
)
def test_durations_are_told_in_fitting_units(seconds: float | None, text: str) -> None:
    """Days, hours, minutes, seconds and less; never a power of ten, never a nan."""
    assert duration_text(seconds) == text


def test_one_of_a_thing_is_singular() -> None:
    """One trade, two trades, thousands with a separator, odd plurals as told."""
    assert plural(1, "trade") == "1 trade"
    assert plural(0, "trade") == "0 trades"
    assert plural(2_000, "strategy", "strategies") == "2,000 strategies"


def test_absurd_numbers_of_outcomes_are_more_than_a_million() -> None:
    """Up to a million the number itself, beyond it no number that nobody could wait for."""
    assert outcomes_text(1) == "about 1 more outcome"
    assert outcomes_text(OUTCOMES_TOLD_MAX) == "about 1,000,000 more outcomes"
    assert outcomes_text(312_456_789) == "more than a million more outcomes"
