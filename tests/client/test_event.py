from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest

import trimtab_client
from trimtab_client import (
    EventKind,
    ThresholdRule,
    event_filter,
    exit_plan,
    guard_verdict,
    horizon,
    kind_word,
    market_snapshot,
    to_duration,
    to_ns,
    to_timestamp,
)
from trimtab_client.event import EVENT_KIND, KIND_OF_PAYLOAD, SIDE


@pytest.mark.parametrize("value", ["BUY", "SIDE_BUY", 1])
def test_an_enum_takes_its_word_its_full_name_and_its_number(value: str | int) -> None:
    """Whatever an engine has at hand works."""
    assert SIDE(value, "signal.side") == 1


@pytest.mark.parametrize("value", ["buy", "LONG", 99, ""])
def test_an_unknown_word_names_the_field_and_the_known_words(value: str | int) -> None:
    """A typo is found at its first call, with the answer in the message."""
    with pytest.raises(ValueError, match=r"signal\.side: .* is none of BUY, SELL"):
        SIDE(value, "signal.side")


def test_every_payload_has_its_kind() -> None:
    """The two lists of the contract, payloads and kinds, name the same things."""
    assert sorted(KIND_OF_PAYLOAD.values()) == [k for k in EventKind.values() if k]
    assert kind_word("MARKET_BAR") == kind_word(11) == "MARKET_BAR"
    assert EVENT_KIND.word(999) == "999"


def test_times_keep_their_nanoseconds() -> None:
    """Neither ints nor datetimes lose precision on their way."""
    assert to_timestamp(1_760_000_000_123_456_789).ToNanoseconds() == 1_760_000_000_123_456_789
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert to_timestamp(moment).ToDatetime(UTC) == moment
    assert to_ns(moment) == to_ns(moment.astimezone(timezone(timedelta(hours=-5))))


def test_a_datetime_without_a_zone_is_refused() -> None:
    """A local time by accident would shift every join."""
    with pytest.raises(ValueError, match="time zone"):
        to_ns(datetime(2026, 1, 2))  # noqa: DTZ001 - what is refused


def test_durations_are_seconds_to_the_nanosecond() -> None:
    """Rounding never leaves a whole second in the nanoseconds."""
    assert to_duration(1.5).ToNanoseconds() == 1_500_000_000
    assert to_duration(0.9999999999).seconds == 1
    assert to_duration(-0.25).nanos == -250_000_000


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_a_duration_that_is_no_time_is_refused(value: float) -> None:
    """Protobuf would raise something obscure."""
    with pytest.raises(ValueError, match="finite"):
        to_duration(value)


def test_nested_builders_set_only_what_was_given() -> None:
    """Absent stays absent: zero would be a measurement."""
    snapshot = market_snapshot(bid=1.0, quote_time=5)
    assert snapshot.HasField("bid")
    assert not snapshot.HasField("ask")
    assert snapshot.quote_time.nanos == 5
    plan = exit_plan(holding_period_s=60)
    assert plan.holding_period.seconds == 60
    assert not plan.HasField("stop_loss_price")
    assert horizon(trading_days=7, calendar="XNYS").trading_days == 7


def test_a_guard_verdict_carries_its_rule() -> None:
    """What a what-if needs to recompute the verdict."""
    verdict = guard_verdict(
        guard="volatility",
        result="BLOCK",
        observed_value=0.05,
        limit=0.04,
        memory="STATELESS",
        rule=ThresholdRule(is_minimum=False),
    )
    assert verdict.WhichOneof("rule") == "threshold"
    assert (verdict.result, verdict.memory) == (2, 1)
    with pytest.raises(ValueError, match=r"guard_verdict\.result"):
        guard_verdict(guard="volatility", result="MAYBE")


def test_a_filter_is_built_from_words() -> None:
    """Analysts write words, not numbers."""
    made = event_filter(kinds=["SIGNAL", 11], environment="PAPER", start_time=7)
    assert list(made.kinds) == [1, 11]
    assert made.environment == 2
    assert made.start_time.nanos == 7
    with pytest.raises(ValueError, match=r"filter\.kinds"):
        event_filter(kinds=["BARS"])


def test_everything_exported_exists_and_works_without_opentelemetry() -> None:
    """An engine without opentelemetry-api imports the client and records all the same."""
    assert all(hasattr(trimtab_client, name) for name in trimtab_client.__all__)
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import trimtab_client\n"
        "b = trimtab_client.EventBuilder(source='a', environment='PAPER')\n"
        "assert b.metric(name='x', value=1.0).traceparent == ''\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
