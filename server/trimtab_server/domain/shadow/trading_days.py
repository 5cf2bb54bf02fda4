"""Trading days of named calendars: which days count, and when a day ends.

A day is a date in the calendar's zone; a moment belongs to the day that it ends or lies in, so a
bar that closes at midnight belongs to the day that is over.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

_NS = 1_000_000_000
_FIRST_YEAR, _LAST_YEAR = 1970, 2300
COUNT_MAX = 25_000
"""More trading days (a hundred years) count as so many."""
_ONE_DAY = timedelta(days=1)
_EPOCH = date(1970, 1, 1).toordinal()
# Days on which the New York Stock Exchange stayed closed out of turn, since 1990.
_NYSE_CLOSURES = (
    date(1994, 4, 27),
    *(date(2001, 9, day) for day in (11, 12, 13, 14)),
    date(2004, 6, 11),
    date(2007, 1, 2),
    *(date(2012, 10, day) for day in (29, 30)),
    date(2018, 12, 5),
    date(2025, 1, 9),
)


class TradingCalendar:
    """Days on which a market trades. zone: in which days begin and end. weekmask: "1111100" = from
    Monday to Friday, without the holidays."""

    def __init__(self, name: str, zone: tzinfo, weekmask: str, holidays: list[date]) -> None:
        self.name = name
        self._zone = zone
        told = np.array(holidays, dtype="datetime64[D]")
        self._days = np.busdaycalendar(weekmask=weekmask, holidays=told)
        # Both remember days that are asked for again with every entry.
        self._end = lru_cache(maxsize=8_192)(self._found_end)
        self._later = lru_cache(maxsize=65_536)(self._found_later)

    def is_trading_day(self, day: date) -> bool:
        """Whether the market trades on that date."""
        return bool(np.is_busday(np.datetime64(day, "D"), busdaycal=self._days))

    def day(self, time_ns: int) -> int:
        """The day (a date's ordinal) to which a moment belongs: midnight is the end of the day
        before."""
        seconds = (time_ns - 1) // _NS
        return datetime.fromtimestamp(seconds, self._zone).toordinal()

    def bounds(self, day: int, count: int) -> tuple[int, int]:
        """(begin, end) in nanoseconds UTC of the `count`-th trading day (>= 1) after this day (an
        ordinal, which may itself be no trading day). Of it are moments after begin, up to end."""
        later = self._later(day, min(count, COUNT_MAX))
        return self._end(later - 1), self._end(later)

    def _found_later(self, day: int, count: int) -> int:
        start = np.datetime64(day - _EPOCH, "D")
        found = np.busday_offset(start, count, roll="backward", busdaycal=self._days)
        return int(found.astype(np.int64)) + _EPOCH

    def _found_end(self, ordinal: int) -> int:
        midnight = datetime.combine(date.fromordinal(ordinal) + _ONE_DAY, time(), self._zone)
        return int(midnight.timestamp()) * _NS


def trading_calendar(name: str) -> TradingCalendar:
    """The calendar of that name. Raises KeyError for a name that is none of CALENDARS."""
    return _made(name)


@lru_cache(maxsize=16)
def _made(name: str) -> TradingCalendar:
    return _MAKERS[name]()


def nyse_holidays(year: int) -> list[date]:
    """Weekdays of a year on which the New York Stock Exchange does not trade, in order: its rules
    since 1990 (earlier years by the same rules) and closures out of turn."""
    found = [
        _monday(year, 2, 3),
        good_friday(year),
        _last_monday(year, 5),
        _observed(date(year, 7, 4)),
        _monday(year, 9, 1),
        _nth_weekday(year, 11, 3, 4),
        _observed(date(year, 12, 25)),
    ]
    new_year = date(year, 1, 1)
    # On a Saturday it is not kept on the Friday, which closes the year's books.
    if new_year.weekday() != 5:
        found.append(_observed(new_year))
    if year >= 1998:
        found.append(_monday(year, 1, 3))
    if year >= 2022:
        found.append(_observed(date(year, 6, 19)))
    found += [day for day in _NYSE_CLOSURES if day.year == year]
    return sorted(found)


def good_friday(year: int) -> date:
    """Two days before Easter of the Gregorian calendar (Anonymous algorithm, Nature 1876)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    shift = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * shift) // 451
    month, day = divmod(h + shift - 7 * m + 114, 31)
    return date(year, month, day + 1) - 2 * _ONE_DAY


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


def _monday(year: int, month: int, nth: int) -> date:
    return _nth_weekday(year, month, 0, nth)


def _last_monday(year: int, month: int) -> date:
    fifth = _monday(year, month, 5)
    return fifth if fifth.month == month else fifth - timedelta(days=7)


def _observed(day: date) -> date:
    """Saturday's holiday is kept on Friday, Sunday's on Monday."""
    return day + timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0))


def _nyse() -> TradingCalendar:
    holidays = [day for year in range(_FIRST_YEAR, _LAST_YEAR) for day in nyse_holidays(year)]
    return TradingCalendar("XNYS", ZoneInfo("America/New_York"), "1111100", holidays)


_MAKERS: dict[str, Callable[[], TradingCalendar]] = {
    "XNYS": _nyse,
    "weekdays": lambda: TradingCalendar("weekdays", UTC, "1111100", []),
    "24/7": lambda: TradingCalendar("24/7", UTC, "1111111", []),
}
CALENDARS = tuple(_MAKERS)
"""Names of the calendars that there are."""
