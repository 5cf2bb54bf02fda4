"""Trading days against what the New York Stock Exchange published."""

from datetime import UTC, date, datetime, timedelta

import pytest

from trimtab_server.domain.shadow.trading_days import (
    CALENDARS,
    good_friday,
    nyse_holidays,
    trading_calendar,
)

DAY_NS = 86_400 * 10**9


def instant(year: int, month: int, day: int, hour: int = 0) -> int:
    """Nanoseconds UTC."""
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    "day",
    [
        *(date(2001, 9, 11), date(2001, 9, 14), date(2004, 6, 11), date(2007, 1, 2)),
        *(date(2012, 10, 29), date(2012, 10, 30), date(2018, 12, 5), date(2025, 1, 9)),
        *(date(2022, 6, 20), date(2023, 6, 19), date(1998, 1, 19), date(1994, 4, 27)),
        *(date(2021, 12, 24), date(2015, 7, 3), date(2010, 7, 5), date(2023, 1, 2)),
        *(date(2008, 3, 21), date(2019, 4, 19), date(2024, 3, 29), date(2024, 11, 28)),
    ],
)
def test_exchange_stays_closed_on_its_holidays(day: date) -> None:
    """Rules, days that they move to, and closures out of turn."""
    assert not trading_calendar("XNYS").is_trading_day(day)
    assert day in nyse_holidays(day.year)


@pytest.mark.parametrize(
    "day",
    [
        *(date(2021, 6, 18), date(2020, 6, 19), date(1997, 1, 20), date(2021, 12, 31)),
        *(date(2010, 12, 31), date(2012, 10, 31), date(2025, 1, 10), date(2024, 11, 29)),
        *(date(2001, 9, 17), date(2018, 12, 6), date(2024, 10, 14), date(2024, 11, 11)),
    ],
)
def test_exchange_trades_on_days_that_look_like_holidays(day: date) -> None:
    """No Juneteenth before 2022, no Friday for a Saturday's New Year, no bank holidays."""
    assert trading_calendar("XNYS").is_trading_day(day)


@pytest.mark.parametrize(
    ("year", "count"),
    [(1999, 252), (2001, 248), (2012, 250), (2018, 251), (2020, 253), (2022, 251), (2024, 252)],
)
def test_years_have_as_many_trading_days_as_there_were(year: int, count: int) -> None:
    """The exchange's own counts."""
    days = (date(year, 1, 1) + timedelta(days=each) for each in range(366))
    calendar = trading_calendar("XNYS")
    assert sum(calendar.is_trading_day(day) for day in days if day.year == year) == count


def test_good_friday_is_two_days_before_easter() -> None:
    """Known dates of two centuries."""
    known = [date(1999, 4, 2), date(2000, 4, 21), date(2038, 4, 23), date(2100, 3, 26)]
    assert [good_friday(day.year) for day in known] == known


def test_day_belongs_to_the_calendars_zone_and_midnight_to_the_day_before() -> None:
    """A bar that closes at 21:00 UTC belongs to New York's day; one at midnight UTC, where days
    end then, to the day that it closes."""
    new_york, always = trading_calendar("XNYS"), trading_calendar("24/7")
    friday = date(2024, 7, 5).toordinal()
    assert new_york.day(instant(2024, 7, 5, 21)) == friday
    assert new_york.day(instant(2024, 7, 6, 3)) == friday
    assert new_york.day(instant(2024, 7, 6, 4)) == friday
    assert new_york.day(instant(2024, 7, 6, 4) + 1) == friday + 1
    assert always.day(instant(2024, 7, 6)) == friday


def test_days_after_skip_weekends_and_holidays() -> None:
    """From Wednesday, 3 July 2024: the first trading day after is Friday, the second Monday."""
    calendar, wednesday = trading_calendar("XNYS"), date(2024, 7, 3).toordinal()
    begin, end = calendar.bounds(wednesday, 1)
    assert (begin, end) == (instant(2024, 7, 5, 4), instant(2024, 7, 6, 4))
    assert calendar.bounds(wednesday, 2)[1] == instant(2024, 7, 9, 4)
    # Thursday is a holiday: its first trading day is Friday all the same.
    assert calendar.bounds(wednesday + 1, 1) == (begin, end)
    # The clocks change on 10 March 2024: the day has 23 hours.
    begin, end = trading_calendar("XNYS").bounds(date(2024, 3, 8).toordinal(), 1)
    assert (begin, end) == (instant(2024, 3, 11, 4), instant(2024, 3, 12, 4))


def test_other_calendars_know_weekends_or_nothing() -> None:
    """From a Friday the next weekday is Monday, the next day Saturday; years are no limit."""
    friday = date(2024, 7, 5).toordinal()
    assert trading_calendar("weekdays").bounds(friday, 1)[1] == instant(2024, 7, 9)
    assert trading_calendar("24/7").bounds(friday, 1)[1] == instant(2024, 7, 7)
    for name in CALENDARS:
        begin, end = trading_calendar(name).bounds(friday, 10**9)
        assert DAY_NS - 3_600 * 10**9 <= end - begin <= DAY_NS + 3_600 * 10**9
    with pytest.raises(KeyError):
        trading_calendar("XNOWHERE")
