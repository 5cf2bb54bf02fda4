"""What-if sweeps over a real server and real workers that make up their answers."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from tests.rpc.report_desk import SCOPE, Desk, serving, until
from trimtab.v1 import report_service_pb2 as pb

Code = grpc.StatusCode
OFF = pb.Change(guard_off=pb.GuardOff(guard="a"))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A desk with one worker."""
    async with serving() as one:
        yield one


async def test_a_sweep_tells_its_progress_and_every_result_once() -> None:
    """The head first, then results by their places; the counts say how far it is."""
    axes = [pb.ScenarioAxis(changes=[OFF] * 20)]
    threshold = pb.ConfidenceThreshold(threshold=0.5)
    axes.append(pb.ScenarioAxis(changes=[pb.Change(confidence_threshold=threshold)] * 10))
    scenarios = [pb.Scenario(name="first", changes=[OFF])]
    async with serving(workers_max=2) as desk:
        messages = [
            message
            async for message in desk.stub.RunWhatIfSweep(
                pb.RunWhatIfSweepRequest(scope=SCOPE, scenarios=scenarios, axes=axes), timeout=30
            )
        ]
    assert messages[0].HasField("head")
    assert (messages[0].done_count, len(messages[0].results)) == (0, 0)
    assert not any(message.HasField("head") for message in messages[1:])
    assert {message.scenario_count for message in messages} == {201}
    done = [message.done_count for message in messages]
    assert done == sorted(done)
    assert done[-1] == 201
    assert len(messages) > 20
    results = {each.index: each.result.name for message in messages for each in message.results}
    assert sorted(results) == list(range(201))
    assert "first" in results[0]


async def test_a_sweep_asks_for_predictions_only_where_models_are_weighted(desk: Desk) -> None:
    """They are loaded for that alone."""
    weights = pb.Change(model_weights=pb.ModelWeights(weights={"m": 1.0}))
    for change, wanted in ((OFF, "False"), (weights, "True")):
        request = pb.RunWhatIfSweepRequest(scope=SCOPE, scenarios=[pb.Scenario(changes=[change])])
        messages = [each async for each in desk.stub.RunWhatIfSweep(request, timeout=20)]
        assert messages[0].head.log_id == wanted


async def test_a_scenario_that_the_ledger_refuses_ends_the_sweep_with_its_path(
    desk: Desk,
) -> None:
    """As the request tells it."""
    scenarios = [pb.Scenario(changes=[OFF]), pb.Scenario(name="refuse", changes=[OFF])]
    request = pb.RunWhatIfSweepRequest(scope=SCOPE, scenarios=scenarios)
    answer = await desk.refusal(lambda: desk.stub.RunWhatIfSweep(request))
    assert (answer.code, answer.fields) == (Code.INVALID_ARGUMENT, ["scenarios[1].changes[0]"])


async def test_a_sweep_ends_when_its_reader_leaves(desk: Desk) -> None:
    """Halfway through; the worker is free, and its file is gone."""
    scenarios = [pb.Scenario(changes=[OFF]), pb.Scenario(name="sleep", changes=[OFF])]
    call = desk.stub.RunWhatIfSweep(pb.RunWhatIfSweepRequest(scope=SCOPE, scenarios=scenarios))
    seen = 0
    async for message in call:
        seen = message.done_count
        if seen == 1:
            break
    assert seen == 1
    call.cancel()
    await desk.stub.GetSignalDecay(pb.GetSignalDecayRequest(scope=SCOPE), timeout=20)
    await until(lambda: not desk.workers.caller_count)
    assert list(desk.workers._folder.iterdir()) == []


async def test_a_sweep_ends_at_its_deadline_with_what_it_has(desk: Desk) -> None:
    """Results that were done were sent; the rest is told to be late."""
    scenarios = [pb.Scenario(changes=[OFF]), pb.Scenario(name="sleep", changes=[OFF])]
    request = pb.RunWhatIfSweepRequest(scope=SCOPE, scenarios=scenarios)
    # So that a worker is there: how long its start takes is not what is tested.
    await desk.stub.GetSignalDecay(pb.GetSignalDecayRequest(scope=SCOPE), timeout=20)
    call = desk.stub.RunWhatIfSweep(request, timeout=2)
    seen = [(await call.read()).done_count for _ in range(2)]
    answer = await desk.refusal(call.read)
    assert (answer.code, answer.reason) == (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert seen == [0, 1]


async def test_a_reader_of_a_sweep_that_takes_nothing_is_cut(
    desk: Desk,
) -> None:
    """A stalled reader keeps no worker."""

    class Stalled:
        def time_remaining(self) -> None:
            return None

        def cancelled(self) -> bool:
            return False

        async def send_initial_metadata(self, _: object) -> None:
            return None

        async def write(self, _: object) -> None:
            await asyncio.sleep(3_600)

    request = pb.RunWhatIfSweepRequest(scope=SCOPE, scenarios=[pb.Scenario(changes=[OFF])])
    with pytest.raises(Exception, match="taken") as refused:
        await desk.service.RunWhatIfSweep(request, Stalled())
    assert getattr(refused.value, "reason", None) == "SLOW_READER"
    assert desk.workers.caller_count == 0
