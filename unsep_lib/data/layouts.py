"""The layouts that are known: which files are clips, with which label and split.

A layout is a pair of functions of the corpus's root folder: does it look like this one, and what are its entries.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unsep_lib.audio import AUDIO_SUFFIXES, OTHER_SUFFIXES, READABLE
from unsep_lib.files import read_text
from unsep_lib.source_spec import class_label

VCTK_FOLDER = "wav48_silence_trimmed"
VCTK_TRAIN_SPEAKERS = 100  # the first hundred in alphabetical order train, the others test (arXiv 2512.07226)
FSD_TABLES = {"train": "train_post_competition.csv", "test": "test_post_competition_scoring_clips.csv"}
SPLITS = {"train": "train"} | dict.fromkeys(("test", "valid", "validation", "val", "dev"), "test")  # folder → split


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
    parts = (part for pattern in ("train-*", "dev-*", "test-*") for part in root.glob(pattern))
    return any(next(part.glob("[0-9]*/[0-9]*/"), None) for part in parts)  # speaker, chapter


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


def tables_of(root: Path) -> list[Path]:
    """The tables of labels that a corpus in `root` has where its layout is one with tables."""
    return [root / "FSDKaggle2018.meta" / table for table in FSD_TABLES.values()]


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
    try:
        rows = list(csv.DictReader(read_text(path).splitlines(keepends=True)))
    except csv.Error as error:
        raise ValueError(f"{path}: not a table ({error})") from error
    if not rows or any(row.get("fname") is None or row.get("label") is None for row in rows):
        raise ValueError(f"{path}: expected a table with the columns fname and label, both in every line")
    return sorted(rows, key=lambda row: row["fname"])


def _folder(root: Path) -> Iterator[Entry]:
    files = [(file, file.relative_to(root).parts[:-1]) for file in _visible(_below(root))]
    splits = _split_folders({parts[0] for _, parts in files if parts})
    for file, parts in files:
        inside_split = bool(parts) and parts[0] in splits
        labels = parts[1:] if inside_split else parts
        yield Entry(
            file, class_label(labels[-1]) if labels else "", SPLITS[parts[0].casefold()] if inside_split else "train"
        )


def _split_folders(folders: set[str]) -> frozenset[str]:
    """Which of the folders at the top are splits: `train` beside `bus` and without `test` is a class."""
    named = frozenset(folder for folder in folders if folder.casefold() in SPLITS)
    both = {SPLITS[folder.casefold()] for folder in named} == set(SPLITS.values())
    return named if both or named == folders else frozenset()


def _below(root: Path) -> Iterator[Path]:
    """Every file below a folder, through links to folders too; each folder once, under its own name before a link's."""
    seen: set[str] = set()
    starts = [root]
    while starts:
        links = []
        for folder, folders, files in os.walk(starts.pop(0)):
            if os.path.realpath(folder) in seen:
                folders.clear()
                continue
            seen.add(os.path.realpath(folder))
            links += [Path(folder, name) for name in folders if Path(folder, name).is_symlink()]
            yield from (Path(folder, name) for name in files)
        starts += sorted(links)


def left_out(root: Path) -> list[str]:
    """Sentences on what lies below a folder and is not taken: files of other kinds counted, broken links named."""
    kinds: Counter[str] = Counter()
    sentences = []
    for file in sorted(_below(root)):
        if not file.exists():
            sentences.append(f"{file}: a link to nothing")
        elif file.suffix.lower() in OTHER_SUFFIXES:
            sentences.append(f"{file}: {READABLE} can be read, others after `ffmpeg -i {file.name} {file.stem}.wav`")
        elif file.name.startswith("._") and file.suffix.lower() in AUDIO_SUFFIXES:
            kinds["macOS's companion files (._…)"] += 1
        elif file.suffix.lower() not in AUDIO_SUFFIXES and not file.name.startswith("."):
            kinds[file.suffix.lower() or "no suffix"] += 1
    if kinds:
        counted = ", ".join(f"{number} of {kind}" for kind, number in sorted(kinds.items()))
        sentences.append(f"{root}: files that are no audio are not taken: {counted}")
    return sentences


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("LibriSpeech", _is_librispeech, _librispeech),
        Layout("VCTK", _is_vctk, _vctk),
        Layout("FSDKaggle2018", _is_fsdkaggle2018, _fsdkaggle2018),
        Layout("folder", lambda root: True, _folder),
    )
}
