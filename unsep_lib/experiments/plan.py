"""The rows of an experiment; what can be wrong with them is found out before the first is computed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unsep_lib.data.clips import Clip, read_manifest
from unsep_lib.data.embedded import embedded_dir
from unsep_lib.data.mixtures import mixture_digest, mixture_folders, read_mixture
from unsep_lib.experiments.conditions import WeightsCache, planned_sources
from unsep_lib.experiments.config import Condition, Experiment, SolverChoice
from unsep_lib.experiments.methods import BASELINES, clips_of, sampler_named
from unsep_lib.experiments.rows import PlannedSource, Row
from unsep_lib.files import sha256
from unsep_lib.priors.checkpoints import digest_of
from unsep_lib.settings import names_python
from unsep_lib.source_spec import SourceSpec


@dataclass(frozen=True)
class PlannedMixture:
    """A mixture's name and sources, its folder, task and digest."""

    name: str
    specs: tuple[SourceSpec, ...]
    folder: Path
    task: str
    digest: str


@dataclass(frozen=True)
class Manifest:
    """The clips that baselines learn from, their manifest's path and SHA-256."""

    path: Path
    sha256: str
    clips: tuple[Clip, ...]


def plan(experiment: Experiment) -> list[Row]:
    """The rows of an experiment: all of the first seed, mixture by mixture, then all of the next seed.

    Baselines depend on neither seeds nor priors: each has one row per mixture and condition, and a trained one another
    with each set of priors that names a file for it.

    Raises:
        ValueError: an unknown solver, task, prior or label, steps for a baseline, a missing file, or no row at all.
    """
    learning = any(choice.name in BASELINES and BASELINES[choice.name].learns for choice in experiment.solvers)
    manifest = _manifest(experiment.clips) if learning else None
    caches = {priors.name: WeightsCache(priors) for priors in experiment.priors}
    others = {condition.also: _also(experiment, condition.also) for condition in experiment.conditions}
    rows = []
    for seed, mixture, condition, priors in itertools.product(
        experiment.seeds, planned_mixtures(experiment), experiment.conditions, experiment.priors
    ):
        also = others[condition.also]
        specs = _specs(mixture, also)
        sources = planned_sources(specs, condition, caches[priors.name], seed) if specs else None
        if sources is None:
            continue
        first_seed, first_priors = seed == experiment.seeds[0], priors == experiment.priors[0]
        for solver, steps in _methods(experiment, mixture.task, seed):
            row = _row(mixture, also, condition, sources, solver, experiment.device)
            if solver not in BASELINES:
                files = caches[priors.name].files_of(sources)
                rows.append(replace(row, priors=priors.name, steps=steps, seed=seed, prior_files=files))
            elif _applies(row, condition) and first_seed and (first_priors or solver in priors.files):
                named = replace(row, priors=priors.name if solver in priors.files else "")
                rows.append(_taught(named, manifest, caches[priors.name]))
    if not rows:
        raise ValueError("expected an experiment of at least one row, got none: its conditions change no mixture")
    return rows


def _methods(experiment: Experiment, task: str, seed: int) -> list[tuple[str, int]]:
    """The solvers and baselines of a task and seed, each with its numbers of steps."""
    chosen = [
        choice for choice in experiment.solvers if task in (choice.tasks or [task]) and seed in (choice.seeds or [seed])
    ]
    return [(choice.name, steps) for choice in chosen for steps in _steps(choice)]


def _steps(choice: SolverChoice) -> Sequence[int]:
    if choice.name in BASELINES:
        if choice.steps:
            raise ValueError(f"the baseline {choice.name!r} takes no steps, got {list(choice.steps)}")
        return (0,)
    sampler = sampler_named(choice.name)
    return choice.steps or (sampler.steps,)


def planned_mixtures(experiment: Experiment) -> list[PlannedMixture]:
    """The mixtures of the experiment's tasks, up to its number of each.

    Raises:
        ValueError: a task without mixtures, or a folder that holds something else.
    """
    folder = _folder(experiment)
    by_task: dict[str, list[Path]] = {}
    for path in mixture_folders(folder):
        by_task.setdefault(path.name.rpartition("_")[0] or path.name, []).append(path)
    for task in experiment.tasks:
        if task not in by_task:
            raise ValueError(f"{folder}: no mixtures of the task {task!r}, found {', '.join(by_task)}")
    return [
        _planned(path, task)
        for task in experiment.tasks or by_task
        for path in by_task[task][: experiment.mixtures_per_task or None]
    ]


def _folder(experiment: Experiment) -> Path:
    return Path(experiment.mixtures).resolve() if experiment.mixtures else embedded_dir() / "mixtures"


def _planned(folder: Path, task: str) -> PlannedMixture:
    mixture = read_mixture(folder)
    return PlannedMixture(mixture.name, mixture.specs, folder, task, mixture_digest(mixture))


def _also(experiment: Experiment, name: str) -> PlannedMixture | None:
    """The mixture that a condition adds.

    Raises:
        ValueError: the folder has no mixture of that name.
    """
    return _planned(_folder(experiment) / name, "") if name else None


def _specs(mixture: PlannedMixture, also: PlannedMixture | None) -> tuple[SourceSpec, ...]:
    """The sources of a mixture and of the one added to it; none if a source would be there twice."""
    own = mixture.specs
    if also is None:
        return own
    return () if set(own) & set(also.specs) else (*own, *also.specs)


def _row(
    planned: PlannedMixture,
    also: PlannedMixture | None,
    condition: Condition,
    sources: tuple[PlannedSource, ...],
    solver: str,
    device: str,
) -> Row:
    row = Row(
        mixture=planned.name, task=planned.task, condition=condition.name, folder=str(planned.folder),
        digest=planned.digest, seconds=condition.seconds, level_difference=condition.level_difference, sources=sources,
        solver=solver, device=device, solver_digest=digest_of(solver) if names_python(solver) else "",
    )  # fmt: skip
    return replace(row, also_folder=str(also.folder), also_digest=also.digest) if also else row


def _applies(row: Row, condition: Condition) -> bool:
    """Whether a baseline can give that many sources, and sees the condition (none sees the sources' order)."""
    baseline = BASELINES[row.solver]
    others_given = condition.labels != "given" or condition.absent or condition.unknown
    return baseline.gives(row.specs) and not condition.swapped and (baseline.learns or not others_given)


def _manifest(path: str) -> Manifest:
    file = Path(path).resolve() if path else embedded_dir() / "manifest.jsonl"
    clips = tuple(read_manifest(file))
    return Manifest(file, sha256(file), clips)


def _taught(row: Row, manifest: Manifest | None, cache: WeightsCache) -> Row:
    """The row with what its baseline needs: the weights of a trained one, or the clips that it learns from."""
    baseline = BASELINES[row.solver]
    if baseline.weights is not None:
        return replace(row, prior_files=(cache.control(row.solver, baseline.weights),))
    if manifest is None or not baseline.learns:
        return row
    for spec in row.specs:
        clips_of(manifest.clips, spec)
    return replace(row, clips=str(manifest.path), clips_sha256=manifest.sha256)
