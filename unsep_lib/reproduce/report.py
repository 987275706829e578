"""The page that `unsep reproduce` ends with: results, players, figures, executed notebooks."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

from unsep_lib.audio import read_audio
from unsep_lib.figures.players import player_html
from unsep_lib.files import write_text
from unsep_lib.notebook.start import HEADLINE
from unsep_lib.reproduce import page, table, template
from unsep_lib.reproduce.reference import Comparison, Result, compare, results_of
from unsep_lib.versions import versions

CHANGES = 12  # that are told in words before the table
HEADER = ["result", "value", "95 % interval", "reference", "difference", "command"]
TITLE = re.compile(r"<dc:title>(.*?)</dc:title>", re.DOTALL)  # where matplotlib keeps an SVG's title


def write_report(out: Path, notebooks: Sequence[str], profile: str, reference: Path) -> Path:
    """Write `out/index.html` from the notebooks' artefacts and stamps; returns its path.

    reference: the numbers that they are compared with; a file that is not there leaves those columns empty.
    """
    compared = compare(out, notebooks, reference) if reference.is_file() else []
    titles = {name: _convert(out / "notebooks" / f"{name}.ipynb") for name in notebooks}
    body = template(
        "report.html",
        {
            "profile": html.escape(profile),
            "headline": _headline(out, notebooks),
            "summary": html.escape(_summary(compared)),
            "changes": _changes(compared),
            "count": sum(map(len, results_of(out, notebooks).values())),
            "results": _results(out, titles, compared),
            "artefacts": "".join(_artefacts(out, name, title) for name, title in titles.items()),
            "notebooks": table(["notebook", "seconds", "peak memory"], [_stamp(out, name) for name in notebooks]),
            "versions": html.escape(", ".join(f"{name} {number}" for name, number in versions().items())),
        },
    )
    write_text(out / "index.html", page(f"unsep: results of the {profile} profile", body))
    return out / "index.html"


def _convert(path: Path) -> str:
    """Write a notebook as HTML beside it; returns its title."""
    notebook = nbformat.read(path, as_version=4)
    exporter = HTMLExporter(template_name="classic", embed_images=True)
    body, _ = exporter.from_notebook_node(notebook)
    write_text(path.with_suffix(".html"), body)
    first = notebook.cells[0].source if notebook.cells else ""
    return first.splitlines()[0].removeprefix("# ") if first.startswith("# ") else path.stem


def _headline(out: Path, notebooks: Sequence[str]) -> str:
    """The first notebook's headline: a sentence, a picture, the players of two tracks; empty where there is none."""
    folders = (out / "artefacts" / name for name in notebooks)
    folder = next((folder for folder in folders if (folder / HEADLINE).is_file()), None)
    if folder is None:
        return ""
    headline = json.loads((folder / HEADLINE).read_text(encoding="utf-8"))
    return (
        f"<p><strong>{html.escape(headline['sentence'])}</strong></p>{_figure(out, folder / headline['figure'])}"
        + "".join(_player(folder / file, caption) for caption, file in headline["sounds"].items())
    )


def _summary(compared: Sequence[Comparison]) -> str:
    if not compared:
        return "There is no reference run of this profile to compare with."
    outside = [comparison for comparison in compared if not comparison.within]
    if not outside:
        return f"All {len(compared)} numbers lie within their tolerance of the committed reference run."
    return f"{len(outside)} of {len(compared)} numbers left their tolerance of the committed reference run."


def _changes(compared: Sequence[Comparison]) -> str:
    """What left its tolerance, the largest of it first, a sentence each."""
    outside = [comparison for comparison in compared if not comparison.within]
    outside.sort(key=lambda c: c.excess, reverse=True)
    told = "".join(f"<li>{html.escape(_in_words(comparison))}</li>" for comparison in outside[:CHANGES])
    more = f"<li>and {len(outside) - CHANGES} more, marked in the table</li>" if len(outside) > CHANGES else ""
    return f"<ul>{told}{more}</ul>" if outside else ""


def _in_words(compared: Comparison) -> str:
    value, reference, what = compared.value, compared.reference, f"{compared.name} ({compared.notebook})"
    if value is None:
        return f"{what} is missing; the reference has {reference:.2f} {compared.unit}".rstrip()
    if reference is None:
        return f"{what} is new: {value:.2f} {compared.unit}".rstrip()
    more = "more" if value > reference else "less"
    return f"{what} is {value:.2f} {compared.unit}, {abs(value - reference):.2f} {more} than the reference's"


def _results(out: Path, titles: dict[str, str], compared: Sequence[Comparison]) -> str:
    known = {(comparison.notebook, comparison.name): comparison for comparison in compared}
    parts = []
    for name, results in results_of(out, list(titles)).items():
        rows = [_row(row, known.get((name, row["name"]))) for row in results]
        if rows:
            parts.append(f"<h3>{html.escape(titles[name])}</h3>{table(HEADER, rows)}")
    missing = "".join(f"<li>{html.escape(str(c))}</li>" for c in compared if c.value is None)
    return "".join(parts) + (f"<ul>{missing}</ul>" if missing else "")


def _row(row: Result, compared: Comparison | None) -> list[str]:
    interval = "" if row["low"] is None else f"{row['low']:.2f} … {row['high']:.2f}"
    value, command = f"{row['value']:.2f} {row['unit']}", f"<code>{html.escape(row['command'])}</code>"
    reference = difference = ""
    if compared is not None and compared.reference is not None:
        reference = f"{compared.reference:.2f} ± {compared.tolerance:.2f}"
        difference = f"{row['value'] - compared.reference:+.2f}"
        if not compared.within:
            difference = f"<strong>{difference}, outside</strong>"
    elif compared is not None:
        difference = "<strong>new</strong>"
    return [html.escape(row["name"]), value, interval, reference, difference, command]


def _artefacts(out: Path, name: str, title: str) -> str:
    folder = out / "artefacts" / name
    parts = [_player(file, f"{title}: {file.stem.replace('_', ' ')}") for file in sorted(folder.glob("*.wav"))]
    parts += [_figure(out, file) for file in sorted(folder.glob("*.svg"))]
    return f"<section><h3>{html.escape(title)}</h3>{''.join(parts)}</section>" if parts else ""


def _player(file: Path, caption: str) -> str:
    audio = read_audio(file)
    return player_html(audio.samples, audio.sample_rate, caption)


def _figure(out: Path, file: Path) -> str:
    """A saved figure under the sentence that describes it."""
    described = TITLE.search(file.read_text(encoding="utf-8"))
    caption = described[1] if described else html.escape(file.stem.replace("_", " "))  # a title is escaped already
    alt = caption.replace('"', "&quot;")
    source = file.relative_to(out).as_posix()
    return f'<figure><img alt="{alt}" src="{source}"><figcaption>{caption}</figcaption></figure>'


def _stamp(out: Path, name: str) -> list[str]:
    stamp = json.loads((out / "stamps" / f"{name}.json").read_text(encoding="utf-8"))
    link = f'<a href="notebooks/{name}.html">{name}</a>'
    return [link, f"{stamp['seconds']:.0f} s", f"{stamp['memory_mb']:.0f} MB"]
