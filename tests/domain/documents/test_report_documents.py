import io
import re
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from rich.console import Console

from tests.domain import report_samples as samples
from tests.domain.ledgers import some_horizons
from tests.domain.odd_ledgers import odd_ledgers
from trimtab.v1 import report_service_pb2 as pb
from trimtab_server.cli.document_view import print_document
from trimtab_server.cli.report_values import plain, report_head, response_document
from trimtab_server.domain.documents.document import Document, html, markdown
from trimtab_server.domain.documents.parts.scenarios import sweep_document
from trimtab_server.domain.documents.report_documents import rendered, report_document
from trimtab_server.domain.ledger.columns import Ledger, Markouts, ledger_counts
from trimtab_server.domain.reports.decay import decay_curves
from trimtab_server.domain.reports.guards import guard_lines
from trimtab_server.domain.reports.head import ReportHead
from trimtab_server.domain.reports.leaderboard import leaderboard
from trimtab_server.domain.reports.learning_report import learning_report
from trimtab_server.domain.reports.opportunity import blocked_opportunity_cost
from trimtab_server.domain.reports.performance import performance_comparison
from trimtab_server.domain.reports.questions import ReportForm, ReportKind, ReportScope
from trimtab_server.domain.reports.scenarios import GuardOff, Scenario
from trimtab_server.domain.reports.slices import SliceField, field_groups
from trimtab_server.domain.reports.what_if import WhatIf

FULL = samples.everything()
EMPTY = samples.nothing()
ALL = [*FULL.items(), *EMPTY.items()]


def document(kind: str, response: Any) -> Document:
    """The document of a response."""
    return response_document(ReportKind(kind), response)


def terminal(shown: Document, width: int) -> str:
    """The document on a terminal of that width."""
    buffer = io.StringIO()
    print_document(Console(file=buffer, width=width, highlight=False), shown)
    return buffer.getvalue()


def texts(shown: Document) -> list[str]:
    """The document in every form."""
    return [markdown(shown), html(shown), terminal(shown, 80), terminal(shown, 140)]


def test_every_kind_of_report_has_a_document() -> None:
    """None of the kinds is without words, in either form; numbers only are no text."""
    assert set(FULL) == {kind.value for kind in ReportKind}
    guards = plain(samples.guards())
    head = report_head(guards_message := samples.guards().head)
    assert guards_message.counts.signal_count == 900
    assert rendered(ReportKind.GUARDS, guards.guards, head, ReportForm.NUMBERS) == ""
    assert rendered(ReportKind.GUARDS, guards.guards, head, ReportForm.MARKDOWN).startswith("# ")
    assert rendered(ReportKind.GUARDS, guards.guards, head, ReportForm.HTML).startswith("<!doc")


@pytest.mark.parametrize(("kind", "response"), ALL)
def test_no_report_shows_what_is_no_number(kind: str, response: Any) -> None:
    """Nothing that is not known is printed as nan, inf or None, in any form."""
    for text in texts(document(kind, response)):
        assert not re.search(r"\b(nan|inf|None)\b", text)


@pytest.mark.parametrize(("kind", "response"), ALL)
def test_every_page_is_well_formed(kind: str, response: Any) -> None:
    """It parses whatever guards and strategies are called, charts and all."""
    page = html(document(kind, response))
    parsed = ET.fromstring(page[page.index("<main>") : page.index("</body>")])
    assert parsed.tag == "main"
    assert parsed.find("h1") is not None


@pytest.mark.parametrize(("kind", "response"), ALL)
def test_eighty_columns_hold_every_report(kind: str, response: Any) -> None:
    """No line is longer than the terminal, and no interval is broken in its middle."""
    for line in terminal(document(kind, response), 80).splitlines():
        assert len(line.rstrip()) <= 80
        plain_line = line.replace(samples.NASTY, "")
        if "vol|a" not in line and "x](" not in line and "d_[" not in line:
            assert plain_line.count("[") == plain_line.count("]"), line


@pytest.mark.parametrize("kind", ["guards", "opportunity", "what_if", "leaderboard", "learning"])
def test_simulated_numbers_say_so(kind: str) -> None:
    """The answer, or the table that it is made of, says "simulated"."""
    for text in texts(document(kind, FULL[kind])):
        assert "simulated" in text


def test_the_answer_tells_the_interval_and_what_would_settle_it() -> None:
    """One plain sentence: the amount, its interval, undecided, how many outcomes more."""
    line = plain(samples.guard())
    head = samples.head()
    answer = document(
        "guards", pb.GetGuardEffectivenessResponse(head=head, guards=[samples.guard()])
    ).answer
    assert line.value.value == -3.1
    assert answer == (
        "The volatility guard seems to have cost 3.10 [-1.00, 7.20] stakes over 412 blocked "
        "signals (simulated): undecided; about 900 more outcomes would settle it."
    )


def test_decided_guards_come_first_and_others_are_counted() -> None:
    """What is known stands before what is not; the rest is a count."""
    answer = document("guards", samples.guards()).answer
    assert answer.startswith("The spread guard saved 4.00 [1.00, 7.00] stakes")
    assert "Whether the drawdown guard helps is not identifiable: it depends" in answer
    assert answer.endswith("Of 1 other: 1 undecided.")


def test_what_is_not_known_says_why() -> None:
    """A missing interval and a missing value stand there with their reasons."""
    text = markdown(document("guards", samples.guards()))
    assert "not known" in text
    assert "no outcomes" in text
    decayed = markdown(document("decay", samples.decay()))
    assert "-0.02% (no interval)" in decayed
    assert "outcomes in only 4 blocks: too few for an interval" in decayed


def test_horizons_stand_beside_the_curve_with_what_they_lack() -> None:
    """A line a horizon with its interval and effective sample; without an interval the reason, and
    no effective sample; how many results came too early to count, and how many are lost."""
    text = markdown(document("decay", samples.decay()))
    assert "| 7 XNYS d | 640 | 120 | 0.31% [0.11%, 0.51%] |" in text
    assert "| 30 XNYS d | 12 | - | 3.00% (no interval) |" in text
    assert "| 30 XNYS d | 3.00% (no interval) | 3.00% (no interval) | not known |" in text
    assert "30 XNYS d, mean return; 30 XNYS d, mean MFE; 30 XNYS d, mean MAE: outcomes in" in text
    assert "30 XNYS d, mean volatility: no outcomes" in text
    assert "7 XNYS d: 3 early results left out" in text
    assert "30 XNYS d: 40 signals left out, because prices stopped before its end" in text
    assert "No signal has reached a horizon yet" in markdown(document("decay", EMPTY["decay"]))


@pytest.mark.parametrize("kind", list(EMPTY))
def test_an_empty_scope_is_told_in_one_sentence(kind: str) -> None:
    """The answer says that there is nothing, and nothing else."""
    answer = document(kind, EMPTY[kind]).answer
    assert answer == "No signals were found in this scope and window: there is nothing to tell."


def test_signals_without_results_are_told() -> None:
    """Signals that are still followed: how many, and no verdict."""
    response = samples.guards()
    response.head.counts.shadow_matured_count = response.head.counts.outcome_count = 0
    answer = document("guards", response).answer
    assert answer.startswith("Not one of 900 signals has a result: 20 still followed")


def test_what_engines_gave_up_is_no_count_of_the_window() -> None:
    """Fifty thousand of all times are told as such: never "of 900 signals"."""
    response = samples.guards()
    counts = response.head.counts
    counts.shadow_matured_count = counts.outcome_count = 0
    counts.unfollowed_count = 50_000
    shown = document("guards", response)
    assert shown.answer == (
        "Not one of 900 signals has a result: 20 still followed, or waiting for prices (50,000 of"
        " these engines, at any time, were given up)."
    )
    assert "| given up (of these engines, at any time) | 50,000 |" in markdown(shown)


def test_a_sweep_shows_the_grid_in_order_and_warns_of_its_best() -> None:
    """A row a scenario, what was left undone, and that the best of many looks too good."""
    results = [plain(samples.scenario(f"limit {k}", float(k))) for k in range(12)]
    shown = sweep_document(results, 20, report_head(samples.head()))
    text = markdown(shown)
    assert [text.index(f"| limit {k} |") for k in range(12)] == sorted(
        text.index(f"| limit {k} |") for k in range(12)
    )
    assert "the best, limit 11, by 11.0 [3.8, 18.2] stakes (simulated)" in shown.answer
    assert "4 better and 0 worse than what happened after allowing for all" in shown.answer
    assert "(7 differ by themselves)" in shown.answer
    assert "looks better than it is" in shown.answer
    assert "Ended early: 12 of 20 scenarios are done." in text
    assert len(re.findall("<circle", html(shown))) == 12


def own_results(ledger: Ledger) -> dict[ReportKind, Any]:
    """What the domain's functions say of a ledger, by kind of report."""
    rng = np.random.default_rng(7)
    groups = field_groups(ledger, SliceField.STRATEGY)
    none = np.empty(0)
    markouts = Markouts(
        none.astype(np.int64), none, none.astype(np.int32), none.astype(np.int32), ("",), none, none
    )
    reached = some_horizons(ledger, np.arange(len(ledger)))
    return {
        ReportKind.LEARNING: learning_report(ledger, rng),
        ReportKind.OPPORTUNITY: blocked_opportunity_cost(ledger, rng),
        ReportKind.GUARDS: guard_lines(ledger, rng),
        ReportKind.LEADERBOARD: leaderboard(ledger, groups, rng),
        ReportKind.DECAY: decay_curves(ledger, markouts, reached, rng),
        ReportKind.COMPARISON: performance_comparison(ledger, rng),
        ReportKind.WHAT_IF: WhatIf(ledger).result(Scenario((GuardOff("*"),)), rng),
    }


@settings(max_examples=8, deadline=None)
@given(odd_ledgers(returns_max=10.0))
def test_whatever_the_domain_says_can_be_written(ledger: Ledger) -> None:
    """Its own results, of ledgers as nobody would send them: every form, and never a nan."""
    head = ReportHead(ReportScope(2), 1, "log-1", 9, ledger_counts(ledger, 0, 0))
    for kind, result in own_results(ledger).items():
        for text in texts(report_document(kind, result, head)):
            assert not re.search(r"\b(nan|inf|None)\b", text)


def test_an_infinite_number_is_not_known() -> None:
    """Should one ever arrive, it is not printed."""
    response = samples.what_if()
    response.result.difference.value = float("nan")
    response.result.scenario.total_pnl = float("inf")
    for text in texts(document("what_if", response)):
        assert not re.search(r"\b(nan|inf)\b", text)
