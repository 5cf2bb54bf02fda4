from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from trimtab_client import EventBuilder

BUILDER: Any = EventBuilder(source="a", environment="PAPER")
SIGNAL = {"signal_id": "s1", "side": "BUY"}
BAR = {"symbol": "X", "interval_s": 60, "close": 1.0}
FILL = {"side": "BUY", "quantity": 1.0, "price": 1.0}


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("signal", SIGNAL | {"confidence": "high"}, "confidence: must be a number, not str"),
        ("signal", SIGNAL | {"currency": 5}, "currency: must be text, not int"),
        (
            "signal",
            SIGNAL | {"agreeing_model_count": 1.5},
            "agreeing_model_count: must be an int, not float",
        ),
        (
            "signal",
            SIGNAL | {"features": {"a": 1.0, "rsi": "x"}},
            "features['rsi']: must be a number, not str",
        ),
        ("bar", BAR | {"close": None}, "close: must be a number, not NoneType"),
        ("bar", BAR | {"volume": "1"}, "volume: must be a number, not str"),
        ("bar", BAR | {"interval_s": "60"}, "interval_s: must be a number of seconds, not str"),
        ("tick", {"symbol": "X", "bid": "1"}, "bid: must be a number, not str"),
        ("execution", FILL | {"price": "1"}, "price: must be a number, not str"),
        ("execution", FILL | {"quantity": None}, "quantity: must be a number, not NoneType"),
        ("account", {"equity": "1", "currency": "USD"}, "equity: must be a number, not str"),
        ("outcome", {"signal_id": "s1", "won": "yes"}, "won: must be a bool, not str"),
        (
            "signal",
            SIGNAL | {"event_time": "2024-01-01"},
            (
                "event_time: must be a datetime with a time zone or int nanoseconds UTC "
                "(as event_time_ns), not str"
            ),
        ),
        (
            "signal",
            SIGNAL | {"available_time": 1.5},
            "available_time: must be a datetime with a time zone or int nanoseconds UTC, not float",
        ),
        (
            "signal",
            SIGNAL | {"event_time_ns": "2024-01-01"},
            (
                "event_time_ns: must be int nanoseconds UTC, not str (a datetime with a time zone "
                "goes into event_time)"
            ),
        ),
    ],
)
def test_a_wrong_type_names_its_field(method: str, arguments: dict[str, Any], message: str) -> None:
    """What is at fault, what is allowed, what was given."""
    with pytest.raises(TypeError) as found:
        getattr(BUILDER, method)(**arguments)
    assert str(found.value) == message


def test_a_datetime_without_a_zone_names_its_field() -> None:
    """A value at fault, not a type."""
    naive = datetime(2024, 1, 1)  # noqa: DTZ001 - what is refused
    with pytest.raises(ValueError, match="event_time: a datetime needs a time zone"):
        BUILDER.signal(**SIGNAL, event_time=naive)


def test_a_duration_that_is_not_finite_names_its_field() -> None:
    """As every other number that makes no sense before it is sent."""
    with pytest.raises(ValueError, match="interval_s must be finite"):
        BUILDER.bar(**(BAR | {"interval_s": float("nan")}))
