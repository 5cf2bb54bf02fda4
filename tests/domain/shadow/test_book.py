"""The shadow book against a slow, obvious follower, and under every way of cutting its facts."""

import random
from collections.abc import Sequence
from dataclasses import replace
from math import isnan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.domain.shadow_facts import LANE, a_lane
from tests.domain.shadow_reference import Found, followed
from trimtab_server.domain.ledger.facts import Fact, SignalFact
from trimtab_server.domain.shadow.book import ShadowBook
from trimtab_server.domain.shadow.dump import pending_count_of
from trimtab_server.domain.shadow.fill_model import Age, FillModel
from trimtab_server.domain.shadow.result import AMBIGUOUS, COARSE, ShadowResult

MODEL = FillModel(
    calendar="24/7",
    horizons=("2h", "1d", "3d", "30h"),
    markout_ages=("1m", "1h", "90m", "4h", "1d", "2d", "29h"),
    censor_after_s=4 * 3_600.0,
    default_holding_days=1,
    funding_bps_per_day=3.0,
)
AT_CLOSE = FillModel(
    entry="close",
    calendar="weekdays",
    horizons=("1d", "3h"),
    markout_ages=("1h",),
    censor_after_s=2 * 3_600.0,
    latency_s=0.0,
)
seeds = st.integers(0, 2**32 - 1)
styles = st.sampled_from(("whole", "close", "mixed"))


def all_of(book: ShadowBook, facts: Sequence[Fact]) -> list[ShadowResult]:
    """The results of all facts at once."""
    return book.take(facts, facts[-1].time_ns)


def words(results: Sequence[ShadowResult]) -> list[str]:
    """Every bit of them, NaN too; in which order they were found is no part of it."""
    return sorted(repr(each) for each in results)


@given(seed=seeds, style=styles, model=st.sampled_from((MODEL, AT_CLOSE)))
@settings(max_examples=60, deadline=None)
def test_book_finds_what_the_slow_follower_finds(seed: int, style: str, model: FillModel) -> None:
    """Whatever the bars, plans, decisions and actions: status, prices, returns, costs, bounds,
    excursions, volatility, markouts and flags of every life and horizon."""
    facts = a_lane(random.Random(seed), 80, style=style)
    found = {(each.key, span_of(each)): each for each in all_of(ShadowBook(model, 10_000), facts)}
    count = 0
    for signal in facts:
        if isinstance(signal, SignalFact):
            for expected in followed(facts, signal, model):
                count += 1
                agrees(found[signal.key, expected.span], expected)
    assert count == len(found)


def span_of(result: ShadowResult) -> Age | None:
    """The horizon of a result, None = the own life."""
    age = Age(result.age_ns, result.trading_days)
    return age if any(age) else None


def agrees(result: ShadowResult, expected: Found) -> None:
    """Fails unless the two say the same."""
    assert result.status == expected.status
    markouts = {Age(each.age_ns, each.trading_days): each for each in result.markouts}
    returns = {age: each.return_fraction for age, each in markouts.items()}
    assert returns == pytest.approx(expected.markouts)
    if expected.status != 1:
        assert isnan(result.return_fraction)
        return
    told = dict(expected.numbers)
    for flag, name in ((COARSE, "coarse"), (AMBIGUOUS, "ambiguous")):
        assert bool(result.flags & flag) == bool(told.pop(name, False))
    assert result.exit_reason == told.pop("reason", 0)
    for name, value in told.items():
        assert getattr(result, name) == pytest.approx(value, rel=1e-9, abs=1e-8, nan_ok=True), name
    assert result.pessimistic == result.return_fraction <= result.optimistic


@given(seed=seeds, style=styles, cuts=st.lists(st.integers(1, 60), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_cuts_and_restarts_change_no_bit(seed: int, style: str, cuts: list[int]) -> None:
    """Facts cut anywhere, one by one too, with a dump and a load behind every cut: the same
    results."""
    rng = random.Random(seed)
    facts = a_lane(rng, 60, style=style)
    # Some come late.
    for _ in range(len(facts) // 10):
        facts.insert(rng.randrange(len(facts)), facts.pop(rng.randrange(len(facts))))
    whole = ShadowBook(MODEL, 25)
    expected = words(all_of(whole, facts))
    assert expected
    book, at, number = ShadowBook(MODEL, 25), 0, 0
    found: list[ShadowResult] = []
    while at < len(facts):
        size = cuts[number % len(cuts)]
        found += book.take(facts[at : at + size], 0)
        at, number = at + size, number + 1
        book = ShadowBook.load(MODEL, 25, book.dump())
    assert words(found) == expected
    counts = [(b.pending_count, b.unfollowed_count, b.late_bar_count) for b in (book, whole)]
    assert counts[0] == counts[1]
    assert book.dump() == ShadowBook.load(MODEL, 25, book.dump()).dump()


def test_a_dump_of_something_else_is_refused() -> None:
    """What is no dump, cut off, or of other horizons is told, not read; its signals are counted."""
    book = ShadowBook(MODEL, 10)
    book.take(a_lane(random.Random(1), 30), 0)
    blob = book.dump()
    for wrong in (b"", b"{}\n", blob[:-1], b"\x80\x04"):
        with pytest.raises(ValueError, match="dump"):
            ShadowBook.load(MODEL, 10, wrong)
    with pytest.raises(ValueError, match="follows"):
        ShadowBook.load(replace(MODEL, horizons=("3d", "4d", "5d", "6d")), 10, blob)
    assert pending_count_of(blob) == book.pending_count > 0
    assert pending_count_of(blob[:20]) == 0


def test_what_is_open_goes_on_under_other_costs() -> None:
    """A book that was dumped under one fee matures under another, and its results say which."""
    facts = a_lane(random.Random(1), 60)
    book = ShadowBook(MODEL, 10)
    book.take(facts[:30], 0)
    dearer = replace(MODEL, taker_fee_bps=MODEL.taker_fee_bps + 7)
    found = ShadowBook.load(dearer, 10, book.dump()).take(facts[30:], 0)
    plain = book.take(facts[30:], 0)
    assert [each.key for each in found] == [each.key for each in plain] != []
    assert {each.fill_model for each in found} == {dearer.version}
    pairs = [(new, old) for new, old in zip(found, plain, strict=True) if old.gross == old.gross]
    assert any(new.fee_cost > old.fee_cost for new, old in pairs)
    assert all(new.gross == old.gross for new, old in pairs)


def test_lane_of_results_is_that_of_their_signals() -> None:
    """Results say whose they are."""
    results = all_of(ShadowBook(MODEL, 1_000), a_lane(random.Random(2)))
    assert {each.lane for each in results} == {LANE}
    assert len({each.event_id for each in results}) == len(results)
    assert not any(isnan(each.return_fraction) for each in results if each.status == 1)
