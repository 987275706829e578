"""The rendered course: a folder of pages that opens from disk, formulas typeset, nothing asked of the network."""

from __future__ import annotations

import html
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from unsep_lib.files import write_text
from unsep_lib.reproduce import page
from unsep_lib.reproduce.course import linked as with_lines

if TYPE_CHECKING:
    from nbformat import NotebookNode

CODE = re.compile(r"(```.*?```|`[^`\n]+`)", flags=re.DOTALL)
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", flags=re.DOTALL)
LINK = re.compile(r'href="([^"#:]+)(#[^"]*)?"')  # relative ones: no scheme
QUESTION = re.compile(r"^\*\*The question\.\*\* (.+)$", flags=re.MULTILINE)
TITLE = "unsep: the course"
INTRODUCTION = """\
<p>How to take one recording apart with models that never heard a mixture: pages to read, look at and listen to. To run
the cells, open the notebooks of the repository. Listeners read 00, 01, 02 and 10 (3 hours); students of the paper read
all, in order (13 hours).</p>"""
SOURCES = "source"  # the folder of the book that holds the files which chapters link to
FOLDED = """\
{% extends 'basic/index.html.j2' %}
{% block input %}
{% if cell.metadata.get('jupyter', {}).get('source_hidden') %}
<details><summary>{{ 'solution' if 'solution' in cell.metadata.get('tags', []) else 'folded code' }}</summary>
{{ super() }}
</details>
{% else %}{{ super() }}{% endif %}
{% endblock input %}"""
PAGE_STYLE = """\
body { max-width: 52rem; }
article table { display: block; overflow-x: auto; }
pre { overflow-x: auto; padding: 0.5rem; border: 1px solid #8884; border-radius: 4px; font-size: 0.85em; }
.prompt, .anchor-link { display: none; }
details > summary { cursor: pointer; color: #888; }
math[display="block"] { overflow-x: auto; margin: 0.8em 0; }
nav { display: flex; justify-content: space-between; gap: 1rem; }
@media (prefers-color-scheme: dark) { a { color: #8cb4ff; } }"""


def typeset(markdown: str) -> str:
    """The text with its `$…$` and `$$…$$` outside of code as MathML, which browsers typeset by themselves."""
    parts = CODE.split(markdown)
    return "".join(part if number % 2 else FORMULA.sub(_formula, part) for number, part in enumerate(parts))


def _formula(match: re.Match[str]) -> str:
    from latex2mathml.converter import convert

    latex, display = (match[1], "block") if match[1] else (match[2], "inline")
    written: str = convert(latex.strip(), display=display)
    # Markdown would take these for emphasis, and a line break for the end of the formula.
    return re.sub(r"\s*\n\s*", " ", written).replace("*", "&#42;").replace("_", "&#95;")


def rendered(notebook: NotebookNode) -> str:
    """The body of a notebook's page: formulas typeset, plumbing and solutions folded."""
    import nbformat
    from nbconvert import HTMLExporter

    copy = nbformat.from_dict(notebook)
    for cell in copy.cells:
        if cell.cell_type == "markdown":
            cell.source = typeset(cell.source)
    exporter = HTMLExporter(raw_template=FOLDED)
    body: str = exporter.from_notebook_node(copy)[0]
    return body


def style() -> str:
    """The book's own style: its pages, and its code in light and dark."""
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return f"{PAGE_STYLE}\n{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}"


def title_of(notebook: NotebookNode, name: str) -> str:
    """The notebook's first heading, else `name`."""
    first: str = notebook.cells[0].source.splitlines()[0] if notebook.cells and notebook.cells[0].source else ""
    return first.removeprefix("# ") if first.startswith("# ") else name


def question_of(notebook: NotebookNode) -> str:
    """The question that the notebook's first cell asks; empty where it asks none."""
    found = QUESTION.search(notebook.cells[0].source) if notebook.cells else None
    return found[1] if found else ""


def write_book(notebooks: Path, out: Path) -> list[Path]:
    """Write `out/index.html`, a page per notebook and the files they link to; returns the pages.

    Raises:
        ValueError: no notebooks, or a link that leads nowhere, named with its notebook.
    """
    import nbformat

    sources = sorted(notebooks.glob("*.ipynb"))
    if not sources:
        raise ValueError(f"{notebooks}: no notebooks found")
    read = {path.stem: nbformat.read(path, as_version=4) for path in sources}
    for cell in (cell for notebook in read.values() for cell in notebook.cells if cell.cell_type == "markdown"):
        cell.source = with_lines(cell.source, notebooks)
    titles = {name: title_of(notebook, name) for name, notebook in read.items()}
    linked: set[Path] = set()
    look = style()
    written = [out / f"{name}.html" for name in read]
    for number, (name, notebook) in enumerate(read.items()):
        names = ["index", *read, "index"]
        around = f'<nav><a href="{names[number]}.html">back</a><a href="{names[number + 2]}.html">next</a></nav>'
        body = _relinked(rendered(notebook), notebooks, name, linked)
        write_text(out / f"{name}.html", page(titles[name], f"{around}<article>{body}</article>{around}", look))
    for file in linked:
        write_text(_copied(file, notebooks, out), page(file.name, _highlighted(file), look))
    items = "".join(
        f'<li><a href="{name}.html">{html.escape(title)}</a><br>{html.escape(question_of(read[name]))}</li>'
        for name, title in titles.items()
    )
    write_text(out / "index.html", page(TITLE, f"<h1>{TITLE}</h1>{INTRODUCTION}<ul>{items}</ul>", look))
    return [out / "index.html", *written]


def _relinked(body: str, notebooks: Path, name: str, linked: set[Path]) -> str:
    def link(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(notebooks / unquote(match[1])))
        if not target.is_file():
            raise ValueError(f"{name}: a link leads to {match[1]}, which is not there")
        if target.suffix == ".ipynb" and target.parent == notebooks:
            return f'href="{target.stem}.html{match[2] or ""}"'
        linked.add(target)
        place = _copied(target, notebooks, Path()).as_posix()
        return f'href="{place}{(match[2] or "").replace("#L", "#L-")}"'

    return LINK.sub(link, body)


def _copied(file: Path, notebooks: Path, out: Path) -> Path:
    place = file.relative_to(notebooks.parent)
    return out / SOURCES / place.parent / f"{place.name}.html"


def _highlighted(file: Path) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import TextLexer, get_lexer_for_filename
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_for_filename(file.name)
    except ClassNotFound:
        lexer = TextLexer()
    text = file.read_text(encoding="utf-8")
    lines: str = highlight(text, lexer, HtmlFormatter(lineanchors="L", anchorlinenos=False))
    return f"<h1>{html.escape(file.name)}</h1>{lines}"
