"""How long a market was open between two instants, by its own calendar."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo

_DAY_S = 86_400
# Gaps up to so many days are added up session by session; beyond, whole weeks are counted.
_SESSIONS_MAX = 28
# Days that are remembered: the same are asked for again with every look at the clock.
_KNOWN_MAX = 8_192
_UNKNOWN = (-1, -1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS = 1_000_000_000


@dataclass(frozen=True)
class MarketHours:
    """When a market is open: from `open_time` to `close_time` in `zone` on the weekdays `days` (0 =
    Monday) that are no `holidays`. A close at or before the open is the next day's; such a session
    belongs to the day on which it opens. Whole seconds; days and holidays are sorted."""

    zone: tzinfo
    open_time: time
    close_time: time
    days: tuple[int, ...] = (0, 1, 2, 3, 4)
    holidays: tuple[date, ...] = ()
    _sessions: dict[int, tuple[int, int] | None] = field(
        default_factory=dict, compare=False, repr=False
    )
    _offsets: dict[int, timedelta | None] = field(default_factory=dict, compare=False, repr=False)

    @property
    def session_s(self) -> int:
        """Seconds of a session on a day without a change of the clocks."""
        length = _seconds(self.close_time) - _seconds(self.open_time)
        return length if length > 0 else length + _DAY_S

    def session(self, ordinal: int) -> tuple[int, int] | None:
        """Open and close of the session that opens on this day (a date's ordinal), in seconds since
        1970, or None. A time of day that the clocks skip counts as of before the change, one that
        they repeat is its first."""
        # One look-up, because another thread may clear it; None is told from what is not known.
        known = self._sessions.get(ordinal, _UNKNOWN)
        if known is not _UNKNOWN:
            return known
        if len(self._sessions) >= _KNOWN_MAX:
            self._sessions.clear()
        found = self._sessions[ordinal] = self._found_session(date.fromordinal(ordinal))
        return found

    def offset(self, ordinal: int) -> timedelta | None:
        """How far the zone is ahead of UTC when this day begins."""
        known = self._offsets.get(ordinal)
        if known is not None:
            return known
        if len(self._offsets) >= _KNOWN_MAX:
            self._offsets.clear()
        midnight = datetime.combine(date.fromordinal(ordinal), time(), tzinfo=self.zone)
        found = self._offsets[ordinal] = midnight.utcoffset()
        return found

    def _found_session(self, day: date) -> tuple[int, int] | None:
        if day.weekday() not in self.days or self._is_holiday(day):
            return None
        overnight = self.close_time <= self.open_time
        last = day + timedelta(days=1) if overnight else day
        opens, closes = self._instant(day, self.open_time), self._instant(last, self.close_time)
        return opens, max(opens, closes)

    def _is_holiday(self, day: date) -> bool:
        at = bisect_left(self.holidays, day)
        return at < len(self.holidays) and self.holidays[at] == day

    def _instant(self, day: date, at: time) -> int:
        moment = datetime.combine(day, at, tzinfo=self.zone)
        return (moment - _EPOCH) // timedelta(seconds=1)


def open_seconds(hours: MarketHours | None, start_ns: int, end_ns: int) -> float:
    """Seconds of open market from `start_ns` to `end_ns` (nanoseconds UTC); 0 when the end is not
    after the start. hours: None = always open.

    >>> noon = MarketHours(UTC, time(12), time(13))
    >>> open_seconds(noon, 0, 7 * 86_400 * 10**9)
    18000.0
    """
    if end_ns <= start_ns:
        return 0.0
    if hours is None:
        return (end_ns - start_ns) / _NS
    # The session of the day before may still be open.
    first = _local_day(hours.zone, start_ns) - 1
    last = _local_day(hours.zone, end_ns)
    if last - first <= _SESSIONS_MAX:
        return sum(_overlaps_ns(hours, first, last, start_ns, end_ns)) / _NS
    # Sessions at both ends may be cut; those in between are whole.
    inner, outer = first + 3, last - 3
    total_ns = sum(_overlaps_ns(hours, first, inner, start_ns, end_ns))
    total_ns += sum(_overlaps_ns(hours, outer, last, start_ns, end_ns))
    return (total_ns + _whole_sessions_s(hours, inner + 1, outer) * _NS) / _NS


def _overlaps_ns(
    hours: MarketHours, first: int, last: int, start_ns: int, end_ns: int
) -> Iterator[int]:
    """For each session that opens from `first` to `last`: how much of it lies in between."""
    for ordinal in range(first, last + 1):
        bounds = hours.session(ordinal)
        if bounds is not None:
            opens, closes = bounds
            yield max(0, min(end_ns, closes * _NS) - max(start_ns, opens * _NS))


def _whole_sessions_s(hours: MarketHours, low: int, high: int) -> int:
    """Seconds of all sessions that open from `low` until the day before `high` (ordinals)."""
    weeks, rest = divmod(high - low, 7)
    count = weeks * len(hours.days)
    count += sum((low + weeks * 7 + i - 1) % 7 in hours.days for i in range(rest))
    first, end = date.fromordinal(low), date.fromordinal(high)
    between = hours.holidays[bisect_left(hours.holidays, first) : bisect_left(hours.holidays, end)]
    count -= sum(day.weekday() in hours.days for day in between)
    total = count * hours.session_s
    # A session is longer or shorter than that only where the clocks change: look week by week, and
    # session by session in a week that ends with another offset than it began with.
    before = hours.offset(low)
    for start in range(low, high, 7):
        stop = min(start + 7, high)
        # Two days on: a session of the last day may end on the next one.
        after = hours.offset(stop + 1)
        if before != after:
            total += sum(_changes_s(hours, start, stop))
        before = hours.offset(stop)
    return total


def _changes_s(hours: MarketHours, start: int, stop: int) -> Iterator[int]:
    """For each session that opens on these days (ordinals): its length beyond the usual one."""
    for ordinal in range(start, stop):
        bounds = hours.session(ordinal)
        if bounds is not None:
            yield bounds[1] - bounds[0] - hours.session_s


def _local_day(zone: tzinfo, at_ns: int) -> int:
    return datetime.fromtimestamp(at_ns // _NS, zone).toordinal()


def _seconds(at: time) -> int:
    return at.hour * 3_600 + at.minute * 60 + at.second
