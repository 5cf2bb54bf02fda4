"""Lots: what fills come to, signal by signal, held against single units counted by hand."""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_server.domain.ledger.columns import ENTRY, EXIT, ResultStatus
from trimtab_server.domain.ledger.facts import ActionFact, BarFact, FillFact, Lane, SignalFact
from trimtab_server.domain.ledger.lots import Lots, TradeRow

LANE = Lane("alpha", 1, "")
BUY, SELL = 1, -1
_FEE = 0.5
_numbers = itertools.count(1)


def a_fill(
    time_ns: int,
    side: int,
    quantity: float,
    price: float,
    key: int = 0,
    *,
    intent: int = 0,
    fee: float = 0.0,
    symbol: str = "X",
    corrects: bytes = b"",
    allocations: tuple[tuple[int, float], ...] = (),
) -> FillFact:
    """A fill with an id of its own."""
    event_id = next(_numbers).to_bytes(16, "big")
    name = f"s-{key}" if key else ""
    return FillFact(
        *(LANE, time_ns, event_id, corrects, key, name, symbol, side, intent, quantity, price, fee),
        allocations,
    )


def a_signal(symbol: str, multiplier: float) -> SignalFact:
    """A signal of an instrument with a multiplier."""
    nan = math.nan
    return SignalFact(
        *(LANE, 0, b"s" * 16, b"", 9, "s-9", "", symbol, "", 1, ENTRY, nan, False, nan, 0, nan),
        *(multiplier, nan, nan, "", nan, 0, 0, "", nan, nan, b""),
    )


def an_action(time_ns: int, kind: int, ratio: float = math.nan, new_symbol: str = "") -> ActionFact:
    """What happened to X."""
    return ActionFact(LANE, time_ns, b"a" * 16, b"", "X", kind, ratio, math.nan, new_symbol)


def rows_of(facts: Iterable[Any], lots: Lots | None = None) -> dict[int, TradeRow]:
    """The last row of each signal, the facts taken one by one."""
    lots = lots or Lots(LANE)
    return {row.signal_key: row for fact in facts for row in lots.take([fact])}


def test_a_round_trip_is_told_after_fees_on_its_entry_notional() -> None:
    """Bought at 100, sold at 110, a fee of 1 each way: 18 of 200."""
    lots = Lots(LANE)
    (opened,) = lots.take([a_fill(1, BUY, 2, 100.0, 7, fee=1.0)])
    assert (opened.status, opened.exit_time_ns) == (ResultStatus.PENDING, 0)
    assert math.isnan(opened.pnl)
    assert math.isnan(opened.return_fraction)
    (row,) = lots.take([a_fill(5, SELL, 2, 110.0, 7, fee=1.0)])
    assert row == TradeRow(
        *(7, LANE, 1, 2, 100.0, 2, 110.0, 2.0, 18.0, 0.09, 5, ResultStatus.MATURED),
        is_attributed=True,
    )
    assert (lots.open_count, lots.unattributed_count) == (0, 0)


def test_scale_ins_and_partial_exits_are_weighted() -> None:
    """Three entries and two exits: prices by quantity, profit of what is closed so far."""
    facts = [
        a_fill(1, SELL, 1, 100.0, 7, fee=1.0),
        a_fill(2, SELL, 3, 104.0, 7, fee=3.0),
        a_fill(3, BUY, 2, 100.0, 7, fee=2.0),
    ]
    lots = Lots(LANE)
    row = rows_of(facts, lots)[7]
    assert (row.entry_price, row.exit_price, row.status) == (103.0, 100.0, ResultStatus.PENDING)
    assert row.pnl == pytest.approx(2 * 3.0 - 2.0 - 2.0)
    assert row.return_fraction == pytest.approx(2.0 / 206.0)
    row = rows_of([a_fill(4, BUY, 2, 101.0, 7)], lots)[7]
    assert (row.status, row.exit_quantity, row.fees) == (ResultStatus.MATURED, 4, 6.0)
    assert row.pnl == pytest.approx(412 - 402 - 6)


def test_an_exit_closes_its_own_signal_first_and_else_the_oldest() -> None:
    """A fill with its signal closes that one; one without closes first in, first out."""
    opened = [a_fill(1, BUY, 1, 10.0, 1), a_fill(2, BUY, 1, 11.0, 2), a_fill(3, BUY, 1, 12.0, 3)]
    lots = Lots(LANE)
    rows_of(opened, lots)
    assert set(rows_of([a_fill(4, SELL, 1, 13.0, 2)], lots)) == {2}
    assert set(rows_of([a_fill(5, SELL, 1, 13.0)], lots)) == {1}
    # Another signal that goes the other way is netted.
    assert set(rows_of([a_fill(6, SELL, 1, 13.0, 9)], lots)) == {3}
    assert (lots.open_count, lots.unattributed_count) == (0, 0)


def test_a_flip_opens_the_rest_for_the_signal_that_flips() -> None:
    """Long 10 of one signal; another sells 15: the first is closed, 5 are short."""
    rows = rows_of([a_fill(1, BUY, 10, 10.0, 1), a_fill(2, SELL, 15, 12.0, 2, fee=3.0)])
    assert (rows[1].status, rows[1].pnl) == (ResultStatus.MATURED, 18.0)
    assert (rows[2].status, rows[2].entry_quantity, rows[2].fees) == (ResultStatus.PENDING, 5, 1.0)


def test_what_cannot_be_attributed_is_counted_and_not_guessed() -> None:
    """An exit of nothing, an entry of nobody and what closes it, the rest of an own flip."""
    lots = Lots(LANE)
    assert rows_of([a_fill(1, SELL, 1, 10.0, 5, intent=EXIT)], lots) == {}
    assert lots.unattributed_count == 1
    assert rows_of([a_fill(2, BUY, 1, 10.0)], lots) == {}
    assert lots.unattributed_count == 2
    assert rows_of([a_fill(3, SELL, 1, 10.0, intent=EXIT)], lots) == {}
    assert lots.unattributed_count == 3
    rows = rows_of([a_fill(4, BUY, 1, 10.0, 6), a_fill(5, SELL, 3, 10.0, 6)], lots)
    assert rows[6].exit_quantity == 1
    assert (lots.unattributed_count, lots.open_count) == (4, 1)


def test_allocations_split_a_fill_over_signals() -> None:
    """Each part serves its signal alone, fees by quantity; the rest is the fill's own signal's."""
    entry = a_fill(1, BUY, 10, 10.0, 3, fee=10.0, allocations=((1, 4.0), (2, 5.0)))
    rows = rows_of([entry])
    assert {key: (row.entry_quantity, row.fees) for key, row in rows.items()} == {
        1: (4.0, 4.0),
        2: (5.0, 5.0),
        3: (1.0, 1.0),
    }
    lots = Lots(LANE)
    rows_of([entry], lots)
    rows = rows_of([a_fill(2, SELL, 5, 11.0, allocations=((2, 5.0),))], lots)
    assert set(rows) == {2}
    assert lots.unattributed_count == 0


def test_engines_that_hedge_say_so_by_allocations() -> None:
    """An allocated entry opens beside what another signal holds the other way."""
    hedge = a_fill(2, SELL, 1, 11.0, 2, intent=ENTRY, allocations=((2, 1.0),))
    lots = Lots(LANE)
    rows = rows_of([a_fill(1, BUY, 1, 10.0, 1), hedge], lots)
    assert {row.status for row in rows.values()} == {ResultStatus.PENDING}
    assert lots.open_count == 2


def test_an_account_that_holds_both_directions_tells_what_enters() -> None:
    """Each signal's ENTRY opens its own position beside the other's; each exit closes its own."""
    lots = Lots(LANE)
    rows = rows_of(
        [
            a_fill(1, BUY, 10, 100.0, 1, intent=ENTRY),
            a_fill(2, SELL, 10, 100.0, 2, intent=ENTRY),
            a_fill(3, SELL, 10, 110.0, 1, intent=EXIT),
            a_fill(4, BUY, 10, 110.0, 2, intent=EXIT),
        ],
        lots,
    )
    assert {key: round(row.return_fraction, 9) for key, row in rows.items()} == {1: 0.1, 2: -0.1}
    assert lots.unattributed_count == 0


def test_allocations_of_more_than_was_filled_put_all_they_touch_in_doubt() -> None:
    """The position moves; no trade that it touches counts as real any more."""
    broken = a_fill(2, SELL, 1, 11.0, allocations=((1, 1.0), (2, 1.0)))
    lots = Lots(LANE)
    rows = rows_of([a_fill(1, BUY, 1, 10.0, 1), a_fill(1, BUY, 1, 10.0, 2), broken], lots)
    assert not rows[1].is_attributed
    assert not rows[2].is_attributed
    assert (lots.unattributed_count, lots.open_count) == (1, 1)


def test_money_counts_the_contract_s_multiplier() -> None:
    """It is learnt from the signals of an instrument; the return is a fraction all the same."""
    facts = [a_signal("X", 50.0), a_fill(1, BUY, 2, 100.0, 7), a_fill(2, SELL, 2, 101.0, 7)]
    row = rows_of(facts)[7]
    assert row.pnl == 100.0
    assert row.return_fraction == pytest.approx(0.01)


def test_a_split_changes_quantities_and_no_values() -> None:
    """Ten at 100 are forty at 25; where bars are adjusted, fills are too, and nothing changes."""
    facts = [a_fill(1, BUY, 10, 100.0, 7), an_action(2, 1, ratio=4.0), a_fill(3, SELL, 40, 26.0, 7)]
    row = rows_of(facts)[7]
    assert (row.status, row.entry_price, row.pnl) == (ResultStatus.MATURED, 25.0, 40.0)
    nan = math.nan
    bar = BarFact(LANE, 0, b"b" * 16, b"", "X", 1, nan, nan, nan, 1.0, nan, nan, is_adjusted=True)
    adjusted = [bar, *facts[:2], a_fill(3, SELL, 10, 104.0, 7)]
    assert rows_of(adjusted)[7].pnl == 40.0


def test_a_renamed_instrument_keeps_its_lots() -> None:
    """What was bought under the old name is closed under the new one."""
    facts = [
        a_fill(1, BUY, 1, 10.0, 7),
        an_action(2, 4, new_symbol="Y"),
        a_fill(3, SELL, 1, 11.0, 7, symbol="Y"),
    ]
    assert rows_of(facts)[7].status == ResultStatus.MATURED


def test_a_correction_takes_the_place_of_what_it_corrects() -> None:
    """In its order and at its time; the one that was told last counts; of the unknown, none."""
    entry, exit_fill = a_fill(1, BUY, 2, 100.0, 7), a_fill(5, SELL, 2, 110.0, 7)
    first = a_fill(6, BUY, 2, 101.0, 7, corrects=entry.event_id)
    second = a_fill(7, BUY, 2, 102.0, 7, corrects=first.event_id)
    unknown = a_fill(8, BUY, 2, 1.0, 7, corrects=b"?" * 16)
    lots = Lots(LANE)
    row = rows_of([entry, exit_fill, first, second, unknown], lots)[7]
    assert (row.entry_price, row.pnl, row.first_fill_time_ns) == (102.0, 16.0, 1)
    assert lots.unattributed_count == 1
    assert rows_of([entry, exit_fill, second, first])[7].entry_price == 101.0


def test_a_correction_that_leaves_a_signal_nothing_takes_its_row_back() -> None:
    """What was told of it then says that there is no trade."""
    entry = a_fill(1, BUY, 2, 100.0, 7)
    rows = rows_of([entry, a_fill(2, BUY, 2, 100.0, 8, corrects=entry.event_id)])
    assert (rows[7].status, rows[7].is_attributed) == (ResultStatus.NONE, False)
    assert rows[8].entry_quantity == 2


def test_what_is_kept_is_bounded() -> None:
    """Old fills are folded for good, the oldest open lots are given up and counted."""
    lots = Lots(LANE, open_max=20, history_max=50)
    rows = rows_of([a_fill(n, BUY, 1, 10.0, n, symbol=f"X{n % 3}") for n in range(1, 200)], lots)
    assert lots.open_count <= 20
    given_up = [row for row in rows.values() if not row.is_attributed]
    assert given_up
    assert lots.unattributed_count >= len(given_up)
    assert len(lots.dump()) < 20_000
    # A round trip leaves nothing behind but its count.
    lots = Lots(LANE, history_max=10)
    for n in range(1, 1_000):
        rows_of([a_fill(n, BUY, 1, 10.0, n), a_fill(n, SELL, 1, 10.0, n)], lots)
    assert (lots.open_count, lots.unattributed_count) == (0, 0)
    assert len(lots.dump()) < 5_000


# -- properties -----------------------------------------------------------------------------------

_FILLS = st.lists(
    st.tuples(
        st.sampled_from((BUY, SELL)),
        st.integers(1, 5),
        st.integers(90, 110),
        st.integers(0, 4),
        st.sampled_from((0, 0, ENTRY, EXIT)),
        st.booleans(),
    ),
    max_size=40,
)


def _fills(draws: Sequence[tuple[int, int, int, int, int, bool]]) -> list[FillFact]:
    made = []
    for at, (side, quantity, price, key, intent, is_split) in enumerate(draws):
        allocations: tuple[tuple[int, float], ...] = ()
        if is_split and quantity > 1:
            allocations = ((1 + key % 4, 1.0), (1 + (key + 1) % 4, float(quantity - 1)))
        told = a_fill(
            *(at, side, float(quantity), float(price), key),
            intent=intent,
            fee=_FEE * quantity,
            allocations=allocations,
        )
        made.append(told)
    return made


class Counted(NamedTuple):
    """What single units come to: by signal its side and what entered and left, with values; the
    units that are open, by signal and side; how many closed nothing, buys less sells."""

    sides: dict[int, int]
    sums: dict[int, list[float]]
    open_units: Counter[tuple[int, int]]
    lost: int


def by_units(fills: Sequence[FillFact]) -> Counted:
    """The reference: moves one unit at a time."""
    units: list[tuple[int, int]] = []
    sides: dict[int, int] = {}
    sums: dict[int, list[float]] = defaultdict(lambda: [0.0] * 4)
    lost = 0
    for fill in fills:
        parts = [(key, n, True) for key, n in fill.allocations]
        parts.append((fill.key, fill.quantity - sum(n for _, n, _ in parts), False))
        for key, is_told in [(key, told) for key, n, told in parts for _ in range(int(n))]:
            other = [at for at, (_, side) in enumerate(units) if side == -fill.side]
            own = [at for at in other if units[at][0] == key and key]
            enters = bool(key) and fill.intent == ENTRY
            closable = own[:1] or ([] if is_told or enters else other[:1])
            is_other_way = sides.get(key, fill.side) != fill.side
            if closable:
                owner, _ = units.pop(closable[0])
                sums[owner][2] += 1
                sums[owner][3] += fill.price
            elif fill.intent == EXIT or (is_other_way and is_told):
                lost += fill.side
            elif is_other_way or not key:
                units.append((0, fill.side))
            else:
                sides[key] = fill.side
                sums[key][0] += 1
                sums[key][1] += fill.price
                units.append((key, fill.side))
    sums.pop(0, None)
    return Counted(sides, sums, Counter(units), lost)


@given(_FILLS)
def test_trades_are_what_single_units_come_to(
    draws: list[tuple[int, int, int, int, int, bool]],
) -> None:
    """Against a reference that moves one unit at a time: quantities, prices and profit."""
    fills = _fills(draws)
    counted, rows = by_units(fills), rows_of(fills)
    assert rows.keys() == counted.sums.keys()
    for key, (entered, entry_value, exited, exit_value) in counted.sums.items():
        row = rows[key]
        assert row.entry_quantity == pytest.approx(entered)
        assert row.exit_quantity == pytest.approx(exited)
        assert row.entry_price == pytest.approx(entry_value / entered)
        assert (row.status == ResultStatus.MATURED) == (exited == entered)
        assert row.fees == pytest.approx(_FEE * (entered + exited))
        if exited:
            closed_value = exited * entry_value / entered
            gained = counted.sides[key] * (exit_value - closed_value)
            assert row.pnl == pytest.approx(gained - 2 * _FEE * exited)
            assert row.return_fraction == pytest.approx(row.pnl / closed_value)


@given(_FILLS)
def test_every_unit_is_somewhere(draws: list[tuple[int, int, int, int, int, bool]]) -> None:
    """What is open is what the reference holds; with what closed nothing it is all that was
    filled."""
    fills, lots = _fills(draws), Lots(LANE)
    rows_of(fills, lots)
    counted = by_units(fills)
    held: Counter[tuple[int, int]] = Counter()
    for symbol in lots._symbols.values():
        for side, key, _, left, _ in symbol.now.as_json()["lots"]:
            held[key, side] += round(left)
    assert held == counted.open_units
    net = sum(side * units for (_, side), units in held.items())
    assert net + counted.lost == sum(fill.side * fill.quantity for fill in fills)


@given(_FILLS, st.randoms(use_true_random=False))
def test_any_order_within_what_is_kept_gives_the_same_trades(
    draws: list[tuple[int, int, int, int, int, bool]], rng: Any
) -> None:
    """Late fills take their place: rows, open lots and counts are those of the right order."""
    fills = _fills(draws)
    one, other = Lots(LANE), Lots(LANE)
    rows = rows_of(fills, one)
    shuffled = list(fills)
    rng.shuffle(shuffled)
    again = rows_of([*shuffled, *shuffled[:3]], other)
    assert {key: row for key, row in again.items() if row.status} == rows
    assert other.unattributed_count == one.unattributed_count
    assert other.open_count == one.open_count


@given(_FILLS, st.integers(0, 40))
def test_a_dump_goes_on_where_it_was_made(
    draws: list[tuple[int, int, int, int, int, bool]], at: int
) -> None:
    """Loaded at any point, the rest of the fills come to the same, and a dump to the same bytes."""
    fills = _fills(draws)
    whole, first = Lots(LANE, history_max=7), Lots(LANE, history_max=7)
    rows = rows_of(fills, whole)
    seen = rows_of(fills[:at], first)
    second = Lots.load(first.dump(), history_max=7)
    assert second.dump() == first.dump()
    assert seen | rows_of(fills[at:], second) == rows
    assert second.dump() == whole.dump()
