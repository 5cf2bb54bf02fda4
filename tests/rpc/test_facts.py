"""What an event tells the ledger: each payload, what tells it nothing, and nothing ever raises."""

import json
import math
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rpc.generated_events import events
from tests.rpc.samples import KINDS, RECENT_S, SOURCE, an_event
from trimtab.v1 import event_pb2 as ev
from trimtab_server.domain.ledger.columns import (
    BLOCK,
    NOT_EVALUATED,
    PASS,
    STATEFUL,
    STATELESS,
    GuardRule,
)
from trimtab_server.domain.ledger.facts import (
    AccountFact,
    ActionFact,
    BarFact,
    DecisionFact,
    Fact,
    FillFact,
    Lane,
    MarkoutFact,
    OutcomeFact,
    PredictionFact,
    ShadowFact,
    SignalFact,
    TickFact,
    signal_key,
)
from trimtab_server.rpc.facts import facts_of

_KIND_OF = {
    "signal": SignalFact,
    "decision": DecisionFact,
    "execution": FillFact,
    "account_snapshot": AccountFact,
    "outcome": OutcomeFact,
    "shadow_outcome": ShadowFact,
    "prediction": PredictionFact,
    "market_bar": BarFact,
    "market_tick": TickFact,
    "corporate_action": ActionFact,
}
LANE = Lane(SOURCE, int(ev.ENVIRONMENT_PAPER), "")
KEY = signal_key(LANE, "s-1")


def fact_of(kind: str, **fields: Any) -> Any:
    """The fact of a valid event with these fields."""
    return facts_of(an_event(kind, **fields).SerializeToString())


@pytest.mark.parametrize("kind", KINDS)
def test_every_payload_tells_what_it_should(kind: str) -> None:
    """Ten kinds are facts of the ledger, under their lane, time and ids; the others tell none."""
    event = an_event(kind, corrects_event_id="0190c8a4-0000-7000-8000-000000000001")
    event.event_time.nanos = 7
    fact = facts_of(event.SerializeToString())
    assert type(fact) is _KIND_OF.get(kind, type(None))
    if fact is not None:
        assert fact.lane == LANE
        assert fact.time_ns == RECENT_S * 10**9 + 7
        assert fact.event_id.hex() == event.event_id.replace("-", "")
        assert fact.corrects_id.hex() == "0190c8a4000070008000000000000001"
        assert getattr(fact, "key", KEY) == KEY


def test_a_signal_tells_all_that_the_ledger_keeps() -> None:
    """Absent numbers are NaN, an untold intent is ENTRY, a multiplier is 1."""
    plain = fact_of("signal", **{"signal.intent": 0})
    assert (plain.side, plain.intent, plain.confidence) == (1, int(ev.INTENT_ENTRY), 0.8)
    assert (plain.size_kind, plain.multiplier, plain.holding_ns, plain.context) == (0, 1.0, 0, b"")
    unknown = (plain.size, plain.expected_return, plain.threshold, plain.stop_price)
    assert all(map(math.isnan, unknown))
    full = fact_of(
        "signal",
        strategy="momentum",
        model_name="trend",
        attributes={"desk": "é"},
        **{
            "signal.side": ev.SIDE_SELL,
            "signal.confidence": 0.0,
            "signal.calibrated": True,
            "signal.notional": 500.0,
            "signal.contract_multiplier": 50.0,
            "signal.regime": "calm",
            "signal.indicator_values": {"rsi": 24.5, "adx": 35.0},
            "signal.features": {"f": 1.0},
            "signal.exit_plan": ev.ExitPlan(
                holding_period=Duration(seconds=60, nanos=5),
                holding_trading_days=7,
                calendar="XNYS",
                stop_loss_price=9.0,
                take_profit_price=11.0,
            ),
        },
    )
    assert (full.strategy, full.symbol, full.model) == ("momentum", "BTC-USDT", "trend")
    assert (full.side, full.confidence, full.is_calibrated) == (-1, 0.0, True)
    assert (full.size_kind, full.size, full.multiplier, full.regime) == (2, 500.0, 50.0, "calm")
    assert full[21:25] == (60 * 10**9 + 5, 7, "XNYS", 9.0)
    assert full.target_price == 11.0
    assert full.context.decode() == '{"a":{"desk":"é"},"f":{"f":1.0},"i":{"adx":35.0,"rsi":24.5}}'


_VERDICTS = [
    (
        ev.GuardVerdict(observed_value=5.0, limit=4.0, threshold=ev.ThresholdRule(is_minimum=True)),
        (STATELESS, GuardRule.THRESHOLD, True, 5.0, 4.0, None),
    ),
    (
        ev.GuardVerdict(
            memory=ev.GUARD_MEMORY_STATEFUL,
            position_count=ev.PositionCountRule(open_count=3, open_count_max=8, per_symbol=True),
        ),
        (STATEFUL, GuardRule.POSITION_COUNT, False, 3.0, 8.0, 1.0),
    ),
    (
        ev.GuardVerdict(
            exposure=ev.ExposureRule(
                exposure_fraction=0.5, added_fraction=0.1, exposure_fraction_max=0.55
            )
        ),
        (STATEFUL, GuardRule.EXPOSURE, False, 0.5, 0.55, 0.1),
    ),
    (
        ev.GuardVerdict(
            cooldown=ev.CooldownRule(
                elapsed=Duration(seconds=30, nanos=500_000_000), cooldown=Duration(seconds=60)
            )
        ),
        (STATEFUL, GuardRule.COOLDOWN, False, 30.5, 60.0, 0.0),
    ),
    (
        ev.GuardVerdict(cooldown=ev.CooldownRule(cooldown=Duration(seconds=60), losses_only=True)),
        (STATEFUL, GuardRule.COOLDOWN, False, None, 60.0, 1.0),
    ),
    (
        ev.GuardVerdict(
            loss_limit=ev.LossLimitRule(
                period_return=-0.02, loss_fraction_max=0.01, period=Duration(seconds=86_400)
            )
        ),
        (STATEFUL, GuardRule.LOSS_LIMIT, False, -0.02, 0.01, 86_400.0),
    ),
    (
        ev.GuardVerdict(memory=ev.GUARD_MEMORY_STATELESS, observed_value=0.0),
        (STATELESS, GuardRule.UNKNOWN, False, 0.0, None, None),
    ),
]


@pytest.mark.parametrize(("told", "expected"), _VERDICTS)
def test_every_kind_of_guard_fits_the_same_columns(
    told: ev.GuardVerdict, expected: tuple[Any, ...]
) -> None:
    """Observed, limit and detail as the ledger's columns document them; absent is NaN."""
    told.guard, told.result = "g", ev.GUARD_RESULT_BLOCK
    fact = fact_of("decision", **{"decision.guard_verdicts": [told]})
    verdict = fact.verdicts[-1]
    assert verdict[:2] == ("g", BLOCK)
    assert tuple(None if each != each else each for each in verdict[2:]) == expected  # noqa: PLR0124


def test_a_decision_tells_every_verdict_in_order() -> None:
    """What was not looked at, too."""
    skipped = ev.GuardVerdict(guard="late", result=ev.GUARD_RESULT_NOT_EVALUATED)
    fact = fact_of("decision", **{"decision.guard_verdicts": [skipped]})
    assert [(each.guard, each.result) for each in fact.verdicts] == [
        ("volatility", BLOCK),
        ("spread", PASS),
        ("late", NOT_EVALUATED),
    ]


@pytest.mark.parametrize(
    ("snapshot", "spread_bps"),
    [
        ({"bid": 99.0, "ask": 101.0}, 200.0),
        ({"bid": 99.0, "ask": 101.0, "spread_bps": 0.0}, 0.0),
        ({"spread_bps": 7.0}, 7.0),
        ({"bid": 101.0, "ask": 99.0}, None),
        ({"bid": 101.0}, None),
        ({}, None),
    ],
)
def test_the_spread_is_that_of_the_decision(
    snapshot: dict[str, Any], spread_bps: float | None
) -> None:
    """As told, else from the quote; of half a quote or a crossed one it is not known."""
    fact = fact_of("decision", **{"decision.market_snapshot": ev.MarketSnapshot(**snapshot)})
    assert (None if math.isnan(fact.spread_bps) else fact.spread_bps) == spread_bps


def test_a_fill_tells_whom_it_serves() -> None:
    """Its own signal, if any, and its allocations, by the keys of signals."""
    fact = fact_of("execution", signal_id=None)
    assert (fact.key, fact.side, fact.quantity, fact.price) == (0, 1, 2.0, 101.5)
    assert fact.allocations == ((KEY, 2.0),)
    assert math.isnan(fact.fee)
    assert fact_of("execution", **{"execution.fee": 0.0}).fee == 0.0


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, (0.012, 1)),
        ({"outcome.return_fraction": 0.0}, (0.0, 0)),
        ({"outcome.won": False}, (0.012, 0)),
        ({"outcome.return_fraction": None, "outcome.won": True}, (None, 1)),
        ({"outcome.return_fraction": None}, (None, -1)),
        ({"outcome.horizon.trading_days": 5}, None),
    ],
)
def test_outcomes_over_a_horizon_are_not_the_signal_s_own(
    fields: dict[str, object], told: tuple[float | None, int] | None
) -> None:
    """Its own result: the return if told, and whether it won (-1 = not known)."""
    fact = fact_of("outcome", **fields)
    if fact is not None:
        known = None if math.isnan(fact.return_fraction) else fact.return_fraction
        assert (known, fact.won) == told
        assert fact.holding_ns == -1
    else:
        assert told is None


def test_a_shadow_outcome_tells_its_life_or_its_horizon() -> None:
    """Flags, bounds and markouts; without an entry time it never entered."""
    fact = fact_of("shadow_outcome")
    assert (fact.age_ns, fact.trading_days, fact.flags, fact.entry_time_ns) == (0, 0, 8, 0)
    assert fact.fill_model == an_event("shadow_outcome").shadow_outcome.fill_model != ""
    fact = fact_of(
        "shadow_outcome",
        **{
            "shadow_outcome.outcome.horizon": ev.Horizon(trading_days=7, calendar="XNYS"),
            "shadow_outcome.outcome.return_fraction": 0.01,
            "shadow_outcome.return_fraction_pessimistic": -0.01,
            "shadow_outcome.barriers_coarse": True,
            "shadow_outcome.barriers_ambiguous": True,
            "shadow_outcome.liquidity": ev.LIQUIDITY_MAKER,
            "shadow_outcome.entry_time": Timestamp(seconds=5),
            "shadow_outcome.markouts": [
                ev.Markout(age=ev.Horizon(duration=Duration(seconds=1)), return_fraction=0.5)
            ],
        },
    )
    assert (fact.age_ns, fact.trading_days, fact.calendar, fact.flags) == (0, 7, "XNYS", 7)
    assert (fact.return_fraction, fact.pessimistic, fact.entry_time_ns) == (0.01, -0.01, 5 * 10**9)
    assert math.isnan(fact.optimistic)
    assert fact.markouts == (MarkoutFact(10**9, 0, "", 0.5),)


def test_a_prediction_needs_a_signal_and_a_probability() -> None:
    """Others are none of the ledger's."""
    told_ns = RECENT_S * 10**9
    assert fact_of("prediction", model_name="m")[4:] == (KEY, "m", 0.6, told_ns)
    later = fact_of("prediction", available_time=Timestamp(seconds=RECENT_S + 5))
    assert (later.time_ns, later.available_ns) == (told_ns, told_ns + 5 * 10**9)
    assert fact_of("prediction", signal_id=None) is None
    assert fact_of("prediction", **{"prediction.probability": None}) is None


def test_market_data_tell_what_is_known() -> None:
    """What is absent is NaN, a volume of zero is a volume."""
    bar = fact_of("market_bar", **{"market_bar.volume": 0.0, "market_bar.open": 100.0})
    assert (bar.interval_ns, bar.open, bar.close, bar.volume) == (60 * 10**9, 100.0, 101.0, 0.0)
    assert all(map(math.isnan, (bar.high, bar.low, bar.spread_bps)))
    assert not bar.is_adjusted
    tick = fact_of("market_tick")
    assert (tick.bid, tick.ask) == (100.9, 101.1)
    assert math.isnan(tick.last)
    split = fact_of("corporate_action")
    assert (split.action, split.ratio, split.new_symbol) == (1, 2.0, "")
    assert fact_of("account_snapshot").equity == 10_000.0


def _check(fact: Fact | None) -> None:
    """What every fact is, whatever the body said."""
    if fact is None:
        return
    assert 0 <= fact.time_ns < 1 << 62
    assert isinstance(fact.event_id, bytes)
    if isinstance(fact, SignalFact) and fact.context:
        told = json.loads(fact.context)
        assert told.keys() <= {"i", "f", "a"}


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(events(oddness=4))
def test_no_message_raises(event: ev.Event) -> None:
    """Any field may hold anything that the wire can carry."""
    _check(facts_of(event.SerializeToString()))


@settings(max_examples=80)
@given(st.sampled_from(KINDS), st.randoms(use_true_random=False), st.integers(1, 8))
def test_no_damaged_body_raises(kind: str, rng: Any, count: int) -> None:
    """Flipped, cut and repeated bytes of valid events."""
    body = bytearray(an_event(kind).SerializeToString())
    for _ in range(count):
        at = rng.randrange(len(body))
        body[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        body = body or bytearray(b"\x00")
    _check(facts_of(bytes(body)))


def _is_known(value: float) -> bool:
    return 1e-12 <= value <= 1e15


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(events(oddness=0))
def test_valid_events_of_the_ledger_s_kinds_tell_a_fact(event: ev.Event) -> None:
    """Unless they are one of those that are documented to tell nothing."""
    payload = event.WhichOneof("payload")
    fact = facts_of(event.SerializeToString())
    if payload == "outcome" and event.outcome.HasField("horizon"):
        payload = None
    if payload == "prediction" and not event.prediction.HasField("probability"):
        payload = None
    fill, close = event.execution, event.market_bar.close
    if payload == "execution" and not (_is_known(fill.quantity) and _is_known(fill.price)):
        payload = None
    if payload == "market_bar" and not _is_known(close):
        payload = None
    if payload is None:
        assert fact is None
    else:
        assert type(fact) is _KIND_OF.get(str(payload), type(None))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("market_tick", {"market_tick.bid": 5e-324, "market_tick.ask": 5e-324}),
        ("market_bar", {"market_bar.open": 1e300, "market_bar.high": 1e300}),
        ("corporate_action", {"corporate_action.ratio": 1e-200}),
    ],
)
def test_numbers_that_no_market_knows_are_not_known(kind: str, fields: dict[str, Any]) -> None:
    """They would vanish or overflow in the first product: a station must survive every event."""
    fact = fact_of(kind, **fields)
    told = [each for each in fact[4:] if isinstance(each, float) and each == each]  # noqa: PLR0124
    assert all(each == 0 or 1e-12 <= each <= 1e15 for each in told)


def test_a_fill_of_next_to_nothing_is_none() -> None:
    """Its value would be zero, and a return nobody's."""
    fields = {"execution.quantity": 1e-200, "execution.price": 1e-200}
    event = an_event("execution", **fields)
    assert facts_of(event.SerializeToString()) is None
