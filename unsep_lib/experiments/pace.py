"""How long the rest of a sweep will take."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean

from unsep_lib.experiments.rows import Row

Cost = tuple[str, int, int]


class Pace:
    """Seconds to the end, from what rows of the same solver, steps and number of sources cost so far.

    A row without a like one is taken to cost the mean of all. Work done at once counts as at once: what remains is
    divided by the seconds of work done a second of this run.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._costs: dict[Cost, list[float]] = defaultdict(list)
        self._done = 0.0

    def note(self, row: Row, seconds: float, before: bool = False) -> None:
        """A finished row's cost; before: it was finished by an earlier run."""
        self._costs[_cost(row)].append(seconds)
        self._done += 0.0 if before else seconds

    def remaining(self, rows: Iterable[Row]) -> float | None:
        """Estimated seconds until `rows` are done; None before the first row of this run."""
        if not self._done:
            return None
        means = {cost: fmean(seconds) for cost, seconds in self._costs.items()}
        overall = fmean(means.values())
        work = sum(means.get(_cost(row), overall) for row in rows)
        return work * (time.monotonic() - self._began) / self._done


def _cost(row: Row) -> Cost:
    return row.solver, row.steps, len(row.slots)
