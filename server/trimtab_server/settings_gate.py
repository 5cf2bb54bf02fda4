"""The settings of the signal gate: what stands under `gate` in the file.

Every mistake is told with its key, such as `gate.breakers.0.window_s`. `gate_policy.py` turns these
into what the domain works with.
"""

import json
from datetime import date, time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import InitErrorDetails

from trimtab_server.settings_breakers import (
    DEFAULT_BREAKERS,
    BreakerSettings,
    Name,
    Strict,
    Text,
    Where,
    each_once,
    wrong,
)

_Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise wrong(f"unknown time zone {name!r}") from error
    return name


def _plain_time(at: time) -> time:
    if at.microsecond or at.tzinfo is not None:
        raise wrong("a time of day in whole seconds, without a zone")
    return at


def told_as_json(given: Any) -> Any:
    """What a flag or variable tells as JSON; anything else as it is."""
    try:
        return json.loads(given) if isinstance(given, str) else given
    except ValueError as error:
        raise wrong(f"no JSON: {error}") from error


class FallbackSettings(Strict):
    """What clients that were built OPEN do for an ENTRY while the sidecar is silent."""

    confidence_threshold: float = Field(
        default=0.75, ge=0, le=1, description="Raw confidence that an ENTRY must reach."
    )
    confidence_multiplier: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="What the raw confidence is multiplied by, to be reported.",
    )
    position_fraction_max: float = Field(
        default=0.02, gt=0, le=100, description="Largest position, as a fraction of equity."
    )


class ParameterSettings(Strict):
    """Parameters of a scope. The first that tells one wins, looked for by model, symbol, strategy,
    source, environment."""

    environment: Where | None = Field(None, description="Unset = every one.")
    source: Text = Field("", description="The engine; empty = all.")
    strategy: Text = Field("", description="The strategy; empty = all.")
    symbol: Text = Field("", description="The instrument; empty = all.")
    model: Text = Field("", description="The model; empty = all.")
    threshold: float | None = Field(None, ge=0, le=1, description="Least value of an ENTRY.")
    threshold_scale: Literal["confidence", "probability"] | None = Field(
        None, description="What it is held against; needed with threshold."
    )
    size_multiplier: float | None = Field(
        None, gt=0, le=1, description="Multiplies the size of an ENTRY."
    )
    position_fraction_max: float | None = Field(
        None,
        gt=0,
        le=100,
        description="Largest position of an ENTRY, as a fraction of equity.",
    )

    @field_validator("threshold_scale")
    @classmethod
    def _scale_with_threshold(cls, scale: str | None, info: ValidationInfo) -> str | None:
        if "threshold" in info.data and (scale is None) != (info.data["threshold"] is None):
            raise wrong("threshold and threshold_scale are told together or not at all")
        return scale

    @field_validator("position_fraction_max")
    @classmethod
    def _tells_something(cls, fraction: float | None, info: ValidationInfo) -> float | None:
        told = (info.data.get("threshold"), info.data.get("size_multiplier"), fraction)
        if all(each is None for each in told):
            raise wrong("a threshold, a size_multiplier or a position_fraction_max is needed")
        return fraction


class HoursSettings(Strict):
    """When a market is open."""

    timezone: Annotated[Name, AfterValidator(_known_zone)] = Field(
        description="IANA name, such as America/New_York."
    )
    open: Annotated[time, AfterValidator(_plain_time)] = Field(description="Time of day.")
    close: Annotated[time, AfterValidator(_plain_time)] = Field(
        description="Time of day; at or before open = on the next day."
    )
    days: Annotated[tuple[_Weekday, ...], AfterValidator(each_once)] = Field(
        ("mon", "tue", "wed", "thu", "fri"),
        min_length=1,
        description="Days on which a session opens.",
    )
    holidays: Annotated[tuple[date, ...], AfterValidator(each_once)] = Field(
        (), max_length=1_000, description="Dates on which none opens."
    )


def _refuse(part: int, name: str, words: str) -> ValidationError:
    """An error about one entry of a list, named by its own key."""
    found = InitErrorDetails(type=wrong(words), loc=(part, name), input=None)
    return ValidationError.from_exception_data("gate", [found])


class GateSettings(Strict):
    """The policy of the signal gate."""

    lease_ttl_s: float = Field(
        default=5.0,
        ge=0.5,
        le=300,
        description="How long clients answer from a snapshot not renewed.",
    )
    fail_policy: Literal["as_built", "closed"] = Field(
        default="as_built",
        description="An ENTRY without the sidecar: as the client was built, or always denied.",
    )
    rules_max: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Trading states of a world, and its open breakers.",
    )
    runs_max: int = Field(
        default=1_000,
        ge=1,
        le=100_000,
        description="Backtest runs whose states and breakers are kept.",
    )
    watchers_max: int = Field(
        default=2_000, ge=1, le=100_000, description="WatchSignalGate calls open at once."
    )
    jitter_seed: Text = Field(
        default="",
        description="Deployments that tell different words do not probe at the same instant.",
    )
    fallback: FallbackSettings = Field(
        default=FallbackSettings(), description="For clients that were built OPEN."
    )
    parameters: tuple[ParameterSettings, ...] = Field(
        default=(), max_length=10_000, description="Thresholds and sizes, by scope."
    )
    hours: dict[Name, HoursSettings] = Field(
        default={}, max_length=100, description="Calendars of markets, by name."
    )
    breakers: tuple[BreakerSettings, ...] = Field(
        default=DEFAULT_BREAKERS,
        max_length=256,
        description="Rules; a list replaces the default ones.",
    )

    @field_validator("breakers")
    @classmethod
    def _names_known_once(
        cls, breakers: tuple[BreakerSettings, ...], info: ValidationInfo
    ) -> tuple[BreakerSettings, ...]:
        names: set[str] = set()
        for part, each in enumerate(breakers):
            if each.name in names:
                raise _refuse(part, "name", f"{each.name!r} is told twice")
            names.add(each.name)
            if each.hours is not None and each.hours not in info.data.get("hours", {each.hours}):
                raise _refuse(part, "hours", f"there is no gate.hours.{each.hours}")
        return breakers

    @field_validator("parameters")
    @classmethod
    def _scopes_once(cls, told: tuple[ParameterSettings, ...]) -> tuple[ParameterSettings, ...]:
        scopes: set[tuple[str | None, ...]] = set()
        for part, each in enumerate(told):
            scope = (each.environment, each.source, each.strategy, each.symbol, each.model)
            if scope in scopes:
                raise _refuse(part, "environment", "the same scope is told twice")
            scopes.add(scope)
        return told
