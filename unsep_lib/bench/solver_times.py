"""How long two solvers take for the same mixture, one after the other in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from unsep_lib.audio import SAMPLE_RATE
from unsep_lib.data.embedded import embedded_mixtures
from unsep_lib.separation import load_priors
from unsep_lib.solvers import solve, solver_named

TASK = "1speech-1sound"  # its first embedded mixture is the one that is timed
WARM_UP = SAMPLE_RATE // 8  # samples of the runs that are not timed: libraries load and choose their kernels


@dataclass(frozen=True)
class Times:
    """Seconds of every run of the solver in question and of the one it is held against, in their order."""

    own: tuple[float, ...]
    other: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times less the solver took than the other, a number a pair."""
        return tuple(other / own for own, other in zip(self.own, self.other, strict=True))

    def __str__(self) -> str:
        own, other, ratio = (statistics.median(values) for values in (self.own, self.other, self.ratios))
        low, high = min(self.ratios), max(self.ratios)
        return f"{own:.2f} s against {other:.2f} s: time ratio {ratio:.1f} ({low:.1f} to {high:.1f})"


def compare_solvers(
    own: str, other: str, seconds: float, pairs: int, on_run: Callable[[str, float], None] = lambda name, seconds: None
) -> Times:
    """Time `pairs` runs of both solvers in turn, each in its usual steps, on `seconds` of an embedded mixture.

    Two sources, the shipped priors, this process's threads; loading is not timed. on_run: called with a solver's name
    and its seconds after each run.

    Raises:
        ValueError: an unknown solver, no pairs, or not a sample of audio.
    """
    if pairs < 1:
        raise ValueError(f"expected at least 1 pair of runs, got {pairs}")
    if not seconds * SAMPLE_RATE >= 1:
        raise ValueError(f"expected at least one sample of audio, got {seconds} s")
    solvers = [solver_named(name) for name in (own, other)]
    example = embedded_mixtures(TASK)[0]
    piece, priors = example.mixture[None, : round(seconds * SAMPLE_RATE)], load_priors(example.specs)
    for solver in solvers:
        solve(piece[:, :WARM_UP], priors, solver=solver, steps=1, seeds=[0])
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        for solver, times in zip(solvers, taken, strict=True):
            began = time.perf_counter()
            solve(piece, priors, solver=solver, seeds=[0])
            times.append(time.perf_counter() - began)
            on_run(solver.name, times[-1])
    return Times(*(tuple(times) for times in taken))
