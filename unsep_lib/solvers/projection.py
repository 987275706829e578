"""Solvers on log-spaced noise levels: one or several samples of a variance-exploding rule."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from unsep_lib.priors.base import Prior
from unsep_lib.solvers.initialization import from_noisy_mixture
from unsep_lib.solvers.loop import OnStep, Seeds, Start, reverse, seeded_noise
from unsep_lib.solvers.mixture_consistency import share_by_uncertainty, share_equally, share_softly
from unsep_lib.solvers.schedules import grid_for
from unsep_lib.solvers.several import mean_of
from unsep_lib.solvers.step_rules import LevelProjection, Made, Projection, StepRule

START_SIGMA, END_SIGMA = 0.7, 0.005  # log-σ grid of the projection; 1.5 scores 1.8 dB less


def on_log_grid(
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    steps: int,
    seeds: Seeds,
    on_step: OnStep = None,
    *,
    rule: StepRule[Made],
    start: Start = from_noisy_mixture,
    start_sigma: float = START_SIGMA,
) -> torch.Tensor:
    """One sample of a variance-exploding rule on log-spaced noise levels from `start_sigma` down."""
    grid = grid_for(priors, start_sigma, END_SIGMA, steps)
    noise = seeded_noise(mixture, priors, seeds)
    return reverse(mixture, priors, grid, start, rule, noise, on_step)


projection = partial(on_log_grid, rule=Projection())
projection_equal = partial(on_log_grid, rule=Projection(share_equally))
projection_sigma = partial(on_log_grid, rule=LevelProjection(share_by_uncertainty))
diffpir = partial(on_log_grid, rule=LevelProjection(share_softly))
projection_mean = partial(mean_of, projection)
