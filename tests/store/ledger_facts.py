"""Facts for tests of the ledger's store: everything told, unless a test says otherwise."""

from math import nan
from typing import Any
from uuid import UUID

from trimtab_server.domain.ledger.columns import ResultStatus
from trimtab_server.domain.ledger.facts import (
    AccountFact,
    DecisionFact,
    Lane,
    MarkoutFact,
    OutcomeFact,
    PredictionFact,
    ShadowFact,
    SignalFact,
    VerdictFact,
    signal_key,
)
from trimtab_server.domain.ledger.lots import TradeRow
from trimtab_server.store.ledger_reader import LedgerReader, open_ledger
from trimtab_server.store.store import Store

LANE = Lane("alpha", 2, "")
START_NS = 1_700_000_000 * 10**9
SECOND_NS = 10**9

GUARDS = (
    VerdictFact("volatility", 2, 1, 1, is_minimum=False, observed=0.05, limit=0.04, detail=nan),
    VerdictFact("positions", 1, 2, 2, is_minimum=False, observed=1.0, limit=3.0, detail=1.0),
)


def event_id(number: int) -> bytes:
    """The 16 bytes of an event's id."""
    return UUID(int=number).bytes


def told(made: Any, changes: dict[str, Any]) -> Any:
    """The fact with these fields, and with the key of the signal that it then is about."""
    made = made._replace(**changes)
    return made._replace(key=signal_key(made.lane, changes.get("signal_id", made.signal_id)))


def a_signal(number: int, **changes: Any) -> SignalFact:
    """Signal `s{number}`, so many seconds after the start."""
    made = SignalFact(
        lane=LANE,
        time_ns=START_NS + number * SECOND_NS,
        event_id=event_id(number * 100 + 1),
        corrects_id=b"",
        key=0,
        signal_id=f"s{number}",
        strategy="momentum",
        symbol="BTCUSDT",
        model="gbm",
        side=1,
        intent=1,
        confidence=0.7,
        is_calibrated=True,
        expected_return=0.012,
        size_kind=1,
        size=2.0,
        multiplier=10.0,
        volatility=0.02,
        reference_price=100.0,
        regime="calm",
        threshold=0.6,
        holding_ns=3_600 * SECOND_NS,
        holding_days=0,
        calendar="",
        stop_price=95.0,
        target_price=110.0,
        context=b"",
    )
    return SignalFact._make(told(made, changes))


def a_decision(number: int, **changes: Any) -> DecisionFact:
    """What was decided about `s{number}`, a millisecond later."""
    made = DecisionFact(
        lane=LANE,
        time_ns=START_NS + number * SECOND_NS + 10**6,
        event_id=event_id(number * 100 + 2),
        corrects_id=b"",
        key=0,
        signal_id=f"s{number}",
        strategy="momentum",
        symbol="BTCUSDT",
        action=2,
        verdicts=GUARDS,
        spread_bps=5.0,
        bid=99.9,
        ask=100.1,
        price=100.0,
        threshold=0.65,
        position_fraction=0.02,
        entry_price=100.05,
    )
    return DecisionFact._make(told(made, changes))


def an_outcome(number: int, **changes: Any) -> OutcomeFact:
    """What became of `s{number}`, an hour later."""
    made = OutcomeFact(
        lane=LANE,
        time_ns=START_NS + (number + 3_600) * SECOND_NS,
        event_id=event_id(number * 100 + 3),
        corrects_id=b"",
        key=0,
        signal_id=f"s{number}",
        strategy="momentum",
        symbol="BTCUSDT",
        status=1,
        return_fraction=0.03,
        pnl=60.0,
        won=1,
        holding_ns=3_599 * SECOND_NS,
        entry_price=100.1,
        exit_price=103.2,
        mfe=0.04,
        mae=0.01,
        volatility=0.02,
    )
    return OutcomeFact._make(told(made, changes))


def a_shadow(number: int, **changes: Any) -> ShadowFact:
    """What `s{number}` would have made over its own life, told half an hour later."""
    made = ShadowFact(
        lane=LANE,
        time_ns=START_NS + (number + 1_800) * SECOND_NS,
        event_id=event_id(number * 100 + 4),
        corrects_id=b"",
        key=signal_key(LANE, f"s{number}"),
        status=1,
        age_ns=0,
        trading_days=0,
        calendar="",
        return_fraction=0.02,
        optimistic=0.025,
        pessimistic=0.015,
        gross=0.023,
        spread_cost=0.001,
        fee_cost=0.0015,
        carry_cost=0.0005,
        mfe=0.05,
        mae=0.02,
        volatility=0.03,
        entry_time_ns=START_NS + (number + 2) * SECOND_NS,
        flags=5,
        markouts=(),
        fill_model="v1",
    )
    return made._replace(**changes)


def a_markout(age_s: int, return_fraction: float, **changes: Any) -> MarkoutFact:
    """Where a signal stood at an age."""
    return MarkoutFact(age_s * SECOND_NS, 0, "", return_fraction)._replace(**changes)


def a_prediction(number: int, model: str, probability: float, **changes: Any) -> PredictionFact:
    """What a model said of `s{number}`."""
    time_ns = changes.get("time_ns", START_NS + number * SECOND_NS)
    made = PredictionFact(
        lane=LANE,
        time_ns=time_ns,
        event_id=event_id(number * 100 + 5),
        corrects_id=b"",
        key=signal_key(LANE, f"s{number}"),
        model=model,
        probability=probability,
        available_ns=time_ns,
    )
    return made._replace(**changes)


def an_account(at_s: int, equity: float, **changes: Any) -> AccountFact:
    """The account so many seconds after the start."""
    made = AccountFact(LANE, START_NS + at_s * SECOND_NS, event_id(10**6 + at_s), b"", equity)
    return made._replace(**changes)


def a_trade(number: int, **changes: Any) -> TradeRow:
    """What the fills of `s{number}` come to, once closed."""
    made = TradeRow(
        signal_key=signal_key(LANE, f"s{number}"),
        lane=LANE,
        first_fill_time_ns=START_NS + (number + 1) * SECOND_NS,
        entry_quantity=2.0,
        entry_price=100.2,
        exit_quantity=2.0,
        exit_price=104.0,
        fees=1.5,
        pnl=74.5,
        return_fraction=0.037,
        exit_time_ns=START_NS + (number + 3_000) * SECOND_NS,
        status=int(ResultStatus.MATURED),
        is_attributed=True,
    )
    return made._replace(**changes)


def write(store: Store, *facts: Any) -> None:
    """Stores facts and trades in one transaction."""
    trades = [each for each in facts if isinstance(each, TradeRow)]
    with store._database.writing() as writer:
        store.ledger.write(
            writer, [each for each in facts if not isinstance(each, TradeRow)], trades
        )


class Opened:
    """A reader that is closed at the end of a `with` block."""

    def __init__(self, url: str) -> None:
        self._reader = open_ledger(url)

    def __enter__(self) -> LedgerReader:
        return self._reader

    def __exit__(self, *_: object) -> None:
        self._reader.close()
