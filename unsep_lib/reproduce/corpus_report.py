"""A prepared corpus in numbers, and as a page with distributions, faults and clips to listen to."""

from __future__ import annotations

import base64
import html
import io
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from unsep_lib.audio import SAMPLE_RATE
from unsep_lib.data.clips import SPLITS, Clip, labels_of, read_crop, speaker_of
from unsep_lib.data.prepare import Prepared, Skipped
from unsep_lib.figures.players import player_html
from unsep_lib.figures.spectrograms import new_figure
from unsep_lib.files import write_text
from unsep_lib.reproduce import page, table, template

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLIPPED_RUN = 3  # samples at full scale in a row from which a file counts as clipped

# Clips, classes and speakers per split, as the publishers state them: Zenodo record 2552860 and its tables (clips and
# classes), the readme of VCTK 0.92 (110 speakers, of which arXiv 2512.07226 trains on 100).
PUBLISHED = {
    ("FSDKaggle2018", "train"): {"clips": 9473, "classes": 41},
    ("FSDKaggle2018", "test"): {"clips": 1600, "classes": 41},
    ("VCTK", "train"): {"speakers": 100},
    ("VCTK", "test"): {"speakers": 10},
}


@dataclass(frozen=True)
class SplitSummary:
    """One split of a corpus: counts, hours of audio and of active spans, seconds and levels (dBFS) of its clips.

    verified: clips whose label a person checked, None where the corpus does not say; clipped: clips with three samples
    or more at full scale in a row; spanless: clips without an active span.
    """

    split: str
    clips: int
    hours: float
    active_hours: float
    classes: int
    speakers: int
    verified: int | None
    clipped: int
    spanless: int
    seconds: tuple[float, float, float]  # shortest, median, longest
    level: tuple[float, float, float] | None  # quietest, median, loudest


def summarise(clips: Sequence[Clip]) -> tuple[SplitSummary, ...]:
    """A summary of each split that has clips."""
    groups = {split: [clip for clip in clips if clip.split == split] for split in SPLITS}
    return tuple(_summarise(split, group) for split, group in groups.items() if group)


def _summarise(split: str, clips: Sequence[Clip]) -> SplitSummary:
    flags = [clip.verified for clip in clips if clip.verified is not None]
    levels = [clip.level for clip in clips if clip.level is not None]
    return SplitSummary(
        split=split,
        clips=len(clips),
        hours=sum(clip.seconds for clip in clips) / 3600,
        active_hours=sum(stop - start for clip in clips for start, stop in clip.spans) / 3600,
        classes=len(labels_of(clips)),
        speakers=len({speaker_of(clip) for clip in clips if not clip.label}),
        verified=sum(flags) if flags else None,
        clipped=sum(is_clipped(clip) for clip in clips),
        spanless=sum(not clip.spans for clip in clips),
        seconds=_extremes([clip.seconds for clip in clips]),
        level=_extremes(levels) if levels else None,
    )


def _extremes(values: Sequence[float]) -> tuple[float, float, float]:
    return min(values), statistics.median(values), max(values)


def is_clipped(clip: Clip) -> bool:
    """Whether a clip has three samples or more at full scale in a row."""
    return clip.clipped is not None and clip.clipped >= CLIPPED_RUN


def departures(clips: Sequence[Clip]) -> list[str]:
    """Sentences that name where a corpus has other counts than its publisher states."""
    sentences = []
    for (corpus, split), published in PUBLISHED.items():
        group = [clip for clip in clips if (clip.corpus, clip.split) == (corpus, split)]
        counts = {"clips": len(group), "classes": len(labels_of(group)), "speakers": len({*map(speaker_of, group)})}
        if any(clip.corpus == corpus for clip in clips):
            sentences += [
                f"{corpus} {split}: expected {number} {what}, found {counts[what]}"
                for what, number in published.items()
                if counts[what] != number
            ]
    return sentences


PLAYERS = 8
PLAYED_SECONDS = 10.0  # at most, of a clip
LISTED = 200  # files named in a table; the rest is counted
BINS = 60
MOST_BARS = 60  # classes or speakers shown one by one


def page_file(folder: Path | str) -> Path:
    """Where `write_page` writes."""
    return Path(folder) / "index.html"


def write_page(folder: Path | str, title: str, root: Path | str, prepared: Prepared, seed: int = 0) -> Path:
    """Write `folder/index.html` about a corpus that was prepared from `root`; returns its path."""
    clips = prepared.clips
    rows = [[file_of(clip, root), f"{clip.clipped} samples"] for clip in clips if is_clipped(clip)]
    body = template(
        "corpus_report.html",
        {
            "title": html.escape(title),
            "root": html.escape(str(root)),
            "departures": _list(departures(clips)),
            "summary": _summary(clips),
            "figures": _figures(clips),
            "players": _players(clips, root, seed),
            "clipped": _files(["file", "longest run"], rows),
            "spanless": _files(["file"], [[file_of(clip, root)] for clip in clips if not clip.spans]),
            "skipped": _files(["file", "reason"], [[file_of(one, root), one.reason] for one in prepared.skipped]),
        },
    )
    path = page_file(folder)
    write_text(path, page(f"{title}: clips", body))
    return path


def file_of(one: Clip | Skipped, root: Path | str) -> str:
    """A clip's or skipped file's path as seen from the corpus's root."""
    file, root = Path(one.file), Path(root).resolve()
    return str(file.relative_to(root) if file.is_relative_to(root) else file)


def _summary(clips: Sequence[Clip]) -> str:
    rows = []
    for part in summarise(clips):
        rows.append(
            [
                part.split, f"{part.clips}", f"{part.hours:.2f}", f"{part.active_hours:.2f}", f"{part.classes}",
                f"{part.speakers}", "" if part.verified is None else f"{part.verified}", f"{part.clipped}",
                " / ".join(f"{value:.1f}" for value in part.seconds),
                "" if part.level is None else " / ".join(f"{value:.0f}" for value in part.level),
            ]
        )  # fmt: skip
    header = ["split", "clips", "hours", "active hours", "classes", "speakers", "labels checked by a person", "clipped",
              "seconds: least / median / most", "dBFS: least / median / most"]  # fmt: skip
    return _table(header, rows)


def _figures(clips: Sequence[Clip]) -> str:
    seconds = {part.split: [c.seconds for c in clips if c.split == part.split] for part in summarise(clips)}
    levels = {split: [c.level for c in clips if c.split == split and c.level is not None] for split in seconds}
    kinds = Counter(clip.label or speaker_of(clip) for clip in clips)
    what = "class" if any(clip.label for clip in clips) else "speaker"
    return "".join(
        [
            _histogram(seconds, "Duration of the clips", "seconds", logarithmic=True),
            _histogram(levels, "Level of the clips", "RMS in dBFS") if any(levels.values()) else "",
            _bars(kinds, f"Clips of each {what}")
            if len(kinds) <= MOST_BARS
            else _histogram({what: list(kinds.values())}, f"Clips of each {what}", "clips", f"{what}s"),
        ]
    )


def _histogram(
    groups: dict[str, list[float]], title: str, unit: str, counted: str = "clips", logarithmic: bool = False
) -> str:
    values = [value for group in groups.values() for value in group]
    low, high = min(values), max(values) * (1 + 1e-9)
    edges = numpy.geomspace(low, high, BINS).tolist() if logarithmic and high > low else BINS
    figure = new_figure(8, 3)
    axes = figure.subplots()
    axes.hist(list(groups.values()), bins=edges, stacked=True, label=list(groups))
    axes.set(title=title, xlabel=unit, ylabel=counted, xscale="log" if logarithmic else "linear")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}" if high < 10 * low else "")
    axes.legend(loc="upper right")
    return _image(figure, f"{title}: from {low:.3g} to {high:.3g} {unit}, {len(values)} {counted}")


def _bars(counts: Counter[str], title: str) -> str:
    figure = new_figure(8, max(2.0, 0.16 * len(counts) + 1))
    axes = figure.subplots()
    names = sorted(counts, reverse=True)
    axes.barh(names, [counts[name] for name in names])
    axes.set(title=title, xlabel="clips")
    axes.tick_params("y", labelsize=7)
    return _image(figure, f"{title}: {len(counts)} of them with {min(counts.values())} to {max(counts.values())} clips")


def _image(figure: Figure, text: str) -> str:
    import matplotlib

    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "unsep"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    data, text = base64.b64encode(stream.getvalue()).decode(), html.escape(text)
    return f'<figure><img alt="{text}" src="data:image/svg+xml;base64,{data}"></figure>'


def _players(clips: Sequence[Clip], root: Path | str, seed: int) -> str:
    chosen = numpy.random.default_rng(seed).permutation(len(clips))[:PLAYERS]
    return "".join(_player(clips[index], root) for index in sorted(chosen))


def _player(clip: Clip, root: Path | str) -> str:
    samples = read_crop(clip, 0.0, min(clip.seconds, PLAYED_SECONDS))
    return player_html(samples, SAMPLE_RATE, f"{clip.split}, {clip.label or speaker_of(clip)}: {file_of(clip, root)}")


def _list(sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


def _files(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "<p>None.</p>"
    more = f"<p>… and {len(rows) - LISTED} more.</p>" if len(rows) > LISTED else ""
    return f"<p>{len(rows)} files.</p>" + _table(header, rows[:LISTED]) + more


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return table(header, [[html.escape(cell) for cell in row] for row in rows])
