"""Self-contained HTML pages: one style sheet, tables, tiles; no script, no font, no request."""

from collections.abc import Sequence
from html import escape

STYLE = """
:root{--ground:#fff;--panel:#f6f7f9;--ink:#1c2430;--muted:#5d6878;--line:#dfe3e9;--a:#1f6feb;
--b:#c2571a;--c:#2e8b57;--expected:#c9d3e0;--good:#1a7f4b;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--ground:#10151c;--panel:#18202a;--ink:#e6ebf2;
--muted:#98a5b6;--line:#2c3744;--a:#6cb0ff;--b:#ffa05c;--c:#5fd39a;--expected:#3b4a5c;
--good:#58d08f;--bad:#ff8a80}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--ink);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:960px;margin:0 auto;padding:36px 24px 72px}
h1{font-size:26px;line-height:1.25;margin:0 0 6px}
h2{font-size:19px;margin:44px 0 10px;padding-top:20px;border-top:1px solid var(--line)}
p,li{max-width:76ch}
.lead{font-size:17px}.muted,.note{color:var(--muted)}.note{font-size:13px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;
margin:20px 0}
.tile{background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.tile b{display:block;font-size:22px;line-height:1.3;font-variant-numeric:tabular-nums}
.tile span{color:var(--muted);font-size:13px}
.scroll{overflow-x:auto;max-width:100%}.scroll .chart{min-width:620px}
table{border-collapse:collapse;width:100%;margin:12px 0;font-variant-numeric:tabular-nums}
th,td{padding:7px 10px;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
th{color:var(--muted);font-weight:600;font-size:13px}
th:first-child,td:first-child{text-align:left}
td.words,th.words{text-align:left}
@media (max-width:640px){main{padding:20px 14px 48px}h1{font-size:22px}.lead{font-size:16px}
.tiles{grid-template-columns:repeat(auto-fit,minmax(120px,1fr))}td,th{padding:6px 8px}
.scroll table{width:max-content;min-width:100%}td:first-child,th:first-child{max-width:44vw}
td{max-width:70vw}p,li{overflow-wrap:anywhere}}
.verdict{background:var(--panel);border-left:4px solid var(--a);border-radius:6px;
padding:12px 16px;margin:16px 0;max-width:80ch}
.good{color:var(--good)}.bad{color:var(--bad)}
code{background:var(--panel);padding:1px 5px;border-radius:4px;font-size:.92em}
.chart{width:100%;height:auto;display:block;margin:14px 0}
.chart text{fill:var(--ink);font-size:12px}
.chart .tick,.chart .small{fill:var(--muted)}.chart .small{font-size:11px}
.chart .axis{fill:var(--muted);font-weight:600}
.grid{stroke:var(--line);stroke-width:1}.axis-line,.zero{stroke:var(--muted);stroke-width:1}
.diagonal{stroke:var(--muted);stroke-width:1.5;stroke-dasharray:5 4}
.whisker{stroke:var(--a);stroke-width:2}
.fill-a{fill:var(--a)}.fill-b{fill:var(--b)}.fill-c{fill:var(--c)}
.fill-expected{fill:var(--expected);opacity:.8}.fill-count{fill:var(--expected)}
.fill-diagonal{fill:var(--muted)}
.line-a,.line-b,.line-c{fill:none;stroke-width:2;stroke-linejoin:round}
.line-a{stroke:var(--a)}.line-b{stroke:var(--b)}.line-c{stroke:var(--c)}
@media print{:root{--ground:#fff;--ink:#000}h2{break-after:avoid}.chart{break-inside:avoid}}
"""


def page(title: str, sections: Sequence[str]) -> str:
    """A whole HTML document of these sections (already HTML)."""
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def paragraph(words: str, kind: str = "") -> str:
    """A paragraph of plain text (escaped). kind: a class of the style sheet."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{escape(words)}</p>"


def heading(words: str) -> str:
    """A section's heading."""
    return f"<h2>{escape(words)}</h2>"


def bullets(items: Sequence[str]) -> str:
    """A list of plain texts."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def tiles(pairs: Sequence[tuple[str, str]]) -> str:
    """Big numbers: (number, what it is)."""
    shown = "".join(
        f'<div class="tile"><b>{escape(number)}</b><span>{escape(words)}</span></div>'
        for number, words in pairs
    )
    return f'<div class="tiles">{shown}</div>'


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], words: frozenset[int] = frozenset()
) -> str:
    """A table of plain texts; the first column and those in `words` are aligned left."""

    def cells(row: Sequence[str], tag: str) -> str:
        kinds = (' class="words"' if k in words else "" for k in range(len(row)))
        pairs = zip(kinds, row, strict=True)
        return "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in pairs)

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    head = f"<thead><tr>{cells(header, 'th')}</tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'
