"""Sets of mixtures that are the same wherever they are drawn."""

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

from unsep_lib.clips import Clip
from unsep_lib.files import alone, write_json
from unsep_lib.mixtures.drawing import SILENT_DBFS, TASKS, deal, draw_crop, spec_of, task_number
from unsep_lib.mixtures.folders import int16_tracks, read_mixture, write_mixture
from unsep_lib.mixtures.making import Mixture, make_mixture
from unsep_lib.parallel import spread
from unsep_lib.specification import SourceSpec

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

    Which clips meet is dealt as in `draw_mixtures`, over the clips in the order of their hashes; everything else about
    a mixture is drawn from a seed of its own and computed in float64. So a mixture depends on the clips' content, the
    task, the seed and its number alone: not on paths, on how many there are, on who makes it or on what else is made.
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
        dealt = deal(task, speech, sounds, count, numpy.random.default_rng([seed, number]))
        self.recipes = tuple(
            # NumPy pads seeds with zeros: the number of a mixture starts at 1 to differ from the deal's.
            Recipe(f"{task}_{index:05d}", tuple(clips), tuple(map(spec_of, clips)), (seed, number, index + 1))
            for index, clips in enumerate(dealt)
        )

    def __len__(self) -> int:
        return len(self.recipes)

    def __getitem__(self, index: int) -> Mixture:
        return mix(self.recipes[index])

    def __iter__(self) -> Iterator[Mixture]:
        return map(mix, self.recipes)


def _usable(clips: Iterable[Clip]) -> list[Clip]:
    audible = (clip for clip in clips if clip.level is None or clip.level > SILENT_DBFS)
    return sorted(audible, key=lambda clip: (clip.sha256, Path(clip.file).name))


def mix(recipe: Recipe) -> Mixture:
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


def write_set(
    folder: Path | str,
    mixtures: MixtureSet,
    workers: int | None = None,
    on_mixture: Callable[[int, int], None] | None = None,
) -> str:
    """Write a set as `unsep evaluate --mixtures` reads it, and a record of it in `set.json`; returns its `checksum`.

    Mixtures that an earlier run wrote are kept, and `folder` may hold fewer mixtures of the same set. workers:
    processes (default: one a core); on_mixture(done, all).

    Raises:
        ValueError: `folder` holds something else, another run writes to it, or a clip cannot be read.
    """
    folder = Path(folder)
    with alone(folder):
        return _write_held(folder, mixtures, workers, on_mixture)


def _write_held(
    folder: Path, mixtures: MixtureSet, workers: int | None, on_mixture: Callable[[int, int], None] | None
) -> str:
    record = _record(mixtures)
    _check_folder(folder, mixtures, record)
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
    target, partial_folder = folder / recipe.name, folder / f".{recipe.name}.partial"
    if not target.is_dir():
        shutil.rmtree(partial_folder, ignore_errors=True)
        write_mixture(partial_folder, mix(recipe))
        partial_folder.rename(target)
    return _digest(read_mixture(target))
