"""Dirac: the mixture as a hard constraint that leaves one source to the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch

from unsep_lib.initialise import from_noisy_mixture
from unsep_lib.priors import Prior
from unsep_lib.solvers.grids import check_levels, grid_for
from unsep_lib.solvers.loop import OnStep, Seeds, Start, report, seeded_noise
from unsep_lib.solvers.projections import END_SIGMA, START_SIGMA
from unsep_lib.solvers.several import mean_of
from unsep_lib.step_rules import Estimate, denoise_all

CHURN = 20.0  # S_churn; without it the samples hardly spread (Gaussian sources)
MOST_CHURN = math.sqrt(2) - 1  # γ's bound (arXiv 2206.00364)


def dirac(
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    steps: int,
    seeds: Seeds,
    on_step: OnStep = None,
    *,
    eliminated: int | torch.Tensor = -1,
    start: Start = from_noisy_mixture,
    start_sigma: float = START_SIGMA,
    second_order: bool = False,
) -> torch.Tensor:
    """One source e is what the others leave, `x_e = y − Σ_{k≠e} x_k`; they follow score differences (arXiv 2302.02257).

    Euler steps of `dx_k/dσ = (x_k − D_k(x_k))/σ − (x_e − D_e(x_e))/σ`, variance-exploding, down to σ_n/(1 + γ), then
    noise up to σ_n: churn with `γ = min(S_churn/steps, √2 − 1)` (arXiv 2206.00364), the priors evaluated on the grid
    alone. The sources add up to the mixture. Which source is `eliminated` (its index, or one a mixture [batch]) changes
    the result. second_order: Heun's steps (arXiv 2206.00364), which evaluate the priors a second time, off the grid.
    """
    grid = grid_for(priors, start_sigma, END_SIGMA, steps)
    churn = 1 + min(CHURN / (len(grid) - 1), MOST_CHURN)
    noise = seeded_noise(mixture, priors, seeds)
    state = completed(start(mixture, len(priors), grid[0], noise), mixture, eliminated)
    for step, (sigma, sigma_next) in enumerate(pairwise(grid), start=1):
        with torch.no_grad():
            clean = denoise_all(priors, state, sigma)
        way, slope = sigma_next / churn - sigma, _slope(state, clean, sigma, eliminated)
        if second_order and sigma_next > 0:
            reached = completed(state + way * slope, mixture, eliminated)
            slope = (slope + _slope_at(priors, reached, sigma_next / churn, eliminated)) / 2
        state = state + way * slope
        if sigma_next > 0:
            state = state + sigma_next * math.sqrt(1 - churn**-2) * noise.draw()
        state = completed(state, mixture, eliminated)
        report(on_step, mixture, grid, step, state, Estimate(clean))
    return state


dirac_mean = partial(mean_of, dirac)


def completed(state: torch.Tensor, mixture: torch.Tensor, eliminated: int | torch.Tensor) -> torch.Tensor:
    """The state [batch, source, time] with what the others leave of the mixture [batch, time] for one source.

    Raises:
        ValueError: `eliminated` is the index of no source.
    """
    count, index = state.shape[1], torch.as_tensor(eliminated)
    if not ((-count <= index) & (index < count)).all():
        raise ValueError(f"expected the index of one of {count} sources to eliminate, got {eliminated}")
    rest = mixture - state.sum(dim=1) + _of(state, index)
    place = torch.zeros(len(state), count, dtype=torch.bool, device=state.device)
    place[torch.arange(len(state)), index.to(state.device)] = True
    return torch.where(place[..., None], rest[:, None], state)


def _slope(state: torch.Tensor, clean: torch.Tensor, sigma: float, eliminated: int | torch.Tensor) -> torch.Tensor:
    """`dx/dσ` of every source: its score difference to the eliminated one."""
    own = (state - clean) / sigma
    return own - _of(own, eliminated)[:, None]


def _slope_at(
    priors: Sequence[Prior], state: torch.Tensor, sigma: float, eliminated: int | torch.Tensor
) -> torch.Tensor:
    check_levels(priors, [sigma, 0.0])
    with torch.no_grad():
        return _slope(state, denoise_all(priors, state, sigma), sigma, eliminated)


def _of(sources: torch.Tensor, index: int | torch.Tensor) -> torch.Tensor:
    return sources[torch.arange(len(sources)), index]
