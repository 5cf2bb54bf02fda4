"""What-if options as changes of the contract's scenario language, field by field.

A change is a mapping such as {"guard_limit": {"guard": "volatility", "limit": 0.03}}.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from trimtab_server.cli.events import fail

Change: TypeAlias = dict[str, dict[str, Any]]

SCENARIOS_MAX = 1_000
_COSTS = {"fee-bps": "fee_bps", "spread-multiplier": "spread_multiplier"}
# What may be swept, and whether it needs a name behind a colon.
_SWEPT = {
    "guard-off": False,
    "guard-limit": True,
    "confidence-threshold": False,
    "expected-return": False,
    "fee-bps": False,
    "spread-multiplier": False,
    "max-positions": False,
    "max-exposure": False,
    "weight": True,
}


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one what-if, as given; None = not given."""

    guards_off: tuple[str, ...] = ()
    guard_limits: tuple[str, ...] = ()
    confidence_threshold: float | None = None
    expected_return: float | None = None
    replaces_guard: str = ""
    fee_bps: float | None = None
    spread_multiplier: float | None = None
    max_positions: int | None = None
    per_symbol: bool = False
    max_exposure: float | None = None
    position_fraction: float | None = None
    weights: tuple[str, ...] = ()
    sweeps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sweep:
    """One --sweep: what it changes, of which guard or model, and to what."""

    what: str
    name: str
    values: tuple[str, ...]


def number(text: str, option: str) -> float:
    """A finite number; exit 2 with one line for another word."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise fail(f"{option}: {text!r} is not a number", 2)
    return value


def named(text: str, option: str) -> tuple[str, float]:
    """NAME=VALUE; exit 2 with one line for anything else."""
    name, sign, value = text.rpartition("=")
    if not sign or not name.strip():
        raise fail(f"{option} {text}: write it as NAME=VALUE", 2)
    return name.strip(), number(value, f"{option} {name.strip()}")


def sweep(text: str) -> Sweep:
    """A --sweep such as "guard-limit:volatility=0.02,0.03"; exit 2 with one line for another."""
    head, sign, tail = text.rpartition("=")
    what, colon, name = head.partition(":")
    values = tuple(value.strip() for value in tail.split(",") if value.strip())
    if what not in _SWEPT or not sign or not values:
        known = ", ".join(f"{one}:NAME" if has_name else one for one, has_name in _SWEPT.items())
        raise fail(f"--sweep {text}: write it as WHAT=1,2,3; there are {known}", 2)
    if bool(colon and name) != _SWEPT[what]:
        wanted = f"{what}:NAME=..." if _SWEPT[what] else f"{what}=..."
        raise fail(f"--sweep {text}: write it as {wanted}", 2)
    return Sweep(what, name, values)


def _weights(options: Options) -> dict[str, float]:
    return dict(named(one, "--weight") for one in options.weights)


def _costs(options: Options) -> dict[str, Any]:
    told = {"fee_bps": options.fee_bps, "spread_multiplier": options.spread_multiplier}
    return {name: value for name, value in told.items() if value is not None}


def _expected_return(options: Options, threshold: float) -> Change:
    told = {"threshold": threshold, "replaces_guard": options.replaces_guard}
    return {"expected_return_threshold": told}


def _positions(options: Options, count: int) -> Change:
    return {"position_limit": {"open_count_max": count, "per_symbol": options.per_symbol}}


def _exposure(options: Options, fraction: float) -> Change:
    told: dict[str, Any] = {"exposure_fraction_max": fraction}
    if options.position_fraction is not None:
        told["position_fraction"] = options.position_fraction
    return {"capital_limit": told}


def single_changes(options: Options) -> list[Change]:
    """The changes of the options but for sweeps; costs in one change, weights in another."""
    changes: list[Change] = [{"guard_off": {"guard": name}} for name in options.guards_off]
    for one in options.guard_limits:
        guard, limit = named(one, "--guard-limit")
        changes.append({"guard_limit": {"guard": guard, "limit": limit}})
    if options.confidence_threshold is not None:
        changes.append({"confidence_threshold": {"threshold": options.confidence_threshold}})
    if options.expected_return is not None:
        changes.append(_expected_return(options, options.expected_return))
    if weights := _weights(options):
        changes.append({"model_weights": {"weights": weights}})
    if costs := _costs(options):
        changes.append({"costs": costs})
    if options.max_positions is not None:
        changes.append(_positions(options, options.max_positions))
    if options.max_exposure is not None:
        changes.append(_exposure(options, options.max_exposure))
    _check_helpers(options)
    return changes


def _check_helpers(options: Options) -> None:
    """Options that mean nothing by themselves."""
    swept = {one.what for one in map(sweep, options.sweeps)}
    for given, option, needs, has in (
        (options.replaces_guard, "--replaces-guard", "expected-return", options.expected_return),
        (options.per_symbol, "--per-symbol", "max-positions", options.max_positions),
        (options.position_fraction, "--position-fraction", "max-exposure", options.max_exposure),
    ):
        if given and has is None and needs not in swept:
            hint = ""
            if option == "--replaces-guard" and _has_confidence(options, swept):
                hint = (
                    "; --confidence-threshold takes the place of a guard called confidence by"
                    " itself: of one called otherwise, leave it out too (--guard-off NAME)"
                )
            raise fail(f"{option} needs --{needs}{hint}", 2)


def _has_confidence(options: Options, swept: set[str]) -> bool:
    return options.confidence_threshold is not None or "confidence-threshold" in swept


def axes(options: Options) -> list[list[Change]]:
    """The grid: an axis of one change for what holds in every scenario, then one a sweep.

    Costs that are swept stand in one axis, every combination of them, with those that are told
    besides; so do weights: a scenario has one change of each. Exit 2 beyond 1,000 scenarios.
    """
    sweeps = [sweep(one) for one in options.sweeps]
    plain = [
        change
        for change in single_changes(options)
        if not (
            ("costs" in change and any(one.what in _COSTS for one in sweeps))
            or ("model_weights" in change and any(one.what == "weight" for one in sweeps))
        )
    ]
    found: list[list[Change]] = [[change] for change in plain]
    done: set[str] = set()
    for one in sweeps:
        kind = "costs" if one.what in _COSTS else one.what
        if kind in {"costs", "weight"}:
            if kind not in done:
                found.append(_combined(options, sweeps, kind))
            done.add(kind)
        else:
            found.append([_swept(options, one, value) for value in one.values])
    count = math.prod(len(axis) for axis in found)
    if count > SCENARIOS_MAX:
        raise fail(f"--sweep: {count:,} scenarios; at most {SCENARIOS_MAX:,} are computed", 2)
    return found


def _combined(options: Options, sweeps: Sequence[Sweep], kind: str) -> list[Change]:
    """Every combination of the swept costs, or weights, as one change each."""
    mine = [one for one in sweeps if (one.what in _COSTS) == (kind == "costs")]
    mine = [one for one in mine if kind == "costs" or one.what == "weight"]
    base: dict[str, Any] = _costs(options) if kind == "costs" else _weights(options)
    names = [_COSTS.get(one.what, one.name) for one in mine]
    changes: list[Change] = []
    for values in itertools.product(*(one.values for one in mine)):
        numbers = [number(value, "--sweep") for value in values]
        told = base | dict(zip(names, numbers, strict=True))
        changes.append({"costs": told} if kind == "costs" else {"model_weights": {"weights": told}})
    return changes


def _swept(options: Options, one: Sweep, value: str) -> Change:
    if one.what == "guard-off":
        return {"guard_off": {"guard": value}}
    told = number(value, f"--sweep {one.what}")
    if one.what == "guard-limit":
        return {"guard_limit": {"guard": one.name, "limit": told}}
    if one.what == "confidence-threshold":
        return {"confidence_threshold": {"threshold": told}}
    if one.what == "expected-return":
        return _expected_return(options, told)
    if one.what == "max-exposure":
        return _exposure(options, told)
    if told != round(told):
        raise fail(f"--sweep max-positions: {value} is not a whole number", 2)
    return _positions(options, round(told))
