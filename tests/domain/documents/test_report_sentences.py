"""What documents say where numbers are missing, absurd, or about one thing only."""

from typing import Any

import pytest

from tests.domain import report_samples as samples
from trimtab.v1 import report_service_pb2 as pb
from trimtab_server.cli.report_values import response_document
from trimtab_server.domain.documents.document import Document, markdown
from trimtab_server.domain.reports.questions import ReportKind

ABSURD = 312_456_789
WHY = "none has a simulated result: 412 had no price after the decision"


def document(kind: str, response: Any) -> Document:
    """The document of a response."""
    return response_document(ReportKind(kind), response)


def guards_of(*lines: pb.GuardLine, **counts: int) -> Document:
    """The guards' report of these lines."""
    answer = pb.GetGuardEffectivenessResponse(head=samples.head(**counts), guards=lines)
    return document("guards", answer)


@pytest.mark.parametrize("kind", list(samples.nothing()))
def test_an_empty_scope_is_told_in_the_head(kind: str) -> None:
    """The very first line says that nothing was found, of which scope."""
    response = samples.nothing()[kind]
    response.head.scope.symbol = "XX"
    shown = document(kind, response)
    assert shown.what == "No signals were found of live, symbol XX."


def test_blocked_signals_without_prices_are_not_free() -> None:
    """The answer says that nothing is known and why; no row of the report shows a zero."""
    response = samples.blocked()
    cost = response.cost
    cost.matured_count = 0
    unknown = pb.Estimate(n=0, level=0.95, note=WHY)
    for name in ("missed_profit", "avoided_loss", "net_opportunity_cost", "win_rate"):
        getattr(cost, name).CopyFrom(unknown)
    for name in (
        *("net_opportunity_cost_optimistic", "net_opportunity_cost_pessimistic"),
        *("missed_profit_money", "outcomes_needed"),
    ):
        cost.ClearField(name)
    for line in cost.blockers:
        line.ClearField("missed_profit")
        line.ClearField("avoided_loss")
    shown = document("opportunity", response)
    assert shown.answer == f"What 412 blocked signals would have made is not known: {WHY}."
    text = markdown(shown)
    assert "| missed profit, stakes | not known |" in text
    assert "| volatility | 300 | 200 | - | - |" in text


def test_a_guard_that_blocked_nothing_is_never_the_headline() -> None:
    """Guards that blocked stand first, though theirs is the value that is not known."""
    idle = samples.guard("idle", blocked_count=0, value=samples.estimate(0.0))
    unasked = samples.guard("new", evaluated_count=0, blocked_count=0, value=samples.estimate(0.0))
    unknown = samples.guard("volatility", value=samples.unknown(), note=WHY)
    answer = guards_of(idle, unasked, unknown).answer
    assert answer.startswith("What the volatility guard did over 412 blocked signals is not known")
    assert "The idle guard blocked none of 900 signals that it looked at." in answer
    assert "The new guard was asked about no signal." in answer


def changeless(name: str, **told: Any) -> pb.GuardLine:
    """A guard that blocked 200 signals, and whose absence would change no trade."""
    given = {"blocked_count": 200, "added_count": 0, "matured_count": 0, "outcomes_needed": None}
    value = pb.Estimate(value=0.0, n=0, level=0.95, note="no outcomes")
    bounds = {"value_optimistic": None, "value_pessimistic": None}
    return samples.guard(name, **given | bounds | {"value": value} | told)


def test_a_guard_whose_absence_changes_nothing_seems_to_save_nothing() -> None:
    """It says so, exact or simulated, and is no headline beside a guard with something to judge."""
    exact = changeless("spread", identifiability=pb.IDENTIFIABILITY_EXACT)
    (alone,) = [guards_of(exact).answer]
    assert alone == ("The spread guard blocked 200 signals, and its absence would change no trade.")
    unknown = samples.guard("volatility", value=samples.unknown(), note=WHY)
    idle = samples.guard("idle", blocked_count=0, value=samples.estimate(0.0), added_count=0)
    answer = guards_of(idle, exact, unknown).answer
    assert answer.startswith("What the volatility guard did over 412 blocked signals is not known")
    assert answer.index("The spread guard") < answer.index("The idle guard")
    kept = changeless("passive", value_optimistic=-1.0, value_pessimistic=0.5)
    assert guards_of(kept).answer == (
        "The passive guard blocked 200 signals, and none of the orders that would change without it"
        " would have been filled (simulated)."
    )


def test_gains_and_losses_of_zero_are_shown_and_absent_ones_are_not() -> None:
    """A zero that is known is a number; "-" is what is not known."""
    known = samples.guard("known", missed_profit=0.0, avoided_loss=0.0)
    absent = samples.guard("absent", missed_profit=None, avoided_loss=None)
    text = markdown(guards_of(known, absent))
    value = "-2.00 [-5.00, 1.00]"
    assert f"| known | {value} | 0 | 0 |" in text
    assert f"| absent | {value} | - | - |" in text


def test_blocked_orders_that_would_not_have_been_filled_cost_nothing() -> None:
    """No "seems", no interval of nothing: none would have been filled."""
    response = samples.blocked()
    zero = pb.Estimate(value=0.0, n=0, level=0.95, note="no outcomes")
    for name in ("missed_profit", "avoided_loss", "net_opportunity_cost"):
        getattr(response.cost, name).CopyFrom(zero)
    response.cost.ClearField("outcomes_needed")
    assert document("opportunity", response).answer == (
        "Blocking cost nothing and saved nothing: of 400 blocked signals with a simulated result,"
        " none would have been filled (simulated)."
    )


@pytest.mark.parametrize("kind", ["guards", "opportunity", "what_if", "leaderboard"])
def test_an_absurd_number_of_outcomes_is_more_than_a_million(kind: str) -> None:
    """Documents do not name a number that nobody could wait for; the message keeps it."""
    response = samples.everything()[kind]
    told: dict[str, Any] = {
        "guards": getattr(response, "guards", ()),
        "opportunity": [getattr(response, "cost", None)],
        "what_if": [getattr(response, "result", None)],
        "leaderboard": getattr(response, "lines", ()),
    }
    for one in told[kind]:
        one.outcomes_needed = ABSURD
        if kind == "leaderboard":
            one.significant = False
    text = markdown(document(kind, response))
    assert f"{ABSURD:,}" not in text
    assert "more than a million more outcomes would settle" in text
    if kind != "opportunity":
        assert "over a million" in text


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (
            {"approved_count": 0, "blocked_count": 0, "undecided_count": 900},
            "No signal has a decision, so what was really traded is not known.",
        ),
        ({"approved_count": 0}, "No signal was approved, so nothing really happened."),
        ({}, "No approved signal has a real result yet."),
    ],
)
def test_why_nothing_really_happened_is_told(counts: dict[str, int], words: str) -> None:
    """Without decisions nothing is known of trades; without an approval there was none; else
    results are still to come. No set without trades shows a sum."""
    response = samples.comparison()
    response.head.CopyFrom(samples.head(**counts))
    for part in (response.comparison.real, response.comparison.real_simulated):
        for name in ("win_rate", "mean_return", "sharpe_ratio", "profit_factor"):
            getattr(part, name).CopyFrom(samples.unknown())
        part.trade_count = part.simulated_count = 0
        part.total_return.CopyFrom(samples.estimate(0.0))
    shown = document("comparison", response)
    assert shown.answer.startswith(words)
    assert "| total, stakes | - | - | 12.3" in markdown(shown)
    assert "| results | - | - | simulated |" in markdown(shown)


def test_one_trade_is_singular() -> None:
    """In sentences of comparisons and of what-ifs."""
    compared = samples.comparison()
    compared.comparison.real.trade_count = 1
    assert "stakes in 1 trade." in document("comparison", compared).answer
    changed = samples.what_if()
    changed.result.added_count = 1
    assert "with 1 trade more and 0 fewer" in document("what_if", changed).answer


def test_outcomes_needed_say_what_they_allow_for() -> None:
    """Of several guards, or lines, that were judged: not for the interval by itself; of one alone
    nothing is said."""
    one, other = samples.guard("spread"), samples.guard("news")
    allowing = "would settle it after allowing for all 2 guards judged here"
    assert allowing in guards_of(one, other).answer
    assert "after allowing" not in markdown(guards_of(one))
    board = samples.leaderboard()
    for line in board.lines:
        line.significant = False
    answer = document("leaderboard", board).answer
    assert "if its mean stays after allowing for all 2 lines" in answer


def test_money_that_is_not_known_names_what_is_missing() -> None:
    """Beside a value in stakes that is known."""
    why = "the size of 50 trades is not known in money: no equity"
    line = samples.guard("spread")
    line.value_money.CopyFrom(pb.Estimate(n=50, level=0.95, note=why))
    assert f"- spread in money: {why}" in markdown(guards_of(line))


def test_a_guard_that_exactly_changed_nothing_is_not_undecided() -> None:
    """The table says so."""
    exact = changeless("spread", identifiability=pb.IDENTIFIABILITY_EXACT)
    assert "| spread | changed nothing |" in markdown(guards_of(exact))


def test_a_peak_among_ages_of_different_signals_says_so() -> None:
    """With the range of their counts, and its age in one way; nothing where ages hold the same."""
    response = samples.decay()
    same = document("decay", response)
    assert "signals: a peak" not in same.answer
    points = response.all.points
    points[0].mean_return.n = 387
    points[3].mean_return.CopyFrom(samples.estimate(0.05, 0.03, 0.07))
    points[3].mean_return.n = 133
    response.all.peak_age_s = 7 * 1.4 * 86_400
    shown = document("decay", response)
    assert "after 7 XNYS d (ages hold 133 to 400 signals: a peak may come of other" in shown.answer
    assert "| age of the peak | 7 XNYS d |" in markdown(shown)
