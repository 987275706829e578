"""The numbers of a reference run, and how far another run's may lie from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from unsep_lib.files import write_json

# One thread or two move a number here by less than 1e-6 dB (smoke profile, priors of four hours). The tolerances leave
# room for other processors and for the hundreds of steps of the tutorial profile.
TOLERANCE_DB = 0.1
TOLERANCE_RELATIVE = 0.02  # of numbers without unit


class Result(TypedDict):
    """A number that a notebook saved, with its interval where it has one."""

    name: str
    value: float
    unit: str
    low: float | None
    high: float | None
    command: str
    tolerance: NotRequired[float]


class Kept(TypedDict):
    """A number of the reference run, and how far another run's may lie from it."""

    notebook: str
    name: str
    unit: str
    value: float
    tolerance: float


@dataclass(frozen=True)
class Comparison:
    """A number beside the reference's; value or reference is None where only the other run has it."""

    notebook: str
    name: str
    unit: str
    value: float | None
    reference: float | None
    tolerance: float

    @property
    def within(self) -> bool:
        """Both runs have the number, and they differ by no more than the tolerance."""
        if self.value is None or self.reference is None:
            return False
        return abs(self.value - self.reference) <= self.tolerance

    @property
    def excess(self) -> float:
        """The difference in tolerances; infinite where only one run has the number, or nothing is tolerated."""
        if self.value is None or self.reference is None or not self.tolerance:
            return float("inf")
        return abs(self.value - self.reference) / self.tolerance

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.notebook}: {self.name}: missing, the reference has {self.reference:.3f} {self.unit}".strip()
        if self.reference is None:
            return f"{self.notebook}: {self.name}: {self.value:.3f} {self.unit} is not in the reference"
        return (
            f"{self.notebook}: {self.name}: {self.value:.3f} {self.unit}, expected {self.reference:.3f} "
            f"± {self.tolerance:.3f}"
        )


def advice(outside: Sequence[Comparison], compared: int) -> str:
    """What someone does whose run has numbers outside their tolerance."""
    return (
        f"{len(outside)} of {compared} numbers left their tolerance. If you changed nothing, run again with --force: "
        "what differs twice is this processor's rounding: worth an issue with `unsep info` and these "
        "lines. If you changed a solver, a prior or a notebook, look whether these numbers are meant to move, and then "
        "keep them with --update-reference."
    )


def reference_path(profile: str) -> Path:
    """Where the reference of a profile is kept."""
    return Path(__file__).parent / "references" / f"{profile}.json"


def results_of(out: Path, notebooks: Sequence[str]) -> dict[str, list[Result]]:
    """Notebook → the rows of its results.json below `out`, empty where there is none."""
    files = {name: out / "artefacts" / name / "results.json" for name in notebooks}
    return {name: json.loads(f.read_text(encoding="utf-8")) if f.is_file() else [] for name, f in files.items()}


def tolerance(row: Result) -> float:
    """The tolerance of a result: its own, else TOLERANCE_DB, or TOLERANCE_RELATIVE of a number without unit."""
    if "tolerance" in row:
        return float(row["tolerance"])
    return TOLERANCE_DB if row["unit"] == "dB" else TOLERANCE_RELATIVE * abs(row["value"])


def write_reference(out: Path, notebooks: Sequence[str], target: Path) -> Path:
    """Make the results below `out` the reference; returns `target`."""
    rows: list[Kept] = [
        {"notebook": notebook, "name": row["name"], "unit": row["unit"], "value": row["value"],
         "tolerance": tolerance(row)}
        for notebook, results in results_of(out, notebooks).items()
        for row in results
    ]  # fmt: skip
    write_json(target, rows)
    return target


def compare(out: Path, notebooks: Sequence[str], reference: Path) -> list[Comparison]:
    """Every number below `out` or in the reference, in the notebooks' order, those that only the reference has last.

    Raises:
        ValueError: there is no such reference.
    """
    if not reference.is_file():
        raise ValueError(f"{reference}: no reference run")
    kept: list[Kept] = json.loads(reference.read_text(encoding="utf-8"))
    expected = {(row["notebook"], row["name"]): row for row in kept}
    found = []
    for notebook, results in results_of(out, notebooks).items():
        for row in results:
            known = expected.pop((notebook, row["name"]), None)
            value, allowed = (known["value"], known["tolerance"]) if known else (None, 0.0)
            found.append(Comparison(notebook, row["name"], row["unit"], row["value"], value, allowed))
    left = expected.values()
    return found + [Comparison(r["notebook"], r["name"], r["unit"], None, r["value"], r["tolerance"]) for r in left]
