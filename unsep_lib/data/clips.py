"""Clips of one source each, and the manifest that lists them: one JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy
import torch
from pydantic import AfterValidator, Field, InstanceOf, StrictBool, StrictFloat, StrictInt

from unsep_lib.audio import SAMPLE_RATE, Audio, mono, read_audio, resample
from unsep_lib.files import read_text, write_text
from unsep_lib.settings import checked

SPAN_WINDOW = 0.050  # seconds; active spans are runs of windows … (arXiv 2512.07226, as released)
SPAN_HOP = 0.025  # seconds
SPAN_ENERGY = 1e-4  # … whose summed energy exceeds this
SPLITS = ("train", "test")
SPEAKER_FOLDERS = {"LibriSpeech": 1, "VCTK": 0, "speechocean762": 0, "an4": 0}  # folders above the file's own
Text = InstanceOf[str]  # a name of a file that is no UTF-8 has signs that pydantic's own strings refuse
Count = Annotated[StrictInt, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _forwards(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError(f"expected a span of start and stop in seconds, got {span[0]}, {span[1]}")
    return span


def _a_split(name: str) -> str:
    if name not in SPLITS:
        raise ValueError(f"expected {' or '.join(SPLITS)}, got {name!r}")
    return name


def _a_path(name: str) -> str:
    if "\0" in name:
        raise ValueError("expected a name without zero bytes")
    return name


@dataclass(frozen=True)
class Clip:
    """One recording of one source.

    file: absolute path; label: class name, "" if none; split: "train" or "test"; frames: samples at
    `sample_rate` Hz; spans: active spans (start, stop) in seconds. Where known: verified: whether a person checked the
    label; level: RMS in dBFS; peak: largest magnitude of a sample; clipped: longest run of samples at full scale; size
    and modified: of the file, in bytes and in nanoseconds since 1970.
    """

    corpus: Text
    file: Annotated[Text, AfterValidator(_a_path)]
    sha256: Text
    label: Text
    split: Annotated[str, AfterValidator(_a_split)]
    sample_rate: Count
    frames: Count
    spans: tuple[Annotated[tuple[Seconds, Seconds], AfterValidator(_forwards)], ...]
    verified: StrictBool | None = None
    level: StrictFloat | None = None
    peak: StrictFloat | None = None
    clipped: StrictInt | None = None
    size: StrictInt | None = None
    modified: StrictInt | None = None

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.frames / self.sample_rate


def active_spans(samples: torch.Tensor, sample_rate: int) -> tuple[tuple[float, float], ...]:
    """Spans (start, stop) in seconds of `[time]` samples where something sounds.

    A 50 ms window every 25 ms is active when its summed energy exceeds 1e-4; touching windows join.
    """
    window, hop = round(SPAN_WINDOW * sample_rate), round(SPAN_HOP * sample_rate)
    padded = torch.nn.functional.pad(samples, (0, max(0, window - len(samples))))
    energy = padded.unfold(0, window, hop).square().sum(dim=1)
    active = numpy.flatnonzero((energy > SPAN_ENERGY).numpy())
    if active.size == 0:
        return ()
    runs = numpy.split(active, numpy.flatnonzero(numpy.diff(active) > 1) + 1)
    end = len(samples) / sample_rate
    return tuple(
        (float(run[0] * hop / sample_rate), float(min((run[-1] * hop + window) / sample_rate, end))) for run in runs
    )


def draw_start(clip: Clip, seconds: float, generator: numpy.random.Generator) -> float:
    """Start (seconds) of a crop: a span drawn with probability proportional to its length, then uniform.

    A span longer than the crop gives a start inside it; a shorter one is placed whole in the crop where
    the clip allows. Without active spans the start is uniform over the clip.
    """
    latest = max(0.0, clip.seconds - seconds)
    lengths = numpy.array([stop - start for start, stop in clip.spans])
    if not lengths.any():
        return generator.uniform(0.0, latest) if latest else 0.0
    start, stop = clip.spans[generator.choice(len(lengths), p=lengths / lengths.sum())]
    low, high = sorted((start, stop - seconds))
    return float(numpy.clip(generator.uniform(low, high), 0.0, latest))


def speaker_of(clip: Clip) -> str:
    """Who speaks in a clip: a folder's name in the corpora of `SPEAKER_FOLDERS`; other corpora are one voice each."""
    if clip.corpus not in SPEAKER_FOLDERS:
        return clip.corpus
    return Path(clip.file).parents[SPEAKER_FOLDERS[clip.corpus]].name


def read_crop(
    clip: Clip, start: float, seconds: float, sample_rate: int = SAMPLE_RATE, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Mono samples `[time]` of a crop at `sample_rate` Hz, zero-padded at the end to `seconds`, computed in `dtype`."""
    first = round(start * clip.sample_rate)
    count = round(seconds * clip.sample_rate)
    audio: Audio = read_audio(clip.file, first, min(first + count, clip.frames))
    samples = resample(mono(audio.samples.to(dtype)), audio.sample_rate, sample_rate)
    length = round(seconds * sample_rate)
    return torch.nn.functional.pad(samples[:length], (0, max(0, length - len(samples))))


def write_manifest(path: Path | str, clips: Iterable[Clip]) -> None:
    """Write one JSON line per clip, atomically; files below the manifest's folder are stored relative to it."""
    folder = Path(path).resolve().parent
    rows = [{name: value for name, value in asdict(clip).items() if value is not None} for clip in clips]
    write_lines(path, [row | {"file": stored_name(row["file"], folder)} for row in rows])


def stored_name(file: Path | str, folder: Path) -> str:
    """How a list in `folder` names a file: relative to the folder where the file is below it."""
    file = Path(file).resolve()
    return os.fspath(file.relative_to(folder) if file.is_relative_to(folder) else file)


def write_lines(path: Path | str, rows: Iterable[Mapping[str, object]]) -> None:
    """Write each row as a line of JSON, atomically."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_manifest(path: Path | str) -> list[Clip]:
    """Read a manifest written by `write_manifest`.

    Raises:
        ValueError: no such file, or a line that is no clip (its number and fault are named).
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such manifest; make one with `unsep data prepare FOLDER --out {path}`")
    folder = path.resolve().parent
    return [_clip(path, folder, number, line) for number, line in enumerate(read_lines(path), start=1)]


def read_lines(path: Path) -> list[str]:
    """The lines of a list written by `write_lines`; only a line feed ends one.

    Raises:
        ValueError: not UTF-8.
    """
    text = read_text(path)
    return text.removesuffix("\n").split("\n") if text else []


def _clip(path: Path, folder: Path, number: int, line: str) -> Clip:
    where = f"{path}, line {number}: not a clip"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} ({error})") from error
    clip = checked(Clip, row, where)
    return replace(clip, file=os.fspath(folder / clip.file))


def labels_of(clips: Sequence[Clip]) -> tuple[str, ...]:
    """The distinct labels of `clips` in alphabetical order, without the empty one."""
    return tuple(sorted({clip.label for clip in clips} - {""}))
