"""What opens where a world holds as many open breakers as it may: instead of one more, the rule's
breaker of its widest scope, which denies no less. So there is at most one more for each rule."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from trimtab_server.domain.gate.breaker import cool_down_ns
from trimtab_server.domain.gate.breaker_record import (
    Breaker,
    BreakerRule,
    BreakerState,
    opened,
    reset,
)
from trimtab_server.domain.gate.gate_world import BreakerKey, key_of
from trimtab_server.domain.gate.signal_gate import BreakerKind


def widest_key(rule: BreakerRule) -> BreakerKey:
    """The rule's breaker of all that the rule watches: none of the names in `per`."""
    return BreakerKey(rule.scope, rule.kind, rule.name)


def crowded_out(
    held: Iterable[Breaker],
    after: Iterable[Breaker],
    open_max: int,
    rules: Mapping[str, BreakerRule],
) -> list[Breaker]:
    """Those of `after` that opened and find no room beside those that were open before, `held`. The
    first ones take what room there is; the widest of a rule has its own."""
    widest = {widest_key(rule) for rule in rules.values()}
    open_keys = {key_of(each) for each in held} - widest
    opening = []
    for each in after:
        key = key_of(each)
        if not each.is_open:
            open_keys.discard(key)
        elif key not in open_keys and key not in widest:
            opening.append(each)
    return opening[max(0, open_max - len(open_keys)) :]


def held_back(before: Breaker, after: Breaker) -> Breaker:
    """The breaker of `after` without its opening. What opened it is spent, as after a reset; only
    data that are missing go on doing so: as long, the widest stays open."""
    if after.kind is not BreakerKind.STALE_DATA:
        return reset(after)
    told = (after.window, after.observed_value, after.limit)
    return replace(before, window=told[0], observed_value=told[1], limit=told[2])


def opened_for(
    before: Breaker, after: Breaker, rule: BreakerRule, crowded: Breaker, open_max: int
) -> Breaker:
    """The rule's widest breaker, open for one that found no room. One that is open goes on as it
    is; one that is half-open opens again."""
    now_ns = crowded.open_time_ns
    if after.state_at(now_ns) is BreakerState.OPEN:
        return after
    if rule.kind is BreakerKind.STALE_DATA:
        if before.is_open:
            # Its own data came, others are missing still.
            return replace(before, window=after.window)
        until_ns = None
    else:
        until_ns = now_ns + cool_down_ns(after, rule, after.trip_count + 1)
    names = ", ".join(filter(None, crowded.scope))
    words = f"rule {rule.name}: stands for that of {names} and others, as {open_max} breakers are"
    return opened(after, now_ns, until_ns, f"{words} open already ({crowded.reason})")
