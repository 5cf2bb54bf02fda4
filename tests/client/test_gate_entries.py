"""Entries of a snapshot: what makes no sense never widens what is allowed."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab_client.gate_entries import (
    FOREVER_NS,
    Calibrator,
    Fallback,
    breaker_rule,
    calibrator,
    fallback_of,
    state_rule,
)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
@example(0.5, 0.0, 1 / 64)
@example(0.5, 3 / 128, 3 / 128)
@example(0.25, 0.0, 0.0000002)
def test_a_probability_is_rounded_as_printed(confidence: float, low: float, high: float) -> None:
    """The quick rounding is the contract's: halves to even of the decimal with six digits."""
    table = Calibrator("", "1", (0.0, 1.0), (low, high))
    exact = low + (confidence - 0.0) * (high - low) / (1.0 - 0.0)
    wanted = low if confidence <= 0 else high if confidence >= 1 else exact
    assert table.probability(confidence) == float(f"{wanted:.6f}") == round(wanted, 6)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([], []),
        ([0.1, 0.2], [0.5]),
        ([0.2, 0.1], [0.1, 0.2]),
        ([0.1, 0.1], [0.1, 0.2]),
        ([0.1, 1.2], [0.1, 0.2]),
        ([0.1, 0.2], [0.1, math.nan]),
    ],
)
def test_a_calibrator_without_a_table_gives_no_probability(
    x: list[float], y: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """A threshold of probability then denies; the warning names the model."""
    made = calibrator(pb.CalibratorTable(model_name="xgb", x=x, y=y))
    assert made.probability(0.5) is None
    assert "xgb" in caplog.text


def test_a_trading_state_of_a_later_release_is_a_halt() -> None:
    """Whoever ordered it wanted less trading."""
    rule = state_rule(pb.TradingStateEntry(state=77, actor="ops"))  # type: ignore[arg-type]
    assert rule is not None
    assert rule.is_halt
    assert state_rule(pb.TradingStateEntry(state=pb.TRADING_STATE_ACTIVE)) is None


def test_a_breaker_is_what_its_state_says() -> None:
    """CLOSED is left out; HALF_OPEN asks at once; OPEN without an end stays open."""
    assert breaker_rule(pb.Breaker(state=pb.BREAKER_STATE_CLOSED)) is None
    half, open_ = (
        breaker_rule(pb.Breaker(state=state))
        for state in (pb.BREAKER_STATE_HALF_OPEN, pb.BREAKER_STATE_OPEN)
    )
    assert half is not None
    assert open_ is not None
    assert (half.half_open_ns, open_.half_open_ns) == (0, FOREVER_NS)


def test_a_fallback_that_makes_no_sense_is_the_contracts() -> None:
    """Value by value."""
    assert fallback_of(pb.GateSnapshot()) == Fallback(0.75, 0.8, 0.02)
    told = pb.FallbackRule(confidence_threshold=1.5, confidence_multiplier=0.5)
    assert fallback_of(pb.GateSnapshot(fallback=told)) == Fallback(0.75, 0.5, 0.02)
