"""All notebooks run in order, their numbers held against a reference, reports, and the student edition.

Here: what the HTML pages share, their frame, their style and their tables.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

STYLE = """\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
.wide { overflow-x: auto; }
th, td { border-bottom: 1px solid #8888; padding: 0.3rem 0.6rem; text-align: left; vertical-align: top; }
figure { margin: 1rem 0; }
img { max-width: 100%; background: white; }
code { font-size: 0.85em; }"""


def page(title: str, body: str, style: str = "") -> str:
    """A whole HTML page; `title` is text, `body` HTML and `style` CSS beside what all pages share."""
    return template("page.html", {"title": html.escape(title), "style": f"{STYLE}\n{style}".rstrip(), "body": body})


def template(name: str, values: Mapping[str, object]) -> str:
    """A file beside this one with its `$name` replaced by values, which are HTML."""
    return Template((Path(__file__).parent / name).read_text(encoding="utf-8")).substitute(values)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table; `header` is text, the cells of `rows` are HTML."""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    # A region that scrolls must be reachable by keyboard.
    inner = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide" tabindex="0" role="group" aria-label="table">{inner}</div>'
