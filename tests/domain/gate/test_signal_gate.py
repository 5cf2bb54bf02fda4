"""The gate's rules, one by one: what concerns a signal, what wins, what the answer tells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_server.domain.gate.calibrator_table import CalibratorTable, calibrated_probability
from trimtab_server.domain.gate.signal_gate import (
    BreakerKind,
    GateReason,
    Intent,
    OpenBreaker,
    Parameters,
    Query,
    RuleSet,
    Scope,
    StateEntry,
    ThresholdScale,
    TradingState,
    Verdict,
    VerdictKind,
    decide,
    entry_denials,
)

NOW = 1_000_000_000_000
HOUR = 3_600 * 10**9
SYMBOL = Scope(symbol="AAPL")
EVERYTHING = Scope()
ASKED = Scope("alpha-1", "meanrev", "AAPL", "xgb")

NAMES = st.sampled_from(["", "a", "b"])
SCOPES = st.builds(Scope, NAMES, NAMES, NAMES, NAMES)


def state(
    order: TradingState = TradingState.HALTED,
    scope: Scope = EVERYTHING,
    *,
    until_ns: int | None = None,
    block_exits: bool = False,
) -> StateEntry:
    """A trading state that somebody ordered."""
    return StateEntry(scope, order, block_exits, "ops", "news", until_ns, NOW - 1, 1)


def breaker(scope: Scope = EVERYTHING, open_until_ns: int | None = None) -> OpenBreaker:
    """A breaker that is open, or half-open when its time has passed."""
    kind = BreakerKind.CONSECUTIVE_LOSSES
    return OpenBreaker(scope, kind, "losses", NOW - HOUR, open_until_ns, 1, "5 losses", "", 2)


def asked(
    rules: RuleSet,
    intent: Intent = Intent.ENTRY,
    confidence: float | None = 0.7,
    scope: Scope = ASKED,
    now_ns: int = NOW,
) -> Verdict:
    """The answer to one signal, without a server that grants probes."""
    return decide(rules, Query(scope, "s1", intent, confidence), now_ns, None)


def codes(verdict: Verdict) -> list[GateReason]:
    """The codes of a verdict's reasons."""
    return [each.code for each in verdict.reasons]


def test_without_rules_everything_passes() -> None:
    """An empty rule set allows each intent, at full size."""
    for intent in Intent:
        verdict = asked(RuleSet(0), intent)
        assert verdict[:3] == (VerdictKind.ALLOW, 1.0, None)
        assert verdict.reasons == ()


def test_a_halt_denies_entries_and_lets_exits_pass() -> None:
    """HALTED stops what opens, and what closes only when the operator said so."""
    rules = RuleSet(1, states=(state(),))
    assert codes(asked(rules)) == [GateReason.HALTED]
    assert asked(rules).kind is VerdictKind.DENY
    assert asked(rules, Intent.EXIT).kind is VerdictKind.ALLOW
    assert asked(rules, Intent.REDUCE).kind is VerdictKind.ALLOW
    blocked = RuleSet(1, states=(state(block_exits=True),))
    assert codes(asked(blocked, Intent.EXIT)) == [GateReason.EXITS_BLOCKED]
    assert codes(asked(blocked, Intent.REDUCE)) == [GateReason.EXITS_BLOCKED]


def test_reducing_denies_entries_only() -> None:
    """REDUCING never stops what makes a position smaller."""
    rules = RuleSet(1, states=(state(TradingState.REDUCING),))
    assert codes(asked(rules)) == [GateReason.REDUCING]
    assert asked(rules, Intent.EXIT).kind is VerdictKind.ALLOW


def test_a_state_ends_at_its_until() -> None:
    """It holds before `until`, not at it."""
    rules = RuleSet(1, states=(state(until_ns=NOW),))
    assert asked(rules, now_ns=NOW - 1).kind is VerdictKind.DENY
    assert asked(rules, now_ns=NOW).kind is VerdictKind.ALLOW


@given(scope=SCOPES, halted=SCOPES, actives=st.lists(SCOPES, max_size=4))
def test_no_active_anywhere_defeats_a_halt(
    scope: Scope, halted: Scope, actives: list[Scope]
) -> None:
    """Whatever is ACTIVE beside it, a halt that concerns a signal denies it."""
    rules = RuleSet(
        1,
        states=(state(scope=halted), *(state(TradingState.ACTIVE, each) for each in actives)),
    )
    denied = asked(rules, scope=scope).kind is VerdictKind.DENY
    assert denied == halted.concerns(scope)


@given(scope=SCOPES, other=SCOPES)
def test_what_is_not_told_could_be_anything(scope: Scope, other: Scope) -> None:
    """A rule concerns a signal unless both tell a name and differ; covering is stricter."""
    differs = any(a and b and a != b for a, b in zip(scope, other, strict=True))
    assert scope.concerns(other) == (not differs)
    assert not scope.covers(other) or scope.concerns(other)


def test_an_open_breaker_denies_and_a_half_open_one_asks() -> None:
    """Open until its time; then only the server can say."""
    rules = RuleSet(1, breakers=(breaker(open_until_ns=NOW),))
    early = asked(rules, now_ns=NOW - 1)
    assert (early.kind, codes(early)) == (VerdictKind.DENY, [GateReason.BREAKER_OPEN])
    assert early.reasons[0].until_ns == NOW
    late = asked(rules, now_ns=NOW)
    assert (late.kind, codes(late)) == (VerdictKind.ASK, [GateReason.ASK_REQUIRED])
    assert asked(rules, Intent.EXIT, now_ns=NOW - 1).kind is VerdictKind.ALLOW


def test_probes_are_taken_from_every_half_open_breaker_or_from_none() -> None:
    """The one who grants is asked once for all, and only when nothing else denies."""
    first, second = breaker(SYMBOL, NOW), breaker(Scope(), NOW)
    seen = []

    def grant(breakers: object, query: Query) -> list[OpenBreaker]:
        seen.append((breakers, query))
        return [second] if len(seen) > 1 else []

    rules = RuleSet(1, breakers=(first, second))
    query = Query(ASKED, "s1", Intent.ENTRY, 0.7)
    granted = decide(rules, query, NOW, grant)
    assert granted.kind is VerdictKind.ALLOW
    assert codes(granted) == [GateReason.PROBE_GRANTED] * 2
    spent = decide(rules, query, NOW, grant)
    assert (spent.kind, codes(spent)) == (VerdictKind.DENY, [GateReason.PROBES_EXHAUSTED])
    assert seen == [((second, first), query)] * 2
    halted = RuleSet(1, states=(state(),), breakers=(first, second))
    assert codes(decide(halted, query, NOW, grant)) == [GateReason.HALTED]
    assert len(seen) == 2


def test_thresholds_name_their_scale() -> None:
    """The same number lets a claim pass and stops its probability, and the reverse."""
    table = CalibratorTable("", "1", (0.0, 1.0), (0.3, 0.7))
    claimed = Parameters(Scope(), 0.8, ThresholdScale.CONFIDENCE)
    calibrated = Parameters(Scope(), 0.6, ThresholdScale.PROBABILITY)
    by_claim = RuleSet(1, parameters=(claimed,), calibrators=(table,))
    by_probability = RuleSet(1, parameters=(calibrated,), calibrators=(table,))
    assert asked(by_claim, confidence=0.85).kind is VerdictKind.ALLOW
    assert asked(by_claim, confidence=0.85).probability == 0.64
    assert codes(asked(by_claim, confidence=0.79)) == [GateReason.BELOW_THRESHOLD]
    assert asked(by_probability, confidence=0.75).kind is VerdictKind.ALLOW
    assert codes(asked(by_probability, confidence=0.74)) == [GateReason.BELOW_THRESHOLD]
    assert codes(asked(by_claim, confidence=None)) == [GateReason.CONFIDENCE_MISSING]
    uncalibrated = RuleSet(1, parameters=(calibrated,))
    assert codes(asked(uncalibrated, confidence=0.99)) == [GateReason.NOT_CALIBRATED]
    assert asked(by_claim, Intent.EXIT, confidence=None).kind is VerdictKind.ALLOW


@pytest.mark.parametrize(
    ("scopes", "winner"),
    [
        ([Scope(source="alpha-1"), Scope(strategy="meanrev")], 1),
        ([Scope(source="alpha-1", strategy="meanrev"), Scope(symbol="AAPL")], 1),
        ([Scope("alpha-1", "meanrev", "AAPL"), Scope(model_name="xgb")], 1),
        ([Scope(), Scope(source="alpha-1")], 1),
        ([Scope(), Scope()], 0),
        ([Scope(symbol="AAPL"), Scope(symbol="MSFT", model_name="xgb")], 0),
    ],
)
def test_the_first_match_wins_in_the_order_model_symbol_strategy_source(
    scopes: list[Scope], winner: int
) -> None:
    """Each parameter comes from the most specific scope that tells it."""
    parameters = tuple(
        Parameters(scope, (k + 1) / 10, ThresholdScale.CONFIDENCE) for k, scope in enumerate(scopes)
    )
    assert asked(RuleSet(1, parameters=parameters)).threshold == (winner + 1) / 10


def test_parameters_do_not_match_names_that_are_not_told() -> None:
    """A threshold of a symbol is not held against a signal that tells none."""
    rules = RuleSet(1, parameters=(Parameters(SYMBOL, 0.9, ThresholdScale.CONFIDENCE),))
    assert asked(rules, scope=Scope("alpha-1")).threshold is None


def test_each_parameter_is_found_by_itself() -> None:
    """Threshold, multiplier and limit may come from three scopes; REDUCE says what is smaller."""
    rules = RuleSet(
        1,
        parameters=(
            Parameters(Scope(), 0.1, ThresholdScale.CONFIDENCE, 0.9, 0.2),
            Parameters(SYMBOL, size_multiplier=0.5),
            Parameters(Scope(model_name="xgb"), max_position_fraction=0.1),
        ),
    )
    verdict = asked(rules)
    assert verdict[:3] == (VerdictKind.REDUCE, 0.5, 0.1)
    assert verdict.threshold == 0.1
    assert codes(verdict) == [GateReason.SIZE_LIMITED]
    assert verdict.reasons[0].scope == SYMBOL


def test_all_reasons_are_told_in_the_order_of_the_rules() -> None:
    """States, then breakers, then the threshold; entries by scope."""
    rules = RuleSet(
        1,
        states=(state(scope=SYMBOL), state(TradingState.REDUCING)),
        breakers=(breaker(), breaker(SYMBOL, NOW)),
        parameters=(Parameters(Scope(), 0.9, ThresholdScale.CONFIDENCE),),
    )
    assert codes(asked(rules)) == [
        GateReason.REDUCING,
        GateReason.HALTED,
        GateReason.BREAKER_OPEN,
        GateReason.BELOW_THRESHOLD,
    ]


def test_a_verdict_tells_at_most_64_reasons() -> None:
    """However many rules deny, the answer stays small; the first ones in order are told."""
    states = tuple(state(scope=Scope(symbol=f"S{n:03d}")) for n in range(100))
    breakers = tuple(breaker(Scope(symbol=f"S{n:03d}"), NOW) for n in range(100))
    anything = Scope("alpha-1")
    denied = asked(RuleSet(1, states=states, breakers=breakers), scope=anything)
    assert codes(denied) == [GateReason.HALTED] * 64
    assert denied.reasons[0].scope == Scope(symbol="S000")
    mixed = asked(RuleSet(1, states=states[:60], breakers=breakers), scope=anything, now_ns=NOW - 1)
    assert codes(mixed) == [GateReason.HALTED] * 60 + [GateReason.BREAKER_OPEN] * 4
    asking = asked(RuleSet(1, breakers=breakers), scope=anything)
    assert codes(asking) == [GateReason.ASK_REQUIRED] * 64


@pytest.mark.parametrize(
    ("confidence", "probability"),
    [(0.0, 0.25), (0.2, 0.25), (0.35, 0.3), (0.5, 0.35), (0.8, 0.9), (1.0, 0.9)],
)
def test_a_probability_is_interpolated_between_knots(confidence: float, probability: float) -> None:
    """Flat outside the table, linear inside."""
    table = CalibratorTable("", "1", (0.2, 0.5, 0.8), (0.25, 0.35, 0.9))
    assert calibrated_probability(table, confidence) == probability


def test_a_tie_is_rounded_as_the_contract_says() -> None:
    """1/128 is 0.0078125: the sixth digit goes to the even one."""
    assert calibrated_probability(CalibratorTable("", "1", (0.5,), (1 / 128,)), 0.1) == 0.007812
    assert calibrated_probability(CalibratorTable("", "1", (0.5,), (3 / 128,)), 0.9) == 0.023438


def test_a_model_has_its_own_calibrator_before_the_one_for_any() -> None:
    """By the signal's model name, else the table without a name."""
    own, shared = (
        CalibratorTable("xgb", "2", (0.5,), (0.6,)),
        CalibratorTable("", "1", (0.5,), (0.4,)),
    )
    rules = RuleSet(1, calibrators=(shared, own))
    assert asked(rules).probability == 0.6
    assert asked(rules, scope=Scope(model_name="lgbm")).probability == 0.4
    assert asked(rules, confidence=None).probability is None


def test_an_entry_is_possible_unless_something_covers_the_scope() -> None:
    """Asked without a signal, a halt of one symbol does not close the whole engine."""
    rules = RuleSet(1, states=(state(scope=SYMBOL),), breakers=(breaker(Scope("beta-1")),))
    assert entry_denials(rules, Scope("alpha-1"), NOW) == ()
    told = entry_denials(rules, ASKED, NOW)
    assert [each.code for each in told] == [GateReason.HALTED]
    open_breaker = entry_denials(rules, Scope("beta-1"), NOW)
    assert [each.code for each in open_breaker] == [GateReason.BREAKER_OPEN]
    half_open = RuleSet(1, breakers=(breaker(open_until_ns=NOW),))
    assert entry_denials(half_open, ASKED, NOW) == ()
