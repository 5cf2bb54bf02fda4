"""What is known of the signals of one symbol that are being followed.

`Waiting` signals have not entered; those that did are rows of a table whose layout depends on how
many horizons and ages the fill model has.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trimtab_server.domain.ledger.facts import DecisionFact, SignalFact
from trimtab_server.domain.shadow.fill_model import FillModel
from trimtab_server.domain.shadow.rows import EMPTY, FreshRow, Rows

Lives: TypeAlias = NDArray[np.void]
NEVER_NS = 1 << 62
NO_ROW = -1
# Of an age: below every row, and below that of "no price since the entry", which may be -1.
NOT_SETTLED = -2


@lru_cache(maxsize=16)
def life_dtype(horizon_count: int, age_count: int) -> np.dtype[np.void]:
    """One signal that has entered. Rows are counted from the symbol's first. Prices in the units of
    the rows; entry_factor makes prices as told of them."""
    horizons, ages = (horizon_count,), (age_count,)
    return np.dtype(
        [
            *((name, np.int64) for name in ("key", "signal_ns", "side", "action", "flags")),
            *((name, np.float64) for name in ("confidence", "threshold", "wanted", "filled")),
            *((name, np.bool_) for name in ("is_calibrated", "is_adjusted", "is_doubtful")),
            # Spread paid in full at entry and, where none is known then, at exit; basis points.
            *((name, np.float64) for name in ("entry_spread", "spread", "entry_fee")),
            *((name, np.int64) for name in ("entry_row", "first_row", "entry_ns")),
            # Nothing of it was known before; behind that something may be settled.
            *((name, np.int64) for name in ("since_ns", "next_ns")),
            *((name, np.float64) for name in ("entry", "entry_factor", "stop", "target")),
            # The same by where they lie, infinite where there is none.
            *((name, np.float64) for name in ("high_limit", "low_limit")),
            # Of a passive entry: stop and target that its bar held too, NaN = not; whether the stop
            # surely came behind it.
            *((name, np.float64) for name in ("fill_stop", "fill_target")),
            ("is_stopped", np.bool_),
            # The planned end; of a trading day also where it begins, else NO_ROW.
            *((name, np.int64) for name in ("due_from", "due_ns")),
            ("is_open", np.bool_),
            *((name, np.float64) for name in ("highest", "lowest", "logs", "squares", "paid")),
            ("coarse", np.int64),
            ("is_left", np.bool_, horizons),
            ("horizon_from", np.int64, horizons),
            ("horizon_ns", np.int64, horizons),
            ("age_from", np.int64, ages),
            ("age_ns", np.int64, ages),
            # Row of the last price at that age, NOT_SETTLED = not yet; the return then.
            ("age_row", np.int64, ages),
            ("age_return", np.float64, ages),
        ]
    )


@dataclass(slots=True)
class Waiting:
    """A signal that has not entered. from_row: the first row that it may use. factor: of the symbol
    when it was told. ready_ns 0 = waits for its decision, until the clock is behind
    over_ns."""

    key: int
    signal_ns: int
    side: int
    confidence: float
    is_calibrated: bool
    threshold: float
    size_kind: int
    size: float
    multiplier: float
    reference_price: float
    holding_ns: int
    holding_days: int
    calendar: str
    stop_price: float
    target_price: float
    factor: float
    from_row: int
    spread: float
    last_price: float
    over_ns: int
    ready_ns: int = 0
    action: int = 0
    limit_price: float = math.nan

    def correct(self, fact: SignalFact) -> None:
        """Takes over what a correction of the signal says."""
        for name in _FROM_SIGNAL:
            setattr(self, name, getattr(fact, name))

    def decide(self, fact: DecisionFact) -> None:
        """Takes over what the decision says."""
        self.action = fact.action
        if fact.threshold >= 0:
            self.threshold = fact.threshold
        if fact.spread_bps >= 0:
            self.spread = fact.spread_bps
        quote = fact.bid if self.side > 0 else fact.ask
        self.limit_price = quote if quote > 0 else fact.price


_FROM_SIGNAL = (
    *("side", "confidence", "is_calibrated", "threshold", "size_kind", "size", "multiplier"),
    *("reference_price", "holding_ns", "holding_days", "calendar", "stop_price", "target_price"),
)


def waiting(fact: SignalFact, state: "SymbolState", over_ns: int) -> Waiting:
    """A signal that waits from now on, for its decision until `over_ns`."""
    told = {name: getattr(fact, name) for name in _FROM_SIGNAL}
    return Waiting(
        key=fact.key,
        signal_ns=fact.time_ns,
        factor=state.factor,
        from_row=state.row_count,
        spread=state.last_spread,
        last_price=state.last_price,
        over_ns=over_ns,
        **told,
    )


class SymbolState:
    """A symbol's rows and the signals that follow them.

    rows: those kept, the first of them row `base` of the symbol; fresh: those that came since.
    factor: product of splits and rolls. paid: dividends of a unit as it was first.
    last_time_ns, last_spread, last_price (as told): of the newest row, the spread of the newest
    that told one. is_followed: whether there ever was a signal; until then rows are not kept.
    deadline_ns: when, without another price, something is settled.
    """

    __slots__ = (
        *("factor", "paid", "base", "rows", "fresh", "last_time_ns", "last_spread"),
        *("last_price", "waiting", "lives", "deadline_ns", "is_followed"),
    )

    def __init__(self, lives: Lives) -> None:
        self.factor = 1.0
        self.paid = 0.0
        self.base = 0
        self.rows: Rows = EMPTY
        self.fresh: list[FreshRow] = []
        self.last_time_ns = -1
        self.last_spread = self.last_price = math.nan
        self.waiting: dict[int, Waiting] = {}
        self.lives = lives
        self.deadline_ns = NEVER_NS
        self.is_followed = False

    @property
    def row_count(self) -> int:
        """Rows that the symbol ever had."""
        return self.base + int(self.rows.size) + len(self.fresh)

    def add(self, row: FreshRow) -> None:
        """The newest price."""
        if self.is_followed:
            self.fresh.append(row)
        self.last_time_ns, self.last_price = row[8], row[4]
        if row[6] >= 0:
            self.last_spread = row[6]

    def trim(self) -> None:
        """Forgets rows that nobody needs any more; the last one always stays, and the one before
        what is needed."""
        last = self.base + int(self.rows.size) - 1
        needed = min((each.from_row for each in self.waiting.values()), default=last)
        dropped = min(needed - 1, last) - self.base
        if dropped > 0:
            self.rows = self.rows[dropped:].copy()
            self.base += dropped


def next_deadline(state: SymbolState, model: FillModel, clock_ns: int) -> int:
    """The earliest time behind which the clock alone settles something."""
    found = [NEVER_NS]
    for each in state.waiting.values():
        if not each.ready_ns:
            found.append(each.over_ns)
            continue
        found.append(each.ready_ns + model.censor_after_ns)
        if model.is_passive and each.ready_ns + model.passive_wait_ns >= clock_ns:
            found.append(each.ready_ns + model.passive_wait_ns)
    if state.lives.size:
        lives: Any = state.lives
        found.append(int(lives["next_ns"].min()))
    return min(found)


def joined_lives(parts: Sequence[Lives], dtype: np.dtype[np.void]) -> Lives:
    """All of them behind each other."""
    lives: Lives = np.empty(sum(part.size for part in parts), dtype=dtype)
    if parts:
        np.concatenate([as_bytes(part) for part in parts], out=as_bytes(lives))
    return lives


def as_bytes(lives: Lives) -> NDArray[np.void]:
    """The same memory, one value a life: copied at once and not column by column."""
    return lives.view(np.dtype((np.void, lives.dtype.itemsize)))


def chosen_lives(lives: Lives, position: NDArray[Any]) -> Lives:
    """A copy of those at these positions (or where it is True)."""
    chosen: Lives = as_bytes(lives)[position].view(lives.dtype)
    return chosen


def set_next(lives: Any, model: FillModel, clock_ns: int) -> None:
    """Notes for each life the earliest time behind which something of it may be settled. Of a
    planned end that is past, any price settles more."""
    last_ns = np.minimum(lives["due_ns"], NEVER_NS - model.censor_after_ns) + model.censor_after_ns
    due_ns = np.where(lives["due_ns"] < clock_ns, last_ns, lives["due_ns"])
    found = np.where(lives["is_open"], due_ns, NEVER_NS)
    for is_left, end_ns in (
        (lives["is_left"], lives["horizon_ns"]),
        (lives["age_row"] == NOT_SETTLED, lives["age_ns"]),
    ):
        if is_left.shape[1]:
            found = np.minimum(found, np.where(is_left, end_ns, NEVER_NS).min(axis=1))
    lives["next_ns"] = found
