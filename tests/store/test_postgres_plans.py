"""What Postgres does for each query, whatever its statistics say of the log."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from tests.store.conftest import Backend
from tests.store.log_events import an_event, unary
from trimtab_server.domain.events import EventFilter, EventKind, EventOrder
from trimtab_server.store.store import Store

_KIND = (int(EventKind.MARKET_BAR),)
_INDEXED = {
    "everything": EventFilter(),
    "kind": EventFilter(kinds=_KIND),
    "kind and symbol": EventFilter(kinds=_KIND, symbol="S1"),
    "symbol": EventFilter(symbol="S1"),
    "signal": EventFilter(signal_id="s1"),
    "run": EventFilter(run_id="r1"),
    "run and kind": EventFilter(run_id="r1", kinds=_KIND),
}


def _plan(log: Store, call: Callable[[], object]) -> str:
    """How Postgres goes about the queries that a call makes, with the statistics it has now."""
    seen: list[tuple[str, Any]] = []

    def remember(_c: object, _k: object, statement: str, parameters: Any, *_: object) -> None:
        seen.append((statement, parameters))

    engine = log._database._readers
    event.listen(engine, "before_cursor_execute", remember)
    call()
    event.remove(engine, "before_cursor_execute", remember)
    with log._database.reading() as connection:
        return "\n".join(
            str(row[0])
            for statement, parameters in seen
            if statement.startswith("SELECT")
            for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        )


@pytest.fixture(params=["never analysed", "analysed when empty", "analysed"])
def filled(request: pytest.FixtureRequest, databases: Backend) -> Store:
    """A log of a few thousand events, with statistics of different ages."""
    kinds, log = list(EventKind), databases.open()
    with psycopg.connect(databases.url(), autocommit=True) as other:
        other.execute("ALTER TABLE events SET (autovacuum_enabled = off)")
        if request.param == "analysed when empty":
            other.execute("ANALYZE events")
        for first in range(0, 6_000, 1_000):
            made = [
                an_event(
                    n,
                    kind=kinds[n % 5],
                    symbol=f"S{n % 9}",
                    signal_id=f"s{n % 50}",
                    run_id=f"r{n % 3}",
                )
                for n in range(first, first + 1_000)
            ]
            log.append([unary(*made)])
        if request.param == "analysed":
            other.execute("ANALYZE events")
    return log


@pytest.mark.parametrize("order", [EventOrder.SEQUENCE, EventOrder.SEQUENCE_DESC])
@pytest.mark.parametrize("name", _INDEXED)
def test_a_page_is_read_from_an_index_whatever_the_statistics_say(
    filled: Store, name: str, order: EventOrder
) -> None:
    """No scan of the log and no sort: a table that grows has stale statistics most of the time."""
    plan = _plan(filled, lambda: filled.events.page(_INDEXED[name], order, 50, 1 << 20, (0, 3_000)))
    assert "Seq Scan" not in plan, plan
    assert "Sort" not in plan, plan


def test_looking_up_ids_never_scans_the_log(filled: Store) -> None:
    """The lookup of a resent batch, on the writer's own session."""
    ids = [an_event(n).event_id for n in range(500)]
    with filled._database.writing() as writer:
        rows = writer.execute(
            "EXPLAIN SELECT event_id, sequence, body FROM events WHERE event_id = ANY(?)", (ids,)
        )
        plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan, plan
    assert "Index" in plan, plan
