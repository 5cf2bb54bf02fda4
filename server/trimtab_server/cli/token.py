"""`trimtab token`: a token for a caller, and its entry for the access file."""

import json
import secrets
from typing import Annotated

import typer

from trimtab_server.cli.events import fail
from trimtab_server.domain.access import Role, name_fault, token_digest

# What scanners for leaked secrets can look for.
_PREFIX = "trimtab_"
_BYTES = 32


def token(
    name: Annotated[str, typer.Argument(help="Who will use it, e.g. alpha-1.")],
    role: Annotated[
        list[Role],
        typer.Option(
            "--role", help="What it may do: ingest, read, operate; may be given more than once."
        ),
    ],
) -> None:
    """Make a token: shown this once, kept nowhere. The access file holds only its digest."""
    if fault := name_fault(name):
        raise fail(f"NAME: {fault}", 2)
    made = _PREFIX + secrets.token_urlsafe(_BYTES)
    roles = list(dict.fromkeys(each.value for each in role))
    typer.echo(f"# The token of {name}, shown this once; keep it in a file that only it reads:")
    typer.echo(f"{made}\n")
    typer.echo("# Its entry for the sidecar's access_file (mode 0640 at most; then restart):")
    typer.echo("[[callers]]")
    # JSON's strings and lists are TOML's too.
    typer.echo(f"name = {json.dumps(name, ensure_ascii=False)}")
    typer.echo(f"roles = {json.dumps(roles)}")
    typer.echo(f'token_sha256 = "{token_digest(made).hex()}"')
