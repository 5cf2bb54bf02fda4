"""What is kept of a breaker, what it is shown, and the rule that it follows."""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from trimtab_server.domain.gate.market_hours import MarketHours
from trimtab_server.domain.gate.signal_gate import BreakerKind, OpenBreaker, Scope, World

_NS = 1_000_000_000
_HOUR_NS = 3_600 * _NS
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


class SignalName(NamedTuple):
    """Which signal of a world: that of an engine with this id."""

    source: str
    signal_id: str


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

    @property
    def signal(self) -> SignalName:
        """Which signal of its world it is about."""
        return SignalName(self.scope.source, self.signal_id)


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


class Probe(NamedTuple):
    """A signal of an engine that may pass a half-open breaker, and when it was told so. One that
    ended well is remembered until the breaker closes or opens: nothing may count it a second time.
    Engines number their signals each for itself, so the id alone does not tell which it is."""

    source: str
    signal_id: str
    grant_time_ns: int
    has_ended: bool = False

    @property
    def signal(self) -> SignalName:
        """Which signal of the breaker's world it is."""
        return SignalName(self.source, self.signal_id)


@dataclass(frozen=True)
class Breaker:
    """All that is kept of one breaker. Times are nanoseconds UTC.

    rule: its name in the policy, "" = tripped by hand. open_until_ns: None = OPEN until it is reset
    (or, STALE_DATA of a rule, until data comes). probes: those since it is half-open. breach_count:
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
    probes: tuple[Probe, ...] = ()
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


def opened(breaker: Breaker, now_ns: int, until_ns: int | None, words: str) -> Breaker:
    """The breaker, opened once more by its rule: until then, and for this reason."""
    return replace(
        breaker,
        is_open=True,
        open_time_ns=now_ns,
        open_until_ns=until_ns,
        trip_count=breaker.trip_count + 1,
        reason=words,
        actor="",
        probes=(),
        success_count=0,
        breach_count=0,
    )


def reset(breaker: Breaker) -> Breaker:
    """The breaker, CLOSED and with nothing measured. Its clock goes on; of STALE_DATA the time of
    the last data stays, so that data which are still missing open it again."""
    return replace(
        Breaker(breaker.world, breaker.scope, breaker.kind, breaker.rule),
        revision=breaker.revision,
        clock_ns=breaker.clock_ns,
        limit=breaker.limit,
        window=breaker.window if breaker.kind is BreakerKind.STALE_DATA else (),
    )
