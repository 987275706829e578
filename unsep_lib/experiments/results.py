"""The table of a sweep, one line a source, and what it says: means with intervals, paired differences."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import Any

from unsep_lib.evaluation.evaluate import COLLAPSE_DB
from unsep_lib.evaluation.metrics import Statistic, statistic
from unsep_lib.experiments.rows import Record, Row
from unsep_lib.files import write_text

FULL_RUNS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Line:
    """One source of one row.

    source: its number in the mixture, 0 for one that is not there; label: what it is; told: what the solver was told;
    present: whether the reference sounds; level: the estimate's above the mixture's in dB. Scores in dB, None where
    they do not exist. seconds, evaluations and gradients are the whole row's; key: the row's file.
    """

    task: str
    mixture: str
    condition: str
    priors: str
    solver: str
    steps: int
    seed: int
    source: int
    label: str
    told: str
    present: bool
    si_sdr: float | None
    si_sdr_improvement: float | None
    sdr: float | None
    level: float | None
    seconds: float
    evaluations: int
    gradients: int
    threads: int
    versions: str
    key: str


def lines_of(row: Row, record: Record) -> list[Line]:
    """The lines of a planned row, its names from the plan and its results from the record."""
    versions = " ".join(f"{name}={number}" for name, number in record["versions"].items())
    return [
        Line(
            task=row.task,
            mixture=row.mixture,
            condition=row.condition,
            priors=row.priors,
            solver=row.solver,
            steps=row.steps,
            seed=row.seed,
            **source,
            seconds=record["seconds"],
            evaluations=record["evaluations"],
            gradients=record["gradients"],
            threads=record["threads"],
            versions=versions,
            key=row.key,
        )
        for source in record["sources"]
    ]


def write_table(path: Path, lines: Iterable[Line]) -> None:
    """Write lines as CSV, atomically; what does not exist is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Line)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(line) for line in lines)
    write_text(path, text.getvalue())


def read_table(path: Path | str) -> list[Line]:
    """The lines of a table written by a sweep.

    Raises:
        ValueError: no such file, or another table.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such table")
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        if reader.fieldnames != (expected := [field.name for field in fields(Line)]):
            raise ValueError(f"{path}: expected the columns {', '.join(expected)}, got {reader.fieldnames}")
        return [Line(**_typed(row)) for row in reader]


def full_run(name: str) -> list[Line]:
    """The table of an experiment's full run that comes with the package.

    Raises:
        ValueError: no table of that name.
    """
    known = sorted(path.stem for path in FULL_RUNS.glob("*.csv"))
    if name not in known:
        raise ValueError(f"no full run of {name!r}: known are {', '.join(known)}")
    return read_table(FULL_RUNS / f"{name}.csv")


def _typed(row: dict[str, str]) -> dict[str, Any]:
    return {field.name: READ[str(field.type)](row[field.name]) for field in fields(Line)}


def _optional(text: str) -> float | None:
    return float(text) if text else None


READ: dict[str, Callable[[str], object]] = {
    "str": str,
    "int": int,
    "float": float,
    "float | None": _optional,
    "bool": lambda text: text == "True",
}


IMPROVEMENT = "si_sdr_improvement"
Group = tuple[str, str, str, str, int]


@dataclass(frozen=True)
class Difference:
    """Mean of a − b in dB over `mixtures` mixtures, with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    mixtures: int


@dataclass(frozen=True)
class Summary:
    """A solver under one condition on one task.

    improvement: SI-SDR improvement over mixtures, seeds averaged first, None if no source has a score; collapsed:
    share of sources that lost more than 10 dB or have no score although they are there; seconds, evaluations: means
    a row.
    """

    task: str
    condition: str
    priors: str
    solver: str
    steps: int
    mixtures: int
    improvement: Statistic | None
    collapsed: float
    seconds: float
    evaluations: float


def seed_means(lines: Iterable[Line], field: str = IMPROVEMENT) -> dict[tuple[str, int], float]:
    """(mixture, source) → mean over seeds of a score, where it exists."""
    values = defaultdict(list)
    for line in lines:
        if getattr(line, field) is not None:
            values[line.mixture, line.source].append(getattr(line, field))
    return {key: fmean(found) for key, found in values.items()}


def paired_difference(a: Iterable[Line], b: Iterable[Line], field: str = IMPROVEMENT) -> Difference:
    """Mean of a − b over the sources that both have a score of, with the interval that resamples mixtures.

    Seeds are averaged first; every source counts once.

    Raises:
        ValueError: no source in common.
    """
    left, right = seed_means(a, field), seed_means(b, field)
    common = sorted(left.keys() & right.keys())
    if not common:
        raise ValueError(f"expected sources that both have a {field} of, got none")
    names = [mixture for mixture, _ in common]
    result = statistic([left[key] - right[key] for key in common], names)
    return Difference(result.mean, result.low, result.high, len(set(names)))


def summarise(lines: Sequence[Line]) -> list[Summary]:
    """A summary for each task, condition, set of priors, solver and number of steps, in the table's order."""
    groups: dict[Group, list[Line]] = defaultdict(list)
    for line in lines:
        groups[line.task, line.condition, line.priors, line.solver, line.steps].append(line)
    tasks = list(dict.fromkeys(line.task for line in lines))
    ordered = sorted(groups, key=lambda group: tasks.index(group[0]))
    return [_summary(group, groups[group]) for group in ordered]


def _summary(group: Group, lines: Sequence[Line]) -> Summary:
    present = [line for line in lines if line.present]
    means = seed_means(present)
    improvement = statistic(list(means.values()), [mixture for mixture, _ in means]) if means else None
    lost = [line.si_sdr_improvement is None or line.si_sdr_improvement < COLLAPSE_DB for line in present]
    rows = list({line.key: line for line in lines}.values())
    return Summary(
        *group,
        mixtures=len({line.mixture for line in lines}),
        improvement=improvement,
        collapsed=fmean(lost) if lost else 0.0,
        seconds=fmean(line.seconds for line in rows),
        evaluations=fmean(line.evaluations for line in rows),
    )
