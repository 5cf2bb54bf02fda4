from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_server.domain.imports.guard_columns import guard_columns
from trimtab_server.domain.imports.trade_arguments import (
    decision_arguments,
    execution_arguments,
    outcome_arguments,
    plan_arguments,
    signal_arguments,
    snapshot_arguments,
    verdict_arguments,
)
from trimtab_server.domain.imports.trade_columns import Cell, column_mapping, number, side, time_ns
from trimtab_server.domain.imports.trade_rows import (
    Problem,
    TradeRow,
    content_digest,
    row_doubts,
    trade_row,
)

NEW_YEAR_NS = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2024-01-01", NEW_YEAR_NS),
        ("2024-01-01T00:00:00Z", NEW_YEAR_NS),
        ("2024-01-01 00:00:00+00:00", NEW_YEAR_NS),
        ("2024-01-01 01:00:00+01:00", NEW_YEAR_NS),
        ("2024-01-01 00:00:00 UTC", NEW_YEAR_NS),
        ("2024-01-01T00:00:00.123456789Z", NEW_YEAR_NS + 123_456_789),
        (1_704_067_200, NEW_YEAR_NS),
        (1_704_067_200_000, NEW_YEAR_NS),
        (1_704_067_200_000_000, NEW_YEAR_NS),
        (NEW_YEAR_NS, NEW_YEAR_NS),
        ("1704067200000", NEW_YEAR_NS),
        (1_704_067_200.5, NEW_YEAR_NS + 500_000_000),
        (datetime(2024, 1, 1, tzinfo=UTC), NEW_YEAR_NS),
        (datetime(2024, 1, 1), NEW_YEAR_NS),  # noqa: DTZ001 - a file's naive time is UTC
        (date(2024, 1, 1), NEW_YEAR_NS),
    ],
)
def test_times_are_read_to_the_nanosecond(cell: Cell, expected: int) -> None:
    """ISO 8601, dates and numbers of every unit; without a zone it is UTC."""
    assert time_ns(cell) == expected


@pytest.mark.parametrize("cell", ["yesterday", "01/02/2024", True, float("nan"), 10**30, -5])
def test_what_is_no_time_is_refused(cell: Cell) -> None:
    """Ambiguous days and numbers outside 1970 to 2200 are never guessed."""
    with pytest.raises(ValueError, match=r"time|between"):
        time_ns(cell)


@given(st.integers(0, 7_258_118_399))
def test_seconds_survive_their_text(seconds: int) -> None:
    """Any second up to 2200, written as ISO 8601, is read back exactly."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat()
    assert time_ns(text) == seconds * 1_000_000_000


def test_numbers_know_thousands_but_not_decimal_commas() -> None:
    """1,234.5 is a number; 0,5 is a mistake that would silently be read as five."""
    assert number("1,234.5") == 1234.5
    assert number("-1,234,567") == -1234567
    assert number(" 7 ") == 7
    for wrong in ("0,5", "1,23", "abc", "1e999", True):
        with pytest.raises(ValueError, match=r"number|finite"):
            number(wrong)


def test_sides_are_read_in_every_spelling() -> None:
    """buy, long, 1 and sell, short, -1; anything else is refused."""
    assert [side(word) for word in ("buy", "LONG", 1, "B")] == ["BUY"] * 4
    assert [side(word) for word in ("Sell", "short", -1, "s")] == ["SELL"] * 4
    with pytest.raises(ValueError, match="buy nor sell"):
        side("flat")


def test_columns_are_found_by_their_aliases_and_ours_wins() -> None:
    """freqtrade's names are known; our own name beats an alias; a byte order mark does no harm."""
    header = ["\ufeffPair", "Open Date", "close-date", "profit_ratio", "return_fraction"]
    found = column_mapping(header, {})
    assert found["symbol"] == "\ufeffPair"
    assert found["entry_time"] == "Open Date"
    assert found["exit_time"] == "close-date"
    assert found["return_fraction"] == "return_fraction"


def test_a_given_mapping_wins_and_is_checked() -> None:
    """--map beats every guess, and names what neither we nor the file have."""
    header = ["symbol", "time", "score", "mine"]
    assert column_mapping(header, {"confidence": "mine"})["confidence"] == "mine"
    with pytest.raises(ValueError, match="unknown"):
        column_mapping(header, {"nonsense": "mine"})
    with pytest.raises(ValueError, match="no column"):
        column_mapping(header, {"confidence": "gone"})


def read(**cells: Cell) -> TradeRow | list[Problem]:
    """A row with our own column names."""
    return trade_row(cells, column_mapping(cells, {}), 7)


def good(**cells: Cell) -> TradeRow:
    """A row that must be taken."""
    base: dict[str, Cell] = {"trade_id": "t1", "symbol": "A", "entry_time": "2024-01-01"}
    row = read(**(base | cells))
    assert isinstance(row, TradeRow), row
    return row


def test_return_is_taken_as_told_or_worked_out() -> None:
    """Fraction, per cent, pnl over notional, prices with side and fees: in this order."""
    closed: dict[str, Cell] = {"exit_time": "2024-01-02"}
    assert good(**closed, return_fraction="0.02").return_fraction == 0.02
    assert good(**closed, return_pct="2%").return_fraction == pytest.approx(0.02)
    priced: dict[str, Cell] = closed | {"entry_price": 100, "exit_price": 110, "quantity": 2}
    assert good(**priced).return_fraction == pytest.approx(0.1)
    assert good(**priced, side="short").return_fraction == pytest.approx(-0.1)
    assert good(**priced, fees=-4).return_fraction == pytest.approx(0.08)
    assert good(**priced, pnl=10).return_fraction == pytest.approx(0.05)


def test_everything_wrong_with_a_row_is_told_at_once() -> None:
    """All bad cells of a row with line and column, not only the first."""
    found = read(symbol="", entry_time="nope", confidence=70, exit_time="2024-01-01")
    assert isinstance(found, list)
    told = "\n".join(map(str, found))
    assert "line 7: entry_time: 'nope' is not a time" in told
    assert "line 7: confidence: 70 is not between 0 and 1 (per cent?" in told
    assert "line 7: no symbol" in told


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"exit_time": "2023-01-01", "return_fraction": 0.1}, "before the entry"),
        ({"exit_time": "2024-01-02"}, "a closed trade needs"),
        ({"symbol": "A" * 65}, "more than 64 characters"),
        ({"symbol": "A\x07"}, "unprintable"),
    ],
)
def test_rows_that_the_contract_would_refuse_are_refused_here(
    cells: dict[str, Cell], words: str
) -> None:
    """Found before anything is sent, with the line."""
    found = read(**({"trade_id": "t", "symbol": "A", "entry_time": "2024-01-01"} | cells))
    assert isinstance(found, list)
    assert any(words in str(problem) for problem in found)


def test_confidence_in_per_cent_is_scaled_and_still_checked() -> None:
    """With the flag 70 is 0.7 and 700 is wrong."""
    cells: dict[str, Cell] = {"symbol": "A", "entry_time": "2024-01-01", "confidence": "70"}
    row = trade_row(cells, column_mapping(cells, {}), 1, confidence_percent=True)
    assert isinstance(row, TradeRow)
    assert row.confidence == pytest.approx(0.7)
    cells["confidence"] = "700"
    assert isinstance(trade_row(cells, column_mapping(cells, {}), 1, confidence_percent=True), list)


def test_a_signal_says_nothing_that_was_known_only_later() -> None:
    """Open now and closed later: the same signal, so importing again changes nothing."""
    entry: dict[str, Cell] = {"entry_price": 100, "confidence": 0.7, "quantity": 1}
    still_open = good(**entry)
    closed = good(**entry, exit_time="2024-01-02", exit_price=110, won="yes", pnl=3)
    assert signal_arguments(still_open) == signal_arguments(closed)
    assert still_open.is_open
    with pytest.raises(ValueError, match="open"):
        outcome_arguments(still_open)
    assert outcome_arguments(closed)["holding_time_s"] == 86_400


def test_executions_need_price_and_quantity() -> None:
    """Entry and exit where known; a short sells first; without a quantity there is no fill."""
    priced: dict[str, Cell] = {"entry_price": 100, "exit_price": 90, "exit_time": "2024-01-02"}
    assert execution_arguments(good(**priced)) == []
    fills = execution_arguments(good(**priced, quantity=3, side="short"))
    assert [(role, fill["side"]) for role, fill in fills] == [("entry", "SELL"), ("exit", "BUY")]


def test_identity_without_a_trade_id_is_the_content() -> None:
    """The order of columns and empty cells do not matter; any other change does."""
    one: dict[str, Cell] = {"symbol": "A", "entry_time": "2024-01-01", "note": ""}
    assert content_digest(one) == content_digest(dict(reversed(one.items())))
    assert content_digest(one) == content_digest({k: v for k, v in one.items() if v})
    assert content_digest(one) != content_digest(one | {"symbol": "B"})
    row = trade_row(one, column_mapping(one, {}), 1)
    assert isinstance(row, TradeRow)
    assert row.key == f"row-{content_digest(one)}"
    assert row.signal_id == row.key


def guarded(**cells: Cell) -> TradeRow:
    """A row with guards that must be taken."""
    base: dict[str, Cell] = {"trade_id": "t1", "symbol": "A", "entry_time": "2024-01-01"}
    row = base | cells
    columns = guard_columns(row, {})
    made = trade_row(row, column_mapping(row, {}), 7, guards=columns)
    assert isinstance(made, TradeRow), made
    return made


def test_a_guard_that_blocked_makes_a_signal_that_was_not_traded() -> None:
    """Without any sign of a trade it was blocked; with one it was approved all the same."""
    assert guarded(guard_a="block").decision == "BLOCKED"
    assert guarded(guard_a="block", exit_time="2024-01-02", won=1).decision == "APPROVED"
    assert guarded(guard_a="pass").decision == "APPROVED"
    assert guarded(guard_a="").decision == ""
    assert guarded(guard_a="pass", decision="hold").decision == "HOLD"
    assert guarded(spread_bps=3).decision == "APPROVED"


def test_what_was_not_traded_has_no_result() -> None:
    """Somebody's own simulation is not taken for an outcome; the row says so."""
    cells: dict[str, Cell] = {
        "decision": "blocked", "exit_time": "2024-01-02", "return_fraction": 0.5,
        "entry_price": 10, "quantity": 3, "guard_a": "pass",
    }  # fmt: skip
    row = guarded(**cells)
    assert (row.exit_time_ns, row.return_fraction, row.is_traded, row.is_open) == (
        None, None, False, False,
    )  # fmt: skip
    assert execution_arguments(row) == []
    doubts = row_doubts(row, cells, column_mapping(cells, {}))
    assert any("followed instead" in doubt for doubt in doubts)
    assert any("no guard says so" in doubt for doubt in doubts)


def test_a_trade_that_a_guard_blocked_is_doubtful() -> None:
    """It is taken, and told: yes and no may mean the opposite."""
    cells: dict[str, Cell] = {"exit_time": "2024-01-02", "won": 1, "guard_a": "block"}
    row = guarded(**cells)
    assert row_doubts(row, cells, column_mapping(cells, {})) == (
        "traded although guard a blocked it",
    )


def test_signal_time_may_stand_for_the_entry() -> None:
    """A blocked signal has no entry; one that was traded lies before it."""
    row = {"symbol": "A", "signal_time": "2024-01-01", "decision": "blocked"}
    made = trade_row(row, column_mapping(row, {}), 7)
    assert isinstance(made, TradeRow)
    assert made.signal_time_ns == made.entry_time_ns == NEW_YEAR_NS
    late = read(symbol="A", entry_time="2024-01-01", signal_time="2024-01-02")
    assert isinstance(late, list)
    assert "signal_time: lies after the entry" in str(late[0])


@pytest.mark.parametrize(
    ("cells", "seconds"),
    [
        ({"holding_period": "10d"}, 864_000),
        ({"holding_period": "90 min"}, 5_400),
        ({"holding_hours": 4}, 14_400),
        ({"holding_days": "2"}, 172_800),
        ({"holding_period_s": 30}, 30),
    ],
)
def test_planned_holding_is_read_with_its_unit(cells: dict[str, Cell], seconds: float) -> None:
    """A length with its unit, or a column that names it."""
    assert good(**cells).holding_s == seconds


def test_a_plan_has_its_price_on_the_right_side() -> None:
    """0 is no price; one on the wrong side would end at once and is left out."""
    row = good(entry_price=100, stop_loss=95, take_profit=0, holding_trading_days=5)
    assert plan_arguments(row) == {
        "holding_period_s": None, "stop_loss_price": 95.0, "take_profit_price": None,
        "holding_trading_days": 5, "calendar": "",
    }  # fmt: skip
    cells: dict[str, Cell] = {"entry_price": 100, "stop_loss": 95, "side": "short"}
    short = good(**cells)
    assert short.stop_loss_price is None
    doubts = row_doubts(short, cells, column_mapping(cells, {}))
    assert doubts == ("stop_loss_price lies on the wrong side of the entry price: left out",)
    assert plan_arguments(good()) is None


def test_a_decision_tells_spread_and_verdicts() -> None:
    """What the engine saw at the decision goes with it."""
    row = guarded(guard_a="block", guard_a_value=0.05, guard_a_limit=0.03, bid=9.9, ask=10.1)
    assert decision_arguments(row)["action"] == "BLOCKED"
    assert (snapshot_arguments(row) or {})["ask"] == 10.1
    assert verdict_arguments(row) == [
        {
            "guard": "a", "result": "BLOCK", "observed_value": 0.05, "limit": 0.03,
            "memory": "STATELESS", "rule": None,
        }
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no decision"):
        decision_arguments(good())


@pytest.mark.parametrize("cell", ["maybe", "buy"])
def test_other_decisions_are_refused(cell: Cell) -> None:
    """Only words that mean approved, blocked, hold or ignored."""
    made = read(symbol="A", entry_time="2024-01-01", decision=cell)
    assert isinstance(made, list)
    assert "none of approved" in str(made[0])
