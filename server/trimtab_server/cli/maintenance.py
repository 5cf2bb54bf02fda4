"""`trimtab backup | restore | prune | doctor`: work on the database itself, beside a running
sidecar or without one.

Exit code 0: done. 1: it failed, or the doctor found a fault. 2: settings or arguments will not do.
"""

# Imports stand inside the commands: the command line starts fast.

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trimtab_server.cli.events import fail
from trimtab_server.settings import Settings, SettingsError, load, sources, unknown_variables

if TYPE_CHECKING:
    from rich.table import Table

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file of settings.", envvar="TRIMTAB_CONFIG"),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        help="Database URL, or the path of a SQLite file.",
        show_default="the setting database",
    ),
]
_ADVICE = "→"
_STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "red"}


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What goes wrong ends the command with one line: exit 2 for what the user told, else 1."""
    from trimtab_server.errors import ConfigurationError, TrimtabError

    try:
        yield
    except (SettingsError, ConfigurationError) as error:
        raise fail(str(error), 2) from None
    except TrimtabError as error:
        raise fail(str(error)) from None


def backup(
    target: Annotated[Path, typer.Argument(help="File to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace TARGET.")] = False,
    database: DatabaseOption = None,
    config: ConfigOption = None,
) -> None:
    """Copy the log into one file, checked and synced, while the sidecar serves."""
    from trimtab_server import app

    with _refusals():
        made = app.back_up(load(config, {"database": database}), target, force=force)
    typer.echo(
        f"{made.path}: {made.log.event_count:,} events through sequence {made.log.last_sequence:,}"
        f" of log {made.log.log_id}, {made.byte_count:,} bytes"
    )


def restore(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[BACKUP]",
            help="File of trimtab backup. Without it the database was put back by other means"
            " (a copied file, Postgres' own tools) and only gets its new log_id.",
            show_default=False,
        ),
    ] = None,
    database: DatabaseOption = None,
    config: ConfigOption = None,
) -> None:
    """Put a backup back under a new log_id; what was there is kept beside it."""
    from trimtab_server import app

    with _refusals():
        settings = load(config, {"database": database})
        log, kept_aside = app.restore(settings, source)
    typer.echo(
        f"{settings.database}: {log.event_count:,} events through sequence {log.last_sequence:,},"
        f" now log {log.log_id}"
    )
    if kept_aside is not None:
        typer.echo(f"what was there is kept as {kept_aside}")
    typer.echo(
        "start the sidecar: readers are told LOG_CHANGED and begin anew; recorders send again what"
        " they still hold"
    )


def prune(
    retention: Annotated[
        str | None,
        typer.Option("--retention", help="E.g. MARKET_TICK=7.", show_default="the setting"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be pruned.")
    ] = False,
    database: DatabaseOption = None,
    config: ConfigOption = None,
) -> None:
    """Prune now what the setting retention no longer keeps, beside a serving sidecar too."""
    from trimtab_server import app

    with _refusals():
        settings = load(config, {"database": database, "retention": retention})
        if not settings.retention:
            typer.echo("retention is off: everything is kept")
        for kind, event_count, byte_count in app.prune(settings, dry_run=dry_run):
            words = "would be pruned" if dry_run else f"pruned, {byte_count:,} bytes of content"
            typer.echo(f"{kind.name}: {event_count:,} events {words}")


def rebuild_ledger(
    force: Annotated[
        bool,
        typer.Option("--force", help="Even where retention has pruned what cannot come back."),
    ] = False,
    database: DatabaseOption = None,
    config: ConfigOption = None,
) -> None:
    """Have the ledger derived from the log again, for instance under other settings of `shadow`;
    beside a serving sidecar too. Refused where retention has pruned signals, decisions, trades or
    prices: what came of them cannot be derived again."""
    from trimtab_server import app

    with _refusals():
        pruned = app.rebuild_ledger(load(config, {"database": database}), force=force)
    if pruned:
        typer.echo(f"{pruned}: what came of them is gone; whose prices are gone ends CENSORED")
    typer.echo("the ledger is empty; the sidecar derives it again from the log")


def doctor(
    full: Annotated[
        bool,
        typer.Option("--full", help="Also hold every index and every count against the events."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a check.")] = False,
    database: DatabaseOption = None,
    config: ConfigOption = None,
) -> None:
    """Examine settings, machine and database, and say what to do; changes nothing."""
    from trimtab_server import app

    failed = False
    table = _table()
    with _refusals():
        settings, first = _settings(config, database)
        checks: Iterator[Any] = app.examination(settings, full=full) if settings else iter(())
        for check in (first, *checks):
            failed = failed or check[1] == "FAIL"
            if as_json:
                keys = ("name", "state", "found", "advice")
                typer.echo(json.dumps(dict(zip(keys, check, strict=True))))
            else:
                _add(table, check)
    if not as_json:
        from rich.console import Console

        Console(highlight=False).print(table)
    raise typer.Exit(int(failed))


def _settings(
    config: Path | None, database: str | None
) -> tuple[Settings | None, tuple[str, str, str, str]]:
    """The settings, None when they will not load, and the check of them."""
    from trimtab_server.domain.retention import kept_days

    flags = {"database": database}
    try:
        settings = load(config, flags)
        origins = sources(config, flags)
        kept_days(settings.retention)
    except ValueError as error:
        return None, ("settings", "FAIL", str(error), "correct it; trimtab config shows them all")
    told = [name for name, origin in origins.items() if origin != "default"]
    words = f"{len(origins)} settings, not at their default: {', '.join(told) or 'none'}"
    if unknown := unknown_variables():
        advice = f"{', '.join(unknown)}: no setting is called so; it is ignored"
        return settings, ("settings", "WARN", words, advice)
    return settings, ("settings", "OK", words, "")


def _table() -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("check", "", "found"):
        table.add_column(name, overflow="fold")
    return table


def _add(table: Table, check: tuple[str, str, str, str]) -> None:
    from rich.markup import escape

    name, state, found, advice = check
    words = f"{escape(found)}\n{_ADVICE} {escape(advice)}" if advice else escape(found)
    table.add_row(name, f"[{_STYLES[state]}]{state}[/]", words)
