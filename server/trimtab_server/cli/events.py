"""`trimtab events list | tail | stats | rejected`: looking into the log of a running sidecar.

The pieces that other commands need too stand here: how a sidecar is reached, how its absence is
told, how times and filters are read.
"""

# Imports stand inside the commands: the command line starts fast.

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from trimtab_server.cli.credentials import told_credentials
from trimtab_server.cli.event_lines import (
    event_line,
    fitted,
    header_line,
    line_width,
    plain_event,
    rejection_text,
    time_text,
)

if TYPE_CHECKING:
    from trimtab_client import Client, Event, EventFilter, TrimtabError

app = typer.Typer(help="Look into the event log.", no_args_is_help=True)


class TextFormat(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"


AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        envvar="TRIMTAB_ADDRESS",
        help="Sidecar: host:port or unix:/path.",
        show_default="127.0.0.1:7517",
    ),
]
KindOption = Annotated[
    list[str] | None,
    typer.Option("--kind", help="Only this kind, e.g. signal; may be given more than once."),
]
SourceOption = Annotated[str, typer.Option("--source", help="Only this engine.")]
EnvironmentOption = Annotated[
    str, typer.Option("--environment", help="Only live, paper or backtest.")
]
RunOption = Annotated[str, typer.Option("--run-id", help="Only this run.")]
StrategyOption = Annotated[str, typer.Option("--strategy", help="Only this strategy.")]
SymbolOption = Annotated[str, typer.Option("--symbol", help="Only this instrument.")]
SignalOption = Annotated[str, typer.Option("--signal-id", help="Only this signal.")]
StartOption = Annotated[
    str, typer.Option("--start", help="From this time on (ISO 8601, UTC unless told).")
]
EndOption = Annotated[str, typer.Option("--end", help="Before this time (ISO 8601).")]
TextFormatOption = Annotated[
    TextFormat, typer.Option("--format", help="table, or json: one object a line.")
]

PAGE_SIZE = 1000


class Order(StrEnum):
    """Order of a list."""

    SEQUENCE = "sequence"
    SEQUENCE_DESC = "sequence_desc"
    EVENT_TIME = "event_time"
    EVENT_TIME_DESC = "event_time_desc"


def fail(message: str, code: int = 1) -> typer.Exit:
    """Says one line on standard error; returns the exit to raise."""
    typer.echo(f"trimtab: {message}", err=True)
    return typer.Exit(code)


@contextlib.contextmanager
def sidecar(address: str | None, *, code: int = 1) -> Iterator[Client]:
    """A client of the sidecar; what goes wrong with it ends the command with one line and the exit
    code told."""
    from trimtab_client import Client, DeadlineExceeded, TrimtabError, Unavailable

    try:
        client = Client(address, timeout_s=10.0, credentials=told_credentials())
    except ValueError as error:
        raise fail(str(error), 2) from None
    try:
        yield client
    except (Unavailable, DeadlineExceeded) as error:
        raise fail(_absence_text(client.address, error), code) from None
    except TrimtabError as error:
        raise fail(_error_text(error), code) from None
    finally:
        client.close()


def _absence_text(address: str, error: TrimtabError) -> str:
    """Why nobody answers, as far as it is known, and what to do."""
    if "handshake failed" in error.message:
        why = error.message.rpartition("OPENSSL_internal:")[2].removesuffix(": OK")
        return f"TLS with {address} failed: {why}; see --tls-ca, --tls-cert and --tls-key"
    words = f"no sidecar answers at {address}; start one with `trimtab serve`, or tell --address"
    if "Socket closed" in error.message:
        words += "; one that is secured hangs up without --tls-ca, or --tls-cert where it asks"
    return words


def _error_text(error: TrimtabError) -> str:
    """An error in one line that says each thing once: the fields at fault, else its message."""
    fields = "; ".join(f"{one.field}: {one.description}" for one in error.field_violations)
    label = f"{error.code.name}/{error.reason}" if error.reason else error.code.name
    return f"{label}: {fields or error.message}"


def parsed_time(text: str, option: str) -> int | None:
    """UTC nanoseconds of a time argument, None for an empty one; exit 2 when it is no time."""
    from trimtab_server.domain.imports.trade_columns import time_ns

    if not text:
        return None
    try:
        return time_ns(text)
    except ValueError as error:
        raise fail(f"{option}: {error}", 2) from None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Filter options as given."""

    kinds: tuple[str, ...] = ()
    source: str = ""
    environment: str = ""
    run_id: str = ""
    strategy: str = ""
    symbol: str = ""
    signal_id: str = ""
    start: str = ""
    end: str = ""

    def message(self) -> EventFilter:
        """The contract's filter; exit 2 with one line for an unknown word or time."""
        from trimtab_client import event_filter

        start, end = parsed_time(self.start, "--start"), parsed_time(self.end, "--end")
        try:
            return event_filter(
                kinds=[kind.upper().replace("-", "_") for kind in self.kinds],
                source=self.source,
                environment=self.environment.upper() or 0,
                run_id=self.run_id,
                strategy=self.strategy,
                symbol=self.symbol,
                signal_id=self.signal_id,
                start_time=start,
                end_time=end,
            )
        except ValueError as error:
            raise fail(str(error), 2) from None

    def words(self) -> str:
        """The filter in words, "the whole log" when there is none."""
        told = [
            f"{name} {value}"
            for name, value in (
                ("kind", ", ".join(self.kinds)),
                ("source", self.source),
                ("environment", self.environment),
                ("run", self.run_id),
                ("strategy", self.strategy),
                ("symbol", self.symbol),
                ("signal", self.signal_id),
                ("from", self.start),
                ("before", self.end),
            )
            if value
        ]
        return ", ".join(told) or "the whole log"


def _write(event: Event, form: TextFormat) -> None:
    if form is TextFormat.JSON:
        typer.echo(json.dumps(plain_event(event), sort_keys=True))
    else:
        typer.echo(event_line(event, line_width()))


def _header(form: TextFormat) -> None:
    if form is TextFormat.TABLE:
        typer.echo(header_line(line_width()))


@app.command("list")
def list_events(
    kind: KindOption = None,
    source: SourceOption = "",
    environment: EnvironmentOption = "",
    run_id: RunOption = "",
    strategy: StrategyOption = "",
    symbol: SymbolOption = "",
    signal_id: SignalOption = "",
    start: StartOption = "",
    end: EndOption = "",
    order: Annotated[Order, typer.Option("--order", help="In which order.")] = Order.SEQUENCE,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Most events; 0 = all.")] = 50,
    page_token: Annotated[str, typer.Option("--page-token", help="Go on where a list ended.")] = "",
    form: TextFormatOption = TextFormat.TABLE,
    address: AddressOption = None,
) -> None:
    """List events by filter, page by page."""
    wanted = Wanted(
        tuple(kind or ()), source, environment, run_id, strategy, symbol, signal_id, start, end
    )
    message = wanted.message()
    with sidecar(address) as client:
        left, token, first = limit, page_token, True
        while True:
            page = client.list_events(
                message,
                order=order.name,
                page_size=min(left, PAGE_SIZE) if limit else PAGE_SIZE,
                page_token=token,
            )
            if first:
                _header(form)
            first = False
            for event in page.events:
                _write(event, form)
            left, token = left - len(page.events), page.next_page_token
            if not token or (limit and left <= 0):
                break
    if token:
        typer.echo(f"there is more: --page-token {token}", err=True)


@app.command("tail")
def tail_events(
    kind: KindOption = None,
    source: SourceOption = "",
    environment: EnvironmentOption = "",
    run_id: RunOption = "",
    strategy: StrategyOption = "",
    symbol: SymbolOption = "",
    signal_id: SignalOption = "",
    start: StartOption = "",
    end: EndOption = "",
    after_sequence: Annotated[
        int | None,
        typer.Option("--after-sequence", min=0, help="Start behind this one; default: from now."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="Stop after so many; 0 = never.")
    ] = 0,
    form: TextFormatOption = TextFormat.TABLE,
    address: AddressOption = None,
) -> None:
    """Follow the log as it grows, until Ctrl-C."""
    wanted = Wanted(
        tuple(kind or ()), source, environment, run_id, strategy, symbol, signal_id, start, end
    )
    message = wanted.message()
    with sidecar(address) as client, contextlib.suppress(KeyboardInterrupt):
        info = client.get_server_info()
        stream = client.watch_events(
            message,
            log_id=info.log_id if after_sequence is not None else "",
            after_sequence=after_sequence or 0,
            from_now=after_sequence is None,
        )
        _header(form)
        for count, event in enumerate(stream, start=1):
            _write(event, form)
            if count == limit:
                break


@app.command("stats")
def stats(
    source: SourceOption = "",
    environment: EnvironmentOption = "",
    run_id: RunOption = "",
    form: TextFormatOption = TextFormat.TABLE,
    address: AddressOption = None,
) -> None:
    """Count events by kind, source and environment."""
    with sidecar(address) as client:
        try:
            found = client.get_stats(
                source=source, environment=environment.upper() or 0, run_id=run_id
            )
        except ValueError as error:
            raise fail(str(error), 2) from None
    if form is TextFormat.JSON:
        from google.protobuf.json_format import MessageToDict

        plain = MessageToDict(
            found, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        typer.echo(json.dumps(plain, sort_keys=True))
        return
    from rich.console import Console
    from rich.table import Table

    from trimtab_client import Environment, kind_word

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("kind", "source", "environment"):
        table.add_column(name)
    for name in ("events", "bytes", "last event time"):
        table.add_column(name, justify="right")
    for row in found.counts:
        table.add_row(
            kind_word(row.kind),
            row.source,
            Environment.Name(row.environment).removeprefix("ENVIRONMENT_"),
            f"{row.event_count:,}",
            f"{row.event_bytes:,}",
            time_text(row.last_event_time.seconds, row.last_event_time.nanos),
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{found.event_count:,} events, {found.event_bytes:,} bytes, last sequence "
        f"{found.last_sequence:,}; {found.duplicate_count:,} duplicates since the start, "
        f"{found.rejected_count:,} rejected kept, {found.events_buffered:,} waiting"
    )


@app.command("rejected")
def list_rejected(
    source: SourceOption = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most of them.")] = 50,
    page_token: Annotated[str, typer.Option("--page-token", help="Go on where a list ended.")] = "",
    form: TextFormatOption = TextFormat.TABLE,
    address: AddressOption = None,
) -> None:
    """Show what was refused on streams and why, newest first; nothing of it is in the log."""
    from google.protobuf.json_format import MessageToDict

    width, left, token, count = line_width(), limit, page_token, 0
    with sidecar(address) as client:
        while True:
            page = client.list_rejected_events(
                source=source, page_size=min(left, PAGE_SIZE), page_token=token
            )
            for one in page.rejected_events:
                count += 1
                if form is TextFormat.JSON:
                    plain = MessageToDict(one, preserving_proto_field_name=True)
                    typer.echo(json.dumps(plain, sort_keys=True))
                    continue
                if count == 1:
                    typer.echo(f"{'reject time':<20}  {'source':<14}  {'number':>8}  why")
                why = rejection_text(one.rejection)
                time = time_text(one.reject_time.seconds, 0)
                number = one.rejection.producer_seq
                name = fitted(one.source, 14)
                typer.echo(fitted(f"{time:<20}  {name:<14}  {number:>8}  {why}", width))
            left, token = left - len(page.rejected_events), page.next_page_token
            if not token or left <= 0:
                break
    if not count and form is TextFormat.TABLE:
        typer.echo("nothing was refused")
    if token:
        typer.echo(f"there is more: --page-token {token}", err=True)
