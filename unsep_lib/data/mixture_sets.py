"""Mixtures drawn by task from clips: sets that are the same wherever they are drawn."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy
import torch

from unsep_lib.audio import rms_dbfs
from unsep_lib.data.clips import Clip, draw_start, labels_of, read_crop, read_manifest, speaker_of
from unsep_lib.data.mixtures import MIXTURE_SECONDS, Mixture, int16_tracks, make_mixture, read_mixture, write_mixture
from unsep_lib.files import alone, write_json
from unsep_lib.parallel import spread
from unsep_lib.source_spec import SourceSpec

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
    for index, clips in enumerate(draw_clips(task, speech, sounds, count, generator)):
        specs = tuple(map(spec_of, clips))
        mixture, sources = make_mixture([draw_crop(clip, generator) for clip in clips], generator)
        origins = tuple(clip.file for clip in clips)
        yield Mixture(f"{task}_{index:02d}", mixture, sources, specs, origins=origins)


def spec_of(clip: Clip) -> SourceSpec:
    """The specification of a clip's source: `sound:LABEL` with a label, `speech` without."""
    return SourceSpec("sound", clip.label) if clip.label else SourceSpec("speech")


def task_number(task: str) -> int:
    """The number of a task among `TASKS`.

    Raises:
        ValueError: unknown task.
    """
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}: known are {', '.join(TASKS)}")
    return list(TASKS).index(task)


def draw_clips(
    task: str, speech: Sequence[Clip], sounds: Sequence[Clip], count: int, generator: numpy.random.Generator
) -> Iterator[list[Clip]]:
    """Clips for `count` mixtures of a task: speech of different speakers, then sounds of different classes.

    Raises:
        ValueError: too few speakers or classes.
    """
    voices = _RoundRobin({speaker_of(clip): [] for clip in speech}, speech, speaker_of, generator)
    labelled = [clip for clip in sounds if clip.label]
    classes = _RoundRobin({label: [] for label in labels_of(sounds)}, labelled, lambda clip: clip.label, generator)
    for _ in range(count):
        yield voices.draw(TASKS[task].speech) + classes.draw(TASKS[task].sounds)


class _RoundRobin:
    """Draws clips of different groups, in random order, each group and each clip once before any comes again."""

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

    def draw(self, count: int) -> list[Clip]:
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


UNFINISHED = ".partial"  # ends the name of a mixture's folder until all its files are there
RECORD = "set.json"
MOST_MIXTURES = 100_000  # their names have five digits
CHUNK = 4  # mixtures a worker makes at a time


@dataclass(frozen=True)
class Recipe:
    """What one mixture is made from: its clips, what they are, and the words that seed its draws."""

    name: str
    clips: tuple[Clip, ...]
    specs: tuple[SourceSpec, ...]
    entropy: tuple[int, ...]


class MixtureSet:
    """`count` mixtures of a task, each made when it is asked for: `mixtures[3]`, `for mixture in mixtures`.

    Clips are drawn as in `draw_mixtures`, from the clips in the order of their hashes; everything else about a mixture
    is drawn from a seed of its own and computed in float64. So a mixture depends on the clips' content, the task, the
    seed and its number alone: not on paths, on the count, on the process that makes it or on the other mixtures.
    A PyTorch `DataLoader` takes it as it is.

    speech: clips of voices, without labels; sounds: clips with labels. Others are left out, and so are clips known to
    be too quiet.

    Raises:
        ValueError: unknown task, a count below 1, a negative seed, or too few speakers or classes.
    """

    def __init__(self, task: str, speech: Sequence[Clip], sounds: Sequence[Clip], count: int, seed: int):
        number = task_number(task)
        if not 0 < count <= MOST_MIXTURES or seed < 0:
            raise ValueError(
                f"expected a count above 0, at most {MOST_MIXTURES}, and a seed of at least 0, got {count} and {seed}"
            )
        speech = _usable(clip for clip in speech if not clip.label) if TASKS[task].speech else []
        sounds = _usable(clip for clip in sounds if clip.label) if TASKS[task].sounds else []
        self.task, self.seed, self.clips = task, seed, (*speech, *sounds)
        drawn = draw_clips(task, speech, sounds, count, numpy.random.default_rng([seed, number]))
        self.recipes = tuple(
            # NumPy pads seeds with zeros: mixtures are numbered from 1, so that none has the seed of the draw.
            Recipe(f"{task}_{index:05d}", tuple(clips), tuple(map(spec_of, clips)), (seed, number, index + 1))
            for index, clips in enumerate(drawn)
        )

    def __len__(self) -> int:
        return len(self.recipes)

    def __getitem__(self, index: int) -> Mixture:
        return mixture_of(self.recipes[index])

    def __iter__(self) -> Iterator[Mixture]:
        return map(mixture_of, self.recipes)


def _usable(clips: Iterable[Clip]) -> list[Clip]:
    audible = (clip for clip in clips if clip.level is None or clip.level > SILENT_DBFS)
    return sorted(audible, key=lambda clip: (clip.sha256, Path(clip.file).name))


def mixture_of(recipe: Recipe) -> Mixture:
    """The mixture of a recipe."""
    generator = numpy.random.default_rng(recipe.entropy)
    crops = [draw_crop(clip, generator, torch.float64) for clip in recipe.clips]
    mixture, sources = make_mixture(crops, generator)
    origins = tuple(clip.file for clip in recipe.clips)
    return Mixture(recipe.name, mixture.float(), sources.float(), recipe.specs, origins=origins)


def checksum(mixtures: Iterable[Mixture]) -> str:
    """SHA-256 of the SHA-256 of each mixture in turn: of its 16-bit samples, the mixture's first, and its labels."""
    return _joined(map(_digest, mixtures))


def _digest(mixture: Mixture) -> bytes:
    samples = int16_tracks(mixture).numpy().astype("<i2").tobytes()
    return hashlib.sha256(samples + "\n".join(map(str, mixture.specs)).encode()).digest()


def _joined(digests: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()


def mix(
    out: Path | str,
    *,
    task: str,
    count: int,
    seed: int = 0,
    speech: Sequence[Path | str] = (),
    sounds: Sequence[Path | str] = (),
    split: str = "test",
    workers: int | None = None,
    on_mixture: Callable[[int, int], None] | None = None,
) -> str:
    """Draw mixtures with references from manifests into the folder `out`, as `unsep data mix`; returns their checksum.

    speech, sounds: manifests of clips without and with labels, of which those of `split` are used; the rest as in
    `MixtureSet` and `write_set`.

    Raises:
        ValueError: as these two, or a manifest that is missing or damaged.
    """
    voices, others = (
        [clip for manifest in manifests for clip in read_manifest(manifest) if clip.split == split]
        for manifests in (speech, sounds)
    )
    return write_set(out, MixtureSet(task, voices, others, count, seed), workers, on_mixture)


def write_set(
    folder: Path | str,
    mixtures: MixtureSet,
    workers: int | None = None,
    on_mixture: Callable[[int, int], None] | None = None,
) -> str:
    """Write a set as `unsep evaluate --mixtures` reads it, and a record of it in `set.json`; returns its `checksum`.

    Mixtures that an earlier run wrote are kept, and `folder` may hold fewer mixtures of the same set. workers:
    processes (default: one per core); on_mixture(done, all).

    Raises:
        ValueError: `folder` holds something else, another run writes to it, or a clip cannot be read.
    """
    folder = Path(folder)
    with alone(folder):
        return _write(folder, mixtures, workers, on_mixture)


def _write(
    folder: Path, mixtures: MixtureSet, workers: int | None, on_mixture: Callable[[int, int], None] | None
) -> str:
    record = _record(mixtures)
    _check_folder(folder, mixtures, record)
    for stopped in folder.glob(f".{mixtures.task}_*{UNFINISHED}"):
        shutil.rmtree(stopped)
    written = spread(partial(_write_one, folder), mixtures.recipes, workers, CHUNK)
    if not (folder / RECORD).is_file():
        write_json(folder / RECORD, record)
    digests = []
    try:
        for digest in written:
            digests.append(digest)
            if on_mixture is not None:
                on_mixture(len(digests), len(mixtures))
    except ValueError:
        if not digests and not any(folder.glob(f"{mixtures.task}_*")):
            (folder / RECORD).unlink()
        raise
    total = _joined(digests)
    write_json(folder / RECORD, record | {"count": len(mixtures), "sha256": total})
    return total


def _record(mixtures: MixtureSet) -> dict[str, object]:
    clips = hashlib.sha256("".join(clip.sha256 for clip in mixtures.clips).encode()).hexdigest()
    return {"task": mixtures.task, "seed": mixtures.seed, "clips": clips}


def _check_folder(folder: Path, mixtures: MixtureSet, record: dict[str, object]) -> None:
    here = {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.is_dir() else set()
    if not here:
        return
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        same = {name: found.get(name) for name in record} == record
    except (OSError, ValueError, AttributeError):
        same = False
    if not same:
        raise ValueError(f"{folder}: expected an empty folder or one with mixtures of the same task, seed and clips")
    if more := here - {RECORD} - {recipe.name for recipe in mixtures.recipes}:
        raise ValueError(f"{folder}: expected at most the {len(mixtures)} mixtures asked for, found also {min(more)}")


def _write_one(folder: Path, recipe: Recipe) -> bytes:
    target, partial_folder = folder / recipe.name, folder / f".{recipe.name}{UNFINISHED}"
    if not target.is_dir():
        try:
            write_mixture(partial_folder, mixture_of(recipe))
            partial_folder.rename(target)
        finally:
            shutil.rmtree(partial_folder, ignore_errors=True)
    return _digest(read_mixture(target))
