"""Requests for reports: what is asked is read whole, and what is wrong is named by its path."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import text_format

from trimtab.v1 import event_pb2
from trimtab.v1 import report_service_pb2 as pb
from trimtab_server.domain.reports.questions import (
    Basis,
    ReportForm,
    ReportKind,
    ReportScope,
    SliceAsked,
)
from trimtab_server.errors import InvalidRequest
from trimtab_server.rpc.report_requests import (
    kept_report,
    leaderboard_question,
    learning_question,
    list_environment,
    plain_question,
    sweep,
    what_if_question,
)

SCOPE = 'scope { environment: ENVIRONMENT_BACKTEST run_id: "r1" } '
CHANGE = 'changes { guard_off { guard: "volatility" } } '
LIMIT = 'changes { guard_limit { guard: "volatility" limit: 1 } } '


def message(kind: type[Any], words: str) -> Any:
    """A request in text form."""
    return text_format.Merge(words, kind())


def faults(read: Callable[[Any], Any], request: Any) -> list[str]:
    """The paths of the fields that are at fault."""
    with pytest.raises(InvalidRequest) as refused:
        read(request)
    assert all(each.description for each in refused.value.violations)
    return [each.field for each in refused.value.violations]


def cost_question(request: pb.GetBlockedOpportunityCostRequest) -> Any:
    """A question that is a scope and options."""
    return plain_question(ReportKind.OPPORTUNITY, request)


SCOPES = {
    "": ["scope"],
    "scope {}": ["scope.environment"],
    "scope { environment: 9 }": ["scope.environment"],
    "scope { environment: ENVIRONMENT_BACKTEST }": ["scope.run_id"],
    SCOPE + 'scope { source: "a\\n" strategy: "b\\001" }': ["scope.source", "scope.strategy"],
    SCOPE + f'scope {{ symbol: "{"x" * 65}" }}': ["scope.symbol"],
    SCOPE + f'scope {{ run_id: "{"x" * 129}" }}': ["scope.run_id"],
    SCOPE + "scope { start_time { seconds: -1 } }": ["scope.start_time"],
    SCOPE + "scope { end_time { nanos: -1 } }": ["scope.end_time"],
    SCOPE + "scope { end_time {} }": ["scope.end_time"],
    SCOPE + "scope { start_time { seconds: 9 } end_time { seconds: 9 } }": ["scope.end_time"],
    SCOPE + "scope { level: 0.4 }": ["scope.level"],
    SCOPE + "scope { level: 1 }": ["scope.level"],
    SCOPE + "scope { level: nan }": ["scope.level"],
    SCOPE + "options { format: 7 }": ["options.format"],
    SCOPE + "options { after_sequence: -1 }": ["options.after_sequence"],
}


@pytest.mark.parametrize(("words", "fields"), SCOPES.items(), ids=map(str, range(len(SCOPES))))
def test_a_wrong_scope_is_named(words: str, fields: list[str]) -> None:
    """Each field that is missing, malformed or out of its range."""
    request = message(pb.GetBlockedOpportunityCostRequest, words)
    assert faults(cost_question, request) == fields


def test_a_scope_is_read_whole() -> None:
    """Names, times in nanoseconds, level, form, and what to wait for."""
    words = (
        'scope { environment: ENVIRONMENT_PAPER run_id: "r" source: "s" strategy: "t" symbol: "u"'
        " start_time { seconds: 1 nanos: 2 } end_time { seconds: 3 } level: 0.9 }"
        " options { format: REPORT_FORMAT_HTML after_sequence: 7 }"
    )
    asked = cost_question(message(pb.GetBlockedOpportunityCostRequest, words))
    assert asked.after_sequence == 7
    assert asked.question.form is ReportForm.HTML
    times = (1_000_000_002, 3_000_000_000)
    assert asked.question.scope == ReportScope(2, "r", "s", "t", "u", *times, 0.9)


def test_what_is_not_told_has_its_default() -> None:
    """All of a name, from the first signal to the last, at 95 %, in numbers."""
    asked = cost_question(message(pb.GetBlockedOpportunityCostRequest, SCOPE))
    assert asked.question.scope == ReportScope(3, "r1", level=0.95)
    assert asked == (asked.question, 0)
    assert asked.question.form is ReportForm.NUMBERS


LEARNING = {
    SCOPE + "window {}": ["window"],
    SCOPE + "window { seconds: -1 }": ["window"],
    SCOPE + "window { seconds: 1 } scope { start_time { seconds: 1 } }": ["window"],
}


@pytest.mark.parametrize(("words", "fields"), LEARNING.items(), ids=["zero", "negative", "both"])
def test_a_wrong_window_is_named(words: str, fields: list[str]) -> None:
    """It is above zero, and takes the place of a start."""
    assert faults(learning_question, message(pb.GetLearningReportRequest, words)) == fields


def test_a_window_ends_where_the_scope_does() -> None:
    """The last so much of event time, up to an end that may be told."""
    words = SCOPE + "scope { end_time { seconds: 9 } } window { seconds: 86400 nanos: 5 }"
    asked = learning_question(message(pb.GetLearningReportRequest, words))
    assert asked.question.window_ns == 86_400 * 10**9 + 5
    assert asked.question.scope.end_time_ns == 9 * 10**9


KEPT = {
    'report_id: "a\\000"': ["report_id"],
    f'report_id: "{"x" * 257}"': ["report_id"],
    'report_id: "a" window { seconds: 1 }' + SCOPE: ["scope", "window"],
    'report_id: "a" options { after_sequence: 1 }': ["options.after_sequence"],
    'report_id: "a" options { format: REPORT_FORMAT_HTML }': ["options.format"],
}


@pytest.mark.parametrize(("words", "fields"), KEPT.items(), ids=map(str, range(len(KEPT))))
def test_what_cannot_be_asked_of_a_report_that_is_made_already_is_named(
    words: str, fields: list[str]
) -> None:
    """It is sent back as it was made."""
    assert faults(kept_report, message(pb.GetLearningReportRequest, words)) == fields


def test_a_report_that_is_made_already_is_asked_by_its_id() -> None:
    """Without an id a new one is meant."""
    assert kept_report(pb.GetLearningReportRequest(report_id="a")) == "a"
    assert not kept_report(pb.GetLearningReportRequest())


BOARDS = {
    SCOPE + "slices {}": ["slices[0].by"],
    SCOPE + "slices { field: SLICE_FIELD_UNSPECIFIED }": ["slices[0].field"],
    SCOPE + "slices { field: 99 }": ["slices[0].field"],
    SCOPE + 'slices { indicator: "" }': ["slices[0].indicator"],
    SCOPE + 'slices { indicator: "a" bin_count: 1 }': ["slices[0].bin_count"],
    SCOPE + 'slices { feature: "a" bin_count: 21 }': ["slices[0].bin_count"],
    SCOPE + 'slices { attribute: "a" bin_count: 4 }': ["slices[0].bin_count"],
    SCOPE + 'slices { indicator: "a" } slices { indicator: "a" }': ["slices"],
    SCOPE + "".join(f'slices {{ attribute: "a{n}" }} ' for n in range(4)): ["slices"],
    SCOPE + "basis: 7": ["basis"],
    SCOPE + "undeclared_trial_count: -1": ["undeclared_trial_count"],
    SCOPE + "undeclared_trial_count: 1000001": ["undeclared_trial_count"],
}


@pytest.mark.parametrize(("words", "fields"), BOARDS.items(), ids=map(str, range(len(BOARDS))))
def test_a_wrong_leaderboard_is_named(words: str, fields: list[str]) -> None:
    """Slices, basis and trials within their ranges."""
    request = message(pb.GetStrategyLeaderboardRequest, words)
    assert faults(leaderboard_question, request) == fields


def test_a_leaderboard_is_read_whole() -> None:
    """Slices in their order, with bins where numbers are cut."""
    words = (
        'slices { field: SLICE_FIELD_REGIME } slices { indicator: "rsi" bin_count: 7 }'
        ' slices { feature: "f" } basis: LEADERBOARD_BASIS_SHADOW undeclared_trial_count: 9'
    )
    question = leaderboard_question(message(pb.GetStrategyLeaderboardRequest, SCOPE + words))[0]
    assert question.slices == (
        SliceAsked("field", "regime"),
        SliceAsked("indicator", "rsi", 7),
        SliceAsked("feature", "f", 4),
    )
    assert (question.basis, question.undeclared_trial_count) == (Basis.SHADOW, 9)
    plain = leaderboard_question(message(pb.GetStrategyLeaderboardRequest, SCOPE))[0]
    assert (plain.slices, plain.basis) == ((), Basis.REAL)


CHANGES = {
    "": ["change"],
    "guard_off {}": ["guard_off.guard"],
    f'guard_off {{ guard: "{"x" * 65}" }}': ["guard_off.guard"],
    "guard_limit {}": ["guard_limit.guard", "guard_limit.limit"],
    'guard_limit { guard: "a" limit: inf }': ["guard_limit.limit"],
    'guard_limit { guard: "*" limit: 1 }': ["guard_limit.guard"],
    "confidence_threshold {}": ["confidence_threshold.threshold"],
    "confidence_threshold { threshold: 1.01 }": ["confidence_threshold.threshold"],
    "confidence_threshold { threshold: nan }": ["confidence_threshold.threshold"],
    "expected_return_threshold {}": ["expected_return_threshold.threshold"],
    "expected_return_threshold { threshold: -inf }": ["expected_return_threshold.threshold"],
    "model_weights {}": ["model_weights.weights"],
    'model_weights { weights { key: "a" value: 0 } }': ["model_weights.weights"],
    'model_weights { weights { key: "a" value: -1 } weights { key: "b" value: 1 } }': [
        "model_weights.weights['a']"
    ],
    'model_weights { weights { key: "" value: 1 } }': ["model_weights.weights['']"],
    "costs {}": ["costs.fee_bps"],
    "costs { fee_bps: -1 }": ["costs.fee_bps"],
    "costs { spread_multiplier: nan }": ["costs.spread_multiplier"],
    "position_limit {}": ["position_limit.open_count_max"],
    "capital_limit {}": ["capital_limit.exposure_fraction_max"],
    "capital_limit { exposure_fraction_max: 0 }": ["capital_limit.exposure_fraction_max"],
    "capital_limit { exposure_fraction_max: 1 position_fraction: -1 }": [
        "capital_limit.position_fraction"
    ],
}


@pytest.mark.parametrize(("words", "fields"), CHANGES.items(), ids=map(str, range(len(CHANGES))))
def test_a_wrong_change_is_named(words: str, fields: list[str]) -> None:
    """In a scenario, in a sweep's scenario, and on an axis of its grid."""
    asked = message(pb.RunWhatIfRequest, f"{SCOPE} scenario {{ {CHANGE} changes {{ {words} }} }}")
    inside = [f"changes[1].{field}" for field in fields]
    assert faults(what_if_question, asked) == [f"scenario.{field}" for field in inside]
    several = message(
        pb.RunWhatIfSweepRequest, f"{SCOPE} scenarios {{ {CHANGE} changes {{ {words} }} }}"
    )
    assert faults(sweep, several) == [f"scenarios[0].{field}" for field in inside]
    grid = message(pb.RunWhatIfSweepRequest, f"{SCOPE} axes {{ {CHANGE} changes {{ {words} }} }}")
    assert faults(sweep, grid) == [f"axes[0].{field}" for field in inside]


def test_every_kind_of_change_is_checked() -> None:
    """None passes unread: one that is added to the contract is refused until it is known here."""
    known = {words.split(" ")[0] for words in CHANGES if words}
    assert known == {field.name for field in pb.Change.DESCRIPTOR.fields}


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("", ["scenario"]),
        ("scenario {}", ["scenario.changes"]),
        (f"scenario {{ {CHANGE} {LIMIT} }}", ["scenario.changes[1]"]),
        (f'scenario {{ name: "a\\t" {CHANGE} }}', ["scenario.name"]),
    ],
)
def test_a_wrong_scenario_is_named(words: str, fields: list[str]) -> None:
    """It is there, changes something, and nothing twice."""
    assert faults(what_if_question, message(pb.RunWhatIfRequest, SCOPE + words)) == fields


def test_a_scenario_is_read_as_it_was_told() -> None:
    """Every part by its name; a zero that was told is not what was not told."""
    words = (
        'name: "calm" changes { guard_limit { guard: "vol" limit: 0 } }'
        ' changes { model_weights { weights { key: "a" value: 2 } } }'
        " changes { costs { fee_bps: 0 } }"
        " changes { position_limit { open_count_max: 3 per_symbol: true } }"
    )
    request = message(pb.RunWhatIfRequest, f"{SCOPE} scenario {{ {words} }}")
    assert what_if_question(request).question.scenario == {
        "name": "calm",
        "changes": (
            {"guard_limit": {"guard": "vol", "limit": 0.0}},
            {"model_weights": {"weights": {"a": 2.0}}},
            {"costs": {"fee_bps": 0.0}},
            {"position_limit": {"open_count_max": 3, "per_symbol": True}},
        ),
    }


def test_a_grid_is_every_combination_behind_what_is_told() -> None:
    """The last axis changes fastest."""
    words = (
        f"scenarios {{ {CHANGE} }}"
        ' axes { changes { guard_off { guard: "a" } } changes { guard_off { guard: "b" } } }'
        " axes { changes { confidence_threshold { threshold: 0.1 } }"
        " changes { confidence_threshold { threshold: 0.2 } } }"
    )
    asked = sweep(message(pb.RunWhatIfSweepRequest, SCOPE + words))
    told = [
        [next(iter(next(iter(change.values())).values())) for change in each.asked["changes"]]
        for each in asked.scenarios
    ]
    assert told == [["volatility"], ["a", 0.1], ["a", 0.2], ["b", 0.1], ["b", 0.2]]
    assert [each.place for each in asked.scenarios] == [0, 1, 2, 3, 4]
    assert asked.scenarios[0].paths == ("scenarios[0].changes[0]",)
    assert asked.scenarios[2].paths == ("axes[0].changes[0]", "axes[1].changes[1]")


def _axis(count: int, guard: str) -> str:
    change = f'changes {{ guard_off {{ guard: "{guard}" }} }} '
    return f"axes {{ {change * count} }} "


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("", ["scenarios"]),
        ("axes {}", ["axes[0].changes"]),
        (f"scenarios {{ {CHANGE} }} axes {{}}", ["axes[0].changes"]),
        (f"scenarios {{ {CHANGE} }} " * 1_001, ["scenarios"]),
        (_axis(32, "a") + _axis(32, "b"), ["axes"]),
        (_axis(1, "a") * 33, ["axes"]),
        (_axis(1, "volatility") + f"axes {{ {LIMIT} }}", ["axes[1].changes[0]"]),
    ],
    ids=["none", "empty axis", "one empty axis", "told", "grid", "axes", "twice"],
)
def test_a_wrong_sweep_is_named(words: str, fields: list[str]) -> None:
    """At least one scenario and at most a thousand, and no axis against another."""
    assert faults(sweep, message(pb.RunWhatIfSweepRequest, SCOPE + words)) == fields


def test_to_say_the_same_twice_is_no_fault() -> None:
    """A guard that is left out on two axes is left out."""
    words = f"scenarios {{ {CHANGE * 2} }} axes {{ {CHANGE} }} axes {{ {CHANGE} }}"
    assert len(sweep(message(pb.RunWhatIfSweepRequest, SCOPE + words)).scenarios) == 2


def test_a_thousand_scenarios_are_taken() -> None:
    """The limit itself is allowed."""
    words = f"scenarios {{ {CHANGE} }} " * 1_000
    assert len(sweep(message(pb.RunWhatIfSweepRequest, SCOPE + words)).scenarios) == 1_000


def test_a_huge_grid_is_refused_unread() -> None:
    """Thirty-two axes of a hundred changes are told to be too many at once."""
    axis = pb.ScenarioAxis(changes=[pb.Change(guard_off=pb.GuardOff(guard="a"))] * 100)
    request = pb.RunWhatIfSweepRequest(axes=[axis] * 32)
    request.scope.environment = event_pb2.ENVIRONMENT_LIVE
    assert faults(sweep, request) == ["axes"]


def test_an_unknown_environment_of_a_list_is_named() -> None:
    """0 means all of them."""
    assert not list_environment(pb.ListLearningReportsRequest())
    assert list_environment(pb.ListLearningReportsRequest(environment=2)) == 2  # type: ignore[arg-type]
    request = pb.ListLearningReportsRequest(environment=9)  # type: ignore[arg-type]
    assert faults(list_environment, request) == ["environment"]


def test_a_weight_that_is_no_number_is_refused() -> None:
    """NaN and infinity never reach a report."""
    for weight in (math.nan, math.inf):
        request = message(pb.RunWhatIfRequest, SCOPE + "scenario { changes { model_weights {} } }")
        request.scenario.changes[0].model_weights.weights["a"] = weight
        assert faults(what_if_question, request)[0] == (
            "scenario.changes[0].model_weights.weights['a']"
        )
