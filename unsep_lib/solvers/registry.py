"""The solvers by name: each a choice of start, noise levels and step rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from unsep_lib.initialise import Noise, SeededNoise, from_noisy_mixture, gaussian_noise, noise_augmented_mixture
from unsep_lib.priors import Prior
from unsep_lib.schedule import PAPER_STEPS
from unsep_lib.solvers.grids import grid_for, paper_levels
from unsep_lib.solvers.loop import Snapshot, reverse
from unsep_lib.step_rules import Guided, Hybrid, Projection, StepRule, cqt_diff_guidance, dps_guidance, dsg_guidance
from unsep_lib.undiff import Undiff

Start = Callable[[torch.Tensor, int, float, Noise], torch.Tensor]
OnStep = Callable[[Snapshot], None] | None
Seeds = Sequence[tuple[int, ...]]

START_SIGMA, END_SIGMA = 0.7, 0.005  # log-σ grid of the projection; 1.5 scores 1.8 dB less
MEAN_SAMPLES = 4  # short runs whose mean estimates the posterior mean, which SI-SDR rewards


@dataclass(frozen=True)
class Solver:
    """A named way to separate.

    run(mixture [batch, time], priors, steps, seeds, on_step) → sources [batch, source, time].
    """

    name: str
    summary: str
    default_steps: int
    run: Callable[[torch.Tensor, Sequence[Prior], int, Seeds, OnStep], torch.Tensor]


def projection(
    mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
) -> torch.Tensor:
    """One sample by Wiener-weighted projection (DDNM, arXiv 2212.00490) on log-spaced noise levels."""
    noise = SeededNoise(seeds, range(len(priors)), mixture.shape[-1], mixture.device)
    grid = grid_for(priors, START_SIGMA, END_SIGMA, steps)
    return reverse(mixture, priors, grid, from_noisy_mixture, Projection(), noise, on_step)


def projection_mean(
    mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
) -> torch.Tensor:
    """The mean of four short projection samples, run as one batch: close to the posterior mean."""
    repeated = mixture.repeat_interleave(MEAN_SAMPLES, dim=0)
    samples = [(*seed, sample) for seed in seeds for sample in range(MEAN_SAMPLES)]
    sources = projection(repeated, priors, steps, samples, on_step)
    return sources.unflatten(0, (len(mixture), MEAN_SAMPLES)).mean(dim=1)


def on_paper_grid(
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    steps: int,
    seeds: Seeds,
    on_step: OnStep = None,
    *,
    rule: StepRule,
    start: Start = noise_augmented_mixture,
) -> torch.Tensor:
    """A variance-preserving rule on the paper's noise levels, from the paper's start (arXiv 2512.07226).

    Fewer than 200 steps respace the levels.
    """
    grid = paper_levels(priors, steps)
    noise = SeededNoise(seeds, range(len(priors)), mixture.shape[-1], mixture.device)
    return reverse(mixture, priors, grid, start, rule, noise, on_step)


hybrid = partial(on_paper_grid, rule=Hybrid())
dps = partial(on_paper_grid, rule=Guided(dps_guidance))
dsg = partial(on_paper_grid, rule=Guided(dsg_guidance))
cqt_diff = partial(on_paper_grid, rule=Guided(cqt_diff_guidance))
undiff = partial(on_paper_grid, rule=Undiff(), start=gaussian_noise)


SOLVERS = {
    solver.name: solver
    for solver in (
        Solver("projection-mean", "mean of 4 short projection samples (default)", 20, projection_mean),
        Solver("projection", "one projection sample, no gradient", 40, projection),
        Solver("hybrid", "the paper's guided sampler, with gradients", PAPER_STEPS, hybrid),
        Solver("dsg", "guidance of fixed length on the step's noise sphere, with gradients", PAPER_STEPS, dsg),
        Solver("dps", "guidance along the plain gradient", PAPER_STEPS, dps),
        Solver("cqt-diff", "guidance of length 0.001·√L/√(1−ᾱ), with gradients", PAPER_STEPS, cqt_diff),
        Solver("undiff", "the paper's gradient-free baseline", PAPER_STEPS, undiff),
    )
}
DEFAULT_SOLVER = "projection-mean"


def solve(
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    *,
    seeds: Sequence[int],
    solver: str = DEFAULT_SOLVER,
    steps: int | None = None,
    on_step: OnStep = None,
) -> torch.Tensor:
    """Separate a batch of mixtures [batch, time] into sources [batch, source, time] with a named solver.

    priors: one per source; seeds: one per mixture, so that a batch equals its mixtures one at a time.

    Raises:
        ValueError: unknown solver, no priors, a batch whose seeds do not match, or a number of steps or noise
            levels that solver or priors do not allow.
    """
    if solver not in SOLVERS:
        raise ValueError(f"unknown solver {solver!r}: known are {', '.join(SOLVERS)}")
    if mixture.ndim != 2 or len(seeds) != len(mixture):
        raise ValueError(f"expected a mixture [batch, time] and a seed each, got {tuple(mixture.shape)}, {len(seeds)}")
    if not priors:
        raise ValueError("expected at least one source, got none")
    if any(seed < 0 for seed in seeds):
        raise ValueError(f"expected seeds of 0 or above, got {min(seeds)}")
    chosen = SOLVERS[solver]
    count = chosen.default_steps if steps is None else steps
    return chosen.run(mixture, priors, count, [(seed,) for seed in seeds], on_step)
