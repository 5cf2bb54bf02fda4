"""Rows of someone's trade file as trades, and the plain arguments of the events that record them.

A signal's arguments hold only what was known at the entry, so that importing the same trade first
while it is open and later when it is closed adds its outcome and changes nothing.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from trimtab_server.domain.trade_columns import BY_NAME, Cell, is_empty

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
    """A trade as read. Times UTC ns; fractions as fractions; None = not told.

    key: its identity, the trade id or "row-" and a digest of its content. exit_time_ns None = it is
    open. return_fraction: as told, or from pnl or prices; a closed trade has it, or `won`.
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

    @property
    def is_open(self) -> bool:
        """Whether it has no exit yet."""
        return self.exit_time_ns is None


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
) -> TradeRow | list[Problem]:
    """The row as a trade, or everything that is wrong with it.

    mapping: our name -> their column (`column_mapping`). confidence_percent: confidence is given in
    per cent.
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
    faulty = {problem.column for problem in problems}
    problems += [
        Problem(line, "", f"no {name} ({BY_NAME[name].meaning})")
        for name in ("symbol", "entry_time")
        if name not in values and mapping.get(name) not in faulty
    ]
    if problems:
        return problems
    built = _built(values, line, content_digest(row))
    return _checked(built) or built


def _built(values: Mapping[str, object], line: int, digest: str) -> TradeRow:
    get = values.get
    key = str(get("trade_id") or f"row-{digest}")
    side = str(get("side") or get("is_short") or "BUY")
    count = get("agreeing_model_count")
    return TradeRow(
        line=line,
        key=key,
        signal_id=str(get("signal_id") or key),
        symbol=str(values["symbol"]),
        strategy=str(get("strategy") or ""),
        side=side,
        entry_time_ns=_int(values["entry_time"]),
        exit_time_ns=None if get("exit_time") is None else _int(values["exit_time"]),
        entry_price=_float(get("entry_price")),
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
    )


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
    return tuple(doubts)


def _disagree(one: float, other: float) -> bool:
    """Opposite signs beyond 0.5 %, or a factor above 20 (more than leverage explains)."""
    small, large = sorted((abs(one), abs(other)))
    return (one * other < 0 and small > 0.005) or (large > 0.02 and large > 20 * small)


def _checked(row: TradeRow) -> list[Problem]:
    found = []
    if row.exit_time_ns is not None and row.exit_time_ns < row.entry_time_ns:
        found.append(Problem(row.line, "exit_time", "lies before the entry"))
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


def signal_arguments(row: TradeRow) -> dict[str, object]:
    """Arguments of the client's `signal`, from what was known at the entry only."""
    arguments: dict[str, object] = {
        "side": row.side,
        "intent": "ENTRY",
        "confidence": row.confidence,
        "calibrated": row.calibrated,
        "strength": row.strength,
        "regime": row.regime,
        "agreeing_model_count": row.agreeing_model_count,
        "volatility": row.volatility,
        "reference_price": row.entry_price,
        "applied_threshold": row.applied_threshold,
        "currency": row.currency,
    }
    return arguments | _envelope(row, row.entry_time_ns)


def outcome_arguments(row: TradeRow) -> dict[str, object]:
    """Arguments of the client's `outcome` of a closed trade. Raises ValueError for an open one."""
    if row.exit_time_ns is None:
        raise ValueError("an open trade has no outcome")
    arguments: dict[str, object] = {
        "status": "MATURED",
        "side": row.side,
        "return_fraction": row.return_fraction,
        "won": row.won,
        "pnl": row.pnl,
        "fees": row.fees,
        "quantity": row.quantity,
        "entry_price": row.entry_price,
        "exit_price": row.exit_price,
        "exit_reason": row.exit_reason or 0,
        "holding_time_s": (row.exit_time_ns - row.entry_time_ns) / 1e9,
        "confidence_used": row.confidence,
        "calibrated": row.calibrated,
        "applied_threshold": row.applied_threshold,
        "currency": row.currency,
    }
    return arguments | _envelope(row, row.exit_time_ns)


def execution_arguments(row: TradeRow) -> list[tuple[str, dict[str, object]]]:
    """("entry" or "exit", arguments of the client's `execution`), where price and quantity are."""
    result: list[tuple[str, dict[str, object]]] = []
    if row.quantity is None:
        return result
    other = "SELL" if row.side == "BUY" else "BUY"
    for role, price, time, side in (
        ("entry", row.entry_price, row.entry_time_ns, row.side),
        ("exit", row.exit_price, row.exit_time_ns, other),
    ):
        if price is not None and time is not None:
            fill: dict[str, object] = {
                "side": side,
                "quantity": row.quantity,
                "price": price,
                "intent": "ENTRY" if role == "entry" else "EXIT",
                "currency": row.currency,
            }
            result.append((role, fill | _envelope(row, time)))
    return result


def _envelope(row: TradeRow, time_ns: int) -> dict[str, object]:
    return {
        "signal_id": row.signal_id,
        "symbol": row.symbol,
        "strategy": row.strategy,
        "model_name": row.model_name,
        "model_version": row.model_version,
        "position_id": row.key,
        "event_time_ns": time_ns,
    }
