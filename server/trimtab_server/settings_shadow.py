"""The settings of the shadow: how signals are followed; what stands under `shadow` in the file.

All but `pending_max` and `price_source` belong to the fill model: every result carries a digest of
them. What is open when they change goes on under the new ones, unless horizons, ages or the
calendar changed: then it is followed no longer, and counted.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from trimtab_server.settings_breakers import Strict, Text, each_once, wrong

_DAY_S = 86_400.0
_AGE = re.compile(r"([1-9][0-9]{0,6})([smhd])")
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
# As long as a duration of the contract may be.
_SECONDS_MAX = 100 * 366 * 86_400
_DAYS_MAX = 25_000


def _an_age(words: str) -> str:
    found = _AGE.fullmatch(words)
    if found is None:
        raise wrong(f"{words!r} is no age such as 15m, 4h (wall time) or 7d (trading days)")
    if _seconds(words) > _SECONDS_MAX or (found[2] == "d" and int(found[1]) > _DAYS_MAX):
        raise wrong(f"{words!r} is longer than a hundred years")
    return words


def _seconds(age: str) -> int:
    """The least wall time that it can be."""
    return int(age[:-1]) * _UNITS_S[age[-1]]


def _is_covered(age: str, horizons: tuple[str, ...]) -> bool:
    return any(
        _seconds(each) >= _seconds(age) and (each.endswith("d") or not age.endswith("d"))
        for each in horizons
    )


Age = Annotated[str, AfterValidator(_an_age)]
_Bps = Annotated[float, Field(ge=0, le=10_000)]


class ShadowSettings(Strict):
    """How every signal, blocked or not, is followed to what it would have made."""

    pending_max: int = Field(
        default=50_000,
        ge=1,
        le=1_000_000,
        description="Signals followed at once, per lane; more are counted and not followed.",
    )
    price_source: Text = Field(
        default="",
        description="Source whose bars and ticks serve all; empty = each its own.",
    )
    latency_s: float = Field(
        default=1.0, ge=0, le=_DAY_S, description="From the decision to the market."
    )
    decision_wait_s: float = Field(
        default=5.0,
        ge=0,
        le=3_600,
        description="Event time for which a signal waits for its decision.",
    )
    entry: Literal["open", "close"] = Field(
        default="open",
        description="Of the first bar after the decision, or that had just begun then (a fiftieth);"
        " close for engines that trade closes.",
    )
    entry_style: Literal["taker", "passive"] = Field(
        default="taker", description="Next price, or a limit order at the quote."
    )
    passive_wait_s: float = Field(
        default=_DAY_S, ge=0, le=31 * _DAY_S, description="How long a limit order rests."
    )
    default_spread_bps: _Bps = Field(
        default=2.0, description="Where neither decision nor bar tells a spread."
    )
    taker_fee_bps: _Bps = Field(default=1.0, description="Of the notional, each side.")
    maker_fee_bps: Annotated[float, Field(ge=-10_000, le=10_000)] = Field(
        default=0.0, description="Of the notional, at a passive entry; negative = rebate."
    )
    borrow_bps_per_year: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        default=50.0, description="On shorts, by the time held."
    )
    funding_bps_per_day: Annotated[float, Field(ge=-10_000, le=10_000)] = Field(
        default=0.0, description="On both sides, by the time held; negative = received."
    )
    volume_share_max: float = Field(
        default=0.1, gt=0, le=1, description="Share of the entry bar's volume that can be had."
    )
    censor_after_s: float = Field(
        default=10 * _DAY_S,
        ge=1,
        le=366 * _DAY_S,
        description="So long without a price after the planned end, and the result is CENSORED.",
    )
    default_holding_days: int = Field(
        default=10, ge=1, le=_DAYS_MAX, description="Trading days of plans that are open-ended."
    )
    calendar: Literal["XNYS", "weekdays", "24/7"] = Field(
        default="XNYS", description="Of trading days where a plan names none."
    )
    horizons: Annotated[tuple[Age, ...], AfterValidator(each_once)] = Field(
        default=("1d", "7d", "30d"),
        max_length=16,
        description="Followed to besides the own life: 7d = trading days, 4h = wall time.",
    )
    markout_ages: Annotated[tuple[Age, ...], AfterValidator(each_once)] = Field(
        default=("1m", "5m", "15m", "1h", "4h", "1d", "2d", "3d", "5d", "10d", "20d"),
        max_length=64,
        description="Ages at which returns are told, none beyond every horizon.",
    )

    @field_validator("markout_ages")
    @classmethod
    def _ages_within_horizons(cls, ages: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        horizons = info.data.get("horizons")
        beyond = [each for each in ages if horizons is not None and not _is_covered(each, horizons)]
        if beyond:
            raise wrong(f"{beyond[0]} lies beyond every horizon")
        return ages
