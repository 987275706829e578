"""What a sweep runs: one TOML file, read strictly."""

from __future__ import annotations

import math
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Protocol, TypeVar, get_args, get_origin, get_type_hints

CONFIGS = Path(__file__).parent / "configs"
LABEL_CHOICES = ("given", "wrong", "null", "first")
LARGEST_LEVEL_DIFFERENCE = 60.0  # dB; beyond it the quieter source is below the steps of 16 bits


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Table = TypeVar("Table", bound=_Dataclass)
Plain = TypeVar("Plain")


@dataclass(frozen=True)
class SolverChoice:
    """A solver or baseline by name, the numbers of steps to run a solver with, and the tasks and seeds to run it on.

    No steps: the solver's default; no tasks or seeds: all of the experiment's.
    """

    name: str
    steps: tuple[int, ...] = ()
    tasks: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class PriorSet:
    """Weights to separate with: for each prior that a specification names, another prior or file to use instead.

    A trained baseline's name may stand there too, with a file of its weights.
    """

    name: str
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Condition:
    """What is changed before a mixture is separated; by default nothing.

    labels: what the solver is told, "given", "wrong" (another label of the prior that is not in the mixture), "null"
    (no label) or "first" (every source like the first one: the prior of another source); swapped: the specifications
    in the other order; absent: the specification of one more source, which is not in the mixture; unknown: the last
    of three or more sources is in the mixture, but the solver is not told of it; also: the name of another mixture of
    the folder, added to it; level_difference: dB of the first source above each other one, by remixing; seconds:
    length of the piece used, 0 for all. A mixture that a condition would leave as it is has no row in it, nor has one
    whose sources the added one repeats.
    """

    name: str
    labels: str = "given"
    swapped: bool = False
    absent: str = ""
    unknown: bool = False
    also: str = ""
    level_difference: float | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.labels not in LABEL_CHOICES:
            raise ValueError(f"expected 'labels' to be one of {', '.join(LABEL_CHOICES)}, got {self.labels!r}")
        if not 0 <= self.seconds < math.inf:
            raise ValueError(f"expected 'seconds' of 0 or above, got {self.seconds}")
        if self.level_difference is not None and not abs(self.level_difference) <= LARGEST_LEVEL_DIFFERENCE:
            raise ValueError(
                f"expected a 'level_difference' of at most {LARGEST_LEVEL_DIFFERENCE:g} dB either way, "
                f"got {self.level_difference}"
            )


@dataclass(frozen=True)
class Experiment:
    """A sweep: every mixture under every condition with every set of priors, solver, number of steps and seed.

    tasks: which mixtures, by what their names hold before the last `_`; none: all. mixtures_per_task: 0 for all.
    mixtures: a folder of mixtures, empty for the embedded ones. clips: a manifest of single-source clips that
    baselines learn from, empty for the embedded ones. device: where to compute.
    """

    solvers: tuple[SolverChoice, ...]
    seeds: tuple[int, ...]
    tasks: tuple[str, ...] = ()
    mixtures: str = ""
    mixtures_per_task: int = 0
    priors: tuple[PriorSet, ...] = (PriorSet("shipped"),)
    conditions: tuple[Condition, ...] = (Condition("plain"),)
    clips: str = ""
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.mixtures_per_task < 0:
            raise ValueError(f"expected 'mixtures_per_task' of 0 or above, got {self.mixtures_per_task}")
        if any(seed < 0 for seed in self.seeds):
            raise ValueError(f"expected 'seeds' of 0 or above, got {min(self.seeds)}")
        if any(steps < 1 for solver in self.solvers for steps in solver.steps):
            raise ValueError("expected 'steps' of 1 or above")
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
    """Read an experiment by name or TOML file.

    Raises:
        ValueError: unknown experiment, or a key that is unknown, missing, of the wrong type or impossible, named.
    """
    path = Path(name) if str(name).endswith(".toml") else CONFIGS / f"{name}.toml"
    if not path.is_file():
        raise ValueError(
            f"unknown experiment {str(name)!r}: known are {', '.join(experiment_names())}, or give a .toml file"
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a TOML file ({error})") from error
    return _built(Experiment, table, str(path))


def _built(kind: type[Table], table: dict[str, Any], where: str) -> Table:
    """A dataclass from a TOML table, its keys and types checked."""
    types = get_type_hints(kind)
    for key in table:
        if key not in types:
            raise ValueError(f"{where}: unknown key {key!r}: known are {', '.join(types)}")
    for item in fields(kind):
        if item.name not in table and item.default is MISSING and item.default_factory is MISSING:
            raise ValueError(f"{where}: the key {item.name!r} is missing")
    values = {key: _typed(types[key], value, f"{where}: {key!r}") for key, value in table.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _typed(kind: type, value: object, where: str) -> object:
    """`value` as `kind`: a dataclass, a tuple or dictionary of one type, or a plain type, optional or not."""
    inner = get_args(kind)
    if isinstance(kind, UnionType):
        (kind,) = (other for other in inner if other is not NoneType)
        return _typed(kind, value, where)
    if get_origin(kind) is tuple:
        items = _plain(list, value, where)
        return tuple(_typed(inner[0], item, f"{where}, item {number}") for number, item in enumerate(items, start=1))
    if get_origin(kind) is dict:
        return {key: _typed(inner[1], item, f"{where}, {key!r}") for key, item in _plain(dict, value, where).items()}
    if is_dataclass(kind):
        return _built(kind, _plain(dict, value, where), where)
    if kind is float and type(value) is int and abs(value) < sys.float_info.max:
        value = float(value)
    return _plain(kind, value, where)


def _plain(kind: type[Plain], value: object, where: str) -> Plain:
    if not isinstance(value, kind) or type(value) is not kind:
        raise ValueError(f"{where}: expected {TOLD[kind]}, got {value!r}")
    return value


TOLD = {str: "a string", int: "an integer", float: "a number", bool: "true or false", list: "a list", dict: "a table"}
