"""What a sweep runs: one TOML file, read strictly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from pydantic.dataclasses import dataclass

from unsep_lib.settings import located, located_weights, read_toml

CONFIGS = Path(__file__).parent / "configs"
LARGEST_LEVEL_DIFFERENCE = 60.0  # dB; beyond it the quieter source is below the steps of 16 bits
STRICT = ConfigDict(extra="forbid")

Steps = Annotated[StrictInt, Field(ge=1)]
Seed = Annotated[StrictInt, Field(ge=0)]


@dataclass(frozen=True, config=STRICT)
class SolverChoice:
    """A solver or baseline by name, the numbers of steps to run a solver with, and the tasks and seeds to run it on.

    name: one of your own as `module:name`. No steps: the solver's default; no tasks or seeds: all of the experiment's.
    """

    name: StrictStr
    steps: tuple[Steps, ...] = ()
    tasks: tuple[StrictStr, ...] = ()
    seeds: tuple[StrictInt, ...] = ()


@dataclass(frozen=True, config=STRICT)
class PriorSet:
    """Weights to separate with: for each prior that a specification names, another prior or file to use instead.

    Or `module:name`, a prior of your own in Python. A trained baseline's name may stand there too, with a file of its
    weights.
    """

    name: StrictStr
    files: dict[StrictStr, StrictStr] = Field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class Condition:
    """What is changed before a mixture is separated; by default nothing.

    labels: the specifications given to the solver, "given", "wrong" (another label of the prior that is not in the
    mixture), "null" (no label) or "first" (every source like the first one: the prior of another source); swapped: the
    specifications in the other order; absent: the specification of one more source, which is not in the mixture;
    unknown: the last of three or more sources is in the mixture, but has no specification; also: the name of another
    mixture of the folder, added to it; level_difference: dB of the first source above each other one, by remixing;
    seconds: length of the piece used, 0 for all. A mixture that a condition would leave as it is has no row in it, nor
    has one whose sources the added one repeats.
    """

    name: StrictStr
    labels: Literal["given", "wrong", "null", "first"] = "given"
    swapped: StrictBool = False
    absent: StrictStr = ""
    unknown: StrictBool = False
    also: StrictStr = ""
    level_difference: (
        Annotated[StrictFloat, Field(ge=-LARGEST_LEVEL_DIFFERENCE, le=LARGEST_LEVEL_DIFFERENCE, allow_inf_nan=False)]
        | None
    ) = None
    seconds: Annotated[StrictFloat, Field(ge=0, allow_inf_nan=False)] = 0.0


@dataclass(frozen=True, config=STRICT)
class Experiment:
    """A sweep: every mixture under every condition with every set of priors, solver, number of steps and seed.

    tasks: which mixtures, by what their names hold before the last `_`; none: all. mixtures_per_task: 0 for all.
    mixtures: a folder of mixtures, empty for the embedded ones. clips: a manifest of single-source clips that
    baselines learn from, empty for the embedded ones. device: where to compute.
    """

    solvers: tuple[SolverChoice, ...]
    seeds: tuple[Seed, ...]
    tasks: tuple[StrictStr, ...] = ()
    mixtures: StrictStr = ""
    mixtures_per_task: Annotated[StrictInt, Field(ge=0)] = 0
    priors: tuple[PriorSet, ...] = (PriorSet("shipped"),)
    conditions: tuple[Condition, ...] = (Condition("plain"),)
    clips: StrictStr = ""
    device: StrictStr = "cpu"

    def __post_init__(self) -> None:
        if self.tasks:
            _among("tasks", [task for solver in self.solvers for task in solver.tasks], self.tasks)
        _among("seeds", [seed for solver in self.solvers for seed in solver.seeds], self.seeds)
        _unique("seeds", self.seeds)
        _unique("solvers", [(solver.name, *steps) for solver in self.solvers for steps in _each(solver.steps)])
        for key, named in (("priors", self.priors), ("conditions", self.conditions)):
            _unique(key, [item.name for item in named])


def _each(steps: Sequence[int]) -> list[tuple[int, ...]]:
    return [(step,) for step in steps] or [()]


def _among(key: str, values: Sequence[object], known: Sequence[object]) -> None:
    unknown = [value for value in values if value not in known]
    if unknown:
        raise ValueError(f"expected a solver's {key!r} among the experiment's, got {unknown[0]!r}")


def _unique(key: str, values: Sequence[object]) -> None:
    if not values:
        raise ValueError(f"expected at least one item in {key!r}, got none")
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise ValueError(f"expected each item of {key!r} once, got {twice[0]!r} {values.count(twice[0])} times")


def experiment_names() -> list[str]:
    """The experiments that come with the package."""
    return sorted(path.stem for path in CONFIGS.glob("*.toml"))


def load_experiment(name: Path | str) -> Experiment:
    """Read an experiment by name or TOML file; the paths in it are looked for beside the file, here and in the clone.

    Modules in it are found as Python finds them, beside the file and here.

    Raises:
        ValueError: unknown experiment, or a key that is unknown, missing, of the wrong type or impossible, named.
    """
    path = Path(name) if str(name).endswith(".toml") else CONFIGS / f"{name}.toml"
    if not path.is_file():
        raise ValueError(
            f"unknown experiment {str(name)!r}: known are {', '.join(experiment_names())}, or give a .toml file"
        )
    experiment, folder = read_toml(path, Experiment), path.resolve().parent
    return replace(
        experiment,
        mixtures=located(experiment.mixtures, folder),
        clips=located(experiment.clips, folder),
        priors=tuple(
            replace(priors, files={key: located_weights(file, folder) for key, file in priors.files.items()})
            for priors in experiment.priors
        ),
    )
