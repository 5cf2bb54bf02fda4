import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.domain.ledgers import a_ledger
from trimtab_server.domain.reports.slices import (
    SliceField,
    attribute_groups,
    combined_groups,
    field_groups,
    number_groups,
)
from trimtab_server.domain.statistics.estimates import FloatArray


def test_fields_tell_signals_apart() -> None:
    """By each field; where it was not told, that is a group too."""
    ledger = a_ledger(
        3, strategy=["a", "", "b"], symbol="X", regime=["calm", "wild", ""], side=[1, -1, 1]
    )

    def names(field: SliceField) -> list[str]:
        groups = field_groups(ledger, field)
        return [groups.names[code] for code in groups.codes]

    assert names(SliceField.STRATEGY) == ["a", "no strategy", "b"]
    assert names(SliceField.SYMBOL) == ["X"] * 3
    assert names(SliceField.REGIME) == ["calm", "wild", "no regime"]
    assert names(SliceField.SIDE) == ["buy", "sell", "buy"]
    assert names(SliceField.SOURCE) == ["no source"] * 3
    assert field_groups(ledger, SliceField.STRATEGY).by_strategy
    assert not field_groups(ledger, SliceField.SYMBOL).by_strategy


def test_readings_are_cut_at_their_quantiles() -> None:
    """Four bins of about equal counts, named by their edges; what was not told stands apart."""
    groups = number_groups("rsi", np.array([10.0, 20, 30, 40, 50, 60, 70, 80, np.nan]))
    counts = np.bincount(groups.codes, minlength=len(groups.names))
    assert groups.names == (
        "rsi 10 to 30",
        "rsi 30 to 50",
        "rsi 50 to 70",
        "rsi 70 to 80",
        "rsi not told",
    )
    assert counts.tolist() == [2, 2, 2, 2, 1]


def test_equal_readings_make_fewer_bins() -> None:
    """One value makes one bin; no value at all makes none."""
    assert number_groups("x", np.full(9, 3.0)).names == ("x 3", "x not told")
    assert number_groups("x", np.full(9, np.nan)).names == ("x not told",)
    with pytest.raises(ValueError, match="bin_count"):
        number_groups("x", np.ones(3), 1)


@given(
    arrays(np.float64, st.integers(0, 50), elements=st.floats(allow_infinity=True)),
    st.integers(2, 20),
)
def test_every_reading_falls_into_a_bin_with_a_name_of_its_own(
    values: FloatArray, bin_count: int
) -> None:
    """Any numbers: codes are positions of names, names differ, at most the bins asked for."""
    groups = number_groups("x", values, bin_count)
    assert groups.codes.size == values.size
    assert len(set(groups.names)) == len(groups.names) <= bin_count + 1
    assert np.all((groups.codes >= 0) & (groups.codes < len(groups.names)))


def test_combinations_are_those_that_occur() -> None:
    """Two ways to tell apart make a line for each pair that some signal has."""
    ledger = a_ledger(4, symbol=["A", "A", "B", "B"])
    by_symbol = field_groups(ledger, SliceField.SYMBOL)
    by_mood = attribute_groups("mood", np.array([1, 1, 1, 0], dtype=np.int32), ("", "good"))
    both = combined_groups([by_symbol, by_mood])
    assert both.names == ("A, mood good", "B, mood not told", "B, mood good")
    assert both.codes.tolist() == [0, 0, 2, 1]
    assert combined_groups([by_symbol]) is by_symbol
    with pytest.raises(ValueError, match="slices must be 1 to 3"):
        combined_groups([])
    with pytest.raises(ValueError, match="slices must be 1 to 3"):
        combined_groups([by_symbol] * 4)
