"""Which column of someone's trade file means what, and the reading of single cells.

One table, `COLUMNS`: our name, what it means, and the names that other engines use (freqtrade,
backtesting.py, MetaTrader and broker exports, clm_trades.jsonl). Matching ignores case, spaces and
dashes. Cells are text, numbers, booleans or None; every reader raises ValueError with a reason
that makes sense to whoever wrote the file.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

Cell = str | int | float | bool | datetime | date | None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_NS = 0
_END_NS = 7_258_118_400_000_000_000  # 2200-01-01
EMPTY_WORDS = frozenset({"", "nan", "nat", "none", "null", "n/a", "na", "-"})


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is understood: our name, its meaning, and other names for it."""

    name: str
    meaning: str
    aliases: tuple[str, ...]
    read: Callable[[Cell], object]


def is_empty(cell: Cell) -> bool:
    """Whether a cell says nothing."""
    if cell is None:
        return True
    if isinstance(cell, float):
        return math.isnan(cell)
    return isinstance(cell, str) and cell.strip().lower() in EMPTY_WORDS


def text(cell: Cell) -> str:
    """The cell as text without surrounding space."""
    return str(cell).strip()


def number(cell: Cell) -> float:
    """The cell as a finite number; a thousands separator "," is accepted, a decimal comma not."""
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str)):
        raise ValueError(f"{cell!r} is not a number")  # noqa: TRY004 - of a file, not of a program
    plain = cell.strip().replace("_", "") if isinstance(cell, str) else cell
    if isinstance(plain, str):
        head, *groups = plain.split(".")[0].split(",")
        if groups and (not head.lstrip("+-").isdigit() or any(len(g) != 3 for g in groups)):
            raise ValueError(f"{cell!r} is not a number (a decimal comma? use a point)")
        plain = plain.replace(",", "")
    try:
        value = float(plain)
    except ValueError:
        raise ValueError(f"{cell!r} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{cell!r} is not finite")
    return value


def positive(cell: Cell) -> float:
    """A number above zero."""
    value = number(cell)
    if value <= 0:
        raise ValueError(f"{cell!r} is not above zero")
    return value


def magnitude(cell: Cell) -> float:
    """The size of a number, whatever its sign: fees and quantities are written either way."""
    return abs(number(cell))


def fraction(cell: Cell) -> float:
    """A number from 0 to 1."""
    value = number(cell)
    if not 0 <= value <= 1:
        hint = " (per cent? see --confidence-scale)" if 1 < value <= 100 else ""
        raise ValueError(f"{cell!r} is not between 0 and 1{hint}")
    return value


def percent(cell: Cell) -> float:
    """Per cent as a fraction; a trailing "%" is accepted."""
    return number(cell.strip().removesuffix("%") if isinstance(cell, str) else cell) / 100


def flag(cell: Cell) -> bool:
    """A yes or no: true/false, yes/no, 1/0, win/loss."""
    word = text(cell).lower()
    if word in {"true", "yes", "y", "1", "1.0", "win", "won", "w", "profit"}:
        return True
    if word in {"false", "no", "n", "0", "0.0", "loss", "lost", "lose", "l"}:
        return False
    raise ValueError(f"{cell!r} is neither yes nor no")


def side(cell: Cell) -> str:
    """BUY or SELL, from buy/sell, long/short, b/s, 1/-1."""
    word = text(cell).lower()
    if word in {"buy", "long", "b", "1", "1.0", "+1", "bull", "side_buy"}:
        return "BUY"
    if word in {"sell", "short", "s", "-1", "-1.0", "bear", "side_sell"}:
        return "SELL"
    raise ValueError(f"{cell!r} is neither buy nor sell")


def short_flag(cell: Cell) -> str:
    """SELL when the cell says yes (a column such as is_short), else BUY."""
    return "SELL" if flag(cell) else "BUY"


def time_ns(cell: Cell) -> int:
    """UTC nanoseconds of ISO 8601 text, a date, or a number since 1970.

    Without a time zone it is UTC. A number's unit follows from its size: seconds below 1e11,
    milliseconds below 1e14, microseconds below 1e17, else nanoseconds. Raises ValueError outside
    1970 to 2200.
    """
    if isinstance(cell, datetime):
        value = _datetime_ns(cell)
    elif isinstance(cell, date):
        value = _datetime_ns(datetime(cell.year, cell.month, cell.day, tzinfo=UTC))
    elif isinstance(cell, bool):
        raise ValueError(f"{cell!r} is not a time")  # noqa: TRY004 - of a file, not of a program
    elif isinstance(cell, (int, float)):
        value = _number_ns(cell)
    else:
        word = text(cell)
        value = _number_ns(_plain_number(word)) if _is_number(word) else _text_ns(word)
    if not _FIRST_NS <= value < _END_NS:
        raise ValueError(f"{cell!r} is not between 1970 and 2200")
    return value


def _is_number(word: str) -> bool:
    return word.replace(".", "", 1).isdigit() and len(word) >= 9


def _plain_number(word: str) -> int | float:
    return float(word) if "." in word else int(word)


def _number_ns(value: float) -> int:
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not a time")
    for below, scale in ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3)):
        if abs(value) < below:
            return int(value) * scale + round((value - int(value)) * scale)
    return int(value)


def _text_ns(word: str) -> int:
    try:
        moment = datetime.fromisoformat(word.removesuffix(" UTC"))
    except ValueError:
        raise ValueError(f"{word!r} is not a time (ISO 8601, or a number since 1970)") from None
    return _datetime_ns(moment) + _beyond_microseconds(word)


def _beyond_microseconds(word: str) -> int:
    """Nanoseconds below the microsecond, which datetime drops."""
    digits = ""
    if "." in word:
        for character in word.split(".", 1)[1]:
            if not character.isdigit():
                break
            digits += character
    return int(digits[6:9].ljust(3, "0")) if len(digits) > 6 else 0


def _datetime_ns(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1) * 1000


def level(cell: Cell) -> float | None:
    """A price at which to leave; None for 0, which many engines write for "none"."""
    value = number(cell)
    if value < 0:
        raise ValueError(f"{cell!r} is below zero: a price is wanted")
    return value or None


def duration_s(cell: Cell) -> float:
    """Seconds of a length of time with its unit: 90s, 30min, 4h, 10d, 2w. Above zero."""
    word = text(cell).lower().replace(" ", "")
    found = re.fullmatch(r"([0-9.]+)(s|sec|min|m|h|d|days?|w)", word)
    if found is None:
        raise ValueError(f"{cell!r} is no length of time with its unit, such as 30min, 4h, 10d")
    size = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}[found[2][0]]
    return size * positive(found[1])


def days_count(cell: Cell) -> int:
    """A whole number of days, above zero."""
    value = positive(cell)
    if value != round(value):
        raise ValueError(f"{cell!r} is not a whole number")
    return round(value)


def decision_word(cell: Cell) -> str:
    """APPROVED, BLOCKED, HOLD or IGNORED, from the words that engines use."""
    word = text(cell).lower().removeprefix("decision_action_")
    known = {
        "APPROVED": ("approved", "approve", "accepted", "accept", "allowed", "allow", "taken",
                     "traded", "executed", "entered", "pass", "passed"),
        "BLOCKED": ("blocked", "block", "rejected", "reject", "denied", "deny", "refused",
                    "vetoed", "veto", "filtered"),
        "HOLD": ("hold", "held", "wait"),
        "IGNORED": ("ignored", "ignore", "skipped", "skip"),
    }  # fmt: skip
    for name, words in known.items():
        if word in words:
            return name
    raise ValueError(f"{cell!r} is none of approved, blocked, hold and ignored")


def exit_reason(cell: Cell) -> str:
    """The contract's word for why a trade ended; "" for words that it does not know."""
    word = text(cell).lower().replace(" ", "_").replace("-", "_").removeprefix("exit_reason_")
    known = {
        "STOP_LOSS": ("stop_loss", "stoploss", "sl", "stop", "stop_loss_on_exchange"),
        "TAKE_PROFIT": ("take_profit", "takeprofit", "tp", "roi", "target", "profit_target"),
        "TIME": ("time", "timeout", "time_stop", "expired", "max_hold"),
        "SIGNAL": ("signal", "exit_signal", "sell_signal", "reverse"),
        "MANUAL": ("manual", "force_exit", "forced", "user"),
        "LIQUIDATION": ("liquidation", "liquidated"),
        "TRAILING_STOP": ("trailing_stop", "trailing_stop_loss", "trailing"),
        "END_OF_DATA": ("end_of_data", "end_of_backtest"),
    }
    return next((name for name, words in known.items() if word in words), "")


COLUMNS: tuple[Column, ...] = (
    Column("trade_id", "identity of the trade; without it the row's content is",
           ("id", "trade", "ticket", "deal", "trade_number", "trade_no", "uuid"), text),
    Column("signal_id", "the signal that it came from; default: the trade's identity",
           ("signal",), text),
    Column("symbol", "the instrument (required)",
           ("pair", "ticker", "instrument", "asset", "market", "sym"), text),
    Column("strategy", "the strategy",
           ("strategy_name", "system", "strat", "algo", "enter_tag"), text),
    Column("decision", "approved, blocked, hold or ignored; default: approved, or blocked where a "
           "guard blocked it and nothing was traded",
           ("decision_action", "signal_action", "signal_status", "disposition"), decision_word),
    Column("side", "buy/sell, long/short, 1/-1; default: buy",
           ("direction", "position_side", "type", "action", "trade_side"), side),
    Column("is_short", "yes = a short trade (instead of side)", ("short",), short_flag),
    Column("signal_time", "when it was proposed; default: when it was entered",
           ("decision_time", "proposed_at", "signal_timestamp", "signal_date", "signal_ts"),
           time_ns),
    Column("entry_time", "when it was entered (required, unless signal_time is told)",
           ("open_date", "open_time", "entry_date", "entry_ts", "entry_timestamp", "opened_at",
            "open_timestamp", "timestamp", "time", "date", "datetime", "entrytime", "created_at",
            "entry_time_ns"), time_ns),
    Column("exit_time", "when it ended; without it the trade is open: only its signal is stored",
           ("close_date", "close_time", "exit_date", "exit_ts", "exit_timestamp", "closed_at",
            "close_timestamp", "exittime", "exit_time_ns"), time_ns),
    Column("entry_price", "price paid, above 0",
           ("open_rate", "open_price", "entry", "avg_entry_price", "entryprice", "price_open"),
           positive),
    Column("exit_price", "price received, above 0",
           ("close_rate", "close_price", "exit", "avg_exit_price", "exitprice", "price_close"),
           positive),
    Column("quantity", "units",
           ("qty", "amount", "size", "shares", "contracts", "volume", "lots"), magnitude),
    Column("return_fraction", "return after costs, 0.01 = 1 %",
           ("return", "ret", "profit_ratio", "pnl_ratio", "returnpct", "roi", "realized_return"),
           number),
    Column("return_pct", "return after costs in per cent (instead of return_fraction)",
           ("pnl_pct", "profit_pct", "return_percent", "pnl_percent", "profit_percent"), percent),
    Column("pnl", "profit after costs, in `currency`",
           ("profit", "profit_abs", "net_pnl", "realized_pnl", "net_profit"), number),
    Column("fees", "fees over its life, in `currency`",
           ("fee", "commission", "commissions", "costs"), magnitude),
    Column("confidence", "what was claimed as the probability of a win, 0 to 1",
           ("probability", "prob", "proba", "conf", "score", "predicted_confidence",
            "model_confidence", "signal_confidence", "predicted_probability", "confidence_used"),
           fraction),
    Column("calibrated", "yes = the confidence was calibrated already", ("is_calibrated",), flag),
    Column("won", "win or loss; default: return above zero",
           ("win", "is_win", "outcome", "result", "success", "actual_outcome"), flag),
    Column("exit_reason", "why it ended",
           ("exit_type", "sell_reason", "close_reason"), exit_reason),
    Column("currency", "of pnl and fees", ("stake_currency", "quote_currency", "ccy"), text),
    Column("model_name", "the model behind it", ("model",), text),
    Column("model_version", "its version", (), text),
    Column("applied_threshold", "threshold in force, 0 to 1", ("threshold",), fraction),
    Column("agreeing_model_count", "how many models agreed",
           ("num_agreeing_models", "agreeing_models"), magnitude),
    Column("volatility", "volatility seen, per bar, as a fraction",
           ("market_volatility", "vol"), magnitude),
    Column("expected_return", "return that was expected, as a fraction",
           ("expected_roi", "predicted_return"), number),
    Column("position_fraction", "size granted, as a fraction of equity",
           ("equity_fraction", "size_fraction"), magnitude),
    Column("holding_period", "planned time in the position with its unit: 30min, 4h, 10d",
           ("max_hold", "max_holding_period", "planned_holding_period"), duration_s),
    Column("holding_period_s", "the same in seconds", ("holding_seconds", "max_hold_s"), positive),
    Column("holding_hours", "the same in hours", ("max_hold_hours",), positive),
    Column("holding_days", "the same in days of 24 hours", ("max_hold_days",), positive),
    Column("holding_trading_days", "the same in trading days of `calendar`", (), days_count),
    Column("calendar", "of holding_trading_days, for example XNYS", ("trading_calendar",), text),
    Column("stop_loss_price", "planned stop, a price",
           ("stop_loss", "stoploss", "stop_price", "sl", "initial_stop_loss_abs"), level),
    Column("take_profit_price", "planned target, a price",
           ("take_profit", "takeprofit", "target_price", "tp"), level),
    Column("spread_bps", "spread at the decision, in basis points of the mid price",
           ("spread_bp",), magnitude),
    Column("bid", "best bid at the decision", ("best_bid", "bid_price"), positive),
    Column("ask", "best ask at the decision", ("best_ask", "ask_price"), positive),
    Column("strength", "the generator's own strength", ("signal_strength",), number),
    Column("regime", "regime label at the signal", ("market_regime", "regime_context"), text),
)  # fmt: skip
BY_NAME: dict[str, Column] = {column.name: column for column in COLUMNS}


def plain_name(name: str) -> str:
    """A column's name as it is matched: lower case, words joined by underscores."""
    return name.strip().lstrip("\ufeff").lower().replace(" ", "_").replace("-", "_")


def column_mapping(header: Iterable[str], given: Mapping[str, str]) -> dict[str, str]:
    """Our name -> their column, for the columns that are understood.

    given: ours -> theirs as the caller says; it wins over every guess. Of two columns that mean the
    same, our own name wins, then the earlier alias. Raises ValueError when `given` names something
    that we or the file do not have.
    """
    theirs = {plain_name(name): name for name in header}
    result = {}
    for ours, wanted in given.items():
        if ours not in BY_NAME:
            raise ValueError(f"--map {ours}=...: unknown; there are {', '.join(BY_NAME)}")
        if plain_name(wanted) not in theirs:
            raise ValueError(f"--map {ours}={wanted}: the file has no column {wanted!r}")
        result[ours] = theirs[plain_name(wanted)]
    taken = set(result.values())
    for column in COLUMNS:
        if column.name in result:
            continue
        for name in (column.name, *column.aliases):
            if name in theirs and theirs[name] not in taken:
                result[column.name] = theirs[name]
                taken.add(theirs[name])
                break
    return result
