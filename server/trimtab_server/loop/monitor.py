"""The monitor: a station that shows committed events to the breakers of the policy.

All that it knows of a breaker lies in the store and is changed in the transaction that moves its
cursor, so a restart goes on as if nothing had happened. Only market data, which come in numbers,
wait in memory for a moment, and so does the cursor behind them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from trimtab_server.domain.events import CLOCKED, Environment, EventKind, StoredEvent
from trimtab_server.domain.gate.breaker import is_made_by, observed, rules_for, state_changed
from trimtab_server.domain.gate.breaker_record import (
    Breaker,
    BreakerRule,
    Sample,
    SampleKind,
    SignalName,
    reset,
)
from trimtab_server.domain.gate.breaker_room import (
    crowded_out,
    held_back,
    opened_for,
    widest_key,
)
from trimtab_server.domain.gate.gate_world import (
    BreakerKey,
    GateWorld,
    closed_breaker,
    key_of,
    with_grants,
)
from trimtab_server.domain.gate.signal_gate import BreakerKind, World
from trimtab_server.domain.gate.stale_data import ticked
from trimtab_server.loop.signal_gate import SignalGate
from trimtab_server.loop.stations import Derived
from trimtab_server.store.database import Writer
from trimtab_server.store.gate import Gate, Moved
from trimtab_server.telemetry import Telemetry

_KINDS = (EventKind.EXECUTION, EventKind.EXECUTION_FAILURE, EventKind.OUTCOME)
_MARKET_KINDS = (EventKind.MARKET_BAR, EventKind.MARKET_TICK)
_TICK_S = 1.0
# Breakers whose market data wait in memory; more are written at once.
_WAITING_MAX = 10_000

_Place = tuple[World, BreakerKey]


class _Turn(NamedTuple):
    """A breaker that opened (so many times) or closed (0)."""

    breaker: Breaker
    trip_count: int


class Monitor:
    """What the policy's breakers make of the log. `sample_of` reads the body of an event, None when
    it tells breakers nothing."""

    name = "monitor"

    def __init__(
        self,
        gate: SignalGate,
        store: Gate,
        sample_of: Callable[[bytes], Sample | None],
        telemetry: Telemetry,
    ) -> None:
        self._gate = gate
        self._store = store
        self._sample_of = sample_of
        self._telemetry = telemetry
        self._rules = gate.policy.breakers
        self._by_name = {rule.name: rule for rule in self._rules}
        self._stale_rules = tuple(
            rule for rule in self._rules if rule.kind is BreakerKind.STALE_DATA
        )
        self._window_ns_max = max((rule.window_ns for rule in self._rules), default=0)
        kinds = _KINDS + (_MARKET_KINDS if self._stale_rules else ())
        self.kinds = tuple(sorted(int(kind) for kind in kinds))
        self.pulse_s = _TICK_S if self._stale_rules else None
        # Since the last save: the newest data of each stale-data breaker.
        self._data: dict[_Place, deque[Sample]] = {}
        # Those breakers as they were saved last; None = not read yet.
        self._stale: dict[_Place, Breaker] | None = None

    def start(self, cursor: int) -> None:
        """Forgets what waits: behind the cursor it comes again."""
        self._data = {}
        self._stale = None

    def derive(self, events: Sequence[StoredEvent]) -> Derived:
        """What these events mean to the breakers."""
        by_world: dict[World, list[Sample]] = {}
        for stored in events:
            sample = self._sample_of(stored.body)
            if sample is None:
                continue
            if sample.kind is SampleKind.MARKET_DATA:
                self._note_data(sample)
            else:
                by_world.setdefault(sample.world, []).append(sample)
        relevant = {
            world: samples for world, samples in by_world.items() if self._concerns(world, samples)
        }
        is_urgent = bool(relevant) or len(self._data) > _WAITING_MAX or self._is_time_to_tick()
        if not is_urgent and not self._data:
            return Derived(can_wait=True)
        moved: list[Moved] = []
        turns: list[_Turn] = []
        stale: dict[_Place, Breaker] = {}

        def also(writer: Writer) -> None:
            moved.clear()
            turns.clear()
            for world, samples in relevant.items():
                moved.append(self._observe(writer, world, samples, turns))
            if self._stale_rules:
                moved.extend(self._observe_data(writer, turns, stale))

        def then() -> None:
            self._data = {}
            self._stale = stale
            self._gate.heard(max((each.generation for each in moved), default=0))
            for turn in turns:
                self._tell(turn)

        return Derived(also=also, then=then, can_wait=not is_urgent)

    # -- outcomes and executions ----------------------------------------------------------------

    def _concerns(self, world: World, samples: Iterable[Sample]) -> bool:
        """Whether a breaker looks at one of these, as far as this sidecar knows. What a spool sends
        again, or a log from before the first start, is older than any window."""
        if self._gate.held(world).breakers:
            return True
        is_backtest = world.environment == Environment.BACKTEST
        oldest_ns = 0 if is_backtest else self._gate.now_ns() - self._window_ns_max
        return any(
            True
            for sample in samples
            if sample.time_ns >= oldest_ns
            for _ in rules_for(sample, self._rules)
        )

    def _observe(
        self, writer: Writer, world: World, samples: Sequence[Sample], turns: list[_Turn]
    ) -> Moved:
        gate = self._store.held(writer, world)
        not_closed = with_grants(
            {key_of(each): each for each in gate.breakers},
            self._gate.grants,
            world,
            self._gate.granted,
        )
        wanted = self._wanted(samples, not_closed)
        before = {key_of(each): each for each in gate.breakers}
        before |= self._store.breakers(writer, world, [key for key in wanted if key not in before])
        now_ns = self._gate.now_ns()
        after = {}
        for key, its_samples in wanted.items():
            before.setdefault(key, closed_breaker(world, key))
            breaker = not_closed.get(key, before[key])
            rule = self._gate.rule_of(breaker)
            after[key] = observed(breaker, rule, its_samples, now_ns)
        self._make_room(writer, gate, before, after)
        event_time_ns = max(each.time_ns for each in samples)
        return self._keep(writer, gate, before, list(after.values()), turns, event_time_ns)

    def _wanted(
        self, samples: Iterable[Sample], not_closed: Mapping[BreakerKey, Breaker]
    ) -> dict[BreakerKey, list[Sample]]:
        """Which breakers are shown which samples: by their rules; those without a rule by their
        scope; and those of which a sample's signal is a probe, whatever names its event tells."""
        wanted: dict[BreakerKey, list[Sample]] = {}
        without_rule = [each for each in not_closed.values() if self._gate.rule_of(each) is None]
        probing: dict[SignalName, list[BreakerKey]] = {}
        for key, breaker in not_closed.items():
            for probe in breaker.probes:
                if not probe.has_ended:
                    probing.setdefault(probe.signal, []).append(key)
        for sample in samples:
            keys = [
                BreakerKey(scope, rule.kind, rule.name)
                for rule, scope in rules_for(sample, self._rules)
            ]
            keys += [key_of(each) for each in without_rule if each.scope.covers(sample.scope)]
            keys += probing.get(sample.signal, ())
            for key in dict.fromkeys(keys):
                wanted.setdefault(key, []).append(sample)
        return wanted

    # -- market data ----------------------------------------------------------------------------

    def _note_data(self, sample: Sample) -> None:
        for rule, scope in rules_for(sample, self._stale_rules):
            place = (sample.world, BreakerKey(scope, rule.kind, rule.name))
            waiting = self._data.get(place)
            if waiting is None:
                # As many as confirm that data came again.
                waiting = self._data[place] = deque(maxlen=rule.confirmation_count)
            waiting.append(sample)

    def _is_time_to_tick(self) -> bool:
        """Whether a look at the stale-data breakers would change the state of one."""
        if not self._stale_rules:
            return False
        if self._stale is None:
            return True
        now_ns = self._gate.now_ns()
        return any(
            self._was_reset(place, breaker) or self._changes(place, breaker, now_ns)
            for place, breaker in self._stale.items()
        )

    def _was_reset(self, place: _Place, breaker: Breaker) -> bool:
        """Whether somebody closed it since it was saved: what is still stale opens it again."""
        world, key = place
        return breaker.is_open and key not in self._gate.held(world).breakers

    def _changes(self, place: _Place, breaker: Breaker, now_ns: int) -> bool:
        rule = self._gate.rule_of(breaker)
        after = observed(breaker, rule, self._data.get(place, ()), now_ns)
        if rule is not None:
            after = ticked(after, rule, now_ns)
            wide = (self._stale or {}).get((place[0], widest_key(rule)))
            if after.is_open and not breaker.is_open and wide is not None and wide.is_open:
                # It denies what this one would; whether there is room is not urgent.
                return False
        return after.breach_count != breaker.breach_count or state_changed(breaker, after)

    def _observe_data(
        self, writer: Writer, turns: list[_Turn], stale: dict[_Place, Breaker]
    ) -> list[Moved]:
        """Shows what waits to the stale-data breakers of LIVE and PAPER, and the time to all."""
        now_ns = self._gate.now_ns()
        moved = []
        for environment in CLOCKED:
            world = World(int(environment), "")
            # What a rule made under a former policy waits for data that never come again.
            known = {
                key_of(each): each
                for rule in self._stale_rules
                for each in self._store.rule_breakers(writer, world.environment, rule.name)
                if is_made_by(each, rule)
            }
            keys = [key for where, key in self._data if where == world]
            before = {key: known.get(key, closed_breaker(world, key)) for key in (*known, *keys)}
            after = {}
            for key, breaker in before.items():
                rule = self._rule(key)
                shown = observed(breaker, rule, self._data.get((world, key), ()), now_ns)
                after[key] = ticked(shown, rule, now_ns)
            gate = self._store.held(writer, world)
            crowded = self._make_room(writer, gate, before, after)
            for rule in self._stale_rules:
                # One that opened for others, and has no data of its own that could close it.
                wide = after.get(widest_key(rule))
                if wide and wide.is_open and not wide.window and rule.name not in crowded:
                    after[key_of(wide)] = reset(wide)
            stale |= {(world, key): breaker for key, breaker in after.items()}
            changed = [each for key, each in after.items() if each != before[key]]
            if changed:
                moved.append(self._keep(writer, gate, before, changed, turns))
        return moved

    def _rule(self, key: BreakerKey) -> BreakerRule:
        return next(rule for rule in self._stale_rules if rule.name == key.rule)

    # -- what it comes to -----------------------------------------------------------------------

    def _make_room(
        self,
        writer: Writer,
        gate: GateWorld,
        before: dict[BreakerKey, Breaker],
        after: dict[BreakerKey, Breaker],
    ) -> set[str]:
        """Holds back what opened without room in the world, and opens the widest breakers of its
        rules instead, in `after`. The names of these rules."""
        open_max = self._gate.policy.rules_max
        crowded = crowded_out(gate.breakers, after.values(), open_max, self._by_name)
        wide_keys = {widest_key(self._by_name[each.rule]) for each in crowded}
        missing = wide_keys - before.keys()
        before |= {key: closed_breaker(gate.world, key) for key in missing}
        before |= self._store.breakers(writer, gate.world, missing)
        for each in crowded:
            rule, key = self._by_name[each.rule], key_of(each)
            wide = widest_key(rule)
            told = after.get(wide, before[wide])
            after[wide] = opened_for(before[wide], told, rule, each, open_max)
            after[key] = held_back(before[key], each)
        return {key.rule for key in wide_keys}

    def _keep(
        self,
        writer: Writer,
        gate: GateWorld,
        before: Mapping[BreakerKey, Breaker],
        after: Sequence[Breaker],
        turns: list[_Turn],
        event_time_ns: int = 0,
    ) -> Moved:
        for each in after:
            former = before[key_of(each)]
            if each.trip_count > former.trip_count or each.is_open != former.is_open:
                count = max(1, each.trip_count - former.trip_count) if each.is_open else 0
                turns.append(_Turn(each, count))
        return self._store.keep(writer, gate, before, after, event_time_ns)

    def _tell(self, turn: _Turn) -> None:
        breaker, trip_count = turn
        where = {
            "kind": breaker.kind.name,
            "environment": Environment(breaker.world.environment).name,
            "run_id": breaker.world.run_id,
            "scope": ", ".join(filter(None, breaker.scope)) or "all",
            "rule": breaker.rule,
        }
        if trip_count:
            self._telemetry.breaker_tripped(breaker.kind.name, trip_count)
            self._telemetry.log_warning("a breaker tripped", why=breaker.reason, **where)
        else:
            self._telemetry.log_info("a breaker closed", **where)
