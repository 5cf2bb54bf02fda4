"""Settled lives and horizons as results: prices into returns, costs, excursions, volatility."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from trimtab_server.domain.ledger.columns import FloatArray
from trimtab_server.domain.ledger.facts import Lane, MarkoutFact
from trimtab_server.domain.shadow.entry import Missed
from trimtab_server.domain.shadow.fill_model import DAY_NS, Age, FillModel
from trimtab_server.domain.shadow.follow import Closings, Followed
from trimtab_server.domain.shadow.result import (
    CENSORED,
    MAKER,
    MATURED,
    NOT_FILLED,
    ShadowResult,
    shadow_event_id,
)
from trimtab_server.domain.shadow.state import NO_ROW, Waiting

_YEAR_NS = 365 * DAY_NS
_BPS = 1e-4
_NONE: tuple[MarkoutFact, ...] = ()


class Identity(NamedTuple):
    """What a result repeats of its signal. fill_clock_ns: when its first real fill was seen, 0 =
    never."""

    lane: Lane
    signal_id: str
    strategy: str
    symbol: str
    fill_clock_ns: int


@dataclass(frozen=True, slots=True)
class _Money:
    """Shape (k,): fractions of entry notional."""

    gross: FloatArray
    spread: FloatArray
    fee: FloatArray
    carry: FloatArray
    net: FloatArray
    optimistic: FloatArray
    pessimistic: FloatArray


def settled_results(
    closings: Closings,
    these: Followed,
    model: FillModel,
    followed: Mapping[int, tuple[Identity, Any]],
) -> Iterator[tuple[tuple[int, ...], ShadowResult]]:
    """A result for every closing, with what orders them: when it was settled, and by what."""
    of: Any = these.lives[closings.life]
    holding_ns = np.maximum(closings.time_ns - of["entry_ns"], 0)
    money = _money(closings, of, these, model, holding_ns)
    up, down = _excursions(closings, of)
    is_matured = closings.status == MATURED
    is_filled = ~of["is_doubtful"]
    tells = is_matured & is_filled
    factor = of["entry_factor"]
    exit_factor = np.where(is_matured, these.at("factor", closings.row), 1.0)
    columns = (
        *(closings.time_ns, of["key"], closings.status, closings.span),
        *(money.net, money.optimistic, money.pessimistic, money.gross),
        *(money.spread, money.fee, money.carry),
        *(np.where(tells, each, np.nan) for each in (up, down, _volatility(closings, of, these))),
        np.where(is_filled, of["entry_ns"], 0),
        closings.flags | of["flags"] | np.where(is_filled, 0, NOT_FILLED),
        of["side"],
        np.where(is_filled, of["wanted"] * np.nan_to_num(of["filled"], nan=1.0), np.nan),
        np.where(is_filled, of["entry"] / factor, np.nan),
        np.where(tells, closings.price / exit_factor, np.nan),
        np.where(is_filled, closings.reason, 0),
        np.where(is_filled, holding_ns, -1),
        np.where(is_filled, of["filled"], np.nan),
        *(of["action"], of["confidence"], of["is_calibrated"], of["threshold"]),
        *(closings.known_ns, closings.rank),
    )
    version, ages = model.version, _Ages(of, model)
    # The last one, NO_ROW, is the own life.
    spans = [*(_told(age, model) for age in model.spans), (0, 0, "")]
    for at, told in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        time_ns, key, status, span, *numbers, known_ns, rank = told
        who = followed[key][0]
        horizon, markouts = spans[span], _NONE
        # Ages may have ended before the prices did, though the horizon did not.
        if span != NO_ROW and not numbers[11] & NOT_FILLED:
            markouts = ages.of(at, span)
        yield (
            (known_ns, rank, time_ns, key, span),
            ShadowResult._make(
                (
                    who.lane,
                    time_ns,
                    shadow_event_id(who.lane, who.signal_id, time_ns, horizon, version),
                    b"",
                    key,
                    status,
                    *horizon,
                    *numbers[:12],
                    markouts,
                    who.signal_id,
                    who.strategy,
                    who.symbol,
                    *numbers[12:18],
                    0 < who.fill_clock_ns < known_ns,
                    *numbers[18:],
                    known_ns,
                    version,
                )
            ),
        )


def missed_result(
    missed: Missed, model: FillModel, who: Identity
) -> tuple[tuple[int, ...], ShadowResult]:
    """The result of a signal that did not enter: CENSORED, or MATURED with a return of 0 where its
    order was not filled."""
    one: Waiting = missed.waiting
    nothing = float("nan") if missed.is_censored else 0.0
    flags = NOT_FILLED | (MAKER if model.is_passive else 0)
    nan = float("nan")
    return (
        (missed.known_ns, 1, missed.time_ns, one.key, NO_ROW),
        ShadowResult(
            lane=who.lane,
            time_ns=missed.time_ns,
            event_id=shadow_event_id(
                who.lane, who.signal_id, missed.time_ns, (0, 0, ""), model.version
            ),
            corrects_id=b"",
            key=one.key,
            status=CENSORED if missed.is_censored else MATURED,
            age_ns=0,
            trading_days=0,
            calendar="",
            return_fraction=nothing,
            optimistic=nothing,
            pessimistic=nothing,
            gross=nothing,
            spread_cost=nothing,
            fee_cost=nothing,
            carry_cost=nothing,
            mfe=nan,
            mae=nan,
            volatility=nan,
            entry_time_ns=0,
            flags=flags,
            markouts=(),
            signal_id=who.signal_id,
            strategy=who.strategy,
            symbol=who.symbol,
            side=one.side,
            quantity=nan,
            entry_price=nan,
            exit_price=nan,
            exit_reason=0,
            holding_ns=-1,
            traded=0 < who.fill_clock_ns < missed.known_ns,
            filled_fraction=nan,
            action=one.action,
            confidence=one.confidence,
            is_calibrated=one.is_calibrated,
            threshold=one.threshold,
            known_ns=missed.known_ns,
            fill_model=model.version,
        ),
    )


def _money(
    closings: Closings, of: Any, these: Followed, model: FillModel, holding_ns: Any
) -> _Money:
    """Returns and costs. Gross compares mid prices; a half of the spread is paid at either end. An
    order that may not have been filled returns 0, and its life bounds that."""
    side, ratio = of["side"], closings.price / of["entry"]
    quoted = these.at("spread", closings.row)
    half_out = np.where(np.isnan(quoted), of["spread"], quoted) * (_BPS / 2)
    out_cost = half_out + model.taker_fee_bps * _BPS
    gross = side * (ratio - 1)
    spread = of["entry_spread"] * (_BPS / 2) + half_out * ratio
    fee = of["entry_fee"] * _BPS + model.taker_fee_bps * _BPS * ratio
    borrow = np.where(side < 0, model.borrow_bps_per_year * _BPS, 0.0) * (holding_ns / _YEAR_NS)
    funding = model.funding_bps_per_day * _BPS * (holding_ns / DAY_NS)
    # A row tells what was paid before it: its price is one without those dividends.
    paid = np.where(of["is_adjusted"], 0.0, these.at("paid", closings.row) - of["paid"])
    carry = borrow + funding - side * paid / of["entry"]
    carry = np.where(np.isnan(closings.price), np.nan, carry)
    spread, fee = (np.where(np.isnan(closings.price), np.nan, each) for each in (spread, fee))
    net = gross - spread - fee - carry
    bounds = [each / of["entry"] - ratio for each in (closings.optimistic, closings.pessimistic)]
    optimistic, pessimistic = (
        np.where(moved == 0, net, net + (side - out_cost) * moved) for moved in bounds
    )
    doubtful, nothing = of["is_doubtful"] & (closings.status == MATURED), np.zeros(ratio.size)
    return _Money(
        gross=np.where(doubtful, nothing, gross),
        spread=np.where(doubtful, nothing, spread),
        fee=np.where(doubtful, nothing, fee),
        carry=np.where(doubtful, nothing, carry),
        net=np.where(doubtful, nothing, net),
        optimistic=np.where(doubtful, np.maximum(optimistic, 0.0), optimistic),
        pessimistic=np.where(doubtful, np.minimum(pessimistic, 0.0), pessimistic),
    )


def _excursions(closings: Closings, of: Any) -> tuple[FloatArray, FloatArray]:
    """Largest move for and against the position, fractions of the entry price. The bar in which it
    left before the close counts with its exit price only: of the rest nobody knows the order."""
    price = np.where(np.isnan(closings.price), of["entry"], closings.price)
    rise = np.maximum(np.maximum(closings.highest, price) / of["entry"] - 1, 0.0)
    fall = np.maximum(1 - np.minimum(closings.lowest, price) / of["entry"], 0.0)
    is_long = of["side"] > 0
    return np.where(is_long, rise, fall), np.where(is_long, fall, rise)


def _volatility(closings: Closings, of: Any, these: Followed) -> FloatArray:
    """Standard deviation (ddof 1) of the log returns between the closes that were lived to, from
    that of the bar of entry on; NaN with fewer than three closes."""
    row = closings.row - ~closings.to_close
    number = row + these.shift[closings.life] - of["entry_row"]
    total = these.at("logs", row) - of["logs"]
    square = these.at("squares", row) - of["squares"]
    enough = number >= 2
    count = np.where(enough, number, 2)
    variance = np.maximum(square - total * total / count, 0.0) / (count - 1)
    return np.where(enough, np.sqrt(variance), np.nan)


class _Ages:
    """The markouts of lives that something is told of, shape (k,)."""

    def __init__(self, of: Any, model: FillModel) -> None:
        number, count = of["age_row"], model.wall_count
        # An age without a new price since the one before of its kind tells nothing.
        before = np.empty_like(number)
        before[:, 1:] = number[:, :-1]
        before[:, :1] = before[:, count : count + 1] = of["first_row"][:, None] - 1
        is_new = (number >= of["first_row"][:, None]) & (number > before)
        self._returns = np.where(is_new, of["age_return"], np.nan).tolist()
        self._covered: list[list[tuple[int, tuple[int, int, str]]]] = [[] for _ in model.spans]
        for at, (age, span) in enumerate(zip(model.ages, model.age_horizon, strict=True)):
            self._covered[span].append((at, _told(age, model)))

    def of(self, position: int, span: int) -> tuple[MarkoutFact, ...]:
        """Those that a horizon covers."""
        returns = self._returns[position]
        return tuple(
            [
                MarkoutFact._make((*age, returns[at]))
                for at, age in self._covered[span]
                if returns[at] == returns[at]
            ]
        )


def _told(age: Age, model: FillModel) -> tuple[int, int, str]:
    """As a MarkoutFact or a ShadowFact begins to tell it."""
    return age.age_ns, age.trading_days, model.calendar if age.trading_days else ""
