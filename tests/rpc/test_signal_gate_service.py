"""The signal gate through a real server: orders hold at once, are told to watchers, and survive."""

import uuid
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from tests.conftest import Sidecar
from tests.rpc.gate_calls import (
    BACKTEST,
    LIVE,
    PAPER,
    POLICY_FLAGS,
    Operator,
    at,
    code_of,
    operator,
    until_revision,
)
from tests.rpc.statuses import refused
from trimtab.v1 import event_pb2 as ev
from trimtab.v1 import signal_gate_service_pb2 as pb

Code = grpc.StatusCode
DENY, ALLOW, REDUCE = pb.GATE_VERDICT_DENY, pb.GATE_VERDICT_ALLOW, pb.GATE_VERDICT_REDUCE
LOSSES = pb.BREAKER_KIND_CONSECUTIVE_LOSSES
DRAWDOWN = pb.BREAKER_KIND_DRAWDOWN


def an_id() -> str:
    """A new request_id."""
    return str(uuid.uuid4())


# -- states -------------------------------------------------------------------------------------


def test_a_halt_holds_and_is_told_when_the_order_returns(run: Operator) -> None:
    """SetTradingState returns: the next question is denied with the actor's words, an exit passes,
    and a watcher hears of it."""
    stream = run.watch()
    first = next(stream)
    assert (first.revision, first.snapshot.trading_states[:]) == (0, [])
    assert run.verdict().verdict == ALLOW
    done = run.halt(strategy="momentum")
    assert (done.revision, done.etag) == (first.revision + 1, str(first.revision + 1))
    denied = run.verdict(strategy="momentum")
    assert (denied.verdict, denied.size_multiplier) == (DENY, 0.0)
    assert [code_of(each) for each in denied.reasons] == ["HALTED"]
    assert denied.reasons[0].message == "halted by tester: a test"
    assert run.verdict(strategy="carry").verdict == ALLOW
    assert run.verdict(strategy="momentum", intent=ev.INTENT_EXIT).verdict == ALLOW
    told = until_revision(stream, done.revision)
    assert told.snapshot.trading_states[:] == [done.current]
    resumed = run.resume(strategy="momentum")
    assert (resumed.previous, resumed.HasField("current")) == (done.current, False)
    assert run.verdict(strategy="momentum").verdict == ALLOW
    assert until_revision(stream, resumed.revision).snapshot.trading_states[:] == []


def test_no_resume_defeats_another_halt(run: Operator) -> None:
    """ACTIVE takes away exactly its own scope's state, and tells what still holds."""
    everything = run.halt().current
    run.halt(strategy="momentum")
    done = run.resume(strategy="momentum")
    assert done.still_in_force[:] == [everything]
    assert run.codes(strategy="momentum") == ["HALTED"]


def test_an_empty_question_tells_whether_an_entry_is_possible(run: Operator) -> None:
    """Of what covers the names that are told; a halt of one strategy is none of another."""
    run.halt(strategy="momentum")
    assert run.ask().allowed
    asked = run.ask(strategy="momentum")
    assert (asked.allowed, [code_of(each) for each in asked.reasons]) == (False, ["HALTED"])


def test_until_ends_a_halt_on_the_clock_of_the_run(run: Operator) -> None:
    """A run's clock is event time: what is asked about a later time is not halted."""
    run.ask(signal_time=at(1_000))
    with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "until"):
        run.set_state(pb.TRADING_STATE_HALTED, until=at(1_000))
    run.set_state(pb.TRADING_STATE_HALTED, until=at(2_000))
    assert run.verdict(signal_time=at(1_999)).verdict == DENY
    assert run.verdict(signal_time=at(2_000)).verdict == ALLOW


# -- each reason code ---------------------------------------------------------------------------


def _reach(run: Operator, code: str) -> tuple[list[str], int]:
    """The codes and the verdict of a question that ends in `code`."""
    told: dict[str, Any] = {}
    if code == "HALTED":
        run.halt()
    elif code == "EXITS_BLOCKED":
        run.set_state(pb.TRADING_STATE_HALTED, block_exits=True)
        told = {"intent": ev.INTENT_EXIT}
    elif code == "REDUCING":
        run.set_state(pb.TRADING_STATE_REDUCING)
    elif code in ("BREAKER_OPEN", "PROBE_GRANTED", "PROBES_EXHAUSTED"):
        run.ask(signal_time=at(1_000))
        run.trip(DRAWDOWN, cool_down=Duration(seconds=60))
        told = {"signal_time": at(1_059 if code == "BREAKER_OPEN" else 1_060)}
        for i in range(3 if code == "PROBES_EXHAUSTED" else 0):
            run.verdict(f"probe-{i}", **told)
    elif code == "CONFIDENCE_MISSING":
        told = {"strategy": "sure"}
    elif code == "BELOW_THRESHOLD":
        told = {"strategy": "sure", "confidence": 0.69}
    elif code == "NOT_CALIBRATED":
        told = {"strategy": "calibrated", "confidence": 0.9}
    else:
        told = {"strategy": "sized"}
    verdict = run.verdict(**told)
    return [code_of(each) for each in verdict.reasons], verdict.verdict


@pytest.mark.parametrize("number", range(1, 11))
def test_each_reason_of_the_server_is_reached(ruled: Operator, number: int) -> None:
    """Alone, with the verdict that belongs to it."""
    code = pb.GateReasonCode.Name(number).removeprefix("GATE_REASON_CODE_")
    passing = {"PROBE_GRANTED": ALLOW, "SIZE_LIMITED": REDUCE}
    assert _reach(Operator(ruled.stub), code) == ([code], passing.get(code, DENY))


def test_parameters_of_the_policy_are_applied_and_listed(ruled: Operator) -> None:
    """A sized signal gets its numbers; the list tells the parameters and the fallback rule."""
    verdict = ruled.verdict(strategy="sized")
    assert (verdict.size_multiplier, verdict.max_position_fraction) == (0.5, 0.1)
    sure = ruled.verdict(strategy="sure", confidence=0.7)
    assert (sure.verdict, sure.applied_threshold) == (ALLOW, 0.7)
    assert sure.threshold_scale == ev.THRESHOLD_SCALE_CONFIDENCE
    listed = ruled.breakers()
    assert {each.scope.strategy for each in listed.parameters} == {"sized", "sure", "calibrated"}
    assert listed.fallback.confidence_threshold == 0.75


# -- breakers by hand ---------------------------------------------------------------------------


def test_a_breaker_opened_by_hand_denies_until_it_is_reset(run: Operator) -> None:
    """And the reset tells exactly what it cleared."""
    tripped = run.trip(LOSSES, {"strategy": "momentum"})
    assert tripped.current.state == pb.BREAKER_STATE_OPEN
    assert not tripped.current.HasField("open_until")
    assert not tripped.HasField("previous")
    assert run.codes(strategy="momentum", signal_time=at(10**9)) == ["BREAKER_OPEN"]
    again = run.trip(LOSSES, {"strategy": "momentum"}, reason="still")
    assert (again.previous, again.current.trip_count) == (tripped.current, 1)
    cleared = run.reset({"strategy": "momentum"})
    assert cleared.cleared[:] == [again.current]
    assert cleared.still_not_closed[:] == []
    assert run.verdict(strategy="momentum").verdict == ALLOW
    assert run.breakers(include_closed=True).breakers[:] == []


def test_a_reset_takes_what_it_was_told_to(run: Operator) -> None:
    """Exactly the scope, or narrower ones too; one kind, or all; with validate_only nothing."""
    run.trip(LOSSES)
    run.trip(DRAWDOWN)
    run.trip(LOSSES, {"strategy": "momentum", "symbol": "BTC-USDT"})
    run.trip(LOSSES, {"strategy": "carry"})
    order = {"kind": LOSSES, "include_narrower": True, "request_id": an_id()}
    names = {"strategy": "momentum"}
    tried = run.reset(names, validate_only=True, **order)
    assert [each.scope.symbol for each in tried.cleared] == ["BTC-USDT"]
    assert tried.etag == run.breakers().etag
    # A preview remembers nothing: its id is free for the order, and for no preview then.
    done = run.reset(names, **order)
    with refused(Code.ALREADY_EXISTS, "REQUEST_ID_REUSED"):
        run.reset(names, validate_only=True, **order)
    assert done.cleared[:] == tried.cleared[:]
    assert {each.kind for each in done.still_not_closed} == {LOSSES, DRAWDOWN}
    nothing = run.reset({"source": "nobody"})
    assert (nothing.cleared[:], nothing.revision) == ([], done.revision)
    run.reset(include_narrower=True)
    assert run.breakers().breakers[:] == []


def test_breakers_are_listed_page_by_page(run: Operator) -> None:
    """Each once, in order; a token is good for its question alone."""
    for name in ("b", "a", "c"):
        for kind in (DRAWDOWN, LOSSES):
            run.trip(kind, {"strategy": name})
    halt = run.halt(strategy="x").current
    found, token = [], ""
    for _ in range(3):
        page = run.breakers(page_size=2, page_token=token)
        assert page.trading_states[:] == [halt]
        found += [(each.scope.strategy, each.kind) for each in page.breakers]
        token = page.next_page_token
    assert token == ""
    assert found == [(name, kind) for name in "abc" for kind in sorted((DRAWDOWN, LOSSES))]
    first = run.breakers(page_size=2).next_page_token
    for told in ({"include_closed": True, "page_token": first}, {"page_token": "!"}):
        with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "page_token"):
            run.breakers(**told)
    with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "page_token"):
        Operator(run.stub).breakers(page_token=first)


# -- orders happen once -------------------------------------------------------------------------


def test_the_same_order_again_is_answered_the_same(run: Operator) -> None:
    """And changes nothing; the same id for another order is refused."""
    told: dict[str, Any] = {"request_id": an_id(), "until": at(2_000)}
    first = run.set_state(pb.TRADING_STATE_HALTED, **told)
    run.ask(signal_time=at(3_000))
    run.halt(strategy="momentum")
    assert run.set_state(pb.TRADING_STATE_HALTED, **told) == first
    assert run.breakers().revision == first.revision + 1
    with refused(Code.ALREADY_EXISTS, "REQUEST_ID_REUSED"):
        run.set_state(pb.TRADING_STATE_REDUCING, **told)
    with refused(Code.ALREADY_EXISTS, "REQUEST_ID_REUSED"):
        run.reset(request_id=told["request_id"])


def test_an_order_for_an_older_state_is_refused(run: Operator) -> None:
    """ETAG_STALE, and nothing changes; with the present etag it is carried out."""
    etag = run.breakers().etag
    first = run.set_state(pb.TRADING_STATE_HALTED, etag=etag)
    for late in (
        lambda: run.set_state(pb.TRADING_STATE_ACTIVE, etag=etag),
        lambda: run.trip(LOSSES, etag=etag),
        lambda: run.reset(etag=etag),
        lambda: run.reset(etag=etag, validate_only=True),
    ):
        with refused(Code.ABORTED, "ETAG_STALE"):
            late()
    assert run.breakers().revision == first.revision
    assert run.trip(LOSSES, etag=first.etag).revision == first.revision + 1


# -- worlds, restarts, ends ---------------------------------------------------------------------


def test_environments_and_runs_never_mix(sidecar: Callable[..., Sidecar]) -> None:
    """A halt of PAPER, and one of a run, deny nothing in LIVE; its revision stays."""
    one = sidecar()
    with grpc.insecure_channel(one.address) as channel:
        live, paper, run = (operator(channel, each) for each in (LIVE, PAPER, BACKTEST))
        paper.halt()
        run.halt()
        assert (paper.verdict().verdict, run.verdict().verdict) == (DENY, DENY)
        assert Operator(run.stub).verdict().verdict == ALLOW
        assert live.verdict().verdict == ALLOW
        assert live.ask().revision == 0


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_after_a_restart_the_answers_are_the_same(
    sidecar: Callable[..., Sidecar], end: str
) -> None:
    """A restart never re-arms trading: states, breakers, their ends and the revision are what they
    were, and an order that was answered is answered the same."""
    one = sidecar(*POLICY_FLAGS)
    with grpc.insecure_channel(one.address) as channel:
        live = operator(channel, LIVE)
        live.halt(strategy="momentum")
        live.trip(DRAWDOWN, {"symbol": "BTC-USDT"}, cool_down=Duration(seconds=3_600))
        told = {"request_id": an_id(), "reason": "once"}
        answer = live.set_state(pb.TRADING_STATE_REDUCING, {"strategy": "carry"}, **told)
        before, asked = live.breakers(), live.ask(pb.SignalQuery(signal_id="s"), symbol="BTC-USDT")
        snapshot = next(live.watch())
    getattr(one, end)()
    one.process.wait(20)
    one.restart(same_address=False)
    with grpc.insecure_channel(one.address) as channel:
        live = operator(channel, LIVE)
        after, again = live.breakers(), live.ask(pb.SignalQuery(signal_id="s"), symbol="BTC-USDT")
        for each in (before, asked, after, again):
            each.ClearField("server_time")
        assert (after, again) == (before, asked)
        assert live.set_state(pb.TRADING_STATE_REDUCING, {"strategy": "carry"}, **told) == answer
        told_anew = next(
            live.watch(log_id=snapshot.log_id, boot_id=snapshot.boot_id, revision=snapshot.revision)
        )
        assert told_anew.snapshot == snapshot.snapshot
        assert told_anew.boot_id != snapshot.boot_id
