"""Breakers through a real server: recorded events trip and close them, over kills and sidecars."""

import json
import time
import uuid
from collections.abc import Callable, Iterator

import grpc
import pytest

from tests.conftest import Sidecar
from tests.faults.process import free_address
from tests.faults.stalls import metric
from tests.rpc.gate_calls import BACKTEST, LIVE, PAPER, SOURCE, Operator, Stub, at, code_of
from tests.telemetry.receiver import Receiver
from trimtab.v1 import event_pb2 as ev
from trimtab.v1 import event_service_pb2
from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

RULE = {
    "name": "losses",
    "kind": "consecutive_losses",
    "loss_count": 5,
    "per": ["strategy"],
    "window_s": 86_400,
    "cool_down_s": 3_600,
    "cool_down_jitter": 0,
    "probe_count": 1,
    "success_count": 1,
}
FLAGS = ("--gate", json.dumps({"breakers": [RULE]}))
START_S = 1_700_000_000
WAIT_S_MAX = 20.0


class Engine:
    """Records outcomes of one strategy, and asks the gate."""

    def __init__(self, address: str, environment: int = BACKTEST, run_id: str = "") -> None:
        self._channel = grpc.insecure_channel(address)
        self._events = EventServiceStub(self._channel)
        self.environment = environment
        self.operator = Operator(Stub(self._channel), environment, run_id)
        self.now_s = float(START_S if environment == BACKTEST else int(time.time()) - 3)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def outcome(self, *, won: bool, signal_id: str = "s", count: int = 1) -> None:
        """Records outcomes, a second apart in a run, at once elsewhere."""
        made = []
        for _ in range(count):
            self.now_s += 1 if self.environment == BACKTEST else 0.001
            event = ev.Event(
                event_id=str(uuid.uuid4()),
                source=SOURCE,
                environment=self.environment,  # type: ignore[arg-type]  # the same numbers
                run_id=self.operator.run_id,
                event_time=at(self.now_s),
                signal_id=signal_id,
                strategy="momentum",
                outcome=ev.Outcome(
                    status=ev.OUTCOME_STATUS_MATURED, return_fraction=0.1 if won else -0.1
                ),
            )
            made.append(event)
        request = event_service_pb2.RecordEventsRequest(events=made)
        self._events.RecordEvents(request, timeout=WAIT_S_MAX)

    def codes(self, signal_id: str = "s") -> list[str]:
        """The reasons about a signal of the strategy now."""
        told = {"strategy": "momentum", "signal_time": at(self.now_s)}
        verdict = self.operator.verdict(signal_id, **told)
        return [code_of(each) for each in verdict.reasons]

    def until(self, codes: list[str], signal_id: str = "s") -> None:
        """Waits until these are the reasons."""
        deadline = time.monotonic() + WAIT_S_MAX
        while (found := self.codes(signal_id)) != codes:
            assert time.monotonic() < deadline, f"{found}, not {codes}"
            time.sleep(0.01)

    def observed(self) -> float:
        """What the strategy's breaker has measured last; 0 = nothing."""
        listed = self.operator.breakers(include_closed=True).breakers
        return listed[0].observed_value if listed else 0.0

    def until_observed(self, value: float) -> None:
        """Waits until the breaker has measured this."""
        deadline = time.monotonic() + WAIT_S_MAX
        while self.observed() != value:
            assert time.monotonic() < deadline, f"{self.observed()}, not {value}"
            time.sleep(0.01)


@pytest.mark.parametrize("environment", [BACKTEST, LIVE])
def test_four_losses_a_kill_and_the_fifth_trips(
    sidecar: Callable[..., Sidecar], environment: int
) -> None:
    """What a breaker measured survives SIGKILL; what it denies then, too, and so does the number of
    the revision."""
    one = sidecar(*FLAGS)
    engine = Engine(one.address, environment)
    engine.outcome(won=False, count=4)
    engine.until_observed(4)
    assert engine.codes() == []
    engine.close()
    one.kill()
    again = Engine(one.restart(same_address=False).address, environment, engine.operator.run_id)
    again.now_s = engine.now_s
    again.outcome(won=False)
    again.until(["BREAKER_OPEN"])
    before = again.operator.breakers()
    assert before.breakers[0].reason.startswith("rule losses: 5 losses in a row")
    again.close()
    one.kill()
    third = Engine(one.restart(same_address=False).address, environment, engine.operator.run_id)
    third.now_s = again.now_s
    assert third.codes() == ["BREAKER_OPEN"]
    after = third.operator.breakers()
    for each in (before, after):
        each.ClearField("server_time")
    assert after == before
    third.close()


def test_a_run_trips_and_recovers_by_its_own_clock_alone(
    sidecar: Callable[..., Sidecar],
) -> None:
    """A hundred losses of a run, an hour of its time, a probe that wins: all within seconds; LIVE
    and PAPER stay at their revision and deny nothing."""
    one = sidecar(*FLAGS)
    engine = Engine(one.address)
    live, paper = (Operator(engine.operator.stub, each) for each in (LIVE, PAPER))
    revisions = [each.ask().revision for each in (live, paper)]
    engine.outcome(won=False, count=100)
    engine.until(["BREAKER_OPEN"])
    (breaker,) = engine.operator.breakers().breakers
    assert breaker.open_until.seconds - breaker.open_time.seconds == 3_600
    engine.now_s += 3_600
    assert engine.codes("probe") == ["PROBE_GRANTED"]
    assert engine.codes("other") == ["PROBES_EXHAUSTED"]
    engine.outcome(won=True, signal_id="probe")
    engine.until([], "third")
    assert engine.operator.breakers().breakers[:] == []
    for each in (live, paper):
        assert each.verdict(strategy="momentum").verdict == pb.GATE_VERDICT_ALLOW
    assert [each.ask().revision for each in (live, paper)] == revisions == [0, 0]
    engine.close()


def test_a_breaker_that_one_sidecar_tripped_denies_at_the_other(
    sidecar: Callable[..., Sidecar], postgres_url: str
) -> None:
    """Losses recorded through both; the monitor runs in one, and goes on in the other when that
    one is killed."""
    first, second = (sidecar(*FLAGS, database=postgres_url) for _ in range(2))
    one, two = Engine(first.address), Engine(second.address)
    two.operator.run_id = one.operator.run_id
    for _ in range(2):
        one.outcome(won=False)
        two.now_s = one.now_s
        two.outcome(won=False)
        one.now_s = two.now_s
    one.outcome(won=False)
    two.now_s = one.now_s
    for each in (one, two):
        each.until(["BREAKER_OPEN"])
    first.kill()
    two.now_s += 4_000
    assert two.codes("probe") == ["PROBE_GRANTED"]
    two.outcome(won=True, signal_id="probe")
    two.until([])
    for each in (one, two):
        each.close()


@pytest.fixture
def collector() -> Iterator[Receiver]:
    """An OTLP receiver on a loopback port."""
    with Receiver() as one:
        yield one


def test_the_gate_tells_its_numbers(sidecar: Callable[..., Sidecar], collector: Receiver) -> None:
    """Verdicts, states, trips, watchers and revisions as metrics; a span for every order."""
    metrics = free_address()
    one = sidecar(*FLAGS, "--prometheus-listen", metrics, "--otlp-endpoint", collector.endpoint)
    engine = Engine(one.address, PAPER)
    assert metric(metrics, "trimtab_breaker_state", kind="consecutive_losses") == 0
    stream = engine.operator.watch()
    next(stream)
    assert metric(metrics, "trimtab_gate_watchers") == 1
    engine.codes()
    engine.outcome(won=False, count=5)
    engine.until(["BREAKER_OPEN"])
    engine.operator.halt()
    told = {"environment": "paper"}
    assert metric(metrics, "trimtab_gate_verdicts_total", verdict="allow", **told) >= 1
    assert metric(metrics, "trimtab_gate_verdicts_total", verdict="deny", **told) >= 1
    assert metric(metrics, "trimtab_breaker_trips_total", kind="consecutive_losses") == 1
    assert metric(metrics, "trimtab_breaker_state", kind="consecutive_losses", **told) == 1
    assert metric(metrics, "trimtab_gate_revision", **told) == 2
    assert metric(metrics, "trimtab_gate_revision", environment="live") == 0
    stream.cancel()
    engine.close()
    assert one.terminate() == 0
    spans = [each for each in collector.collected.spans if each.name == "trimtab.gate_order"]
    assert len(spans) == 1
