"""From the gate's settings to the policy that the domain works with."""

from dataclasses import replace
from zoneinfo import ZoneInfo

from trimtab_server.domain.events import Environment
from trimtab_server.domain.gate.breaker_record import BreakerRule
from trimtab_server.domain.gate.breaker_rules import GatePolicy, losses_in_a_row
from trimtab_server.domain.gate.market_hours import MarketHours
from trimtab_server.domain.gate.signal_gate import (
    BreakerKind,
    FallbackRule,
    Parameters,
    Scope,
    ThresholdScale,
)
from trimtab_server.settings_breakers import BreakerSettings
from trimtab_server.settings_gate import GateSettings, HoursSettings, ParameterSettings

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NAMES = {"model": "model_name"}


def gate_policy(settings: GateSettings) -> GatePolicy:
    """The policy that the settings tell."""
    fallback = settings.fallback
    return GatePolicy(
        parameters=tuple(_parameters(each) for each in settings.parameters),
        breakers=tuple(_rule(each, settings) for each in settings.breakers),
        fallback=FallbackRule(
            fallback.confidence_threshold,
            fallback.confidence_multiplier,
            fallback.position_fraction_max,
        ),
        always_closed=settings.fail_policy == "closed",
        lease_ttl_s=settings.lease_ttl_s,
        rules_max=settings.rules_max,
        runs_max=settings.runs_max,
    )


def _parameters(told: ParameterSettings) -> tuple[int | None, Parameters]:
    scale = told.threshold_scale
    return _environment(told.environment) if told.environment else None, Parameters(
        Scope(told.source, told.strategy, told.symbol, told.model),
        told.threshold,
        ThresholdScale[scale.upper()] if scale else None,
        told.size_multiplier,
        told.position_fraction_max,
    )


def _rule(told: BreakerSettings, settings: GateSettings) -> BreakerRule:
    rule = BreakerRule(
        name=told.name,
        kind=BreakerKind[told.kind.upper()],
        limit=_limit(told),
        window_ns=_ns(told.window_s or 0),
        count_min=told.count_min or 1,
        environments=tuple(sorted(_environment(each) for each in told.environments)),
        scope=Scope(told.source, told.strategy, told.symbol, told.model),
        per=tuple(_NAMES.get(each, each) for each in told.per),
        hours=_hours(settings.hours[told.hours]) if told.hours else None,
        confirmation_count=told.confirmation_count,
        jitter_seed=settings.jitter_seed,
    )
    if told.cool_down_s is None:
        return rule
    assert told.cool_down_s_max is not None
    assert told.cool_down_jitter is not None
    assert told.probe_count is not None
    assert told.success_count is not None
    assert told.probe_timeout_s is not None
    return replace(
        rule,
        cool_down_ns=_ns(told.cool_down_s),
        cool_down_ns_max=_ns(told.cool_down_s_max),
        cool_down_jitter=told.cool_down_jitter,
        probe_count_max=told.probe_count,
        success_count_min=told.success_count,
        probe_timeout_ns=_ns(told.probe_timeout_s),
    )


def _limit(told: BreakerSettings) -> float:
    """What the rule allows, in the unit of its kind; the settings hold exactly one."""
    if told.win_rate is not None and told.trades_between_false_trips is not None:
        return float(losses_in_a_row(told.win_rate, told.trades_between_false_trips))
    told_limits = (told.rate_max, told.loss_count, told.drawdown_max, told.age_s_max)
    return float(next(each for each in told_limits if each is not None))


def _hours(told: HoursSettings) -> MarketHours:
    return MarketHours(
        ZoneInfo(told.timezone),
        told.open,
        told.close,
        tuple(sorted(_WEEKDAYS.index(day) for day in told.days)),
        tuple(sorted(told.holidays)),
    )


def _environment(name: str) -> int:
    return int(Environment[name.upper()])


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
