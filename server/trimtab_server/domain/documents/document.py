"""A small document for people: one answer, sections, tables, charts; as Markdown or as one page.

Everything in a document is plain text: names come from engines, so each writer escapes what would
mean something in its own language. Charts are SVG (`domain.documents.charts`) and stand on the
page only; what they show stands in a table or a sentence beside them too.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

from trimtab_server.domain.documents import pages


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Sentences. is_note: said in passing (a legend, a limit)."""

    text: str
    is_note: bool = False


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of plain cells, each as long as the header. words: positions of columns that hold words
    and not numbers; the first always does."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Chart:
    """An SVG made by `domain.documents.charts`, which has escaped its texts."""

    svg: str


Block: TypeAlias = Paragraph | Bullets | Table | Chart


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it."""

    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """What a report says.

    title: the question. what: which data it is about. answer: one plain sentence. figures: (number,
    what it is), the few that matter. notes: what limits the answer.
    """

    title: str
    what: str
    answer: str
    figures: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()


def one_line(text: str) -> str:
    """The text without line breaks, without anything that would steer a terminal, single-spaced."""
    shown = (
        " " if character.isspace() else "?" if unicodedata.category(character) in _UNSEEN else
        character
        for character in text
    )  # fmt: skip
    return " ".join("".join(shown).split())


# Control characters, direction marks and the like, lone surrogates, private use, unassigned.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})

# What Markdown would take for emphasis, code, a link, a picture, a tag, an entity, a cell's end.
_MARKS = re.compile(
    r"[\\`*~|]|<(?=[a-zA-Z/!?])|(?<!\w)_|_(?!\w)|(?<=\])[(\[:]|!(?=\[)|&(?=#?\w+;)|(?<=:)//"
)
_LINE_BEGIN = re.compile(r"^(#{1,6}(?=\s|$)|[-+>=\[]|\d{1,9}(?=[.)](\s|$)))")


def markdown_text(text: str) -> str:
    """Plain text as Markdown that shows exactly this text, on one line."""
    return _MARKS.sub(lambda found: f"\\{found[0]}", one_line(text))


def _markdown_line(text: str) -> str:
    """As `markdown_text`, for a line that begins with it."""
    shown = markdown_text(text)
    found = _LINE_BEGIN.match(shown)
    if found is None:
        return shown
    mark, rest = found[0], shown[found.end() :]
    return f"{mark}\\{rest}" if mark.isdigit() else f"\\{mark}{rest}"


def _markdown_table(table: Table) -> Iterator[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(markdown_text(cell) for cell in cells) + " |"

    yield line(table.header)
    words = table.words | {0}
    rules = (" --- " if k in words else " ---: " for k in range(len(table.header)))
    yield "|" + "|".join(rules) + "|"
    yield from (line(row) for row in table.rows)


def _markdown_block(block: Block) -> Iterator[str]:
    if isinstance(block, Chart):
        return
    if isinstance(block, Paragraph):
        yield _markdown_line(block.text)
    elif isinstance(block, Bullets):
        yield from (f"- {_markdown_line(item)}" for item in block.items)
    else:
        yield from _markdown_table(block)
    yield ""


def markdown(document: Document) -> str:
    """The document in GitHub's Markdown, ending with a line break."""
    answer = markdown_text(document.answer)
    lines = [f"# {markdown_text(document.title)}", ""]
    lines += [_markdown_line(document.what), "", f"**{answer}**", ""]
    if document.figures:
        lines += [f"- {_markdown_line(f'{words}: {number}')}" for number, words in document.figures]
        lines.append("")
    for section in document.sections:
        lines += [f"## {markdown_text(section.heading)}", ""]
        for block in section.blocks:
            lines += _markdown_block(block)
    if document.notes:
        lines += ["## What limits this", ""]
        lines += [*(f"- {_markdown_line(note)}" for note in document.notes), ""]
    return "\n".join(lines)


_INTERVAL = re.compile(r"\[-?[0-9][^\[\]]*\]")


def _unbroken(found: re.Match[str]) -> str:
    """An interval that a page does not break in its middle."""
    return found[0].replace(" ", "\u00a0")


def _html_block(block: Block) -> str:
    if isinstance(block, Chart):
        return block.svg
    if isinstance(block, Paragraph):
        return pages.paragraph(one_line(block.text), "note" if block.is_note else "")
    if isinstance(block, Bullets):
        return pages.bullets([one_line(item) for item in block.items])
    header = [one_line(cell) for cell in block.header]
    rows = [[_INTERVAL.sub(_unbroken, one_line(cell)) for cell in row] for row in block.rows]
    return pages.table(header, rows, block.words)


def html(document: Document) -> str:
    """The document as one self-contained page: no script, nothing to load."""
    title = one_line(document.title)
    body = [
        f"<h1>{escape(title)}</h1>",
        pages.paragraph(one_line(document.what), "muted"),
        f'<div class="verdict">{pages.paragraph(one_line(document.answer), "lead")}</div>',
    ]
    if document.figures:
        body.append(pages.tiles([(one_line(n), one_line(words)) for n, words in document.figures]))
    for section in document.sections:
        body.append(pages.heading(one_line(section.heading)))
        body += [_html_block(block) for block in section.blocks]
    if document.notes:
        body.append(pages.heading("What limits this"))
        body.append(pages.bullets([one_line(note) for note in document.notes]))
    return pages.page(title, body)
