"""Best of several samples, as the priors themselves judge them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from unsep_lib.priors.base import Prior
from unsep_lib.solvers.initialization import Noise
from unsep_lib.solvers.loop import OnStep, Seeds, seeded_noise
from unsep_lib.solvers.projection import projection
from unsep_lib.solvers.schedules import grid_for
from unsep_lib.solvers.several import Run, several
from unsep_lib.solvers.step_rules import denoise_all

JUDGE_HIGH, JUDGE_LOW, JUDGE_LEVELS = 0.6, 0.01, 4  # σ: below is the recordings' own noise, above nothing is known


def denoising_losses(candidates: torch.Tensor, priors: Sequence[Prior], noise: Noise) -> torch.Tensor:
    """How unlikely candidates [batch, sample, source, time] are under their sources' priors: [batch, sample].

    `Σ_k Σ_σ ‖D_k(x_k ± σ n) − x_k‖²/σ²` over levels evenly spaced in ln σ, each prior on its own source: up to a
    factor and a constant, a sum for the integral that is −log p of the sources (arXiv 2302.03792). A mixture's
    candidates are judged with the same noise, with either sign: what is odd in it, most of a single draw's error,
    cancels.

    Raises:
        ValueError: no noise levels that all priors allow.
    """
    total = candidates.new_zeros(candidates.shape[:2])
    for sigma in grid_for(priors, JUDGE_HIGH, JUDGE_LOW, JUDGE_LEVELS)[:-1]:
        draw = sigma * noise.draw()[:, None]
        for noisy in (candidates + draw, candidates - draw):
            with torch.no_grad():
                clean = denoise_all(priors, noisy.flatten(0, 1), sigma).unflatten(0, candidates.shape[:2])
            total = total + ((clean - candidates) / sigma).square().sum(dim=(2, 3))
    return total


def mean_of_best(
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    steps: int,
    seeds: Seeds,
    on_step: OnStep = None,
    *,
    count: int,
    kept: int,
    run: Run = projection,
) -> torch.Tensor:
    """The mean of the `kept` likeliest of `count` samples of a solver, by `denoising_losses`.

    The samples run as one batch. The sources add up to the mixture if the solver's do.
    """
    candidates = several(run, mixture, priors, steps, seeds, on_step, count=count)
    judges = seeded_noise(mixture, priors, [(*seed, count) for seed in seeds])
    best = denoising_losses(candidates, priors, judges).argsort(dim=1)[:, :kept]
    rows = torch.arange(len(mixture), device=best.device)[:, None]
    return candidates[rows, best].mean(dim=1)


best_of = partial(mean_of_best, count=4, kept=1)
best_half_mean = partial(mean_of_best, count=8, kept=4)
