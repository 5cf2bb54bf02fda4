"""What some facts come to: one row a signal, so that a statement never meets one twice."""

from collections.abc import Callable, Iterable
from typing import Any

from trimtab_server.domain.ledger.columns import ENTRY
from trimtab_server.domain.ledger.facts import (
    AccountFact,
    DecisionFact,
    Fact,
    Lane,
    OutcomeFact,
    PredictionFact,
    ShadowFact,
    SignalFact,
)
from trimtab_server.domain.ledger.lots import TradeRow
from trimtab_server.store.ledger_records import (
    SHADOW,
    Keys,
    account_record,
    decision_record,
    known_record,
    lane_key,
    original_record,
    outcome_record,
    prediction_record,
    shadow_record,
    signal_record,
    trade_record,
)

# What a lane uses names for; see `LedgerUseRow`.
STRATEGY, MODEL, FILL_MODEL = 1, 2, 3

SIGNAL_AT = 2
"""Where a row has its signal's record; empty = the signal is not among these facts."""

# A row: keys of signal and lane, the records, the context, what was known first and when what was
# corrected happened, then where the signal is found by.
_DECISION_AT, _TRADE_AT, _OUTCOME_AT, _SHADOW_AT, _CONTEXT_AT = range(3, 8)
_KNOWN_AT, _DECIDED_AT, _ENDED_AT, _TIME_AT, _PLACE_AT = range(8, 13)


class LedgerBatch:
    """Rows of the ledger's tables by their keys; of each kind of fact the greatest record;
    of what a signal was decided on the least: what was known first.

    as_bytes: what a driver likes bytes to be. It runs on every signal and decision, so it is
    written for speed: a row is a list in the order of the columns."""

    def __init__(self, as_bytes: Callable[[bytes], Any]) -> None:
        self.keys = Keys()
        self.lanes: dict[Lane, int] = {}
        self.rows: dict[int, list[Any]] = {}
        self.uses: set[tuple[int, int, int]] = set()
        self.markouts: dict[tuple[int, ...], Any] = {}
        self.predictions: dict[tuple[int, ...], Any] = {}
        self.accounts: dict[tuple[int, ...], Any] = {}
        self._as_bytes = as_bytes
        self._empty = as_bytes(b"")

    def take(self, facts: Iterable[Fact], trades: Iterable[TradeRow]) -> None:
        """Takes them in; market data, corporate actions and fills are none of the tables'."""
        takers: dict[type, Callable[[Any], None]] = {
            SignalFact: self._take_signal,
            DecisionFact: self._take_decision,
            OutcomeFact: self._take_outcome,
            ShadowFact: self._take_shadow,
            PredictionFact: self._take_prediction,
            AccountFact: self._take_account,
        }
        for fact in facts:
            taker = takers.get(type(fact))
            if taker is not None:
                taker(fact)
        for trade in trades:
            self._row(trade.lane, trade.signal_key)[_TRADE_AT] = self._as_bytes(trade_record(trade))

    def _lane(self, lane: Lane) -> int:
        key = self.lanes.get(lane)
        if key is None:
            key = self.lanes[lane] = lane_key(lane)
        return key

    def _row(self, lane: Lane, key: int) -> list[Any]:
        row = self.rows.get(key)
        if row is None:
            empty = self._empty
            row = [key, self._lane(lane), *[empty] * (_TIME_AT - SIGNAL_AT), 0, 0, 0, 0]
            self.rows[key] = row
        return row

    def _take_signal(self, fact: SignalFact) -> None:
        row, record = self._row(fact.lane, fact.key), signal_record(fact, self.keys)
        if record > row[SIGNAL_AT]:
            strategy = self.keys[fact.strategy]
            row[SIGNAL_AT] = self._as_bytes(record)
            row[_PLACE_AT:] = (fact.intent, strategy, self.keys[fact.symbol])
        known = known_record(fact, self.keys)
        if not row[_KNOWN_AT] or known < row[_KNOWN_AT]:
            row[_KNOWN_AT] = self._as_bytes(known)
            row[_CONTEXT_AT] = self._as_bytes(fact.context)
            row[_TIME_AT] = fact.time_ns
        if fact.intent <= ENTRY:
            self.uses.add((row[1], STRATEGY, self.keys[fact.strategy]))

    def _take_decision(self, fact: DecisionFact) -> None:
        row, record = self._row(fact.lane, fact.key), decision_record(fact, self.keys)
        if record > row[_DECISION_AT]:
            row[_DECISION_AT] = self._as_bytes(record)
        original = original_record(record, 0)
        if original > row[_DECIDED_AT]:
            row[_DECIDED_AT] = self._as_bytes(original)

    def _take_outcome(self, fact: OutcomeFact) -> None:
        row, record = self._row(fact.lane, fact.key), outcome_record(fact)
        if record > row[_OUTCOME_AT]:
            row[_OUTCOME_AT] = self._as_bytes(record)
        original = original_record(record, fact.status)
        if original > row[_ENDED_AT]:
            row[_ENDED_AT] = self._as_bytes(original)

    def _take_shadow(self, fact: ShadowFact) -> None:
        record = shadow_record(fact, self.keys)
        model = self.keys[fact.fill_model]
        self.uses.add((self._lane(fact.lane), FILL_MODEL, model))
        key = (fact.key, model, fact.age_ns, fact.trading_days, self.keys[fact.calendar])
        self._raise(self.markouts, key, record)
        if fact.age_ns or fact.trading_days:
            return
        row, own = self._row(fact.lane, fact.key), record[: SHADOW.itemsize]
        if own > row[_SHADOW_AT]:
            row[_SHADOW_AT] = self._as_bytes(own)

    def _take_prediction(self, fact: PredictionFact) -> None:
        model = self.keys[fact.model]
        self.uses.add((self._lane(fact.lane), MODEL, model))
        key = (fact.key, model, fact.available_ns)
        self._raise(self.predictions, key, prediction_record(fact))

    def _take_account(self, fact: AccountFact) -> None:
        key = (self._lane(fact.lane), fact.time_ns)
        self._raise(self.accounts, key, account_record(fact))

    def _raise(self, records: dict[tuple[int, ...], Any], key: Any, record: bytes) -> None:
        """Keeps the record unless a greater one is kept for the key."""
        if record > records.get(key, b""):
            records[key] = self._as_bytes(record)
