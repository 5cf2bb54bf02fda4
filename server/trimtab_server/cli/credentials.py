"""The options that reach a secured sidecar, the same for every command that talks to one."""

# Imports stand inside the functions: the command line starts fast.

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from trimtab_client import Credentials

_PANEL = "To reach a secured sidecar"
# Option, and what it means; the client takes each under the same name.
_OPTIONS = {
    "token_file": "File that holds the token. Else $TRIMTAB_TOKEN_FILE, or $TRIMTAB_TOKEN itself.",
    "tls_ca": "PEM file of the CA of the sidecar's certificate. Else $TRIMTAB_TLS_CA.",
    "tls_cert": "PEM file of a client certificate. Else $TRIMTAB_TLS_CERT.",
    "tls_key": "PEM file of its key. Else $TRIMTAB_TLS_KEY.",
}
_told: ContextVar[dict[str, Path]] = ContextVar("told")


def told_credentials() -> Credentials:
    """What the options of the running command tell. Raises CredentialsError."""
    from trimtab_client import Credentials

    told = _told.get({})
    return Credentials(
        token_file=told.get("token_file"),
        tls_ca=told.get("tls_ca"),
        tls_cert=told.get("tls_cert"),
        tls_key=told.get("tls_key"),
    )


def secure(app: typer.Typer) -> None:
    """Gives the options to every command of `app`, and of its groups, that takes an address."""
    for info in app.registered_commands:
        if info.callback and "address" in inspect.signature(info.callback).parameters:
            info.callback = _with_options(info.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            secure(group.typer_instance)


def _with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(**told: Any) -> None:
        given = {name: told.pop(name) for name in _OPTIONS}
        before = _told.set({name: path for name, path in given.items() if path is not None})
        try:
            command(**told)
        finally:
            _told.reset(before)

    signature = inspect.signature(command, eval_str=True)
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                Path | None,
                typer.Option(
                    "--" + name.replace("_", "-"),
                    help=words,
                    show_default=False,
                    rich_help_panel=_PANEL,
                ),
            ],
        )
        for name, words in _OPTIONS.items()
    ]
    both = [*signature.parameters.values(), *options]
    wrapped.__signature__ = signature.replace(parameters=both)  # type: ignore[attr-defined]
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    return wrapped
