"""The gate's policy: from a file, variable or flag to the domain's rules, each mistake named."""

import json
import os
import re
import tomllib
from dataclasses import fields
from datetime import date, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from trimtab_server.domain.events import Environment
from trimtab_server.domain.gate.breaker_record import BreakerRule
from trimtab_server.domain.gate.breaker_rules import GatePolicy
from trimtab_server.domain.gate.market_hours import MarketHours
from trimtab_server.domain.gate.signal_gate import (
    BreakerKind,
    FallbackRule,
    Parameters,
    Scope,
    ThresholdScale,
)
from trimtab_server.gate_policy import gate_policy
from trimtab_server.settings import ENV_PREFIX, SettingsError, load, sources
from trimtab_server.settings_gate import GateSettings

S = 10**9
ROOT = Path(__file__).resolve().parent.parent
NEW_YORK = {"timezone": "America/New_York", "open": "09:30", "close": "16:00"}
RATE = {"name": "a", "kind": "loss_rate", "rate_max": 0.5}
STALE = {"name": "a", "kind": "stale_data", "age_s_max": 5}
RUN = {"name": "a", "kind": "consecutive_losses"}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)


def _policy(gate: dict[str, Any]) -> GatePolicy:
    return gate_policy(GateSettings.model_validate(gate))


def test_without_a_policy_two_rules_watch() -> None:
    """Failed orders of each engine, and of each strategy losing runs that chance rarely brings."""
    policy = gate_policy(load().gate)
    failures, losses = policy.breakers
    assert (failures.kind, failures.per) == (BreakerKind.EXECUTION_FAILURES, ("source",))
    assert (failures.limit, failures.window_ns, failures.count_min) == (0.5, 300 * S, 5)
    assert (losses.kind, losses.limit) == (BreakerKind.CONSECUTIVE_LOSSES, 13)
    assert "strategy" in losses.per
    assert (policy.fallback, policy.always_closed) == (FallbackRule(0.75, 0.8, 0.02), False)
    assert policy.digest == gate_policy(load().gate).digest


def test_every_key_reaches_the_domain() -> None:
    """No value is lost or exchanged for another on the way."""
    named = {"source": "bot", "strategy": "s", "symbol": "X", "model": "m"}
    cooled = {"cool_down_s": 1, "cool_down_s_max": 2, "cool_down_jitter": 0.3}
    probed = {"probe_count": 4, "success_count": 5, "probe_timeout_s": 6}
    rule = {**RATE, **named, **cooled, **probed, "environments": ["paper", "live"]}
    rule |= {"per": ["model", "symbol"], "window_s": 7, "count_min": 8, "confirmation_count": 9}
    told = {**named, "environment": "backtest", "threshold": 0.1, "threshold_scale": "probability"}
    told |= {"size_multiplier": 0.2, "position_fraction_max": 0.3}
    fallback = {"confidence_threshold": 0.6, "confidence_multiplier": 0.5}
    policy = _policy(
        {
            "lease_ttl_s": 9,
            "fail_policy": "closed",
            "rules_max": 11,
            "runs_max": 12,
            "jitter_seed": "eu",
            "fallback": {**fallback, "position_fraction_max": 0.4},
            "parameters": [told],
            "breakers": [rule, {**STALE, "name": "b", "hours": "ny"}],
            "hours": {"ny": {**NEW_YORK, "days": ["fri", "mon"], "holidays": ["2026-12-25"]}},
        }
    )
    scope = Scope("bot", "s", "X", "m")
    values = (
        *("a", BreakerKind.LOSS_RATE, 0.5, 7 * S, 8),
        *((Environment.LIVE, Environment.PAPER), scope, ("model_name", "symbol"), None),
        *(9, 1 * S, 2 * S, 0.3, "eu", 4, 5, 6 * S),
    )
    found = policy.breakers[0]
    assert tuple(getattr(found, each.name) for each in fields(BreakerRule)) == values
    hours = MarketHours(
        ZoneInfo("America/New_York"), time(9, 30), time(16), (0, 4), (date(2026, 12, 25),)
    )
    assert (policy.breakers[1].hours, policy.breakers[1].limit) == (hours, 5)
    size = (0.1, ThresholdScale.PROBABILITY, 0.2, 0.3)
    assert policy.parameters == ((Environment.BACKTEST, Parameters(scope, *size)),)
    assert (policy.lease_ttl_s, policy.rules_max, policy.runs_max) == (9, 11, 12)
    assert (policy.always_closed, policy.fallback) == (True, FallbackRule(0.6, 0.5, 0.4))


@pytest.mark.parametrize(
    ("rule", "limit"),
    [
        ({**RUN, "loss_count": 5}, 5),
        ({**RUN, "win_rate": 0.5, "trades_between_false_trips": 10_000}, 13),
        ({**RUN, "win_rate": 0.55, "trades_between_false_trips": 10_000}, 11),
        ({"name": "a", "kind": "drawdown", "drawdown_max": 0.1}, 0.1),
        ({"name": "a", "kind": "execution_failures", "rate_max": 0}, 0),
        (STALE, 5),
    ],
)
def test_each_kind_has_its_limit(rule: dict[str, Any], limit: float) -> None:
    """Given, or derived from a win rate; an allowed share of nothing at all is one too."""
    assert _policy({"breakers": [rule]}).breakers[0].limit == limit


BAD: list[tuple[str, dict[str, Any]]] = [
    ("gate.lease", {"lease": 1}),
    ("gate.lease_ttl_s", {"lease_ttl_s": 0.4}),
    ("gate.lease_ttl_s", {"lease_ttl_s": float("nan")}),
    ("gate.fail_policy", {"fail_policy": "open"}),
    ("gate.fallback.confidence_multiplier", {"fallback": {"confidence_multiplier": 1.1}}),
    ("gate.parameters.0.threshold_scale", {"parameters": [{"threshold": 0.5}]}),
    ("gate.parameters.0.threshold_scale", {"parameters": [{"threshold_scale": "confidence"}]}),
    ("gate.parameters.0.position_fraction_max", {"parameters": [{"symbol": "X"}]}),
    ("gate.parameters.0.size_multiplier", {"parameters": [{"size_multiplier": 0}]}),
    ("gate.parameters.1.environment", {"parameters": [{"size_multiplier": 0.5}] * 2}),
    ("gate.hours.ny.timezone", {"hours": {"ny": {**NEW_YORK, "timezone": "Mars/Olympus"}}}),
    ("gate.hours.ny.timezone", {"hours": {"ny": {**NEW_YORK, "timezone": "../etc/passwd"}}}),
    ("gate.hours.ny.timezone", {"hours": {"ny": {**NEW_YORK, "timezone": "America"}}}),
    ("gate.hours.ny.open", {"hours": {"ny": {**NEW_YORK, "open": "25:00"}}}),
    ("gate.hours.ny.open", {"hours": {"ny": {**NEW_YORK, "open": "09:00+01:00"}}}),
    ("gate.hours.ny.close", {"hours": {"ny": {"timezone": "UTC", "open": "09:00"}}}),
    ("gate.hours.ny.days", {"hours": {"ny": {**NEW_YORK, "days": ["mon", "mon"]}}}),
    ("gate.hours.ny.days", {"hours": {"ny": {**NEW_YORK, "days": []}}}),
    ("gate.hours.ny.days.0", {"hours": {"ny": {**NEW_YORK, "days": ["Monday"]}}}),
    ("gate.hours.ny.holidays.0", {"hours": {"ny": {**NEW_YORK, "holidays": ["soon"]}}}),
    ("gate.breakers.1.name", {"breakers": [RATE, RATE]}),
    ("gate.breakers.0.name", {"breakers": [{**RATE, "name": ""}]}),
    ("gate.breakers.0.name", {"breakers": [{**RATE, "name": "a\nb"}]}),
    ("gate.breakers.0.name", {"breakers": [{**RATE, "name": "a" * 65}]}),
    ("gate.breakers.0.kind", {"breakers": [{**RATE, "kind": "critical_drift"}]}),
    ("gate.breakers.0.hours", {"breakers": [{**STALE, "hours": "ny"}]}),
    ("gate.breakers.0.environments.0", {"breakers": [{**RATE, "environments": ["prod"]}]}),
    ("gate.breakers.0.per", {"breakers": [{**RATE, "per": ["symbol", "symbol"]}]}),
    ("gate.breakers.0.per.0", {"breakers": [{**RATE, "per": ["venue"]}]}),
    ("gate.breakers.0.window_s", {"breakers": [{**RATE, "window_s": 0}]}),
    ("gate.breakers.0.window_s", {"breakers": [{**RATE, "window_s": 1e9}]}),
    ("gate.breakers.0.window_s", {"breakers": [{**STALE, "window_s": 60}]}),
    ("gate.breakers.0.count_min", {"breakers": [{**RUN, "loss_count": 3, "count_min": 3}]}),
    ("gate.breakers.0.count_min", {"breakers": [{**RATE, "count_min": 1_001}]}),
    ("gate.breakers.0.rate_max", {"breakers": [{"name": "a", "kind": "loss_rate"}]}),
    ("gate.breakers.0.rate_max", {"breakers": [{**RATE, "rate_max": 1}]}),
    ("gate.breakers.0.loss_count", {"breakers": [{**RATE, "loss_count": 3}]}),
    ("gate.breakers.0.loss_count", {"breakers": [RUN]}),
    (
        "gate.breakers.0.loss_count",
        {"breakers": [{**RUN, "loss_count": 3, "win_rate": 0.5, "trades_between_false_trips": 99}]},
    ),
    ("gate.breakers.0.trades_between_false_trips", {"breakers": [{**RUN, "win_rate": 0.5}]}),
    ("gate.breakers.0.win_rate", {"breakers": [{**RUN, "win_rate": 1}]}),
    ("gate.breakers.0.drawdown_max", {"breakers": [{"name": "a", "kind": "drawdown"}]}),
    ("gate.breakers.0.age_s_max", {"breakers": [{"name": "a", "kind": "stale_data"}]}),
    ("gate.breakers.0.cool_down_s", {"breakers": [{**STALE, "cool_down_s": 60}]}),
    ("gate.breakers.0.cool_down_s_max", {"breakers": [{**RATE, "cool_down_s": 9_000}]}),
    ("gate.breakers.0.cool_down_jitter", {"breakers": [{**RATE, "cool_down_jitter": 1.5}]}),
    ("gate.breakers.0.probe_count", {"breakers": [{**RATE, "probe_count": 0}]}),
    ("gate.breakers.0.success_count", {"breakers": [{**STALE, "success_count": 1}]}),
    ("gate.breakers.0.strategy", {"breakers": [{**STALE, "strategy": "s"}]}),
    ("gate.breakers.0.per", {"breakers": [{**STALE, "per": ["model"]}]}),
    ("gate.breakers.0.environments", {"breakers": [{**STALE, "environments": ["backtest"]}]}),
    ("gate.breakers", {"breakers": [{**RATE, "name": f"n{i}"} for i in range(257)]}),
]


@pytest.mark.parametrize(("key", "gate"), BAD, ids=[f"{i}-{key}" for i, (key, _) in enumerate(BAD)])
def test_a_mistake_is_named_by_its_key(key: str, gate: dict[str, Any]) -> None:
    """Bounds, unknown names, names told twice, and what a kind needs or does not use."""
    with pytest.raises(SettingsError, match=f"^setting {re.escape(key)}: "):
        load(None, {"gate": gate})


def test_a_variable_and_a_flag_tell_the_policy_in_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each replaces the whole of the one below it, and mistakes are named with their place."""
    path = tmp_path / "t.toml"
    path.write_text("[gate]\nlease_ttl_s = 7\nruns_max = 3\n")
    assert load(path).gate.lease_ttl_s == 7
    monkeypatch.setenv("TRIMTAB_GATE", json.dumps({"lease_ttl_s": 8, "rules_max": 4}))
    assert (load(path).gate.lease_ttl_s, load(path).gate.runs_max) == (8, 1_000)
    flagged = load(path, {"gate": '{"lease_ttl_s": 9}'}).gate
    assert (flagged.lease_ttl_s, flagged.rules_max) == (9, 10_000)
    assert sources(path)["gate"] == "environment TRIMTAB_GATE"
    for text, key in (
        ("{", "gate"),
        ("5", "gate"),
        ('{"rules_max": 0}', "gate.rules_max"),
        (json.dumps({"breakers": [{**RATE, "window_s": -1}]}), "gate.breakers.0.window_s"),
    ):
        monkeypatch.setenv("TRIMTAB_GATE", text)
        with pytest.raises(SettingsError, match=f"^setting {key}: .*TRIMTAB_GATE"):
            load()


def test_the_example_of_the_readme_is_a_policy(tmp_path: Path) -> None:
    """It is read whole, uses every kind of rule, and says the default rules as they are."""
    text = (ROOT / "README.md").read_text("utf-8")
    part = text.split("## The policy of the signal gate", 1)[1]
    block = re.search(r"```toml\n(.*?)```", part, re.DOTALL)
    assert block is not None
    path = tmp_path / "trimtab.toml"
    path.write_text(block.group(1), "utf-8")
    policy = gate_policy(load(path).gate)
    assert {rule.kind for rule in policy.breakers} == set(BreakerKind) - {
        BreakerKind.CRITICAL_DRIFT
    }
    assert policy.breakers[:2] == gate_policy(load().gate).breakers
    assert tomllib.loads(block.group(1)).keys() == {"gate"}


def test_every_key_says_what_it_means() -> None:
    """A description for each, of the gate and of all within it."""

    def undescribed(schema: dict[str, Any]) -> list[str]:
        parts = [schema, *schema.get("$defs", {}).values()]
        keys = [(name, key) for part in parts for name, key in part.get("properties", {}).items()]
        return [name for name, key in keys if "description" not in key]

    assert undescribed(GateSettings.model_json_schema()) == []
