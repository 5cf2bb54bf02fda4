"""The shadow once more, slow and obvious: one signal at a time, one bar at a time, plain Python.

Takers on bars; splits, dividends, decisions that come late or never. What it finds is compared
with what the book finds; nothing of the book is used here but calendars and the model's numbers.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isnan, log, nan

from trimtab_server.domain.ledger.facts import (
    ActionFact,
    BarFact,
    DecisionFact,
    Fact,
    SignalFact,
)
from trimtab_server.domain.shadow.fill_model import Age, FillModel

DAY_NS = 86_400 * 10**9


@dataclass
class Bar:
    """A bar in the units of the first one. coarse: its range is not known."""

    start_ns: int
    time_ns: int
    interval_ns: int
    open: float
    high: float
    low: float
    close: float
    coarse: bool
    spread: float
    volume: float
    factor: float
    place: int


@dataclass
class Found:
    """One result. span None = the own life."""

    span: Age | None
    status: int
    numbers: dict[str, float] = field(default_factory=dict)
    markouts: dict[Age, float] = field(default_factory=dict)


def followed(facts: Sequence[Fact], signal: SignalFact, model: FillModel) -> list[Found]:
    """What is known of the signal after all facts."""
    return _Follower(facts, signal, model).results()


class _Follower:
    def __init__(self, facts: Sequence[Fact], signal: SignalFact, model: FillModel) -> None:
        self.signal, self.model = signal, model
        self.clock_ns = max(fact.time_ns for fact in facts)
        self.here = next(place for place, fact in enumerate(facts) if fact is signal)
        self.cash: list[tuple[int, float]] = []
        self.bars: list[Bar] = []
        self.decision: DecisionFact | None = None
        self.signal_factor = 1.0
        self.known_spread = nan
        self._read(facts)

    def _read(self, facts: Sequence[Fact]) -> None:
        factor, spread = 1.0, nan
        for place, fact in enumerate(facts):
            if place == self.here:
                self.signal_factor, self.known_spread = factor, spread
            if isinstance(fact, DecisionFact) and fact.key == self.signal.key:
                if fact.time_ns - self.signal.time_ns <= self.model.decision_wait_s * 1e9:
                    self.decision = fact
                    self.known_spread = fact.spread_bps if fact.spread_bps >= 0 else spread
            elif isinstance(fact, ActionFact) and fact.symbol == self.signal.symbol:
                if fact.action == 1:
                    factor *= fact.ratio
                else:
                    self.cash.append((place, fact.cash_amount * factor))
            elif isinstance(fact, BarFact) and fact.symbol == self.signal.symbol:
                self.bars.append(_bar(fact, factor, place))
                spread = fact.spread_bps if fact.spread_bps >= 0 else spread

    def results(self) -> list[Found]:
        model, signal = self.model, self.signal
        wait_ns = int(model.decision_wait_s * 1e9)
        if self.decision is None and self.clock_ns <= signal.time_ns + wait_ns:
            return []
        decided_ns = self.decision.time_ns if self.decision else signal.time_ns
        ready_ns = decided_ns + int(model.latency_s * 1e9)
        later = [bar for bar in self.bars if bar.time_ns > ready_ns and bar.place > self.here]
        last_ns = ready_ns + int(model.censor_after_s * 1e9)
        if not later or later[0].time_ns > last_ns:
            return [Found(None, 2)] if later or self.clock_ns > last_ns else []
        first = later[0]
        self.at_open = (
            model.entry == "open"
            and not isnan(first.open)
            and decided_ns <= first.start_ns + (first.time_ns - first.start_ns) // 50
        )
        self.entry = first.open if self.at_open else first.close
        self.entry_ns = first.start_ns if self.at_open else first.time_ns
        self.first = first
        self.held = later if self.at_open else later[1:]
        self.closes = later
        found = [each for each in [self._life()] if each]
        self.ages: dict[Age, Bar | None] = {age: self._last_at(age)[1] for age in model.ages}
        for span in model.spans:
            done = self._horizon(span)
            if done:
                found.append(done)
        return found

    # -- ends ---------------------------------------------------------------------------------

    def _end(self, age: Age, calendar: str = "") -> tuple[int, int]:
        if age.age_ns:
            return -1, self.entry_ns + age.age_ns
        days = self.model.calendar_of(calendar)
        return days.bounds(days.day(self.first.time_ns), age.trading_days)

    def _last_at(self, age: Age) -> tuple[bool, Bar | None]:
        """(whether it is known, the last bar by then, None when it is too old to tell)."""
        begin_ns, end_ns = self._end(age)
        last = None
        for bar in self.held:
            if bar.time_ns > end_ns:
                break
            last = bar
            if bar.time_ns > begin_ns and bar.time_ns + bar.interval_ns > end_ns:
                return True, bar
        known = self.clock_ns > end_ns
        if last is not None and not 0 <= begin_ns < last.time_ns:
            old_ns = end_ns - last.time_ns
            last = last if old_ns <= self.model.censor_after_s * 1e9 else None
        return known, last

    def _horizon(self, span: Age) -> Found | None:
        known, last = self._last_at(span)
        if not known:
            return None
        done = Found(span, 2)
        if last is not None:
            close, time_ns = last.close, last.time_ns
            done = self._result(span, last, close, close, to_close=True, time_ns=time_ns)
        before: dict[bool, Bar] = {}
        for age, horizon in zip(self.model.ages, self.model.age_horizon, strict=True):
            bar = self.ages[age]
            if bar is None or bar is before.get(age.age_ns > 0):
                continue
            before[age.age_ns > 0] = bar
            if self.model.spans[horizon] == span:
                done.markouts[age] = self.signal.side * (bar.close / self.entry - 1)
        return done

    def _life(self) -> Found | None:
        side, signal = self.signal.side, self.signal
        stop, target = (
            signal.stop_price * self.signal_factor,
            signal.target_price * self.signal_factor,
        )
        days = signal.holding_days
        if not days and not signal.holding_ns:
            days = self.model.default_holding_days
        due = [self._end(Age(signal.holding_ns, 0))] if signal.holding_ns else []
        due += [self._end(Age(0, days), signal.calendar)] if days else []
        begin_ns, end_ns = min(due, key=lambda each: each[1])
        last_ns = end_ns + int(self.model.censor_after_s * 1e9)
        on_day: Bar | None = None
        for bar in self.held:
            if bar.time_ns > end_ns and on_day is not None:
                break
            over = bar.time_ns >= end_ns if begin_ns < 0 else bar.time_ns > end_ns
            if over and bar.time_ns > last_ns:
                return Found(None, 2)
            whole = bar.start_ns >= end_ns and not isnan(bar.open)
            if over and whole and self.model.entry == "open":
                return self._exit(bar, bar.open, 3, to_close=False)
            hit = _touched(bar, side, stop, target)
            if hit:
                price, best, reason, ambiguous = hit
                done = self._exit(bar, price, reason, to_close=False, best=best)
                done.numbers["ambiguous"] = ambiguous
                return done
            if over:
                return self._exit(bar, bar.close, 3, to_close=True)
            if begin_ns >= 0 and bar.time_ns > begin_ns:
                on_day = bar
                if bar.time_ns + bar.interval_ns > end_ns:
                    break
        if on_day and (self.clock_ns > end_ns or on_day.time_ns + on_day.interval_ns > end_ns):
            return self._exit(on_day, on_day.close, 3, to_close=True)
        return Found(None, 2) if self.clock_ns > last_ns and not on_day else None

    def _exit(
        self, bar: Bar, price: float, reason: int, *, to_close: bool, best: float | None = None
    ) -> Found:
        at_start = not to_close and price == bar.open
        time_ns = max(bar.start_ns, self.entry_ns) if at_start else bar.time_ns
        best = price if best is None else best
        done = self._result(None, bar, price, best, to_close=to_close, time_ns=time_ns)
        done.numbers["reason"] = reason
        plan = (self.signal.stop_price, self.signal.target_price)
        lived = [each for each in self.held if each.time_ns <= bar.time_ns]
        done.numbers["coarse"] = any(each.coarse for each in lived) and not all(map(isnan, plan))
        return done

    # -- numbers ------------------------------------------------------------------------------

    def _result(
        self, span: Age | None, bar: Bar, price: float, best: float, *, to_close: bool, time_ns: int
    ) -> Found:
        side, model = self.signal.side, self.model
        spread = self.known_spread if self.known_spread >= 0 else model.default_spread_bps
        out = bar.spread if bar.spread >= 0 else spread
        held_ns = time_ns - self.entry_ns

        def returns(leave: float) -> tuple[float, float, float, float]:
            ratio = leave / self.entry
            gross = side * (ratio - 1)
            half = spread / 2e4 + out / 2e4 * ratio
            fee = model.taker_fee_bps / 1e4 * (1 + ratio)
            carry = model.funding_bps_per_day / 1e4 * held_ns / DAY_NS
            if side < 0:
                carry += model.borrow_bps_per_year / 1e4 * held_ns / (365 * DAY_NS)
            paid = [cash for place, cash in self.cash if self.first.place < place < bar.place]
            return gross, half, fee, carry - side * sum(paid) / self.entry

        gross, half, fee, carry = returns(price)
        well = returns(best)
        up, down = [price, self.entry], [price, self.entry]
        for each in self.held:
            if each.time_ns < bar.time_ns or (to_close and each is bar):
                up.append(each.high)
                down.append(each.low)
        closes = [
            each.close
            for each in self.closes
            if each.time_ns < bar.time_ns or (to_close and each is bar)
        ]
        moves = [log(b / a) for a, b in pairwise(closes)]
        rise, fall = max(up) / self.entry - 1, 1 - min(down) / self.entry
        numbers = {
            "return_fraction": gross - half - fee - carry,
            "optimistic": well[0] - well[1] - well[2] - well[3],
            "gross": gross,
            "spread_cost": half,
            "fee_cost": fee,
            "carry_cost": carry,
            "mfe": rise if side > 0 else fall,
            "mae": fall if side > 0 else rise,
            "volatility": statistics.stdev(moves) if len(moves) > 1 else nan,
            "time_ns": time_ns,
            "entry_time_ns": self.entry_ns,
            "entry_price": self.entry / self.first.factor,
            "exit_price": price / bar.factor,
            "filled_fraction": self._filled(),
        }
        return Found(span, 1, numbers)

    def _filled(self) -> float:
        signal, price = self.signal, self.entry / self.first.factor
        wanted = {1: signal.size, 2: signal.size / price}.get(signal.size_kind, nan)
        if isnan(wanted) or not self.first.volume > 0:
            return nan
        return min(1.0, self.model.volume_share_max * self.first.volume / wanted)


def _bar(fact: BarFact, factor: float, place: int) -> Bar:
    told = [price for price in (fact.open, fact.high, fact.low, fact.close) if not isnan(price)]
    return Bar(
        start_ns=fact.time_ns - fact.interval_ns,
        time_ns=fact.time_ns,
        interval_ns=fact.interval_ns,
        open=fact.open * factor,
        high=max(told) * factor,
        low=min(told) * factor,
        close=fact.close * factor,
        coarse=isnan(fact.high) or isnan(fact.low),
        spread=fact.spread_bps,
        volume=fact.volume,
        factor=factor,
        place=place,
    )


def _touched(
    bar: Bar, side: int, stop: float, target: float
) -> tuple[float, float, int, bool] | None:
    """(price, best price, reason, ambiguous) when the bar touches a barrier."""
    if side > 0:
        stops, wins = bar.low <= stop, bar.high >= target
    else:
        stops, wins = bar.high >= stop, bar.low <= target
    opens_beyond_stop = side * (bar.open - stop) <= 0
    opens_beyond_target = side * (bar.open - target) >= 0
    at_stop = bar.open if opens_beyond_stop else min(max(stop, bar.low), bar.high)
    at_target = bar.open if opens_beyond_target else min(max(target, bar.low), bar.high)
    if stops and wins:
        if opens_beyond_stop:
            return at_stop, at_stop, 1, False
        if opens_beyond_target:
            return at_target, at_target, 2, False
        return at_stop, at_target, 1, True
    if stops:
        return at_stop, at_stop, 1, False
    return (at_target, at_target, 2, False) if wins else None
