"""`trimtab gate halt | reduce | resume | trip | reset`: what an operator orders.

An order needs an environment, a reason and an actor (default: who is logged in); options narrow its
scope. Exit code 0: done. 2: refused, no answer, or wrong arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from trimtab_server.cli.events import AddressOption, fail, sidecar
from trimtab_server.cli.gate_lines import breaker_text, leftover_lines, state_text, world_text
from trimtab_server.cli.gate_options import (
    CODE,
    ActorOption,
    EnvironmentArgument,
    JsonOption,
    ModelOption,
    ReasonOption,
    RunOption,
    SourceOption,
    StrategyOption,
    SymbolOption,
    UntilOption,
    arguments,
    is_span,
    named,
    point_ns,
    print_json,
    print_line,
    span_s,
    user,
)

if TYPE_CHECKING:
    from trimtab_client import Client


class Scope(TypedDict):
    """A scope as the client's methods take it."""

    environment: str
    run_id: str
    source: str
    strategy: str
    symbol: str
    model_name: str


def halt(
    environment: EnvironmentArgument,
    reason: ReasonOption,
    address: AddressOption = None,
    run_id: RunOption = "",
    source: SourceOption = None,
    strategy: StrategyOption = None,
    symbol: SymbolOption = None,
    model: ModelOption = None,
    until: UntilOption = "",
    block_exits: Annotated[
        bool, typer.Option("--block-exits", help="Deny exits and reductions too.")
    ] = False,
    actor: ActorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Stop every entry in a scope, at once, in every connected engine."""
    scope = _scope(environment, run_id, source, strategy, symbol, model)
    _set_state(address, "HALTED", scope, reason, actor, until, as_json=as_json, exits=block_exits)


def reduce(
    environment: EnvironmentArgument,
    reason: ReasonOption,
    address: AddressOption = None,
    run_id: RunOption = "",
    source: SourceOption = None,
    strategy: StrategyOption = None,
    symbol: SymbolOption = None,
    model: ModelOption = None,
    until: UntilOption = "",
    actor: ActorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let a scope only get smaller: no entries, exits pass."""
    scope = _scope(environment, run_id, source, strategy, symbol, model)
    _set_state(address, "REDUCING", scope, reason, actor, until, as_json=as_json)


def resume(
    environment: EnvironmentArgument,
    reason: ReasonOption,
    address: AddressOption = None,
    run_id: RunOption = "",
    source: SourceOption = None,
    strategy: StrategyOption = None,
    symbol: SymbolOption = None,
    model: ModelOption = None,
    actor: ActorOption = "",
    as_json: JsonOption = False,
) -> None:
    """End the halt or reduction of exactly this scope; tells what still restricts it."""
    scope = _scope(environment, run_id, source, strategy, symbol, model)
    _set_state(address, "ACTIVE", scope, reason, actor, "", as_json=as_json)


def trip(
    kind: Annotated[str, typer.Argument(help="e.g. drawdown, loss_rate, critical_drift.")],
    environment: EnvironmentArgument,
    reason: ReasonOption,
    address: AddressOption = None,
    run_id: RunOption = "",
    source: SourceOption = None,
    strategy: StrategyOption = None,
    symbol: SymbolOption = None,
    model: ModelOption = None,
    cool_down: Annotated[
        str, typer.Option("--cool-down", help="30min, 2h, 1d. Default: until reset.")
    ] = "",
    actor: ActorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Open a breaker by hand."""
    scope = _scope(environment, run_id, source, strategy, symbol, model)
    seconds = span_s(cool_down, "--cool-down") if cool_down else None
    with sidecar(address, code=CODE) as client, arguments():
        done = client.trip_breaker(
            **scope, kind=_kind(kind), reason=reason, actor=actor or user(), cool_down_s=seconds
        )
    if as_json:
        print_json(done)
        return
    typer.echo(f"{world_text(done.current.scope)}, revision {done.revision}")
    print_line(f"  {breaker_text(done.current)}")
    if done.HasField("previous"):
        print_line(f"  before: {breaker_text(done.previous)}")


def reset(
    environment: EnvironmentArgument,
    reason: ReasonOption,
    kind: Annotated[str, typer.Argument(help="Default: all kinds.", show_default=False)] = "",
    address: AddressOption = None,
    run_id: RunOption = "",
    source: SourceOption = None,
    strategy: StrategyOption = None,
    symbol: SymbolOption = None,
    model: ModelOption = None,
    include_narrower: Annotated[
        bool, typer.Option("--include-narrower", help="Those of narrower scopes too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what it would clear.")
    ] = False,
    actor: ActorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Close the breakers of exactly this scope; tells what it cleared and what still restricts."""
    scope = _scope(environment, run_id, source, strategy, symbol, model)
    with sidecar(address, code=CODE) as client, arguments():
        done = client.reset_breaker(
            **scope,
            kind=_kind(kind) if kind else 0,
            reason=reason,
            actor=actor or user(),
            include_narrower=include_narrower,
            validate_only=dry_run,
        )
    if as_json:
        print_json(done)
        return
    verb = "would clear" if dry_run else "cleared"
    count = len(done.cleared)
    typer.echo(f"{verb} {count} breaker{'' if count == 1 else 's'}, revision {done.revision}")
    for breaker in done.cleared:
        print_line(f"  {verb}: {breaker_text(breaker)}")
    for line in leftover_lines(done.trading_states, done.still_not_closed):
        print_line(line)


def _kind(word: str) -> str:
    return word.upper().replace("-", "_")


def _set_state(
    address: str | None,
    state: str,
    scope: Scope,
    reason: str,
    actor: str,
    until: str,
    *,
    as_json: bool,
    exits: bool = False,
) -> None:
    with sidecar(address, code=CODE) as client, arguments():
        ends_ns = _until_ns(client, scope, until)
        done = client.set_trading_state(
            **scope, state=state, reason=reason, actor=actor or user(), until=ends_ns,
            block_exits=exits,
        )  # fmt: skip
    if as_json:
        print_json(done)
        return
    typer.echo(f"{scope['environment']}, revision {done.revision}")
    now = state_text(done.current) if done.HasField("current") else "ACTIVE in exactly this scope"
    print_line(f"  now: {now}")
    if done.HasField("previous"):
        print_line(f"  before: {state_text(done.previous)}")
    for line in leftover_lines(done.still_in_force, done.breakers_not_closed):
        print_line(line)


def _until_ns(client: Client, scope: Scope, until: str) -> int | None:
    """When a state shall end, in nanoseconds UTC. A span counts from now by the sidecar's clock."""
    if not is_span(until):
        return point_ns(until)
    if scope["run_id"]:
        raise fail("--until: a run has its own time; tell a time of it, not a span", CODE)
    listed = client.list_breakers(environment=scope["environment"], page_size=1)
    return listed.server_time.ToNanoseconds() + int(span_s(until, "--until") * 1e9)


def _scope(
    environment: str,
    run_id: str,
    source: str | None,
    strategy: str | None,
    symbol: str | None,
    model: str | None,
) -> Scope:
    return {
        "environment": environment.upper(),
        "run_id": run_id,
        "source": named("--source", source),
        "strategy": named("--strategy", strategy),
        "symbol": named("--symbol", symbol),
        "model_name": named("--model", model),
    }
