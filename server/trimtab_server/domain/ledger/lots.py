"""What fills come to: each signal's entry and exit, by lots, first in first out.

An instrument's position is netted, as venues do: what goes the other way closes. A fill closes the
open lots of its own signal first, then the oldest of any other; what is left of it opens a lot of
its signal, and flips the position where there was one. Allocations split a fill over signals; a
part that says ENTRY opens beside what is held the other way (how engines that hedge say so).

Nothing is guessed. What closes nothing (an exit without open lots), opens for no signal, or
contradicts itself (allocations of more than was filled) is counted as not attributed. It still
moves the position; trades that it touches in doubt are marked, so that their signals are followed
in shadow only. Money is in the fill's currency: quantity x price x multiplier of the contract.
"""

import json
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan, nan
from typing import Any, NamedTuple

from trimtab_server.domain.ledger.columns import ResultStatus
from trimtab_server.domain.ledger.facts import ActionFact, BarFact, Fact, FillFact, Lane, SignalFact
from trimtab_server.domain.ledger.netting import Book, Fill, Trade

_SPLIT = 1
_RENAME = 4
_NAMES_MAX = 100_000
_CORRECTIONS_MAX = 16


class TradeRow(NamedTuple):
    """What fills come to for one signal. Prices are weighted by quantity, NaN before there is one.

    fees: paid so far. pnl: of what was closed, after its share of all fees; NaN while nothing was.
    return_fraction: pnl over the entry notional of what was closed. status: PENDING while a part is
    open, MATURED when all is closed, NONE when a correction left nothing. exit_time_ns: of the last
    exit, 0 = none. is_attributed: False when some of its fills were in doubt.
    """

    signal_key: int
    lane: Lane
    first_fill_time_ns: int
    entry_quantity: float
    entry_price: float
    exit_quantity: float
    exit_price: float
    fees: float
    pnl: float
    return_fraction: float
    exit_time_ns: int
    status: int
    is_attributed: bool


@dataclass(slots=True)
class _Symbol:
    """An instrument: the book before the kept fills, those fills in order, and the book by now."""

    base: Book
    fills: list[Fill]
    now: Book


class Lots:
    """The fills of one lane, folded into trades.

    Fills are kept (`history_max` of them) so that a late one, or one that is corrected, takes its
    place and what follows is folded again. A correction of a fill that lies further back is counted
    and changes nothing; a late fill from there counts too and is folded in before what is kept.
    open_max: open lots; beyond it the oldest belong to nobody any more.
    """

    def __init__(self, lane: Lane, open_max: int = 100_000, history_max: int = 10_000) -> None:
        self._lane = lane
        self._open_max = open_max
        self._history_max = history_max
        self._symbols: dict[str, _Symbol] = {}
        self._multipliers: dict[str, float] = {}
        # Instruments whose bars are adjusted: a split does not change what is held of them.
        self._adjusted: set[str] = set()
        self._fill_count = 0
        self._open_count = 0
        self._missed_count = 0

    @property
    def open_count(self) -> int:
        """Open lots; 0 = flat."""
        return self._open_count

    @property
    def unattributed_count(self) -> int:
        """Fills that could not be attributed whole, and corrections of what is not known."""
        return self._missed_count + sum(each.now.doubtful_count for each in self._symbols.values())

    def take(self, facts: Iterable[Fact]) -> list[TradeRow]:
        """The trades that these facts changed, as they are now. Looks at fills, at signals (for the
        contract's multiplier), splits and renames; and at bars, for whether they are adjusted."""
        touched: dict[int, TradeRow] = {}
        for fact in facts:
            if isinstance(fact, BarFact):
                if fact.is_adjusted and len(self._adjusted) < _NAMES_MAX:
                    self._adjusted.add(fact.symbol)
            elif isinstance(fact, FillFact):
                self._take_fill(fact, touched)
            elif isinstance(fact, SignalFact):
                self._learn(fact)
            elif isinstance(fact, ActionFact):
                self._take_action(fact, touched)
        return list(touched.values())

    def _learn(self, signal: SignalFact) -> None:
        known = self._multipliers.get(signal.symbol, 1.0)
        if signal.multiplier != known and (
            signal.symbol in self._multipliers or len(self._multipliers) < _NAMES_MAX
        ):
            self._multipliers[signal.symbol] = signal.multiplier

    def _take_fill(self, fact: FillFact, touched: dict[int, TradeRow]) -> None:
        fill = Fill(
            fact.time_ns,
            fact.event_id,
            fact.key,
            fact.side,
            fact.intent,
            fact.quantity,
            fact.price,
            0.0 if isnan(fact.fee) else fact.fee,
            self._multipliers.get(fact.symbol, 1.0),
            fact.allocations,
        )
        if not fact.corrects_id:
            self._insert(fact.symbol, fill, touched)
        elif not self._correct(fact, fill, touched):
            self._missed_count += 1

    def _take_action(self, fact: ActionFact, touched: dict[int, TradeRow]) -> None:
        symbol = self._symbols.get(fact.symbol)
        if symbol is None or fact.corrects_id:
            return
        if fact.action == _SPLIT and fact.ratio > 0 and fact.symbol not in self._adjusted:
            split = Fill(fact.time_ns, fact.event_id, ratio=fact.ratio)
            self._insert(fact.symbol, split, touched)
        elif fact.action == _RENAME and fact.new_symbol and fact.new_symbol not in self._symbols:
            self._symbols[fact.new_symbol] = self._symbols.pop(fact.symbol)

    # -- folding ----------------------------------------------------------------------------------

    def _insert(self, name: str, fill: Fill, touched: dict[int, TradeRow]) -> None:
        symbol = self._symbols.get(name)
        if symbol is None:
            symbol = self._symbols[name] = _Symbol(Book(), [], Book())
        fills, open_before = symbol.fills, symbol.now.open_count
        if fill.order > symbol.now.last_order:
            fills.append(fill)
            self._fill_count += 1
            keys = symbol.now.take(fill)
        else:
            at = bisect_right(fills, fill.order, key=lambda each: each.order)
            if at and fills[at - 1].event_id == fill.event_id:
                return
            if fill.order < symbol.base.last_order:
                self._missed_count += 1
            fills.insert(at, fill)
            self._fill_count += 1
            keys = _folded_again(symbol)
        self._open_count += symbol.now.open_count - open_before
        self._tell(symbol.now, keys, touched)
        if self._fill_count > self._history_max:
            self._shorten(keeping=0.5)
        if self._open_count > self._open_max:
            self._let_go(touched)

    def _correct(self, fact: FillFact, told: Fill, touched: dict[int, TradeRow]) -> bool:
        """Puts a correction in the place of what it corrects; False when that is not kept."""
        symbol = self._symbols.get(fact.symbol)
        if symbol is None:
            return False
        for at, fill in enumerate(symbol.fills):
            if fact.corrects_id not in (fill.event_id, *fill.ids):
                continue
            # Of several corrections the one that was told last counts.
            by = (told.time_ns, told.event_id)
            symbol.fills[at] = (told if by > fill.told else fill)._replace(
                time_ns=fill.time_ns,
                event_id=fill.event_id,
                told=max(by, fill.told),
                ids=(*fill.ids, told.event_id)[-_CORRECTIONS_MAX:],
            )
            open_before = symbol.now.open_count
            keys = _folded_again(symbol)
            self._open_count += symbol.now.open_count - open_before
            self._tell(symbol.now, keys, touched)
            return True
        return False

    def _tell(self, book: Book, keys: Iterable[int], touched: dict[int, TradeRow]) -> None:
        for key in keys:
            touched[key] = _row(key, self._lane, book.trades.get(key))

    def _shorten(self, keeping: float) -> None:
        """Folds the older fills of every instrument into its base for good; what is closed there
        is forgotten, and an instrument of which nothing is left too."""
        self._fill_count = 0
        for name, symbol in list(self._symbols.items()):
            older = len(symbol.fills) - int(len(symbol.fills) * keeping)
            for fill in symbol.fills[:older]:
                symbol.base.take(fill)
            del symbol.fills[:older]
            symbol.base.forget_closed()
            _folded_again(symbol)
            self._fill_count += len(symbol.fills)
            if not symbol.fills and not symbol.base.open_count:
                self._missed_count += symbol.base.doubtful_count
                del self._symbols[name]

    def _let_go(self, touched: dict[int, TradeRow]) -> None:
        """Makes the oldest tenth of the open lots nobody's."""
        self._shorten(keeping=0.0)
        opened = sorted(
            time_ns for each in self._symbols.values() for time_ns in each.base.opened_times()
        )
        through_ns = opened[len(opened) // 10]
        self._open_count = 0
        for symbol in self._symbols.values():
            keys = symbol.base.let_go(through_ns)
            symbol.base.doubtful_count += len(keys)
            self._tell(symbol.base, keys, touched)
            symbol.base.forget_closed()
            _folded_again(symbol)
            self._open_count += symbol.now.open_count

    # -- over a restart ---------------------------------------------------------------------------

    def dump(self) -> bytes:
        """All of it, for `load`."""
        told = {
            "lane": self._lane,
            "multipliers": self._multipliers,
            "adjusted": sorted(self._adjusted),
            "missed": self._missed_count,
            "symbols": [
                [name, each.base.as_json(), [_plain(fill) for fill in each.fills]]
                for name, each in self._symbols.items()
            ],
        }
        return json.dumps(told, separators=(",", ":")).encode()

    @classmethod
    def load(cls, dumped: bytes, open_max: int = 100_000, history_max: int = 10_000) -> "Lots":
        """The lots that were dumped."""
        told = json.loads(dumped)
        lots = cls(Lane(*told["lane"]), open_max, history_max)
        lots._multipliers = told["multipliers"]
        lots._adjusted = set(told["adjusted"])
        lots._missed_count = told["missed"]
        for name, base, fills in told["symbols"]:
            symbol = _Symbol(Book.from_json(base), [_filled(*fill) for fill in fills], Book())
            lots._symbols[name] = symbol
            _folded_again(symbol)
            lots._fill_count += len(symbol.fills)
            lots._open_count += symbol.now.open_count
        return lots


def _folded_again(symbol: _Symbol) -> set[int]:
    """Folds the kept fills behind the base anew; the keys of the trades that differ then."""
    before = symbol.now.trades
    symbol.now = symbol.base.copy()
    for fill in symbol.fills:
        symbol.now.take(fill)
    after = symbol.now.trades
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def _plain(fill: Fill) -> list[Any]:
    told_ns, told_id = fill.told
    return [
        *(fill.time_ns, fill.event_id.hex(), *fill[2:11]),
        *(told_ns, told_id.hex(), [each.hex() for each in fill.ids]),
    ]


def _filled(time_ns: int, event_id: str, *told: Any) -> Fill:
    *numbers, allocations, ratio, told_ns, told_id, ids = told
    parts = tuple((key, quantity) for key, quantity in allocations)
    by = (told_ns, bytes.fromhex(told_id))
    corrections = tuple(map(bytes.fromhex, ids))
    return Fill._make((time_ns, bytes.fromhex(event_id), *numbers, parts, ratio, by, corrections))


def _row(key: int, lane: Lane, trade: Trade | None) -> TradeRow:
    if trade is None:
        numbers = (0, 0.0, nan, 0.0, nan, 0.0, nan, nan, 0, int(ResultStatus.NONE))
        return TradeRow(key, lane, *numbers, is_attributed=False)
    entry_price = trade.entry_value / trade.entry_quantity
    exit_price = pnl = return_fraction = nan
    if trade.exit_quantity:
        closed_share = trade.exit_quantity / trade.entry_quantity
        entry_value = trade.entry_value * closed_share
        exit_price = trade.exit_value / trade.exit_quantity
        gained = trade.side * (trade.exit_value - entry_value) * trade.multiplier
        pnl = gained - trade.exit_fees - trade.entry_fees * closed_share
        return_fraction = pnl / (entry_value * trade.multiplier)
    return TradeRow(
        key,
        lane,
        trade.first_ns,
        trade.entry_quantity,
        entry_price,
        trade.exit_quantity,
        exit_price,
        trade.entry_fees + trade.exit_fees,
        pnl,
        return_fraction,
        trade.exit_ns,
        int(ResultStatus.PENDING if trade.lot_count else ResultStatus.MATURED),
        trade.is_attributed,
    )
