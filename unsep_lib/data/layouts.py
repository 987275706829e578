"""The layouts that are known: which files are clips, with which label and split.

A layout is a pair of functions of the corpus's root folder: does it look like this one, and what are its entries.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unsep_lib.audio import AUDIO_SUFFIXES

VCTK_FOLDER = "wav48_silence_trimmed"
VCTK_TRAIN_SPEAKERS = 100  # the first hundred in alphabetical order train, the others test (arXiv 2512.07226)
FSD_TABLES = {"train": "train_post_competition.csv", "test": "test_post_competition_scoring_clips.csv"}
SPLIT_FOLDERS = {"train": "train", "test": "test"}


@dataclass(frozen=True)
class Entry:
    """A file that should be a clip; verified: whether a person checked the label, None where the corpus is silent."""

    file: Path
    label: str
    split: str
    verified: bool | None = None


@dataclass(frozen=True)
class Layout:
    """How to recognise a corpus and list its entries, in alphabetical order."""

    name: str
    recognises: Callable[[Path], bool]
    entries: Callable[[Path], Iterator[Entry]]


def _visible(files: Iterable[Path]) -> list[Path]:
    return sorted(
        file
        for file in files
        if file.suffix.lower() in AUDIO_SUFFIXES and not file.name.startswith(".") and file.is_file()
    )


def _is_librispeech(root: Path) -> bool:
    return any(folder.is_dir() for pattern in ("train-*", "dev-*", "test-*") for folder in root.glob(pattern))


def _librispeech(root: Path) -> Iterator[Entry]:
    for part in sorted(root.iterdir()):
        if part.is_dir() and part.name.partition("-")[0] in ("train", "dev", "test"):
            split = "train" if part.name.startswith("train") else "test"
            yield from (Entry(file, "", split) for file in _visible(part.glob("*/*/*")))


def _is_vctk(root: Path) -> bool:
    return (root / VCTK_FOLDER).is_dir()


def _vctk(root: Path) -> Iterator[Entry]:
    speakers = sorted(folder for folder in (root / VCTK_FOLDER).iterdir() if folder.is_dir())
    for index, speaker in enumerate(speakers):
        split = "train" if index < VCTK_TRAIN_SPEAKERS else "test"
        yield from (Entry(file, "", split) for file in _visible(speaker.glob("*_mic1.flac")))


def _is_fsdkaggle2018(root: Path) -> bool:
    return (root / "FSDKaggle2018.meta").is_dir()


def _fsdkaggle2018(root: Path) -> Iterator[Entry]:
    for split, table in FSD_TABLES.items():
        folder = root / f"FSDKaggle2018.audio_{split}"
        for row in _read_table(root / "FSDKaggle2018.meta" / table, split):
            flag = row.get("manually_verified")
            yield Entry(folder / row["fname"], row["label"], split, None if flag is None else flag == "1")


def _read_table(path: Path, split: str) -> list[dict[str, str]]:
    if not path.is_file():
        raise ValueError(f"{path}: expected FSDKaggle2018's table of {split} clips, found none")
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or not {"fname", "label"} <= rows[0].keys():
        raise ValueError(f"{path}: expected a table with the columns fname and label")
    return sorted(rows, key=lambda row: row["fname"])


def _folder(root: Path) -> Iterator[Entry]:
    for file in _visible(root.rglob("*")):
        parts = file.relative_to(root).parts[:-1]
        split = SPLIT_FOLDERS.get(parts[0], "train") if parts else "train"
        labels = parts[1:] if parts and parts[0] in SPLIT_FOLDERS else parts
        yield Entry(file, labels[-1].replace(" ", "_") if labels else "", split)


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("LibriSpeech", _is_librispeech, _librispeech),
        Layout("VCTK", _is_vctk, _vctk),
        Layout("FSDKaggle2018", _is_fsdkaggle2018, _fsdkaggle2018),
        Layout("folder", lambda root: True, _folder),
    )
}
