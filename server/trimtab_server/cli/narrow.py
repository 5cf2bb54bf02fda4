"""Text on narrow terminals: an interval is never broken in its middle."""

import re
import textwrap

WIDE = 110
"""Columns from which on tables show everything beside each other."""


def stacked(cell: str, width: int) -> str:
    """A table cell; on a narrow terminal a value stands above its interval."""
    if width >= WIDE:
        return cell
    return cell.replace(" [", "\n[").replace("] not", "]\nnot")


def wrapped(text: str, width: int) -> str:
    """The text in lines of at most `width`, an interval such as [0.1, 0.2] always on one."""
    kept = re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(" ", "\u00a0"), text)
    lines = textwrap.wrap(kept, max(20, width), break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\u00a0", " ")
