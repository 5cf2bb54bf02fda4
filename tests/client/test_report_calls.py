"""The reports' calls of Client: what is sent, how long it may take, how it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf import text_format

from trimtab.v1 import report_service_pb2 as pb
from trimtab.v1 import report_service_pb2_grpc
from trimtab_client import (
    Client,
    DeadlineExceeded,
    FakeSidecar,
    ResourceExhausted,
    Unimplemented,
    capital_limit,
    confidence_threshold,
    cost_change,
    expected_return_threshold,
    guard_limit,
    guard_off,
    model_weights,
    position_limit,
    report_scope,
    scenario,
    scenario_axis,
    slice_by_attribute,
    slice_by_feature,
    slice_by_field,
    slice_by_indicator,
)

SCOPE = report_scope(environment="PAPER", strategy="momentum")
UNARY = [
    "GetLearningReport",
    "ListLearningReports",
    "GetBlockedOpportunityCost",
    "GetGuardEffectiveness",
    "GetStrategyLeaderboard",
    "GetSignalDecay",
    "ComparePerformance",
    "RunWhatIf",
]


class Desk(report_service_pb2_grpc.ReportServiceServicer):
    """Remembers what it is asked, and answers nothing; refuses when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.remaining_s: list[float] = []
        self.refusals: list[grpc.StatusCode] = []
        self.left = threading.Event()

    def _answer(self, answer: type[Any], request: Any, context: Any) -> Any:
        self.asked.append(request)
        self.remaining_s.append(context.time_remaining())
        if self.refusals:
            context.abort(self.refusals.pop(), "as the test told")
        return answer()

    def RunWhatIfSweep(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        """Two messages, then nothing more until somebody leaves."""
        context.add_callback(self.left.set)
        self._answer(pb.RunWhatIfSweepResponse, request, context)
        yield pb.RunWhatIfSweepResponse(head=pb.ReportHead(log_id="log"), scenario_count=2)
        yield pb.RunWhatIfSweepResponse(done_count=1, results=[pb.SweepResult(index=1)])
        self.left.wait(20)


def _method(name: str) -> Any:
    answer = getattr(pb, f"{name}Response")

    def call(self: Desk, request: Any, context: Any) -> Any:
        return self._answer(answer, request, context)

    return call


def _desk_with_every_method() -> Any:
    # The generated stub calls the class abstract; at run time it is not.
    kind: Any = type("Desk", (Desk,), {name: _method(name) for name in UNARY})
    return kind()


@pytest.fixture
def desk() -> Iterator[Desk]:
    """What the server side is asked."""
    one: Any = _desk_with_every_method()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    report_service_pb2_grpc.add_ReportServiceServicer_to_server(one, server)
    one.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield one
    one.left.set()
    server.stop(None).wait()


@pytest.fixture
def client(desk: Any) -> Iterator[Client]:
    """A client of the desk."""
    with Client(f"127.0.0.1:{desk.port}") as one:
        yield one


def test_every_report_is_asked_with_its_scope_and_options(desk: Desk, client: Client) -> None:
    """And answered with the contract's own message."""
    told: dict[str, Any] = {"scope": SCOPE, "format": "HTML", "after_sequence": 7}
    answers = [
        client.get_learning_report(window_s=90.5, **told),
        client.get_blocked_opportunity_cost(**told),
        client.get_guard_effectiveness(**told),
        client.get_strategy_leaderboard(**told),
        client.get_signal_decay(**told),
        client.compare_performance(**told),
        client.run_what_if(scenario=scenario(guard_off("a")), **told),
    ]
    names = [type(each).__name__.removesuffix("Response") for each in answers]
    assert names == [name for name in UNARY if name != "ListLearningReports"]
    for request in desk.asked:
        assert request.scope.strategy == "momentum"
        assert (request.options.format, request.options.after_sequence) == (2, 7)
    assert desk.asked[0].window.ToNanoseconds() == 90_500_000_000


def test_every_rpc_of_the_reports_has_its_call() -> None:
    """None of the contract's is forgotten."""
    methods = pb.DESCRIPTOR.services_by_name["ReportService"].methods
    assert {each.name for each in methods} == {*UNARY, "RunWhatIfSweep"}


def test_reports_on_schedule_are_found_and_listed(desk: Desk, client: Client) -> None:
    """By id without a scope; by environment and page."""
    client.get_learning_report(report_id="daily-1")
    client.list_learning_reports(environment="LIVE", page_size=5, page_token="t")
    found, listed = desk.asked
    assert (found.report_id, found.HasField("scope")) == ("daily-1", False)
    assert (listed.environment, listed.page_size, listed.page_token) == (1, 5, "t")
    with pytest.raises(ValueError, match="environment"):
        client.list_learning_reports(environment="MOON")


def test_a_scope_is_sent_as_it_was_told(desk: Desk, client: Client) -> None:
    """Names, times of any kind, level."""
    scope = report_scope(
        environment="BACKTEST",
        run_id="r",
        source="s",
        symbol="u",
        start_time=5,
        end_time=9,
        level=0.9,
    )
    client.get_signal_decay(scope=scope)
    [request] = desk.asked
    wanted = (
        'environment: ENVIRONMENT_BACKTEST run_id: "r" source: "s" symbol: "u"'
        " start_time { nanos: 5 } end_time { nanos: 9 } level: 0.9"
    )
    assert request.scope == text_format.Parse(wanted, pb.ReportScope())


def test_slices_and_basis_of_a_leaderboard(desk: Desk, client: Client) -> None:
    """By a field, a reading, an attribute; or told field by field."""
    slices: list[Any] = [
        slice_by_field("REGIME"),
        slice_by_indicator("rsi", 5),
        slice_by_feature("f"),
        slice_by_attribute("a"),
        {"field": "SLICE_FIELD_SIDE"},
    ]
    client.get_strategy_leaderboard(
        scope=SCOPE, slices=slices, basis="SHADOW", undeclared_trial_count=9
    )
    [request] = desk.asked
    assert [each.WhichOneof("by") for each in request.slices] == [
        *("field", "indicator", "feature", "attribute", "field")
    ]
    assert (request.slices[0].field, request.slices[1].bin_count) == (3, 5)
    assert (request.basis, request.undeclared_trial_count) == (2, 9)
    for wrong in ({"slices": [{"colour": 1}]}, {"basis": "LUCK"}):
        with pytest.raises(ValueError, match=r"colour|basis"):
            client.get_strategy_leaderboard(scope=SCOPE, **wrong)


def test_every_kind_of_change_has_its_builder(desk: Desk, client: Client) -> None:
    """What is not told is not sent; a zero that is told is."""
    wanted = scenario(
        guard_off("*"),
        guard_limit("vol", 0.0),
        confidence_threshold(0.7),
        expected_return_threshold(0.005, replaces_guard="roi"),
        model_weights({"a": 1.0}),
        cost_change(fee_bps=0.0),
        position_limit(3, per_symbol=True),
        capital_limit(0.5),
        name="all",
    )
    client.run_what_if(scope=SCOPE, scenario=wanted)
    sent = desk.asked[0].scenario
    kinds = [each.WhichOneof("change") for each in sent.changes]
    assert kinds == [field.name for field in pb.Change.DESCRIPTOR.fields]
    assert sent.changes[1].guard_limit.HasField("limit")
    assert sent.changes[5].costs.HasField("fee_bps")
    assert not sent.changes[5].costs.HasField("spread_multiplier")
    assert not sent.changes[7].capital_limit.HasField("position_fraction")


def test_a_sweep_is_read_as_it_comes_and_ends_when_it_is_closed(desk: Desk, client: Client) -> None:
    """Scenarios and axes as messages or field by field; closing ends the work over there."""
    told = {"guard_off": {"guard": "b"}}
    sweep = client.run_what_if_sweep(
        scope=SCOPE,
        scenarios=[scenario(guard_off("a")), {"changes": [told]}],
        axes=[scenario_axis(guard_off("c")), [told, guard_off("d")]],
        after_sequence=5,
    )
    assert next(sweep).head.log_id == "log"
    assert next(sweep).results[0].index == 1
    assert not desk.left.is_set()
    sweep.close()  # type: ignore[attr-defined]
    assert desk.left.wait(20)
    [request] = desk.asked
    assert [each.changes[0].guard_off.guard for each in request.scenarios] == ["a", "b"]
    assert [len(each.changes) for each in request.axes] == [1, 2]
    assert request.options.after_sequence == 5


def test_a_report_may_take_longer_than_other_calls(desk: Desk, client: Client) -> None:
    """A minute, a sweep ten, or what is told."""
    client.get_signal_decay(scope=SCOPE)
    client.get_signal_decay(scope=SCOPE, timeout_s=7)
    next(client.run_what_if_sweep(scope=SCOPE))
    default, told, sweep = desk.remaining_s
    # Each server's clock rounds a little; which of them it was is clear all the same.
    assert told < 8 < default < 61 < sweep < 601


def test_a_report_that_was_late_is_not_begun_again(desk: Desk, client: Client) -> None:
    """It would be late once more; busy workers are asked again only when they say when."""
    for code, error in (
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ResourceExhausted),
    ):
        desk.refusals = [code]
        with pytest.raises(error):
            client.get_signal_decay(scope=SCOPE)
        desk.refusals = [code]
        with pytest.raises(error):
            list(client.run_what_if_sweep(scope=SCOPE))
    assert len(desk.asked) == 4


def test_a_server_that_was_away_is_asked_again(desk: Desk, client: Client) -> None:
    """As the contract's table says: reports change nothing."""
    desk.refusals = [grpc.StatusCode.UNAVAILABLE]
    assert client.get_signal_decay(scope=SCOPE) == pb.GetSignalDecayResponse()
    assert len(desk.asked) == 2


def test_the_fake_has_no_ledger_and_says_so(fake: FakeSidecar) -> None:
    """Unimplemented, rather than a report about nothing."""
    with Client(fake.address) as client:
        with pytest.raises(Unimplemented):
            client.get_guard_effectiveness(scope=SCOPE)
        with pytest.raises(Unimplemented):
            list(client.run_what_if_sweep(scope=SCOPE, scenarios=[scenario(guard_off("a"))]))
