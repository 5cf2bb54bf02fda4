"""The command line, a file a group. Commands other than `serve` talk to a running sidecar."""

from typing import Annotated

import typer

from trimtab_server import __version__
from trimtab_server.cli import (
    demo,
    events,
    gate,
    import_trades,
    maintenance,
    report,
    serve,
    spool,
    status,
    token,
    what_if,
)
from trimtab_server.cli.credentials import secure

app = typer.Typer(
    name="trimtab",
    help="A learning sidecar for trading engines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("config")(serve.config)
app.command("token")(token.token)
app.command("demo")(demo.demo)
app.command("status")(status.status)
app.command("backup")(maintenance.backup)
app.command("restore")(maintenance.restore)
app.command("prune")(maintenance.prune)
app.command("rebuild-ledger")(maintenance.rebuild_ledger)
app.command("doctor")(maintenance.doctor)
app.command("import")(import_trades.import_trades)
app.command("what-if")(what_if.what_if)
app.add_typer(events.app, name="events")
app.add_typer(gate.app, name="gate")
app.add_typer(report.app, name="report")
app.add_typer(spool.app, name="spool")
# Last: what is registered behind it would lack the options.
secure(app)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        typer.echo(f"trimtab {__version__}")
        raise typer.Exit


def main() -> None:
    """The console script."""
    app()
