"""The rules of the signal gate's breakers, as the settings tell them, and what all of the gate's
settings share.

Every mistake is told with its key, such as `gate.breakers.0.window_s`.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

_YEAR_S = 366 * 86_400
_DAY_S = 86_400


def wrong(words: str) -> PydanticCustomError:
    """An error that pydantic tells with the key of what it validates."""
    return PydanticCustomError("gate", "{words}", {"words": words})


def _named(words: str) -> str:
    if any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in words):
        raise wrong("control characters are not allowed")
    return words


def each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values, when none of them is told twice."""
    if len(set(values)) < len(values):
        raise wrong("tells a value twice")
    return values


Text = Annotated[str, StringConstraints(max_length=64), AfterValidator(_named)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_named)]
Where = Literal["live", "paper", "backtest"]
_Per = Literal["source", "strategy", "symbol", "model"]
_Kind = Literal["execution_failures", "consecutive_losses", "drawdown", "loss_rate", "stale_data"]


class Strict(BaseModel):
    """Settings that do not change and know every key."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


# What each kind uses beyond what all share, with its default; None = its limit, which has none.
_COOLED = {
    "cool_down_s": 300.0,
    "cool_down_s_max": 3_600.0,
    "cool_down_jitter": 0.1,
    "probe_count": 3,
    "success_count": 3,
}
_OUTCOMES = {**_COOLED, "strategy": "", "model": "", "probe_timeout_s": float(_DAY_S)}
KIND_DEFAULTS: dict[str, dict[str, Any]] = {
    "execution_failures": {
        **_OUTCOMES,
        "window_s": 300.0,
        "count_min": 5,
        "rate_max": None,
        "probe_timeout_s": 300.0,
    },
    "consecutive_losses": {
        **_OUTCOMES,
        "window_s": 7.0 * _DAY_S,
        "loss_count": None,
        "win_rate": None,
        "trades_between_false_trips": None,
    },
    "drawdown": {**_OUTCOMES, "window_s": float(_DAY_S), "count_min": 1, "drawdown_max": None},
    "loss_rate": {**_OUTCOMES, "window_s": 7.0 * _DAY_S, "count_min": 20, "rate_max": None},
    "stale_data": {"age_s_max": None, "hours": None},
}
# One of two ways to tell the limit, and what may stay unset.
_OPTIONAL = {"loss_count", "win_rate", "trades_between_false_trips", "hours"}


class BreakerSettings(Strict):
    """A rule that opens breakers. What its kind does not use is refused."""

    name: Name = Field(description="Tells rules apart, in lists, reasons and the database.")
    kind: _Kind = Field(description="What it watches.")
    environments: Annotated[tuple[Where, ...], AfterValidator(each_once)] = Field(
        (),
        description="Where it watches; empty = everywhere (stale_data: not in backtests).",
    )
    source: Text = Field("", description="Watches this engine; empty = all.")
    strategy: Text = Field("", description="Watches this strategy; empty = all.")
    symbol: Text = Field("", description="Watches this instrument; empty = all.")
    model: Text = Field("", description="Watches this model; empty = all.")
    per: Annotated[tuple[_Per, ...], AfterValidator(each_once)] = Field(
        (), description="Names of which each value has a breaker of its own."
    )
    window_s: float | None = Field(
        None,
        gt=0,
        le=_YEAR_S,
        description="How far back it looks. Older events change nothing.",
    )
    count_min: int | None = Field(
        None,
        ge=1,
        le=1_000,
        description="Events in the window below which nothing is judged.",
    )
    rate_max: float | None = Field(
        None, ge=0, lt=1, description="Largest share of failures or losses that is allowed."
    )
    win_rate: float | None = Field(
        None,
        ge=0.05,
        le=0.95,
        description="The strategy's win rate, to derive loss_count from.",
    )
    trades_between_false_trips: float | None = Field(
        None, ge=10, le=1e9, description="Trades in which chance alone may trip it once."
    )
    loss_count: int | None = Field(
        None,
        ge=1,
        le=1_000,
        description="Losses in a row that trip it; instead of a win rate.",
    )
    drawdown_max: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Allowed fall of the sum of returns from its highest value.",
    )
    age_s_max: float | None = Field(
        None,
        ge=1,
        le=_YEAR_S,
        description="Seconds of open market that may pass without data.",
    )
    hours: Name | None = Field(None, description="Of gate.hours; unset = always open.")
    confirmation_count: int = Field(
        1, ge=1, le=1_000, description="Readings beyond the limit, in a row, that trip it."
    )
    cool_down_s: float | None = Field(
        None,
        gt=0,
        le=_YEAR_S,
        description="Time until probes pass; doubles with each trip.",
    )
    cool_down_s_max: float | None = Field(
        None, gt=0, le=_YEAR_S, description="Where the doubling ends."
    )
    cool_down_jitter: float | None = Field(
        None, ge=0, le=1, description="Share by which a cool-down is made longer at most."
    )
    probe_count: int | None = Field(
        None, ge=1, le=1_000, description="Signals that may be under way while half-open."
    )
    success_count: int | None = Field(
        None, ge=1, le=1_000, description="Probes that must end well to close it."
    )
    probe_timeout_s: float | None = Field(
        None, ge=1, le=_YEAR_S, description="Time after which a probe is given up."
    )

    @field_validator(
        *("strategy", "model", "window_s", "count_min", "rate_max", "win_rate"),
        *("trades_between_false_trips", "loss_count", "drawdown_max", "age_s_max", "hours"),
        *("cool_down_s", "cool_down_s_max", "cool_down_jitter", "probe_count", "success_count"),
        "probe_timeout_s",
    )
    @classmethod
    def _fits_kind(cls, value: Any, info: ValidationInfo) -> Any:
        kind, name = info.data.get("kind"), info.field_name or ""
        if kind is None:
            return value
        if name not in KIND_DEFAULTS[kind]:
            if value in (None, ""):
                return value
            raise wrong(f"{kind} does not use it")
        if value is None:
            value = KIND_DEFAULTS[kind][name]
        if value is None and name not in _OPTIONAL:
            raise wrong(f"{kind} needs it")
        return value

    @field_validator("trades_between_false_trips")
    @classmethod
    def _with_win_rate(cls, trades: float | None, info: ValidationInfo) -> float | None:
        if "win_rate" in info.data and (trades is None) != (info.data["win_rate"] is None):
            raise wrong("win_rate and trades_between_false_trips are told together")
        return trades

    @field_validator("loss_count")
    @classmethod
    def _one_limit(cls, count: int | None, info: ValidationInfo) -> int | None:
        if info.data.get("kind") != "consecutive_losses" or "win_rate" not in info.data:
            return count
        if (count is None) == (info.data["win_rate"] is None):
            pair = "win_rate and trades_between_false_trips"
            raise wrong(f"consecutive_losses needs either loss_count or {pair}")
        return count

    @field_validator("cool_down_s_max")
    @classmethod
    def _not_below_the_first(cls, longest: float | None, info: ValidationInfo) -> float | None:
        first = info.data.get("cool_down_s")
        if first is not None and longest is not None and longest < first:
            raise wrong(f"is below cool_down_s, {first:g}")
        return longest

    @field_validator("environments", "per")
    @classmethod
    def _where_data_are(cls, told: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        unknown = {"backtest", "strategy", "model"} & set(told)
        if unknown and info.data.get("kind") == "stale_data":
            raise wrong(f"stale_data knows no {min(unknown)}")
        return told


# A backtest runs ahead of the monitor: when a breaker trips in it depends on the machine. So only
# who asks for it gets it.
_CLOCKED = ("live", "paper")
DEFAULT_BREAKERS = (
    BreakerSettings.model_validate(
        {
            "name": "execution-failures",
            "kind": "execution_failures",
            "environments": _CLOCKED,
            "per": ("source",),
            "rate_max": 0.5,
        }
    ),
    BreakerSettings.model_validate(
        {
            "name": "consecutive-losses",
            "kind": "consecutive_losses",
            "environments": _CLOCKED,
            "per": ("source", "strategy"),
            "win_rate": 0.5,
            "trades_between_false_trips": 10_000,
        }
    ),
)
