"""Mixtures with references: made as the paper makes them, drawn by task, kept in folders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch

from unsep_lib.audio import SAMPLE_RATE, read_audio, rms_dbfs, scale_to_dbfs, write_audio
from unsep_lib.clips import Clip, active_spans, draw_start, labels_of, read_crop
from unsep_lib.files import write_text
from unsep_lib.specification import SourceSpec, parse_spec

MIXTURE_SECONDS = 4.0  # arXiv 2512.07226
LEVEL_LOW, LEVEL_HIGH = -25.0, -20.0  # dBFS, range of a source's RMS over the mixture (arXiv 2512.07226)
MIXTURE_PEAK = 0.95  # arXiv 2512.07226
LEAST_OVERLAP = 1.0  # seconds of a later source that fit into the mixture, where it is that long
LARGEST_16_BIT = 32767 / 32768  # what a 16-bit sample can hold
SILENT_DBFS = -60.0  # a crop below this is drawn again
DRAWS = 50
AUDIO_SUFFIXES = (".wav", ".flac")


@dataclass(frozen=True)
class Task:
    """How many speech and how many sound sources are mixed."""

    speech: int
    sounds: int


TASKS = {
    "1speech-1sound": Task(1, 1),
    "1speech-2sounds": Task(1, 2),
    "2sounds": Task(0, 2),
    "3sounds": Task(0, 3),
    "2speakers": Task(2, 0),
}


@dataclass(frozen=True)
class Mixture:
    """A mixture [time], its references [source, time] and their specifications, at `sample_rate` Hz.

    origins: the files of the clips that the references were cut from, where known.
    """

    name: str
    mixture: torch.Tensor
    sources: torch.Tensor
    specs: tuple[SourceSpec, ...]
    sample_rate: int = SAMPLE_RATE
    origins: tuple[str, ...] = ()


def make_mixture(
    sources: Sequence[torch.Tensor], generator: numpy.random.Generator, seconds: float = MIXTURE_SECONDS
) -> tuple[torch.Tensor, torch.Tensor]:
    """Place, level and add sources `[time]` of any length at 16 kHz: (mixture [time], references [source, time]).

    Each source starts inside the active span of the one before it and has an RMS drawn from −25…−20 dBFS over
    the whole mixture; the mixture's peak becomes 0.95 and the references scale with it (arXiv 2512.07226).

    Raises:
        ValueError: no sources, or a silent one.
    """
    if not sources:
        raise ValueError("expected at least one source to mix, got none")
    length = round(seconds * SAMPLE_RATE)
    placed: list[torch.Tensor] = []
    for source in sources:
        start = _draw_placement(placed[-1] if placed else None, len(source), length, generator)
        piece = source[: length - start]
        track = torch.nn.functional.pad(piece, (start, length - start - len(piece)))
        placed.append(scale_to_dbfs(track, generator.uniform(LEVEL_LOW, LEVEL_HIGH)))
    references = torch.stack(placed)
    references = references * (MIXTURE_PEAK / references.sum(dim=0).abs().max())
    return references.sum(dim=0), references


def _draw_placement(
    previous: torch.Tensor | None, source_length: int, length: int, generator: numpy.random.Generator
) -> int:
    latest = length - min(source_length, round(LEAST_OVERLAP * SAMPLE_RATE))
    if previous is None:
        return int(generator.integers(max(length - source_length, 0) + 1))
    spans = active_spans(previous, SAMPLE_RATE) or ((0.0, length / SAMPLE_RATE),)
    lengths = numpy.array([stop - start for start, stop in spans])
    start, stop = spans[generator.choice(len(spans), p=lengths / lengths.sum())]
    return min(int(generator.uniform(start, stop) * SAMPLE_RATE), latest)


def draw_mixtures(
    task: str, speech: Sequence[Clip], sounds: Sequence[Clip], count: int, seed: int
) -> Iterator[Mixture]:
    """Draw `count` mixtures of a task, classes uniform, no clip twice before all of its kind were used.

    Speech sources of one mixture come from different speakers; sounds of one mixture from different classes.

    Raises:
        ValueError: unknown task, or too few speakers or classes.
    """
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}: known are {', '.join(TASKS)}")
    generator = numpy.random.default_rng([seed, list(TASKS).index(task)])
    voices = _Deck({speaker_of(clip): [] for clip in speech}, speech, speaker_of, generator)
    labelled = [clip for clip in sounds if clip.label]
    classes = _Deck({label: [] for label in labels_of(sounds)}, labelled, lambda clip: clip.label, generator)
    for index in range(count):
        clips = voices.deal(TASKS[task].speech) + classes.deal(TASKS[task].sounds)
        specs = tuple(SourceSpec("sound", clip.label) if clip.label else SourceSpec("speech") for clip in clips)
        mixture, sources = make_mixture([_draw_crop(clip, generator) for clip in clips], generator)
        origins = tuple(clip.file for clip in clips)
        yield Mixture(f"{task}_{index:02d}", mixture, sources, specs, origins=origins)


def speaker_of(clip: Clip) -> str:
    """Who speaks in a clip: LibriSpeech and VCTK name the speaker's folder, other corpora are one voice each."""
    if clip.corpus == "LibriSpeech":
        return Path(clip.file).parent.parent.name
    return Path(clip.file).parent.name if clip.corpus == "VCTK" else clip.corpus


class _Deck:
    """Deals one clip from each of several groups, going round all groups and all clips before repeating."""

    def __init__(self, groups, clips, key, generator):
        for clip in clips:
            groups[key(clip)].append(clip)
        self.full, self.generator = groups, generator
        self.left = {name: [] for name in groups}
        self.queue: list[str] = []

    def deal(self, count: int) -> list[Clip]:
        if count > len(self.full):
            raise ValueError(f"expected clips of at least {count} different speakers or classes, got {len(self.full)}")
        names: list[str] = []
        while len(names) < count:
            if not self.queue:
                self.queue = [str(name) for name in self.generator.permutation(sorted(self.full))]
            name = next((name for name in self.queue if name not in names), None)
            if name is None:
                self.queue += [str(name) for name in self.generator.permutation(sorted(self.full))]
                continue
            self.queue.remove(name)
            names.append(name)
        return [self._clip(name) for name in names]

    def _clip(self, name: str) -> Clip:
        if not self.left[name]:
            self.left[name] = [self.full[name][i] for i in self.generator.permutation(len(self.full[name]))]
        return self.left[name].pop()


def _draw_crop(clip: Clip, generator: numpy.random.Generator) -> torch.Tensor:
    seconds = min(MIXTURE_SECONDS, clip.seconds)
    for _ in range(DRAWS):
        crop = read_crop(clip, draw_start(clip, seconds, generator), seconds)
        if rms_dbfs(crop) > SILENT_DBFS:
            return crop
    raise ValueError(f"{clip.file}: no audible piece of {seconds:g} s found in {DRAWS} draws")


def write_mixture(folder: Path | str, mixture: Mixture, suffix: str = ".flac") -> None:
    """Write `mix`, `source_1` … (16 bit) and `labels.txt` into `folder`; the mixture is the references' sum.

    Where one of them exceeds full scale, all are scaled down together: clipping would break the sum.
    """
    folder = Path(folder)
    tracks = torch.cat([mixture.mixture[None], mixture.sources])
    tracks = tracks * (LARGEST_16_BIT / tracks.abs().max().clamp_min(LARGEST_16_BIT))
    for number, source in enumerate(tracks[1:], start=1):
        write_audio(folder / f"source_{number}{suffix}", source, mixture.sample_rate, "PCM_16")
    write_audio(folder / f"mix{suffix}", tracks[0], mixture.sample_rate, "PCM_16")
    write_text(folder / "labels.txt", "".join(f"{spec}\n" for spec in mixture.specs))


def read_mixture(folder: Path | str, specs: Sequence[SourceSpec] = ()) -> Mixture:
    """Read a folder of `mix.wav`, `source_*.wav` or `real_*.wav` (or FLAC) and, optionally, `labels.txt`.

    specs: what the sources are when there is no `labels.txt` (one specification a line).

    Raises:
        ValueError: a file is missing or unreadable, or lengths, rates or the number of labels differ.
    """
    folder = Path(folder)
    mix, files = _find_files(folder)
    audio = read_audio(mix)
    references = [read_audio(file) for file in files]
    for file, reference in zip(files, references, strict=True):
        if reference.samples.shape != audio.samples.shape or reference.sample_rate != audio.sample_rate:
            raise ValueError(f"{file}: expected the length, rate and channels of {mix.name}")
    labels = folder / "labels.txt"
    if labels.is_file():
        specs = _read_labels(labels)
    if len(specs) != len(files):
        raise ValueError(
            f"{folder}: expected one source specification for each of {len(files)} references, got {len(specs)}"
        )
    sources = torch.stack([reference.samples.mean(dim=0) for reference in references])
    return Mixture(folder.name, audio.samples.mean(dim=0), sources, tuple(specs), audio.sample_rate)


def _read_labels(path: Path) -> list[SourceSpec]:
    try:
        return [parse_spec(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _find_files(folder: Path) -> tuple[Path, list[Path]]:
    mix = next((folder / f"mix{suffix}" for suffix in AUDIO_SUFFIXES if (folder / f"mix{suffix}").is_file()), None)
    if mix is None:
        raise ValueError(f"{folder}: expected a mix.wav or mix.flac, found none")
    files = [
        file
        for file in folder.iterdir()
        if file.suffix in AUDIO_SUFFIXES and file.stem.split("_")[0] in ("source", "real")
    ]
    if not files:
        raise ValueError(f"{folder}: expected references source_*.wav or real_*.wav, found none")
    return mix, sorted(files, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.stem)]


def read_mixtures(folder: Path | str, specs: Sequence[SourceSpec] = ()) -> list[Mixture]:
    """Read every subfolder of `folder` as a mixture, in alphabetical order.

    Raises:
        ValueError: no such folder, no subfolders, or one that is no mixture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of mixtures")
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise ValueError(f"{folder}: expected a subfolder for each mixture, found none")
    return [read_mixture(path, specs) for path in folders]
