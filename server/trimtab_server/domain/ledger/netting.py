"""One instrument's open lots and trades, fill by fill: see `domain.ledger.lots` for the rules."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from typing import Any, NamedTuple

from trimtab_server.domain.ledger.columns import ENTRY

NOBODY = 0
"""The key of lots that belong to no signal."""

# What is left of a lot or fill below this share of it is rounding.
_TINY = 1e-9


class Fill(NamedTuple):
    """A fill, or (ratio above 0) a split. side: +1, -1. allocations: (key, quantity). told: time
    and id of the correction that it is told by; ids: of all its corrections so far."""

    time_ns: int
    event_id: bytes
    key: int = NOBODY
    side: int = 0
    intent: int = 0
    quantity: float = 0.0
    price: float = 0.0
    fee: float = 0.0
    multiplier: float = 1.0
    allocations: tuple[tuple[int, float], ...] = ()
    ratio: float = 0.0
    told: tuple[int, bytes] = (0, b"")
    ids: tuple[bytes, ...] = ()

    @property
    def order(self) -> tuple[int, bool, bytes]:
        """Its place among fills: a split takes effect before the fills of its time."""
        return self.time_ns, not self.ratio, self.event_id


@dataclass(slots=True)
class Trade:
    """What a signal's fills come to. Values are quantity x price."""

    side: int
    multiplier: float
    first_ns: int
    entry_quantity: float = 0.0
    entry_value: float = 0.0
    entry_fees: float = 0.0
    exit_quantity: float = 0.0
    exit_value: float = 0.0
    exit_fees: float = 0.0
    exit_ns: int = 0
    lot_count: int = 0
    is_attributed: bool = True


@dataclass(slots=True)
class _Lot:
    key: int
    quantity: float
    left: float
    opened_ns: int


class _Taking(NamedTuple):
    """A fill that is being taken: what it touches, and whether something of it is in doubt."""

    fill: Fill
    touched: set[int]
    doubts: list[str]


class Book:
    """Open lots by side, oldest first, and the trades of signals."""

    def __init__(self) -> None:
        self._number = 0
        self._lots: dict[int, OrderedDict[int, _Lot]] = {1: OrderedDict(), -1: OrderedDict()}
        # Per signal: the numbers of its lots, some of them closed by now.
        self._own: dict[int, list[int]] = {}
        self.trades: dict[int, Trade] = {}
        # Fills that could not be attributed whole.
        self.doubtful_count = 0
        self.last_order: tuple[int, bool, bytes] = (-1, False, b"")

    @property
    def open_count(self) -> int:
        """Open lots."""
        return len(self._lots[1]) + len(self._lots[-1])

    def take(self, fill: Fill) -> set[int]:
        """The keys of the trades that this fill changes."""
        self.last_order = fill.order
        taking = _Taking(fill, set(), [])
        if fill.ratio:
            self._split(taking)
            return taking.touched
        left, is_doubtful = fill.quantity, False
        parts = [part for part in fill.allocations if part[1] > 0]
        if sum(quantity for _, quantity in parts) > left * (1 + _TINY):
            # Nobody knows whose it is; it moves the position all the same.
            taking.doubts.append("allocations")
            self._doubt(taking, [key for key, _ in parts])
            is_doubtful, parts = True, []
        for key, quantity in parts:
            left -= quantity
            self._serve_allocated(taking, key, quantity)
        if left > fill.quantity * _TINY:
            self._serve(taking, NOBODY if is_doubtful else fill.key, left)
        if taking.doubts:
            self.doubtful_count += 1
        return taking.touched

    # -- parts of a fill --------------------------------------------------------------------------

    def _serve_allocated(self, taking: _Taking, key: int, quantity: float) -> None:
        """A part that is told to be a signal's touches this signal's lots alone."""
        fill = taking.fill
        left = self._close_own(taking, key, quantity)
        if left <= fill.quantity * _TINY:
            return
        if fill.intent > ENTRY or self._is_other_way(key, fill.side):
            taking.doubts.append("closes nothing")
        else:
            self._open(taking, key, left)

    def _serve(self, taking: _Taking, key: int, quantity: float) -> None:
        """A part of which is told no more than perhaps its signal: netted, unless its signal is
        told to enter (an account that holds both directions)."""
        fill, left = taking.fill, quantity
        if key:
            left = self._close_own(taking, key, left)
        enters = bool(key) and fill.intent == ENTRY
        others = {} if enters else self._lots[-fill.side]
        while others and left > fill.quantity * _TINY:
            left = self._close(taking, next(iter(others)), left)
        if left <= fill.quantity * _TINY:
            return
        if fill.intent > ENTRY:
            taking.doubts.append("closes nothing")
        elif self._is_other_way(key, fill.side):
            # It has flipped the position: the rest is no longer this signal's.
            self._open(taking, NOBODY, left)
        else:
            self._open(taking, key, left)

    def _is_other_way(self, key: int, side: int) -> bool:
        trade = self.trades.get(key)
        return trade is not None and trade.side != side

    def _close_own(self, taking: _Taking, key: int, left: float) -> float:
        lots = self._lots[-taking.fill.side]
        for number in [each for each in self._own.get(key, ()) if each in lots]:
            if left <= taking.fill.quantity * _TINY:
                break
            left = self._close(taking, number, left)
        return left

    def _close(self, taking: _Taking, number: int, left: float) -> float:
        """Closes a lot as far as `left` goes; what is left then."""
        fill = taking.fill
        lots = self._lots[-fill.side]
        lot = lots[number]
        is_whole = lot.left - left <= lot.quantity * _TINY
        closed = lot.left if is_whole else left
        lot.left -= closed
        if is_whole:
            del lots[number]
        if lot.key == NOBODY:
            taking.doubts.append("closes nobody's lot")
        else:
            trade = self.trades[lot.key]
            trade.exit_quantity += closed
            trade.exit_value += closed * fill.price
            trade.exit_fees += fill.fee * closed / fill.quantity
            trade.exit_ns = max(trade.exit_ns, fill.time_ns)
            if is_whole:
                self._settle(lot.key, trade)
            if "allocations" in taking.doubts:
                trade.is_attributed = False
            taking.touched.add(lot.key)
        return max(left - closed, 0.0)

    def _settle(self, key: int, trade: Trade) -> None:
        """One of the trade's lots is closed."""
        trade.lot_count -= 1
        if not trade.lot_count:
            # Quantities that went in and out in parts differ by rounding.
            trade.exit_quantity = trade.entry_quantity
            del self._own[key]

    def _open(self, taking: _Taking, key: int, quantity: float) -> None:
        fill = taking.fill
        self._add(fill.side, _Lot(key, quantity, quantity, fill.time_ns))
        if key == NOBODY:
            taking.doubts.append("opens for nobody")
            return
        trade = self.trades.get(key)
        if trade is None:
            trade = self.trades[key] = Trade(fill.side, fill.multiplier, fill.time_ns)
        trade.entry_quantity += quantity
        trade.entry_value += quantity * fill.price
        trade.entry_fees += fill.fee * quantity / fill.quantity
        trade.lot_count += 1
        taking.touched.add(key)

    def _add(self, side: int, lot: _Lot) -> None:
        self._number += 1
        self._lots[side][self._number] = lot
        if lot.key != NOBODY:
            self._own.setdefault(lot.key, []).append(self._number)

    def _doubt(self, taking: _Taking, keys: Iterable[int]) -> None:
        for key in keys:
            if key in self.trades:
                self.trades[key].is_attributed = False
                taking.touched.add(key)

    def _split(self, taking: _Taking) -> None:
        """New units for old: quantities change, values do not."""
        ratio = taking.fill.ratio
        for lots in self._lots.values():
            for lot in lots.values():
                lot.left *= ratio
                lot.quantity *= ratio
        for key in self._own:
            self.trades[key].entry_quantity *= ratio
            self.trades[key].exit_quantity *= ratio
            taking.touched.add(key)

    # -- as a whole -------------------------------------------------------------------------------

    def opened_times(self) -> list[int]:
        """When the open lots of signals were opened."""
        return [
            lot.opened_ns
            for lots in self._lots.values()
            for lot in lots.values()
            if lot.key != NOBODY
        ]

    def let_go(self, through_ns: int) -> set[int]:
        """Makes lots that were opened until then nobody's (one a side); their trades are in doubt.
        The keys of these."""
        keys: set[int] = set()
        for side, lots in self._lots.items():
            old = {
                number: lot
                for number, lot in lots.items()
                if lot.opened_ns <= through_ns or lot.key == NOBODY
            }
            if not old:
                continue
            keys |= {lot.key for lot in old.values()} - {NOBODY}
            left = sum(lot.left for lot in old.values())
            kept = [lot for number, lot in lots.items() if number not in old]
            self._lots[side] = OrderedDict()
            self._add(side, _Lot(NOBODY, left, left, 0))
            for lot in kept:
                self._add(side, lot)
        for key in keys:
            self.trades[key].is_attributed = False
        self._count_lots()
        return keys

    def _count_lots(self) -> None:
        """Finds whose lots are open anew."""
        self._own = {}
        for trade in self.trades.values():
            trade.lot_count = 0
        for lots in self._lots.values():
            for number, lot in lots.items():
                if lot.key != NOBODY:
                    self._own.setdefault(lot.key, []).append(number)
                    self.trades[lot.key].lot_count += 1

    def forget_closed(self) -> None:
        """Forgets trades without an open lot."""
        self.trades = {key: each for key, each in self.trades.items() if key in self._own}

    def copy(self) -> "Book":
        """Another one that changes by itself."""
        other = Book()
        other._number = self._number
        other._lots = {
            side: OrderedDict((number, replace(lot)) for number, lot in lots.items())
            for side, lots in self._lots.items()
        }
        other._own = {key: list(numbers) for key, numbers in self._own.items()}
        other.trades = {key: replace(trade) for key, trade in self.trades.items()}
        other.doubtful_count = self.doubtful_count
        other.last_order = self.last_order
        return other

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `from_json`."""
        time_ns, is_fill, event_id = self.last_order
        return {
            "lots": [
                [side, *astuple(lot)] for side, lots in self._lots.items() for lot in lots.values()
            ],
            "trades": [[key, *astuple(trade)] for key, trade in self.trades.items()],
            "doubtful": self.doubtful_count,
            "last": [time_ns, is_fill, event_id.hex()],
        }

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Book":
        """The book that told this."""
        book = cls()
        book.trades = {key: Trade(*numbers) for key, *numbers in told["trades"]}
        for side, *lot in told["lots"]:
            book._add(side, _Lot(*lot))
        book.doubtful_count = told["doubtful"]
        time_ns, is_fill, event_id = told["last"]
        book.last_order = (time_ns, is_fill, bytes.fromhex(event_id))
        return book
