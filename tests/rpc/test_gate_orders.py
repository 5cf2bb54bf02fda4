"""What an order is answered with, however much there is to tell."""

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.loop.gate_world import LIVE, LOSSES, START_NS, Running, running
from tests.store.conftest import Backend
from trimtab.v1 import event_pb2 as ev
from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab_server.domain.gate.breaker_record import Breaker
from trimtab_server.domain.gate.gate_world import key_of
from trimtab_server.domain.gate.signal_gate import Scope, StateEntry, TradingState
from trimtab_server.rpc.gate_orders import GateOrders
from trimtab_server.telemetry import Telemetry

COUNT = 300
# As the contract says; ListBreakers tells all.
TOLD_MAX = 256


def _order(message: Any, **told: Any) -> Any:
    usual = {
        "scope": pb.GateScope(environment=ev.ENVIRONMENT_LIVE),
        "reason": "why",
        "actor": "me",
        "request_id": str(uuid.uuid4()),
    }
    return message(**{**usual, **told})


def _fill(one: Running) -> None:
    """So many halts and open breakers, each of its own strategy."""
    scopes = [Scope(strategy=f"s-{i:03}") for i in range(COUNT)]
    breakers = [Breaker(LIVE, scope, LOSSES.kind, "losses", is_open=True) for scope in scopes]
    halted = (TradingState.HALTED, False, "me", "why", None, START_NS, 1)
    states = tuple(StateEntry(scope, *halted) for scope in scopes)
    gate = one.store.gate
    with one.store._database.writing() as writer:
        before = gate.held(writer, LIVE)
        gate._write(writer, before, replace(before, revision=1, states=states), ())
        closed = {key_of(each): replace(each, is_open=False) for each in breakers}
        gate.keep(writer, gate.held(writer, LIVE), closed, breakers)


async def test_answers_to_orders_tell_a_bounded_number_of_entries(tmp_path: Path) -> None:
    """Each list holds the first 256 in their order, because answers are kept to be given again; the
    order itself is carried out whole."""
    async with running(Backend("sqlite", tmp_path).open(), with_monitor=False) as one:
        orders = GateOrders(one.gate, Telemetry())
        _fill(one)
        halted = await orders.set_trading_state(
            _order(pb.SetTradingStateRequest, state=pb.TRADING_STATE_HALTED)
        )
        first = [f"s-{i:03}" for i in range(TOLD_MAX)]
        assert [each.scope.strategy for each in halted.still_in_force] == first
        assert [each.scope.strategy for each in halted.breakers_not_closed] == first
        assert halted.HasField("current")
        nothing = await orders.reset_breaker(_order(pb.ResetBreakerRequest))
        assert len(nothing.cleared) == 0
        assert len(nothing.still_not_closed) == TOLD_MAX
        assert len(nothing.trading_states) == TOLD_MAX
        cleared = await orders.reset_breaker(_order(pb.ResetBreakerRequest, include_narrower=True))
        assert [each.scope.strategy for each in cleared.cleared] == first
        assert len(cleared.still_not_closed) == 0
        assert not one.gate.held(LIVE).breakers
        assert len(one.gate.held(LIVE).rules.states) == COUNT + 1
