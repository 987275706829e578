"""The solvers by name: each a choice of start, noise levels and step rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from unsep_lib.priors.base import Prior
from unsep_lib.priors.paper_schedule import PAPER_STEPS
from unsep_lib.solvers.best_of import best_half_mean, best_of
from unsep_lib.solvers.daps import daps
from unsep_lib.solvers.dirac import dirac, dirac_mean
from unsep_lib.solvers.guided import cqt_diff, dps, dsg, guided_tail, hybrid, hybrid_tuned, undiff
from unsep_lib.solvers.loop import OnStep
from unsep_lib.solvers.pigdm import pigdm
from unsep_lib.solvers.projection import diffpir, projection, projection_equal, projection_mean, projection_sigma
from unsep_lib.solvers.restarts import dirac_contrast, dirac_restart, dirac_wiener, projection_restart
from unsep_lib.solvers.several import Run


@dataclass(frozen=True)
class Solver:
    """A named way to separate.

    run(mixture [batch, time], priors, steps, seeds, on_step) → sources [batch, source, time].
    """

    name: str
    summary: str
    default_steps: int
    run: Run


SOLVERS = {
    solver.name: solver
    for solver in (
        Solver("dirac-wiener", "dirac-contrast, sharpened by Wiener's filter (default)", 30, dirac_wiener),
        Solver(
            "dirac-restart",
            "4 rounds of means of Dirac samples, each source left over in turn",
            40,
            dirac_restart,
        ),
        Solver(
            "dirac-contrast",
            "dirac-restart that leans sources of one prior apart by label",
            40,
            dirac_contrast,
        ),
        Solver(
            "projection-restart", "4 rounds of projection-mean, each from the last one's mean", 40, projection_restart
        ),
        Solver("projection-mean", "mean of 4 short projection samples", 20, projection_mean),
        Solver("projection", "one projection sample, no gradient", 40, projection),
        Solver("hybrid", "the paper's guided sampler, with gradients", PAPER_STEPS, hybrid),
        Solver(
            "hybrid-tuned", "hybrid with its two constants chosen for the shipped priors", PAPER_STEPS, hybrid_tuned
        ),
        Solver("dsg", "guidance of fixed length on the step's noise sphere, with gradients", PAPER_STEPS, dsg),
        Solver("dps", "guidance along the plain gradient", PAPER_STEPS, dps),
        Solver("cqt-diff", "guidance of length 0.001·√L/√(1−ᾱ), with gradients", PAPER_STEPS, cqt_diff),
        Solver("undiff", "the paper's gradient-free baseline", PAPER_STEPS, undiff),
        Solver("projection-equal", "projection with equal weights", 40, projection_equal),
        Solver("projection-sigma", "projection, weights from Wiener's to equal", 40, projection_sigma),
        Solver("diffpir", "soft projection, equal weights", 40, diffpir),
        Solver("best-of", "likeliest of 4 short projection samples by the priors' own loss", 20, best_of),
        Solver("best-half-mean", "mean of the likelier 4 of 8 short projection samples", 20, best_half_mean),
        Solver("guided-tail", "projection, then 8 steps of the paper's, with gradients", 40, guided_tail),
        Solver("pigdm", "guidance by a Gaussian guess of the mixture, with gradients", 40, pigdm),
        Solver("dirac", "the last source is what the others leave, score differences", 40, dirac),
        Solver("dirac-mean", "mean of 4 short Dirac samples", 20, dirac_mean),
        Solver("daps", "fresh draws that add up to the mixture, 5 evaluations a step", 20, daps),
    )
}
DEFAULT_SOLVER = "dirac-wiener"


def solver_named(solver: str | Solver) -> Solver:
    """A solver by its name; one of your own as it is.

    Raises:
        ValueError: unknown name.
    """
    if isinstance(solver, Solver):
        return solver
    if solver not in SOLVERS:
        raise ValueError(f"unknown solver {solver!r}: known are {', '.join(SOLVERS)}")
    return SOLVERS[solver]


def solve(
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    *,
    seeds: Sequence[int],
    solver: str | Solver = DEFAULT_SOLVER,
    steps: int | None = None,
    on_step: OnStep = None,
) -> torch.Tensor:
    """Separate a batch of mixtures [batch, time] into sources [batch, source, time] with a solver, by name or your own.

    priors: one per source; seeds: one per mixture, so that a batch equals its mixtures one at a time.

    Raises:
        ValueError: unknown solver, no priors, a batch whose seeds do not match, or a number of steps or noise
            levels that solver or priors do not allow.
    """
    chosen = solver_named(solver)
    if mixture.ndim != 2 or len(seeds) != len(mixture):
        raise ValueError(f"expected a mixture [batch, time] and a seed each, got {tuple(mixture.shape)}, {len(seeds)}")
    if not priors:
        raise ValueError("expected at least one source, got none")
    if any(seed < 0 for seed in seeds):
        raise ValueError(f"expected seeds of 0 or above, got {min(seeds)}")
    count = chosen.default_steps if steps is None else steps
    return chosen.run(mixture, priors, count, [(seed,) for seed in seeds], on_step)
