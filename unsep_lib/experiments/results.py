"""The table of a sweep, one line per source, and what it says: means with intervals, paired differences."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas

from unsep_lib.evaluation.evaluate import COLLAPSE_DB
from unsep_lib.evaluation.metrics import statistic
from unsep_lib.experiments.rows import Record, Row
from unsep_lib.files import write_text

if TYPE_CHECKING:
    from pandas import DataFrame, Series

FULL_RUNS = Path(__file__).parent / "results"
IMPROVEMENT = "si_sdr_improvement"
SCORES = ("si_sdr", IMPROVEMENT, "sdr", "level")  # in dB, NaN where they do not exist
COLUMNS = {
    **dict.fromkeys(("task", "mixture", "condition", "priors", "solver"), "str"),
    "steps": "int64",
    "seed": "object",  # a seed may be larger than any fixed width
    "source": "int64",
    **dict.fromkeys(("label", "spec"), "str"),
    "present": "bool",
    **dict.fromkeys((*SCORES, "seconds"), "float64"),
    **dict.fromkeys(("evaluations", "gradients", "threads"), "int64"),
    **dict.fromkeys(("versions", "key"), "str"),
}
EARLIER_NAMES = {"told": "spec"}
GROUP = ["task", "condition", "priors", "solver", "steps"]


def table_of(rows: Iterable[tuple[Row, Record]]) -> DataFrame:
    """A line per source of each planned row, its names from the plan and its results from the record.

    source: its number in the mixture, 0 for one that is not there; label: what it is; spec: the specification given to
    the solver; present: whether the reference sounds; level: the estimate's above the mixture's in dB; si_sdr,
    si_sdr_improvement, sdr: in dB. seconds, evaluations and gradients are the whole row's; key: the row's file.
    """
    lines = [
        {name: getattr(row, name) for name in ("task", "mixture", "condition", "priors", "solver", "steps", "seed")}
        | source
        | {name: record[name] for name in ("seconds", "evaluations", "gradients", "threads")}
        | {"versions": " ".join(f"{name}={number}" for name, number in record["versions"].items()), "key": row.key}
        for row, record in rows
        for source in record["sources"]
    ]
    return pandas.DataFrame(lines, columns=list(COLUMNS)).astype(COLUMNS)


def write_table(path: Path, table: DataFrame) -> None:
    """Write a table as CSV, atomically; what does not exist is empty."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_table(path: Path | str) -> DataFrame:
    """A table written by a sweep.

    Raises:
        ValueError: no such file, or another table.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such table")
    try:
        text = pandas.read_csv(path, dtype=str, keep_default_na=False).rename(columns=EARLIER_NAMES)
        if list(text.columns) != list(COLUMNS):
            raise ValueError(f"expected the columns {', '.join(COLUMNS)}, got {', '.join(text.columns)}")
        text["present"] = text["present"] == "True"
        text["seed"] = [int(seed) for seed in text["seed"]]
        return text.replace(dict.fromkeys(SCORES, ""), math.nan).astype(COLUMNS)
    except ValueError as error:
        raise ValueError(f"{path}: not a table of a sweep ({error})") from error


def full_run(name: str) -> DataFrame:
    """The table of an experiment's full run that comes with the package.

    Raises:
        ValueError: no table of that name.
    """
    known = sorted(path.stem for path in FULL_RUNS.glob("*.csv"))
    if name not in known:
        raise ValueError(f"no full run of {name!r}: known are {', '.join(known)}")
    return read_table(FULL_RUNS / f"{name}.csv")


@dataclass(frozen=True)
class Difference:
    """Mean of a − b in dB over `mixtures` mixtures, with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    mixtures: int


def seed_means(table: DataFrame, field: str = IMPROVEMENT) -> Series:
    """Mean over seeds of a score, where it exists, by mixture and source."""
    return table.dropna(subset=field).groupby(["mixture", "source"])[field].mean()


def paired_difference(a: DataFrame, b: DataFrame, field: str = IMPROVEMENT) -> Difference:
    """Mean of a − b over the sources that both have a score of, with the interval that resamples mixtures.

    Seeds are averaged first; every source counts once.

    Raises:
        ValueError: no source in common.
    """
    differences = (seed_means(a, field) - seed_means(b, field)).dropna()
    if differences.empty:
        raise ValueError(f"expected sources that both have a {field} of, got none")
    names = differences.index.get_level_values("mixture")
    found = statistic(differences, names)
    return Difference(found.mean, found.low, found.high, names.nunique())


def summary(table: DataFrame) -> DataFrame:
    """A line for each task, condition, set of priors, solver and number of steps, tasks in the table's order.

    mixtures: their number; mean, median, low, high: of the SI-SDR improvement in dB over mixtures with its 95 %
    interval, seeds averaged first, NaN if no source has one; collapsed: share of sources that lost more than 10 dB or
    have no SI-SDR although they are there; seconds, evaluations: means per row.
    """
    groups = table.groupby(GROUP, sort=False)
    found = pandas.DataFrame([dict(zip(GROUP, key, strict=True)) | _summary(lines) for key, lines in groups])
    places = {task: place for place, task in enumerate(table["task"].unique())}
    return found.sort_values("task", key=lambda tasks: tasks.map(places), kind="stable", ignore_index=True)


def _summary(lines: DataFrame) -> dict[str, float]:
    present = lines[lines["present"]]
    means = seed_means(present)
    improvement = asdict(statistic(means, means.index.get_level_values("mixture"))) if len(means) else {}
    lost = present["si_sdr"].isna() | (present[IMPROVEMENT] < COLLAPSE_DB)
    rows = lines.drop_duplicates("key")
    return {
        "mixtures": lines["mixture"].nunique(),
        **{name: improvement.get(name, math.nan) for name in ("mean", "median", "low", "high")},
        "collapsed": float(lost.mean()) if len(lost) else 0.0,
        "seconds": rows["seconds"].mean(),
        "evaluations": rows["evaluations"].mean(),
    }
