"""Breakers: what opens them, what alone closes them, and that pages and old news change nothing."""

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_server.domain.events import Environment
from trimtab_server.domain.gate.breaker import (
    cool_down_ns,
    granted,
    is_made_by,
    observed,
    probes_under_way,
    rules_for,
    state_changed,
    tripped_by_hand,
)
from trimtab_server.domain.gate.breaker_record import (
    Breaker,
    BreakerRule,
    BreakerState,
    Probe,
    Sample,
    SampleKind,
    reset,
)
from trimtab_server.domain.gate.signal_gate import BreakerKind, Scope, World

S = 10**9
NOW = 1_700_000_000 * S
LIVE = World(Environment.LIVE, "")
RUN = World(Environment.BACKTEST, "run-1")
SCOPE = Scope(source="bot", strategy="trend")
_probe = partial(Probe, SCOPE.source)
FAILURES = BreakerRule(
    "failures", BreakerKind.EXECUTION_FAILURES, 0.5, window_ns=60 * S, count_min=3
)
LOSSES = BreakerRule("losses", BreakerKind.CONSECUTIVE_LOSSES, 3, window_ns=3_600 * S)
DRAWDOWN = BreakerRule("drawdown", BreakerKind.DRAWDOWN, 0.05, window_ns=3_600 * S)
LOSS_RATE = BreakerRule("rate", BreakerKind.LOSS_RATE, 0.6, window_ns=3_600 * S, count_min=4)
STALE = BreakerRule("stale", BreakerKind.STALE_DATA, 10, confirmation_count=2)
RULES = {rule.kind: rule for rule in (FAILURES, LOSSES, DRAWDOWN, LOSS_RATE, STALE)}


def _sample(
    kind: SampleKind,
    at_ns: int,
    signal_id: str = "",
    *,
    back: float | None = None,
    won: bool | None = None,
    world: World = LIVE,
) -> Sample:
    return Sample(kind, world, SCOPE, signal_id, at_ns, back, won)


def _new(rule: BreakerRule, world: World = LIVE) -> Breaker:
    return Breaker(world, SCOPE, rule.kind, rule.name)


def _outcome(back: float, at_ns: int, signal_id: str = "", world: World = LIVE) -> Sample:
    return _sample(SampleKind.OUTCOME, at_ns, signal_id, back=back, world=world)


def _open(rule: BreakerRule, at_ns: int = NOW) -> Breaker:
    """An open breaker of the rule."""
    bad = _sample(SampleKind.EXECUTION_FAILED, at_ns)
    if rule.kind is not BreakerKind.EXECUTION_FAILURES:
        bad = _outcome(-0.1, at_ns)
    breaker = observed(_new(rule), rule, [bad] * 5, at_ns)
    assert breaker.is_open
    return breaker


def test_a_breaker_opens_when_its_reading_passes_the_limit() -> None:
    """Not at the limit, not below the least count, and it says what it measured."""
    ok, bad = (_sample(kind, NOW) for kind in (SampleKind.EXECUTED, SampleKind.EXECUTION_FAILED))
    assert not observed(_new(FAILURES), FAILURES, [bad, bad], NOW).is_open
    opened = observed(_new(FAILURES), FAILURES, [ok, bad, bad, ok], NOW)
    # Two of three is beyond a half already; what came after it is ignored.
    assert opened.is_open
    assert not observed(_new(FAILURES), FAILURES, [ok, ok, bad, bad], NOW).is_open
    assert opened.reason == (
        "rule failures: 2 of 3 orders failed within 60 s, allowed is a share of 0.5"
    )
    assert (opened.trip_count, opened.open_time_ns, opened.limit) == (1, NOW, 0.5)
    assert opened.observed_value == pytest.approx(2 / 3)
    assert opened.as_open().open_until_ns == NOW + 300 * S


def test_the_fifth_loss_in_a_row_trips_a_rule_of_five() -> None:
    """Also when four were seen before, and not when a win came between."""
    rule = replace(LOSSES, limit=5)
    four = observed(_new(rule), rule, [_outcome(-0.01, NOW)] * 4, NOW)
    assert not four.is_open
    assert observed(four, rule, [_outcome(-0.01, NOW)], NOW).is_open
    assert not observed(four, rule, [_outcome(0.01, NOW), _outcome(-0.01, NOW)], NOW).is_open


def test_a_drawdown_is_measured_from_the_highest_sum() -> None:
    """+4 %, -3 %, -2 % fell by exactly 5 %: allowed; one more loss is not."""
    breaker = observed(
        _new(DRAWDOWN), DRAWDOWN, [_outcome(back, NOW) for back in (0.04, -0.03, -0.02)], NOW
    )
    assert (breaker.is_open, breaker.observed_value) == (False, 0.05)
    assert observed(breaker, DRAWDOWN, [_outcome(-0.001, NOW)], NOW).is_open


def test_an_outcome_that_does_not_tell_changes_nothing() -> None:
    """Neither won nor a return; for a drawdown, no return."""
    unknown = _sample(SampleKind.OUTCOME, NOW)
    assert observed(_new(LOSSES), LOSSES, [unknown], NOW) == _new(LOSSES)
    lost = _sample(SampleKind.OUTCOME, NOW, won=False)
    assert observed(_new(DRAWDOWN), DRAWDOWN, [lost], NOW) == _new(DRAWDOWN)
    assert len(observed(_new(LOSSES), LOSSES, [lost], NOW).window) == 1


def test_a_reading_must_be_confirmed() -> None:
    """Two readings beyond the limit in a row are asked for; one below in between starts anew."""
    rule = replace(FAILURES, confirmation_count=2, count_min=1)
    ok, bad = (_sample(kind, NOW) for kind in (SampleKind.EXECUTED, SampleKind.EXECUTION_FAILED))
    once = observed(_new(rule), rule, [bad], NOW)
    assert (once.is_open, once.breach_count) == (False, 1)
    assert observed(once, rule, [ok], NOW).breach_count == 0
    assert observed(once, rule, [bad], NOW).is_open


def test_probes_that_end_well_close_it() -> None:
    """Three granted ones; good results of other signals, and a second one of the same, do not."""
    breaker, later = _open(FAILURES), NOW + 300 * S
    assert granted(breaker, FAILURES, _probe("a", later - 1)) is None
    for name in ("a", "b", "c"):
        asked = granted(breaker, FAILURES, _probe(name, later))
        assert asked is not None
        breaker = asked
    assert granted(breaker, FAILURES, _probe("d", later)) is None
    assert granted(breaker, FAILURES, _probe("a", later)) == breaker
    good = [_sample(SampleKind.EXECUTED, later, name) for name in ("x", "a", "a", "", "b")]
    breaker = observed(breaker, FAILURES, good, later)
    assert (breaker.success_count, breaker.state_at(later)) == (2, BreakerState.HALF_OPEN)
    closed = observed(breaker, FAILURES, [_sample(SampleKind.EXECUTED, later, "c")], later)
    assert closed == replace(_new(FAILURES), limit=0.5)
    assert state_changed(breaker, closed)


def test_anything_bad_opens_it_again_for_longer() -> None:
    """A probe's or not; the cool-down doubles up to its maximum."""
    breaker, at = _open(FAILURES), NOW
    spans = []
    for _ in range(6):
        assert breaker.open_until_ns is not None
        spans.append((breaker.open_until_ns - at) // S)
        at = breaker.open_until_ns
        breaker = observed(breaker, FAILURES, [_sample(SampleKind.EXECUTION_FAILED, at)], at)
    assert spans == [300, 600, 1_200, 2_400, 3_600, 3_600]
    assert (breaker.trip_count, breaker.probes) == (7, ())
    assert breaker.reason == "rule failures: an order failed while half-open"


def test_what_happened_while_it_was_open_does_not_open_it_again() -> None:
    """A failure from the open time that comes late counts no more than when it happened."""
    breaker, later = _open(FAILURES), NOW + 301 * S
    late = _sample(SampleKind.EXECUTION_FAILED, NOW + 299 * S, "other")
    assert observed(breaker, FAILURES, [late], later) == breaker
    asked = granted(breaker, FAILURES, _probe("other", later))
    assert asked is not None
    assert observed(asked, FAILURES, [late], later).trip_count == 2


def test_a_probe_without_a_result_is_given_up() -> None:
    """Its place is free again, and its late success counts no more."""
    rule = replace(FAILURES, probe_count_max=1, probe_timeout_ns=10 * S)
    later = NOW + 300 * S
    breaker = granted(_open(rule), rule, _probe("a", later))
    assert breaker is not None
    assert granted(breaker, rule, _probe("b", later + 9 * S)) is None
    assert probes_under_way(breaker, rule, later + 10 * S) == ()
    late = observed(breaker, rule, [_sample(SampleKind.EXECUTED, later, "a")], later + 10 * S)
    assert late.success_count == 0
    taken = granted(breaker, rule, _probe("b", later + 10 * S))
    assert taken is not None
    assert taken.probes == (_probe("b", later + 10 * S),)


def test_a_probe_that_ended_counts_once() -> None:
    """Neither another result of its signal, nor its grant when it is stored late, nor its signal
    asking again makes it count a second time; its place is free for another signal."""
    rule, later = replace(FAILURES, probe_count_max=1, success_count_min=2), NOW + 300 * S
    asked = granted(_open(rule), rule, _probe("a", later))
    assert asked is not None
    good = _sample(SampleKind.EXECUTED, later, "a")
    ended = observed(asked, rule, [good], later)
    assert (ended.success_count, probes_under_way(ended, rule, later)) == (1, ())
    assert granted(ended, rule, _probe("a", later)) is None
    assert granted(ended, rule, _probe("a", later + 2 * rule.probe_timeout_ns)) is None
    assert observed(ended, rule, [good, good], later) == ended
    other = granted(ended, rule, _probe("b", later))
    assert other is not None
    assert not observed(other, rule, [good._replace(signal_id="b")], later).is_open
    bad = _sample(SampleKind.EXECUTION_FAILED, later, "a")
    again = observed(other, rule, [bad], later)
    assert (again.trip_count, again.probes) == (2, ())


def test_a_backtest_lives_in_the_time_of_its_samples() -> None:
    """Its cool-down ends when its samples say so, whatever the server's clock is."""
    losses = [_outcome(-0.1, (100 + i) * S, world=RUN) for i in range(3)]
    breaker = observed(_new(LOSSES, RUN), LOSSES, losses, NOW)
    assert (breaker.open_time_ns, breaker.clock_ns) == (102 * S, 102 * S)
    assert breaker.open_until_ns == 402 * S
    assert observed(breaker, LOSSES, [_outcome(-0.1, 401 * S, world=RUN)], NOW).trip_count == 1
    assert observed(breaker, LOSSES, [_outcome(-0.1, 402 * S, world=RUN)], NOW).trip_count == 2


def test_a_reset_forgets_what_was_measured() -> None:
    """CLOSED, with an empty window and no probes; its revision and clock stay."""
    breaker = replace(_open(FAILURES), revision=7, clock_ns=5)
    cleared = reset(breaker)
    assert cleared == replace(_new(FAILURES), revision=7, clock_ns=5, limit=0.5)


def test_by_hand_it_is_open_for_exactly_as_long_as_ordered() -> None:
    """Without a cool-down until a reset; ordered again while open, its time begins anew."""
    blank = Breaker(LIVE, SCOPE, BreakerKind.CRITICAL_DRIFT)
    for_good = tripped_by_hand(blank, NOW, None, "drifted", "ann")
    assert for_good.state_at(NOW + 10**9 * S) is BreakerState.OPEN
    assert (for_good.reason, for_good.actor, for_good.trip_count) == ("drifted", "ann", 1)
    again = tripped_by_hand(for_good, NOW + S, 60 * S, "still", "bob")
    assert (again.trip_count, again.open_until_ns) == (1, NOW + 61 * S)
    lost = [_outcome(-0.1, NOW + 61 * S)]
    worse = observed(again, None, lost, NOW + 61 * S)
    assert (worse.trip_count, worse.open_until_ns) == (2, NOW + 181 * S)
    assert (worse.reason, worse.actor) == ("still", "bob")
    assert observed(blank, None, lost, NOW) == blank


def test_rules_find_the_breaker_of_a_sample() -> None:
    """By kind, environment and filter; `per` gives each value its own, and none told is none."""
    rule = replace(FAILURES, scope=Scope(source="bot"), per=("symbol", "model_name"))
    sample = Sample(SampleKind.EXECUTED, LIVE, Scope("bot", "trend", "AAPL"), "a", NOW)
    assert list(rules_for(sample, [rule])) == [(rule, Scope("bot", symbol="AAPL"))]
    assert not list(rules_for(sample._replace(scope=Scope("other")), [rule]))
    assert not list(rules_for(sample._replace(kind=SampleKind.OUTCOME), [rule]))
    paper = replace(rule, environments=(Environment.PAPER,))
    assert not list(rules_for(sample, [paper]))
    data = Sample(SampleKind.MARKET_DATA, RUN, SCOPE, "", NOW)
    assert not list(rules_for(data, [STALE]))
    assert list(rules_for(data._replace(world=LIVE), [STALE])) == [(STALE, Scope())]


NAMES = st.sampled_from(["", "a", "b"])
SCOPES = st.builds(Scope, NAMES, NAMES, NAMES, NAMES)
MADE_RULES = st.builds(
    BreakerRule,
    st.just("rule"),
    st.sampled_from([BreakerKind.STALE_DATA, BreakerKind.LOSS_RATE]),
    st.just(1.0),
    environments=st.sampled_from([(), (Environment.LIVE,), (Environment.PAPER,)]),
    scope=SCOPES,
    per=st.sets(st.sampled_from(Scope._fields)).map(tuple),
)


@given(MADE_RULES, SCOPES, st.sampled_from([LIVE, RUN]))
def test_a_rule_makes_the_breakers_that_its_samples_go_to(
    rule: BreakerRule, scope: Scope, world: World
) -> None:
    """A breaker of a scope is the rule's exactly when a sample of these names goes to it."""
    is_stale = rule.kind is BreakerKind.STALE_DATA
    told = Scope(*(has or own for has, own in zip(scope, rule.scope, strict=True)))
    kind = SampleKind.MARKET_DATA if is_stale else SampleKind.OUTCOME
    found = list(rules_for(Sample(kind, world, told, "", NOW), [rule]))
    breaker = Breaker(world, scope, rule.kind, rule.name)
    assert is_made_by(breaker, rule) == (found == [(rule, scope)])
    assert not is_made_by(replace(breaker, rule="other"), rule)
    assert not is_made_by(replace(breaker, kind=BreakerKind.DRAWDOWN), rule)


@given(st.integers(1, 200), st.floats(0, 1), st.text("ab", max_size=3), st.text("xy", max_size=3))
def test_jitter_stays_within_its_bounds_and_is_drawn_the_same_again(
    trip_count: int, jitter: float, seed: str, run_id: str
) -> None:
    """Between the doubled cool-down and that plus its share; never beyond the maximum plus it."""
    rule = replace(LOSSES, cool_down_jitter=jitter, jitter_seed=seed)
    breaker = _new(rule, World(Environment.BACKTEST, run_id))
    drawn = cool_down_ns(breaker, rule, trip_count)
    base = min(300 * 2 ** (trip_count - 1), 3_600) * S
    assert base <= drawn <= base * (1 + jitter)
    assert drawn == cool_down_ns(replace(breaker, trip_count=9), rule, trip_count)


def test_jitter_spreads_breakers_apart() -> None:
    """Other scopes, rules, counts, runs and seeds draw other numbers."""
    rule = replace(LOSSES, cool_down_jitter=0.5)
    drawn = {
        cool_down_ns(_new(rule), rule, 5),
        cool_down_ns(_new(rule), rule, 6),
        cool_down_ns(_new(rule, RUN), rule, 5),
        cool_down_ns(replace(_new(rule), scope=Scope("bot2")), rule, 5),
        cool_down_ns(_new(rule), replace(rule, name="other"), 5),
        cool_down_ns(_new(rule), replace(rule, jitter_seed="eu"), 5),
    }
    assert len(drawn) == 6


SAMPLES = st.lists(
    st.builds(
        _sample,
        st.sampled_from(SampleKind),
        st.integers(NOW - 4_000 * S, NOW),
        st.sampled_from(["", "a", "b", "c", "d"]),
        back=st.one_of(st.none(), st.floats(-0.2, 0.1)),
        won=st.one_of(st.none(), st.booleans()),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(st.sampled_from(list(RULES.values())), SAMPLES, st.data(), st.sampled_from([LIVE, RUN]))
def test_where_a_page_ends_makes_no_difference(
    rule: BreakerRule, samples: list[Sample], data: st.DataObject, world: World
) -> None:
    """One page, or any split of it: the same record, whatever state it began in."""
    start = _new(rule, world)
    if data.draw(st.booleans()):
        start = tripped_by_hand(start, NOW - 3_000 * S, 100 * S, "x", "ann")
        start = granted(start, rule, _probe("a", NOW - 2_500 * S)) or start
    by_hand = data.draw(st.booleans())
    told = None if by_hand else rule
    whole = observed(start, told, samples, NOW)
    cut = data.draw(st.lists(st.integers(0, len(samples)), max_size=5).map(sorted))
    parts = start
    for first, last in zip([0, *cut], [*cut, len(samples)], strict=True):
        parts = observed(parts, told, samples[first:last], NOW)
    assert parts == whole


@settings(deadline=None)
@given(
    st.sampled_from([FAILURES, LOSSES, DRAWDOWN, LOSS_RATE]),
    SAMPLES,
    st.lists(st.integers(0, 400), min_size=60, max_size=60),
    st.booleans(),
)
def test_only_granted_probes_close_an_open_breaker(
    rule: BreakerRule, samples: list[Sample], waits: list[int], by_hand: bool
) -> None:
    """Never without enough of them having been granted since it opened, and never while OPEN."""
    breaker, now = _new(rule), NOW
    given_out: set[str] = set()
    for sample, wait in zip(samples, waits, strict=False):
        now += wait * S
        asked = granted(breaker, rule, _probe(sample.signal_id or "z", now)) if wait % 3 else None
        if asked is not None:
            given_out |= {each.signal_id for each in asked.probes}
            breaker = asked
        before = breaker
        fresh = sample._replace(time_ns=now)
        breaker = observed(breaker, None if by_hand and breaker.is_open else rule, [fresh], now)
        if before.is_open and not breaker.is_open:
            assert before.state_at(now) is BreakerState.HALF_OPEN
            assert sample.signal_id in given_out
            assert before.success_count == 2
        if breaker.trip_count > before.trip_count or not breaker.is_open:
            given_out = set()
        assert len(probes_under_way(breaker, rule, now)) <= rule.probe_count_max
        assert len(breaker.probes) < rule.probe_count_max + rule.success_count_min


@settings(deadline=None)
@given(st.sampled_from(list(RULES.values())), SAMPLES, st.booleans())
def test_old_samples_change_nothing(
    rule: BreakerRule, samples: list[Sample], is_open: bool
) -> None:
    """What is older than the window (for data: than the last) leaves the very same record."""
    limit = rule.window_ns or 3_600 * S
    breaker = observed(_new(rule), rule, samples, NOW)
    if rule.kind is BreakerKind.STALE_DATA:
        breaker = observed(breaker, rule, [_sample(SampleKind.MARKET_DATA, NOW)], NOW)
    if is_open:
        breaker = tripped_by_hand(breaker, NOW - 90 * S, 60 * S, "x", "ann")
        breaker = granted(breaker, rule, _probe("a", NOW)) or breaker
    old = [each._replace(time_ns=each.time_ns - limit - S) for each in samples]
    old = [each for each in old if each.time_ns < NOW - limit]
    assert observed(breaker, rule, old, NOW) == breaker


@given(SAMPLES)
def test_a_windows_record_stays_within_its_limits(samples: list[Sample]) -> None:
    """At most 1,000 entries, none from before the window when the last one came."""
    many = samples * 40
    for rule in (FAILURES, LOSSES, DRAWDOWN, LOSS_RATE):
        calm = replace(rule, limit=10.0**9)
        breaker = observed(_new(calm), calm, many, NOW)
        assert len(breaker.window) <= 1_000
        assert all(at >= NOW - calm.window_ns for at, _ in breaker.window)
