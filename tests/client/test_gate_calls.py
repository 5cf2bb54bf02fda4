"""The gate's unary calls and its watch, against the fake."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from trimtab.v1 import event_pb2
from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab_client import (
    Aborted,
    AlreadyExists,
    Client,
    FakeSidecar,
    InvalidArgument,
    OutOfRange,
    signal_query,
)

ORDER: dict[str, Any] = {"environment": "PAPER", "actor": "ann", "reason": "news"}


def test_an_order_is_told_with_what_else_holds(fake: FakeSidecar) -> None:
    """What was before, what is now, and what a resume does not end."""
    with Client(fake.address) as client:
        first = client.set_trading_state(state="HALTED", block_exits=True, **ORDER)
        assert first.current.block_exits
        assert not first.HasField("previous")
        client.trip_breaker(kind="DRAWDOWN", symbol="AAPL", cool_down_s=60, **ORDER)
        resumed = client.set_trading_state(state="ACTIVE", symbol="AAPL", **ORDER)
        assert [each.actor for each in resumed.still_in_force] == ["ann"]
        assert [each.scope.symbol for each in resumed.breakers_not_closed] == ["AAPL"]
        assert not resumed.HasField("current")
        assert resumed.revision == 3


def test_a_breaker_is_reset_by_hand(fake: FakeSidecar) -> None:
    """First only looked at, then cleared."""
    with Client(fake.address) as client:
        client.trip_breaker(kind="DRAWDOWN", symbol="AAPL", **ORDER)
        client.trip_breaker(kind="LOSS_RATE", **ORDER)
        looked = client.reset_breaker(include_narrower=True, validate_only=True, **ORDER)
        assert len(looked.cleared) == 2
        assert client.list_breakers(environment="PAPER").revision == 2
        done = client.reset_breaker(kind="LOSS_RATE", **ORDER)
        assert len(done.cleared) == 1
        assert [each.scope.symbol for each in done.still_not_closed] == ["AAPL"]


def test_breakers_are_listed_page_by_page(fake: FakeSidecar) -> None:
    """With every trading state on each."""
    fake.gate.set_trading_state(environment="PAPER", state="REDUCING")
    for symbol in ("A", "B", "C"):
        fake.gate.trip(environment="PAPER", symbol=symbol)
    with Client(fake.address) as client:
        page = client.list_breakers(environment="PAPER", page_size=2)
        rest = client.list_breakers(
            environment="PAPER", page_size=2, page_token=page.next_page_token
        )
    assert [each.scope.symbol for each in (*page.breakers, *rest.breakers)] == ["A", "B", "C"]
    assert len(page.trading_states) == len(rest.trading_states) == 1
    assert rest.next_page_token == ""


def test_an_order_counts_once(fake: FakeSidecar) -> None:
    """The same id and body again is answered as the first time; another body is refused, and so is
    an order about a world that has changed since."""
    with Client(fake.address) as client:
        request_id = str(uuid.uuid4())
        first = client.set_trading_state(state="HALTED", request_id=request_id, **ORDER)
        again = client.set_trading_state(state="HALTED", request_id=request_id, **ORDER)
        assert again == first
        with pytest.raises(AlreadyExists) as reused:
            client.set_trading_state(state="ACTIVE", request_id=request_id, **ORDER)
        assert reused.value.reason == "REQUEST_ID_REUSED"
        client.set_trading_state(state="ACTIVE", etag=first.etag, **ORDER)
        with pytest.raises(Aborted) as stale:
            client.set_trading_state(state="HALTED", etag=first.etag, **ORDER)
        assert stale.value.reason == "ETAG_STALE"


def test_many_signals_are_judged_in_one_call(fake: FakeSidecar) -> None:
    """In their order; without signals the answer is whether an entry is possible at all."""
    fake.gate.set_trading_state(environment="PAPER", state="HALTED", model_name="old")
    with Client(fake.address) as client:
        told: dict[str, Any] = {"source": "a", "environment": "PAPER", "symbol": "AAPL"}
        answer = client.should_allow_signals(
            signals=[
                signal_query(signal_id="s1", side="BUY", model_name="new", confidence=0.5),
                signal_query(signal_id="s2", side="BUY", model_name="old"),
            ],
            **told,
        )
        assert [each.verdict for each in answer.verdicts] == [1, 3]
        assert not answer.allowed
        assert client.should_allow_signals(**told).allowed
        fake.gate.set_trading_state(environment="PAPER", state="HALTED")
        assert [each.code for each in client.should_allow_signals(**told).reasons] == [1]


def test_a_bad_request_names_its_field(fake: FakeSidecar) -> None:
    """As the server answers it; a word that does not exist never leaves the client."""
    with Client(fake.address) as client:
        with pytest.raises(InvalidArgument) as refused:
            client.list_breakers(environment="BACKTEST")
        assert refused.value.field_violations[0].field == "run_id"
        with pytest.raises(ValueError, match="state"):
            client.set_trading_state(state="OFF", **ORDER)
        with pytest.raises(ValueError, match="kind"):
            client.trip_breaker(kind="LUCK", **ORDER)


def test_a_probe_is_as_large_as_the_parameters_say(fake: FakeSidecar) -> None:
    """As the server grants it: REDUCE, the probe told before what makes it smaller."""
    told = pb.GateParameters(size_multiplier=0.5, max_position_fraction=0.1)
    told.scope.environment = event_pb2.ENVIRONMENT_PAPER
    fake.gate.parameters.append(told)
    fake.gate.trip(environment="PAPER", cool_down_s=1e-6)
    with Client(fake.address) as client:
        [verdict] = client.should_allow_signals(
            source="a", environment="PAPER", signals=[signal_query(signal_id="s1", side="BUY")]
        ).verdicts
    assert verdict.verdict == pb.GATE_VERDICT_REDUCE
    assert (verdict.size_multiplier, verdict.max_position_fraction) == (0.5, 0.1)
    assert [each.code for each in verdict.reasons] == [
        pb.GATE_REASON_CODE_PROBE_GRANTED,
        pb.GATE_REASON_CODE_SIZE_LIMITED,
    ]


def test_a_state_that_has_ended_already_is_refused(fake: FakeSidecar) -> None:
    """As the server refuses it."""
    with Client(fake.address) as client, pytest.raises(InvalidArgument) as refused:
        client.set_trading_state(state="HALTED", until=1, **ORDER)
    assert refused.value.field_violations[0].field == "until"


def test_what_was_only_looked_at_may_be_ordered_by_the_same_id(fake: FakeSidecar) -> None:
    """validate_only changes nothing, so it is no order."""
    with Client(fake.address) as client:
        client.trip_breaker(kind="DRAWDOWN", **ORDER)
        told = ORDER | {"request_id": "00000000-0000-4000-8000-000000000001"}
        assert client.reset_breaker(validate_only=True, **told).revision == 1
        assert client.reset_breaker(**told).revision == 2


def test_a_watch_goes_on_where_it_was(fake: FakeSidecar) -> None:
    """A snapshot first, then changes and renewals; after a restart only what is new."""
    fake.gate.lease_ttl_s = 0.3
    with Client(fake.address) as client:
        watch = client.watch_signal_gate(source="a", environment="PAPER")
        assert next(watch).HasField("snapshot")
        assert not next(watch).HasField("snapshot")
        fake.stop()
        fake.start()
        assert not next(watch).HasField("snapshot")
        revision = fake.gate.set_trading_state(environment="PAPER", state="HALTED")
        changed = next(message for message in watch if message.HasField("snapshot"))
        assert changed.revision == changed.snapshot.revision == revision


def test_a_watch_that_knows_more_than_the_server_ends(fake: FakeSidecar) -> None:
    """An older backup was put back: nobody goes on as if it had not been."""
    fake.gate.set_trading_state(environment="PAPER", state="HALTED")
    with Client(fake.address) as client:
        watch = client.watch_signal_gate(
            source="a", environment="PAPER", log_id=fake.log.log_id, revision=9
        )
        with pytest.raises(OutOfRange) as refused:
            next(watch)
    assert refused.value.reason == "REVISION_AHEAD"
