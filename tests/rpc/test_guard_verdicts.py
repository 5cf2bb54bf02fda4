"""Which kind of guard a verdict tells, where its rule is not told."""

from math import isnan

import pytest

from trimtab_client import guard_verdict
from trimtab_client.event import PositionCountRule, ThresholdRule
from trimtab_server.domain.ledger.columns import STATEFUL, STATELESS, GuardRule
from trimtab_server.rpc.guard_verdicts import verdict_of


@pytest.mark.parametrize(
    ("result", "observed", "limit", "is_minimum"),
    [
        ("BLOCK", 0.05, 0.04, False),
        ("PASS", 0.03, 0.04, False),
        ("BLOCK", 0.5, 0.8, True),
        ("PASS", 0.9, 0.8, True),
    ],
)
def test_a_stateless_guard_with_value_and_limit_is_a_threshold(
    result: str, observed: float, limit: float, is_minimum: bool
) -> None:
    """On which side it blocks, its own verdict shows."""
    told = guard_verdict(
        guard="g", result=result, observed_value=observed, limit=limit, memory="STATELESS"
    )
    fact = verdict_of(told)
    assert (fact.rule, fact.is_minimum) == (GuardRule.THRESHOLD, is_minimum)
    assert (fact.observed, fact.limit, fact.memory) == (observed, limit, STATELESS)


@pytest.mark.parametrize(
    "told",
    [
        {"memory": "STATEFUL", "observed_value": 1.0, "limit": 2.0},
        {"observed_value": 1.0, "limit": 2.0},
        {"memory": "STATELESS", "observed_value": 1.0},
        {"memory": "STATELESS", "limit": 1.0},
        {"memory": "STATELESS", "observed_value": 2.0, "limit": 2.0},
        {"memory": "STATELESS", "result": "NOT_EVALUATED", "observed_value": 1.0, "limit": 2.0},
    ],
)
def test_what_shows_no_side_stays_unknown(told: dict[str, object]) -> None:
    """Without memory, value, limit or a verdict, nothing is guessed."""
    fact = verdict_of(guard_verdict(**({"guard": "g", "result": "PASS"} | told)))  # type: ignore[arg-type]
    assert fact.rule == GuardRule.UNKNOWN
    assert isnan(fact.detail)


def test_a_threshold_has_no_memory_unless_it_says_so() -> None:
    """The contract calls it a stateless guard; a count of positions is none."""
    plain = guard_verdict(guard="g", result="PASS", rule=ThresholdRule())
    told = guard_verdict(guard="g", result="PASS", rule=ThresholdRule(), memory="STATEFUL")
    counted = guard_verdict(guard="g", result="PASS", rule=PositionCountRule(open_count_max=3))
    assert [verdict_of(each).memory for each in (plain, told, counted)] == [
        STATELESS,
        STATEFUL,
        STATEFUL,
    ]
