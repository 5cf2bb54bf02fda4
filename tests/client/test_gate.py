"""The gate in virtual time: states of the lease, what it answers in each, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.client.gates import BACKTEST, LIVE, PAPER, SECOND_NS, Gate, breaker, halt, snapshot
from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab_client import GateChange, SignalBlocked, SignalGate
from trimtab_client.gate_lease import Intake


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """Built OPEN, ready, nothing heard."""
    made = Gate(tmp_path)
    made.gate.tick()
    return made


def test_a_lease_ages_by_the_monotonic_clock(gate: Gate) -> None:
    """FRESH up to two thirds, STALE up to the end, EXPIRED beyond; a renewal makes it FRESH."""
    assert gate.gate.state == "NO_LEASE"
    gate.hear(snapshot())
    for after_s, state, source in ((4.0, "FRESH", "LEASE"), (2.0, "STALE", "STALE")):
        gate.clock.pass_s(after_s)
        assert (gate.ask().state, gate.ask().gate_source) == (state, source)
        assert gate.ask().verdict == "ALLOW"
    gate.clock.wall_ns -= 3_600 * SECOND_NS
    gate.clock.pass_s(0.001)
    assert (gate.ask().state, gate.ask().gate_source) == ("EXPIRED", "FALLBACK")
    assert gate.renew() is Intake.RENEWED
    assert gate.gate.state == "FRESH"


def test_an_answer_is_true_when_the_signal_may_be_emitted(gate: Gate) -> None:
    """And raises with its reasons on demand when it may not."""
    gate.hear(snapshot())
    allowed = gate.ask()
    assert allowed
    assert allowed.raise_if_denied() is allowed
    gate.hear(snapshot(2, halted=True))
    denied = gate.ask()
    assert not denied
    assert not denied.allowed
    with pytest.raises(SignalBlocked, match="HALTED: halted by ops: news") as blocked:
        denied.raise_if_denied()
    assert blocked.value.reasons == denied.reasons
    assert denied.revision == 2


def test_an_until_ends_by_the_servers_clock_while_the_lease_holds(gate: Gate) -> None:
    """The plan that was made before it ended is not used after it."""
    told = snapshot()
    halt(told, until_ns=gate.server_ns + 2 * SECOND_NS)
    gate.hear(told)
    assert gate.ask().codes == ("HALTED",)
    gate.clock.wall_ns += 10**18
    assert gate.ask().codes == ("HALTED",)
    gate.clock.pass_s(2.0)
    assert gate.ask().verdict == "ALLOW"


def test_without_the_sidecar_exits_pass_and_entries_go_by_the_policy(tmp_path: Path) -> None:
    """CLOSED denies; OPEN needs the fallback's confidence, and tells what it did."""
    shut, open_ = Gate(tmp_path / "a", on_unavailable="CLOSED"), Gate(tmp_path / "b")
    for each in (shut, open_):
        assert each.ask(intent="EXIT").verdict == "ALLOW"
        assert each.ask().codes == ("NO_LEASE", "STARTING")
        each.gate.tick()
        assert each.ask(intent="REDUCE").codes == ("NO_LEASE",)
    assert (shut.ask().verdict, shut.ask().codes) == ("DENY", ("NO_LEASE",))
    passed = open_.ask(0.9)
    assert (passed.verdict, passed.probability, passed.max_position_fraction) == (
        "REDUCE", 0.72, 0.02,
    )  # fmt: skip
    assert passed.codes == ("NO_LEASE", "FALLBACK")
    assert (passed.threshold, passed.threshold_scale) == (0.75, "CONFIDENCE")
    for confidence in (None, 0.7499):
        assert open_.ask(confidence).codes == ("NO_LEASE", "BELOW_FALLBACK_THRESHOLD")


def test_the_servers_fail_policy_closes_a_gate_that_was_built_open(gate: Gate) -> None:
    """From the last snapshot, after the lease too."""
    gate.hear(snapshot(fail_policy=pb.FAIL_POLICY_CLOSED))
    gate.clock.pass_s(60)
    assert (gate.ask().verdict, gate.ask().codes) == ("DENY", ("LEASE_EXPIRED",))


def test_only_the_server_grants_probes(tmp_path: Path) -> None:
    """A half-open breaker is answered by the fail policy, told as such."""
    for built, verdict, codes in (
        ("OPEN", "REDUCE", ("ASK_REQUIRED", "FALLBACK")),
        ("CLOSED", "DENY", ("ASK_REQUIRED",)),
    ):
        each = Gate(tmp_path / built, on_unavailable=built)
        told = snapshot()
        breaker(told, open_until_ns=each.server_ns + SECOND_NS)
        each.hear(told)
        assert each.ask().codes == ("BREAKER_OPEN",)
        each.clock.pass_s(1.0)
        answer = each.ask()
        assert (answer.verdict, answer.codes, answer.gate_source) == (verdict, codes, "FALLBACK")
        assert answer.state == "FRESH"
        assert each.ask(intent="EXIT").codes == ()


def test_a_denial_outlives_the_lease(gate: Gate) -> None:
    """Neither `until` nor a cool-down ends it offline; other scopes go by the fallback."""
    told = snapshot()
    halt(told, until_ns=gate.server_ns + 2 * SECOND_NS, symbol="AAPL")
    breaker(told, open_until_ns=gate.server_ns - SECOND_NS, symbol="MSFT")
    gate.hear(told)
    gate.clock.pass_s(3_600)
    assert gate.ask().codes == ("HALTED", "STICKY_DENIAL", "LEASE_EXPIRED")
    assert gate.ask(symbol="MSFT").codes == ("BREAKER_OPEN", "STICKY_DENIAL", "LEASE_EXPIRED")
    assert gate.ask(symbol="TSLA").codes == ("LEASE_EXPIRED", "FALLBACK")
    assert gate.ask(intent="EXIT").codes == ("LEASE_EXPIRED",)


def test_blocked_exits_pass_once_the_lease_is_gone(gate: Gate) -> None:
    """Absence never blocks an exit."""
    told = snapshot()
    halt(told, block_exits=True)
    gate.hear(told)
    assert gate.ask(intent="EXIT").codes == ("EXITS_BLOCKED",)
    gate.clock.pass_s(6.1)
    assert gate.ask(intent="EXIT").verdict == "ALLOW"


def test_an_older_state_of_the_same_log_is_refused(gate: Gate) -> None:
    """It renews nothing, and after the lease the answers say so; another log is taken."""
    gate.hear(snapshot(5, halted=True))
    assert gate.hear(snapshot(4)) is Intake.REFUSED
    assert gate.renew() is Intake.REFUSED
    assert gate.ask().codes == ("HALTED",)
    assert gate.gate.stats.refused
    gate.clock.pass_s(6.1)
    codes = ("HALTED", "STICKY_DENIAL", "LEASE_EXPIRED", "SNAPSHOT_REFUSED")
    assert gate.ask().codes == codes
    gate.log_id = "log-2"
    assert gate.hear(snapshot(4)) is Intake.REFUSED
    assert gate.gate.apply(gate.message(snapshot(4), former_log_ids=["log-1"])) is Intake.TAKEN
    assert gate.ask().verdict == "ALLOW"
    assert (gate.gate.stats.refused, gate.gate.stats.log_change_count) == (False, 1)


def test_the_same_revision_with_another_policy_is_taken(gate: Gate) -> None:
    """A restarted server may have another policy at the same revision."""
    gate.hear(snapshot(3))
    gate.boot_id = "boot-2"
    told = snapshot(3)
    told.parameters.add(max_position_fraction=0.5).scope.environment = PAPER
    assert gate.renew() is Intake.UNUSABLE
    assert gate.hear(told) is Intake.TAKEN
    assert gate.ask().max_position_fraction == 0.5


def test_a_message_that_contradicts_itself_is_of_no_use(gate: Gate) -> None:
    """It neither renews nor replaces anything."""
    assert gate.renew() is Intake.UNUSABLE
    assert gate.gate.apply(gate.message(snapshot(2), revision=3)) is Intake.UNUSABLE
    assert gate.gate.apply(gate.message(snapshot(2), log_id="")) is Intake.UNUSABLE
    assert gate.gate.state == "NO_LEASE"


def test_rules_of_another_world_or_engine_do_not_bind(gate: Gate) -> None:
    """Nothing of one world touches another."""
    told = snapshot()
    halt(told).scope.environment = LIVE
    halt(told).scope.source = "beta-1"
    gate.hear(told)
    assert gate.ask().verdict == "ALLOW"


@pytest.mark.parametrize(
    ("wrong", "error", "name"),
    [
        ({"confidence": 1.01}, ValueError, "confidence"),
        ({"confidence": float("nan")}, ValueError, "confidence"),
        ({"confidence": "high"}, TypeError, "confidence"),
        ({"intent": "BUY"}, ValueError, "intent"),
        ({"side": ["BUY"]}, TypeError, "side"),
        ({"side": "UP"}, ValueError, "side"),
        ({"symbol": 7}, TypeError, "symbol"),
        ({"strategy": "x" * 65}, ValueError, "strategy"),
        ({"model_name": None}, TypeError, "model_name"),
        ({"signal_id": "x" * 129}, ValueError, "signal_id"),
        ({"signal_id": 12}, TypeError, "signal_id"),
        ({"event_time_ns": "now"}, TypeError, "event_time_ns"),
    ],
)
@pytest.mark.parametrize("has_lease", [True, False])
def test_an_argument_that_makes_no_sense_is_named(
    gate: Gate, wrong: dict[str, Any], error: type[Exception], name: str, has_lease: bool
) -> None:
    """With a lease and without one, the first time and the second."""
    if has_lease:
        gate.hear(snapshot())
    for _ in range(2):
        with pytest.raises(error, match=name):
            gate.ask(**wrong)


def test_a_backtest_runs_on_its_own_time(tmp_path: Path) -> None:
    """Every question tells it; after the lease it stands where it was last asked."""
    gate = Gate(tmp_path, environment="BACKTEST", run_id="r1")
    told = snapshot()
    entry = halt(told, until_ns=1_000)
    entry.scope.environment, entry.scope.run_id = BACKTEST, "r1"
    gate.hear(told)
    with pytest.raises(ValueError, match="event_time_ns"):
        gate.ask()
    assert gate.ask(event_time_ns=999).codes == ("HALTED",)
    assert gate.ask(event_time_ns=1_000).verdict == "ALLOW"
    assert gate.ask(event_time_ns=998).codes == ("HALTED",)
    gate.clock.pass_s(60)
    assert gate.ask(event_time_ns=1_001).codes == ("LEASE_EXPIRED", "FALLBACK")
    assert not list(tmp_path.iterdir())


def test_a_time_that_cannot_be_does_not_move_a_backtests_clock(tmp_path: Path) -> None:
    """Refused by name, also where the same question was answered before."""
    gate = Gate(tmp_path, environment="BACKTEST", run_id="r1")
    told = snapshot()
    entry = halt(told, until_ns=1_000)
    entry.scope.environment, entry.scope.run_id = BACKTEST, "r1"
    gate.hear(told)
    for event_time_ns in (10**30, -1, 7_258_118_400 * SECOND_NS):
        assert gate.ask(event_time_ns=999).codes == ("HALTED",)
        with pytest.raises(ValueError, match="event_time_ns: must lie from 1970 to 2200"):
            gate.ask(event_time_ns=event_time_ns)
    gate.clock.pass_s(60)
    assert "STICKY_DENIAL" in gate.ask(event_time_ns=999).codes


def test_a_backtest_that_was_never_asked_in_time_stays_halted(tmp_path: Path) -> None:
    """Nobody knows that the halt's end was reached."""
    gate = Gate(tmp_path, environment="BACKTEST", run_id="r1")
    told = snapshot()
    entry = halt(told, until_ns=1_000)
    entry.scope.environment, entry.scope.run_id = BACKTEST, "r1"
    gate.hear(told)
    gate.clock.pass_s(60)
    assert "STICKY_DENIAL" in gate.ask(event_time_ns=5_000).codes


def test_any_question_moves_a_backtests_clock(tmp_path: Path) -> None:
    """A halt of another scope that ended meanwhile has ended, though nobody asked about it."""
    gate = Gate(tmp_path, environment="BACKTEST", run_id="r1")
    told = snapshot()
    entry = halt(told, until_ns=1_000, symbol="MSFT")
    entry.scope.environment, entry.scope.run_id = BACKTEST, "r1"
    gate.hear(told)
    for event_time_ns in (1, 1_500):
        assert gate.ask(event_time_ns=event_time_ns).verdict == "ALLOW"
    gate.clock.pass_s(60)
    assert "FALLBACK" in gate.ask(symbol="MSFT", event_time_ns=1_500).codes


def test_changes_are_told_until_somebody_has_heard_enough(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """Each state and revision once; what a callback raises is logged and stops nobody."""
    told: list[GateChange] = []

    def fail(change: GateChange) -> None:
        raise RuntimeError("of the engine")

    gate.gate.on_change(fail)
    end = gate.gate.on_change(told.append)
    gate.hear(snapshot(4))
    gate.gate.tick()
    gate.gate.tick()
    gate.clock.pass_s(5)
    gate.gate.tick()
    end()
    gate.hear(snapshot(5))
    gate.gate.tick()
    assert told == [("FRESH", 4, "NO_LEASE", 0), ("STALE", 4, "FRESH", 4)]
    assert "on_change failed" in caplog.text


def test_callbacks_have_a_limit(gate: Gate) -> None:
    """Who registers one for each signal is told."""
    for _ in range(64):
        gate.gate.on_change(lambda change: None)
    with pytest.raises(ValueError, match="64"):
        gate.gate.on_change(lambda change: None)


def test_thousands_of_kinds_of_question_are_answered_in_bounded_memory(gate: Gate) -> None:
    """Plans are remembered up to a limit."""
    gate.hear(snapshot())
    for number in range(5_000):
        assert gate.ask(symbol=f"S{number}")
    assert len(gate.gate._keeper.lease.rules.plans) <= 4_096


def test_construction_refuses_what_makes_no_sense() -> None:
    """The engine's author is told at once."""
    with pytest.raises(ValueError, match="on_unavailable"):
        SignalGate(source="a", environment="PAPER", on_unavailable="MAYBE")
    with pytest.raises(ValueError, match="source"):
        SignalGate(source="", environment="PAPER")


def test_an_explanation_names_every_rule_that_was_looked_at(gate: Gate) -> None:
    """Those that passed too, with and without a lease."""
    told = snapshot()
    halt(told, symbol="MSFT")
    halt(told, until_ns=gate.server_ns - 1)
    breaker(told, symbol="AAPL")
    told.parameters.add(threshold=0.95, threshold_scale=1).scope.environment = PAPER
    gate.hear(told)
    asked: dict[str, Any] = {"symbol": "AAPL", "confidence": 0.9}
    why = gate.gate.explain(**asked)
    assert [(each.rule, each.outcome) for each in why.findings] == [
        ("lease", "INFO"), ("trading_state", "PASS"), ("trading_state", "PASS"),
        ("breaker", "DENY"), ("calibrator", "INFO"), ("threshold", "DENY"), ("size", "PASS"),
    ]  # fmt: skip
    assert why.answer == gate.gate.check(**asked)
    assert "another scope: halted by ops: news" in str(why)
    gate.hear(snapshot(2, halted=True, parameters=told.parameters))
    told.parameters[0].size_multiplier = 0.5
    denied = gate.gate.explain(**asked)
    assert [(each.rule, each.outcome) for each in denied.findings][-2:] == [
        ("threshold", "DENY"), ("size", "PASS"),
    ]  # fmt: skip
    gate.hear(snapshot(3, breakers=told.breakers))
    gate.clock.pass_s(60)
    why = gate.gate.explain(**asked)
    found = [(each.rule, each.outcome) for each in why.findings]
    assert ("breaker", "DENY") in found
    assert ("sticky", "DENY") in found
    assert gate.gate.explain(symbol="TSLA", confidence=0.9).findings[-1].rule == "fail_policy"


def test_an_explanation_tells_thresholds_and_sizes_whatever_denies(tmp_path: Path) -> None:
    """From the rules, not from the answer: under a halt, a half-open breaker, and without a lease;
    and each gate explains what it answers itself, as it was built."""
    asked: dict[str, Any] = {"symbol": "AAPL", "confidence": 0.9}
    told = snapshot(1)
    entry = told.parameters.add(threshold=0.6, threshold_scale=1, size_multiplier=0.5)
    entry.scope.environment = PAPER
    for built, verdict in (("OPEN", "REDUCE"), ("CLOSED", "DENY")):
        gate = Gate(tmp_path / built, on_unavailable=built)
        halted, half_open = (snapshot(number, parameters=told.parameters) for number in (1, 2))
        halt(halted)
        breaker(half_open, open_until_ns=gate.server_ns - SECOND_NS)
        for each in (halted, half_open, snapshot(3, parameters=told.parameters)):
            gate.hear(each)
            if each.revision == 3:
                gate.clock.pass_s(60)
            why = gate.gate.explain(**asked)
            assert why.answer == gate.gate.check(**asked)
            found = {finding.rule: (finding.outcome, finding.message) for finding in why.findings}
            assert found["threshold"] == ("PASS", "confidence reaches 0.6")
            assert found["size"] == ("LIMIT", "size x 0.5")
            assert why.answer.verdict == ("DENY" if each is halted else verdict)
            if each is not halted:
                assert found["fail_policy"][0] == ("LIMIT" if built == "OPEN" else "DENY")
