"""The table of a sweep: one line a source, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

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
