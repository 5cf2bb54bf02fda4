"""How every report is written: terminal, Markdown, JSON or a page; to a file or standard output."""

# Imports stand inside the functions: the command line starts fast.

from __future__ import annotations

import io
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimtab_server.cli.events import fail

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab_server.domain.documents.document import Document


class ReportFormat(StrEnum):
    """How a report is written."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    JSON = "json"
    HTML = "html"


SUFFIXES = {
    ".md": ReportFormat.MARKDOWN,
    ".markdown": ReportFormat.MARKDOWN,
    ".json": ReportFormat.JSON,
    ".html": ReportFormat.HTML,
    ".htm": ReportFormat.HTML,
}

FormatOption = Annotated[
    ReportFormat | None,
    typer.Option("--format", help="Default: by the suffix of --output, else the terminal."),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write to a file, in a folder that exists.")
]


def chosen_format(form: ReportFormat | None, output: Path | None) -> ReportFormat:
    """The format as told, else by the file's suffix, else the terminal's; exit 2 for a file whose
    suffix says nothing, in a folder that is not there, or that is a folder: before anybody works on
    the answer."""
    if output is not None and not output.parent.is_dir():
        raise fail(f"--output {output}: there is no folder {output.parent}", 2)
    if output is not None and output.is_dir():
        raise fail(f"--output {output}: that is a folder, not a file", 2)
    if form is not None:
        return form
    if output is None:
        return ReportFormat.TERMINAL
    if output.suffix.lower() not in SUFFIXES:
        raise fail(f"--output {output}: tell --format, or end it in .md, .json or .html", 2)
    return SUFFIXES[output.suffix.lower()]


def write_text(path: Path, text: str) -> None:
    """Writes a file; exit 1 with one line when that fails."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise fail(f"cannot write {path}: {error.strerror}") from None


def show_document(
    document: Document,
    json_text: Callable[[], str],
    form: ReportFormat,
    output: Path | None,
) -> None:
    """Shows or writes a report. json_text: makes its JSON form."""
    from rich.console import Console

    from trimtab_server.cli.document_view import print_document
    from trimtab_server.domain.documents.document import html, markdown

    if form is ReportFormat.TERMINAL:
        if output is None:
            print_document(Console(highlight=False), document)
            return
        buffer = io.StringIO()
        print_document(Console(file=buffer, width=120, highlight=False), document)
        text = buffer.getvalue()
    elif form is ReportFormat.JSON:
        text = json_text()
    else:
        text = html(document) if form is ReportFormat.HTML else markdown(document)
    if output is None:
        typer.echo(text, nl=False)
        return
    write_text(output, text)
    typer.echo(f"{document.answer}\nwritten to {output}")
