"""Rows of the signal gate's tables and back, and the statements about them.

Statements for a transaction have `?`, those for a reader `:name`; both databases take both.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from trimtab_server.domain.gate.breaker_record import Breaker, Probe
from trimtab_server.domain.gate.gate_world import BreakerKey, GateWorld
from trimtab_server.domain.gate.signal_gate import (
    BreakerKind,
    Scope,
    StateEntry,
    TradingState,
    World,
)

_SCOPE = "source, strategy, symbol, model_name"
_KEY = f"environment, run_id, {_SCOPE}, kind, rule"
# A key in whatever run.
_SHAPE = f"environment, {_SCOPE}, kind, rule"
_MEASURED = (
    "is_open, open_time_ns, open_until_ns, trip_count, reason, actor, revision, probes,"
    " success_count, breach_count, readings, clock_ns, observed_value, limit_value"
)
_BREAKER = f"{_KEY}, {_MEASURED}"
_STATE = f"{_SCOPE}, state, block_exits, actor, reason, until_ns, change_time_ns, revision"
_WORLD = "environment, run_id, revision, generation, event_time_ns"
_PLACE = "environment = :environment AND run_id = :run_id"
# Rows of one INSERT, and keys of one SELECT: a round trip each on Postgres.
_ROWS = 64


def _of(table: str, columns: str) -> str:
    return ", ".join(f"{table}.{column}" for column in columns.split(", "))


WORLDS_SINCE = f"SELECT {_WORLD} FROM gate_worlds WHERE generation > :generation"
_JOINED = (
    " JOIN {table} ON {table}.environment = gate_worlds.environment"
    " AND {table}.run_id = gate_worlds.run_id WHERE gate_worlds.generation > :generation"
)
STATES_SINCE = (
    f"SELECT {_of('gate_states', f'environment, run_id, {_STATE}')} FROM gate_worlds"
    + _JOINED.format(table="gate_states")
)
BREAKERS_SINCE = (
    f"SELECT {_of('gate_breakers', _BREAKER)} FROM gate_worlds"
    + _JOINED.format(table="gate_breakers")
    + " AND gate_breakers.is_open = 1"
)
WORLD_BY_NAME = f"SELECT {_WORLD} FROM gate_worlds WHERE {_PLACE}"
STATES_BY_NAME = f"SELECT {_STATE} FROM gate_states WHERE {_PLACE} ORDER BY {_SCOPE}"
OPEN_BREAKERS = (
    f"SELECT {_BREAKER} FROM gate_breakers WHERE environment = ? AND run_id = ? AND is_open = 1"
)
BREAKERS_OF_RULE = f"SELECT {_BREAKER} FROM gate_breakers WHERE environment = ? AND rule = ?"
COUNT_CLOSED = (
    "SELECT count(*) FROM gate_breakers WHERE environment = ? AND run_id = ? AND is_open = 0"
)
DELETE_CLOSED = (
    "DELETE FROM gate_breakers WHERE environment = ? AND run_id = ? AND is_open = 0"
    f" AND ({_SCOPE}, kind, rule) IN (SELECT {_SCOPE}, kind, rule FROM gate_breakers"
    " WHERE environment = ? AND run_id = ? AND is_open = 0 ORDER BY change_time_ns LIMIT ?)"
)
CLOSED_RULED = f"SELECT DISTINCT {_SHAPE} FROM gate_breakers WHERE is_open = 0 AND rule <> ''"
DELETE_SHAPE = (
    "DELETE FROM gate_breakers WHERE is_open = 0 AND environment = ? AND source = ?"
    " AND strategy = ? AND symbol = ? AND model_name = ? AND kind = ? AND rule = ?"
)
DELETE_BREAKER = (
    "DELETE FROM gate_breakers WHERE environment = ? AND run_id = ? AND source = ?"
    " AND strategy = ? AND symbol = ? AND model_name = ? AND kind = ? AND rule = ?"
)
DELETE_STATE = (
    "DELETE FROM gate_states WHERE environment = ? AND run_id = ? AND source = ?"
    " AND strategy = ? AND symbol = ? AND model_name = ?"
)


def _set(columns: str) -> str:
    return ", ".join(f"{column} = excluded.{column}" for column in columns.split(", "))


_STATED = "state, block_exits, actor, reason, until_ns, change_time_ns, revision"
UPSERT_STATE = (
    f"INSERT INTO gate_states (environment, run_id, {_STATE})"
    f" VALUES ({', '.join('?' * 13)})"
    f" ON CONFLICT (environment, run_id, {_SCOPE}) DO UPDATE SET {_set(_STATED)}"
)
_WORLD_CHANGED = "revision, generation, event_time_ns, change_time_ns"
UPSERT_WORLD = (
    f"INSERT INTO gate_worlds (environment, run_id, {_WORLD_CHANGED}) VALUES (?, ?, ?, ?, ?, ?)"
    f" ON CONFLICT (environment, run_id) DO UPDATE SET {_set(_WORLD_CHANGED)}"
)


def plain(statement: str) -> str:
    """A reader's statement for a transaction: its names become places, in their order."""
    return re.sub(r":\w+", "?", statement)


def world_of(row: Any) -> GateWorld:
    """The world of a row; its states and breakers stand in rows of their own."""
    environment, run_id, revision, generation, event_time_ns = row
    return GateWorld(World(environment, run_id), revision, generation, event_time_ns)


def state_of(row: Any) -> StateEntry:
    """The trading state of a row."""
    *scope, state, block_exits, actor, reason, until_ns, change_time_ns, revision = row
    told = (bool(block_exits), actor, reason, until_ns, change_time_ns, revision)
    return StateEntry(Scope(*scope), TradingState(state), *told)


def state_row(world: World, entry: StateEntry) -> tuple[Any, ...]:
    """The row of a trading state."""
    scope, state, block_exits, *rest = entry
    return (*world, *scope, int(state), int(block_exits), *rest)


def breaker_of(row: Any) -> Breaker:
    """The breaker of a row."""
    environment, run_id, source, strategy, symbol, model_name, kind, rule, *measured = row
    is_open, open_time_ns, open_until_ns, trip_count, reason, actor, revision, *rest = measured
    probes, success_count, breach_count, readings, clock_ns, observed_value, limit = rest
    return Breaker(
        world=World(environment, run_id),
        scope=Scope(source, strategy, symbol, model_name),
        kind=BreakerKind(kind),
        rule=rule,
        is_open=bool(is_open),
        open_time_ns=open_time_ns,
        open_until_ns=open_until_ns,
        trip_count=trip_count,
        reason=reason,
        actor=actor,
        revision=revision,
        probes=tuple(Probe(*each) for each in json.loads(probes)),
        success_count=success_count,
        breach_count=breach_count,
        window=tuple((time_ns, value) for time_ns, value in json.loads(readings)),
        clock_ns=clock_ns,
        observed_value=observed_value,
        limit=limit,
    )


def shape_of(row: Any) -> Breaker:
    """A breaker as a row of `CLOSED_RULED` tells it, of whatever run."""
    environment, source, strategy, symbol, model_name, kind, rule = row
    scope = Scope(source, strategy, symbol, model_name)
    return Breaker(World(environment, ""), scope, BreakerKind(kind), rule)


def key_row(breaker: Breaker) -> tuple[Any, ...]:
    """The columns that tell a breaker from others."""
    return (*breaker.world, *breaker.scope, int(breaker.kind), breaker.rule)


def upserts(breakers: Sequence[Breaker], now_ns: int) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Statements, with their parameters, that store these breakers."""
    columns = f"{_MEASURED}, change_time_ns"
    row = f"({', '.join('?' * 23)})"
    for start in range(0, len(breakers), _ROWS):
        some = breakers[start : start + _ROWS]
        statement = (
            f"INSERT INTO gate_breakers ({_BREAKER}, change_time_ns)"
            f" VALUES {', '.join([row] * len(some))}"
            f" ON CONFLICT ({_KEY}) DO UPDATE SET {_set(columns)}"
        )
        yield statement, tuple(value for each in some for value in _breaker_row(each, now_ns))


def breakers_by_key(
    world: World, keys: Sequence[BreakerKey]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Statements, with their parameters, that find the breakers of these keys."""
    for start in range(0, len(keys), _ROWS):
        some = keys[start : start + _ROWS]
        places = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(some))
        statement = (
            f"SELECT {_BREAKER} FROM gate_breakers WHERE environment = ? AND run_id = ?"
            f" AND ({_SCOPE}, kind, rule) IN (VALUES {places})"
        )
        parameters = [part for scope, kind, rule in some for part in (*scope, int(kind), rule)]
        yield statement, (*world, *parameters)


def page_query(*, with_closed: bool, behind: bool) -> str:
    """The statement for a page of breakers, in the contract's order."""
    return (
        f"SELECT {_BREAKER} FROM gate_breakers WHERE {_PLACE}"
        + ("" if with_closed else " AND is_open = 1")
        + (f" AND ({_SCOPE}, kind, rule) > (:p0, :p1, :p2, :p3, :p4, :p5)" if behind else "")
        + f" ORDER BY {_SCOPE}, kind, rule LIMIT :count"
    )


def page_parameters(world: World, after: BreakerKey | None, count: int) -> dict[str, Any]:
    """The parameters of `page_query`."""
    parameters: dict[str, Any] = {
        "environment": world.environment,
        "run_id": world.run_id,
        "count": count,
    }
    if after is not None:
        place = (*after.scope, int(after.kind), after.rule)
        parameters |= {f"p{index}": part for index, part in enumerate(place)}
    return parameters


def _breaker_row(breaker: Breaker, now_ns: int) -> tuple[Any, ...]:
    return (
        *key_row(breaker),
        *(int(breaker.is_open), breaker.open_time_ns, breaker.open_until_ns, breaker.trip_count),
        *(breaker.reason, breaker.actor, breaker.revision, json.dumps(breaker.probes)),
        *(breaker.success_count, breaker.breach_count, json.dumps(breaker.window)),
        *(breaker.clock_ns, breaker.observed_value, breaker.limit, now_ns),
    )
