"""What the signal gate refuses: every field by its path, before anything is read or changed."""

import base64
import contextlib
import math
import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from trimtab.v1 import event_pb2 as ev
from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab_server.domain.gate.gate_world import BreakerKey
from trimtab_server.domain.gate.signal_gate import BreakerKind, Intent, Scope, World
from trimtab_server.errors import InvalidRequest
from trimtab_server.rpc.gate_requests import (
    asked,
    breaker_position,
    breaker_token,
    listed,
    reset_order,
    state_order,
    trip_order,
    watched,
)

LIVE, BACKTEST = ev.ENVIRONMENT_LIVE, ev.ENVIRONMENT_BACKTEST
LONG = "x" * 65
NEWLINE = "a\nb"


def _question(**told: Any) -> pb.ShouldAllowSignalsRequest:
    return pb.ShouldAllowSignalsRequest(**{"source": "alpha", "environment": LIVE, **told})


def _signal(**told: Any) -> pb.SignalQuery:
    return pb.SignalQuery(**{"signal_id": "s-1", **told})


def _order(message: type, /, **told: Any) -> Any:
    usual = {
        "scope": pb.GateScope(environment=LIVE),
        "reason": "why",
        "actor": "me",
        "request_id": str(uuid.uuid4()),
    }
    return message(**{**usual, **told})


def _set(**told: Any) -> Any:
    return _order(pb.SetTradingStateRequest, **{"state": pb.TRADING_STATE_HALTED, **told})


def _trip(**told: Any) -> Any:
    return _order(pb.TripBreakerRequest, **{"kind": pb.BREAKER_KIND_DRAWDOWN, **told})


def _reset(**told: Any) -> Any:
    return _order(pb.ResetBreakerRequest, **told)


_RUN = {"environment": BACKTEST, "run_id": "r"}
_QUESTIONS = {
    "source": _question(source=""),
    "source ": _question(source=LONG),
    "strategy": _question(strategy=NEWLINE),
    "symbol": _question(symbol=LONG),
    "environment": _question(environment=0),
    "environment ": _question(environment=9),
    "run_id": _question(environment=BACKTEST, signal_time=Timestamp(seconds=1)),
    "run_id ": _question(environment=BACKTEST, run_id="r" * 129, signal_time=Timestamp(seconds=1)),
    "signal_time": _question(**_RUN),
    "signal_time ": _question(**_RUN, signal_time=Timestamp(seconds=-1)),
    "signals": _question(signals=[_signal()] * 257),
    "signals[0].signal_id": _question(signals=[_signal(signal_id="")]),
    "signals[0].signal_id ": _question(signals=[_signal(signal_id="s" * 129)]),
    "signals[1].signal_id": _question(signals=[_signal(), _signal(signal_id="\0")]),
    "signals[0].side": _question(signals=[_signal(side=77)]),
    "signals[0].intent": _question(signals=[_signal(intent=77)]),
    "signals[0].model_name": _question(signals=[_signal(model_name=LONG)]),
    "signals[3].confidence": _question(signals=[_signal()] * 3 + [_signal(confidence=math.nan)]),
    "signals[0].confidence": _question(signals=[_signal(confidence=1.0000001)]),
    "signals[0].confidence ": _question(signals=[_signal(confidence=-math.inf)]),
}
_ORDERS: dict[str, tuple[Callable[[Any], object], Any]] = {
    "scope": (state_order, _set(scope=None)),
    "scope.environment": (trip_order, _trip(scope=pb.GateScope())),
    "scope.run_id": (reset_order, _reset(scope=pb.GateScope(environment=LIVE, run_id="r"))),
    "scope.run_id ": (state_order, _set(scope=pb.GateScope(environment=BACKTEST))),
    "scope.model_name": (
        state_order,
        _set(scope=pb.GateScope(environment=LIVE, model_name=LONG)),
    ),
    "state": (state_order, _set(state=0)),
    "state ": (state_order, _set(state=9)),
    "block_exits": (state_order, _set(state=pb.TRADING_STATE_REDUCING, block_exits=True)),
    "until": (
        state_order,
        _set(state=pb.TRADING_STATE_ACTIVE, until=Timestamp(seconds=5 * 10**9)),
    ),
    "until ": (state_order, _set(until=Timestamp(seconds=1, nanos=-1))),
    "reason": (state_order, _set(reason="")),
    "reason ": (trip_order, _trip(reason="r" * 1_025)),
    "reason  ": (reset_order, _reset(reason="\0")),
    "actor": (state_order, _set(actor="")),
    "actor ": (state_order, _set(actor=LONG)),
    "request_id": (state_order, _set(request_id="")),
    "request_id ": (trip_order, _trip(request_id=str(uuid.uuid4()).upper())),
    "etag": (reset_order, _reset(etag=LONG)),
    "kind": (trip_order, _trip(kind=0)),
    "kind ": (reset_order, _reset(kind=9)),
    "cool_down": (trip_order, _trip(cool_down=Duration())),
    "cool_down ": (trip_order, _trip(cool_down=Duration(seconds=366 * 86_400, nanos=1))),
    "cool_down  ": (trip_order, _trip(cool_down=Duration(seconds=-1))),
    "cool_down   ": (
        trip_order,
        _trip(kind=pb.BREAKER_KIND_STALE_DATA, cool_down=Duration(seconds=60)),
    ),
}


@pytest.mark.parametrize("field", _QUESTIONS)
def test_a_question_is_refused_by_the_field_at_fault(field: str) -> None:
    """One field at fault, and its path is all that is named."""
    with pytest.raises(InvalidRequest) as refused:
        asked(_QUESTIONS[field])
    assert [each.field for each in refused.value.violations] == [field.strip()]


@pytest.mark.parametrize("field", _ORDERS)
def test_an_order_is_refused_by_the_field_at_fault(field: str) -> None:
    """As a question."""
    read, request = _ORDERS[field]
    with pytest.raises(InvalidRequest) as refused:
        read(request)
    assert [each.field for each in refused.value.violations] == [field.strip()]


def test_all_fields_at_fault_are_named_at_once() -> None:
    """Up to sixteen of them."""
    with pytest.raises(InvalidRequest) as refused:
        state_order(_set(state=0, reason="", actor=""))
    assert {each.field for each in refused.value.violations} == {"state", "reason", "actor"}
    with pytest.raises(InvalidRequest) as refused:
        asked(_question(signals=[_signal(signal_id="")] * 256))
    assert len(refused.value.violations) == 16


def test_watchers_and_lists_are_checked_too() -> None:
    """A world that will not do, a source that is missing, a revision below zero."""
    cases: list[tuple[Callable[[Any], object], Any, list[str]]] = [
        (watched, pb.WatchSignalGateRequest(environment=LIVE, revision=-1), ["source", "revision"]),
        (watched, pb.WatchSignalGateRequest(source="a"), ["environment"]),
        (watched, pb.WatchSignalGateRequest(source="a", environment=LIVE, log_id=LONG), ["log_id"]),
        (listed, pb.ListBreakersRequest(environment=LIVE, run_id="r"), ["run_id"]),
        (listed, pb.ListBreakersRequest(environment=BACKTEST), ["run_id"]),
    ]
    for read, request, fields in cases:
        with pytest.raises(InvalidRequest) as refused:
            read(request)
        assert [each.field for each in refused.value.violations] == fields


def test_what_is_right_is_read_as_it_stands() -> None:
    """Names of 64 characters, any letters, borders of confidence; an intent not told is ENTRY, and
    a run that LIVE names is not looked at."""
    name = "\N{NO-BREAK SPACE}é" * 32
    signals = [
        _signal(confidence=0.0, model_name=name),
        _signal(confidence=1.0, intent=ev.INTENT_EXIT, side=ev.SIDE_SELL),
        _signal(),
    ]
    found = asked(_question(strategy=name, run_id="r", signals=signals))
    assert found.place.world == World(int(LIVE), "")
    assert found.time_ns is None
    first, second, third = found.queries
    assert first.scope == Scope("alpha", name, "", name)
    assert (first.confidence, first.intent) == (0.0, Intent.ENTRY)
    assert (second.confidence, second.intent) == (1.0, Intent.EXIT)
    assert third.confidence is None
    assert trip_order(_trip(cool_down=Duration(seconds=366 * 86_400)))[2] == 366 * 86_400 * 10**9
    assert trip_order(_trip())[2] is None
    assert reset_order(_reset())[2] is None


def test_orders_that_differ_in_anything_differ_in_their_digest() -> None:
    """The same words are the same order, and another method's order is another one."""
    one = _set()
    assert state_order(one)[0] == state_order(one)[0]
    digests = {state_order(one)[0].digest}
    for name, value in (("reason", "other"), ("actor", "other"), ("block_exits", True)):
        other = pb.SetTradingStateRequest()
        other.CopyFrom(one)
        setattr(other, name, value)
        digests.add(state_order(other)[0].digest)
    digests.add(trip_order(_trip(request_id=one.request_id))[0].digest)
    digests.add(reset_order(_reset(request_id=one.request_id))[0].digest)
    assert len(digests) == 6


def test_a_page_token_comes_back_whole_or_not_at_all() -> None:
    """Every name of every length; one changed character, another question or another log is
    refused, never followed."""
    request = pb.ListBreakersRequest(environment=BACKTEST, run_id="r")
    key = BreakerKey(Scope("é" * 64, '"', "\\", "d" * 64), BreakerKind.DRAWDOWN, "rule")
    request.page_token = token = breaker_token(request, "log", key)
    assert breaker_position(request, "log") == key
    rng = random.Random(7)
    for _ in range(300):
        at = rng.randrange(len(token))
        request.page_token = token[:at] + rng.choice("ABCabc019-_") + token[at + 1 :]
        with contextlib.suppress(InvalidRequest):
            assert isinstance(breaker_position(request, "log"), BreakerKey)
    request.page_token = base64.urlsafe_b64encode(b"[" * 3_000).decode()
    with pytest.raises(InvalidRequest):
        breaker_position(request, "log")
    request.page_token = token
    for changed, log_id in ((request, "other"), (_other(request, token), "log")):
        with pytest.raises(InvalidRequest):
            breaker_position(changed, log_id)


def _other(request: pb.ListBreakersRequest, token: str) -> pb.ListBreakersRequest:
    return pb.ListBreakersRequest(environment=request.environment, run_id="other", page_token=token)
