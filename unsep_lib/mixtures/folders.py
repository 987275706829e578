"""Mixtures kept in folders: a mixture, its references, their labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch

from unsep_lib.audio import read_audio, to_int16, write_audio
from unsep_lib.files import write_text
from unsep_lib.mixtures.making import Mixture
from unsep_lib.specification import SourceSpec, parse_spec

LARGEST_16_BIT = 32767 / 32768  # what a 16-bit sample can hold
AUDIO_SUFFIXES = (".wav", ".flac")


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
