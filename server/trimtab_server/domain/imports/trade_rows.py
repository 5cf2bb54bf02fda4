"""Rows of someone's trade file as trades, or as signals that were not traded.

A row is a signal that was blocked, held or ignored when its decision says so, or when a guard
blocked it and nothing tells of a trade.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from trimtab_server.domain.imports.guard_columns import (
    BLOCK,
    NOT_EVALUATED,
    GuardCell,
    GuardColumns,
    guard_cells,
    rule_doubts,
    rule_problems,
)
from trimtab_server.domain.imports.trade_columns import BY_NAME, Cell, is_empty

NAME_CHARS_MAX = 64
ID_CHARS_MAX = 128


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row (or one cell of it) cannot be taken. line: as an editor counts, 0 = the file."""

    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line else "file"
        return (
            f"{where}: {self.column}: {self.reason}" if self.column else f"{where}: {self.reason}"
        )


@dataclass(frozen=True, slots=True)
class TradeRow:
    """A trade as read, or a signal that was not traded. Times UTC ns; None = not told.

    key: its identity, the trade id or "row-" and a digest of its content. exit_time_ns None = it is
    open. return_fraction: as told, or from pnl or prices; a closed trade has it, or `won`.
    decision: APPROVED, BLOCKED, HOLD, IGNORED, "" = none is told. entry_price of what was not
    traded is the price at its signal. holding_s, holding_days, stop and target: as planned.
    """

    line: int
    key: str
    signal_id: str
    symbol: str
    strategy: str
    side: str
    entry_time_ns: int
    exit_time_ns: int | None
    entry_price: float | None
    exit_price: float | None
    quantity: float | None
    return_fraction: float | None
    pnl: float | None
    fees: float | None
    confidence: float | None
    calibrated: bool
    won: bool | None
    exit_reason: str
    currency: str
    model_name: str
    model_version: str
    applied_threshold: float | None
    agreeing_model_count: int | None
    volatility: float | None
    strength: float | None
    regime: str
    signal_time_ns: int
    decision: str = ""
    guards: tuple[GuardCell, ...] = ()
    expected_return: float | None = None
    position_fraction: float | None = None
    holding_s: float | None = None
    holding_days: int | None = None
    calendar: str = ""
    stop_loss_price: float | None = None
    take_profit_price: float | None = None
    spread_bps: float | None = None
    bid: float | None = None
    ask: float | None = None

    @property
    def is_traded(self) -> bool:
        """Whether it was entered, as far as the row tells."""
        return self.decision in {"", "APPROVED"}

    @property
    def is_open(self) -> bool:
        """Whether it was entered and has no exit yet."""
        return self.is_traded and self.exit_time_ns is None

    @property
    def has_plan(self) -> bool:
        """Whether it tells how it is meant to end."""
        told = (self.holding_s, self.holding_days, self.stop_loss_price, self.take_profit_price)
        return any(one is not None for one in told)


def content_digest(row: Mapping[str, Cell]) -> str:
    """32 hexadecimal digits of a row's content, the same whatever the order of its columns."""
    plain = {
        name: cell.isoformat() if isinstance(cell, (date, datetime)) else str(cell)
        for name, cell in row.items()
        if not is_empty(cell)
    }
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:32]


def trade_row(
    row: Mapping[str, Cell],
    mapping: Mapping[str, str],
    line: int,
    *,
    confidence_percent: bool = False,
    guards: Sequence[GuardColumns] = (),
    true_blocks: bool = False,
    holding_s: float | None = None,
) -> TradeRow | list[Problem]:
    """The row as a trade, or everything that is wrong with it.

    mapping: our name -> their column (`column_mapping`). confidence_percent: confidence is given in
    per cent. guards, true_blocks: as for `guard_cells`. holding_s: the planned holding period of
    rows that tell none.
    """
    values: dict[str, object] = {}
    problems: list[Problem] = []
    for ours, theirs in mapping.items():
        cell = row.get(theirs)
        if is_empty(cell):
            continue
        reader = BY_NAME["return_pct" if ours == "confidence" and confidence_percent else ours].read
        try:
            values[ours] = reader(cell)
        except ValueError as error:
            problems.append(Problem(line, theirs, str(error)))
    cells, wrong = guard_cells(row, guards, true_blocks=true_blocks)
    problems += [Problem(line, column, reason) for column, reason in wrong]
    faulty = {problem.column for problem in problems}
    values.setdefault("entry_time", values.get("signal_time"))
    problems += [
        Problem(line, "", f"no {name} ({BY_NAME[name].meaning})")
        for name in ("symbol", "entry_time")
        if values.get(name) is None and mapping.get(name) not in faulty
    ]
    if problems:
        return problems
    values["holding_s"] = _holding_s(values, holding_s)
    built = _built(values, cells, line, content_digest(row))
    is_blocked = built.decision == "BLOCKED"
    lacking = rule_problems(cells, guards, is_blocked=is_blocked)
    return [*_checked(built), *(Problem(line, *one) for one in lacking)] or built


def _holding_s(values: Mapping[str, object], default: float | None) -> float | None:
    for name, size in (
        ("holding_period", 1),
        ("holding_period_s", 1),
        ("holding_hours", 3_600),
        ("holding_days", 86_400),
    ):
        told = _float(values.get(name))
        if told is not None:
            return told * size
    return None if "holding_trading_days" in values else default


_RESULTS = ("exit_time", "exit_price", "return_fraction", "return_pct", "pnl", "won")


def _decision(values: Mapping[str, object], guards: Sequence[GuardCell]) -> str:
    """As told; else what the guards say, or a spread that only a decision can hold."""
    told = values.get("decision")
    if told:
        return str(told)
    if any(cell.result == BLOCK for cell in guards) and not any(
        name in values for name in _RESULTS
    ):
        return "BLOCKED"
    evaluated = any(cell.result != NOT_EVALUATED for cell in guards)
    return "APPROVED" if evaluated or {"spread_bps", "bid", "ask"} & values.keys() else ""


def _built(
    values: Mapping[str, object], guards: tuple[GuardCell, ...], line: int, digest: str
) -> TradeRow:
    decision = _decision(values, guards)
    if decision not in {"", "APPROVED"}:
        # What was not traded has no result; what a file tells of one is somebody's simulation.
        dropped = {*_RESULTS, "fees", "exit_reason"}
        values = {name: value for name, value in values.items() if name not in dropped}
    get = values.get
    key = str(get("trade_id") or f"row-{digest}")
    side = str(get("side") or get("is_short") or "BUY")
    count, days = get("agreeing_model_count"), get("holding_trading_days")
    price = _float(get("entry_price"))
    entry_time_ns = _int(values["entry_time"])
    signal_time_ns = entry_time_ns if get("signal_time") is None else _int(values["signal_time"])
    return TradeRow(
        line=line,
        key=key,
        signal_id=str(get("signal_id") or key),
        symbol=str(values["symbol"]),
        strategy=str(get("strategy") or ""),
        side=side,
        entry_time_ns=entry_time_ns,
        exit_time_ns=None if get("exit_time") is None else _int(values["exit_time"]),
        entry_price=price,
        exit_price=_float(get("exit_price")),
        quantity=_float(get("quantity")) or None,
        return_fraction=_return(values, side),
        pnl=_float(get("pnl")),
        fees=_float(get("fees")),
        confidence=_float(get("confidence")),
        calibrated=bool(get("calibrated")),
        won=None if get("won") is None else bool(get("won")),
        exit_reason=str(get("exit_reason") or ""),
        currency=str(get("currency") or ""),
        model_name=str(get("model_name") or ""),
        model_version=str(get("model_version") or ""),
        applied_threshold=_float(get("applied_threshold")),
        agreeing_model_count=None if count is None else round(_float(count) or 0),
        volatility=_float(get("volatility")),
        strength=_float(get("strength")),
        regime=str(get("regime") or ""),
        signal_time_ns=signal_time_ns,
        decision=decision,
        guards=guards,
        expected_return=_float(get("expected_return")),
        position_fraction=_float(get("position_fraction")),
        holding_s=_float(get("holding_s")),
        holding_days=days if isinstance(days, int) else None,
        calendar=str(get("calendar") or "") if days else "",
        stop_loss_price=_on_side(get("stop_loss_price"), price, side, below="BUY"),
        take_profit_price=_on_side(get("take_profit_price"), price, side, below="SELL"),
        spread_bps=_float(get("spread_bps")),
        bid=_float(get("bid")),
        ask=_float(get("ask")),
    )


def _on_side(level: object, price: float | None, side: str, *, below: str) -> float | None:
    """A stop or target, None when it lies on the wrong side of the price: it would end at once."""
    value = _float(level)
    if value is None or price is None:
        return value
    return value if (value < price) == (side == below) and value != price else None


def _float(value: object) -> float | None:
    return value if isinstance(value, float) else None


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _return(values: Mapping[str, object], side: str) -> float | None:
    """As told; else pnl over entry notional; else from prices less fees, where those are known."""
    for name in ("return_fraction", "return_pct"):
        told = _float(values.get(name))
        if told is not None:
            return told
    entry, leave = _float(values.get("entry_price")), _float(values.get("exit_price"))
    quantity, pnl = _float(values.get("quantity")), _float(values.get("pnl"))
    from_pnl = _pnl_return(pnl, entry, quantity)
    if from_pnl is not None:
        return from_pnl
    gross, fees = _price_return(entry, leave, side), _float(values.get("fees"))
    if gross is None or entry is None or not fees or not quantity:
        return gross
    return gross - fees / (entry * quantity)


def _pnl_return(pnl: float | None, entry: float | None, quantity: float | None) -> float | None:
    return pnl / (entry * quantity) if pnl is not None and entry and quantity else None


def _price_return(entry: float | None, leave: float | None, side: str) -> float | None:
    if entry is None or leave is None:
        return None
    return (leave / entry - 1) * (1 if side == "BUY" else -1)


def row_doubts(
    row: TradeRow, cells: Mapping[str, Cell], mapping: Mapping[str, str]
) -> tuple[str, ...]:
    """What is doubtful about a good row, in words that are the same for every such row.

    cells, mapping: as given to `trade_row`.
    """
    doubts = []
    told = [theirs for ours, theirs in mapping.items() if ours in {"return_fraction", "return_pct"}]
    if told and not row.is_open and all(is_empty(cells.get(theirs)) for theirs in told):
        if row.return_fraction is None:
            doubts.append(f"{told[0]} is no number; only won or lost is known")
        else:
            from_pnl = _pnl_return(row.pnl, row.entry_price, row.quantity)
            used = "prices" if from_pnl is None else "pnl"
            doubts.append(f"{told[0]} is no number; computed from {used} instead")
    if not row.is_open and row.return_fraction is not None:
        others = {
            "pnl": _pnl_return(row.pnl, row.entry_price, row.quantity),
            "prices": _price_return(row.entry_price, row.exit_price, row.side),
        }
        doubts += [
            f"return and {name} disagree grossly (sign, or more than twentyfold)"
            for name, other in others.items()
            if other is not None and _disagree(row.return_fraction, other)
        ]
    return (*doubts, *_guard_doubts(row, cells, mapping))


def _guard_doubts(
    row: TradeRow, cells: Mapping[str, Cell], mapping: Mapping[str, str]
) -> list[str]:
    doubts = [
        f"{name} lies on the wrong side of the entry price: left out"
        for name in ("stop_loss_price", "take_profit_price")
        if getattr(row, name) is None and _is_price(cells.get(mapping.get(name, "")))
    ]
    doubts += rule_doubts(row.guards)
    blocked = [cell.guard for cell in row.guards if cell.result == BLOCK]
    if row.is_traded:
        doubts += [f"traded although guard {guard} blocked it" for guard in blocked]
        return doubts
    told = [mapping[name] for name in _RESULTS if name in mapping]
    if any(not is_empty(cells.get(theirs)) for theirs in told):
        doubts.append("not traded, so its exit and result are not taken: it is followed instead")
    if row.decision == "BLOCKED" and not blocked and row.guards:
        doubts.append("blocked although no guard says so: no guard is credited with it")
    return doubts


def _is_price(cell: Cell) -> bool:
    return not is_empty(cell) and str(cell).strip().strip("0.,") != ""


def _disagree(one: float, other: float) -> bool:
    """Opposite signs beyond 0.5 %, or a factor above 20 (more than leverage explains)."""
    small, large = sorted((abs(one), abs(other)))
    return (one * other < 0 and small > 0.005) or (large > 0.02 and large > 20 * small)


def _checked(row: TradeRow) -> list[Problem]:
    found = []
    if row.exit_time_ns is not None and row.exit_time_ns < row.entry_time_ns:
        found.append(Problem(row.line, "exit_time", "lies before the entry"))
    if row.signal_time_ns > row.entry_time_ns:
        found.append(Problem(row.line, "signal_time", "lies after the entry"))
    if row.confidence is not None and not 0 <= row.confidence <= 1:
        found.append(Problem(row.line, "confidence", f"{row.confidence} is not between 0 and 1"))
    if row.return_fraction is None and row.won is None and row.exit_time_ns is not None:
        reason = "a closed trade needs return_fraction, return_pct, pnl with entry_price and "
        reason += "quantity, entry_price and exit_price, or at least won"
        found.append(Problem(row.line, "", reason))
    for name, most in (
        ("symbol", NAME_CHARS_MAX),
        ("strategy", NAME_CHARS_MAX),
        ("model_name", NAME_CHARS_MAX),
        ("key", ID_CHARS_MAX),
        ("signal_id", ID_CHARS_MAX),
    ):
        value = str(getattr(row, name))
        if len(value) > most or not value.isprintable():
            found.append(Problem(row.line, name, f"more than {most} characters, or unprintable"))
    return found
