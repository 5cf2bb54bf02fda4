"""Recording methods for what became of signals, and what models said about them.

Fractions are fractions (0.01 = 1 %), money in `currency`, durations `_s` in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, TypeVar, Unpack

from trimtab_client.envelope import Envelope, EventSink
from trimtab_client.event import (
    DECISION_ACTION,
    EXIT_REASON,
    LIQUIDITY,
    OUTCOME_STATUS,
    SIDE,
    Horizon,
    Outcome,
    ShadowOutcome,
    Time,
    Word,
    to_timestamp,
)
from trimtab_client.fields import set_duration, set_given, set_numbers
from trimtab_client.ring import EventClass

T = TypeVar("T")


class OutcomeFields(TypedDict, total=False):
    """What a signal made. All optional except, unless CENSORED, return_fraction.

    status: MATURED (default), CENSORED (still open) or CORRECTED (with corrects_event_id).
    return_fraction: after costs, of entry notional. pnl, fees, funding: in `currency`.
    mfe, mae: excursions as fractions of the entry price, both >= 0. won: absent = return > 0.
    exit_reason: STOP_LOSS, TAKE_PROFIT, TIME, SIGNAL, MANUAL, LIQUIDATION, TRAILING_STOP,
    END_OF_DATA. holding_time_s: seconds >= 0 (`holding_period_s` is the same). horizon: absent =
    the position's own life.
    """

    status: Word
    return_fraction: float | None
    pnl: float | None
    fees: float | None
    funding: float | None
    quantity: float | None
    won: bool | None
    exit_price: float | None
    exit_reason: Word
    holding_time_s: float | None
    holding_period_s: float | None
    mfe: float | None
    mae: float | None
    realized_volatility: float | None
    horizon: Horizon | None
    confidence_used: float | None
    applied_threshold: float | None
    thesis_accuracy: float | None
    catalyst_materialized: bool | None
    volume_pattern_accuracy: float | None
    currency: str
    entry_price: float | None
    calibrated: bool
    side: Word


class OutcomeArguments(OutcomeFields, Envelope, total=False):
    """The fields of an outcome and those of the envelope."""


class ShadowFields(TypedDict, total=False):
    """How a simulated outcome came about. All optional.

    return_fraction_optimistic, _pessimistic: if every doubtful fill went well, or badly.
    gross_return_fraction: before costs; the costs are fractions of entry notional.
    filled_fraction: above 0 to 1. liquidity: MAKER, TAKER. action: what had been decided.
    markouts: (age, return since entry before costs), up to 64.
    """

    traded: bool
    return_fraction_optimistic: float | None
    return_fraction_pessimistic: float | None
    gross_return_fraction: float | None
    spread_cost_fraction: float | None
    fee_cost_fraction: float | None
    carry_cost_fraction: float | None
    barriers_coarse: bool
    barriers_ambiguous: bool
    filled_fraction: float | None
    liquidity: Word
    entry_time: Time | None
    action: Word
    markouts: Iterable[tuple[Horizon, float]]


class ShadowArguments(OutcomeFields, ShadowFields, Envelope, total=False):
    """The fields of a simulated outcome and those of the envelope."""


_OUTCOME_NAMES = OutcomeFields.__optional_keys__
_SHADOW_NAMES = ShadowFields.__optional_keys__


def fill_outcome(target: Outcome, fields: OutcomeFields) -> None:
    """Writes `fields` into `target`. ValueError for an unknown word, TypeError for a wrong type."""
    rest: dict[str, Any] = dict(fields)
    target.status = OUTCOME_STATUS(rest.pop("status", "MATURED"), "outcome.status")  # type: ignore[assignment]
    if side := rest.pop("side", 0):
        target.side = SIDE(side, "outcome.side")  # type: ignore[assignment]
    if exit_reason := rest.pop("exit_reason", 0):
        target.exit_reason = EXIT_REASON(exit_reason, "outcome.exit_reason")  # type: ignore[assignment]
    for name in ("holding_time_s", "holding_period_s"):
        duration_s = rest.pop(name, None)
        if duration_s is not None:
            set_duration(target.holding_time, duration_s, name)
    horizon = rest.pop("horizon", None)
    if horizon is not None:
        target.horizon.CopyFrom(horizon)
    set_given(target, tuple(rest.items()))


def _fill_shadow(target: ShadowOutcome, fields: ShadowFields) -> None:
    rest: dict[str, Any] = dict(fields)
    if liquidity := rest.pop("liquidity", 0):
        target.liquidity = LIQUIDITY(liquidity, "shadow_outcome.liquidity")  # type: ignore[assignment]
    if action := rest.pop("action", 0):
        target.action = DECISION_ACTION(action, "shadow_outcome.action")  # type: ignore[assignment]
    entry_time = rest.pop("entry_time", None)
    if entry_time is not None:
        target.entry_time.CopyFrom(to_timestamp(entry_time, "entry_time"))
    for age, return_fraction in rest.pop("markouts", ()):
        target.markouts.add(age=age, return_fraction=return_fraction)
    set_given(target, tuple(rest.items()))


def _split(arguments: OutcomeArguments) -> tuple[OutcomeFields, Envelope]:
    """Outcome fields and envelope fields; an unknown name stays in the envelope, which names it."""
    fields: Any = {n: v for n, v in arguments.items() if n in _OUTCOME_NAMES}
    envelope: Any = {n: v for n, v in arguments.items() if n not in _OUTCOME_NAMES}
    return fields, envelope


class OutcomeEvents(EventSink[T]):
    """The learning half of the recording methods."""

    def outcome(
        self,
        *,
        signal_id: str,
        symbol: str = "",
        event_time_ns: int | None = None,
        **arguments: Unpack[OutcomeArguments],
    ) -> T:
        """What a signal made over its holding period or a fixed horizon; see OutcomeFields."""
        fields, envelope = _split(arguments)
        event = self._begin(envelope, event_time_ns)
        event.signal_id = signal_id
        event.symbol = symbol
        fill_outcome(event.outcome, fields)
        return self._emit(event, EventClass.RESERVED)

    def shadow_outcome(
        self,
        *,
        signal_id: str,
        fill_model: str,
        symbol: str = "",
        event_time_ns: int | None = None,
        **arguments: Unpack[ShadowArguments],
    ) -> T:
        """What a signal would have made, simulated by the `fill_model` of this version; see
        ShadowFields and OutcomeFields."""
        simulation: Any = {n: v for n, v in arguments.items() if n in _SHADOW_NAMES}
        others: Any = {n: v for n, v in arguments.items() if n not in _SHADOW_NAMES}
        fields, envelope = _split(others)
        event = self._begin(envelope, event_time_ns)
        event.signal_id = signal_id
        event.symbol = symbol
        event.shadow_outcome.fill_model = fill_model
        _fill_shadow(event.shadow_outcome, simulation)
        fill_outcome(event.shadow_outcome.outcome, fields)
        return self._emit(event, EventClass.BULK)

    def prediction(
        self,
        *,
        signal_id: str = "",
        symbol: str = "",
        probability: float | None = None,
        value: float | None = None,
        label: str = "",
        features: Mapping[str, float] | None = None,
        horizon: Horizon | None = None,
        event_time_ns: int | None = None,
        **envelope: Unpack[Envelope],
    ) -> T:
        """A model's output: probability of a win 0 to 1, or a value in the model's own scale; tell
        model_name and model_version in the envelope."""
        event = self._begin(envelope, event_time_ns)
        event.signal_id = signal_id
        event.symbol = symbol
        payload = event.prediction
        payload.SetInParent()
        payload.label = label
        set_given(payload, (("probability", probability), ("value", value)))
        if features:
            set_numbers(payload, "features", features)
        if horizon is not None:
            payload.horizon.CopyFrom(horizon)
        return self._emit(event, EventClass.BULK)
