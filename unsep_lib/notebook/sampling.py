"""Samples of a prior alone: the loop of a solver without a mixture."""

from __future__ import annotations

import torch

from unsep_lib.audio import SAMPLE_RATE
from unsep_lib.priors.base import Prior
from unsep_lib.priors.paper_schedule import log_grid
from unsep_lib.solvers import Problem, Snapshot, reverse
from unsep_lib.solvers.initialization import pure_noise
from unsep_lib.solvers.mixture_consistency import identity
from unsep_lib.solvers.projection import Projection

SIGMA_FIRST, SIGMA_LAST = 1.5, 0.005  # far above any source's level, and below what is heard


def sample(prior: Prior, seconds: float, steps: int, seed: int) -> torch.Tensor:
    """The clean estimate [step, time] at 16 kHz after each of `steps` steps from noise; the last one is the sample.

    Raises:
        ValueError: fewer than 1 sample or 1 step.
    """
    length = round(seconds * SAMPLE_RATE)
    if length < 1 or steps < 1:
        raise ValueError(f"expected at least 1 sample and 1 step, got {seconds} s and {steps} steps")
    estimates: list[torch.Tensor] = []

    def keep_estimate(snapshot: Snapshot) -> None:
        estimates.append(snapshot.clean[0, 0])

    problem, levels = Problem.seeded(torch.zeros(1, length), [prior], [seed]), log_grid(SIGMA_FIRST, SIGMA_LAST, steps)
    reverse(problem, pure_noise(problem, levels[0]), levels, Projection(identity), keep_estimate)
    return torch.stack(estimates)
