"""A document on a terminal: tables that fit, intervals never broken in their middle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab_server.cli.narrow import stacked, wrapped
from trimtab_server.domain.documents.document import Bullets, Paragraph, Table, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, JustifyMethod
    from rich.text import Text

    from trimtab_server.domain.documents.document import Block, Document

GAP = 2
"""Columns between two columns of a table."""
WORDS_LEAST = 10
"""Width below which a column of words is not squeezed."""


def print_document(console: Console, document: Document) -> None:
    """The whole document but for its charts, at the console's width."""
    from rich.panel import Panel

    width = console.width
    answer = wrapped(one_line(document.answer), width - 4)
    console.print(
        Panel(_text(answer), title=_text(one_line(document.title), width - 8), expand=False)
    )
    _say(console, document.what, "dim")
    console.print()
    if document.figures:
        figures = Table(("what", "figure"), tuple((words, n) for n, words in document.figures))
        _print_table(console, figures)
    for section in document.sections:
        console.print(_text(one_line(section.heading)), style="bold")
        for block in section.blocks:
            _print_block(console, block)
    if document.notes:
        console.print("What limits this", style="bold")
        _print_block(console, Bullets(document.notes))


def _text(words: str, width: int | None = None) -> Text:
    """Words as they are: brackets are no markup."""
    from rich.text import Text

    text = Text(words)
    if width is not None:
        text.truncate(max(8, width), overflow="ellipsis")
    return text


def _say(console: Console, words: str, style: str = "") -> None:
    console.print(_text(wrapped(one_line(words), console.width)), style=style)


def _print_block(console: Console, block: Block) -> None:
    if isinstance(block, Paragraph):
        _say(console, block.text, "dim" if block.is_note else "")
    elif isinstance(block, Bullets):
        for item in block.items:
            lines = wrapped(one_line(item), console.width - 2).split("\n")
            console.print(_text("\n".join([f"- {lines[0]}", *(f"  {one}" for one in lines[1:])])))
    elif isinstance(block, Table):
        _print_table(console, block)
    else:
        return
    console.print()


def _print_table(console: Console, table: Table) -> None:
    from rich.table import Table as RichTable

    width = console.width
    header = [one_line(cell) for cell in table.header]
    rows = [[stacked(one_line(cell), width) for cell in row] for row in table.rows]
    words = table.words | {0}
    sizes = _column_sizes(header, rows, words, width)
    if sizes is None:
        _print_records(console, header, rows)
        return
    shown = RichTable(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    for k, name in enumerate(header):
        justify: JustifyMethod = "left" if k in words else "right"
        shown.add_column(_text(name), justify=justify, overflow="fold", width=sizes[k])
    for row in rows:
        shown.add_row(*(_text(cell) for cell in row))
    console.print(shown)


def _longest(cells: Sequence[str]) -> int:
    return max((len(line) for cell in cells for line in cell.split("\n")), default=0)


def _column_sizes(
    header: Sequence[str], rows: Sequence[Sequence[str]], words: frozenset[int], width: int
) -> list[int] | None:
    """Widths of the columns that fit side by side; None when they do not.

    Numbers are kept whole, headings by their longest word, a column of words by its own longest
    word, the first by some room. The column with the most to spare gives way first.
    """
    sizes, least = [], []
    for k, name in enumerate(header):
        cells = [row[k] for row in rows]
        longest = _longest(cells)
        needed = min(longest, WORDS_LEAST) if k in words else longest
        if k in words and k > 0:
            needed = max([needed, *(len(word) for cell in cells for word in cell.split())])
        least.append(max(needed, *(len(word) for word in name.split(" "))))
        sizes.append(max(longest, len(name), least[-1]))
    room = width - GAP * (len(header) - 1)
    if sum(least) > room:
        return None
    for _ in range(max(0, sum(sizes) - room)):
        widest = max(range(len(sizes)), key=lambda k: sizes[k] - least[k])
        sizes[widest] -= 1
    return sizes


def _print_records(console: Console, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table that is too wide, a row below each other: its name, then a line a number."""
    size = max(len(name) for name in header[1:])
    for row in rows:
        console.print(_text(wrapped(row[0], console.width)), style="bold")
        for name, cell in zip(header[1:], row[1:], strict=True):
            value = cell.replace("\n", " ")
            lines = wrapped(value, console.width - size - 4).split("\n")
            console.print(_text(f"  {name.ljust(size)}  {lines[0]}"))
            for more in lines[1:]:
                console.print(_text(f"  {' ' * size}  {more}"))
