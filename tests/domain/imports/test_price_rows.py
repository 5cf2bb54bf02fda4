import pytest

from trimtab_server.domain.imports.price_rows import (
    PriceRow,
    bar_intervals,
    price_mapping,
    price_row,
)
from trimtab_server.domain.imports.trade_columns import Cell
from trimtab_server.domain.imports.trade_rows import Problem

DAY_NS = 86_400_000_000_000
HEADER = ["Date", "Open", "High", "Low", "Close", "Volume"]
GOOD: dict[str, Cell] = {
    "Date": "2024-01-02", "Open": 10, "High": 12, "Low": 9, "Close": 11, "Volume": "1,000",
}  # fmt: skip


def read(**cells: Cell) -> PriceRow | list[Problem]:
    """A row of a usual file, changed."""
    return price_row(GOOD | cells, price_mapping(HEADER), 2, "AAPL")


def test_a_usual_file_is_understood() -> None:
    """Date, OHLC and volume in any case; the symbol is the file's."""
    made = read()
    assert isinstance(made, PriceRow)
    assert made == PriceRow(2, "AAPL", 1_704_153_600_000_000_000, 10, 12, 9, 11, 1000, None)


def test_what_is_missing_may_be_missing() -> None:
    """A close alone is a bar; a column for the symbol wins over the file's name."""
    mapping = price_mapping(["ts", "close", "ticker"])
    made = price_row({"ts": 1_704_153_600, "close": 5, "ticker": "X"}, mapping, 3, "AAPL")
    assert isinstance(made, PriceRow)
    assert (made.symbol, made.open, made.close) == ("X", None, 5.0)
    with pytest.raises(ValueError, match="no column for time and close"):
        price_mapping(["open"])


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"Close": "abc"}, "Close: 'abc' is not a number"),
        ({"Close": ""}, "no close"),
        ({"Close": -1}, "not above zero"),
        ({"Date": "yesterday"}, "is not a time"),
        ({"High": 10.5}, "high: 10.5 lies below another price"),
        ({"Low": 10.5}, "low: 10.5 lies above another price"),
    ],
)
def test_bad_rows_are_told(cells: dict[str, Cell], words: str) -> None:
    """With line and column."""
    made = read(**cells)
    assert isinstance(made, list)
    assert any(words in str(problem) and problem.line == 2 for problem in made)


def test_the_length_of_a_bar_follows_from_the_bars() -> None:
    """The most frequent distance: weekends and holes do not disturb it; one bar says nothing."""
    days = [0, 1, 2, 3, 4, 7, 8, 9, 20]
    bars = [PriceRow(1, "A", day * DAY_NS, None, None, None, 1.0, None, None) for day in days]
    bars.append(bars[0]._replace(symbol="B"))
    assert bar_intervals(reversed(bars)) == {"A": DAY_NS}
