"""The breakers that protect money: each watches one thing in one scope, and halts entries there.

CLOSED -> OPEN when what it reads passes the limit; OPEN -> HALF_OPEN when the cool-down is over;
HALF_OPEN -> CLOSED when enough probes end well, -> OPEN at anything bad. Every function takes a
record and returns the next one; nothing here knows the time.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from trimtab_server.domain.breaker_window import Window
from trimtab_server.domain.events import Environment
from trimtab_server.domain.market_hours import MarketHours, open_seconds
from trimtab_server.domain.signal_gate import BreakerKind, OpenBreaker, Scope, World

_NS = 1_000_000_000
_HOUR_NS = 3_600 * _NS
# Beyond it any cool-down has long reached its maximum.
_DOUBLINGS_MAX = 40
# Returns are held within it, so that no single one makes a sum useless.
_RETURN_MAX = 1e6
_ALL = Scope()


class SampleKind(IntEnum):
    """What an event was about."""

    EXECUTED = 1
    EXECUTION_FAILED = 2
    OUTCOME = 3
    MARKET_DATA = 4


class BreakerState(IntEnum):
    """Where a breaker is; the numbers are the contract's."""

    CLOSED = 1
    OPEN = 2
    HALF_OPEN = 3


SAMPLES_OF: dict[BreakerKind, frozenset[SampleKind]] = {
    BreakerKind.EXECUTION_FAILURES: frozenset({SampleKind.EXECUTED, SampleKind.EXECUTION_FAILED}),
    BreakerKind.CONSECUTIVE_LOSSES: frozenset({SampleKind.OUTCOME}),
    BreakerKind.DRAWDOWN: frozenset({SampleKind.OUTCOME}),
    BreakerKind.LOSS_RATE: frozenset({SampleKind.OUTCOME}),
    BreakerKind.STALE_DATA: frozenset({SampleKind.MARKET_DATA}),
    # No rule watches for drift; a breaker that was tripped for it is probed by outcomes.
    BreakerKind.CRITICAL_DRIFT: frozenset({SampleKind.OUTCOME}),
}


class Sample(NamedTuple):
    """What one committed event tells breakers. scope: the event's own names; time_ns: its event
    time; return_fraction and won: of an OUTCOME, None where it does not tell."""

    kind: SampleKind
    world: World
    scope: Scope
    signal_id: str
    time_ns: int
    return_fraction: float | None = None
    won: bool | None = None


@dataclass(frozen=True)
class BreakerRule:
    """One rule of the policy, or (name "") what holds for breakers that were tripped by hand.

    environments: empty = all; scope: which events it watches; per: the names of `Scope` of which
    each value has its own breaker. limit: what is allowed, in the unit of the kind: a share, a
    return as a fraction, seconds; for CONSECUTIVE_LOSSES the count that trips. hours: STALE_DATA,
    None = always open. jitter: largest share by which a cool-down is made longer."""

    name: str
    kind: BreakerKind
    limit: float
    window_ns: int = 0
    count_min: int = 1
    environments: tuple[int, ...] = ()
    scope: Scope = _ALL
    per: tuple[str, ...] = ()
    hours: MarketHours | None = None
    confirmation_count: int = 1
    cool_down_ns: int = 300 * _NS
    cool_down_ns_max: int = _HOUR_NS
    cool_down_jitter: float = 0.0
    jitter_seed: str = ""
    probe_count_max: int = 3
    success_count_min: int = 3
    probe_timeout_ns: int = 24 * _HOUR_NS


@dataclass(frozen=True)
class Breaker:
    """All that is kept of one breaker. Times are nanoseconds UTC.

    rule: its name in the policy, "" = tripped by hand. open_until_ns: None = OPEN until it is reset
    (or, STALE_DATA, until data comes). probes: signal id and time of those under way. breach_count:
    readings beyond the limit in a row. window: (time, value), for STALE_DATA the time of the last
    data. clock_ns: BACKTEST, the largest sample time so far. observed_value: the last reading."""

    world: World
    scope: Scope
    kind: BreakerKind
    rule: str = ""
    is_open: bool = False
    open_time_ns: int = 0
    open_until_ns: int | None = None
    trip_count: int = 0
    reason: str = ""
    actor: str = ""
    revision: int = 0
    probes: tuple[tuple[str, int], ...] = ()
    success_count: int = 0
    breach_count: int = 0
    window: tuple[tuple[int, float], ...] = ()
    clock_ns: int = 0
    observed_value: float | None = None
    limit: float | None = None

    def state_at(self, now_ns: int) -> BreakerState:
        """CLOSED, OPEN, or HALF_OPEN once the cool-down is over."""
        if not self.is_open:
            return BreakerState.CLOSED
        over = self.open_until_ns is not None and now_ns >= self.open_until_ns
        return BreakerState.HALF_OPEN if over else BreakerState.OPEN

    def as_open(self) -> OpenBreaker:
        """What the gate's rules need to know of it while it is not closed."""
        held = (self.open_time_ns, self.open_until_ns, self.trip_count, self.reason, self.actor)
        return OpenBreaker(self.scope, self.kind, self.rule, *held, self.revision)


def rules_for(sample: Sample, rules: Iterable[BreakerRule]) -> Iterator[tuple[BreakerRule, Scope]]:
    """The rules that this sample concerns, each with the scope of the breaker that it goes to. A
    name that `per` asks for and the event does not tell stays empty: such a breaker concerns
    everything."""
    environment = sample.world.environment
    for rule in rules:
        if sample.kind not in SAMPLES_OF[rule.kind] or not rule.scope.covers(sample.scope):
            continue
        if rule.environments and environment not in rule.environments:
            continue
        if rule.kind is BreakerKind.STALE_DATA and environment == Environment.BACKTEST:
            # A replay reads no market: between two bars nobody waits.
            continue
        own = {name: getattr(sample.scope, name) for name in rule.per}
        yield rule, rule.scope._replace(**own)


def state_changed(before: Breaker, after: Breaker) -> bool:
    """Whether what the gate answers by changed, and not only what was measured."""
    if before.is_open != after.is_open:
        return True
    return after.is_open and before.as_open() != after.as_open()


def probing_rule(breaker: Breaker, rule: BreakerRule | None) -> BreakerRule:
    """The rule that says how many probes may pass: the policy's own, else (tripped by hand, or its
    rule has gone from the policy) the usual numbers."""
    return rule or BreakerRule("", breaker.kind, limit=0.0)


def probes_under_way(
    breaker: Breaker, rule: BreakerRule | None, now_ns: int
) -> tuple[tuple[str, int], ...]:
    """The probes that are not given up yet."""
    timeout_ns = probing_rule(breaker, rule).probe_timeout_ns
    return tuple(each for each in breaker.probes if now_ns - each[1] < timeout_ns)


def granted(
    breaker: Breaker, rule: BreakerRule | None, signal_id: str, now_ns: int
) -> Breaker | None:
    """The breaker with a probe for this signal, or None when it is not HALF_OPEN or has none left.
    A signal that is asked about again keeps its probe. STALE_DATA has none: only data closes it."""
    if breaker.kind is BreakerKind.STALE_DATA:
        return None
    if breaker.state_at(now_ns) is not BreakerState.HALF_OPEN:
        return None
    probes = probes_under_way(breaker, rule, now_ns)
    if signal_id not in {each[0] for each in probes}:
        if len(probes) >= probing_rule(breaker, rule).probe_count_max:
            return None
        probes = (*probes, (signal_id, now_ns))
    return replace(breaker, probes=probes)


def tripped_by_hand(
    breaker: Breaker, now_ns: int, cool_down_ns: int | None, reason: str, actor: str
) -> Breaker:
    """The breaker, open from now on for exactly this long (None = until it is reset). One that is
    OPEN has not opened once more; its time begins anew."""
    is_same_trip = breaker.state_at(now_ns) is BreakerState.OPEN
    return replace(
        breaker,
        is_open=True,
        open_time_ns=now_ns,
        open_until_ns=None if cool_down_ns is None else now_ns + cool_down_ns,
        trip_count=breaker.trip_count + (not is_same_trip),
        reason=reason,
        actor=actor,
        probes=(),
        success_count=0,
        breach_count=0,
    )


def reset(breaker: Breaker) -> Breaker:
    """The breaker, CLOSED and with nothing measured. Its clock goes on."""
    return replace(
        Breaker(breaker.world, breaker.scope, breaker.kind, breaker.rule),
        revision=breaker.revision,
        clock_ns=breaker.clock_ns,
        limit=breaker.limit,
    )


def observed(
    breaker: Breaker, rule: BreakerRule | None, samples: Iterable[Sample], now_ns: int
) -> Breaker:
    """The breaker after these samples, which are meant for it, in the order of the log.

    rule: None when it was tripped by hand, or its rule has gone. now_ns: the clock of LIVE and
    PAPER; a BACKTEST's is the largest time of its samples. Where a page of samples ends makes no
    difference. Costs a step for each sample and each entry of the window.
    """
    if breaker.kind is BreakerKind.STALE_DATA:
        return _with_data(breaker, rule, samples, now_ns)
    is_backtest = breaker.world.environment == Environment.BACKTEST
    window = Window(breaker.kind, breaker.window)
    for sample in samples:
        bad = _is_bad(breaker.kind, sample)
        if bad is None:
            continue
        if is_backtest:
            now_ns = max(breaker.clock_ns, sample.time_ns)
            if now_ns != breaker.clock_ns:
                breaker = replace(breaker, clock_ns=now_ns)
        if rule is not None and sample.time_ns < now_ns - rule.window_ns:
            continue
        state = breaker.state_at(now_ns)
        if state is BreakerState.HALF_OPEN:
            breaker = _probed(breaker, rule, sample, bad=bad, now_ns=now_ns)
            if not breaker.is_open:
                window.clear()
        elif state is BreakerState.CLOSED and rule is not None:
            breaker = _measured(breaker, rule, window, sample, bad=bad, now_ns=now_ns)
    return replace(breaker, window=window.entries())


def ticked(breaker: Breaker, rule: BreakerRule, now_ns: int) -> Breaker:
    """A STALE_DATA breaker as time goes by: it opens when no data came for too long."""
    if breaker.kind is not BreakerKind.STALE_DATA or not breaker.window:
        return breaker
    age_s = open_seconds(rule.hours, breaker.window[-1][0], now_ns)
    is_stale = age_s > rule.limit
    breaker = replace(breaker, observed_value=age_s, limit=rule.limit)
    if breaker.is_open:
        return replace(breaker, success_count=0) if is_stale else breaker
    breach_count = breaker.breach_count + 1 if is_stale else 0
    if breach_count < rule.confirmation_count:
        return replace(breaker, breach_count=breach_count)
    words = f"no market data for {age_s:.0f} s of open market, allowed are {rule.limit:g} s"
    return _opened(breaker, rule, now_ns, words)


def cool_down_ns(breaker: Breaker, rule: BreakerRule, trip_count: int) -> int:
    """How long the breaker stays open after it opened for the `trip_count`-th time. The jitter is
    drawn from a digest of what the breaker is and of this count: a replay draws the same."""
    doubled = rule.cool_down_ns << min(trip_count - 1, _DOUBLINGS_MAX)
    base = min(doubled, rule.cool_down_ns_max)
    world, kind = breaker.world, int(breaker.kind)
    named = (rule.jitter_seed, world.environment, world.run_id, *breaker.scope, kind, rule.name)
    text = "\x1f".join(str(part) for part in (*named, trip_count))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    drawn = (int.from_bytes(digest, "big") >> 11) / (1 << 53)
    return base + int(base * rule.cool_down_jitter * drawn)


def _is_bad(kind: BreakerKind, sample: Sample) -> bool | None:
    """Whether the sample speaks against going on; None when it says nothing to this kind."""
    if sample.kind not in SAMPLES_OF[kind]:
        return None
    if sample.kind is not SampleKind.OUTCOME:
        return sample.kind is SampleKind.EXECUTION_FAILED
    if kind is BreakerKind.DRAWDOWN and sample.return_fraction is not None:
        return sample.return_fraction < 0
    if sample.won is not None:
        return not sample.won
    return None if sample.return_fraction is None else sample.return_fraction <= 0


def _measured(
    breaker: Breaker, rule: BreakerRule, window: Window, sample: Sample, *, bad: bool, now_ns: int
) -> Breaker:
    """A closed breaker after one sample; the window takes it."""
    value = float(bad)
    if breaker.kind is BreakerKind.DRAWDOWN:
        if sample.return_fraction is None:
            return breaker
        value = max(-_RETURN_MAX, min(_RETURN_MAX, sample.return_fraction))
    window.add(sample.time_ns, value)
    window.forget_before(now_ns - rule.window_ns)
    reading = window.reading()
    is_run = breaker.kind is BreakerKind.CONSECUTIVE_LOSSES
    is_beyond = reading >= rule.limit if is_run else reading > rule.limit
    is_beyond = is_beyond and len(window) >= rule.count_min
    breach_count = breaker.breach_count + 1 if is_beyond else 0
    breaker = replace(breaker, observed_value=reading, limit=rule.limit, breach_count=breach_count)
    if breach_count < rule.confirmation_count:
        return breaker
    return _opened(breaker, rule, now_ns, window.words(rule.limit, rule.window_ns / _NS))


def _probed(
    breaker: Breaker, rule: BreakerRule | None, sample: Sample, *, bad: bool, now_ns: int
) -> Breaker:
    """A half-open breaker after one sample."""
    probes = probes_under_way(breaker, rule, now_ns)
    rest = tuple(each for each in probes if each[0] != sample.signal_id)
    is_probe = len(rest) < len(probes)
    if not is_probe and sample.time_ns < (breaker.open_until_ns or 0):
        # What happened while it was open was ignored then; that it comes late changes nothing.
        return breaker
    if bad:
        return _opened_again(breaker, rule, sample, now_ns)
    if not is_probe:
        return breaker
    success_count = breaker.success_count + 1
    if success_count >= probing_rule(breaker, rule).success_count_min:
        return reset(breaker)
    return replace(breaker, probes=rest, success_count=success_count)


def _opened(breaker: Breaker, rule: BreakerRule, now_ns: int, words: str) -> Breaker:
    trip_count = breaker.trip_count + 1
    is_stale = breaker.kind is BreakerKind.STALE_DATA
    return replace(
        breaker,
        is_open=True,
        open_time_ns=now_ns,
        # Only data ends staleness, not time.
        open_until_ns=None if is_stale else now_ns + cool_down_ns(breaker, rule, trip_count),
        trip_count=trip_count,
        reason=f"rule {rule.name}: {words}",
        actor="",
        probes=(),
        success_count=0,
        breach_count=0,
    )


def _opened_again(
    breaker: Breaker, rule: BreakerRule | None, sample: Sample, now_ns: int
) -> Breaker:
    if rule is not None:
        what = "an order failed" if sample.kind is SampleKind.EXECUTION_FAILED else "a loss"
        return _opened(breaker, rule, now_ns, f"{what} while half-open")
    # By hand: twice as long as the last time, up to an hour or what was ordered; who ordered it and
    # why still stands.
    last_ns = (breaker.open_until_ns or now_ns) - breaker.open_time_ns
    return replace(
        tripped_by_hand(breaker, now_ns, 0, breaker.reason, breaker.actor),
        open_until_ns=now_ns + min(2 * last_ns, max(last_ns, _HOUR_NS)),
    )


def _with_data(
    breaker: Breaker, rule: BreakerRule | None, samples: Iterable[Sample], now_ns: int
) -> Breaker:
    """A STALE_DATA breaker after data; only what is newer than the last counts."""
    for sample in samples:
        last_ns = breaker.window[-1][0] if breaker.window else -1
        if sample.kind is not SampleKind.MARKET_DATA or sample.time_ns <= last_ns:
            continue
        breaker = replace(breaker, window=((sample.time_ns, 0.0),))
        if rule is None:
            # By hand: not before the cool-down is over, and then by what happened since.
            over = breaker.state_at(now_ns) is BreakerState.HALF_OPEN
            if over and sample.time_ns >= (breaker.open_until_ns or 0):
                breaker = reset(breaker)
            continue
        age_s = open_seconds(rule.hours, sample.time_ns, now_ns)
        is_fresh = age_s <= rule.limit
        breaker = replace(breaker, observed_value=age_s, limit=rule.limit)
        if not breaker.is_open:
            breaker = replace(breaker, breach_count=0) if is_fresh else breaker
            continue
        success_count = breaker.success_count + 1 if is_fresh else 0
        if success_count >= rule.confirmation_count:
            last, breaker = breaker, reset(breaker)
            breaker = replace(breaker, window=last.window, observed_value=age_s)
        else:
            breaker = replace(breaker, success_count=success_count)
    return breaker
