"""The audio that comes with the repository: test mixtures, and clips to train on for show."""

from __future__ import annotations

from pathlib import Path

from unsep_lib.data.clips import Clip, read_manifest
from unsep_lib.data.mixtures import Mixture, mixture_folders, read_mixture

REPOSITORY = Path(__file__).resolve().parents[2]
EMBEDDED = REPOSITORY / "data_prep" / "embedded"


def embedded_dir() -> Path:
    """The folder of the embedded audio.

    Raises:
        ValueError: the package is not run from a clone of the repository.
    """
    if not EMBEDDED.is_dir():
        raise ValueError(f"{EMBEDDED}: the embedded audio is missing; run from a clone of the repository")
    return EMBEDDED


def embedded_mixtures(task: str = "") -> list[Mixture]:
    """The test mixtures of a task, or of all tasks."""
    folders = mixture_folders(embedded_dir() / "mixtures")
    return [read_mixture(folder) for folder in folders if not task or folder.name.rpartition("_")[0] == task]


def embedded_clips() -> list[Clip]:
    """The embedded single-source clips: voices (no label) and sounds (labelled), split "train" or "test"."""
    return read_manifest(embedded_dir() / "manifest.jsonl")
