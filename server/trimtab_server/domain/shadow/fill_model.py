"""How signals are followed in shadow: when and at what price they enter and leave, what it costs.

The settings are part of every result: `version` holds a digest of all of them.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import NamedTuple

from trimtab_server.domain.shadow.trading_days import TradingCalendar, trading_calendar

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
AGES_MAX = 64
HORIZONS_MAX = 16
FALLBACK_CALENDAR = "weekdays"
"""Counts the days of a plan that names a calendar that is not known."""
# Changes with the rules by which signals are followed: results of other rules are other results.
_RULES = "shadow-1"
_UNITS_NS = {"s": SECOND_NS, "m": 60 * SECOND_NS, "h": 3_600 * SECOND_NS}
_AGE = re.compile(r"([1-9][0-9]{0,6})([smhd])")


class Age(NamedTuple):
    """Wall time in nanoseconds, or trading days; the other one is 0."""

    age_ns: int
    trading_days: int

    @property
    def nominal_ns(self) -> int:
        """The least wall time that it can be: k trading days after a day end later than that."""
        return self.age_ns or self.trading_days * DAY_NS


def age_of(words: str) -> Age:
    """Such as "15m", "4h" or "90s" (wall time), "7d" (trading days). Raises ValueError."""
    found = _AGE.fullmatch(words)
    if found is None:
        raise ValueError(f"{words!r} is no age such as 15m, 4h or 7d (trading days)")
    count = int(found[1])
    return Age(0, count) if found[2] == "d" else Age(count * _UNITS_NS[found[2]], 0)


@dataclass(frozen=True)
class FillModel:
    """Settings of the shadow; fractions and basis points as told, times in seconds.

    entry: "open" or "close" of the first bar after the decision (the open also when that came in
    the first fiftieth of the bar); "close" for engines that trade at closes (they leave at closes
    too). entry_style: "taker" or "passive". passive_wait_s: how long a
    limit order rests. spread: as of the decision, else the last bar's, else default_spread_bps.
    horizons, markout_ages: as `age_of` reads them. Raises ValueError for an age that no horizon
    covers, KeyError for a calendar that is none.
    """

    latency_s: float = 1.0
    decision_wait_s: float = 5.0
    entry: str = "open"
    entry_style: str = "taker"
    passive_wait_s: float = 86_400.0
    default_spread_bps: float = 2.0
    taker_fee_bps: float = 1.0
    maker_fee_bps: float = 0.0
    borrow_bps_per_year: float = 50.0
    funding_bps_per_day: float = 0.0
    volume_share_max: float = 0.1
    censor_after_s: float = 10 * 86_400.0
    default_holding_days: int = 10
    calendar: str = "XNYS"
    horizons: tuple[str, ...] = ("1d", "7d", "30d")
    markout_ages: tuple[str, ...] = (
        *("1m", "5m", "15m", "1h", "4h"),
        *("1d", "2d", "3d", "5d", "10d", "20d"),
    )

    def __post_init__(self) -> None:
        if len(self.horizons) > HORIZONS_MAX or len(self.markout_ages) > AGES_MAX:
            raise ValueError(f"at most {HORIZONS_MAX} horizons and {AGES_MAX} markout_ages")
        if self.entry not in {"open", "close"}:
            raise ValueError(f"entry: {self.entry!r} is neither open nor close")
        if self.entry_style not in {"taker", "passive"}:
            raise ValueError(f"entry_style: {self.entry_style!r} is neither taker nor passive")
        trading_calendar(self.calendar)
        _ = self.age_horizon

    @cached_property
    def version(self) -> str:
        """Name of the rules with a digest of the settings, up to 64 characters."""
        told = json.dumps(asdict(self), sort_keys=True)
        return f"{_RULES}-{hashlib.blake2b(told.encode(), digest_size=8).hexdigest()}"

    @cached_property
    def follows(self) -> str:
        """A digest of what signals are followed to: their horizons and ages. Who is followed to the
        same may go on under other costs and rules of entry."""
        told = json.dumps([_RULES, self.horizons, self.markout_ages, self.calendar])
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()

    @cached_property
    def spans(self) -> tuple[Age, ...]:
        """The horizons, each once, shortest first."""
        return _sorted_ages(self.horizons)

    @cached_property
    def ages(self) -> tuple[Age, ...]:
        """The ages of markouts, each once: wall times, then trading days, shortest first. Which of
        a wall time and a trading day ends first, every entry decides anew."""
        found = _sorted_ages(self.markout_ages)
        return tuple(sorted(found, key=lambda age: age.trading_days > 0))

    @cached_property
    def wall_count(self) -> int:
        """How many of the ages are wall times."""
        return sum(age.age_ns > 0 for age in self.ages)

    @cached_property
    def age_horizon(self) -> tuple[int, ...]:
        """For each age the position of the first horizon that surely ends no earlier. Trading days
        are covered by trading days only. Raises ValueError."""
        found = []
        for age in self.ages:
            covering = [
                position
                for position, span in enumerate(self.spans)
                if span.nominal_ns >= age.nominal_ns and (span.trading_days or age.age_ns)
            ]
            if not covering:
                raise ValueError(f"markout_ages: no horizon is as long as {_words(age)}")
            found.append(covering[0])
        return tuple(found)

    @cached_property
    def latency_ns(self) -> int:
        """Of the order's way to the market."""
        return round(self.latency_s * SECOND_NS)

    @cached_property
    def decision_wait_ns(self) -> int:
        """How long a signal waits for its decision."""
        return round(self.decision_wait_s * SECOND_NS)

    @cached_property
    def passive_wait_ns(self) -> int:
        """How long a passive order rests."""
        return round(self.passive_wait_s * SECOND_NS)

    @cached_property
    def censor_after_ns(self) -> int:
        """How long a price may be missing before the result is CENSORED."""
        return round(self.censor_after_s * SECOND_NS)

    @property
    def is_passive(self) -> bool:
        """Whether entries rest in the book."""
        return self.entry_style == "passive"

    @property
    def at_open(self) -> bool:
        """Whether a bar's open may be traded."""
        return self.entry == "open"

    def calendar_of(self, name: str) -> TradingCalendar:
        """The calendar that a plan names: "" is the model's, an unknown one FALLBACK_CALENDAR."""
        try:
            return trading_calendar(name or self.calendar)
        except KeyError:
            return trading_calendar(FALLBACK_CALENDAR)


def _sorted_ages(words: tuple[str, ...]) -> tuple[Age, ...]:
    return tuple(sorted({age_of(each) for each in words}, key=lambda age: (age.nominal_ns, age)))


def _words(age: Age) -> str:
    return f"{age.trading_days}d" if age.trading_days else f"{age.age_ns / SECOND_NS:g}s"
