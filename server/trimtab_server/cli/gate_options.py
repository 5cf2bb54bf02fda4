"""What the commands of the signal gate share: options, spans, actors, output."""

from __future__ import annotations

import contextlib
import getpass
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from trimtab_server.cli.event_lines import fitted, line_width
from trimtab_server.cli.events import fail, parsed_time

CODE = 2
"""Exit code for wrong arguments, and when no sidecar answers."""
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|min|m|h|d)")
_SPAN_S = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}

EnvironmentArgument = Annotated[
    str, typer.Option("--environment", "-e", help="live, paper or backtest.", show_default=False)
]
RunOption = Annotated[str, typer.Option("--run-id", help="The run; required for backtest.")]
# None = not given: an empty one, of a variable that is not set, must never widen a scope.
SourceOption = Annotated[str | None, typer.Option("--source", help="Only this engine.")]
StrategyOption = Annotated[str | None, typer.Option("--strategy", help="Only this strategy.")]
SymbolOption = Annotated[str | None, typer.Option("--symbol", help="Only this instrument.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Only this model.")]
ReasonOption = Annotated[
    str, typer.Option("--reason", "-r", help="Why; recorded and shown.", show_default=False)
]
ActorOption = Annotated[
    str, typer.Option("--actor", help="Who orders it.", show_default="who is logged in")
]
UntilOption = Annotated[
    str,
    typer.Option(
        "--until",
        help="When it ends by itself: 30min, 2h, 1d, or a time (ISO 8601, UTC unless told)."
        " Default: when somebody resumes.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON object, as the sidecar answers.")
]


@contextlib.contextmanager
def arguments() -> Iterator[None]:
    """An argument that the client refuses ends the command with one line and exit code 2."""
    try:
        yield
    except ValueError as error:
        raise fail(str(error), CODE) from None


def is_span(text: str) -> bool:
    """Whether it is a span such as 30min, and no time."""
    return _SPAN.fullmatch(text) is not None


def point_ns(text: str) -> int | None:
    """UTC nanoseconds of a time, None for an empty one; exit 2 for what may be meant as a span."""
    if text.replace(".", "", 1).isdigit():
        raise fail(f"--until: {text!r} is neither a span such as 30min, 2h, 1d nor a time", CODE)
    return parsed_time(text, "--until")


def named(option: str, value: str | None) -> str:
    """The name that an option tells, empty when it is not given; exit 2 when it is given empty."""
    if value == "":
        raise fail(f"{option}: must not be empty; leave it out for all", CODE)
    return value or ""


def span_s(text: str, option: str) -> float:
    """Seconds of 30min, 2h or 1d; exit 2 for anything else."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise fail(f"{option}: {text!r} is no span such as 30min, 2h or 1d", CODE)
    return float(found[1]) * _SPAN_S[found[2]]


def user() -> str:
    """Who is logged in; exit 2 when nobody is."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        raise fail("--actor: nobody is logged in here; tell who orders it", CODE) from None


def print_line(line: str) -> None:
    """One line, fitted to the terminal."""
    typer.echo(fitted(line, line_width()))


def print_json(message: Any) -> None:
    """A message as one JSON object."""
    from google.protobuf.json_format import MessageToDict

    plain = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    typer.echo(json.dumps(plain, sort_keys=True))
