"""The page that `unsep reproduce` ends with: results, players, figures, executed notebooks."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template

import nbformat
from nbconvert import HTMLExporter

from unsep_lib.audio import read_audio
from unsep_lib.files import write_text
from unsep_lib.pages import STYLE, table
from unsep_lib.players import player_html
from unsep_lib.versions import versions


def write_report(out: Path, notebooks: Sequence[str], profile: str) -> Path:
    """Write `out/index.html` from the notebooks' artefacts and stamps; returns its path."""
    for name in notebooks:
        _convert(out / "notebooks" / f"{name}.ipynb")
    page = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8")).substitute(
        style=STYLE,
        profile=html.escape(profile),
        results=_results(out, notebooks),
        artefacts="".join(_artefacts(out, name) for name in notebooks),
        notebooks=table(["notebook", "seconds", "peak memory"], [_stamp(out, name) for name in notebooks]),
        versions=html.escape(", ".join(f"{name} {number}" for name, number in versions().items())),
    )
    write_text(out / "index.html", page)
    return out / "index.html"


def _convert(path: Path) -> None:
    exporter = HTMLExporter(template_name="classic", embed_images=True)
    body, _ = exporter.from_notebook_node(nbformat.read(path, as_version=4))
    write_text(path.with_suffix(".html"), body)


def _results(out: Path, notebooks: Sequence[str]) -> str:
    rows = []
    for name in notebooks:
        file = out / "artefacts" / name / "results.json"
        for row in json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []:
            interval = "" if row["low"] is None else f"{row['low']:.2f} … {row['high']:.2f}"
            value = f"{row['value']:.2f} {row['unit']}"
            rows.append([html.escape(row["name"]), value, interval, f"<code>{html.escape(row['command'])}</code>"])
    return table(["result", "value", "95 % interval", "command"], rows)


def _artefacts(out: Path, name: str) -> str:
    folder = out / "artefacts" / name
    parts = []
    for file in sorted(folder.glob("*.svg")):
        alt = html.escape(f"Figure of notebook {name}: {file.stem.replace('_', ' ')}")
        source = file.relative_to(out).as_posix()
        parts.append(f'<figure><img alt="{alt}" src="{source}"><figcaption>{alt}</figcaption></figure>')
    for file in sorted(folder.glob("*.wav")):
        audio = read_audio(file)
        parts.append(player_html(audio.samples, audio.sample_rate, file.stem.replace("_", " ")))
    return f"<section><h3>{html.escape(name)}</h3>{''.join(parts)}</section>" if parts else ""


def _stamp(out: Path, name: str) -> list[str]:
    stamp = json.loads((out / "stamps" / f"{name}.json").read_text(encoding="utf-8"))
    link = f'<a href="notebooks/{name}.html">{name}</a>'
    return [link, f"{stamp['seconds']:.0f} s", f"{stamp['memory_mb']:.0f} MB"]
