import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_server.domain.documents.document import (
    Bullets,
    Chart,
    Document,
    Paragraph,
    Section,
    Table,
    html,
    markdown,
    markdown_text,
    one_line,
)

NASTY = 'a|b <script>alert(1)</script> *x* _y_ `z` [l](http://e) ![p](q) &amp; \\ # "q"'


def document(text: str) -> Document:
    """A document in which the text stands at every place."""
    blocks = (
        Paragraph(text),
        Paragraph(text, is_note=True),
        Bullets((text,)),
        Table((text, text), ((text, text),), frozenset({1})),
        Chart("<svg/>"),
    )
    return Document(text, text, text, ((text, text),), (Section(text, blocks),), (text,))


def shown(markdown_line: str) -> str:
    """What a line of Markdown shows: backslashes before punctuation are gone."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown_line)


def test_a_page_is_well_formed_whatever_the_names_are() -> None:
    """Names are escaped: the page parses, holds no script, and shows the name as it is."""
    page = html(document(NASTY))
    assert "<script" not in page
    body = page[page.index("<main>") : page.index("</body>")]
    main = ET.fromstring(body)
    assert "".join(main.itertext()).count(NASTY) == 14


def test_a_page_loads_nothing() -> None:
    """No address, no script, no style sheet from elsewhere."""
    page = html(document("plain"))
    for word in ("http:", "https:", "src=", "<link", "@import", "url(", "<script"):
        assert word not in page


def test_markdown_shows_the_name_and_nothing_else() -> None:
    """Every mark that Markdown would read is escaped, and what is shown is the name."""
    escaped = markdown_text(NASTY)
    assert shown(escaped) == NASTY
    for mark in ("|", "`", "*", "<", "](", "!["):
        assert not re.search(rf"(?<!\\){re.escape(mark)}", escaped), mark
    assert markdown_text("max_daily_loss [-1.0, 7.2]") == "max_daily_loss [-1.0, 7.2]"


def test_a_table_row_stays_one_row_of_as_many_cells() -> None:
    """Pipes and line breaks in a cell are neither a cell nor a row more."""
    table = Table(("a|b", "n"), (("x\n| y |", "1"),))
    text = markdown(Document("t", "w", "a", (), (Section("s", (table,)),)))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 3 for row in rows)


@pytest.mark.parametrize("text", ["# x", "- x", "1. x", "> x", "+ x", "=== x", "[x]: http://e"])
def test_a_line_that_begins_like_a_block_stays_a_line(text: str) -> None:
    """A paragraph that begins with a mark of Markdown is no heading, list, quote or reference."""
    lines = markdown(document(text)).splitlines()
    assert text not in lines
    assert any(shown(line) == text for line in lines)


@given(st.text(max_size=40))
def test_no_text_breaks_a_document(text: str) -> None:
    """Any text at all: the page parses, and Markdown has the same number of lines."""
    clean = one_line(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", clean)
    page = html(document(text))
    ET.fromstring(page[page.index("<main>") : page.index("</body>")])
    assert len(markdown(document(text)).split("\n")) == len(markdown(document("x")).split("\n"))


def test_a_chart_stands_on_the_page_only() -> None:
    """Markdown has no room for it; its numbers stand in tables."""
    assert "<svg/>" in html(document("x"))
    assert "svg" not in markdown(document("x"))
