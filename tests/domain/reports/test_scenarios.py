"""The language of what-if."""

import pickle

import pytest

from trimtab_server.domain.reports.scenarios import (
    CHANGES,
    CapitalLimit,
    Change,
    ConfidenceThreshold,
    CostChange,
    ExpectedReturnThreshold,
    GuardLimit,
    GuardOff,
    InvalidScenario,
    ModelWeights,
    PositionLimit,
    Scenario,
    change_words,
    plan,
    scenario_of,
)

WORDS: list[tuple[Change, str]] = [
    (GuardOff("volatility"), "without volatility"),
    (GuardOff("*"), "no guards"),
    (GuardLimit("rsi", 30.0), "rsi at 30"),
    (ConfidenceThreshold(0.65), "confidence from 0.65"),
    (ExpectedReturnThreshold(0.005), "expected return from 0.005"),
    (ModelWeights({"b": 1.0, "a": 2.0}), "weights a 2 b 1"),
    (ModelWeights(dict.fromkeys("abcde", 1.0)), "weights a 1 b 1 c 1 d 1 ..."),
    (CostChange(2.0, 1.5), "fee 2 bps and spread x 1.5"),
    (CostChange(spread_multiplier=0.0), "spread x 0"),
    (PositionLimit(1), "at most 1 position"),
    (PositionLimit(3, per_symbol=True), "at most 3 positions a symbol"),
    (CapitalLimit(0.5), "at most 0.5 of equity"),
]


@pytest.mark.parametrize(("change", "words"), WORDS, ids=[words for _, words in WORDS])
def test_every_change_has_its_words(change: Change, words: str) -> None:
    """A change says in words what it is, and a scenario without a name is called so."""
    assert change_words(change) == words
    assert Scenario((change,)).words == words
    assert Scenario((change,), "mine").words == "mine"


def test_plain_values_make_the_scenario_that_they_tell() -> None:
    """Every change of the contract is read from its fields; what is not told is absent."""
    asked = {
        "name": "all of it",
        "changes": (
            {"guard_off": {"guard": "volatility"}},
            {"guard_limit": {"guard": "rsi", "limit": 0.0}},
            {"confidence_threshold": {"threshold": 0.5}},
            {"expected_return_threshold": {"threshold": 0.005, "replaces_guard": "roi"}},
            {"model_weights": {"weights": {"a": 1.0}}},
            {"costs": {"fee_bps": 0.0}},
            {"position_limit": {"open_count_max": 3}},
            {"capital_limit": {"exposure_fraction_max": 0.4}},
        ),
    }
    made = scenario_of(asked)
    assert made.name == "all of it"
    assert made.changes == (
        GuardOff("volatility"),
        GuardLimit("rsi", 0.0),
        ConfidenceThreshold(0.5),
        ExpectedReturnThreshold(0.005, "roi"),
        ModelWeights({"a": 1.0}),
        CostChange(0.0, None),
        PositionLimit(3, per_symbol=False),
        CapitalLimit(0.4, None),
    )
    assert {type(change) for change in made.changes} == set(CHANGES.values())


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({}, "changes[1]"),
        ({"guard_gone": {"guard": "x"}}, "changes[1]"),
        ({"guard_off": {"guard": "x"}, "costs": {"fee_bps": 1.0}}, "changes[1]"),
        ({"guard_off": {}}, "changes[1].guard_off"),
        ({"guard_limit": {"guard": "x", "limit": 1.0, "unit": "y"}}, "changes[1].guard_limit"),
    ],
)
def test_a_change_that_is_none_is_named(told: dict[str, object], field: str) -> None:
    """Plain values that tell no change end in an error with the path of what is wrong, and the
    error survives the way out of another process."""
    with pytest.raises(InvalidScenario) as caught:
        scenario_of({"changes": ({"guard_off": {"guard": "a"}}, told)})
    assert [each.field for each in caught.value.violations] == [field]
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.violations == caught.value.violations
    assert field in str(again)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ((GuardOff("a"), GuardLimit("a", 1.0)), "changes[1].guard_limit"),
        ((GuardLimit("a", 2.0), GuardLimit("a", 1.0)), "changes[1].guard_limit"),
        ((ConfidenceThreshold(0.5), ConfidenceThreshold(0.6)), "changes[1].confidence_threshold"),
        ((PositionLimit(1), PositionLimit(2)), "changes[1].position_limit"),
        ((GuardLimit("a", 1.0), GuardOff("*")), "changes[0].guard_limit"),
        (
            (GuardLimit("a", 1.0), ExpectedReturnThreshold(0.1, "a")),
            "changes[1].expected_return_threshold.replaces_guard",
        ),
    ],
)
def test_changes_that_contradict_each_other_are_refused(
    changes: tuple[Change, ...], field: str
) -> None:
    """Two changes of the same thing hold no scenario together: the order would decide."""
    with pytest.raises(InvalidScenario) as caught:
        plan(Scenario(changes))
    assert [each.field for each in caught.value.violations] == [field]


def test_a_plan_does_not_depend_on_the_order_of_changes() -> None:
    """Changes hold together: any order makes the same plan, and saying one twice is no harm."""
    changes = (
        GuardOff("a"),
        GuardOff("b"),
        GuardLimit("c", 1.0),
        PositionLimit(2),
        PositionLimit(1, per_symbol=True),
        CostChange(1.0),
        GuardOff("a"),
    )
    first, second = plan(Scenario(changes)), plan(Scenario(changes[::-1]))
    assert first.off == second.off == {"a", "b"}
    assert first.limits == second.limits == {"c": 1.0}
    assert (first.positions, first.symbol_positions) == (PositionLimit(2), changes[4])
    assert (second.positions, second.symbol_positions) == (PositionLimit(2), changes[4])
    assert first.costs == second.costs
