import importlib.util
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from trimtab_server.demo.prices import (
    WARM_UP_DAYS,
    PricesUnavailableError,
    Series,
    hvsampledata_apple,
    load_market,
    package_file,
    skfolio_closes,
    splice,
)


def test_the_packages_hold_what_the_demo_says() -> None:
    """20 symbols to 2022-12-28 without a hole, AAPL with volume to 2024-12-30."""
    closes, apple = skfolio_closes(), hvsampledata_apple()
    assert len(closes.columns) == 20
    assert date.fromordinal(int(closes.days[-1])) == date(2022, 12, 28)
    assert all(np.all(values > 0) for values in closes.columns.values())
    assert date.fromordinal(int(apple.days[-1])) == date(2024, 12, 30)
    assert set(apple.columns) == {"open", "high", "low", "close", "volume", "adj_close"}


def test_the_two_apples_are_one_series() -> None:
    """Constant ratio, daily returns within 0.03 %; the joint is no jump."""
    apple, ratio, worst = splice(skfolio_closes(), "AAPL", hvsampledata_apple())
    assert ratio == pytest.approx(1.01, abs=0.0005)
    assert worst < 0.0003
    joint = int(np.searchsorted(apple.days, date(2019, 1, 2).toordinal()))
    step = np.log(apple.columns["close"][joint] / apple.columns["close"][joint - 1])
    # skfolio's own return of that day.
    closes = skfolio_closes()
    k = int(np.searchsorted(closes.days, date(2019, 1, 2).toordinal()))
    theirs = np.log(closes.columns["AAPL"][k] / closes.columns["AAPL"][k - 1])
    assert step == pytest.approx(theirs, abs=5e-4)


def test_bars_are_consistent_after_the_adjustment() -> None:
    """Low <= close <= high for every adjusted AAPL bar that has them."""
    market = load_market(["AAPL"])
    detail = market.detail["AAPL"]
    known = np.isfinite(detail["high"])
    close = market.close[:, 0]
    assert np.all(close[known] <= detail["high"][known] * 1.001)
    assert np.all(close[known] >= detail["low"][known] * 0.999)


def test_different_instruments_are_not_spliced() -> None:
    """A series that moves otherwise, or hardly overlaps, is refused."""
    days = np.arange(100, dtype=np.int64)
    rng = np.random.default_rng(1)
    one = Series(days, {"X": np.exp(np.cumsum(rng.normal(0, 0.01, 100)))})
    prices = np.exp(np.cumsum(rng.normal(0, 0.01, 100)))
    names = ("open", "high", "low", "close", "adj_close", "volume")
    other = Series(days, dict.fromkeys(names, prices))
    with pytest.raises(PricesUnavailableError, match="differ by"):
        splice(one, "X", other)
    with pytest.raises(PricesUnavailableError, match="share only"):
        splice(one, "X", Series(days + 95, other.columns))


def test_the_market_starts_with_its_warm_up_and_ends_where_asked() -> None:
    """History before the first day for the strategies, nothing after the last, days increasing."""
    market = load_market(["msft", "AAPL"], date(2020, 1, 1), date(2020, 6, 30))
    assert market.symbols == ("MSFT", "AAPL")
    assert market.first == WARM_UP_DAYS
    assert date.fromordinal(int(market.days[market.first])) == date(2020, 1, 2)
    assert date.fromordinal(int(market.days[-1])) == date(2020, 6, 30)
    assert np.all(np.diff(market.days) > 0)
    assert any("Survivorship" in note for note in market.notes)


def test_what_is_not_there_is_told() -> None:
    """An unknown symbol names the known ones; a range without bars names the range."""
    with pytest.raises(ValueError, match="no prices of TSLA; there are: AAPL"):
        load_market(["TSLA"])
    with pytest.raises(ValueError, match="no bars between"):
        load_market([], date(2030, 1, 1), date(2030, 2, 1))
    with pytest.raises(ValueError, match="no bars between"):
        load_market(["MSFT"], date(2023, 6, 1), date(2023, 7, 1))


def test_a_missing_package_is_a_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the message says what to install, with no traceback of an import."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(PricesUnavailableError, match=r"pip install 'trimtab\[demo\]'"):
        load_market()


def test_the_packages_are_never_imported() -> None:
    """Files are located, not imported: skfolio would bring scikit-learn, plotly and pandas."""
    assert package_file("skfolio", "datasets/data/sp500_dataset.csv.gz").is_file()
    assert isinstance(package_file("hvsampledata", "_data/apple_stocks.csv"), Path)
    assert "hvsampledata" not in sys.modules
    assert "skfolio" not in sys.modules


def test_closes_are_stamped_at_one_hour_of_their_day() -> None:
    """21:00 UTC, at or after the close of New York in summer and in winter."""
    market = load_market(["AAPL"], date(2020, 1, 2), date(2020, 1, 10))
    assert market.close_time_ns(market.first) == 1_577_998_800_000_000_000


def test_most_symbols_decide_which_days_are_judged() -> None:
    """19 of 20 series end on 2022-12-28; of a market that holds one symbol alone, all days are."""
    market = load_market()
    assert market.day(market.judged - 1).isoformat() == "2022-12-28"
    assert market.day(-1).isoformat() == "2024-12-30"
    late = load_market(start=date(2023, 1, 1))
    assert late.judged == late.days.size
