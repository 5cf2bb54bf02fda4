"""Seconds of open market, against a count minute by minute."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_server.domain.gate.market_hours import MarketHours, open_seconds

NEW_YORK = ZoneInfo("America/New_York")
STOCKS = MarketHours(
    NEW_YORK, time(9, 30), time(16), holidays=(date(2024, 7, 4), date(2024, 12, 25))
)
# Sunday to Thursday evening, each until the next afternoon.
FUTURES = MarketHours(ZoneInfo("America/Chicago"), time(17), time(16), days=(0, 1, 2, 3, 6))
ZONES = ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")
MINUTE = timedelta(minutes=1)
YEAR_NS = 365 * 86_400 * 10**9


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9


def _at(zone: ZoneInfo, *told: int) -> int:
    return _ns(datetime(*told, tzinfo=zone))  # type: ignore[arg-type,misc]


def _minutes_counted(hours: MarketHours, start: datetime, end: datetime) -> int:
    """Whole minutes that lie within the session of their day or of the day before."""
    count, at = 0, start
    sessions: dict[date, tuple[datetime, datetime] | None] = {}
    while at < end:
        today = at.astimezone(hours.zone).date()
        for day in (today - timedelta(days=1), today):
            if day not in sessions:
                sessions[day] = _session(hours, day)
            bounds = sessions[day]
            count += bounds is not None and bounds[0] <= at < bounds[1]
        at += MINUTE
    return count


def _session(hours: MarketHours, day: date) -> tuple[datetime, datetime] | None:
    if day.weekday() not in hours.days or day in hours.holidays:
        return None
    last = day + timedelta(days=hours.close_time <= hours.open_time)
    opens = datetime.combine(day, hours.open_time, tzinfo=hours.zone).astimezone(UTC)
    return opens, datetime.combine(last, hours.close_time, tzinfo=hours.zone).astimezone(UTC)


def test_without_hours_the_market_is_always_open() -> None:
    """Time is then simply time, and never negative."""
    assert open_seconds(None, 5 * 10**9, 8 * 10**9) == 3.0
    assert open_seconds(None, 8, 5) == open_seconds(STOCKS, 8, 5) == 0.0


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ((2024, 7, 3, 15, 0), (2024, 7, 3, 15, 1), 1 / 60),
        ((2024, 7, 3, 15, 0), (2024, 7, 5, 10, 0), 1.5),  # over a holiday
        ((2024, 7, 5, 15, 0), (2024, 7, 8, 10, 0), 1.5),  # over a weekend
        ((2024, 3, 8, 9, 30), (2024, 3, 12, 0, 0), 13.0),  # over the change of the clocks
        ((2024, 7, 6, 0, 0), (2024, 7, 8, 9, 30), 0.0),
    ],
)
def test_a_stock_market(start: tuple[int, ...], end: tuple[int, ...], hours: float) -> None:
    """Nights, weekends and holidays do not count."""
    found = open_seconds(STOCKS, _at(NEW_YORK, *start), _at(NEW_YORK, *end))
    assert found == pytest.approx(hours * 3_600)


def test_an_overnight_session_has_the_hour_that_the_clocks_add_or_take() -> None:
    """Open on Saturday evening, closed on Sunday morning: 8, 7 and 9 hours."""
    night = MarketHours(NEW_YORK, time(22), time(6), days=(5,))
    for day, hours in ((date(2024, 6, 8), 8), (date(2024, 3, 9), 7), (date(2024, 11, 2), 9)):
        start = _ns(datetime.combine(day, time(12), tzinfo=NEW_YORK))
        assert open_seconds(night, start, start + 86_400 * 10**9) == hours * 3_600


def test_the_session_of_friday_evening_is_not_there_and_that_of_sunday_is() -> None:
    """A session belongs to the day on which it opens."""
    zone = ZoneInfo("America/Chicago")
    assert open_seconds(FUTURES, _at(zone, 2024, 6, 7, 12), _at(zone, 2024, 6, 9, 18)) == 5 * 3_600


HOURS = st.builds(
    MarketHours,
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    open_time=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    close_time=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    days=st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    holidays=st.sets(st.dates(date(2024, 1, 1), date(2024, 12, 31)), max_size=20).map(
        lambda days: tuple(sorted(days))
    ),
)


@settings(max_examples=60, deadline=None)
@given(HOURS, st.integers(0, 366 * 1440), st.integers(0, 40 * 1440))
def test_the_seconds_are_those_of_the_minutes_counted(
    hours: MarketHours, offset: int, length: int
) -> None:
    """Any zone, days, holidays and change of the clocks, up to forty days."""
    start = datetime(2024, 1, 1, tzinfo=UTC) + offset * MINUTE
    end = start + length * MINUTE
    counted = _minutes_counted(hours, start, end)
    assert open_seconds(hours, _ns(start), _ns(end)) == counted * 60


@settings(max_examples=100, deadline=None)
@given(HOURS, st.integers(0, 3 * YEAR_NS), st.lists(st.integers(0, YEAR_NS // 30), max_size=40))
def test_a_gap_is_the_sum_of_its_parts(hours: MarketHours, start: int, steps: list[int]) -> None:
    """Whole weeks counted, or session by session: the same, to the nanosecond's rounding."""
    base = _ns(datetime(2023, 1, 1, tzinfo=UTC)) + start
    total, at = 0.0, base
    for step in steps:
        total += open_seconds(hours, at, at + step)
        at += step
    assert open_seconds(hours, base, at) == pytest.approx(total, abs=1e-3)


def test_ten_years_are_counted_without_looking_at_each_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A feed that is long dead costs no more than a few dozen sessions and a look at each week."""
    looked = 0
    session = MarketHours.session

    def counting(hours: MarketHours, ordinal: int) -> tuple[int, int] | None:
        nonlocal looked
        looked += 1
        return session(hours, ordinal)

    monkeypatch.setattr(MarketHours, "session", counting)
    start = _at(NEW_YORK, 2014, 1, 1)
    found = open_seconds(STOCKS, start, _at(NEW_YORK, 2024, 1, 1))
    weekdays = sum(
        (date(2014, 1, 1) + timedelta(days=i)).weekday() < 5 for i in range(10 * 365 + 2)
    )
    assert found == weekdays * 6.5 * 3_600
    assert looked < 200
