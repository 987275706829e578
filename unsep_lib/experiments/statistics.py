"""What a table says: means with intervals over mixtures, and paired differences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from unsep_lib.evaluation import COLLAPSE_DB
from unsep_lib.experiments.table import Line
from unsep_lib.metrics import Statistic, statistic

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
