"""The signal gate's tables: worlds, trading states, breakers, and the orders that changed them.

Every change reads what there is and writes what shall be in one transaction in the lane, so several
sidecars never overwrite each other. A run that nobody has changed for long makes room for others;
`log.gate_floor` then lies above its revision, so that no revision of a run is ever told twice.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import text

from trimtab_server.domain.events import CLOCKED, Environment
from trimtab_server.domain.gate.breaker import is_made_by, state_changed
from trimtab_server.domain.gate.breaker_record import Breaker, BreakerRule, Probe
from trimtab_server.domain.gate.gate_world import (
    BreakerKey,
    Decided,
    GateWorld,
    Grant,
    Order,
    key_of,
    with_grants,
)
from trimtab_server.domain.gate.signal_gate import Scope, StateEntry, World
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import Conflict, StaleEtag, TrimtabError
from trimtab_server.store import gate_rows as rows
from trimtab_server.store.database import Database, Writer

_CHANGES_KEPT = 10_000
_BACKTEST = int(Environment.BACKTEST)


class GateLimits(NamedTuple):
    """Most states of a world, and as many open and as many closed breakers; and most runs of
    BACKTEST that are kept. Beyond the limit each rule may open its widest breaker: it never stands
    in the way of what protects."""

    rules_max: int
    runs_max: int


class Done(NamedTuple):
    """The answer about an order, now or the first time it came, and the world as it is now."""

    answer: bytes
    world: GateWorld


class GateNews(NamedTuple):
    """What changed behind a generation: the present one, the floor, the worlds that changed, and
    all runs that are kept (None when the floor is the one that was known)."""

    generation: int
    floor: int
    worlds: list[GateWorld]
    runs: set[str] | None


class BreakerPage(NamedTuple):
    """Some breakers of a world, and the world itself at the same moment."""

    breakers: list[Breaker]
    has_more: bool
    world: GateWorld


class Moved(NamedTuple):
    """What a change of breakers came to: the gate's generation (0 = nobody need hear of it)."""

    generation: int
    world: GateWorld


class Gate:
    """What the signal gate keeps. Call it from a thread that may block."""

    def __init__(self, database: Database, limits: GateLimits, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._limits = limits
        self._now_ns = now_ns

    # -- reading --------------------------------------------------------------------------------

    def since(self, generation: int, floor: int) -> GateNews:
        """What changed behind `generation` (-1 = everything). Raises Unavailable."""
        with self._database.reading() as connection:
            present, present_floor = connection.execute(
                text("SELECT gate_generation, gate_floor FROM log WHERE id = 1")
            ).one()
            behind = {"generation": generation}
            worlds = {
                World(row[0], row[1]): rows.world_of(row)
                for row in connection.execute(text(rows.WORLDS_SINCE), behind)
            }
            states: dict[World, list[StateEntry]] = {}
            for row in connection.execute(text(rows.STATES_SINCE), behind):
                states.setdefault(World(row[0], row[1]), []).append(rows.state_of(row[2:]))
            breakers: dict[World, list[Breaker]] = {}
            for breaker in map(
                rows.breaker_of, connection.execute(text(rows.BREAKERS_SINCE), behind)
            ):
                breakers.setdefault(breaker.world, []).append(breaker)
            runs = None
            if present_floor != floor:
                known = text("SELECT run_id FROM gate_worlds WHERE environment = :environment")
                runs = set(connection.scalars(known, {"environment": _BACKTEST}))
        whole = [
            replace(
                gate,
                states=tuple(states.get(world, ())),
                breakers=tuple(breakers.get(world, ())),
            )
            for world, gate in worlds.items()
        ]
        return GateNews(present, present_floor, whole, runs)

    def page(
        self, world: World, after: BreakerKey | None, count: int, *, include_closed: bool
    ) -> BreakerPage:
        """Up to `count` breakers behind `after`, ordered by scope, kind and rule."""
        with self._database.reading() as connection:
            found = connection.execute(
                text(rows.page_query(with_closed=include_closed, behind=after is not None)),
                rows.page_parameters(world, after, count + 1),
            )
            breakers = [rows.breaker_of(row) for row in found]
            place = {"environment": world.environment, "run_id": world.run_id}
            head = connection.execute(text(rows.WORLD_BY_NAME), place).one_or_none()
            floor = connection.scalar(text("SELECT gate_floor FROM log WHERE id = 1"))
            states = [
                rows.state_of(row) for row in connection.execute(text(rows.STATES_BY_NAME), place)
            ]
        here = _whole(rows.world_of(head) if head else GateWorld(world), floor or 0)
        here = replace(here, states=tuple(states))
        return BreakerPage(breakers[:count], len(breakers) > count, here)

    # -- orders ---------------------------------------------------------------------------------

    def change(self, order: Order, decide: Callable[[GateWorld], Decided]) -> Done:
        """Carries out an order once: what `decide` makes of the world, kept with its answer.

        Raises Conflict for an id that was used for another order, StaleEtag, TrimtabError
        (TOO_MANY_RULES) when the world is full, and whatever `decide` raises; nothing has changed
        then.
        """
        with self._database.writing() as writer:
            before = self.held(writer, order.world)
            known = _known_answer(writer, order, before)
            if known is not None:
                return Done(known, before)
            (after, closed), answer = decide(before)
            if after is not before:
                after = self._write(writer, before, after, closed)
            self._note(writer, order, after.revision, answer)
            return Done(answer, after)

    def preview(self, order: Order, decide: Callable[[GateWorld], Decided]) -> bytes:
        """The answer that the order would have now; nothing changes, and its id is not remembered.
        Raises Conflict and StaleEtag as `change`."""
        with self._database.writing() as writer:
            before = self.held(writer, order.world)
            known = _known_answer(writer, order, before)
            return decide(before).answer if known is None else known

    def _write(
        self, writer: Writer, before: GateWorld, after: GateWorld, closed: Sequence[Breaker]
    ) -> GateWorld:
        kept = {each.scope: each for each in after.states}
        old = {each.scope: each for each in before.states}
        # A halt of everything is the last resort: nothing stands in its way.
        is_whole = Scope() in kept and Scope() not in old
        if not is_whole:
            self._check_room(len(old), len(kept), "trading states")
        self._check_room(len(before.breakers), len(after.breakers), "open breakers")
        place = after.world
        writer.executemany(
            rows.DELETE_STATE, [(*place, *scope) for scope in old if scope not in kept]
        )
        writer.executemany(
            rows.UPSERT_STATE,
            [rows.state_row(place, each) for scope, each in kept.items() if each != old.get(scope)],
        )
        former = {key_of(each): each for each in before.breakers}
        changed = [each for each in after.breakers if each != former.get(key_of(each))]
        return self._keep(writer, after, [*changed, *closed], is_heard=True)

    def _check_room(self, before: int, after: int, what: str) -> None:
        limit = self._limits.rules_max
        if after > before and after > limit:
            words = f"this world holds {limit} {what} already"
            raise TrimtabError(Reason.TOO_MANY_RULES, words)

    def _note(self, writer: Writer, order: Order, revision: int, answer: bytes) -> None:
        writer.execute(
            "INSERT INTO gate_changes (request_id, digest, answer, environment, run_id, revision,"
            " change_time_ns, actor, what) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(order.request_id, order.digest, answer, *order.world, revision),
                *(self._now_ns(), order.actor, order.what),
            ),
        )
        writer.execute(
            "DELETE FROM gate_changes WHERE row_id <= (SELECT max(row_id) FROM gate_changes) - ?",
            (_CHANGES_KEPT,),
        )

    # -- breakers, in a transaction of the caller's ---------------------------------------------

    def held(self, writer: Writer, world: World) -> GateWorld:
        """The world as it is, with its states and the breakers that are not closed."""
        head = writer.execute(rows.plain(rows.WORLD_BY_NAME), world).fetchone()
        (floor,) = writer.execute("SELECT gate_floor FROM log WHERE id = 1").fetchone()
        if head is None:
            return _whole(GateWorld(world), floor)
        states = writer.execute(rows.plain(rows.STATES_BY_NAME), world).fetchall()
        breakers = writer.execute(rows.OPEN_BREAKERS, world).fetchall()
        return replace(
            _whole(rows.world_of(head), floor),
            states=tuple(rows.state_of(row) for row in states),
            breakers=tuple(rows.breaker_of(row) for row in breakers),
        )

    def breakers(
        self, writer: Writer, world: World, keys: Iterable[BreakerKey]
    ) -> dict[BreakerKey, Breaker]:
        """Those of the breakers that are known, open or closed."""
        found = {}
        for statement, parameters in rows.breakers_by_key(world, list(keys)):
            for row in writer.execute(statement, parameters).fetchall():
                breaker = rows.breaker_of(row)
                found[key_of(breaker)] = breaker
        return found

    def rule_breakers(self, writer: Writer, environment: int, rule: str) -> list[Breaker]:
        """All breakers of a rule in an environment, open or closed."""
        found = writer.execute(rows.BREAKERS_OF_RULE, (environment, rule)).fetchall()
        return [rows.breaker_of(row) for row in found]

    def keep(
        self,
        writer: Writer,
        gate: GateWorld,
        before: Mapping[BreakerKey, Breaker],
        after: Sequence[Breaker],
        event_time_ns: int = 0,
    ) -> Moved:
        """Stores breakers of a world as they are now; `before` as they were. The revision moves
        when a signal could notice."""
        moved = {key_of(each) for each in after if state_changed(before[key_of(each)], each)}
        revision = gate.revision + bool(moved)
        told = [
            replace(each, revision=revision) if key_of(each) in moved else each for each in after
        ]
        is_heard = bool(moved) or any(each.is_open for each in told)
        keys = {key_of(each) for each in told}
        kept = tuple(each for each in gate.breakers if key_of(each) not in keys)
        gate = replace(
            gate,
            revision=revision,
            event_time_ns=max(gate.event_time_ns, event_time_ns),
            breakers=kept + tuple(each for each in told if each.is_open),
        )
        gate = self._keep(writer, gate, told, is_heard=is_heard)
        return Moved(gate.generation if is_heard else 0, gate)

    def keep_grants(
        self,
        grants: Sequence[Grant],
        granted: Callable[[Breaker, Probe], Breaker | None],
    ) -> int:
        """Stores probes that were granted in memory; those of breakers that closed meanwhile are
        forgotten. The generation with which they came (0 = there were none)."""
        generation = 0
        with self._database.writing() as writer:
            for world in {each.world for each in grants}:
                gate = self.held(writer, world)
                before = {key_of(each): each for each in gate.breakers}
                after = with_grants(before, grants, world, granted)
                changed = [each for key, each in after.items() if each != before[key]]
                if changed:
                    generation = self.keep(writer, gate, before, changed).generation
        return generation

    def _keep(
        self, writer: Writer, gate: GateWorld, breakers: Sequence[Breaker], *, is_heard: bool
    ) -> GateWorld:
        """Writes the world's row and `breakers`; closed ones without a rule are not kept."""
        now_ns = self._now_ns()
        if is_heard:
            gate = replace(gate, generation=_next_generation(writer))
        writer.execute(
            rows.UPSERT_WORLD,
            (*gate.world, gate.revision, gate.generation, gate.event_time_ns, now_ns),
        )
        gone = [each for each in breakers if not each.is_open and not each.rule]
        writer.executemany(rows.DELETE_BREAKER, [rows.key_row(each) for each in gone])
        kept = [each for each in breakers if each.is_open or each.rule]
        for statement, parameters in rows.upserts(kept, now_ns):
            writer.execute(statement, parameters)
        if kept:
            self._make_room(writer, gate)
        if gate.world.environment == _BACKTEST:
            self._forget_runs(writer, gate.world)
        if is_heard:
            writer.announce()
        return gate

    def _make_room(self, writer: Writer, gate: GateWorld) -> None:
        """Lets closed breakers go that were looked at longest ago."""
        (count,) = writer.execute(rows.COUNT_CLOSED, gate.world).fetchone()
        over = count - self._limits.rules_max
        if over > 0:
            writer.execute(rows.DELETE_CLOSED, (*gate.world, *gate.world, over))

    def _forget_runs(self, writer: Writer, present: World) -> None:
        """Lets the runs go that were changed longest ago, beyond the limit."""
        (count,) = writer.execute(
            "SELECT count(*) FROM gate_worlds WHERE environment = ?", (_BACKTEST,)
        ).fetchone()
        over = count - self._limits.runs_max
        if over <= 0:
            return
        old = writer.execute(
            "SELECT run_id, revision FROM gate_worlds WHERE environment = ? AND run_id <> ?"
            " ORDER BY change_time_ns LIMIT ?",
            (_BACKTEST, present.run_id, over),
        ).fetchall()
        for table in ("gate_worlds", "gate_states", "gate_breakers"):
            writer.executemany(
                f"DELETE FROM {table} WHERE environment = ? AND run_id = ?",
                [(_BACKTEST, run_id) for run_id, _ in old],
            )
        above = max(revision for _, revision in old)
        _next_generation(writer)
        # It always moves: by that, sidecars know that runs have gone.
        writer.execute(
            "UPDATE log SET gate_floor ="
            " CASE WHEN gate_floor < ? THEN ? ELSE gate_floor END + 1 WHERE id = 1",
            (above, above),
        )
        writer.announce()

    # -- starting -------------------------------------------------------------------------------

    def start(self, policy: str, rules: Sequence[BreakerRule]) -> None:
        """Takes note of the policy (its digest, its rules): under another one than before, LIVE and
        PAPER get a new revision, and closed breakers go that no rule would make any more. Open ones
        stay: a restart never re-arms trading."""
        with self._database.writing() as writer:
            (former,) = writer.execute("SELECT gate_policy FROM log WHERE id = 1").fetchone()
            if former == policy:
                return
            writer.execute("UPDATE log SET gate_policy = ? WHERE id = 1", (policy,))
            by_name = {rule.name: rule for rule in rules}
            shapes = writer.execute(rows.CLOSED_RULED, ()).fetchall()
            gone = [
                tuple(row)
                for row in shapes
                if (rule := by_name.get(row[-1])) is None
                or not is_made_by(rows.shape_of(row), rule)
            ]
            writer.executemany(rows.DELETE_SHAPE, gone)
            if former is None:
                return
            for environment in CLOCKED:
                gate = self.held(writer, World(int(environment), ""))
                gate = replace(gate, revision=gate.revision + 1)
                self._keep(writer, gate, (), is_heard=True)


def _known_answer(writer: Writer, order: Order, gate: GateWorld) -> bytes | None:
    """The answer that the order had when it came before; None when it is new."""
    known = writer.execute(
        "SELECT digest, answer FROM gate_changes WHERE request_id = ?", (order.request_id,)
    ).fetchone()
    if known is not None:
        if bytes(known[0]) != order.digest:
            raise Conflict(Reason.REQUEST_ID_REUSED, "the request_id was used for another order")
        return bytes(known[1])
    if order.etag and order.etag != str(gate.revision):
        words = f"the world is at revision {gate.revision}, not {order.etag}"
        raise StaleEtag(words, str(gate.revision))
    return None


def _next_generation(writer: Writer) -> int:
    (last,) = writer.execute("SELECT gate_generation FROM log WHERE id = 1").fetchone()
    writer.execute("UPDATE log SET gate_generation = ? WHERE id = 1", (last + 1,))
    return int(last) + 1


def _whole(gate: GateWorld, floor: int) -> GateWorld:
    """The world; a run that nobody heard of yet (its row may hold what was measured) is told to be
    at the floor, and so goes on from there."""
    if gate.generation or gate.world.environment != _BACKTEST:
        return gate
    return replace(gate, revision=max(gate.revision, floor))
