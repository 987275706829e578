"""One mixture made of its sources as the paper makes it, and mixtures kept in folders."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, overload

import numpy
import torch

from unsep_lib.audio import (
    AUDIO_SUFFIXES,
    CANCELLED,
    SAMPLE_RATE,
    read_audio,
    scale_to_dbfs,
    to_int16,
    write_audio,
)
from unsep_lib.data.clips import active_spans
from unsep_lib.files import read_text, write_text
from unsep_lib.source_spec import SourceSpec, parse_spec

MIXTURE_SECONDS = 4.0  # arXiv 2512.07226
LEVEL_LOW, LEVEL_HIGH = -25.0, -20.0  # dBFS, range of a source's RMS over the mixture (arXiv 2512.07226)
MIXTURE_PEAK = 0.95  # arXiv 2512.07226
CANCELLING_PEAK = 1e-6  # of the largest reference: a sum of less is rounding
LEAST_OVERLAP = 1.0  # seconds of a later source that fit into the mixture, where it is that long


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
    the whole mixture; the mixture's peak becomes 0.95 and the references scale with it (arXiv 2512.07226). A source
    that would be silent up to the mixture's end loses the silence before its first sound.

    Raises:
        ValueError: no sources, or a silent one.
    """
    if not sources:
        raise ValueError("expected at least one source to mix, got none")
    length = round(seconds * SAMPLE_RATE)
    placed: list[torch.Tensor] = []
    for source in sources:
        start = _draw_placement(placed[-1] if placed else None, len(source), length, generator)
        piece = _audible(source, length - start)
        track = torch.nn.functional.pad(piece, (start, length - start - len(piece)))
        placed.append(scale_to_dbfs(track, generator.uniform(LEVEL_LOW, LEVEL_HIGH)))
    return added(torch.stack(placed))


def added(references: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of references [source, time] and the references, scaled together until the sum's peak is 0.95.

    Raises:
        ValueError: the references cancel each other.
    """
    peak = references.sum(dim=0).abs().max()
    if peak <= CANCELLING_PEAK * references.abs().max():
        raise ValueError("expected sources to mix, got some that cancel each other")
    references = references * (MIXTURE_PEAK / peak)
    return references.sum(dim=0), references


def _audible(source: torch.Tensor, length: int) -> torch.Tensor:
    piece, spans = source[:length], active_spans(source, SAMPLE_RATE)
    if active_spans(piece, SAMPLE_RATE) or (not spans and piece.any()):
        return piece
    onset = round(spans[0][0] * SAMPLE_RATE) if spans else int(source.abs().gt(0).to(torch.int8).argmax())
    return source[onset:][:length]


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


LARGEST_16_BIT = 32767 / 32768  # what a 16-bit sample can hold


def int16_tracks(mixture: Mixture) -> torch.Tensor:
    """The mixture and its references as 16-bit samples [1 + source, time].

    Where one of them exceeds full scale, all are scaled down together: clipping would break the sum.
    """
    tracks = torch.cat([mixture.mixture[None], mixture.sources])
    return to_int16(tracks * (LARGEST_16_BIT / tracks.abs().max().clamp_min(LARGEST_16_BIT)))


def write_mixture(folder: Path | str, mixture: Mixture, suffix: str = ".flac") -> None:
    """Write `mix`, `source_1` … (16 bit, see `int16_tracks`) and `labels.txt` into `folder`."""
    folder, tracks = Path(folder), int16_tracks(mixture)
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
    channels = torch.stack([audio.samples, *(reference.samples for reference in references)])
    mixture, *sources = _one_channel(channels)
    return Mixture(folder.name, mixture, torch.stack(sources), tuple(specs), audio.sample_rate)


def _one_channel(tracks: torch.Tensor) -> torch.Tensor:
    """Tracks [track, time] of [track, channel, time]: the channels' mean, or the mixture's loudest one.

    One choice for all, so that the references still add up to the mixture, which is the first: its loudest channel
    where the mean of a track's channels cancels (see `audio.mono`).
    """
    mean, power = tracks.mean(dim=1), tracks.double().square().mean(dim=-1)
    cancelled = mean.double().square().mean(dim=-1) < CANCELLED * power.mean(dim=-1)
    return tracks[:, power[0].argmax()] if cancelled.any() else mean


def _read_labels(path: Path) -> list[SourceSpec]:
    lines = read_text(path).splitlines()
    try:
        return [parse_spec(line) for line in lines if line.strip()]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _find_files(folder: Path) -> tuple[Path, list[Path]]:
    audio = [file for file in folder.iterdir() if file.suffix.lower() in AUDIO_SUFFIXES and file.is_file()]
    mixes = sorted((file for file in audio if file.stem.lower() == "mix"), key=_wav_first)
    if not mixes:
        raise ValueError(f"{folder}: expected a mix.wav or mix.flac, found none")
    files = [file for file in audio if file.stem.lower().split("_")[0] in ("source", "real")]
    if not files:
        raise ValueError(f"{folder}: expected references source_*.wav or real_*.wav, found none")
    return mixes[0], sorted(files, key=_natural)


def _wav_first(path: Path) -> tuple[int, str]:
    known = (".wav", ".flac")
    return known.index(path.suffix) if path.suffix in known else len(known), path.name


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.stem)]


def mixture_digest(mixture: Mixture) -> str:
    """SHA-256 of a mixture's samples, references and rate."""
    digest = hashlib.sha256(f"{mixture.sample_rate} {tuple(mixture.sources.shape)}".encode())
    for samples in (mixture.mixture, mixture.sources):
        digest.update(samples.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class Heading(NamedTuple):
    """A mixture without its samples."""

    name: str
    specs: tuple[SourceSpec, ...]


class MixtureFolders(Sequence[Mixture]):
    """Mixtures in folders, each read when it is asked for, so that memory holds one of any number of them.

    All of them are read once before, so that one that is no mixture is refused before any work.

    Raises:
        ValueError: a folder that holds no mixture.
    """

    def __init__(self, folders: Sequence[Path], specs: Sequence[SourceSpec] = ()):
        self.folders, self.specs = tuple(folders), tuple(specs)
        read = (read_mixture(folder, specs) for folder in folders)
        self.headings = tuple(Heading(mixture.name, mixture.specs) for mixture in read)

    def __len__(self) -> int:
        return len(self.folders)

    @overload
    def __getitem__(self, index: int) -> Mixture: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Mixture]: ...

    def __getitem__(self, index: int | slice) -> Mixture | Sequence[Mixture]:
        if isinstance(index, slice):
            return [read_mixture(folder, self.specs) for folder in self.folders[index]]
        return read_mixture(self.folders[index], self.specs)


def headings(mixtures: Sequence[Mixture]) -> Sequence[Heading | Mixture]:
    """Names and specifications of mixtures, without reading any."""
    return mixtures.headings if isinstance(mixtures, MixtureFolders) else mixtures


def mixture_folders(folder: Path | str) -> list[Path]:
    """The subfolders of `folder`, each of which should hold a mixture, in alphabetical order.

    Raises:
        ValueError: no such folder, or no subfolders.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of mixtures")
    hidden = (".", "__MACOSX")  # the latter: what macOS adds to a zip
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(hidden))
    if not folders:
        raise ValueError(f"{folder}: expected a subfolder for each mixture, found none")
    return folders


def read_mixtures(folder: Path | str, specs: Sequence[SourceSpec] = ()) -> MixtureFolders:
    """The mixtures in the subfolders of `folder`, in alphabetical order, each read when it is asked for.

    Raises:
        ValueError: no such folder, no subfolders, or one that is no mixture.
    """
    return MixtureFolders(mixture_folders(folder), specs)
