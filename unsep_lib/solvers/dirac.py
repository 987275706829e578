"""Dirac: the mixture as a hard constraint that leaves one source to the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch

from unsep_lib.priors.base import Prior
from unsep_lib.solvers.initialization import from_noisy_mixture
from unsep_lib.solvers.loop import OnStep, Seeds, Start, report, seeded_noise
from unsep_lib.solvers.mixture_consistency import Consistency, keep
from unsep_lib.solvers.projection import END_SIGMA, START_SIGMA
from unsep_lib.solvers.schedules import grid_for
from unsep_lib.solvers.several import mean_of
from unsep_lib.solvers.step_rules import Estimate, denoise_all

CHURN = 20.0  # S_churn; without it the samples hardly spread (Gaussian sources)
FEWEST_EXACT = 3  # two sources lose 3 dB by exact steps (17 in-domain mixtures), three gain 0.5 and 1.4 (4 each)
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
    end_sigma: float = END_SIGMA,
    towards: Consistency = keep,
) -> torch.Tensor:
    """One source e is what the others leave, `x_e = y − Σ_{k≠e} x_k`; they follow score differences (arXiv 2302.02257).

    Euler steps of `dx_k/dσ = (x_k − D_k(x_k))/σ − (x_e − D_e(x_e))/σ` (of three or more sources in part exact steps),
    variance-exploding, down to σ_n/(1 + γ), then noise up to σ_n: churn with `γ = min(S_churn/steps, √2 − 1)` (arXiv
    2206.00364), the priors evaluated on the grid alone. The sources add up to the mixture. Which source is `eliminated`
    (its index, or one a mixture [batch]) changes the result. towards: where in place of the denoised sources D to go.
    """
    grid = grid_for(priors, start_sigma, end_sigma, steps)
    churn = 1 + min(CHURN / (len(grid) - 1), MOST_CHURN)
    noise = seeded_noise(mixture, priors, seeds)
    state = completed(start(mixture, len(priors), grid[0], noise), mixture, eliminated)
    for step, (sigma, sigma_next) in enumerate(pairwise(grid), start=1):
        with torch.no_grad():
            clean = denoise_all(priors, state, sigma)
        state = _moved(state, towards(clean, mixture), sigma_next / churn / sigma, eliminated)
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


def _moved(state: torch.Tensor, clean: torch.Tensor, ratio: float, eliminated: int | torch.Tensor) -> torch.Tensor:
    """The state [batch, source, time] at `ratio` times its noise level; the eliminated source's is meaningless.

    Euler's step, but of three or more sources for what all that follow share: it falls with σ to the power of the
    number of sources, so it takes its exact step, where Euler's would overshoot, and diverge from four sources on.
    """
    count, gap = state.shape[1], state - clean
    gap = gap - _of(gap, eliminated)[:, None]
    change = (ratio - 1) * gap
    if count >= FEWEST_EXACT:
        shared = gap.sum(dim=1, keepdim=True) / (count - 1)
        change = change + ((ratio**count - 1) / count - (ratio - 1)) * shared
    return state + change


def _of(sources: torch.Tensor, index: int | torch.Tensor) -> torch.Tensor:
    return sources[torch.arange(len(sources)), index]
