"""`trimtab serve` and `trimtab config`: flags, environment and file to one sidecar."""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from trimtab_server import __version__
from trimtab_server.domain.retention import kept_days
from trimtab_server.settings import (
    Settings,
    SettingsError,
    load,
    sources,
    unknown_variables,
)

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def _flagged(command: Callable[..., None]) -> Callable[..., None]:
    """`command(config, flags)` with a flag for every setting, so that none is ever forgotten."""
    parameters = [
        inspect.Parameter(
            "config",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                Path | None,
                typer.Option("--config", help="TOML file of settings.", envvar="TRIMTAB_CONFIG"),
            ],
        )
    ]
    for name, field in Settings.model_fields.items():
        flag = "--" + name.replace("_", "-")
        kind = bool if name == "reflection" else str
        if kind is bool:
            flag += "/--no-" + name
        parameters.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[
                    kind | None,
                    typer.Option(flag, help=field.description, show_default=False),
                ],
            )
        )

    def wrapped(config: Path | None = None, **flags: Any) -> None:
        command(config, flags)

    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__doc__ = command.__doc__
    return wrapped


@_flagged
def serve(config: Path | None, flags: dict[str, Any]) -> None:
    """Run a sidecar until SIGTERM or Ctrl-C."""
    from trimtab_server.app import serve as run
    from trimtab_server.errors import ConfigurationError, TrimtabError

    _warn()
    try:
        settings = load(config, flags)
        run(settings, lambda address: typer.echo(f"trimtab {__version__} listening on {address}"))
    except (SettingsError, ConfigurationError, TrimtabError) as error:
        # The last: a database that opens and then refuses to be read, such as a damaged one.
        typer.echo(f"trimtab: {error}", err=True)
        raise typer.Exit(2) from error


@_flagged
def config(config: Path | None, flags: dict[str, Any]) -> None:
    """Print the effective settings, as a file for --config, and where each comes from."""
    _warn()
    try:
        settings = load(config, flags)
        origin = sources(config, flags)
        kept_days(settings.retention)
    except ValueError as error:
        typer.echo(f"trimtab: {error}", err=True)
        raise typer.Exit(2) from error
    width = max(map(len, origin))
    told = settings.model_dump(mode="json")
    for name, value in told.items():
        if isinstance(value, dict):
            continue
        # JSON's strings, numbers and truth values are TOML's too; what is unset has none.
        known = f"{name:{width}} = {json.dumps(value):32}"
        line = known if value is not None else f"# {name:{width - 2}} = unset"
        typer.echo(f"{line} # {origin[name]}")
    # Tables last: in TOML, what follows one belongs to it.
    for name, value in told.items():
        if isinstance(value, dict):
            typer.echo(f"\n# {name}: {origin[name]}")
            for line in _table(name, f"[{name}]", value):
                typer.echo(line)


def _table(path: str, head: str, values: dict[str, Any]) -> Iterator[str]:
    """A table as lines of TOML, those within it after its own values; what is unset is left out."""
    yield head
    inner: list[tuple[str, str, dict[str, Any]]] = []
    for name, value in values.items():
        key = name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)
        below = f"{path}.{key}"
        if isinstance(value, dict):
            inner.append((below, f"[{below}]", value))
        elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            inner += [(below, f"[[{below}]]", each) for each in value]
        elif value is not None:
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    for each in inner:
        yield from _table(*each)


def _warn() -> None:
    for name in unknown_variables():
        typer.echo(f"trimtab: {name} is no setting; it is ignored", err=True)
