"""Mixtures drawn by task from clips, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy
import torch

from unsep_lib.audio import rms_dbfs
from unsep_lib.clips import Clip, draw_start, labels_of, read_crop, speaker_of
from unsep_lib.mixtures.making import MIXTURE_SECONDS, Mixture, make_mixture
from unsep_lib.specification import SourceSpec

SILENT_DBFS = -60.0  # a crop below this is drawn again
DRAWS = 50


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


def draw_mixtures(
    task: str, speech: Sequence[Clip], sounds: Sequence[Clip], count: int, seed: int
) -> Iterator[Mixture]:
    """Draw `count` mixtures of a task, classes uniform, no clip twice before all of its kind were used.

    Speech sources of one mixture come from different speakers; sounds of one mixture from different classes.

    Raises:
        ValueError: unknown task, or too few speakers or classes.
    """
    generator = numpy.random.default_rng([seed, task_number(task)])
    for index, clips in enumerate(deal(task, speech, sounds, count, generator)):
        specs = tuple(map(spec_of, clips))
        mixture, sources = make_mixture([draw_crop(clip, generator) for clip in clips], generator)
        origins = tuple(clip.file for clip in clips)
        yield Mixture(f"{task}_{index:02d}", mixture, sources, specs, origins=origins)


def spec_of(clip: Clip) -> SourceSpec:
    """What a clip's source is told as: `sound:LABEL` with a label, `speech` without."""
    return SourceSpec("sound", clip.label) if clip.label else SourceSpec("speech")


def task_number(task: str) -> int:
    """The number of a task among `TASKS`.

    Raises:
        ValueError: unknown task.
    """
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}: known are {', '.join(TASKS)}")
    return list(TASKS).index(task)


def deal(
    task: str, speech: Sequence[Clip], sounds: Sequence[Clip], count: int, generator: numpy.random.Generator
) -> Iterator[list[Clip]]:
    """Clips for `count` mixtures of a task: speech of different speakers, then sounds of different classes.

    Raises:
        ValueError: too few speakers or classes.
    """
    voices = _Deck({speaker_of(clip): [] for clip in speech}, speech, speaker_of, generator)
    labelled = [clip for clip in sounds if clip.label]
    classes = _Deck({label: [] for label in labels_of(sounds)}, labelled, lambda clip: clip.label, generator)
    for _ in range(count):
        yield voices.deal(TASKS[task].speech) + classes.deal(TASKS[task].sounds)


class _Deck:
    """Deals one clip from each of several groups, going round all groups and all clips before repeating."""

    def __init__(
        self,
        groups: dict[str, list[Clip]],
        clips: Sequence[Clip],
        key: Callable[[Clip], str],
        generator: numpy.random.Generator,
    ):
        for clip in clips:
            groups[key(clip)].append(clip)
        self.full, self.generator = groups, generator
        self.left: dict[str, list[Clip]] = {name: [] for name in groups}
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


def draw_crop(clip: Clip, generator: numpy.random.Generator, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """An audible crop `[time]` of a clip at 16 kHz, as long as a mixture or as the clip, if that is shorter.

    Raises:
        ValueError: no audible one is found.
    """
    seconds = min(MIXTURE_SECONDS, clip.seconds)
    for _ in range(DRAWS):
        crop = read_crop(clip, draw_start(clip, seconds, generator), seconds, dtype=dtype)
        if rms_dbfs(crop) > SILENT_DBFS:
            return crop
    raise ValueError(f"{clip.file}: no audible piece of {seconds:g} s found in {DRAWS} draws")
