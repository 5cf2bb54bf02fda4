"""`trimtab gate status | watch | explain | override`, and the orders of `gate_orders`.

Exit code of `status`: 0 = nothing restricts entries, 1 = something does, 2 = no answer or wrong
arguments. Of `explain`: 0 = allowed, 1 = denied, 2 as above.
"""

# Imports stand inside the commands: the command line starts fast.

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trimtab_server.cli import gate_orders
from trimtab_server.cli.credentials import told_credentials
from trimtab_server.cli.event_lines import fitted, line_width, time_text
from trimtab_server.cli.events import AddressOption, fail, parsed_time, sidecar
from trimtab_server.cli.gate_lines import (
    breaker_text,
    is_restricted,
    state_text,
    world_lines,
)
from trimtab_server.cli.gate_options import (
    CODE,
    ActorOption,
    EnvironmentArgument,
    JsonOption,
    ModelOption,
    ReasonOption,
    RunOption,
    StrategyOption,
    SymbolOption,
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
    from trimtab_client import Client, ListBreakersResponse

app = typer.Typer(help="Ask, halt and resume the signal gate.", no_args_is_help=True)
app.command()(gate_orders.halt)
app.command()(gate_orders.reduce)
app.command()(gate_orders.resume)
app.command()(gate_orders.trip)
app.command()(gate_orders.reset)

_WATCH_S = 0.5
_LEASE_S_MAX = 5.0


@app.command()
def status(
    address: AddressOption = None,
    environment: Annotated[
        str, typer.Option("--environment", "-e", help="Default: live and paper.")
    ] = "",
    run_id: RunOption = "",
    with_closed: Annotated[bool, typer.Option("--all", help="Closed breakers too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell whether entries pass (exit code 0), and what restricts them (1)."""
    restricted = False
    with sidecar(address, code=CODE) as client:
        for name in [environment] if environment else ["live", "paper"]:
            with arguments():
                listed = _listed(client, name, run_id, with_closed=with_closed)
            restricted = restricted or is_restricted(listed)
            _show_world(name, run_id, listed, as_json=as_json)
    raise typer.Exit(int(restricted))


@app.command()
def watch(
    address: AddressOption = None,
    environment: Annotated[
        str, typer.Option("--environment", "-e", help="live, paper or backtest.")
    ] = "live",
    run_id: RunOption = "",
) -> None:
    """Show a world and each change of it, until Ctrl-C."""
    from rich.console import Console
    from rich.live import Live

    from trimtab_client import DeadlineExceeded, Unavailable

    console = Console(highlight=False, markup=False)
    with sidecar(address, code=CODE) as client, _until_interrupt() as is_interrupted:
        with arguments():
            shown = _listed(client, environment, run_id)
        with Live(_screen(environment, run_id, shown, ""), console=console, screen=False) as live:
            while not is_interrupted():
                time.sleep(_WATCH_S)
                away = ""
                try:
                    listed = _listed(client, environment, run_id)
                except (Unavailable, DeadlineExceeded):
                    away = f"no sidecar answers at {client.address}; this is what was last heard"
                else:
                    for line in _changes(shown, listed):
                        console.print(f"{time_text(listed.server_time.seconds, 0)}  {line}")
                    shown = listed
                live.update(_screen(environment, run_id, shown, away))


@contextlib.contextmanager
def _until_interrupt() -> Iterator[Callable[[], bool]]:
    """Ctrl-C ends the block. A callback of a library may swallow the exception: then what is
    yielded still says that it came."""
    came: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        came[:] = [number]
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, before)


@app.command()
def explain(
    environment: EnvironmentArgument,
    source: Annotated[str, typer.Option("--source", help="The engine.", show_default=False)],
    address: AddressOption = None,
    run_id: RunOption = "",
    strategy: StrategyOption = None,
    symbol: SymbolOption = None,
    model: ModelOption = None,
    intent: Annotated[str, typer.Option("--intent", help="entry, reduce or exit.")] = "entry",
    confidence: Annotated[float | None, typer.Option("--confidence", min=0.0, max=1.0)] = None,
    at: Annotated[str, typer.Option("--at", help="Time of the signal; for backtest.")] = "",
    on_unavailable: Annotated[
        str,
        typer.Option("--on-unavailable", help="As the engine was built: closed or open."),
    ] = "closed",
) -> None:
    """Tell, rule by rule, whether an engine's signal would pass now, and why."""
    import trimtab_client

    at_ns = parsed_time(at, "--at")
    with arguments(), tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as closing:
        tt = trimtab_client.connect(
            source=source,
            environment=environment.upper(),
            run_id=run_id,
            address=address,
            on_unavailable=on_unavailable.upper(),
            credentials=told_credentials(),
            settings=trimtab_client.RecorderSettings(spool_mode="off"),
            # The engine's own memory is not ours to write.
            gate_settings=trimtab_client.GateSettings(record_decisions=False, gate_dir=folder),
        )
        closing.callback(tt.close, 0.0)
        if not tt.gate.wait_fresh(_LEASE_S_MAX):
            why = tt.gate.stats.last_error or "it is silent"
            raise fail(f"no sidecar answers at {tt.address} with a lease: {why}", CODE)
        found = tt.gate.explain(
            strategy=named("--strategy", strategy), symbol=named("--symbol", symbol),
            model_name=named("--model", model), intent=intent.upper(), confidence=confidence,
            event_time_ns=at_ns,
        )  # fmt: skip
    for line in str(found).splitlines():
        print_line(line)
    raise typer.Exit(0 if found.answer.allowed else 1)


@app.command()
def override(
    environment: EnvironmentArgument,
    source: Annotated[str, typer.Option("--source", help="The engine.", show_default=False)],
    reason: ReasonOption,
    until: Annotated[str, typer.Option("--until", help="When it ends: 30min, 2h, or a time.")],
    strategy: StrategyOption = None,
    symbol: SymbolOption = None,
    model: ModelOption = None,
    actor: ActorOption = "",
) -> None:
    """On the engine's own machine: end what is left of a halt while no sidecar answers.

    It binds nobody who holds a lease. In an engine that was built CLOSED entries stay denied.
    """
    from trimtab_client import read_override, write_override

    ends: dict[str, Any] = (
        {"lasts_s": span_s(until, "--until")} if is_span(until) else {"expires": point_ns(until)}
    )
    with arguments():
        try:
            path = write_override(
                source=source, environment=environment.upper(), actor=actor or user(),
                reason=reason, strategy=named("--strategy", strategy),
                symbol=named("--symbol", symbol), model_name=named("--model", model), **ends,
            )  # fmt: skip
        except OSError as error:
            raise fail(f"{error.filename or 'override'}: {error.strerror}", CODE) from None
        written = read_override(source=source, environment=environment.upper())
    print_line(f"written: {path}; {written}")
    if not path.with_name(path.name.replace(".override.json", ".heard")).exists():
        print_line(
            "note: no gate of this engine has kept anything beside it; are --source, --environment"
            " and TRIMTAB_GATE_DIR the engine's?"
        )


def _listed(
    client: Client, environment: str, run_id: str, *, with_closed: bool = False
) -> ListBreakersResponse:
    """All pages as one answer."""
    told = {"environment": environment.upper(), "run_id": run_id, "include_closed": with_closed}
    whole = client.list_breakers(**told, page_size=1_000)  # type: ignore[arg-type]
    token = whole.next_page_token
    while token:
        page = client.list_breakers(**told, page_size=1_000, page_token=token)  # type: ignore[arg-type]
        whole.breakers.extend(page.breakers)
        token = page.next_page_token
    return whole


def _show_world(
    environment: str, run_id: str, listed: ListBreakersResponse, *, as_json: bool
) -> None:
    if as_json:
        print_json(listed)
        return
    for line in world_lines(_title(environment, run_id), listed):
        print_line(line)


def _title(environment: str, run_id: str) -> str:
    return environment.upper() + (f" run {run_id}" if run_id else "")


def _screen(environment: str, run_id: str, listed: ListBreakersResponse, away: str) -> str:
    lines = list(world_lines(_title(environment, run_id), listed))
    if away:
        lines.append(f"! {away}")
    width = line_width()
    return "\n".join(fitted(line, width) for line in lines)


def _changes(before: ListBreakersResponse, now: ListBreakersResponse) -> Iterator[str]:
    """What came and what went between two looks, a line each; what ended by itself went too."""
    for then, here in (
        (map(state_text, before.trading_states), map(state_text, now.trading_states)),
        (map(_open_text, before.breakers), map(_open_text, now.breakers)),
    ):
        gone, come = set(then), set(here)
        yield from (f"- {line}" for line in sorted(gone - come))
        yield from (f"+ {line}" for line in sorted(come - gone))


def _open_text(breaker: Any) -> str:
    """A breaker without what it measures, which changes all the time."""
    told = type(breaker)()
    told.CopyFrom(breaker)
    for measured in ("observed_value", "limit", "probe_count", "success_count"):
        told.ClearField(measured)
    return breaker_text(told)
