"""The breakers that protect money: each watches one thing in one scope, and halts entries there.

CLOSED -> OPEN when what it reads passes the limit; OPEN -> HALF_OPEN when the cool-down is over;
HALF_OPEN -> CLOSED when enough probes end well, -> OPEN at anything bad. Every function takes a
record and returns the next one; nothing here knows the time.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from trimtab_server.domain.events import Environment
from trimtab_server.domain.gate.breaker_record import (
    SAMPLES_OF,
    Breaker,
    BreakerRule,
    BreakerState,
    Probe,
    Sample,
    SampleKind,
    opened,
    reset,
)
from trimtab_server.domain.gate.breaker_window import Window
from trimtab_server.domain.gate.signal_gate import BreakerKind, Scope
from trimtab_server.domain.gate.stale_data import with_data

_NS = 1_000_000_000
_HOUR_NS = 3_600 * _NS
# Beyond it any cool-down has long reached its maximum.
_DOUBLINGS_MAX = 40
# Returns are held within it, so that no single one makes a sum useless.
_RETURN_MAX = 1e6


def rules_for(sample: Sample, rules: Iterable[BreakerRule]) -> Iterator[tuple[BreakerRule, Scope]]:
    """The rules that this sample concerns, each with the scope of the breaker that it goes to. A
    name that `per` asks for and the event does not tell stays empty: such a breaker concerns
    everything."""
    environment = sample.world.environment
    for rule in rules:
        if sample.kind not in SAMPLES_OF[rule.kind] or not rule.scope.covers(sample.scope):
            continue
        if not _holds_in(rule, environment):
            continue
        own = {name: getattr(sample.scope, name) for name in rule.per}
        yield rule, rule.scope._replace(**own)


def is_made_by(breaker: Breaker, rule: BreakerRule) -> bool:
    """Whether the rule, as it stands in the policy today, would make this breaker: names in `per`
    are free where the rule does not tell them, all others are the rule's own."""
    if (breaker.kind, breaker.rule) != (rule.kind, rule.name):
        return False
    return _holds_in(rule, breaker.world.environment) and all(
        has == own or (name in rule.per and not own)
        for name, has, own in zip(Scope._fields, breaker.scope, rule.scope, strict=True)
    )


def _holds_in(rule: BreakerRule, environment: int) -> bool:
    if rule.kind is BreakerKind.STALE_DATA and environment == Environment.BACKTEST:
        # A replay reads no market: between two bars nobody waits.
        return False
    return not rule.environments or environment in rule.environments


def state_changed(before: Breaker, after: Breaker) -> bool:
    """Whether what the gate answers by changed, and not only what was measured."""
    if before.is_open != after.is_open:
        return True
    return after.is_open and before.as_open() != after.as_open()


def probing_rule(breaker: Breaker, rule: BreakerRule | None) -> BreakerRule:
    """The rule that says how many probes may pass: the policy's own, else (tripped by hand, or its
    rule has gone from the policy) the usual numbers."""
    return rule or BreakerRule("", breaker.kind, limit=0.0)


def probes_under_way(breaker: Breaker, rule: BreakerRule | None, now_ns: int) -> tuple[Probe, ...]:
    """The probes that have not ended and are not given up yet."""
    return tuple(each for each in _remembered(breaker, rule, now_ns) if not each.has_ended)


def _remembered(breaker: Breaker, rule: BreakerRule | None, now_ns: int) -> tuple[Probe, ...]:
    """The probes without those that are given up. Of those that ended well there are fewer than
    close the breaker."""
    since_ns = now_ns - probing_rule(breaker, rule).probe_timeout_ns
    return tuple(each for each in breaker.probes if each.has_ended or each.grant_time_ns > since_ns)


def granted(breaker: Breaker, rule: BreakerRule | None, probe: Probe) -> Breaker | None:
    """The breaker with this probe under way, or None when it is not HALF_OPEN at its time or has
    none left. A signal that is asked about again keeps its probe; one whose probe has ended gets
    no other. STALE_DATA has none: only data closes it."""
    now_ns = probe.grant_time_ns
    if breaker.kind is BreakerKind.STALE_DATA:
        return None
    if breaker.state_at(now_ns) is not BreakerState.HALF_OPEN:
        return None
    probes = _remembered(breaker, rule, now_ns)
    own = next((each for each in probes if each.signal == probe.signal), None)
    if own is None:
        under_way = sum(not each.has_ended for each in probes)
        if under_way >= probing_rule(breaker, rule).probe_count_max:
            return None
        probes = (*probes, probe)
    elif own.has_ended:
        return None
    return replace(breaker, probes=probes)


def tripped_by_hand(
    breaker: Breaker, now_ns: int, cool_down_ns: int | None, reason: str, actor: str
) -> Breaker:
    """The breaker, open from now on for exactly this long (None = until it is reset). One that is
    OPEN has not opened once more; its time begins anew."""
    is_same_trip = breaker.state_at(now_ns) is BreakerState.OPEN
    until_ns = None if cool_down_ns is None else now_ns + cool_down_ns
    return replace(
        opened(breaker, now_ns, until_ns, reason),
        trip_count=breaker.trip_count + (not is_same_trip),
        actor=actor,
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
        # By hand: only a hand ends it.
        return breaker if rule is None else with_data(breaker, rule, samples, now_ns)
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
    probes = _remembered(breaker, rule, now_ns)
    is_probe = any(each.signal == sample.signal and not each.has_ended for each in probes)
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
    probes = tuple(
        each._replace(has_ended=each.has_ended or each.signal == sample.signal) for each in probes
    )
    return replace(breaker, probes=probes, success_count=success_count)


def _opened(breaker: Breaker, rule: BreakerRule, now_ns: int, words: str) -> Breaker:
    until_ns = now_ns + cool_down_ns(breaker, rule, breaker.trip_count + 1)
    return opened(breaker, now_ns, until_ns, f"rule {rule.name}: {words}")


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
