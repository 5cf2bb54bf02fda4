"""The ledger as columns: every signal with its decision, its real result and its shadow result.

One position in every array is one signal; pure functions work on whole arrays, never on objects. A
number that is not known is NaN, a time that is not known 0, a name that is not told "" (code -1
never occurs: the empty name has a code too). Times are nanoseconds UTC, returns fractions of entry
notional, money in the account's currency.
"""

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
SmallArray = NDArray[np.int8]
CodeArray = NDArray[np.int32]

# Values as in the contract.
ENTRY, REDUCE, EXIT = 1, 2, 3
APPROVED, BLOCKED, HOLD, IGNORED = 1, 2, 3, 4
PASS, BLOCK, NOT_EVALUATED = 1, 2, 3
STATELESS, STATEFUL = 1, 2


class ResultStatus(IntEnum):
    """How far a signal's result can be trusted. CORRECTED is as good as MATURED."""

    NONE = 0
    PENDING = 1
    MATURED = 2
    CENSORED = 3
    CORRECTED = 4


class GuardRule(IntEnum):
    """How a guard decides. Of an UNKNOWN kind, what-if is possible only where it is stateless."""

    UNKNOWN = 0
    THRESHOLD = 1
    POSITION_COUNT = 2
    EXPOSURE = 3
    COOLDOWN = 4
    LOSS_LIMIT = 5


@dataclass(frozen=True, slots=True)
class Names:
    """Names that codes in the columns stand for, in code order. fill_model: the version that all
    simulated results are of; "" = not known."""

    strategies: tuple[str, ...] = ("",)
    symbols: tuple[str, ...] = ("",)
    regimes: tuple[str, ...] = ("",)
    sources: tuple[str, ...] = ("",)
    guards: tuple[str, ...] = ()
    models: tuple[str, ...] = ("",)
    fill_model: str = ""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What every guard said, all signals' verdicts behind each other.

    start: shape (n + 1,); the verdicts of signal i are those from start[i] to start[i + 1]. The
    others have shape (m,). guard: code in Names.guards. result: PASS, BLOCK, NOT_EVALUATED. memory:
    STATELESS or STATEFUL (not told = STATEFUL). rule: a GuardRule. observed, limit: in the guard's
    own unit. is_minimum: a THRESHOLD passes at or above its limit. detail: by rule, POSITION_COUNT
    1.0 when it counts per symbol; EXPOSURE what the signal would add, a fraction of equity;
    COOLDOWN 1.0 when only losses start it; LOSS_LIMIT the period in seconds; else NaN. For a
    POSITION_COUNT observed is the open count before the signal, for EXPOSURE the exposure before
    it, for COOLDOWN the seconds since the last exit and limit the seconds to wait, for LOSS_LIMIT
    observed is the period's return and limit the largest loss, positive.
    """

    start: IntArray
    guard: CodeArray
    result: SmallArray
    memory: SmallArray
    rule: SmallArray
    is_minimum: SmallArray
    observed: FloatArray
    limit: FloatArray
    detail: FloatArray


@dataclass(frozen=True, slots=True)
class Ledger:
    """Signals to enter, by (signal_time_ns, signal_key), each array of shape (n,).

    signal_key: 64 bits of a digest of source, environment, run and signal_id. side: +1 buy, -1
    sell. action: APPROVED ..., 0 = no decision. confidence: as claimed (or calibrated, where
    is_calibrated is 1). size: notional in money, NaN = not known. position_fraction: of equity, as
    granted or as asked for. holding_s: planned, NaN = open-ended. spread_bps: as of the decision.

    A correction changes what happened, not when: times are those of what it corrects. Confidence,
    expected_return, volatility and regime are those that were known first.
    real_*: from the Outcome event where there is one, else from attributed fills. real_pnl: after
    costs. first_fill_time_ns: of the entry.
    shadow_*: simulated, all by one fill model; status NONE = only another one has followed it.
    return: middle assumptions, after costs; optimistic and pessimistic bounds; gross: before costs.
    spread_cost, fee_cost, carry_cost: fractions of entry notional, parts of gross - return.
    shadow_flags: bit 1 barriers coarse, bit 2 ambiguous, bit 4 maker, bit 8 not filled (return 0,
    no entry).
    """

    names: Names
    signal_key: IntArray
    source: CodeArray
    strategy: CodeArray
    symbol: CodeArray
    regime: CodeArray
    side: SmallArray
    signal_time_ns: IntArray
    decision_time_ns: IntArray
    action: SmallArray
    is_calibrated: SmallArray
    confidence: FloatArray
    expected_return: FloatArray
    volatility: FloatArray
    reference_price: FloatArray
    size: FloatArray
    position_fraction: FloatArray
    applied_threshold: FloatArray
    holding_s: FloatArray
    spread_bps: FloatArray
    first_fill_time_ns: IntArray
    real_status: SmallArray
    real_entry_time_ns: IntArray
    real_exit_time_ns: IntArray
    real_return: FloatArray
    real_pnl: FloatArray
    shadow_status: SmallArray
    shadow_entry_time_ns: IntArray
    shadow_exit_time_ns: IntArray
    shadow_return: FloatArray
    shadow_optimistic: FloatArray
    shadow_pessimistic: FloatArray
    shadow_gross: FloatArray
    shadow_spread_cost: FloatArray
    shadow_fee_cost: FloatArray
    shadow_carry_cost: FloatArray
    shadow_mfe: FloatArray
    shadow_mae: FloatArray
    shadow_volatility: FloatArray
    shadow_flags: SmallArray
    verdicts: Verdicts
    counted: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return int(self.signal_key.size)

    @property
    def has_real(self) -> NDArray[np.bool_]:
        """Signals with a real result, shape (n,)."""
        return _has_result(self.real_status)

    @property
    def has_shadow(self) -> NDArray[np.bool_]:
        """Signals with a simulated result, shape (n,)."""
        return _has_result(self.shadow_status)

    @property
    def has_counted(self) -> NDArray[np.bool_]:
        """Signals with a simulated result that sums and means may hold, shape (n,)."""
        return self.has_shadow if self.counted is None else self.has_shadow & self.counted


def _has_result(status: SmallArray) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = (status == ResultStatus.MATURED) | (
        status == ResultStatus.CORRECTED
    )
    return result


COLUMNS: tuple[str, ...] = tuple(
    field.name for field in fields(Ledger) if field.name not in {"names", "verdicts", "counted"}
)
"""Names of the columns of Ledger, in order."""

_DTYPES: dict[object, np.dtype[np.generic]] = {
    FloatArray: np.dtype(np.float64),
    IntArray: np.dtype(np.int64),
    SmallArray: np.dtype(np.int8),
    CodeArray: np.dtype(np.int32),
}
_KINDS = {field.name: field.type for field in fields(Ledger)}


def column_dtype(name: str) -> np.dtype[np.generic]:
    """The type of a column of Ledger. Raises KeyError for a name that is none."""
    return _DTYPES[_KINDS[name]]


def empty_verdicts(signal_count: int) -> Verdicts:
    """No verdict on any of so many signals."""
    small, floats = np.empty(0, dtype=np.int8), np.empty(0)
    return Verdicts(
        start=np.zeros(signal_count + 1, dtype=np.int64),
        guard=np.empty(0, dtype=np.int32),
        result=small,
        memory=small,
        rule=small,
        is_minimum=small,
        observed=floats,
        limit=floats,
        detail=floats,
    )


@dataclass(frozen=True, slots=True)
class Markouts:
    """Returns by age, before costs: one position is one signal at one age, shape (m,).

    row: position of the signal in the Ledger. age_s: seconds since entry; trading_days: the age in
    trading days, 0 = it is wall time. calendars: name of the calendar by code, "" for wall time.
    until_s: length of the horizon that it was told with, which may be longer; 0 = told with the
    signal's own life.
    """

    row: IntArray
    age_s: FloatArray
    trading_days: CodeArray
    calendar: CodeArray
    calendars: tuple[str, ...]
    return_fraction: FloatArray
    until_s: FloatArray


@dataclass(frozen=True, slots=True)
class Horizons:
    """What signals would have made over fixed horizons, one position each, shape (m,); only those
    that are over.

    row: position of the signal in the Ledger. age_s, trading_days, calendar, calendars: the
    horizon, as in Markouts. entry_ns: when it entered, 0 = not known; ended_ns: of the last price
    within the horizon. is_censored: prices stopped before its end, so the numbers are not known.
    returns after costs (return_fraction) and before them (gross); mfe, mae: fractions of entry
    price, >= 0; volatility: standard deviation of log returns, per bar.
    """

    row: IntArray
    age_s: FloatArray
    trading_days: CodeArray
    calendar: CodeArray
    calendars: tuple[str, ...]
    entry_ns: IntArray
    ended_ns: IntArray
    is_censored: NDArray[np.bool_]
    return_fraction: FloatArray
    gross: FloatArray
    mfe: FloatArray
    mae: FloatArray
    volatility: FloatArray


@dataclass(frozen=True, slots=True)
class Predictions:
    """What models said about signals, shape (m,): row of the signal in the Ledger, code in
    Names.models, probability of a win. The latest of a model for a signal that could be known when
    that was decided (at the signal where nothing was)."""

    row: IntArray
    model: CodeArray
    probability: FloatArray


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """What the ledger holds of a scope; see the message of the same name in the contract."""

    signal_count: int = 0
    approved_count: int = 0
    blocked_count: int = 0
    passed_over_count: int = 0
    undecided_count: int = 0
    outcome_count: int = 0
    corrected_count: int = 0
    censored_count: int = 0
    shadow_matured_count: int = 0
    shadow_pending_count: int = 0
    shadow_censored_count: int = 0
    unfollowed_count: int = 0
    unattributed_fill_count: int = 0
    late_event_count: int = 0


def ledger_counts(
    ledger: Ledger,
    unattributed_fill_count: int = 0,
    late_event_count: int = 0,
    unfollowed_count: int = 0,
) -> LedgerCounts:
    """The counts of these signals. The last three are the scope's engines', at any time: of the
    signals that were given up, those among these signals are pending here."""

    def count(mask: NDArray[np.bool_]) -> int:
        return int(np.count_nonzero(mask))

    action, shadow, real = ledger.action, ledger.shadow_status, ledger.real_status
    return LedgerCounts(
        signal_count=len(ledger),
        approved_count=count(action == APPROVED),
        blocked_count=count(action == BLOCKED),
        passed_over_count=count((action == HOLD) | (action == IGNORED)),
        undecided_count=count(action == 0),
        outcome_count=count(ledger.has_real),
        corrected_count=count(real == ResultStatus.CORRECTED),
        censored_count=count(real == ResultStatus.CENSORED),
        shadow_matured_count=count(ledger.has_shadow),
        shadow_pending_count=count(shadow == ResultStatus.PENDING),
        shadow_censored_count=count(shadow == ResultStatus.CENSORED),
        unfollowed_count=unfollowed_count,
        unattributed_fill_count=unattributed_fill_count,
        late_event_count=late_event_count,
    )


@dataclass(frozen=True, slots=True)
class LedgerScope:
    """Which signals: environment as in the contract; run_id for BACKTEST; "" = all of a name. Those
    from start_ns (0 = the first) until before end_ns (0 = to the last)."""

    environment: int
    run_id: str = ""
    source: str = ""
    strategy: str = ""
    symbol: str = ""
    start_ns: int = 0
    end_ns: int = 0
