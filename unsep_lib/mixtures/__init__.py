"""Mixtures with references: made as the paper makes them, drawn by task, kept in folders."""

from unsep_lib.clips import speaker_of
from unsep_lib.mixtures.drawing import TASKS, Task, draw_mixtures, spec_of
from unsep_lib.mixtures.folders import read_mixture, read_mixtures, write_mixture
from unsep_lib.mixtures.making import (
    LEVEL_HIGH,
    LEVEL_LOW,
    MIXTURE_PEAK,
    MIXTURE_SECONDS,
    Mixture,
    added,
    make_mixture,
)
from unsep_lib.mixtures.sets import MixtureSet, checksum, write_set

__all__ = [
    "LEVEL_HIGH", "LEVEL_LOW", "MIXTURE_PEAK", "MIXTURE_SECONDS", "TASKS", "Mixture", "MixtureSet", "Task", "added",
    "checksum", "draw_mixtures", "make_mixture", "read_mixture", "read_mixtures", "speaker_of", "spec_of",
    "write_mixture", "write_set",
]  # fmt: skip
