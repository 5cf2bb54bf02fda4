"""`trimtab spool inspect | drain`: what engines could not send, and sending it now."""

# Imports stand inside the commands: the command line starts fast.

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimtab_server.cli.credentials import told_credentials
from trimtab_server.cli.events import AddressOption, SourceOption, fail, sidecar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trimtab_client.spool_adoption import Adopted
    from trimtab_client.spool_inspection import Inspection

app = typer.Typer(help="Look into the spools of engines, and send them.", no_args_is_help=True)

DirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        help="Directory of the spools.",
        show_default="$TRIMTAB_SPOOL_DIR, else $XDG_STATE_HOME/trimtab/spool",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def _directory(told: Path | None) -> Path:
    """The directory; exit 2 when one was told that is none."""
    from trimtab_client.spool import default_directory

    directory = told or default_directory()
    if told is not None and not told.is_dir():
        raise fail(f"--dir: {told} is no directory", 2)
    if directory.exists() and not directory.is_dir():
        raise fail(f"{directory} is no directory", 2)
    return directory


def _state(found: Inspection) -> str:
    if found.is_held:
        return "held"
    return "unreadable" if found.error else "orphaned"


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


@app.command("inspect")
def inspect(
    directory: DirectoryOption = None, source: SourceOption = "", as_json: JsonOption = False
) -> None:
    """List the spool folders and what they hold; touches nothing."""
    from trimtab_client.spool_inspection import inspections

    root = _directory(directory)
    found = inspections(root, source)
    if as_json:
        for each in found:
            plain = asdict(each) | {"path": str(each.path), "state": _state(each)}
            typer.echo(json.dumps(plain, sort_keys=True))
        return
    if not found:
        typer.echo(f"no spool in {root}")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("source", "state", "age", "producer"):
        table.add_column(name)
    for name in ("epoch", "first", "last", "events", "damaged", "bytes"):
        table.add_column(name, justify="right")
    for each in found:
        torn = "+torn" if each.is_torn else ""
        table.add_row(
            each.source or "?", _state(each), _age(each.age_s), each.producer_id or each.path.name,
            str(each.epoch), f"{each.first_seq:,}", f"{each.last_seq:,}", f"{each.event_count:,}",
            f"{each.damaged_count:,}{torn}", f"{each.byte_count:,}",
        )  # fmt: skip
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{root}: {len(found):,} folders, {sum(each.event_count for each in found):,} events,"
        f" {sum(each.byte_count for each in found):,} bytes; some may be stored already"
    )
    for each in found:
        if each.error:
            typer.echo(f"{each.path}: {each.error}", err=True)


@app.command("drain")
def drain(
    directory: DirectoryOption = None,
    source: SourceOption = "",
    address: AddressOption = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.0, help="Seconds to send within.")
    ] = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Send every orphaned spool; exit 0 only when none is left. Live engines keep theirs."""
    from trimtab_client.channel import LazyChannel
    from trimtab_client.settings import RecorderSettings
    from trimtab_client.spool_adoption import Adoption
    from trimtab_client.spool_inspection import inspections

    root = _directory(directory)
    # Asked first: an epoch is raised only where somebody may take the events.
    with sidecar(address) as client:
        client.get_server_info()
    channel = LazyChannel(address, told_credentials())
    ready = threading.Event()
    ready.set()
    adoption = Adoption(channel, root, source, RecorderSettings(), None, ready)
    logger = logging.getLogger("trimtab_client")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what it warns of stands in the result
    try:
        _tell(adoption.replays(timeout_s), as_json=as_json)
    finally:
        logger.setLevel(level)
        channel.close()
    after = inspections(root, source)
    left = [each for each in after if not each.is_held]
    held_count = len(after) - len(left)
    if held_count:
        typer.echo(f"{held_count:,} held by live engines, not touched", err=True)
    for each in left:
        why = f" ({each.error})" if each.error else ""
        typer.echo(f"left: {each.path}, {each.event_count:,} events{why}", err=True)
    if left:
        raise typer.Exit(1)
    if not as_json:
        typer.echo("no orphaned spool is left")


def _tell(replays: Iterable[Adopted], *, as_json: bool) -> None:
    for each in replays:
        stored_count = max(0, each.durable_count - each.known_count - each.duplicate_count)
        duplicate_count = each.known_count + each.duplicate_count
        if as_json:
            plain = asdict(each) | {"path": str(each.path), "stored_count": stored_count}
            typer.echo(json.dumps(plain, sort_keys=True))
            continue
        typer.echo(
            f"{each.source} {each.producer_id}: {stored_count:,} stored, {duplicate_count:,} stored"
            f" before, {each.rejected_count:,} rejected, {each.lost_count:,} lost"
            + (", last record torn" if each.is_torn else "")
            + (f", {each.left_count:,} left: {each.error or 'time is up'}" * bool(each.left_count))
        )
